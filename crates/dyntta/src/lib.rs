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
//! The other crates are here by their short names: [`image`], [`ops`] (the bank), [`nn`] (networks and weight files), and
//! with the feature `train` (on by default) `train`, `data` and `corrupt`.

#[cfg(feature = "train")]
pub use dyntta_corrupt as corrupt;
#[cfg(feature = "train")]
pub use dyntta_data as data;
pub use dyntta_image as image;
pub use dyntta_nn as nn;
pub use dyntta_nn::Error;
pub use dyntta_ops as ops;
#[cfg(feature = "train")]
pub use dyntta_train as train;

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use dyntta_image::Rgb8;
use dyntta_nn::checkpoint::{self, EnhancerConfig};
use dyntta_nn::{DynTta, Mode};

/// A trained enhancer, ready to use. May be shared between threads.
#[derive(Clone, Debug)]
pub struct Enhancer {
    inner: dyntta_nn::Enhancer,
    config: Option<EnhancerConfig>,
    device: Device,
}

/// What DynTTA decided for one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The name of the augmentation.
    pub name: String,
    /// Its share of the blend; the shares of all augmentations sum to 1.
    pub weight: f32,
    /// Its strength in its own unit, if it has one.
    pub factor: Option<f32>,
}

impl Enhancer {
    /// Loads a run's folder, or a weight file with its config beside it; bare URIE weights are taken too.
    ///
    /// The control network looks at a view of the size it was trained at, whatever the size of the image; see
    /// [`Enhancer::with_control_size`].
    ///
    /// # Errors
    /// If a file is missing or not what it should be, or the weights do not fit the config.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let device = Device::flex();
        let (inner, config) = checkpoint::load(path.as_ref(), &device)?;
        let view = config.as_ref().map(|c| c.control_size.unwrap_or(c.image_size[0]));
        Ok(Self { inner, config, device }.with_control_size(view))
    }

    /// The same enhancer with its control network looking at a view of this many pixels a side, or at the image itself.
    pub fn with_control_size(mut self, size: Option<usize>) -> Self {
        self.inner = match self.inner {
            dyntta_nn::Enhancer::DynTta(dyntta) => {
                dyntta_nn::Enhancer::DynTta(dyntta.with_control_size(size))
            }
            urie => urie,
        };
        self
    }

    /// Everything that was saved beside the weights; absent for bare weights.
    pub fn config(&self) -> Option<&EnhancerConfig> {
        self.config.as_ref()
    }

    /// Enhances an image of any size.
    pub fn enhance(&self, image: &Rgb8) -> Rgb8 {
        let y = self.inner.forward(self.tensor(image), Mode::Eval);
        let values = y.into_data().try_to_vec::<f32>().expect("images are f32");
        Rgb8::from_planar(image.width, image.height, &values)
    }

    /// What the control network decides for an image, in the order of the bank; `None` for a URIE, which decides
    /// nothing.
    pub fn explain(&self, image: &Rgb8) -> Option<Vec<Decision>> {
        let dyntta_nn::Enhancer::DynTta(dyntta) = &self.inner else { return None };
        let enhanced = dyntta.forward(self.tensor(image), Mode::Eval);
        let values = |t: Tensor<2>| t.into_data().try_to_vec::<f32>().expect("magnitudes are f32");
        Some(decisions(dyntta, &values(enhanced.weights), &values(enhanced.raw)))
    }

    fn tensor(&self, image: &Rgb8) -> Tensor<4> {
        Tensor::from_data(TensorData::new(image.to_planar(), [1, 3, image.height, image.width]), &self.device)
    }
}

fn decisions(dyntta: &DynTta, weights: &[f32], raw: &[f32]) -> Vec<Decision> {
    let bank = dyntta.bank();
    bank.names()
        .enumerate()
        .map(|(k, name)| Decision {
            name: name.to_owned(),
            weight: weights[k],
            factor: bank.op(k).and_then(|op| op.magnitude()).map(|m| m.factor(raw[k])),
        })
        .collect()
}
