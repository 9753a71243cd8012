//! BMP and WebP, by the `image` crate.

use image::codecs::bmp::BmpDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageError};

use super::{Decode, Failure, Raw, check_size, orientation, reader, to_rgb};
use crate::Profile;

pub(super) fn bmp(bytes: &[u8], how: &Decode) -> Result<Raw, Failure> {
    let decoder = BmpDecoder::new(reader(bytes))?;
    let (width, height, mut data) = pixels(decoder, how)?;
    if let Some(bits) = channel_bits(bytes) {
        for pixel in data.chunks_exact_mut(3) {
            for (v, bits) in pixel.iter_mut().zip(bits) {
                *v = rounded_down(*v, bits);
            }
        }
    }
    Ok(Raw { width, height, data, orientation: Orientation::NoTransforms, profile: Profile::None })
}

/// The bits of red, green and blue, in a BMP of 16 bits a pixel.
fn channel_bits(bytes: &[u8]) -> Option<[u32; 3]> {
    let u32_at = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    // BITMAPINFOHEADER: 14 bytes of the file's, 40 or more of its own, then or among them the masks.
    if u32_at(14)? < 40 || u32_at(28)? & 0xffff != 16 {
        return None;
    }
    match u32_at(30)? {
        3 => Some([u32_at(54)?.count_ones(), u32_at(58)?.count_ones(), u32_at(62)?.count_ones()]),
        _ => Some([5; 3]),
    }
}

/// A level of `bits` that was spread over `0..=255` and rounded to nearest, rounded down instead, as Pillow does for 5 and 6
/// bits, the only ones it reads.
fn rounded_down(v: u8, bits: u32) -> u8 {
    let most = match bits {
        5 | 6 => (1u32 << bits) - 1,
        _ => return v,
    };
    let level = (u32::from(v) * most + 127) / 255;
    (level * 255 / most) as u8
}

pub(super) fn webp(bytes: &[u8], how: &Decode) -> Result<Raw, Failure> {
    let mut decoder = WebPDecoder::new(reader(bytes))?;
    let (width, height) = decoder.dimensions();
    check_size(width as usize, height as usize, &how.limits)?;
    // What is announced is reserved before it is read.
    let told = announced(bytes);
    let icc = if how.profile && told { decoder.icc_profile().ok().flatten() } else { None };
    let exif = if told { decoder.exif_metadata().ok().flatten() } else { None };
    let (width, height, data) = pixels(decoder, how)?;
    Ok(Raw { width, height, data, orientation: orientation(exif.as_deref()), profile: Profile::new(icc) })
}

/// Whether a WebP file has all that the headers of its chunks announce.
fn announced(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(12..).unwrap_or_default();
    while let Some((header, body)) = rest.split_at_checked(8) {
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        match body.get(length..) {
            // Chunks are padded to an even length.
            Some(after) => rest = after.get(length % 2..).unwrap_or_default(),
            None => return false,
        }
    }
    true
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
