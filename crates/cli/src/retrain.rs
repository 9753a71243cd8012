//! `dyntta retrain`.

use std::path::PathBuf;

use anyhow::Result;
use dyntta_train::Stop;

use crate::claims::Claims;
use crate::classifier::train::Common;

#[derive(clap::Args)]
pub struct Args {
    /// The classifier to retrain: .pth, .pt, .th or .safetensors
    #[arg(long, value_name = "W")]
    classifier: Option<PathBuf>,
    /// A policy's file, or none, augmix, randaugment, trivialaugment
    #[arg(long, value_name = "P")]
    policy: Option<String>,
    /// Begin with fresh weights of the classifier's architecture, not with its own
    #[arg(long)]
    from_scratch: bool,
    #[command(flatten)]
    common: Common,
}

pub fn run(args: Args, claims: Claims, stop: &Stop) -> Result<()> {
    let Args { classifier, policy, from_scratch, mut common } = args;
    let settings = &mut common.settings;
    (settings.classifier, settings.policy) = (classifier, policy);
    settings.from_scratch = from_scratch.then_some(true);
    common.run(&["data", "classifier", "policy"], claims, stop)
}
