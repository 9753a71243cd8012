//! What archives hold: tars, one or in shards, or a zip; read in place, not unpacked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dyntta_files::Limits;

use crate::classes::{self, ClassList, beside};
use crate::left_out::LeftOut;
use crate::listing::Listing;
use crate::names::{self, Kind};
use crate::store::{Archive, Bytes, Encoding, Place, Store};
use crate::{Dataset, Error, tarball, webdataset, zipped};

/// An entry of an archive: its path there, where one is needed, and where its bytes are.
pub(crate) enum Entry {
    Folder(String),
    /// A `classes.txt` or another list of class names.
    List(String, Place),
    Image(String, Place),
    /// A file that may say what the image beside it is.
    Label(String, Place),
    /// An image of a format that isn't read.
    Unread(String),
    Other(String),
    /// A link or a device of no image's name.
    Special,
    Hidden,
}

/// What one or several archives hold.
pub(crate) struct Index {
    pub store: Arc<Store>,
    /// Image files, by path, and of one path by archive.
    pub images: Vec<(String, Place)>,
    /// Folders that have an entry of their own.
    pub folders: Vec<String>,
    pub labels: Vec<(String, Place)>,
    unread: Vec<String>,
    lists: Vec<(String, Place)>,
    pub left_out: LeftOut,
}

/// Archives that are held open.
const MOST_OPEN: usize = 200;

/// Files of class names.
pub(crate) const LISTS: [&str; 2] = [classes::FILE, "classnames.txt"];

/// Lists the entries of an archive, a tar or a zip, in their order.
///
/// # Errors
/// If it is damaged, or has one path twice: which of the files counts would depend on the reader.
pub(crate) fn entries(
    archive: &Archive,
    number: u32,
    sink: &mut dyn FnMut(Entry) -> Result<(), Error>,
) -> Result<(), Error> {
    let head = archive.read_at(0, archive.len.min(4) as usize)?;
    if zipped::is_zip(&head) {
        zipped::entries(archive, number, sink)
    } else {
        tarball::entries(archive, number, sink)
    }
}

/// What an entry is whose `path` is as the archive has it; `Err` with what is wrong with the path. A path that leads out of the
/// archive is never followed, but says that the archive is not what it seems.
pub(crate) fn entry_name(path: &str) -> Result<Option<String>, String> {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    if parts.contains(&"..") {
        return Err(path.to_owned());
    }
    if parts.is_empty() || parts.iter().any(|p| names::is_system(p)) {
        return Ok(None);
    }
    Ok(Some(parts.join("/")))
}

/// The entry of a regular file of this name.
pub(crate) fn file_entry(name: String, place: Place, head: impl FnOnce() -> Option<Vec<u8>>) -> Entry {
    let file = name.rsplit('/').next().unwrap_or_default();
    if LISTS.contains(&file) {
        return Entry::List(name, place);
    }
    match names::look(file, head) {
        Kind::Image => Entry::Image(name, place),
        Kind::Unread => Entry::Unread(name),
        Kind::Other if webdataset::LABELS.contains(&names::extension(file).as_str()) => {
            Entry::Label(name, place)
        }
        Kind::Other => Entry::Other(name),
    }
}

