//! Tiny-ImageNet as distributed: `train/<wnid>/images/*.JPEG`, and `val/images/*.JPEG` with `val/val_annotations.txt`.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dyntta_files::Limits;

use crate::classes::{self, ClassList, beside};
use crate::store::{Bytes, Encoding, Store};
use crate::{Dataset, Error, Sample, Split, folder};

const LABELS: &str = "val_annotations.txt";
/// The classes, in the whole set's folder.
const CLASSES: &str = "wnids.txt";

pub(crate) fn recognise(folder: &Path) -> bool {
    is_validation(folder) || folder.join(CLASSES).is_file() && is_validation(&folder.join("val"))
}

fn is_validation(folder: &Path) -> bool {
    folder.join(LABELS).is_file() && folder.join("images").is_dir()
}

/// The whole set, of which the test images have no labels: those for validation stand for them; or the folder of these.
pub(crate) fn open(path: &Path, split: Split) -> Result<Dataset, Error> {
    if is_validation(path) {
        return validation(path, ClassList::find(&[path, &beside(path)])?, &beside(path).join(CLASSES));
    }
    let list = ClassList::find(&[path, &beside(path)])?;
    match split {
        Split::Train => folder::open_with(&path.join("train"), list),
        Split::Test => validation(&path.join("val"), list, &path.join(CLASSES)),
    }
}

/// `wnids` may name classes that have no image.
fn validation(path: &Path, list: Option<ClassList>, wnids: &Path) -> Result<Dataset, Error> {
    let labels_path = path.join(LABELS);
    let text = dyntta_files::read_text(&labels_path, Limits::DEFAULT.text_bytes)?;
    let mut labels: HashMap<&str, (String, usize)> = HashMap::new();
    for (number, line) in (1..).zip(text.split(['\n', '\r'])).filter(|(_, line)| !line.trim().is_empty()) {
        let at = || format!("{}, line {number}", labels_path.display());
        // The file, its class, and the corners of a box.
        let mut fields = line.split('\t');
        let (Some(file), Some(class)) = (fields.next(), fields.next()) else {
            return Err(Error::layout(at(), "a file and its class, separated by tabs", format!("{line:?}")));
        };
        let class = classes::normal(class);
        if let Some((other, _)) =
            labels.insert(file.trim(), (class.clone(), number)).filter(|(other, _)| *other != class)
        {
            return Err(Error::layout(
                at(),
                "one class for a file",
                format!("{class} and {other} for {file}"),
            ));
        }
    }
    let mut listing = folder::list_files(path)?;
    let images = PathBuf::from("images");
    let name = path.display().to_string();
    let mut found = Vec::new();
    for (image, place) in std::mem::take(&mut listing.images) {
        let file = Path::new(&image).strip_prefix(&images).ok().and_then(|file| file.to_str());
        match file.and_then(|file| labels.remove(file)) {
            Some((class, _)) => found.push((image, class, place)),
            None if file.is_some() => {
                let expected = format!("a class for every image in {LABELS}");
                return Err(Error::layout(&name, expected, format!("none for {image}")));
            }
            None => listing.left_out.outside += 1,
        }
    }
    if let Some((file, (_, line))) = labels.iter().min_by_key(|(_, (_, line))| *line) {
        let at = format!("{}, line {line}", labels_path.display());
        return Err(Error::layout(at, "the name of a file in images", format!("{file:?}")));
    }
    listing.unread.iter().for_each(|path| listing.left_out.unread(path));
    listing.left_out.by_extension.remove(".txt"); // the labels
    let mut there: BTreeSet<String> = found.iter().map(|(_, class, _)| class.clone()).collect();
    if list.is_none() && wnids.is_file() {
        let text = dyntta_files::read_text(wnids, Limits::DEFAULT.text_bytes)?;
        there.extend(text.split(['\n', '\r']).map(classes::normal).filter(|class| !class.is_empty()));
    }
    let ordered = classes::resolve(&name, list, there)?;
    let index = classes::index(&ordered.names);
    let samples = found
        .into_iter()
        .filter_map(|(path, class, place)| Some(Sample { path, class: *index.get(&class)?, place }));
    let samples: Vec<Sample> = samples.collect();
    if samples.is_empty() {
        return Err(Error::layout(name, "images", "none"));
    }
    let store = Arc::new(Store { bytes: Bytes::Folder(path.to_owned()), encoding: Encoding::ImageFile });
    let (layout, left_out) = ("Tiny-ImageNet, validation", listing.left_out);
    Ok(Dataset {
        classes: ordered.names,
        samples,
        left_out,
        notes: Vec::new(),
        name,
        layout,
        store,
        exif: dyntta_image::Exif::Ignore,
        skipped: None,
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::Folder;
    use crate::{Dataset, Options, Split};

    #[test]
    fn both_parts_are_read_and_have_the_same_classes() {
        let folder = Folder::new();
        for (i, wnid) in ["n02", "n01", "n03"].into_iter().enumerate() {
            folder.image(&format!("tiny/train/{wnid}/images/{wnid}_0.JPEG"), i as u8);
            folder.file(&format!("tiny/train/{wnid}/{wnid}_boxes.txt"), "");
        }
        folder.file("tiny/wnids.txt", "n02\nn01\nn03\n");
        folder.file("tiny/words.txt", "n01\tthing\n");
        folder.image("tiny/val/images/val_0.JPEG", 7);
        folder.image("tiny/val/images/val_1.JPEG", 8);
        folder.file(
            "tiny/val/val_annotations.txt",
            "val_0.JPEG\tn03\t0\t32\t44\t62\r\nval_1.JPEG\tn01\t0\t0\t1\t1\r\n",
        );
        folder.image("tiny/test/images/test_0.JPEG", 9);
        let open = |path: &str, split| {
            Dataset::open(folder.0.join(path), &Options::split(split)).map_err(|e| e.to_string())
        };
        let train = open("tiny", Split::Train).unwrap();
        let val = open("tiny", Split::Test).unwrap();
        assert_eq!((&train.classes, train.len()), (&val.classes, 3));
        assert_eq!(val.classes, ["n01", "n02", "n03"]);
        let listed: Vec<(&str, usize)> = val.samples.iter().map(|s| (s.path.as_str(), s.class)).collect();
        assert_eq!(listed, [("images/val_0.JPEG", 2), ("images/val_1.JPEG", 0)]);
        assert_eq!(val.load(1).unwrap().data(), vec![8; 18]);
        let alone = open("tiny/val", Split::Train).unwrap();
        assert_eq!((alone.classes, alone.samples), (val.classes, val.samples));
        folder.file("tiny/val/val_annotations.txt", "val_0.JPEG\tn03\nval_9.JPEG\tn01\n");
        assert!(open("tiny", Split::Test).unwrap_err().contains("none for images/val_1.JPEG"));
        folder.file("tiny/val/val_annotations.txt", "val_0.JPEG\tn03\nval_1.JPEG\tn01\nval_9.JPEG\tn01");
        assert!(
            open("tiny", Split::Test)
                .unwrap_err()
                .contains("val_annotations.txt, line 3: expected the name of a file")
        );
    }
}
