//! `dyntta classifier train` and `dyntta retrain`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use dyntta_train::{ClassifierSettings, Stop, train_classifier};

use crate::bounds;
use crate::claims::Claims;
use crate::preprocessing::{self, OnErrorArg};
use crate::progress;
use crate::recipe;

/// What both commands take.
#[derive(clap::Args)]
pub struct Common {
    /// Labelled images: anything that `train --data` takes
    #[arg(long, value_name = "D")]
    data: Option<PathBuf>,
    /// Labelled images to measure on after every epoch; of a data set that comes in parts, the test part
    #[arg(long, value_name = "D")]
    validation: Option<PathBuf>,
    /// The architecture, such as cifar-resnet20 or resnet50 [default: that of the classifier to start from]
    #[arg(long)]
    arch: Option<String>,
    /// Folder for weights, preprocessing, settings, metrics and state
    #[arg(long, value_name = "NEW")]
    out: PathBuf,
    /// How far a policy's factors stand from where they change nothing: 1 as estimated
    #[arg(long, value_name = "S")]
    strength: Option<f64>,
    /// How a policy's file is used: top-k (its operations of largest weight as AugMix's list, the published way), sampled
    /// (operations by weight, factors from their distributions, as the enhancer applies them), inverted (the same the other
    /// way round, so that clean images become like the domain's) [default: inverted]
    #[arg(long, value_name = "STYLE")]
    style: Option<String>,
    /// How many of a policy's augmentations `--style top-k` takes [default: 4]
    #[arg(long, value_name = "K", value_parser = bounds::count())]
    top_k: Option<usize>,
    /// imagenet (random resized crops) or cifar (whole images, shifted by up to an eighth) [default: told by the
    /// architecture]
    #[arg(long)]
    preset: Option<String>,
    /// Share of the target spread evenly over all classes [default: 0]
    #[arg(long, value_name = "SHARE")]
    label_smoothing: Option<f64>,
    /// Keep a moving average of the weights with this share of the past, such as 0.999; it is what is saved [default: none]
    #[arg(long, value_name = "SHARE")]
    ema: Option<f64>,
    /// Mix images and labels in pairs, at a share from Beta(ALPHA, ALPHA) (mixup), such as 0.2 [default: none]
    #[arg(long, value_name = "ALPHA")]
    mixup: Option<f64>,
    /// Paste rectangles from one image into another (CutMix), such as 1; with --mixup each batch takes one of them
    #[arg(long, value_name = "ALPHA")]
    cutmix: Option<f64>,
    /// Train on N images only, as many of each class
    #[arg(long, value_name = "N", value_parser = bounds::count())]
    limit: Option<usize>,
    /// What to do about files that cannot be read or decoded [default: fail]
    #[arg(long, value_enum)]
    on_error: Option<OnErrorArg>,
    /// TOML file with any of these settings by their flag's name; flags win
    #[arg(long, value_name = "F.toml")]
    config: Option<PathBuf>,
    /// Continue the run in NEW exactly where it stopped; its settings need not be given again
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    recipe: recipe::Args,
    #[command(flatten)]
    input: preprocessing::Args,
}

#[derive(clap::Args)]
pub struct TrainArgs {
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

#[derive(clap::Args)]
pub struct RetrainArgs {
    /// The classifier to retrain: .pth, .pt, .th or .safetensors
    #[arg(long, value_name = "W")]
    classifier: Option<PathBuf>,
    /// A policy's file, or none, augmix, randaugment, trivialaugment
    #[arg(long, value_name = "P")]
    policy: Option<String>,
    /// Begin with fresh weights of the classifier's architecture, not with its own
    #[arg(long)]
    from_scratch: bool,
    #[command(flatten)]
    common: Common,
}

impl Common {
    fn settings(&self) -> ClassifierSettings {
        let given = self.input.given();
        ClassifierSettings {
            data: self.data.clone(),
            validation: self.validation.clone(),
            arch: self.arch.clone(),
            weights_key: self.input.reading.weights_key.clone(),
            strength: self.strength,
            style: self.style.clone(),
            top_k: self.top_k,
            preset: self.preset.clone(),
            label_smoothing: self.label_smoothing,
            ema: self.ema,
            mixup: self.mixup,
            cutmix: self.cutmix,
            limit: self.limit,
            on_error: self.on_error.map(Into::into),
            preprocessing: self.input.preprocessing.clone(),
            input_size: given.input_size,
            resize: given.resize,
            interpolation: given.interpolation,
            crop_pct: given.crop_pct,
            mean: given.mean,
            std: given.std,
            channels: given.channels,
            range: given.range,
            exif: given.exif,
            epochs: self.recipe.epochs,
            batch_size: self.recipe.batch_size,
            optimizer: self.recipe.optimizer(),
            lr: self.recipe.lr,
            schedule: self.recipe.schedule(),
            weight_decay: self.recipe.weight_decay,
            momentum: self.recipe.momentum,
            clip: self.recipe.clip,
            seed: self.recipe.seed,
            ..ClassifierSettings::default()
        }
    }

    fn run(
        &self,
        mut settings: ClassifierSettings,
        needed: &[&str],
        mut claims: Claims,
        stop: &Stop,
    ) -> Result<()> {
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
        if let Some(path) = &settings.preprocessing {
            claims.input("--preprocessing", path);
        }
        claims.run_folder(&self.out, self.resume)?;
        let started = Instant::now();
        let mut progress = progress::new();
        let summary = train_classifier(&settings, &self.out, self.resume, stop, &mut *progress)?;
        let seconds = started.elapsed().as_secs_f64();
        recipe::print_summary(&summary.epochs, summary.classifier.arch(), seconds, &summary.weights);
        Ok(())
    }
}

pub fn train(args: &TrainArgs, claims: Claims, stop: &Stop) -> Result<()> {
    let settings = ClassifierSettings {
        classifier: args.from.clone(),
        policy: args.augment.clone(),
        ..args.common.settings()
    };
    args.common.run(settings, &["data"], claims, stop)
}

pub fn run(args: &RetrainArgs, claims: Claims, stop: &Stop) -> Result<()> {
    let settings = ClassifierSettings {
        classifier: args.classifier.clone(),
        policy: args.policy.clone(),
        from_scratch: args.from_scratch.then_some(true),
        ..args.common.settings()
    };
    args.common.run(settings, &["data", "classifier", "policy"], claims, stop)
}
