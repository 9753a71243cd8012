//! Operations that move pixels: black where the image does not reach.
//!
//! A matrix `m` says where pixels come from: the one at (x, y) from `(m[0]·x + m[1]·y + m[2], m[3]·x + m[4]·y + m[5])`, both in
//! coordinates whose pixels' centres are at halves.

use dyntta_image::Rgb8;

pub(crate) type Matrix = [f64; 6];

/// The rotation about the image's centre by `degrees`, counter-clockwise.
pub(crate) fn rotation(image: &Rgb8, degrees: f64) -> Matrix {
    // Pillow rounds the matrix to 15 places.
    let tidy = |v: f64| (v * 1e15).round() / 1e15;
    let (sin, cos) = (-degrees.rem_euclid(360.0).to_radians()).sin_cos();
    let (sin, cos) = (tidy(sin), tidy(cos));
    let (cx, cy) = (image.width() as f64 / 2.0, image.height() as f64 / 2.0);
    [cos, sin, -cos * cx - sin * cy + cx, -sin, cos, sin * cx - cos * cy + cy]
}

/// Rotates about the centre by `degrees`, counter-clockwise.
pub(crate) fn rotate(image: &mut Rgb8, degrees: f64) {
    if degrees != 0.0 {
        bilinear(image, rotation(image, degrees));
    }
}

/// Shifts each row by `slope` times its distance from the top, to the left.
pub(crate) fn shear_x(image: &mut Rgb8, slope: f64) {
    bilinear(image, [1.0, slope, 0.0, 0.0, 1.0, 0.0]);
}

/// Shifts each column by `slope` times its distance from the left, upwards.
pub(crate) fn shear_y(image: &mut Rgb8, slope: f64) {
    bilinear(image, [1.0, 0.0, 0.0, slope, 1.0, 0.0]);
}

/// Shifts the image by `pixels` to the left.
pub(crate) fn translate_x(image: &mut Rgb8, pixels: f64) {
    bilinear(image, [1.0, 0.0, pixels, 0.0, 1.0, 0.0]);
}

/// Shifts the image by `pixels` upwards.
pub(crate) fn translate_y(image: &mut Rgb8, pixels: f64) {
    bilinear(image, [1.0, 0.0, 0.0, 0.0, 1.0, pixels]);
}

/// Mixes the four pixels around. Beyond the centres of its outermost pixels the image goes on as they are, up to its edge.
/// The fraction of the result is dropped.
fn bilinear(image: &mut Rgb8, m: Matrix) {
    let (w, h) = (image.width(), image.height());
    let (wf, hf) = (w as f64, h as f64);
    let source = image.data().to_vec();
    let pixels = source.as_chunks::<3>().0;
    for (y, row) in image.data_mut().chunks_exact_mut(w * 3).enumerate() {
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

/// Takes the pixel whose square the place lies in, in steps of 2⁻¹⁶ as Pillow does.
pub(crate) fn nearest(image: &mut Rgb8, m: Matrix) {
    let fixed = |v: f64| (v * 65536.0 + 0.5).floor() as i64;
    let [u_by_x, u_by_y, u_first] = [m[0], m[1], m[2] + m[0] * 0.5 + m[1] * 0.5].map(fixed);
    let [v_by_x, v_by_y, v_first] = [m[3], m[4], m[5] + m[3] * 0.5 + m[4] * 0.5].map(fixed);
    let (w, h) = (image.width(), image.height());
    let source = image.data().to_vec();
    let pixels = source.as_chunks::<3>().0;
    for (y, row) in image.data_mut().chunks_exact_mut(w * 3).enumerate() {
        let (mut u, mut v) = (u_first + y as i64 * u_by_y, v_first + y as i64 * v_by_y);
        for out in row.as_chunks_mut::<3>().0 {
            // Negative ones become too large.
            let (from_x, from_y) = ((u >> 16) as usize, (v >> 16) as usize);
            *out = if from_x < w && from_y < h { pixels[from_y * w + from_x] } else { [0; 3] };
            u += u_by_x;
            v += v_by_x;
        }
    }
}
