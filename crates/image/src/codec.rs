//! Image files to [`Rgb8`] and back.

use std::ffi::OsStr;
use std::fs;
use std::io::{Cursor, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use image::metadata::Orientation;
use image::{
    DynamicImage, ImageDecoder, ImageEncoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage,
};

use crate::{Error, Rgb8, jpeg};

/// The most pixels a file may announce: 100 million (300 MB decoded), so that a few bytes cannot exhaust the memory.
pub const MAX_PIXELS: usize = 100_000_000;

/// The quality [`write()`] gives a JPEG file.
pub const JPEG_QUALITY: u8 = 95;

/// The extensions of the formats that can be read, in lower case.
pub const EXTENSIONS: [&str; 5] = ["jpg", "jpeg", "png", "bmp", "webp"];

/// Whether the extension of `name`, in either case, is one of [`EXTENSIONS`] (ImageNet's `.JPEG` is).
pub fn is_image_name(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(OsStr::to_str).unwrap_or_default();
    EXTENSIONS.iter().any(|e| e.eq_ignore_ascii_case(extension))
}

/// Reads an image file; see [`decode`] for what it takes and how it converts.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, and those of [`decode`].
pub fn read(path: impl AsRef<Path>) -> Result<Rgb8, Error> {
    let path = path.as_ref();
    let name = path.display().to_string();
    match fs::read(path) {
        Ok(bytes) => decode(&bytes, &name),
        Err(source) => Err(Error::Io { path: name, action: "read", source }),
    }
}

/// Decodes a whole JPEG, PNG, BMP or WebP file. `name` is for the error messages; the format is told by the content.
///
/// - The EXIF orientation is applied.
/// - Grey is replicated to the three channels, a palette is looked up, CMYK JPEG is converted without a profile.
/// - Alpha is dropped: the colour under a transparent pixel is what the file stores there.
/// - 16 bits become 8 as `round(v / 257)`; 1, 2 and 4 bits are spread over `0..=255`.
/// - Colour profiles and gamma chunks are ignored. Of an animation, the first picture is taken.
///
/// PNG, BMP and WebP give Pillow's pixels; JPEG differs from it by the rounding of the cosine transform and of the
/// enlarged chroma, on a noisy 4:2:0 photo 0.3 levels in the mean and 5 at most.
///
/// A JPEG whose data end before its end-of-image marker, or whose coded data are invalid, is an error rather than
/// half a picture; stray bytes between two header segments are let pass.
///
/// # Errors
/// [`Error::NotAnImage`], [`Error::Damaged`] and, above [`MAX_PIXELS`], [`Error::TooLarge`].
pub fn decode(bytes: &[u8], name: &str) -> Result<Rgb8, Error> {
    let (format, label) = match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => (ImageFormat::Jpeg, "JPEG"),
        Ok(ImageFormat::Png) => (ImageFormat::Png, "PNG"),
        Ok(ImageFormat::Bmp) => (ImageFormat::Bmp, "BMP"),
        Ok(ImageFormat::WebP) => (ImageFormat::WebP, "WebP"),
        Ok(other) => return Err(not_an_image(name, format!("a {} file", other.extensions_str()[0]))),
        Err(_) if bytes.is_empty() => return Err(not_an_image(name, "an empty file".into())),
        Err(_) => {
            let head: Vec<String> = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect();
            return Err(not_an_image(name, format!("a file that begins {}", head.join(" "))));
        }
    };
    // The decoders are fuzzed and not known to panic; should one, this file is at fault and not the whole run.
    let decoded = catch_unwind(AssertUnwindSafe(|| match format {
        ImageFormat::Jpeg => decode_jpeg(bytes),
        _ => decode_other(bytes, format),
    }));
    let decoded = decoded.unwrap_or_else(|payload| {
        let said = payload.downcast::<String>().map_or("data on which the decoder failed".into(), |s| *s);
        Err(Failure::Damaged(said))
    });
    match decoded {
        Ok(image) => Ok(image),
        Err(Failure::Damaged(found)) => Err(Error::Damaged { path: name.into(), format: label, found }),
        Err(Failure::TooLarge(width, height)) => {
            Err(Error::TooLarge { path: name.into(), width, height, limit: MAX_PIXELS })
        }
    }
}

