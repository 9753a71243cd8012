//! What stands beside the pixels in a file that is written: a mark of origin and a colour profile.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// The mark of origin: the program and its version.
pub const SOFTWARE: &str = concat!("dyntta ", env!("CARGO_PKG_VERSION"));

/// How every version's mark begins.
const MARK: &[u8] = b"dyntta ";

/// The keyword of the text chunk in which PNG has the program.
const KEYWORD: &[u8] = b"Software\0";

/// What is written beside the pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata<'a> {
    /// An ICC profile of an RGB space: what the pixels' values mean.
    pub icc: Option<&'a [u8]>,
    /// Whether the file says that this program wrote it ([`SOFTWARE`]), which [`is_ours`] finds again.
    pub marked: bool,
}

/// Whether a PNG or JPEG file that begins with `head` says that this program wrote it ([`Metadata::marked`]). The first 64
/// KiB tell.
pub fn is_ours(head: &[u8]) -> bool {
    if let Some(chunks) = head.strip_prefix(PNG) {
        return png_chunks(chunks)
            .take_while(|(kind, _)| kind != b"IDAT")
            .any(|(kind, data)| kind == b"tEXt" && data.strip_prefix(KEYWORD).is_some_and(is_mark));
    }
    let mut rest = head.strip_prefix(&[0xff, 0xd8]).unwrap_or_default();
    while let &[0xff, code @ 0xc0..=0xfe, high, low, ref after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some((segment, next)) = length.checked_sub(2).and_then(|n| after.split_at_checked(n)) else {
            return false;
        };
        match code {
            0xfe if is_mark(segment) => return true,
            0xda => return false,
            _ => rest = next,
        }
    }
    false
}

fn is_mark(text: &[u8]) -> bool {
    text.starts_with(MARK) && text.len() < 64
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Kind and data of the whole chunks at the start of `rest`.
fn png_chunks(mut rest: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (kind, after) = after.split_at_checked(4)?;
        let (data, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        rest = after.get(4..)?;
        Some((kind, data))
    })
}

/// Puts `metadata` behind the first chunk, the header. The mark comes first, since a profile may be long.
pub(crate) fn into_png(file: Vec<u8>, metadata: &Metadata<'_>) -> Vec<u8> {
    const HEADER: usize = 8 + 12 + 13;
    let mut chunks = Vec::new();
    if metadata.marked {
        png_chunk(&mut chunks, b"tEXt", &[KEYWORD, SOFTWARE.as_bytes()].concat());
    }
    if let Some(icc) = metadata.icc {
        // A name, which says nothing, and the one method of compression.
        let mut data = b"ICC profile\0\0".to_vec();
        let mut encoder = ZlibEncoder::new(&mut data, Compression::default());
        // Writing to memory doesn't fail.
        if encoder.write_all(icc).and_then(|()| encoder.finish().map(drop)).is_ok() {
            png_chunk(&mut chunks, b"iCCP", &data);
        }
    }
    splice(file, HEADER, &chunks)
}

fn png_chunk(out: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let mut crc = flate2::Crc::new();
    crc.update(kind);
    crc.update(data);
    out.extend((data.len() as u32).to_be_bytes());
    out.extend(kind);
    out.extend(data);
    out.extend(crc.sum().to_be_bytes());
}

/// How an APP2 segment with a part of a profile begins; the part's number and the number of parts follow.
pub(crate) const ICC_SEGMENT: &[u8] = b"ICC_PROFILE\0";

/// Puts `metadata` behind the JFIF segment, which must come first.
pub(crate) fn into_jpeg(file: Vec<u8>, metadata: &Metadata<'_>) -> Vec<u8> {
    let at = match *file.as_slice() {
        [0xff, 0xd8, 0xff, 0xe0, high, low, ..] => 4 + usize::from(u16::from_be_bytes([high, low])),
        _ => 2,
    };
    let mut segments = Vec::new();
    let mut segment = |code: u8, parts: &[&[u8]]| {
        let length: usize = 2 + parts.iter().map(|p| p.len()).sum::<usize>();
        segments.extend([0xff, code]);
        segments.extend((length as u16).to_be_bytes());
        parts.iter().for_each(|part| segments.extend_from_slice(part));
    };
    if metadata.marked {
        segment(0xfe, &[SOFTWARE.as_bytes()]);
    }
    if let Some(icc) = metadata.icc.filter(|icc| icc.len() <= MOST_ICC) {
        let parts = icc.chunks(ICC_PART);
        let count = parts.len() as u8;
        for (number, part) in (1..=count).zip(parts) {
            segment(0xe2, &[ICC_SEGMENT, &[number, count], part]);
        }
    }
    splice(file, at, &segments)
}

/// The most bytes of a profile that a segment takes.
const ICC_PART: usize = 65_535 - 2 - ICC_SEGMENT.len() - 2;
/// The most bytes of a profile that a JPEG file takes.
pub(crate) const MOST_ICC: usize = 255 * ICC_PART;

fn splice(file: Vec<u8>, at: usize, inserted: &[u8]) -> Vec<u8> {
    if inserted.is_empty() {
        return file;
    }
    let (before, after) = file.split_at(at.min(file.len()));
    [before, inserted, after].concat()
}
