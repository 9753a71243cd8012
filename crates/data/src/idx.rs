//! MNIST's idx files (<https://yann.lecun.org/exdb/mnist/>, "the IDX file format"), gzipped or not: a big-endian
//! header of magic and dimensions, then bytes. MNIST, Fashion-MNIST and whatever else is named like them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

use crate::classes::{self, ClassList};
use crate::left_out::LeftOut;
use crate::store::{Bytes, Encoding, Place, Store};
use crate::{Dataset, Error, Sample, Split};

const IMAGES: u32 = 0x0803;
const LABELS: u32 = 0x0801;
/// The most image bytes in one file: 1 GiB (EMNIST has 0.6), so that a header cannot exhaust the memory.
const MAX_BYTES: u64 = 1 << 30;

/// The file whose name begins so, in any of the spellings in use.
fn find(folder: &Path, prefix: &str, kind: &str) -> Option<PathBuf> {
    ["", ".gz"]
        .iter()
        .flat_map(|gz| {
            ["-", "."].map(|dot| {
                folder.join(format!("{prefix}-{kind}{gz}").replacen("-idx", &format!("{dot}idx"), 1))
            })
        })
        .find(|p| p.is_file())
}

fn prefix(split: Split) -> &'static str {
    if split == Split::Train { "train" } else { "t10k" }
}

pub(crate) fn recognise(folder: &Path) -> bool {
    [Split::Train, Split::Test].iter().any(|s| find(folder, prefix(*s), "images-idx3-ubyte").is_some())
}

pub(crate) fn open(folder: &Path, split: Split) -> Result<Dataset, Error> {
    let read = |kind: &str| {
        let path = find(folder, prefix(split), kind).ok_or_else(|| {
            let expected = format!("{}-{kind} or {0}-{kind}.gz", prefix(split));
            Error::layout(folder.display(), expected, "neither")
        })?;
        let bytes = dyntta_files::read(&path, MAX_BYTES)?;
        Ok::<_, Error>((path.display().to_string(), bytes))
    };
    let (images_name, images) = read("images-idx3-ubyte")?;
    let (labels_name, labels) = read("labels-idx1-ubyte")?;
    let name = folder.display().to_string();
    let list = ClassList::find(&[folder])?.map(|list| list.names);
    let fashion = name.to_ascii_lowercase().contains("fashion");
    let known = fashion.then(|| crate::fashion_mnist::CLASSES.map(Into::into).to_vec());
    parse(name, prefix(split), (&images_name, &images), (&labels_name, &labels), list.or(known))
}

/// A data set from the contents of an image file and a label file, each with its name; `classes` are the digits (as
/// many as there are labels, at least 10) if not given. `prefix` begins the samples' names.
pub(crate) fn parse(
    name: String,
    prefix: &str,
    (images_name, images): (&str, &[u8]),
    (labels_name, labels): (&str, &[u8]),
    classes: Option<Vec<String>>,
) -> Result<Dataset, Error> {
    let ([count, height, width], pixels) = content::<3>(images_name, images, IMAGES)?;
    let ([label_count], labels) = content::<1>(labels_name, labels, LABELS)?;
    if label_count != count {
        let expected = format!("{count} labels, one for every image of {images_name}");
        return Err(Error::layout(labels_name, expected, label_count.to_string()));
    }
    if count == 0 || width == 0 || height == 0 {
        return Err(Error::layout(images_name, "images", format!("{count} of {width}x{height} pixels")));
    }
    let highest = usize::from(labels.iter().copied().max().unwrap_or(0));
    let classes = classes.unwrap_or_else(|| (0..(highest + 1).max(10)).map(|i| i.to_string()).collect());
    let classes = classes::at_least_two(&name, classes)?;
    if highest >= classes.len() {
        let expected = format!("labels below {}, the number of classes", classes.len());
        return Err(Error::layout(labels_name, expected, highest.to_string()));
    }
    let len = (width * height) as u64;
    let sample = |(i, &label): (usize, &u8)| Sample {
        path: format!("{}/{prefix}-{i:05}", classes[usize::from(label)]),
        class: usize::from(label),
        place: Place::Span { file: 0, offset: i as u64 * len, len },
    };
    let samples = labels.iter().enumerate().map(sample).collect();
    let bytes = Bytes::Memory { name: images_name.to_string(), data: pixels };
    let store = Arc::new(Store { bytes, encoding: Encoding::Grey { width, height } });
    let (left_out, notes) = (LeftOut::default(), Vec::new());
    Ok(Dataset {
        classes,
        samples,
        left_out,
        notes,
        name,
        layout: "idx",
        store,
        exif: dyntta_image::Exif::Ignore,
        skipped: None,
    })
}

