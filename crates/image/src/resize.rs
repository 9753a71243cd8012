//! Resampling as PIL does it.

use std::f64::consts::PI;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::crop::half_to_even;
use dyntta_simd::simd;

use crate::{Error, MAX_PIXELS, Rgb8, centre_crop};

/// The interpolation kernel, by PIL's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// The pixel under the centre of the new one; no antialias.
    Nearest,
    /// The mean of the pixels under the new one.
    Box,
    /// Triangle, support 1.
    Bilinear,
    /// A sinc under a Hamming window, support 1.
    Hamming,
    /// Keys' cubic with a = -0.5, support 2.
    Bicubic,
    /// A sinc under a wider sinc, support 3.
    Lanczos,
}

impl Filter {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Nearest, Self::Box, Self::Bilinear, Self::Hamming, Self::Bicubic, Self::Lanczos];

    /// PIL's name in lower case, which is timm's too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nearest => "nearest",
            Self::Box => "box",
            Self::Bilinear => "bilinear",
            Self::Hamming => "hamming",
            Self::Bicubic => "bicubic",
            Self::Lanczos => "lanczos",
        }
    }

    /// How far the kernel reaches, in pixels of the larger image.
    fn support(self) -> f64 {
        match self {
            Self::Nearest => 0.0,
            Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) };
        let distance = x.abs();
        match self {
            Self::Nearest => 1.0,
            Self::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            Self::Bilinear => (1.0 - distance).max(0.0),
            Self::Hamming if distance >= 1.0 => 0.0,
            Self::Hamming => sinc(distance) * (0.54 + 0.46 * (distance * PI).cos()),
            Self::Bicubic if distance < 1.0 => (1.5 * distance - 2.5) * distance * distance + 1.0,
            Self::Bicubic if distance < 2.0 => ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0,
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Self::Bicubic | Self::Lanczos => 0.0,
        }
    }
}

/// Resizes to `width` by `height` pixels, to the bit as Pillow does.
///
/// Its rule: pixel centres are aligned, when shrinking the kernel is stretched by the factor (antialias), at the border
/// it is cut and its weights renormalised; weights have 22 fractional bits, and rounded 8-bit values stand between the
/// pass along the rows and the one along the columns (Pillow, src/libImaging/Resample.c).
///
/// # Errors
/// [`Error::Shape`] if `width` or `height` is 0.
pub fn resize(image: &Rgb8, width: usize, height: usize, filter: Filter) -> Result<Rgb8, Error> {
    resize_centre_crop(image, (width, height), (width, height), filter)
}

/// The size, width and height, of an image of `width` by `height` pixels scaled so that it just covers `target`; the
/// side that has pixels to spare is rounded down. Of a square target: the shorter side is brought to it, as torchvision's
/// `Resize` does. Of an image without pixels: `target`.
pub fn covering_size((width, height): (usize, usize), target: (usize, usize)) -> (usize, usize) {
    // The sides as the factors have it: target.0 / width >= target.1 / height, without the division.
    let scaled = |side: usize, to: usize, from: usize| match from {
        0 => to,
        _ => usize::try_from(side as u128 * to as u128 / from as u128).unwrap_or(usize::MAX),
    };
    if target.0 as u128 * height as u128 >= target.1 as u128 * width as u128 {
        (target.0, scaled(height, target.0, width))
    } else {
        (scaled(width, target.1, height), target.1)
    }
}

/// Resizes so that the shorter side has `shorter` pixels; the longer one is scaled by the same factor and rounded
/// down (torchvision's `Resize(shorter)`). Of extreme shapes the longer side is cut short so that the result has at
/// most [`MAX_PIXELS`] pixels.
///
/// # Errors
/// [`Error::Shape`] if `shorter` is 0.
pub fn resize_shorter(image: &Rgb8, shorter: usize, filter: Filter) -> Result<Rgb8, Error> {
    let (width, height) = covering_size((image.width(), image.height()), (shorter, shorter));
    let longest = (MAX_PIXELS / shorter.max(1)).max(shorter);
    resize(image, width.min(longest), height.min(longest), filter)
}

