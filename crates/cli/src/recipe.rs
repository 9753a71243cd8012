//! Flags for how something is trained, of `train`, `estimate`, `classifier train` and `retrain`.

use std::fmt::Display;
use std::path::Path;

use clap::ValueEnum;
use dyntta_files::shown;
use dyntta_train::{EpochMetrics, OptimizerKind, Schedule};

use crate::bounds;
use crate::out::say;
use crate::progress::{clock, peak_mib};

#[derive(Clone, Copy, ValueEnum)]
enum OptimizerArg {
    Sgd,
    Adam,
    Adamw,
}

#[derive(Clone, Copy, ValueEnum)]
enum ScheduleArg {
    Constant,
    Cosine,
    /// Halved every 10 epochs.
    Step,
}

/// The defaults of an enhancer's training, for the end of a command's help.
pub const ENHANCER_DEFAULTS: &str = "\
Training defaults: with the imagenet preset 60 epochs, batches of 64, SGD at 1e-4 (URIE 1e-3) halved every 10 epochs, weight
decay 1e-3; with cifar 10 epochs, batches of 64, Adam at 1e-3 along a cosine, gradients clipped at 1.";

/// The defaults of a classifier's training.
pub const CLASSIFIER_DEFAULTS: &str = "\
Training defaults: SGD along a cosine; from scratch with the imagenet preset 90 epochs, batches of 64, 0.025, weight decay 1e-4;
with cifar 30 epochs, batches of 128, 0.1, weight decay 5e-4; from weights a tenth of the rate and 5 or 10 epochs.";

/// What is not given depends on the preset and on what is trained.
#[derive(clap::Args)]
#[command(next_help_heading = "Training")]
pub struct Args {
    /// Passes over the data
    #[arg(long, value_parser = bounds::epochs())]
    pub epochs: Option<usize>,
    /// Images a step
    #[arg(long, value_parser = bounds::batch())]
    pub batch_size: Option<usize>,
    /// Learning rate at the start
    #[arg(long)]
    pub lr: Option<f64>,
    /// The optimiser
    #[arg(long, value_enum)]
    optimizer: Option<OptimizerArg>,
    /// How the learning rate changes
    #[arg(long, value_enum)]
    schedule: Option<ScheduleArg>,
    /// L2 weight decay; decoupled with adamw
    #[arg(long)]
    pub weight_decay: Option<f64>,
    /// Momentum of SGD [default: 0.9]
    #[arg(long)]
    pub momentum: Option<f64>,
    /// Limit on the gradient's global norm, 0 for none
    #[arg(long)]
    pub clip: Option<f64>,
    /// Names every random stream of the run [default: 0]
    #[arg(long)]
    pub seed: Option<u64>,
}

impl Args {
    pub fn optimizer(&self) -> Option<OptimizerKind> {
        self.optimizer.map(|o| match o {
            OptimizerArg::Sgd => OptimizerKind::Sgd,
            OptimizerArg::Adam => OptimizerKind::Adam,
            OptimizerArg::Adamw => OptimizerKind::Adamw,
        })
    }

    pub fn schedule(&self) -> Option<Schedule> {
        self.schedule.map(|s| match s {
            ScheduleArg::Constant => Schedule::Constant,
            ScheduleArg::Cosine => Schedule::Cosine,
            ScheduleArg::Step => Schedule::Step,
        })
    }
}

/// What a finished training prints: its epochs, then what was trained, how long it took, the memory and the file.
pub fn print_summary(epochs: &[EpochMetrics], what: impl Display, seconds: f64, file: &Path) {
    for epoch in epochs {
        let validation = epoch.validation.map_or(String::new(), |v| format!(", validation {v:.4}"));
        say!(
            "epoch {}: loss {:.4}, accuracy {:.4}{validation}, {:.1} ms an image",
            epoch.epoch,
            epoch.loss,
            epoch.accuracy,
            1e3 * epoch.seconds / epoch.images.max(1) as f64
        );
    }
    let memory = peak_mib().map(|mib| format!(", peak memory {mib} MiB")).unwrap_or_default();
    say!("{what} trained in {}{memory}: {}", clock(seconds), shown(file));
}
