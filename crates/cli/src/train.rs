//! `dyntta train`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use dyntta_nn::checkpoint::WEIGHTS;
use dyntta_train::{Stop, TrainSettings, train_enhancer};

use crate::claims::Claims;
use crate::{progress, summary};

#[derive(clap::Args)]
pub struct Args {
    // Before the settings, whose last heading they would stand under; shown between and after them.
    /// Folder for checkpoint, config, metrics and state
    #[arg(long, value_name = "RUN", display_order = 9)]
    out: PathBuf,
    /// Where to compute
    #[arg(long, default_value = "cpu", value_parser = ["cpu"], display_order = 100)]
    device: String,
    /// TOML file with any of these settings by their flag's name; flags win
    #[arg(long, value_name = "F.toml", display_order = 101)]
    config: Option<PathBuf>,
    /// Continue the run in RUN exactly where it stopped; its settings need not be given again
    #[arg(long, display_order = 102)]
    resume: bool,
    #[command(flatten)]
    settings: TrainSettings,
}

pub fn run(args: Args, mut claims: Claims, stop: &Stop) -> Result<()> {
    let mut settings = args.settings;
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
    if let Some(path) = &settings.input.preprocessing {
        claims.input("--preprocessing", path);
    }
    claims.run_folder(&args.out, args.resume)?;
    let started = Instant::now();
    let mut progress = progress::new();
    let summary = train_enhancer(&settings, &args.out, args.resume, stop, &mut *progress)?;
    let seconds = started.elapsed().as_secs_f64();
    summary::print(&summary.epochs, summary.config.method, seconds, &args.out.join(WEIGHTS));
    Ok(())
}
