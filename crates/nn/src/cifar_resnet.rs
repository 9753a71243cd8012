//! ResNets for 32×32 images: 6n + 2 layers, shortcuts without parameters (He et al. 2015, section 4.2, option A).

use burn::module::Module;
use burn::tensor::Tensor;

use crate::init::Init;
use crate::layers::{BatchNorm, Conv2d, ConvInit, Linear, Mode, RELU};
use crate::ops;

/// Two 3×3 convolutions; where the shape changes, the shortcut takes every second pixel and pads the channels with
/// zeros on both sides.
#[derive(Module, Debug)]
pub struct Block {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
}

impl Block {
    fn new(init: &Init, input: usize, output: usize, stride: usize) -> Self {
        let how = ConvInit::KaimingFanIn;
        Self {
            conv1: Conv2d::new(&init.child("conv1"), (input, output), 3, stride, 1, false, how),
            bn1: BatchNorm::new(&init.child("bn1"), output),
            conv2: Conv2d::new(&init.child("conv2"), (output, output), 3, 1, 1, false, how),
            bn2: BatchNorm::new(&init.child("bn2"), output),
        }
    }

    fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        let y = self.conv1.forward_normalised(x.clone(), &self.bn1, mode, None, RELU);
        let shortcut = if x.dims() == y.dims() { x } else { ops::shrink_shortcut(x, y.dims()[3]) };
        self.conv2.forward_normalised(y, &self.bn2, mode, Some(shortcut), RELU)
    }
}

/// A CIFAR ResNet of `6n + 2` layers.
#[derive(Module, Debug)]
pub struct CifarResNet {
    conv1: Conv2d,
    bn1: BatchNorm,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    linear: Linear,
}

impl CifarResNet {
    /// A fresh network of `6 · blocks + 2` layers with `classes` outputs.
    pub fn new(init: &Init, blocks: usize, classes: usize) -> Self {
        let stage = |name: &str, input: usize, output: usize, stride: usize| {
            let init = init.child(name);
            (0..blocks)
                .map(|i| match i {
                    0 => Block::new(&init.child(i), input, output, stride),
                    _ => Block::new(&init.child(i), output, output, 1),
                })
                .collect()
        };
        Self {
            conv1: Conv2d::new(&init.child("conv1"), (3, 16), 3, 1, 1, false, ConvInit::KaimingFanIn),
            bn1: BatchNorm::new(&init.child("bn1"), 16),
            layer1: stage("layer1", 16, 16, 1),
            layer2: stage("layer2", 16, 32, 2),
            layer3: stage("layer3", 32, 64, 2),
            linear: Linear::new(&init.child("linear"), 64, classes, true),
        }
    }

    /// Normalised images `[n, h, w, 3]` of any size to `[n, classes]`.
    pub fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<2> {
        let mut x = self.conv1.forward_normalised(x, &self.bn1, mode, None, RELU);
        for block in [&self.layer1, &self.layer2, &self.layer3].into_iter().flatten() {
            x = block.forward(x, mode);
        }
        let [n, _, _, c] = x.dims();
        self.linear.forward(ops::adaptive_avg_pool(x, 1).reshape([n, c]))
    }
}
