//! `hue`: `H' = H + f`, reduced modulo 2 pi, in HSV.

use std::f32::consts::TAU;

use super::{Fused, Op, Sweep};
use crate::hsv::{self, Hsv};
use crate::{Magnitude, Mapping, View};

/// Turns the hue.
#[derive(Clone, Copy, Debug)]
pub struct Hue;

impl Op for Hue {
    fn name(&self) -> &str {
        "hue"
    }

    fn about(&self) -> &'static str {
        "turns the hue by the factor"
    }

    fn formula(&self) -> &'static str {
        "H' = (H + f) mod 2 pi"
    }

    fn source(&self) -> &'static str {
        "kornia 0.5 adjust_hue"
    }

    fn magnitude(&self) -> Option<Magnitude> {
        Some(Magnitude { mapping: Mapping::Tanh { centre: 0.0, reach: 2.0 }, unit: "radians", neutral: 0.0 })
    }

    fn forward(&self, image: View<'_>, factor: f32, out: &mut [f32]) {
        let n = image.pixels();
        for p in 0..n {
            let hsv = hsv::from_rgb(image.rgb(p));
            let rgb = hsv::to_rgb(Hsv { h: (hsv.h + factor) % TAU, ..hsv });
            for c in 0..3 {
                out[c * n + p] = rgb[c];
            }
        }
    }

    fn backward(&self, image: View<'_>, factor: f32, g: &[f32], mut grad_image: Option<&mut [f32]>) -> f32 {
        let n = image.pixels();
        let mut sum = 0.0f64;
        for p in 0..n {
            let rgb = image.rgb(p);
            let hsv = hsv::from_rgb(rgb);
            let turned = Hsv { h: (hsv.h + factor) % TAU, ..hsv };
            let by = hsv::to_rgb_backward(turned, [g[p], g[n + p], g[2 * n + p]]);
            sum += f64::from(by.h);
            if let Some(grad) = grad_image.as_deref_mut() {
                for (c, value) in hsv::from_rgb_backward(rgb, by).into_iter().enumerate() {
                    grad[c * n + p] += value;
                }
            }
        }
        sum as f32
    }

    fn fused(&self) -> Fused {
        Fused::Sweep(Sweep::Hue)
    }
}
