use std::path::Path;

use dyntta_corrupt::FrostTextures;
use dyntta_files::{Limits, hex, read};
use dyntta_image::{decode, is_image_name};
use sha2::{Digest, Sha256};

use crate::{Error, folder};

/// The textures of `frost`, and what the manifest says of them: procedural ones by default.
#[derive(Clone, Debug)]
pub struct Frost {
    pub(super) textures: FrostTextures,
    pub(super) description: String,
}

impl Default for Frost {
    fn default() -> Self {
        Self { textures: FrostTextures::default(), description: "procedural".into() }
    }
}

impl Frost {
    /// The image files of a folder, such as the published photographs of frost.
    ///
    /// # Errors
    /// If the folder or a file cannot be read, or if there is no image.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let (mut images, mut hash) = (Vec::new(), Sha256::new());
        for (name, path, is_folder) in folder::entries(folder)? {
            if is_folder || !is_image_name(&name) {
                continue;
            }
            let bytes = read(&path, Limits::DEFAULT.image_bytes)?;
            images.push(decode(&bytes, &path.display().to_string())?);
            hash.update(Sha256::digest(&bytes));
        }
        let description = format!("{} images, sha256 {}", images.len(), hex(&hash.finalize()));
        let textures = FrostTextures::from_images(images)
            .map_err(|_| Error::layout(folder.display(), "image files of frost", "none"))?;
        Ok(Self { textures, description })
    }
}
