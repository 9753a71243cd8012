//! `contrast`: `clamp(c * x, 0, 1)`.

use super::{Fused, Op, Sweep, clamp01, pointwise_backward, pointwise_forward};
use crate::{Magnitude, Mapping, View};

/// Multiplies every value.
#[derive(Clone, Copy, Debug)]
pub struct Contrast;

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
