//! Class names: the sorted folder names, or what `classes.txt` says.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use crate::Error;

/// The name of the file that overrides the sorted order.
pub(crate) const FILE: &str = "classes.txt";

/// The content of a `classes.txt` and where it was found.
pub(crate) struct ClassList {
    pub path: String,
    pub names: Vec<String>,
}

impl ClassList {
    /// One class a line; empty lines are skipped, spaces around a name are not part of it.
    pub fn parse(path: String, text: &[u8]) -> Result<Self, Error> {
        let text = std::str::from_utf8(text).map_err(|e| {
            Error::layout(&path, "UTF-8 text", format!("byte {} that is not", e.valid_up_to()))
        })?;
        let names: Vec<String> =
            text.lines().map(str::trim).filter(|l| !l.is_empty()).map(Into::into).collect();
        let mut seen = HashMap::new();
        for (i, name) in names.iter().enumerate() {
            if let Some(first) = seen.insert(name.as_str(), i) {
                let found = format!("{name:?} as the classes {first} and {i}");
                return Err(Error::layout(&path, "every class once", found));
            }
        }
        Ok(Self { path, names })
    }

    /// The list in the first of `folders` that has one.
    pub fn find(folders: &[&Path]) -> Result<Option<Self>, Error> {
        for folder in folders {
            let path = folder.join(FILE);
            if path.is_file() {
                let text = fs::read(&path).map_err(|e| Error::io(&path, "read", e))?;
                return Self::parse(path.display().to_string(), &text).map(Some);
            }
        }
        Ok(None)
    }
}

/// The classes of a data set at `path` that has the class folders `found`: those of the list, which must name every
/// folder and may name more, or else the folders in byte order. At least two.
pub(crate) fn resolve(
    path: &str,
    list: Option<ClassList>,
    found: BTreeSet<String>,
) -> Result<Vec<String>, Error> {
    let names = match list {
        Some(list) => {
            if !found.iter().all(|name| list.names.contains(name)) {
                let found = found.into_iter().collect();
                return Err(Error::Classes {
                    path: path.into(),
                    list: Some(list.path),
                    expected: list.names,
                    found,
                });
            }
            list.names
        }
        None => found.into_iter().collect(),
    };
    at_least_two(path, names)
}

pub(crate) fn at_least_two(path: &str, names: Vec<String>) -> Result<Vec<String>, Error> {
    match names.as_slice() {
        [] => Err(Error::layout(path, "a folder for each of two or more classes", "no class folder")),
        [one] => {
            Err(Error::layout(path, "a folder for each of two or more classes", format!("only one, {one:?}")))
        }
        _ => Ok(names),
    }
}

/// Name to index.
pub(crate) fn index(names: &[String]) -> HashMap<String, usize> {
    names.iter().cloned().zip(0..).collect()
}
