//! Resampling as PIL does it.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::crop::half_to_even;
use crate::{MAX_PIXELS, Rgb8, centre_crop};

/// The interpolation kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Triangle, support 1; PIL's `BILINEAR`.
    Bilinear,
    /// Keys' cubic with a = -0.5, support 2; PIL's `BICUBIC`.
    Bicubic,
}

/// Resizes to `width` by `height` pixels.
///
/// PIL's rule: pixel centres are aligned, when shrinking the kernel is stretched by the factor (antialias), at the
/// border it is cut and its weights renormalised, and 8-bit values stand between the passes. Agrees with Pillow
/// within 1 level for [`Filter::Bilinear`] and, on noise at worst, 2 for [`Filter::Bicubic`].
///
/// # Panics
/// If `width` or `height` is 0.
pub fn resize(image: &Rgb8, width: usize, height: usize, filter: Filter) -> Rgb8 {
    if (width, height) == (image.width, image.height) {
        return image.clone();
    }
    resample(image, (0.0, 0.0, image.width as f64, image.height as f64), width, height, filter)
}

/// The size of an image of `width` by `height` pixels whose shorter side is brought to `shorter`: the longer one is
/// scaled by the same factor and rounded down, as torchvision's `Resize` does.
fn shorter_side_size(width: usize, height: usize, shorter: usize) -> (usize, usize) {
    let long = |long: usize, short: usize| (shorter as u128 * long as u128 / short as u128) as usize;
    if width <= height { (shorter, long(height, width)) } else { (long(width, height), shorter) }
}

/// Resizes so that the shorter side has `shorter` pixels; the longer one is scaled by the same factor and rounded
/// down (torchvision's `Resize(shorter)`). Of extreme shapes the longer side is cut short so that the result has at
/// most [`MAX_PIXELS`] pixels.
///
/// # Panics
/// If `shorter` is 0.
pub fn resize_shorter(image: &Rgb8, shorter: usize, filter: Filter) -> Rgb8 {
    let (width, height) = shorter_side_size(image.width, image.height, shorter);
    let longest = (MAX_PIXELS / shorter.max(1)).max(shorter);
    resize(image, width.min(longest), height.min(longest), filter)
}

/// [`resize_shorter`] to `shorter`, then [`centre_crop`] to `width` by `height`, in one step: only the pixels of the
/// crop are computed, with the same weights. What evaluation on ImageNet does with 256 and 224.
///
/// # Panics
/// If a size is 0.
pub fn resize_centre_crop(image: &Rgb8, shorter: usize, width: usize, height: usize, filter: Filter) -> Rgb8 {
    let (full_width, full_height) = shorter_side_size(image.width, image.height, shorter);
    let (w, h) = (width.min(full_width), height.min(full_height));
    if (full_width, full_height) == (image.width, image.height) {
        return centre_crop(image, width, height);
    }
    // The crop's box in source pixels, per axis.
    let span = |have: usize, full: usize, want: usize| {
        let scale = have as f64 / full as f64;
        (half_to_even(full - want) as f64 * scale, want as f64 * scale)
    };
    let (left, box_width) = span(image.width, full_width, w);
    let (top, box_height) = span(image.height, full_height, h);
    let out = resample(image, (left, top, box_width, box_height), w, h, filter);
    if (w, h) == (width, height) { out } else { centre_crop(&out, width, height) }
}

/// Resamples the box (left, top, width, height) of the source to a whole image; the kernel reaches beyond the box.
fn resample(image: &Rgb8, source: (f64, f64, f64, f64), width: usize, height: usize, filter: Filter) -> Rgb8 {
    assert!(width > 0 && height > 0, "a size of {width}x{height} pixels");
    let (left, top, box_width, box_height) = source;
    // Two calls, because PIL goes along the rows first and the library along the columns; as values are cut to 8 bits
    // in between, the bicubic kernel's overshoot makes that a difference of several levels.
    let across = pass(image, (left, 0.0, box_width, image.height as f64), width, image.height, filter);
    pass(&across, (0.0, top, width as f64, box_height), width, height, filter)
}

