//! Zip archives of stored entries, as PyTorch writes them.

use dyntta_image::Stream;

use super::pickle;
use crate::mutate::{bytes, number, pick};

/// A file of an archive.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub name: Vec<u8>,
    pub data: Vec<u8>,
}

impl Entry {
    pub fn new(name: &str, data: &[u8]) -> Self {
        Self { name: name.into(), data: data.to_vec() }
    }
}

/// An archive of stored entries, each beginning at a multiple of 64 as PyTorch has them.
pub(crate) fn write(entries: &[Entry]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for Entry { name, data } in entries {
        let start = out.len() as u32;
        let padding = (64 - (out.len() + 30 + name.len() + 4) % 64) % 64;
        let sum = crc32fast::hash(data).to_le_bytes();
        let size = (data.len() as u32).to_le_bytes();
        let length = (name.len() as u16).to_le_bytes();
        // Version, flags, method, time, date.
        let common = [&[0u8; 10][..], &sum, &size, &size, &length].concat();
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend((padding as u16 + 4).to_le_bytes());
        out.extend(name);
        out.extend(b"FB");
        out.extend((padding as u16).to_le_bytes());
        out.resize(out.len() + padding, b'Z');
        out.extend(data);
        directory.extend(b"PK\x01\x02\0\0");
        directory.extend(&common);
        directory.extend([0; 12]);
        directory.extend(start.to_le_bytes());
        directory.extend(name);
    }
    let (start, size) = (out.len() as u32, directory.len() as u32);
    let count = (entries.len() as u16).to_le_bytes();
    out.extend(directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(count);
    out.extend(count);
    out.extend(size.to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

/// The entries of an archive that [`write()`] made, by their local headers.
fn entries(data: &[u8]) -> Option<Vec<Entry>> {
    let mut rest = data;
    let mut entries = Vec::new();
    while let Some(header) = rest.strip_prefix(b"PK\x03\x04") {
        let word =
            |at: usize| Some(usize::from(u16::from_le_bytes(header.get(at..at + 2)?.try_into().ok()?)));
        let size = u32::from_le_bytes(header.get(14..18)?.try_into().ok()?) as usize;
        let (name, extra) = (word(22)?, word(24)?);
        let data_at = 26 + name + extra;
        entries.push(Entry {
            name: header.get(26..26 + name)?.to_vec(),
            data: header.get(data_at..data_at + size)?.to_vec(),
        });
        rest = &header[data_at + size..];
    }
    (!entries.is_empty()).then_some(entries)
}

pub(super) fn mutate(stream: &mut Stream, data: &[u8], tokens: &[&[u8]]) -> Option<Vec<u8>> {
    let mut entries = entries(data)?;
    for _ in 0..=stream.below(2) {
        let at = stream.below(entries.len());
        match stream.below(10) {
            0 if entries.len() > 1 => drop(entries.remove(at)),
            1 => entries.push(entries[at].clone()),
            2 => bytes(stream, &mut entries[at].name, tokens, &[]),
            3 => {
                let other = pick(stream, &entries).name;
                entries[at].name = other;
            }
            4 => bytes(stream, &mut entries[at].data, tokens, data),
            5 => entries[at].data.resize((number(stream) % (1 << 14)) as usize, 0),
            _ => {
                // Most of what is read is the pickle.
                let pickles = |entry: &&mut Entry| entry.name.ends_with(b".pkl");
                if let Some(entry) = entries.iter_mut().find(pickles)
                    && let Some(changed) = pickle::mutate(stream, &entry.data, tokens)
                {
                    entry.data = changed;
                } else {
                    bytes(stream, &mut entries[at].data, tokens, data);
                }
            }
        }
    }
    let mut out = write(&entries);
    if stream.below(6) == 0 {
        // Sizes, counts and offsets that are not so.
        let from = out.len().saturating_sub(200);
        let mut end = out.split_off(from);
        bytes(stream, &mut end, tokens, &[]);
        out.extend(end);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_taken_apart_again() {
        let archive = write(&[Entry::new("a/data.pkl", b"\x80\x02."), Entry::new("b", b"")]);
        let found = entries(&archive).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((&found[0].name[..], &found[0].data[..]), (&b"a/data.pkl"[..], &b"\x80\x02."[..]));
    }
}
