//! A CSV of paths and labels.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::classes::{self, ClassList};
use crate::store::{Bytes, Encoding, Place, Store};
use crate::{Dataset, Error, Sample};

/// Fields may be quoted with `"` (doubled inside), a row is a line. Labels are class names; with a `classes.txt` beside
/// the CSV, a label that is not a name in it may be an index into it.
pub(crate) fn open(csv: &Path) -> Result<Dataset, Error> {
    let bytes = fs::read(csv).map_err(|e| Error::io(csv, "read", e))?;
    let name = csv.display().to_string();
    let text = String::from_utf8(bytes).map_err(|e| {
        Error::layout(&name, "UTF-8 text", format!("byte {} that is not", e.utf8_error().valid_up_to()))
    })?;
    let folder = csv.parent().unwrap_or(Path::new("."));

    let mut lines = text.trim_start_matches('\u{feff}').lines().zip(1..);
    let header = lines.next().map(|(line, _)| line).unwrap_or_default();
    let columns = fields(header).unwrap_or_default();
    let column = |wanted: &str| columns.iter().position(|c| c.trim() == wanted);
    let (Some(path_column), Some(label_column)) = (column("path"), column("label")) else {
        return Err(Error::layout(&name, "a header with the columns path and label", format!("{header:?}")));
    };

    let mut rows = Vec::new();
    for (line, number) in lines.filter(|(line, _)| !line.trim().is_empty()) {
        let at = || format!("{name}, line {number}");
        let row = fields(line).ok_or_else(|| Error::layout(at(), "closed quotes", format!("{line:?}")))?;
        if row.len() != columns.len() {
            let expected = format!("{} fields, as in the header", columns.len());
            return Err(Error::layout(at(), expected, row.len().to_string()));
        }
        let (path, label) = (row[path_column].trim().to_string(), row[label_column].trim().to_string());
        if path.is_empty() || label.is_empty() {
            return Err(Error::layout(at(), "a path and a label", "an empty field"));
        }
        if !folder.join(&path).is_file() {
            return Err(Error::layout(at(), "the path of a file, relative to the CSV's folder", path));
        }
        rows.push((path, label, number));
    }
    if rows.is_empty() {
        return Err(Error::layout(&name, "a row for every image", "no row"));
    }

    let labels = || sorted(rows.iter().map(|(_, label, _)| label.clone()).collect());
    let list = ClassList::find(&[folder])?;
    let may_be_index = list.is_some();
    let classes = match list {
        Some(list) => {
            let known = |label: &String| list.names.contains(label) || label.parse::<usize>().is_ok();
            if !labels().iter().all(known) {
                let (expected, found) = (list.names, labels());
                return Err(Error::Classes { path: name, list: Some(list.path), expected, found });
            }
            list.names
        }
        None => labels(),
    };
    if let [one] = classes.as_slice() {
        return Err(Error::layout(&name, "two or more labels", format!("only one, {one:?}")));
    }
    let index = classes::index(&classes);
    let mut samples = Vec::with_capacity(rows.len());
    for (path, label, number) in rows {
        let by_index = || label.parse().ok().filter(|&i: &usize| may_be_index && i < classes.len());
        let Some(class) = index.get(&label).copied().or_else(by_index) else {
            let expected = format!("a class of classes.txt or its index below {}", classes.len());
            return Err(Error::layout(format!("{name}, line {number}"), expected, label));
        };
        samples.push(Sample { path, class, place: Place::File });
    }
    let store = Arc::new(Store { bytes: Bytes::Folder(folder.to_path_buf()), encoding: Encoding::ImageFile });
    Ok(Dataset {
        classes,
        samples,
        ignored: 0,
        name,
        layout: "CSV",
        store,
        exif: dyntta_image::Exif::Ignore,
        skipped: None,
    })
}

/// By value if all are whole numbers, else in byte order.
fn sorted(labels: BTreeSet<String>) -> Vec<String> {
    let mut labels: Vec<String> = labels.into_iter().collect();
    if labels.iter().all(|label| label.parse::<u64>().is_ok()) {
        labels.sort_by_key(|label| label.parse::<u64>().unwrap_or_default());
    }
    labels
}

