//! `saturation`: `S' = clamp(f S, 0, 1)` in HSV.

use super::{Fused, Op, Sweep, clamp01};
use crate::hsv::{self, Hsv};
use crate::{Magnitude, Mapping, View};

/// Multiplies the saturation.
#[derive(Clone, Copy, Debug)]
pub struct Saturation;

impl Op for Saturation {
    fn name(&self) -> &str {
        "saturation"
    }

    fn about(&self) -> &'static str {
        "multiplies the saturation by the factor"
    }

    fn formula(&self) -> &'static str {
        "S' = clamp(f S, 0, 1)"
    }

    fn source(&self) -> &'static str {
        "kornia 0.5 adjust_saturation"
    }

    fn magnitude(&self) -> Option<Magnitude> {
        Some(Magnitude { mapping: Mapping::Sigmoid { reach: 5.0 }, unit: "", neutral: 1.0 })
    }

    fn forward(&self, image: View<'_>, factor: f32, out: &mut [f32]) {
        let n = image.pixels();
        for p in 0..n {
            let hsv = hsv::from_rgb(image.rgb(p));
            let rgb = hsv::to_rgb(Hsv { s: clamp01(factor * hsv.s).0, ..hsv });
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
            let (s, inside) = clamp01(factor * hsv.s);
            let mut by = hsv::to_rgb_backward(Hsv { s, ..hsv }, [g[p], g[n + p], g[2 * n + p]]);
            if inside {
                sum += f64::from(by.s * hsv.s);
                by.s *= factor;
            } else {
                by.s = 0.0;
            }
            if let Some(grad) = grad_image.as_deref_mut() {
                for (c, value) in hsv::from_rgb_backward(rgb, by).into_iter().enumerate() {
                    grad[c * n + p] += value;
                }
            }
        }
        sum as f32
    }

    fn fused(&self) -> Fused {
        Fused::Sweep(Sweep::Saturation)
    }
}
