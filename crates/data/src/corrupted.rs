//! Corrupted copies of a test set: ImageNet-C's folders, and CIFAR-10-C's arrays.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::classes::{self, ClassList};
use crate::store::{Bytes, Encoding, Place, Store};
use crate::{Dataset, Error, Sample, Skipped, cifar, folder, npy, shards, tarball};

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
        Self { corruption, severity, images, classes: Arc::default(), limit: None, skipped: None }
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
        let mut set = set.with_classes(&self.classes)?;
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
                folder::entries(path)?.into_iter().filter(|e| e.2).map(|(name, ..)| name).collect()
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
    ///   CIFAR-100-C).
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
                (open_arrays(path, classes, wanted)?, None)
            } else {
                (open_folder(path, wanted)?, ClassList::find(&[path, path.parent().unwrap_or(path)])?)
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
        let classes = match (classes, &first.images) {
            (Some(given), _) if expected.iter().all(|class| given.contains(class)) => given.to_vec(),
            (Some(given), _) => {
                let path = path.display().to_string();
                return Err(Error::Classes { path, list: None, expected: given.to_vec(), found: expected });
            }
            // Arrays have their classes by label.
            (None, Images::Listed(set)) if list.is_none() => set.classes.clone(),
            (None, _) => classes::resolve(&path.display().to_string(), list, found)?,
        };
        let classes = Arc::new(classes);
        for part in &mut parts {
            part.classes = classes.clone();
        }
        Ok(Self { parts })
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
    let index = tarball::index(tars, &|image| wanted.may_have(image))?;
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
    let list = index.class_list(&prefix)?;
    let store = Arc::new(Store { bytes: Bytes::Files(index.archives), encoding: Encoding::ImageFile });
    let part = |((corruption, severity), entries): ((String, u8), _)| {
        let name = format!("{}:{prefix}{corruption}/{severity}", path.display());
        let set = Dataset::from_class_paths(name, LAYOUT, entries, BTreeSet::new(), None, 0, store.clone())?;
        Ok(CorruptedPart::new(&corruption, severity, Images::Listed(set)))
    };
    Ok((groups.into_iter().map(part).collect::<Result<_, Error>>()?, list))
}

/// What the parts of a tar are called.
const LAYOUT: &str = "tar of classes";
/// The labels of a folder of arrays.
pub(crate) const LABELS: &str = "labels.npy";
/// Severities in one array.
const LEVELS: usize = 5;

