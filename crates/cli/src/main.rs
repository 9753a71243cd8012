//! The `dyntta` command: a thin shell over the library crates.

mod allocator;
mod bench;
mod bounds;
mod claims;
mod classifier;
mod corrupt;
mod data;
mod demo;
mod enhance;
mod estimate;
mod eval;
mod experiment;
mod export;
mod message;
mod out;
mod progress;
mod retrain;
mod signals;
mod summary;
mod train;

use std::io::ErrorKind;
use std::process::ExitCode;

use anyhow::Result;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use dyntta_train::{Error, Stop};

use crate::claims::Claims;
use crate::message::{clean, describe};
use crate::out::note;

/// Robustness for a frozen image classifier: an enhancer that sets fifty augmentations anew for every image.
#[derive(Parser)]
#[command(version, propagate_version = true, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The whole story on built-in data: train, freeze, enhance, measure. No network, no arguments needed.
    Demo(demo::Args),
    /// Train an enhancer in front of a frozen classifier.
    #[command(after_help = summary::ENHANCER_DEFAULTS)]
    Train(Box<train::Args>),
    /// Measure a classifier on clean and corrupted images, with and without an enhancer.
    Eval(Box<eval::Args>),
    /// Write corrupted copies of a data set, as ImageNet-C and CIFAR-10-C are laid out.
    Corrupt(Box<corrupt::Args>),
    /// Enhance image files.
    Enhance(enhance::Args),
    /// Write an enhancer, and a classifier behind it, as one ONNX graph.
    Export(Box<export::Args>),
    /// Look into data sets.
    Data(data::Args),
    /// Look into classifiers, train them, measure them.
    Classifier(classifier::Args),
    /// Estimate which augmentations a shifted domain asks for: a policy to retrain with.
    #[command(after_help = summary::ENHANCER_DEFAULTS)]
    Estimate(Box<estimate::Args>),
    /// Retrain a classifier with an augmentation policy: an estimated one, or one of the usual ones.
    #[command(after_help = summary::CLASSIFIER_DEFAULTS)]
    Retrain(Box<retrain::Args>),
    /// The paper's experiment on estimated augmentations: a classifier alone, behind DynTTA, retrained with each policy, and
    /// both together, over shifted domains.
    Experiment(Box<experiment::Args>),
    /// Time this machine: enhancing, a training step, the corruptions.
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let (matches, cli) = match parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(error) => return usage(&error),
    };
    allocator::keep_freed_memory();
    let stop = Stop::default();
    let result = signals::install(&stop)
        .map_err(|e| anyhow::Error::from(e).context("signals cannot be handled"))
        .and_then(|()| run(cli.command, claims::of(&Cli::command(), &matches), &stop));
    let failed = match &result {
        Ok(()) => None,
        Err(error) => {
            note!("error: {}", describe(error));
            Some(if is_stop(error) { signals::code() } else { 1 })
        }
    };
    match (failed, out::finish()) {
        (Some(code), _) => ExitCode::from(code),
        (None, Ok(())) => ExitCode::SUCCESS,
        (None, Err(error)) => {
            note!("error: standard output cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(
    args: impl IntoIterator<Item = impl Into<std::ffi::OsString> + Clone>,
) -> clap::error::Result<(ArgMatches, Cli)> {
    let matches = Cli::command().try_get_matches_from(args)?;
    let cli = Cli::from_arg_matches(&matches).map_err(|e| e.format(&mut Cli::command()))?;
    Ok((matches, cli))
}

/// Prints what clap has to say: help, or what is wrong with the flags.
fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        note!("{}", clean(&error.render().to_string()));
        return ExitCode::from(2);
    }
    match error.print().and_then(|()| out::finish()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            note!("error: standard output cannot be written: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn run(command: Command, claims: Claims, stop: &Stop) -> Result<()> {
    match command {
        Command::Demo(args) => demo::run(args, claims, stop),
        Command::Train(args) => train::run(*args, claims, stop),
        Command::Eval(args) => eval::run(*args, claims, stop),
        Command::Corrupt(args) => corrupt::run(*args, claims, stop),
        Command::Enhance(args) => enhance::run(args, claims, stop),
        Command::Export(args) => export::run(&args, claims, stop),
        Command::Data(args) => data::run(args, stop),
        Command::Classifier(args) => classifier::run(args, claims, stop),
        Command::Estimate(args) => estimate::run(&args, claims, stop),
        Command::Retrain(args) => retrain::run(*args, claims, stop),
        Command::Experiment(args) => experiment::run(*args, claims, stop),
        Command::Bench(args) => bench::run(args, stop),
    }
}

/// Whether an error says that someone asked to stop.
fn is_stop(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref::<Error>(), Some(Error::Interrupted(_))))
}
