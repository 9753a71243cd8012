//! Writing that loses nothing: a regular file is replaced whole or not at all, a link stays a link, and what is written to a
//! device or a pipe goes through it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Error;
use crate::read::{is_absent, kind};

/// How the names of temporary files begin and end; a process and a number stand between.
const PREFIX: &str = ".dyntta-";
const SUFFIX: &str = ".tmp";

/// Links that lead to links, at most.
const LINKS: usize = 40;

/// Writes a file so that at `path` stands either what stood there before or all of `bytes`, also if the power fails: a
/// temporary file in the same folder, brought to the disk, then a rename. A link is followed and stays; a device, a pipe or
/// `/dev/stdout` is written through. The temporary file is removed if something fails.
///
/// # Errors
/// [`Error::Io`], and [`Error::Unexpected`] where a folder stands.
pub fn write_atomic(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), Error> {
    write_with(path.as_ref(), true, |file| file.write_all(bytes))
}

/// As [`write_atomic`], with what `fill` writes; of a regular file it may also read back what it wrote. Without `durable` the file is not brought to the disk at once: it is whole
/// after a kill, but maybe not after a power cut. That is for many files whose writer brings all of them to the disk later.
///
/// # Errors
/// As [`write_atomic`], and what `fill` gives.
pub fn write_with(
    path: &Path,
    durable: bool,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), Error> {
    let io = || Error::io(path, "write");
    let target = match target(path)? {
        Target::Through => {
            let mut file = OpenOptions::new().append(true).open(path).map_err(io())?;
            return fill(&mut file).and_then(|()| file.flush()).map_err(io());
        }
        Target::File(target) => target,
    };
    let (temporary, mut file) = temporary(&target).map_err(io())?;
    let written = fill(&mut file)
        .and_then(|()| if durable { file.sync_all() } else { Ok(()) })
        .and_then(|()| match fs::metadata(&target) {
            // Who may read a result stays as it was.
            Ok(old) => file.set_permissions(old.permissions()),
            Err(_) => Ok(()),
        })
        .and_then(|()| fs::rename(&temporary, &target));
    drop(file);
    if written.is_err() {
        // If this fails too, the first failure is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written.and_then(|()| if durable { sync_folder(&target) } else { Ok(()) }).map_err(io())
}

enum Target {
    /// A regular file, there or yet to be, with its links followed.
    File(PathBuf),
    /// A device or a pipe, or one of the process's own open files.
    Through,
}

/// Where a file named `path` is really written.
fn target(path: &Path) -> Result<Target, Error> {
    let mut at = path.to_owned();
    for _ in 0..LINKS {
        let io = || Error::io(path, "write");
        match fs::symlink_metadata(&at) {
            Ok(m) if m.is_symlink() => {
                // These name open files, which a rename would not reach.
                if ["/dev", "/proc"].iter().any(|special| at.starts_with(special)) {
                    return Ok(Target::Through);
                }
                let link = fs::read_link(&at).map_err(io())?;
                at = at.parent().unwrap_or(Path::new("")).join(link);
            }
            Ok(m) if m.is_file() => return Ok(Target::File(at)),
            Ok(m) if m.is_dir() => return Err(Error::unexpected(path, "a file to write", "a folder")),
            Ok(m) if matches!(kind(m.file_type()), "a socket" | "a disk") => {
                return Err(Error::unexpected(path, "a file to write", kind(m.file_type())));
            }
            Ok(_) => return Ok(Target::Through),
            Err(e) if is_absent(&e) => {
                return match at.file_name() {
                    Some(_) => Ok(Target::File(at)),
                    None => Err(Error::unexpected(path, "the name of a file to write", "none")),
                };
            }
            Err(e) => return Err(io()(e)),
        }
    }
    Err(Error::unexpected(path, "a file to write", "a link that leads in a circle"))
}

/// A new file beside `target`, locked as long as it is open, so that [`remove_leftovers`] can tell it from one whose writer is
/// gone.
fn temporary(target: &Path) -> io::Result<(PathBuf, File)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = target.with_file_name(format!("{PREFIX}{}-{number}{SUFFIX}", std::process::id()));
        let file = match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
            Ok(file) => file,
            // Left by a process of the same number.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(e) => return Err(e),
        };
        // Where there are no locks, leftovers aren't removed either.
        let _ = file.lock();
        // It may have been taken for a leftover before it was locked.
        if path.exists() {
            return Ok((path, file));
        }
    }
}

