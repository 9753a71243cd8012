//! Corrupted copies of a test set: ImageNet-C's folders, and CIFAR-10-C's arrays.

mod arrays;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dyntta_image::Exif;

use crate::classes::{self, ClassList, beside};
use crate::left_out::LeftOut;
use crate::listing::{Listing, normal_names};
use crate::store::{Bytes, Encoding, Place, Store};
use crate::{Dataset, Error, Sample, Skipped, archive, folder, shards};

pub(crate) use arrays::LABELS;

/// A test set under one corruption at one severity.
#[derive(Clone, Debug)]
pub struct CorruptedPart {
    /// The corruption, `gaussian_noise`.
    pub corruption: String,
    /// Its severity, from 1.
    pub severity: u8,
    images: Images,
    classes: Arc<Vec<String>>,
    limit: Option<usize>,
    exif: Exif,
    skipped: Option<Skipped>,
}

/// Where a part's images are.
#[derive(Clone, Debug)]
enum Images {
    /// In class folders, not listed yet: fifty thousand a part are too many to list them all before they are wanted.
    Folder(PathBuf),
    /// Listed.
    Listed(Dataset),
}

impl CorruptedPart {
    fn new(corruption: &str, severity: u8, images: Images) -> Self {
        let corruption = corruption.to_string();
        let exif = Exif::Ignore;
        Self { corruption, severity, images, classes: Arc::default(), limit: None, exif, skipped: None }
    }

    /// The images, listed now if they were not. Their paths are `class/file`, those of the clean set.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn open(&self) -> Result<Dataset, Error> {
        let set = match &self.images {
            Images::Folder(path) => folder::open_with(path, None)?,
            Images::Listed(set) => set.clone(),
        };
        let mut set = set.with_classes(&self.classes)?.with_exif(self.exif);
        if let Some(limit) = self.limit {
            set = set.limit_balanced(limit)?;
        }
        Ok(match &self.skipped {
            Some(log) => set.skip_broken(log),
            None => set,
        })
    }

    /// The classes it has, in whatever order.
    fn own_classes(&self) -> Result<BTreeSet<String>, Error> {
        Ok(match &self.images {
            Images::Folder(path) => {
                let folders = folder::class_folders(path)?;
                let name = path.display().to_string();
                normal_names(&name, folders.iter().map(String::as_str))?.into_values().collect()
            }
            Images::Listed(set) => set.classes.iter().cloned().collect(),
        })
    }

    fn name(&self) -> String {
        match &self.images {
            Images::Folder(path) => path.display().to_string(),
            Images::Listed(set) => set.name().to_string(),
        }
    }
}

/// Which parts of a corrupted set are wanted; each list, if given, must be there in full.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The corruptions; absent: all.
    pub corruptions: Option<Vec<String>>,
    /// The severities; absent: all.
    pub severities: Option<Vec<u8>>,
}

impl Wanted {
    fn corruption(&self, name: &str) -> bool {
        self.corruptions.as_ref().is_none_or(|names| names.iter().any(|n| n == name))
    }

    fn severity(&self, severity: u8) -> bool {
        self.severities.as_ref().is_none_or(|levels| levels.contains(&severity))
    }

    /// Whether an image in a tar may be one of them, whatever folders stand above.
    fn may_have(&self, path: &str) -> bool {
        if self.corruptions.is_none() && self.severities.is_none() {
            return true;
        }
        let parts: Vec<&str> = path.split('/').collect();
        parts.windows(2).any(|pair| {
            self.corruption(pair[0]) && severity(pair[1]).is_some_and(|level| self.severity(level))
        })
    }

    fn describe(&self) -> String {
        let mut text = "images in corruption/severity/class folders".to_string();
        if let Some(names) = &self.corruptions {
            text.push_str(&format!(", of {}", crate::error::list(names)));
        }
        if let Some(levels) = &self.severities {
            let levels: Vec<String> = levels.iter().map(u8::to_string).collect();
            text.push_str(&format!(", at severity {}", levels.join(", ")));
        }
        text
    }

    fn check(&self, path: &Path, parts: &[CorruptedPart]) -> Result<(), Error> {
        let there: BTreeSet<&str> = parts.iter().map(|part| part.corruption.as_str()).collect();
        for name in self.corruptions.iter().flatten() {
            if !there.contains(name.as_str()) {
                let found: Vec<String> = there.into_iter().map(Into::into).collect();
                let expected = format!("the corruption {name}");
                return Err(Error::layout(path.display(), expected, crate::error::list(&found)));
            }
        }
        for &level in self.severities.iter().flatten() {
            if let Some(name) = there
                .iter()
                .find(|name| !parts.iter().any(|part| part.corruption == **name && part.severity == level))
            {
                let expected = format!("{name} at severity {level}");
                return Err(Error::layout(path.display(), expected, "no such part"));
            }
        }
        Ok(())
    }
}

