//! JPEG decoding by libjpeg, so that pixels are those that PIL and torchvision give, to the bit.

use std::os::raw::c_int;
use std::panic::resume_unwind;

use mozjpeg::{ColorSpace, Decompress, Marker};
use mozjpeg_sys::{
    JERR_IMAGE_TOO_BIG, JWRN_ADOBE_XFORM, JWRN_BOGUS_ICC, JWRN_EXTRANEOUS_DATA, JWRN_HIT_MARKER,
    JWRN_HUFF_BAD_CODE, JWRN_JFIF_MAJOR, JWRN_JPEG_EOF, JWRN_MUST_RESYNC, jpeg_common_struct, jpeg_error_mgr,
    jpeg_std_error,
};

use crate::codec::Failure;

/// A decoded file.
pub(crate) struct Pixels {
    pub width: usize,
    pub height: usize,
    /// RGB, interleaved.
    pub data: Vec<u8>,
    /// The EXIF block, from its TIFF header on.
    pub exif: Option<Vec<u8>>,
}

const EXIF: &[u8] = b"Exif\0\0";

/// Decodes a file whose size `check` lets pass. Damaged data unwinds with a `String` that says what is wrong.
///
/// Grey becomes three equal channels; CMYK (as Adobe's programs write it, inverted) is multiplied out.
pub(crate) fn decode(
    bytes: &[u8],
    check: impl Fn(usize, usize) -> Result<(), Failure>,
) -> Result<Pixels, Failure> {
    let damaged = |error: std::io::Error| Failure::Damaged(error.to_string());
    let markers = [Marker::APP(1)];
    let decoder = Decompress::with_markers(&markers).with_err(strict()).from_mem(bytes).map_err(damaged)?;
    let (width, height) = decoder.size();
    check(width, height)?;
    let exif = decoder.markers().find_map(|m| m.data.strip_prefix(EXIF).map(<[u8]>::to_vec));
    let inks = matches!(decoder.color_space(), ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK);
    let target = if inks { ColorSpace::JCS_CMYK } else { ColorSpace::JCS_RGB };
    let mut decoder = decoder.to_colorspace(target).map_err(damaged)?;
    let mut data: Vec<u8> = decoder.read_scanlines().map_err(damaged)?;
    decoder.finish().map_err(damaged)?;
    if inks {
        let mix = |ink: u8, black: u8| ((u32::from(ink) * u32::from(black) + 127) / 255) as u8;
        data = data.chunks_exact(4).flat_map(|p| [0, 1, 2].map(|c| mix(p[c], p[3]))).collect();
    }
    if data.len() != width * height * 3 {
        return Err(Failure::Damaged(format!("{} bytes of pixels for {width}x{height}", data.len())));
    }
    Ok(Pixels { width, height, data, exif })
}

/// Error handling that takes for damage what libjpeg by default papers over with grey.
fn strict() -> jpeg_error_mgr {
    // SAFETY: the struct is plain C data for which zero is a value of every field; `jpeg_std_error` fills it.
    let mut errors: jpeg_error_mgr = unsafe { std::mem::zeroed() };
    // SAFETY: it writes the defaults to the struct and keeps nothing of it.
    unsafe { jpeg_std_error(&mut errors) };
    errors.error_exit = Some(fail);
    errors.emit_message = Some(warn);
    errors
}

/// The code of the message at hand.
fn code(info: &jpeg_common_struct) -> c_int {
    // SAFETY: libjpeg calls its handlers with a struct whose `err` is the one that they were taken from.
    unsafe { (*info.err).msg_code }
}

unsafe extern "C-unwind" fn fail(info: &mut jpeg_common_struct) {
    // Past the panic hook: this is an answer, not a bug.
    resume_unwind(Box::new(describe(code(info))));
}

unsafe extern "C-unwind" fn warn(info: &mut jpeg_common_struct, level: c_int) {
    // Cameras and old editors leave such things; they say nothing about the picture.
    let harmless = [JWRN_EXTRANEOUS_DATA, JWRN_JFIF_MAJOR, JWRN_ADOBE_XFORM, JWRN_BOGUS_ICC];
    if level < 0 && !harmless.contains(&code(info)) {
        resume_unwind(Box::new(describe(code(info))));
    }
}

fn describe(code: c_int) -> String {
    match code {
        JWRN_HIT_MARKER => "image data that ends too early".into(),
        JWRN_HUFF_BAD_CODE => "a code that is not in its table".into(),
        JWRN_JPEG_EOF => "a file that ends too early".into(),
        JWRN_MUST_RESYNC => "a restart marker out of order".into(),
        JERR_IMAGE_TOO_BIG => "more than 65500 pixels a side".into(),
        code => format!("what libjpeg can't decode (its message {code})"),
    }
}
