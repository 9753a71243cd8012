//! A trained enhancer on the CPU, without a deep learning framework: what a service or an embedding program links.
//!
//! ```no_run
//! let enhancer = dyntta_runtime::Enhancer::load("runs/dyntta")?;
//! let image = dyntta_image::read("photo.jpg")?;
//! dyntta_image::write("enhanced.png", &enhancer.enhance(&image)?)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An [`Enhancer`] holds weights, which clones and threads share. What a call needs besides is a [`Workspace`]; a caller
//! who enhances many images keeps one and calls [`Enhancer::enhance_with`] or [`Enhancer::enhance_planar`], which then
//! take no memory for images of a size seen before.
//!
//! Results agree with those of the networks of `dyntta-nn` up to rounding.

mod checkpoint;
mod fused;
mod layers;
mod params;
mod resnet;
mod skunet;
mod workspace;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dyntta_image::Rgb8;
use dyntta_kernels::layout::nchw_to_nhwc;
use dyntta_kernels::pool::{AvgPool, adaptive_avg_pool_forward};
use dyntta_kernels::upsample::{Upsample, upsample_forward};
use dyntta_model::{Checkpoint, Normalisation, check_view};
use dyntta_ops::{Bank, Shape, blend};
use rayon::prelude::*;

pub use dyntta_model::{EnhancerConfig as Config, Error, Limits, Method, Mismatch};
/// What can be wrong with an image or a buffer: its size, or its length.
pub use dyntta_ops::Error as InputError;
pub use workspace::{Parts, Workspace};

use resnet::ResNet18;
use skunet::{MIN_SIDE, SkUnet};
use workspace::{Buffer, timed};

/// Pixels that the control network takes at once: enough to read its weights seldom, not so many as to fill memory.
const CONTROL_PIXELS: usize = 1 << 21;
/// Pixels that the SK-UNet takes at once: it holds some 340 bytes for each.
const NETWORK_PIXELS: usize = 1 << 17;

pub(crate) enum Model {
    Urie(SkUnet),
    Dyntta { control: ResNet18, network: Option<SkUnet>, bank: Bank },
}

/// A trained enhancer, ready to use. Clones share the weights; threads may use one at the same time.
#[derive(Clone)]
pub struct Enhancer {
    model: Arc<Model>,
    config: Option<Arc<Config>>,
    /// Height and width of the control network's view; none: the image itself.
    view: Option<[usize; 2]>,
}