fn not_an_image(name: &str, found: String) -> Error {
    Error::NotAnImage { path: name.into(), found }
}

pub(crate) enum Failure {
    Damaged(String),
    TooLarge(usize, usize),
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        Self::Damaged(error.to_string())
    }
}

fn check_size(width: usize, height: usize) -> Result<(), Failure> {
    match width.checked_mul(height) {
        Some(0) => Err(Failure::Damaged(format!("an image of {width}x{height} pixels"))),
        Some(n) if n <= MAX_PIXELS => Ok(()),
        _ => Err(Failure::TooLarge(width, height)),
    }
}

fn decode_other(bytes: &[u8], format: ImageFormat) -> Result<Rgb8, Failure> {
    let mut limits = Limits::default();
    // The pixel count is checked below; this bounds what else a file may make the decoder hold (8 bytes a pixel at most).
    limits.max_alloc = Some(8 * MAX_PIXELS as u64 + (64 << 20));
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    check_size(width as usize, height as usize)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(from_dynamic(&image))
}

fn from_dynamic(image: &DynamicImage) -> Rgb8 {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let to8 = |v: u16| ((u32::from(v) + 128) / 257) as u8;
    let data = match image {
        DynamicImage::ImageRgb8(i) => i.as_raw().clone(),
        DynamicImage::ImageRgba8(i) => i.pixels().flat_map(|p| [p[0], p[1], p[2]]).collect(),
        DynamicImage::ImageLuma8(i) => i.pixels().flat_map(|p| [p[0]; 3]).collect(),
        DynamicImage::ImageLumaA8(i) => i.pixels().flat_map(|p| [p[0]; 3]).collect(),
        DynamicImage::ImageRgb16(i) => i.pixels().flat_map(|p| [p[0], p[1], p[2]]).map(to8).collect(),
        DynamicImage::ImageRgba16(i) => i.pixels().flat_map(|p| [p[0], p[1], p[2]]).map(to8).collect(),
        DynamicImage::ImageLuma16(i) => i.pixels().flat_map(|p| [to8(p[0]); 3]).collect(),
        DynamicImage::ImageLumaA16(i) => i.pixels().flat_map(|p| [to8(p[0]); 3]).collect(),
        other => other.to_rgb8().into_raw(),
    };
    Rgb8::new(width, height, data)
}

fn decode_jpeg(bytes: &[u8]) -> Result<Rgb8, Failure> {
    if !has_end_of_image(bytes) {
        return Err(Failure::Damaged("a file that ends before its end-of-image marker (truncated)".into()));
    }
    let jpeg::Pixels { width, height, data, exif } = jpeg::decode(bytes, check_size)?;
    match exif.as_deref().and_then(Orientation::from_exif_chunk) {
        None | Some(Orientation::NoTransforms) => Ok(Rgb8::new(width, height, data)),
        Some(orientation) => {
            let image =
                RgbImage::from_raw(width as u32, height as u32, data).expect("the length was checked");
            let mut image = DynamicImage::ImageRgb8(image);
            image.apply_orientation(orientation);
            Ok(from_dynamic(&image))
        }
    }
}

/// Walks the segments of a JPEG file (ITU T.81, annex B) and says whether an end-of-image marker follows a scan.
fn has_end_of_image(bytes: &[u8]) -> bool {
    let mut at = 2;
    let mut scanned = false;
    while let Some(&byte) = bytes.get(at) {
        let Some(&code) = bytes.get(at + 1) else { return false };
        if byte != 0xff || code == 0xff {
            at += 1; // coded data, stray bytes or fill
            continue;
        }
        match code {
            0xd9 if scanned => return true,
            // Stuffed zero, TEM, restart, start and a stray end of image stand alone.
            0x00 | 0x01 | 0xd0..=0xd9 => at += 2,
            _ => {
                scanned |= code == 0xda;
                let Some(length) = bytes.get(at + 2..at + 4) else { return false };
                at += 2 + usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
            }
        }
    }
    false
}

