//! Files of chunks: PNG, JPEG, RIFF; and what is deflated whole.

use std::io::{Read, Write};

use dyntta_image::Stream;
use flate2::Compression;
use flate2::read::{GzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};

use crate::LONGEST;
use crate::mutate::{bytes, number, token};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// A chunk: what it is called and what it holds.
type Chunk = (Vec<u8>, Vec<u8>);

/// A PNG of chunks, their checksums right.
pub(crate) fn png(chunks: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = PNG.to_vec();
    for (name, data) in chunks {
        out.extend((data.len() as u32).to_be_bytes());
        out.extend_from_slice(name);
        out.extend_from_slice(data);
        let mut sum = crc32fast::Hasher::new();
        sum.update(name);
        sum.update(data);
        out.extend(sum.finalize().to_be_bytes());
    }
    out
}

fn png_chunks(data: &[u8]) -> Option<Vec<Chunk>> {
    let mut rest = data.strip_prefix(PNG)?;
    let mut chunks = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (name, after) = after.split_at_checked(4)?;
        let length = (u32::from_be_bytes(*length) as usize).min(after.len());
        let (data, after) = after.split_at(length);
        chunks.push((name.to_vec(), data.to_vec()));
        rest = after.get(4..).unwrap_or_default();
    }
    (!chunks.is_empty()).then_some(chunks)
}

fn join_png(chunks: &[Chunk]) -> Vec<u8> {
    png(&chunks.iter().map(|(name, data)| (&name[..], &data[..])).collect::<Vec<_>>())
}

pub(super) fn mend_png(data: &mut Vec<u8>) {
    if let Some(chunks) = png_chunks(data) {
        *data = join_png(&chunks);
    }
}

pub(super) fn mutate_png(stream: &mut Stream, data: &[u8], tokens: &[&[u8]]) -> Option<Vec<u8>> {
    let mut chunks = png_chunks(data)?;
    if stream.below(3) == 0
        && let Some((_, pixels)) = chunks.iter_mut().find(|(name, _)| name == b"IDAT")
    {
        let mut raw = inflated(ZlibDecoder::new(&pixels[..]));
        bytes(stream, &mut raw, &[], data);
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&raw).ok()?;
        *pixels = encoder.finish().ok()?;
    }
    change_chunks(stream, &mut chunks, tokens);
    Some(join_png(&chunks))
}

/// One chunk changed, doubled, moved or left out.
fn change_chunks(stream: &mut Stream, chunks: &mut Vec<Chunk>, tokens: &[&[u8]]) {
    for _ in 0..=stream.below(3) {
        let at = stream.below(chunks.len());
        match stream.below(8) {
            0 if chunks.len() > 1 => drop(chunks.remove(at)),
            1 => chunks.insert(at, chunks[at].clone()),
            2 => {
                let to = stream.below(chunks.len());
                chunks.swap(at, to);
            }
            3 => {
                let token = token(stream, tokens);
                if token.len() == 4 {
                    chunks[at].0 = token.to_vec();
                }
            }
            _ => bytes(stream, &mut chunks[at].1, tokens, &[]),
        }
    }
}

/// The segments of a JPEG up to its scan: the marker, and what follows its length; then the rest.
pub(super) fn mutate_jpeg(stream: &mut Stream, data: &[u8], tokens: &[&[u8]]) -> Option<Vec<u8>> {
    let mut rest = data.strip_prefix(b"\xff\xd8")?;
    let mut segments: Vec<Chunk> = Vec::new();
    while let [0xff, marker, a, b, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*a, *b])).checked_sub(2)?;
        let (content, after) = after.split_at_checked(length)?;
        segments.push((vec![0xff, *marker], content.to_vec()));
        rest = after;
        if *marker == 0xda {
            break;
        }
    }
    if segments.is_empty() {
        return None;
    }
    let mut scan = rest.to_vec();
    match stream.below(3) {
        0 => bytes(stream, &mut scan, tokens, data),
        _ => change_chunks(stream, &mut segments, tokens),
    }
    let mut out = b"\xff\xd8".to_vec();
    for (marker, content) in segments {
        let length = if stream.below(20) == 0 { number(stream) as u16 } else { content.len() as u16 + 2 };
        out.extend(marker);
        out.extend(length.to_be_bytes());
        out.extend(content);
    }
    out.extend(scan);
    Some(out)
}

fn riff_chunks(data: &[u8]) -> Option<Vec<Chunk>> {
    let mut rest = data.strip_prefix(b"RIFF").and_then(|rest| rest.get(8..))?;
    let mut chunks = Vec::new();
    while let Some((name, after)) = rest.split_first_chunk::<4>() {
        let (length, after) = after.split_first_chunk::<4>()?;
        let length = (u32::from_le_bytes(*length) as usize).min(after.len());
        let (data, after) = after.split_at(length);
        chunks.push((name.to_vec(), data.to_vec()));
        rest = after.get(length % 2..).unwrap_or_default();
    }
    (!chunks.is_empty()).then_some(chunks)
}

/// A WebP of chunks.
fn riff(chunks: &[Chunk]) -> Vec<u8> {
    let mut body = b"WEBP".to_vec();
    for (name, data) in chunks {
        body.extend_from_slice(name);
        body.extend((data.len() as u32).to_le_bytes());
        body.extend_from_slice(data);
        body.resize(body.len().next_multiple_of(2), 0);
    }
    [b"RIFF", &(body.len() as u32).to_le_bytes()[..], &body].concat()
}

pub(super) fn mend_riff(data: &mut Vec<u8>) {
    if let Some(chunks) = riff_chunks(data) {
        *data = riff(&chunks);
    }
}

pub(super) fn mutate_riff(stream: &mut Stream, data: &[u8], tokens: &[&[u8]]) -> Option<Vec<u8>> {
    let mut chunks = riff_chunks(data)?;
    change_chunks(stream, &mut chunks, tokens);
    Some(riff(&chunks))
}

/// Bytes as a gzip file.
pub(crate) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).and_then(|()| encoder.finish()).expect("memory can be written")
}

fn inflated(decoder: impl Read) -> Vec<u8> {
    let mut out = Vec::new();
    // What comes before an error is as good as all.
    let _ = decoder.take(LONGEST as u64).read_to_end(&mut out);
    out
}

/// What is deflated in a gzip file.
pub(super) fn mutate_gzip(stream: &mut Stream, data: &[u8], tokens: &[&[u8]]) -> Option<Vec<u8>> {
    if !data.starts_with(b"\x1f\x8b") {
        return None;
    }
    let mut raw = inflated(GzDecoder::new(data));
    for _ in 0..=stream.below(3) {
        bytes(stream, &mut raw, tokens, data);
    }
    Some(gzip(&raw))
}
