//! Corrupted copies of a test set: ImageNet-C's folders, and CIFAR-10-C's arrays.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::classes::{self, ClassList};
use crate::store::{Bytes, Encoding, Place, Store};
use crate::{Dataset, Error, Sample, cifar, folder, npy, tarball};

/// A test set under one corruption at one severity.
#[derive(Clone, Debug)]
pub struct CorruptedPart {
    /// The corruption, `gaussian_noise`.
    pub corruption: String,
    /// Its severity, from 1.
    pub severity: u8,
    /// The images. Their paths are `class/file`, those of the clean set.
    pub dataset: Dataset,
}

/// A test set under several corruptions and severities.
#[derive(Clone, Debug)]
pub struct CorruptedSet {
    /// Sorted by corruption and severity.
    pub parts: Vec<CorruptedPart>,
}

impl CorruptedSet {
    /// Opens the corrupted set at `path`, whose layout is recognised:
    /// - a folder `path/<corruption>/<severity>/<class>/…` of image files (ImageNet-C);
    /// - a `.tar` of such a folder, read in place, the corruptions at the top or below common folders;
    /// - a folder of `<corruption>.npy`, u8 `[5 n, 32, 32, 3]`, severity after severity, and `labels.npy` (CIFAR-10-C,
    ///   CIFAR-100-C).
    ///
    /// Every part must have the same classes, and if `classes` is given, exactly those; labels then index it. Without,
    /// the classes are the sorted folder names or what a `classes.txt` inside or beside says; of arrays, those of
    /// `classes.txt` inside, or of CIFAR-10, or the numbers.
    ///
    /// # Errors
    /// As [`Dataset::open`]; [`Error::Classes`], with both lists, if the classes differ.
    pub fn open(path: impl AsRef<Path>, classes: Option<&[String]>) -> Result<Self, Error> {
        let path = path.as_ref();
        let kind = std::fs::metadata(path).map_err(|e| Error::io(path, "open", e))?;
        let parts = if !kind.is_dir() {
            open_tar(path, classes)?
        } else if path.join("labels.npy").is_file() {
            open_arrays(path, classes)?
        } else {
            open_folder(path, classes)?
        };
        let mut set = Self { parts };
        if set.parts.is_empty() {
            let expected = "images in corruption/severity/class folders";
            return Err(Error::layout(path.display(), expected, "no corruption"));
        }
        let expected = classes.map_or_else(|| set.parts[0].dataset.classes.clone(), <[String]>::to_vec);
        for part in &mut set.parts {
            part.dataset = part.dataset.clone().with_classes(&expected)?;
        }
        Ok(set)
    }

    /// The class names, the same in every part.
    pub fn classes(&self) -> &[String] {
        self.parts.first().map_or(&[], |part| &part.dataset.classes)
    }
}

/// A folder or file name as a severity.
fn severity(name: &str) -> Option<u8> {
    name.parse().ok().filter(|s| (1..=99).contains(s))
}

/// `classes.txt`, unless the classes are given: then they alone count, and the folders are compared with them.
fn list(path: &Path, given: Option<&[String]>) -> Result<Option<ClassList>, Error> {
    if given.is_some() { Ok(None) } else { ClassList::find(&[path, path.parent().unwrap_or(path)]) }
}

fn open_folder(root: &Path, given: Option<&[String]>) -> Result<Vec<CorruptedPart>, Error> {
    let mut parts = Vec::new();
    for (corruption, path, is_folder) in folder::entries(root)? {
        if !is_folder {
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
            let dataset = folder::open_with(&path, list(root, given)?)?;
            parts.push(CorruptedPart { corruption: corruption.clone(), severity, dataset });
        }
    }
    parts.sort_by(|a, b| (&a.corruption, a.severity).cmp(&(&b.corruption, b.severity)));
    Ok(parts)
}

fn open_tar(path: &Path, given: Option<&[String]>) -> Result<Vec<CorruptedPart>, Error> {
    let index = tarball::index(path)?;
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
    let list = if given.is_some() { None } else { index.class_list(&prefix)? };
    let store = Arc::new(Store { bytes: Bytes::Files(vec![index.archive]), encoding: Encoding::ImageFile });
    let part = |((corruption, severity), entries)| {
        let name = format!("{}:{prefix}{corruption}/{severity}", path.display());
        let list = list.as_ref().map(|l| ClassList { path: l.path.clone(), names: l.names.clone() });
        let folders = BTreeSet::new();
        let dataset =
            Dataset::from_class_paths(name, "tar of classes", entries, folders, list, 0, store.clone())?;
        Ok(CorruptedPart { corruption, severity, dataset })
    };
    groups.into_iter().map(part).collect()
}

/// Severities in one array.
const LEVELS: usize = 5;

fn open_arrays(folder: &Path, given: Option<&[String]>) -> Result<Vec<CorruptedPart>, Error> {
    let labels_path = folder.join("labels.npy");
    let labels = npy::labels(&labels_path)?;
    if labels.is_empty() || labels.len() % LEVELS != 0 {
        let expected = "labels for each of five severities";
        return Err(Error::layout(labels_path.display(), expected, labels.len().to_string()));
    }
    let highest = labels.iter().copied().max().unwrap_or(0);
    let classes = match (given, ClassList::find(&[folder])?) {
        (Some(given), _) => given.to_vec(),
        (None, Some(list)) => list.names,
        (None, None) if highest < 10 => cifar::CLASSES_10.map(Into::into).to_vec(),
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
        for level in 0..LEVELS {
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
            };
            parts.push(CorruptedPart {
                corruption: corruption.to_string(),
                severity: level as u8 + 1,
                dataset,
            });
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
            let paths: Vec<&str> = part.dataset.samples.iter().map(|s| s.path.as_str()).collect();
            assert_eq!(paths, ["auk/x.png", "owl/x.png"]);
            assert_eq!(part.dataset.load(1).unwrap().data, vec![level + 1; 18]);
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
        assert_eq!(set.parts[0].dataset.samples.iter().map(|s| s.class).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(
            message(&folder, "set", Some(&strings(&["auk", "elk"]))),
            "T/set/fog/2: expected the 2 classes auk, elk, found the 2 classes auk, owl"
        );
        folder.image("set/snow/1/elk/x.png", 0);
        assert!(
            message(&folder, "set", None).ends_with("2 classes auk, owl, found the 3 classes auk, elk, owl")
        );
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
        let part = &set.parts[3].dataset;
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
