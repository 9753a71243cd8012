//! `dyntta experiment`.

use std::path::PathBuf;

use anyhow::Result;
use dyntta_files::{Ours, shown};
use dyntta_train::Stop;
use dyntta_train::experiment::{ExperimentSettings, FILES, experiment};

use crate::claims::{Claims, Overwrite};
use crate::out::{say, write};
use crate::progress::{self, clock};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: ExperimentSettings,
    /// Folder for everything; an experiment that was stopped goes on from what is there, and more seeds, shifts and policies
    /// are added to it
    #[arg(long, value_name = "DIR", display_order = 5)]
    out: PathBuf,
    #[command(flatten)]
    overwrite: Overwrite,
}

pub fn run(args: Args, mut claims: Claims, stop: &Stop) -> Result<()> {
    claims.folder("--out", &args.out);
    // What it holds is held against the settings before anything is written.
    let ours: Ours = if args.out.join(FILES[0]).is_file() { |_| true } else { |_| false };
    for file in FILES {
        claims.file("--out", &args.out.join(file), ours);
    }
    claims.check()?;
    let started = std::time::Instant::now();
    let mut progress = progress::new();
    let report = experiment(&args.settings, &args.out, stop, &mut *progress)?;
    write(format_args!("{}", report.tables));
    for (what, path) in &report.files {
        say!("{what:>8}  {}", shown(path));
    }
    say!("\ndone in {}", clock(started.elapsed().as_secs_f64()));
    Ok(())
}
