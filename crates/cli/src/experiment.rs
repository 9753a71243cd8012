//! `dyntta experiment`.

use std::path::PathBuf;

use anyhow::Result;
use dyntta_files::{Ours, shown};
use dyntta_train::experiment::{ExperimentSettings, experiment};
use dyntta_train::{Setting, Stop};

use crate::bounds;
use crate::claims::{Claims, Overwrite};
use crate::out::{say, write};
use crate::progress::{self, clock};

#[derive(clap::Args)]
pub struct Args {
    /// Training images, not shifted: anything that `train --data` takes
    #[arg(long, value_name = "D")]
    data: PathBuf,
    /// Test images, not shifted
    #[arg(long, value_name = "D")]
    test: PathBuf,
    /// The classifier's weights: .pth, .pt, .th or .safetensors
    #[arg(long, value_name = "W")]
    classifier: PathBuf,
    /// The classifier's architecture [default: told by the weights' keys]
    #[arg(long)]
    arch: Option<String>,
    /// imagenet or cifar [default: told by the architecture]
    #[arg(long)]
    preset: Option<String>,
    /// Folder for everything; an experiment that was stopped goes on from what is there, and more seeds, shifts and policies
    /// are added to it
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The domains: corruptions with their severities, common15 (a mix of all fifteen), clean (the images as they are: a
    /// natural shift, for a classifier trained on others)
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "speckle_noise:5,gaussian_blur:5,spatter:5,saturate:5,common15,clean"
    )]
    shifts: Vec<Setting>,
    /// The fixed policies
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "none,augmix,randaugment,trivialaugment"
    )]
    policies: Vec<String>,
    /// The ways to use the estimated policy
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "top-k,sampled,inverted")]
    styles: Vec<String>,
    /// The seeds
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "0,1,2")]
    seeds: Vec<u64>,
    /// Use N training images, as many of each class [default: all]
    #[arg(long, value_name = "N", value_parser = bounds::count())]
    limit: Option<usize>,
    /// Use N test images, as many of each class [default: all]
    #[arg(long, value_name = "N", value_parser = bounds::count())]
    test_limit: Option<usize>,
    /// Train enhancers on N of the training images [default: all that --limit leaves]
    #[arg(long, value_name = "N", value_parser = bounds::count())]
    enhancer_limit: Option<usize>,
    /// Epochs of each retraining
    #[arg(long, default_value_t = 30, value_parser = bounds::epochs())]
    epochs: usize,
    /// Retrain from fresh weights instead of the classifier's
    #[arg(long)]
    from_scratch: bool,
    /// Epochs of URIE and of DynTTA in each estimate
    #[arg(
        long,
        value_name = "N,N",
        value_delimiter = ',',
        default_value = "10,10",
        value_parser = bounds::epochs()
    )]
    enhancer_epochs: Vec<usize>,
    #[command(flatten)]
    overwrite: Overwrite,
}

/// The file that tells the folder of an experiment.
const SETTINGS: &str = "experiment.json";
/// What is written beside it.
const RESULTS: [&str; 3] = ["results.json", "results.md", "results.svg"];

pub fn run(args: Args, mut claims: Claims, stop: &Stop) -> Result<()> {
    claims.folder("--out", &args.out);
    // What it holds is held against the settings before anything is written.
    let ours: Ours = if args.out.join(SETTINGS).is_file() { |_| true } else { |_| false };
    for file in [&[SETTINGS], RESULTS.as_slice()].concat() {
        claims.file("--out", &args.out.join(file), ours);
    }
    claims.check()?;
    let started = std::time::Instant::now();
    let [urie, dyntta] = args.enhancer_epochs[..] else {
        anyhow::bail!("--enhancer-epochs: expected two numbers, of URIE and of DynTTA");
    };
    let settings = ExperimentSettings {
        data: args.data,
        test: args.test,
        classifier: args.classifier,
        arch: args.arch,
        preset: args.preset,
        shifts: args.shifts,
        fixed: args.policies,
        styles: args.styles,
        seeds: args.seeds,
        limit: args.limit,
        test_limit: args.test_limit,
        enhancer_limit: args.enhancer_limit,
        epochs: args.epochs,
        from_scratch: args.from_scratch,
        enhancer_epochs: [urie, dyntta],
    };
    let mut progress = progress::new();
    let report = experiment(&settings, &args.out, stop, &mut *progress)?;
    write(format_args!("{}", report.tables));
    for (what, path) in &report.files {
        say!("{what:>8}  {}", shown(path));
    }
    say!("\ndone in {}", clock(started.elapsed().as_secs_f64()));
    Ok(())
}
