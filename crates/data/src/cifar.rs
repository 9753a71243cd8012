//! CIFAR-10 and CIFAR-100, binary version (<https://www.cs.toronto.edu/~kriz/cifar.html>): records of one label byte
//! (CIFAR-100: a coarse one, then the fine one) and 3 x 32 x 32 bytes, red, green, blue, rows from the top.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use dyntta_files::Limits;

use crate::classes::{self, ClassList};
use crate::left_out::LeftOut;
use crate::store::{Archive, Bytes, Encoding, Place, Store};
use crate::{Dataset, Error, Sample, Split};

const SIDE: usize = 32;
pub(crate) const PIXELS: Encoding = Encoding::Planar { width: SIDE, height: SIDE };

/// CIFAR-10's classes, by label.
pub(crate) const CLASSES_10: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// The most records in a file; CIFAR's have 50,000.
const MOST: u64 = 1_000_000;

struct Version {
    layout: &'static str,
    /// Labels before a record's pixels; the last one counts.
    labels: u64,
    names_file: &'static str,
    classes: usize,
    train: &'static [&'static str],
    test: &'static [&'static str],
}

const CIFAR_10: Version = Version {
    layout: "CIFAR-10 binary",
    labels: 1,
    names_file: "batches.meta.txt",
    classes: 10,
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: &["test_batch.bin"],
};

const CIFAR_100: Version = Version {
    layout: "CIFAR-100 binary",
    labels: 2,
    names_file: "fine_label_names.txt",
    classes: 100,
    train: &["train.bin"],
    test: &["test.bin"],
};

fn version(folder: &Path) -> Option<&'static Version> {
    let has = |v: &Version| v.train.iter().chain(v.test).any(|name| folder.join(name).is_file());
    [&CIFAR_10, &CIFAR_100].into_iter().find(|v| has(v))
}

pub(crate) fn recognise(folder: &Path) -> bool {
    version(folder).is_some()
}

pub(crate) fn open(folder: &Path, split: Split) -> Result<Dataset, Error> {
    let name = folder.display().to_string();
    let Some(version) = version(folder) else {
        return Err(Error::layout(name, "CIFAR's binary files", "none"));
    };
    let list = ClassList::find(&[folder])?;
    let classes = class_names(folder, version, list.as_ref())?;
    let record = version.labels + PIXELS.image_bytes().unwrap_or_default() as u64;
    let files = if split == Split::Train { version.train } else { version.test };
    let (mut archives, mut samples) = (Vec::new(), Vec::new());
    for (file, file_name) in (0..).zip(files) {
        let path = folder.join(file_name);
        let archive = Archive::open(&path)?;
        if archive.len == 0 || archive.len % record != 0 {
            let found = format!("{} bytes", archive.len);
            return Err(Error::layout(path.display(), format!("whole records of {record} bytes"), found));
        }
        if archive.len / record > MOST {
            let found = format!("{} bytes", archive.len);
            return Err(Error::layout(
                path.display(),
                format!("at most {MOST} records of {record} bytes"),
                found,
            ));
        }
        let stem = file_name.trim_end_matches(".bin");
        for i in 0..archive.len / record {
            let offset = i * record + version.labels;
            let class = usize::from(archive.read_at(offset - 1, 1)?[0]);
            let Some(class_name) = classes.get(class) else {
                let expected = format!("labels below {} in every record", classes.len());
                return Err(Error::layout(path.display(), expected, format!("{class} in record {i}")));
            };
            let place = Place::Span { file, offset, len: record - version.labels };
            samples.push(Sample { path: format!("{class_name}/{stem}-{i:05}"), class, place });
        }
        archives.push(archive);
    }
    let store = Arc::new(Store { bytes: Bytes::Files(archives), encoding: PIXELS });
    let found: BTreeSet<String> = classes.iter().cloned().collect();
    let wanted = list.map(|list| classes::resolve(&name, Some(list), found)).transpose()?;
    let (layout, left_out, notes) = (version.layout, LeftOut::default(), Vec::new());
    let set = Dataset {
        classes,
        samples,
        left_out,
        notes,
        name,
        layout,
        store,
        exif: dyntta_image::Exif::Ignore,
        skipped: None,
    };
    match wanted {
        Some(wanted) => set.with_classes(&wanted.names),
        None => Ok(set),
    }
}

