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
    // The decoder reserves what a chunk announces before it reads it.
    let whole = has_whole_chunks(bytes);
    let icc = if how.profile && whole { decoder.icc_profile().ok().flatten() } else { None };
    let exif = if whole { decoder.exif_metadata().ok().flatten() } else { None };
    let (width, height, data) = pixels(decoder, how)?;
    Ok(Raw { width, height, data, orientation: orientation(exif.as_deref()), profile: Profile::new(icc) })
}

/// Whether no chunk of a WebP announces more bytes than there are.
fn has_whole_chunks(bytes: &[u8]) -> bool {
    const HEADER: usize = 12;
    let mut rest = bytes.get(HEADER..).unwrap_or_default();
    while let Some(after) = rest.get(8..) {
        let length =
            rest.get(4..).and_then(|r| r.first_chunk()).map_or(0, |l| u32::from_le_bytes(*l) as usize);
        let Some(next) = after.get(length..) else { return false };
        // Of an odd length a byte follows that counts for nothing.
        rest = next.get(length % 2..).unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use super::has_whole_chunks;

    #[test]
    fn a_chunk_is_as_long_as_it_says() {
        let file = |exif: u32| {
            let mut file = b"RIFF\x1c\0\0\0WEBPVP8 \x03\0\0\0abc\0EXIF".to_vec();
            file.extend(exif.to_le_bytes());
            file.extend(b"exif");
            file
        };
        assert!(has_whole_chunks(&file(4)) && has_whole_chunks(&file(3)) && has_whole_chunks(b"RIFF"));
        assert!([5, 0xbbbb_001a, u32::MAX].iter().all(|n| !has_whole_chunks(&file(*n))));
    }
}
