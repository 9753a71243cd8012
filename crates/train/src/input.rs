//! What a classifier is fed: its preprocessing in a run, its class names, and broken files.

use dyntta_corrupt::Preset;
use dyntta_data::{Dataset, Preprocessing, Skipped};
use dyntta_nn::Normalisation;
use serde::{Deserialize, Serialize};

use crate::control::Progress;
use crate::error::Error;

/// A preset's usual preprocessing: ImageNet's at 224 pixels, or the whole image at 32.
pub fn usual(preset: Preset) -> Preprocessing {
    match preset {
        Preset::Imagenet => Preprocessing::imagenet(224),
        Preset::Cifar => Preprocessing::cifar(32),
    }
}

/// What of a preprocessing stands in front of the classifier's network.
pub fn normalisation(preprocessing: &Preprocessing) -> Normalisation {
    let Preprocessing { mean, std, channels, range, .. } = *preprocessing;
    Normalisation { mean, std, channels, range }
}

/// What to do about files that cannot be read or decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// Stop at the first.
    #[default]
    Fail,
    /// Leave them out, and say how many.
    Skip,
}

/// The data set with the labels of the classifier's class names, where they are known.
///
/// # Errors
/// [`dyntta_data::Error::Classes`], with both lists, if it has classes that are not among them.
pub fn named(data: Dataset, preprocessing: &Preprocessing) -> Result<Dataset, Error> {
    Ok(match &preprocessing.classes {
        Some(names) => data.with_classes(names)?,
        None => data,
    })
}

/// Says how many broken files were left out, and what is wrong with the first of them.
pub fn report_skipped(skipped: &Skipped, progress: &mut dyn Progress) {
    const SHOWN: usize = 10;
    let errors = skipped.errors();
    if !errors.is_empty() {
        let more = if errors.len() > SHOWN { "\n  ..." } else { "" };
        let shown = errors[..errors.len().min(SHOWN)].join("\n  ");
        progress.message(&format!("{} broken files skipped:\n  {shown}{more}", errors.len()));
    }
}
