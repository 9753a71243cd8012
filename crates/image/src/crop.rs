//! Cutting, mirroring and the random crop of training.

use crate::{Error, Rgb8, Stream};

/// A box inside an image, in pixels from the top left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// Cuts `rect` out.
///
/// # Errors
/// [`Error::Shape`] if `rect` is empty or not inside the image.
pub fn crop(image: &Rgb8, rect: Rect) -> Result<Rgb8, Error> {
    let Rect { top, left, height, width } = rect;
    let inside = |first: usize, count: usize, all| first.checked_add(count).is_some_and(|end| end <= all);
    if !inside(top, height, image.height()) || !inside(left, width, image.width()) {
        return Err(Error::Shape {
            expected: format!("a box inside an image of {}x{} pixels", image.width(), image.height()),
            found: format!("{width}x{height} pixels from column {left} and row {top}"),
        });
    }
    let mut data = Vec::with_capacity(width * height * 3);
    for y in top..top + height {
        let row = (y * image.width() + left) * 3;
        data.extend_from_slice(&image.data()[row..row + width * 3]);
    }
    Rgb8::new(width, height, data)
}

/// Half of `n`, a tie going to the even neighbour, as Python's `round(n / 2)`; torchvision places its crops by it.
pub(crate) fn half_to_even(n: usize) -> usize {
    n / 2 + usize::from(n % 4 == 3)
}

/// Cuts the middle `width` by `height` out. A side on which the image is smaller is first padded with black,
/// `(missing / 2)` rounded down before and the rest behind (torchvision's rules, the offset rounded half to even).
///
/// # Errors
/// [`Error::Shape`] if `width` or `height` is 0.
pub fn centre_crop(image: &Rgb8, width: usize, height: usize) -> Result<Rgb8, Error> {
    let mut out = Rgb8::black(width, height)?;
    // Per axis: first source position, first destination position, count.
    let place = |have: usize, want: usize| {
        if have >= want { (half_to_even(have - want), 0, want) } else { (0, (want - have) / 2, have) }
    };
    let (sx, dx, nx) = place(image.width(), width);
    let (sy, dy, ny) = place(image.height(), height);
    for y in 0..ny {
        let from = ((sy + y) * image.width() + sx) * 3;
        let to = ((dy + y) * width + dx) * 3;
        out.data_mut()[to..to + nx * 3].copy_from_slice(&image.data()[from..from + nx * 3]);
    }
    Ok(out)
}

/// Mirrors left and right.
pub fn flip_horizontal(image: &Rgb8) -> Rgb8 {
    let mut out = image.clone();
    for row in out.data_mut().chunks_exact_mut(image.width() * 3) {
        row.as_chunks_mut::<3>().0.reverse();
    }
    out
}

