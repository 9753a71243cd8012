use std::path::PathBuf;

/// Why a checkpoint cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what its use asks for.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The weights do not fit the network.
    #[error("{}: the weights do not fit {network}{mismatch}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The network.
        network: String,
        /// What does not fit.
        mismatch: Mismatch,
    },
    /// The config's list of augmentations is not a bank.
    #[error("{}: `bank`: {source}", path.display())]
    Bank {
        /// The config.
        path: PathBuf,
        /// What is wrong with the list.
        source: dyntta_ops::Error,
    },
}

/// How the tensors of a file differ from those of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Keys that the network has and the file lacks.
    pub missing: Vec<String>,
    /// Keys that the file has and the network lacks.
    pub unexpected: Vec<String>,
    /// Keys of another shape: key, the network's shape, the file's shape.
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
            .map(|(key, expected, found)| format!("{key}: expected {expected:?}, found {found:?}"))
            .collect();
        let lists = [
            ("missing keys", &self.missing),
            ("unexpected keys", &self.unexpected),
            ("other shapes", &shapes),
        ];
        for (title, lines) in lists.into_iter().filter(|(_, lines)| !lines.is_empty()) {
            write!(f, "\n  {title} ({}):", lines.len())?;
            for line in lines.iter().take(SHOWN) {
                write!(f, "\n    {line}")?;
            }
            if lines.len() > SHOWN {
                write!(f, "\n    ... and {} more", lines.len() - SHOWN)?;
            }
        }
        Ok(())
    }
}