/// A test set under several corruptions and severities.
#[derive(Clone, Debug)]
pub struct CorruptedSet {
    /// Sorted by corruption and severity.
    pub parts: Vec<CorruptedPart>,
}

impl CorruptedSet {
    /// Opens the corrupted set at `path`, whose layout is recognised:
    /// - a folder `path/<corruption>/<severity>/<class>/…` of image files (ImageNet-C), each part's images listed when it
    ///   is opened;
    /// - a `.tar` of such a folder, read in place, the corruptions at the top or below common folders; or several, as
    ///   [`Dataset::open`] takes shards;
    /// - a folder of `<corruption>.npy`, u8 `[5 n, 32, 32, 3]`, severity after severity, and `labels.npy` (CIFAR-10-C,
    ///   CIFAR-100-C); or `[n, 32, 32, 3]` of one severity, which is the number that the array's name or the folder's ends in
    ///   (`fog_3.npy`), else 1.
    ///
    /// Every part must have the same classes. If `classes` is given, they must be among those, and labels index it.
    /// Without, the classes are the sorted folder names or what a `classes.txt` inside or beside says. The labels of
    /// arrays mean the lines of `classes.txt` inside, or the classes of CIFAR-10, or those given, or are their own names.
    ///
    /// # Errors
    /// As [`Dataset::open`]; [`Error::Classes`], with both lists, if the classes differ.
    pub fn open(path: impl AsRef<Path>, classes: Option<&[String]>) -> Result<Self, Error> {
        Self::open_wanted(path, classes, &Wanted::default())
    }

    /// [`CorruptedSet::open`] of the parts that are wanted; the others are not looked at.
    ///
    /// # Errors
    /// As [`CorruptedSet::open`], and if something wanted is not there.
    pub fn open_wanted(
        path: impl AsRef<Path>,
        classes: Option<&[String]>,
        wanted: &Wanted,
    ) -> Result<Self, Error> {
        let path = path.as_ref();
        let (mut parts, list) = if let Some(tars) = shards::find(path)? {
            open_tars(path, &tars, wanted)?
        } else {
            let kind = std::fs::metadata(path).map_err(|e| Error::io(path, "open", e))?;
            if !kind.is_dir() {
                open_tars(path, &[path.to_path_buf()], wanted)?
            } else if path.join(LABELS).is_file() {
                (arrays::open(path, classes, wanted)?, None)
            } else {
                (open_folder(path, wanted)?, ClassList::find(&[path, &beside(path)])?)
            }
        };
        let Some(first) = parts.first() else {
            return Err(Error::layout(path.display(), wanted.describe(), "no corruption"));
        };
        wanted.check(path, &parts)?;
        let found = first.own_classes()?;
        let expected: Vec<String> = found.iter().cloned().collect();
        for part in &parts[1..] {
            let own = part.own_classes()?;
            if own != found {
                let found = own.into_iter().collect();
                return Err(Error::Classes { path: part.name(), list: Some(first.name()), expected, found });
            }
        }
        let all_given = |given: &[String]| {
            let given = classes::index(given);
            expected.iter().all(|class| given.contains_key(class))
        };
        let classes = match (classes, &first.images) {
            (Some(given), _) if all_given(given) => given.iter().map(|name| classes::normal(name)).collect(),
            (Some(given), _) => {
                let path = path.display().to_string();
                return Err(Error::Classes { path, list: None, expected: given.to_vec(), found: expected });
            }
            // Arrays have their classes by label.
            (None, Images::Listed(set)) if list.is_none() => set.classes.clone(),
            (None, _) => classes::resolve(&path.display().to_string(), list, found)?.names,
        };
        let classes = Arc::new(classes);
        for part in &mut parts {
            part.classes = classes.clone();
        }
        Ok(Self { parts })
    }

