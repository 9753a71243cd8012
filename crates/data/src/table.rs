//! A CSV of paths and labels, or another table of that kind.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use csv_core::ReadRecordResult;
use dyntta_files::Limits;

use crate::classes::{self, ClassList, Number, beside, normal, number};
use crate::left_out::LeftOut;
use crate::names::{self, Kind};
use crate::store::{Bytes, Encoding, Place, Store};
use crate::{Dataset, Error, Sample};

/// What may stand between fields, and its name.
const DELIMITERS: [(u8, &str); 3] = [(b',', "commas (CSV)"), (b'\t', "tabs (TSV)"), (b';', "semicolons")];

/// The most rows.
const MOST: usize = 10_000_000;

/// A row: the path, the label, and the line it begins in.
struct Row {
    path: String,
    label: String,
    line: u64,
}

/// Fields may be quoted with `"` (doubled inside); lines end in any way. Labels are class names; with a `classes.txt` beside
/// the table, a label that is not a name in it may be an index into it.
pub(crate) fn open(table: &Path) -> Result<Dataset, Error> {
    let name = table.display().to_string();
    let text = dyntta_files::read_text(table, Limits::DEFAULT.text_bytes)?;
    // The reader counts lines by their line feeds.
    let text = if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text };
    let folder = table.parent().unwrap_or(Path::new("")).to_owned();
    let mut rows = read(&name, &text)?;
    let mut labelled: HashMap<String, usize> = HashMap::with_capacity(rows.len());
    for i in 0..rows.len() {
        rows[i].path = find(&name, &folder, &rows[i])?;
        if let Some(first) =
            labelled.insert(rows[i].path.clone(), i).filter(|&first| rows[first].label != rows[i].label)
        {
            let Row { path, label, line } = &rows[i];
            let found = format!("{label:?}, and {:?} in line {}", rows[first].label, rows[first].line);
            return Err(Error::layout(
                format!("{name}, line {line}"),
                format!("one label for {path}"),
                found,
            ));
        }
    }
    numbers(&name, &mut rows)?;
    let (classes, by_value, may_be_index) = class_names(&name, &beside(table), &rows)?;
    let index = classes::index(&classes);
    let mut samples = Vec::with_capacity(rows.len());
    for Row { path, label, line } in rows {
        let by_index = || match number(&label) {
            Some(Number::Whole(i)) if may_be_index => usize::try_from(i).ok().filter(|&i| i < classes.len()),
            _ => None,
        };
        let Some(class) = index.get(&label).copied().or_else(by_index) else {
            let expected = format!("a class of classes.txt or its index below {}", classes.len());
            return Err(Error::layout(format!("{name}, line {line}"), expected, label));
        };
        samples.push(Sample { path, class, place: Place::File });
    }
    let store = Arc::new(Store { bytes: Bytes::Folder(folder), encoding: Encoding::ImageFile });
    let notes = Vec::from_iter(by_value.then_some(classes::BY_VALUE));
    let left_out = LeftOut::default();
    Ok(Dataset {
        classes,
        samples,
        left_out,
        notes,
        name,
        layout: "CSV",
        store,
        exif: dyntta_image::Exif::Ignore,
        skipped: None,
    })
}

/// The rows, by the columns of the header.
fn read(name: &str, text: &str) -> Result<Vec<Row>, Error> {
    let fitting = DELIMITERS.iter().find_map(|&(delimiter, between)| {
        let (_, header) = Records::new(text, delimiter).next()?;
        let column = |wanted: &str| header.iter().position(|c| c.trim().eq_ignore_ascii_case(wanted));
        Some((delimiter, between, column("path")?, column("label")?, header.len()))
    });
    let Some((delimiter, between, path_column, label_column, columns)) = fitting else {
        let expected = "a header with the columns path and label (separated by commas, tabs or semicolons)";
        let first = text.lines().find(|line| !line.is_empty()).unwrap_or_default();
        let found = if first.is_empty() { "an empty line".into() } else { format!("{:?}", short(first)) };
        return Err(Error::layout(name, expected, found));
    };
    let mut rows = Vec::new();
    for (line, record) in Records::new(text, delimiter).skip(1) {
        let at = || format!("{name}, line {line}");
        if record.len() != columns {
            if record.iter().all(|field| field.trim().is_empty()) && record.len() == 1 {
                continue;
            }
            let expected = format!("{columns} fields, as in the header");
            return Err(Error::layout(at(), expected, record.len().to_string()));
        }
        // A quote that isn't closed takes in the lines after it.
        if let Some(open) = record.iter().find(|field| field.contains('\n')) {
            return Err(Error::layout(at(), "closed quotes", format!("{:?}", short(open))));
        }
        let (path, label) = (record[path_column].trim(), record[label_column].trim());
        if path.is_empty() || label.is_empty() {
            return Err(Error::layout(at(), "a path and a label", "an empty field"));
        }
        if rows.len() >= MOST {
            return Err(Error::layout(name, format!("at most {MOST} rows"), "more"));
        }
        rows.push(Row { path: path.to_owned(), label: normal(label), line });
    }
    if rows.is_empty() {
        let found = format!("a header alone, separated by {between}");
        return Err(Error::layout(name, "a row for every image", found));
    }
    Ok(rows)
}