fn open_arrays(
    folder: &Path,
    given: Option<&[String]>,
    wanted: &Wanted,
) -> Result<Vec<CorruptedPart>, Error> {
    let labels_path = folder.join(LABELS);
    let labels = npy::labels(&labels_path)?;
    if labels.is_empty() || labels.len() % LEVELS != 0 {
        let expected = "labels for each of five severities";
        return Err(Error::layout(labels_path.display(), expected, labels.len().to_string()));
    }
    let highest = labels.iter().copied().max().unwrap_or(0);
    let ten = cifar::CLASSES_10.map(String::from);
    let names_ten = |given: &[String]| ten.iter().all(|name| given.contains(name));
    let classes = match (ClassList::find(&[folder])?, given) {
        (Some(list), _) => list.names,
        (None, given) if highest < 10 && given.is_none_or(names_ten) => ten.to_vec(),
        (None, Some(given)) => given.to_vec(),
        (None, None) => (0..=highest.min(9999)).map(|i| i.to_string()).collect(),
    };
    let classes = classes::at_least_two(&folder.display().to_string(), classes)?;
    if highest >= classes.len() {
        let expected = format!("labels below {}, the number of classes", classes.len());
        return Err(Error::layout(labels_path.display(), expected, highest.to_string()));
    }

    let mut parts = Vec::new();
    for (file, path, is_folder) in folder::entries(folder)? {
        let Some(corruption) = file.strip_suffix(".npy").filter(|name| !is_folder && *name != "labels")
        else {
            continue;
        };
        if !wanted.corruption(corruption) {
            continue;
        }
        let array = npy::open(&path)?;
        let (height, width) = match (array.kind.as_str(), array.shape.as_slice()) {
            ("|u1" | "<u1", &[n, height, width, 3]) if n == labels.len() && height > 0 && width > 0 => {
                (height, width)
            }
            (kind, shape) => {
                let expected = format!("u8 images in the shape [{}, height, width, 3]", labels.len());
                return Err(Error::layout(
                    path.display(),
                    expected,
                    format!("{kind} in the shape {shape:?}"),
                ));
            }
        };
        let (start, len, per_level) = (array.start, (height * width * 3) as u64, labels.len() / LEVELS);
        let encoding = Encoding::Interleaved { width, height };
        let store = Arc::new(Store { bytes: Bytes::Files(vec![array.archive]), encoding });
        for level in (0..LEVELS).filter(|level| wanted.severity(*level as u8 + 1)) {
            let sample = |i: usize| {
                let row = level * per_level + i;
                let class = labels[row];
                let place = Place::Span { file: 0, offset: start + row as u64 * len, len };
                // The name that the image has in the clean binary set, whose order the arrays keep.
                Sample { path: format!("{}/test_batch-{i:05}", classes[class]), class, place }
            };
            let dataset = Dataset {
                classes: classes.clone(),
                samples: (0..per_level).map(sample).collect(),
                ignored: 0,
                name: format!("{}, severity {}", path.display(), level + 1),
                layout: "npy",
                store: store.clone(),
                skipped: None,
            };
            parts.push(CorruptedPart::new(corruption, level as u8 + 1, Images::Listed(dataset)));
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Folder, png};

    fn names(set: &CorruptedSet) -> Vec<(&str, u8)> {
        set.parts.iter().map(|p| (p.corruption.as_str(), p.severity)).collect()
    }

    fn message(folder: &Folder, path: &str, classes: Option<&[String]>) -> String {
        let error = CorruptedSet::open(folder.0.join(path), classes).unwrap_err().to_string();
        error.replace(folder.0.to_str().unwrap(), "T")
    }

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|&n| n.into()).collect()
    }

    /// fog at 2 and 10 and snow at 1, two classes, levels that tell them apart.
    fn files() -> Vec<(String, Vec<u8>)> {
        let mut out = Vec::new();
        for (level, part) in [(10, "fog/2"), (20, "fog/10"), (30, "snow/1")] {
            for (i, class) in ["auk", "owl"].into_iter().enumerate() {
                out.push((format!("{part}/{class}/x.png"), png(level + i as u8)));
            }
        }
        out
    }

    fn check(set: &CorruptedSet) {
        assert_eq!(names(set), [("fog", 2), ("fog", 10), ("snow", 1)]);
        assert_eq!(set.classes(), ["auk", "owl"]);
        for (part, level) in set.parts.iter().zip([10, 20, 30]) {
            let opened = part.open().unwrap();
            let paths: Vec<&str> = opened.samples.iter().map(|s| s.path.as_str()).collect();
            assert_eq!(paths, ["auk/x.png", "owl/x.png"]);
            assert_eq!(part.open().unwrap().load(1).unwrap().data, vec![level + 1; 18]);
        }
    }

    fn tar_of(top: &str, files: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, format!("{top}{path}"), bytes.as_slice()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn a_folder_and_a_tar_at_any_level_are_the_same() {
        let folder = Folder::new();
        for (path, bytes) in files() {
            folder.file(&format!("set/{path}"), bytes);
        }
        folder.file("set/readme.txt", "");
        check(&CorruptedSet::open(folder.0.join("set"), None).unwrap());
        for top in ["", "./", "set/", "a/b/"] {
            let path = folder.file("set.tar", tar_of(top, &files()));
            check(&CorruptedSet::open(path, None).unwrap());
        }
        // One corruption alone must not be taken for a common folder.
        let path = folder.file("one.tar", tar_of("", &files()[..2]));
        assert_eq!(names(&CorruptedSet::open(path, None).unwrap()), [("fog", 2)]);
    }

    #[test]
    fn given_classes_set_the_order_and_must_be_the_same() {
        let folder = Folder::new();
        for (path, bytes) in files() {
            folder.file(&format!("set/{path}"), bytes);
        }
        let set = CorruptedSet::open(folder.0.join("set"), Some(&strings(&["owl", "auk"]))).unwrap();
        assert_eq!(set.parts[0].open().unwrap().samples.iter().map(|s| s.class).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(
            message(&folder, "set", Some(&strings(&["auk", "elk"]))),
            "T/set: expected the 2 classes auk, elk, found the 2 classes auk, owl (not expected: owl; not found: elk)"
        );
        let more = strings(&["elk", "owl", "auk"]);
        let set = CorruptedSet::open(folder.0.join("set"), Some(&more)).unwrap();
        assert_eq!((set.classes().len(), set.parts[0].open().unwrap().samples[0].class), (3, 2));
        folder.image("set/snow/1/elk/x.png", 0);
        assert!(message(&folder, "set", None).starts_with(
            "T/set/snow/1: expected the 2 classes of T/set/fog/2 auk, owl, found the 3 classes auk, elk, owl"
        ));
    }

    #[test]
    fn only_what_is_wanted_is_looked_at_and_must_be_there() {
        let folder = Folder::new();
        for (path, bytes) in files() {
            folder.file(&format!("set/{path}"), bytes);
        }
        // Not a severity, and an unreadable class: neither is looked at.
        folder.file("set/snow/old/x.png", "");
        folder.file("set/fog/10/zebra/x.png", "");
        let tar = folder.file("set.tar", tar_of("deep/", &files()));
        let wanted = |corruptions: &[&str], severities: &[u8]| Wanted {
            corruptions: (!corruptions.is_empty()).then(|| strings(corruptions)),
            severities: (!severities.is_empty()).then(|| severities.to_vec()),
        };
        for path in [&folder.0.join("set"), &tar] {
            let open = |wanted: Wanted| {
                let set = CorruptedSet::open_wanted(path, None, &wanted);
                set.map_err(|e| e.to_string().replace(path.to_str().unwrap(), "T"))
            };
            let set = open(wanted(&["fog"], &[2])).unwrap();
            assert_eq!(names(&set), [("fog", 2)]);
            assert_eq!(set.parts[0].open().unwrap().len(), 2);
            assert_eq!(set.limit_balanced(1).parts[0].open().unwrap().len(), 1);
            assert_eq!(
                open(wanted(&["fog", "rain"], &[2])).unwrap_err(),
                "T: expected the corruption rain, found fog"
            );
            assert_eq!(
                open(wanted(&["fog"], &[2, 3])).unwrap_err(),
                "T: expected fog at severity 3, found no such part"
            );
            assert_eq!(
                open(wanted(&["rain"], &[2, 3])).unwrap_err(),
                "T: expected images in corruption/severity/class folders, of rain, at severity 2, 3, found no corruption"
            );
        }
    }

    #[test]
    fn what_is_not_laid_out_so_is_said() {
        let folder = Folder::new();
        folder.image("set/fog/auk/x.png", 0);
        assert_eq!(
            message(&folder, "set", None),
            "T/set/fog/auk: expected a severity, a folder named 1 to 99, found \"auk\""
        );
        std::fs::create_dir(folder.0.join("empty")).unwrap();
        assert!(message(&folder, "empty", None).ends_with("found no corruption"));
        let bad = [("fog/1/auk/x.png".to_string(), png(0)), ("fog/x.png".to_string(), png(0))];
        folder.file("bad.tar", tar_of("", &bad));
        assert_eq!(
            message(&folder, "bad.tar", None),
            "T/bad.tar: expected corruption/severity/class/file, found fog/x.png"
        );
        assert!(message(&folder, "none", None).starts_with("T/none: cannot open"));
    }

    fn array(kind: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
        let text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}\n");
        let length = (text.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00".as_slice(), &length, text.as_bytes(), bytes].concat()
    }

    #[test]
    fn arrays_hold_five_severities() {
        let folder = Folder::new();
        let pixels: Vec<u8> = (0..10 * 2 * 2 * 3).map(|i| i as u8).collect();
        folder.file("fog.npy", array("|u1", "10, 2, 2, 3", &pixels));
        let labels: Vec<u8> = (0..10u64).flat_map(|i| (i % 2 * 9).to_le_bytes()).collect();
        folder.file("labels.npy", array("<i8", "10,", &labels));
        let set = CorruptedSet::open(&folder.0, None).unwrap();
        assert_eq!(names(&set), (1..=5).map(|s| ("fog", s)).collect::<Vec<_>>());
        assert_eq!(set.classes()[9], "truck");
        let part = &set.parts[3].open().unwrap();
        assert_eq!(
            part.samples.iter().map(|s| s.path.as_str()).collect::<Vec<_>>(),
            ["airplane/test_batch-00000", "truck/test_batch-00001"]
        );
        assert_eq!(part.load(1).unwrap().data, pixels[7 * 12..8 * 12]);

        folder.file("classes.txt", "a\nb");
        let text = message(&folder, "", None);
        assert!(
            text.ends_with("labels.npy: expected labels below 2, the number of classes, found 9"),
            "{text}"
        );
        folder.file("fog.npy", array("|u1", "10, 2, 2, 3", &pixels[1..]));
        std::fs::remove_file(folder.0.join("classes.txt")).unwrap();
        let text = message(&folder, "", None);
        assert!(
            text.ends_with(
                "expected the bytes of |u1 in the shape [10, 2, 2, 3], found 119 after the header"
            ),
            "{text}"
        );
        folder.file("fog.npy", array("<f4", "10, 1, 1, 3", &pixels));
        assert!(message(&folder, "", None).ends_with("found <f4 in the shape [10, 1, 1, 3]"));
        folder.file("fog.npy", "text");
        assert!(message(&folder, "", None).contains("expected a numpy array file (.npy)"));
        folder.file("labels.npy", array("<i8", "3,", &labels[..24]));
        assert!(message(&folder, "", None).ends_with("expected labels for each of five severities, found 3"));
        folder.file("labels.npy", array("<f8", "3,", &labels[..24]));
        assert!(message(&folder, "", None).ends_with("whole numbers from 0, found type <f8"));
    }
}
