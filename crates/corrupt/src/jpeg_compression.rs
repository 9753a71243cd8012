//! JPEG compression: what encoding and decoding at a quality does to the image. Source: Hendrycks & Dietterich 2019
//! (Pillow's JPEG: the tables of ITU-T T.81 annex K scaled by the quality, colour at half resolution).

use std::sync::LazyLock;

use dyntta_image::{Rgb8, Stream};

use crate::level::{Level, Table};
use crate::registry::{Entry, Resources, Suite};
use dyntta_simd::math::nearest;
use dyntta_simd::simd;

pub(crate) const ENTRY: Entry = Entry {
    name: "jpeg_compression",
    summary: "Heavy JPEG compression.",
    suite: Suite::Common15,
    random: false,
    apply,
};

/// The quality, 1 to 100.
const QUALITY: Table<u16> = Table { imagenet: [25, 18, 15, 10, 7], cifar: [80, 65, 58, 50, 40] };

fn apply(image: &Rgb8, at: Level, _: &mut Stream, _: &Resources) -> Rgb8 {
    round_trip(image, QUALITY.at(at))
}

/// The image after JPEG at `quality` and back.
///
/// The entropy coding loses nothing, so only the steps that do are carried out: conversion to YCbCr, halving of the colour
/// planes (mean of 2×2), the DCT of 8×8 blocks, rounding to multiples of the table's steps, and all of it backwards; the
/// colour planes are enlarged linearly as libjpeg does. Everything between is rounded to 8 bits where a decoder rounds.
fn round_trip(image: &Rgb8, quality: u16) -> Rgb8 {
    let (w, h) = (image.width(), image.height());
    // A minimum coded unit is 16×16; the edge is repeated to fill the last ones.
    let (pw, ph) = (w.next_multiple_of(16), h.next_multiple_of(16));
    let (cw, ch) = (pw / 2, ph / 2);
    let (luma_steps, chroma_steps) = (steps(&LUMA, quality), steps(&CHROMA, quality));

    let mut luma = vec![0.0f32; pw * ph];
    let mut chroma = [vec![0.0f32; cw * ch], vec![0.0f32; cw * ch]];
    let mut lines = [vec![0.0f32; pw * 2], vec![0.0f32; pw * 2]];
    for y in 0..ph {
        let row = &image.data()[y.min(h - 1) * w * 3..][..w * 3];
        let half = (y % 2) * pw;
        let [cb, cr] = &mut lines;
        to_ycc(row, &mut luma[y * pw..][..pw], &mut cb[half..][..pw], &mut cr[half..][..pw]);
        if y % 2 == 1 {
            for (plane, line) in chroma.iter_mut().zip(&lines) {
                halve(line, &mut plane[y / 2 * cw..][..cw]);
            }
        }
    }
    quantise_plane(&mut luma, pw, &luma_steps);
    for plane in &mut chroma {
        quantise_plane(plane, cw, &chroma_steps);
    }

    let mut data = vec![0u8; w * h * 3];
    let small = (w.div_ceil(2), h.div_ceil(2));
    let mut columns = vec![0.0f32; small.0 + 2];
    for (y, out) in data.chunks_exact_mut(w * 3).enumerate() {
        for (plane, line) in chroma.iter().zip(&mut lines) {
            enlarge(plane, cw, small, y, &mut columns, &mut line[..2 * small.0]);
        }
        to_rgb(&luma[y * pw..][..w], &lines[0], &lines[1], out);
    }
    Rgb8::new(w, h, data).expect("three bytes a pixel")
}

/// Rounded to nearest, for values from 0 to 255 and somewhat beyond, which are clamped.
#[inline(always)]
fn round8(v: f32) -> f32 {
    nearest(v.clamp(0.0, 255.0)) as f32
}