/// A table's records: the line that each begins in, and its fields.
struct Records<'a> {
    rest: &'a [u8],
    reader: csv_core::Reader,
    line: u64,
    fields: Vec<u8>,
    ends: Vec<usize>,
}

impl<'a> Records<'a> {
    fn new(text: &'a str, delimiter: u8) -> Self {
        let reader = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        Self { rest: text.as_bytes(), reader, line: 1, fields: vec![0; 256], ends: vec![0; 16] }
    }
}

impl Iterator for Records<'_> {
    type Item = (u64, Vec<String>);

    fn next(&mut self) -> Option<Self::Item> {
        while let [b'\n', rest @ ..] = self.rest {
            self.rest = rest;
            self.line += 1;
        }
        let (first, mut filled, mut count) = (self.line, 0, 0);
        loop {
            let (result, taken, written, ended) =
                self.reader.read_record(self.rest, &mut self.fields[filled..], &mut self.ends[count..]);
            self.line += self.rest[..taken].iter().filter(|&&b| b == b'\n').count() as u64;
            self.rest = &self.rest[taken..];
            filled += written;
            count += ended;
            match result {
                // The next call, without input, ends the last record.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.fields.resize(2 * self.fields.len(), 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(2 * self.ends.len(), 0),
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return None,
            }
        }
        let mut start = 0;
        let field = |&end: &usize| {
            let field = String::from_utf8_lossy(&self.fields[start..end]).into_owned();
            start = end;
            field
        };
        Some((first, self.ends[..count].iter().map(field).collect()))
    }
}

/// The beginning of a text.
fn short(text: &str) -> String {
    const LONGEST: usize = 100;
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}

/// The path of a row's image from the table's folder; one that Windows wrote is tried with the other separator too.
fn find(name: &str, folder: &Path, row: &Row) -> Result<String, Error> {
    let at = || format!("{name}, line {}", row.line);
    let slashes = row.path.replace('\\', "/");
    let there = |path: &str| folder.join(path).is_file();
    let Some(path) = [&row.path, &slashes].into_iter().find(|path| there(path)) else {
        return Err(Error::layout(
            at(),
            "the path of a file, relative to the CSV's folder",
            row.path.as_str(),
        ));
    };
    let file: PathBuf = folder.join(path);
    if names::wants_look(path) && names::look(path, || names::head(&file)) != Kind::Image {
        let head = names::head(&file).unwrap_or_default();
        let found = format!("{path}, {}", dyntta_files::describe(&head).unwrap_or("another file"));
        return Err(Error::layout(at(), "the path of a JPEG, PNG, BMP or WebP image", found));
    }
    Ok(path.clone())
}

/// Brings labels that are all numbers to one form: pandas writes a column of whole numbers with a gap in it as `3.0`.
fn numbers(name: &str, rows: &mut [Row]) -> Result<(), Error> {
    if rows.iter().any(|row| number(&row.label).is_none()) {
        return Ok(());
    }
    for row in rows {
        if number(&row.label) == Some(Number::Other) {
            let at = format!("{name}, line {}", row.line);
            return Err(Error::layout(
                at,
                "a label that is a name or a whole number from 0",
                row.label.as_str(),
            ));
        }
        if let Some((whole, _)) = row.label.split_once('.') {
            row.label = whole.to_owned();
        }
    }
    Ok(())
}

