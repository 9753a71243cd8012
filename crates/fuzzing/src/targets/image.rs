use crate::Scratch;

use super::message;

/// An image, decoded and, if it is small, written again.
pub fn decode(bytes: &[u8], _: &Scratch) -> Result<(), String> {
    let image = dyntta_image::decode(bytes, "image").map_err(message)?;
    if image.width * image.height <= 1 << 16 {
        let again = dyntta_image::encode_png(&image).map_err(message)?;
        assert!(dyntta_image::decode(&again, "again").is_ok_and(|a| a == image), "PNG keeps every pixel");
    }
    Ok(())
}