/// Lists archives, of the images those whose paths `keep` wants.
pub(crate) fn index(paths: &[PathBuf], keep: &dyn Fn(&str) -> bool) -> Result<Index, Error> {
    let mut archives = Vec::new();
    let (mut images, mut folders, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    let (mut lists, mut unread, mut left_out) = (Vec::new(), Vec::new(), LeftOut::default());
    let mut count = 0;
    for (number, path) in (0..).zip(paths) {
        let archive = Archive::open(path)?;
        entries(&archive, number, &mut |entry| {
            match entry {
                Entry::Folder(name) => folders.push(name),
                Entry::List(name, place) => lists.push((name, place)),
                Entry::Label(name, place) => labels.push((name, place)),
                Entry::Image(name, place) if keep(&name) => images.push((name, place)),
                Entry::Image(..) => {}
                Entry::Unread(name) => unread.push(name),
                Entry::Other(name) => left_out.file(&name),
                Entry::Special => left_out.special += 1,
                Entry::Hidden => left_out.hidden += 1,
            }
            count += 1;
            if count > Limits::DEFAULT.entries {
                let expected = format!("at most {} entries", Limits::DEFAULT.entries);
                return Err(Error::layout(path.display(), expected, "more"));
            }
            Ok(())
        })?;
        archives.push(if paths.len() > MOST_OPEN { archive.closed() } else { archive });
    }
    // Stable, so that the archives stay in their order.
    images.sort_by(|a, b| a.0.cmp(&b.0));
    let store = Arc::new(Store { bytes: Bytes::Files(archives), encoding: Encoding::ImageFile });
    Ok(Index { store, images, folders, labels, unread, lists, left_out })
}

impl Index {
    pub fn archives(&self) -> &[Archive] {
        match &self.store.bytes {
            Bytes::Files(archives) => archives,
            _ => &[],
        }
    }

    /// The archive that a place is in.
    pub fn archive(&self, place: &Place) -> Option<&Archive> {
        match place {
            Place::Span { file, .. } | Place::Packed { file, .. } => self.archives().get(*file as usize),
            _ => None,
        }
    }

    /// The name without extension of the archive that a place is in.
    pub fn stem(&self, place: &Place) -> String {
        let stem = self.archive(place).and_then(|archive| archive.path.file_stem());
        stem.unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Of archives without folders, puts the images of each in a folder named after it. Then no path may be twice.
    pub fn settle(&mut self) -> Result<(), Error> {
        if self.archives().len() > 1 && self.images.iter().all(|(name, _)| !name.contains('/')) {
            let stems: Vec<String> = (self.archives().iter())
                .map(|archive| archive.path.file_stem().unwrap_or_default().to_string_lossy().into_owned())
                .collect();
            for (name, place) in &mut self.images {
                if let Place::Span { file, .. } | Place::Packed { file, .. } = place {
                    *name = format!("{}/{name}", stems[*file as usize]);
                }
            }
            self.folders.extend(stems);
            self.images.sort_by(|a, b| a.0.cmp(&b.0));
        }
        if let Some([first, second]) = self.images.array_windows().find(|[a, b]| a.0 == b.0) {
            let path = |place: &Place| {
                self.archive(place).map_or(String::new(), |archive| archive.path.display().to_string())
            };
            let found = format!("{} in {} too", first.0, path(&first.1));
            return Err(Error::layout(path(&second.1), "every path in one shard", found));
        }
        Ok(())
    }

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

    /// The first of `files` directly below `prefix`, or else beside the archives.
    pub fn class_list(&self, prefix: &str, files: &[&str]) -> Result<Option<ClassList>, Error> {
        for file in files {
            let wanted = format!("{prefix}{file}");
            if let Some((name, place)) = self.lists.iter().rfind(|(name, _)| *name == wanted) {
                let text = self.store.bytes(name, place)?.into_owned();
                return ClassList::parse(self.store.locate(name, place), text).map(Some);
            }
        }
        let Some(first) = self.archives().first() else { return Ok(None) };
        ClassList::find_named(&[&beside(&first.path)], files)
    }

    /// What is below `prefix`, as class folders.
    pub fn listing(self, prefix: &str) -> Listing {
        let mut listing = Listing { left_out: self.left_out, ..Listing::default() };
        for (path, place) in self.images {
            let inside = &path[prefix.len()..];
            if inside.contains('/') {
                listing.images.push((inside.to_string(), place));
            } else {
                listing.left_out.outside += 1; // an image above the class folders
            }
        }
        let top = |folder: &String| {
            folder.strip_prefix(prefix)?.split('/').next().filter(|f| !f.is_empty()).map(Into::into)
        };
        listing.folders = self.folders.iter().filter_map(top).collect();
        for path in self.unread {
            match path.strip_prefix(prefix) {
                Some(inside) if inside.contains('/') => listing.unread.push(inside.to_owned()),
                _ => listing.left_out.unread(&path),
            }
        }
        self.labels.iter().for_each(|(path, _)| listing.left_out.file(path));
        listing
    }
}

/// The class folders in archives, or their images with the labels that lie beside them.
pub(crate) fn open(name: &str, layout: &'static str, paths: &[PathBuf]) -> Result<Dataset, Error> {
    let mut index = index(paths, &|_| true)?;
    if let Some(kind) = webdataset::recognise(&index)? {
        return webdataset::open(name, index, kind);
    }
    index.settle()?;
    let prefix = index.common_prefix(|_| false);
    let list = index.class_list(&prefix, &[classes::FILE])?;
    let store = index.store.clone();
    let (listing, loose) = (index.listing(&prefix), prefix.is_empty());
    if listing.images.is_empty() && loose && listing.left_out.outside > 0 {
        let found =
            format!("{} images without folders and without labels beside them", listing.left_out.outside);
        return Err(Error::layout(name, "a folder for each of two or more classes", found));
    }
    if let Some(error) = crate::folder::parts_of_a_set(name, &tops(&listing)) {
        return Err(error);
    }
    listing.into_dataset(name.into(), layout, list, store)
}

fn tops(listing: &Listing) -> BTreeSet<String> {
    let of_images = listing.images.iter().filter_map(|(path, _)| path.split_once('/'));
    of_images.map(|(top, _)| top.to_owned()).collect()
}

/// Whether a path has the extension of an archive that is read.
pub(crate) fn is_archive_name(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("tar"))
}
