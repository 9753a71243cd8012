//! Weights that lie in files beside a model's.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use dyntta_files::shown_text;

use crate::Tensor;

/// The files beside a model's, each opened once. A model must not be able to read files that are none of its own.
#[derive(Debug)]
pub struct Beside {
    model: PathBuf,
    /// Those that were asked for, by path.
    opened: RefCell<BTreeMap<PathBuf, File>>,
}

impl Beside {
    /// Beside a model's file.
    pub fn new(model: &Path) -> Self {
        Self { model: model.to_owned(), opened: RefCell::default() }
    }

    /// The bytes of a tensor that lies in another file: `len` of them where that is known, else as many as the tensor says or
    /// there are; more than `most` are not read.
    ///
    /// # Errors
    /// A message that says what is wrong with the tensor.
    pub fn read(&self, tensor: &Tensor, len: Option<u64>, most: u64) -> Result<Vec<u8>, String> {
        let entry = |key: &str| tensor.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(v) => v
                .parse::<u64>()
                .map(Some)
                .map_err(|_| format!("has the {key} `{}` in its data file", shown_text(v))),
        };
        let location = entry("location").ok_or("lies in another file, which is not named")?;
        let name = shown_text(location);
        if !Path::new(location).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) {
            return Err(format!("lies in `{name}`, which is not beside the model"));
        }
        let offset = number("offset")?.unwrap_or(0);
        let given = number("length")?;
        if let (Some(len), Some(given)) = (len, given)
            && given != len
        {
            return Err(format!("takes {len} bytes, but has {given} in `{name}`"));
        }
        let failed = |e: io::Error| format!("cannot be read from `{name}`: {e}");
        let path = self.folder().join(location);
        let mut opened = self.opened.borrow_mut();
        let file = match opened.entry(path) {
            Entry::Occupied(file) => file.into_mut(),
            Entry::Vacant(place) => {
                let file = self.open(place.key(), location)?;
                place.insert(file)
            }
        };
        let there = file.metadata().map_err(failed)?.len();
        let len = len.or(given).unwrap_or(there.saturating_sub(offset));
        if offset.checked_add(len).is_none_or(|end| end > there) {
            return Err(format!("takes {len} bytes from {offset} on in `{name}`, which has {there}"));
        }
        if len > most {
            return Err("makes the model larger than is read".into());
        }
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut bytes = vec![0; usize::try_from(len).map_err(|e| failed(io::Error::other(e)))?];
        file.read_exact(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    /// Goes through the files that were opened, in the order of their paths.
    ///
    /// # Errors
    /// Those of `each`.
    pub fn each<E>(&self, mut each: impl FnMut(&Path, &File) -> Result<(), E>) -> Result<(), E> {
        self.opened.borrow().iter().try_for_each(|(path, file)| each(path, file))
    }

    fn folder(&self) -> &Path {
        self.model.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// Opens a file that lies beside the model's, or where links of both lead.
    fn open(&self, path: &Path, location: &str) -> Result<File, String> {
        let name = shown_text(location);
        let failed = |e: io::Error| format!("cannot be read from `{name}`: {e}");
        let inside = path.canonicalize().map_err(failed)?;
        // A cache may keep model and data in one folder, and links to both of them in another.
        let real = self.model.canonicalize().ok().and_then(|m| m.parent().map(Path::to_path_buf));
        let roots = [Some(self.folder().canonicalize().map_err(failed)?), real];
        if !roots.iter().flatten().any(|root| inside.starts_with(root)) {
            return Err(format!("lies in `{name}`, a link to what is not beside the model"));
        }
        dyntta_files::open(path).map_err(|e| format!("cannot be read: {}", shown_text(&e.to_string())))
    }
}
