//! `brightness`: `clamp(x + b, 0, 1)`.

use dyntta_simd::math;

use super::{Op, clamp01, pointwise_backward, pointwise_forward};
use crate::sweep::{Needs, PerPlane, STRIP, Seen, Strip, Strips, Swept};
use crate::tensors::{Form, Tensors};
use crate::{Magnitude, Mapping, View};

/// Adds to every value.
#[derive(Clone, Copy, Debug)]
pub struct Brightness;

impl Swept for Brightness {
    const NEEDS: Needs = Needs::NOTHING;
    /// The factor.
    type Prepared = f32;

    fn prepare(_: &Seen<'_>, factor: f32) -> f32 {
        factor
    }
}

impl PerPlane for Brightness {
    #[inline(always)]
    fn add(&b: &f32, strips: &Strips<'_>, channel: usize, weight: f32, acc: &mut Strip) {
        let x = &strips.x[channel];
        for i in 0..STRIP {
            acc[i] += weight * math::clamp01(x[i] + b);
        }
    }

    #[inline(always)]
    fn add_gradients(
        &b: &f32,
        strips: &Strips<'_>,
        channel: usize,
        g: &Strip,
        value: &mut Strip,
        slope: &mut Strip,
    ) {
        let x = &strips.x[channel];
        for i in 0..STRIP {
            let y = x[i] + b;
            value[i] += g[i] * math::clamp01(y);
            slope[i] += math::passed(y, g[i]);
        }
    }
}

impl Form for Brightness {
    fn form<T: Tensors>(t: &T, x: &T::Float, factor: &T::Float) -> T::Float {
        t.clamp01(&t.add(x, factor))
    }
}

impl Op for Brightness {
    fn name(&self) -> &str {
        "brightness"
    }

    fn about(&self) -> &'static str {
        "adds the factor to every value"
    }

    fn formula(&self) -> &'static str {
        "clamp(x + b, 0, 1)"
    }

    fn source(&self) -> &'static str {
        "kornia 0.5 adjust_brightness"
    }

    fn magnitude(&self) -> Option<Magnitude> {
        Some(Magnitude { mapping: Mapping::Tanh { centre: 0.0, reach: 0.6 }, unit: "", neutral: 0.0 })
    }

    fn forward(&self, image: View<'_>, factor: f32, out: &mut [f32]) {
        pointwise_forward(image, out, |x| clamp01(x + factor).0);
    }

    fn backward(&self, image: View<'_>, factor: f32, g: &[f32], grad_image: Option<&mut [f32]>) -> f32 {
        pointwise_backward(image, g, grad_image, |x| match clamp01(x + factor) {
            (_, true) => (1.0, 1.0),
            (_, false) => (0.0, 0.0),
        })
    }
}
