//! `contrast`: `clamp(c * x, 0, 1)`.

use super::{Fused, Op, Sweep, clamp01, pointwise_backward, pointwise_forward};
use crate::simd::{self, STRIP, Strip};
use crate::{Magnitude, Mapping, View};

/// Multiplies every value.
#[derive(Clone, Copy, Debug)]
pub struct Contrast;

/// Strip kernel: `acc += weight * contrast(x)`.
#[inline(always)]
pub(crate) fn strip_forward(x: &Strip, c: f32, weight: f32, acc: &mut Strip) {
    for i in 0..STRIP {
        acc[i] += weight * simd::clamp01(c * x[i]);
    }
}

/// Strip kernel: `value += g * contrast(x)`, `slope += g * d contrast(x) / dc`.
#[inline(always)]
pub(crate) fn strip_backward(x: &Strip, g: &Strip, c: f32, value: &mut Strip, slope: &mut Strip) {
    for i in 0..STRIP {
        let y = c * x[i];
        value[i] += g[i] * simd::clamp01(y);
        slope[i] += simd::passed(y, g[i] * x[i]);
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

    fn fused(&self) -> Fused {
        Fused::Sweep(Sweep::Contrast)
    }
}
