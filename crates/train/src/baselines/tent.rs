//! Tent (Wang et al., "Tent: Fully Test-Time Adaptation by Entropy Minimization", ICLR 2021, arXiv 2006.10726): batch
//! normalisation by the batch's statistics, and with every batch one step of its scales and shifts down the gradient of
//! the predictions' mean entropy. A batch is classified as the network is before its step.
//!
//! The steps are the paper's: Adam at 1e-3 for CIFAR (there in batches of 200), SGD at 2.5e-4 with momentum 0.9 for ImageNet (of
//! 64), no weight decay.

use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use burn::tensor::activation::{log_softmax, softmax};
use dyntta_corrupt::Preset;
use dyntta_nn::adapt::learn_affine;
use dyntta_nn::{Classifier, ClassifierNet, Mode};

use super::{Baseline, Predictor, Setup, logits, network};
use crate::error::Error;
use crate::optimizer::{Adam, Sgd};

pub(super) const BASELINE: Baseline =
    Baseline { name: "tent", batch_statistics: true, start: |setup| Box::new(Tent::new(&setup)) };

pub(super) struct Tent<'a> {
    classifier: &'a Classifier,
    preset: Preset,
    source: ClassifierNet,
    pub(super) net: ClassifierNet,
    optimizer: ModuleOptimizer,
    rate: f64,
}

impl<'a> Tent<'a> {
    pub(super) fn new(setup: &Setup<'a>) -> Self {
        let Setup { classifier, preset, .. } = *setup;
        let source = learn_affine(network(classifier));
        let (optimizer, rate) = optimizer(preset);
        Self { classifier, preset, net: source.clone(), source, optimizer, rate }
    }
}

/// The optimiser and its learning rate.
fn optimizer(preset: Preset) -> (ModuleOptimizer, f64) {
    match preset {
        Preset::Cifar => (Adam { weight_decay: 0.0, decoupled: false }.into(), 1e-3),
        Preset::Imagenet => (Sgd { momentum: 0.9, weight_decay: 0.0 }.into(), 2.5e-4),
    }
}

impl Predictor for Tent<'_> {
    fn scores(&mut self, images: Tensor<4>) -> Result<Tensor<2>, Error> {
        let logits = logits(self.classifier, &self.net, images.autodiff(), Mode::Adapt { prior: 0 });
        let gradients = GradientsParams::from_grads(entropy(logits.clone()).backward(), &self.net);
        self.net = self.optimizer.step(self.rate, self.net.clone(), gradients);
        Ok(logits.without_autodiff())
    }

    fn reset(&mut self) {
        self.net = self.source.clone();
        (self.optimizer, self.rate) = optimizer(self.preset);
    }
}

/// The mean entropy, in nats, of the predictions that logits `[n, classes]` amount to.
pub(super) fn entropy(logits: Tensor<2>) -> Tensor<1> {
    (softmax(logits.clone(), 1) * log_softmax(logits, 1)).sum_dim(1).mean().neg()
}
