//! The data set as the rest of the workspace sees it, and the recognition of its layout.

use std::path::Path;
use std::sync::Arc;

use dyntta_files::shown;
use dyntta_image::{Rgb8, Stream};

use crate::layout::{self, Layout};
use crate::left_out::LeftOut;
use crate::store::{Place, Store};
use crate::{
    Error, Skipped, archive, cifar, cifar_python, classes, cub, folder, idx, parquet_files, table,
    tiny_imagenet,
};

/// Which part of a data set that comes in two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Split {
    /// The training images.
    #[default]
    Train,
    /// The test images.
    Test,
}

/// How to open a data set.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// The part of a CIFAR, MNIST, CUB-200 or Tiny-ImageNet folder, or of one of Parquet files. The other layouts have one part only and ignore it.
    pub split: Split,
}

impl Options {
    /// The options that take `split`.
    pub fn split(split: Split) -> Self {
        Self { split }
    }
}

/// One image of a [`Dataset`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The image's path in its data set, with `/` between the parts: `class/file`, the same for a folder and for a
    /// tar of it; in a CSV, the path as it stands there. The label of the image's random streams.
    pub path: String,
    /// Index into [`Dataset::classes`].
    pub class: usize,
    pub(crate) place: Place,
}

/// Labelled images that are decoded when asked for.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Class names; a classifier's output `i` means `classes[i]`.
    pub classes: Vec<String>,
    /// The images, by class and path (folder, tar, zip), or in the order of the files (the other layouts).
    pub samples: Vec<Sample>,
    /// What was found and is no image of a class.
    pub left_out: LeftOut,
    /// What else [`Dataset::describe`] says.
    pub(crate) notes: Vec<&'static str>,
    pub(crate) name: String,
    pub(crate) layout: &'static str,
    pub(crate) store: Arc<Store>,
    /// Where broken files are noted that are left out; `None`: they are errors.
    pub(crate) skipped: Option<Skipped>,
}

