//! Gaussian filtering as SciPy's `gaussian_filter` defines it: sampled, cut at a number of σ, normalised, separable.

use crate::raster::{Border, Raster};
use dyntta_simd::simd;

/// The centre and one side of a normalised symmetric kernel: `weights[j]` is for the taps at `-j` and `+j`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kernel {
    pub weights: Vec<f32>,
}

impl Kernel {
    /// `exp(-x² / 2σ²)` at the whole numbers up to `truncate · σ` (rounded to nearest), normalised to the sum 1.
    pub fn new(sigma: f64, truncate: f64) -> Self {
        Self { weights: half(sigma, truncate).iter().map(|&w| w as f32).collect() }
    }

    pub fn radius(&self) -> usize {
        self.weights.len() - 1
    }
}

/// [`Kernel::new`] in double precision.
pub(crate) fn half(sigma: f64, truncate: f64) -> Vec<f64> {
    let radius = if sigma > 0.0 { (truncate * sigma + 0.5) as usize } else { 0 };
    let mut w: Vec<f64> =
        (0..=radius).map(|j| if j == 0 { 1.0 } else { (-0.5 * (j as f64 / sigma).powi(2)).exp() }).collect();
    let sum = w[0] + 2.0 * w[1..].iter().sum::<f64>();
    w.iter_mut().for_each(|v| *v /= sum);
    w
}

/// `source` filtered with the same kernel along both axes.
pub(crate) fn blur(source: &Raster, kernel: &Kernel, border: Border) -> Raster {
    blur_xy(source, kernel, kernel, border)
}

/// `source` filtered with `across` along x and `down` along y.
pub(crate) fn blur_xy(source: &Raster, across: &Kernel, down: &Kernel, border: Border) -> Raster {
    let rows_done = if across.radius() > 0 { blur_rows(source, across, border) } else { source.clone() };
    if down.radius() > 0 { blur_columns(&rows_done, down, border) } else { rows_done }
}

fn blur_rows(source: &Raster, kernel: &Kernel, border: Border) -> Raster {
    let (w, h, channels, r) = (source.width, source.height, source.channels, kernel.radius());
    let stride = source.stride();
    let mut out = Raster::zeros(w, h, channels);
    let mut padded = vec![0.0; (w + 2 * r) * channels];
    let left: Vec<usize> = (-(r as isize)..0).map(|i| border.index(i, w)).collect();
    let right: Vec<usize> = (w..w + r).map(|i| border.index(i as isize, w)).collect();
    for y in 0..h {
        let row = source.row(y);
        let pixel = |x: usize| &row[x * channels..(x + 1) * channels];
        for (out, &x) in padded.chunks_exact_mut(channels).zip(&left) {
            out.copy_from_slice(pixel(x));
        }
        padded[r * channels..][..stride].copy_from_slice(row);
        for (out, &x) in padded[(r + w) * channels..].chunks_exact_mut(channels).zip(&right) {
            out.copy_from_slice(pixel(x));
        }
        blur_across(&padded, &kernel.weights, channels, out.row_mut(y));
    }
    out
}

fn blur_columns(source: &Raster, kernel: &Kernel, border: Border) -> Raster {
    let (w, h, r) = (source.width, source.height, kernel.radius());
    let mut out = Raster::zeros(w, h, source.channels);
    // Offsets of the rows y - r ..= y + r, one window into this list per y.
    let rows: Vec<usize> = border.map(h, r, r).map(|y| y * source.stride()).collect();
    for y in 0..h {
        blur_down(&source.data, &rows[y..=y + 2 * r], &kernel.weights, out.row_mut(y));
    }
    out
}

/// Values that stay in vector registers through a loop over taps.
const BLOCK: usize = 32;

