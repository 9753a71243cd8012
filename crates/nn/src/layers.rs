//! Layers with PyTorch's parameter names and layouts, so that a state dict's keys are the module's paths.

use std::sync::{Arc, OnceLock};

use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor, Param,
    RunningState,
};
use burn::tensor::{Device, Tensor};
use dyntta_image::ChannelOrder;
use dyntta_model::Normalisation;

use crate::init::{Fill, Init};
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

/// Which statistics batch normalisation uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The batch's statistics, towards which the running ones are moved.
    Train,
    /// The running statistics.
    Eval,
    /// The running statistics and the batch's (biased variance) mixed, the running ones left as they are: of a batch of n
    /// images `prior/(prior + n)` of the former, `n/(prior + n)` of the latter (Schneider et al. 2020, arXiv 2006.16971).
    /// With 0 the batch's alone, through which gradients flow as in training; mixed ones get no gradient.
    /// For classifiers: an enhancer takes it for `Eval`.
    Adapt {
        /// How many images the running statistics count for.
        prior: usize,
    },
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
    /// Normal with variance `2/fan_in`: the CIFAR ResNets (He et al. 2015), DenseNet.
    KaimingFanIn,
    /// Normal with this standard deviation.
    Normal(f64),
}

/// Square 2-D convolution: `weight [cout, cin / groups, k, k]`, optional `bias [cout]`.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[cout, cin / groups, k, k]`.
    pub weight: Param<Tensor<4>>,
    /// `[cout]`.
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    stride: usize,
    #[module(skip)]
    pad: usize,
    #[module(skip)]
    groups: usize,
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
        Self::grouped(init, (cin, cout, 1), size, stride, pad, bias, how)
    }

    /// The same with the channels in `groups`: output channels see the input channels of their own group alone.
    pub fn grouped(
        init: &Init,
        (cin, cout, groups): (usize, usize, usize),
        size: usize,
        stride: usize,
        pad: usize,
        bias: bool,
        how: ConvInit,
    ) -> Self {
        let shape = [cout, cin / groups, size, size];
        // PyTorch's counts: the inputs of one output, and the outputs of all groups.
        let (fan_in, fan_out) = ((cin / groups * size * size) as f64, (cout * size * size) as f64);
        let at = init.child("weight");
        let weight = match how {
            ConvInit::Default => at.uniform(shape, fan_in.sqrt().recip()),
            ConvInit::KaimingFanOut => at.normal(shape, (2.0 / fan_out).sqrt()),
            ConvInit::KaimingFanIn => at.normal(shape, (2.0 / fan_in).sqrt()),
            ConvInit::Normal(sd) => at.normal(shape, sd),
        };
        let bias = bias.then(|| match how {
            ConvInit::Default => init.child("bias").uniform([cout], fan_in.sqrt().recip()),
            _ => init.child("bias").constant([cout], 0.0),
        });
        Self { weight, bias, stride, pad, groups, frozen: Once::default() }
    }

    /// `[n, h, w, cin]` to `[n, h', w', cout]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.forward_padded(x, [self.pad; 4])
    }

    /// [`Self::forward`] with TensorFlow's `SAME` padding in place of the layer's own: `⌈h/stride⌉` rows come out,
    /// and where the zeros that this takes are an odd number, the one more stands below and to the right.
    pub fn forward_same(&self, x: Tensor<4>) -> Tensor<4> {
        let ([_, h, w, _], size) = (x.dims(), self.weight.dims()[2]);
        let zeros =
            |extent: usize| ((extent.div_ceil(self.stride) - 1) * self.stride + size).saturating_sub(extent);
        let (rows, columns) = (zeros(h), zeros(w));
        self.forward_padded(x, [rows / 2, columns / 2, rows.div_ceil(2), columns.div_ceil(2)])
    }

    /// With these zeros at the top, left, bottom and right.
    fn forward_padded(&self, x: Tensor<4>, pad: [usize; 4]) -> Tensor<4> {
        let (weight, bias) = (self.weight.val(), self.bias.as_ref().map(Param::val));
        if self.groups == 1 && pad == [pad[0]; 4] {
            return ops::conv2d(x, weight, bias, self.stride, pad[0]);
        }
        ops::grouped_conv2d(x, weight, bias, self.stride, pad, self.groups)
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
        if mode == Mode::Frozen && self.groups == 1 {
            let frozen = self.frozen.0.get_or_init(|| {
                let (scale, mut shift) = norm.fold();
                if let Some(bias) = &self.bias {
                    shift = shift + bias.val() * scale.clone();
                }
                Arc::new(FrozenConv::new(self.weight.val(), self.stride, self.pad, scale, shift))
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

    /// With initial values of its own for weight and bias.
    pub fn filled(init: &Init, input: usize, output: usize, weight: Fill, bias: Fill) -> Self {
        Self {
            weight: init.child("weight").filled([output, input], weight),
            bias: Some(init.child("bias").filled([output], bias)),
        }
    }

    /// `[n, in]` to `[n, out]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        ops::linear(x, self.weight.val(), self.bias.as_ref().map(Param::val))
    }

    /// The same for each token: `[n, tokens, in]` to `[n, tokens, out]`.
    pub fn forward_tokens(&self, x: Tensor<3>) -> Tensor<3> {
        let [n, tokens, c] = x.dims();
        let y = self.forward(x.reshape([n * tokens, c]));
        let out = y.dims()[1];
        y.reshape([n, tokens, out])
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
    #[module(skip)]
    epsilon: f64,
    #[module(skip)]
    momentum: f64,
}

impl BatchNorm {
    /// The identity over `channels`, with PyTorch's defaults.
    pub fn new(init: &Init, channels: usize) -> Self {
        Self::with(init, channels, EPSILON, MOMENTUM)
    }

    /// The identity over `channels`: `epsilon` is added to the variance, `momentum` is the share of the batch in the
    /// new running statistics.
    pub fn with(init: &Init, channels: usize, epsilon: f64, momentum: f64) -> Self {
        Self {
            epsilon,
            momentum,
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
                    ops::batch_norm(x, self.weight.val(), self.bias.val(), self.epsilon, slope);
                self.update(mean, variance, n * h * w);
                y
            }
            Mode::Eval | Mode::Frozen => {
                let (scale, shift) = self.fold();
                ops::affine(x, scale, shift, slope)
            }
            Mode::Adapt { prior: 0 } => {
                ops::batch_norm(x, self.weight.val(), self.bias.val(), self.epsilon, slope).0
            }
            Mode::Adapt { prior } => {
                let n = x.dims()[0] as f64;
                let share = prior as f64 / (prior as f64 + n);
                let (_, mean, variance) =
                    ops::batch_norm(x.clone(), self.weight.val(), self.bias.val(), self.epsilon, LINEAR);
                let (running_mean, running_variance) = self.running();
                let mix = |running: Tensor<1>, batch: Tensor<1>| {
                    running.mul_scalar(share) + batch.mul_scalar(1.0 - share)
                };
                let (scale, shift) = self.fold_of(mix(running_mean, mean), mix(running_variance, variance));
                ops::affine(x, scale, shift, slope)
            }
        }
    }

    /// The scale and shift that the running statistics amount to.
    pub fn fold(&self) -> (Tensor<1>, Tensor<1>) {
        let (mean, variance) = self.running();
        self.fold_of(mean, variance)
    }

    /// The scale and shift that these statistics amount to.
    fn fold_of(&self, mean: Tensor<1>, variance: Tensor<1>) -> (Tensor<1>, Tensor<1>) {
        let scale = self.weight.val() / variance.add_scalar(self.epsilon).sqrt();
        let shift = self.bias.val() - mean * scale.clone();
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
            running.update(old.mul_scalar(1.0 - self.momentum) + new.mul_scalar(self.momentum));
            // An update is pending until the next look; a checkpoint taken before that would miss it.
            running.value_sync();
        }
    }
}

/// Normalisation of each position over its channels, the last dimension (Ba et al. 2016, arXiv 1607.06450).
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// The scale, `[c]`.
    pub weight: Param<Tensor<1>>,
    /// The shift, `[c]`.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    epsilon: f64,
}

