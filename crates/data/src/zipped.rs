//! Zips: entries that are stored or deflated.

use std::collections::HashSet;
use std::io::{BufReader, Read, Seek, SeekFrom};

use zip::{CompressionMethod, ZipArchive};

use crate::Error;
use crate::archive::{Entry, entry_name, file_entry};
use crate::names;
use crate::store::{Archive, Place};

/// Whether a file that begins so is a zip.
pub(crate) fn is_zip(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06")
}

/// Lists a zip by its directory; see [`crate::archive::entries`].
pub(crate) fn entries(
    archive: &Archive,
    number: u32,
    sink: &mut dyn FnMut(Entry) -> Result<(), Error>,
) -> Result<(), Error> {
    let path = &archive.path;
    let fail = |expected: &str, found: String| Error::layout(path.display(), expected, found);
    let damaged = |e: zip::result::ZipError| fail("a whole zip archive", e.to_string());
    let Some(file) = archive.file() else {
        return Err(fail("a zip archive", "a file that was closed".into()));
    };
    let mut zip = ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
    // The directory is read into a map, which keeps one of several entries of a name.
    if let Some(announced) = announced(archive)?.filter(|&n| n != zip.len()) {
        return Err(fail("every path once", format!("{announced} entries of {} paths", zip.len())));
    }
    let mut seen = HashSet::with_capacity(zip.len());
    for i in 0..zip.len() {
        let entry = zip.by_index_raw(i).map_err(damaged)?;
        // Some programs of Windows write its own separator.
        let raw = entry.name().map_err(damaged)?.replace('\\', "/");
        let name = match entry_name(&raw) {
            Ok(Some(name)) => name,
            Ok(None) => {
                if !raw.is_empty() {
                    sink(Entry::Hidden)?;
                }
                continue;
            }
            Err(raw) => return Err(fail("names inside the archive", raw)),
        };
        if raw.ends_with('/') {
            sink(Entry::Folder(name))?;
            continue;
        }
        if entry.is_symlink() {
            if dyntta_image::is_image_name(&name) {
                return Err(fail("images as plain files", format!("{raw}, a link")));
            }
            sink(Entry::Special)?;
            continue;
        }
        if !seen.insert(name.clone()) {
            return Err(fail("every path once", format!("{raw} twice")));
        }
        if entry.encrypted() {
            return Err(fail("files without a password", format!("{raw}, encrypted")));
        }
        let (len, size) = (entry.compressed_size(), entry.size());
        let Some(offset) = entry.data_start() else {
            return Err(fail("a whole zip archive", format!("no data of {raw}")));
        };
        if offset.checked_add(len).is_none_or(|end| end > archive.len) {
            let found = format!("{} (truncated), {raw} ends at {}", archive.len, offset.saturating_add(len));
            return Err(fail("all its bytes", found));
        }
        let (place, method) = match entry.compression() {
            CompressionMethod::Stored => (Place::Span { file: number, offset, len }, None),
            CompressionMethod::Deflated => (Place::Packed { file: number, offset, len, size }, None),
            other => (Place::Span { file: number, offset, len }, Some(other)),
        };
        let head = || match place {
            _ if method.is_some() => None,
            Place::Packed { .. } => {
                // Enough for the first bytes, however well they are packed.
                let packed = archive.read_at(offset, len.min(4 * names::HEAD as u64) as usize).ok()?;
                let mut head = vec![0; names::HEAD];
                let mut inflated = flate2::read::DeflateDecoder::new(packed.as_slice());
                let mut filled = 0;
                // The packed bytes end in the middle, which is an error after all that they hold.
                while let Ok(n @ 1..) = inflated.read(&mut head[filled..]) {
                    filled += n;
                }
                head.truncate(filled);
                Some(head)
            }
            _ => archive.read_at(offset, len.min(names::HEAD as u64) as usize).ok(),
        };
        let entry = file_entry(name, place.clone(), head);
        if let (Entry::Image(..) | Entry::List(..) | Entry::Label(..), Some(method)) = (&entry, method) {
            return Err(fail("files that are stored or deflated", format!("{raw}, compressed by {method}")));
        }
        sink(entry)?;
    }
    Ok(())
}