simd! {
    /// A row in YCbCr (ITU-T T.871), rounded, 128 subtracted from each, the last pixel repeated up to the buffers' end.
    fn to_ycc(row: &[u8], luma: &mut [f32], cb: &mut [f32], cr: &mut [f32]) {
        let pixels = row.as_chunks::<3>().0;
        for (((p, y), cb), cr) in pixels.iter().zip(&mut *luma).zip(&mut *cb).zip(&mut *cr) {
            let [r, g, b] = [f32::from(p[0]), f32::from(p[1]), f32::from(p[2])];
            *y = round8(0.299 * r + 0.587 * g + 0.114 * b) - 128.0;
            *cb = round8(-0.168_735_9 * r - 0.331_264_1 * g + 0.5 * b + 128.0) - 128.0;
            *cr = round8(0.5 * r - 0.418_687_6 * g - 0.081_312_4 * b + 128.0) - 128.0;
        }
        for line in [luma, cb, cr] {
            let last = line[pixels.len() - 1];
            line[pixels.len()..].fill(last);
        }
    }
}

simd! {
    /// The means of 2×2 values of two rows that follow each other, halves rounded down and up in turns so that no tint
    /// builds up.
    fn halve(lines: &[f32], out: &mut [f32]) {
        let (upper, lower) = lines.split_at(lines.len() / 2);
        let (upper, lower) = (upper.as_chunks::<4>().0, lower.as_chunks::<4>().0);
        for (out, (a, b)) in out.as_chunks_mut::<2>().0.iter_mut().zip(upper.iter().zip(lower)) {
            // Sums are whole, so an eighth more or less decides the halves and nothing else.
            *out = [
                nearest((a[0] + a[1] + b[0] + b[1]) * 0.25 - 0.125) as f32,
                nearest((a[2] + a[3] + b[2] + b[3]) * 0.25 + 0.125) as f32,
            ];
        }
    }
}

/// Row `y` of a colour plane of `small` (width, height), enlarged twice along both axes into `out` (an even number of
/// values), values plus 128.
///
/// Each output lies a quarter of an input pixel from its nearest: weights ¾ and ¼ along each axis, the edge repeated.
/// libjpeg does not interpolate planes up to 2 px wide.
fn enlarge(
    plane: &[f32],
    stride: usize,
    (w, h): (usize, usize),
    y: usize,
    columns: &mut [f32],
    out: &mut [f32],
) {
    let near = y / 2;
    let row = |y: usize| &plane[y * stride..][..w];
    if w <= 2 {
        for (x, out) in out.iter_mut().enumerate() {
            *out = row(near)[x / 2] + 128.0;
        }
        return;
    }
    let far = if y.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(h - 1) };
    enlarge_row(row(near), row(far), columns, out);
}

simd! {
    /// `columns` is for working in: two values more than `near` and `far`.
    fn enlarge_row(near: &[f32], far: &[f32], columns: &mut [f32], out: &mut [f32]) {
        // In sixteenths these are whole numbers, so that half of one decides the halves and nothing else: up at the left,
        // down at the right.
        const UP: f32 = 1.0 / 32.0;
        let w = near.len();
        let columns = &mut columns[..w + 2];
        for ((c, near), far) in columns[1..].iter_mut().zip(near).zip(far) {
            *c = 3.0 * near + far;
        }
        columns[0] = columns[1];
        columns[w + 1] = columns[w];
        let columns = &columns[..];
        for (x, pair) in out.as_chunks_mut::<2>().0[..w].iter_mut().enumerate() {
            let this = 3.0 * columns[x + 1];
            *pair = [
                nearest((this + columns[x]) * 0.0625 + UP) as f32 + 128.0,
                nearest((this + columns[x + 2]) * 0.0625 - UP) as f32 + 128.0,
            ];
        }
    }
}

simd! {
    fn to_rgb(luma: &[f32], cb: &[f32], cr: &[f32], out: &mut [u8]) {
        for (((p, y), cb), cr) in out.as_chunks_mut::<3>().0.iter_mut().zip(luma).zip(cb).zip(cr) {
            let (y, cb, cr) = (y + 128.0, cb - 128.0, cr - 128.0);
            *p = [y + 1.402 * cr, y - 0.344_136_3 * cb - 0.714_136_3 * cr, y + 1.772 * cb]
                .map(|v| nearest(v.clamp(0.0, 255.0)) as u8);
        }
    }
}