/// The classes, whether they are in the order of their values, and whether labels may be indices.
fn class_names(name: &str, folder: &Path, rows: &[Row]) -> Result<(Vec<String>, bool, bool), Error> {
    let labels: BTreeSet<String> = rows.iter().map(|row| row.label.clone()).collect();
    let ordered = match ClassList::find(&[folder])? {
        Some(list) => {
            let named: BTreeSet<&String> = list.names.iter().collect();
            let known =
                |label: &String| named.contains(label) || matches!(number(label), Some(Number::Whole(_)));
            if !labels.iter().all(known) {
                let (expected, found) = (list.names, labels.into_iter().collect());
                return Err(Error::Classes { path: name.into(), list: Some(list.path), expected, found });
            }
            (list.names, false, true)
        }
        None => {
            let ordered = classes::ordered(name, labels)?;
            (ordered.names, ordered.by_value, false)
        }
    };
    if let [one] = ordered.0.as_slice() {
        return Err(Error::layout(name, "two or more labels", format!("only one, {one:?}")));
    }
    Ok(ordered)
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
        assert_eq!(set.load(1).unwrap().data(), vec![2; 18]);
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
    fn tables_of_other_separators_and_line_ends_are_the_same() {
        let first = folder("path,label\nimg/a.png,owl\nimg/d.png,auk\n");
        let plain = open(&first).unwrap();
        for text in [
            "path,label\rimg/a.png,owl\rimg/d.png,auk\r",
            "path,label\r\nimg/a.png,owl\r\n\r\nimg/d.png,auk",
            "Path;Label\nimg/a.png;owl\nimg/d.png;auk",
            "\u{feff}label\tpath\tx\nowl\timg/a.png\t\nauk\timg/d.png\t1,2",
            "path,label\n.\\img\\a.png,owl\nimg\\d.png,auk",
            "path,label\nimg/a.png,\"owl\"\nimg/d.png, auk ",
        ] {
            let folder = folder(text);
            let set = open(&folder).unwrap();
            assert_eq!((&set.classes, set.len()), (&plain.classes, 2), "{text:?}");
            for i in 0..2 {
                assert_eq!(set.load(i).unwrap(), plain.load(i).unwrap(), "{text:?}");
                assert_eq!(set.samples[i].class, plain.samples[i].class);
            }
        }
        let folder = folder("");
        folder.file("list.tsv", "path\tlabel\nimg/a.png\towl\nimg/d.png\tauk\n");
        assert_eq!(Dataset::open(folder.0.join("list.tsv"), &Options::default()).unwrap().len(), 2);
    }

    #[test]
    fn numbers_are_one_label_however_they_are_written() {
        let labels = |a: &str, b: &str| {
            let set = open(&folder(&format!("path,label\nimg/a.png,{a}\nimg/d.png,{b}\n")));
            set.map(|set| set.classes.join(" "))
        };
        assert_eq!(labels("10.0", "9.0").unwrap(), "9 10");
        assert_eq!(labels("10", "9.").unwrap(), "9 10");
        assert_eq!(labels("010", "009").unwrap(), "009 010");
        assert_eq!(labels("10", "x9").unwrap(), "10 x9");
        for bad in ["-1", "0.5", "nan", "1e2"] {
            let error = labels("0", bad).unwrap_err();
            assert_eq!(
                error,
                format!(
                    "T/set.csv, line 3: expected a label that is a name or a whole number from 0, found {bad}"
                )
            );
        }
        let text = open(&folder("path,label\nimg/a.png,10\nimg/d.png,9\n")).unwrap().describe();
        assert!(text.contains("; its classes are numbers, in the order of their values"), "{text}");
        let text = open(&folder("path,label\nimg/a.png,1\nimg/d.png,2\n")).unwrap().describe();
        assert!(text.ends_with("2 classes"), "{text}");
    }

    #[test]
    fn content_decides_and_a_message_is_short() {
        let folder = folder("path,label\nimg/a,owl\nimg/d.png,auk\n");
        folder.image("img/a", 9);
        assert_eq!(open(&folder).unwrap().load(0).unwrap().data(), vec![9; 18]);
        folder.file("img/a", "II*\0rest");
        assert_eq!(
            open(&folder).unwrap_err(),
            "T/set.csv, line 2: expected the path of a JPEG, PNG, BMP or WebP image, found img/a, a TIFF image"
        );
        for text in [format!("path,label\nimg/d.png,\"{}", "x\n".repeat(100_000)), "x".repeat(1_000_000)] {
            folder.file("set.csv", text);
            let error = open(&folder).unwrap_err();
            assert!(error.len() < 400, "{} characters", error.len());
        }
        folder.file("set.csv", "path,label\nimg/d.png,a\nimg/d.png,b\n");
        assert_eq!(
            open(&folder).unwrap_err(),
            "T/set.csv, line 3: expected one label for img/d.png, found \"b\", and \"a\" in line 2"
        );
        folder.file("set.csv", b"\xff\xfep\0");
        assert!(open(&folder).unwrap_err().contains("UTF-16"));
    }

    #[test]
    fn bad_rows_are_named_by_line() {
        let fail = |csv: &str| open(&folder(csv)).unwrap_err();
        assert!(fail("\n").ends_with("a header with the columns path and label (separated by commas, tabs or semicolons), found an empty line"));
        assert!(fail("img/a.png,owl\n").contains("found \"img/a.png,owl\""));
        assert_eq!(
            fail("path,label\n"),
            "T/set.csv: expected a row for every image, found a header alone, separated by commas (CSV)"
        );
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
        assert_eq!(open(&folder).unwrap_err(), "T/set.csv: expected UTF-8 text, found byte 0xff in line 2");
    }
}
