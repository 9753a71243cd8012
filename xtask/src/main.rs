//! Chores of this repository. `cargo run --release -p xtask` lists them.
#![allow(clippy::disallowed_macros, reason = "a tool for developers")]

mod allocator;
mod arguments;
mod fuzz;
#[cfg(unix)]
mod fuzz_cli;
mod performance;
#[cfg(unix)]
mod process;
#[cfg(test)]
mod security;
#[cfg(unix)]
mod torture;

use anyhow::{Result, bail};

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

const USAGE: &str = "usage: cargo run --release -p xtask -- COMMAND

performance [--peer COMMAND] [--rounds N] [--out FILE]
    Builds the release binary, measures it on this machine and writes docs/performance.md. With --peer, a command that takes
    `bench|step --size S --batch B --runs N` and prints a JSON line with ms_per_image and peak_mib runs alternately with it.

fuzz [--target T] [--seconds 60 | --count N] [--seed N] [--jobs 2] [--faults DIR]
    Feeds mutated files to every reader, for so long or so many inputs a target. The seed is of the time unless given, and printed.
fuzz --target T --input FILE
    Feeds one file to a reader: how a fault is reproduced.
fuzz-seeds DIR
    Writes the seeds and dictionaries for cargo-fuzz: DIR/corpus/T/* and DIR/T.dict.
fuzz-cli [--dyntta target/release/dyntta] [--count 500] [--seed N] [--jobs 2] [--faults DIR]
    Runs the command on mutated files and folders.
torture [--dyntta target/release/dyntta] [--train N] [--corrupt N] [--estimate N] [--experiment N] [--seed N]
    Kills jobs N times at random moments, resumes them and compares what they make with an uninterrupted run's.";

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("performance") => performance::run(args),
        Some("fuzz") => fuzz::run(args),
        Some("fuzz-seeds") => fuzz::seeds(args),
        #[cfg(unix)]
        Some("fuzz-cli") => fuzz_cli::run(args),
        #[cfg(unix)]
        Some("torture") => torture::run(args),
        _ => bail!("{USAGE}"),
    }
}
