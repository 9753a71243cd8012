//! `contrast`: `clamp(c * x, 0, 1)`.

use dyntta_simd::math;

use super::{Op, clamp01, pointwise_backward, pointwise_forward};
use crate::sweep::{Needs, PerPlane, STRIP, Seen, Strip, Strips, Swept};
use crate::tensors::{Form, Tensors};
use crate::{Magnitude, Mapping, View};

/// Multiplies every value.
#[derive(Clone, Copy, Debug)]
pub struct Contrast;

impl Swept for Contrast {
    const NEEDS: Needs = Needs::NOTHING;
    /// The factor.
    type Prepared = f32;

    fn prepare(_: &Seen<'_>, factor: f32) -> f32 {
        factor
    }
}

impl PerPlane for Contrast {
    #[inline(always)]
    fn add(&c: &f32, strips: &Strips<'_>, channel: usize, weight: f32, acc: &mut Strip) {
        let x = &strips.x[channel];
        for i in 0..STRIP {
            acc[i] += weight * math::clamp01(c * x[i]);
        }
    }

    #[inline(always)]
    fn add_gradients(
        &c: &f32,
        strips: &Strips<'_>,
        channel: usize,
        g: &Strip,
        value: &mut Strip,
        slope: &mut Strip,
    ) {
        let x = &strips.x[channel];
        for i in 0..STRIP {
            let y = c * x[i];
            value[i] += g[i] * math::clamp01(y);
            slope[i] += math::passed(y, g[i] * x[i]);
        }
    }
}

impl Form for Contrast {
    fn form<T: Tensors>(t: &T, x: &T::Float, factor: &T::Float) -> T::Float {
        t.clamp01(&t.mul(factor, x))
    }
}

impl Op for Contrast {
    fn name(&self) -> &str {
        "contrast"
    }

    fn about(&self) -> &'static str {
        "multiplies every value by the factor"
    }

    fn formula(&self) -> &'static str {
        "clamp(c x, 0, 1)"
    }

    fn source(&self) -> &'static str {
        "kornia 0.5 adjust_contrast"
    }

    fn magnitude(&self) -> Option<Magnitude> {
        Some(Magnitude { mapping: Mapping::Sigmoid { reach: 3.0 }, unit: "", neutral: 1.0 })
    }

    fn forward(&self, image: View<'_>, factor: f32, out: &mut [f32]) {
        pointwise_forward(image, out, |x| clamp01(factor * x).0);
    }

    fn backward(&self, image: View<'_>, factor: f32, g: &[f32], grad_image: Option<&mut [f32]>) -> f32 {
        pointwise_backward(image, g, grad_image, |x| match clamp01(factor * x) {
            (_, true) => (factor, x),
            (_, false) => (0.0, 0.0),
        })
    }
}
