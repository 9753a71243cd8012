//! Operations that draw the image towards a degenerate one, or away from it: `factor` 0 is that, 1 the image.

use dyntta_image::Rgb8;

/// `from + factor·(to - from)`, cut to 0 to 255, the fraction dropped.
#[inline(always)]
fn blend(from: u8, to: u8, factor: f32) -> u8 {
    (f32::from(from) + factor * (f32::from(to) - f32::from(from))) as u8
}

/// Luma of ITU-R BT.601, rounded to nearest.
#[inline(always)]
fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000) >> 16) as u8
}

/// Colourfulness: 0 is grey.
pub(crate) fn color(image: &mut Rgb8, factor: f64) {
    for pixel in image.data_mut().as_chunks_mut::<3>().0 {
        let grey = luma(*pixel);
        *pixel = pixel.map(|v| blend(grey, v, factor as f32));
    }
}

/// Contrast: 0 is the mean luma everywhere.
pub(crate) fn contrast(image: &mut Rgb8, factor: f64) {
    let pixels = image.data().as_chunks::<3>().0;
    let sum: u64 = pixels.iter().map(|&p| u64::from(luma(p))).sum();
    let mean = (sum as f64 / pixels.len() as f64 + 0.5) as u8;
    towards(image, mean, factor);
}

/// Brightness: 0 is black.
pub(crate) fn brightness(image: &mut Rgb8, factor: f64) {
    towards(image, 0, factor);
}

fn towards(image: &mut Rgb8, level: u8, factor: f64) {
    let table: [u8; 256] = std::array::from_fn(|v| blend(level, v as u8, factor as f32));
    image.data_mut().iter_mut().for_each(|v| *v = table[usize::from(*v)]);
}

/// Sharpness: 0 is the image smoothed by [1 1 1; 1 5 1; 1 1 1] / 13, its border as it was.
pub(crate) fn sharpness(image: &mut Rgb8, factor: f64) {
    let (w, h) = (image.width(), image.height());
    if w < 3 || h < 3 {
        return;
    }
    let stride = w * 3;
    let source = image.data().to_vec();
    for y in 1..h - 1 {
        let row = |y: usize| &source[y * stride..][..stride];
        let (above, middle, below) = (row(y - 1), row(y), row(y + 1));
        let out = &mut image.data_mut()[y * stride..][..stride];
        for x in 3..stride - 3 {
            let three = |row: &[u8]| u32::from(row[x - 3]) + u32::from(row[x]) + u32::from(row[x + 3]);
            let sum = three(above) + three(middle) + three(below) + 4 * u32::from(middle[x]);
            // Thirteenths are never halves, so this is to nearest.
            let smooth = ((sum * 2 + 13) / 26) as u8;
            out[x] = blend(smooth, middle[x], factor as f32);
        }
    }
}
