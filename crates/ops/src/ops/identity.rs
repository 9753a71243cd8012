//! `identity`: the image as it is. Not in the published bank.

use super::{Op, pointwise_backward, pointwise_forward};
use crate::View;
use crate::sweep::{Folded, Needs, STRIP, Seen, Shares, Strip, Strips, Swept};
use crate::tensors::{Form, Tensors};

/// Leaves the image as it is.
#[derive(Clone, Copy, Debug)]
pub struct Identity;

impl Swept for Identity {
    const NEEDS: Needs = Needs::NOTHING;
    type Prepared = ();

    fn prepare(_: &Seen<'_>, _: f32) {}
}

impl Folded for Identity {
    fn fold((): &(), weight: f32, shares: &mut Shares) {
        shares.linear = shares.linear.map(|share| share + weight);
    }

    #[inline(always)]
    fn add_gradients((): &(), strips: &Strips<'_>, c: usize, g: &Strip, value: &mut Strip) {
        for i in 0..STRIP {
            value[i] += g[i] * strips.x[c][i];
        }
    }
}

impl Form for Identity {
    fn form<T: Tensors>(_: &T, x: &T::Float, _: &T::Float) -> T::Float {
        x.clone()
    }
}

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
}
