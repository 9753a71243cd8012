//! `brightness`: `clamp(x + b, 0, 1)`.

use super::{Fused, Op, Sweep, clamp01, pointwise_backward, pointwise_forward};
use crate::simd::{self, STRIP, Strip};
use crate::{Magnitude, Mapping, View};

/// Adds to every value.
#[derive(Clone, Copy, Debug)]
pub struct Brightness;

/// Strip kernel: `acc += weight * brightness(x)`.
#[inline(always)]
pub(crate) fn strip_forward(x: &Strip, b: f32, weight: f32, acc: &mut Strip) {
    for i in 0..STRIP {
        acc[i] += weight * simd::clamp01(x[i] + b);
    }
}

/// Strip kernel: `value += g * brightness(x)`, `slope += g * d brightness(x) / db`.
#[inline(always)]
pub(crate) fn strip_backward(x: &Strip, g: &Strip, b: f32, value: &mut Strip, slope: &mut Strip) {
    for i in 0..STRIP {
        let y = x[i] + b;
        value[i] += g[i] * simd::clamp01(y);
        slope[i] += simd::passed(y, g[i]);
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

    fn fused(&self) -> Fused {
        Fused::Sweep(Sweep::Brightness)
    }
}
