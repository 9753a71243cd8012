//! Vision transformer, with torchvision's keys (Dosovitskiy et al. 2021, arXiv 2010.11929).

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{Input, Model, Size, ZooNet};
use crate::init::{Fill, Init};
use crate::layers::{Conv2d, ConvInit, Gap, LayerNorm, Linear, Mode, Numbered};
use crate::ops;

pub(super) const MODELS: &[Model] = &[Model {
    name: "vit_b_16",
    input: Input { size: Size::Exactly(SIZE), ..Input::imagenet(SIZE) },
    last_layer: "heads.head.weight",
    features: CHANNELS,
    mark: (152, "conv_proj.weight", &[CHANNELS, 3, PATCH, PATCH]),
    new: |init, classes| ZooNet::VisionTransformer(VisionTransformer::new(init, classes)),
}];

const SIZE: usize = 224;
const PATCH: usize = 16;
const TOKENS: usize = (SIZE / PATCH) * (SIZE / PATCH) + 1;
const CHANNELS: usize = 768;
const HEADS: usize = 12;
const INNER: usize = 3072;
const BLOCKS: usize = 12;
const EPSILON: f64 = 1e-6;

/// Glorot's bound for a matrix of this size.
fn xavier(input: usize, output: usize) -> Fill {
    Fill::Uniform((6.0 / (input + output) as f64).sqrt())
}

/// Self-attention of several heads: queries, keys and values are one matrix, in this order.
#[derive(Module, Debug)]
pub struct Attention {
    /// `[3c, c]`.
    in_proj_weight: Param<Tensor<2>>,
    /// `[3c]`.
    in_proj_bias: Param<Tensor<1>>,
    out_proj: Linear,
}

impl Attention {
    fn new(init: &Init) -> Self {
        let bound = (CHANNELS as f64).sqrt().recip();
        let at = init.child("out_proj");
        Self {
            in_proj_weight: init
                .child("in_proj_weight")
                .filled([3 * CHANNELS, CHANNELS], xavier(CHANNELS, 3 * CHANNELS)),
            in_proj_bias: init.child("in_proj_bias").constant([3 * CHANNELS], 0.0),
            out_proj: Linear::filled(&at, CHANNELS, CHANNELS, Fill::Uniform(bound), Fill::Constant(0.0)),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [n, tokens, c] = x.dims();
        let rows = x.reshape([n * tokens, c]);
        let qkv = ops::linear(rows, self.in_proj_weight.val(), Some(self.in_proj_bias.val()));
        let y = ops::attention(qkv.reshape([n, tokens, 3 * c]), HEADS);
        self.out_proj.forward_tokens(y)
    }
}

/// Attention, then two linear layers on each token, each normalised before and added to its input.
#[derive(Module, Debug)]
pub struct Block {
    ln_1: LayerNorm,
    self_attention: Attention,
    ln_2: LayerNorm,
    mlp: (Linear, Gap, Gap, Linear),
}

impl Block {
    fn new(init: &Init) -> Self {
        let at = init.child("mlp");
        let linear = |index: usize, input, output| {
            Linear::filled(&at.child(index), input, output, xavier(input, output), Fill::Normal(1e-6))
        };
        Self {
            ln_1: LayerNorm::new(&init.child("ln_1"), CHANNELS, EPSILON),
            self_attention: Attention::new(&init.child("self_attention")),
            ln_2: LayerNorm::new(&init.child("ln_2"), CHANNELS, EPSILON),
            mlp: (linear(0, CHANNELS, INNER), Gap, Gap, linear(3, INNER, CHANNELS)),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = x.clone() + self.self_attention.forward(self.ln_1.forward(x));
        let (expand, _, _, reduce) = &self.mlp;
        let y = ops::gelu(expand.forward_tokens(self.ln_2.forward(x.clone())));
        x + reduce.forward_tokens(y)
    }
}

/// The blocks with what is before and after them.
#[derive(Module, Debug)]
pub struct Encoder {
    /// `[1, tokens, c]`.
    pos_embedding: Param<Tensor<3>>,
    layers: Numbered<Block>,
    ln: LayerNorm,
}

/// The last layer.
#[derive(Module, Debug)]
pub struct Heads {
    head: Linear,
}

/// ViT-B/16 for 224 × 224 pixels.
#[derive(Module, Debug)]
pub struct VisionTransformer {
    /// `[1, 1, c]`.
    class_token: Param<Tensor<3>>,
    conv_proj: Conv2d,
    encoder: Encoder,
    heads: Heads,
}

impl VisionTransformer {
    fn new(init: &Init, classes: usize) -> Self {
        let at = init.child("encoder");
        let layer = |i| Block::new(&at.child("layers").child(format!("encoder_layer_{i}")));
        let how = ConvInit::Normal(((3 * PATCH * PATCH) as f64).sqrt().recip());
        let zero = Fill::Constant(0.0);
        Self {
            class_token: init.child("class_token").constant([1, 1, CHANNELS], 0.0),
            conv_proj: Conv2d::new(&init.child("conv_proj"), (3, CHANNELS), PATCH, PATCH, 0, true, how),
            encoder: Encoder {
                pos_embedding: at.child("pos_embedding").normal([1, TOKENS, CHANNELS], 0.02),
                layers: Numbered::new("encoder_layer_", 0, (0..BLOCKS).map(layer).collect()),
                ln: LayerNorm::new(&at.child("ln"), CHANNELS, EPSILON),
            },
            heads: Heads { head: Linear::filled(&init.child("heads.head"), CHANNELS, classes, zero, zero) },
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>, _: Mode) -> Tensor<2> {
        let x = self.conv_proj.forward(x);
        let [n, h, w, c] = x.dims();
        let class = self.class_token.val().expand([n, 1, c]);
        let x = Tensor::cat(vec![class, x.reshape([n, h * w, c])], 1) + self.encoder.pos_embedding.val();
        let x = self.encoder.layers.iter().fold(x, |x, block| block.forward(x));
        // The class token alone is looked at, and each token is normalised for itself.
        let class = x.slice([0..n, 0..1, 0..c]).reshape([n, c]);
        self.heads.head.forward(self.encoder.ln.forward(class))
    }
}
