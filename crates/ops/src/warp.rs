//! Bilinear sampling at places (u, v), a neighbour outside the image counting 0: what `rotate` and `scale` share.

use crate::View;
use crate::simd::{STRIP, Strip};

/// A place between pixels: the top left neighbour and the fractions towards the others.
struct Place {
    x: isize,
    y: isize,
    fx: f32,
    fy: f32,
}

impl Place {
    fn new(image: View<'_>, u: f64, v: f64) -> Self {
        // All places more than one pixel outside are alike, so far ones are brought near.
        let u = u.clamp(-2.0, image.width() as f64 + 1.0);
        let v = v.clamp(-2.0, image.height() as f64 + 1.0);
        let (x, y) = (u.floor(), v.floor());
        Self { x: x as isize, y: y as isize, fx: (u - x) as f32, fy: (v - y) as f32 }
    }

    /// The four neighbours, rows first: index in the plane, or `None` outside.
    fn neighbours(&self, image: View<'_>) -> [Option<usize>; 4] {
        let (h, w) = (image.height() as isize, image.width() as isize);
        [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(dy, dx)| {
            let (y, x) = (self.y + dy, self.x + dx);
            (0 <= y && y < h && 0 <= x && x < w).then(|| (y * w + x) as usize)
        })
    }
}

/// Where an output pixel samples, and how the place moves with the factor.
pub(crate) struct Motion {
    pub u: f64,
    pub v: f64,
    pub du: f64,
    pub dv: f64,
}

/// Samples every output pixel (y, x) at `at(y, x)`.
pub(crate) fn forward(image: View<'_>, out: &mut [f32], at: impl Fn(usize, usize) -> Motion) {
    let (n, w) = (image.pixels(), image.width());
    for p in 0..n {
        let Motion { u, v, .. } = at(p / w, p % w);
        let place = Place::new(image, u, v);
        let neighbours = place.neighbours(image);
        for c in 0..3 {
            let [a, b, d, e] = neighbours.map(|q| q.map_or(0.0, |q| image.plane(c)[q]));
            let top = (1.0 - place.fx) * a + place.fx * b;
            let bottom = (1.0 - place.fx) * d + place.fx * e;
            out[c * n + p] = (1.0 - place.fy) * top + place.fy * bottom;
        }
    }
}

/// d loss / d factor; adds d loss / d image to `grad_image`.
pub(crate) fn backward(
    image: View<'_>,
    g: &[f32],
    mut grad_image: Option<&mut [f32]>,
    at: impl Fn(usize, usize) -> Motion,
) -> f32 {
    let (n, w) = (image.pixels(), image.width());
    let mut sum = 0.0f64;
    for p in 0..n {
        let Motion { u, v, du, dv } = at(p / w, p % w);
        let place = Place::new(image, u, v);
        let neighbours = place.neighbours(image);
        let (fx, fy) = (place.fx, place.fy);
        for c in 0..3 {
            let g = g[c * n + p];
            let [a, b, d, e] = neighbours.map(|q| q.map_or(0.0, |q| image.plane(c)[q]));
            let by_u = (1.0 - fy) * (b - a) + fy * (e - d);
            let by_v = (1.0 - fx) * (d - a) + fx * (e - b);
            sum += f64::from(g) * (f64::from(by_u) * du + f64::from(by_v) * dv);
            if let Some(grad) = grad_image.as_deref_mut() {
                let shares = [(1.0 - fy) * (1.0 - fx), (1.0 - fy) * fx, fy * (1.0 - fx), fy * fx];
                for (q, share) in neighbours.into_iter().zip(shares) {
                    if let Some(q) = q {
                        grad[c * n + q] += g * share;
                    }
                }
            }
        }
    }
    sum as f32
}

/// The sampling places of a whole image as a linear map about its centre, for the fused path.
#[derive(Clone, Copy)]
pub(crate) struct Affine {
    h: usize,
    w: usize,
    /// The centre, x first.
    centre: [f64; 2],
    /// (u, v) from (X - cx, Y - cy), row after row.
    map: [f64; 4],
    /// d (u, v) / d factor from (X - cx, Y - cy).
    slope: [f64; 4],
}

/// The neighbours of a strip of places: indices in the plane, brought inside, and 1 or 0 for inside and outside.
struct Strips {
    index: [[u32; STRIP]; 4],
    inside: [Strip; 4],
    fx: Strip,
    fy: Strip,
}

impl Affine {
    pub fn new(h: usize, w: usize, map: [f64; 4], slope: [f64; 4]) -> Self {
        Self { h, w, centre: [(w as f64 - 1.0) / 2.0, (h as f64 - 1.0) / 2.0], map, slope }
    }

