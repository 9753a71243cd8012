//! A tar of a folder a class, read in place.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use dyntta_image::is_image_name;

use crate::classes::{self, ClassList};
use crate::store::{Archive, Bytes, Encoding, Place, Store};
use crate::{Dataset, Error};

/// What a tar holds.
pub(crate) struct Index {
    pub archive: Archive,
    /// Image files, by path; of several with one path the last, as when unpacked.
    pub images: Vec<(String, Place)>,
    /// Folders that have an entry of their own.
    pub folders: Vec<String>,
    /// Every `classes.txt`: path, first byte, length.
    pub lists: Vec<(String, u64, u64)>,
    pub ignored: usize,
}

/// Lists a tar by hopping from header to header.
pub(crate) fn index(path: &Path) -> Result<Index, Error> {
    let archive = Archive::open(path)?;
    let damaged = |found: String| Error::layout(path.display(), "an uncompressed tar", found);
    let start = archive.read_at(0, archive.len.min(512) as usize)?;
    let compression = match start.as_slice() {
        [] => return Err(damaged("an empty file".into())),
        [0x1f, 0x8b, ..] => Some("gzip"),
        [b'B', b'Z', b'h', ..] => Some("bzip2"),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => Some("xz"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        [b'P', b'K', 3, 4, ..] => return Err(damaged("a zip file".into())),
        _ => None,
    };
    if let Some(name) = compression {
        return Err(damaged(format!(
            "a file compressed with {name}: decompress it, images gain nothing by it"
        )));
    }

    let mut tar = tar::Archive::new(&archive.file);
    let (mut images, mut folders, mut lists, mut ignored) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let mut last = None;
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
        let parts: Vec<&str> = raw.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
        if parts.contains(&"..") {
            return Err(Error::layout(path.display(), "names inside the archive", raw));
        }
        if parts.is_empty() || parts.iter().any(|p| p.starts_with('.')) {
            continue;
        }
        let name = parts.join("/");
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            folders.push(name);
            continue;
        }
        if !is_image_name(&name) && !is_class_list(&name) {
            ignored += 1;
            continue;
        }
        if !(kind.is_file() || kind.is_contiguous()) {
            let found = format!("{raw}, a link or another special entry");
            return Err(Error::layout(path.display(), "images as plain files", found));
        }
        if is_class_list(&name) {
            lists.push((name, offset, len));
        } else {
            images.push((name, Place::Span { file: 0, offset, len }));
        }
    }
    // Stable, so that of equal names the last stays last.
    images.sort_by(|a, b| a.0.cmp(&b.0));
    images.reverse();
    images.dedup_by(|a, b| a.0 == b.0);
    images.reverse();
    Ok(Index { archive, images, folders, lists, ignored })
}

fn is_class_list(name: &str) -> bool {
    name.rsplit('/').next() == Some(classes::FILE)
}

impl Index {
    /// The folders above all images that are common to them, as long as `done` does not hold for the paths without
    /// them: `"a/b/"` or `""`.
    pub fn common_prefix(&self, done: impl Fn(&[&str]) -> bool) -> String {
        let mut prefix = String::new();
        loop {
            let rest: Vec<&str> = self.images.iter().map(|(path, _)| &path[prefix.len()..]).collect();
            let Some((first, _)) = rest.first().and_then(|r| r.split_once('/')) else { return prefix };
            let first = format!("{first}/");
            let shared = rest.iter().all(|r| r.starts_with(&first) && r[first.len()..].contains('/'));
            if !shared || done(&rest) {
                return prefix;
            }
            prefix.push_str(&first);
        }
    }

    /// The `classes.txt` directly below `prefix`, or else one beside the archive.
    pub fn class_list(&self, prefix: &str) -> Result<Option<ClassList>, Error> {
        let wanted = format!("{prefix}{}", classes::FILE);
        match self.lists.iter().rfind(|(name, ..)| *name == wanted) {
            Some((name, offset, len)) => {
                let text = self.archive.read_at(*offset, *len as usize)?;
                ClassList::parse(format!("{}:{name}", self.archive.path.display()), &text).map(Some)
            }
            None => ClassList::find(&[self.archive.path.parent().unwrap_or(Path::new("."))]),
        }
    }
}