/// What the labels mean: the version's own list of names, or for CIFAR-10 the known ones, or else `list`.
fn class_names(folder: &Path, version: &Version, list: Option<&ClassList>) -> Result<Vec<String>, Error> {
    let own = folder.join(version.names_file);
    let (path, names) = if own.is_file() {
        let text = dyntta_files::read(&own, Limits::DEFAULT.text_bytes)?;
        let own = ClassList::parse(own.display().to_string(), text)?;
        (own.path, own.names)
    } else if version.classes == CLASSES_10.len() {
        return Ok(CLASSES_10.map(Into::into).to_vec());
    } else if let Some(list) = list {
        (list.path.clone(), list.names.clone())
    } else {
        return Err(Error::layout(own.display(), "the names of the classes", "no such file"));
    };
    if names.len() != version.classes {
        let expected = format!("{} class names", version.classes);
        return Err(Error::layout(path, expected, names.len().to_string()));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use crate::testing::Folder;

    /// Red 0, 1, 2, …, green 100, blue 200.
    fn record(labels: &[u8]) -> Vec<u8> {
        let red = (0..1024).map(|i| i as u8);
        labels.iter().copied().chain(red).chain([100; 1024]).chain([200; 1024]).collect()
    }

    fn message(folder: &Folder) -> String {
        let error = Dataset::open(&folder.0, &Options::default()).unwrap_err().to_string();
        error.replace(folder.0.to_str().unwrap(), "T")
    }

    #[test]
    fn cifar_10_is_read() {
        let folder = Folder::new();
        for (i, name) in CIFAR_10.train.iter().enumerate() {
            folder.file(name, [record(&[i as u8]), record(&[9])].concat());
        }
        folder.file("test_batch.bin", record(&[3]));
        let train = Dataset::open(&folder.0, &Options::default()).unwrap();
        assert_eq!((train.len(), train.classes.len(), train.samples[4].class), (10, 10, 2));
        assert_eq!(train.samples[4].path, "bird/data_batch_3-00000");
        let image = train.load(5).unwrap();
        assert_eq!((image.width(), image.height()), (32, 32));
        assert_eq!(image.data()[3 * 33..3 * 34], [33, 100, 200]);
        let test = Dataset::open(&folder.0, &Options::split(Split::Test)).unwrap();
        assert_eq!((test.len(), test.samples[0].class), (1, 3));
    }

    #[test]
    fn cifar_100_takes_the_fine_label() {
        let folder = Folder::new();
        folder.file("train.bin", record(&[7, 42]));
        assert_eq!(
            message(&folder),
            "T/fine_label_names.txt: expected the names of the classes, found no such file"
        );
        let names: Vec<String> = (0..100).map(|i| format!("class {i}")).collect();
        folder.file("fine_label_names.txt", names.join("\n"));
        let set = Dataset::open(&folder.0, &Options::default()).unwrap();
        assert_eq!((set.classes.len(), set.samples[0].class), (100, 42));
        assert_eq!(set.load(0).unwrap().data()[..3], [0, 100, 200]);
    }

    #[test]
    fn classes_txt_maps_labels_by_name() {
        let folder = Folder::new();
        for name in CIFAR_10.train {
            folder.file(name, record(&[3]));
        }
        let mut names = CLASSES_10;
        names.reverse();
        folder.file("classes.txt", names.join("\n"));
        let set = Dataset::open(&folder.0, &Options::default()).unwrap();
        assert_eq!((set.samples[0].class, set.classes[6].as_str()), (6, "cat"));
        assert_eq!(set.samples[0].path, "cat/data_batch_1-00000");
        folder.file("classes.txt", names.join("\n").replace("cat", "lion"));
        let text = message(&folder);
        assert!(text.starts_with("T: expected the 10 classes of T/classes.txt truck, ship"), "{text}");
        assert!(text.ends_with("(not expected: cat; not found: lion)"), "{text}");
    }

    #[test]
    fn damaged_files_are_named() {
        let folder = Folder::new();
        folder.file("data_batch_1.bin", &record(&[1])[..3000]);
        assert_eq!(
            message(&folder),
            "T/data_batch_1.bin: expected whole records of 3073 bytes, found 3000 bytes"
        );
        folder.file("data_batch_1.bin", record(&[10]));
        assert_eq!(
            message(&folder),
            "T/data_batch_1.bin: expected labels below 10 in every record, found 10 in record 0"
        );
        folder.file("data_batch_1.bin", record(&[1]));
        assert!(message(&folder).starts_with("T/data_batch_2.bin: cannot read: "));
        folder.file("batches.meta.txt", "cat\ndog\n");
        assert_eq!(message(&folder), "T/batches.meta.txt: expected 10 class names, found 2");
    }
}
