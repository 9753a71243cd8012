//! The bank of differentiable augmentations and its fused blend.
//!
//! An enhancer predicts, for each image, one raw magnitude and one blend weight for each augmentation of a [`Bank`]; the
//! enhanced image is the weighted sum of the augmented images, clamped to `0..=1` ([`blend::forward`]), and its
//! gradients with respect to magnitudes, weights and the network's image come from [`blend::backward`].
//!
//! - [`ops`]: one file for each augmentation, with its factor, unit, source, plain forward and backward;
//! - [`bank`]: the registry, and banks made from lists of names;
//! - [`blend`]: the fused forward and backward, and [`blend::reference`], the same op by op;
//! - [`spectral`]: any number of radial filters as one real Fourier transform;
//! - [`tensors`]: the bank on whole tensors of any kind, for graphs and for devices without kernels.
//!
//! Images are planar `f32` slices: one image is `3 * H * W` values, channel after channel (R, G, B), rows from the top; a
//! batch is `N` of them (NCHW). Values are in `0..=1`; other finite values never panic, but what comes out of them is not
//! specified.
//!
//! The formulas are those of kornia 0.5 (<https://github.com/kornia/kornia>, Apache-2.0), with which the method was
//! published (Enomoto, Busto and Eda, "Dynamic Test-Time Augmentation via Differentiable Functions", IEEE Access 12,
//! 2024, <https://arxiv.org/abs/2212.04681>), except where a file says otherwise.

pub mod bank;
pub mod blend;
mod error;
mod hsv;
mod magnitude;
pub mod ops;
pub mod spectral;
mod sweep;
pub mod tensors;
mod view;
mod warp;

pub use bank::{Bank, Slot};
pub use blend::Gradients;
pub use error::Error;
pub use magnitude::{Magnitude, Mapping};
pub use ops::Op;
pub use tensors::Tensors;
pub use view::{Shape, View};
