//! `equalize`: spreads the levels of each channel evenly, through a table of 256 levels.
//!
//! For each image and channel: histogram C of `v = 255 x` in 256 bins over `0..=255` (bin `floor(v 256 / 255)`);
//! `step = floor((pixels - count of the last non-empty bin) / 255)`. Step 0 (fewer than 256 pixels, or nearly all in the
//! last bin) leaves the channel as it is, gradient 1. Otherwise `T[0] = 0`,
//! `T[j] = clamp(floor((C[0] + .. + C[j - 1] + floor(step / 2)) / step), 0, 255)`, `out = T[floor(v)] / 255`, gradient 0.

use dyntta_simd::math;

use super::auto_contrast::{add_products, add_table};
use super::{Op, Opposite};
use crate::View;
use crate::sweep::{Folded, Needs, STRIP, Seen, Shares, Strip, Strips, Swept, level};
use crate::tensors::{Form, Over, Tensors};

/// Spreads the levels of each channel evenly.
#[derive(Clone, Copy, Debug)]
pub struct Equalize;

/// The histogram bin of a value.
#[inline(always)]
pub(crate) fn bin(x: f32) -> usize {
    math::whole(255.0 * x / 255.0 * 256.0, 255) as usize
}

/// The outputs of the 256 levels, for a channel of `pixels` values with this histogram; `None`: the channel stays as it is.
fn table(histogram: &[u32; 256], pixels: usize) -> Option<[f32; 256]> {
    let last = histogram.iter().rev().copied().find(|&count| count > 0).unwrap_or(0) as usize;
    let step = (pixels - last) / 255;
    if step == 0 {
        return None;
    }
    let mut below = 0;
    Some(std::array::from_fn(|j| {
        let out = if j == 0 { 0 } else { ((below + step / 2) / step).min(255) };
        below += histogram[j] as usize;
        out as f32 / 255.0
    }))
}

fn table_of(plane: &[f32]) -> Option<[f32; 256]> {
    let mut histogram = [0; 256];
    for &x in plane {
        histogram[bin(x)] += 1;
    }
    table(&histogram, plane.len())
}

impl Swept for Equalize {
    const NEEDS: Needs = Needs { histograms: true, levels: true, ..Needs::NOTHING };
    /// The table of each channel; one without table stays as it is.
    type Prepared = [Option<[f32; 256]>; 3];

    fn prepare(seen: &Seen<'_>, _: f32) -> Self::Prepared {
        let pixels = seen.h * seen.w;
        [0, 1, 2].map(|c| table(seen.histograms[c].as_ref()?, pixels))
    }
}

impl Folded for Equalize {
    fn fold(tables: &Self::Prepared, weight: f32, shares: &mut Shares) {
        for (c, own) in tables.iter().enumerate() {
            match own {
                None => shares.linear[c] += weight,
                Some(own) => add_table(weight, own, &mut shares.table()[c]),
            }
        }
        // Also where no channel has one: what comes out must not depend on that.
        shares.table();
    }

    #[inline(always)]
    fn add_gradients(tables: &Self::Prepared, strips: &Strips<'_>, c: usize, g: &Strip, value: &mut Strip) {
        let Some(levels) = &strips.levels else { return };
        match &tables[c] {
            Some(table) => add_products(levels, table, g, value),
            None => {
                for i in 0..STRIP {
                    value[i] += g[i] * strips.x[c][i];
                }
            }
        }
    }
}

impl Form for Equalize {
    fn form<T: Tensors>(t: &T, x: &T::Float, _: &T::Float) -> T::Float {
        // In the order of `bin`, which decides what rounds where.
        let scaled = t.div(&t.mul(&t.number(255.0), x), &t.number(255.0));
        let bins = t.floor(&t.clamp(&t.mul(&scaled, &t.number(256.0)), 0.0, 255.0));
        let below = t.before(&t.histogram(&t.int(&bins)));
        // What lies below the last bin that is not empty is the most that lies below any, all pixels left out.
        let some = t.int_less(&below, &t.pixels());
        let rest = t.int_most(&t.int_choose(&some, &below, &t.integer(0)), Over::Last);
        let step = t.int_div(&rest, &t.integer(255));
        let changes = t.int_less(&t.integer(0), &step);
        let step = t.int_max(&step, &t.integer(1));
        let half = t.int_div(&step, &t.integer(2));
        let table = t.int_min(&t.int_div(&t.int_add(&below, &half), &step), &t.integer(255));
        let table = t.div(&t.float(&table), &t.number(255.0));
        t.choose(&changes, &t.look_up(&table, &t.int(&t.levels(x))), x)
    }
}

impl Op for Equalize {
    fn name(&self) -> &str {
        "equalize"
    }

    fn about(&self) -> &'static str {
        "spreads the levels of each channel evenly"
    }

    fn formula(&self) -> &'static str {
        "T[floor(255 x)] / 255, T the scaled cumulative histogram"
    }

    fn source(&self) -> &'static str {
        "kornia 0.5 equalize"
    }

    fn opposite(&self) -> Opposite {
        Opposite::Fade
    }

    fn forward(&self, image: View<'_>, _factor: f32, out: &mut [f32]) {
        for c in 0..3 {
            let plane = image.plane(c);
            let out = &mut out[c * plane.len()..][..plane.len()];
            match table_of(plane) {
                None => out.copy_from_slice(plane),
                Some(table) => {
                    for (out, &x) in out.iter_mut().zip(plane) {
                        *out = table[level(x)];
                    }
                }
            }
        }
    }

    fn backward(&self, image: View<'_>, _factor: f32, g: &[f32], grad_image: Option<&mut [f32]>) -> f32 {
        if let Some(grad) = grad_image {
            for c in 0..3 {
                let plane = image.plane(c);
                if table_of(plane).is_none() {
                    let here = c * plane.len()..(c + 1) * plane.len();
                    for (grad, &g) in grad[here.clone()].iter_mut().zip(&g[here]) {
                        *grad += g;
                    }
                }
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_of_every_level_is_kept() {
        // 256 levels, 2 pixels each: step = (512 - 2) / 255 = 2, T[j] = floor((2 j + 1) / 2) = j.
        let plane: Vec<f32> = (0..512).map(|i| (i / 2) as f32 / 255.0).collect();
        let image = [plane.clone(), plane.clone(), plane].concat();
        let mut out = vec![9.0; image.len()];
        Equalize.forward(View::new(&image, 16, 32).unwrap(), 0.0, &mut out);
        for (out, x) in out.iter().zip(&image) {
            assert!((out - x).abs() <= 1.0 / 255.0 + 1e-6);
        }
    }

    #[test]
    fn too_few_pixels_are_left_alone() {
        let image = [0.1, 0.9, 0.3, 0.2, 0.5, 0.7];
        let mut out = [0.0; 6];
        let view = View::new(&image, 1, 2).unwrap();
        Equalize.forward(view, 0.0, &mut out);
        assert_eq!(out, image);
        let mut grad = [0.0; 6];
        Equalize.backward(view, 0.0, &[2.0; 6], Some(&mut grad));
        assert_eq!(grad, [2.0; 6]);
    }
}