impl LayerNorm {
    /// Scale 1 and shift 0 over `channels`.
    pub fn new(init: &Init, channels: usize, epsilon: f64) -> Self {
        Self {
            weight: init.child("weight").constant([channels], 1.0),
            bias: init.child("bias").constant([channels], 0.0),
            epsilon,
        }
    }

    /// `[…, c]` to the same shape.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        ops::layer_norm(x, self.weight.val(), self.bias.val(), self.epsilon)
    }
}

/// What has no parameters but a number in one of torchvision's sequences, as an activation has. With it a tuple is such
/// a sequence: its fields' numbers are the keys.
#[derive(Module, Debug)]
pub struct Gap;

/// Modules that a prefix and a number name, such as `encoder_layer_0`; those of a `Vec` have the number alone.
#[derive(Clone, Debug)]
pub struct Numbered<M> {
    prefix: &'static str,
    first: usize,
    modules: Vec<M>,
}

impl<M> Numbered<M> {
    /// Names start at `first`.
    pub fn new(prefix: &'static str, first: usize, modules: Vec<M>) -> Self {
        Self { prefix, first, modules }
    }

    /// The modules in order.
    pub fn iter(&self) -> std::slice::Iter<'_, M> {
        self.modules.iter()
    }

    fn name(&self, index: usize) -> String {
        format!("{}{}", self.prefix, self.first + index)
    }

    fn with(&self, modules: Vec<M>) -> Self {
        Self { prefix: self.prefix, first: self.first, modules }
    }
}