pub(crate) fn open(path: &Path) -> Result<Dataset, Error> {
    let index = index(path)?;
    let prefix = index.common_prefix(|_| false);
    let list = index.class_list(&prefix)?;
    let (mut entries, mut ignored) = (Vec::with_capacity(index.images.len()), index.ignored);
    for (path, place) in &index.images {
        let inside = &path[prefix.len()..];
        if inside.contains('/') {
            entries.push((inside.to_string(), place.clone()));
        } else {
            ignored += 1; // an image above the class folders
        }
    }
    let top = |folder: &String| folder.strip_prefix(&prefix).filter(|f| !f.contains('/')).map(Into::into);
    let folders: BTreeSet<String> = index.folders.iter().filter_map(top).collect();
    let store = Arc::new(Store { bytes: Bytes::Files(vec![index.archive]), encoding: Encoding::ImageFile });
    let name = path.display().to_string();
    Dataset::from_class_paths(name, "tar of classes", entries, folders, list, ignored, store)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use crate::testing::{Folder, png};
    use crate::{Dataset, Options};

    /// A tar with `files`; a path of more than 100 bytes becomes a GNU long name.
    fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, path, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn open(path: PathBuf) -> Result<Dataset, String> {
        let folder = path.parent().unwrap().to_str().unwrap().to_string();
        Dataset::open(path, &Options::default()).map_err(|e| e.to_string().replace(&folder, "T"))
    }

    fn listed(set: &Dataset) -> Vec<(&str, usize)> {
        set.samples.iter().map(|s| (s.path.as_str(), s.class)).collect()
    }

    #[test]
    fn a_tar_is_its_folder_at_any_level() {
        for top in ["", "./", "set/", "a/b/"] {
            let folder = Folder::new();
            let at = |path: &str| format!("{top}{path}");
            let tar = tar_of(&[
                (&at("dog/2.png"), &png(2)),
                (&at("cat/1.png"), &png(1)),
                (&at("dog/old.png"), &png(9)),
                (&at("dog/old.png"), &png(3)),
                (&at("cat/note.txt"), b"text"),
                (&at("cat/._1.png"), b"a Mac's"),
            ]);
            let set = open(folder.file("set.tar", tar)).unwrap();
            assert_eq!(set.classes, ["cat", "dog"], "{top}");
            assert_eq!(listed(&set), [("cat/1.png", 0), ("dog/2.png", 1), ("dog/old.png", 1)]);
            assert_eq!(set.ignored, 1);
            assert_eq!(set.load(1).unwrap().data, vec![2; 18]);
            assert_eq!(set.load(2).unwrap().data, vec![3; 18], "the later entry counts");
        }
    }

    #[test]
    fn long_names_are_read_gnu_and_pax() {
        let folder = Folder::new();
        let long = format!("cat/{}.png", "x".repeat(180));
        let set = open(folder.file("gnu.tar", tar_of(&[(&long, &png(7)), ("dog/1.png", &png(8))]))).unwrap();
        assert_eq!(listed(&set), [(long.as_str(), 0), ("dog/1.png", 1)]);
        assert_eq!(set.load(0).unwrap().data, vec![7; 18]);

        let mut builder = tar::Builder::new(Vec::new());
        builder.append_pax_extensions([("path", long.as_bytes())]).unwrap();
        for (path, level) in [("cut.png", 7), ("dog/1.png", 8)] {
            let bytes = png(level);
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_path(path).unwrap();
            header.set_cksum();
            builder.append(&header, bytes.as_slice()).unwrap();
        }
        let set = open(folder.file("pax.tar", builder.into_inner().unwrap())).unwrap();
        assert_eq!(listed(&set), [(long.as_str(), 0), ("dog/1.png", 1)]);
        assert_eq!(set.load(0).unwrap().data, vec![7; 18]);
    }

    #[test]
    fn classes_txt_inside_goes_before_one_beside() {
        let folder = Folder::new();
        folder.file("classes.txt", "cat\ndog\n");
        let beside = tar_of(&[("s/dog/1.png", &png(0)), ("s/cat/1.png", &png(1))]);
        let inside =
            tar_of(&[("s/dog/1.png", &png(0)), ("s/classes.txt", b"dog\ncat"), ("s/cat/1.png", &png(1))]);
        assert_eq!(open(folder.file("beside.tar", beside)).unwrap().classes, ["cat", "dog"]);
        let set = open(folder.file("inside.tar", inside)).unwrap();
        assert_eq!((set.classes, set.ignored), (vec!["dog".to_string(), "cat".to_string()], 0));
    }

    #[test]
    fn what_is_no_whole_tar_is_said() {
        let folder = Folder::new();
        let tar = tar_of(&[("dog/2.png", &png(2)), ("cat/1.png", &png(1))]);
        let fail = |bytes: &[u8]| open(folder.file("x.tar", bytes)).unwrap_err();
        assert_eq!(fail(b""), "T/x.tar: expected an uncompressed tar, found an empty file");
        assert!(fail(&[0x1f, 0x8b, 8, 0]).contains("found a file compressed with gzip"));
        assert!(
            fail(&[b'x'; 2000])
                .ends_with("an uncompressed tar, found a file that begins [78, 78, 78, 78, 78, 78, 78, 78]")
        );
        // In the second file's bytes, then in its header.
        let text = fail(&tar[..1024 + 512 + 20]);
        assert!(
            text.starts_with("T/x.tar: expected all its bytes, found 1556 (truncated), cat/1.png ends at"),
            "{text}"
        );
        let text = fail(&tar[..1024 + 100]);
        assert!(
            text.starts_with(
                "T/x.tar: expected an uncompressed tar, found a damaged or truncated header after dog/2.png"
            ),
            "{text}"
        );
        assert!(fail(&tar[..1024]).ends_with("found only one, \"dog\""));
        assert!(fail(&tar_of(&[("a.txt", b"")])).contains("expected images in class folders"));
    }
}