/// How many entries the end of the directory announces; `None` if they are too many for its field.
fn announced(archive: &Archive) -> Result<Option<usize>, Error> {
    const END: usize = 22;
    let fail = |e| Error::io(&archive.path, "read", e);
    let Some(mut file) = archive.file() else { return Ok(None) };
    let length = archive.len.min(END as u64 + u64::from(u16::MAX));
    let mut tail = Vec::with_capacity(length as usize);
    file.seek(SeekFrom::Start(archive.len - length)).map_err(fail)?;
    file.take(length).read_to_end(&mut tail).map_err(fail)?;
    let ends = tail.windows(END).rev().find(|window| window.starts_with(b"PK\x05\x06"));
    Ok(ends
        .map(|end| usize::from(u16::from_le_bytes([end[10], end[11]])))
        .filter(|&n| n != usize::from(u16::MAX)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::PathBuf;

    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    use crate::testing::{Folder, png, zip};
    use crate::{Dataset, Options};

    fn stored(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, bytes) in files {
            let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
            zip.start_file(*name, options).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn open(path: PathBuf) -> Result<Dataset, String> {
        let folder = path.parent().unwrap().to_str().unwrap().to_string();
        Dataset::open(path, &Options::default()).map_err(|e| e.to_string().replace(&folder, "T"))
    }

    #[test]
    fn a_zip_is_its_folder() {
        let folder = Folder::new();
        let files = [
            ("set/", &b""[..], 0),
            ("set/dog/2.png", &png(2), 8),
            ("set\\cat\\1.png", &png(1), 0),
            ("set/cat/3", &png(3), 8),
            ("set/cat/note.txt", b"text", 8),
            ("__MACOSX/set/cat/._1.png", b"a Mac's", 8),
            ("set/cat/.DS_Store", b"", 0),
        ];
        let set = open(folder.file("set.zip", zip(&files))).unwrap();
        assert_eq!(set.classes, ["cat", "dog"]);
        let listed: Vec<&str> = set.samples.iter().map(|s| s.path.as_str()).collect();
        assert_eq!(listed, ["cat/1.png", "cat/3", "dog/2.png"]);
        for (i, level) in [1, 3, 2].into_iter().enumerate() {
            assert_eq!(set.load(i).unwrap().data(), vec![level; 18]);
        }
        assert!(
            set.describe().ends_with("2 classes; left out: 1 .txt, 2 hidden or system"),
            "{}",
            set.describe()
        );
        // As another program writes it, and as a folder.
        let other = stored(&[("cat/1.png", &png(1)), ("cat/3", &png(3)), ("dog/2.png", &png(2))]);
        let other = open(folder.file("other.zip", other)).unwrap();
        assert_eq!(other.digest().unwrap(), set.digest().unwrap());
    }

    #[test]
    fn what_is_wrong_with_a_zip_is_said() {
        let folder = Folder::new();
        let fail = |bytes: Vec<u8>| open(folder.file("x.zip", bytes)).unwrap_err();
        let two = [("a/1.png", &png(1)[..], 8), ("b/1.png", &png(2), 0)];
        let whole = zip(&two);
        assert!(fail(whole[..whole.len() - 30].to_vec()).contains("expected a whole zip archive"));
        let twice = [two[0], two[1], ("a/1.png", &png(3), 0)];
        assert_eq!(fail(zip(&twice)), "T/x.zip: expected every path once, found 3 entries of 2 paths");
        assert_eq!(
            fail(zip(&[two[0], ("../b/1.png", &png(2), 0)])),
            "T/x.zip: expected names inside the archive, found ../b/1.png"
        );
        assert!(
            fail(zip(&[two[0], ("b/1.png", &png(2), 14)]))
                .contains("expected files that are stored or deflated, found b/1.png, compressed by")
        );
        // Inflates to more than it says.
        let mut bomb = zip(&[("a/1.png", &[7; 5000], 8), two[1]]);
        for i in 0..bomb.len() - 4 {
            if bomb[i..i + 4] == 5000u32.to_le_bytes() {
                bomb[i..i + 4].copy_from_slice(&50u32.to_le_bytes());
            }
        }
        let set = open(folder.file("x.zip", bomb)).unwrap();
        let error = set.load(0).unwrap_err().to_string();
        assert!(error.ends_with("x.zip:a/1.png: expected 50 bytes when inflated, found more"), "{error}");
    }
}
