//! `gamma`: `clamp(x ^ c, 0, 1)`.

use super::{Fused, Op, Sweep, clamp01, pointwise_backward, pointwise_forward};
use crate::{Magnitude, Mapping, View};

/// Raises every value to a power.
#[derive(Clone, Copy, Debug)]
pub struct Gamma;

impl Op for Gamma {
    fn name(&self) -> &str {
        "gamma"
    }

    fn about(&self) -> &'static str {
        "raises every value to the power of the factor"
    }

    fn formula(&self) -> &'static str {
        "clamp(x^c, 0, 1)"
    }

    fn source(&self) -> &'static str {
        "kornia 0.5 adjust_gamma"
    }

    fn magnitude(&self) -> Option<Magnitude> {
        Some(Magnitude { mapping: Mapping::Sigmoid { reach: 3.0 }, unit: "", neutral: 1.0 })
    }

    fn forward(&self, image: View<'_>, factor: f32, out: &mut [f32]) {
        pointwise_forward(image, out, |x| clamp01(x.powf(factor)).0);
    }

    fn backward(&self, image: View<'_>, factor: f32, g: &[f32], grad_image: Option<&mut [f32]>) -> f32 {
        pointwise_backward(image, g, grad_image, |x| match clamp01(x.powf(factor)) {
            (y, true) => (factor * x.powf(factor - 1.0), y * x.ln()),
            (_, false) => (0.0, 0.0),
        })
    }

    fn fused(&self) -> Fused {
        Fused::Sweep(Sweep::Gamma)
    }
}
