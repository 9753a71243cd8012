use dyntta_image::{Decode, Exif, Metadata, decode_with, encode_png_with, is_ours};

use crate::Scratch;

use super::message;

/// An image, decoded in both ways and, if it is small, written again with its profile.
pub fn decode(bytes: &[u8], _: &Scratch) -> Result<(), String> {
    let _ = is_ours(bytes);
    let how = Decode { profile: true, ..Decode::default() };
    let decoded = decode_with(bytes, "image", &how).map_err(message)?;
    let stored = decode_with(bytes, "image", &Decode { exif: Exif::Ignore, ..how }).map_err(message)?;
    let (turned, image) = (decoded.image, stored.image);
    assert!(turned.data().len() == image.data().len(), "turning keeps the number of pixels");
    if image.width() * image.height() <= 1 << 14 {
        let metadata = Metadata { icc: decoded.profile.rgb(), marked: true };
        let again = encode_png_with(&image, &metadata).map_err(message)?;
        let again = decode_with(&again, "again", &how).map_err(message)?;
        assert!(again.image == image && again.profile.rgb() == metadata.icc, "PNG keeps pixels and profile");
    }
    Ok(())
}
