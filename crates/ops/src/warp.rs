//! Bilinear sampling at places (u, v), a neighbour outside the image counting 0: what `rotate` and `scale` share.

use crate::View;
use dyntta_simd::math;

use crate::sweep::{STRIP, Strip};

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

/// One coordinate of a strip of places: of the neighbour before and the one after.
struct Axis {
    /// The distance from the neighbour before: the share of the one after.
    fraction: Strip,
    /// 1 for a neighbour inside the image, 0 for one outside.
    inside: [Strip; 2],
    /// The coordinates, brought inside.
    at: [[i32; STRIP]; 2],
}

impl Axis {
    /// For coordinates of an axis of `n` pixels. Many short loops: the compiler makes vectors of those.
    #[inline(always)]
    fn new(coordinates: &[f64; STRIP], n: i32) -> Self {
        let (mut floor, mut fraction) = ([0; STRIP], [0.0; STRIP]);
        for i in 0..STRIP {
            // All places more than one pixel outside are alike.
            (floor[i], fraction[i]) = math::floor(coordinates[i], n + 1);
        }
        let mut inside = [[0.0; STRIP]; 2];
        let mut at = [[0; STRIP]; 2];
        for (step, (inside, at)) in inside.iter_mut().zip(&mut at).enumerate() {
            for i in 0..STRIP {
                let k = floor[i] + step as i32;
                at[i] = k.max(0).min(n - 1);
                inside[i] = if at[i] == k { 1.0 } else { 0.0 };
            }
        }
        Self { fraction, inside, at }
    }
}

/// The neighbours of a strip of places, rows first.
struct Places {
    x: Axis,
    y: Axis,
    /// Indices in the plane, brought inside; all below `pixels`.
    index: [[u32; STRIP]; 4],
    pixels: usize,
}

impl Places {
    /// The value at neighbour `k` of pixel `i` of the strip.
    #[inline(always)]
    fn value(&self, plane: &[f32], k: usize, i: usize) -> f32 {
        debug_assert!((self.index[k][i] as usize) < self.pixels && plane.len() == self.pixels);
        // SAFETY: `Axis::new` brings both coordinates inside, so that an index is at
        // most (h - 1) * w + w - 1 < pixels, and the sweep's planes have `pixels` values, as `fit` asserts before
        // the loops. (A bounds check would keep the loop from becoming vector gathers.)
        unsafe { *plane.get_unchecked(self.index[k][i] as usize) }
    }

    /// 1 if neighbour `k` of pixel `i` lies inside the image, else 0.
    #[inline(always)]
    fn inside(&self, k: usize, i: usize) -> f32 {
        self.y.inside[k / 2][i] * self.x.inside[k % 2][i]
    }

    /// Asserts what `value` relies on.
    #[inline(always)]
    fn fit(&self, planes: &[&[f32]; 3]) {
        assert!(planes.iter().all(|plane| plane.len() == self.pixels));
    }
}

impl Affine {
    pub fn new(h: usize, w: usize, map: [f64; 4], slope: [f64; 4]) -> Self {
        Self { h, w, centre: [(w as f64 - 1.0) / 2.0, (h as f64 - 1.0) / 2.0], map, slope }
    }

    /// Places of the pixels with these columns and rows.
    #[inline(always)]
    fn places(&self, xs: &[i32; STRIP], ys: &[i32; STRIP]) -> Places {
        let [cx, cy] = self.centre;
        let [a, b, c, d] = self.map;
        let (mut u, mut v) = ([0.0; STRIP], [0.0; STRIP]);
        for i in 0..STRIP {
            let (x, y) = (f64::from(xs[i]) - cx, f64::from(ys[i]) - cy);
            u[i] = a * x + b * y + cx;
            v[i] = c * x + d * y + cy;
        }
        let (x, y) = (Axis::new(&u, self.w as i32), Axis::new(&v, self.h as i32));
        let mut index = [[0; STRIP]; 4];
        for k in 0..4 {
            for i in 0..STRIP {
                index[k][i] = (y.at[k / 2][i] * self.w as i32 + x.at[k % 2][i]) as u32;
            }
        }
        Places { x, y, index, pixels: self.h * self.w }
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
        places.fit(planes);
        let mut shares = [[0.0; STRIP]; 4];
        for k in 0..4 {
            for i in 0..STRIP {
                let (fx, fy) = (places.x.fraction[i], places.y.fraction[i]);
                let share = if k / 2 == 0 { 1.0 - fy } else { fy } * if k % 2 == 0 { 1.0 - fx } else { fx };
                shares[k][i] = weight * share * places.inside(k, i);
            }
        }
        for c in 0..3 {
            for i in 0..STRIP {
                let at = |k: usize| places.value(planes[c], k, i) * shares[k][i];
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
        places.fit(planes);
        let [cx, cy] = self.centre;
        let [a, b, c, d] = self.slope;
        let (mut by_u, mut by_v) = ([0.0; STRIP], [0.0; STRIP]);
        for c in 0..3 {
            for i in 0..STRIP {
                let at = |k: usize| places.value(planes[c], k, i) * places.inside(k, i);
                let (tl, tr, bl, br) = (at(0), at(1), at(2), at(3));
                let (fx, fy) = (places.x.fraction[i], places.y.fraction[i]);
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
