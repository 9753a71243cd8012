//! Image files to [`Rgb8`].

mod jpeg;
mod other;
mod png;

use std::io::Cursor;
use std::path::Path;

use dyntta_files::{Limits, catch};
use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use serde::{Deserialize, Serialize};

use crate::{Error, Profile, Rgb8};

/// The most pixels a file may announce, where nothing else is said: 100 million (300 MB decoded), so that a few bytes cannot
/// exhaust the memory.
pub const MAX_PIXELS: usize = Limits::DEFAULT.pixels;

/// What is done about the orientation that a camera wrote beside the pixels (EXIF, tag 274).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exif {
    /// The picture is turned and mirrored by it, as viewers do.
    #[default]
    Apply,
    /// The picture is taken as it is stored, as `PIL.Image.open` and torchvision do.
    Ignore,
}

impl Exif {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Apply, Self::Ignore];

    /// `"apply"` or `"ignore"`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Ignore => "ignore",
        }
    }
}

/// How a file is decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decode {
    /// What is done about the EXIF orientation.
    pub exif: Exif,
    /// Whether the colour profile is looked for.
    pub profile: bool,
    /// What a file may ask for.
    pub limits: Limits,
}

impl Decode {
    /// The pixels as they are stored, unturned: what labelled images are unless something else is asked for.
    pub const STORED: Self = Self { exif: Exif::Ignore, profile: false, limits: Limits::DEFAULT };
}

/// A decoded file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The pixels.
    pub image: Rgb8,
    /// The EXIF orientation that the file states, 1 to 8; 1, upright, where it states none.
    pub orientation: u8,
    /// What the file says of its colours; [`Profile::None`] unless [`Decode::profile`] asks.
    pub profile: Profile,
}

/// [`read_with`] the default of [`Decode`], the pixels alone.
///
/// # Errors
/// As [`read_with`].
pub fn read(path: impl AsRef<Path>) -> Result<Rgb8, Error> {
    Ok(read_with(path, &Decode::default())?.image)
}

/// Reads an image file; see [`decode_with`] for what it takes and how it converts.
///
/// # Errors
/// [`Error::File`] if the file cannot be read or has more bytes than [`Limits::image_bytes`], and those of [`decode_with`].
pub fn read_with(path: impl AsRef<Path>, how: &Decode) -> Result<Decoded, Error> {
    let path = path.as_ref();
    let bytes = dyntta_files::read(path, how.limits.image_bytes)?;
    decode_with(&bytes, &path.to_string_lossy(), how)
}

/// [`decode_with`] the default of [`Decode`], the pixels alone.
///
/// # Errors
/// As [`decode_with`].
pub fn decode(bytes: &[u8], name: &str) -> Result<Rgb8, Error> {
    Ok(decode_with(bytes, name, &Decode::default())?.image)
}

/// Decodes a whole JPEG, PNG, BMP or WebP file. `name` is for the error messages; the format is told by the content.
///
/// - The EXIF orientation is applied or ignored, as `how` says.
/// - Grey is replicated to the three channels, a palette is looked up, CMYK JPEG is converted without a profile.
/// - Alpha is dropped: the colour under a transparent pixel is what the file stores there.
/// - Of 16 bits the upper 8 are taken; 1, 2 and 4 bits are spread over `0..=255`, 5 and 6 bits of a BMP too, rounded down.
/// - Colour profiles and gamma chunks are not applied. Of an animation, the first picture is taken.
///
/// Pixels are Pillow's `Image.open(f).convert("RGB")` to the bit, with the differences that docs/data.md lists.
///
/// A JPEG whose data end before its end-of-image marker, or whose coded data are invalid, is an error rather than
/// half a picture; stray bytes between two header segments are let pass.
///
/// # Errors
/// [`Error::NotAnImage`], [`Error::Unsupported`], [`Error::Damaged`] and, above [`Limits::pixels`] or [`Limits::side`],
/// [`Error::TooLarge`].
pub fn decode_with(bytes: &[u8], name: &str, how: &Decode) -> Result<Decoded, Error> {
    let path = || name.to_owned();
    let Some(format) = Format::of(bytes) else {
        return Err(Error::NotAnImage { path: path(), found: describe(bytes) });
    };
    // The decoders are fuzzed and not known to panic; should one, this file is at fault and not the whole run.
    let decoded = catch(|| match format {
        Format::Jpeg => jpeg::decode(bytes, how),
        Format::Png => png::decode(bytes, how),
        Format::Bmp => other::bmp(bytes, how),
        Format::WebP => other::webp(bytes, how),
    });
    let decoded =
        decoded.unwrap_or_else(|_| Err(Failure::Damaged("data on which the decoder failed".into())));
    let format = format.name();
    decoded.and_then(|raw| raw.finish(how)).map_err(|failure| match failure {
        Failure::Damaged(found) => Error::Damaged { path: path(), format, found },
        Failure::Unsupported(found) => Error::Unsupported { path: path(), format, found },
        Failure::TooLarge(width, height) => {
            let Limits { pixels: limit, side, .. } = how.limits;
            Error::TooLarge { path: path(), width, height, limit, side }
        }
    })
}

