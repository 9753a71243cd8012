//! What a command reads and what it writes, held against each other before it does either.
//!
//! Inputs are never outputs. What stands where an output goes is replaced only if it is known to be an earlier output of the
//! same kind, or if the user says so.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::read::{is_absent, kind};
use crate::walk::Identity;
use crate::{Error, check_writable, describe, identity, remove_leftovers, same_file};

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

    /// A file or folder that is read, or would be if it were there; of a folder, the files that the command knows by name.
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
        let mut seen = Seen::default();
        for input in &self.inputs {
            seen.inputs.entry(real(&input.path)).or_insert(&input.name);
            if let Ok(identity) = identity(&input.path) {
                seen.identities.entry(identity).or_insert(&input.name);
            }
        }
        for (name, path) in &self.folders {
            self.check_folder(name, path, &mut seen)?;
        }
        for (name, path, ours) in &self.files {
            self.check_file(name, path, *ours, &mut seen)?;
        }
        Ok(())
    }

    fn check_folder<'a>(&'a self, name: &'a str, path: &Path, seen: &mut Seen<'a>) -> Result<(), Error> {
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
        if let Some(input) = seen.input(path) {
            return Err(clash(path, name, input));
        }
        if let Some(input) = self.inputs.iter().find(|i| i.whole && is_below(there, &i.path)) {
            return Err(clash(path, name, &input.name));
        }
        if let Some(other) = seen.outputs.insert(real(path), name) {
            return Err(clash(path, name, &format!("what {other} writes")));
        }
        if there == path {
            remove_leftovers(path);
        }
        check_writable(&there.join("x")).map_err(|error| match error {
            Error::Io { source, .. } => Error::Io { path: path.to_owned(), action: "write into", source },
            other => other,
        })
    }

    fn check_file<'a>(
        &'a self,
        name: &'a str,
        path: &Path,
        ours: Ours,
        seen: &mut Seen<'a>,
    ) -> Result<(), Error> {
        let there = match fs::metadata(path) {
            Ok(m) if m.is_file() => true,
            Ok(m) if m.is_dir() => return Err(Error::unexpected(path, "a file to write", "a folder")),
            // A terminal or a pipe holds nothing that could be lost; whatever else it is, it is refused.
            Ok(_) => return check_writable(path),
            Err(e) if is_absent(&e) => false,
            Err(e) => return Err(Error::io(path, "look at")(e)),
        };
        if let Some(input) = seen.input(path) {
            return Err(clash(path, name, input));
        }
        if let Some(other) = seen.output(path, name) {
            return Err(clash(path, name, &format!("what {other} writes")));
        }
        let folder = folder_of(path);
        if there {
            let mut head = Vec::new();
            let file = fs::File::open(path).map_err(Error::io(path, "look at"))?;
            file.take(HEAD).read_to_end(&mut head).map_err(Error::io(path, "look at"))?;
            if !head.is_empty() && !ours(&head) {
                if let Some(input) = self.inputs.iter().find(|i| i.whole && is_below(path, &i.path)) {
                    return Err(clash(path, name, &input.name));
                }
                if !self.overwrite {
                    return Err(Error::Exists {
                        path: path.to_owned(),
                        output: name.to_owned(),
                        found: describe(&head).unwrap_or("a file").to_owned(),
                    });
                }
            }
        } else if !folder.exists() && self.folders.iter().any(|(_, f)| folder.starts_with(f)) {
            // The folder is made when it is written into.
            return Ok(());
        }
        // A link may lead to another folder than its own.
        let first = seen.folders.insert(folder.to_owned());
        if first {
            remove_leftovers(folder);
        }
        if first || fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink()) {
            return check_writable(path);
        }
        Ok(())
    }
}

/// What was met while claims are checked, so that many of them are held against each other in one go.
#[derive(Default)]
struct Seen<'a> {
    /// Names of inputs by their real path, whether something stands there or not.
    inputs: HashMap<PathBuf, &'a str>,
    /// The same by what stands there, whatever its path.
    identities: HashMap<Identity, &'a str>,
    /// Names of outputs by their real path.
    outputs: HashMap<PathBuf, &'a str>,
    /// The same by what stands there.
    written: HashMap<Identity, &'a str>,
    /// The same by path in small letters, for file systems that take `A` and `a` for one.
    small: HashMap<PathBuf, &'a str>,
    /// Folders that were found writable.
    folders: HashSet<PathBuf>,
}

