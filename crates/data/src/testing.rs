//! Fixtures for this crate's tests.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use dyntta_image::Rgb8;

/// A temporary folder, removed at the end.
pub(crate) struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNTER: AtomicUsize = AtomicUsize::new(0);
        let n = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("dyntta-data-{}-{n}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn file(&self, path: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A PNG of 3x2 pixels, all of `level`.
    pub fn image(&self, path: &str, level: u8) -> PathBuf {
        self.file(path, png(level))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A PNG of 3x2 pixels, all of `level`.
pub(crate) fn png(level: u8) -> Vec<u8> {
    dyntta_image::encode_png(&Rgb8::new(3, 2, vec![level; 18]).unwrap()).unwrap()
}

/// A zip of names, bytes and methods (0 stored, 8 deflated, others as if stored), in the records of the format's description
/// (APPNOTE.TXT).
pub(crate) fn zip(files: &[(&str, &[u8], u16)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes, method) in files {
        let packed = if *method == 8 { deflated(bytes) } else { bytes.to_vec() };
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let mut common = Vec::new();
        for field in [20, 0, *method, 0, 0x21] {
            common.extend(field.to_le_bytes());
        }
        for field in [crc.sum(), packed.len() as u32, bytes.len() as u32] {
            common.extend(field.to_le_bytes());
        }
        common.extend((name.len() as u16).to_le_bytes());
        let start = out.len() as u32;
        out.extend([b"PK\x03\x04", common.as_slice(), &[0; 2], name.as_bytes(), &packed].concat());
        let mut rest = vec![0; 12];
        rest.extend(start.to_le_bytes());
        directory.extend([b"PK\x01\x02\x14\x00", common.as_slice(), &rest, name.as_bytes()].concat());
    }
    let (start, n) = (out.len() as u32, files.len() as u16);
    let mut end = [0, 0, n, n].map(u16::to_le_bytes).concat();
    end.extend([directory.len() as u32, start].map(u32::to_le_bytes).concat());
    [out, directory, b"PK\x05\x06".to_vec(), end, vec![0; 2]].concat()
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A tar with `files`; a path of more than 100 bytes becomes a GNU long name, one that ends in `/` is a folder.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        if path.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        builder.append_data(&mut header, path, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}
