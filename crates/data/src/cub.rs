//! CUB-200-2011 (Wah et al., 2011): images in class folders, and numbered lists of paths, classes and the split.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use dyntta_files::Limits;

use crate::left_out::LeftOut;
use crate::store::{Bytes, Encoding, Place, Store};
use crate::{Dataset, Error, Sample, Split, classes};

pub(crate) fn recognise(folder: &Path) -> bool {
    ["images.txt", "image_class_labels.txt"].iter().all(|name| folder.join(name).is_file())
}

pub(crate) fn open(folder: &Path, split: Split) -> Result<Dataset, Error> {
    let paths = table(folder, "images.txt")?;
    let labels: HashMap<String, String> = table(folder, "image_class_labels.txt")?.into_iter().collect();
    let in_train: HashMap<String, String> = table(folder, "train_test_split.txt")?.into_iter().collect();
    let named = table(folder, classes::FILE)?;
    let index: HashMap<&str, usize> = named.iter().map(|(id, _)| id.as_str()).zip(0..).collect();
    let wanted = if split == Split::Train { "1" } else { "0" };

    let mut samples = Vec::new();
    for (id, path) in paths {
        match in_train.get(&id).map(String::as_str) {
            Some(part @ ("0" | "1")) if part != wanted => continue,
            Some("0" | "1") => {}
            other => return Err(bad_row(folder, "train_test_split.txt", "0 or 1", &id, other)),
        }
        let label = labels.get(&id).map(String::as_str);
        let Some(&class) = label.and_then(|label| index.get(label)) else {
            return Err(bad_row(folder, "image_class_labels.txt", "a class of classes.txt", &id, label));
        };
        samples.push(Sample { path, class, place: Place::File });
    }
    let name = folder.display().to_string();
    if samples.is_empty() {
        return Err(Error::layout(name, format!("images of the {split:?} split"), "none"));
    }
    let classes: Vec<String> = named.into_iter().map(|(_, name)| classes::normal(&name)).collect();
    classes::once(&name, &classes)?;
    let classes = classes::at_least_two(&name, classes)?;
    let store =
        Arc::new(Store { bytes: Bytes::Folder(folder.join("images")), encoding: Encoding::ImageFile });
    let (left_out, notes) = (LeftOut::default(), Vec::new());
    Ok(Dataset {
        classes,
        samples,
        left_out,
        notes,
        name,
        layout: "CUB-200",
        store,
        exif: dyntta_image::Exif::Ignore,
        skipped: None,
    })
}

fn bad_row(folder: &Path, file: &str, expected: &str, id: &str, found: Option<&str>) -> Error {
    let found = found.map_or("no row".to_string(), |f| format!("{f:?}"));
    Error::layout(folder.join(file).display(), format!("{expected} for image {id}"), found)
}

/// The rows `id value` of a list.
fn table(folder: &Path, file: &str) -> Result<Vec<(String, String)>, Error> {
    let path = folder.join(file);
    let text = dyntta_files::read_text(&path, Limits::DEFAULT.text_bytes)?;
    let mut rows = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let Some((id, value)) = line.trim().split_once(' ') else {
            let place = format!("{}, line {}", path.display(), i + 1);
            return Err(Error::layout(place, "a number, a space and a value", format!("{line:?}")));
        };
        rows.push((id.to_string(), value.trim().to_string()));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use crate::testing::Folder;

    fn cub() -> Folder {
        let folder = Folder::new();
        folder.image("images/001.Auk/Auk_1.png", 1);
        folder.image("images/002.Owl/Owl_1.png", 2);
        folder.image("images/002.Owl/Owl_2.png", 3);
        folder.file("images.txt", "1 001.Auk/Auk_1.png\n2 002.Owl/Owl_1.png\n3 002.Owl/Owl_2.png\n");
        folder.file("image_class_labels.txt", "1 1\n2 2\n3 2\n");
        folder.file("train_test_split.txt", "1 1\n2 0\n3 1\n");
        folder.file("classes.txt", "1 001.Auk\n2 002.Owl\n");
        folder
    }

    #[test]
    fn the_lists_give_classes_and_split() {
        let folder = cub();
        let train = Dataset::open(&folder.0, &Options::default()).unwrap();
        assert_eq!(train.classes, ["001.Auk", "002.Owl"]);
        assert_eq!(train.samples.iter().map(|s| s.class).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(train.load(1).unwrap().data(), vec![3; 18]);
        let test = Dataset::open(&folder.0, &Options::split(Split::Test)).unwrap();
        assert_eq!(test.samples[0].path, "002.Owl/Owl_1.png");
        assert_eq!(test.len(), 1);
    }

    #[test]
    fn a_bad_list_is_named() {
        let fail = |file: &str, text: &str| {
            let folder = cub();
            folder.file(file, text);
            let error = Dataset::open(&folder.0, &Options::default()).unwrap_err().to_string();
            error.replace(folder.0.to_str().unwrap(), "T")
        };
        assert_eq!(
            fail("image_class_labels.txt", "1 1\n2 2\n3 7\n"),
            "T/image_class_labels.txt: expected a class of classes.txt for image 3, found \"7\""
        );
        assert_eq!(
            fail("train_test_split.txt", "1 1\n2 0\n"),
            "T/train_test_split.txt: expected 0 or 1 for image 3, found no row"
        );
        assert_eq!(
            fail("images.txt", "1 a.png\n\nbad\n"),
            "T/images.txt, line 3: expected a number, a space and a value, found \"bad\""
        );
        assert_eq!(
            fail("train_test_split.txt", "1 0\n2 0\n3 0\n"),
            "T: expected images of the Train split, found none"
        );
        assert!(fail("classes.txt", "1 001.Auk\n").contains("expected a class of classes.txt for image 3"));
    }
}
