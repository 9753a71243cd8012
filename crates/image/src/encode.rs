//! [`Rgb8`] to image files.

use std::ffi::OsStr;
use std::path::Path;

use image::ImageEncoder;

use crate::{Error, JPEG_QUALITY, Metadata, Rgb8, metadata};

/// The image as a PNG file: 8-bit RGB, lossless.
///
/// # Errors
/// [`Error::Encode`] if a side exceeds what the format can express.
pub fn encode_png(image: &Rgb8) -> Result<Vec<u8>, Error> {
    let fail = |found: String| Error::Encode { path: "(memory)".into(), format: "PNG", found };
    let (Ok(width), Ok(height)) = (u32::try_from(image.width()), u32::try_from(image.height())) else {
        return Err(fail(format!("{}x{} pixels", image.width(), image.height())));
    };
    let mut out = Vec::with_capacity(image.data().len() / 2 + 256);
    image::codecs::png::PngEncoder::new(&mut out)
        .write_image(image.data(), width, height, image::ExtendedColorType::Rgb8)
        .map_err(|e| fail(e.to_string()))?;
    Ok(out)
}

/// [`encode_png`] with what `metadata` says of the image. The pixels' bytes are the same.
///
/// # Errors
/// As [`encode_png`].
pub fn encode_png_with(image: &Rgb8, metadata: &Metadata<'_>) -> Result<Vec<u8>, Error> {
    Ok(metadata::into_png(encode_png(image)?, metadata))
}

/// The image as a baseline JPEG file of `quality` 1 to 100 (brought into that range): the tables of ITU T.81 annex K
/// scaled as the IJG library scales them, and chroma halved both ways (4:2:0) by averaging, which is what PIL does by
/// default.
///
/// # Errors
/// [`Error::Encode`] if a side exceeds 65,500, the most that libjpeg reads.
pub fn encode_jpeg(image: &Rgb8, quality: u8) -> Result<Vec<u8>, Error> {
    let fail = |found: String| Error::Encode { path: "(memory)".into(), format: "JPEG", found };
    let fits = |side: usize| u16::try_from(side).ok().filter(|&s| s <= 65_500);
    let (Some(width), Some(height)) = (fits(image.width()), fits(image.height())) else {
        return Err(fail(format!(
            "{}x{} pixels, expected at most 65500 a side",
            image.width(),
            image.height()
        )));
    };
    let mut out = Vec::with_capacity(image.data().len() / 8 + 1024);
    let mut encoder = jpeg_encoder::Encoder::new(&mut out, quality.clamp(1, 100));
    encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::R_4_2_0);
    encoder.set_chroma_subsampling_method(jpeg_encoder::ChromaSubsamplingMethod::Average);
    encoder
        .encode(image.data(), width, height, jpeg_encoder::ColorType::Rgb)
        .map_err(|e| fail(e.to_string()))?;
    Ok(out)
}

/// [`encode_jpeg`] with what `metadata` says of the image. The pixels' bytes are the same.
///
/// # Errors
/// As [`encode_jpeg`].
pub fn encode_jpeg_with(image: &Rgb8, quality: u8, metadata: &Metadata<'_>) -> Result<Vec<u8>, Error> {
    Ok(metadata::into_jpeg(encode_jpeg(image, quality)?, metadata))
}

/// Writes the image as PNG (`.png`) or JPEG (`.jpg`, `.jpeg`; [`JPEG_QUALITY`]), by [`write_atomic`].
///
/// # Errors
/// [`Error::Extension`] for another extension, [`Error::Encode`], [`Error::File`].
pub fn write(path: impl AsRef<Path>, image: &Rgb8) -> Result<(), Error> {
    let path = path.as_ref();
    let name = || path.to_string_lossy().into_owned();
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
    let encoded = match extension.as_str() {
        "png" => encode_png(image),
        "jpg" | "jpeg" => encode_jpeg(image, JPEG_QUALITY),
        "" => return Err(Error::Extension { path: name(), found: "none".into() }),
        other => {
            let found = format!(".{}", dyntta_files::shown_text(other));
            return Err(Error::Extension { path: name(), found });
        }
    };
    let bytes = encoded.map_err(|error| match error {
        Error::Encode { format, found, .. } => Error::Encode { path: name(), format, found },
        other => other,
    })?;
    write_atomic(path, &bytes)
}

