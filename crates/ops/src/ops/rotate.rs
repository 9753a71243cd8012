//! `rotate`: turns the image about its centre, counter-clockwise, by degrees.
//!
//! Output pixel (X, Y) samples at `u = cos a (X - cx) - sin a (Y - cy) + cx`, `v = sin a (X - cx) + cos a (Y - cy) + cy`
//! with `cx = (W - 1) / 2`, `cy = (H - 1) / 2`; bilinear, a neighbour outside the image counts 0.

use super::Op;
use crate::sweep::{Needs, PerPixel, Seen, Strip, Strips, Swept};
use crate::tensors::{Axis, Form, Tensors};
use crate::warp::{self, Affine, Motion};
use crate::{Magnitude, Mapping, View};

/// Turns the image.
#[derive(Clone, Copy, Debug)]
pub struct Rotate;

/// The sampling places of an angle.
fn motion(image: View<'_>, degrees: f32) -> impl Fn(usize, usize) -> Motion {
    let (sin, cos) = f64::from(degrees).to_radians().sin_cos();
    let cx = (image.width() as f64 - 1.0) / 2.0;
    let cy = (image.height() as f64 - 1.0) / 2.0;
    move |y, x| {
        let (x, y) = (x as f64 - cx, y as f64 - cy);
        let (u, v) = (cos * x - sin * y, sin * x + cos * y);
        let radian = std::f64::consts::PI / 180.0;
        Motion { u: u + cx, v: v + cy, du: -v * radian, dv: u * radian }
    }
}

impl Swept for Rotate {
    const NEEDS: Needs = Needs { places: true, ..Needs::NOTHING };
    /// The sampling places as a map.
    type Prepared = Affine;

    fn prepare(seen: &Seen<'_>, degrees: f32) -> Affine {
        let (sin, cos) = f64::from(degrees).to_radians().sin_cos();
        let radian = std::f64::consts::PI / 180.0;
        Affine::new(
            seen.h,
            seen.w,
            [cos, -sin, sin, cos],
            [-sin * radian, -cos * radian, cos * radian, -sin * radian],
        )
    }
}

impl PerPixel for Rotate {
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

impl Form for Rotate {
    fn form<T: Tensors>(t: &T, x: &T::Float, factor: &T::Float) -> T::Float {
        let angle = t.mul(factor, &t.number((std::f64::consts::PI / 180.0) as f32));
        let (sin, cos) = (t.sin(&angle), t.cos(&angle));
        let (right, down) = (t.centred(Axis::Width), t.centred(Axis::Height));
        let u = t.sub(&t.mul(&cos, &right), &t.mul(&sin, &down));
        let v = t.add(&t.mul(&sin, &right), &t.mul(&cos, &down));
        t.sample(x, &u, &v)
    }
}

impl Op for Rotate {
    fn name(&self) -> &str {
        "rotate"
    }

    fn about(&self) -> &'static str {
        "turns the image about its centre, counter-clockwise"
    }

    fn formula(&self) -> &'static str {
        "bilinear at the place turned back about ((W-1)/2, (H-1)/2), 0 outside"
    }

    fn source(&self) -> &'static str {
        "kornia 0.5 rotate"
    }

    fn magnitude(&self) -> Option<Magnitude> {
        Some(Magnitude { mapping: Mapping::Tanh { centre: 0.0, reach: 30.0 }, unit: "degrees", neutral: 0.0 })
    }

    fn forward(&self, image: View<'_>, factor: f32, out: &mut [f32]) {
        warp::forward(image, out, motion(image, factor));
    }

    fn backward(&self, image: View<'_>, factor: f32, g: &[f32], grad_image: Option<&mut [f32]>) -> f32 {
        warp::backward(image, g, grad_image, motion(image, factor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn_goes_counter_clockwise() {
        // The right edge comes to the top.
        let plane = [1.0, 2.0, 3.0, 4.0];
        let image = [plane, plane, plane].concat();
        let mut out = vec![0.0; 12];
        Rotate.forward(View::new(&image, 2, 2).unwrap(), 90.0, &mut out);
        for (out, expected) in out.iter().zip([2.0, 4.0, 1.0, 3.0]) {
            assert!((out - expected).abs() < 1e-6, "{out} {expected}");
        }
    }
}
