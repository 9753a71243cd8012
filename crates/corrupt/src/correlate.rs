//! Correlation with a sparse 2-D kernel.

use crate::raster::{Border, Raster};
use dyntta_simd::simd;

/// One tap: the output at (x, y) takes `weight` times the input at (x + dx, y + dy).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tap {
    pub dx: isize,
    pub dy: isize,
    pub weight: f32,
}

/// `source` correlated with `taps`.
pub(crate) fn correlate(source: &Raster, taps: &[Tap], border: Border) -> Raster {
    let (w, h, channels) = (source.width, source.height, source.channels);
    let reach = |f: fn(&Tap) -> isize| taps.iter().map(f).max().unwrap_or(0).max(0) as usize;
    let (left, right) = (reach(|t| -t.dx), reach(|t| t.dx));
    let (above, below) = (reach(|t| -t.dy), reach(|t| t.dy));

    let columns: Vec<usize> = border.map(w, left, right).collect();
    let stride = columns.len() * channels;
    let mut padded = Vec::with_capacity(stride * (above + h + below));
    for y in border.map(h, above, below) {
        let row = source.row(y);
        for &x in &columns[..left] {
            padded.extend_from_slice(&row[x * channels..(x + 1) * channels]);
        }
        padded.extend_from_slice(row);
        for &x in &columns[left + w..] {
            padded.extend_from_slice(&row[x * channels..(x + 1) * channels]);
        }
    }
    // Taps of one weight are added up before they are multiplied: most of a disk has the same weight.
    let mut groups: Vec<Group> = Vec::new();
    for tap in taps {
        let (x, y) = (left.strict_add_signed(tap.dx), above.strict_add_signed(tap.dy));
        let offset = y * stride + x * channels;
        match groups.iter_mut().find(|g| g.weight == tap.weight) {
            Some(group) => group.offsets.push(offset),
            None => groups.push(Group { weight: tap.weight, offsets: vec![offset] }),
        }
    }
    let mut out = Raster::zeros(w, h, channels);
    for y in 0..h {
        correlate_row(&padded[y * stride..], &groups, out.row_mut(y));
    }
    out
}

/// Taps of the same weight, as offsets into the padded image.
struct Group {
    weight: f32,
    offsets: Vec<usize>,
}

/// Values that stay in vector registers through a loop over taps.
const BLOCK: usize = 32;

simd! {
    fn correlate_row(padded: &[f32], groups: &[Group], out: &mut [f32]) {
        let n = out.len();
        let (blocks, tail) = out.as_chunks_mut::<BLOCK>();
        for (b, out) in blocks.iter_mut().enumerate() {
            let at = |offset: usize| -> &[f32; BLOCK] {
                padded[b * BLOCK + offset..].first_chunk().expect("the image is padded as far as the taps reach")
            };
            let mut acc = [0.0f32; BLOCK];
            for Group { weight, offsets } in groups {
                if let [offset] = offsets[..] {
                    let source = at(offset);
                    for i in 0..BLOCK {
                        acc[i] += weight * source[i];
                    }
                } else {
                    let mut sum = [0.0f32; BLOCK];
                    for &offset in offsets {
                        let source = at(offset);
                        for i in 0..BLOCK {
                            sum[i] += source[i];
                        }
                    }
                    for i in 0..BLOCK {
                        acc[i] += weight * sum[i];
                    }
                }
            }
            *out = acc;
        }
        let start = n - tail.len();
        for Group { weight, offsets } in groups {
            for (i, out) in tail.iter_mut().enumerate() {
                *out += weight * offsets.iter().fold(0.0, |sum, offset| sum + padded[start + i + offset]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raster::tests_support::{noise, rasters_differ_by};

    #[test]
    fn agrees_with_the_definition() {
        let taps = [(-3, 2, 0.5), (0, 0, 0.25), (4, -1, 0.2), (1, 1, -0.1), (-2, 0, 0.25), (0, 3, 0.25)]
            .map(|(dx, dy, weight)| Tap { dx, dy, weight });
        for (w, h, channels) in [(1, 1, 3), (1, 7, 3), (31, 17, 3), (70, 5, 1)] {
            let source = noise(w, h, channels, 1);
            for border in [Border::Nearest, Border::Reflect, Border::Mirror] {
                let mut naive = Raster::zeros(w, h, channels);
                for y in 0..h {
                    for x in 0..w {
                        for c in 0..channels {
                            naive.row_mut(y)[x * channels + c] = taps
                                .iter()
                                .map(|t| {
                                    let sy = border.index(y as isize + t.dy, h);
                                    let sx = border.index(x as isize + t.dx, w);
                                    t.weight * source.row(sy)[sx * channels + c]
                                })
                                .sum();
                        }
                    }
                }
                assert!(rasters_differ_by(&correlate(&source, &taps, border), &naive) < 1e-6);
            }
        }
    }
}
