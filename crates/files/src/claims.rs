//! What a command reads and what it writes, held against each other before it does either.
//!
//! Inputs are never outputs. What stands where an output goes is replaced only if it is known to be an earlier output of the
//! same kind, or if the user says so.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::read::{is_absent, kind};
use crate::{Error, check_writable, describe, remove_leftovers, same_file};

/// Whether a file that begins with these bytes (up to 64 KiB) is an earlier output, which may be replaced.
pub type Ours = fn(&[u8]) -> bool;

/// How much of a file an [`Ours`] is shown.
const HEAD: u64 = 64 << 10;

/// The inputs and outputs of a command.
#[derive(Debug, Default)]
pub struct Claims {
    inputs: Vec<Input>,
    files: Vec<(String, PathBuf, Ours)>,
    folders: Vec<(String, PathBuf)>,
    overwrite: bool,
}

#[derive(Debug)]
struct Input {
    name: String,
    path: PathBuf,
    /// Whether all below it is read too.
    whole: bool,
}

impl Claims {
    /// No claims yet. With `overwrite`, what stands where an output goes is replaced, unless it is an input.
    pub fn new(overwrite: bool) -> Self {
        Self { overwrite, ..Self::default() }
    }

    /// A file or folder that is read; of a folder, the files that the command knows by name.
    pub fn input(&mut self, name: &str, path: &Path) -> &mut Self {
        self.inputs.push(Input { name: name.to_owned(), path: path.to_owned(), whole: false });
        self
    }

    /// A file that is read, or a folder with all that is below it.
    pub fn data(&mut self, name: &str, path: &Path) -> &mut Self {
        self.inputs.push(Input { name: name.to_owned(), path: path.to_owned(), whole: true });
        self
    }

    /// A file that is written; `ours` tells an earlier one.
    pub fn file(&mut self, name: &str, path: &Path, ours: Ours) -> &mut Self {
        self.files.push((name.to_owned(), path.to_owned(), ours));
        self
    }

    /// A folder that is made, if it isn't there, and written into. What is written there, where it may stand already, is to be
    /// claimed file by file.
    pub fn folder(&mut self, name: &str, path: &Path) -> &mut Self {
        self.folders.push((name.to_owned(), path.to_owned()));
        self
    }

    /// Holds all claims against each other and against what is there. Nothing is made or changed but that temporary files of
    /// killed runs, where outputs go, are removed.
    ///
    /// # Errors
    /// [`Error::InputIsOutput`], [`Error::Exists`], [`Error::Unexpected`] for a folder where a file goes or the other way round,
    /// and [`Error::Io`] where nothing can be written.
    pub fn check(&self) -> Result<(), Error> {
        for (name, path) in &self.folders {
            self.check_folder(name, path)?;
        }
        for (i, (name, path, ours)) in self.files.iter().enumerate() {
            if let Some((other, ..)) =
                self.files[..i].iter().find(|(_, p, _)| p == path || same_file(p, path))
            {
                let input = format!("what {other} writes");
                return Err(Error::InputIsOutput { path: path.clone(), output: name.clone(), input });
            }
            self.check_file(name, path, *ours)?;
        }
        Ok(())
    }