/// What DynTTA decided on one augmentation for an image.
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
    /// Loads a run's folder (`enhancer.safetensors` and `enhancer.json`), or a weight file with its config beside it. A
    /// weight file without a config, safetensors or PyTorch's, is taken for the bare weights of a URIE.
    ///
    /// The control network looks at a view of the size it was trained at, whatever the size of the image; see
    /// [`Enhancer::with_control_size`].
    ///
    /// # Errors
    /// [`Error`], if a file is missing or not what it should be, or the weights do not fit the config.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::load_with(path, &Limits::DEFAULT)
    }

    /// As [`Enhancer::load`], within other limits.
    ///
    /// # Errors
    /// As [`Enhancer::load`], and if the files ask for more than `limits` allow.
    pub fn load_with(path: impl AsRef<Path>, limits: &Limits) -> Result<Self, Error> {
        Self::of(&Checkpoint::open(path.as_ref(), limits)?)
    }

    /// As [`Enhancer::load`], from the bytes of a weight file and the text of its config; `name` stands for both in messages.
    ///
    /// # Errors
    /// As [`Enhancer::load`], and if they ask for more than `limits` allow.
    pub fn from_bytes(
        weights: Vec<u8>,
        config: Option<&str>,
        name: impl AsRef<Path>,
        limits: &Limits,
    ) -> Result<Self, Error> {
        Self::of(&Checkpoint::from_bytes(weights, config, name.as_ref(), limits)?)
    }

    /// Of a checkpoint that is open.
    ///
    /// # Errors
    /// [`Error`], if its weights can't be read or do not fit its config.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self, Error> {
        let model = checkpoint::load(checkpoint)?;
        let view = checkpoint.config.as_ref().map(Config::view);
        Ok(Self { model: Arc::new(model), config: checkpoint.config.clone().map(Arc::new), view })
    }

    /// An enhancer with fresh weights and, for DynTTA, the published bank: to measure with, and where training starts from
    /// `seed`. The control network looks at the image itself.
    pub fn untrained(method: Method, seed: u64) -> Self {
        Self { model: Arc::new(checkpoint::untrained(method, seed)), config: None, view: None }
    }

    /// The same enhancer with its control network looking at a square view of this many pixels a side, or at the image
    /// itself.
    ///
    /// The view is the mean of each cell where it is smaller than the image both ways, else bilinear with aligned corners.
    ///
    /// # Errors
    /// [`Error::View`], if the view has no pixels or more than [`dyntta_model::MAX_VIEW`] a side.
    pub fn with_control_size(mut self, size: Option<usize>) -> Result<Self, Error> {
        size.map_or(Ok(()), check_view)?;
        self.view = size.map(|side| [side, side]);
        Ok(self)
    }

    /// The same enhancer with its control network looking at what the checkpoint says: a view of the size that it saw in training;
    /// without a config, the image itself.
    #[must_use]
    pub fn with_stored_view(self) -> Self {
        let view = self.config.as_deref().map(Config::view);
        Self { view, ..self }
    }

    /// What was saved beside the weights; absent for bare weights and untrained ones.
    pub fn config(&self) -> Option<&Config> {
        self.config.as_deref()
    }

    /// Which enhancer it is.
    pub fn method(&self) -> Method {
        match &*self.model {
            Model::Urie(_) => Method::Urie,
            Model::Dyntta { .. } => Method::Dyntta,
        }
    }

    /// The bank of augmentations; none for a URIE.
    pub fn bank(&self) -> Option<&Bank> {
        match &*self.model {
            Model::Urie(_) => None,
            Model::Dyntta { bank, .. } => Some(bank),
        }
    }

    /// Enhances an image of any size. Values outside `0..=1` are clamped before they are rounded to bytes.
    ///
    /// # Errors
    /// [`InputError::TooLarge`] if the image has more than 2^30 pixels, or a side longer than 2^28.
    pub fn enhance(&self, image: &Rgb8) -> Result<Rgb8, InputError> {
        self.enhance_with(&mut Workspace::new(), image)
    }

    /// [`Enhancer::enhance`] for images of any sizes, to the bit: none depends on the others. Small images are shared out
    /// between the threads.
    ///
    /// # Errors
    /// As [`Enhancer::enhance`], of the first image that has one.
    pub fn enhance_batch(&self, images: &[Rgb8]) -> Result<Vec<Rgb8>, InputError> {
        each(images, |workspace, image| self.enhance_with(workspace, image))
    }

    /// [`Enhancer::enhance`] with buffers that stay.
    ///
    /// # Errors
    /// As [`Enhancer::enhance`].
    pub fn enhance_with(&self, workspace: &mut Workspace, image: &Rgb8) -> Result<Rgb8, InputError> {
        let (h, w) = (image.height(), image.width());
        Shape { n: 1, h, w }.check()?;
        // Lent to this call, so that the rest of the workspace can be lent on.
        let mut planar = std::mem::take(&mut workspace.planar);
        let [x, out] = &mut planar;
        let (x, out) = (x.ensure(3 * h * w), out.ensure(3 * h * w));
        timed(&mut workspace.parts.conversions, || image.write_planar(x));
        let done = self.enhance_planar(workspace, 1, h, w, x, out);
        let enhanced = timed(&mut workspace.parts.conversions, || Rgb8::from_planar(w, h, out));
        workspace.planar = planar;
        done?;
        Ok(enhanced.expect("as many values as the image has"))
    }

    /// Enhances a batch of `n` images of `h` x `w` pixels: `x` and `out` are `[n, 3, h, w]`, values in `0..=1`.
    ///
    /// DynTTA's result is in that range. URIE's may leave it, as published: clamp it. An image's result does not depend on
    /// its neighbours in the batch, but for rounding, nor on the number of threads.
    ///
    /// # Errors
    /// [`InputError::Length`] if `x` or `out` are not `n * 3 * h * w` long; [`InputError::NoPixels`] if there are images, and a
    /// side is 0; [`InputError::TooLarge`] if an image has more than 2^30 pixels or a side longer than 2^28;
    /// [`InputError::TooMany`].
    pub fn enhance_planar(
        &self,
        workspace: &mut Workspace,
        n: usize,
        h: usize,
        w: usize,
        x: &[f32],
        out: &mut [f32],
    ) -> Result<(), InputError> {
        workspace.decided = [0, 0];
        let shape = Shape { n, h, w };
        if n > 0 {
            shape.check()?;
        }
        let (size, expected) = if n > 0 { (shape.image(), shape.batch()) } else { (0, 0) };
        for (buffer, found) in [("x", x.len()), ("out", out.len())] {
            if found != expected {
                return Err(InputError::Length { buffer, layout: "n * 3 * h * w", expected, found });
            }
        }
        if n == 0 {
            return Ok(());
        }
        let view = self.view_size([h, w]);
        let mut undecided = match &*self.model {
            Model::Dyntta { control, bank, .. } => decide_most(control, bank, workspace, [n, h, w], x, view),
            Model::Urie(_) => 0..0,
        };
        let Workspace { parts, image, control: control_buffers, network: buffers, raw, weights, .. } =
            workspace;
        for group in groups(n, h * w, NETWORK_PIXELS) {
            let count = group.len();
            let floats = group.start * size..group.end * size;
            let (x, out) = (&x[floats.clone()], &mut out[floats]);
            match &*self.model {
                Model::Urie(network) => run(network, parts, image, buffers, [count, h, w], x, Some(out)),
                Model::Dyntta { control, network, bank } => {
                    let all = n * bank.len();
                    let (raw, weights) = (raw.ensure(all), weights.ensure(all));
                    // The two networks are independent: side by side, each fills the other's pauses.
                    let start = Instant::now();
                    let mut side = Parts::default();
                    let (mut first, images) = (Duration::ZERO, std::mem::take(&mut undecided));
                    rayon::join(
                        || {
                            if let Some(network) = network {
                                run(network, &mut side, image, buffers, [count, h, w], x, None);
                            }
                        },
                        || {
                            timed(&mut first, || {
                                decide(control, bank, control_buffers, images, view, raw, weights);
                            });
                        },
                    );
                    parts.share(start.elapsed(), Parts { control: first, ..side });
                    let network = network.as_ref().map(|_| &*image.ensure(count * size));
                    let columns = group.start * bank.len()..group.end * bank.len();
                    timed(&mut parts.blend, || {
                        let shape = Shape { n: count, h, w };
                        blend::forward(bank, shape, x, &raw[columns.clone()], &weights[columns], network, out)
                    })?;
                }
            }
        }
        Ok(())
    }

    /// What the control network decides for an image, in the order of the bank; nothing for a URIE, which decides nothing.
    ///
    /// # Errors
    /// As [`Enhancer::enhance`].
    pub fn explain(&self, image: &Rgb8) -> Result<Vec<Decision>, InputError> {
        self.explain_with(&mut Workspace::new(), image)
    }

    /// [`Enhancer::explain`] for images of any sizes, to the bit.
    ///
    /// # Errors
    /// As [`Enhancer::enhance`], of the first image that has one.
    pub fn explain_batch(&self, images: &[Rgb8]) -> Result<Vec<Vec<Decision>>, InputError> {
        each(images, |workspace, image| self.explain_with(workspace, image))
    }

    fn explain_with(&self, workspace: &mut Workspace, image: &Rgb8) -> Result<Vec<Decision>, InputError> {
        let (h, w) = (image.height(), image.width());
        Shape { n: 1, h, w }.check()?;
        let Model::Dyntta { control, bank, .. } = &*self.model else { return Ok(Vec::new()) };
        let view = self.view_size([h, w]);
        let images = decide_most(control, bank, workspace, [1, h, w], &image.to_planar(), view);
        let Workspace { control: buffers, raw, weights, .. } = workspace;
        let (raw, weights) = (raw.ensure(bank.len()), weights.ensure(bank.len()));
        decide(control, bank, buffers, images, view, raw, weights);
        let (raw, weights) = (workspace.raw(), workspace.weights());
        let decision = |(slot, name): (usize, &str)| Decision {
            name: name.to_owned(),
            weight: weights[slot],
            factor: bank.op(slot).and_then(|op| op.magnitude()).map(|m| m.factor(raw[slot])),
        };
        Ok(bank.names().enumerate().map(decision).collect())
    }

    /// Height and width of what the control network sees of an image.
    fn view_size(&self, size: [usize; 2]) -> [usize; 2] {
        self.view.unwrap_or(size)
    }
}