/// [`resize`] to `full` pixels (width, height), then [`centre_crop`] to `want`, in one step: only the pixels of the crop
/// are computed, with the same weights. What evaluation on ImageNet does with a full size from [`covering_size`] and 224.
///
/// # Errors
/// [`Error::Shape`] if a size is 0, or of more than can be counted.
pub fn resize_centre_crop(
    image: &Rgb8,
    full: (usize, usize),
    want: (usize, usize),
    filter: Filter,
) -> Result<Rgb8, Error> {
    for (width, height) in [full, want] {
        if width == 0 || height == 0 || width.max(height) > LONGEST {
            return Err(Error::Shape {
                expected: format!("sides of 1 to {LONGEST} pixels"),
                found: format!("{width}x{height}"),
            });
        }
    }
    if full == (image.width(), image.height()) {
        return if full == want { Ok(image.clone()) } else { centre_crop(image, want.0, want.1) };
    }
    let (width, height) = (want.0.min(full.0), want.1.min(full.1));
    let columns = Axis::new(image.width(), full.0, width, filter);
    let rows = Axis::new(image.height(), full.1, height, filter);
    let across = along_rows(image, &columns, rows.sources())?;
    let out = along_columns(&across, &rows, rows.sources().start)?;
    if (width, height) == want { Ok(out) } else { centre_crop(&out, want.0, want.1) }
}

/// The longest side that is made: more than any memory holds of a row, and little enough to count with.
const LONGEST: usize = 1 << 40;

/// Fractional bits of the weights.
const BITS: u32 = 22;

/// Where each new position along an axis comes from.
struct Axis {
    /// The first source position of each new one.
    first: Vec<usize>,
    /// The weights of each new position, one after the other; `BITS` fractional bits.
    weights: Vec<i32>,
    /// Where the weights of each new position begin, and the end.
    ends: Vec<usize>,
}

impl Axis {
    /// The middle `want` of `full` new positions over `have` source positions.
    fn new(have: usize, full: usize, want: usize, filter: Filter) -> Self {
        let offset = half_to_even(full - want);
        let mut axis = Self { first: Vec::with_capacity(want), weights: Vec::new(), ends: vec![0] };
        if have == full {
            // PIL leaves an axis alone that keeps its length.
            axis.first.extend(offset..offset + want);
            axis.weights = vec![1 << BITS; want];
            axis.ends.extend(1..=want);
            return axis;
        }
        let scale = have as f64 / full as f64;
        if filter == Filter::Nearest {
            // PIL adds the step up, and so do its rounding errors; of sizes that it can make.
            let begin = if offset > MAX_PIXELS { offset } else { 0 };
            let mut at = (begin as f64 + 0.5) * scale;
            for i in begin..offset + want {
                if i >= offset {
                    axis.first.push((at as usize).min(have - 1));
                }
                at += scale;
            }
            axis.weights = vec![1 << BITS; want];
            axis.ends.extend(1..=want);
            return axis;
        }
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        let inverse = 1.0 / stretch;
        let mut exact: Vec<f64> = Vec::new();
        for i in offset..offset + want {
            let centre = (i as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).min(have);
            exact.clear();
            exact.extend((first..end).map(|x| filter.weight((x as f64 - centre + 0.5) * inverse)));
            let sum: f64 = exact.iter().sum();
            let norm = if sum == 0.0 { 1.0 } else { sum };
            axis.weights.extend(exact.iter().map(|w| (w / norm * f64::from(1u32 << BITS)).round() as i32));
            axis.first.push(first);
            axis.ends.push(axis.weights.len());
        }
        axis
    }

    fn len(&self) -> usize {
        self.first.len()
    }

    fn weights(&self, i: usize) -> &[i32] {
        &self.weights[self.ends[i]..self.ends[i + 1]]
    }

    /// The source positions that are looked at.
    fn sources(&self) -> Range<usize> {
        let last = self.len() - 1;
        self.first[0]..(0..=last).map(|i| self.first[i] + self.weights(i).len()).max().unwrap_or(0)
    }
}