/// Removes the temporary files that killed processes left in a folder. Those of processes that still write are locked, and
/// stay.
pub fn remove_leftovers(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(middle) = name.to_str().and_then(|n| n.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)) else {
            continue;
        };
        let ours = middle.split_once('-').is_some_and(|(process, number)| {
            [process, number].iter().all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        });
        if ours
            && entry.file_type().is_ok_and(|t| t.is_file())
            && let Ok(file) = OpenOptions::new().write(true).open(entry.path())
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Checks that a file can be written at `path`, without touching what stands there: its folder is there and takes files.
///
/// # Errors
/// [`Error::Io`], and [`Error::Unexpected`] where a folder stands.
pub fn check_writable(path: &Path) -> Result<(), Error> {
    match target(path)? {
        Target::Through => Ok(()),
        Target::File(target) => {
            let (temporary, file) = temporary(&target).map_err(Error::io(path, "write"))?;
            drop(file);
            fs::remove_file(temporary).map_err(Error::io(path, "write"))
        }
    }
}

/// Brings all that was written to the file system of a folder to the disk: for many files that [`write_with`] wrote without
/// being durable. Where the system has no such call, nothing is done.
///
/// # Errors
/// [`Error::Io`].
pub fn sync_all(folder: &Path) -> Result<(), Error> {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        let file = File::open(folder).map_err(Error::io(folder, "write"))?;
        // SAFETY: the descriptor is open as long as `file` is.
        if unsafe { libc::syncfs(file.as_raw_fd()) } != 0 {
            return Err(Error::io(folder, "write")(io::Error::last_os_error()));
        }
    }
    #[cfg(all(unix, not(target_os = "linux")))]
    {
        let _ = folder;
        // SAFETY: it takes nothing and gives nothing.
        unsafe { libc::sync() };
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Brings a rename in the folder of `path` to the disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        match File::open(folder).and_then(|f| f.sync_all()) {
            // Some file systems don't do that for folders.
            Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied) => {
                Ok(())
            }
            done => done,
        }
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::{check_writable, remove_leftovers, temporary, write_atomic};

    fn names(folder: &std::path::Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_and_no_other_stays() {
        let folder = tempfile::tempdir().unwrap();
        let name = "n".repeat(255);
        let file = folder.path().join(&name);
        write_atomic(&file, b"one").unwrap();
        write_atomic(&file, b"two").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert_eq!(names(folder.path()), [name]);
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_and_what_they_lead_to_is_written() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("far")).unwrap();
        symlink("far/real.json", at("link")).unwrap();
        symlink("link", at("second")).unwrap();
        for text in ["new", "again"] {
            write_atomic(at("second"), text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(at("far/real.json")).unwrap(), text);
            assert_eq!(fs::read_link(at("link")).unwrap(), PathBuf::from("far/real.json"));
        }
        symlink("circle", at("circle")).unwrap();
        let error = write_atomic(at("circle"), b"").unwrap_err().to_string();
        assert!(error.contains("circle"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let name = std::ffi::CString::new(pipe.to_str().unwrap()).unwrap();
        // SAFETY: a valid C string, and a call that only makes a name in the file system.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        write_atomic(&pipe, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert_eq!(names(folder.path()), ["pipe"]);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_stay() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        write_atomic(&file, b"one").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        write_atomic(&file, b"two").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn leftovers_go_and_files_at_work_stay() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (held, file) = temporary(&at("x")).unwrap();
        for name in [".dyntta-1-0.tmp", ".dyntta-notes.tmp", ".dyntta-1-a.tmp", "my.tmp"] {
            fs::write(at(name), "").unwrap();
        }
        remove_leftovers(folder.path());
        let mut expected = vec![".dyntta-1-a.tmp".to_owned(), ".dyntta-notes.tmp".into(), "my.tmp".into()];
        expected.push(held.file_name().unwrap().to_str().unwrap().to_owned());
        expected.sort();
        assert_eq!(names(folder.path()), expected);
        drop(file);
        remove_leftovers(folder.path());
        assert!(!held.exists());
    }

    #[test]
    fn writable_is_found_without_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        check_writable(&folder.path().join("x")).unwrap();
        assert_eq!(names(folder.path()), Vec::<String>::new());
        assert!(check_writable(&folder.path().join("no/x")).is_err());
        assert!(check_writable(folder.path()).is_err());
    }
}
