//! Tars in shards: which files a pattern or a folder stands for.

use std::path::{Path, PathBuf};

use crate::{Error, folder};

/// The most shards a pattern may stand for.
const MOST: usize = 100_000;

/// The tars that `path` stands for, if it is a pattern in its last part (`{000..012}` or `*`, `?`) or a folder with
/// nothing but tars (and a `classes.txt` or other loose files) in it; `None` if it is something else. A path that exists
/// is no pattern.
pub(crate) fn find(path: &Path) -> Result<Option<Vec<PathBuf>>, Error> {
    if path.is_dir() {
        return folder_of_tars(path);
    }
    let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|_| !path.exists()) else {
        return Ok(None);
    };
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Some((before, range, after)) = braces(name) {
        let names = expand(range).ok_or_else(|| {
            let expected = format!("a range such as {{000..012}} of at most {MOST} shards");
            Error::layout(path.display(), expected, format!("{{{range}}}"))
        })?;
        let tar = |number: String| parent.join(format!("{before}{number}{after}"));
        return Ok(Some(names.into_iter().map(tar).collect()));
    }
    if !name.contains(['*', '?']) {
        return Ok(None);
    }
    let files = folder::entries(parent)?.into_iter().filter(|(_, _, is_folder)| !is_folder);
    let matching: Vec<PathBuf> = files
        .filter(|(file, ..)| matches(name.as_bytes(), file.as_bytes()))
        .map(|(_, path, _)| path)
        .collect();
    if matching.is_empty() {
        return Err(Error::layout(path.display(), "a file that the pattern fits", "none"));
    }
    Ok(Some(matching))
}

fn folder_of_tars(path: &Path) -> Result<Option<Vec<PathBuf>>, Error> {
    let mut tars = Vec::new();
    for (name, path, is_folder) in folder::entries(path)? {
        if is_folder {
            return Ok(None);
        }
        if name.to_ascii_lowercase().ends_with(".tar") {
            tars.push(path);
        }
    }
    Ok((!tars.is_empty()).then_some(tars))
}

/// `a{b}c` in its parts.
fn braces(name: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = name.split_once('{')?;
    let (range, after) = rest.split_once('}')?;
    Some((before, range, after))
}

/// `000..012`, with as many digits as the bounds have.
fn expand(range: &str) -> Option<Vec<String>> {
    let (first, last) = range.split_once("..")?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(first) || !digits(last) {
        return None;
    }
    let (from, to): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    let count = to.checked_sub(from)?;
    (count < MOST).then(|| (from..=to).map(|n| format!("{n:0width$}", width = first.len())).collect())
}

/// Whether `*` (any bytes) and `?` (one byte) in `pattern` can be made to give `name`.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // The last star, and where what it stands for ends: only the last one ever needs to take more.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[n] => (p, n) = (p + 1, n + 1),
            _ => {
                let Some((at, end)) = star else { return false };
                star = Some((at, end + 1));
                (p, n) = (at + 1, end + 1);
            }
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Folder, png, tar};
    use crate::{Dataset, Options};

    fn open(folder: &Folder, path: &str) -> Result<Dataset, String> {
        let root = folder.0.to_str().unwrap();
        Dataset::open(folder.0.join(path), &Options::default()).map_err(|e| e.to_string().replace(root, "T"))
    }

    fn shards() -> Folder {
        let folder = Folder::new();
        folder.file("s/set-08.tar", tar(&[("dog/1.png", &png(1)), ("cat/2.png", &png(2))]));
        folder.file("s/set-09.tar", tar(&[("dog/3.png", &png(3))]));
        folder.file("s/set-10.tar", tar(&[("owl/4.png", &png(4)), ("owl/note.txt", b"")]));
        folder
    }

    #[test]
    fn a_range_a_pattern_and_the_folder_are_the_same_set() {
        let folder = shards();
        for path in ["s/set-{08..10}.tar", "s/set-*.tar", "s/set-??.tar", "s"] {
            let set = open(&folder, path).unwrap();
            assert_eq!(set.classes, ["cat", "dog", "owl"], "{path}");
            let listed: Vec<&str> = set.samples.iter().map(|s| s.path.as_str()).collect();
            assert_eq!(listed, ["cat/2.png", "dog/1.png", "dog/3.png", "owl/4.png"]);
            for (i, level) in [2, 1, 3, 4].into_iter().enumerate() {
                assert_eq!(set.load(i).unwrap().data(), vec![level; 18]);
            }
            assert!(
                set.describe().contains("(tar shards of classes): 4 images, 3 classes; left out: 1 .txt")
            );
        }
        folder.file("s/classes.txt", "owl\ndog\ncat\n");
        assert_eq!(open(&folder, "s").unwrap().classes, ["owl", "dog", "cat"]);
    }

    #[test]
    fn tars_without_folders_are_classes_by_their_names() {
        let folder = Folder::new();
        folder.file("n02.tar", tar(&[("n02_1.JPEG", &png(2))]));
        folder.file("n01.tar", tar(&[("n01_7.JPEG", &png(1)), ("n01_8.JPEG", &png(3))]));
        let set = open(&folder, "").unwrap();
        assert_eq!(set.classes, ["n01", "n02"]);
        let listed: Vec<&str> = set.samples.iter().map(|s| s.path.as_str()).collect();
        assert_eq!(listed, ["n01/n01_7.JPEG", "n01/n01_8.JPEG", "n02/n02_1.JPEG"]);
        assert_eq!(set.load(1).unwrap().data(), vec![3; 18]);
    }

    #[test]
    fn what_is_wrong_with_shards_is_said() {
        let folder = shards();
        let fail = |path: &str| open(&folder, path).unwrap_err();
        assert!(fail("s/set-{08..11}.tar").starts_with("T/s/set-11.tar: cannot read"));
        assert_eq!(
            fail("s/set-{a..b}.tar"),
            "T/s/set-{a..b}.tar: expected a range such as {000..012} of at most 100000 shards, found {a..b}"
        );
        assert!(fail("s/set-{10..08}.tar").ends_with("found {10..08}"));
        assert_eq!(fail("s/x*.tar"), "T/s/x*.tar: expected a file that the pattern fits, found none");
        folder.file("s/set-11.tar", tar(&[("dog/1.png", &png(9))]));
        assert_eq!(
            fail("s"),
            "T/s/set-11.tar: expected every path in one shard, found dog/1.png in T/s/set-08.tar too"
        );
        folder.file("s/set-11.tar", "no tar, but long enough to be looked at".repeat(20));
        assert!(fail("s").starts_with("T/s/set-11.tar: expected an uncompressed tar"));
    }

    #[test]
    fn patterns_fit_as_a_shell_s_do() {
        for (pattern, name, fits) in [
            ("*", "", true),
            ("a*b?c", "axxbyc", true),
            ("a*b?c", "abc", false),
            ("*.tar", "x.tar", true),
            ("*.tar", "x.tar.gz", false),
            ("*a*a*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("**?", "x", true),
            ("*ab*", "aab", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), fits, "{pattern} {name}");
        }
    }
}