impl<M: Module> Module for Numbered<M> {
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        for (i, module) in self.modules.iter().enumerate() {
            visitor.enter_module(&self.name(i), "Vec");
            module.visit(visitor);
            visitor.exit_module(&self.name(i), "Vec");
        }
    }

    fn map<V: ModuleMapper>(mut self, mapper: &mut V) -> Self {
        let modules = std::mem::take(&mut self.modules).into_iter().enumerate().map(|(i, module)| {
            mapper.enter_module(&self.name(i), "Vec");
            let module = module.map(mapper);
            mapper.exit_module(&self.name(i), "Vec");
            module
        });
        let modules = modules.collect();
        self.with(modules)
    }

    fn collect_devices(&self, devices: Devices) -> Devices {
        self.modules.collect_devices(devices)
    }

    fn fork(self, device: &Device) -> Self {
        Self { modules: self.modules.fork(device), ..self }
    }

    fn to_device(self, device: &Device) -> Self {
        Self { modules: self.modules.to_device(device), ..self }
    }

    fn valid(&self) -> Self {
        self.with(self.modules.valid())
    }

    fn train(self) -> Self {
        Self { modules: self.modules.train(), ..self }
    }

    fn materialize(self) -> Self {
        Self { modules: self.modules.materialize(), ..self }
    }
}

impl<M: ModuleDisplay> ModuleDisplayDefault for Numbered<M> {
    fn content(&self, content: Content) -> Option<Content> {
        self.modules.content(content)
    }
}

impl<M: ModuleDisplay> ModuleDisplay for Numbered<M> {}

/// Normalisation as an operation on tensors.
pub trait Normalise {
    /// Normalises `[n, h, w, 3]`.
    fn apply(&self, x: Tensor<4>) -> Tensor<4>;
}

impl Normalise for Normalisation {
    fn apply(&self, x: Tensor<4>) -> Tensor<4> {
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
