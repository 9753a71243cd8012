//! `sharpness`: from a smoothed copy to the image and beyond.
//!
//! `B = clamp(K * x, 0, 1)` with `K = [1 1 1; 1 5 1; 1 1 1] / 13` inside, `B = x` on the border of one pixel;
//! `out = B + f (x - B)`, clamped to `0..=1` where f is outside `(0, 1)`.

use dyntta_simd::math;

use super::{Op, clamp01};
use crate::sweep::{Needs, PerPlane, STRIP, Seen, Strip, Strips, Swept};
use crate::tensors::{Axis, Form, Tensors};
use crate::{Magnitude, Mapping, View};

/// Blends with a smoothed copy, or away from it.
#[derive(Clone, Copy, Debug)]
pub struct Sharpness;

/// Whether pixel (y, x) has all eight neighbours.
fn inner(image: View<'_>, y: usize, x: usize) -> bool {
    y > 0 && x > 0 && y + 1 < image.height() && x + 1 < image.width()
}

/// The kernel's weight of the eight neighbours.
const SIDE: f32 = 1.0 / 13.0;
/// The kernel's weight of the pixel itself.
const CENTRE: f32 = 5.0 / 13.0;

/// The smoothed value before the clamp, of a pixel with all neighbours.
fn smooth(plane: &[f32], w: usize, y: usize, x: usize) -> f32 {
    let p = y * w + x;
    let around = [p - w - 1, p - w, p - w + 1, p - 1, p, p + 1, p + w - 1, p + w, p + w + 1];
    around.iter().map(|&q| plane[q] * if q == p { CENTRE } else { SIDE }).fold(0.0, |sum, term| sum + term)
}

/// The kernel's adjoint: what pixel (y, x) gets from the gradients of the smoothed values, 0 on the border.
fn spread(smoothed: &[f32], h: usize, w: usize, y: usize, x: usize) -> f32 {
    let mut sum = 0.0f64;
    for v in y.saturating_sub(1)..(y + 2).min(h) {
        for u in x.saturating_sub(1)..(x + 2).min(w) {
            let weight = if (v, u) == (y, x) { CENTRE } else { SIDE };
            sum += f64::from(weight) * f64::from(smoothed[v * w + u]);
        }
    }
    sum as f32
}

/// The smoothed values B of channel `c` of a strip.
#[inline(always)]
fn strip_smooth(strips: &Strips<'_>, c: usize) -> Strip {
    let Strips { seen, start, n, x, inner, .. } = strips;
    let (plane, w, start, n, x) = (seen.planes[c], seen.w, *start, *n, &x[c]);
    let mut b = *x;
    if n == STRIP && start > w && start + STRIP + w < plane.len() {
        let row = |p: usize| -> [&Strip; 3] {
            [p - 1, p, p + 1].map(|p| plane[p..p + STRIP].try_into().expect("a strip"))
        };
        let (above, own, below) = (row(start - w), row(start), row(start + w));
        for i in 0..STRIP {
            // In the order of `smooth`.
            let sum = SIDE * above[0][i]
                + SIDE * above[1][i]
                + SIDE * above[2][i]
                + SIDE * own[0][i]
                + CENTRE * own[1][i]
                + SIDE * own[2][i]
                + SIDE * below[0][i]
                + SIDE * below[1][i]
                + SIDE * below[2][i];
            b[i] = if inner[i] > 0.0 { math::clamp01(sum) } else { x[i] };
        }
    } else {
        for i in 0..n {
            if inner[i] > 0.0 {
                b[i] = math::clamp01(smooth(plane, w, (start + i) / w, (start + i) % w));
            }
        }
    }
    b
}

impl Swept for Sharpness {
    const NEEDS: Needs = Needs { places: true, ..Needs::NOTHING };
    /// The factor.
    type Prepared = f32;

    fn prepare(_: &Seen<'_>, factor: f32) -> f32 {
        factor
    }
}

impl PerPlane for Sharpness {
    #[inline(always)]
    fn add(&f: &f32, strips: &Strips<'_>, c: usize, weight: f32, acc: &mut Strip) {
        let (x, b) = (&strips.x[c], strip_smooth(strips, c));
        let free = f > 0.0 && f < 1.0;
        for i in 0..STRIP {
            let y = b[i] + f * (x[i] - b[i]);
            acc[i] += weight * if free { y } else { math::clamp01(y) };
        }
    }

