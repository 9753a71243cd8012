//! The files of a model: its own, and those beside it with its weights. Each is opened once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use dyntta_files::shown_text;
use sha2::{Digest, Sha256};

use super::proto;
use crate::error::Error;

/// Where a model's weights come from.
pub(super) struct Files {
    model: PathBuf,
    /// The SHA-256 of its bytes in hexadecimal digits.
    digest: String,
    /// Those that were asked for, by path.
    beside: RefCell<BTreeMap<PathBuf, File>>,
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Files {
    /// Of a model's file and what was read from it.
    pub fn new(model: &Path, bytes: &[u8]) -> Self {
        let digest = hex(Sha256::new_with_prefix(bytes));
        Self { model: model.to_owned(), digest, beside: RefCell::default() }
    }

    /// The digest of what was read: of the model's file, or of that and of the digests of those beside it, in the order of their
    /// paths.
    ///
    /// # Errors
    /// If one of them can't be read.
    pub fn digest(&self) -> Result<String, Error> {
        let mut all = vec![self.digest.clone()];
        let mut buffer = vec![0; 1 << 16];
        for (path, file) in self.beside.borrow().iter() {
            let mut file: &File = file;
            let mut hash = Sha256::new();
            file.rewind().map_err(Error::io(path))?;
            loop {
                match file.read(&mut buffer).map_err(Error::io(path))? {
                    0 => break,
                    n => hash.update(&buffer[..n]),
                }
            }
            all.push(hex(hash));
        }
        Ok(match &all[..] {
            [one] => one.clone(),
            several => hex(Sha256::new_with_prefix(several.concat())),
        })
    }

    /// The bytes of a tensor that lies in a file beside the model's.
    ///
    /// # Errors
    /// A message that says what is wrong with the tensor.
    pub fn read(&self, tensor: &proto::Tensor, len: usize) -> Result<Vec<u8>, String> {
        let entry = |key: &str| tensor.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(v) => {
                v.parse::<u64>().map(Some).map_err(|_| format!("has the {key} `{v}` in its data file"))
            }
        };
        let location = entry("location").ok_or("lies in another file, which is not named")?;
        // A model must not be able to read files that are none of its own.
        if !Path::new(location).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) {
            return Err(format!("lies in `{location}`, which is not beside the model"));
        }
        let offset = number("offset")?.unwrap_or(0);
        if let Some(given) = number("length")?.filter(|&n| n != len as u64) {
            return Err(format!("takes {len} bytes, but has {given} in `{location}`"));
        }
        let failed = |e: std::io::Error| format!("cannot be read from `{location}`: {e}");
        let mut beside = self.beside.borrow_mut();
        let path = self.model.parent().unwrap_or(Path::new("")).join(location);
        if !beside.contains_key(&path) {
            beside.insert(path.clone(), self.open(&path, location)?);
        }
        let Some(mut file) = beside.get(&path) else { return Err(format!("lies in `{location}`")) };
        let there = file.metadata().map_err(failed)?.len();
        if offset.checked_add(len as u64).is_none_or(|end| end > there) {
            return Err(format!("takes {len} bytes from {offset} on in `{location}`, which has {there}"));
        }
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut bytes = vec![0; len];
        file.read_exact(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    /// Opens a file that lies beside the model's, or where links of both lead.
    fn open(&self, path: &Path, location: &str) -> Result<File, String> {
        let failed = |e: std::io::Error| format!("cannot be read from `{location}`: {e}");
        let folder = self.model.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let inside = path.canonicalize().map_err(failed)?;
        // A cache may keep model and data in one folder, and links to both of them in another.
        let real = self.model.canonicalize().ok().and_then(|m| m.parent().map(Path::to_path_buf));
        let roots = [Some(folder.canonicalize().map_err(failed)?), real];
        if !roots.iter().flatten().any(|root| inside.starts_with(root)) {
            return Err(format!("lies in `{location}`, a link to what is not beside the model"));
        }
        dyntta_files::open(path).map_err(|e| format!("cannot be read: {}", shown_text(&e.to_string())))
    }
}
