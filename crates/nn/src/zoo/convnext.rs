//! ConvNeXt, with torchvision's keys (Liu et al. 2022, arXiv 2201.03545).

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{Input, Model, ZooNet};
use crate::init::{Fill, Init};
use crate::layers::{Conv2d, ConvInit, Gap, LayerNorm, Linear, Mode};
use crate::ops;

pub(super) const MODELS: &[Model] = &[Model {
    name: "convnext_tiny",
    input: Input { resize: 236, ..Input::imagenet(32) },
    last_layer: "classifier.2.weight",
    features: 768,
    mark: (182, "features.6.1.weight", &[768, 384, 2, 2]),
    new: |init, classes| ZooNet::ConvNeXt(ConvNeXt::new(init, classes)),
}];

/// Channels and blocks of each stage.
const STAGES: [(usize, usize); 4] = [(96, 3), (192, 3), (384, 9), (768, 3)];
const EPSILON: f64 = 1e-6;
const HOW: ConvInit = ConvInit::Normal(0.02);

fn linear(init: &Init, input: usize, output: usize) -> Linear {
    Linear::filled(init, input, output, Fill::Normal(0.02), Fill::Constant(0.0))
}

/// A depthwise 7×7 convolution, then two linear layers on each pixel, all scaled by channel and added to the input.
#[derive(Module, Debug)]
pub struct Block {
    block: (Conv2d, Gap, LayerNorm, Linear, Gap, Linear),
    /// `[c, 1, 1]`.
    layer_scale: Param<Tensor<3>>,
}

impl Block {
    fn new(init: &Init, channels: usize) -> Self {
        let at = init.child("block");
        Self {
            block: (
                Conv2d::grouped(&at.child(0), (channels, channels, channels), 7, 1, 3, true, HOW),
                Gap,
                LayerNorm::new(&at.child(2), channels, EPSILON),
                linear(&at.child(3), channels, 4 * channels),
                Gap,
                linear(&at.child(5), 4 * channels, channels),
            ),
            layer_scale: init.child("layer_scale").constant([channels, 1, 1], 1e-6),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [n, h, w, c] = x.dims();
        let (conv, _, norm, expand, _, reduce) = &self.block;
        let y = norm.forward(conv.forward(x.clone())).reshape([n * h * w, c]);
        let y = reduce.forward(ops::gelu(expand.forward(y))).reshape([n, h, w, c]);
        x + ops::scale_channels(y, self.layer_scale.val().reshape([1, 1, 1, c]))
    }
}

/// One step of the features.
#[derive(Module, Debug)]
pub enum Step {
    /// 4×4 pixels become one.
    Stem((Conv2d, LayerNorm)),
    /// The blocks of a stage.
    Stage(Vec<Block>),
    /// 2×2 pixels become one.
    Downsample((LayerNorm, Conv2d)),
}

/// ConvNeXt-Tiny. In training there is no stochastic depth here.
#[derive(Module, Debug)]
pub struct ConvNeXt {
    features: Vec<Step>,
    classifier: (LayerNorm, Gap, Linear),
}

impl ConvNeXt {
    fn new(init: &Init, classes: usize) -> Self {
        let at = init.child("features");
        let mut features = Vec::new();
        let mut input = 3;
        for (channels, blocks) in STAGES {
            let here = at.child(features.len());
            features.push(match input {
                3 => Step::Stem((
                    Conv2d::new(&here.child(0), (3, channels), 4, 4, 0, true, HOW),
                    LayerNorm::new(&here.child(1), channels, EPSILON),
                )),
                _ => Step::Downsample((
                    LayerNorm::new(&here.child(0), input, EPSILON),
                    Conv2d::new(&here.child(1), (input, channels), 2, 2, 0, true, HOW),
                )),
            });
            let here = at.child(features.len());
            features.push(Step::Stage((0..blocks).map(|i| Block::new(&here.child(i), channels)).collect()));
            input = channels;
        }
        let at = init.child("classifier");
        let norm = LayerNorm::new(&at.child(0), input, EPSILON);
        Self { features, classifier: (norm, Gap, linear(&at.child(2), input, classes)) }
    }

    pub(super) fn forward(&self, mut x: Tensor<4>, _: Mode) -> Tensor<2> {
        for step in &self.features {
            x = match step {
                Step::Stem((conv, norm)) => norm.forward(conv.forward(x)),
                Step::Stage(blocks) => blocks.iter().fold(x, |x, block| block.forward(x)),
                Step::Downsample((norm, conv)) => conv.forward(norm.forward(x)),
            };
        }
        let (norm, _, last) = &self.classifier;
        last.forward(norm.forward(super::pooled(x)))
    }
}
