use std::io;

/// What can go wrong between a file and an [`Rgb8`](crate::Rgb8). Every variant names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What was tried: "read", "write", …
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The content is in no format that can be read.
    #[error("{path}: expected a JPEG, PNG, BMP or WebP image, found {found}")]
    NotAnImage {
        /// The file.
        path: String,
        /// What the first bytes are.
        found: String,
    },
    /// The format is known, the content is truncated, corrupt or of an unsupported kind.
    #[error("{path}: expected a whole {format} image, found: {found}")]
    Damaged {
        /// The file.
        path: String,
        /// The format by the first bytes.
        format: &'static str,
        /// What the decoder met.
        found: String,
    },
    /// The header announces more pixels than are decoded.
    #[error("{path}: expected an image of at most {limit} pixels, found {width}x{height}")]
    TooLarge {
        /// The file.
        path: String,
        /// Announced pixels a row.
        width: usize,
        /// Announced rows.
        height: usize,
        /// [`MAX_PIXELS`](crate::MAX_PIXELS).
        limit: usize,
    },
    /// A file name whose extension names no format that can be written.
    #[error("{path}: expected a name ending in .png, .jpg or .jpeg, found {found}")]
    Extension {
        /// The file.
        path: String,
        /// Its extension.
        found: String,
    },
    /// The image does not fit the format.
    #[error("{path}: cannot encode as {format}: {found}")]
    Encode {
        /// The file, or `(memory)`.
        path: String,
        /// The format.
        format: &'static str,
        /// The encoder's reason.
        found: String,
    },
}
