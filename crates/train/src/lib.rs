//! Training and evaluation of enhancers in front of a frozen classifier.

pub mod baselines;
pub mod bench;
mod control;
pub mod demo;
mod error;
mod evaluate;
mod fit;
mod images;
mod input;
mod optimizer;
pub mod picture;
mod recipe;
pub mod report;
mod run;
mod state;

pub use control::{Progress, Silent, Stop};
pub use error::Error;
pub use evaluate::{Contender, Corrupted, Evaluation, Plan, Score, Scores, compare, evaluate};
pub use fit::{EpochMetrics, METRICS, RunFolder, cross_entropy, fit};
pub use images::{Geometry, Setting, TrainingImages, images};
pub use input::{
    OnError, check_class_count, check_classes, metadata, named, normalisation, report_skipped, usual,
    usual_name,
};
pub use recipe::{OptimizerKind, Recipe, Schedule};
pub use run::{Resolved, SETTINGS, TrainSettings, TrainSummary, train_enhancer, train_on};