/// What `work` makes of each image, in their order. Each image is worked on alone, so that its neighbours change nothing; small
/// ones in parts side by side, a workspace a part, large ones one after the other, since each fills the threads and the memory.
fn each<T: Send>(
    images: &[Rgb8],
    work: impl Fn(&mut Workspace, &Rgb8) -> Result<T, InputError> + Sync,
) -> Result<Vec<T>, InputError> {
    let part = |images: &[Rgb8]| -> Vec<Result<T, InputError>> {
        let mut workspace = Workspace::new();
        images.iter().map(|image| work(&mut workspace, image)).collect()
    };
    let small = images.iter().all(|image| image.data().len() / 3 <= NETWORK_PIXELS);
    let size = if small { images.len().div_ceil(rayon::current_num_threads()) } else { images.len() };
    images.par_chunks(size.max(1)).map(part).collect::<Vec<_>>().into_iter().flatten().collect()
}

/// Decides on all images but the last group, whose view it leaves ready for [`decide`]; returns that group.
fn decide_most(
    control: &ResNet18,
    bank: &Bank,
    workspace: &mut Workspace,
    [n, h, w]: [usize; 3],
    x: &[f32],
    [vh, vw]: [usize; 2],
) -> Range<usize> {
    let Workspace { parts, image, control: buffers, decided, raw, weights, .. } = workspace;
    let (k, size) = (bank.len(), 3 * h * w);
    *decided = [n, k];
    let (raw, weights) = (raw.ensure(n * k), weights.ensure(n * k));
    let mut last = 0..0;
    for group in groups(n, vh * vw, CONTROL_PIXELS) {
        timed(&mut parts.control, || decide(control, bank, buffers, last.clone(), [vh, vw], raw, weights));
        timed(&mut parts.conversions, || {
            let x = &x[group.start * size..group.end * size];
            let count = group.len();
            view([count, h, w], x, [vh, vw], image, buffers.view.ensure(count * 3 * vh * vw));
        });
        last = group;
    }
    last
}

