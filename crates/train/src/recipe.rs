//! What a training run does to the weights: optimiser, learning-rate schedule, clipping.

use std::f64::consts::PI;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use dyntta_corrupt::Preset;
use dyntta_nn::checkpoint::Method;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::optimizer::{Adam, Sgd};
use crate::options::choices;

choices! {
    /// Which optimiser.
    pub enum OptimizerKind as "optimizer" {
        /// Stochastic gradient descent with momentum: the paper's.
        Sgd = "sgd",
        /// Adam (Kingma & Ba, ICLR 2015, arXiv 1412.6980) with β = (0.9, 0.999), ε = 1e-8.
        Adam = "adam",
        /// Adam with the weight decay apart from the gradient (Loshchilov & Hutter, ICLR 2019, arXiv 1711.05101).
        Adamw = "adamw",
    }
}

choices! {
    /// How the learning rate changes over a run.
    pub enum Schedule as "schedule" {
        /// It does not.
        Constant = "constant",
        /// `(1 + cos(π·t))/2` of it at fraction t of the run's steps.
        Cosine = "cosine",
        /// Halved every 10 epochs: the paper's.
        Step = "step": "Halved every 10 epochs",
    }
}

impl Schedule {
    /// The factor on the learning rate at `step` of `steps` in `epoch`, steps and epochs counted from 0.
    pub fn factor(self, step: usize, steps: usize, epoch: usize) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Cosine => 0.5 * (1.0 + (PI * step as f64 / steps.max(1) as f64).cos()),
            Self::Step => 0.5f64.powi((epoch / 10) as i32),
        }
    }
}

/// How a model is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Passes over the data.
    pub epochs: usize,
    /// Images a step.
    pub batch_size: usize,
    /// Which optimiser.
    pub optimizer: OptimizerKind,
    /// The learning rate at the start.
    pub lr: f64,
    /// How it changes.
    pub schedule: Schedule,
    /// Added to the gradient: this times the weight (L2). AdamW: the share of a weight that a step at learning rate 1
    /// takes off.
    pub weight_decay: f64,
    /// The momentum of SGD.
    pub momentum: f64,
    /// Gradients are scaled down where their global L2 norm is above this.
    pub clip_norm: Option<f64>,
    /// Share of the target spread evenly over all classes.
    pub label_smoothing: f64,
    /// The share of the past in a moving average of the weights, which then is the result; `None`: the last weights are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// The alpha of mixup; `None`: images stay apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixup: Option<f64>,
    /// The alpha of CutMix; with mixup too, each batch goes through one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cutmix: Option<f64>,
    /// Names every random stream of the run.
    pub seed: u64,
}

impl Recipe {
    /// SGD at a constant rate of 0.1 for one epoch, and nothing else: what other recipes are told from.
    pub const PLAIN: Self = Self {
        epochs: 1,
        batch_size: 64,
        optimizer: OptimizerKind::Sgd,
        lr: 0.1,
        schedule: Schedule::Constant,
        weight_decay: 0.0,
        momentum: 0.9,
        clip_norm: None,
        label_smoothing: 0.0,
        ema: None,
        mixup: None,
        cutmix: None,
        seed: 0,
    };

    /// An enhancer's. With the `imagenet` preset the paper's: SGD with momentum 0.9, weight decay 1e-3, batches of 64, 60 epochs,
    /// the learning rate (DynTTA 1e-4, URIE 1e-3) halved every 10. With `cifar`: Adam at 1e-3 along a cosine, 10 epochs,
    /// gradient norms clipped at 1.
    pub const fn enhancer(preset: Preset, method: Method) -> Self {
        match preset {
            Preset::Imagenet => Self {
                epochs: 60,
                lr: match method {
                    Method::Dyntta => 1e-4,
                    Method::Urie => 1e-3,
                },
                schedule: Schedule::Step,
                weight_decay: 1e-3,
                ..Self::PLAIN
            },
            Preset::Cifar => Self {
                epochs: 10,
                optimizer: OptimizerKind::Adam,
                lr: 1e-3,
                schedule: Schedule::Cosine,
                clip_norm: Some(1.0),
                ..Self::PLAIN
            },
        }
    }

