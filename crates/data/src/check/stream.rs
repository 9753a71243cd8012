//! The files of a folder or of tars, one after the other.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use dyntta_files::{Limits, identity};
use dyntta_image::{Decode, Exif, Rgb8, is_image_name};

use crate::Error;
use crate::archive::{self, Entry};
use crate::classes::{self, ClassList};
use crate::names::{self, Kind};
use crate::store::{Archive, Bytes, Encoding, Place, Store};

/// Where files are streamed from.
pub(super) enum Streamed {
    Folder,
    Tars(Vec<PathBuf>),
}

/// Something to look at.
pub(super) enum Item {
    Folder(String),
    Hidden,
    Special,
    Other(String),
    /// Folder and name.
    Unread(String, String),
    Broken(String, Error),
    /// A `classes.txt` in a tar, by its path there.
    List(String, ClassList),
    /// A file that is or may be an image.
    File {
        folder: String,
        name: String,
        path: PathBuf,
    },
    Entry {
        folder: String,
        name: String,
        store: Arc<Store>,
        place: Place,
    },
}

/// What it was; folders are paths below the set's, `""` the set's own, and `/stem` the top of one of several tars.
pub(super) enum Seen {
    Folder(String),
    Hidden,
    Special,
    Other(String),
    Unread(String, String),
    Broken(String, Error),
    List(String, ClassList),
    Image { folder: String, place: String, size: Result<(usize, usize), Error> },
}

impl Item {
    /// Reads and decodes it, if it is an image.
    pub(super) fn look(self) -> Seen {
        let size = |image: Rgb8| (image.width(), image.height());
        match self {
            Self::Folder(name) => Seen::Folder(name),
            Self::Hidden => Seen::Hidden,
            Self::Special => Seen::Special,
            Self::Other(name) => Seen::Other(name),
            Self::Unread(folder, name) => Seen::Unread(folder, name),
            Self::Broken(place, error) => Seen::Broken(place, error),
            Self::List(name, list) => Seen::List(name, list),
            Self::File { folder, name, path } => match names::look(&name, || names::head(&path)) {
                Kind::Image => {
                    let read = dyntta_image::read_with(&path, &Decode::STORED);
                    let read = read.map(|decoded| size(decoded.image)).map_err(Error::from);
                    Seen::Image { folder, place: path.display().to_string(), size: read }
                }
                Kind::Unread => Seen::Unread(folder, name),
                Kind::Other => Seen::Other(name),
            },
            Self::Entry { folder, name, store, place } => {
                let read = store.load(&name, &place, Exif::Ignore).map(size);
                Seen::Image { folder, place: store.locate(&name, &place), size: read }
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
    let mut above = Vec::new();
    match identity(root) {
        Ok(here) => above.push(here),
        Err(error) => {
            send(Item::Broken(root.display().to_string(), Error::io(root, "list", error))).then_some(())?
        }
    }
    // A link may lead to a folder above the set, which leads back.
    let real = fs::canonicalize(root).unwrap_or_default();
    above.extend(real.ancestors().skip(1).filter_map(|folder| identity(folder).ok()));
    step(root, "", &mut above, &|path| identity(path), send)
}

/// The files of one folder and of those in it. `above` are the identities of the folders that lead here: links may lead back
/// to them.
fn step<I: PartialEq>(
    at: &Path,
    folder: &str,
    above: &mut Vec<I>,
    identity: &dyn Fn(&Path) -> std::io::Result<I>,
    send: &dyn Fn(Item) -> bool,
) -> Option<()> {
    let want = |item: Item| send(item).then_some(());
    let broken = |path: &Path, action, error| {
        want(Item::Broken(path.display().to_string(), Error::io(path, action, error)))
    };
    let listing = match fs::read_dir(at) {
        Ok(listing) => listing,
        Err(error) => return broken(at, "list", error),
    };
    let mut folders = Vec::new();
    for entry in listing {
        let (path, name) = match entry {
            Ok(entry) => (entry.path(), entry.file_name()),
            Err(error) => {
                broken(at, "list", error)?;
                continue;
            }
        };
        let Some(name) = name.to_str() else {
            let place = path.display().to_string();
            let error = Error::layout(&place, "a name in UTF-8", "other bytes");
            want(Item::Broken(place, error))?;
            continue;
        };
        if names::is_system(name) {
            want(Item::Hidden)?;
            continue;
        }
        // Follows links.
        match fs::metadata(&path) {
            Err(error) if is_image_name(name) => broken(&path, "follow", error)?,
            Err(_) => want(Item::Special)?,
            Ok(kind) if kind.is_dir() => {
                let inside = if folder.is_empty() { name.to_string() } else { format!("{folder}/{name}") };
                folders.push((path, inside));
            }
            Ok(kind) if !kind.is_file() => want(Item::Special)?,
            Ok(_) if folder.is_empty() && name == classes::FILE => {}
            Ok(_) => want(Item::File { folder: folder.to_owned(), name: name.to_owned(), path })?,
        }
    }
    for (path, inside) in folders {
        let depth = inside.split('/').count();
        // Empty class folders are to be known; so many levels as classes have, no more.
        if depth <= 3 {
            want(Item::Folder(inside.clone()))?;
        }
        match identity(&path) {
            Err(error) => broken(&path, "list", error)?,
            Ok(here) if above.contains(&here) => {}
            Ok(_) if depth > Limits::DEFAULT.depth => {
                let place = path.display().to_string();
                let error = Error::layout(&place, "fewer folders inside folders", "more than are followed");
                want(Item::Broken(place, error))?;
            }
            Ok(here) => {
                above.push(here);
                step(&path, &inside, above, identity, send)?;
                above.pop();
            }
        }
    }
    Some(())
}

/// Every archive's entries.
fn hop(tars: &[PathBuf], send: &dyn Fn(Item) -> bool) -> Option<()> {
    let want = |item: Item| send(item).then_some(());
    for path in tars {
        let place = path.display().to_string();
        let archive = match Archive::open(path) {
            Ok(archive) => archive,
            Err(error) => {
                want(Item::Broken(place, error))?;
                continue;
            }
        };
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let top = if tars.len() > 1 { format!("/{stem}") } else { String::new() };
        let folder = |name: &str| name.rsplit_once('/').map_or(top.clone(), |(folder, _)| folder.to_owned());
        // One for listing, one for those who read.
        let store = match Archive::open(path) {
            Ok(archive) => {
                Arc::new(Store { bytes: Bytes::Files(vec![archive]), encoding: Encoding::ImageFile })
            }
            Err(error) => {
                want(Item::Broken(place, error))?;
                continue;
            }
        };
        let mut wanted = true;
        let listed = archive::entries(&archive, 0, &mut |entry| {
            wanted = wanted
                && match entry {
                    Entry::Folder(name) => send(Item::Folder(name)),
                    Entry::List(name, place) => {
                        let at = store.locate(&name, &place);
                        let text = store.bytes(&name, &place).map(Cow::into_owned);
                        send(match text.and_then(|text| ClassList::parse(at.clone(), text)) {
                            Ok(list) => Item::List(name, list),
                            Err(error) => Item::Broken(at, error),
                        })
                    }
                    Entry::Hidden => send(Item::Hidden),
                    Entry::Special => send(Item::Special),
                    Entry::Other(name) | Entry::Label(name, _) => send(Item::Other(name)),
                    Entry::Unread(name) => send(Item::Unread(folder(&name), name)),
                    Entry::Image(name, place) => {
                        send(Item::Entry { folder: folder(&name), name, store: store.clone(), place })
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