/// What bytes are that are no image of a known format.
fn describe(bytes: &[u8]) -> String {
    match dyntta_files::describe(&bytes[..bytes.len().min(512)]) {
        Some(kind) => kind.to_owned(),
        None => {
            let head: Vec<String> = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect();
            format!("a file that begins {}", head.join(" "))
        }
    }
}

#[derive(Clone, Copy)]
enum Format {
    Jpeg,
    Png,
    Bmp,
    WebP,
}

impl Format {
    fn of(bytes: &[u8]) -> Option<Self> {
        let webp = bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP");
        [
            (bytes.starts_with(b"\xff\xd8\xff"), Self::Jpeg),
            (bytes.starts_with(b"\x89PNG\r\n\x1a\n"), Self::Png),
            (bytes.starts_with(b"BM"), Self::Bmp),
            (webp, Self::WebP),
        ]
        .into_iter()
        .find_map(|(is, format)| is.then_some(format))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Bmp => "BMP",
            Self::WebP => "WebP",
        }
    }
}

/// Why a file of a known format gives no image.
enum Failure {
    Damaged(String),
    Unsupported(String),
    TooLarge(usize, usize),
}

/// What a decoder makes of a file.
struct Raw {
    width: usize,
    height: usize,
    /// RGB, interleaved.
    data: Vec<u8>,
    orientation: Orientation,
    profile: Profile,
}

impl Raw {
    fn finish(self, how: &Decode) -> Result<Decoded, Failure> {
        let Self { width, height, data, orientation, profile } = self;
        let wrong = || Failure::Damaged(format!("pixels for another size than {width}x{height}"));
        let image = if how.exif == Exif::Ignore || orientation == Orientation::NoTransforms {
            Rgb8::new(width, height, data).map_err(|_| wrong())?
        } else {
            let size = u32::try_from(width).ok().zip(u32::try_from(height).ok());
            let image = size.and_then(|(w, h)| RgbImage::from_raw(w, h, data)).ok_or_else(wrong)?;
            let mut image = DynamicImage::ImageRgb8(image);
            image.apply_orientation(orientation);
            let (width, height) = (image.width() as usize, image.height() as usize);
            Rgb8::new(width, height, image.into_rgb8().into_raw()).map_err(|_| wrong())?
        };
        Ok(Decoded { image, orientation: orientation.to_exif(), profile })
    }
}

fn check_size(width: usize, height: usize, limits: &Limits) -> Result<(), Failure> {
    match width.checked_mul(height) {
        Some(0) => Err(Failure::Damaged(format!("an image of {width}x{height} pixels"))),
        Some(n) if n <= limits.pixels && width.max(height) <= limits.side => Ok(()),
        _ => Err(Failure::TooLarge(width, height)),
    }
}

/// The orientation that a block of EXIF states. Some programs put JPEG's prefix before it in other formats too.
fn orientation(exif: Option<&[u8]>) -> Orientation {
    let block = exif.map(|e| e.strip_prefix(EXIF).unwrap_or(e));
    block.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
}

const EXIF: &[u8] = b"Exif\0\0";

/// Interleaved pixels of `channels` bytes (grey, grey and alpha, RGB, RGB and alpha) as RGB.
fn to_rgb(mut data: Vec<u8>, channels: usize) -> Vec<u8> {
    match channels {
        3 => data,
        4 => {
            // In place, since it may be much.
            let pixels = data.len() / 4;
            for i in 0..pixels {
                data.copy_within(4 * i..4 * i + 3, 3 * i);
            }
            data.truncate(3 * pixels);
            data
        }
        _ => data.chunks_exact(channels).flat_map(|p| [p[0]; 3]).collect(),
    }
}

/// A reader over the file.
fn reader(bytes: &[u8]) -> Cursor<&[u8]> {
    Cursor::new(bytes)
}

#[cfg(test)]
mod tests;
