//! The files below a folder. Links are followed, but none leads round in a circle: a folder is known again by its identity,
//! whatever path leads to it.

use std::io;
use std::path::{Path, PathBuf};

use crate::{Error, Limits};

/// What tells a file or folder from all others, whatever its path.
#[cfg(unix)]
pub(crate) type Identity = (u64, u64);
#[cfg(not(unix))]
pub(crate) type Identity = PathBuf;

/// The identity of what `path` leads to.
///
/// # Errors
/// If nothing stands there, or it can't be looked at.
pub fn identity(path: &Path) -> io::Result<Identity> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(path).map(|m| (m.dev(), m.ino()))
    }
    #[cfg(not(unix))]
    {
        std::fs::canonicalize(path)
    }
}

/// Whether two paths lead to one file or folder; not where nothing stands at one of them.
pub fn same_file(a: &Path, b: &Path) -> bool {
    matches!((identity(a), identity(b)), (Ok(a), Ok(b)) if a == b)
}

/// A file below a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The folder's path and then the file's way from there.
    pub path: PathBuf,
    /// Whether it is a regular file; a device, pipe, socket or a link that leads nowhere is not.
    pub regular: bool,
}

/// The files below `folder`, each folder's in the order of their names. `enter` says which folders to go into, by their path.
/// A link back to a folder that leads here is passed over.
///
/// # Errors
/// [`Error::Io`], and [`Error::Unexpected`] beyond the depth or the number of files of `limits`.
pub fn walk(
    folder: &Path,
    limits: &Limits,
    enter: &mut dyn FnMut(&Path) -> bool,
) -> Result<Vec<Found>, Error> {
    let mut found = Vec::new();
    let root = std::fs::canonicalize(folder).map_err(Error::io(folder, "list"))?;
    // A link to a folder above leads round just as well.
    let mut above: Vec<Identity> = root.ancestors().filter_map(|above| identity(above).ok()).collect();
    let limits = Limits { depth: limits.depth.saturating_add(above.len() - 1), ..*limits };
    step(folder, &mut above, &limits, enter, &mut found)?;
    Ok(found)
}

fn step(
    folder: &Path,
    above: &mut Vec<Identity>,
    limits: &Limits,
    enter: &mut dyn FnMut(&Path) -> bool,
    found: &mut Vec<Found>,
) -> Result<(), Error> {
    let io = || Error::io(folder, "list");
    if above.len() > limits.depth {
        return Err(Error::unexpected(folder, "fewer folders inside folders", "more than are followed"));
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io())? {
        paths.push(entry.map_err(io())?.path());
        if found.len() + paths.len() > limits.entries {
            return Err(Error::unexpected(folder, format!("at most {} files", limits.entries), "more"));
        }
    }
    paths.sort();
    for path in paths {
        match std::fs::metadata(&path) {
            Ok(m) if m.is_dir() => {
                let here = identity(&path).map_err(Error::io(&path, "list"))?;
                if !above.contains(&here) && enter(&path) {
                    above.push(here);
                    step(&path, above, limits, enter, found)?;
                    above.pop();
                }
            }
            // A link that leads nowhere can't be looked at.
            metadata => found.push(Found { path, regular: metadata.is_ok_and(|m| m.is_file()) }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::walk;
    use crate::Limits;

    #[cfg(unix)]
    #[test]
    fn circles_of_links_are_walked_once() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("a")).unwrap();
        fs::create_dir_all(at("far/deep")).unwrap();
        fs::write(at("a/1"), "").unwrap();
        fs::write(at("far/deep/2"), "").unwrap();
        symlink(".", at("a/loop")).unwrap();
        symlink("..", at("a/up")).unwrap();
        symlink("../far", at("a/other")).unwrap();
        symlink("nowhere", at("a/broken")).unwrap();
        symlink("/dev/zero", at("a/zero")).unwrap();
        let found = walk(&at("a"), &Limits::DEFAULT, &mut |_| true).unwrap();
        let seen: Vec<(String, bool)> = found
            .iter()
            .map(|f| (f.path.strip_prefix(at("a")).unwrap().display().to_string(), f.regular))
            .collect();
        let expected = [("1", true), ("broken", false), ("other/deep/2", true), ("zero", false)];
        assert_eq!(seen, expected.map(|(p, r)| (p.to_owned(), r)));
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b/c")).unwrap();
        let limits = Limits { depth: 3, ..Limits::DEFAULT };
        assert!(
            walk(folder.path(), &limits, &mut |_| true).unwrap_err().to_string().contains("fewer folders")
        );
        assert!(walk(folder.path(), &Limits { depth: 4, ..limits }, &mut |_| true).unwrap().is_empty());
        let limits = Limits { entries: 0, ..Limits::DEFAULT };
        assert!(walk(folder.path(), &limits, &mut |_| true).is_err());
    }
}
