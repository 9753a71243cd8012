//! Robustness for a frozen image classifier: an enhancer that sets fifty augmentations anew for every image.
//!
//! A trained [`Enhancer`] stands in front of a classifier that nobody retrains. For each image it decides how much of each
//! augmentation goes into a blend, and how strong each is; the classifier then sees the blend. Training one is the work of the
//! command (`dyntta train`); this crate uses it.
//!
//! # Enhancing one image
//! ```
//! use dyntta::{Enhancer, Method, Rgb8};
//!
//! # let enhancer = Enhancer::untrained(Method::Dyntta, 0);
//! # /*
//! let enhancer = Enhancer::load("runs/dyntta")?;
//! # */
//! let image = Rgb8::new(64, 48, vec![120; 64 * 48 * 3])?;
//! let enhanced = enhancer.enhance(&image)?;
//! assert_eq!((enhanced.width(), enhanced.height()), (64, 48));
//! # Ok::<(), dyntta::Error>(())
//! ```
//! An [`Rgb8`] always has the bytes of its pixels: who makes one of another length gets an error. Loading takes a run's folder, a
//! weight file with its config beside it, or the bare weights of a URIE as they were published.
//!
//! # A batch
//! Every verb has its batch form, for images of mixed sizes. Results are the same to the bit, so that it doesn't matter which an
//! image goes through:
//! ```
//! # use dyntta::{Enhancer, Method, Rgb8};
//! # let enhancer = Enhancer::untrained(Method::Dyntta, 0);
//! let images = [Rgb8::black(32, 32)?, Rgb8::black(50, 20)?];
//! let enhanced = enhancer.enhance_batch(&images)?;
//! assert_eq!(enhanced[0], enhancer.enhance(&images[0])?);
//! # Ok::<(), dyntta::Error>(())
//! ```
//! Who enhances image after image keeps a [`Workspace`] and calls [`Enhancer::enhance_with`], which then takes no memory for a size
//! seen before; who has tensors calls [`Enhancer::enhance_planar`].
//!
//! # A file
//! An image file in, an image file out, as `dyntta enhance` writes it: turned by its EXIF orientation, its colour profile kept.
//! ```
//! use dyntta::FileFormat;
//! # use dyntta::{Enhancer, Method, Rgb8};
//! # let enhancer = Enhancer::untrained(Method::Urie, 0);
//! # let file = FileFormat::Jpeg(90).encode(&Rgb8::black(32, 32)?)?;
//!
//! let enhanced = enhancer.enhance_encoded(&file, FileFormat::Jpeg(95))?;
//! assert!(enhanced.starts_with(&[0xff, 0xd8]));
//! # Ok::<(), dyntta::Error>(())
//! ```
//!
//! # What it decided
//! ```
//! # use dyntta::{Enhancer, Method, Rgb8};
//! # let enhancer = Enhancer::untrained(Method::Dyntta, 0);
//! let mut decisions = enhancer.explain(&Rgb8::black(32, 32)?)?;
//! decisions.sort_by(|a, b| b.weight.total_cmp(&a.weight));
//! let dyntta::Decision { name, weight, factor } = &decisions[0];
//! assert!(!name.is_empty() && *weight > 0.0);
//! # let _ = factor;
//! # Ok::<(), dyntta::Error>(())
//! ```
//!
//! # A classifier
//! With the feature `classifier`, `Classifier` takes any ONNX file, or weights of a network of the zoo, finds out what it is fed and
//! what its classes are called, and names the likeliest; the program `before_and_after` among the examples is the whole of it.
//!
//! # Errors
//! There is one [`Error`]. Its message is for people and names the file, the key, what was expected and what was found;
//! [`Error::kind`] is for programs. Nothing that a file or an argument says makes this crate panic.
//! ```
//! use dyntta::{Enhancer, ErrorKind};
//!
//! let error = Enhancer::load("no/such/run.safetensors").unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::NotFound);
//! ```
//!
//! # Limits
//! A file is refused as [`ErrorKind::TooLarge`] before it takes the memory. The defaults let through what real models and photos
//! hold; a service sets its own:
//! ```
//! use dyntta::{Enhancer, ErrorKind, FileFormat, Limits, Method, Options, Rgb8};
//!
//! let limits = Limits { pixels: 4_000_000, side: 4000, image_bytes: 1 << 20, ..Limits::DEFAULT };
//! let enhancer = Enhancer::untrained(Method::Urie, 0).with_options(Options { limits, ..Options::default() })?;
//! let wide = FileFormat::Png.encode(&Rgb8::black(4001, 1)?)?;
//! assert_eq!(enhancer.enhance_encoded(&wide, FileFormat::Png).unwrap_err().kind(), ErrorKind::TooLarge);
//! # Ok::<(), dyntta::Error>(())
//! ```
//!
//! # Features
//! | feature | brings | framework |
//! |---|---|---|
//! | none | [`Enhancer`] and all it needs | none |
//! | `corrupt` | the module `corrupt`: the suites of common corruptions | none |
//! | `classifier` | `Classifier` | Burn |
//! | `train` | both, and the modules `train`, `nn`, `data` and `augment` | Burn |

