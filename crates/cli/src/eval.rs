//! `dyntta eval`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use burn::tensor::Device;
use dyntta_corrupt::{Corruption, Preset, Severity, suite};
use dyntta_data::preprocessing::{Given, InputSize, Sources};
use dyntta_data::{CorruptedSet, Dataset, Options, Preprocessing, Skipped, Split, Wanted};
use dyntta_files::{Limits, shown};
use dyntta_image::Exif;
use dyntta_nn::checkpoint::{self, EnhancerConfig};
use dyntta_nn::{Arch, Classifier, Normalisation};
use dyntta_train::baselines::{self, Settings};
use dyntta_train::report::{Column, eval_json, seen_note, table};
use dyntta_train::{
    Contender, Corrupted, Geometry, InputOptions, OnError, Plan, Setting, Stop, check_class_count,
    check_classes, class_names, compare, load_classifier, metadata, named, normalisation, report_skipped,
    usual, usual_name, usual_preset,
};
use serde_json::json;

use crate::bounds;
use crate::claims::{self, Claims, Overwrite};
use crate::out::{note, say, write};
use crate::progress::{self, peak_mib};

/// What its JSON says of where it is from.
const COMMAND: &str = "eval";

#[derive(clap::Args)]
pub struct Args {
    /// The classifier's weights: .pth, .pt, .th, .safetensors or .onnx
    #[arg(long, value_name = "W")]
    classifier: PathBuf,
    /// The classifier's architecture, such as cifar-resnet20 or resnet50 [default: told by the weights' keys]
    #[arg(long)]
    arch: Option<String>,
    /// A run's folder, a weight file, or `identity` for the classifier alone
    #[arg(long, value_name = "RUN|FILE|identity", default_value = "identity")]
    enhancer: String,
    /// Clean images, also what --suite corrupts: anything that `train --data` takes
    #[arg(long, value_name = "D")]
    clean: Option<PathBuf>,
    /// Part of a data set that comes in parts (CIFAR, CUB-200, idx)
    #[arg(long, value_name = "test|train", default_value = "test", value_parser = ["test", "train"])]
    split: String,
    /// Corrupted images on disk: a folder or .tar(s) of corruption/severity/class/file, or of CIFAR-C's arrays
    #[arg(long, value_name = "D", conflicts_with = "suite")]
    corrupted: Option<PathBuf>,
    /// Corrupt the clean images: common15, extra4, all19, or corruptions' names separated by commas
    #[arg(long, value_name = "S")]
    suite: Option<String>,
    /// Of --corrupted, these alone: a suite, or corruptions' names separated by commas [default: all there are]
    #[arg(long, value_name = "S", requires = "corrupted")]
    corruptions: Option<String>,
    /// Severities of --suite [default: 1,2,3,4,5] or --corrupted [default: all there are]
    #[arg(long, value_name = "1,3,5", value_delimiter = ',')]
    severities: Option<Vec<String>>,
    /// imagenet or cifar [default: the enhancer's, else told by the architecture]
    #[arg(long)]
    preset: Option<String>,
    /// Also measure what else helps at test time, without an enhancer: flip, ten-crop, bn-adapt and tent, or those of them
    /// named, separated by commas. bn-adapt and tent depend on --batch-size and, by --seed, on the images' order
    #[arg(long, value_name = "B", num_args = 0..=1, default_missing_value = "all", value_delimiter = ',')]
    baselines: Option<Vec<String>>,
    /// How many images the statistics of training count for in bn-adapt, beside those of the batch; 0: those alone
    #[arg(
        long,
        value_name = "N",
        requires = "baselines",
        default_value_t = Settings::BN_PRIOR,
        value_parser = bounds::count_or_none()
    )]
    bn_prior: usize,
    /// What to do about files that cannot be read or decoded
    #[arg(long, value_parser = bounds::choice::<OnError>(), default_value = "fail")]
    on_error: OnError,
    /// Use N images of each set only, as many of each class
    #[arg(long, value_name = "N", value_parser = bounds::count())]
    limit: Option<usize>,
    /// Names the random streams of the corruptions, and of the images' order where baselines depend on it
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Images a batch
    #[arg(long, default_value_t = 100, value_parser = bounds::batch())]
    batch_size: usize,
    /// Also write the result as JSON; with - it goes to standard output, and the table to standard error
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    overwrite: Overwrite,
    #[command(flatten)]
    input: InputOptions,
}