simd! {
    fn blur_across(padded: &[f32], half: &[f32], channels: usize, out: &mut [f32]) {
        let r = half.len() - 1;
        let n = out.len();
        let (blocks, tail) = out.as_chunks_mut::<BLOCK>();
        for (b, out) in blocks.iter_mut().enumerate() {
            let at = |tap: usize| -> &[f32; BLOCK] {
                padded[b * BLOCK + tap * channels..].first_chunk().expect("the row is padded on both sides")
            };
            let mut acc = [0.0f32; BLOCK];
            for (a, &v) in acc.iter_mut().zip(at(r)) {
                *a = half[0] * v;
            }
            for j in 1..=r {
                let (lo, hi) = (at(r - j), at(r + j));
                for i in 0..BLOCK {
                    acc[i] += half[j] * (lo[i] + hi[i]);
                }
            }
            *out = acc;
        }
        let start = n - tail.len();
        for (i, out) in tail.iter_mut().enumerate() {
            let at = |tap: usize| padded[start + i + tap * channels];
            let mut acc = half[0] * at(r);
            for j in 1..=r {
                acc += half[j] * (at(r - j) + at(r + j));
            }
            *out = acc;
        }
    }
}

simd! {
    fn blur_down(data: &[f32], rows: &[usize], half: &[f32], out: &mut [f32]) {
        let r = half.len() - 1;
        let n = out.len();
        let (blocks, tail) = out.as_chunks_mut::<BLOCK>();
        for (b, out) in blocks.iter_mut().enumerate() {
            let at = |tap: usize| -> &[f32; BLOCK] {
                data[rows[tap] + b * BLOCK..].first_chunk().expect("a whole block of the row")
            };
            let mut acc = [0.0f32; BLOCK];
            for (a, &v) in acc.iter_mut().zip(at(r)) {
                *a = half[0] * v;
            }
            for j in 1..=r {
                let (lo, hi) = (at(r - j), at(r + j));
                for i in 0..BLOCK {
                    acc[i] += half[j] * (lo[i] + hi[i]);
                }
            }
            *out = acc;
        }
        let start = n - tail.len();
        for (i, out) in tail.iter_mut().enumerate() {
            let at = |tap: usize| data[rows[tap] + start + i];
            let mut acc = half[0] * at(r);
            for j in 1..=r {
                acc += half[j] * (at(r - j) + at(r + j));
            }
            *out = acc;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raster::tests_support::{noise, rasters_differ_by};

    /// The definition, one output at a time.
    fn naive(source: &Raster, across: &Kernel, down: &Kernel, border: Border) -> Raster {
        let (rx, ry) = (across.radius() as isize, down.radius() as isize);
        let mut out = Raster::zeros(source.width, source.height, source.channels);
        for y in 0..source.height as isize {
            for x in 0..source.width as isize {
                for c in 0..source.channels {
                    let mut sum = 0.0;
                    for dy in -ry..=ry {
                        for dx in -rx..=rx {
                            let (sy, sx) =
                                (border.index(y + dy, source.height), border.index(x + dx, source.width));
                            sum += down.weights[dy.unsigned_abs()]
                                * across.weights[dx.unsigned_abs()]
                                * source.row(sy)[sx * source.channels + c];
                        }
                    }
                    out.row_mut(y as usize)[x as usize * source.channels + c] = sum;
                }
            }
        }
        out
    }

    #[test]
    fn agrees_with_the_definition() {
        for (w, h, channels) in [(1, 1, 3), (1, 7, 1), (31, 17, 3), (70, 5, 1)] {
            let source = noise(w, h, channels, 7);
            for (sigma, truncate) in [(0.05, 4.0), (0.7, 4.0), (2.3, 3.0)] {
                let (across, down) = (Kernel::new(sigma, truncate), Kernel::new(sigma * 1.6, truncate));
                for border in [Border::Nearest, Border::Reflect, Border::Mirror] {
                    let ours = blur_xy(&source, &across, &down, border);
                    let difference = rasters_differ_by(&ours, &naive(&source, &across, &down, border));
                    assert!(difference < 2e-6, "{w}x{h} sigma {sigma}: {difference}");
                }
            }
        }
    }
}