impl<'a> Seen<'a> {
    /// The input that `path` is, if it is one.
    fn input(&self, path: &Path) -> Option<&'a str> {
        let same = identity(path).ok().and_then(|identity| self.identities.get(&identity));
        same.or_else(|| self.inputs.get(&real(path))).copied()
    }

    /// The earlier output at the same place as `path`, if there is one.
    fn output(&mut self, path: &Path, name: &'a str) -> Option<&'a str> {
        let real = real(path);
        let small = PathBuf::from(real.to_string_lossy().to_lowercase());
        let other = self.small.insert(small, name).filter(|_| ignores_case(folder_of(&real)));
        let linked = identity(path).ok().and_then(|identity| self.written.insert(identity, name));
        self.outputs.insert(real, name).or(linked).or(other)
    }
}

fn clash(path: &Path, output: &str, input: &str) -> Error {
    Error::InputIsOutput { path: path.to_owned(), output: output.to_owned(), input: input.to_owned() }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The path without links and steps back, as far as what it names is there.
fn real(path: &Path) -> PathBuf {
    if let Ok(real) = fs::canonicalize(path) {
        return real;
    }
    match (path.file_name(), path.parent()) {
        (Some(name), Some(_)) => {
            let folder = folder_of(path);
            fs::canonicalize(folder).unwrap_or_else(|_| real_folder(folder)).join(name)
        }
        _ => path.to_owned(),
    }
}

/// [`real`] of a folder that isn't there.
fn real_folder(folder: &Path) -> PathBuf {
    if folder == Path::new(".") { folder.to_owned() } else { real(folder) }
}

/// Whether the file system of a folder takes names that differ in case for one: whether the folder, or one above it, answers to
/// its name in the other case.
fn ignores_case(folder: &Path) -> bool {
    for folder in folder.ancestors() {
        let Some(name) = folder.file_name().and_then(|n| n.to_str()) else { continue };
        let other: String = name
            .chars()
            .map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
            .collect();
        if other != name && folder.exists() {
            return same_file(folder, &folder.with_file_name(other));
        }
    }
    false
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
            #[cfg(unix)]
            let _ = std::os::unix::fs::symlink("data/cat/1.png", at("link"));
            let paths = ["w.pth", "data/../w.pth", "same.pth", "data/cat/1.png", "link"];
            for path in paths.into_iter().filter(|p| at(p).exists()) {
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
        let twice = |a: &str, b: &str| {
            Claims::new(true).file("--json", &at(a), json).file("--csv", &at(b), json).check().is_err()
        };
        fs::create_dir(at("below")).unwrap();
        fs::hard_link(at("ours"), at("linked")).unwrap();
        for (a, b) in [("new", "new"), ("new", "below/../new"), ("ours", "linked")] {
            assert!(twice(a, b), "{a}, {b}");
        }
        assert!(!twice("new", "below/new"));
        let mut both = Claims::new(true);
        both.file("--out", &at("x"), json).folder("the runs", &at("below/../x"));
        assert!(both.check().is_err());
        let error = Claims::new(false).folder("--out", &at("mine/x")).check().unwrap_err().to_string();
        assert!(error.contains("expected a folder, found a file"), "{error}");
    }

    #[test]
    fn a_file_that_would_be_read_is_none_to_write() {
        let folder = tempfile::tempdir().unwrap();
        let beside = folder.path().join("net.json");
        let error = Claims::new(true)
            .input("what lies beside --classifier", &beside)
            .file("--json", &folder.path().join("./net.json"), json)
            .check()
            .unwrap_err()
            .to_string();
        assert!(error.contains("--json would be written over what lies beside --classifier"), "{error}");
    }

    #[test]
    fn many_outputs_are_checked_in_one_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut claims = Claims::new(false);
        for i in 0..20_000 {
            claims.input("the images", &folder.path().join(format!("{i}.jpg")));
            claims.file("--out", &folder.path().join(format!("{i}.png")), json);
        }
        let started = std::time::Instant::now();
        claims.check().unwrap();
        // All against all would take minutes.
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    }

    #[test]
    fn devices_may_be_written() {
        if cfg!(unix) {
            Claims::new(false).file("--json", "/dev/null".as_ref(), json).check().unwrap();
        }
    }
}
