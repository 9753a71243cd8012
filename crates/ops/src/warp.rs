//! Bilinear sampling at places (u, v), a neighbour outside the image counting 0: what `rotate` and `scale` share.

use crate::View;

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
