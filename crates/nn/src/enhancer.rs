//! The enhancers: DynTTA (Enomoto et al., "Dynamic Test-Time Augmentation via Differentiable Functions", IEEE Access
//! 2024, arXiv 2212.04681) and URIE, its neural augmentation alone.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Tensor, activation::softmax, s};
use dyntta_model::Normalisation;
use dyntta_ops::Bank;

use crate::init::Init;
use crate::layers::{Mode, Normalise};
use crate::ops::plain::{to_nchw, to_nhwc};
use crate::ops::{self, blend::blend};
use crate::resnet::{Depth, ResNet};
use crate::skunet::SkUnet;

/// What DynTTA makes of a batch.
pub struct Enhanced {
    /// The enhanced images, `[n, 3, h, w]` in `0..=1`.
    pub images: Tensor<4>,
    /// The blend weight of every augmentation, `[n, k]`; rows sum to 1.
    pub weights: Tensor<2>,
    /// The raw magnitude of every augmentation, `[n, k]`, before its mapping to a factor.
    pub raw: Tensor<2>,
}

/// A control network that sets strengths and blend weights, and the bank of augmentations that they steer.
#[derive(Module, Debug)]
pub struct DynTta {
    control: ResNet,
    urie: Option<SkUnet>,
    #[module(skip)]
    bank: Arc<Bank>,
    #[module(skip)]
    view: Option<[usize; 2]>,
}

impl DynTta {
    /// A fresh enhancer over `bank`. With `control_size` the control network looks at a square view of that many pixels a
    /// side (at least 1), whatever the size of the image; otherwise at the image itself.
    ///
    /// Where the bank has the `identity` op its logit starts `identity_logit` above the others.
    pub fn new(init: &Init, bank: Bank, control_size: Option<usize>, identity_logit: f32) -> Self {
        let k = bank.len();
        let mut control = ResNet::new(&init.child("control"), Depth::D18, 2 * k);
        if let Some(slot) = bank.names().position(|n| n == "identity") {
            control = control.raise_output(k + slot, identity_logit);
        }
        let urie = bank.network_slot().map(|_| SkUnet::new(&init.child("urie")));
        Self { control, urie, bank: Arc::new(bank), view: None }.with_control_size(control_size)
    }

    /// The bank.
    pub fn bank(&self) -> &Bank {
        &self.bank
    }

    /// The same enhancer with this SK-UNet as its neural augmentation (the paper starts from a URIE trained alone).
    pub fn with_urie(self, urie: SkUnet) -> Self {
        Self { urie: self.urie.is_some().then_some(urie), ..self }
    }

    /// The same enhancer with this control network's weights up to its last layer.
    pub fn with_control(self, control: ResNet) -> Self {
        Self { control: control.with_last_layer_of(self.control), ..self }
    }

    /// The same enhancer with its control network looking at a square view of this many pixels a side (at least 1), or the
    /// image itself.
    #[must_use]
    pub fn with_control_size(self, control_size: Option<usize>) -> Self {
        self.with_view(control_size.map(|side| [side, side]))
    }

    /// The same enhancer with its control network looking at a view of this height and width (at least 1), or the image
    /// itself. What it looks at is the view of its training, whatever the size of the image: see
    /// [`dyntta_model::EnhancerConfig::view`].
    #[must_use]
    pub fn with_view(self, view: Option<[usize; 2]>) -> Self {
        Self { view: view.map(|sides| sides.map(|side| side.max(1))), ..self }
    }

    /// Enhances images `[n, 3, h, w]` in `0..=1`.
    pub fn forward(&self, images: Tensor<4>, mode: Mode) -> Enhanced {
        let nhwc = to_nhwc(images.clone());
        let view = match self.view {
            Some(size) => view(nhwc.clone(), size),
            None => nhwc.clone(),
        };
        let control = self.control.forward(Normalisation::IMAGENET.apply(view), mode);
        let k = self.bank.len();
        let raw = control.clone().slice(s![.., ..k]);
        let weights = softmax(control.slice(s![.., k..]), 1);
        let network = self.urie.as_ref().map(|urie| to_nchw(at_any_size(urie, nhwc, mode)));
        let enhanced = blend(&self.bank, images, raw.clone(), weights.clone(), network);
        Enhanced { images: enhanced, weights, raw }
    }
}

/// A view of an image: means of cells where it shrinks both ways, bilinear otherwise.
fn view(image: Tensor<4>, [vh, vw]: [usize; 2]) -> Tensor<4> {
    let [_, h, w, _] = image.dims();
    match (h, w) {
        _ if h == vh && w == vw => image,
        _ if h >= vh && w >= vw => ops::adaptive_avg_pool_to(image, vh, vw),
        _ => ops::upsample_to(image, vh, vw),
    }
}

/// The SK-UNet on images of any size: below its smallest side the last row or column is repeated, and cut off again.
fn at_any_size(urie: &SkUnet, image: Tensor<4>, mode: Mode) -> Tensor<4> {
    let [_, h, w, _] = image.dims();
    let mut grown = image;
    for (dim, size) in [(1, h), (2, w)] {
        if size < SkUnet::MIN_SIDE {
            let last = grown.clone().narrow(dim, size - 1, 1);
            let mut parts = vec![grown];
            parts.extend(std::iter::repeat_n(last, SkUnet::MIN_SIDE - size));
            grown = Tensor::cat(parts, dim);
        }
    }
    urie.forward(grown, mode).slice(s![.., ..h, ..w, ..])
}

/// Anything that can stand before the classifier.
#[derive(Module, Debug)]
pub enum Enhancer {
    /// The SK-UNet alone.
    Urie(SkUnet),
    /// The control network and the bank.
    DynTta(DynTta),
}

impl Enhancer {
    /// Enhances images `[n, 3, h, w]` in `0..=1`. DynTTA's result is in that range; URIE's may leave it, as published:
    /// a clamp would stop the gradient at black and white pixels. Clamp before writing it to a file.
    pub fn forward(&self, images: Tensor<4>, mode: Mode) -> Tensor<4> {
        match self {
            Self::Urie(urie) => to_nchw(at_any_size(urie, to_nhwc(images), mode)),
            Self::DynTta(dyntta) => dyntta.forward(images, mode).images,
        }
    }
}
