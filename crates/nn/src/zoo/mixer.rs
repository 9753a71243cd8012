//! MLP-Mixer, with timm's keys (Tolstikhin et al. 2021, arXiv 2105.01601).

use burn::module::Module;
use burn::tensor::Tensor;
use dyntta_image::Filter;
use dyntta_model::Normalisation;

use super::{Input, Model, Size, ZooNet};
use crate::init::{Fill, Init};
use crate::layers::{Conv2d, ConvInit, LayerNorm, Linear, Mode};
use crate::ops;

pub(super) const MODELS: &[Model] = &[Model {
    name: "mixer_b16",
    input: Input {
        resize: 256,
        crop: SIZE,
        filter: Filter::Bicubic,
        normalisation: Normalisation { mean: [0.5; 3], std: [0.5; 3], ..Normalisation::IMAGENET },
        size: Size::Exactly(SIZE),
    },
    last_layer: "head.weight",
    features: CHANNELS,
    mark: (150, "stem.proj.weight", &[CHANNELS, 3, PATCH, PATCH]),
    new: |init, classes| ZooNet::Mixer(Mixer::new(init, classes)),
}];

const SIZE: usize = 224;
const PATCH: usize = 16;
const TOKENS: usize = (SIZE / PATCH) * (SIZE / PATCH);
const CHANNELS: usize = 768;
const BLOCKS: usize = 12;
const EPSILON: f64 = 1e-6;

/// Two linear layers on the last dimension.
#[derive(Module, Debug)]
pub struct Mlp {
    fc1: Linear,
    fc2: Linear,
}

impl Mlp {
    fn new(init: &Init, channels: usize, inner: usize) -> Self {
        let xavier = Fill::Uniform((6.0 / (channels + inner) as f64).sqrt());
        let linear = |name: &str, input, output| {
            Linear::filled(&init.child(name), input, output, xavier, Fill::Normal(1e-6))
        };
        Self { fc1: linear("fc1", channels, inner), fc2: linear("fc2", inner, channels) }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.fc2.forward_tokens(ops::gelu(self.fc1.forward_tokens(x)))
    }
}

/// A perceptron across the tokens of each channel, then one across the channels of each token, each normalised before
/// and added to its input.
#[derive(Module, Debug)]
pub struct Block {
    norm1: LayerNorm,
    mlp_tokens: Mlp,
    norm2: LayerNorm,
    mlp_channels: Mlp,
}

impl Block {
    fn new(init: &Init) -> Self {
        Self {
            norm1: LayerNorm::new(&init.child("norm1"), CHANNELS, EPSILON),
            mlp_tokens: Mlp::new(&init.child("mlp_tokens"), TOKENS, CHANNELS / 2),
            norm2: LayerNorm::new(&init.child("norm2"), CHANNELS, EPSILON),
            mlp_channels: Mlp::new(&init.child("mlp_channels"), CHANNELS, 4 * CHANNELS),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let tokens = self.norm1.forward(x.clone()).swap_dims(1, 2);
        let x = x + self.mlp_tokens.forward(tokens).swap_dims(1, 2);
        x.clone() + self.mlp_channels.forward(self.norm2.forward(x))
    }
}

/// How patches become tokens.
#[derive(Module, Debug)]
pub struct Stem {
    proj: Conv2d,
}

/// Mixer-B/16 for 224 × 224 pixels.
#[derive(Module, Debug)]
pub struct Mixer {
    stem: Stem,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
}

impl Mixer {
    fn new(init: &Init, classes: usize) -> Self {
        let how = ConvInit::Normal(((3 * PATCH * PATCH) as f64).sqrt().recip());
        let zero = Fill::Constant(0.0);
        Self {
            stem: Stem {
                proj: Conv2d::new(&init.child("stem.proj"), (3, CHANNELS), PATCH, PATCH, 0, true, how),
            },
            blocks: (0..BLOCKS).map(|i| Block::new(&init.child("blocks").child(i))).collect(),
            norm: LayerNorm::new(&init.child("norm"), CHANNELS, EPSILON),
            head: Linear::filled(&init.child("head"), CHANNELS, classes, zero, zero),
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>, _: Mode) -> Tensor<2> {
        let x = self.stem.proj.forward(x);
        let [n, h, w, c] = x.dims();
        let x = self.blocks.iter().fold(x.reshape([n, h * w, c]), |x, block| block.forward(x));
        let means = self.norm.forward(x).mean_dim(1).reshape([n, c]);
        self.head.forward(means)
    }
}
