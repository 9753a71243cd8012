//! WebDataset (<https://github.com/webdataset/webdataset>): archives in which files of one name belong together, `0001.jpg` and
//! `0001.cls` or `0001.json`.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use crate::archive::{Index, LISTS};
use crate::classes::{self, Number, Ordered, normal, number};
use crate::store::Place;
use crate::{Dataset, Error, Sample};

/// Extensions of files that may hold a label.
pub(crate) const LABELS: [&str; 3] = ["cls", "json", "txt"];

/// Keys of a JSON that may hold it.
const KEYS: [&str; 3] = ["label", "class", "cls"];

/// The most classes that numbers may name.
const MOST: usize = 1 << 20;

/// The longest label in a file of its own, in bytes.
const LONGEST: usize = 200;

/// Where the labels are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Cls,
    Json,
    Txt,
}

impl Kind {
    fn extension(self) -> &'static str {
        match self {
            Self::Cls => "cls",
            Self::Json => "json",
            Self::Txt => "txt",
        }
    }
}

/// A path's key, its folders and its name up to the first dot, and what stands after that.
fn split(path: &str) -> (&str, &str) {
    let file = path.rfind('/').map_or(0, |slash| slash + 1);
    match path[file..].find('.') {
        Some(dot) => (&path[..file + dot], &path[file + dot + 1..]),
        None => (path, ""),
    }
}

/// A sample: its archive and its key.
fn key<'a>(path: &'a str, place: &Place) -> (u32, &'a str) {
    let file = match place {
        Place::Span { file, .. } | Place::Packed { file, .. } => *file,
        _ => 0,
    };
    (file, split(path).0)
}

/// Whether the archives are laid out so: labels lie beside images. JSON and text may be something else in archives of class
/// folders; a `.cls` beside an image may not.
pub(crate) fn recognise(index: &Index) -> Result<Option<Kind>, Error> {
    if index.labels.is_empty() {
        return Ok(None);
    }
    let images: BTreeSet<(u32, &str)> = index.images.iter().map(|(path, place)| key(path, place)).collect();
    let first = |kind: Kind| {
        let mut labels = index.labels.iter();
        labels.find(|(path, place)| split(path).1 == kind.extension() && images.contains(&key(path, place)))
    };
    if first(Kind::Cls).is_some() {
        return Ok(Some(Kind::Cls));
    }
    let mut folders =
        index.images.iter().map(|(path, _)| path.rsplit_once('/').map_or("", |(folder, _)| folder));
    let one_folder = folders.next().is_none_or(|first| folders.all(|folder| folder == first));
    if let Some((path, place)) = first(Kind::Json) {
        if label(index, Kind::Json, path, place)?.is_some() {
            return Ok(Some(Kind::Json));
        }
        if one_folder {
            let expected = format!(
                "a label beside every image: a .cls file, or a .json with the key {}",
                KEYS.join(" or ")
            );
            return Err(Error::layout(index.store.locate(path, place), expected, "none of these keys"));
        }
    }
    Ok((one_folder && first(Kind::Txt).is_some()).then_some(Kind::Txt))
}

/// What a label file says; `None`: a JSON without a label.
fn label(index: &Index, kind: Kind, path: &str, place: &Place) -> Result<Option<String>, Error> {
    let bytes = index.store.bytes(path, place)?;
    let fail =
        |expected: &str, found: String| Error::layout(index.store.locate(path, place), expected, found);
    if kind == Kind::Json {
        let value: Value = serde_json::from_slice(&bytes).map_err(|e| fail("JSON", e.to_string()))?;
        return match KEYS.iter().find_map(|key| value.get(key)) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(name)) => Ok(Some(normal(name))),
            Some(Value::Number(value)) => Ok(Some(value.to_string())),
            Some(other) => Err(fail("a label that is a number or a name", other.to_string())),
        };
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| fail("a label in UTF-8", "other bytes".into()))?;
    let text = normal(text.trim_start_matches('\u{feff}'));
    if text.is_empty() || text.len() > LONGEST || text.contains(['\n', '\r']) {
        let found = if text.is_empty() { "nothing".into() } else { format!("{text:?}") };
        return Err(fail("a label, a number or a name in one line", found));
    }
    Ok(Some(text))
}

