//! What was found in a folder or an archive, and the classes that it makes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::classes::{self, ClassList};
use crate::left_out::LeftOut;
use crate::store::{Place, Store};
use crate::{Dataset, Error, Sample};

/// Files found below class folders; each path is `class/…/file`.
#[derive(Default)]
pub(crate) struct Listing {
    pub images: Vec<(String, Place)>,
    /// Where classes have their images; some may be empty.
    pub folders: BTreeSet<String>,
    /// Images of formats that aren't read.
    pub unread: Vec<String>,
    /// The rest; not the unread images.
    pub left_out: LeftOut,
}

/// What data sets of class folders hold.
pub(crate) const IMAGES: &str = "images in class folders (JPEG, PNG, BMP, WebP)";

impl Listing {
    /// A data set of which the first part of each path is the class. A folder without images is none, unless the list names
    /// it; one with nothing but images that aren't read is an error.
    pub fn into_dataset(
        mut self,
        name: String,
        layout: &'static str,
        list: Option<ClassList>,
        store: Arc<Store>,
    ) -> Result<Dataset, Error> {
        self.unread.iter().for_each(|path| self.left_out.unread(path));
        if self.images.is_empty() {
            let found = match (self.folders.len(), self.left_out.is_nothing()) {
                (0, true) => "nothing".to_owned(),
                (0, false) => self.left_out.to_string(),
                (n, true) => format!("{n} folders and no file"),
                (n, false) => format!("{n} folders without any: {}", self.left_out),
            };
            return Err(Error::layout(name, IMAGES, found));
        }
        let with_images: BTreeSet<&str> = self.images.iter().filter_map(|(path, _)| class_of(path)).collect();
        unread_classes(&name, &with_images, &self.unread)?;
        let named = normal_names(&name, with_images.iter().copied())?;
        let mut empty: BTreeSet<&String> =
            self.folders.iter().filter(|folder| !with_images.contains(folder.as_str())).collect();
        if let Some(list) = &list {
            empty.retain(|folder| !list.names.contains(&classes::normal(folder)));
        }
        self.left_out.empty.extend(empty.into_iter().cloned());
        let ordered = classes::resolve(&name, list, named.values().cloned().collect())?;
        let index = classes::index(&ordered.names);
        let by_folder: BTreeMap<String, usize> = named
            .into_iter()
            .filter_map(|(folder, name)| Some((folder.to_owned(), *index.get(&name)?)))
            .collect();
        self.images.sort_by(|a, b| a.0.cmp(&b.0));
        let mut samples: Vec<Sample> = Vec::with_capacity(self.images.len());
        for (path, place) in self.images {
            if let Some(&class) = class_of(&path).and_then(|folder| by_folder.get(folder)) {
                samples.push(Sample { class, path, place });
            }
        }
        samples.sort_by_key(|s| s.class);
        let notes = Vec::from_iter(ordered.by_value.then_some(classes::BY_VALUE));
        let (classes, left_out) = (ordered.names, self.left_out);
        Ok(Dataset { classes, samples, left_out, notes, name, layout, store, skipped: None })
    }
}

fn class_of(path: &str) -> Option<&str> {
    path.split_once('/').map(|(class, _)| class)
}

/// The class names of folders.
///
/// # Errors
/// If two folders are one class: their names look alike but are spelt with other characters.
pub(crate) fn normal_names<'a>(
    path: &str,
    folders: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<&'a str, String>, Error> {
    let mut by_name: BTreeMap<String, &str> = BTreeMap::new();
    let mut names = BTreeMap::new();
    for folder in folders {
        let name = classes::normal(folder);
        if let Some(other) = by_name.insert(name.clone(), folder) {
            let found = format!(
                "{} and {}, one name in other characters",
                other.escape_unicode(),
                folder.escape_unicode()
            );
            return Err(Error::layout(path, "every class once", found));
        }
        names.insert(folder, name);
    }
    Ok(names)
}

/// Refuses a class all of whose images are of formats that aren't read: it would be missing without a trace, and the classes
/// after it would have other numbers.
pub(crate) fn unread_classes(
    name: &str,
    with_images: &BTreeSet<&str>,
    unread: &[String],
) -> Result<(), Error> {
    let mut without: BTreeMap<&str, LeftOut> = BTreeMap::new();
    for path in unread {
        if let Some(class) = class_of(path).filter(|class| !with_images.contains(class)) {
            without.entry(class).or_default().unread(path);
        }
    }
    match without.iter().next() {
        None => Ok(()),
        Some((class, left_out)) => {
            let others = match without.len() - 1 {
                0 => String::new(),
                n => format!(" (and so in {n} other classes)"),
            };
            let expected = "images that are read (JPEG, PNG, BMP, WebP) in every class";
            let found = format!("{left_out} and no other image in {class}{others}; convert them");
            Err(Error::layout(name, expected, found))
        }
    }
}
