//! `dyntta train`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::ValueEnum;
use dyntta_nn::checkpoint::{Method, WEIGHTS};
use dyntta_train::{Setting, Stop, TrainSettings, train_enhancer};

use crate::bounds;
use crate::claims::Claims;
use crate::preprocessing::{self, OnErrorArg};
use crate::progress;
use crate::recipe;

#[derive(Clone, Copy, ValueEnum)]
enum MethodArg {
    /// The control network with the bank of augmentations.
    Dyntta,
    /// The SK-UNet alone.
    Urie,
}

#[derive(clap::Args)]
pub struct Args {
    /// Labelled images: a folder D/<class>/*, a .tar of one or shards of it (s-{00..12}.tar), a CIFAR binary, idx or CUB-200
    /// folder, or a CSV path,label
    #[arg(long, value_name = "D")]
    data: Option<PathBuf>,
    /// The classifier's weights: .pth, .pt, .th, .safetensors or .onnx
    #[arg(long, value_name = "W")]
    classifier: Option<PathBuf>,
    /// The classifier's architecture, such as cifar-resnet20 or resnet50 [default: told by the weights' keys]
    #[arg(long)]
    arch: Option<String>,
    /// Which enhancer [default: dyntta]
    #[arg(long, value_enum)]
    method: Option<MethodArg>,
    /// What the training images go through: nonblind (the fifteen common corruptions and none), blind (AugMix, so that no
    /// corruption is known), clean (nothing), common15 (the fifteen alone), or a corruption and its severity such as fog:3
    /// [default: nonblind]
    #[arg(long, value_name = "S")]
    setting: Option<Setting>,
    /// Folder for checkpoint, config, metrics and state
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// imagenet (224 px, the paper's recipe) or cifar (32 px, Adam) [default: imagenet]
    #[arg(long)]
    preset: Option<String>,
    #[command(flatten)]
    recipe: recipe::Args,
    /// Train on N images only, as many of each class
    #[arg(long, value_name = "N", value_parser = bounds::count())]
    limit: Option<usize>,
    /// What to do about files that cannot be read or decoded [default: fail]
    #[arg(long, value_enum)]
    on_error: Option<OnErrorArg>,
    /// A trained URIE (run or weight file) to start DynTTA's SK-UNet from
    #[arg(long, value_name = "RUN")]
    urie: Option<PathBuf>,
    /// torchvision ResNet-18 weights to start the control network from
    #[arg(long, value_name = "W")]
    control_weights: Option<PathBuf>,
    /// Let the control network look at a view of S pixels a side [default: at the image itself]
    #[arg(long, value_name = "S", value_parser = bounds::view())]
    control_size: Option<usize>,
    /// Another bank: augmentations in order, separated by commas [default: the paper's fifty]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    bank: Option<Vec<String>>,
    /// Where to compute
    #[arg(long, default_value = "cpu", value_parser = ["cpu"])]
    device: String,
    /// TOML file with any of these settings by their flag's name; flags win
    #[arg(long, value_name = "F.toml")]
    config: Option<PathBuf>,
    /// Continue the run in RUN exactly where it stopped; its settings need not be given again
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    input: preprocessing::Args,
}

impl Args {
    fn settings(&self) -> TrainSettings {
        let given = self.input.given();
        TrainSettings {
            data: self.data.clone(),
            classifier: self.classifier.clone(),
            arch: self.arch.clone(),
            output: self.input.reading.output.clone(),
            scores: self.input.reading.scores(),
            weights_key: self.input.reading.weights_key.clone(),
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
            on_error: self.on_error.map(Into::into),
            method: self.method.map(|m| match m {
                MethodArg::Dyntta => Method::Dyntta,
                MethodArg::Urie => Method::Urie,
            }),
            setting: self.setting,
            preset: self.preset.clone(),
            limit: self.limit,
            urie: self.urie.clone(),
            control_weights: self.control_weights.clone(),
            control_size: self.control_size,
            bank: self.bank.clone(),
            epochs: self.recipe.epochs,
            batch_size: self.recipe.batch_size,
            optimizer: self.recipe.optimizer(),
            lr: self.recipe.lr,
            schedule: self.recipe.schedule(),
            weight_decay: self.recipe.weight_decay,
            momentum: self.recipe.momentum,
            clip: self.recipe.clip,
            seed: self.recipe.seed,
        }
    }
}

pub fn run(args: Args, mut claims: Claims, stop: &Stop) -> Result<()> {
    let mut settings = args.settings();
    if let Some(path) = &args.config {
        settings = settings.or(TrainSettings::read_toml(path)?);
    }
    if args.resume {
        settings = settings.or(TrainSettings::read_run(&args.out)?);
    }
    let (Some(data), Some(classifier)) = (&settings.data, &settings.classifier) else {
        bail!("--data and --classifier are needed (as flags or in --config)");
    };
    claims.data("--data", data);
    claims.model("--classifier", classifier);
    if let Some(path) = &settings.urie {
        claims.run("--urie", path);
    }
    if let Some(path) = &settings.control_weights {
        claims.model("--control-weights", path);
    }
    if let Some(path) = &settings.preprocessing {
        claims.input("--preprocessing", path);
    }
    claims.run_folder(&args.out, args.resume)?;
    let started = Instant::now();
    let mut progress = progress::new();
    let summary = train_enhancer(&settings, &args.out, args.resume, stop, &mut *progress)?;
    let seconds = started.elapsed().as_secs_f64();
    recipe::print_summary(&summary.epochs, summary.config.method, seconds, &args.out.join(WEIGHTS));
    Ok(())
}