    fn check_folder(&self, name: &str, path: &Path) -> Result<(), Error> {
        let clash = |input: &Input| Error::InputIsOutput {
            path: path.to_owned(),
            output: name.to_owned(),
            input: input.name.clone(),
        };
        // The folder, or the nearest above it that is there.
        let mut there = path;
        loop {
            match fs::metadata(there) {
                Ok(m) if m.is_dir() => break,
                Ok(m) => return Err(Error::unexpected(there, "a folder", kind(m.file_type()))),
                Err(e) if is_absent(&e) => {}
                Err(e) => return Err(Error::io(there, "look at")(e)),
            }
            match there.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => there = parent,
                _ => there = Path::new("."),
            }
        }
        for input in &self.inputs {
            if same_file(path, &input.path) || input.whole && is_below(there, &input.path) {
                return Err(clash(input));
            }
        }
        if there == path {
            remove_leftovers(path);
        }
        check_writable(&there.join("x")).map_err(|error| match error {
            Error::Io { source, .. } => Error::Io { path: path.to_owned(), action: "write into", source },
            other => other,
        })
    }

    fn check_file(&self, name: &str, path: &Path, ours: Ours) -> Result<(), Error> {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let made = self.folders.iter().any(|(_, f)| folder.starts_with(f));
        match fs::metadata(path) {
            Ok(m) if m.is_file() => {}
            Ok(m) if m.is_dir() => return Err(Error::unexpected(path, "a file to write", "a folder")),
            // A device or a pipe holds nothing that could be lost.
            Ok(_) => return Ok(()),
            // The folder is made when it is written into.
            Err(e) if is_absent(&e) && made => return Ok(()),
            Err(e) if is_absent(&e) => {
                remove_leftovers(folder);
                return check_writable(path);
            }
            Err(e) => return Err(Error::io(path, "look at")(e)),
        }
        let clash = |input: &Input| Error::InputIsOutput {
            path: path.to_owned(),
            output: name.to_owned(),
            input: input.name.clone(),
        };
        if let Some(input) = self.inputs.iter().find(|i| same_file(path, &i.path)) {
            return Err(clash(input));
        }
        let mut head = Vec::new();
        let file = fs::File::open(path).map_err(Error::io(path, "look at"))?;
        file.take(HEAD).read_to_end(&mut head).map_err(Error::io(path, "look at"))?;
        if !head.is_empty() && !ours(&head) {
            if let Some(input) = self.inputs.iter().find(|i| i.whole && is_below(folder, &i.path)) {
                return Err(clash(input));
            }
            if !self.overwrite {
                return Err(Error::Exists {
                    path: path.to_owned(),
                    output: name.to_owned(),
                    found: describe(&head).unwrap_or("a file").to_owned(),
                });
            }
        }
        remove_leftovers(folder);
        check_writable(path)
    }
}

/// Whether `path`, which is there, is `folder` or lies below it.
fn is_below(path: &Path, folder: &Path) -> bool {
    let (Ok(path), Ok(folder)) = (fs::canonicalize(path), fs::canonicalize(folder)) else { return false };
    folder.is_dir() && path.starts_with(folder)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Claims;

    fn json(head: &[u8]) -> bool {
        head.starts_with(b"{\"program\":\"dyntta\"")
    }

    #[test]
    fn an_input_is_no_output_whatever_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("data/cat")).unwrap();
        fs::write(at("data/cat/1.png"), "pixels").unwrap();
        fs::write(at("w.pth"), "weights").unwrap();
        fs::hard_link(at("w.pth"), at("same.pth")).unwrap();
        for overwrite in [false, true] {
            let claims = || {
                let mut claims = Claims::new(overwrite);
                claims.data("--data", &at("data")).input("--classifier", &at("w.pth"));
                claims
            };
            for path in ["w.pth", "data/../w.pth", "same.pth", "data/cat/1.png"] {
                let error = claims().file("--json", &at(path), json).check().unwrap_err().to_string();
                assert!(error.contains("--json would be written over --"), "{path}: {error}");
            }
            for path in ["data", "data/cat", "data/new/deep"] {
                let error = claims().folder("--out", &at(path)).check().unwrap_err().to_string();
                assert!(error.contains("--out would be written over --data"), "{path}: {error}");
            }
            claims()
                .folder("--out", &at("new/deep"))
                .file("--json", &at("data/new.json"), json)
                .check()
                .unwrap();
        }
        assert!(!at("new").exists() && !at("data/new.json").exists());
    }

    #[test]
    fn what_is_there_stays_unless_it_is_ours() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("mine"), "notes").unwrap();
        fs::write(at("ours"), "{\"program\":\"dyntta\"}").unwrap();
        fs::write(at("empty"), "").unwrap();
        let check = |name: &str, overwrite| {
            Claims::new(overwrite).file("--json", &at(name), json).check().map_err(|e| e.to_string())
        };
        let error = check("mine", false).unwrap_err();
        assert!(
            error.contains("--json would be written over a file") && error.contains("--overwrite"),
            "{error}"
        );
        for (name, overwrite) in [("mine", true), ("ours", false), ("empty", false), ("new", false)] {
            check(name, overwrite).unwrap();
        }
        assert!(check("no/folder", false).is_err());
        assert_eq!(fs::read_to_string(at("mine")).unwrap(), "notes");
        let mut twice = Claims::new(true);
        twice.file("--json", &at("new"), json).file("--csv", &at("new"), json);
        assert!(twice.check().is_err());
        let error = Claims::new(false).folder("--out", &at("mine/x")).check().unwrap_err().to_string();
        assert!(error.contains("expected a folder, found a file"), "{error}");
    }

    #[test]
    fn devices_may_be_written() {
        if cfg!(unix) {
            Claims::new(false).file("--json", "/dev/null".as_ref(), json).check().unwrap();
        }
    }
}
