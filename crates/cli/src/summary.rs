//! What is said of trainings: the defaults at the end of a command's help, and how one ended.

use std::fmt::Display;
use std::path::Path;

use dyntta_files::shown;
use dyntta_train::EpochMetrics;

use crate::out::say;
use crate::progress::{clock, peak_mib};

/// The defaults of an enhancer's training, for the end of a command's help.
pub const ENHANCER_DEFAULTS: &str = "\
Training defaults: with the imagenet preset 60 epochs, batches of 64, SGD at 1e-4 (URIE 1e-3) halved every 10 epochs, weight
decay 1e-3; with cifar 10 epochs, batches of 64, Adam at 1e-3 along a cosine, gradients clipped at 1.";

/// The defaults of a classifier's training.
pub const CLASSIFIER_DEFAULTS: &str = "\
Training defaults: SGD along a cosine; from scratch with the imagenet preset 90 epochs, batches of 64, 0.025, weight decay 1e-4;
with cifar 30 epochs, batches of 128, 0.1, weight decay 5e-4; from weights a tenth of the rate and 5 or 10 epochs.";

/// What a finished training prints: its epochs, then what was trained, how long it took, the memory and the file.
pub fn print(epochs: &[EpochMetrics], what: impl Display, seconds: f64, file: &Path) {
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
