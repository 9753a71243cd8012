//! The numpy array files of CIFAR-10-C and CIFAR-100-C (format: numpy's `lib/format`, versions 1 to 3).

use std::path::Path;

use crate::Error;
use crate::store::Archive;

/// The most labels; CIFAR-10-C has 50,000.
const MOST: usize = 4_000_000;

/// An array in a file: what it holds and where its bytes begin.
pub(crate) struct Array {
    pub archive: Archive,
    /// numpy's type string, `|u1`.
    pub kind: String,
    pub shape: Vec<usize>,
    pub start: u64,
}

/// Reads the header and checks that the file holds all the array's bytes.
pub(crate) fn open(path: &Path) -> Result<Array, Error> {
    let archive = Archive::open(path)?;
    let fail = |expected: &str, found: String| Error::layout(path.display(), expected, found);
    let head = archive.read_at(0, archive.len.min(12) as usize)?;
    let (length, text_at) = match head.as_slice() {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, a, b, ..] => (u64::from(u16::from_le_bytes([*a, *b])), 10),
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _, a, b, c, d] => {
            (u64::from(u32::from_le_bytes([*a, *b, *c, *d])), 12)
        }
        _ => {
            return Err(fail(
                "a numpy array file (.npy)",
                format!("a file that begins {:02x?}", &head[..head.len().min(6)]),
            ));
        }
    };
    let start = text_at + length;
    if start > archive.len || length > 1 << 16 {
        return Err(fail(
            "a header",
            format!("{} bytes (truncated), the header ends at {start}", archive.len),
        ));
    }
    let text = String::from_utf8_lossy(&archive.read_at(text_at, length as usize)?).into_owned();
    let after = |key: &str| text.split_once(&format!("'{key}':")).map(|(_, rest)| rest.trim_start());
    let kind =
        after("descr").and_then(|rest| rest.strip_prefix('\'')).and_then(|rest| rest.split('\'').next());
    let in_order = after("fortran_order").is_some_and(|rest| rest.starts_with("False"));
    let shape =
        after("shape").and_then(|rest| rest.strip_prefix('(')).and_then(|rest| rest.split(')').next());
    let shape: Option<Vec<usize>> = shape.and_then(|s| {
        s.split(',').map(str::trim).filter(|d| !d.is_empty()).map(|d| d.parse().ok()).collect()
    });
    let (Some(kind), true, Some(shape)) = (kind, in_order, shape) else {
        return Err(fail("the type, the shape and C order in the header", format!("{text:?}")));
    };
    let item = kind.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<usize>().unwrap_or(0);
    let size = shape.iter().try_fold(item, |product, &d| product.checked_mul(d));
    match size {
        Some(size) if (size as u64).checked_add(start) == Some(archive.len) => {
            Ok(Array { kind: kind.to_string(), archive, shape, start })
        }
        _ => {
            let found = format!("{} after the header", archive.len - start);
            Err(fail(&format!("the bytes of {kind} in the shape {shape:?}"), found))
        }
    }
}

/// A vector of whole numbers.
pub(crate) fn labels(path: &Path) -> Result<Vec<usize>, Error> {
    let array = open(path)?;
    let fail =
        |found: String| Error::layout(path.display(), "labels: one dimension of whole numbers from 0", found);
    let width = match array.kind.as_str() {
        "|u1" | "|i1" | "<u1" | "<i1" => 1,
        "<i4" | "<u4" => 4,
        "<i8" | "<u8" => 8,
        _ => return Err(fail(format!("type {}", array.kind))),
    };
    if array.shape.len() != 1 {
        return Err(fail(format!("shape {:?}", array.shape)));
    }
    if array.shape[0] > MOST {
        return Err(fail(format!("more than {MOST} of them")));
    }
    let bytes = array.archive.read_at(array.start, width * array.shape[0])?;
    let value = |b: &[u8]| b.iter().rev().fold(0u64, |v, &byte| v << 8 | u64::from(byte));
    // A negative label reads as a huge one and is refused with its neighbours.
    bytes
        .chunks_exact(width)
        .map(|b| {
            usize::try_from(value(b)).ok().filter(|&v| v < 1 << 31).ok_or_else(|| fail(format!("{b:02x?}")))
        })
        .collect()
}

/// The header of a file, version 1, of an array in C order; 64 bytes or a multiple, as numpy aligns it.
pub(crate) fn header(kind: &str, shape: &[usize]) -> Vec<u8> {
    const BEFORE: usize = 10;
    let shape: String = shape.iter().map(|d| format!("{d}, ")).collect();
    let shape = if shape.matches(',').count() == 1 { shape.trim_end() } else { shape.trim_end_matches(", ") };
    let mut text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
    let length = (BEFORE + text.len() + 1).next_multiple_of(64) - BEFORE;
    text.extend(std::iter::repeat_n(' ', length - 1 - text.len()));
    text.push('\n');
    [b"\x93NUMPY\x01\x00".as_slice(), &(length as u16).to_le_bytes(), text.as_bytes()].concat()
}

/// A whole file of labels below `classes`: bytes where they fit, as CIFAR-10-C has them.
pub(crate) fn labels_file(labels: &[usize], classes: usize) -> Vec<u8> {
    let shape = [labels.len()];
    if classes <= 256 {
        [header("|u1", &shape), labels.iter().map(|&l| l as u8).collect()].concat()
    } else {
        [header("<i8", &shape), labels.iter().flat_map(|&l| (l as i64).to_le_bytes()).collect()].concat()
    }
}
