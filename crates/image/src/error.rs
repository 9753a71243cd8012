use std::path::Path;

use dyntta_files::shown;

/// What can go wrong between a file and an [`Rgb8`](crate::Rgb8). What concerns a file names it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be read or written.
    #[error(transparent)]
    File(#[from] dyntta_files::Error),
    /// The content is in no format that can be read.
    #[error("{}: expected a JPEG, PNG, BMP or WebP image, found {found}", shown(Path::new(path)))]
    NotAnImage {
        /// The file.
        path: String,
        /// What the first bytes are.
        found: String,
    },
    /// The format is known, but not this kind of it.
    #[error(
        "{}: expected a {format} image of a kind that can be read, found {found}",
        shown(Path::new(path))
    )]
    Unsupported {
        /// The file.
        path: String,
        /// The format by the first bytes.
        format: &'static str,
        /// The kind.
        found: String,
    },
    /// The format is known, the content is truncated or corrupt.
    #[error("{}: expected a whole {format} image, found: {found}", shown(Path::new(path)))]
    Damaged {
        /// The file.
        path: String,
        /// The format by the first bytes.
        format: &'static str,
        /// What the decoder met.
        found: String,
    },
    /// The header announces more pixels than are decoded.
    #[error(
        "{}: expected an image of at most {limit} pixels and {side} a side, found {width}x{height}",
        shown(Path::new(path))
    )]
    TooLarge {
        /// The file.
        path: String,
        /// Announced pixels a row.
        width: usize,
        /// Announced rows.
        height: usize,
        /// The most pixels.
        limit: usize,
        /// The most pixels a side.
        side: usize,
    },
    /// Sizes and pixels that don't go together, or a size without a pixel.
    #[error("expected {expected}, found {found}")]
    Shape {
        /// What belongs there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A file name whose extension names no format that can be written.
    #[error("{}: expected a name ending in .png, .jpg or .jpeg, found {found}", shown(Path::new(path)))]
    Extension {
        /// The file.
        path: String,
        /// Its extension.
        found: String,
    },
    /// The image does not fit the format.
    #[error("{}: cannot encode as {format}: {found}", shown(Path::new(path)))]
    Encode {
        /// The file, or `(memory)`.
        path: String,
        /// The format.
        format: &'static str,
        /// The encoder's reason.
        found: String,
    },
}
