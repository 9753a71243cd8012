//! `dyntta estimate`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use dyntta_augment::policy::Distribution;
use dyntta_corrupt::suite;
use dyntta_data::{Split, Wanted};
use dyntta_files::shown;
use dyntta_train::{
    DataOptions, EstimateSettings, InputOptions, OnError, RecipeOptions, Setting, Stop, TrainSettings,
    estimate,
};

use crate::bounds;
use crate::claims::{self, Claims, Overwrite};
use crate::out::say;
use crate::progress;

/// How many augmentations the command lists.
const SHOWN: usize = 10;

#[derive(clap::Args)]
pub struct Args {
    /// Labelled images of the shifted domain: anything that `train --data` takes
    #[arg(long, value_name = "SHIFTED", required_unless_present = "corrupted")]
    data: Option<PathBuf>,
    /// Instead a corrupted set, as `eval --corrupted` takes it: the policy then also tells the corruptions apart
    #[arg(long, value_name = "D", conflicts_with = "data")]
    corrupted: Option<PathBuf>,
    /// Of --corrupted, these alone: a suite, or corruptions' names separated by commas [default: all there are]
    #[arg(long, value_name = "S", requires = "corrupted")]
    corruptions: Option<String>,
    /// Severities of --corrupted [default: all there are]
    #[arg(long, value_name = "1,3,5", value_delimiter = ',', requires = "corrupted")]
    severities: Option<Vec<u8>>,
    /// The classifier's weights: .pth, .pt, .th, .safetensors or .onnx
    #[arg(long, value_name = "W")]
    classifier: PathBuf,
    /// The classifier's architecture, such as cifar-resnet20 or resnet50 [default: told by the weights' keys]
    #[arg(long)]
    arch: Option<String>,
    /// The policy's file; a picture of it is written beside it, and the runs in a folder of the same name with .runs
    #[arg(long, value_name = "policy.toml")]
    out: PathBuf,
    /// What the data is put through to be the domain: clean for images that are shifted themselves, common15, or a
    /// corruption and its severity such as fog:3
    #[arg(long, value_name = "S", default_value = "clean")]
    setting: Setting,
    /// A trained DynTTA to read off, its run's folder or weights [default: one is trained]
    #[arg(long, value_name = "RUN|FILE")]
    enhancer: Option<PathBuf>,
    /// Clean images to compare with [default: the same images without --setting]
    #[arg(long, value_name = "D")]
    clean: Option<PathBuf>,
    /// Share of the images that is read off, and not trained on
    #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
    held_out: f64,
    /// Part of a data set that comes in parts (CIFAR, CUB-200, idx)
    #[arg(long, value_name = "test|train", default_value = "train", value_parser = ["test", "train"])]
    split: String,
    /// imagenet (224 px, the paper's recipe) or cifar (32 px, Adam) [default: the enhancer's, else imagenet]
    #[arg(long)]
    preset: Option<String>,
    /// Use N images only, as many of each class
    #[arg(long, value_name = "N", value_parser = bounds::count())]
    limit: Option<usize>,
    /// What to do about files that cannot be read or decoded [default: fail]
    #[arg(long, value_parser = bounds::choice::<OnError>())]
    on_error: Option<OnError>,
    /// Another bank: augmentations in order, separated by commas [default: the paper's fifty]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    bank: Option<Vec<String>>,
    #[command(flatten)]
    overwrite: Overwrite,
    #[command(flatten)]
    recipe: RecipeOptions,
    #[command(flatten)]
    input: InputOptions,
}

/// Checks that the policy, its picture and the runs can be written, and makes the folder for them.
fn claim(args: &Args, mut claims: Claims) -> Result<()> {
    if args.out.exists() && !(args.overwrite.overwrite && args.out.is_file()) {
        // It may have been edited by hand.
        bail!(
            "--out: expected the name of a new file, found {}: move it away to have it estimated again, or replace it with \
             --overwrite",
            shown(&args.out)
        );
    }
    let folder = args.out.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists());
    if let Some(folder) = folder {
        claims.folder("--out", folder);
    }
    claims.file("--out", &args.out, |_| false);
    claims.file("the picture beside --out", &picture(args), claims::is_picture);
    if args.enhancer.is_none() {
        let name = "the runs beside --out";
        claims.folder(name, &runs(args));
        for run in ["urie", "dyntta"] {
            claims.own_run(name, &runs(args).join(run))?;
        }
    }
    claims.check()?;
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot be made", shown(folder)))?;
    }
    Ok(())
}

fn picture(args: &Args) -> PathBuf {
    args.out.with_extension("svg")
}

fn runs(args: &Args) -> PathBuf {
    args.out.with_extension("runs")
}

pub fn run(args: &Args, claims: Claims, stop: &Stop) -> Result<()> {
    claim(args, claims)?;
    let names = |list: &String| -> Result<Vec<String>> {
        Ok(suite(list)?.into_iter().map(|c| c.name().to_owned()).collect())
    };
    let wanted = Wanted {
        corruptions: args.corruptions.as_ref().map(names).transpose()?,
        severities: args.severities.clone(),
    };
    let settings = EstimateSettings {
        train: TrainSettings {
            data: args.data.clone().or(args.corrupted.clone()),
            classifier: Some(args.classifier.clone()),
            arch: args.arch.clone(),
            // Both are trained, URIE first.
            method: None,
            urie: None,
            control_weights: None,
            control_size: None,
            setting: Some(args.setting),
            preset: args.preset.clone(),
            images: DataOptions { limit: args.limit, on_error: args.on_error },
            bank: args.bank.clone(),
            recipe: args.recipe.clone(),
            input: args.input.clone(),
        },
        corrupted: args.corrupted.is_some().then_some(wanted),
        split: if args.split == "train" { Split::Train } else { Split::Test },
        enhancer: args.enhancer.clone(),
        clean: args.clean.clone(),
        held_out: args.held_out,
        runs: runs(args),
    };
    let mut progress = progress::new();
    let policy = estimate(&settings, stop, &mut *progress)?;
    let picture = picture(args);
    // The policy last: where it stands, all of it is done.
    dyntta_files::write_atomic(&picture, claims::picture(&policy.picture()).as_bytes())?;
    policy.write(&args.out)?;
    let total: f64 = policy.ops.iter().map(|op| op.weight).sum();
    say!("{:18}{:>8}{:>8}{:>12}{:>12}", "augmentation", "weight", "clean", "factor", "clean");
    for op in policy.heaviest(SHOWN) {
        let share = |weight: Option<f64>| weight.map_or(String::new(), |w| format!("{:.1} %", 100.0 * w));
        let mean = |factor: &Option<Distribution>| {
            factor.as_ref().map_or(String::new(), |factor| format!("{:.2}", factor.mean))
        };
        say!(
            "{:18}{:>8}{:>8}{:>12}{:>12}",
            op.name,
            share(Some(op.weight / total)),
            share(op.clean_weight),
            mean(&op.factor),
            mean(&op.clean_factor)
        );
    }
    say!("\n policy  {}\npicture  {}", shown(&args.out), shown(&picture));
    Ok(())
}
