//! Hue, saturation and value of an RGB pixel, and back, with gradients: the plain form that `saturation` and `hue` share.
//!
//! `V = max`, `D = V - min`, `S = D / (V + 1e-6)`, `D' = D`, or 1 where `D = 0`; the hue is `2 pi ((h / 6) mod 1)` with
//! `h = (G - B) / D'` where R is the largest (the first of ties), `2 + (B - R) / D'` where G, `4 + (R - G) / D'` where B.

use std::f32::consts::TAU;

use crate::sweep::{STRIP, Strip};
use crate::tensors::Tensors;

/// Keeps the saturation of black finite.
pub(crate) const EPSILON: f32 = 1e-6;

/// Hue in radians `0..=2 pi`, saturation and value in `0..=1`; or the gradients of the three.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hsv {
    pub h: f32,
    pub s: f32,
    pub v: f32,
}

fn first_extremes(rgb: [f32; 3]) -> (usize, usize) {
    let (mut max, mut min) = (0, 0);
    for c in 1..3 {
        if rgb[c] > rgb[max] {
            max = c;
        }
        if rgb[c] < rgb[min] {
            min = c;
        }
    }
    (max, min)
}

pub(crate) fn from_rgb(rgb: [f32; 3]) -> Hsv {
    let (max, min) = first_extremes(rgb);
    let v = rgb[max];
    let d = v - rgb[min];
    let divisor = if d == 0.0 { 1.0 } else { d };
    // The two channels after the largest, around the circle R, G, B.
    let (next, after) = (rgb[(max + 1) % 3], rgb[(max + 2) % 3]);
    let h = 2.0 * max as f32 + (next - after) / divisor;
    Hsv { h: (h / 6.0).rem_euclid(1.0) * TAU, s: d / (v + EPSILON), v }
}

/// d loss / d RGB from the gradients `g` of hue, saturation and value.
pub(crate) fn from_rgb_backward(rgb: [f32; 3], g: Hsv) -> [f32; 3] {
    let (max, min) = first_extremes(rgb);
    let v = rgb[max];
    let d = v - rgb[min];
    let divisor = if d == 0.0 { 1.0 } else { d };
    let (next, after) = ((max + 1) % 3, (max + 2) % 3);
    let by_h = g.h * TAU / 6.0;
    let mut grad = [0.0; 3];
    grad[next] += by_h / divisor;
    grad[after] -= by_h / divisor;
    let mut by_d = g.s / (v + EPSILON);
    if d != 0.0 {
        by_d -= by_h * (rgb[next] - rgb[after]) / (d * d);
    }
    grad[max] += g.v - g.s * d / ((v + EPSILON) * (v + EPSILON)) + by_d;
    grad[min] -= by_d;
    grad
}

/// Which of V, p, q, r the channels take in each sixth of the circle.
const SECTORS: [[usize; 3]; 6] = [[0, 3, 1], [2, 0, 1], [1, 0, 3], [1, 2, 0], [3, 1, 0], [0, 1, 2]];

fn sector(h: f32) -> (usize, f32) {
    let z = h / TAU * 6.0;
    let i = z.floor().rem_euclid(6.0);
    ((i as usize).min(5), z.rem_euclid(6.0) - i)
}

pub(crate) fn to_rgb(Hsv { h, s, v }: Hsv) -> [f32; 3] {
    let (i, f) = sector(h);
    let values = [v, v * (1.0 - s), v * (1.0 - f * s), v * (1.0 - (1.0 - f) * s)];
    SECTORS[i].map(|k| values[k])
}

/// The gradients of hue, saturation and value from `g` = d loss / d RGB.
pub(crate) fn to_rgb_backward(Hsv { h, s, v }: Hsv, g: [f32; 3]) -> Hsv {
    let (i, f) = sector(h);
    // Per V, p, q, r: by value, by saturation, by the place f in the sector.
    let by_v = [1.0, 1.0 - s, 1.0 - f * s, 1.0 - (1.0 - f) * s];
    let by_s = [0.0, -v, -f * v, -(1.0 - f) * v];
    let by_f = [0.0, 0.0, -s * v, s * v];
    let mut grad = Hsv { h: 0.0, s: 0.0, v: 0.0 };
    for (g, k) in g.into_iter().zip(SECTORS[i]) {
        grad.v += g * by_v[k];
        grad.s += g * by_s[k];
        grad.h += g * by_f[k] * 6.0 / TAU;
    }
    grad
}