fn pass(image: &Rgb8, source: (f64, f64, f64, f64), width: usize, height: usize, filter: Filter) -> Rgb8 {
    let filter = match filter {
        Filter::Bilinear => FilterType::Bilinear,
        Filter::Bicubic => FilterType::CatmullRom,
    };
    let mut out = Rgb8::black(width, height);
    let view = ImageRef::new(image.width as u32, image.height as u32, &image.data, PixelType::U8x3)
        .expect("the buffer of an Rgb8 has its size");
    let mut target = Image::from_slice_u8(width as u32, height as u32, &mut out.data, PixelType::U8x3)
        .expect("the buffer of an Rgb8 has its size");
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(filter))
        .crop(source.0, source.1, source.2, source.3)
        .use_alpha(false);
    Resizer::new().resize(&view, &mut target, &options).expect("same pixel type, and the box lies inside");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stream;

    /// PIL's resampling, one axis after the other, in its 22-bit fixed point (Pillow, src/libImaging/Resample.c, for
    /// the rule: support, bounds, normalisation, rounding).
    fn resize_plain(image: &Rgb8, width: usize, height: usize, filter: Filter) -> Rgb8 {
        let across = pass_plain(&image.data, image.width, image.height, width, filter);
        let turned = transpose(&across, width, image.height);
        let down = pass_plain(&turned, image.height, width, height, filter);
        Rgb8::new(width, height, transpose(&down, height, width))
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

    fn pass_plain(data: &[u8], width: usize, height: usize, target: usize, filter: Filter) -> Vec<u8> {
        if width == target {
            return data.to_vec();
        }
        let kernel = |x: f64| {
            let x = x.abs();
            match filter {
                Filter::Bilinear => (1.0 - x).max(0.0),
                Filter::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
                Filter::Bicubic if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
                Filter::Bicubic => 0.0,
            }
        };
        let reach = if filter == Filter::Bilinear { 1.0 } else { 2.0 };
        let scale = width as f64 / target as f64;
        let stretch = scale.max(1.0);
        let mut out = vec![0; target * height * 3];
        for x in 0..target {
            let centre = (x as f64 + 0.5) * scale;
            let first = (centre - reach * stretch + 0.5).max(0.0) as usize;
            let end = ((centre + reach * stretch + 0.5) as usize).min(width);
            let weights: Vec<f64> =
                (first..end).map(|i| kernel((i as f64 - centre + 0.5) / stretch)).collect();
            let sum: f64 = weights.iter().sum();
            let fixed: Vec<i64> =
                weights.iter().map(|w| (w / sum * f64::from(1 << 22)).round() as i64).collect();
            for y in 0..height {
                for c in 0..3 {
                    let dot: i64 = fixed
                        .iter()
                        .enumerate()
                        .map(|(i, w)| w * i64::from(data[(y * width + first + i) * 3 + c]))
                        .sum();
                    out[(y * target + x) * 3 + c] = ((dot + (1 << 21)) >> 22).clamp(0, 255) as u8;
                }
            }
        }
        out
    }

    /// The test image of the golden values: `(x * 7 + y * 13 + c * 29 + x * y) % 256`.
    fn pattern(width: usize, height: usize) -> Rgb8 {
        let mut data = Vec::new();
        for y in 0..height {
            for x in 0..width {
                for c in 0..3 {
                    data.push(((x * 7 + y * 13 + c * 29 + x * y) % 256) as u8);
                }
            }
        }
        Rgb8::new(width, height, data)
    }

    fn worst(a: &Rgb8, b: &Rgb8) -> u8 {
        assert_eq!((a.width, a.height), (b.width, b.height));
        a.data.iter().zip(&b.data).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
    }

    #[test]
    fn agrees_with_the_plain_rule() {
        let mut stream = Stream::new(5, &["resize"]);
        for case in 0..60 {
            let mut side = || 1 + stream.below(if case < 20 { 6 } else { 90 });
            let (w, h, tw, th) = (side(), side(), side(), side());
            let mut image = Rgb8::black(w, h);
            image.data.iter_mut().for_each(|v| *v = stream.next_u32() as u8);
            for filter in [Filter::Bilinear, Filter::Bicubic] {
                let fast = resize(&image, tw, th, filter);
                let off = worst(&fast, &resize_plain(&image, tw, th, filter));
                let allowed = if filter == Filter::Bilinear { 1 } else { 2 };
                assert!(off <= allowed, "{w}x{h} to {tw}x{th}, {filter:?}: {off}");
            }
        }
    }

    #[test]
    fn shorter_side_and_crop_in_one_step_is_both_steps() {
        for (w, h) in [(70, 50), (50, 71), (33, 33), (300, 40), (7, 5), (64, 48), (1, 90)] {
            let image = pattern(w, h);
            for (shorter, cw, ch) in [(48, 40, 40), (32, 32, 32), (20, 17, 9), (16, 24, 24)] {
                for filter in [Filter::Bilinear, Filter::Bicubic] {
                    let both = centre_crop(&resize_shorter(&image, shorter, filter), cw, ch);
                    let one = resize_centre_crop(&image, shorter, cw, ch, filter);
                    let off = worst(&one, &both);
                    assert!(off <= 1, "{w}x{h} to {shorter}, {cw}x{ch}, {filter:?}: {off}");
                }
            }
        }
    }

    #[test]
    fn an_extreme_shape_neither_panics_nor_fills_the_memory() {
        let thread_like = Rgb8::black(1, 65_535);
        let out = resize_centre_crop(&thread_like, 256, 224, 224, Filter::Bilinear);
        assert_eq!((out.width, out.height), (224, 224));
        let (width, height) = shorter_side_size(1, 65_535, 256);
        assert_eq!((width, height), (256, 256 * 65_535));
    }

    /// `(source size, target size, filter)`, then `(index, value)` pairs and the sum of all values.
    type Golden = (((usize, usize), (usize, usize), Filter), &'static [(usize, u8)], i64);

    /// Values of Pillow 13.0.0 on `pattern`.
    #[rustfmt::skip]
    const PILLOW: [Golden; 5] = [
        (((37, 29), (16, 16), Filter::Bilinear), &[(0, 14), (69, 182), (139, 185), (209, 82), (278, 137), (348, 112), (418, 80), (488, 179), (557, 140), (627, 148), (697, 139), (767, 92)], 98286),
        (((37, 29), (16, 16), Filter::Bicubic), &[(0, 11), (69, 191), (139, 200), (209, 79), (278, 139), (348, 113), (418, 66), (488, 187), (557, 146), (627, 150), (697, 148), (767, 86)], 98331),
        (((12, 9), (31, 20), Filter::Bilinear), &[(0, 0), (169, 99), (338, 129), (507, 72), (676, 94), (845, 112), (1014, 173), (1183, 196), (1352, 213), (1521, 145), (1690, 155), (1859, 71)], 238296),
        (((12, 9), (31, 20), Filter::Bicubic), &[(0, 0), (169, 97), (338, 128), (507, 72), (676, 94), (845, 111), (1014, 174), (1183, 196), (1352, 213), (1521, 145), (1690, 155), (1859, 75)], 238120),
        (((64, 48), (9, 40), Filter::Bilinear), &[(0, 30), (98, 120), (196, 147), (294, 127), (392, 136), (490, 121), (588, 119), (686, 129), (784, 115), (882, 121), (980, 131), (1079, 128)], 138169),
    ];

    #[test]
    fn agrees_with_pillow() {
        for (((w, h), (tw, th), filter), values, sum) in PILLOW {
            let plain = resize_plain(&pattern(w, h), tw, th, filter);
            for &(i, v) in values {
                assert_eq!(plain.data[i], v, "{w}x{h} to {tw}x{th}, {filter:?}, value {i}");
            }
            assert_eq!(plain.data.iter().map(|&v| i64::from(v)).sum::<i64>(), sum);
            assert!(worst(&resize(&pattern(w, h), tw, th, filter), &plain) <= 1);
        }
    }
}
