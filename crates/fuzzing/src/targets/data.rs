use std::path::Path;

use dyntta_data::{CorruptedSet, Dataset, Options, Split, check};

use crate::Scratch;

use super::{all, message};

/// As many images of a set are decoded.
const IMAGES: usize = 8;

/// A data set as a command for training opens it, and as its check does.
fn set(path: &Path, split: Split) -> Result<(), String> {
    let opened = Dataset::open(path, &Options::split(split)).map_err(message).and_then(|set| {
        let _ = set.describe();
        (0..set.len().min(IMAGES)).try_for_each(|i| set.load(i).map(drop).map_err(message))
    });
    let checked = check::check(path, 1, &mut |_, _| true).map_err(message).map(|report| {
        let _ = report.map(|report| report.is_sound());
    });
    all([opened, checked])
}

fn corrupted(path: &Path) -> Result<(), String> {
    let set = CorruptedSet::open(path, None).map_err(message)?;
    for part in set.parts.iter().take(4) {
        let images = part.open().map_err(message)?;
        (0..images.len().min(2)).try_for_each(|i| images.load(i).map(drop).map_err(message))?;
    }
    Ok(())
}

/// A tar of class folders or of a corrupted set.
pub fn tar(bytes: &[u8], scratch: &Scratch) -> Result<(), String> {
    let path = scratch.input("set.tar", bytes);
    all([set(&path, Split::Test), corrupted(&path)])
}

/// A zip of class folders.
pub fn zip(bytes: &[u8], scratch: &Scratch) -> Result<(), String> {
    let path = scratch.input("set.zip", bytes);
    set(&path, Split::Test)
}

/// A table with images in it.
#[cfg(feature = "parquet")]
pub fn parquet(bytes: &[u8], scratch: &Scratch) -> Result<(), String> {
    let path = scratch.input("set.parquet", bytes);
    set(&path, Split::Test)
}

/// A list of paths and labels.
pub fn csv(bytes: &[u8], scratch: &Scratch) -> Result<(), String> {
    let path = scratch.input("list/set.csv", bytes);
    set(&path, Split::Test)
}

/// An array as the labels and as the images of a corrupted set.
pub fn npy(bytes: &[u8], scratch: &Scratch) -> Result<(), String> {
    let [labels, images] = crate::seeds::data::arrays();
    scratch.input("c/labels.npy", bytes);
    scratch.input("c/fog.npy", &images);
    let folder = scratch.path("c");
    let as_labels = corrupted(&folder);
    scratch.input("c/labels.npy", &labels);
    scratch.input("c/fog.npy", bytes);
    all([as_labels, corrupted(&folder)])
}

/// An idx file as the labels and as the images of a set.
pub fn idx(bytes: &[u8], scratch: &Scratch) -> Result<(), String> {
    let [labels, images] = crate::idx_files();
    let folder = scratch.path("idx");
    scratch.input("idx/t10k-labels-idx1-ubyte", bytes);
    scratch.input("idx/t10k-images-idx3-ubyte", &images);
    let as_labels = set(&folder, Split::Test);
    scratch.input("idx/t10k-labels-idx1-ubyte", &labels);
    scratch.input("idx/t10k-images-idx3-ubyte", bytes);
    all([as_labels, set(&folder, Split::Test)])
}

/// A file of CIFAR-10: a binary batch, a batch for Python, the names of its classes.
pub fn cifar(bytes: &[u8], scratch: &Scratch) -> Result<(), String> {
    scratch.input("binary/test_batch.bin", bytes);
    scratch.input("python/batches.meta", &crate::cifar_meta());
    scratch.input("python/test_batch", bytes);
    let batches = [set(&scratch.path("binary"), Split::Test), set(&scratch.path("python"), Split::Test)];
    scratch.input("python/batches.meta", bytes);
    scratch.input("python/test_batch", &crate::cifar_pickle());
    all(batches).and(set(&scratch.path("python"), Split::Test))
}