/// Hue, saturation and value of a strip of pixels, in the form that the fused path wants.
pub(crate) struct Strips {
    /// Value.
    pub v: Strip,
    /// Saturation.
    pub s: Strip,
    /// Hue in sectors, before the reduction: `-1 <= z <= 5`.
    pub z: Strip,
    /// `1 / (V + epsilon)`.
    pub over_v: Strip,
    /// `1 / D'`.
    pub over_d: Strip,
}

impl Strips {
    #[inline(always)]
    pub fn new(x: &[Strip; 3]) -> Self {
        let zero = [0.0; STRIP];
        let mut all = Self { v: zero, s: zero, z: zero, over_v: zero, over_d: zero };
        for i in 0..STRIP {
            let (r, g, b) = (x[0][i], x[1][i], x[2][i]);
            let gb_max = if g > b { g } else { b };
            let gb_min = if g < b { g } else { b };
            let v = if r > gb_max { r } else { gb_max };
            let d = v - if r < gb_min { r } else { gb_min };
            all.v[i] = v;
            all.over_v[i] = 1.0 / (v + EPSILON);
            all.s[i] = d * all.over_v[i];
            all.over_d[i] = 1.0 / if d == 0.0 { 1.0 } else { d };
            let (first, second) = (r == v, g == v);
            let difference = if first {
                g - b
            } else if second {
                b - r
            } else {
                r - g
            };
            let sector = if first {
                0.0
            } else if second {
                2.0
            } else {
                4.0
            };
            all.z[i] = sector + difference * all.over_d[i];
        }
        all
    }
}

/// The same as [`Strips`] on tensors, `[n, 1, h, w]` each.
pub(crate) struct Form<F> {
    rgb: [F; 3],
    pub v: F,
    pub s: F,
    pub over_v: F,
    pub over_d: F,
}

impl<F: Clone> Form<F> {
    pub fn new<T: Tensors<Float = F>>(t: &T, x: &F) -> Self {
        let rgb = t.channels(x);
        let [r, g, b] = &rgb;
        let v = t.max(r, &t.max(g, b));
        let d = t.sub(&v, &t.min(r, &t.min(g, b)));
        let one = t.number(1.0);
        let over_v = t.reciprocal(&t.add(&v, &t.number(EPSILON)));
        let s = t.mul(&d, &over_v);
        let over_d = t.reciprocal(&t.choose(&t.equal(&d, &t.number(0.0)), &one, &d));
        Self { rgb, v, s, over_v, over_d }
    }

    /// Hue in sectors, before the reduction.
    pub fn sectors<T: Tensors<Float = F>>(&self, t: &T) -> F {
        let [r, g, b] = &self.rgb;
        let (first, second) = (t.equal(r, &self.v), t.equal(g, &self.v));
        let pick = |r: &F, g: &F, b: &F| t.choose(&first, r, &t.choose(&second, g, b));
        let difference = pick(&t.sub(g, b), &t.sub(b, r), &t.sub(r, g));
        let sector = pick(&t.number(0.0), &t.number(2.0), &t.number(4.0));
        t.add(&sector, &t.mul(&difference, &self.over_d))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_is_the_identity() {
        for r in 0..9 {
            for g in 0..9 {
                for b in 0..9 {
                    let rgb = [r, g, b].map(|x| x as f32 / 8.0);
                    let back = to_rgb(from_rgb(rgb));
                    for c in 0..3 {
                        assert!((back[c] - rgb[c]).abs() < 3e-6, "{rgb:?} {back:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_primaries_are_a_third_of_the_circle_apart() {
        assert_eq!(from_rgb([1.0, 0.0, 0.0]).h, 0.0);
        assert!((from_rgb([0.0, 1.0, 0.0]).h - TAU / 3.0).abs() < 1e-6);
        assert!((from_rgb([0.0, 0.0, 1.0]).h - 2.0 * TAU / 3.0).abs() < 1e-6);
    }
}
