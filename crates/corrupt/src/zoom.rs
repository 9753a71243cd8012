//! Zooming about the centre, as `zoom_blur` and `snow` do.

use crate::raster::Raster;

/// Where an output coordinate lies in the input: between `low` and `high`, `fraction` of the way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    pub low: usize,
    pub high: usize,
    pub fraction: f32,
}

/// How many of `n` pixels fill the frame when it is enlarged `factor` times.
pub(crate) fn visible(n: usize, factor: f64) -> usize {
    ((n as f64 / factor).ceil() as usize).clamp(1, n)
}

/// The samples of an axis of `n` pixels enlarged `factor` (at least 1) times, as offsets into the visible middle part.
///
/// The `ceil(n / factor)` middle pixels are stretched to `round(that · factor)` with the first and last pixel's centres
/// kept at the ends (SciPy's `zoom`, `grid_mode = false`), and the middle `n` of those are taken.
pub(crate) fn axis(n: usize, factor: f64) -> Vec<Sample> {
    let seen = visible(n, factor);
    let stretched = ((seen as f64 * factor).round_ties_even() as usize).max(n);
    let first = (stretched - n) / 2;
    let step = if stretched > 1 { (seen - 1) as f64 / (stretched - 1) as f64 } else { 0.0 };
    (first..first + n)
        .map(|i| {
            let at = i as f64 * step;
            let low = (at as usize).min(seen - 1);
            Sample { low, high: (low + 1).min(seen - 1), fraction: (at - low as f64) as f32 }
        })
        .collect()
}

/// The first of the visible pixels.
pub(crate) fn offset(n: usize, factor: f64) -> usize {
    (n - visible(n, factor)) / 2
}

/// Adds `source`, enlarged `factor` times about its centre (bilinear), to `sum`.
pub(crate) fn add_zoomed(source: &Raster, factor: f64, sum: &mut Raster) {
    let (w, h) = (source.width, source.height);
    let (left, top) = (offset(w, factor), offset(h, factor));
    let crop = Crop { source, left, top, width: visible(w, factor) };
    add_stretched(&crop, &axis(w, factor), &axis(h, factor), sum);
}

/// A part of a raster: rows from `top`, `width` columns from `left`.
pub(crate) struct Crop<'a> {
    pub source: &'a Raster,
    pub left: usize,
    pub top: usize,
    pub width: usize,
}

/// Adds the samples `xs` × `ys` of `crop` to `sum`.
pub(crate) fn add_stretched(crop: &Crop<'_>, xs: &[Sample], ys: &[Sample], sum: &mut Raster) {
    let channels = crop.source.channels;
    let mut line = vec![0.0f32; crop.width * channels];
    for (y, at) in ys.iter().enumerate() {
        let row = |y: usize| &crop.source.row(crop.top + y)[crop.left * channels..][..line.len()];
        let (low, high) = (row(at.low), row(at.high));
        for ((out, &a), &b) in line.iter_mut().zip(low).zip(high) {
            *out = a + (b - a) * at.fraction;
        }
        let out = sum.row_mut(y);
        match channels {
            1 => add_line::<1>(&line, xs, out),
            _ => add_line::<3>(&line, xs, out),
        }
    }
}

fn add_line<const C: usize>(line: &[f32], xs: &[Sample], out: &mut [f32]) {
    let pixels = line.as_chunks::<C>().0;
    for (out, at) in out.as_chunks_mut::<C>().0.iter_mut().zip(xs) {
        let (a, b) = (&pixels[at.low], &pixels[at.high]);
        for c in 0..C {
            out[c] += a[c] + (b[c] - a[c]) * at.fraction;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raster::tests_support::{noise, rasters_differ_by};

    #[test]
    fn factor_one_is_identity() {
        for (w, h) in [(1, 1), (1, 7), (31, 17)] {
            let source = noise(w, h, 3, 2);
            let mut sum = Raster::zeros(w, h, 3);
            add_zoomed(&source, 1.0, &mut sum);
            assert_eq!(rasters_differ_by(&source, &sum), 0.0);
        }
    }

    #[test]
    fn samples_stay_inside_and_rise() {
        for n in [1, 2, 7, 32, 225] {
            for factor in [1.0, 1.01, 1.3, 2.5, 4.5] {
                let samples = axis(n, factor);
                assert_eq!(samples.len(), n);
                assert!(
                    samples.iter().all(|s| s.high < visible(n, factor) && (0.0..=1.0).contains(&s.fraction))
                );
                assert!(samples.windows(2).all(|s| s[0].low <= s[1].low));
            }
        }
    }
}
