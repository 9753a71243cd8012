//! `identity`: the image as it is. Not in the published bank.

use super::{Fused, Op, Sweep, pointwise_backward, pointwise_forward};
use crate::View;

/// Leaves the image as it is.
#[derive(Clone, Copy, Debug)]
pub struct Identity;

impl Op for Identity {
    fn name(&self) -> &str {
        "identity"
    }

    fn about(&self) -> &'static str {
        "leaves the image as it is"
    }

    fn formula(&self) -> &'static str {
        "x"
    }

    fn source(&self) -> &'static str {
        "not in the published bank"
    }

    fn forward(&self, image: View<'_>, _factor: f32, out: &mut [f32]) {
        pointwise_forward(image, out, |x| x);
    }

    fn backward(&self, image: View<'_>, _factor: f32, g: &[f32], grad_image: Option<&mut [f32]>) -> f32 {
        pointwise_backward(image, g, grad_image, |_| (1.0, 0.0))
    }

    fn fused(&self) -> Fused {
        Fused::Sweep(Sweep::Identity)
    }
}