/// Draws the box of a random resized crop in an image of `width` by `height` pixels: its area a uniform share `scale`
/// of the image's, its width:height ratio log-uniform within `ratio`. A box that does not fit is drawn again, ten
/// times in all; then the largest centred box within `ratio` is taken. The rule, its rounding and the order of the
/// draws are those of torchvision's `RandomResizedCrop`, where the defaults are `(0.08, 1.0)` and `(3/4, 4/3)`.
///
/// # Errors
/// [`Error::Shape`] if a side is 0, or a bound is not positive, finite and in order.
pub fn random_resized_crop(
    width: usize,
    height: usize,
    scale: (f64, f64),
    ratio: (f64, f64),
    stream: &mut Stream,
) -> Result<Rect, Error> {
    let wrong = |expected: &str, found| Err(Error::Shape { expected: expected.into(), found });
    if width == 0 || height == 0 {
        return wrong("an image of at least one pixel a side", format!("{width}x{height} pixels"));
    }
    for (low, high) in [scale, ratio] {
        if !(low > 0.0 && low <= high && high.is_finite()) {
            return wrong("bounds of a random crop, positive and in order", format!("{low} and {high}"));
        }
    }
    let area = width as f64 * height as f64;
    for _ in 0..10 {
        let target = area * stream.range(scale.0, scale.1);
        let aspect = stream.range(ratio.0.ln(), ratio.1.ln()).exp();
        let w = (target * aspect).sqrt().round_ties_even() as usize;
        let h = (target / aspect).sqrt().round_ties_even() as usize;
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let top = stream.below(height - h + 1);
            let left = stream.below(width - w + 1);
            return Ok(Rect { top, left, height: h, width: w });
        }
    }
    let (w, h) = (width as f64, height as f64);
    let (cw, ch) = if w / h < ratio.0 {
        (width, ((w / ratio.0).round_ties_even() as usize).clamp(1, height))
    } else if w / h > ratio.1 {
        (((h * ratio.1).round_ties_even() as usize).clamp(1, width), height)
    } else {
        (width, height)
    };
    Ok(Rect { top: (height - ch) / 2, left: (width - cw) / 2, height: ch, width: cw })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(width: usize, height: usize) -> Rgb8 {
        Rgb8::new(width, height, (0..width * height).flat_map(|i| [i as u8, 0, 255 - i as u8]).collect())
            .unwrap()
    }

    fn first_channel(image: &Rgb8) -> Vec<u8> {
        image.data().chunks_exact(3).map(|p| p[0]).collect()
    }

    #[test]
    fn crop_takes_the_box() {
        let cut = crop(&numbered(4, 3), Rect { top: 1, left: 1, height: 2, width: 3 }).unwrap();
        assert_eq!((cut.width(), cut.height()), (3, 2));
        assert_eq!(first_channel(&cut), [5, 6, 7, 9, 10, 11]);
    }

    #[test]
    fn centre_crop_rounds_its_offset_half_to_even() {
        // Offsets 0.5, 1.5 and 2.5 become 0, 2 and 2.
        for (have, first) in [(2, 0), (4, 2), (6, 2)] {
            assert_eq!(first_channel(&centre_crop(&numbered(have, 1), 1, 1).unwrap()), [first], "{have}");
        }
    }

    #[test]
    fn centre_crop_pads_with_black() {
        let out = centre_crop(&numbered(1, 2), 4, 2).unwrap();
        assert_eq!(first_channel(&out), [0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(out.data()[2], 0);
        assert_eq!(out.data()[3 + 2], 255);
    }

    #[test]
    fn boxes_outside_and_sizes_of_nothing_are_errors() {
        let image = numbered(4, 3);
        for (top, left, height, width) in [
            (0, 0, 0, 1),
            (0, 0, 1, 0),
            (3, 0, 1, 1),
            (0, 3, 1, 2),
            (usize::MAX, 0, 2, 1),
            (0, 2, 1, usize::MAX),
        ] {
            assert!(
                crop(&image, Rect { top, left, height, width }).is_err(),
                "{top} {left} {height} {width}"
            );
        }
        let outside = crop(&image, Rect { top: 2, left: 0, height: 2, width: 1 }).unwrap_err().to_string();
        assert_eq!(
            outside,
            "expected a box inside an image of 4x3 pixels, found 1x2 pixels from column 0 and row 2"
        );
        assert!(centre_crop(&image, 0, 1).is_err() && centre_crop(&image, 1, 0).is_err());
        let draw = |width, height, scale, ratio| {
            random_resized_crop(width, height, scale, ratio, &mut Stream::new(0, &[])).is_err()
        };
        assert!(draw(0, 1, (0.1, 1.0), (0.5, 2.0)) && draw(1, 0, (0.1, 1.0), (0.5, 2.0)));
        assert!(draw(4, 4, (0.0, 1.0), (0.5, 2.0)) && draw(4, 4, (0.1, 1.0), (2.0, 0.5)));
        assert!(draw(4, 4, (f64::NAN, 1.0), (0.5, 2.0)) && draw(4, 4, (0.1, f64::INFINITY), (0.5, 2.0)));
    }

    #[test]
    fn flip_twice_is_the_image() {
        let image = numbered(5, 3);
        assert_eq!(first_channel(&flip_horizontal(&image))[..5], [4, 3, 2, 1, 0]);
        assert_eq!(flip_horizontal(&flip_horizontal(&image)), image);
    }

    #[test]
    fn random_crops_fit_and_spread_over_scale_and_ratio() {
        let (mut areas, mut logs) = (0.0, 0.0);
        let n = 4000;
        for i in 0..n {
            let mut stream = Stream::new(1, &[&i.to_string()]);
            let r = random_resized_crop(400, 300, (0.08, 1.0), (0.75, 4.0 / 3.0), &mut stream).unwrap();
            assert!(r.top + r.height <= 300 && r.left + r.width <= 400);
            let ratio = r.width as f64 / r.height as f64;
            assert!((0.73..1.36).contains(&ratio), "{r:?}");
            areas += (r.width * r.height) as f64 / 120_000.0;
            logs += ratio.ln();
        }
        // Boxes that do not fit are drawn again, which favours small ones, and wide ones in a wide image. Mean and
        // standard deviation are those of 200,000 draws of the rule in numpy; allowed are five deviations of the mean.
        let allowed = |deviation: f64| 5.0 * deviation / f64::from(n).sqrt();
        assert!((areas / f64::from(n) - 0.4334).abs() < allowed(0.2165), "{}", areas / f64::from(n));
        assert!((logs / f64::from(n) - 0.0307).abs() < allowed(0.1643), "{}", logs / f64::from(n));
    }

    #[test]
    fn an_image_no_box_fits_gets_the_largest_centred_one() {
        let mut stream = Stream::new(1, &[]);
        let tall = random_resized_crop(1, 100, (0.5, 1.0), (0.75, 4.0 / 3.0), &mut stream).unwrap();
        assert_eq!(tall, Rect { top: 49, left: 0, height: 1, width: 1 });
        let wide = random_resized_crop(1000, 30, (0.9, 1.0), (0.75, 4.0 / 3.0), &mut stream).unwrap();
        assert_eq!(wide, Rect { top: 0, left: 480, height: 30, width: 40 });
    }
}
