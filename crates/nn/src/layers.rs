//! Layers with PyTorch's parameter names and layouts, so that a state dict's keys are the module's paths.

use std::sync::{Arc, OnceLock};

use burn::module::{Module, Param, RunningState};
use burn::tensor::Tensor;
use dyntta_image::{ChannelOrder, ValueRange};

use crate::init::Init;
use crate::ops;
use crate::ops::frozen::{FrozenConv, frozen_conv};

/// PyTorch's default for normalisation layers.
pub(crate) const EPSILON: f64 = 1e-5;
const MOMENTUM: f64 = 0.1;

/// ReLU as an activation slope; see [`ops::batch_norm`].
pub const RELU: f32 = 0.0;
/// Leaky ReLU with PyTorch's default slope.
pub const LEAKY_RELU: f32 = 0.01;
/// No activation.
pub const LINEAR: f32 = 1.0;

/// Whether batch normalisation uses the batch's statistics (and updates the running ones) or the running ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The batch's statistics.
    Train,
    /// The running statistics.
    Eval,
    /// The running statistics, in a network that gets no gradients and whose weights have reached their last values:
    /// what can be computed from them once is, at the first pass.
    Frozen,
}

/// How a convolution's weights start.
#[derive(Clone, Copy, Debug)]
pub enum ConvInit {
    /// Uniform within `1/√fan_in`: PyTorch's default.
    Default,
    /// Normal with variance `2/fan_out`: torchvision's ResNets (He et al. 2015).
    KaimingFanOut,
    /// Normal with variance `2/fan_in`: the CIFAR ResNets (He et al. 2015).
    KaimingFanIn,
}

/// Square 2-D convolution: `weight [cout, cin, k, k]`, optional `bias [cout]`.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[cout, cin, k, k]`.
    pub weight: Param<Tensor<4>>,
    /// `[cout]`.
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    stride: usize,
    #[module(skip)]
    pad: usize,
    #[module(skip)]
    frozen: Once,
}

/// A convolution frozen at its first use in [`Mode::Frozen`]. A copy of the layer starts anew: its weights may change.
#[derive(Debug, Default)]
struct Once(OnceLock<Arc<FrozenConv>>);

impl Clone for Once {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Conv2d {
    /// A `size × size` convolution from `cin` to `cout` channels.
    pub fn new(
        init: &Init,
        (cin, cout): (usize, usize),
        size: usize,
        stride: usize,
        pad: usize,
        bias: bool,
        how: ConvInit,
    ) -> Self {
        let shape = [cout, cin, size, size];
        let (fan_in, fan_out) = ((cin * size * size) as f64, (cout * size * size) as f64);
        let at = init.child("weight");
        let weight = match how {
            ConvInit::Default => at.uniform(shape, fan_in.sqrt().recip()),
            ConvInit::KaimingFanOut => at.normal(shape, (2.0 / fan_out).sqrt()),
            ConvInit::KaimingFanIn => at.normal(shape, (2.0 / fan_in).sqrt()),
        };
        let bias = bias.then(|| init.child("bias").uniform([cout], fan_in.sqrt().recip()));
        Self { weight, bias, stride, pad, frozen: Once::default() }
    }

    /// `[n, h, w, cin]` to `[n, h', w', cout]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        ops::conv2d(x, self.weight.val(), self.bias.as_ref().map(Param::val), self.stride, self.pad)
    }

    /// The convolution, then `norm`, then the activation with this `slope` for negative values; with a `shortcut`, that
    /// is added before the activation.
    pub fn forward_normalised(
        &self,
        x: Tensor<4>,
        norm: &BatchNorm,
        mode: Mode,
        shortcut: Option<Tensor<4>>,
        slope: f32,
    ) -> Tensor<4> {
        if mode == Mode::Frozen {
            let frozen = self.frozen.0.get_or_init(|| {
                assert!(self.bias.is_none(), "a bias before a batch normalisation does nothing");
                let (scale, shift) = norm.fold();
                Arc::new(FrozenConv::new(self.weight.val(), self.stride, self.pad, Some(scale), Some(shift)))
            });
            return frozen_conv(x, frozen, shortcut, slope);
        }
        let x = self.forward(x);
        match shortcut {
            None => norm.forward(x, mode, slope),
            Some(shortcut) if slope == RELU => ops::add_relu(norm.forward(x, mode, LINEAR), shortcut),
            Some(shortcut) if slope == LINEAR => norm.forward(x, mode, LINEAR) + shortcut,
            Some(_) => panic!("a shortcut is followed by ReLU or by nothing"),
        }
    }
}

