//! Class names: the folder names or labels in their order, or what `classes.txt` says.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use dyntta_files::Limits;
use unicode_normalization::UnicodeNormalization;

use crate::Error;

/// The name of the file that overrides the sorted order.
pub(crate) const FILE: &str = "classes.txt";

/// The content of a `classes.txt` and where it was found.
pub(crate) struct ClassList {
    pub path: String,
    pub names: Vec<String>,
}

impl ClassList {
    /// One class a line; empty lines are skipped, spaces around a name and a byte order mark before the first are not part of
    /// it.
    pub fn parse(path: String, text: Vec<u8>) -> Result<Self, Error> {
        let text = dyntta_files::text(text, Path::new(&path))?;
        let names: Vec<String> =
            text.split(['\n', '\r']).map(normal).filter(|name| !name.is_empty()).collect();
        once(&path, &names)?;
        Ok(Self { path, names })
    }

    /// The list in the first of `folders` that has one.
    pub fn find(folders: &[&Path]) -> Result<Option<Self>, Error> {
        Self::find_named(folders, &[FILE])
    }

    /// [`ClassList::find`] of a file that has one of the names.
    pub fn find_named(folders: &[&Path], files: &[&str]) -> Result<Option<Self>, Error> {
        for path in folders.iter().flat_map(|folder| files.iter().map(|file| folder.join(file))) {
            if path.is_file() {
                let text = dyntta_files::read(&path, Limits::DEFAULT.text_bytes)?;
                return Self::parse(path.display().to_string(), text).map(Some);
            }
        }
        Ok(None)
    }
}

/// A class name as it is compared: composed (macOS takes the names of folders apart), without spaces around it.
pub(crate) fn normal(name: &str) -> String {
    name.trim().nfc().collect()
}

/// Checks that no class is there twice.
pub(crate) fn once(path: &str, names: &[String]) -> Result<(), Error> {
    let mut seen = HashMap::new();
    for (i, name) in names.iter().enumerate() {
        if let Some(first) = seen.insert(name.as_str(), i) {
            let found = format!("{name:?} as the classes {first} and {i}");
            return Err(Error::layout(path, "every class once", found));
        }
    }
    Ok(())
}

/// The folder that `path` is in, whatever way it is written: that of `.` is the folder above the working one. A link counts as
/// where it lies, not as what it leads to.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    // What `..` leads to, only the system knows: it may stand after a link.
    let steps: Vec<_> = whole.components().collect();
    let up = steps.iter().rposition(|step| *step == std::path::Component::ParentDir);
    let whole = match up {
        None => whole.clone(),
        Some(last) => {
            let above: PathBuf = steps[..=last].iter().collect();
            let mut real = std::fs::canonicalize(&above).unwrap_or(above);
            real.extend(&steps[last + 1..]);
            real
        }
    };
    whole.parent().unwrap_or(&whole).to_owned()
}

/// A label or class name as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    /// `7`, `007`, `7.0`.
    Whole(u64),
    /// Negative, fractional, infinite or none.
    Other,
}

/// The number that a text is, if it is one.
pub(crate) fn number(text: &str) -> Option<Number> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !whole.is_empty() && whole.bytes().all(|b| b.is_ascii_digit()) && fraction.bytes().all(|b| b == b'0') {
        // Beyond 64 bits it is a name, such as a hash.
        return whole.parse().ok().map(Number::Whole);
    }
    // Words such as "infinity" are names; what pandas writes for a missing value is taken for none only among numbers.
    let is_number = text.parse::<f64>().is_ok_and(|v| v.is_finite() || text == "nan" || text == "NaN");
    is_number.then_some(Number::Other)
}

/// Class names in their order, and whether that is the order of numbers and not of text.
#[derive(Debug)]
pub(crate) struct Ordered {
    pub names: Vec<String>,
    pub by_value: bool,
}

/// What a description says of such an order.
pub(crate) const BY_VALUE: &str = "its classes are numbers, in the order of their values; for a classifier that has them in the order of \
     text (0, 1, 10, 2), as torchvision's ImageFolder, give a classes.txt";

/// The names in order: by value if all are numbers, else as text in byte order.
///
/// # Errors
/// If all are numbers, and some are negative or fractional or two have one value.
pub(crate) fn ordered(path: &str, names: BTreeSet<String>) -> Result<Ordered, Error> {
    let mut names: Vec<String> = names.into_iter().collect();
    let Some(numbers) = names.iter().map(|name| number(name)).collect::<Option<Vec<Number>>>() else {
        return Ok(Ordered { names, by_value: false });
    };
    let mut valued: Vec<(u64, &String)> = Vec::with_capacity(names.len());
    for (name, number) in names.iter().zip(numbers) {
        match number {
            Number::Whole(value) => valued.push((value, name)),
            Number::Other => {
                return Err(Error::layout(
                    path,
                    "classes that are names or whole numbers from 0",
                    format!("{name:?}"),
                ));
            }
        }
    }
    valued.sort();
    if let Some(pair) = valued.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let found = format!("{:?} and {:?}", pair[0].1, pair[1].1);
        return Err(Error::layout(path, "every class once", found));
    }
    let by_value = valued.windows(2).any(|pair| pair[0].1.cmp(pair[1].1) == Ordering::Greater);
    names = valued.into_iter().map(|(_, name)| name.clone()).collect();
    Ok(Ordered { names, by_value })
}

