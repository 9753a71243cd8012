//! Tars: ustar, GNU long names, PAX; not compressed.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use crate::Error;
use crate::archive::{Entry, entry_name, file_entry};
use crate::names;
use crate::store::{Archive, Place};

/// Lists a tar by hopping from header to header; see [`crate::archive::entries`].
pub(crate) fn entries(
    archive: &Archive,
    number: u32,
    sink: &mut dyn FnMut(Entry) -> Result<(), Error>,
) -> Result<(), Error> {
    let path = &archive.path;
    let damaged = |found: String| Error::layout(path.display(), "an uncompressed tar", found);
    let start = archive.read_at(0, archive.len.min(512) as usize)?;
    match dyntta_files::describe(&start) {
        None | Some("a tar archive" | "a file of zeros") => {}
        Some(kind) => return Err(damaged(kind.to_owned())),
    }
    let Some(file) = archive.file() else { return Err(damaged("a file that was closed".into())) };
    let mut tar = tar::Archive::new(file);
    let mut last = None;
    // Hashes of the paths: a tar may have millions.
    let (hasher, mut seen) = (RandomState::new(), HashSet::new());
    for entry in tar.entries_with_seek().map_err(|e| Error::io(path, "read", e))? {
        let entry = entry.map_err(|e| match &last {
            // The library's message quotes the bytes at length.
            None => damaged(format!("a file that begins {:02x?}", &start[..start.len().min(8)])),
            Some(last) => damaged(format!("a damaged or truncated header after {last}: {}", e.kind())),
        })?;
        let Ok(raw) = String::from_utf8(entry.path_bytes().into_owned()) else {
            return Err(Error::layout(
                path.display(),
                "names in UTF-8",
                format!("other bytes{}", last.map_or(String::new(), |last| format!(" after {last}"))),
            ));
        };
        last = Some(raw.clone());
        let (offset, len) = (entry.raw_file_position(), entry.size());
        if offset.checked_add(len).is_none_or(|end| end > archive.len) {
            let found = format!("{} (truncated), {raw} ends at {}", archive.len, offset.saturating_add(len));
            return Err(Error::layout(path.display(), "all its bytes", found));
        }
        let name = match entry_name(&raw) {
            Ok(Some(name)) => name,
            Ok(None) => {
                // The folder that all is in, `./`, has no name.
                if raw.split('/').any(|part| !matches!(part, "" | ".")) {
                    sink(Entry::Hidden)?;
                }
                continue;
            }
            Err(raw) => return Err(Error::layout(path.display(), "names inside the archive", raw)),
        };
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            sink(Entry::Folder(name))?;
            continue;
        }
        if !(kind.is_file() || kind.is_contiguous()) {
            if dyntta_image::is_image_name(&name) {
                let found = format!("{raw}, a link or another special entry");
                return Err(Error::layout(path.display(), "images as plain files", found));
            }
            sink(Entry::Special)?;
            continue;
        }
        if !seen.insert(hasher.hash_one(&name)) {
            return Err(Error::layout(path.display(), "every path once", format!("{raw} twice")));
        }
        let head = || archive.read_at(offset, len.min(names::HEAD as u64) as usize).ok();
        sink(file_entry(name, Place::Span { file: number, offset, len }, head))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