/// The data set of archives that have been recognised.
pub(crate) fn open(name: &str, index: Index, kind: Kind) -> Result<Dataset, Error> {
    let mut left_out = index.left_out.clone();
    let mut labels: HashMap<(u32, &str), &(String, Place)> = HashMap::with_capacity(index.labels.len());
    for entry in &index.labels {
        if split(&entry.0).1 == kind.extension() {
            labels.insert(key(&entry.0, &entry.1), entry);
        } else {
            left_out.file(&entry.0);
        }
    }
    // In the order of the archives and of the files in them.
    let mut images: Vec<&(String, Place)> = index.images.iter().collect();
    images.sort_by(|a, b| key(&a.0, &a.1).cmp(&key(&b.0, &b.1)));
    let several = index.archives().len() > 1;
    let (mut texts, mut samples): (Vec<String>, Vec<Sample>) = (Vec::new(), Vec::new());
    for group in images.chunk_by(|a, b| key(&a.0, &a.1) == key(&b.0, &b.1)) {
        // `0001.seg.png` is another file of the sample, not its image.
        let mut of_sample = group.iter().filter(|(path, _)| !split(path).1.contains('.'));
        let fail = |expected: &str, found: String| {
            let (path, place) = group[0];
            Error::layout(index.store.locate(path, place), expected, found)
        };
        let (Some((path, place)), None) = (of_sample.next(), of_sample.next()) else {
            let files: Vec<&str> = group.iter().map(|(path, _)| path.as_str()).collect();
            return Err(fail("one image of each name", files.join(", ")));
        };
        let this = key(path, place);
        group.iter().filter(|(other, _)| other != path).for_each(|(other, _)| left_out.file(other));
        let Some((label_path, label_place)) = labels.remove(&this) else {
            return Err(fail(&format!("a label (.{}) beside every image", kind.extension()), "none".into()));
        };
        let Some(text) = label(&index, kind, label_path, label_place)? else {
            let expected = format!("the key {}", KEYS.join(" or "));
            return Err(Error::layout(index.store.locate(label_path, label_place), expected, "none of them"));
        };
        if number(&text) == Some(Number::Other) {
            let expected = "labels that are names or whole numbers from 0";
            return Err(Error::layout(index.store.locate(label_path, label_place), expected, text));
        }
        texts.push(text);
        let path = if several { format!("{}/{path}", index.stem(place)) } else { path.clone() };
        samples.push(Sample { path, class: 0, place: place.clone() });
    }
    labels.into_values().for_each(|(path, _)| left_out.file(path));
    let whole = |text: &String| matches!(number(text), Some(Number::Whole(_)));
    let numbers = texts.iter().filter(|text| whole(text)).count();
    if numbers > 0 && numbers < texts.len() {
        let name_at = texts.iter().position(|text| !whole(text)).unwrap_or(0);
        let found = format!("{numbers} numbers, and {:?} for {}", texts[name_at], samples[name_at].path);
        return Err(Error::layout(name, "labels that are all numbers or all names", found));
    }
    let ordered = if numbers > 0 {
        indexed(name, &index, &texts, &mut samples)?
    } else {
        named(name, &index, &texts, &mut samples)?
    };
    let layout = "WebDataset";
    Ok(Dataset {
        classes: ordered.names,
        samples,
        left_out,
        notes: Vec::new(),
        name: name.into(),
        layout,
        store: index.store,
        exif: dyntta_image::Exif::Ignore,
        skipped: None,
    })
}

/// Labels are the numbers of the classes: they are not sorted, and one that has no image is a class all the same.
fn indexed(name: &str, index: &Index, texts: &[String], samples: &mut [Sample]) -> Result<Ordered, Error> {
    for (text, sample) in texts.iter().zip(samples.iter_mut()) {
        match number(text) {
            Some(Number::Whole(value)) if value < MOST as u64 => sample.class = value as usize,
            _ => {
                return Err(Error::layout(
                    name,
                    format!("labels below {MOST}"),
                    format!("{text} for {}", sample.path),
                ));
            }
        }
    }
    let count = samples.iter().map(|sample| sample.class + 1).max().unwrap_or(0);
    let names = match index.class_list("", &LISTS)? {
        Some(list) if list.names.len() >= count => list.names,
        Some(list) => {
            let expected =
                format!("labels below {}, the number of classes in {}", list.names.len(), list.path);
            return Err(Error::layout(name, expected, (count - 1).to_string()));
        }
        None => (0..count).map(|i| i.to_string()).collect(),
    };
    Ok(Ordered { names: classes::at_least_two(name, names)?, by_value: false })
}

