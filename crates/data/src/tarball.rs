//! Tars of a folder a class, read in place: one, or one in shards.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dyntta_image::is_image_name;

use crate::classes::{self, ClassList};
use crate::store::{Archive, Bytes, Encoding, Place, Store};
use crate::{Dataset, Error};

/// What one or several tars hold.
pub(crate) struct Index {
    pub archives: Vec<Archive>,
    /// Image files, by path; of several with one path the last in its tar, as when unpacked.
    pub images: Vec<(String, Place)>,
    /// Folders that have an entry of their own.
    pub folders: Vec<String>,
    /// Every `classes.txt`: path, archive, first byte, length.
    lists: Vec<(String, usize, u64, u64)>,
    pub ignored: usize,
}

/// Archives that are held open.
const MOST_OPEN: usize = 200;

/// Lists tars, of the images those whose paths `keep` wants.
pub(crate) fn index(paths: &[PathBuf], keep: &dyn Fn(&str) -> bool) -> Result<Index, Error> {
    let mut all = Index {
        archives: Vec::new(),
        images: Vec::new(),
        folders: Vec::new(),
        lists: Vec::new(),
        ignored: 0,
    };
    for path in paths {
        let archive = Archive::open(path)?;
        let (from, number) = (all.images.len(), all.archives.len());
        entries(&archive, &mut |entry| {
            match entry {
                Entry::Folder(name) => all.folders.push(name),
                Entry::List(name, offset, len) => all.lists.push((name, number, offset, len)),
                Entry::Image(name, offset, len) if keep(&name) => {
                    all.images.push((name, Place::Span { file: number as u32, offset, len }));
                }
                Entry::Image(..) => {}
                Entry::Other => all.ignored += 1,
            }
            Ok(())
        })?;
        let mut own = all.images.split_off(from);
        // Stable, so that of equal names the last stays last.
        own.sort_by(|a, b| a.0.cmp(&b.0));
        own.reverse();
        own.dedup_by(|a, b| a.0 == b.0);
        all.images.append(&mut own);
        all.archives.push(if paths.len() > MOST_OPEN { archive.closed() } else { archive });
    }
    if paths.len() > 1 && all.images.iter().all(|(name, _)| !name.contains('/')) {
        name_by_archive(&mut all);
    }
    all.images.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some(pair) = all.images.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let path = |place: &Place| match place {
            Place::Span { file, .. } => all.archives[*file as usize].path.display().to_string(),
            Place::File | Place::Part { .. } => String::new(),
        };
        let found = format!("{} in {} too", pair[0].0, path(&pair[0].1));
        return Err(Error::layout(path(&pair[1].1), "every path in one shard", found));
    }
    Ok(all)
}

/// Puts the images of each tar in a folder named after it.
fn name_by_archive(all: &mut Index) {
    let stem =
        |archive: &Archive| archive.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let stems: Vec<String> = all.archives.iter().map(stem).collect();
    for (name, place) in &mut all.images {
        if let Place::Span { file, .. } = place {
            *name = format!("{}/{name}", stems[*file as usize]);
        }
    }
    all.folders.extend(stems);
}

/// An entry of a tar: its path in the archive, where there is one, and where its bytes are.
pub(crate) enum Entry {
    Folder(String),
    List(String, u64, u64),
    Image(String, u64, u64),
    Other,
}

/// Lists a tar by hopping from header to header.
pub(crate) fn entries(
    archive: &Archive,
    sink: &mut dyn FnMut(Entry) -> Result<(), Error>,
) -> Result<(), Error> {
    let path = &archive.path;
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

    let mut tar = tar::Archive::new(archive.file().expect("just opened"));
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
            sink(Entry::Folder(name))?;
            continue;
        }
        if !is_image_name(&name) && !is_class_list(&name) {
            sink(Entry::Other)?;
            continue;
        }
        if !(kind.is_file() || kind.is_contiguous()) {
            let found = format!("{raw}, a link or another special entry");
            return Err(Error::layout(path.display(), "images as plain files", found));
        }
        sink(if is_class_list(&name) {
            Entry::List(name, offset, len)
        } else {
            Entry::Image(name, offset, len)
        })?;
    }
    Ok(())
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

    /// The `classes.txt` directly below `prefix`, or else one beside the archives.
    pub fn class_list(&self, prefix: &str) -> Result<Option<ClassList>, Error> {
        let wanted = format!("{prefix}{}", classes::FILE);
        match self.lists.iter().rfind(|(name, ..)| *name == wanted) {
            Some((name, archive, offset, len)) => {
                let archive = &self.archives[*archive];
                let text = archive.read_at(*offset, *len as usize)?;
                ClassList::parse(format!("{}:{name}", archive.path.display()), &text).map(Some)
            }
            None => {
                let beside = self.archives.first().and_then(|archive| archive.path.parent());
                ClassList::find(&[beside.unwrap_or(Path::new("."))])
            }
        }
    }
}

/// The class folders in `tars`.
pub(crate) fn open(name: &str, layout: &'static str, tars: &[PathBuf]) -> Result<Dataset, Error> {
    let index = index(tars, &|_| true)?;
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
    let store = Arc::new(Store { bytes: Bytes::Files(index.archives), encoding: Encoding::ImageFile });
    Dataset::from_class_paths(name.into(), layout, entries, folders, list, ignored, store)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use crate::testing::{Folder, png, tar as tar_of};
    use crate::{Dataset, Options};

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
