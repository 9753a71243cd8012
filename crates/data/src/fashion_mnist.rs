//! Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv 1708.07747): the demonstration's data set.

use std::path::{Path, PathBuf};

use crate::{Dataset, Error, Options, Split, idx};

/// The classes, by label. `T-shirt/top` of the original is spelt without the slash, so that it can name a folder.
pub const CLASSES: [&str; 10] =
    ["T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

/// Where Debian's package `dataset-fashion-mnist` puts the whole set.
pub const FULL_FOLDER: &str = "/usr/share/datasets/fashion-mnist";

/// Which images [`open`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The whole set, 60,000 and 10,000 images, in this folder.
    Full(PathBuf),
    /// The subset in this crate, 10,000 and 2,000 images.
    BuiltIn,
}

/// The training and the test images: the whole set if [`FULL_FOLDER`] exists, else [`builtin`].
///
/// # Errors
/// If the folder exists and does not hold the four files, whole.
pub fn open() -> Result<(Dataset, Dataset, Origin), Error> {
    open_or_builtin(Path::new(FULL_FOLDER))
}

fn open_or_builtin(folder: &Path) -> Result<(Dataset, Dataset, Origin), Error> {
    if folder.is_dir() {
        let part = |split| Dataset::open(folder, &Options::split(split));
        return Ok((part(Split::Train)?, part(Split::Test)?, Origin::Full(folder.to_path_buf())));
    }
    let (train, test) = builtin();
    Ok((train, test, Origin::BuiltIn))
}

/// The first 1,000 training and the first 200 test images of each class, in their order: `(train, test)`. The paths are
/// numbered within the subset. Unzips 5 MB, in some 50 ms.
pub fn builtin() -> (Dataset, Dataset) {
    macro_rules! part {
        ($prefix:literal) => {{
            let images =
                include_bytes!(concat!("../assets/fashion-mnist/", $prefix, "-images-idx3-ubyte.gz"));
            let labels =
                include_bytes!(concat!("../assets/fashion-mnist/", $prefix, "-labels-idx1-ubyte.gz"));
            let name = "built-in Fashion-MNIST subset";
            let classes = Some(CLASSES.map(Into::into).to_vec());
            idx::parse(name.into(), $prefix, (name, images), (name, labels), classes).expect("tested")
        }};
    }
    (part!("train"), part!("t10k"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn the_subset_is_balanced_and_not_blank() {
        let (train, test) = builtin();
        for (set, each) in [(&train, 1000), (&test, 200)] {
            for class in 0..10 {
                assert_eq!(set.samples.iter().filter(|s| s.class == class).count(), each);
            }
            let image = set.load(set.len() - 1).unwrap();
            assert_eq!((image.width(), image.height()), (28, 28));
            assert!(image.data().iter().any(|&v| v > 128) && image.data().contains(&0));
        }
        // The first training image of the whole set is an ankle boot, and so is the first test image.
        assert_eq!(train.samples[0].path, "Ankle boot/train-00000");
        assert_eq!(test.classes[test.samples[0].class], "Ankle boot");
    }

    #[test]
    fn without_the_folder_the_subset_is_taken_and_said_so() {
        let folder = Folder::new();
        assert_eq!(open_or_builtin(&folder.0.join("none")).unwrap().2, Origin::BuiltIn);
        assert!(open_or_builtin(&folder.0).is_err(), "a folder without the files is not passed over");
    }

    #[test]
    #[ignore = "needs Debian's dataset-fashion-mnist"]
    fn the_subset_is_the_head_of_the_whole_set() {
        let (train, test, origin) = open().unwrap();
        assert_eq!((train.len(), test.len(), origin), (60_000, 10_000, Origin::Full(FULL_FOLDER.into())));
        let subset = builtin();
        for (whole, part) in [(train, subset.0), (test, subset.1)] {
            let head = whole.limit_balanced(part.len()).unwrap();
            for i in 0..part.len() {
                assert_eq!(head.samples[i].class, part.samples[i].class);
                assert_eq!(head.load(i).unwrap(), part.load(i).unwrap());
            }
        }
    }
}