/// Fully connected layer: `weight [out, in]`, optional `bias [out]`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Param<Tensor<2>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// PyTorch's default initial values: uniform within `1/√in`.
    pub fn new(init: &Init, input: usize, output: usize, bias: bool) -> Self {
        let bound = (input as f64).sqrt().recip();
        Self {
            weight: init.child("weight").uniform([output, input], bound),
            bias: bias.then(|| init.child("bias").uniform([output], bound)),
        }
    }

    /// `[n, in]` to `[n, out]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        ops::linear(x, self.weight.val(), self.bias.as_ref().map(Param::val))
    }
}

/// Batch normalisation over the channels of NHWC activations.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// The scale, `[c]`.
    pub weight: Param<Tensor<1>>,
    /// The shift, `[c]`.
    pub bias: Param<Tensor<1>>,
    /// Exponential mean of the batch means, `[c]`.
    pub running_mean: RunningState<Tensor<1>>,
    /// Exponential mean of the batch variances (unbiased), `[c]`.
    pub running_var: RunningState<Tensor<1>>,
}

impl BatchNorm {
    /// The identity over `channels`.
    pub fn new(init: &Init, channels: usize) -> Self {
        Self {
            weight: init.child("weight").constant([channels], 1.0),
            bias: init.child("bias").constant([channels], 0.0),
            running_mean: init.child("running_mean").running([channels], 0.0),
            running_var: init.child("running_var").running([channels], 1.0),
        }
    }

    /// Normalises, then applies the activation with this `slope` for negative values.
    pub fn forward(&self, x: Tensor<4>, mode: Mode, slope: f32) -> Tensor<4> {
        match mode {
            Mode::Train => {
                let [n, h, w, _] = x.dims();
                let (y, mean, variance) =
                    ops::batch_norm(x, self.weight.val(), self.bias.val(), EPSILON, slope);
                self.update(mean, variance, n * h * w);
                y
            }
            Mode::Eval | Mode::Frozen => {
                let (scale, shift) = self.fold();
                ops::affine(x, scale, shift, slope)
            }
        }
    }

    /// The scale and shift that the running statistics amount to.
    pub fn fold(&self) -> (Tensor<1>, Tensor<1>) {
        let scale = self.weight.val() / self.running_var.value_sync().add_scalar(EPSILON).sqrt();
        let shift = self.bias.val() - self.running_mean.value_sync() * scale.clone();
        (scale, shift)
    }

    /// Running mean and variance.
    pub(crate) fn running(&self) -> (Tensor<1>, Tensor<1>) {
        (self.running_mean.value_sync(), self.running_var.value_sync())
    }

    /// Moves the running statistics towards those of a batch of `count` values a channel (biased variance).
    pub(crate) fn update(&self, mean: Tensor<1>, variance: Tensor<1>, count: usize) {
        let count = count as f64;
        // The running variance is the unbiased one, as in PyTorch; one value has none.
        let variance = variance.mul_scalar(count / (count - 1.0).max(1.0));
        for (running, new) in [(&self.running_mean, mean), (&self.running_var, variance)] {
            let old = running.value_sync();
            running.update(old.mul_scalar(1.0 - MOMENTUM) + new.mul_scalar(MOMENTUM));
            // An update is pending until the next look; a checkpoint taken before that would miss it.
            running.value_sync();
        }
    }
}

/// Brings RGB values in `0..=1` to what a network was trained on: into `range`, then `(x - mean)/std` by colour, then the
/// channels in order.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalisation {
    /// Mean of red, green and blue, in units of `range`.
    pub mean: [f32; 3],
    /// Standard deviation of red, green and blue, in units of `range`.
    pub std: [f32; 3],
    /// The order of the network's channels.
    #[serde(default, skip_serializing_if = "is_default")]
    pub channels: ChannelOrder,
    /// The range of values.
    #[serde(default, skip_serializing_if = "is_default")]
    pub range: ValueRange,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Normalisation {
    /// ImageNet's statistics, which torchvision and the CIFAR ResNets use.
    pub const IMAGENET: Self = Self {
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
        channels: ChannelOrder::Rgb,
        range: ValueRange::Unit,
    };

    /// Normalises `[n, h, w, 3]`.
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let device = x.device().without_autodiff();
        let (stretch, start) = self.range.from_unit();
        let scale = self.std.map(|s| stretch / s);
        let shift = [0, 1, 2].map(|c| (start - self.mean[c]) / self.std[c]);
        let tensor = |v: [f32; 3]| Tensor::<1>::from_data(v, &device);
        let x = ops::affine(x, tensor(scale), tensor(shift), LINEAR);
        match self.channels {
            ChannelOrder::Rgb => x,
            ChannelOrder::Bgr => x.flip([3]),
        }
    }
}
