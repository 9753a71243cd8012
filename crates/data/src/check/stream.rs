//! The files of a folder or of tars, one after the other.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use dyntta_image::{Decode, Decoded, is_image_name};

use crate::classes::{self, ClassList};
use crate::store::Archive;
use crate::{Error, tarball};

/// Where files are streamed from.
pub(super) enum Streamed {
    Folder,
    Tars(Vec<PathBuf>),
}

/// Something to look at.
pub(super) enum Item {
    Folder(String),
    Other,
    Broken(String, Error),
    /// A `classes.txt` in a tar, by its path there.
    List(String, ClassList),
    File {
        folder: String,
        path: PathBuf,
    },
    Entry {
        folder: String,
        name: String,
        archive: Arc<Archive>,
        offset: u64,
        len: u64,
    },
}

/// What it was; folders are paths below the set's, `""` the set's own, and `/stem` the top of one of several tars.
pub(super) enum Seen {
    Folder(String),
    Other,
    Broken(String, Error),
    List(String, ClassList),
    Image { folder: String, place: String, size: Result<(usize, usize), Error> },
}

impl Item {
    /// Reads and decodes it, if it is an image.
    pub(super) fn look(self) -> Seen {
        let size = |decoded: Decoded| (decoded.image.width, decoded.image.height);
        match self {
            Self::Folder(name) => Seen::Folder(name),
            Self::Other => Seen::Other,
            Self::Broken(place, error) => Seen::Broken(place, error),
            Self::List(name, list) => Seen::List(name, list),
            Self::File { folder, path } => {
                let read = dyntta_image::read_with(&path, &Decode::STORED).map(size).map_err(Error::from);
                Seen::Image { folder, place: path.display().to_string(), size: read }
            }
            Self::Entry { folder, name, archive, offset, len } => {
                let place = format!("{}:{name}", archive.path.display());
                let bytes = archive.read_at(offset, len as usize);
                let read = bytes
                    .and_then(|bytes| Ok(size(dyntta_image::decode_with(&bytes, &place, &Decode::STORED)?)));
                Seen::Image { folder, place, size: read }
            }
        }
    }
}

/// Files found ahead of those who read them.
const AHEAD: usize = 256;

/// The files, found on a thread of its own; it ends when nobody takes them any more.
pub(super) fn items(root: &Path, source: Streamed) -> Receiving {
    let (sender, receiver) = sync_channel(AHEAD);
    let root = root.to_path_buf();
    thread::spawn(move || {
        let send = |item: Item| sender.send(item).is_ok();
        match source {
            Streamed::Folder => walk(&root, &send),
            Streamed::Tars(tars) => hop(&tars, &send),
        };
    });
    Receiving(receiver)
}

pub(super) struct Receiving(Receiver<Item>);

impl Iterator for Receiving {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        self.0.recv().ok()
    }
}

/// Every folder's files as the system lists them; `None` when nobody wants more.
fn walk(root: &Path, send: &dyn Fn(Item) -> bool) -> Option<()> {
    let want = |item: Item| send(item).then_some(());
    let mut folders = VecDeque::from([String::new()]);
    while let Some(folder) = folders.pop_front() {
        let at = root.join(&folder);
        let listing = match fs::read_dir(&at) {
            Ok(listing) => listing,
            Err(error) => {
                want(Item::Broken(at.display().to_string(), Error::io(&at, "list", error)))?;
                continue;
            }
        };
        for entry in listing {
            let (path, name) = match entry {
                Ok(entry) => (entry.path(), entry.file_name()),
                Err(error) => {
                    want(Item::Broken(at.display().to_string(), Error::io(&at, "list", error)))?;
                    continue;
                }
            };
            let place = path.display().to_string();
            let Some(name) = name.to_str() else {
                let error = Error::layout(&place, "a name in UTF-8", "other bytes");
                want(Item::Broken(place, error))?;
                continue;
            };
            if name.starts_with('.') {
                continue;
            }
            // Follows links.
            let kind = match fs::metadata(&path) {
                Ok(kind) => kind,
                Err(error) => {
                    want(Item::Broken(place, Error::io(&path, "follow", error)))?;
                    continue;
                }
            };
            if kind.is_dir() {
                let inside = if folder.is_empty() { name.to_string() } else { format!("{folder}/{name}") };
                // Empty class folders are to be known; so many levels as classes have, no more.
                if inside.split('/').count() <= 3 {
                    want(Item::Folder(inside.clone()))?;
                }
                folders.push_back(inside);
            } else if is_image_name(name) {
                want(Item::File { folder: folder.clone(), path })?;
            } else if name != classes::FILE {
                want(Item::Other)?;
            }
        }
    }
    Some(())
}

/// Every tar's entries.
fn hop(tars: &[PathBuf], send: &dyn Fn(Item) -> bool) -> Option<()> {
    let want = |item: Item| send(item).then_some(());
    for path in tars {
        let place = path.display().to_string();
        let archive = match Archive::open(path) {
            Ok(archive) => Arc::new(archive),
            Err(error) => {
                want(Item::Broken(place, error))?;
                continue;
            }
        };
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let top = if tars.len() > 1 { format!("/{stem}") } else { String::new() };
        let mut wanted = true;
        let listed = tarball::entries(&archive, &mut |entry| {
            wanted = wanted
                && match entry {
                    tarball::Entry::Folder(name) => send(Item::Folder(name)),
                    tarball::Entry::List(name, offset, len) => {
                        let place = format!("{}:{name}", path.display());
                        let text = archive.read_at(offset, len as usize);
                        send(match text.and_then(|text| ClassList::parse(place.clone(), &text)) {
                            Ok(list) => Item::List(name, list),
                            Err(error) => Item::Broken(place, error),
                        })
                    }
                    tarball::Entry::Other => send(Item::Other),
                    tarball::Entry::Image(name, offset, len) => {
                        let folder = match name.rsplit_once('/') {
                            Some((folder, _)) => folder.to_string(),
                            None => top.clone(),
                        };
                        send(Item::Entry { folder, name, archive: archive.clone(), offset, len })
                    }
                };
            if wanted { Ok(()) } else { Err(Error::layout("", "", "")) }
        });
        match listed {
            _ if !wanted => return None,
            Err(error) => want(Item::Broken(place, error))?,
            Ok(()) => {}
        }
    }
    Some(())
}
