use std::collections::HashSet;
use std::fmt::Display;
use std::io;
use std::path::Path;

use dyntta_files::{shown, shown_text};

/// What can be wrong with a data set. Every variant names the file or folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{}: cannot {action}: {source}", clean(path))]
    Io {
        /// The file or folder.
        path: String,
        /// What was tried: "read", "list", …
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// A file or folder cannot be read.
    #[error(transparent)]
    File(#[from] dyntta_files::Error),
    /// An image cannot be decoded.
    #[error(transparent)]
    Image(#[from] dyntta_image::Error),
    /// A folder or file is not laid out as its kind should be.
    #[error("{}: expected {}, found {}", clean(path), clean(expected), clean(found))]
    Layout {
        /// The file or folder, with the line or entry where that is known.
        path: String,
        /// What should stand there.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// A data set has classes that the list it is held against does not name.
    #[error("{}: {}", clean(path), classes(list, expected, found))]
    Classes {
        /// The data set.
        path: String,
        /// Where the classes asked for stand, if that is a file.
        list: Option<String>,
        /// The classes asked for.
        expected: Vec<String>,
        /// The classes it has.
        found: Vec<String>,
    },
    /// A key of a preprocessing file, a flag of that name, or a key of a model's metadata is not what it should be.
    #[error("{}: `{}`: expected {expected}, found {}", clean(path), clean(key), clean(found))]
    Preprocessing {
        /// The file, or where else the key stands.
        path: String,
        /// The key.
        key: String,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A limit or a share that selects nothing.
    #[error("{}: expected {expected}, found {}", clean(path), clean(found))]
    Selection {
        /// The data set.
        path: String,
        /// What is allowed.
        expected: &'static str,
        /// What was asked for.
        found: String,
    },
    /// A corrupted set was made with other settings than those asked for.
    #[error(
        "{}: the set was made with `{key}` {}, this run has {expected}; write to another folder, or with the same settings",
        clean(path),
        clean(found)
    )]
    Manifest {
        /// The manifest.
        path: String,
        /// The setting.
        key: String,
        /// What was asked for.
        expected: String,
        /// What the set was made with.
        found: String,
    },
    /// The images of one batch differ in size.
    #[error(
        "{}: expected an image of {} pixels as the first of its batch, found {}",
        clean(path),
        size(expected),
        size(found)
    )]
    BatchSize {
        /// The image.
        path: String,
        /// Width and height of the batch's first image.
        expected: (usize, usize),
        /// Width and height of this one.
        found: (usize, usize),
    },
}

impl Error {
    pub(crate) fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        Self::Io { path: path.display().to_string(), action, source }
    }

    pub(crate) fn layout(path: impl Display, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Layout { path: path.to_string(), expected: expected.into(), found: found.into() }
    }
}

/// Text for a message, without control characters and not too long: names and values are from files.
fn clean(text: &str) -> impl Display {
    shown(Path::new(text))
}

fn size((width, height): &(usize, usize)) -> String {
    format!("{width}x{height}")
}

fn classes(source: &Option<String>, expected: &[String], found: &[String]) -> String {
    let of = source.as_ref().map_or(String::new(), |path| format!(" of {}", clean(path)));
    let without = |names: &[String], others: &[String]| {
        let others: HashSet<&String> = others.iter().collect();
        let left: Vec<String> = names.iter().filter(|name| !others.contains(name)).cloned().collect();
        list(&left)
    };
    format!(
        "expected the {} classes{of} {}, found the {} classes {} (not expected: {}; not found: {})",
        expected.len(),
        list(expected),
        found.len(),
        list(found),
        without(found, expected),
        without(expected, found)
    )
}

/// The names, the middle of a long list left out.
pub(crate) fn list(names: &[String]) -> String {
    let names: Vec<String> = match names {
        [] => return "none".into(),
        [first @ .., last] if names.len() > 12 => {
            let begin = first[..10].iter().map(|name| shown_text(name).to_string());
            begin.chain(["...".into(), shown_text(last).to_string()]).collect()
        }
        _ => names.iter().map(|name| shown_text(name).to_string()).collect(),
    };
    names.join(", ")
}