pub fn run(args: Args, mut claims: Claims, stop: &Stop) -> Result<()> {
    // Of a folder the weights in it, beside which its preprocessing stands.
    let args = Args { classifier: dyntta_nn::classifier_file(&args.classifier)?, ..args };
    if args.clean.is_none() && args.corrupted.is_none() {
        bail!("nothing to evaluate on: give --clean D, --clean D --suite S, or --corrupted D");
    }
    if args.suite.is_some() && args.clean.is_none() {
        bail!("--suite corrupts clean images: give them with --clean D");
    }
    let to_stdout = args.json.as_deref().is_some_and(claims::is_stdout);
    if let Some(path) = args.json.as_deref().filter(|_| !to_stdout) {
        claims.file("--json", path, |head| claims::is_result(head, COMMAND));
    }
    claims.check()?;
    let wanted = baselines::named(args.baselines.as_deref().unwrap_or_default())?;
    let mut progress = progress::new();
    let device = Device::flex();
    let (enhancer, config) = match args.enhancer.as_str() {
        "identity" => (None, None),
        path => {
            let (enhancer, config) = checkpoint::load(Path::new(path), &device)?;
            (Some(enhancer), config)
        }
    };
    let arch = args.arch.as_deref().map(str::parse::<Arch>).transpose()?;
    // Which preset is the default depends on the architecture, and that on the weights.
    let resolve = |arch: Arch, metadata: BTreeMap<String, String>| -> Result<_> {
        let preset = preset(args.preset.as_deref(), config.as_ref(), arch)?;
        Ok((preset, resolve(&args, config.as_ref(), preset, arch, metadata)?))
    };
    let options = args.input.reading.options();
    let mut classifier = load_classifier(&args.classifier, arch, options, &device, |arch, metadata| {
        Ok::<_, anyhow::Error>(resolve(arch, metadata)?.1.0)
    })?;
    let (preset, (input, from)) = resolve(classifier.arch(), metadata(classifier.graph()))?;
    classifier.check_size(input.fit.size.height, input.fit.size.width)?;
    classifier = classifier.with_normalisation(normalisation(&input));
    let geometry = Geometry { preset, fit: input.fit };
    let most = Limits::DEFAULT.tensor_elements / (3 * input.fit.size.height * input.fit.size.width).max(1);
    if args.batch_size > most {
        let size = input.fit.size;
        bail!(
            "--batch-size: expected at most {most} images of {}x{} pixels, found {}",
            size.width,
            size.height,
            args.batch_size
        );
    }
    let skipped = Skipped::default();
    progress.message(&format!(
        "classifier {} ({}, {} classes), {preset} preset\npreprocessing {}; from {from}",
        shown(&args.classifier),
        classifier.arch(),
        classifier.classes(),
        input.describe()
    ));
    classifier.notes().iter().for_each(|note| progress.message(note));
    let (baselines, left_out) = baselines::runnable(wanted, &classifier);
    if let Some(message) = left_out {
        progress.message(&message);
    }
    let plan = plan(&args, geometry, &input, &classifier, &skipped)?;
    if let Some(data) = &plan.clean {
        progress.message(&format!("clean images {}", data.describe()));
    }
    let name = config.as_ref().map_or("urie".to_owned(), |c| c.method.to_string());
    let name = format!("with {name}");
    let mut contenders = vec![("alone", Contender::Alone)];
    contenders.extend(enhancer.as_ref().map(|e| (name.as_str(), Contender::Enhanced(e))));
    let before = contenders.len();
    contenders.extend(baselines.iter().map(|b| (b.name, Contender::Baseline(b))));
    let (names, contenders): (Vec<&str>, Vec<Contender>) = contenders.into_iter().unzip();
    let settings = Settings { bn_prior: args.bn_prior, seed: args.seed };
    let result = compare(&classifier, &contenders, settings, plan, &device, stop, &mut *progress)?;
    report_skipped(&skipped, &mut *progress);
    let columns: Vec<Column> =
        names.iter().zip(&result.scores).map(|(name, scores)| Column { name, scores }).collect();
    let table = table(&columns);
    let setting = config.as_ref().and_then(|c| Setting::of_run(&c.training));
    let enhanced = enhancer.is_some().then(|| (&result.scores[1], setting));
    let seen = enhanced.and_then(|(scores, setting)| seen_note(scores, setting));
    let text = [Some(table.trim_end().to_owned()), seen].into_iter().flatten().collect::<Vec<_>>().join("\n");
    if to_stdout {
        note!("{text}");
    } else {
        say!("{text}");
    }
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
            "corruptions": args.corruptions,
            "severities": args.severities,
            "preset": geometry.preset.name(),
            "size": geometry.fit.size.height,
            "preprocessing": Preprocessing { classes: None, ..input },
            "preprocessing_from": from,
            "skipped": skipped.count(),
            "limit": args.limit,
            "seed": args.seed,
            "batch_size": args.batch_size,
            "baselines": names[before..],
            "bn_prior": args.bn_prior,
            "ms_per_image": result.seconds.iter().map(|s| 1e3 * s / images).collect::<Vec<_>>(),
            "peak_mib": peak_mib(),
        });
        let json = eval_json(&result.scores[0], enhanced, &columns[before..], about);
        let text = claims::result(COMMAND, &json);
        if to_stdout {
            write(format_args!("{text}"));
        } else {
            dyntta_files::write_atomic(path, text.as_bytes())?;
        }
    }
    Ok(())
}

