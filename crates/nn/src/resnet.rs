//! ResNets for ImageNet-like images, with torchvision's layout and key names (He et al., "Deep Residual Learning for
//! Image Recognition", CVPR 2016, arXiv 1512.03385), and their wide (Zagoruyko and Komodakis 2016, arXiv 1605.07146)
//! and grouped (ResNeXt: Xie et al. 2017, arXiv 1611.05431) kin. ResNet-18 is also the control network.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::init::Init;
use crate::layers::{BatchNorm, Conv2d, ConvInit, LINEAR, Linear, Mode, RELU};
use crate::ops;

/// Which of torchvision's ResNets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// ResNet-18: basic blocks 2, 2, 2, 2.
    D18,
    /// ResNet-34: basic blocks 3, 4, 6, 3.
    D34,
    /// ResNet-50: bottlenecks 3, 4, 6, 3; the stride sits on the 3×3 convolution, as in torchvision.
    D50,
    /// ResNet-101: bottlenecks 3, 4, 23, 3.
    D101,
    /// Wide ResNet-50-2: ResNet-50 with twice the channels inside the bottlenecks.
    Wide50,
    /// ResNeXt-50 32×4d: ResNet-50 with 32 groups of 4 channels inside the first bottlenecks, doubling with the stage.
    Next50,
}

/// A convolution and its batch normalisation where a block's input must change shape.
#[derive(Module, Debug)]
pub struct Downsample {
    conv: Conv2d,
    bn: BatchNorm,
}

/// A residual block: basic (two 3×3 convolutions) or, with the third convolution, a bottleneck.
#[derive(Module, Debug)]
pub struct Block {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    conv3: Option<Conv2d>,
    bn3: Option<BatchNorm>,
    downsample: Option<Downsample>,
}

impl Block {
    /// A basic block of `width` channels, or a bottleneck with `inner` channels in its 3×3 convolution's `groups`.
    fn new(
        init: &Init,
        input: usize,
        width: usize,
        stride: usize,
        bottleneck: Option<(usize, usize)>,
    ) -> Self {
        let how = ConvInit::KaimingFanOut;
        let output = if bottleneck.is_some() { 4 * width } else { width };
        let downsample = (stride != 1 || input != output).then(|| {
            let init = init.child("downsample");
            Downsample {
                conv: Conv2d::new(&init.child("conv"), (input, output), 1, stride, 0, false, how),
                bn: BatchNorm::new(&init.child("bn"), output),
            }
        });
        let conv = |name: &str, channels, size, stride| {
            Conv2d::new(&init.child(name), channels, size, stride, size / 2, false, how)
        };
        let norm = |name: &str, channels| BatchNorm::new(&init.child(name), channels);
        if let Some((inner, groups)) = bottleneck {
            Self {
                conv1: conv("conv1", (input, inner), 1, 1),
                bn1: norm("bn1", inner),
                conv2: Conv2d::grouped(
                    &init.child("conv2"),
                    (inner, inner, groups),
                    3,
                    stride,
                    1,
                    false,
                    how,
                ),
                bn2: norm("bn2", inner),
                conv3: Some(conv("conv3", (inner, output), 1, 1)),
                bn3: Some(norm("bn3", output)),
                downsample,
            }
        } else {
            Self {
                conv1: conv("conv1", (input, width), 3, stride),
                bn1: norm("bn1", width),
                conv2: conv("conv2", (width, width), 3, 1),
                bn2: norm("bn2", width),
                conv3: None,
                bn3: None,
                downsample,
            }
        }
    }

    fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        let shortcut = match &self.downsample {
            Some(d) => d.conv.forward_normalised(x.clone(), &d.bn, mode, None, LINEAR),
            None => x.clone(),
        };
        let x = self.conv1.forward_normalised(x, &self.bn1, mode, None, RELU);
        match (&self.conv3, &self.bn3) {
            (Some(conv3), Some(bn3)) => {
                let x = self.conv2.forward_normalised(x, &self.bn2, mode, None, RELU);
                conv3.forward_normalised(x, bn3, mode, Some(shortcut), RELU)
            }
            _ => self.conv2.forward_normalised(x, &self.bn2, mode, Some(shortcut), RELU),
        }
    }
}

/// A torchvision ResNet.
#[derive(Module, Debug)]
pub struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
    fc: Linear,
}

impl ResNet {
    /// A fresh network with `classes` outputs.
    pub fn new(init: &Init, depth: Depth, classes: usize) -> Self {
        // Bottlenecks: how many times their width the inner channels are, and the groups.
        let (blocks, bottleneck) = match depth {
            Depth::D18 => ([2, 2, 2, 2], None),
            Depth::D34 => ([3, 4, 6, 3], None),
            Depth::D50 => ([3, 4, 6, 3], Some((1, 1))),
            Depth::D101 => ([3, 4, 23, 3], Some((1, 1))),
            Depth::Wide50 => ([3, 4, 6, 3], Some((2, 1))),
            Depth::Next50 => ([3, 4, 6, 3], Some((2, 32))),
        };
        let mut channels = 64;
        let mut layers = (0..4).map(|stage| {
            let init = init.child(format!("layer{}", stage + 1));
            let width = 64 << stage;
            (0..blocks[stage])
                .map(|i| {
                    let stride = if i == 0 && stage > 0 { 2 } else { 1 };
                    let inner = bottleneck.map(|(times, groups)| (times * width, groups));
                    let block = Block::new(&init.child(i), channels, width, stride, inner);
                    channels = if bottleneck.is_some() { 4 * width } else { width };
                    block
                })
                .collect::<Vec<_>>()
        });
        let mut next = || layers.next().expect("four stages");
        let (layer1, layer2, layer3, layer4) = (next(), next(), next(), next());
        let how = ConvInit::KaimingFanOut;
        Self {
            conv1: Conv2d::new(&init.child("conv1"), (3, 64), 7, 2, 3, false, how),
            bn1: BatchNorm::new(&init.child("bn1"), 64),
            layer1,
            layer2,
            layer3,
            layer4,
            fc: Linear::new(&init.child("fc"), if bottleneck.is_some() { 2048 } else { 512 }, classes, true),
        }
    }

    /// Normalised images `[n, h, w, 3]` of any size to `[n, classes]`.
    pub fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<2> {
        let x = self.conv1.forward_normalised(x, &self.bn1, mode, None, RELU);
        let mut x = ops::max_pool(x, 3, 2, 1);
        for block in [&self.layer1, &self.layer2, &self.layer3, &self.layer4].into_iter().flatten() {
            x = block.forward(x, mode);
        }
        let [n, _, _, c] = x.dims();
        self.fc.forward(ops::adaptive_avg_pool(x, 1).reshape([n, c]))
    }

    /// The same network with `by` added to the bias of output `index`.
    pub(crate) fn raise_output(mut self, index: usize, by: f32) -> Self {
        self.fc.bias = self.fc.bias.map(|bias| {
            bias.map(|old| {
                let mut raise = vec![0.0; old.dims()[0]];
                raise[index] = by;
                let raise = Tensor::from_data(raise.as_slice(), &old.device().without_autodiff());
                let new = old.clone().without_autodiff() + raise;
                match old.device().is_autodiff() {
                    true => Tensor::from_inner(new).require_grad(),
                    false => new,
                }
            })
        });
        self
    }

    /// The same network with the last layer of another.
    pub(crate) fn with_last_layer_of(self, other: Self) -> Self {
        Self { fc: other.fc, ..self }
    }
}