/// [`dyntta_files::write_atomic`].
///
/// # Errors
/// [`Error::File`].
pub fn write_atomic(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), Error> {
    Ok(dyntta_files::write_atomic(path, bytes)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{Decode, Profile, SOFTWARE, decode, decode_with, is_ours, read};

    fn picture(width: usize, height: usize) -> Rgb8 {
        Rgb8::new(width, height, (0..width * height * 3).map(|i| (i * 7 % 256) as u8).collect()).unwrap()
    }

    /// The header of a profile of an RGB space, and noise.
    fn profile(length: usize) -> Vec<u8> {
        let mut icc: Vec<u8> = (0..length).map(|i| (i * i / 7 % 251) as u8).collect();
        icc[..4].copy_from_slice(&(length as u32).to_be_bytes());
        icc[16..20].copy_from_slice(b"RGB ");
        icc[36..40].copy_from_slice(b"acsp");
        icc
    }

    #[test]
    fn a_profile_and_a_mark_travel_and_leave_the_pixels() {
        let image = picture(9, 5);
        let how = Decode { profile: true, ..Decode::default() };
        for icc in [profile(128), profile(3144), profile(200_000)] {
            let metadata = Metadata { icc: Some(&icc), marked: true };
            let jpeg = |with| encode_jpeg_with(&image, 90, with).unwrap();
            for (plain, file) in [
                (encode_png(&image).unwrap(), encode_png_with(&image, &metadata).unwrap()),
                (encode_jpeg(&image, 90).unwrap(), jpeg(&metadata)),
            ] {
                let decoded = decode_with(&file, "x", &how).unwrap();
                assert_eq!(decoded.image, decode(&plain, "x").unwrap());
                assert_eq!(decoded.profile, Profile::Rgb(icc.clone()));
                assert_eq!(decode_with(&file, "x", &Decode::default()).unwrap().profile, Profile::None);
                assert!(is_ours(&file[..256]) && !is_ours(&plain) && !is_ours(&file[..30]));
            }
            let unmarked = Metadata { marked: false, ..metadata };
            assert!(!is_ours(&encode_png_with(&image, &unmarked).unwrap()) && !is_ours(&jpeg(&unmarked)));
        }
        assert_eq!(encode_png_with(&image, &Metadata::default()).unwrap(), encode_png(&image).unwrap());
        assert!(SOFTWARE.starts_with("dyntta 0."));
        assert!(!is_ours(b"") && !is_ours(b"dyntta ") && !is_ours(b"\xff\xd8\xff\xfe\0\x01"));
    }

    fn names(folder: &tempfile::TempDir) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn files_are_written_whole_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let image = picture(9, 5);
        write(at("a.png"), &image).unwrap();
        write(at("a.png"), &picture(3, 3)).unwrap();
        assert_eq!(read(at("a.png")).unwrap(), picture(3, 3));
        write(at("b.JPG"), &image).unwrap();
        assert_eq!(read(at("b.JPG")).unwrap().width(), 9);
        assert_eq!(names(&folder).len(), 2);
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("taken.png/inside")).unwrap();
        let error = write(at("taken.png"), &picture(2, 2)).unwrap_err();
        assert!(error.to_string().contains("taken.png: expected a file to write, found a folder"), "{error}");
        assert_eq!(names(&folder), ["taken.png"]);
        assert!(write(at("no/such/folder/a.png"), &picture(2, 2)).is_err());
        let error = write(at("a.tiff"), &picture(2, 2)).unwrap_err().to_string();
        assert!(error.ends_with("expected a name ending in .png, .jpg or .jpeg, found .tiff"), "{error}");
        assert!(write(at("a"), &picture(2, 2)).unwrap_err().to_string().ends_with("found none"));
    }
}
