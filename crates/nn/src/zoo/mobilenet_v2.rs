//! MobileNetV2, with torchvision's keys (Sandler et al. 2018, arXiv 1801.04381).

use burn::module::Module;
use burn::tensor::Tensor;

use super::{ConvNorm, Input, Model, ZooNet, conv_norm, conv_norm_forward, pooled};
use crate::init::{Fill, Init};
use crate::layers::{BatchNorm, Conv2d, ConvInit, Gap, LINEAR, Linear, Mode};
use crate::ops;

pub(super) const MODELS: &[Model] = &[Model {
    name: "mobilenet_v2",
    input: Input::imagenet(1),
    last_layer: "classifier.1.weight",
    features: 1280,
    mark: (262, "features.17.conv.2.weight", &[320, 960, 1, 1]),
    new: |init, classes| ZooNet::MobileNetV2(MobileNetV2::new(init, classes)),
}];

/// Stages: times that the channels expand, output channels, blocks, stride of the first.
const STAGES: [(usize, usize, usize, usize); 7] =
    [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)];

/// A part of an inverted residual.
#[derive(Module, Debug)]
pub enum Part {
    /// Convolution, normalisation, ReLU6.
    ConvNormAct(ConvNorm),
    /// The last convolution.
    Conv(Conv2d),
    /// Its normalisation, without activation.
    Norm(BatchNorm),
}

/// More channels by a 1×1 convolution (unless there are enough), a depthwise 3×3 one, fewer channels by a 1×1 one; with
/// a shortcut around it where the shape stays.
#[derive(Module, Debug)]
pub struct InvertedResidual {
    conv: Vec<Part>,
    #[module(skip)]
    shortcut: bool,
}

impl InvertedResidual {
    fn new(init: &Init, input: usize, expand: usize, output: usize, stride: usize) -> Self {
        let at = init.child("conv");
        let inner = expand * input;
        let mut conv = Vec::new();
        if expand != 1 {
            conv.push(Part::ConvNormAct(conv_norm(&at.child(0), (input, inner, 1), 1, 1)));
        }
        conv.push(Part::ConvNormAct(conv_norm(&at.child(conv.len()), (inner, inner, inner), 3, stride)));
        let how = ConvInit::KaimingFanOut;
        conv.push(Part::Conv(Conv2d::new(&at.child(conv.len()), (inner, output), 1, 1, 0, false, how)));
        conv.push(Part::Norm(BatchNorm::new(&at.child(conv.len()), output)));
        Self { conv, shortcut: stride == 1 && input == output }
    }

    fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        let y = self.conv.iter().fold(x.clone(), |x, part| match part {
            Part::ConvNormAct(layers) => ops::relu6(conv_norm_forward(layers, x, mode)),
            Part::Conv(conv) => conv.forward(x),
            Part::Norm(norm) => norm.forward(x, mode, LINEAR),
        });
        if self.shortcut { x + y } else { y }
    }
}

/// One step of the features.
#[derive(Module, Debug)]
pub enum Step {
    /// Convolution, normalisation, ReLU6.
    ConvNormAct(ConvNorm),
    /// An inverted residual.
    Block(InvertedResidual),
}

/// MobileNetV2 at width 1. In training there is no dropout here.
#[derive(Module, Debug)]
pub struct MobileNetV2 {
    features: Vec<Step>,
    classifier: (Gap, Linear),
}

impl MobileNetV2 {
    fn new(init: &Init, classes: usize) -> Self {
        let at = init.child("features");
        let mut features = vec![Step::ConvNormAct(conv_norm(&at.child(0), (3, 32, 1), 3, 2))];
        let mut input = 32;
        for (expand, output, blocks, stride) in STAGES {
            for i in 0..blocks {
                let (at, stride) = (at.child(features.len()), if i == 0 { stride } else { 1 });
                features.push(Step::Block(InvertedResidual::new(&at, input, expand, output, stride)));
                input = output;
            }
        }
        features.push(Step::ConvNormAct(conv_norm(&at.child(features.len()), (input, 1280, 1), 1, 1)));
        let at = init.child("classifier.1");
        let last = Linear::filled(&at, 1280, classes, Fill::Normal(0.01), Fill::Constant(0.0));
        Self { features, classifier: (Gap, last) }
    }

    pub(super) fn forward(&self, mut x: Tensor<4>, mode: Mode) -> Tensor<2> {
        for step in &self.features {
            x = match step {
                Step::ConvNormAct(layers) => ops::relu6(conv_norm_forward(layers, x, mode)),
                Step::Block(block) => block.forward(x, mode),
            };
        }
        self.classifier.1.forward(pooled(x))
    }
}