/// Rows that are worked on side by side.
const ROWS: usize = 8;
/// Bytes of a row that are worked on side by side.
const CHUNK: usize = 32;

/// The weighted sums of `N` neighbouring bytes: over the taps `t` of `source[t * stride + i]`, rounded.
#[inline(always)]
fn weigh<const N: usize>(source: &[u8], stride: usize, weights: &[i32], out: &mut [u8]) {
    let mut sums = [1 << (BITS - 1); N];
    for (t, &weight) in weights.iter().enumerate() {
        let taps = &source[t * stride..][..N];
        for i in 0..N {
            sums[i] += weight * i32::from(taps[i]);
        }
    }
    for i in 0..N {
        out[i] = (sums[i] >> BITS).clamp(0, 255) as u8;
    }
}

/// The source rows `rows`, each resampled along itself.
fn along_rows(image: &Rgb8, columns: &Axis, rows: Range<usize>) -> Result<Rgb8, Error> {
    let mut out = Rgb8::black(columns.len(), rows.len())?;
    across(image, columns, rows.start, &mut out);
    Ok(out)
}

simd! {
    fn across(image: &Rgb8, columns: &Axis, top: usize, out: &mut Rgb8) {
        const LANES: usize = 3 * ROWS;
        // A few rows with each column's pixels side by side, so that one weight serves them all.
        let mut block = vec![0u8; image.width() * LANES];
        let mut sums = [0u8; LANES];
        let (bytes, out_bytes) = (image.width() * 3, out.width() * 3);
        for y in (0..out.height()).step_by(ROWS) {
            let count = ROWS.min(out.height() - y);
            for r in 0..count {
                let row = &image.data()[(top + y + r) * bytes..][..bytes];
                for (lanes, pixel) in block.chunks_exact_mut(LANES).zip(row.chunks_exact(3)) {
                    lanes[3 * r..3 * r + 3].copy_from_slice(pixel);
                }
            }
            for x in 0..out.width() {
                weigh::<LANES>(&block[columns.first[x] * LANES..], LANES, columns.weights(x), &mut sums);
                for r in 0..count {
                    out.data_mut()[(y + r) * out_bytes + x * 3..][..3].copy_from_slice(&sums[3 * r..3 * r + 3]);
                }
            }
        }
    }
}

/// Resampled along the columns; row 0 of `image` is the source row `top`.
fn along_columns(image: &Rgb8, rows: &Axis, top: usize) -> Result<Rgb8, Error> {
    let mut out = Rgb8::black(image.width(), rows.len())?;
    down(image, rows, top, &mut out);
    Ok(out)
}

