//! One error for all that can go wrong.

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// What kind of thing went wrong: what a program decides by. The message is for people.
///
/// ```
/// use dyntta::{Enhancer, ErrorKind};
///
/// let error = Enhancer::load("no/such/run.safetensors").unwrap_err();
/// let answer = match error.kind() {
///     ErrorKind::NotFound => "train one first",
///     ErrorKind::Damaged | ErrorKind::Mismatch => "train it again",
///     _ => "ask someone",
/// };
/// assert_eq!(answer, "train one first");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file or folder that is not there.
    NotFound,
    /// A file that is there and is not what its use asks for: cut off, corrupt, or something else altogether.
    Damaged,
    /// Two whole things that do not go together, such as weights and the network they are read for.
    Mismatch,
    /// A format, an operator or a network that is known not to be known.
    Unsupported,
    /// More than [`Limits`](crate::Limits) allow, or than can be counted.
    TooLarge,
    /// An argument that is wrong in itself: a length, a size of nothing, a setting out of range.
    InvalidInput,
    /// Someone asked to stop.
    Interrupted,
    /// The operating system refused to read or write.
    Io,
}

/// What can go wrong in this crate. Its message names the file, the key, what was expected and what was found.
///
/// ```
/// use std::error::Error as _;
///
/// let error = dyntta::Enhancer::load("no/such/run.safetensors").unwrap_err();
/// assert_eq!(error.kind(), dyntta::ErrorKind::NotFound);
/// assert!(error.to_string().starts_with("no/such/run.safetensors: cannot read"));
/// // What the system said.
/// let source = error.source().unwrap().downcast_ref::<std::io::Error>().unwrap();
/// assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
/// ```
pub struct Error {
    kind: ErrorKind,
    inner: Box<dyn StdError + Send + Sync>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, inner: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { kind, inner: inner.into() }
    }

    /// What kind of thing went wrong.
    ///
    /// ```
    /// let error = dyntta::Rgb8::new(2, 2, vec![0; 11]).map_err(dyntta::Error::from).unwrap_err();
    /// assert_eq!(error.kind(), dyntta::ErrorKind::InvalidInput);
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The error of the crate below that this one is made of, to be looked into by `downcast_ref`. Its message is this one's.
    ///
    /// ```
    /// let error = dyntta::Error::from(dyntta::Rgb8::new(2, 2, vec![0; 11]).unwrap_err());
    /// assert!(error.get_ref().is::<dyntta::image::Error>());
    /// ```
    pub fn get_ref(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.inner
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {:?}", self.kind, self.inner)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source()
    }
}

/// `From` for an error of a crate below, and its kind. What a later version adds to it is [`ErrorKind::Damaged`] until it is
/// listed here.
macro_rules! kinds {
    ($(#[$feature:meta])? $name:ident, $error:ty, |$value:ident| $kind:expr) => {
        $(#[$feature])?
        fn $name($value: &$error) -> ErrorKind {
            $kind
        }

        $(#[$feature])?
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::new($name(&error), error)
            }
        }
    };
}

fn io(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::Interrupted => ErrorKind::Interrupted,
        io::ErrorKind::FileTooLarge => ErrorKind::TooLarge,
        _ => ErrorKind::Io,
    }
}

kinds!(files, dyntta_files::Error, |error| {
    use dyntta_files::Error as E;
    match error {
        E::Io { source, .. } => io(source),
        E::TooLarge { .. } => ErrorKind::TooLarge,
        E::InputIsOutput { .. } | E::Exists { .. } | E::Locked { .. } => ErrorKind::InvalidInput,
        _ => ErrorKind::Damaged,
    }
});

kinds!(image, dyntta_image::Error, |error| {
    use dyntta_image::Error as E;
    match error {
        E::File(error) => files(error),
        E::NotAnImage { .. } | E::Unsupported { .. } => ErrorKind::Unsupported,
        E::TooLarge { .. } => ErrorKind::TooLarge,
        E::Shape { .. } | E::Extension { .. } | E::Encode { .. } => ErrorKind::InvalidInput,
        _ => ErrorKind::Damaged,
    }
});

kinds!(model, dyntta_model::Error, |error| {
    use dyntta_model::Error as E;
    match error {
        E::File(error) => files(error),
        E::Mismatch { .. } => ErrorKind::Mismatch,
        E::View { .. } => ErrorKind::InvalidInput,
        E::TooLarge { .. } => ErrorKind::TooLarge,
        _ => ErrorKind::Damaged,
    }
});

