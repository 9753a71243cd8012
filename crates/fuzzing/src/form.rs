//! How a kind of file is taken apart, changed in its own terms and put together again, with the checksums and lengths that
//! would otherwise hide all that lies behind them.

mod chunks;
mod pickle;
mod protobuf;
mod tar;
mod zip;

use dyntta_image::Stream;

pub(crate) use chunks::{gzip, png};
pub(crate) use protobuf::{Field, encode};
pub(crate) use tar::mend as mend_tar;
pub(crate) use zip::{Entry, write as write_zip};

use crate::mutate::{bytes, number, text};

/// How a kind of file is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Nothing is known.
    Bytes,
    /// Lines and words.
    Text,
    /// Chunks with checksums; the pixels are deflated.
    Png,
    /// Segments with lengths.
    Jpeg,
    /// Chunks with lengths (WebP).
    Riff,
    /// A JSON header after its length.
    Safetensors,
    /// Entries with checksums; those named `.pkl` are pickles.
    Zip,
    /// Opcodes.
    Pickle,
    /// Fields in fields.
    Protobuf,
    /// Headers with checksums.
    Tar,
    /// Deflated bytes, or the bytes themselves.
    Gzip,
}

/// A change of a file in the terms of its form; `None` if it can't be taken apart.
pub(crate) fn mutate(form: Form, stream: &mut Stream, data: &[u8], tokens: &[&[u8]]) -> Option<Vec<u8>> {
    match form {
        Form::Bytes => None,
        Form::Text => {
            let mut out = data.to_vec();
            // One change most of the time: two seldom leave anything that is read to its end.
            for _ in 0..=stream.below(4) / 2 {
                text(stream, &mut out, tokens);
            }
            Some(out)
        }
        Form::Png => chunks::mutate_png(stream, data, tokens),
        Form::Jpeg => chunks::mutate_jpeg(stream, data, tokens),
        Form::Riff => chunks::mutate_riff(stream, data, tokens),
        Form::Safetensors => safetensors(stream, data, tokens),
        Form::Zip => zip::mutate(stream, data, tokens),
        Form::Pickle => pickle::mutate(stream, data, tokens),
        Form::Protobuf => protobuf::mutate(stream, data, tokens),
        Form::Tar => tar::mutate(stream, data, tokens),
        Form::Gzip => chunks::mutate_gzip(stream, data, tokens),
    }
}

/// Sets right the checksums and lengths of a changed file, as far as it can still be taken apart.
pub(crate) fn mend(form: Form, data: &mut Vec<u8>) {
    match form {
        Form::Png => chunks::mend_png(data),
        Form::Riff => chunks::mend_riff(data),
        Form::Tar => tar::mend(data),
        Form::Safetensors => {
            // The header ends where its bytes do that are text.
            if let Some(length) = data.get(8..).and_then(|rest| rest.iter().rposition(|b| *b == b'}')) {
                data[..8].copy_from_slice(&(length as u64 + 1).to_le_bytes());
            }
        }
        _ => {}
    }
}

/// The header as a text of its own.
fn safetensors(stream: &mut Stream, data: &[u8], tokens: &[&[u8]]) -> Option<Vec<u8>> {
    let length = usize::try_from(u64::from_le_bytes(data.get(..8)?.try_into().ok()?)).ok()?;
    let mut header = data.get(8..length.checked_add(8)?)?.to_vec();
    let mut rest = data[8 + length..].to_vec();
    for _ in 0..=stream.below(3) {
        match stream.below(4) {
            0 => bytes(stream, &mut header, tokens, data),
            1 => bytes(stream, &mut rest, &[], data),
            _ => text(stream, &mut header, tokens),
        }
    }
    let length = if stream.below(8) == 0 { number(stream) } else { header.len() as u64 };
    Some([&length.to_le_bytes()[..], &header, &rest].concat())
}