/// The dimensions and the bytes of an idx file, unzipped if it is zipped.
fn content<const N: usize>(name: &str, file: &[u8], magic: u32) -> Result<([usize; N], Vec<u8>), Error> {
    let fail = |expected: String, found: String| Err(Error::layout(name, expected, found));
    let mut reader: Box<dyn Read + '_> =
        if file.starts_with(&[0x1f, 0x8b]) { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut header = vec![0; 4 + 4 * N];
    if let Err(error) = reader.read_exact(&mut header) {
        return fail(format!("an idx header of {} bytes", header.len()), error.to_string());
    }
    let mut words = header.chunks_exact(4).map(|w| u32::from_be_bytes([w[0], w[1], w[2], w[3]]));
    let found = words.next().unwrap_or_default();
    if found != magic {
        return fail(
            format!("the magic number {magic:#010x} of bytes in {N} dimensions"),
            format!("{found:#010x}"),
        );
    }
    let mut dimensions = [0; N];
    dimensions.iter_mut().zip(words).for_each(|(d, w)| *d = w as usize);
    let size = dimensions.iter().try_fold(1u64, |product, &d| product.checked_mul(d as u64));
    let Some(size) = size.filter(|&n| n <= MAX_BYTES) else {
        return fail(format!("at most {MAX_BYTES} bytes"), format!("the dimensions {dimensions:?}"));
    };
    // One byte more than announced, to see whether there is more. The announced size is not trusted for reserving.
    let mut bytes = Vec::new();
    if let Err(error) = reader.take(size + 1).read_to_end(&mut bytes) {
        return fail(format!("{size} bytes after the header"), format!("{error} after {}", bytes.len()));
    }
    if bytes.len() as u64 != size {
        let found = if bytes.len() as u64 > size {
            "more".to_string()
        } else {
            format!("{} (truncated)", bytes.len())
        };
        return fail(format!("{size} bytes after the header"), found);
    }
    Ok((dimensions, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use crate::testing::Folder;
    use std::io::Write;

    /// An idx file.
    fn write(dimensions: &[u32], bytes: &[u8]) -> Vec<u8> {
        let words = [&[0x0800 + dimensions.len() as u32], dimensions].concat();
        words.into_iter().flat_map(u32::to_be_bytes).chain(bytes.iter().copied()).collect()
    }

    fn zip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn files() -> (Vec<u8>, Vec<u8>) {
        let pixels: Vec<u8> = (0..3 * 28 * 28).map(|i| (i / 784 * 50 + i % 28) as u8).collect();
        (write(&[3, 28, 28], &pixels), write(&[3], &[5, 0, 9]))
    }

    fn open(folder: &Folder, split: Split) -> Result<Dataset, String> {
        Dataset::open(&folder.0, &Options::split(split))
            .map_err(|e| e.to_string().replace(folder.0.to_str().unwrap(), "T"))
    }

    #[test]
    fn idx_is_read_zipped_or_not_in_either_spelling() {
        let (images, labels) = files();
        let folder = Folder::new();
        folder.file("train-images-idx3-ubyte.gz", zip(&images));
        folder.file("train-labels.idx1-ubyte", &labels);
        folder.file("t10k-images.idx3-ubyte", &images);
        folder.file("t10k-labels-idx1-ubyte.gz", zip(&labels));
        for (split, start) in [(Split::Train, "train"), (Split::Test, "t10k")] {
            let set = open(&folder, split).unwrap();
            assert_eq!(set.samples.iter().map(|s| s.class).collect::<Vec<_>>(), [5, 0, 9]);
            assert_eq!(set.classes[9], "9");
            assert_eq!(set.samples[2].path, format!("9/{start}-00002"));
            let image = set.load(2).unwrap();
            assert_eq!((image.width(), image.height()), (28, 28));
            assert_eq!(image.data()[3 * 28..3 * 30], [100, 100, 100, 101, 101, 101]);
        }
    }

    #[test]
    fn names_come_from_the_folder_or_classes_txt() {
        let (images, labels) = files();
        let folder = Folder::new();
        folder.file("Fashion-mnist/train-images-idx3-ubyte", &images);
        folder.file("Fashion-mnist/train-labels-idx1-ubyte", &labels);
        let path = folder.0.join("Fashion-mnist");
        assert_eq!(Dataset::open(&path, &Options::default()).unwrap().classes[9], "Ankle boot");
        folder.file("Fashion-mnist/classes.txt", "a\nb\nc\n");
        let text = Dataset::open(&path, &Options::default()).unwrap_err().to_string();
        assert!(
            text.ends_with("labels-idx1-ubyte: expected labels below 3, the number of classes, found 9"),
            "{text}"
        );
    }

    #[test]
    fn damaged_files_are_named() {
        let (images, labels) = files();
        let folder = Folder::new();
        let fail = |images: &[u8], labels: &[u8]| {
            folder.file("train-images-idx3-ubyte", images);
            folder.file("train-labels-idx1-ubyte", labels);
            open(&folder, Split::Train).unwrap_err()
        };
        let magic =
            "T/train-images-idx3-ubyte: expected the magic number 0x00000803 of bytes in 3 dimensions";
        assert_eq!(
            fail(&[labels.clone(), vec![0; 20]].concat(), &labels),
            format!("{magic}, found 0x00000801")
        );
        assert!(fail(&images[..7], &labels).contains("expected an idx header of 16 bytes"));
        assert!(
            fail(&images[..900], &labels)
                .ends_with("expected 2352 bytes after the header, found 884 (truncated)")
        );
        assert!(
            fail(&[&images[..], b"x"].concat(), &labels).ends_with("2352 bytes after the header, found more")
        );
        let zipped = zip(&images);
        assert!(
            fail(&zipped[..zipped.len() / 2], &labels)
                .contains("expected 2352 bytes after the header, found")
        );
        assert!(fail(&write(&[u32::MAX; 3], &[]), &labels).contains("found the dimensions [4294967295, "));
        assert!(fail(&images, &write(&[2], &[1, 2])).contains("expected 3 labels, one for every image"));
        assert!(
            fail(&write(&[0, 28, 28], &[]), &write(&[0], &[]))
                .contains("expected images, found 0 of 28x28 pixels")
        );
        assert_eq!(
            open(&folder, Split::Test).unwrap_err(),
            "T: expected t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz, found neither"
        );
    }
}
