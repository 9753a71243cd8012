//! A folder a class (torchvision's ImageFolder).

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dyntta_files::{Limits, identity, walk};

use crate::classes::{self, ClassList, beside};
use crate::listing::Listing;
use crate::names::{self, Kind};
use crate::store::{Bytes, Encoding, Place, Store};
use crate::{Dataset, Error};

pub(crate) fn open(root: &Path) -> Result<Dataset, Error> {
    open_with(root, ClassList::find(&[root, &beside(root)])?)
}

/// [`open`] with the class list that is to count.
pub(crate) fn open_with(root: &Path, list: Option<ClassList>) -> Result<Dataset, Error> {
    let mut listing = list_files(root)?;
    let name = root.display().to_string();
    // Those at the top.
    let (loose, images) =
        std::mem::take(&mut listing.images).into_iter().partition(|(path, _)| !path.contains('/'));
    listing.images = images;
    let loose: Vec<(String, Place)> = loose;
    if listing.images.is_empty() && !loose.is_empty() {
        let found = format!(
            "{} images and no folder with images (labels of a flat folder go into a CSV with the columns path and label)",
            loose.len()
        );
        return Err(Error::layout(name, "a folder for each of two or more classes", found));
    }
    if let Some(error) = parts_of_a_set(&name, &listing.folders) {
        return Err(error);
    }
    listing.left_out.outside = loose.len() as u64;
    let store = Arc::new(Store { bytes: Bytes::Folder(root.to_path_buf()), encoding: Encoding::ImageFile });
    listing.into_dataset(name, "folder of classes", list, store)
}

/// All files below a folder, also those at its top; the folders at its top.
pub(crate) fn list_files(root: &Path) -> Result<Listing, Error> {
    let mut listing = Listing::default();
    let mut hidden = 0;
    let files = walk(root, &Limits::DEFAULT, &mut |folder| {
        let system = folder.file_name().is_some_and(|name| names::is_system(&name.to_string_lossy()));
        hidden += u64::from(system);
        if !system && folder.parent() == Some(root) {
            // One whose name is no text is met again with its files.
            listing.folders.extend(folder.file_name().and_then(|name| name.to_str()).map(String::from));
        }
        !system
    })?;
    for file in files {
        let Some(name) = file.path.file_name().and_then(|name| name.to_str()) else {
            return Err(Error::layout(file.path.display(), "a name in UTF-8", "other bytes"));
        };
        if names::is_system(name) {
            hidden += 1;
            continue;
        }
        let inside = below(root, &file.path)?;
        if !file.regular {
            if dyntta_image::is_image_name(name) {
                // A link that leads nowhere stands for an image that is missing.
                fs::metadata(&file.path).map_err(|e| Error::io(&file.path, "follow", e))?;
            }
            listing.left_out.special += 1;
            continue;
        }
        match names::look(name, || names::head(&file.path)) {
            Kind::Image => listing.images.push((inside, Place::File)),
            Kind::Unread => listing.unread.push(inside),
            Kind::Other if inside == classes::FILE => {}
            Kind::Other => listing.left_out.file(name),
        }
    }
    listing.left_out.hidden = hidden;
    Ok(listing)
}

/// The way from `root` to `path`, with `/` between its parts.
fn below(root: &Path, path: &Path) -> Result<String, Error> {
    let inside = path.strip_prefix(root).unwrap_or(path);
    let parts: Option<Vec<&str>> = inside.iter().map(|part| part.to_str()).collect();
    let parts = parts.ok_or_else(|| Error::layout(path.display(), "a name in UTF-8", "other bytes"))?;
    Ok(parts.join("/"))
}

/// What is wrong if the folders at `name` are no classes but the parts of a data set.
pub(crate) fn parts_of_a_set(name: &str, folders: &BTreeSet<String>) -> Option<Error> {
    const PARTS: [&str; 5] = ["train", "val", "valid", "validation", "test"];
    if folders.len() < 2 || !folders.iter().all(|folder| PARTS.contains(&folder.as_str())) {
        return None;
    }
    let parts: Vec<&str> = folders.iter().map(String::as_str).collect();
    let found = format!("the parts {} of a data set: name one of them", parts.join(", "));
    Some(Error::layout(name, "a folder for each of two or more classes", found))
}

/// The entries that are not hidden or a system's, sorted by name: name, path, whether it is a folder. Links are followed.
pub(crate) fn entries(folder: &Path) -> Result<Vec<(String, PathBuf, bool)>, Error> {
    let fail = |source| Error::io(folder, "list", source);
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let path = entry.path();
        let name = match entry.file_name().into_string() {
            Ok(name) => name,
            Err(_) => return Err(Error::layout(path.display(), "a name in UTF-8", "other bytes")),
        };
        if names::is_system(&name) {
            continue;
        }
        let mut kind = entry.file_type().map_err(fail)?;
        if kind.is_symlink() {
            kind = fs::metadata(&path).map_err(|e| Error::io(&path, "follow", e))?.file_type();
        }
        out.push((name, path, kind.is_dir()));
    }
    out.sort();
    Ok(out)
}

/// The folders in a folder that have an image, at whatever depth; as soon as one is found no more is looked for.
pub(crate) fn class_folders(folder: &Path) -> Result<BTreeSet<String>, Error> {
    let mut found = BTreeSet::new();
    for (name, path, is_folder) in entries(folder)? {
        if is_folder && has_image(&path)? {
            found.insert(name);
        }
    }
    Ok(found)
}

fn has_image(folder: &Path) -> Result<bool, Error> {
    let mut seen = HashSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let fail = |source| Error::io(&folder, "list", source);
        // Links may lead round.
        if !seen.insert(identity(&folder).map_err(fail)?) {
            continue;
        }
        for entry in fs::read_dir(&folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if names::is_system(&name) {
                continue;
            }
            match fs::metadata(&path) {
                Ok(m) if m.is_dir() => folders.push(path),
                Ok(m) if m.is_file() && names::look(&name, || names::head(&path)) == Kind::Image => {
                    return Ok(true);
                }
                _ => {}
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
