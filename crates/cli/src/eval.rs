//! `dyntta eval`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use burn::tensor::Device;
use dyntta_corrupt::{Preset, Severity, suite};
use dyntta_data::{CorruptedSet, Dataset, Options, Split};
use dyntta_nn::checkpoint::{self, EnhancerConfig};
use dyntta_nn::{Arch, Classifier, Enhancer, Normalisation};
use dyntta_train::report::{Column, eval_json, table};
use dyntta_train::{Corrupted, Geometry, Plan, Stop, check_classes, evaluate};
use serde_json::json;

use crate::progress::{self, peak_mib};
use crate::train::triple;

#[derive(clap::Args)]
pub struct Args {
    /// The classifier's weights: .pth, .pt, .th or .safetensors
    #[arg(long, value_name = "W")]
    classifier: PathBuf,
    /// The classifier's architecture, such as cifar-resnet20 or resnet50 [default: told by the weights' keys]
    #[arg(long)]
    arch: Option<String>,
    /// Mean of each channel that the classifier's input is normalised by [default: the enhancer's, else ImageNet's]
    #[arg(long, value_name = "R,G,B", value_parser = triple)]
    mean: Option<[f32; 3]>,
    /// Standard deviation of each channel
    #[arg(long, value_name = "R,G,B", value_parser = triple)]
    std: Option<[f32; 3]>,
    /// A run's folder, a weight file, or `identity` for the classifier alone
    #[arg(long, value_name = "RUN|FILE|identity", default_value = "identity")]
    enhancer: String,
    /// Clean images, also what --suite corrupts: anything that `train --data` takes
    #[arg(long, value_name = "D")]
    clean: Option<PathBuf>,
    /// Part of a data set that comes in parts (CIFAR, CUB-200, idx)
    #[arg(long, value_name = "test|train", default_value = "test", value_parser = ["test", "train"])]
    split: String,
    /// Corrupted images on disk: a folder or .tar of corruption/severity/class/file
    #[arg(long, value_name = "D", conflicts_with = "suite")]
    corrupted: Option<PathBuf>,
    /// Corrupt the clean images: common15, extra4, all19, or corruptions' names separated by commas
    #[arg(long, value_name = "S")]
    suite: Option<String>,
    /// Severities of --suite
    #[arg(long, value_name = "1,3,5", value_delimiter = ',', default_value = "1,2,3,4,5")]
    severities: Vec<String>,
    /// imagenet or cifar [default: the enhancer's, else told by the architecture]
    #[arg(long)]
    preset: Option<String>,
    /// Side of the images in pixels [default: the enhancer's, else the preset's]
    #[arg(long)]
    size: Option<usize>,
    /// Use N images of each set only, as many of each class
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Names the random streams of the corruptions
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Images a batch
    #[arg(long, default_value_t = 100)]
    batch_size: usize,
    /// Also write the result as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub fn run(args: Args, stop: &Stop) -> Result<()> {
    if args.clean.is_none() && args.corrupted.is_none() {
        bail!("nothing to evaluate on: give --clean D, --clean D --suite S, or --corrupted D");
    }
    if args.suite.is_some() && args.clean.is_none() {
        bail!("--suite corrupts clean images: give them with --clean D");
    }
    if args.batch_size == 0 || args.size == Some(0) {
        bail!("--batch-size and --size are at least 1");
    }
    let mut progress = progress::new();
    let device = Device::flex();
    let (enhancer, config) = match args.enhancer.as_str() {
        "identity" => (None, None),
        path => {
            let (enhancer, config) = checkpoint::load(Path::new(path), &device)?;
            (Some(enhancer), config)
        }
    };
    let normalisation = normalisation(&args, config.as_ref());
    let arch = args.arch.as_deref().map(str::parse::<Arch>).transpose()?;
    let classifier = Classifier::load(&args.classifier, arch, normalisation, &device)?;
    let geometry = geometry(&args, config.as_ref(), classifier.arch())?;
    classifier.check_size(geometry.size, geometry.size)?;
    let plan = plan(&args, geometry, &classifier)?;
    if let (Some(config), Some(data)) = (&config, &plan.clean)
        && config.classifier.classes != data.classes
    {
        progress.message(&format!(
            "note: the enhancer was trained on the classes {:?}, these are {:?}",
            config.classifier.classes, data.classes
        ));
    }
    progress.message(&format!(
        "classifier {} ({}, {} classes), {} preset at {} px, mean {:?}, std {:?}",
        args.classifier.display(),
        classifier.arch(),
        classifier.classes(),
        geometry.preset,
        geometry.size,
        normalisation.mean,
        normalisation.std
    ));
    let enhancers: Vec<Option<&Enhancer>> = match &enhancer {
        Some(enhancer) => vec![None, Some(enhancer)],
        None => vec![None],
    };
    let result = evaluate(&classifier, &enhancers, plan, &device, stop, &mut *progress)?;
    let name = config.as_ref().map_or("urie".to_owned(), |c| c.method.to_string());
    let name = format!("with {name}");
    let columns: Vec<Column> =
        ["alone", &name].iter().zip(&result.scores).map(|(name, scores)| Column { name, scores }).collect();
    print!("{}", table(&columns));
    if let Some(path) = &args.json {
        let images = result.images.max(1) as f64;
        let about = json!({
            "dyntta": env!("CARGO_PKG_VERSION"),
            "classifier": args.classifier,
            "arch": classifier.arch().to_string(),
            "enhancer": args.enhancer,
            "training": config.as_ref().map(|c| &c.training),
            "clean": args.clean,
            "corrupted": args.corrupted,
            "suite": args.suite,
            "severities": args.suite.as_ref().map(|_| &args.severities),
            "preset": geometry.preset.name(),
            "size": geometry.size,
            "limit": args.limit,
            "seed": args.seed,
            "ms_per_image": result.seconds.iter().map(|s| 1e3 * s / images).collect::<Vec<_>>(),
            "peak_mib": peak_mib(),
        });
        let json = eval_json(&result.scores[0], result.scores.get(1), about);
        let text = serde_json::to_string_pretty(&json)? + "\n";
        dyntta_image::write_atomic(path, text.as_bytes())?;
    }
    Ok(())
}

