//! The common corruptions: nineteen ways in which an image degrades, at five severities, in two presets.
//!
//! Source: Dan Hendrycks and Thomas Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
//! Perturbations", ICLR 2019, arXiv 1903.12261. Fifteen of them are ImageNet-C and CIFAR-10-C (`common15`); the other
//! four (`extra4`) were published beside them as a validation set.
//!
//! ```
//! use dyntta_corrupt::{Preset, Severity, corrupt, suite};
//! use dyntta_image::Rgb8;
//!
//! let image = Rgb8::new(64, 48, vec![120; 64 * 48 * 3])?;
//! for corruption in suite("common15")? {
//!     let out = corrupt(&image, corruption, Preset::Imagenet, Severity::new(3)?, 0, "cat/0001.png");
//!     assert_eq!((out.width(), out.height()), (64, 48));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - Input and output are [`Rgb8`](dyntta_image::Rgb8), any size from 1×1 up, the size kept.
//! - The arithmetic is `f32` on levels divided by 255; results are clamped to `0..=1`, multiplied by 255 and truncated.
//! - Everything random is drawn from one [`Stream`](dyntta_image::Stream) per (seed, path, corruption, severity), so the
//!   order of the images and the number of threads change nothing. All functions are free of shared mutable state.
//! - Each corruption is one file here, listed once in [`registry`](Corruption::all).

mod correlate;
mod error;
mod frost_textures;
mod gaussian;
mod level;
mod motion;
mod raster;
mod registry;
mod zoom;

pub use elastic_transform::Elastic;
pub use error::Error;
pub use frost_textures::FrostTextures;
pub use level::{Preset, Severity};
pub use registry::{Corruption, Resources, corrupt, corrupt_with, stream, suite};

// A corruption is one file beside this one and one line here.
registry::registry! {
    gaussian_noise,
    shot_noise,
    impulse_noise,
    defocus_blur,
    glass_blur,
    motion_blur,
    zoom_blur,
    snow,
    frost,
    fog,
    brightness,
    contrast,
    elastic_transform,
    pixelate,
    jpeg_compression,
    speckle_noise,
    gaussian_blur,
    spatter,
    saturate,
}
