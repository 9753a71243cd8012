//! `dyntta demo`.

use std::path::PathBuf;

use anyhow::Result;
use dyntta_files::{Ours, shown};
use dyntta_train::Stop;
use dyntta_train::demo::{Effort, FILES, RUNS, demo};

use crate::claims::{Claims, Overwrite};
use crate::out::{say, write};
use crate::progress::{self, clock, peak_mib};

#[derive(clap::Args)]
pub struct Args {
    /// Folder for the results, the checkpoints and the picture; a demo that was stopped goes on from what is there
    #[arg(long, value_name = "DIR", default_value = "dyntta-demo")]
    out: PathBuf,
    /// Names every random stream
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    overwrite: Overwrite,
}

pub fn run(args: Args, mut claims: Claims, stop: &Stop) -> Result<()> {
    let at = |name: &str| args.out.join(name);
    claims.folder("--out", &args.out);
    // The results are written first: the others are an earlier demo's if they are.
    let text = std::fs::read_to_string(at(FILES[0])).unwrap_or_default();
    let ours: Ours = if text.contains("\"data\": \"Fashion-MNIST\"") { |_| true } else { |_| false };
    FILES.iter().for_each(|file| claims.file("--out", &at(file), ours));
    for run in RUNS {
        claims.own_run("--out", &at(run))?;
    }
    claims.check()?;
    let mut progress = progress::new();
    let summary = demo(&args.out, Effort::default(), args.seed, stop, &mut *progress)?;
    write(format_args!("{}\n", summary.table));
    for (what, path) in &summary.files {
        say!("{what:>10}  {}", shown(path));
    }
    let memory = peak_mib().map(|mib| format!(", peak memory {mib} MiB")).unwrap_or_default();
    say!("\ndone in {}{memory}", clock(summary.seconds));
    Ok(())
}
