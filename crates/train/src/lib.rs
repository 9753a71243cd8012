//! Training and evaluation of enhancers in front of a frozen classifier.

mod augmentation;
mod average;
pub mod baselines;
pub mod bench;
mod classifier;
mod control;
pub mod demo;
mod error;
mod estimate;
mod estimate_run;
mod evaluate;
pub mod experiment;
mod fit;
mod folder;
mod identity;
mod images;
mod input;
mod mix;
mod optimizer;
pub mod options;
pub mod picture;
mod recipe;
pub mod report;
mod run;
mod scores;
mod setting;
mod state;
mod trial;

pub use augmentation::{Augmentation, Style, TOP_K};
pub use classifier::{
    CLASSIFIER, ClassifierSettings, ClassifierSummary, ResolvedClassifier, train_classifier,
    train_classifier_on,
};
pub use control::{Progress, Saving, Silent, Stop};
pub use error::Error;
pub use estimate::{Decisions, decide};
pub use estimate_run::{EstimateSettings, estimate, read_off};
pub use evaluate::{Contender, Corrupted, Evaluation, Plan, Score, Scores, compare, evaluate};
pub use fit::{EpochMetrics, METRICS, RunFolder, cross_entropy, fit};
pub use folder::{RUN_FILES, Start};
pub use images::{Geometry, TrainingImages, Treatment, images};
pub use input::{
    aligned, check_class_count, check_classes, class_names, for_images, load_classifier, metadata, named,
    normalisation, report_skipped, usual, usual_name, usual_preset,
};
pub use options::{DataOptions, InputOptions, OnError, ReadingOptions, RecipeOptions, SETTINGS};
pub use recipe::{OptimizerKind, Recipe, Schedule};
pub use run::{Resolved, TrainSettings, TrainSummary, train_enhancer, train_on};
pub use setting::{Setting, shifted};