/// Writes the raw magnitudes and blend weights of `images`, whose view is in the buffers.
fn decide(
    control: &ResNet18,
    bank: &Bank,
    buffers: &mut workspace::ControlBuffers,
    images: Range<usize>,
    [vh, vw]: [usize; 2],
    raw: &mut [f32],
    weights: &mut [f32],
) {
    if images.is_empty() {
        return;
    }
    let (count, k) = (images.len(), bank.len());
    control.forward([count, vh, vw], buffers);
    let out = buffers.out.ensure(count * control.outputs());
    for (i, out) in images.zip(out.chunks_exact(2 * k)) {
        let (magnitudes, logits) = out.split_at(k);
        raw[i * k..(i + 1) * k].copy_from_slice(magnitudes);
        softmax(logits, &mut weights[i * k..(i + 1) * k]);
    }
}

impl std::fmt::Debug for Enhancer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enhancer")
            .field("method", &self.method())
            .field("view", &self.view)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Runs of images, of about `most` pixels together but at least one image.
fn groups(n: usize, pixels: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = n.div_ceil((most / pixels.max(1)).max(1));
    (0..count).map(move |i| i * n / count..(i + 1) * n / count)
}

/// The network's image of `x` (planar): into `out` or, without it, into `image`.
fn run(
    network: &SkUnet,
    parts: &mut Parts,
    image: &mut Buffer,
    buffers: &mut workspace::NetworkBuffers,
    [n, h, w]: [usize; 3],
    x: &[f32],
    out: Option<&mut [f32]>,
) {
    // Below its smallest side the last row or column is repeated, and cut off again.
    let (gh, gw) = (h.max(MIN_SIDE), w.max(MIN_SIDE));
    let interleaved = image.ensure(n * 3 * gh * gw);
    timed(&mut parts.conversions, || match (gh, gw) == (h, w) {
        true => nchw_to_nhwc(x, n, 3, h, w, interleaved),
        false => fused::grow([h, w], x, [gh, gw], interleaved),
    });
    let residual = timed(&mut parts.network, || network.residual([n, gh, gw], interleaved, buffers));
    timed(&mut parts.conversions, || {
        let out = out.unwrap_or_else(|| image.ensure(n * 3 * h * w));
        fused::add_residual([h, w], x, residual, [gh, gw], out);
    });
}

