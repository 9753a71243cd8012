//! The segments of a JPEG file (ITU T.81, annex B).

use super::EXIF;
use crate::metadata::ICC_SEGMENT;

/// What the segments say.
#[derive(Default)]
pub(super) struct Segments<'a> {
    /// Whether an end-of-image marker follows a scan.
    pub ended: bool,
    /// Scans over the picture, or parts of it.
    pub scans: usize,
    /// The first EXIF block.
    pub exif: Option<&'a [u8]>,
    /// The frame: its marker's code, and bits a sample.
    frame: Option<(u8, u8)>,
    /// The parts of an ICC profile, each after its number and the number of parts.
    icc: Vec<&'a [u8]>,
}

impl<'a> Segments<'a> {
    pub fn read(bytes: &'a [u8]) -> Self {
        let mut found = Self::default();
        let mut at = 2;
        while let Some(&byte) = bytes.get(at) {
            let Some(&code) = bytes.get(at + 1) else { return found };
            if byte != 0xff || code == 0xff {
                at += 1; // coded data, stray bytes or fill
                continue;
            }
            match code {
                0xd9 if found.scans > 0 => {
                    found.ended = true;
                    return found;
                }
                // Stuffed zero, TEM, restart, start and a stray end of image stand alone.
                0x00 | 0x01 | 0xd0..=0xd9 => at += 2,
                _ => {
                    let Some(length) = bytes.get(at + 2..at + 4) else { return found };
                    let end = at + 2 + usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
                    found.add(code, bytes.get(at + 4..end.min(bytes.len())).unwrap_or_default());
                    at = end;
                }
            }
        }
        found
    }

    fn add(&mut self, code: u8, segment: &'a [u8]) {
        match code {
            0xda => self.scans += 1,
            // C4, C8 and CC are tables.
            0xc0..=0xcf if !matches!(code, 0xc4 | 0xc8 | 0xcc) && self.frame.is_none() => {
                self.frame = segment.first().map(|&bits| (code, bits));
            }
            0xe1 if self.scans == 0 && self.exif.is_none() && segment.starts_with(EXIF) => {
                self.exif = Some(segment);
            }
            0xe2 if self.scans == 0 => self.icc.extend(segment.strip_prefix(ICC_SEGMENT)),
            _ => {}
        }
    }

    /// The kind of the file, if it is one that is not decoded.
    pub fn unsupported(&self) -> Option<String> {
        let (code, bits) = self.frame?;
        let kind = match code {
            0xc3 | 0xcb => "a lossless JPEG".into(),
            0xc5..=0xc7 | 0xcd..=0xcf => "a hierarchical JPEG".into(),
            _ if bits != 8 => format!("a JPEG of {bits} bits a sample"),
            _ => return None,
        };
        Some(kind)
    }

    /// The ICC profile, put together from its parts; empty if parts are missing or there twice.
    pub fn profile(&self) -> Option<Vec<u8>> {
        let count = *self.icc.first()?.get(1)?;
        let mut parts = vec![None; usize::from(count)];
        for part in &self.icc {
            let Some((&[number, of], data)) = part.split_first_chunk::<2>() else { return Some(Vec::new()) };
            match usize::from(number).checked_sub(1).and_then(|i| parts.get_mut(i)) {
                Some(place @ None) if of == count => *place = Some(data),
                _ => return Some(Vec::new()),
            }
        }
        Some(parts.into_iter().collect::<Option<Vec<_>>>().map_or_else(Vec::new, |parts| parts.concat()))
    }
}
