//! CIFAR-10 and CIFAR-100, the version for Python (<https://www.cs.toronto.edu/~kriz/cifar.html>): pickles of rows of 3 x 32 x 32
//! bytes and labels, the images of the binary version in the same order.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use dyntta_files::Limits;

use crate::cifar::PIXELS;
use crate::classes::{self, ClassList};
use crate::left_out::LeftOut;
use crate::pickle::{Content, Pickle};
use crate::store::{Archive, Bytes, Place, Store};
use crate::{Dataset, Error, Sample, Split, folder};

/// The most bytes of a file; CIFAR-100's have 155 million.
const MOST_BYTES: u64 = 512 << 20;

struct Version {
    layout: &'static str,
    names_file: &'static str,
    names: &'static str,
    labels: &'static str,
    train: &'static [&'static str],
    test: &'static [&'static str],
    classes: usize,
}

const CIFAR_10: Version = Version {
    layout: "CIFAR-10 for Python",
    names_file: "batches.meta",
    names: "label_names",
    labels: "labels",
    train: &["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"],
    test: &["test_batch"],
    classes: 10,
};

const CIFAR_100: Version = Version {
    layout: "CIFAR-100 for Python",
    names_file: "meta",
    names: "fine_label_names",
    labels: "fine_labels",
    train: &["train"],
    test: &["test"],
    classes: 100,
};

fn version(folder: &Path) -> Option<&'static Version> {
    let there = |v: &&Version| {
        folder.join(v.names_file).is_file()
            && v.train.iter().chain(v.test).any(|name| folder.join(name).is_file())
    };
    [&CIFAR_10, &CIFAR_100].into_iter().find(there)
}

pub(crate) fn recognise(folder: &Path) -> bool {
    version(folder).is_some()
}