    /// All parts as one data set, whose paths are `corruption/severity/class/file`. `name` is what it is called.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn merged(&self, name: &str) -> Result<Dataset, Error> {
        let mut samples = Vec::new();
        let (mut stores, mut left_out) = (Vec::new(), LeftOut::default());
        for (i, part) in self.parts.iter().enumerate() {
            let set = part.open()?;
            let prefix = format!("{}/{}/", part.corruption, part.severity);
            samples.extend(set.samples.into_iter().map(|sample| Sample {
                path: format!("{prefix}{}", sample.path),
                class: sample.class,
                place: Place::Part { part: i as u32, place: Box::new(sample.place) },
            }));
            left_out.merge(&set.left_out);
            stores.push((prefix, set.store));
        }
        let store = Arc::new(Store { bytes: Bytes::Parts(stores), encoding: Encoding::ImageFile });
        let skipped = self.parts.iter().find_map(|part| part.skipped.clone());
        let exif = self.parts.first().map_or(Exif::Ignore, |part| part.exif);
        let (classes, name) = (self.classes().to_vec(), name.to_owned());
        let notes = Vec::new();
        Ok(Dataset { classes, samples, left_out, notes, name, layout: "corrupted set", store, exif, skipped })
    }

    /// The class names, the same in every part.
    pub fn classes(&self) -> &[String] {
        self.parts.first().map_or(&[], |part| &part.classes)
    }

    /// Of every part at most `n` images, as [`Dataset::limit_balanced`] takes them.
    #[must_use]
    pub fn limit_balanced(mut self, n: usize) -> Self {
        self.parts.iter_mut().for_each(|part| part.limit = Some(n));
        self
    }

    /// As [`Dataset::with_exif`], for every part.
    #[must_use]
    pub fn with_exif(mut self, exif: Exif) -> Self {
        self.parts.iter_mut().for_each(|part| part.exif = exif);
        self
    }

    /// As [`Dataset::skip_broken`], for every part.
    #[must_use]
    pub fn skip_broken(mut self, log: &Skipped) -> Self {
        self.parts.iter_mut().for_each(|part| part.skipped = Some(log.clone()));
        self
    }
}

/// A folder or file name as a severity.
pub(crate) fn severity(name: &str) -> Option<u8> {
    name.parse().ok().filter(|s| (1..=99).contains(s))
}

fn open_folder(root: &Path, wanted: &Wanted) -> Result<Vec<CorruptedPart>, Error> {
    let mut parts = Vec::new();
    for (corruption, path, is_folder) in folder::entries(root)? {
        if !is_folder || !wanted.corruption(&corruption) {
            continue;
        }
        for (name, path, is_folder) in folder::entries(&path)? {
            if !is_folder {
                continue;
            }
            let Some(severity) = severity(&name) else {
                return Err(Error::layout(
                    path.display(),
                    "a severity, a folder named 1 to 99",
                    format!("{name:?}"),
                ));
            };
            if wanted.severity(severity) {
                parts.push(CorruptedPart::new(&corruption, severity, Images::Folder(path)));
            }
        }
    }
    parts.sort_by(|a, b| (&a.corruption, a.severity).cmp(&(&b.corruption, b.severity)));
    Ok(parts)
}

type Parts = (Vec<CorruptedPart>, Option<ClassList>);

fn open_tars(path: &Path, tars: &[PathBuf], wanted: &Wanted) -> Result<Parts, Error> {
    let mut index = archive::index(tars, &|image| wanted.may_have(image))?;
    index.settle()?;
    let is_severity = |path: &str| path.split('/').nth(1).is_some_and(|name| severity(name).is_some());
    let prefix = index.common_prefix(|paths| paths.iter().all(|path| is_severity(path)));
    let mut groups: BTreeMap<(String, u8), Vec<(String, Place)>> = BTreeMap::new();
    for (image, place) in &index.images {
        let inside = &image[prefix.len()..];
        let mut pieces = inside.splitn(3, '/');
        let (Some(corruption), Some(level), Some(rest)) = (pieces.next(), pieces.next(), pieces.next())
        else {
            return Err(Error::layout(path.display(), "corruption/severity/class/file", inside));
        };
        let Some(level) = severity(level).filter(|_| rest.contains('/')) else {
            return Err(Error::layout(path.display(), "corruption/severity/class/file", inside));
        };
        groups.entry((corruption.to_string(), level)).or_default().push((rest.to_string(), place.clone()));
    }
    let list = index.class_list(&prefix, &[classes::FILE])?;
    let store = index.store;
    // Said once, with the first part.
    let mut left_out = Some(index.left_out);
    let part = |((corruption, severity), entries): ((String, u8), _)| {
        let name = format!("{}:{prefix}{corruption}/{severity}", path.display());
        let left_out = left_out.take().unwrap_or_default();
        let listing = Listing { images: entries, left_out, ..Listing::default() };
        let set = listing.into_dataset(name, LAYOUT, None, store.clone())?;
        Ok(CorruptedPart::new(&corruption, severity, Images::Listed(set)))
    };
    Ok((groups.into_iter().map(part).collect::<Result<_, Error>>()?, list))
}

/// What the parts of a tar are called.
const LAYOUT: &str = "tar of classes";
#[cfg(test)]
mod tests;
