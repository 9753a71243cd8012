//! Training-time augmentation: what the images of a training run go through so that a network learns more than them.
//!
//! ```
//! use dyntta_augment::Fixed;
//! use dyntta_image::{Rgb8, Stream};
//!
//! let image = Rgb8::new(64, 48, vec![120; 64 * 48 * 3])?;
//! let policy: Fixed = "trivialaugment".parse()?;
//! let out = policy.apply(&image, &mut Stream::new(0, &["train", "1", "cat/0001.png"]));
//! assert_eq!((out.width(), out.height()), (64, 48));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - Input and output are [`Rgb8`](dyntta_image::Rgb8), any size from 1×1 up, the size kept.
//! - Everything random is drawn from the [`Stream`](dyntta_image::Stream) that is given. All functions are free of shared
//!   mutable state.

mod affine;
mod augmix;
mod bank;
mod enhance;
mod error;
mod fixed;
pub mod policy;
mod randaugment;
mod space;
mod tables;
mod trivialaugment;

pub use augmix::{AugMix, AugmixOp};
pub use error::Error;
pub use fixed::Fixed;
pub use policy::{Policy, PolicyAugment, PolicyOptions};
pub use randaugment::RandAugment;
pub use trivialaugment::TrivialAugment;
