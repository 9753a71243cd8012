//! The formats of image files: how their names end, and the choice between those that are written.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::{Error, Metadata, Rgb8, encode_jpeg_with, encode_png_with};

/// The quality of a JPEG file, where nothing else is said.
pub const JPEG_QUALITY: u8 = 95;

/// The extensions of the formats that can be read, in lower case.
pub const EXTENSIONS: [&str; 5] = ["jpg", "jpeg", "png", "bmp", "webp"];

/// Whether the extension of `name`, in either case, is one of [`EXTENSIONS`] (ImageNet's `.JPEG` is).
pub fn is_image_name(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(OsStr::to_str).unwrap_or_default();
    EXTENSIONS.iter().any(|e| e.eq_ignore_ascii_case(extension))
}

/// The kind of an image file that is written. Parses from `png`, `jpeg` ([`JPEG_QUALITY`]) and `jpeg:Q` with Q from 1 to
/// 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// Lossless.
    Png,
    /// Baseline JPEG of this quality.
    Jpeg(u8),
}

impl FileFormat {
    /// `"png"` or `"jpg"`.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg(_) => "jpg",
        }
    }

    /// The image as a file of this kind.
    ///
    /// # Errors
    /// [`Error::Encode`].
    pub fn encode(self, image: &Rgb8) -> Result<Vec<u8>, Error> {
        self.encode_with(image, &Metadata::default())
    }

    /// The image as a file of this kind, with what `metadata` says of it.
    ///
    /// # Errors
    /// [`Error::Encode`].
    pub fn encode_with(self, image: &Rgb8, metadata: &Metadata<'_>) -> Result<Vec<u8>, Error> {
        match self {
            Self::Png => encode_png_with(image, metadata),
            Self::Jpeg(quality) => encode_jpeg_with(image, quality, metadata),
        }
    }

    /// Whether these are the first and last bytes of a file of this kind.
    pub fn is_whole(self, bytes: &[u8]) -> bool {
        match self {
            Self::Png => bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.ends_with(b"IEND\xae\x42\x60\x82"),
            Self::Jpeg(_) => bytes.starts_with(&[0xff, 0xd8]) && bytes.ends_with(&[0xff, 0xd9]),
        }
    }
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Png => f.write_str("png"),
            Self::Jpeg(quality) => write!(f, "jpeg:{quality}"),
        }
    }
}

impl FromStr for FileFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let quality = |q: &str| q.parse().ok().filter(|q| (1..=100).contains(q));
        let parsed = match text.split_once(':') {
            None if text == "png" => Some(Self::Png),
            None if text == "jpeg" => Some(Self::Jpeg(JPEG_QUALITY)),
            Some(("jpeg", q)) => quality(q).map(Self::Jpeg),
            _ => None,
        };
        parsed.ok_or_else(|| "expected png, jpeg or jpeg:Q with Q from 1 to 100".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_names_are_told_by_extension_in_either_case() {
        for (name, yes) in
            [("a.JPEG", true), ("b/c.png", true), ("x.txt", false), ("png", false), (".jpg", false)]
        {
            assert_eq!(is_image_name(name), yes, "{name}");
        }
    }

    #[test]
    fn formats_are_written_and_parsed() {
        for text in ["png", "jpeg:1", "jpeg:85", "jpeg:100"] {
            assert_eq!(text.parse::<FileFormat>().unwrap().to_string(), text);
        }
        assert_eq!("jpeg".parse(), Ok(FileFormat::Jpeg(95)));
        for text in ["jpg", "jpeg:0", "jpeg:101", "jpeg:", "png:9", ""] {
            assert!(text.parse::<FileFormat>().is_err(), "{text}");
        }
    }
}
