//! `hue`: `H' = H + f`, reduced modulo 2 pi, in HSV.

use std::f32::consts::TAU;

use dyntta_simd::math;

use super::Op;
use crate::hsv::{self, Hsv};
use crate::sweep::{Needs, PerPixel, STRIP, Seen, Strip, Strips, Swept};
use crate::tensors::{Form, Tensors};
use crate::{Magnitude, Mapping, View};

/// Turns the hue.
#[derive(Clone, Copy, Debug)]
pub struct Hue;

/// Radians to sectors of the hue.
const SECTORS: f32 = 6.0 / TAU;

/// How far channel `c` lies below V, in parts of V S, and its slope by the place z in sectors, `0 <= z < 6`.
///
/// The sectors' formulas are one trapezium, shifted from channel to channel: with `k = (z + n) mod 6`, n = 5, 3, 1, the
/// channel is `V - V S clamp(min(k, 4 - k), 0, 1)`.
#[inline(always)]
fn depth(z: f32, c: usize) -> (f32, f32) {
    let k = z + (5.0 - 2.0 * c as f32);
    let k = if k >= 6.0 { k - 6.0 } else { k };
    let (rising, falling) = (k, 4.0 - k);
    let least = if rising < falling { rising } else { falling };
    let sign = if rising < falling { 1.0 } else { -1.0 };
    (math::clamp01(least), math::passed(least, sign))
}

/// The turned hue in sectors, `0 <= z < 6`.
#[inline(always)]
fn turned(z: f32, f: f32) -> f32 {
    let z = z + f;
    let z = if z < 0.0 { z + 6.0 } else { z };
    if z >= 6.0 { z - 6.0 } else { z }
}

impl Swept for Hue {
    const NEEDS: Needs = Needs { hsv: true, ..Needs::NOTHING };
    /// The factor.
    type Prepared = f32;

    fn prepare(_: &Seen<'_>, factor: f32) -> f32 {
        factor
    }
}

impl PerPixel for Hue {
    #[inline(always)]
    fn add(&f: &f32, strips: &Strips<'_>, weight: f32, acc: &mut [Strip; 3]) {
        let Some(hsv) = &strips.hsv else { return };
        let f = f * SECTORS;
        for i in 0..STRIP {
            let z = turned(hsv.z[i], f);
            let chroma = hsv.v[i] * hsv.s[i];
            for c in 0..3 {
                acc[c][i] += weight * (hsv.v[i] - chroma * depth(z, c).0);
            }
        }
    }

    #[inline(always)]
    fn add_gradients(&f: &f32, strips: &Strips<'_>, g: &[Strip; 3], value: &mut Strip, slope: &mut Strip) {
        let Some(hsv) = &strips.hsv else { return };
        let f = f * SECTORS;
        for i in 0..STRIP {
            let z = turned(hsv.z[i], f);
            let chroma = hsv.v[i] * hsv.s[i];
            let (d0, d1, d2) = (depth(z, 0), depth(z, 1), depth(z, 2));
            value[i] += (g[0][i] + g[1][i] + g[2][i]) * hsv.v[i]
                - chroma * (g[0][i] * d0.0 + g[1][i] * d1.0 + g[2][i] * d2.0);
            slope[i] -= chroma * SECTORS * (g[0][i] * d0.1 + g[1][i] * d1.1 + g[2][i] * d2.1);
        }
    }
}

impl Form for Hue {
    fn form<T: Tensors>(t: &T, x: &T::Float, factor: &T::Float) -> T::Float {
        let hsv = hsv::Form::new(t, x);
        let (zero, six) = (t.number(0.0), t.number(6.0));
        let z = t.add(&hsv.sectors(t), &t.mul(factor, &t.number(SECTORS)));
        let z = t.choose(&t.less(&z, &zero), &t.add(&z, &six), &z);
        let below = |z: &T::Float| t.choose(&t.less(z, &six), z, &t.sub(z, &six));
        let k = below(&t.add(&below(&z), &t.numbers([1, 3, 1, 1], &[5.0, 3.0, 1.0])));
        let depth = t.clamp01(&t.min(&k, &t.sub(&t.number(4.0), &k)));
        t.sub(&hsv.v, &t.mul(&t.mul(&hsv.v, &hsv.s), &depth))
    }
}

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
}
