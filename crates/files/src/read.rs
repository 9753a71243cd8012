//! Bounded reading. What is not a regular file (a folder, a device, a pipe, a socket) is refused before it is opened, since
//! opening alone may wait for ever.

use std::fs::{File, FileType};
use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::Error;

/// Opens a regular file for reading, following links.
///
/// # Errors
/// [`Error::Io`], and [`Error::Unexpected`] for what is not a regular file.
pub fn open(path: &Path) -> Result<File, Error> {
    let metadata = std::fs::metadata(path).map_err(Error::io(path, "read"))?;
    if !metadata.is_file() {
        return Err(Error::unexpected(path, "a file", kind(metadata.file_type())));
    }
    File::open(path).map_err(Error::io(path, "read"))
}

/// The whole of a regular file of at most `limit` bytes.
///
/// # Errors
/// Those of [`open`], and [`Error::TooLarge`].
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    read_all(path, open(path)?, limit)
}

/// What is left of an open file, at most `limit` bytes; `path` is for messages.
///
/// # Errors
/// [`Error::Io`] and [`Error::TooLarge`].
pub fn read_all(path: &Path, file: File, limit: u64) -> Result<Vec<u8>, Error> {
    let length = file.metadata().map_or(0, |m| m.len());
    if length > limit {
        return Err(Error::TooLarge { path: path.to_owned(), limit });
    }
    bounded(path, file, limit, length)
}

/// The whole of standard input, at most `limit` bytes.
///
/// # Errors
/// [`Error::Io`] and [`Error::TooLarge`].
pub fn read_stdin(limit: u64) -> Result<Vec<u8>, Error> {
    bounded(Path::new("(standard input)"), std::io::stdin().lock(), limit, 0)
}

fn bounded(path: &Path, from: impl Read, limit: u64, expected: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::with_capacity(usize::try_from(expected.min(limit)).unwrap_or(0));
    // The length was a promise: a file may grow, and those of /proc say 0.
    from.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::io(path, "read"))?;
    if bytes.len() as u64 > limit {
        return Err(Error::TooLarge { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

/// A text file of at most `limit` bytes, as [`text`] reads it.
///
/// # Errors
/// Those of [`read`], and of [`text`].
pub fn read_text(path: &Path, limit: u64) -> Result<String, Error> {
    text(read(path, limit)?, path)
}

/// UTF-8 text, without the byte order mark that it may begin with. `path` is for the message.
///
/// # Errors
/// [`Error::Unexpected`] with the line that is not UTF-8, or with the other encoding that a mark tells.
pub fn text(mut bytes: Vec<u8>, path: &Path) -> Result<String, Error> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(Error::unexpected(path, "UTF-8 text", "UTF-16 text (save it as UTF-8)"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let line = bytes[..valid].iter().filter(|&&b| b == b'\n').count() + 1;
        let found = match crate::describe(bytes) {
            Some(kind) => kind.to_owned(),
            None => format!("byte {:#04x} in line {line}", bytes[valid]),
        };
        Error::unexpected(path, "UTF-8 text", found)
    })
}

/// What stands at a path that is not a regular file, in words.
pub(crate) fn kind(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return "a named pipe";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_block_device() {
            return "a disk";
        }
        if kind.is_char_device() {
            return "a device";
        }
    }
    if kind.is_dir() {
        "a folder"
    } else if kind.is_symlink() {
        "a link"
    } else if kind.is_file() {
        "a file"
    } else {
        "something that is no file"
    }
}

/// Whether an error says that nothing stands there.
pub(crate) fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{read, read_text, text};

    #[test]
    fn a_file_is_read_up_to_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        std::fs::write(&file, "12345").unwrap();
        assert_eq!(read(&file, 5).unwrap(), b"12345");
        let error = read(&file, 4).unwrap_err().to_string();
        assert!(error.ends_with("expected at most 4 bytes, found more"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_named_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let name = std::ffi::CString::new(pipe.to_str().unwrap()).unwrap();
        // SAFETY: a valid C string, and a call that only makes a name in the file system.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        for (path, word) in [
            (pipe.as_path(), "a named pipe"),
            (Path::new("/dev/zero"), "a device"),
            (folder.path(), "a folder"),
        ] {
            let error = read(path, 10).unwrap_err().to_string();
            assert!(error.ends_with(&format!("expected a file, found {word}")), "{error}");
        }
    }

    #[test]
    fn text_has_no_byte_order_mark_and_other_encodings_are_named() {
        assert_eq!(text(b"\xef\xbb\xbfa\n".to_vec(), Path::new("x")).unwrap(), "a\n");
        let error = text(b"\xff\xfea\0".to_vec(), Path::new("x")).unwrap_err().to_string();
        assert_eq!(error, "x: expected UTF-8 text, found UTF-16 text (save it as UTF-8)");
        let error = text(b"a\nb\xffc".to_vec(), Path::new("x")).unwrap_err().to_string();
        assert_eq!(error, "x: expected UTF-8 text, found byte 0xff in line 2");
        let error = text(b"PK\x03\x04\xff".to_vec(), Path::new("x")).unwrap_err().to_string();
        assert_eq!(error, "x: expected UTF-8 text, found a zip archive");
        assert!(read_text(Path::new("/nowhere/x"), 9).is_err());
    }
}
