use std::path::PathBuf;

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
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
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
    #[error("{}: {message}", path.display())]
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
    /// The loss became infinite or not a number.
    #[error(
        "the loss is {loss} at step {step} of epoch {epoch} (learning rate {lr:.2e}).\n\
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
        /// What is left of the run.
        kept: String,
    },
    /// The run cannot be continued.
    #[error("{}: cannot resume: {message}", path.display())]
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
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// An [`Error::Setting`].
    pub fn setting(key: impl Into<String>, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Setting { key: key.into(), expected: expected.into(), found: found.to_string() }
    }
}
