//! The images of training and evaluation: brought to size, augmented or corrupted, in batches.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use dyntta_augment::AugMix;
use dyntta_corrupt::{Corruption, Preset, Severity, suite};
use dyntta_data::preprocessing::Fit;
use dyntta_data::{Batch, Dataset, Prefetch, batches};
use dyntta_image::{Rgb8, Stream, crop, flip_horizontal, random_resized_crop, resize};
use serde::{Deserialize, Serialize};

use crate::recipe::Recipe;

/// Threads that read, decode and corrupt while the networks compute.
pub(crate) const WORKERS: usize = 2;

/// The images of a batch as a tensor `[n, 3, h, w]` in `0..=1`.
pub fn images(batch: &Batch, device: &Device) -> Tensor<4> {
    let shape = [batch.len(), 3, batch.height, batch.width];
    Tensor::from_data(TensorData::new(batch.images.clone(), shape), device)
}

/// How images are brought to the network's size, before any corruption.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Geometry {
    /// Which conventions of training and of corruptions: ImageNet's crops, or CIFAR's whole images.
    pub preset: Preset,
    /// What the classifier was trained to see.
    pub fit: Fit,
}

impl Geometry {
    /// The preset's usual way at `size` pixels a side.
    pub const fn usual(preset: Preset, size: usize) -> Self {
        let fit = match preset {
            Preset::Imagenet => Fit::imagenet(size),
            Preset::Cifar => Fit::whole(size),
        };
        Self { preset, fit }
    }

    /// For training: a random resized crop (ImageNet) or as in evaluation (CIFAR), flipped half the time.
    pub fn train(self, image: &Rgb8, stream: &mut Stream) -> Rgb8 {
        let image = match self.preset {
            Preset::Imagenet => {
                let (scale, ratio) = ((0.08, 1.0), (3.0 / 4.0, 4.0 / 3.0));
                let rect = random_resized_crop(image.width, image.height, scale, ratio, stream);
                let size = self.fit.size;
                resize(&crop(image, rect), size.width, size.height, self.fit.interpolation)
            }
            Preset::Cifar => self.eval(image),
        };
        if stream.uniform() < 0.5 { flip_horizontal(&image) } else { image }
    }

    /// For evaluation: what the classifier was trained to see.
    pub fn eval(self, image: &Rgb8) -> Rgb8 {
        self.fit.apply(image)
    }
}

/// What the training images go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Setting {
    /// Nothing beyond the geometry.
    Clean,
    /// With probability 15/16 one of the fifteen common corruptions at a random severity.
    NonBlind,
    /// [`AugMix`]: none of the corruptions is known in training.
    Blind,
}

impl Setting {
    /// The corruptions that training images go through.
    pub fn corruptions(self) -> Vec<Corruption> {
        match self {
            Self::NonBlind => suite("common15").expect("the suite exists"),
            Self::Clean | Self::Blind => Vec::new(),
        }
    }

    /// The setting that a checkpoint's config names in its settings of the training run, if it names one.
    pub fn of_run(training: &serde_json::Value) -> Option<Self> {
        Self::deserialize(&training["setting"]).ok()
    }
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.serialize(f)
    }
}

/// The labelled images of a training run and what is done to them.
#[derive(Clone)]
pub struct TrainingImages {
    data: Arc<Dataset>,
    geometry: Geometry,
    setting: Setting,
}

impl TrainingImages {
    /// Trains on `data`.
    ///
    /// # Panics
    /// If `data` is empty.
    pub fn new(data: Dataset, geometry: Geometry, setting: Setting) -> Self {
        assert!(!data.is_empty(), "a data set has at least one image");
        Self { data: Arc::new(data), geometry, setting }
    }

    /// The data set.
    pub fn data(&self) -> &Dataset {
        &self.data
    }

    /// Steps an epoch: full batches only, but one at least.
    pub fn steps(&self, batch_size: usize) -> usize {
        (self.data.len() / batch_size).max(1)
    }

    /// The batches of an epoch from number `first` on. Their contents depend on the seed, the epoch and each image's
    /// path, nothing else.
    pub(crate) fn epoch(
        &self,
        epoch: usize,
        first: usize,
        recipe: &Recipe,
    ) -> Prefetch<Result<Batch, dyntta_data::Error>> {
        let (seed, geometry, setting) = (recipe.seed, self.geometry, self.setting);
        let name = epoch.to_string();
        let mut order: Vec<usize> = (0..self.data.len()).collect();
        Stream::new(seed, &["order", &name]).shuffle(&mut order);
        let size = recipe.batch_size.min(order.len());
        order.truncate(size * self.steps(recipe.batch_size));
        order.drain(..size * first);
        let corruptions = setting.corruptions();
        let augmix = AugMix::default();
        batches(self.data.clone(), order, size, WORKERS, move |sample, image| {
            let mut stream = Stream::new(seed, &["train", &name, &sample.path]);
            let image = geometry.train(&image, &mut stream);
            match setting {
                Setting::Clean => image,
                Setting::NonBlind => {
                    // Sixteen equal chances: fifteen corruptions and none.
                    let Some(corruption) = corruptions.get(stream.below(corruptions.len() + 1)) else {
                        return image;
                    };
                    let severity = Severity::ALL[stream.below(Severity::ALL.len())];
                    corruption.apply(&image, geometry.preset, severity, &mut stream)
                }
                Setting::Blind => augmix.apply(&image, &mut stream),
            }
        })
    }
}

/// A part of an evaluation: the images of `data` at these indices, corrupted if asked.
pub(crate) fn eval_batches(
    data: Arc<Dataset>,
    indices: Vec<usize>,
    geometry: Geometry,
    corruption: Option<(Corruption, Severity)>,
    seed: u64,
    batch_size: usize,
) -> Prefetch<Result<Batch, dyntta_data::Error>> {
    batches(data, indices, batch_size, WORKERS, move |sample, image| {
        let image = geometry.eval(&image);
        match corruption {
            Some((corruption, severity)) => {
                dyntta_corrupt::corrupt(&image, corruption, geometry.preset, severity, seed, &sample.path)
            }
            None => image,
        }
    })
}
