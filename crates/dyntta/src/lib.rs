//! Robustness for a frozen image classifier: an enhancer that sets fifty augmentations anew for every image.
//!
//! ```no_run
//! let enhancer = dyntta::Enhancer::load("runs/dyntta")?;
//! let image = dyntta::image::read("photo.jpg")?;
//! let enhanced = enhancer.enhance(&image);
//! dyntta::image::write("enhanced.png", &enhanced)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Enhancing needs no deep-learning framework. Training does: with the feature `train` (on by default) the crates
//! for it are here by their short names, `train`, `nn`, `data`, `augment` and `corrupt`, beside [`image`] and [`ops`] (the
//! bank).

#[cfg(feature = "train")]
pub use dyntta_augment as augment;
#[cfg(feature = "train")]
pub use dyntta_corrupt as corrupt;
#[cfg(feature = "train")]
pub use dyntta_data as data;
pub use dyntta_image as image;
#[cfg(feature = "train")]
pub use dyntta_nn as nn;
pub use dyntta_ops as ops;
pub use dyntta_runtime::{Decision, Enhancer, Error, Method, Workspace};
#[cfg(feature = "train")]
pub use dyntta_train as train;