/// The classes of a data set at `path` that has the class folders or labels `found`, in [`normal`] form: those of the list,
/// which must name every one and may name more, or else those found, [`ordered`]. At least two.
pub(crate) fn resolve(
    path: &str,
    list: Option<ClassList>,
    found: BTreeSet<String>,
) -> Result<Ordered, Error> {
    let ordered = match list {
        Some(list) => {
            let named: BTreeSet<&String> = list.names.iter().collect();
            if !found.iter().all(|name| named.contains(name)) {
                let found = found.into_iter().collect();
                return Err(Error::Classes {
                    path: path.into(),
                    list: Some(list.path),
                    expected: list.names,
                    found,
                });
            }
            Ordered { names: list.names, by_value: false }
        }
        None => ordered(path, found)?,
    };
    let names = at_least_two(path, ordered.names)?;
    Ok(Ordered { names, ..ordered })
}

pub(crate) fn at_least_two(path: &str, names: Vec<String>) -> Result<Vec<String>, Error> {
    match names.as_slice() {
        [] => Err(Error::layout(path, "a folder for each of two or more classes", "no class folder")),
        [one] => {
            Err(Error::layout(path, "a folder for each of two or more classes", format!("only one, {one:?}")))
        }
        _ => Ok(names),
    }
}

/// Name to index.
pub(crate) fn index(names: &[String]) -> HashMap<String, usize> {
    names.iter().map(|name| normal(name)).zip(0..).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.into()).collect()
    }

    #[test]
    fn numbers_are_told_from_names() {
        for (text, expected) in [
            ("0", Some(Number::Whole(0))),
            ("007", Some(Number::Whole(7))),
            ("11.0", Some(Number::Whole(11))),
            ("3.", Some(Number::Whole(3))),
            ("-1", Some(Number::Other)),
            ("0.5", Some(Number::Other)),
            ("1e3", Some(Number::Other)),
            ("nan", Some(Number::Other)),
            ("inf", None),
            ("cat", None),
            ("", None),
            ("99999999999999999999999", None),
        ] {
            let found = number(text);
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn numbers_go_by_value_and_mixed_names_as_text() {
        let names = |names: &[&str]| {
            ordered("D", set(names)).map(|o| (o.names.join(" "), o.by_value)).map_err(|e| e.to_string())
        };
        assert_eq!(names(&["10", "9", "0"]).unwrap(), ("0 9 10".into(), true));
        assert_eq!(names(&["1", "2"]).unwrap(), ("1 2".into(), false));
        assert_eq!(names(&["007", "010"]).unwrap(), ("007 010".into(), false));
        assert_eq!(names(&["10", "9", "cat"]).unwrap(), ("10 9 cat".into(), false));
        for bad in ["-1", "0.5", "nan"] {
            let error = names(&["0", "1", bad]).unwrap_err();
            assert_eq!(
                error,
                format!("D: expected classes that are names or whole numbers from 0, found {bad:?}")
            );
        }
        assert_eq!(
            names(&["7", "007"]).unwrap_err(),
            "D: expected every class once, found \"007\" and \"7\""
        );
    }

    #[test]
    fn a_list_is_read_whatever_its_line_ends_and_marks() {
        for text in ["\u{feff}cat\ndog\n", "cat\r\ndog", "cat\rdog\r", "  cat \n\n\tdog\n"] {
            let list = ClassList::parse("L".into(), text.into()).unwrap();
            assert_eq!(list.names, ["cat", "dog"], "{text:?}");
        }
        // é in one character and in two.
        let error =
            ClassList::parse("L".into(), "caf\u{e9}\ncafe\u{301}\n".into()).err().unwrap().to_string();
        assert!(error.contains("every class once"), "{error}");
        let error = ClassList::parse("L".into(), b"\xff\xfec\0".to_vec()).err().unwrap().to_string();
        assert_eq!(error, "L: expected UTF-8 text, found UTF-16 text (save it as UTF-8)");
    }

    #[test]
    fn beside_does_not_depend_on_how_a_path_is_written() {
        let folder = crate::testing::Folder::new();
        std::fs::create_dir_all(folder.0.join("a/set/deep")).unwrap();
        let (a, real) = (folder.0.join("a"), std::fs::canonicalize(folder.0.join("a")).unwrap());
        for path in ["set", "set/", "./set", "set/.", "set/deep/..", "set/../set"] {
            let found = beside(&a.join(path));
            assert!(found == a || found == real, "{path}: {}", found.display());
        }
        let here = std::env::current_dir().unwrap();
        assert_eq!(beside(Path::new(".")), here.parent().unwrap());
        assert_eq!(beside(Path::new("x.tar")), here);
        assert_eq!(beside(Path::new("..")), here.parent().unwrap().parent().unwrap());
        assert_eq!(beside(Path::new("/")), Path::new("/"));
    }
}
