//! The classifiers beyond the ResNets, by name: each with the keys and layouts of the implementation that its weights
//! are published for.
//!
//! A family of networks is one file, with its [`Model`]s, and one line in the list below.

use burn::module::Module;
use burn::tensor::Tensor;
use dyntta_image::Filter;
use dyntta_model::keys::Naming;
use dyntta_model::{Normalisation, Shapes};

use crate::init::Init;
use crate::layers::{BatchNorm, Conv2d, ConvInit, LINEAR, Mode};

/// A named network and what its published weights take.
#[derive(Debug)]
pub struct Model {
    /// The name, as `--arch` takes it.
    pub name: &'static str,
    /// What its published weights are fed.
    pub input: Input,
    /// The key of the last layer's weight, whose first extent is the number of classes.
    pub(crate) last_layer: &'static str,
    /// How many numbers that layer takes in.
    pub(crate) features: usize,
    /// How many tensors it has (counters aside), and the key and shape of one that is not in others with as many.
    pub(crate) mark: (usize, &'static str, &'static [usize]),
    /// A fresh network with so many classes.
    pub(crate) new: fn(&Init, usize) -> ZooNet,
}

impl PartialEq for Model {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Model {}

impl Model {
    fn has_made(&self, shapes: &Shapes) -> bool {
        let (tensors, key, shape) = self.mark;
        shapes.len() == tensors && shapes.get(key).is_some_and(|found| found == shape)
    }
}

/// How images are brought to what a network was trained on: the shorter side to `resize` pixels by `filter`, the centre
/// of `crop × crop`, then the normalisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Input {
    /// The shorter side, in pixels.
    pub resize: usize,
    /// The side of the centre crop, in pixels.
    pub crop: usize,
    /// How it is resized.
    pub filter: Filter,
    /// Mean and standard deviation.
    pub normalisation: Normalisation,
    /// Which images the network takes at all.
    pub size: Size,
}

/// Heights and widths that a network takes, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Any from this on.
    AtLeast(usize),
    /// This one alone.
    Exactly(usize),
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "at least {least} × {least}"),
            Self::Exactly(side) => write!(f, "{side} × {side}"),
        }
    }
}

impl Input {
    /// The evaluation of torchvision's first ImageNet weights: 256 pixels, bilinear, 224 of them, any size from
    /// `least` on.
    pub const fn imagenet(least: usize) -> Self {
        Self {
            resize: 256,
            crop: 224,
            filter: Filter::Bilinear,
            normalisation: Normalisation::IMAGENET,
            size: Size::AtLeast(least),
        }
    }
}

macro_rules! families {
    ($($family:ident in $file:ident),* $(,)?) => {
        $(mod $file;)*

        /// A network of the zoo.
        #[derive(Module, Debug)]
        pub enum ZooNet {
            $(#[doc = concat!("A network of `zoo/", stringify!($file), ".rs`.")] $family($file::$family),)*
        }

        impl ZooNet {
            /// Normalised `[n, h, w, 3]` to logits `[n, classes]`.
            pub fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<2> {
                match self {
                    $(Self::$family(net) => net.forward(x, mode),)*
                }
            }
        }

        const FAMILIES: &[&[Model]] = &[$($file::MODELS),*];
    };
}

families! {
    Vgg in vgg,
    DenseNet in densenet,
    MobileNetV2 in mobilenet_v2,
    EfficientNet in efficientnet,
    EfficientNetLite in efficientnet_lite,
    ConvNeXt in convnext,
    VisionTransformer in vision_transformer,
    Mixer in mixer,
}

/// Every model, in the order in which messages list them.
pub fn models() -> impl Iterator<Item = &'static Model> {
    FAMILIES.iter().copied().flatten()
}

/// The model of this name.
pub fn named(name: &str) -> Option<&'static Model> {
    models().find(|model| model.name == name)
}

/// The models that weights of these shapes, by our keys, can be of.
pub(crate) fn fitting(shapes: &Shapes) -> impl Iterator<Item = &'static Model> {
    models().filter(|model| model.has_made(shapes))
}

impl ZooNet {
    /// The same network, doing what the implementation does whose keys its weights had.
    pub(crate) fn with_naming(self, naming: Naming) -> Self {
        match (self, naming) {
            (Self::Vgg(net), Naming::TimmVgg) => Self::Vgg(net.sliding()),
            (net, _) => net,
        }
    }
}

/// Activations `[n, h, w, c]` to their means over the image, `[n, c]`.
fn pooled(x: Tensor<4>) -> Tensor<2> {
    let [n, _, _, c] = x.dims();
    crate::ops::adaptive_avg_pool(x, 1).reshape([n, c])
}

/// A convolution and its batch normalisation: torchvision's `Conv2dNormActivation`, whose keys are the fields' numbers.
type ConvNorm = (Conv2d, BatchNorm);

/// A `size × size` convolution without bias, its output `⌈h/stride⌉` rows, and the normalisation.
fn conv_norm(init: &Init, channels: (usize, usize, usize), size: usize, stride: usize) -> ConvNorm {
    let how = ConvInit::KaimingFanOut;
    (
        Conv2d::grouped(&init.child(0), channels, size, stride, size / 2, false, how),
        BatchNorm::new(&init.child(1), channels.1),
    )
}

/// Without the activation.
fn conv_norm_forward((conv, norm): &ConvNorm, x: Tensor<4>, mode: Mode) -> Tensor<4> {
    conv.forward_normalised(x, norm, mode, None, LINEAR)
}