/// What the control network sees of `x` (planar): `view`, interleaved and normalised.
fn view([n, h, w]: [usize; 3], x: &[f32], [vh, vw]: [usize; 2], image: &mut Buffer, view: &mut [f32]) {
    if (h, w) == (vh, vw) {
        nchw_to_nhwc(x, n, 3, h, w, view);
    } else {
        let interleaved = image.ensure(3 * h * w);
        for (x, view) in x.chunks_exact(3 * h * w).zip(view.chunks_exact_mut(3 * vh * vw)) {
            nchw_to_nhwc(x, 1, 3, h, w, interleaved);
            if h >= vh && w >= vw {
                let p = AvgPool { n: 1, h, w, c: 3, oh: vh, ow: vw };
                adaptive_avg_pool_forward(&p, interleaved, view);
            } else {
                let p = Upsample { n: 1, h, w, c: 3, oh: vh, ow: vw };
                upsample_forward(&p, interleaved, view);
            }
        }
    }
    let Normalisation { mean, std, .. } = Normalisation::IMAGENET;
    let scale = std.map(|d| 1.0 / d);
    let shift = [0, 1, 2].map(|c| -mean[c] * scale[c]);
    fused::scale_rgb(view, &scale, &shift);
}

fn softmax(logits: &[f32], weights: &mut [f32]) {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for (weight, logit) in weights.iter_mut().zip(logits) {
        *weight = (logit - most).exp();
        sum += *weight;
    }
    weights.iter_mut().for_each(|weight| *weight /= sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enhancer_may_be_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        fn sent<T: Send>() {}
        shared::<Enhancer>();
        shared::<Error>();
        sent::<Workspace>();
    }

    #[test]
    fn groups_cover_the_batch_in_order() {
        for (n, pixels, most) in [(1, 10, 5), (7, 3, 10), (64, 1024, 1 << 17), (0, 4, 4), (5, 0, 1)] {
            let all: Vec<usize> = groups(n, pixels, most).flatten().collect();
            assert_eq!(all, (0..n).collect::<Vec<_>>());
            assert!(groups(n, pixels, most).all(|g| g.len() == 1 || g.len() * pixels <= most));
        }
    }

    #[test]
    fn softmax_sums_to_one_and_survives_large_logits() {
        let mut weights = [0.0; 3];
        softmax(&[1000.0, 1000.0 + 2f32.ln(), -1e30], &mut weights);
        assert!((weights[0] - 1.0 / 3.0).abs() < 1e-4 && weights[2] == 0.0, "{weights:?}");
    }
}
