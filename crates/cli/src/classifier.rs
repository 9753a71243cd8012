//! `dyntta classifier`.

mod info;
pub mod train;

use anyhow::Result;
use clap::Subcommand;
use dyntta_train::Stop;

use crate::claims::Claims;
use crate::{eval, summary};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// What a classifier's file holds, and what would be fed to it.
    Info(Box<info::Args>),
    /// Train a classifier, from scratch or from weights.
    #[command(after_help = summary::CLASSIFIER_DEFAULTS)]
    Train(Box<train::Args>),
    /// Measure a classifier: `dyntta eval` under another name.
    Eval(Box<eval::Args>),
}

pub fn run(args: Args, claims: Claims, stop: &Stop) -> Result<()> {
    match args.command {
        Command::Info(args) => info::run(&args),
        Command::Train(args) => train::run(*args, claims, stop),
        Command::Eval(args) => eval::run(*args, claims, stop),
    }
}
