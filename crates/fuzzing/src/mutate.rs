//! Mutations. All that is random comes from a stream, so an input is named by the stream's seed and labels.

use dyntta_image::Stream;

use crate::{LONGEST, Target, form};

/// Numbers at which arithmetic goes wrong.
const EXTREMES: [u64; 20] = [
    0,
    1,
    2,
    7,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fff0,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_ffff,
];

/// The same as text.
const NUMBERS: [&str; 24] = [
    "0",
    "-0",
    "1",
    "-1",
    "2",
    "255",
    "256",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "-2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e9",
    "1e38",
    "1e308",
    "1e-308",
    "nan",
    "inf",
];

/// An input made from `seed`, a good file or a mutation of one; `other` is what it may be spliced with.
pub fn mutate(stream: &mut Stream, target: &Target, seed: &[u8], other: &[u8]) -> Vec<u8> {
    let tokens = target.dictionary;
    let mut out = match stream.below(3) {
        // In its own terms.
        0 | 1 => form::mutate(target.form, stream, seed, tokens),
        _ => None,
    }
    .unwrap_or_else(|| {
        let mut out = seed.to_vec();
        for _ in 0..=stream.below(4) {
            bytes(stream, &mut out, tokens, other);
        }
        // Past checksums and lengths, half of the time.
        if stream.below(2) == 0 {
            form::mend(target.form, &mut out);
        }
        out
    });
    out.truncate(longest(seed));
    out
}

/// How long what is made of these bytes may be.
fn longest(seed: &[u8]) -> usize {
    LONGEST.max(seed.len() + (4 << 10))
}

/// One of a list.
pub(crate) fn pick<T: Clone>(stream: &mut Stream, list: &[T]) -> T {
    list[stream.below(list.len())].clone()
}

/// A piece of a dictionary.
pub(crate) fn token<'a>(stream: &mut Stream, tokens: &[&'a [u8]]) -> &'a [u8] {
    if tokens.is_empty() { b"x" } else { pick(stream, tokens) }
}

/// A number: an extreme, near one, small, or any.
pub(crate) fn number(stream: &mut Stream) -> u64 {
    match stream.below(4) {
        0 => pick(stream, &EXTREMES),
        1 => pick(stream, &EXTREMES).wrapping_add(stream.below(5) as u64).wrapping_sub(2),
        2 => stream.below(70) as u64,
        _ => stream.next_u64() >> stream.below(64),
    }
}

fn range(stream: &mut Stream, len: usize) -> std::ops::Range<usize> {
    let start = stream.below(len + 1);
    // Short ones more often.
    let most = (len - start).min(1 << stream.below(12));
    start..start + stream.below(most + 1)
}

/// One change of bytes that knows nothing of what they mean.
pub(crate) fn bytes(stream: &mut Stream, data: &mut Vec<u8>, tokens: &[&[u8]], other: &[u8]) {
    if data.is_empty() {
        data.extend_from_slice(token(stream, tokens));
        return;
    }
    let most = longest(data);
    let at = stream.below(data.len());
    match stream.below(14) {
        0 => data[at] ^= 1 << stream.below(8),
        1 => data[at] = stream.next_u32() as u8,
        2 | 3 => {
            let width = 1 << stream.below(4);
            let value = number(stream);
            let (little, big) = (value.to_le_bytes(), value.to_be_bytes());
            let value = if stream.below(2) == 0 { &little[..width] } else { &big[8 - width..] };
            overwrite(data, at, value);
        }
        4 => data.truncate(at),
        5 => {
            let part = range(stream, data.len());
            data.drain(part);
        }
        6 => {
            let part = data[range(stream, data.len())].to_vec();
            insert(data, at, &part);
        }
        7 => overwrite(data, at, token(stream, tokens)),
        8 => insert(data, at, token(stream, tokens)),
        9 => {
            let from = stream.below(other.len() + 1);
            data.truncate(at);
            data.extend_from_slice(&other[from..]);
        }
        10 => {
            let part = other[range(stream, other.len())].to_vec();
            insert(data, at, &part);
        }
        11 => {
            let by = (stream.below(33) as u8).wrapping_sub(16);
            data[at] = data[at].wrapping_add(by);
        }
        12 => digits(stream, data, at),
        _ => {
            let value = stream.next_u32() as u8;
            let part = range(stream, data.len());
            data[part].fill(value);
        }
    }
    data.truncate(most);
}

fn overwrite(data: &mut [u8], at: usize, value: &[u8]) {
    let n = value.len().min(data.len() - at);
    data[at..at + n].copy_from_slice(&value[..n]);
}

pub(crate) fn insert(data: &mut Vec<u8>, at: usize, value: &[u8]) {
    data.splice(at..at, value.iter().copied());
}

/// Another number for the next one written in digits.
fn digits(stream: &mut Stream, data: &mut Vec<u8>, at: usize) {
    let Some(start) = data[at..].iter().position(u8::is_ascii_digit) else { return };
    let start = at + start;
    let length = data[start..].iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
    let number = pick(stream, &NUMBERS).as_bytes();
    data.splice(start..start + length, number.iter().copied());
}

/// One change of a text by lines and words.
pub(crate) fn text(stream: &mut Stream, data: &mut Vec<u8>, tokens: &[&[u8]]) {
    let mut lines: Vec<Vec<u8>> = data.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    let at = stream.below(lines.len());
    match stream.below(10) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, lines[at].clone()),
        2 => {
            let other = stream.below(lines.len());
            lines.swap(at, other);
        }
        3 => {
            let again = lines[at].clone();
            lines[at].extend((0..stream.below(40)).flat_map(|_| again.clone()));
        }
        4 => {
            *data = separators(stream, data);
            return;
        }
        5 | 6 => lines[at] = word(stream, &lines[at], tokens),
        _ => {
            let from = stream.below(lines[at].len() + 1);
            digits(stream, &mut lines[at], from.min(from.saturating_sub(1)));
        }
    }
    let most = longest(data);
    *data = lines.join(&b'\n');
    data.truncate(most);
}

/// Another end of lines, or a mark at the start.
fn separators(stream: &mut Stream, data: &[u8]) -> Vec<u8> {
    let end: &[u8] = pick(stream, &[&b"\r\n"[..], b"\r", b"\0", b"\n\n", b"\xe2\x80\xa8"]);
    let start: &[u8] = pick(stream, &[&b""[..], b"\xef\xbb\xbf", b"\xff\xfe"]);
    let mut out = start.to_vec();
    for byte in data {
        match byte {
            b'\n' => out.extend_from_slice(end),
            byte => out.push(*byte),
        }
    }
    out
}

/// A word of a line replaced by a piece of the dictionary.
fn word(stream: &mut Stream, line: &[u8], tokens: &[&[u8]]) -> Vec<u8> {
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || b"_-.".contains(b);
    let from = stream.below(line.len() + 1);
    let Some(start) = line[from..].iter().position(is_word).map(|i| from + i) else { return line.to_vec() };
    let length = line[start..].iter().take_while(|b| is_word(b)).count();
    [&line[..start], token(stream, tokens), &line[start + length..]].concat()
}
