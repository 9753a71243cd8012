//! Operations that move pixels: bilinear, black where the image does not reach.

use dyntta_image::Rgb8;

/// Rotates about the centre by `degrees`, counter-clockwise.
pub(crate) fn rotate(image: &mut Rgb8, degrees: f64) {
    if degrees == 0.0 {
        return;
    }
    // Pillow rounds the matrix to 15 places.
    let tidy = |v: f64| (v * 1e15).round() / 1e15;
    let (sin, cos) = (-degrees.rem_euclid(360.0).to_radians()).sin_cos();
    let (sin, cos) = (tidy(sin), tidy(cos));
    let (cx, cy) = (image.width as f64 / 2.0, image.height as f64 / 2.0);
    transform(image, [cos, sin, -cos * cx - sin * cy + cx, -sin, cos, sin * cx - cos * cy + cy]);
}

/// Shifts each row by `slope` times its distance from the top, to the left.
pub(crate) fn shear_x(image: &mut Rgb8, slope: f64) {
    transform(image, [1.0, slope, 0.0, 0.0, 1.0, 0.0]);
}

/// Shifts each column by `slope` times its distance from the left, upwards.
pub(crate) fn shear_y(image: &mut Rgb8, slope: f64) {
    transform(image, [1.0, 0.0, 0.0, slope, 1.0, 0.0]);
}

/// Shifts the image by `pixels` to the left.
pub(crate) fn translate_x(image: &mut Rgb8, pixels: f64) {
    transform(image, [1.0, 0.0, pixels, 0.0, 1.0, 0.0]);
}

/// Shifts the image by `pixels` upwards.
pub(crate) fn translate_y(image: &mut Rgb8, pixels: f64) {
    transform(image, [1.0, 0.0, 0.0, 0.0, 1.0, pixels]);
}

/// The pixel at (x, y) becomes that at `(m[0]·x + m[1]·y + m[2], m[3]·x + m[4]·y + m[5])`, both in coordinates whose pixels'
/// centres are at halves. Beyond the centres of its outermost pixels the image goes on as they are, up to its edge. The
/// fraction of the result is dropped.
fn transform(image: &mut Rgb8, m: [f64; 6]) {
    let (w, h) = (image.width, image.height);
    let (wf, hf) = (w as f64, h as f64);
    let source = image.data.clone();
    let pixels = source.as_chunks::<3>().0;
    for (y, row) in image.data.chunks_exact_mut(w * 3).enumerate() {
        let cy = y as f64 + 0.5;
        for (x, out) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let cx = x as f64 + 0.5;
            let (u, v) = (m[0] * cx + m[1] * cy + m[2], m[3] * cx + m[4] * cy + m[5]);
            if !(u >= 0.0 && u < wf && v >= 0.0 && v < hf) {
                *out = [0; 3];
                continue;
            }
            // From 0 up, so that conversion rounds down: half a pixel more than the offset from the first centre, plus one.
            let (u, v) = (u + 0.5, v + 0.5);
            let (x1, y1) = (u as usize, v as usize);
            let (dx, dy) = (u - x1 as f64, v - y1 as f64);
            let (x0, x1) = (x1.saturating_sub(1), x1.min(w - 1));
            let (y0, y1) = (y1.saturating_sub(1), y1.min(h - 1));
            let (a, b) = (pixels[y0 * w + x0], pixels[y0 * w + x1]);
            let (c, d) = (pixels[y1 * w + x0], pixels[y1 * w + x1]);
            for i in 0..3 {
                let between = |from: f64, to: f64, at: f64| from + (to - from) * at;
                let top = between(f64::from(a[i]), f64::from(b[i]), dx);
                let bottom = between(f64::from(c[i]), f64::from(d[i]), dx);
                out[i] = between(top, bottom, dy) as u8;
            }
        }
    }
}
