//! Training-time augmentation: what the images of a training run go through so that a network learns more than them.
//!
//! ```
//! use dyntta_augment::AugMix;
//! use dyntta_image::{Rgb8, Stream};
//!
//! let image = Rgb8::new(64, 48, vec![120; 64 * 48 * 3]);
//! let out = AugMix::default().apply(&image, &mut Stream::new(0, &["train", "1", "cat/0001.png"]));
//! assert_eq!((out.width, out.height), (64, 48));
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
mod tables;

pub use augmix::{AugMix, AugmixOp};
pub use error::Error;
