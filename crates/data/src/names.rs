//! What a file or folder is to a data set, by its name and its first bytes: an image, a system's or a program's own, or
//! something else.

use std::path::Path;

use dyntta_files::describe;
use dyntta_image::is_image_name;

/// Bytes that [`look`] wants to see.
pub(crate) const HEAD: usize = 512;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An image of a format that is read.
    Image,
    /// An image of a format that isn't.
    Unread,
    Other,
}

/// Names that systems, archivers and programs give to what they put among a person's files, in lower case.
const SYSTEM: [&str; 27] = [
    // Windows
    "desktop.ini",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "thumbs.db",
    "$extend",
    "recycled",
    "config.msi",
    "pagefile.sys",
    "hiberfil.sys",
    "swapfile.sys",
    // macOS
    "icon\r",
    "network trash folder",
    "temporary items",
    "thevolumesettingsfolder",
    // Linux, Android, Python
    "lost.dir",
    "nohup.out",
    "__pycache__",
    // Synology, QNAP
    "@tmp",
    "@database",
    "@recycle",
    "@recently-snapshot",
    "@sharebin",
    "@sharesnap",
    "@appstore",
    "@autoupdate",
    "#snapshot",
    "#trash",
];

/// The same, where others of the kind begin so too: `__MACOSX 2`, `$RECYCLE.BIN`.
const SYSTEM_STARTS: [&str; 8] = [
    "__macosx",
    "lost+found",
    "@eadir",
    "#recycle",
    "$recycle",
    "system volume information",
    "thumbs.db:",
    "~$",
];

/// Whether a file or folder of this name, one part of a path, is hidden or a system's or a program's own: it is neither a
/// class nor an image, nor is anything in it.
pub(crate) fn is_system(name: &str) -> bool {
    if name.starts_with('.') || name.ends_with('~') {
        return true;
    }
    let lower = name.to_lowercase();
    SYSTEM.contains(&lower.as_str())
        || SYSTEM_STARTS.iter().any(|start| lower.starts_with(start))
        || name == "RECYCLER"
        // What a repair of a Windows disk leaves: `FOUND.000`.
        || lower.strip_prefix("found.").is_some_and(|n| n.len() == 3 && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Extensions of text, which need no second look.
const TEXT: [&str; 22] = [
    "cfg", "cls", "csv", "html", "ini", "ipynb", "json", "jsonl", "log", "md", "mtl", "obj", "pts", "py",
    "rst", "sh", "toml", "tsv", "txt", "xml", "yaml", "yml",
];

/// Extensions of images that are not read.
const UNREAD: [&str; 28] = [
    "apng", "arw", "avif", "cr2", "cr3", "dcm", "dib", "dng", "exr", "gif", "hdr", "heic", "heif", "hif",
    "ico", "j2k", "jp2", "jpx", "jxl", "nef", "orf", "pgm", "pnm", "ppm", "psd", "svg", "tif", "tiff",
];

/// Whether a file's first bytes must be seen to tell what it is: not so where its extension is that of an image or of text.
pub(crate) fn wants_look(name: &str) -> bool {
    !is_image_name(name) && !TEXT.contains(&extension(name).as_str())
}

/// What a file is. The content decides where the extension is not that of a format that is read; `head` gives its first
/// [`HEAD`] bytes, and is asked only if [`wants_look`].
pub(crate) fn look(name: &str, head: impl FnOnce() -> Option<Vec<u8>>) -> Kind {
    if is_image_name(name) {
        return Kind::Image;
    }
    if !wants_look(name) {
        return Kind::Other;
    }
    // What a download has not finished is no file yet.
    if ["crdownload", "download", "part", "partial"].contains(&extension(name).as_str()) {
        return Kind::Other;
    }
    let head = head().unwrap_or_default();
    match describe(&head).and_then(|what| what.strip_suffix(" image")) {
        Some("a JPEG" | "a PNG" | "a BMP" | "a WebP") => Kind::Image,
        Some(_) => Kind::Unread,
        None if UNREAD.contains(&extension(name).as_str()) => Kind::Unread,
        None => Kind::Other,
    }
}

/// The first bytes of a regular file; `None` if they can't be read.
pub(crate) fn head(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read;
    let mut head = Vec::with_capacity(HEAD);
    let file = dyntta_files::open(path).ok()?;
    file.take(HEAD as u64).read_to_end(&mut head).ok()?;
    Some(head)
}

/// In lower case, without the dot; `""` if there is none.
pub(crate) fn extension(name: &str) -> String {
    Path::new(name).extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systems_leave_behind_is_told_from_classes() {
        for junk in [
            ".DS_Store",
            "._x.jpg",
            ".AppleDouble",
            ".Spotlight-V100",
            ".fseventsd",
            ".Trash-1000",
            ".git",
            ".ipynb_checkpoints",
            ".thumbnails",
            "__MACOSX",
            "__pycache__",
            "lost+found",
            "LOST.DIR",
            "@eaDir",
            "@Recycle",
            "#recycle",
            "$RECYCLE.BIN",
            "RECYCLER",
            "System Volume Information",
            "Thumbs.db",
            "desktop.ini",
            "Icon\r",
            "FOUND.000",
            "~$notes.docx",
            "1.jpg~",
        ] {
            assert!(is_system(junk), "{junk}");
        }
        for class in [
            "cat",
            "lost",
            "@home",
            "#1",
            "$100 bill",
            "found.cat",
            "recycler",
            "macosx",
            "thumbs",
            "system",
            "_",
        ] {
            assert!(!is_system(class), "{class}");
        }
    }

    #[test]
    fn content_decides_where_the_name_does_not_say() {
        let jpeg = || Some(b"\xff\xd8\xff\xe0rest".to_vec());
        for name in ["1.jfif", "1.jpe", "1", "photo.jpg_large", "1.tiff", "1.JPG2", "1.dat"] {
            assert_eq!(look(name, jpeg), Kind::Image, "{name}");
        }
        for name in ["1.txt", "1.xml", "1.jpg.part"] {
            assert_eq!(look(name, jpeg), Kind::Other, "{name}");
        }
        let tiff = || Some(b"II*\0rest".to_vec());
        for name in ["1.tif", "1", "1.dat"] {
            assert_eq!(look(name, tiff), Kind::Unread, "{name}");
        }
        assert_eq!(look("1.heic", || Some(b"odd".to_vec())), Kind::Unread);
        assert_eq!(look("1.jpg", || panic!("not asked")), Kind::Image);
        assert_eq!(look("1.bin", || None), Kind::Other);
    }
}
