//! The augmentations, one file each.
//!
//! Each file holds one op whole: name, factor, unit, neutral value, source, plain forward and backward, the strip
//! kernels of the fused path, tests. To add one, write a file like [`brightness`] and add a line to the registry in
//! [`crate::bank`]: names, docs table, conformance tests and the blend follow. An op without strip kernels is blended
//! through its plain path ([`Fused::Plain`]).

pub mod auto_contrast;
pub mod brightness;
pub mod contrast;
pub mod equalize;
pub mod gamma;
pub mod high_pass;
pub mod hue;
pub mod identity;
pub mod invert;
pub mod low_pass;
pub mod rotate;
pub mod saturation;
pub mod scale;
pub mod sharpness;

use std::fmt;

use crate::{Magnitude, View};

/// A differentiable augmentation, the plain way: one image, one factor.
pub trait Op: fmt::Debug + Send + Sync {
    /// The name in banks, configs and policies.
    fn name(&self) -> &str;

    /// One line for people: what it does to an image.
    fn about(&self) -> &'static str;

    /// The formula.
    fn formula(&self) -> &'static str;

    /// Where the formula comes from.
    fn source(&self) -> &'static str;

    /// Factor, unit and neutral value; `None` for an op without magnitude.
    fn magnitude(&self) -> Option<Magnitude> {
        None
    }

    /// The factor of a raw network output; 0 for an op without magnitude.
    fn factor(&self, raw: f32) -> f32 {
        self.magnitude().map_or(0.0, |m| m.factor(raw))
    }

    /// d factor / d raw; 0 for an op without magnitude.
    fn d_factor_d_raw(&self, raw: f32) -> f32 {
        self.magnitude().map_or(0.0, |m| m.d_factor_d_raw(raw))
    }

    /// Writes the augmented image (CHW, as `image`) to `out`.
    ///
    /// # Panics
    /// If `out` is not as long as the image.
    fn forward(&self, image: View<'_>, factor: f32, out: &mut [f32]);

    /// From `g` = d loss / d output (CHW): returns d loss / d factor (0 without magnitude), and adds d loss / d image to
    /// `grad_image` if it is given.
    ///
    /// # Panics
    /// If a buffer is not as long as the image.
    fn backward(&self, image: View<'_>, factor: f32, g: &[f32], grad_image: Option<&mut [f32]>) -> f32;

    /// Which part of the fused path computes this op.
    fn fused(&self) -> Fused {
        Fused::Plain
    }
}

/// Which part of the fused path computes an op.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fused {
    /// None: the plain path is used.
    Plain,
    /// The sweep over pixels.
    Sweep(Sweep),
    /// The radial filter that keeps radii up to this one.
    LowPass(f64),
    /// The radial filter that keeps radii above this one.
    HighPass(f64),
}

/// The ops that the sweep over pixels knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Sweep {
    Rotate,
    Scale,
    Saturation,
    Contrast,
    Sharpness,
    Brightness,
    AutoContrast,
    Hue,
    Equalize,
    Invert,
    Gamma,
    Identity,
}

impl Sweep {
    pub(crate) const COUNT: usize = Self::Identity as usize + 1;
}

/// `out = f(image)` value by value.
fn pointwise_forward(image: View<'_>, out: &mut [f32], f: impl Fn(f32) -> f32) {
    assert_eq!(out.len(), image.data().len());
    for (out, &x) in out.iter_mut().zip(image.data()) {
        *out = f(x);
    }
}

/// The backward of a value by value op whose `slopes(x)` are (d out / d x, d out / d factor).
fn pointwise_backward(
    image: View<'_>,
    g: &[f32],
    mut grad_image: Option<&mut [f32]>,
    slopes: impl Fn(f32) -> (f32, f32),
) -> f32 {
    assert_eq!(g.len(), image.data().len());
    let mut sum = 0.0f64;
    for (i, (&x, &g)) in image.data().iter().zip(g).enumerate() {
        let (by_x, by_factor) = slopes(x);
        sum += f64::from(g * by_factor);
        if let Some(grad) = grad_image.as_deref_mut() {
            grad[i] += g * by_x;
        }
    }
    sum as f32
}

/// Clamps to `0..=1` and says whether the gradient passes: strictly inside only.
fn clamp01(x: f32) -> (f32, bool) {
    (x.clamp(0.0, 1.0), x > 0.0 && x < 1.0)
}