kinds!(ops, dyntta_ops::Error, |error| {
    use dyntta_ops::Error as E;
    match error {
        E::TooLarge { .. } | E::TooMany { .. } => ErrorKind::TooLarge,
        _ => ErrorKind::InvalidInput,
    }
});

kinds!(
    #[cfg(feature = "corrupt")]
    corrupt,
    dyntta_corrupt::Error,
    |_error| ErrorKind::InvalidInput
);

kinds!(
    #[cfg(feature = "classifier")]
    nn,
    dyntta_nn::Error,
    |error| {
        use dyntta_nn::Error as E;
        match error {
            E::Io { source, .. } => io(source),
            E::File(error) => files(error),
            E::Write(error) => image(error),
            E::Model(error) => model(error),
            E::UnknownArch { .. } | E::Unsupported { .. } | E::Gradient { .. } => ErrorKind::Unsupported,
            E::ImageSize { .. } => ErrorKind::Mismatch,
            _ => ErrorKind::Damaged,
        }
    }
);

kinds!(
    #[cfg(feature = "classifier")]
    data,
    dyntta_data::Error,
    |error| {
        use dyntta_data::Error as E;
        match error {
            E::Io { source, .. } => io(source),
            E::File(error) => files(error),
            E::Image(error) => image(error),
            E::Classes { .. } | E::BatchSize { .. } | E::Manifest { .. } => ErrorKind::Mismatch,
            E::Preprocessing { .. } | E::Selection { .. } => ErrorKind::InvalidInput,
            _ => ErrorKind::Damaged,
        }
    }
);

kinds!(
    #[cfg(feature = "train")]
    augment,
    dyntta_augment::Error,
    |_error| ErrorKind::InvalidInput
);

kinds!(
    #[cfg(feature = "train")]
    train,
    dyntta_train::Error,
    |error| {
        use dyntta_train::Error as E;
        match error {
            E::Network(error) => nn(error),
            E::Data(error) => data(error),
            E::Image(error) => image(error),
            E::Augmentation(error) => augment(error),
            E::Corruption(error) => corrupt(error),
            E::Files(error) => files(error),
            E::Io { source, .. } => io(source),
            E::Setting { .. } | E::Config { .. } => ErrorKind::InvalidInput,
            E::Classes { .. } | E::ClassNames { .. } | E::Resume { .. } => ErrorKind::Mismatch,
            E::NoGradient { .. } => ErrorKind::Unsupported,
            E::Interrupted(_) => ErrorKind::Interrupted,
            _ => ErrorKind::Damaged,
        }
    }
);

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn kinds_are_told_from_what_is_below() {
        let path = || PathBuf::from("a");
        let io = |kind: io::ErrorKind| dyntta_files::Error::Io {
            path: path(),
            action: "read",
            source: kind.into(),
        };
        let cases: Vec<(Error, ErrorKind)> = vec![
            (io(io::ErrorKind::NotFound).into(), ErrorKind::NotFound),
            (io(io::ErrorKind::PermissionDenied).into(), ErrorKind::Io),
            (io(io::ErrorKind::Interrupted).into(), ErrorKind::Interrupted),
            (dyntta_files::Error::TooLarge { path: path(), limit: 1 }.into(), ErrorKind::TooLarge),
            (dyntta_image::Error::File(io(io::ErrorKind::NotFound)).into(), ErrorKind::NotFound),
            (dyntta_model::Error::View { side: 0 }.into(), ErrorKind::InvalidInput),
            (dyntta_model::Error::format(&path(), "b", "c").into(), ErrorKind::Damaged),
            (
                dyntta_model::Error::Mismatch {
                    path: path(),
                    network: "b".into(),
                    mismatch: dyntta_model::Mismatch::default(),
                }
                .into(),
                ErrorKind::Mismatch,
            ),
            (dyntta_ops::Error::TooLarge { h: 1, w: 1 }.into(), ErrorKind::TooLarge),
            (dyntta_ops::Error::NoPixels { h: 0, w: 1 }.into(), ErrorKind::InvalidInput),
        ];
        for (error, kind) in cases {
            assert_eq!(error.kind(), kind, "{error:?}");
        }
    }

    #[test]
    fn an_error_travels_between_threads() {
        fn sent<T: Send + Sync + 'static>() {}
        sent::<Error>();
    }
}