/// The preset that is named, else that of an enhancer's training, else the usual one.
pub fn preset(named: Option<&str>, config: Option<&EnhancerConfig>, arch: Arch) -> Result<Preset> {
    let trained = config.and_then(|c| c.training["preset"].as_str());
    Ok(match named.or(trained) {
        Some(name) => name.parse()?,
        None => usual_preset(arch),
    })
}

/// What a classifier was fed when an enhancer was trained for it; `enhancer` stands for that in messages.
pub fn trained(config: Option<&EnhancerConfig>, enhancer: &str) -> Result<Given> {
    Ok(match config {
        None => Given::default(),
        Some(config) => match &config.training["preprocessing"] {
            serde_json::Value::Null => {
                // A checkpoint from before it was kept there.
                let Normalisation { mean, std, .. } = config.classifier.normalisation;
                let [height, width] = config.image_size;
                let input_size = Some(InputSize { height, width });
                let exif = Some(Exif::Apply);
                Given { input_size, mean: Some(mean), std: Some(std), exif, ..Given::default() }
            }
            value => Given::from_run(&format!("{enhancer}: training.preprocessing"), value)?,
        },
    })
}

/// What the classifier is fed, and where that is from.
fn resolve(
    args: &Args,
    config: Option<&EnhancerConfig>,
    preset: Preset,
    arch: Arch,
    metadata: BTreeMap<String, String>,
) -> Result<(Preprocessing, String)> {
    let trained = trained(config, &args.enhancer)?;
    let arch = Some(arch);
    let sources = Sources {
        flags: args.input.given(),
        file: args.input.preprocessing.as_deref(),
        weights: &args.classifier,
        metadata,
        trained,
        default: usual(preset, arch),
        default_name: &usual_name(preset, arch),
    };
    let (mut input, from) = sources.resolve()?;
    let trained_for = config.map(|c| c.classifier.classes.as_slice());
    input.classes = class_names(input.classes.as_deref(), trained_for)?;
    Ok((input, from))
}

fn severities(args: &Args) -> Result<Option<Vec<Severity>>> {
    let parse = |list: &Vec<String>| list.iter().map(|s| s.parse()).collect::<Result<_, _>>();
    Ok(args.severities.as_ref().map(parse).transpose()?)
}

fn plan(
    args: &Args,
    geometry: Geometry,
    input: &Preprocessing,
    classifier: &Classifier,
    skipped: &Skipped,
) -> Result<Plan> {
    let skip = args.on_error == OnError::Skip;
    let limited = |data: Dataset| -> Result<Dataset> {
        Ok(match args.limit {
            Some(limit) => data.limit_balanced(limit)?,
            None => data,
        })
    };
    let split = if args.split == "train" { Split::Train } else { Split::Test };
    let clean = match &args.clean {
        Some(path) => {
            let data = named(Dataset::open(path, &Options::split(split))?, input)?;
            check_classes(&data, classifier)?;
            Some(limited(if skip { data.skip_broken(skipped) } else { data })?)
        }
        None => None,
    };
    let corrupted = if let Some(names) = &args.suite {
        let severities = severities(args)?.unwrap_or(Severity::ALL.to_vec());
        let Some(base) = clean.clone() else {
            bail!("--suite corrupts clean images: give them with --clean D");
        };
        Some(Corrupted::Suite { base, corruptions: suite(names)?, severities, seed: args.seed })
    } else if let Some(path) = &args.corrupted {
        let name = |c: Corruption| c.name().to_owned();
        let wanted = Wanted {
            corruptions: args
                .corruptions
                .as_ref()
                .map(|names| Ok::<_, anyhow::Error>(suite(names)?.into_iter().map(name).collect()))
                .transpose()?,
            severities: severities(args)?.map(|levels| levels.into_iter().map(Severity::get).collect()),
        };
        let classes = clean.as_ref().map(|d| d.classes.as_slice()).or(input.classes.as_deref());
        let mut set = CorruptedSet::open_wanted(path, classes, &wanted)?.with_exif(input.exif);
        check_class_count(&shown(path).to_string(), set.classes(), classifier)?;
        if let Some(limit) = args.limit {
            set = set.limit_balanced(limit);
        }
        Some(Corrupted::Set(if skip { set.skip_broken(skipped) } else { set }))
    } else {
        None
    };
    Ok(Plan { clean, corrupted, geometry, batch_size: args.batch_size })
}
