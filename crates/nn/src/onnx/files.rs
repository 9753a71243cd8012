//! The files of a model: its own, and those beside it with its weights. Each is opened once.

use std::io::Seek;
use std::path::Path;

use dyntta_files::{hex, sha256};
use dyntta_onnx::Beside;
use sha2::{Digest, Sha256};

use crate::error::Error;

/// Where a model's weights come from.
pub(super) struct Files {
    /// The SHA-256 of its bytes in hexadecimal digits.
    digest: String,
    /// What lies beside it.
    pub beside: Beside,
}

impl Files {
    /// Of a model's file and what was read from it.
    pub fn new(model: &Path, bytes: &[u8]) -> Self {
        let digest = hex(&Sha256::digest(bytes));
        Self { digest, beside: Beside::new(model) }
    }

    /// The digest of what was read: of the model's file, or of that and of the digests of those beside it, in the order of their
    /// paths.
    ///
    /// # Errors
    /// If one of them can't be read.
    pub fn digest(&self) -> Result<String, Error> {
        let mut all = vec![self.digest.clone()];
        self.beside.each(|path, mut file| {
            all.push(file.rewind().and_then(|()| sha256(file)).map_err(Error::io(path))?);
            Ok::<_, Error>(())
        })?;
        Ok(match &all[..] {
            [one] => one.clone(),
            several => hex(&Sha256::digest(several.concat())),
        })
    }
}