    /// A classifier's, with fresh weights or from trained ones.
    ///
    /// From scratch: SGD with momentum 0.9 along a cosine, weight decay 5e-4 and batches of 128 at 0.1 for 30 epochs with
    /// the `cifar` preset; 1e-4 and batches of 64 at 0.025 for 90 epochs with `imagenet` (Goyal et al. 2017,
    /// arXiv 1706.02677: 0.1 for 256 images). From weights: a tenth of that rate, 10 and 5 epochs. Adam and AdamW: a hundredth
    /// of SGD's rate, and a weight decay of 0 and 0.05.
    pub fn classifier(preset: Preset, fresh: bool, optimizer: OptimizerKind) -> Self {
        let scratch = Self { optimizer, schedule: Schedule::Cosine, ..Self::PLAIN };
        let scratch = match preset {
            Preset::Imagenet => Self { epochs: 90, lr: 0.025, weight_decay: 1e-4, ..scratch },
            Preset::Cifar => Self { epochs: 30, lr: 0.1, batch_size: 128, weight_decay: 5e-4, ..scratch },
        };
        let recipe = match (fresh, preset) {
            (true, _) => scratch,
            (false, Preset::Imagenet) => Self { epochs: 5, lr: scratch.lr / 10.0, ..scratch },
            (false, Preset::Cifar) => Self { epochs: 10, lr: scratch.lr / 10.0, ..scratch },
        };
        match optimizer {
            OptimizerKind::Sgd => recipe,
            OptimizerKind::Adam => Self { lr: recipe.lr / 100.0, weight_decay: 0.0, ..recipe },
            OptimizerKind::Adamw => Self { lr: recipe.lr / 100.0, weight_decay: 0.05, ..recipe },
        }
    }

    /// The most passes over the data.
    pub const MAX_EPOCHS: usize = 1_000_000;
    /// The most images a step.
    pub const MAX_BATCH: usize = 1 << 20;

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Setting`] names what is out of range.
    pub fn check(&self) -> Result<(), Error> {
        let positive = |key: &str, value: f64| {
            let fits = value.is_finite() && value > 0.0;
            fits.then_some(()).ok_or_else(|| Error::setting(key, "a positive number", value))
        };
        positive("lr", self.lr)?;
        if let Some(clip) = self.clip_norm {
            positive("clip", clip)?;
        }
        for (key, alpha) in [("mixup", self.mixup), ("cutmix", self.cutmix)] {
            if let Some(alpha) = alpha {
                positive(key, alpha)?;
            }
        }
        for (key, value, most) in
            [("epochs", self.epochs, Self::MAX_EPOCHS), ("batch-size", self.batch_size, Self::MAX_BATCH)]
        {
            if !(1..=most).contains(&value) {
                return Err(Error::setting(key, format!("a number from 1 to {most}"), value));
            }
        }
        for (key, value) in [
            ("weight-decay", self.weight_decay),
            ("momentum", self.momentum),
            ("label-smoothing", self.label_smoothing),
            ("ema", self.ema.unwrap_or(0.0)),
        ] {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::setting(key, "a number from 0 to below 1", value));
            }
        }
        Ok(())
    }

    /// The optimiser, without state.
    pub(crate) fn optimizer(&self) -> ModuleOptimizer {
        match self.optimizer {
            OptimizerKind::Adam => Adam { weight_decay: self.weight_decay, decoupled: false }.into(),
            OptimizerKind::Adamw => Adam { weight_decay: self.weight_decay, decoupled: true }.into(),
            OptimizerKind::Sgd => Sgd { momentum: self.momentum, weight_decay: self.weight_decay }.into(),
        }
    }
}

/// Scales all gradients by one factor so that their global L2 norm is at most `limit`; returns the norm before.
pub(crate) fn clip_global_norm<M: Module>(model: &M, grads: &mut GradientsParams, limit: f64) -> f64 {
    struct Norm<'a>(&'a GradientsParams, f64);
    impl ModuleVisitor for Norm<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.0.get::<D>(param.id) {
                let square: f32 = grad.powi_scalar(2).sum().into_scalar();
                self.1 += f64::from(square);
            }
        }
    }
    struct Scale<'a>(&'a mut GradientsParams, f64);
    impl ModuleVisitor for Scale<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.0.remove::<D>(param.id) {
                self.0.register(param.id, grad.mul_scalar(self.1));
            }
        }
    }
    let mut norm = Norm(grads, 0.0);
    model.visit(&mut norm);
    let norm = norm.1.sqrt();
    if norm > limit {
        model.visit(&mut Scale(grads, limit / norm));
    }
    norm
}
