//! Flags for how a classifier's ONNX file is understood.

use clap::ValueEnum;
use dyntta_nn::onnx::{Options, Scores};

#[derive(Clone, Copy)]
pub struct ScoresArg(Scores);

impl ValueEnum for ScoresArg {
    fn value_variants<'a>() -> &'a [Self] {
        const { &[Self(Scores::ALL[0]), Self(Scores::ALL[1])] }
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(self.0.name().into())
    }
}

/// What an ONNX file leaves open.
#[derive(clap::Args)]
#[command(next_help_heading = "Classifiers from ONNX files (docs/classifiers.md)")]
pub struct Args {
    /// The output with the classes' scores [default: the one with as many as there are classes, or the first that may be]
    #[arg(long, value_name = "NAME")]
    pub output: Option<String>,
    /// What that output holds [default: told by its values]
    #[arg(long, value_enum)]
    scores: Option<ScoresArg>,
}

impl Args {
    /// What the scores are said to be.
    pub fn scores(&self) -> Option<Scores> {
        self.scores.map(|arg| arg.0)
    }

    /// How a file is to be read.
    pub fn options(&self) -> Options {
        Options { output: self.output.clone(), scores: self.scores(), ..Options::default() }
    }
}
