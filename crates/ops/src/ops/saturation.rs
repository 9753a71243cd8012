//! `saturation`: `S' = clamp(f S, 0, 1)` in HSV.

use dyntta_simd::math;

use super::{Op, clamp01};
use crate::hsv::{self, Hsv};
use crate::sweep::{Needs, PerPixel, STRIP, Seen, Strip, Strips, Swept};
use crate::tensors::{Form, Tensors};
use crate::{Magnitude, Mapping, View};

/// Multiplies the saturation.
#[derive(Clone, Copy, Debug)]
pub struct Saturation;

/// What multiplies `V - x` in the saturated `V - A (V - x)`, and d A / df.
///
/// In all sectors of the hue the formula comes to `V - S' V / D' (V - x)`, without the hue: below the clamp S' = f S and
/// D' = D leave `A = f V / (V + epsilon)`, on it `A = V / D'`.
#[inline(always)]
fn attraction(hsv: &hsv::Strips, i: usize, f: f32) -> (f32, f32) {
    let s = f * hsv.s[i];
    let u = hsv.v[i] * hsv.over_v[i];
    (if s < 1.0 { f * u } else { hsv.v[i] * hsv.over_d[i] }, math::passed(s, u))
}

impl Swept for Saturation {
    const NEEDS: Needs = Needs { hsv: true, ..Needs::NOTHING };
    /// The factor.
    type Prepared = f32;

    fn prepare(_: &Seen<'_>, factor: f32) -> f32 {
        factor
    }
}

impl PerPixel for Saturation {
    #[inline(always)]
    fn add(&f: &f32, strips: &Strips<'_>, weight: f32, acc: &mut [Strip; 3]) {
        let Some(hsv) = &strips.hsv else { return };
        let x = &strips.x;
        for i in 0..STRIP {
            let (a, _) = attraction(hsv, i, f);
            for c in 0..3 {
                acc[c][i] += weight * (hsv.v[i] - a * (hsv.v[i] - x[c][i]));
            }
        }
    }

    #[inline(always)]
    fn add_gradients(&f: &f32, strips: &Strips<'_>, g: &[Strip; 3], value: &mut Strip, slope: &mut Strip) {
        let Some(hsv) = &strips.hsv else { return };
        let x = &strips.x;
        for i in 0..STRIP {
            let (a, by_f) = attraction(hsv, i, f);
            let below = [hsv.v[i] - x[0][i], hsv.v[i] - x[1][i], hsv.v[i] - x[2][i]];
            let sum = g[0][i] * below[0] + g[1][i] * below[1] + g[2][i] * below[2];
            value[i] += (g[0][i] + g[1][i] + g[2][i]) * hsv.v[i] - a * sum;
            slope[i] -= by_f * sum;
        }
    }
}

impl Form for Saturation {
    fn form<T: Tensors>(t: &T, x: &T::Float, factor: &T::Float) -> T::Float {
        let hsv = hsv::Form::new(t, x);
        let below = t.mul(factor, &t.mul(&hsv.v, &hsv.over_v));
        let unclamped = t.less(&t.mul(factor, &hsv.s), &t.number(1.0));
        let a = t.choose(&unclamped, &below, &t.mul(&hsv.v, &hsv.over_d));
        t.sub(&hsv.v, &t.mul(&a, &t.sub(&hsv.v, x)))
    }
}

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
}
