//! EfficientNet-B0, with torchvision's keys (Tan and Le 2019, arXiv 1905.11946); and as TensorFlow has it, whose weights were
//! brought to PyTorch with its padding and normalisation constants (timm's `tf_efficientnet_b0`).

use burn::module::Module;
use burn::tensor::{Tensor, activation};
use dyntta_image::Filter;

use super::{ConvNorm, Input, Model, ZooNet, conv_norm, conv_norm_forward, pooled};
use crate::init::{Fill, Init};
use crate::layers::{BatchNorm, Conv2d, ConvInit, Gap, LINEAR, Linear, Mode};
use crate::ops;

pub(super) const MODELS: &[Model] = &[
    Model {
        name: "efficientnet_b0",
        new: |init, classes| ZooNet::EfficientNet(EfficientNet::new(init, false, classes)),
        ..B0
    },
    Model {
        name: "tf_efficientnet_b0",
        new: |init, classes| ZooNet::EfficientNet(EfficientNet::new(init, true, classes)),
        ..B0
    },
];

/// What both have. Their weights are told apart by a name beside them alone.
const B0: Model = Model {
    name: "",
    input: Input { filter: Filter::Bicubic, ..Input::imagenet(1) },
    last_layer: "classifier.1.weight",
    features: 1280,
    mark: (311, "features.7.0.block.3.0.weight", &[320, 1152, 1, 1]),
    new: |init, classes| ZooNet::EfficientNet(EfficientNet::new(init, false, classes)),
};

/// A convolution and its normalisation: torchvision's, or with TensorFlow's constants and room for its padding.
fn layers(init: &Init, channels: (usize, usize, usize), size: usize, stride: usize, tensorflow: bool) -> ConvNorm {
    if !tensorflow {
        return conv_norm(init, channels, size, stride);
    }
    let how = ConvInit::KaimingFanOut;
    (
        Conv2d::grouped(&init.child(0), channels, size, stride, 0, false, how),
        BatchNorm::with(&init.child(1), channels.1, 1e-3, 0.01),
    )
}

/// Without the activation.
fn layers_forward(layers: &ConvNorm, x: Tensor<4>, mode: Mode, tensorflow: bool) -> Tensor<4> {
    if !tensorflow {
        return conv_norm_forward(layers, x, mode);
    }
    let (conv, norm) = layers;
    norm.forward(conv.forward_same(x), mode, LINEAR)
}

/// A stage of inverted residuals.
pub(super) struct Stage {
    /// How many times the input's channels are inside a block.
    pub expand: usize,
    /// The side of the depthwise kernel.
    pub kernel: usize,
    /// The stride of the first block.
    pub stride: usize,
    /// Output channels.
    pub output: usize,
    /// Number of blocks.
    pub blocks: usize,
}

const fn stage(expand: usize, kernel: usize, stride: usize, output: usize, blocks: usize) -> Stage {
    Stage { expand, kernel, stride, output, blocks }
}

/// The stages of B0 (table 1 of the paper) and of Lite0.
pub(super) const STAGES: [Stage; 7] = [
    stage(1, 3, 1, 16, 1),
    stage(6, 3, 2, 24, 2),
    stage(6, 5, 2, 40, 2),
    stage(6, 3, 2, 80, 3),
    stage(6, 5, 1, 112, 3),
    stage(6, 5, 2, 192, 4),
    stage(6, 3, 1, 320, 1),
];

/// Channels weighed by what their means over the image say (squeeze and excitation).
#[derive(Module, Debug)]
pub struct Excitation {
    fc1: Conv2d,
    fc2: Conv2d,
}

impl Excitation {
    fn new(init: &Init, channels: usize, inner: usize) -> Self {
        let conv = |name: &str, channels| {
            Conv2d::new(&init.child(name), channels, 1, 1, 0, true, ConvInit::KaimingFanOut)
        };
        Self { fc1: conv("fc1", (channels, inner)), fc2: conv("fc2", (inner, channels)) }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let means = ops::adaptive_avg_pool(x.clone(), 1);
        let weights = self.fc2.forward(ops::silu(self.fc1.forward(means)));
        ops::scale_channels(x, activation::sigmoid(weights))
    }
}