fn named(name: &str, index: &Index, texts: &[String], samples: &mut [Sample]) -> Result<Ordered, Error> {
    let list = index.class_list("", &LISTS)?;
    let ordered = classes::resolve(name, list, texts.iter().cloned().collect())?;
    let by_name = classes::index(&ordered.names);
    for (text, sample) in texts.iter().zip(samples) {
        sample.class = by_name.get(text).copied().unwrap_or_default();
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use crate::testing::{Folder, png, tar};
    use crate::{Dataset, Options};

    fn open(folder: &Folder, path: &str) -> Result<Dataset, String> {
        let root = folder.0.to_str().unwrap();
        Dataset::open(folder.0.join(path), &Options::default()).map_err(|e| e.to_string().replace(root, "T"))
    }

    fn shard(files: &[(&str, &str)], level: u8) -> Vec<u8> {
        let image = png(level);
        let files: Vec<(&str, &[u8])> = files
            .iter()
            .map(|(name, text)| {
                (*name, if dyntta_image::is_image_name(name) { &image[..] } else { text.as_bytes() })
            })
            .collect();
        tar(&files)
    }

    fn listed(set: &Dataset) -> Vec<(&str, &str)> {
        set.samples.iter().map(|s| (s.path.as_str(), set.classes[s.class].as_str())).collect()
    }

    #[test]
    fn labels_lie_beside_images() {
        let folder = Folder::new();
        // The same names in each shard, as many writers number them; a mask; a caption.
        folder.file(
            "w/a-0.tar",
            shard(
                &[("00.jpg", ""), ("00.cls", "2\n"), ("01.seg.png", ""), ("01.png", ""), ("01.cls", "0")],
                1,
            ),
        );
        folder
            .file("w/a-1.tar", shard(&[("x/00.txt", "a caption"), ("x/00.cls", "10"), ("x/00.png", "")], 2));
        let set = open(&folder, "w").unwrap();
        assert_eq!(set.classes.len(), 11);
        assert_eq!(listed(&set), [("a-0/00.jpg", "2"), ("a-0/01.png", "0"), ("a-1/x/00.png", "10")]);
        assert_eq!(set.load(2).unwrap().data(), vec![2; 18]);
        let text = set.describe();
        assert!(text.ends_with("(WebDataset): 3 images, 11 classes; left out: 1 .png, 1 .txt"), "{text}");
        folder.file("w/classnames.txt", "a\nb\nc");
        assert!(
            open(&folder, "w")
                .unwrap_err()
                .contains("labels below 3, the number of classes in T/w/classnames.txt, found 10")
        );
        let names: Vec<String> = (0..12).map(|i| format!("class {i}")).collect();
        folder.file("w/classes.txt", names.join("\n"));
        let set = open(&folder, "w").unwrap();
        assert_eq!((set.classes.len(), listed(&set)[2].1), (12, "class 10"));
        assert_eq!(open(&folder, "w/a-{0..1}.tar").unwrap().classes, set.classes);
    }

    #[test]
    fn json_and_text_have_labels_too() {
        let folder = Folder::new();
        for (name, files) in [
            (
                "json.tar",
                [
                    ("1.jpg", ""),
                    ("1.json", r#"{"label": "owl", "w": 3}"#),
                    ("2.jpg", ""),
                    ("2.json", r#"{"class": "auk"}"#),
                ],
            ),
            ("txt.tar", [("1.jpg", ""), ("1.txt", "owl\n"), ("2.jpg", ""), ("2.txt", "auk")]),
            ("cls.tar", [("1.jpg", ""), ("1.cls", "\u{feff}owl"), ("2.jpg", ""), ("2.cls", " auk ")]),
        ] {
            folder.file(name, shard(&files, 1));
            assert_eq!(listed(&open(&folder, name).unwrap()), [("1.jpg", "owl"), ("2.jpg", "auk")], "{name}");
        }
        let numbers =
            [("1.jpg", ""), ("1.json", r#"{"cls": 1}"#), ("2.jpg", ""), ("2.json", r#"{"cls": 0}"#)];
        folder.file("numbers.tar", shard(&numbers, 1));
        assert_eq!(open(&folder, "numbers.tar").unwrap().samples[0].class, 1);
    }

    #[test]
    fn json_beside_images_in_class_folders_is_no_label() {
        let folder = Folder::new();
        let files = [("a/1.jpg", ""), ("a/1.json", "{}"), ("b/1.jpg", ""), ("b/1.txt", "a caption")];
        folder.file("x.tar", shard(&files, 1));
        assert_eq!(listed(&open(&folder, "x.tar").unwrap()), [("a/1.jpg", "a"), ("b/1.jpg", "b")]);
    }

    #[test]
    fn what_is_wrong_with_labels_is_said() {
        let folder = Folder::new();
        let fail = |files: &[(&str, &str)]| {
            folder.file("x.tar", shard(files, 1));
            open(&folder, "x.tar").unwrap_err()
        };
        let good = [("1.jpg", ""), ("1.cls", "1"), ("2.jpg", "")];
        assert_eq!(fail(&good), "T/x.tar:2.jpg: expected a label (.cls) beside every image, found none");
        let with = |label| fail(&[good[0], good[1], good[2], ("2.cls", label)]);
        assert!(
            with("dog").ends_with(
                "labels that are all numbers or all names, found 1 numbers, and \"dog\" for 2.jpg"
            )
        );
        assert!(
            with("-1")
                .ends_with("x.tar:2.cls: expected labels that are names or whole numbers from 0, found -1")
        );
        assert!(with("0.5").ends_with("found 0.5"));
        assert!(with("").ends_with("a number or a name in one line, found nothing"));
        assert!(with("99999999").ends_with("labels below 1048576, found 99999999 for 2.jpg"));
        assert!(
            fail(&[good[0], good[1], ("1.png", "")])
                .ends_with("expected one image of each name, found 1.jpg, 1.png")
        );
        let captions = [("1.jpg", ""), ("1.json", r#"{"caption": "x"}"#)];
        assert!(fail(&captions).contains("expected a label beside every image"), "{}", fail(&captions));
    }
}
