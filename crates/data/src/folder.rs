//! A folder a class (torchvision's ImageFolder).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use dyntta_image::is_image_name;

use crate::classes::ClassList;
use crate::store::{Bytes, Encoding, Place, Store};
use crate::{Dataset, Error};

pub(crate) fn open(root: &Path) -> Result<Dataset, Error> {
    open_with(root, ClassList::find(&[root, root.parent().unwrap_or(root)])?)
}

/// [`open`] with the class list that is to count.
pub(crate) fn open_with(root: &Path, list: Option<ClassList>) -> Result<Dataset, Error> {
    let mut found = Found::default();
    for (name, path, is_folder) in entries(root)? {
        if is_folder {
            walk(&path, &name, &mut found)?;
            found.folders.insert(name);
        } else if name != crate::classes::FILE {
            found.ignored += 1;
            found.loose_images += usize::from(is_image_name(&name));
        }
    }
    let name = root.display().to_string();
    if found.paths.is_empty() && found.loose_images > 0 {
        let text = format!("{} images and no folder with images", found.loose_images);
        return Err(Error::layout(name, "a folder for each of two or more classes", text));
    }
    if let Some(error) = parts_of_a_set(&name, &found.folders) {
        return Err(error);
    }
    let entries = found.paths.into_iter().map(|path| (path, Place::File)).collect();
    let store = Arc::new(Store { bytes: Bytes::Folder(root.to_path_buf()), encoding: Encoding::ImageFile });
    Dataset::from_class_paths(name, "folder of classes", entries, found.folders, list, found.ignored, store)
}

/// What is wrong if the folders at `name` are no classes but the parts of a data set.
pub(crate) fn parts_of_a_set(name: &str, folders: &BTreeSet<String>) -> Option<Error> {
    const PARTS: [&str; 5] = ["train", "val", "valid", "validation", "test"];
    if folders.len() < 2 || !folders.iter().all(|folder| PARTS.contains(&folder.as_str())) {
        return None;
    }
    let parts: Vec<&str> = folders.iter().map(String::as_str).collect();
    let found = format!("the parts {} of a data set: name one of them", parts.join(", "));
    Some(Error::layout(name, "a folder for each of two or more classes", found))
}

#[derive(Default)]
struct Found {
    paths: Vec<String>,
    folders: BTreeSet<String>,
    ignored: usize,
    loose_images: usize,
}

fn walk(folder: &Path, prefix: &str, found: &mut Found) -> Result<(), Error> {
    for (name, path, is_folder) in entries(folder)? {
        let inside = format!("{prefix}/{name}");
        if is_folder {
            walk(&path, &inside, found)?;
        } else if is_image_name(&name) {
            found.paths.push(inside);
        } else {
            found.ignored += 1;
        }
    }
    Ok(())
}

/// The entries that are not hidden, sorted by name: name, path, whether it is a folder. Links are followed.
pub(crate) fn entries(folder: &Path) -> Result<Vec<(String, std::path::PathBuf, bool)>, Error> {
    let fail = |source| Error::io(folder, "list", source);
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let path = entry.path();
        let name = match entry.file_name().into_string() {
            Ok(name) => name,
            Err(_) => return Err(Error::layout(path.display(), "a name in UTF-8", "other bytes")),
        };
        if name.starts_with('.') {
            continue;
        }
        let mut kind = entry.file_type().map_err(fail)?;
        if kind.is_symlink() {
            kind = fs::metadata(&path).map_err(|e| Error::io(&path, "follow", e))?.file_type();
        }
        out.push((name, path, kind.is_dir()));
    }
    out.sort();
    Ok(out)
}

#[cfg(test)]
mod tests {
    use crate::testing::Folder;
    use crate::{Dataset, Error, Options};

    fn open(folder: &Folder) -> Result<Dataset, Error> {
        Dataset::open(folder.0.join("set"), &Options::default())
    }

    fn message(folder: &Folder) -> String {
        open(folder).unwrap_err().to_string().replace(folder.0.to_str().unwrap(), "T")
    }