    /// Places of the pixels with these columns and rows.
    #[inline(always)]
    fn places(&self, xs: &[i32; STRIP], ys: &[i32; STRIP]) -> Strips {
        let zero = [0.0; STRIP];
        let mut strips = Strips { index: [[0; STRIP]; 4], inside: [zero; 4], fx: zero, fy: zero };
        let [cx, cy] = self.centre;
        let [a, b, c, d] = self.map;
        let (h, w) = (self.h as i32, self.w as i32);
        let (right, bottom) = (self.w as f64 + 1.0, self.h as f64 + 1.0);
        for i in 0..STRIP {
            let (x, y) = (f64::from(xs[i]) - cx, f64::from(ys[i]) - cy);
            let u = a * x + b * y + cx;
            let v = c * x + d * y + cy;
            // As in `Place`; the comparisons bring what is not a number inside too.
            let u = if u > -2.0 { u } else { -2.0 };
            let u = if u < right { u } else { right };
            let v = if v > -2.0 { v } else { -2.0 };
            let v = if v < bottom { v } else { bottom };
            // Moved up by 2, truncation is floor.
            let (x0, y0) = ((u + 2.0) as i32 - 2, (v + 2.0) as i32 - 2);
            strips.fx[i] = (u - f64::from(x0)) as f32;
            strips.fy[i] = (v - f64::from(y0)) as f32;
            let inside = |k: i32, n: i32| if (k >= 0) & (k < n) { 1.0f32 } else { 0.0 };
            let (left, right) = (inside(x0, w), inside(x0 + 1, w));
            let (top, bottom) = (inside(y0, h), inside(y0 + 1, h));
            strips.inside[0][i] = top * left;
            strips.inside[1][i] = top * right;
            strips.inside[2][i] = bottom * left;
            strips.inside[3][i] = bottom * right;
            let (xa, xb) = (x0.clamp(0, w - 1), (x0 + 1).clamp(0, w - 1));
            let (ya, yb) = (y0.clamp(0, h - 1) * w, (y0 + 1).clamp(0, h - 1) * w);
            strips.index[0][i] = (ya + xa) as u32;
            strips.index[1][i] = (ya + xb) as u32;
            strips.index[2][i] = (yb + xa) as u32;
            strips.index[3][i] = (yb + xb) as u32;
        }
        strips
    }

    /// Strip kernel: `acc += weight * warped image`.
    #[inline(always)]
    pub fn strip_forward(
        &self,
        planes: &[&[f32]; 3],
        xs: &[i32; STRIP],
        ys: &[i32; STRIP],
        weight: f32,
        acc: &mut [Strip; 3],
    ) {
        let places = self.places(xs, ys);
        let mut shares = places.inside;
        for i in 0..STRIP {
            let (fx, fy) = (places.fx[i], places.fy[i]);
            shares[0][i] *= weight * (1.0 - fy) * (1.0 - fx);
            shares[1][i] *= weight * (1.0 - fy) * fx;
            shares[2][i] *= weight * fy * (1.0 - fx);
            shares[3][i] *= weight * fy * fx;
        }
        for c in 0..3 {
            for i in 0..STRIP {
                let at = |k: usize| planes[c][places.index[k][i] as usize] * shares[k][i];
                acc[c][i] += (at(0) + at(1)) + (at(2) + at(3));
            }
        }
    }

    /// Strip kernel: `value += g * warped image`, `slope += g * d (warped image) / d factor`.
    #[inline(always)]
    pub fn strip_backward(
        &self,
        planes: &[&[f32]; 3],
        xs: &[i32; STRIP],
        ys: &[i32; STRIP],
        g: &[Strip; 3],
        value: &mut Strip,
        slope: &mut Strip,
    ) {
        let places = self.places(xs, ys);
        let [cx, cy] = self.centre;
        let [a, b, c, d] = self.slope;
        let (mut by_u, mut by_v) = ([0.0; STRIP], [0.0; STRIP]);
        for c in 0..3 {
            for i in 0..STRIP {
                let at = |k: usize| planes[c][places.index[k][i] as usize] * places.inside[k][i];
                let (tl, tr, bl, br) = (at(0), at(1), at(2), at(3));
                let (fx, fy) = (places.fx[i], places.fy[i]);
                let (top, bottom) = (tr - tl, br - bl);
                let (upper, lower) = (tl + fx * top, bl + fx * bottom);
                value[i] += g[c][i] * (upper + fy * (lower - upper));
                by_u[i] += g[c][i] * (top + fy * (bottom - top));
                by_v[i] += g[c][i] * (lower - upper);
            }
        }
        for i in 0..STRIP {
            let (x, y) = (f64::from(xs[i]) - cx, f64::from(ys[i]) - cy);
            slope[i] += by_u[i] * (a * x + b * y) as f32 + by_v[i] * (c * x + d * y) as f32;
        }
    }
}