fn normalisation(args: &Args, config: Option<&EnhancerConfig>) -> Normalisation {
    let base = config.map_or(Normalisation::IMAGENET, |c| c.classifier.normalisation);
    Normalisation { mean: args.mean.unwrap_or(base.mean), std: args.std.unwrap_or(base.std) }
}

fn geometry(args: &Args, config: Option<&EnhancerConfig>, arch: Arch) -> Result<Geometry> {
    let trained = config.and_then(|c| c.training["preset"].as_str());
    let preset: Preset = match (args.preset.as_deref().or(trained), arch) {
        (Some(name), _) => name.parse()?,
        (None, Arch::CifarResNet(_)) => Preset::Cifar,
        (None, Arch::ResNet(_) | Arch::Onnx) => Preset::Imagenet,
    };
    let default = match preset {
        Preset::Imagenet => 224,
        Preset::Cifar => 32,
    };
    Ok(Geometry { preset, size: args.size.or(config.map(|c| c.image_size[0])).unwrap_or(default) })
}

fn plan(args: &Args, geometry: Geometry, classifier: &Classifier) -> Result<Plan> {
    let limited = |data: Dataset| -> Result<Dataset> {
        Ok(match args.limit {
            Some(limit) => data.limit_balanced(limit)?,
            None => data,
        })
    };
    let split = if args.split == "train" { Split::Train } else { Split::Test };
    let clean = match &args.clean {
        Some(path) => {
            let data = Dataset::open(path, &Options::split(split))?;
            check_classes(&data, classifier)?;
            Some(limited(data)?)
        }
        None => None,
    };
    let corrupted = if let Some(names) = &args.suite {
        let severities: Vec<Severity> =
            args.severities.iter().map(|s| s.parse()).collect::<Result<_, _>>()?;
        let base = clean.clone().expect("checked before");
        Some(Corrupted::Suite { base, corruptions: suite(names)?, severities, seed: args.seed })
    } else if let Some(path) = &args.corrupted {
        let mut set = CorruptedSet::open(path, clean.as_ref().map(|d| d.classes.as_slice()))?;
        for part in &mut set.parts {
            check_classes(&part.dataset, classifier)?;
            part.dataset = limited(part.dataset.clone())?;
        }
        Some(Corrupted::Set(set))
    } else {
        None
    };
    Ok(Plan { clean, corrupted, geometry, batch_size: args.batch_size })
}