    #[inline(always)]
    fn add_gradients(
        &f: &f32,
        strips: &Strips<'_>,
        c: usize,
        g: &Strip,
        value: &mut Strip,
        slope: &mut Strip,
    ) {
        let (x, b) = (&strips.x[c], strip_smooth(strips, c));
        let free = f > 0.0 && f < 1.0;
        for i in 0..STRIP {
            let by_f = x[i] - b[i];
            let y = b[i] + f * by_f;
            value[i] += g[i] * if free { y } else { math::clamp01(y) };
            slope[i] += if free { g[i] * by_f } else { math::passed(y, g[i] * by_f) };
        }
    }
}

impl Form for Sharpness {
    fn form<T: Tensors>(t: &T, x: &T::Float, factor: &T::Float) -> T::Float {
        let smooth = [SIDE, SIDE, SIDE, SIDE, CENTRE, SIDE, SIDE, SIDE, SIDE];
        let (zero, one) = (t.number(0.0), t.number(1.0));
        let between = |axis: Axis| {
            let (at, last) = (t.places(axis), t.sub(&t.extent(axis), &one));
            t.and(&t.less(&zero, &at), &t.less(&at, &last))
        };
        let inner = t.and(&between(Axis::Height), &between(Axis::Width));
        let b = t.choose(&inner, &t.clamp01(&t.convolve(x, &smooth)), x);
        let out = t.add(&b, &t.mul(factor, &t.sub(x, &b)));
        t.choose(&t.less(factor, &one), &out, &t.clamp01(&out))
    }
}

impl Op for Sharpness {
    fn name(&self) -> &str {
        "sharpness"
    }

    fn about(&self) -> &'static str {
        "smooths below 1, sharpens above 1"
    }

    fn formula(&self) -> &'static str {
        "clamp(B + f (x - B), 0, 1), B = x smoothed by [1 1 1; 1 5 1; 1 1 1] / 13"
    }

    fn source(&self) -> &'static str {
        "kornia 0.5 sharpness"
    }

    fn magnitude(&self) -> Option<Magnitude> {
        Some(Magnitude { mapping: Mapping::Sigmoid { reach: 10.0 }, unit: "", neutral: 1.0 })
    }

    fn forward(&self, image: View<'_>, factor: f32, out: &mut [f32]) {
        let (n, w) = (image.pixels(), image.width());
        let free = factor > 0.0 && factor < 1.0;
        for c in 0..3 {
            let plane = image.plane(c);
            for p in 0..n {
                let (y, x) = (p / w, p % w);
                let b = if inner(image, y, x) { clamp01(smooth(plane, w, y, x)).0 } else { plane[p] };
                let value = b + factor * (plane[p] - b);
                out[c * n + p] = if free { value } else { clamp01(value).0 };
            }
        }
    }

    fn backward(&self, image: View<'_>, factor: f32, g: &[f32], mut grad_image: Option<&mut [f32]>) -> f32 {
        let (n, w) = (image.pixels(), image.width());
        let free = factor > 0.0 && factor < 1.0;
        let mut sum = 0.0f64;
        for c in 0..3 {
            let plane = image.plane(c);
            let (mut direct, mut smoothed) = (vec![0.0f32; n], vec![0.0f32; n]);
            for p in 0..n {
                let (y, x) = (p / w, p % w);
                let (b, inside) =
                    if inner(image, y, x) { clamp01(smooth(plane, w, y, x)) } else { (plane[p], false) };
                let value = b + factor * (plane[p] - b);
                if !free && !clamp01(value).1 {
                    continue;
                }
                let g = g[c * n + p];
                sum += f64::from(g * (plane[p] - b));
                // To x itself, and to B: on the border, which B copies, all of it to x.
                direct[p] = if inner(image, y, x) { factor * g } else { g };
                smoothed[p] = if inside { (1.0 - factor) * g } else { 0.0 };
            }
            if let Some(grad) = grad_image.as_deref_mut() {
                for (p, grad) in grad[c * n..(c + 1) * n].iter_mut().enumerate() {
                    *grad += direct[p] + spread(&smoothed, image.height(), w, p / w, p % w);
                }
            }
        }
        sum as f32
    }
}