/// Table K.1 of ITU-T T.81, rows of horizontal frequency.
const LUMA: [u16; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17,
    22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78,
    87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
];

/// Table K.2, its part other than 99.
const CHROMA_CORNER: [[u16; 4]; 4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]];

const CHROMA: [u16; 64] = {
    let mut table = [99; 64];
    let mut i = 0;
    while i < 16 {
        table[i / 4 * 8 + i % 4] = CHROMA_CORNER[i / 4][i % 4];
        i += 1;
    }
    table
};

/// `table` scaled by the Independent JPEG Group's quality: 50 leaves it, 100 makes all steps 1.
fn steps(table: &[u16; 64], quality: u16) -> [f32; 64] {
    let percent = if quality < 50 { 5000 / u32::from(quality) } else { 200 - 2 * u32::from(quality) };
    table.map(|v| ((u32::from(v) * percent + 50) / 100).clamp(1, 255) as f32)
}

/// The orthonormal DCT-II of 8 values: wave `u` at `x` is `by_wave[u][x]` and `by_place[x][u]`.
struct Cosines {
    by_wave: Block,
    by_place: Block,
}

type Block = [[f32; 8]; 8];

static COSINES: LazyLock<Cosines> = LazyLock::new(|| {
    let wave = |u: usize, x: usize| {
        let norm = if u == 0 { 0.125f64.sqrt() } else { 0.5 };
        (norm * (std::f64::consts::PI * (2 * x + 1) as f64 * u as f64 / 16.0).cos()) as f32
    };
    Cosines {
        by_wave: std::array::from_fn(|u| std::array::from_fn(|x| wave(u, x))),
        by_place: std::array::from_fn(|x| std::array::from_fn(|u| wave(u, x))),
    }
});

/// Rounds the DCT coefficients of each 8×8 block of `plane` to multiples of `steps`; values back rounded to 8 bits.
fn quantise_plane(plane: &mut [f32], width: usize, steps: &[f32; 64]) {
    let inverse = steps.map(|s| 1.0 / s);
    for band in plane.chunks_exact_mut(8 * width) {
        quantise_band(band, width, &COSINES, steps, &inverse);
    }
}

simd! {
    fn quantise_band(
        band: &mut [f32],
        width: usize,
        cosines: &Cosines,
        steps: &[f32; 64],
        inverse: &[f32; 64],
    ) {
        for x in (0..width).step_by(8) {
            let mut block: Block = [[0.0; 8]; 8];
            for (y, row) in block.iter_mut().enumerate() {
                row.copy_from_slice(&band[y * width + x..][..8]);
            }
            let mut coefficients = forward(&block, cosines);
            let values = coefficients.as_flattened_mut().iter_mut();
            for ((c, &step), &inverse) in values.zip(steps).zip(inverse) {
                *c = nearest(*c * inverse) as f32 * step;
            }
            let block = backward(&coefficients, cosines);
            for (y, row) in block.iter().enumerate() {
                for (out, v) in band[y * width + x..][..8].iter_mut().zip(row) {
                    *out = round8(v + 128.0) - 128.0;
                }
            }
        }
    }
}

/// The DCT along both axes: `out[v][u]`, `v` the vertical frequency.
#[inline(always)]
fn forward(block: &Block, cosines: &Cosines) -> Block {
    // Along y. Even waves are symmetric and odd ones antisymmetric, which halves the work.
    let mut sums = [[0.0f32; 8]; 4];
    let mut differences = [[0.0f32; 8]; 4];
    for y in 0..4 {
        for i in 0..8 {
            sums[y][i] = block[y][i] + block[7 - y][i];
            differences[y][i] = block[y][i] - block[7 - y][i];
        }
    }
    let mut columns: Block = [[0.0; 8]; 8];
    for (v, out) in columns.iter_mut().enumerate() {
        let half = if v % 2 == 0 { &sums } else { &differences };
        for y in 0..4 {
            for i in 0..8 {
                out[i] += cosines.by_wave[v][y] * half[y][i];
            }
        }
    }
    times(&columns, &cosines.by_place)
}

