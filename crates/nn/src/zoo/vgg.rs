//! VGG with 16 layers, with torchvision's keys (Simonyan and Zisserman 2015, arXiv 1409.1556).

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Input, Model, ZooNet};
use crate::init::{Fill, Init};
use crate::layers::{BatchNorm, Conv2d, ConvInit, Gap, Linear, Mode, RELU};
use crate::ops;

pub(super) const MODELS: &[Model] = &[
    Model {
        name: "vgg16",
        input: Input::imagenet(32),
        last_layer: "classifier.6.weight",
        features: 4096,
        mark: (32, "features.28.weight", &[512, 512, 3, 3]),
        new: |init, classes| ZooNet::Vgg(Vgg::new(init, false, classes)),
    },
    Model {
        name: "vgg16_bn",
        input: Input::imagenet(32),
        last_layer: "classifier.6.weight",
        features: 4096,
        mark: (84, "features.40.weight", &[512, 512, 3, 3]),
        new: |init, classes| ZooNet::Vgg(Vgg::new(init, true, classes)),
    },
];

/// Convolutions' channels; 0 halves the image.
const PLAN: [usize; 18] = [64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0];

/// The side of the features that the first linear layer takes.
const SIDE: usize = 7;
/// Numbers between the linear layers.
const INNER: usize = 4096;

/// One step of the features.
#[derive(Module, Debug)]
pub enum Step {
    /// A 3×3 convolution.
    Conv(Conv2d),
    /// Batch normalisation; the ReLU after it goes with it.
    Norm(BatchNorm),
    /// A ReLU, done by the normalisation before it where there is one.
    Relu(Gap),
    /// The largest of 2×2.
    Pool(Gap),
}

/// VGG-16, with or without batch normalisation. In training there is no dropout here.
#[derive(Module, Debug)]
pub struct Vgg {
    features: Vec<Step>,
    classifier: (Linear, Gap, Gap, Linear, Gap, Gap, Linear),
    #[module(skip)]
    batch_norm: bool,
    /// What is done where the features are larger than 7×7: the first linear layers on each 7×7 of them and the mean of
    /// that, as in timm's implementation, or on their means over 7×7 cells.
    #[module(skip)]
    sliding: bool,
}

impl Vgg {
    fn new(init: &Init, batch_norm: bool, classes: usize) -> Self {
        let at = init.child("features");
        let mut features = Vec::new();
        let mut input = 3;
        for output in PLAN {
            let next = |features: &Vec<Step>| at.child(features.len());
            if output == 0 {
                features.push(Step::Pool(Gap));
                continue;
            }
            let how = ConvInit::KaimingFanOut;
            features.push(Step::Conv(Conv2d::new(&next(&features), (input, output), 3, 1, 1, true, how)));
            if batch_norm {
                features.push(Step::Norm(BatchNorm::new(&next(&features), output)));
            }
            features.push(Step::Relu(Gap));
            input = output;
        }
        let at = init.child("classifier");
        let linear = |index: usize, input, output| {
            Linear::filled(&at.child(index), input, output, Fill::Normal(0.01), Fill::Constant(0.0))
        };
        let classifier = (
            linear(0, 512 * 7 * 7, 4096),
            Gap,
            Gap,
            linear(3, 4096, 4096),
            Gap,
            Gap,
            linear(6, 4096, classes),
        );
        Self { features, classifier, batch_norm, sliding: false }
    }

    pub(super) fn sliding(self) -> Self {
        Self { sliding: true, ..self }
    }

    pub(super) fn forward(&self, mut x: Tensor<4>, mode: Mode) -> Tensor<2> {
        for step in &self.features {
            x = match step {
                Step::Conv(conv) => conv.forward(x),
                Step::Norm(norm) => norm.forward(x, mode, RELU),
                Step::Relu(_) if self.batch_norm => x,
                Step::Relu(_) => ops::relu(x),
                Step::Pool(_) => ops::max_pool(x, 2, 2, 0),
            };
        }
        let [n, h, w, c] = x.dims();
        let (h, w) = if self.sliding { (h.max(SIDE), w.max(SIDE)) } else { (SIDE, SIDE) };
        let x = ops::adaptive_avg_pool_to(x, h, w);
        // The classifier's weights are for planes, channels first.
        let window = |top: usize, left: usize| {
            let window = x.clone().slice([0..n, top..top + SIDE, left..left + SIDE, 0..c]);
            window.permute([0, 3, 1, 2]).reshape([n, c * SIDE * SIDE])
        };
        let windows: Vec<_> = (0..=h - SIDE).flat_map(|top| (0..=w - SIDE).map(move |left| (top, left))).collect();
        let count = windows.len();
        let x = Tensor::cat(windows.into_iter().map(|(top, left)| window(top, left)).collect(), 0);
        let (first, _, _, second, _, _, last) = &self.classifier;
        let x = ops::relu(second.forward(ops::relu(first.forward(x))));
        let x = if count == 1 { x } else { x.reshape([count, n, INNER]).mean_dim(0).reshape([n, INNER]) };
        last.forward(x)
    }
}
