use std::path::{Path, PathBuf};

use dyntta_files::{shown, shown_text};

/// What can go wrong in training and evaluation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A network, weight file or checkpoint.
    #[error(transparent)]
    Network(#[from] dyntta_nn::Error),
    /// A data set.
    #[error(transparent)]
    Data(#[from] dyntta_data::Error),
    /// An image.
    #[error(transparent)]
    Image(#[from] dyntta_image::Error),
    /// An augmentation or policy.
    #[error(transparent)]
    Augmentation(#[from] dyntta_augment::Error),
    /// A corruption or suite.
    #[error(transparent)]
    Corruption(#[from] dyntta_corrupt::Error),
    /// A file is not what it should be, or stands where it shouldn't.
    #[error(transparent)]
    Files(#[from] dyntta_files::Error),
    /// A file could not be read or written.
    #[error("{}: {source}", shown(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A setting is out of range or does not go with another.
    #[error("`{key}`: expected {expected}, found {found}")]
    Setting {
        /// The flag or config key.
        key: String,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A config file is not what it should be.
    #[error("{}: {message}", shown(path))]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and key.
        message: String,
    },
    /// The classes of a data set are not those of the classifier.
    #[error("{what} has {found} classes, the classifier {expected}{listing}")]
    Classes {
        /// The data set.
        what: String,
        /// The classifier's number of classes.
        expected: usize,
        /// The data set's.
        found: usize,
        /// Names where they are known.
        listing: String,
    },
    /// Class names are told twice, and not alike.
    #[error(
        "{first} names {} classes, {second} {}: {}",
        expected.len(),
        found.len(),
        first_difference(expected, found)
    )]
    ClassNames {
        /// Where the first list stands.
        first: String,
        /// Where the second stands.
        second: String,
        /// The first.
        expected: Vec<String>,
        /// The second.
        found: Vec<String>,
    },
    /// Scores are infinite or no numbers, so that none of them is the largest.
    #[error("{image}: {of} are not finite ({value})")]
    Scores {
        /// The first image with such scores.
        image: String,
        /// Whose scores they are: "the classifier's scores", …
        of: String,
        /// The first of them.
        value: f32,
    },
    /// A classifier gives no finite scores even to a black image.
    #[error("{}", broken(*value, weights))]
    BrokenClassifier {
        /// The first of the scores.
        value: f32,
        /// The weights that are infinite or no numbers, as far as they are known.
        weights: Vec<String>,
    },
    /// Nothing can be trained in front of a classifier.
    #[error(
        "{classifier}: no gradient reaches the image, so that no enhancer can be trained in front of this classifier: somewhere \
         its values go through whole numbers (a cast, a rounding, a comparison), or they don't depend on the image"
    )]
    NoGradient {
        /// The classifier's file.
        classifier: String,
    },
    /// The loss became infinite or not a number.
    #[error(
        "the loss is {loss} at step {step} of epoch {epoch} (learning rate {lr:.2e}){image}.\n\
         Training stopped; {kept}.\n\
         Try a lower learning rate (--lr {suggestion:.0e}), gradient clipping (--clip 1), or Adam instead of SGD \
         (--optimizer adam)."
    )]
    NonFinite {
        /// The loss.
        loss: f64,
        /// The epoch, from 1.
        epoch: usize,
        /// The step in it, from 1.
        step: usize,
        /// The learning rate there.
        lr: f64,
        /// A rate to try.
        suggestion: f64,
        /// The first image whose scores are not finite, if that is why.
        image: String,
        /// What is left of the run.
        kept: String,
    },
    /// The run cannot be continued.
    #[error("{}: cannot resume: {message}", shown(path))]
    Resume {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// Someone asked to stop.
    #[error("stopped{}", .0.as_deref().map(|s| format!("; {s}")).unwrap_or_default())]
    Interrupted(Option<String>),
}

impl Error {
    /// An [`Error::Io`] for `path`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { path, source }
    }

    /// An [`Error::Setting`].
    pub fn setting(key: impl Into<String>, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Setting { key: key.into(), expected: expected.into(), found: found.to_string() }
    }
}

fn first_difference(expected: &[String], found: &[String]) -> String {
    let at = (0..expected.len().max(found.len())).find(|&i| expected.get(i) != found.get(i)).unwrap_or(0);
    let name = |list: &[String]| match list.get(at) {
        Some(name) => format!("\"{}\"", shown_text(name)),
        None => "none".to_owned(),
    };
    format!("class {at}, counted from 0, is {} and {}", name(expected), name(found))
}

fn broken(value: f32, weights: &[String]) -> String {
    match weights {
        [] => format!(
            "the classifier's scores are not finite ({value}), those of a black image neither: the classifier's weights hold NaN \
             or infinities"
        ),
        keys => format!("the classifier's weights hold NaN or infinities in {}", keys.join(", ")),
    }
}