/// The inverse of [`forward`].
#[inline(always)]
fn backward(coefficients: &Block, cosines: &Cosines) -> Block {
    let mut columns: Block = [[0.0; 8]; 8];
    for y in 0..4 {
        let mut even = [0.0f32; 8];
        let mut odd = [0.0f32; 8];
        for v in (0..8).step_by(2) {
            for i in 0..8 {
                even[i] += cosines.by_wave[v][y] * coefficients[v][i];
                odd[i] += cosines.by_wave[v + 1][y] * coefficients[v + 1][i];
            }
        }
        for i in 0..8 {
            columns[y][i] = even[i] + odd[i];
            columns[7 - y][i] = even[i] - odd[i];
        }
    }
    times(&columns, &cosines.by_wave)
}

/// The matrix product `a · b`.
#[inline(always)]
fn times(a: &Block, b: &Block) -> Block {
    let mut out: Block = [[0.0; 8]; 8];
    for (out, a) in out.iter_mut().zip(a) {
        for (&a, b) in a.iter().zip(b) {
            for i in 0..8 {
                out[i] += a * b[i];
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transform_inverts() {
        let block: Block =
            std::array::from_fn(|y| std::array::from_fn(|x| ((y * 37 + x * 101) % 256) as f32));
        let there = forward(&block, &COSINES);
        let back = backward(&there, &COSINES);
        // One coefficient by its definition: twice along y, once along x.
        let mut exact = 0.0;
        for (y, row) in block.iter().enumerate() {
            for (x, &v) in row.iter().enumerate() {
                let wave =
                    |u: f64, x: usize| (std::f64::consts::PI * (2 * x + 1) as f64 * u / 16.0).cos() / 2.0;
                exact += f64::from(v) * wave(2.0, y) * wave(1.0, x);
            }
        }
        assert!((f64::from(there[2][1]) - exact).abs() < 1e-2);
        for (a, b) in block.as_flattened().iter().zip(back.as_flattened()) {
            assert!((a - b).abs() < 1e-3);
        }
        // The first coefficient is 8 times the mean.
        let mean: f32 = block.as_flattened().iter().sum::<f32>() / 64.0;
        assert!((there[0][0] - 8.0 * mean).abs() < 1e-3);
    }

    #[test]
    fn quality_scales_the_tables_as_libjpeg_does() {
        assert_eq!(steps(&LUMA, 50).map(|v| v as u16), LUMA);
        assert_eq!(steps(&CHROMA, 100), [1.0; 64]);
        assert_eq!(steps(&LUMA, 25)[..3], [32.0, 22.0, 20.0]);
        assert_eq!(steps(&LUMA, 7)[63], 255.0);
    }

    #[test]
    fn agrees_with_an_encoder_and_a_decoder() {
        use zune_jpeg::JpegDecoder;
        use zune_jpeg::zune_core::bytestream::ZCursor;

        for (w, h) in [(1, 1), (1, 7), (31, 17), (64, 48), (33, 40)] {
            // Texture in the luma and slow changes of colour: this encoder takes one of four colour samples, not their mean.
            let data = (0..w * h)
                .flat_map(|i| {
                    let (x, y) = ((i % w) as f32, (i / w) as f32);
                    let luma = 128.0 + 60.0 * (x * 0.7).sin() * (y * 0.5).cos();
                    let colour = 30.0 * ((x + y) * 0.02).sin();
                    [luma + colour, luma, luma - colour].map(|v| v as u8)
                })
                .collect();
            let image = Rgb8::new(w, h, data).unwrap();
            for quality in [7u16, 25, 50, 80] {
                let mut file = Vec::new();
                let mut encoder = jpeg_encoder::Encoder::new(&mut file, quality as u8);
                encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::F_2_2);
                encoder.encode(image.data(), w as u16, h as u16, jpeg_encoder::ColorType::Rgb).unwrap();
                let decoded = JpegDecoder::new(ZCursor::new(&file)).decode().unwrap();
                let ours = round_trip(&image, quality);
                let mean =
                    ours.data().iter().zip(&decoded).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>()
                        / decoded.len() as f64;
                assert!(mean <= 2.0, "{w}x{h} at quality {quality}: {mean}");
            }
        }
    }
}