/// The image as a PNG file: 8-bit RGB, lossless.
///
/// # Errors
/// [`Error::Encode`] if a side exceeds what the format can express.
pub fn encode_png(image: &Rgb8) -> Result<Vec<u8>, Error> {
    let fail = |found: String| Error::Encode { path: "(memory)".into(), format: "PNG", found };
    let (Ok(width), Ok(height)) = (u32::try_from(image.width), u32::try_from(image.height)) else {
        return Err(fail(format!("{}x{} pixels", image.width, image.height)));
    };
    let mut out = Vec::with_capacity(image.data.len() / 2 + 256);
    image::codecs::png::PngEncoder::new(&mut out)
        .write_image(&image.data, width, height, image::ExtendedColorType::Rgb8)
        .map_err(|e| fail(e.to_string()))?;
    Ok(out)
}

/// The image as a baseline JPEG file of `quality` 1 to 100 (brought into that range): the tables of ITU T.81 annex K
/// scaled as the IJG library scales them, and chroma halved both ways (4:2:0) by averaging, which is what PIL does by
/// default.
///
/// # Errors
/// [`Error::Encode`] if a side exceeds 65,535.
pub fn encode_jpeg(image: &Rgb8, quality: u8) -> Result<Vec<u8>, Error> {
    let fail = |found: String| Error::Encode { path: "(memory)".into(), format: "JPEG", found };
    let (Ok(width), Ok(height)) = (u16::try_from(image.width), u16::try_from(image.height)) else {
        return Err(fail(format!("{}x{} pixels, expected at most 65535 a side", image.width, image.height)));
    };
    let mut out = Vec::with_capacity(image.data.len() / 8 + 1024);
    let mut encoder = jpeg_encoder::Encoder::new(&mut out, quality.clamp(1, 100));
    encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::R_4_2_0);
    encoder.set_chroma_subsampling_method(jpeg_encoder::ChromaSubsamplingMethod::Average);
    encoder
        .encode(&image.data, width, height, jpeg_encoder::ColorType::Rgb)
        .map_err(|e| fail(e.to_string()))?;
    Ok(out)
}

/// Writes the image as PNG (`.png`) or JPEG (`.jpg`, `.jpeg`; [`JPEG_QUALITY`]), by [`write_atomic`].
///
/// # Errors
/// [`Error::Extension`] for another extension, [`Error::Encode`], [`Error::Io`].
pub fn write(path: impl AsRef<Path>, image: &Rgb8) -> Result<(), Error> {
    let path = path.as_ref();
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
    let encoded = match extension.as_str() {
        "png" => encode_png(image),
        "jpg" | "jpeg" => encode_jpeg(image, JPEG_QUALITY),
        "" => return Err(Error::Extension { path: path.display().to_string(), found: "none".into() }),
        other => {
            return Err(Error::Extension { path: path.display().to_string(), found: format!(".{other}") });
        }
    };
    let bytes = encoded.map_err(|error| match error {
        Error::Encode { format, found, .. } => {
            Error::Encode { path: path.display().to_string(), format, found }
        }
        other => other,
    })?;
    write_atomic(path, &bytes)
}

/// Writes a file so that at `path` stands either what stood there before or all of `bytes`: a temporary file in the
/// same folder, then a rename. The temporary file is removed if something fails.
///
/// # Errors
/// [`Error::Io`].
pub fn write_atomic(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), Error> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let path = path.as_ref();
    let fail = |source| Error::Io { path: path.display().to_string(), action: "write", source };
    let Some(file_name) = path.file_name() else {
        return Err(fail(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a file name")));
    };
    let mut temporary_name = std::ffi::OsString::from(".");
    temporary_name.push(file_name);
    temporary_name.push(format!(".{}.{}.tmp", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
    let temporary: PathBuf = path.with_file_name(temporary_name);

    let written =
        fs::OpenOptions::new().write(true).create_new(true).open(&temporary).and_then(|mut file| {
            file.write_all(bytes)?;
            drop(file);
            fs::rename(&temporary, path)
        });
    written.map_err(|source| {
        // If this fails too, the first failure is the one to report.
        let _ = fs::remove_file(&temporary);
        fail(source)
    })
}

#[cfg(test)]
mod tests;
