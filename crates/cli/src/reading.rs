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

/// What a classifier's file leaves open.
#[derive(clap::Args)]
#[command(next_help_heading = "What a classifier's file leaves open (docs/classifiers.md)")]
pub struct Args {
    /// The output with the classes' scores [default: the one with as many as there are classes, or the first that may be]
    #[arg(long, value_name = "NAME")]
    pub output: Option<String>,
    /// What that output holds [default: told by its values]
    #[arg(long, value_enum)]
    scores: Option<ScoresArg>,
    /// Of a file of weights, which of several sets: what stands before its keys, such as state_dict_ema [default: averaged
    /// weights first, then state_dict, then model]
    #[arg(long, value_name = "KEY")]
    pub weights_key: Option<String>,
}

impl Args {
    /// What the scores are said to be.
    pub fn scores(&self) -> Option<Scores> {
        self.scores.map(|arg| arg.0)
    }

    /// How a file is to be read.
    pub fn options(&self) -> Options {
        let (output, weights_key) = (self.output.clone(), self.weights_key.clone());
        Options { output, scores: self.scores(), weights_key, ..Options::default() }
    }
}
