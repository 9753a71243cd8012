//! `invert`: `max(x) - x`, the largest value of the image taken over its three channels.
//!
//! The published implementation takes the largest value of the batch; here an image's result never depends on its
//! neighbours.

use super::{Op, pointwise_forward};
use crate::View;
use crate::sweep::{Folded, Needs, STRIP, Seen, Shares, Strip, Strips, Swept};
use crate::tensors::{Form, Over, Tensors};

/// Takes every value from the largest.
#[derive(Clone, Copy, Debug)]
pub struct Invert;

/// The largest value of the image.
pub(crate) fn largest(image: View<'_>) -> f32 {
    image.data().iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

impl Swept for Invert {
    const NEEDS: Needs = Needs { extremes: true, ..Needs::NOTHING };
    /// The largest value of the image.
    type Prepared = f32;

    fn prepare(seen: &Seen<'_>, _: f32) -> f32 {
        seen.largest()
    }
}

impl Folded for Invert {
    fn fold(max: &f32, weight: f32, shares: &mut Shares) {
        shares.constant += weight * max;
        shares.linear = shares.linear.map(|share| share - weight);
    }

    #[inline(always)]
    fn add_gradients(&max: &f32, strips: &Strips<'_>, c: usize, g: &Strip, value: &mut Strip) {
        for i in 0..STRIP {
            value[i] += g[i] * (max - strips.x[c][i]);
        }
    }
}

impl Form for Invert {
    fn form<T: Tensors>(t: &T, x: &T::Float, _: &T::Float) -> T::Float {
        t.sub(&t.most(x, Over::Image), x)
    }
}

impl Op for Invert {
    fn name(&self) -> &str {
        "invert"
    }

    fn about(&self) -> &'static str {
        "takes every value from the image's largest"
    }

    fn formula(&self) -> &'static str {
        "max(x) - x"
    }

    fn source(&self) -> &'static str {
        "kornia 0.5 Invert with the image's own maximum"
    }

    fn forward(&self, image: View<'_>, _factor: f32, out: &mut [f32]) {
        let max = largest(image);
        pointwise_forward(image, out, |x| max - x);
    }

    fn backward(&self, image: View<'_>, _factor: f32, g: &[f32], grad_image: Option<&mut [f32]>) -> f32 {
        if let Some(grad) = grad_image {
            let max = largest(image);
            let places = image.data().iter().filter(|&&x| x == max).count();
            let share = (g.iter().map(|&g| f64::from(g)).sum::<f64>() / places as f64) as f32;
            for ((grad, &g), &x) in grad.iter_mut().zip(g).zip(image.data()) {
                *grad += if x == max { share - g } else { -g };
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_values_share_what_they_lift() {
        let image = [0.5, 0.25, 1.0, 0.0, 1.0, 0.5];
        let view = View::new(&image, 1, 2).unwrap();
        let mut out = [0.0; 6];
        Invert.forward(view, 0.0, &mut out);
        assert_eq!(out, [0.5, 0.75, 0.0, 1.0, 0.0, 0.5]);
        let mut grad = [0.0; 6];
        Invert.backward(view, 0.0, &[1.0; 6], Some(&mut grad));
        assert_eq!(grad, [-1.0, -1.0, 2.0, -1.0, 2.0, -1.0]);
    }
}
