//! Tar archives.

use dyntta_image::Stream;

use crate::mutate::{bytes, number, pick};

const BLOCK: usize = 512;

/// Sets the checksum of a header.
fn sum(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// The blocks that are headers: those with the magic.
fn headers(data: &[u8]) -> Vec<usize> {
    (0..data.len() / BLOCK).map(|i| i * BLOCK).filter(|&at| data[at + 257..].starts_with(b"ustar")).collect()
}

/// Sets all checksums right.
pub(crate) fn mend(data: &mut [u8]) {
    for at in headers(data) {
        sum(&mut data[at..at + BLOCK]);
    }
}

/// The fields of a header: name, size, kind, link, prefix.
const FIELDS: [std::ops::Range<usize>; 5] = [0..100, 124..136, 156..157, 157..257, 345..500];

pub(super) fn mutate(stream: &mut Stream, data: &[u8], tokens: &[&[u8]]) -> Option<Vec<u8>> {
    let mut out = data.to_vec();
    let headers = headers(data);
    for _ in 0..=stream.below(3) {
        let at = if headers.is_empty() { return None } else { pick(stream, &headers) };
        if stream.below(4) == 0 {
            // Blocks doubled, moved, left out.
            let n = BLOCK * (1 + stream.below(3));
            let part: Vec<u8> = out.iter().skip(at).take(n).copied().collect();
            if at > out.len() {
                continue;
            }
            match stream.below(2) {
                0 => drop(out.splice(at..at, part)),
                _ => drop(out.drain(at..(at + n).min(out.len()))),
            }
            continue;
        }
        let Some(header) = out.get_mut(at..at + BLOCK) else { continue };
        let field = &mut header[pick(stream, &FIELDS)];
        let mut value = field.to_vec();
        match stream.below(4) {
            0 if field.len() == 12 => value = format!("{:011o}\0", number(stream) >> 31).into_bytes(),
            1 if field.len() == 12 => {
                // Sizes in binary.
                value = [&[0x80, 0, 0, 0][..], &number(stream).to_be_bytes()].concat();
            }
            2 if field.len() == 1 => value = vec![pick(stream, b"0123456789gxLKVSDA\0")],
            _ => bytes(stream, &mut value, tokens, &[]),
        }
        value.resize(field.len(), 0);
        field.copy_from_slice(&value);
    }
    mend(&mut out);
    Some(out)
}
