//! Parquet with the bytes of image files in a column and labels in another, as Hugging Face's data sets are laid out.

use std::path::{Path, PathBuf};

use crate::{Dataset, Error, Split, folder, names};

#[cfg(feature = "parquet")]
mod reader;

#[cfg(feature = "parquet")]
pub(crate) use reader::Table;

#[cfg(all(test, feature = "parquet"))]
pub(crate) use reader::tests;

/// Whether a path has the extension.
pub(crate) fn is_name(path: &Path) -> bool {
    names::extension(&path.to_string_lossy()) == "parquet"
}

/// The files of a folder that has nothing else for images, or of the one folder in it: `data/train-00000-of-00002.parquet`.
pub(crate) fn below(folder: &Path) -> Result<Option<Vec<PathBuf>>, Error> {
    let mut at = folder.to_owned();
    for _ in 0..2 {
        let entries = folder::entries(&at)?;
        let folders: Vec<&PathBuf> = entries.iter().filter(|e| e.2).map(|(_, path, _)| path).collect();
        let files: Vec<PathBuf> =
            entries.iter().filter(|e| !e.2 && is_name(&e.1)).map(|(_, path, _)| path.clone()).collect();
        match (files.is_empty(), folders.as_slice()) {
            (false, []) => return Ok(Some(files)),
            (true, [one]) => at = (*one).clone(),
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// The files of a part, by the first word of their names; all, if none has the name of a part.
fn of_split(folder: &Path, files: &[PathBuf], split: Split) -> Result<Vec<PathBuf>, Error> {
    let part = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        match name.split(['-', '.', '_']).next().unwrap_or_default() {
            "train" | "training" => Some("train"),
            "test" => Some("test"),
            "validation" | "valid" | "val" | "dev" => Some("validation"),
            _ => None,
        }
    };
    if files.iter().all(|file| part(file).is_none()) {
        return Ok(files.to_vec());
    }
    let wanted: &[&str] = if split == Split::Train { &["train"] } else { &["test", "validation"] };
    for name in wanted {
        let of_part: Vec<PathBuf> = files.iter().filter(|file| part(file) == Some(name)).cloned().collect();
        if !of_part.is_empty() {
            return Ok(of_part);
        }
    }
    let mut there: Vec<&str> = files.iter().filter_map(part).collect();
    there.sort_unstable();
    there.dedup();
    let expected = format!("files of the part {}", wanted.join(" or "));
    Err(Error::layout(folder.display(), expected, format!("the parts {}", there.join(", "))))
}

/// Whether the files of a folder come in parts for training and testing.
pub(crate) fn has_parts(files: &[PathBuf]) -> bool {
    let of = |split| of_split(Path::new(""), files, split).map_or(0, |files| files.len());
    of(Split::Train) != files.len() || of(Split::Test) != files.len()
}

/// The data set of these files, of a folder those of the part.
pub(crate) fn open(path: &Path, files: &[PathBuf], split: Split) -> Result<Dataset, Error> {
    let files = if path.is_dir() { of_split(path, files, split)? } else { files.to_vec() };
    open_files(path, &files)
}

#[cfg(feature = "parquet")]
use reader::open_files;

#[cfg(not(feature = "parquet"))]
fn open_files(path: &Path, _: &[PathBuf]) -> Result<Dataset, Error> {
    let expected = "a layout that this build reads";
    let found =
        "a Parquet file; `cargo install --path crates/cli --features parquet` builds one that reads it";
    Err(Error::layout(path.display(), expected, found))
}
