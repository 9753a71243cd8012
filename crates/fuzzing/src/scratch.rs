//! The folder of a reader that wants paths.

use std::io;
use std::path::{Path, PathBuf};

use crate::Target;

/// A target with its folder, which is used again for every input and removed at the end.
pub struct Scratch {
    target: &'static Target,
    folder: tempfile::TempDir,
}

impl Scratch {
    /// A fresh folder with the files that the target finds beside its input.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new(target: &'static Target) -> io::Result<Self> {
        // In memory where the system has such a place: an input is written for every run.
        let memory = Path::new("/dev/shm");
        let folder = match memory.is_dir().then(|| tempfile::tempdir_in(memory)) {
            Some(Ok(folder)) => folder,
            _ => tempfile::tempdir()?,
        };
        let scratch = Self { target, folder };
        for (name, bytes) in (target.beside)() {
            scratch.write(name, &bytes)?;
        }
        Ok(scratch)
    }

    /// The target.
    pub fn target(&self) -> &'static Target {
        self.target
    }

    /// Runs the target on an input.
    ///
    /// # Errors
    /// What the reader says is wrong with the input, with `T` for this folder.
    pub fn run(&self, bytes: &[u8]) -> Result<(), String> {
        let folder = self.folder.path().to_string_lossy();
        (self.target.run)(bytes, self).map_err(|message| message.replace(&*folder, "T"))
    }

    /// Where a file of this name lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, in folders made as needed.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.path(name);
        if let Some(parent) = path.parent()
            && !parent.is_dir()
        {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&path, bytes)?;
        Ok(path)
    }

    /// As [`Self::write`] for the input of a target, where a failure is the machine's fault and ends the run.
    pub(crate) fn input(&self, name: &str, bytes: &[u8]) -> PathBuf {
        self.write(name, bytes).expect("the scratch folder can be written")
    }
}