simd! {
    fn down(image: &Rgb8, rows: &Axis, top: usize, out: &mut Rgb8) {
        let bytes = image.width() * 3;
        for (y, row) in out.data_mut().chunks_exact_mut(bytes).enumerate() {
            let source = &image.data()[(rows.first[y] - top) * bytes..];
            let weights = rows.weights(y);
            let whole = bytes - bytes % CHUNK;
            for x in (0..whole).step_by(CHUNK) {
                weigh::<CHUNK>(&source[x..], bytes, weights, &mut row[x..x + CHUNK]);
            }
            for x in whole..bytes {
                weigh::<1>(&source[x..], bytes, weights, &mut row[x..=x]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stream;

    /// PIL's resampling, one axis after the other, written plainly and apart from the above.
    fn resize_plain(image: &Rgb8, width: usize, height: usize, filter: Filter) -> Rgb8 {
        let across = pass_plain(image.data(), image.width(), image.height(), width, filter);
        let turned = transpose(&across, width, image.height());
        let down = pass_plain(&turned, image.height(), width, height, filter);
        Rgb8::new(width, height, transpose(&down, height, width)).unwrap()
    }

    fn transpose(data: &[u8], width: usize, height: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(data.len());
        for x in 0..width {
            for y in 0..height {
                out.extend_from_slice(&data[(y * width + x) * 3..][..3]);
            }
        }
        out
    }

    fn kernel(filter: Filter, x: f64) -> f64 {
        let x = x.abs();
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) };
        let support = match filter {
            Filter::Nearest | Filter::Box => 0.5,
            Filter::Bilinear | Filter::Hamming => 1.0,
            Filter::Bicubic => 2.0,
            Filter::Lanczos => 3.0,
        };
        match filter {
            _ if x > support => 0.0,
            Filter::Nearest | Filter::Box => 1.0,
            Filter::Bilinear => 1.0 - x,
            Filter::Hamming => sinc(x) * (0.54 + 0.46 * (x * PI).cos()),
            Filter::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Filter::Bicubic => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Filter::Lanczos => sinc(x) * sinc(x / 3.0),
        }
    }

    fn pass_plain(data: &[u8], width: usize, height: usize, target: usize, filter: Filter) -> Vec<u8> {
        if width == target {
            return data.to_vec();
        }
        let scale = width as f64 / target as f64;
        let stretch = scale.max(1.0);
        let mut out = vec![0; target * height * 3];
        for x in 0..target {
            let centre = (x as f64 + 0.5) * scale;
            // Every pixel of the row is asked, most have no weight.
            let weights: Vec<f64> = (0..width)
                .map(|i| match filter {
                    Filter::Nearest => f64::from(u8::from(i == centre as usize)),
                    _ => kernel(filter, (i as f64 - centre + 0.5) / stretch),
                })
                .collect();
            let sum: f64 = weights.iter().sum();
            let fixed: Vec<i64> =
                weights.iter().map(|w| (w / sum * f64::from(1 << 22)).round() as i64).collect();
            for y in 0..height {
                for c in 0..3 {
                    let dot: i64 = fixed
                        .iter()
                        .zip(0..)
                        .map(|(w, i)| w * i64::from(data[(y * width + i) * 3 + c]))
                        .sum();
                    out[(y * target + x) * 3 + c] = ((dot + (1 << 21)) >> 22).clamp(0, 255) as u8;
                }
            }
        }
        out
    }

    /// `(x * 7 + y * 13 + c * 29 + x * y) % 256`, as in testdata/resize.py.
    fn pattern(width: usize, height: usize) -> Rgb8 {
        let mut data = Vec::new();
        for y in 0..height {
            for x in 0..width {
                for c in 0..3 {
                    data.push(((x * 7 + y * 13 + c * 29 + x * y) % 256) as u8);
                }
            }
        }
        Rgb8::new(width, height, data).unwrap()
    }

    fn worst(a: &Rgb8, b: &Rgb8) -> u8 {
        assert_eq!((a.width(), a.height()), (b.width(), b.height()));
        a.data().iter().zip(b.data()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
    }

    #[test]
    fn agrees_with_the_plain_rule() {
        let mut stream = Stream::new(5, &["resize"]);
        for case in 0..60 {
            let mut side = || 1 + stream.below(if case < 20 { 6 } else { 90 });
            let (w, h, tw, th) = (side(), side(), side(), side());
            let mut image = Rgb8::black(w, h).unwrap();
            image.data_mut().iter_mut().for_each(|v| *v = stream.next_u32() as u8);
            // What lies on a border goes either way with the last bit of Pillow's sums: nearest's centres between two
            // pixels, the box's ends in the middle of one.
            let tie = |from: usize, to: usize| {
                let centre = |x: usize| ((2 * x + 1) * from).is_multiple_of(2 * to);
                let end = |x: usize| (2 * x * from).is_multiple_of(to) && 2 * x * from / to % 2 == 1;
                (0..to).any(|x| centre(x) || end(x))
            };
            let sharp = |filter: Filter| matches!(filter, Filter::Nearest | Filter::Box);
            let ties = tie(w, tw) || tie(h, th);
            for filter in Filter::ALL.into_iter().filter(|&f| !(ties && sharp(f))) {
                // A level off is a weight on the other side of a tie, the sum having been taken in another order.
                let off =
                    worst(&resize(&image, tw, th, filter).unwrap(), &resize_plain(&image, tw, th, filter));
                assert!(off <= 1, "{w}x{h} to {tw}x{th}, {filter:?}: {off}");
            }
        }
    }

    #[test]
    fn resizing_and_cropping_in_one_step_is_both_steps() {
        for (w, h) in [(70, 50), (50, 71), (33, 33), (300, 40), (7, 5), (64, 48), (1, 90)] {
            let image = pattern(w, h);
            for (full, want) in
                [((48, 48), (40, 40)), ((32, 32), (32, 32)), ((20, 30), (17, 9)), ((16, 16), (24, 24))]
            {
                let full = covering_size((w, h), full);
                for filter in Filter::ALL {
                    let both = centre_crop(&resize(&image, full.0, full.1, filter).unwrap(), want.0, want.1)
                        .unwrap();
                    let one = resize_centre_crop(&image, full, want, filter).unwrap();
                    assert_eq!(one, both, "{w}x{h} to {full:?}, {want:?}, {filter:?}");
                }
            }
        }
    }

    #[test]
    fn the_covering_size_is_the_smallest_that_covers() {
        assert_eq!(covering_size((500, 375), (256, 256)), (341, 256));
        assert_eq!(covering_size((375, 500), (256, 256)), (256, 341));
        assert_eq!(covering_size((500, 375), (320, 180)), (320, 240));
        assert_eq!(covering_size((100, 400), (320, 180)), (320, 1280));
        assert_eq!(covering_size((7, 7), (3, 3)), (3, 3));
    }

    #[test]
    fn an_extreme_shape_neither_panics_nor_fills_the_memory() {
        let thread_like = Rgb8::black(1, 65_535).unwrap();
        let full = covering_size((1, 65_535), (256, 256));
        assert_eq!(full, (256, 256 * 65_535));
        let out = resize_centre_crop(&thread_like, full, (224, 224), Filter::Bilinear).unwrap();
        assert_eq!((out.width(), out.height()), (224, 224));
        let far = covering_size((1, 65_535), (8192 * 20, 8192 * 20));
        for filter in Filter::ALL {
            let out = resize_centre_crop(&thread_like, far, (64, 64), filter).unwrap();
            assert_eq!((out.width(), out.height()), (64, 64));
        }
    }

    #[test]
    fn a_size_of_nothing_or_past_counting_is_an_error() {
        let image = pattern(3, 2);
        for (width, height) in [(0, 4), (4, 0), (usize::MAX, 4), (4, 1 << 41)] {
            let both = format!("{width}x{height}");
            let error = resize(&image, width, height, Filter::Bilinear).unwrap_err().to_string();
            assert!(error.ends_with(&format!("found {both}")), "{error}");
            assert!(resize_centre_crop(&image, (4, 4), (width, height), Filter::Box).is_err(), "{both}");
        }
        assert!(resize_shorter(&image, 0, Filter::Bicubic).is_err());
        assert_eq!(covering_size((0, 5), (7, 7)), (7, 7));
    }

    /// Sizes from and to, in the order of testdata/resize.py, which made resize.bin.
    const CASES: [((usize, usize), (usize, usize)); 6] = [
        ((37, 29), (16, 16)),
        ((12, 9), (31, 20)),
        ((64, 48), (9, 40)),
        ((5, 50), (5, 7)),
        ((1, 3), (4, 2)),
        ((4, 5), (6, 15)),
    ];

    #[test]
    fn agrees_with_pillow_to_the_bit() {
        let mut rest: &[u8] = include_bytes!("../testdata/resize.bin");
        for ((w, h), (tw, th)) in CASES {
            for filter in Filter::ALL {
                let (pillow, after) = rest.split_at(tw * th * 3);
                rest = after;
                let ours = resize(&pattern(w, h), tw, th, filter).unwrap();
                assert!(ours.data() == pillow, "{w}x{h} to {tw}x{th}, {filter:?}");
            }
        }
        assert!(rest.is_empty());
    }
}
