//! BMP and WebP, by the `image` crate.

use image::codecs::bmp::BmpDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageError};

use super::{Decode, Failure, Raw, check_size, orientation, reader, to_rgb};
use crate::Profile;

pub(super) fn bmp(bytes: &[u8], how: &Decode) -> Result<Raw, Failure> {
    let decoder = BmpDecoder::new(reader(bytes))?;
    let (width, height, data) = pixels(decoder, how)?;
    Ok(Raw { width, height, data, orientation: Orientation::NoTransforms, profile: Profile::None })
}

pub(super) fn webp(bytes: &[u8], how: &Decode) -> Result<Raw, Failure> {
    let mut decoder = WebPDecoder::new(reader(bytes))?;
    let (width, height) = decoder.dimensions();
    check_size(width as usize, height as usize, &how.limits)?;
    let icc = if how.profile { decoder.icc_profile().ok().flatten() } else { None };
    let exif = decoder.exif_metadata().ok().flatten();
    let (width, height, data) = pixels(decoder, how)?;
    Ok(Raw { width, height, data, orientation: orientation(exif.as_deref()), profile: Profile::new(icc) })
}

/// Width, height and RGB pixels.
fn pixels(decoder: impl ImageDecoder, how: &Decode) -> Result<(usize, usize, Vec<u8>), Failure> {
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    check_size(width, height, &how.limits)?;
    let channels = match decoder.color_type() {
        ColorType::L8 => 1,
        ColorType::La8 => 2,
        ColorType::Rgb8 => 3,
        ColorType::Rgba8 => 4,
        other => return Err(Failure::Unsupported(format!("one of {other:?} pixels"))),
    };
    let mut data = vec![0; width * height * channels];
    decoder.read_image(&mut data)?;
    Ok((width, height, to_rgb(data, channels)))
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Unsupported(error) => Self::Unsupported(error.to_string()),
            other => Self::Damaged(other.to_string()),
        }
    }
}