/// A part of a block.
#[derive(Module, Debug)]
pub enum Part {
    /// Convolution, normalisation, SiLU; the last of a block has no activation.
    ConvNorm(ConvNorm),
    /// Squeeze and excitation.
    Excitation(Excitation),
}

/// More channels, a depthwise convolution, squeeze and excitation, fewer channels; with a shortcut around it where the
/// shape stays.
#[derive(Module, Debug)]
pub struct Block {
    block: Vec<Part>,
    #[module(skip)]
    shortcut: bool,
    #[module(skip)]
    tensorflow: bool,
}

impl Block {
    fn new(init: &Init, input: usize, stage: &Stage, stride: usize, tensorflow: bool) -> Self {
        let at = init.child("block");
        let inner = stage.expand * input;
        let mut block = Vec::new();
        if stage.expand != 1 {
            block.push(Part::ConvNorm(layers(&at.child(0), (input, inner, 1), 1, 1, tensorflow)));
        }
        let place = at.child(block.len());
        let depthwise = layers(&place, (inner, inner, inner), stage.kernel, stride, tensorflow);
        block.push(Part::ConvNorm(depthwise));
        block.push(Part::Excitation(Excitation::new(&at.child(block.len()), inner, (input / 4).max(1))));
        let place = at.child(block.len());
        block.push(Part::ConvNorm(layers(&place, (inner, stage.output, 1), 1, 1, tensorflow)));
        Self { block, shortcut: stride == 1 && input == stage.output, tensorflow }
    }

    fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        let mut y = x.clone();
        for (i, part) in self.block.iter().enumerate() {
            y = match part {
                Part::ConvNorm(layers) if i + 1 == self.block.len() => {
                    layers_forward(layers, y, mode, self.tensorflow)
                }
                Part::ConvNorm(layers) => ops::silu(layers_forward(layers, y, mode, self.tensorflow)),
                Part::Excitation(excitation) => excitation.forward(y),
            };
        }
        if self.shortcut { x + y } else { y }
    }
}

/// One step of the features.
#[derive(Module, Debug)]
pub enum Step {
    /// Convolution, normalisation, SiLU.
    ConvNormAct(ConvNorm),
    /// The blocks of a stage.
    Stage(Vec<Block>),
}

/// EfficientNet-B0. In training there is neither dropout nor stochastic depth here.
#[derive(Module, Debug)]
pub struct EfficientNet {
    features: Vec<Step>,
    classifier: (Gap, Linear),
    #[module(skip)]
    tensorflow: bool,
}

impl EfficientNet {
    fn new(init: &Init, tensorflow: bool, classes: usize) -> Self {
        let at = init.child("features");
        let mut features = vec![Step::ConvNormAct(layers(&at.child(0), (3, 32, 1), 3, 2, tensorflow))];
        let mut input = 32;
        for stage in &STAGES {
            let at = at.child(features.len());
            let block = |i| {
                let (input, stride) = if i == 0 { (input, stage.stride) } else { (stage.output, 1) };
                Block::new(&at.child(i), input, stage, stride, tensorflow)
            };
            features.push(Step::Stage((0..stage.blocks).map(block).collect()));
            input = stage.output;
        }
        let place = at.child(features.len());
        features.push(Step::ConvNormAct(layers(&place, (input, 1280, 1), 1, 1, tensorflow)));
        let bound = (classes as f64).sqrt().recip();
        let at = init.child("classifier.1");
        let last = Linear::filled(&at, 1280, classes, Fill::Uniform(bound), Fill::Constant(0.0));
        Self { features, classifier: (Gap, last), tensorflow }
    }

    pub(super) fn forward(&self, mut x: Tensor<4>, mode: Mode) -> Tensor<2> {
        for step in &self.features {
            x = match step {
                Step::ConvNormAct(layers) => ops::silu(layers_forward(layers, x, mode, self.tensorflow)),
                Step::Stage(blocks) => blocks.iter().fold(x, |x, block| block.forward(x, mode)),
            };
        }
        self.classifier.1.forward(pooled(x))
    }
}