/// The fields of a line, or `None` if a quote stays open.
fn fields(line: &str) -> Option<Vec<String>> {
    let mut out = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        let field = out.last_mut()?;
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if quoted || field.trim().is_empty() => quoted = !quoted,
            ',' if !quoted => out.push(String::new()),
            c => field.push(c),
        }
    }
    (!quoted).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use crate::testing::Folder;

    fn folder(csv: &str) -> Folder {
        let folder = Folder::new();
        for (name, level) in [("img/a.png", 1), ("img/b, c.png", 2), ("img/d.png", 3)] {
            folder.image(name, level);
        }
        folder.file("set.csv", csv);
        folder
    }

    fn open(folder: &Folder) -> Result<Dataset, String> {
        Dataset::open(folder.0.join("set.csv"), &Options::default())
            .map_err(|e| e.to_string().replace(folder.0.to_str().unwrap(), "T"))
    }

    #[test]
    fn columns_are_found_by_name_and_rows_keep_their_order() {
        let folder = folder(
            "\u{feff}id,label,path\r\n7,owl,img/d.png\r\n8,\"auk\",\"img/b, c.png\"\r\n\r\n9,owl,img/a.png",
        );
        let set = open(&folder).unwrap();
        assert_eq!(set.classes, ["auk", "owl"]);
        let listed: Vec<(&str, usize)> = set.samples.iter().map(|s| (s.path.as_str(), s.class)).collect();
        assert_eq!(listed, [("img/d.png", 1), ("img/b, c.png", 0), ("img/a.png", 1)]);
        assert_eq!(set.load(1).unwrap().data, vec![2; 18]);
    }

    #[test]
    fn numbers_are_sorted_by_value_or_index_classes_txt() {
        let folder = folder("path,label\nimg/a.png,10\nimg/d.png,9\n");
        assert_eq!(open(&folder).unwrap().classes, ["9", "10"]);
        folder.file("classes.txt", "owl\nauk\nelk\n");
        assert!(
            open(&folder)
                .unwrap_err()
                .ends_with("expected a class of classes.txt or its index below 3, found 10")
        );
        folder.file("set.csv", "path,label\nimg/a.png,owl\nimg/d.png,emu\n");
        assert!(open(&folder).unwrap_err().contains(
            "classes.txt owl, auk, elk, found the 2 classes emu, owl (not expected: emu; not found: auk, elk)"
        ));
        folder.file("set.csv", "path,label\nimg/a.png,2\nimg/d.png,auk\n");
        let set = open(&folder).unwrap();
        assert_eq!(set.samples.iter().map(|s| s.class).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn a_doubled_quote_is_one() {
        assert_eq!(fields(r#""a ""b"", c",d"#).unwrap(), [r#"a "b", c"#, "d"]);
        assert_eq!(fields(r#"a"b"#).unwrap(), [r#"a"b"#]);
    }

    #[test]
    fn bad_rows_are_named_by_line() {
        let fail = |csv: &str| open(&folder(csv)).unwrap_err();
        assert!(fail("").ends_with("expected a header with the columns path and label, found \"\""));
        assert!(fail("img/a.png,owl\n").contains("found \"img/a.png,owl\""));
        assert_eq!(fail("path,label\n"), "T/set.csv: expected a row for every image, found no row");
        assert_eq!(
            fail("path,label\nimg/a.png\n"),
            "T/set.csv, line 2: expected 2 fields, as in the header, found 1"
        );
        assert!(
            fail("path,label\nimg/a.png,\n")
                .ends_with("line 2: expected a path and a label, found an empty field")
        );
        assert!(fail("path,label\nimg/a.png,\"owl\n").contains("line 2: expected closed quotes"));
        assert_eq!(
            fail("path,label\nimg/a.png,owl\nimg/x.png,auk\n"),
            "T/set.csv, line 3: expected the path of a file, relative to the CSV's folder, found img/x.png"
        );
        assert_eq!(
            fail("path,label\nimg/a.png,owl\n"),
            "T/set.csv: expected two or more labels, found only one, \"owl\""
        );
        let folder = folder("");
        folder.file("set.csv", b"path,label\n\xff");
        assert_eq!(open(&folder).unwrap_err(), "T/set.csv: expected UTF-8 text, found byte 11 that is not");
    }
}
