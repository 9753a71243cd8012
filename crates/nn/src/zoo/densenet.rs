//! DenseNet, with torchvision's keys (Huang et al. 2017, arXiv 1608.06993).

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Input, Model, ZooNet, pooled};
use crate::init::{Fill, Init};
use crate::layers::{BatchNorm, Conv2d, ConvInit, Linear, Mode, Numbered, RELU};
use crate::ops;

pub(super) const MODELS: &[Model] = &[Model {
    name: "densenet121",
    input: Input::imagenet(29),
    last_layer: "classifier.weight",
    features: 1024,
    mark: (606, "features.transition3.conv.weight", &[512, 1024, 1, 1]),
    new: |init, classes| ZooNet::DenseNet(DenseNet::new(init, classes)),
}];

/// Channels that each layer adds.
const GROWTH: usize = 32;
/// Channels inside a layer.
const INNER: usize = 4 * GROWTH;
/// Layers of each block.
const LAYERS: [usize; 4] = [6, 12, 24, 16];

fn conv(init: &Init, channels: (usize, usize), size: usize, stride: usize) -> Conv2d {
    Conv2d::new(init, channels, size, stride, size / 2, false, ConvInit::KaimingFanIn)
}

/// Normalisation and ReLU before each of two convolutions; the input is kept beside the result.
#[derive(Module, Debug)]
pub struct Layer {
    norm1: BatchNorm,
    conv1: Conv2d,
    norm2: BatchNorm,
    conv2: Conv2d,
}

impl Layer {
    fn new(init: &Init, input: usize) -> Self {
        Self {
            norm1: BatchNorm::new(&init.child("norm1"), input),
            conv1: conv(&init.child("conv1"), (input, INNER), 1, 1),
            norm2: BatchNorm::new(&init.child("norm2"), INNER),
            conv2: conv(&init.child("conv2"), (INNER, GROWTH), 3, 1),
        }
    }

    fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        let y = self.conv1.forward(self.norm1.forward(x.clone(), mode, RELU));
        let y = self.conv2.forward(self.norm2.forward(y, mode, RELU));
        Tensor::cat(vec![x, y], 3)
    }
}

/// Between blocks: half the channels, half the image.
#[derive(Module, Debug)]
pub struct Transition {
    norm: BatchNorm,
    conv: Conv2d,
}

impl Transition {
    fn new(init: &Init, input: usize) -> Self {
        Self {
            norm: BatchNorm::new(&init.child("norm"), input),
            conv: conv(&init.child("conv"), (input, input / 2), 1, 1),
        }
    }

    fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        ops::avg_pool(self.conv.forward(self.norm.forward(x, mode, RELU)), 2)
    }
}

/// All but the last layer.
#[derive(Module, Debug)]
pub struct Features {
    conv0: Conv2d,
    norm0: BatchNorm,
    denseblock1: Numbered<Layer>,
    transition1: Transition,
    denseblock2: Numbered<Layer>,
    transition2: Transition,
    denseblock3: Numbered<Layer>,
    transition3: Transition,
    denseblock4: Numbered<Layer>,
    norm5: BatchNorm,
}

/// DenseNet-121.
#[derive(Module, Debug)]
pub struct DenseNet {
    features: Features,
    classifier: Linear,
}

impl DenseNet {
    fn new(init: &Init, classes: usize) -> Self {
        let at = init.child("features");
        let block = |index: usize, input: usize| {
            let at = at.child(format!("denseblock{}", index + 1));
            let layer = |i| Layer::new(&at.child(format!("denselayer{}", i + 1)), input + i * GROWTH);
            Numbered::new("denselayer", 1, (0..LAYERS[index]).map(layer).collect())
        };
        // What block `index` takes in: half of what the one before gave out.
        let input = |index: usize| (0..index).fold(64, |c, i| (c + LAYERS[i] * GROWTH) / 2);
        let output = |index: usize| input(index) + LAYERS[index] * GROWTH;
        let transition =
            |index: usize| Transition::new(&at.child(format!("transition{}", index + 1)), output(index));
        Self {
            features: Features {
                conv0: conv(&at.child("conv0"), (3, 64), 7, 2),
                norm0: BatchNorm::new(&at.child("norm0"), 64),
                denseblock1: block(0, input(0)),
                transition1: transition(0),
                denseblock2: block(1, input(1)),
                transition2: transition(1),
                denseblock3: block(2, input(2)),
                transition3: transition(2),
                denseblock4: block(3, input(3)),
                norm5: BatchNorm::new(&at.child("norm5"), output(3)),
            },
            classifier: Linear::filled(
                &init.child("classifier"),
                output(3),
                classes,
                Fill::Uniform((output(3) as f64).sqrt().recip()),
                Fill::Constant(0.0),
            ),
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<2> {
        let f = &self.features;
        let x = f.norm0.forward(f.conv0.forward(x), mode, RELU);
        let mut x = ops::max_pool(x, 3, 2, 1);
        for (block, transition) in [
            (&f.denseblock1, Some(&f.transition1)),
            (&f.denseblock2, Some(&f.transition2)),
            (&f.denseblock3, Some(&f.transition3)),
            (&f.denseblock4, None),
        ] {
            for layer in block.iter() {
                x = layer.forward(x, mode);
            }
            if let Some(transition) = transition {
                x = transition.forward(x, mode);
            }
        }
        self.classifier.forward(pooled(f.norm5.forward(x, mode, RELU)))
    }
}