impl Dataset {
    /// Opens the data set at `path`, whose layout is recognised:
    /// - a folder `path/<class>/…` of image files, however deep below the class (torchvision's ImageFolder);
    /// - a `.tar` of such a folder, its class folders at the top or below common folders; it is indexed once and then
    ///   read in place, not unpacked (ustar, GNU long names, PAX; not compressed); or a zip (stored or deflated);
    /// - such a tar in shards: `shard-{000..012}.tar`, `shard-*.tar` or a folder with nothing but tars in it; of tars
    ///   without any folder, each is a class by its name (ImageNet's training set as distributed);
    /// - a tar, shards or a zip in which labels lie beside the images (WebDataset: `.cls`, `.json`, `.txt`);
    /// - a CIFAR-10 or CIFAR-100 folder, binary version (`data_batch_1.bin`, …, or `train.bin`) or that for Python
    ///   (`data_batch_1`, …, or `train`); fine labels;
    /// - a MNIST or Fashion-MNIST folder (`train-images-idx3-ubyte`, …, gzipped or not), grey replicated to RGB;
    /// - a CUB-200-2011 folder (`images.txt`, `image_class_labels.txt`, `train_test_split.txt`);
    /// - a Tiny-ImageNet folder, or its part for validation (`val_annotations.txt`);
    /// - with the feature `parquet`, Parquet files with images and labels (Hugging Face), one, a pattern or a folder;
    /// - a CSV (or TSV) with a header that has the columns `path`, relative to the file's folder, and `label`.
    ///
    /// What is no image of a class is left out and counted in [`Dataset::left_out`]. Image files are told by their extension
    /// (see `dyntta_image::EXTENSIONS`) or else by their content.
    ///
    /// Classes are the folder names (or labels) in the order of text, or of their values if all are whole numbers, unless
    /// there is a `classes.txt` with a class a line: in the folder or archive, or else beside it. It must name every class
    /// that has images and may name more.
    ///
    /// # Errors
    /// If nothing stands at `path`, a file is malformed or truncated, there is no image, or there are not two classes.
    pub fn open(path: impl AsRef<Path>, options: &Options) -> Result<Self, Error> {
        let path = path.as_ref();
        let split = options.split;
        match layout::recognise(path)? {
            Layout::Cifar => cifar::open(path, split),
            Layout::CifarPython => cifar_python::open(path, split),
            Layout::Idx => idx::open(path, split),
            Layout::Cub => cub::open(path, split),
            Layout::TinyImagenet => tiny_imagenet::open(path, split),
            Layout::Parquet(files) => parquet_files::open(path, &files, split),
            Layout::Archives(layout, files) => archive::open(&path.display().to_string(), layout, &files),
            Layout::Table => table::open(path),
            Layout::Folder => folder::open(path),
        }
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there is no image; never so after [`Dataset::open`].
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Where the data set was opened.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One line for a person: where, what layout, how much, and what was left out.
    pub fn describe(&self) -> String {
        let name = shown(Path::new(&self.name));
        let mut text =
            format!("{name} ({}): {} images, {} classes", self.layout, self.len(), self.classes.len());
        if !self.left_out.is_nothing() {
            text.push_str(&format!("; left out: {}", self.left_out));
        }
        for note in &self.notes {
            text.push_str(&format!("; {note}"));
        }
        text
    }

    /// Decodes image `index`. May be called from many threads at once.
    ///
    /// # Errors
    /// If the file cannot be read or decoded.
    ///
    /// # Panics
    /// If `index` is not below [`Dataset::len`].
    pub fn load(&self, index: usize) -> Result<Rgb8, Error> {
        let sample = &self.samples[index];
        self.store.load(&sample.path, &sample.place)
    }

    /// A sample's file for a message: where the set is, and the path in it.
    pub(crate) fn locate(&self, sample: &Sample) -> String {
        format!("{}: {}", self.name, sample.path)
    }

    /// The samples of `indices`, in that order; classes and files are shared.
    ///
    /// # Panics
    /// If an index is not below [`Dataset::len`].
    pub fn subset(&self, indices: &[usize]) -> Self {
        let samples = indices.iter().map(|&i| self.samples[i].clone()).collect();
        self.with_samples(samples)
    }

    fn with_samples(&self, samples: Vec<Sample>) -> Self {
        Self {
            classes: self.classes.clone(),
            samples,
            left_out: self.left_out.clone(),
            notes: self.notes.clone(),
            name: self.name.clone(),
            layout: self.layout,
            store: self.store.clone(),
            skipped: self.skipped.clone(),
        }
    }

    /// At most `n` images, chosen round-robin over the classes, each class from its first on; they stay in their
    /// order. Of ten classes with enough images, 400 are 40 of each.
    ///
    /// # Errors
    /// [`Error::Selection`] if `n` is 0.
    pub fn limit_balanced(&self, n: usize) -> Result<Self, Error> {
        self.check_limit(n)?;
        // The round in which each sample is taken is its position within its class.
        let mut counts = vec![0usize; self.classes.len()];
        let mut order: Vec<(usize, usize, usize)> = Vec::with_capacity(self.len());
        for (i, sample) in self.samples.iter().enumerate() {
            order.push((counts[sample.class], sample.class, i));
            counts[sample.class] += 1;
        }
        order.sort_unstable();
        Ok(self.keep(order.into_iter().take(n).map(|(_, _, i)| i)))
    }

    /// At most `n` images drawn without replacement by `seed`; they stay in their order. Which images are drawn
    /// depends on the seed and the paths alone.
    ///
    /// # Errors
    /// [`Error::Selection`] if `n` is 0.
    pub fn take(&self, n: usize, seed: u64) -> Result<Self, Error> {
        self.check_limit(n)?;
        let mut order = self.keys(seed, "take");
        order.sort_unstable();
        Ok(self.keep(order.into_iter().take(n).map(|(_, i)| i)))
    }

    /// Splits into training and validation images, a `share` of every class (rounded to nearest) into the latter.
    /// Which depends on the seed and the paths alone.
    ///
    /// # Errors
    /// [`Error::Selection`] if `share` is not between 0 and 1 or leaves either part without an image.
    pub fn split(&self, share: f64, seed: u64) -> Result<(Self, Self), Error> {
        let mut by_class: Vec<Vec<(u64, usize)>> = vec![Vec::new(); self.classes.len()];
        for (key, i) in self.keys(seed, "split") {
            by_class[self.samples[i].class].push((key, i));
        }
        let (mut train, mut validation) = (Vec::new(), Vec::new());
        if share > 0.0 && share < 1.0 {
            for mut members in by_class {
                members.sort_unstable();
                let n = (members.len() as f64 * share).round() as usize;
                validation.extend(members[..n].iter().map(|m| m.1));
                train.extend(members[n..].iter().map(|m| m.1));
            }
        }
        if train.is_empty() || validation.is_empty() {
            let expected = "a share between 0 and 1 that leaves images on both sides";
            return Err(Error::Selection { path: self.name.clone(), expected, found: share.to_string() });
        }
        Ok((self.keep(train.into_iter()), self.keep(validation.into_iter())))
    }

    fn keys(&self, seed: u64, purpose: &str) -> Vec<(u64, usize)> {
        let key = |s: &Sample| Stream::new(seed, &[purpose, &s.path]).next_u64();
        self.samples.iter().enumerate().map(|(i, s)| (key(s), i)).collect()
    }

    fn keep(&self, indices: impl Iterator<Item = usize>) -> Self {
        let mut indices: Vec<usize> = indices.collect();
        indices.sort_unstable();
        self.subset(&indices)
    }

    fn check_limit(&self, n: usize) -> Result<(), Error> {
        if n > 0 {
            return Ok(());
        }
        Err(Error::Selection {
            path: self.name.clone(),
            expected: "a limit of at least 1 image",
            found: "0".into(),
        })
    }

    /// The same images with the labels of `classes`, which must name every class of the data set and may name more. Names are
    /// compared in Unicode's composed form (NFC), in which [`Dataset::classes`] are.
    ///
    /// # Errors
    /// [`Error::Classes`], with both lists, and [`Error::Layout`] if a name is there twice.
    pub fn with_classes(mut self, classes: &[String]) -> Result<Self, Error> {
        let names: Vec<String> = classes.iter().map(|name| classes::normal(name)).collect();
        classes::once(&self.name, &names)?;
        let index = classes::index(&names);
        let Some(places) =
            self.classes.iter().map(|class| index.get(class).copied()).collect::<Option<Vec<usize>>>()
        else {
            return Err(Error::Classes { path: self.name, list: None, expected: names, found: self.classes });
        };
        for sample in &mut self.samples {
            sample.class = places[sample.class];
        }
        self.classes = names;
        // The order was asked for.
        self.notes.clear();
        Ok(self)
    }

    /// Leaves out files that cannot be read or decoded where images are read by [`crate::batches`], and notes them in
    /// `log`; otherwise the first such file ends the reading with its error.
    #[must_use]
    pub fn skip_broken(mut self, log: &Skipped) -> Self {
        self.skipped = Some(log.clone());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    fn four_classes() -> (Folder, Dataset) {
        let folder = Folder::new();
        for class in 0..4 {
            for i in 0..6 {
                folder.image(&format!("c{class}/{i}.png"), (class * 10 + i) as u8);
            }
        }
        let set = Dataset::open(&folder.0, &Options::default()).unwrap();
        (folder, set)
    }

    fn paths(set: &Dataset) -> Vec<&str> {
        set.samples.iter().map(|s| s.path.as_str()).collect()
    }

    #[test]
    fn a_balanced_limit_is_even_and_keeps_the_order() {
        let (_folder, set) = four_classes();
        assert_eq!(
            paths(&set.limit_balanced(8).unwrap()),
            ["c0/0.png", "c0/1.png", "c1/0.png", "c1/1.png", "c2/0.png", "c2/1.png", "c3/0.png", "c3/1.png"]
        );
        assert_eq!(
            paths(&set.limit_balanced(5).unwrap()),
            ["c0/0.png", "c0/1.png", "c1/0.png", "c2/0.png", "c3/0.png"]
        );
        assert_eq!(set.limit_balanced(1000).unwrap().len(), 24);
    }

    #[test]
    fn a_limit_of_nothing_is_refused() {
        let (_folder, set) = four_classes();
        for error in [set.limit_balanced(0).unwrap_err(), set.take(0, 1).unwrap_err()] {
            assert!(error.to_string().ends_with("expected a limit of at least 1 image, found 0"), "{error}");
        }
    }

    #[test]
    fn take_depends_on_seed_and_paths_alone() {
        let (_folder, set) = four_classes();
        let five = set.take(5, 1).unwrap();
        assert_eq!(five.len(), 5);
        assert_ne!(paths(&five), paths(&set.take(5, 2).unwrap()));
        let backwards = set.subset(&(0..24).rev().collect::<Vec<_>>()).take(5, 1).unwrap();
        let mut reversed = paths(&backwards);
        reversed.reverse();
        assert_eq!(paths(&five), reversed);
    }

    #[test]
    fn a_split_shares_every_class_and_loses_nothing() {
        let (_folder, set) = four_classes();
        let (train, validation) = set.split(1.0 / 3.0, 7).unwrap();
        for class in 0..4 {
            assert_eq!(validation.samples.iter().filter(|s| s.class == class).count(), 2);
        }
        let mut all = [paths(&train), paths(&validation)].concat();
        all.sort_unstable();
        assert_eq!(all, paths(&set));
        for share in [0.0, 1.0, -1.0, f64::NAN, 0.01] {
            assert!(set.split(share, 7).is_err(), "{share}");
        }
    }

    #[test]
    fn classes_can_be_put_in_another_order_and_be_more_but_not_fewer() {
        let (_folder, set) = four_classes();
        let order: Vec<String> = ["c3", "c1", "c0", "c2"].map(Into::into).to_vec();
        let turned = set.clone().with_classes(&order).unwrap();
        for (a, b) in set.samples.iter().zip(&turned.samples) {
            assert_eq!(set.classes[a.class], turned.classes[b.class]);
        }
        let more = [&order[..], &["c9".to_string()]].concat();
        assert_eq!(set.clone().with_classes(&more).unwrap().classes.len(), 5);
        let error = set.with_classes(&order[..3]).unwrap_err().to_string();
        assert!(
            error.ends_with(
                "expected the 3 classes c3, c1, c0, found the 4 classes c0, c1, c2, c3 (not expected: c2; not found: none)"
            ),
            "{error}"
        );
    }

    #[test]
    fn damaged_bytes_never_panic() {
        let folder = Folder::new();
        let mut tar = tar::Builder::new(Vec::new());
        for path in
            ["set/a/1.png", "set/b/1.png", &format!("set/b/{}.png", "x".repeat(120)), "set/classes.txt"]
        {
            let bytes = if path.ends_with("txt") { b"a\nb".to_vec() } else { crate::testing::png(1) };
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, path, bytes.as_slice()).unwrap();
        }
        let png = crate::testing::png(7);
        let array = |kind: &str, shape: &str, len: usize| {
            let text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}\n");
            [b"\x93NUMPY\x01\x00".as_slice(), &[text.len() as u8, 0], text.as_bytes(), &vec![1; len]].concat()
        };
        let idx = |dimensions: &[u32], len: usize| {
            let magic = 0x800 + dimensions.len() as u32;
            let words = std::iter::once(magic).chain(dimensions.iter().copied()).flat_map(u32::to_be_bytes);
            words.chain(vec![1; len]).collect::<Vec<u8>>()
        };
        let files = [
            ("set.tar", tar.into_inner().unwrap()),
            ("set.csv", b"path,label\nmnist/train-labels-idx1-ubyte,\"a\"\nset.tar,b\n".to_vec()),
            ("mnist/train-images-idx3-ubyte", idx(&[5, 4, 3], 60)),
            ("mnist/train-labels-idx1-ubyte", idx(&[5], 5)),
            ("c/labels.npy", array("|u1", "5,", 5)),
            ("c/fog.npy", array("|u1", "5, 2, 2, 3", 60)),
            (
                "set.zip",
                crate::testing::zip(&[("a/1.png", &png, 8), ("b/1.png", &png, 0), ("b/n", &png[..20], 8)]),
            ),
            (
                "wds.tar",
                crate::testing::tar(&[("1.png", &png), ("1.cls", b"1"), ("2.png", &png), ("2.cls", b"0")]),
            ),
            ("py/batches.meta", crate::cifar_python::tests::meta("label_names", 10)),
            ("py/test_batch", crate::cifar_python::tests::batch("labels", &[1, 2], &[7; 6144], false)),
            #[cfg(feature = "parquet")]
            ("x.parquet", crate::parquet_files::tests::parquet(&[(Some(&png), 1), (Some(&png), 0)], 1, None)),
        ];
        for (name, bytes) in &files {
            folder.file(name, bytes);
        }
        let mut stream = Stream::new(1, &["damage"]);
        for (name, bytes) in &files {
            for round in 0..60 {
                let mut bad = bytes.clone();
                for _ in 0..stream.below(4) {
                    // Mostly where the headers are.
                    let at = stream.below(if round % 2 == 0 { bad.len().min(128) } else { bad.len() });
                    bad[at] = stream.next_u32() as u8;
                }
                bad.truncate(bad.len() - if round % 5 == 0 { stream.below(bad.len()) } else { 0 });
                folder.file(name, bad);
                let path = folder.0.join(name.split('/').next().unwrap());
                let parts = crate::CorruptedSet::open(&path, None);
                for part in parts.map(|set| set.parts).unwrap_or_default() {
                    let _ = part.open().map(|set| drop(set.load(0)));
                }
                for split in [Split::Train, Split::Test] {
                    if let Ok(set) = Dataset::open(&path, &Options::split(split)) {
                        (0..set.len()).for_each(|i| drop(set.load(i)));
                        drop(set.digest());
                    }
                }
            }
            folder.file(name, bytes);
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let error = Dataset::open("/no/such/set", &Options::default()).unwrap_err().to_string();
        assert!(error.starts_with("/no/such/set: cannot open: "), "{error}");
    }
}