#[cfg(feature = "classifier")]
mod classifier;
mod enhancer;
mod error;

#[cfg(feature = "classifier")]
#[doc(hidden)]
pub use classifier::doc_classifier;
#[cfg(feature = "classifier")]
pub use classifier::{Classifier, ClassifierOptions, Prediction};
pub use enhancer::{Enhancer, Options, View};
pub use error::{Error, ErrorKind};

#[cfg(feature = "train")]
pub use dyntta_augment as augment;
#[cfg(feature = "corrupt")]
pub use dyntta_corrupt as corrupt;
#[cfg(feature = "train")]
pub use dyntta_data as data;
pub use dyntta_image as image;
#[cfg(feature = "train")]
pub use dyntta_nn as nn;
pub use dyntta_ops as ops;
#[cfg(feature = "train")]
pub use dyntta_train as train;

/// ```
/// let limits = dyntta::Limits { pixels: 1_000_000, ..dyntta::Limits::DEFAULT };
/// assert!(limits.pixels < dyntta::Limits::default().pixels);
/// ```
#[doc(inline)]
pub use dyntta_files::Limits;
/// ```
/// assert_eq!("jpeg:90".parse(), Ok(dyntta::FileFormat::Jpeg(90)));
/// ```
#[doc(inline)]
pub use dyntta_image::FileFormat;
/// ```
/// let mut image = dyntta::Rgb8::new(2, 1, vec![255, 0, 0, 0, 0, 255])?;
/// image.data_mut()[0] = 200;
/// assert_eq!(image.data()[..3], [200, 0, 0]);
/// # Ok::<(), dyntta::Error>(())
/// ```
#[doc(inline)]
pub use dyntta_image::Rgb8;
/// ```
/// use dyntta::{Enhancer, Exif, Method, Options};
///
/// let options = Options { exif: Exif::Ignore, ..Options::default() };
/// let enhancer = Enhancer::untrained(Method::Urie, 0).with_options(options)?;
/// assert_eq!(enhancer.decoding().exif, Exif::Ignore);
/// # Ok::<(), dyntta::Error>(())
/// ```
#[doc(inline)]
pub use dyntta_image::{Decode, Decoded, Exif, Profile};
/// ```
/// assert_eq!(dyntta::Method::Dyntta.to_string(), "dyntta");
/// ```
#[doc(inline)]
pub use dyntta_model::{EnhancerConfig as Config, Method};
/// ```
/// use dyntta::{Enhancer, Method, Rgb8};
///
/// let decisions = Enhancer::untrained(Method::Dyntta, 0).explain(&Rgb8::black(16, 16)?)?;
/// let gamma = decisions.iter().find(|decision| decision.name == "gamma").unwrap();
/// assert!(gamma.factor.is_some());
/// # Ok::<(), dyntta::Error>(())
/// ```
#[doc(inline)]
pub use dyntta_runtime::Decision;
/// ```
/// use dyntta::{Enhancer, Method, Rgb8, Workspace};
///
/// let mut workspace = Workspace::new();
/// Enhancer::untrained(Method::Urie, 0).enhance_with(&mut workspace, &Rgb8::black(16, 16)?)?;
/// assert!(workspace.bytes() > 0 && !workspace.parts().total().is_zero());
/// # Ok::<(), dyntta::Error>(())
/// ```
#[doc(inline)]
pub use dyntta_runtime::{Parts, Workspace};