    #[test]
    fn classes_are_sorted_and_files_found_at_any_depth() {
        let folder = Folder::new();
        folder.image("set/dog/2.png", 2);
        folder.image("set/dog/1.PNG", 1);
        folder.image("set/cat/deep/er/3.png", 3);
        folder.image("set/cat/.hidden.png", 4);
        folder.image("set/.thumbs/x.png", 5);
        folder.file("set/dog/notes.txt", "not an image");
        folder.file("set/readme.md", "nor this");
        let set = open(&folder).unwrap();
        assert_eq!(set.classes, ["cat", "dog"]);
        let listed: Vec<(&str, usize)> = set.samples.iter().map(|s| (s.path.as_str(), s.class)).collect();
        assert_eq!(listed, [("cat/deep/er/3.png", 0), ("dog/1.PNG", 1), ("dog/2.png", 1)]);
        assert_eq!(set.ignored, 2);
        assert_eq!(set.load(0).unwrap().data, vec![3; 18]);
        assert_eq!(set.load(2).unwrap().data, vec![2; 18]);
        let text = set.describe();
        assert!(
            text.ends_with("set (folder of classes): 3 images, 2 classes, 2 other files ignored"),
            "{text}"
        );
    }

    #[test]
    fn classes_txt_orders_and_may_add_inside_or_beside() {
        for place in ["set/classes.txt", "classes.txt"] {
            let folder = Folder::new();
            folder.image("set/cat/1.png", 1);
            folder.image("set/dog/1.png", 2);
            folder.file(place, "dog\r\nwolf\n\n cat \n");
            let set = open(&folder).unwrap();
            assert_eq!(set.classes, ["dog", "wolf", "cat"]);
            assert_eq!(set.samples.iter().map(|s| s.class).collect::<Vec<_>>(), [0, 2]);
            assert_eq!(set.ignored, 0);
        }
    }

    #[test]
    fn classes_txt_must_name_every_folder_once() {
        let folder = Folder::new();
        folder.image("set/cat/1.png", 1);
        folder.image("set/dog/1.png", 2);
        folder.file("set/classes.txt", "cat\n");
        let text = message(&folder);
        assert_eq!(
            text,
            "T/set: expected the 1 classes of T/set/classes.txt cat, found the 2 classes cat, dog (not expected: dog; not \
             found: none)"
        );
        folder.file("set/classes.txt", "cat\ndog\ncat\n");
        assert_eq!(
            message(&folder),
            "T/set/classes.txt: expected every class once, found \"cat\" as the classes 0 and 2"
        );
        folder.file("set/classes.txt", [b'c', 0xff]);
        assert_eq!(message(&folder), "T/set/classes.txt: expected UTF-8 text, found byte 1 that is not");
    }

    #[test]
    fn an_empty_class_folder_is_a_class() {
        let folder = Folder::new();
        folder.image("set/b/1.png", 1);
        std::fs::create_dir(folder.0.join("set/a")).unwrap();
        let set = open(&folder).unwrap();
        assert_eq!((set.classes.len(), set.samples[0].class), (2, 1));
    }

    #[test]
    fn what_is_no_set_of_classes_is_said() {
        let folder = Folder::new();
        std::fs::create_dir(folder.0.join("set")).unwrap();
        assert_eq!(
            message(&folder),
            "T/set: expected images in class folders (jpg, jpeg, png, bmp, webp), found nothing"
        );
        folder.file("set/a/1.txt", "");
        assert!(message(&folder).ends_with("found 1 folders, 1 other files and no image in a folder"));
        folder.image("set/a/1.png", 0);
        assert_eq!(
            message(&folder),
            "T/set: expected a folder for each of two or more classes, found only one, \"a\""
        );

        let folder = Folder::new();
        folder.image("set/1.png", 0);
        folder.image("set/2.png", 0);
        assert!(message(&folder).ends_with("found 2 images and no folder with images"));

        let folder = Folder::new();
        folder.image("set/train/a/1.png", 0);
        folder.image("set/val/a/1.png", 0);
        assert!(message(&folder).ends_with("found the parts train, val of a data set: name one of them"));
    }

    #[test]
    fn a_damaged_image_is_named_when_loaded() {
        let folder = Folder::new();
        folder.image("set/a/1.png", 0);
        folder.file("set/b/2.jpg", "no picture");
        let set = open(&folder).unwrap();
        assert!(set.load(0).is_ok());
        let text = set.load(1).unwrap_err().to_string();
        assert!(text.contains("set/b/2.jpg: expected a JPEG, PNG, BMP or WebP image, found"), "{text}");
    }
}
