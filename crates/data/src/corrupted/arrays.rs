//! The arrays of CIFAR-10-C and CIFAR-100-C.

use std::path::Path;
use std::sync::Arc;

use super::{CorruptedPart, Images, Wanted};
use crate::classes::{self, ClassList, beside};
use crate::left_out::LeftOut;
use crate::store::{Archive, Bytes, Encoding, Place, Store};
use crate::{Dataset, Error, Sample, cifar, folder, npy};

/// The labels of a folder of arrays.
pub(crate) const LABELS: &str = "labels.npy";
/// Severities in one array.
const LEVELS: usize = 5;

/// The parts of a folder of arrays; each array has all severities, or one.
pub(super) fn open(
    folder: &Path,
    given: Option<&[String]>,
    wanted: &Wanted,
) -> Result<Vec<CorruptedPart>, Error> {
    let labels_path = folder.join(LABELS);
    let labels = npy::labels(&labels_path)?;
    if labels.is_empty() {
        return Err(Error::layout(labels_path.display(), "a label for every image", "none"));
    }
    // Those of all severities repeat themselves.
    let each = labels.len() / LEVELS;
    let repeated =
        each * LEVELS == labels.len() && labels.chunks_exact(each).all(|level| level == &labels[..each]);
    let each = if repeated { each } else { labels.len() };
    let classes = class_names(folder, given, &labels)?;
    let mut parts = Vec::new();
    for (file, path, is_folder) in folder::entries(folder)? {
        let Some(stem) = file.strip_suffix(".npy").filter(|name| !is_folder && *name != "labels") else {
            continue;
        };
        if !wanted.corruption(stem) && !wanted.corruption(one_severity(stem, folder).0) {
            continue; // nor looked at
        }
        let array = npy::open(&path)?;
        let (rows, height, width) = match (array.kind.as_str(), array.shape.as_slice()) {
            ("|u1" | "<u1", &[rows, height, width, 3])
                if [each, each * LEVELS].contains(&rows) && height > 0 && width > 0 =>
            {
                (rows, height, width)
            }
            (kind, shape) => {
                let expected =
                    if repeated { format!("{} or {each}", each * LEVELS) } else { each.to_string() };
                let expected = format!("u8 images in the shape [{expected}, height, width, 3]");
                return Err(Error::layout(
                    path.display(),
                    expected,
                    format!("{kind} in the shape {shape:?}"),
                ));
            }
        };
        let (corruption, levels) = if rows == each {
            let (corruption, level) = one_severity(stem, folder);
            (corruption, vec![level])
        } else {
            (stem, (1..=LEVELS as u8).collect())
        };
        if !wanted.corruption(corruption) {
            continue;
        }
        let images = Stored {
            store: store(array.archive, height, width),
            start: array.start,
            len: (height * width * 3) as u64,
            path: &path,
        };
        for (i, level) in levels.into_iter().enumerate().filter(|(_, level)| wanted.severity(*level)) {
            let set = images.level(i * each, level, &labels[..each], &classes);
            parts.push(CorruptedPart::new(corruption, level, Images::Listed(set)));
        }
    }
    parts.sort_by(|a, b| (&a.corruption, a.severity).cmp(&(&b.corruption, b.severity)));
    if let Some([part, _]) =
        parts.array_windows().find(|[a, b]| (&a.corruption, a.severity) == (&b.corruption, b.severity))
    {
        let found = format!("{} at severity {} twice", part.corruption, part.severity);
        return Err(Error::layout(folder.display(), "every corruption at every severity once", found));
    }
    Ok(parts)
}

/// The corruption and the severity of an array with one: the number that its name ends in, or that of the folder does.
fn one_severity<'a>(stem: &'a str, folder: &Path) -> (&'a str, u8) {
    let number = |name: &str| {
        let digits = name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        super::severity(&name[digits..])
    };
    if let Some(level) = number(stem) {
        let corruption = stem.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches(['_', '-']);
        return (corruption, level);
    }
    let beside = beside(&folder.join(LABELS));
    let name = beside.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // Not that of `CIFAR-100`, or of a temporary folder.
    let named = name.to_lowercase();
    let level =
        (named.starts_with("severity") || named.bytes().all(|b| b.is_ascii_digit())).then(|| number(&name));
    (stem, level.flatten().unwrap_or(1))
}

/// What the labels mean.
fn class_names(folder: &Path, given: Option<&[String]>, labels: &[usize]) -> Result<Vec<String>, Error> {
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
        return Err(Error::layout(folder.join(LABELS).display(), expected, highest.to_string()));
    }
    Ok(classes)
}

fn store(archive: Archive, height: usize, width: usize) -> Arc<Store> {
    let encoding = Encoding::Interleaved { width, height };
    Arc::new(Store { bytes: Bytes::Files(vec![archive]), encoding })
}

/// An array's images.
struct Stored<'a> {
    store: Arc<Store>,
    /// Where the first begins, and the bytes of each.
    start: u64,
    len: u64,
    path: &'a Path,
}

impl Stored<'_> {
    /// Those of one severity, from row `first` on.
    fn level(&self, first: usize, level: u8, labels: &[usize], classes: &[String]) -> Dataset {
        let sample = |(i, &class): (usize, &usize)| {
            let offset = self.start + (first + i) as u64 * self.len;
            let place = Place::Span { file: 0, offset, len: self.len };
            // The name that the image has in the clean binary set, whose order the arrays keep.
            Sample { path: format!("{}/test_batch-{i:05}", classes[class]), class, place }
        };
        Dataset {
            classes: classes.to_vec(),
            samples: labels.iter().enumerate().map(sample).collect(),
            left_out: LeftOut::default(),
            notes: Vec::new(),
            name: format!("{}, severity {level}", self.path.display()),
            layout: "npy",
            store: self.store.clone(),
            skipped: None,
        }
    }
}
