//! Which layout a path has, by what is there.

use std::path::{Path, PathBuf};

use dyntta_files::describe;

use crate::{
    Error, archive, cifar, cifar_python, cub, idx, names, parquet_files, shards, tiny_imagenet, zipped,
};

/// A layout, with what was found on the way.
#[derive(Debug, PartialEq)]
pub(crate) enum Layout {
    Cifar,
    CifarPython,
    Idx,
    Cub,
    TinyImagenet,
    /// Parquet files.
    Parquet(Vec<PathBuf>),
    /// Tars or a zip, and what they are called.
    Archives(&'static str, Vec<PathBuf>),
    /// A table of paths and labels.
    Table,
    Folder,
}

/// Extensions of tables.
const TABLES: [&str; 4] = ["csv", "tsv", "txt", "lst"];

/// # Errors
/// If nothing stands at `path`, or a file that is no data set.
pub(crate) fn recognise(path: &Path) -> Result<Layout, Error> {
    if path.is_dir()
        && let Some(layout) = folder(path)?
    {
        return Ok(layout);
    }
    if let Some(files) = shards::find(path)? {
        // A pattern, or a folder with nothing but such files.
        let parquet = files.first().is_some_and(|file| parquet_files::is_name(file));
        return Ok(if parquet {
            Layout::Parquet(files)
        } else {
            Layout::Archives("tar shards of classes", files)
        });
    }
    let kind = std::fs::metadata(path).map_err(|e| Error::io(path, "open", e))?;
    if kind.is_dir() {
        return Ok(Layout::Folder);
    }
    let head = names::head(path);
    if head.is_none() {
        dyntta_files::open(path)?;
    }
    let head = head.unwrap_or_default();
    let refuse = |found: &str| {
        let expected = "a tar or zip of class folders, a CSV, Parquet, or a folder";
        Err(Error::layout(path.display(), expected, found))
    };
    let table = TABLES.contains(&names::extension(&path.to_string_lossy()).as_str());
    match describe(&head) {
        Some("a Parquet file") => Ok(Layout::Parquet(vec![path.to_owned()])),
        _ if zipped::is_zip(&head) => Ok(Layout::Archives("zip of classes", vec![path.to_owned()])),
        Some("a tar archive") => Ok(Layout::Archives("tar of classes", vec![path.to_owned()])),
        Some(packed @ ("a gzip file" | "a zstd file" | "a bzip2 file" | "a xz file" | "an xz file")) => {
            refuse(&unpack(path, packed))
        }
        Some("an empty file") => refuse("an empty file"),
        // Zeros may end a tar that has no entry.
        Some(other) if !archive::is_archive_name(path) => refuse(other),
        _ if table => Ok(Layout::Table),
        _ => Ok(Layout::Archives("tar of classes", vec![path.to_owned()])),
    }
}

/// What is to be done about a compressed file: an image can't be taken from its middle.
fn unpack(path: &Path, packed: &str) -> String {
    let program = match packed {
        "a gzip file" => "gzip -dk",
        "a zstd file" => "zstd -d",
        "a bzip2 file" => "bzip2 -dk",
        _ => "xz -dk",
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!(
        "{packed}, which must be unpacked first (`{program} {}`); images gain nothing by it",
        dyntta_files::shown_text(&name)
    )
}

/// The layout of a folder that has files of certain names.
fn folder(path: &Path) -> Result<Option<Layout>, Error> {
    Ok(Some(if cifar::recognise(path) {
        Layout::Cifar
    } else if cifar_python::recognise(path) {
        Layout::CifarPython
    } else if idx::recognise(path) {
        Layout::Idx
    } else if cub::recognise(path) {
        Layout::Cub
    } else if tiny_imagenet::recognise(path) {
        Layout::TinyImagenet
    } else if let Some(files) = parquet_files::below(path)? {
        Layout::Parquet(files)
    } else {
        return Ok(None);
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use crate::{Dataset, Options};

    #[test]
    fn what_is_no_data_set_is_said() {
        let folder = Folder::new();
        let fail = |name: &str, bytes: &[u8]| {
            let path = folder.file(name, bytes);
            let error = Dataset::open(path, &Options::default()).unwrap_err().to_string();
            error.replace(folder.0.to_str().unwrap(), "T")
        };
        assert!(fail("x.tar.gz", &[0x1f, 0x8b, 8, 0]).ends_with(
            "found a gzip file, which must be unpacked first (`gzip -dk x.tar.gz`); images gain nothing by it"
        ));
        assert!(fail("x.tar.zst", &[0x28, 0xb5, 0x2f, 0xfd, 0]).contains("`zstd -d x.tar.zst`"));
        assert!(fail("x.tar", b"").ends_with("a CSV, Parquet, or a folder, found an empty file"));
        assert!(fail("x.csv", b"<!DOCTYPE html>").ends_with("found an HTML page"));
        assert!(
            fail("x.csv", b"version https://git-lfs.github.com/spec/v1\n")
                .contains("found a Git LFS pointer")
        );
        assert!(fail("x.pdf", b"%PDF-1.7").ends_with("found a PDF file"));
        assert!(fail("x.jpg", b"\xff\xd8\xff\xe0").ends_with("found a JPEG image"));
        let expected = if cfg!(feature = "parquet") {
            "a whole Parquet file"
        } else {
            "a layout that this build reads, found a Parquet"
        };
        let found = fail("x.parquet", b"PAR1");
        assert!(found.starts_with(&format!("T/x.parquet: expected {expected}")), "{found}");
        assert!(
            fail("list.tsv", b"path\tlabel\n").ends_with("found a header alone, separated by tabs (TSV)")
        );
        assert!(
            fail("odd.bin", &[b'x'; 2000]).contains("an uncompressed tar, found a file that begins [78,")
        );
    }

    /// Where the documentation has a layout.
    fn documented(layout: &Layout) -> &'static str {
        match layout {
            Layout::Cifar | Layout::CifarPython => "CIFAR-10, CIFAR-100",
            Layout::Idx => "idx",
            Layout::Cub => "CUB-200-2011",
            Layout::TinyImagenet => "Tiny-ImageNet",
            Layout::Parquet(_) => "Parquet",
            Layout::Archives(name, _) => name.trim_end_matches(" of classes"),
            Layout::Table => "CSV",
            Layout::Folder => "folder of classes",
        }
    }

    #[test]
    fn every_layout_is_documented_and_recognised() {
        let text = include_str!("../../../docs/data.md");
        let table = text
            .split("\n\n")
            .find(|part| part.starts_with("| layout | what it looks like | classes |"))
            .unwrap();
        let mut rows: Vec<&str> =
            table.lines().skip(2).map(|row| row.split('|').nth(1).unwrap().trim()).collect();
        rows.sort_unstable();
        let folder = Folder::new();
        let tar = crate::testing::tar(&[("a/1.png", b""), ("b/1.png", b"")]);
        let files: [(&str, &str, &[u8]); 13] = [
            ("folder", "folder/a/1.png", b""),
            ("one.tar", "one.tar", &tar),
            ("shards", "shards/0.tar", &tar),
            ("shards/*.tar", "shards/1.tar", &tar),
            ("x.zip", "x.zip", b"PK\x03\x04"),
            ("x.parquet", "x.parquet", b"PAR1"),
            ("binary", "binary/test_batch.bin", b""),
            ("python", "python/test", b""),
            ("python", "python/meta", b""),
            ("mnist", "mnist/t10k-images-idx3-ubyte", b""),
            ("cub", "cub/images.txt", b""),
            ("tiny", "tiny/images/1.JPEG", b""),
            ("x.csv", "x.csv", b"path,label"),
        ];
        files.iter().for_each(|(_, file, bytes)| drop(folder.file(file, bytes)));
        folder.file("cub/image_class_labels.txt", "");
        folder.file("tiny/val_annotations.txt", "");
        // Told by what is in the archives.
        let mut found = vec!["WebDataset"];
        found.extend(files.iter().map(|(path, ..)| documented(&recognise(&folder.0.join(path)).unwrap())));
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, rows);
    }

    #[cfg(unix)]
    #[test]
    fn devices_and_pipes_are_refused_at_once() {
        for path in ["/dev/zero", "/dev/null"] {
            let error = Dataset::open(path, &Options::default()).unwrap_err().to_string();
            assert_eq!(error, format!("{path}: expected a file, found a device"));
        }
    }
}
