//! JPEG decoding by libjpeg, so that pixels are those that PIL and torchvision give, to the bit.

mod segments;

use std::os::raw::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use mozjpeg::{ColorSpace, Decompress};
use mozjpeg_sys::{
    JERR_IMAGE_TOO_BIG, JWRN_ADOBE_XFORM, JWRN_BOGUS_ICC, JWRN_EXTRANEOUS_DATA, JWRN_HIT_MARKER,
    JWRN_HUFF_BAD_CODE, JWRN_JFIF_MAJOR, JWRN_JPEG_EOF, JWRN_MUST_RESYNC, jpeg_common_struct, jpeg_error_mgr,
    jpeg_std_error,
};

use self::segments::Segments;
use super::{Decode, EXIF, Failure, MAX_PIXELS, Raw, check_size, orientation};
use crate::Profile;

/// The most pixels that all scans of a progressive file may go over, together. Pictures have ten scans or so; a few bytes can
/// ask for one more, over all of the picture.
const MOST_SCANNED: usize = 64 * MAX_PIXELS;

pub(super) fn decode(bytes: &[u8], how: &Decode) -> Result<Raw, Failure> {
    let segments = Segments::read(bytes);
    if let Some(kind) = segments.unsupported() {
        return Err(Failure::Unsupported(kind));
    }
    if !segments.ended {
        return Err(Failure::Damaged("a file that ends before its end-of-image marker (truncated)".into()));
    }
    // Errors inside libjpeg unwind from its C code up to here.
    let decoded = catch_unwind(AssertUnwindSafe(|| pixels(bytes, &segments, how)));
    let (width, height, data) = decoded.unwrap_or_else(|payload| match payload.downcast::<Said>() {
        Ok(said) => Err(Failure::Damaged(describe(said.0))),
        Err(other) => resume_unwind(other),
    })?;
    let profile = if how.profile { Profile::new(segments.profile()) } else { Profile::None };
    Ok(Raw { width, height, data, orientation: orientation(segments.exif), profile })
}

/// Width, height and RGB pixels. Damaged data unwinds with [`Said`].
///
/// Grey becomes three equal channels; CMYK (as Adobe's programs write it, inverted) is multiplied out.
fn pixels(bytes: &[u8], segments: &Segments<'_>, how: &Decode) -> Result<(usize, usize, Vec<u8>), Failure> {
    let damaged = |error: std::io::Error| Failure::Damaged(error.to_string());
    let decoder = Decompress::builder().with_err(strict()).from_mem(bytes).map_err(damaged)?;
    let (width, height) = decoder.size();
    check_size(width, height, &how.limits)?;
    if segments.scans.saturating_mul(width * height) > MOST_SCANNED {
        let found = format!("{} scans over {width}x{height} pixels", segments.scans);
        return Err(Failure::Damaged(found));
    }
    let inks = matches!(decoder.color_space(), ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK);
    let target = if inks { ColorSpace::JCS_CMYK } else { ColorSpace::JCS_RGB };
    let mut decoder = decoder.to_colorspace(target).map_err(damaged)?;
    let mut data: Vec<u8> = decoder.read_scanlines().map_err(damaged)?;
    decoder.finish().map_err(damaged)?;
    if inks {
        multiply_out(&mut data);
    }
    Ok((width, height, data))
}

/// Inverted CMYK to RGB, in place.
fn multiply_out(data: &mut Vec<u8>) {
    let mix = |ink: u8, black: u8| ((u32::from(ink) * u32::from(black) + 127) / 255) as u8;
    let pixels = data.len() / 4;
    for i in 0..pixels {
        let black = data[4 * i + 3];
        for c in 0..3 {
            data[3 * i + c] = mix(data[4 * i + c], black);
        }
    }
    data.truncate(3 * pixels);
}

/// A message of libjpeg, by its code, on its way up through C code.
struct Said(c_int);

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
    resume_unwind(Box::new(Said(code(info))));
}

unsafe extern "C-unwind" fn warn(info: &mut jpeg_common_struct, level: c_int) {
    // Cameras and old editors leave such things; they say nothing about the picture.
    let harmless = [JWRN_EXTRANEOUS_DATA, JWRN_JFIF_MAJOR, JWRN_ADOBE_XFORM, JWRN_BOGUS_ICC];
    if level < 0 && !harmless.contains(&code(info)) {
        resume_unwind(Box::new(Said(code(info))));
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
