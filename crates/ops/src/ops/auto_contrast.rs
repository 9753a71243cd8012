//! `auto_contrast`: stretches each channel to the full range, through a table of 256 levels.
//!
//! For each image and channel: `v = 255 clamp(x, 0, 1)`, lo and hi its smallest and largest value (not rounded);
//! `T[j] = floor((j - lo) 255 / (hi - lo + 0.1))`, `out = T[floor(v)] / 255`, all in `f32`. The gradient goes straight
//! through (d out / d x := 1).
//!
//! The published table gives a constant channel large negative values (-5 where v ends in .5). Here the table of a channel
//! that is constant to within one level (hi - lo < 1) is clamped to `0..=1`. Elsewhere the table is the published one: a
//! value between lo and the next whole level may come out slightly below 0.

use super::{Op, Opposite, pointwise_backward};
use crate::View;
use crate::sweep::{Folded, Needs, STRIP, Seen, Shares, Strip, Strips, Swept, level};
use crate::tensors::{Form, Over, Tensors};

/// Stretches each channel to the full range.
#[derive(Clone, Copy, Debug)]
pub struct AutoContrast;

/// The outputs of the 256 levels, for a channel whose values lie in `min..=max`.
fn table(min: f32, max: f32) -> [f32; 256] {
    let lo = 255.0 * min.clamp(0.0, 1.0);
    let hi = 255.0 * max.clamp(0.0, 1.0);
    let constant = hi - lo < 1.0;
    std::array::from_fn(|j| {
        let out = ((j as f32 - lo) * 255.0 / (hi - lo + 0.1)).floor() / 255.0;
        if constant { out.clamp(0.0, 1.0) } else { out }
    })
}

/// Adds `g` times the table's value of each level; of this op and of `equalize`.
#[inline(always)]
pub(super) fn add_products(levels: &[i32; STRIP], table: &[f32; 256], g: &Strip, value: &mut Strip) {
    for i in 0..STRIP {
        value[i] += g[i] * table[(levels[i] & 255) as usize];
    }
}

/// Adds a weighted table to those of other ops; of this op and of `equalize`.
pub(super) fn add_table(weight: f32, own: &[f32; 256], table: &mut [f32; 256]) {
    for (sum, value) in table.iter_mut().zip(own) {
        *sum += weight * value;
    }
}

impl Swept for AutoContrast {
    const NEEDS: Needs = Needs { extremes: true, levels: true, ..Needs::NOTHING };
    /// The table of each channel.
    type Prepared = [[f32; 256]; 3];

    fn prepare(seen: &Seen<'_>, _: f32) -> Self::Prepared {
        seen.extremes.map(|(min, max)| table(min, max))
    }
}

impl Folded for AutoContrast {
    fn fold(tables: &Self::Prepared, weight: f32, shares: &mut Shares) {
        for (own, table) in tables.iter().zip(shares.table()) {
            add_table(weight, own, table);
        }
    }

    #[inline(always)]
    fn add_gradients(tables: &Self::Prepared, strips: &Strips<'_>, c: usize, g: &Strip, value: &mut Strip) {
        let Some(levels) = &strips.levels else { return };
        add_products(levels, &tables[c], g, value);
    }
}

impl Form for AutoContrast {
    fn form<T: Tensors>(t: &T, x: &T::Float, _: &T::Float) -> T::Float {
        // Extremes of the products: 255 times an extreme would be the same number, but an optimiser that makes one operation of
        // that and the difference below leaves out a rounding, and what is 0 comes to lie below it.
        let bytes = t.clamp(&t.mul(&t.number(255.0), x), 0.0, 255.0);
        let lo = t.least(&bytes, Over::Plane);
        let range = t.sub(&t.most(&bytes, Over::Plane), &lo);
        let scaled = t.mul(&t.sub(&t.floor(&bytes), &lo), &t.number(255.0));
        let out = t.floor(&t.div(&scaled, &t.add(&range, &t.number(0.1))));
        let out = t.div(&out, &t.number(255.0));
        t.choose(&t.less(&range, &t.number(1.0)), &t.clamp01(&out), &out)
    }
}

impl Op for AutoContrast {
    fn name(&self) -> &str {
        "auto_contrast"
    }

    fn about(&self) -> &'static str {
        "stretches each channel to the full range"
    }

    fn formula(&self) -> &'static str {
        "T[floor(255 x)] / 255, T[j] = floor((j - lo) 255 / (hi - lo + 0.1))"
    }

    fn source(&self) -> &'static str {
        "the published implementation; clamped in a constant channel"
    }

    fn opposite(&self) -> Opposite {
        Opposite::Fade
    }

    fn forward(&self, image: View<'_>, _factor: f32, out: &mut [f32]) {
        for c in 0..3 {
            let plane = image.plane(c);
            let min = plane.iter().copied().fold(f32::INFINITY, f32::min);
            let max = plane.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let table = table(min, max);
            for (out, &x) in out[c * plane.len()..][..plane.len()].iter_mut().zip(plane) {
                *out = table[level(x)];
            }
        }
    }

    fn backward(&self, image: View<'_>, _factor: f32, g: &[f32], grad_image: Option<&mut [f32]>) -> f32 {
        pointwise_backward(image, g, grad_image, |_| (1.0, 0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_channel_stays_in_range() {
        let image = [0.5; 12];
        let mut out = [9.0; 12];
        AutoContrast.forward(View::new(&image, 2, 2).unwrap(), 0.0, &mut out);
        assert_eq!(out, [0.0; 12]);
    }

    #[test]
    fn two_values_go_to_the_ends() {
        let image = [0.2, 0.6, 0.2, 0.6, 0.2, 0.6];
        let mut out = [9.0; 6];
        AutoContrast.forward(View::new(&image, 1, 2).unwrap(), 0.0, &mut out);
        // hi - lo + 0.1 keeps the brightest a little below 1: 102 * 255 / 102.1 = 254.75.
        assert_eq!(out[..2], [0.0, 254.0 / 255.0]);
    }
}
