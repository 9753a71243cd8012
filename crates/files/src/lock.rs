//! A lock on a folder: one process works in it at a time. The system lets go of it when the process ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::Error;

/// The file that is locked, in the folder. It stays when the lock is let go: removing it would let two processes hold locks
/// on two files of that name.
const NAME: &str = ".lock";

/// A lock on a folder, held until dropped.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "open as long as it is held")] File);

impl Lock {
    /// Locks a folder that exists. `command` says who works in it, for the message that others get.
    ///
    /// # Errors
    /// [`Error::Locked`] with the process that holds it, and [`Error::Io`].
    pub fn folder(folder: &Path, command: &str) -> Result<Self, Error> {
        let path = folder.join(NAME);
        let io = |action| Error::io(&path, action);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io("lock"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // It may be about to write itself down.
                let _ = file.take(200).read_to_string(&mut holder);
                let holder = if holder.is_empty() { "another process" } else { holder.trim() };
                return Err(Error::Locked {
                    path: folder.to_owned(),
                    holder: crate::shown_text(holder).to_string(),
                });
            }
            // A file system without locks: nothing can be promised there, and nothing is refused.
            Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(e)) => return Err(io("lock")(e)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "process {} ({command})", std::process::id()))
            .map_err(Error::io(&path, "write"))?;
        Ok(Self(file))
    }
}

#[cfg(test)]
mod tests {
    use super::Lock;

    #[test]
    fn a_second_lock_is_refused_with_the_holder_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::folder(folder.path(), "dyntta train").unwrap();
        let error = Lock::folder(folder.path(), "dyntta train").unwrap_err().to_string();
        assert!(error.contains(&format!("process {} (dyntta train)", std::process::id())), "{error}");
        drop(first);
        Lock::folder(folder.path(), "dyntta train").unwrap();
    }
}
