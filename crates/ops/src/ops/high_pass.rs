//! `high_pass`: keeps the frequencies above a radius.
//!
//! See [`crate::spectral`] for the radius of a frequency. Not clamped; linear and its own adjoint.

use super::{Keeps, Op, Opposite, RadialFilter};
use crate::View;
use crate::spectral::{self, Radius};

/// Keeps the frequencies above a radius.
#[derive(Clone, Debug)]
pub struct HighPass {
    name: String,
    radius: Radius,
}

impl RadialFilter for HighPass {
    const FAMILY: &'static str = "high_pass";

    fn new(radius: Radius) -> Self {
        Self { name: format!("{}_{radius}", Self::FAMILY), radius }
    }
}

impl Op for HighPass {
    fn name(&self) -> &str {
        &self.name
    }

    fn about(&self) -> &'static str {
        "keeps the frequencies above the radius"
    }

    fn formula(&self) -> &'static str {
        "keep d > r"
    }

    fn source(&self) -> &'static str {
        "the published implementation (an ideal filter)"
    }

    fn forward(&self, image: View<'_>, _factor: f32, out: &mut [f32]) {
        spectral::reference(image, image.data(), out, |d| d > self.radius.value());
    }

    fn backward(&self, image: View<'_>, _factor: f32, g: &[f32], grad_image: Option<&mut [f32]>) -> f32 {
        if let Some(grad) = grad_image {
            let mut filtered = vec![0.0; g.len()];
            spectral::reference(image, g, &mut filtered, |d| d > self.radius.value());
            for (grad, value) in grad.iter_mut().zip(filtered) {
                *grad += value;
            }
        }
        0.0
    }

    fn keeps(&self) -> Option<Keeps> {
        Some(Keeps::Above(self.radius))
    }

    fn opposite(&self) -> Opposite {
        Opposite::Band(self.radius)
    }
}
