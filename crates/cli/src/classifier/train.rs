//! `dyntta classifier train`, and what `dyntta retrain` has in common with it.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use dyntta_train::{ClassifierSettings, Stop, train_classifier};

use crate::claims::Claims;
use crate::{progress, summary};

#[derive(clap::Args)]
pub struct Args {
    /// Weights to start from [default: fresh ones]
    #[arg(long, value_name = "W")]
    from: Option<PathBuf>,
    /// Training-time augmentation besides flips and crops: none, augmix, randaugment, trivialaugment, or a policy's file
    /// [default: none]
    #[arg(long, value_name = "P")]
    augment: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub fn run(args: Args, claims: Claims, stop: &Stop) -> Result<()> {
    let Args { from, augment, mut common } = args;
    (common.settings.classifier, common.settings.policy) = (from, augment);
    common.run(&["data"], claims, stop)
}

/// The training of a classifier by whatever name.
#[derive(clap::Args)]
pub struct Common {
    // Before the settings, whose last heading they would stand under; shown between and after them.
    /// Folder for weights, preprocessing, settings, metrics and state
    #[arg(long, value_name = "NEW", display_order = 8)]
    out: PathBuf,
    /// TOML file with any of these settings by their flag's name; flags win
    #[arg(long, value_name = "F.toml", display_order = 100)]
    config: Option<PathBuf>,
    /// Continue the run in NEW exactly where it stopped; its settings need not be given again
    #[arg(long, display_order = 101)]
    resume: bool,
    #[command(flatten)]
    pub settings: ClassifierSettings,
}

impl Common {
    pub fn run(self, needed: &[&str], mut claims: Claims, stop: &Stop) -> Result<()> {
        let mut settings = self.settings;
        if let Some(path) = &self.config {
            settings = settings.or(ClassifierSettings::read_toml(path)?);
        }
        if self.resume {
            settings = settings.or(ClassifierSettings::read_run(&self.out)?);
        }
        let missing = |key: &str| match key {
            "data" => settings.data.is_none(),
            "classifier" => settings.classifier.is_none(),
            _ => settings.policy.is_none(),
        };
        if let Some(key) = needed.iter().find(|key| missing(key)) {
            bail!("--{key} is needed (as a flag or in --config)");
        }
        for (name, path) in [("--data", &settings.data), ("--validation", &settings.validation)] {
            path.iter().for_each(|path| claims.data(name, path));
        }
        if let Some(path) = &settings.classifier {
            claims.model("the classifier to start from", path);
        }
        if let Some(path) = &settings.policy {
            claims.input("the policy", path.as_ref());
        }
        if let Some(path) = &settings.input.preprocessing {
            claims.input("--preprocessing", path);
        }
        claims.run_folder(&self.out, self.resume)?;
        let started = Instant::now();
        let mut progress = progress::new();
        let summary = train_classifier(&settings, &self.out, self.resume, stop, &mut *progress)?;
        let seconds = started.elapsed().as_secs_f64();
        summary::print(&summary.epochs, summary.classifier.arch(), seconds, &summary.weights);
        Ok(())
    }
}
