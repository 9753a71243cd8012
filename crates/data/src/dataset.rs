//! The data set as the rest of the workspace sees it, and the recognition of its layout.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use dyntta_image::{Exif, Rgb8, Stream};

use crate::classes::{self, ClassList};
use crate::store::{Place, Store};
use crate::{Error, Skipped, cifar, csv, cub, folder, idx, shards, tarball};

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
    /// The part of a CIFAR, MNIST or CUB-200 folder. The other layouts have one part only and ignore it.
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
    /// The images, by class and path (folder, tar), or in the order of the files (CIFAR, MNIST, CUB-200, CSV).
    pub samples: Vec<Sample>,
    /// Files passed over because their extension is not that of an image; hidden files are not counted.
    pub ignored: usize,
    pub(crate) name: String,
    pub(crate) layout: &'static str,
    pub(crate) store: Arc<Store>,
    pub(crate) exif: Exif,
    /// Where broken files are noted that are left out; `None`: they are errors.
    pub(crate) skipped: Option<Skipped>,
}

impl Dataset {
    /// Opens the data set at `path`, whose layout is recognised:
    /// - a folder `path/<class>/…` of image files, however deep below the class (torchvision's ImageFolder);
    /// - a `.tar` of such a folder, its class folders at the top or below common folders; it is indexed once and then
    ///   read in place, not unpacked (ustar, GNU long names, PAX; not compressed);
    /// - such a tar in shards: `shard-{000..012}.tar`, `shard-*.tar` or a folder with nothing but tars in it; of tars
    ///   without any folder, each is a class by its name (ImageNet's training set as distributed);
    /// - a CIFAR-10 or CIFAR-100 folder, binary version (`data_batch_1.bin`, …, or `train.bin`; fine labels);
    /// - a MNIST or Fashion-MNIST folder (`train-images-idx3-ubyte`, …, gzipped or not), grey replicated to RGB;
    /// - a CUB-200-2011 folder (`images.txt`, `image_class_labels.txt`, `train_test_split.txt`);
    /// - a CSV file with a header that has the columns `path`, relative to the CSV's folder, and `label`.
    ///
    /// Image files are told by their extension (see `dyntta_image::EXTENSIONS`); others are counted in
    /// [`Dataset::ignored`]. Names that begin with a dot are not looked at.
    ///
    /// Classes are the sorted folder names (or CSV labels; numbers by value), unless there is a `classes.txt` with a
    /// class a line: in the folder or tar, or else beside it. It must name every class folder and may name more.
    ///
    /// # Errors
    /// If nothing stands at `path`, a file is malformed or truncated, there is no image, or there are not two classes.
    pub fn open(path: impl AsRef<Path>, options: &Options) -> Result<Self, Error> {
        let path = path.as_ref();
        if path.is_dir() {
            if cifar::recognise(path) {
                return cifar::open(path, options.split);
            }
            if idx::recognise(path) {
                return idx::open(path, options.split);
            }
            if cub::recognise(path) {
                return cub::open(path, options.split);
            }
        }
        if let Some(tars) = shards::find(path)? {
            return tarball::open(&path.display().to_string(), "tar shards of classes", &tars);
        }
        let kind = std::fs::metadata(path).map_err(|e| Error::io(path, "open", e))?;
        if kind.is_dir() {
            return folder::open(path);
        }
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        if extension == "csv" {
            csv::open(path)
        } else {
            tarball::open(&path.display().to_string(), "tar of classes", &[path.to_path_buf()])
        }
    }

    /// Samples that were found as `class/…` paths under `name`, sorted; the classes are the first parts.
    /// `folders` are class folders that may be empty.
    pub(crate) fn from_class_paths(
        name: String,
        layout: &'static str,
        mut entries: Vec<(String, Place)>,
        mut folders: BTreeSet<String>,
        list: Option<ClassList>,
        ignored: usize,
        store: Arc<Store>,
    ) -> Result<Self, Error> {
        let class_of = |path: &str| path.split_once('/').map(|(class, _)| class.to_string());
        folders.extend(entries.iter().filter_map(|(path, _)| class_of(path)));
        if entries.is_empty() {
            let found = match (folders.is_empty(), ignored) {
                (true, 0) => "nothing".to_string(),
                (_, ignored) => {
                    format!("{} folders, {ignored} other files and no image in a folder", folders.len())
                }
            };
            return Err(Error::layout(name, "images in class folders (jpg, jpeg, png, bmp, webp)", found));
        }
        let classes = classes::resolve(&name, list, folders)?;
        let index = classes::index(&classes);
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        let mut samples: Vec<Sample> = Vec::with_capacity(entries.len());
        for (path, place) in entries {
            let class = class_of(&path).and_then(|c| index.get(&c).copied());
            samples.push(Sample { class: class.expect("its folder is in the list"), path, place });
        }
        samples.sort_by_key(|s| s.class);
        Ok(Self { classes, samples, ignored, name, layout, store, exif: Exif::Ignore, skipped: None })
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

    /// One line for a person: where, what layout, how much.
    pub fn describe(&self) -> String {
        let ignored = match self.ignored {
            0 => String::new(),
            n => format!(", {n} other files ignored"),
        };
        format!(
            "{} ({}): {} images, {} classes{ignored}",
            self.name,
            self.layout,
            self.len(),
            self.classes.len()
        )
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
        self.store.load(&sample.path, &sample.place, self.exif)
    }

    /// The same with or without turning pictures by the orientation that a camera wrote beside them. A set that was opened has
    /// them as they are stored, [`Exif::Ignore`], as PIL and torchvision read them.
    #[must_use]
    pub fn with_exif(self, exif: Exif) -> Self {
        Self { exif, ..self }
    }

    /// What is done about pictures' EXIF orientation.
    pub fn exif(&self) -> Exif {
        self.exif
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
            ignored: self.ignored,
            name: self.name.clone(),
            layout: self.layout,
            store: self.store.clone(),
            exif: self.exif,
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

    /// The same images with the labels of `classes`, which must name every class of the data set and may name more.
    ///
    /// # Errors
    /// [`Error::Classes`], with both lists.
    pub fn with_classes(mut self, classes: &[String]) -> Result<Self, Error> {
        let index = classes::index(classes);
        if !self.classes.iter().all(|class| index.contains_key(class)) {
            let expected = classes.to_vec();
            return Err(Error::Classes { path: self.name, list: None, expected, found: self.classes });
        }
        for sample in &mut self.samples {
            sample.class = index[&self.classes[sample.class]];
        }
        self.classes = classes.to_vec();
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
                if let Ok(set) = Dataset::open(&path, &Options::default()) {
                    (0..set.len()).for_each(|i| drop(set.load(i)));
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
