//! The SK-UNet of URIE (Son et al., "URIE: Universal Image Enhancement for Visual Recognition in the Wild", ECCV 2020,
//! arXiv 2007.08979): the neural augmentation of the bank, and an enhancer on its own.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::init::Init;
use crate::layers::{BatchNorm, Conv2d, ConvInit, EPSILON, LEAKY_RELU, Linear, Mode};
use crate::ops;
use crate::ops::branches::BranchGate;

/// The gate looks at a grid of this many cells a side.
const CELLS: usize = 4;
/// The gate's hidden layer is this much smaller than its input.
const REDUCTION: usize = 16;

/// Two branches, one on batch-normalised and one on instance-normalised input, blended by a gate of one weight a
/// channel and cell.
#[derive(Module, Debug)]
pub struct SelectiveConv {
    bn: BatchNorm,
    conv_a: Conv2d,
    conv_b: Conv2d,
    squeeze: Linear,
    attend_a: Linear,
    attend_b: Linear,
}

impl SelectiveConv {
    fn new(init: &Init, input: usize, output: usize) -> Self {
        let conv = |name| Conv2d::new(&init.child(name), (input, output), 3, 1, 1, false, ConvInit::Default);
        let flat = CELLS * CELLS * output;
        let hidden = flat / REDUCTION;
        Self {
            bn: BatchNorm::new(&init.child("bn"), input),
            conv_a: conv("conv_a"),
            conv_b: conv("conv_b"),
            squeeze: Linear::new(&init.child("squeeze"), flat, hidden, false),
            attend_a: Linear::new(&init.child("attend_a"), hidden, flat, true),
            attend_b: Linear::new(&init.child("attend_b"), hidden, flat, true),
        }
    }

    fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        let fixed = (mode != Mode::Train).then(|| self.bn.running());
        let affine = [self.bn.weight.val(), self.bn.bias.val()];
        let weights = [self.conv_a.weight.val(), self.conv_b.weight.val()];
        let count = x.dims()[..3].iter().product();
        let (both, (mean, variance)) = ops::branches(x, affine, fixed, weights, EPSILON, LEAKY_RELU);
        if mode == Mode::Train {
            self.bn.update(mean, variance, count);
        }
        let gate = BranchGate::new(both);
        let pooled = gate.pool(CELLS);
        let [n, _, _, c] = pooled.dims();
        // The weights flatten channel first.
        let pooled = pooled.permute([0, 3, 1, 2]).reshape([n, c * CELLS * CELLS]);
        let hidden = burn::tensor::activation::relu(self.squeeze.forward(pooled));
        let logits_a = self.attend_a.forward(hidden.clone());
        let logits_b = self.attend_b.forward(hidden);
        // A softmax over two is a sigmoid of the difference.
        let share = burn::tensor::activation::sigmoid(logits_a - logits_b);
        let map = |t: Tensor<2>| t.reshape([n, c, CELLS, CELLS]).permute([0, 2, 3, 1]);
        let rest = share.clone().neg().add_scalar(1.0);
        gate.blend(map(share), map(rest))
    }
}

/// The SK-UNet: image in, image plus a learned residual out.
#[derive(Module, Debug)]
pub struct SkUnet {
    stem: Conv2d,
    down1: SelectiveConv,
    down2: SelectiveConv,
    up1: SelectiveConv,
    up2: SelectiveConv,
    head: Conv2d,
}

impl SkUnet {
    /// The smallest side it takes: two poolings leave one pixel of four.
    pub const MIN_SIDE: usize = 4;

    /// A fresh network.
    pub fn new(init: &Init) -> Self {
        Self {
            stem: Conv2d::new(&init.child("stem"), (3, 32), 9, 1, 4, true, ConvInit::Default),
            down1: SelectiveConv::new(&init.child("down1"), 32, 64),
            down2: SelectiveConv::new(&init.child("down2"), 64, 64),
            up1: SelectiveConv::new(&init.child("up1"), 128, 32),
            up2: SelectiveConv::new(&init.child("up2"), 64, 16),
            head: Conv2d::new(&init.child("head"), (16, 3), 3, 1, 1, true, ConvInit::Default),
        }
    }

    /// `[n, h, w, 3]` in `0..=1` to the same shape, not clamped.
    ///
    /// # Panics
    /// If a side is below [`Self::MIN_SIDE`].
    pub fn forward(&self, image: Tensor<4>, mode: Mode) -> Tensor<4> {
        let full = self.stem.forward(image.clone());
        let half = self.down1.forward(ops::max_pool(full.clone(), 2, 2, 0), mode);
        let quarter = self.down2.forward(ops::max_pool(half.clone(), 2, 2, 0), mode);
        let half = self.up1.forward(ops::join_doubled(half, quarter), mode);
        let full = self.up2.forward(ops::join_doubled(full, half), mode);
        image + self.head.forward(full)
    }
}
