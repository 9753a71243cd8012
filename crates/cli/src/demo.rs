//! `dyntta demo`.

use std::path::PathBuf;

use anyhow::Result;
use dyntta_train::Stop;
use dyntta_train::demo::{Effort, demo};

use crate::progress::{self, clock, peak_mib};

#[derive(clap::Args)]
pub struct Args {
    /// Folder for the results, the checkpoints and the picture; a demo that was stopped goes on from what is there
    #[arg(long, value_name = "DIR", default_value = "dyntta-demo")]
    out: PathBuf,
    /// Names every random stream
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub fn run(args: Args, stop: &Stop) -> Result<()> {
    let mut progress = progress::new();
    let summary = demo(&args.out, Effort::default(), args.seed, stop, &mut *progress)?;
    print!("{}", summary.table);
    println!();
    for (what, path) in &summary.files {
        println!("{what:>10}  {}", path.display());
    }
    let memory = peak_mib().map(|mib| format!(", peak memory {mib} MiB")).unwrap_or_default();
    println!("\ndone in {}{memory}", clock(summary.seconds));
    Ok(())
}
