//! The `dyntta` command: a thin shell over the library crates.

mod allocator;
mod bench;
mod classifier;
mod corrupt;
mod data;
mod demo;
mod enhance;
mod estimate;
mod eval;
mod experiment;
mod preprocessing;
mod progress;
mod reading;
mod recipe;
mod retrain;
mod train;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use dyntta_train::Stop;

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
    #[command(after_help = recipe::ENHANCER_DEFAULTS)]
    Train(Box<train::Args>),
    /// Measure a classifier on clean and corrupted images, with and without an enhancer.
    Eval(Box<eval::Args>),
    /// Write corrupted copies of a data set, as ImageNet-C and CIFAR-10-C are laid out.
    Corrupt(Box<corrupt::Args>),
    /// Enhance image files.
    Enhance(enhance::Args),
    /// Look into data sets.
    Data(data::Args),
    /// Look into classifiers, train them, measure them.
    Classifier(classifier::Args),
    /// Estimate which augmentations a shifted domain asks for: a policy to retrain with.
    #[command(after_help = recipe::ENHANCER_DEFAULTS)]
    Estimate(Box<estimate::Args>),
    /// Retrain a classifier with an augmentation policy: an estimated one, or one of the usual ones.
    #[command(after_help = recipe::CLASSIFIER_DEFAULTS)]
    Retrain(Box<retrain::RetrainArgs>),
    /// The paper's experiment on estimated augmentations: a classifier alone, behind DynTTA, retrained with each policy, and
    /// both together, over shifted domains.
    Experiment(Box<experiment::Args>),
    /// Time this machine: enhancing, a training step, the corruptions.
    Bench(bench::Args),
}

fn main() -> ExitCode {
    // clap prints usage errors itself and exits with 2.
    let cli = Cli::parse();
    allocator::keep_freed_memory();
    let stop = Stop::default();
    let handler = stop.clone();
    let installed = ctrlc::set_handler(move || {
        if handler.requested() {
            std::process::exit(1);
        }
        eprintln!("\nstopping at the next safe point; once more to stop at once");
        handler.request();
    });
    let result = installed.map_err(anyhow::Error::from).and_then(|()| match cli.command {
        Command::Demo(args) => demo::run(args, &stop),
        Command::Train(args) => train::run(*args, &stop),
        Command::Eval(args) => eval::run(*args, &stop),
        Command::Corrupt(args) => corrupt::run(*args, &stop),
        Command::Enhance(args) => enhance::run(args, &stop),
        Command::Data(args) => data::run(args, &stop),
        Command::Classifier(args) => classifier::run(args, &stop),
        Command::Estimate(args) => estimate::run(&args, &stop),
        Command::Retrain(args) => retrain::run(&args, &stop),
        Command::Experiment(args) => experiment::run(*args, &stop),
        Command::Bench(args) => bench::run(args, &stop),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", describe(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes, each said once: some messages hold their cause already.
fn describe(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}
