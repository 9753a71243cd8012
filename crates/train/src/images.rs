//! The images of training and evaluation: brought to size, augmented or corrupted, in batches.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use dyntta_augment::AugMix;
use dyntta_corrupt::Preset;
use dyntta_data::preprocessing::Fit;
use dyntta_data::{Batch, Dataset, Prefetch, batches};
use dyntta_image::{Rgb8, Stream, crop, flip_horizontal, random_resized_crop, resize};

use crate::recipe::Recipe;
use crate::setting::Setting;

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
                let size = self.fit.size;
                random_resized_crop(image.width(), image.height(), scale, ratio, stream)
                    .and_then(|rect| crop(image, rect))
                    .and_then(|cut| resize(&cut, size.width, size.height, self.fit.interpolation))
                    .expect("bounds in order, and a size of at least one pixel a side")
            }
            Preset::Cifar => self.eval(image),
        };
        if stream.uniform() < 0.5 { flip_horizontal(&image) } else { image }
    }

    /// How many images an enhancer takes at once in evaluation: 100, or fewer large ones, whose feature maps fill memory.
    pub(crate) fn batch(self) -> usize {
        const PIXELS: usize = 1 << 19;
        (PIXELS / (self.fit.size.height * self.fit.size.width).max(1)).clamp(1, 100)
    }

    /// For evaluation: what the classifier was trained to see.
    pub fn eval(self, image: &Rgb8) -> Rgb8 {
        self.fit.apply(image)
    }
}

/// What is done to a training image after its geometry; all that is random is drawn from the stream.
pub type Treatment = Arc<dyn Fn(Rgb8, &mut Stream) -> Rgb8 + Send + Sync>;

impl Setting {
    /// What an enhancer's training images go through at this preset.
    pub fn treatment(self, preset: Preset) -> Treatment {
        let augmix = AugMix::default();
        Arc::new(move |image, stream| match self {
            Self::Blind => augmix.apply(&image, stream),
            _ => match self.draw(stream) {
                Some((corruption, severity)) => corruption.apply(&image, preset, severity, stream),
                None => image,
            },
        })
    }
}

/// The labelled images of a training run and what is done to them.
#[derive(Clone)]
pub struct TrainingImages {
    data: Arc<Dataset>,
    geometry: Geometry,
    shifts: bool,
    treatment: Treatment,
}

impl TrainingImages {
    /// Trains on `data`.
    ///
    /// # Panics
    /// If `data` is empty.
    pub fn new(data: Dataset, geometry: Geometry, treatment: Treatment) -> Self {
        assert!(!data.is_empty(), "a data set has at least one image");
        Self { data: Arc::new(data), geometry, shifts: false, treatment }
    }

    /// The same with whole images shifted by up to an eighth of a side each way, black where they end (CIFAR's usual
    /// crop of 32 pixels out of 40): what classifiers are trained with. Cropped ones move already.
    #[must_use]
    pub fn shifting(self) -> Self {
        Self { shifts: self.geometry.preset == Preset::Cifar, ..self }
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
        let (seed, geometry, shifts, treatment) =
            (recipe.seed, self.geometry, self.shifts, self.treatment.clone());
        let name = epoch.to_string();
        let mut order: Vec<usize> = (0..self.data.len()).collect();
        Stream::new(seed, &["order", &name]).shuffle(&mut order);
        let size = recipe.batch_size.min(order.len());
        order.truncate(size * self.steps(recipe.batch_size));
        order.drain(..size * first);
        batches(self.data.clone(), order, size, WORKERS, move |sample, image| {
            let mut stream = Stream::new(seed, &["train", &name, &sample.path]);
            let mut image = geometry.train(&image, &mut stream);
            if shifts {
                image = shift(&image, &mut stream);
            }
            treatment(image, &mut stream)
        })
    }
}

/// The image moved by up to an eighth of its width and height each way, every whole number of pixels equally likely.
fn shift(image: &Rgb8, stream: &mut Stream) -> Rgb8 {
    let (w, h) = (image.width(), image.height());
    let (left, top) = (stream.below(w / 8 * 2 + 1), stream.below(h / 8 * 2 + 1));
    let mut out = Rgb8::black(w, h).expect("three bytes a pixel");
    // Pixel (x, y) of the result is (x + left - w/8, y + top - h/8) of the image.
    let span = |offset: usize, extent: usize| {
        let edge = extent / 8;
        (edge.saturating_sub(offset), extent - offset.saturating_sub(edge), offset.saturating_sub(edge))
    };
    let ((x0, x1, from_x), (y0, y1, from_y)) = (span(left, w), span(top, h));
    for (row, y) in (y0..y1).enumerate() {
        let to = (y * w + x0) * 3;
        let from = ((from_y + row) * w + from_x) * 3;
        let length = (x1 - x0) * 3;
        out.data_mut()[to..to + length].copy_from_slice(&image.data()[from..from + length]);
    }
    out
}

/// A part of an evaluation: the images of `data` at these indices, each changed by `change`, which also gets its path.
pub(crate) fn eval_batches(
    data: Arc<Dataset>,
    indices: Vec<usize>,
    geometry: Geometry,
    change: impl Fn(Rgb8, &str) -> Rgb8 + Send + Sync + 'static,
    batch_size: usize,
) -> Prefetch<Result<Batch, dyntta_data::Error>> {
    batches(data, indices, batch_size, WORKERS, move |sample, image| {
        change(geometry.eval(&image), &sample.path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_moves_every_pixel_alike_and_all_offsets_occur() {
        let (w, h) = (16, 8);
        let image = Rgb8::new(w, h, (0..w * h * 3).map(|v| (v % 251) as u8 + 1).collect()).unwrap();
        let at = |image: &Rgb8, x: usize, y: usize| image.data()[(y * w + x) * 3];
        let mut seen = std::collections::BTreeSet::new();
        for i in 0..400 {
            let stream = Stream::new(0, &[&i.to_string()]);
            let mut draws = stream.clone();
            let (dx, dy) = (draws.below(5) as isize - 2, draws.below(3) as isize - 1);
            let out = shift(&image, &mut stream.clone());
            for y in 0..h {
                for x in 0..w {
                    let (u, v) = (x as isize + dx, y as isize + dy);
                    let inside = (0..w as isize).contains(&u) && (0..h as isize).contains(&v);
                    let expected = if inside { at(&image, u as usize, v as usize) } else { 0 };
                    assert_eq!(at(&out, x, y), expected, "{dx} {dy} at {x} {y}");
                }
            }
            seen.insert((dx, dy));
        }
        assert_eq!(seen.len(), 15);
        let dot = Rgb8::new(1, 1, vec![9; 3]).unwrap();
        assert_eq!(shift(&dot, &mut Stream::new(0, &[])), dot);
    }
}
