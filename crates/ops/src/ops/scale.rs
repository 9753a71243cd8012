//! `scale`: enlarges or shrinks the image about its centre.
//!
//! Output pixel (X, Y) samples at `u = (X - cx) / k + cx`, `v = (Y - cy) / k + cy` with `cx = (W - 1) / 2`,
//! `cy = (H - 1) / 2`; bilinear, a neighbour outside the image counts 0.

use super::Op;
use crate::sweep::{Needs, PerPixel, Seen, Strip, Strips, Swept};
use crate::tensors::{Axis, Form, Tensors};
use crate::warp::{self, Affine, Motion};
use crate::{Magnitude, Mapping, View};

/// Enlarges or shrinks the image.
#[derive(Clone, Copy, Debug)]
pub struct Scale;

/// The sampling places of a scale.
fn motion(image: View<'_>, k: f32) -> impl Fn(usize, usize) -> Motion {
    let k = f64::from(k);
    let cx = (image.width() as f64 - 1.0) / 2.0;
    let cy = (image.height() as f64 - 1.0) / 2.0;
    move |y, x| {
        let (u, v) = ((x as f64 - cx) / k, (y as f64 - cy) / k);
        Motion { u: u + cx, v: v + cy, du: -u / k, dv: -v / k }
    }
}

impl Swept for Scale {
    const NEEDS: Needs = Needs { places: true, ..Needs::NOTHING };
    /// The sampling places as a map.
    type Prepared = Affine;

    fn prepare(seen: &Seen<'_>, k: f32) -> Affine {
        let k = f64::from(k);
        Affine::new(seen.h, seen.w, [1.0 / k, 0.0, 0.0, 1.0 / k], [-1.0 / (k * k), 0.0, 0.0, -1.0 / (k * k)])
    }
}

impl PerPixel for Scale {
    #[inline(always)]
    fn add(own: &Affine, strips: &Strips<'_>, weight: f32, acc: &mut [Strip; 3]) {
        own.strip_forward(&strips.seen.planes, &strips.xs, &strips.ys, weight, acc);
    }

    #[inline(always)]
    fn add_gradients(
        own: &Affine,
        strips: &Strips<'_>,
        g: &[Strip; 3],
        value: &mut Strip,
        slope: &mut Strip,
    ) {
        own.strip_backward(&strips.seen.planes, &strips.xs, &strips.ys, g, value, slope);
    }
}

impl Form for Scale {
    fn form<T: Tensors>(t: &T, x: &T::Float, factor: &T::Float) -> T::Float {
        let u = t.div(&t.centred(Axis::Width), factor);
        t.sample(x, &u, &t.div(&t.centred(Axis::Height), factor))
    }
}

impl Op for Scale {
    fn name(&self) -> &str {
        "scale"
    }

    fn about(&self) -> &'static str {
        "enlarges the image about its centre"
    }

    fn formula(&self) -> &'static str {
        "bilinear at ((X - cx) / k + cx, (Y - cy) / k + cy), 0 outside"
    }

    fn source(&self) -> &'static str {
        "kornia 0.5 scale"
    }

    fn magnitude(&self) -> Option<Magnitude> {
        Some(Magnitude { mapping: Mapping::Tanh { centre: 1.0, reach: 0.3 }, unit: "", neutral: 1.0 })
    }

    fn forward(&self, image: View<'_>, factor: f32, out: &mut [f32]) {
        warp::forward(image, out, motion(image, factor));
    }

    fn backward(&self, image: View<'_>, factor: f32, g: &[f32], grad_image: Option<&mut [f32]>) -> f32 {
        warp::backward(image, g, grad_image, motion(image, factor))
    }
}