pub(crate) fn open(folder: &Path, split: Split) -> Result<Dataset, Error> {
    let name = folder.display().to_string();
    let Some(version) = version(folder) else { return Err(Error::layout(name, "CIFAR's pickles", "none")) };
    let row = PIXELS.image_bytes().unwrap_or_default() as u64;
    let classes = class_names(folder, version)?;
    let (mut archives, mut made, mut samples) = (Vec::new(), Vec::new(), Vec::new());
    for file in if split == Split::Train { version.train } else { version.test } {
        let path = folder.join(file);
        let bytes = dyntta_files::read(&path, MOST_BYTES)?;
        let fail = |expected: String, found: String| Error::layout(path.display(), expected, found);
        let pickle = Pickle::read(&bytes).map_err(|found| fail("a pickle of images".into(), found))?;
        let labels = pickle.numbers(version.labels);
        let labels = labels.ok_or_else(|| {
            fail(format!("the labels {:?}", version.labels), "no list of whole numbers".into())
        })?;
        let (shape, content) =
            pickle.array("data").ok_or_else(|| fail("an array of bytes \"data\"".into(), "none".into()))?;
        let length = match &content {
            Content::At(range) => range.len(),
            Content::Made(bytes) => bytes.len(),
        } as u64;
        if shape != [labels.len() as i64, row as i64]
            || length != labels.len() as u64 * row
            || labels.is_empty()
        {
            let found = format!("{length} bytes in the shape {shape:?} and {} labels", labels.len());
            return Err(fail(format!("images of {row} bytes and as many labels"), found));
        }
        let (number, start) = match &content {
            Content::At(range) => (archives.len() as u32, range.start as u64),
            Content::Made(_) => (0, made.len() as u64),
        };
        for (i, label) in labels.into_iter().enumerate() {
            let class = usize::try_from(label).ok().filter(|&class| class < classes.len());
            let class = class.ok_or_else(|| {
                fail(format!("labels below {}", classes.len()), format!("{label} in row {i}"))
            })?;
            let place = Place::Span { file: number, offset: start + i as u64 * row, len: row };
            samples.push(Sample { path: format!("{}/{file}-{i:05}", classes[class]), class, place });
        }
        match content {
            Content::At(_) => archives.push(Archive::open(&path)?),
            Content::Made(bytes) => made.extend(bytes),
        }
    }
    if !made.is_empty() && !archives.is_empty() {
        return Err(Error::layout(name, "files of one protocol", "several"));
    }
    let bytes = if made.is_empty() {
        Bytes::Files(archives)
    } else {
        Bytes::Memory { name: name.clone(), data: made }
    };
    let store = Arc::new(Store { bytes, encoding: PIXELS });
    let list = ClassList::find(&[folder])?;
    let found: BTreeSet<String> = classes.iter().cloned().collect();
    let wanted = list.map(|list| classes::resolve(&name, Some(list), found)).transpose()?;
    let left_out = left_out(folder, version)?;
    let layout = version.layout;
    let set = Dataset {
        classes,
        samples,
        left_out,
        notes: Vec::new(),
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

fn class_names(folder: &Path, version: &Version) -> Result<Vec<String>, Error> {
    let path = folder.join(version.names_file);
    let fail = |expected: String, found: String| Error::layout(path.display(), expected, found);
    let bytes = dyntta_files::read(&path, Limits::DEFAULT.text_bytes)?;
    let pickle = Pickle::read(&bytes).map_err(|found| fail("a pickle of class names".into(), found))?;
    let names = pickle.names(version.names).unwrap_or_default();
    if names.len() != version.classes {
        return Err(fail(
            format!("{} class names {:?}", version.classes, version.names),
            names.len().to_string(),
        ));
    }
    let names: Vec<String> = names.iter().map(|name| classes::normal(name)).collect();
    classes::once(&path.display().to_string(), &names)?;
    Ok(names)
}

/// What else is in the folder.
fn left_out(folder: &Path, version: &Version) -> Result<LeftOut, Error> {
    let mut left_out = LeftOut::default();
    let mut known = vec![version.names_file, classes::FILE, "file.txt~", "readme.html"];
    known.extend(version.train.iter().chain(version.test));
    for (name, _, is_folder) in folder::entries(folder)? {
        if !is_folder && !known.contains(&name.as_str()) {
            left_out.file(&name);
        }
    }
    Ok(left_out)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Options;
    use crate::testing::Folder;

    /// As numpy pickles `{b"data": array, key: labels}` with protocol 2 of Python 2, or of Python 3, where bytes stand as text.
    pub(crate) fn batch(key: &str, labels: &[u8], pixels: &[u8], python3: bool) -> Vec<u8> {
        let mut out = b"\x80\x02}q\x00(".to_vec();
        let short = |out: &mut Vec<u8>, text: &str| {
            out.extend([b'U', text.len() as u8]);
            out.extend(text.as_bytes());
        };
        short(&mut out, key);
        out.extend(b"q\x01]q\x02(");
        labels.iter().for_each(|l| out.extend([b'K', *l]));
        out.push(b'e');
        short(&mut out, "data");
        out.extend(b"cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87Rq\x05(K\x01");
        out.extend([&b"M"[..], &(labels.len() as u16).to_le_bytes(), b"M\x00\x0c\x86"].concat());
        out.extend(b"cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89");
        if python3 {
            let text: String = pixels.iter().map(|&b| char::from(b)).collect();
            out.extend(b"c_codecs\nencode\nX");
            out.extend((text.len() as u32).to_le_bytes());
            out.extend(text.as_bytes());
            out.extend(b"X\x06\x00\x00\x00latin1\x86R");
        } else {
            out.push(b'T');
            out.extend((pixels.len() as u32).to_le_bytes());
            out.extend(pixels);
        }
        out.extend(b"tbu.");
        out
    }

    pub(crate) fn meta(key: &str, count: usize) -> Vec<u8> {
        let names = (0..count).flat_map(|i| {
            let name =
                if count == 10 { crate::cifar::CLASSES_10[i].to_owned() } else { format!("class {i}") };
            [&[b'U', name.len() as u8], name.as_bytes()].concat()
        });
        let key = [&[b'U', key.len() as u8], key.as_bytes()].concat();
        [b"\x80\x02}(".to_vec(), key, b"](".to_vec(), names.collect(), b"eu.".to_vec()].concat()
    }

    fn pixels(seed: usize, images: usize) -> Vec<u8> {
        (0..images * 3072).map(|i| ((i + seed) * 31 % 256) as u8).collect()
    }

    fn open(folder: &Folder, split: Split) -> Result<Dataset, String> {
        Dataset::open(&folder.0, &Options::split(split))
            .map_err(|e| e.to_string().replace(folder.0.to_str().unwrap(), "T"))
    }

    #[test]
    fn images_are_those_of_the_binary_version() {
        for python3 in [false, true] {
            let (python, binary) = (Folder::new(), Folder::new());
            python.file("batches.meta", meta("label_names", 10));
            python.file("readme.html", "");
            for (i, name) in CIFAR_10.train.iter().chain(CIFAR_10.test).enumerate() {
                let (labels, pixels) = ([i as u8, 9], pixels(i, 2));
                python.file(name, batch("labels", &labels, &pixels, python3));
                let records = [&labels[..1], &pixels[..3072], &labels[1..], &pixels[3072..]].concat();
                binary.file(&format!("{name}.bin"), records);
            }
            for split in [Split::Train, Split::Test] {
                let (a, b) = (open(&python, split).unwrap(), open(&binary, split).unwrap());
                assert_eq!((a.len(), &a.classes), (b.len(), &b.classes));
                for (i, (x, y)) in a.samples.iter().zip(&b.samples).enumerate() {
                    assert_eq!((&x.path, x.class), (&y.path, y.class));
                    assert_eq!(a.load(i).unwrap(), b.load(i).unwrap());
                }
                assert_eq!(a.digest().unwrap(), b.digest().unwrap());
            }
        }
    }

    #[test]
    fn cifar_100_takes_the_fine_labels() {
        let folder = Folder::new();
        folder.file("meta", meta("fine_label_names", 100));
        folder.file("train", batch("fine_labels", &[42], &pixels(0, 1), false));
        let set = open(&folder, Split::Train).unwrap();
        assert_eq!((set.samples[0].path.as_str(), set.samples[0].class), ("class 42/train-00000", 42));
        assert!(open(&folder, Split::Test).unwrap_err().starts_with("T/test: cannot read"));
        assert!(set.describe().contains("CIFAR-100 for Python"));
    }

    #[test]
    fn damaged_files_are_named() {
        let folder = Folder::new();
        folder.file("batches.meta", meta("label_names", 10));
        let whole = batch("labels", &[1, 2], &pixels(0, 2), false);
        folder.file("test_batch", &whole[..1000]);
        let error = open(&folder, Split::Test).unwrap_err();
        assert_eq!(
            error,
            "T/test_batch: expected a pickle of images, found the end of the file after 1000 bytes (truncated)"
        );
        folder.file("test_batch", batch("labels", &[1, 10], &pixels(0, 2), false));
        assert!(
            open(&folder, Split::Test).unwrap_err().ends_with("expected labels below 10, found 10 in row 1")
        );
        folder.file("test_batch", batch("labels", &[1, 2, 3], &pixels(0, 2), false));
        assert!(open(&folder, Split::Test).unwrap_err().contains("images of 3072 bytes and as many labels"));
        folder.file("test_batch", batch("coarse_labels", &[1, 2], &pixels(0, 2), false));
        assert!(open(&folder, Split::Test).unwrap_err().contains("expected the labels \"labels\""));
    }
}
