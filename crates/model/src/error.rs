use std::path::{Path, PathBuf};

use dyntta_files::{shown, shown_lines, shown_text};

/// What can go wrong with a model's files. Every variant names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] dyntta_files::Error),
    /// A file is not what its use asks for.
    #[error("{}: expected {}, found {}", shown(path), shown_lines(expected), shown_lines(found))]
    Format {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Weights do not fit the network.
    #[error("{}: the weights do not fit {network}{mismatch}", shown(path))]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The network.
        network: String,
        /// What does not fit.
        mismatch: Mismatch,
    },
    /// A weight is not a finite number.
    #[error("{}: the weights hold {value} in `{}`", shown(path), shown_text(key))]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        key: String,
        /// The number.
        value: f32,
    },
    /// A control network can't look at a view of this size.
    #[error("a view of {side} pixels a side: expected 1 to {}", crate::MAX_VIEW)]
    View {
        /// Its side.
        side: usize,
    },
    /// A file asks for more than its reader's limits allow.
    #[error("{}: expected at most {limit} {unit}, found {found}", shown(path))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is counted, such as "elements in all".
        unit: &'static str,
        /// The most there may be.
        limit: usize,
        /// How many there are.
        found: usize,
    },
    /// A config's list of augmentations is not a bank.
    #[error("{}: `bank`: {source}", shown(path))]
    Bank {
        /// The config.
        path: PathBuf,
        /// What is wrong with the list.
        source: dyntta_ops::Error,
    },
}

impl Error {
    /// An [`Error::Format`].
    pub fn format(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Format { path: path.to_owned(), expected: expected.into(), found: found.into() }
    }
}

/// How a set of weights differs from what a network has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Keys that the network has and the weights lack.
    pub missing: Vec<String>,
    /// Keys that the weights have and the network lacks.
    pub unexpected: Vec<String>,
    /// Keys of another shape: key, the network's shape, the weights' shape.
    pub shapes: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Mismatch {
    /// Whether there is no difference.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.shapes.is_empty()
    }
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 20;
        let shapes: Vec<String> = self
            .shapes
            .iter()
            .map(|(key, expected, found)| {
                format!("{}: expected {expected:?}, found {}", shown_text(key), shown_shape(found))
            })
            .collect();
        let lists = [
            ("missing keys", &self.missing),
            ("unexpected keys", &self.unexpected),
            ("other shapes", &shapes),
        ];
        for (title, lines) in lists.into_iter().filter(|(_, lines)| !lines.is_empty()) {
            write!(f, "\n  {title} ({}):", lines.len())?;
            for line in lines.iter().take(SHOWN) {
                write!(f, "\n    {}", shown_text(line))?;
            }
            if lines.len() > SHOWN {
                write!(f, "\n    … and {} more", lines.len() - SHOWN)?;
            }
        }
        Ok(())
    }
}

/// A shape from a file, which may have any number of dimensions.
fn shown_shape(shape: &[usize]) -> String {
    match shape.len() {
        0..=16 => format!("{shape:?}"),
        more => format!("{more} dimensions"),
    }
}
