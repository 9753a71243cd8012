//! Chores of this repository: `cargo run -p xtask -- performance` measures and writes `docs/performance.md`.
#![allow(clippy::disallowed_macros, reason = "a tool for developers")]

mod performance;

use anyhow::{Result, bail};

const USAGE: &str = "usage: cargo run -p xtask -- performance [--peer COMMAND] [--rounds N] [--out FILE]

Builds the release binary, measures it on this machine and writes docs/performance.md. With --peer, a command that takes
`bench|step --size S --batch B --runs N` and prints a JSON line with ms_per_image and peak_mib runs alternately with it.";

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("performance") => performance::run(args),
        _ => bail!("{USAGE}"),
    }
}
