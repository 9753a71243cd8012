//! Data sets of a few tiny images.

use super::tiny_png;
use crate::form::{self, Entry, write_zip};

/// Images by class and name: two classes of two, 2 pixels a side.
pub fn labelled_images() -> Vec<(&'static str, Vec<u8>)> {
    ["auk/1.png", "auk/2.png", "owl/1.png", "owl/2.png"]
        .iter()
        .zip([10, 60, 110, 160])
        .map(|(name, level)| (*name, tiny_png(2, level)))
        .collect()
}

/// A header block of a tar and its content.
fn tar_entry(out: &mut Vec<u8>, name: &str, kind: u8, data: &[u8]) {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..107].copy_from_slice(b"0000644");
    header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar\x0000");
    out.extend(header);
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(512), 0);
}

fn tar(entries: &[(&str, u8, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, kind, data) in entries {
        tar_entry(&mut out, name, *kind, data);
    }
    out.resize(out.len() + 1024, 0);
    form::mend_tar(&mut out);
    out
}

pub(crate) fn tars() -> Vec<Vec<u8>> {
    let images = labelled_images();
    let plain: Vec<_> = images.iter().map(|(name, data)| (*name, b'0', &data[..])).collect();
    let corrupted: Vec<_> = images.iter().map(|(name, data)| (format!("fog/1/{name}"), &data[..])).collect();
    let corrupted: Vec<_> = corrupted.iter().map(|(name, data)| (name.as_str(), b'0', *data)).collect();
    let one = &images[0].1[..];
    vec![
        tar(&plain),
        tar(&corrupted),
        // Long names: GNU's and PAX's.
        tar(&[
            ("././@LongLink", b'L', b"auk/a_long_name.png\0"),
            ("short", b'0', one),
            ("x", b'x', b"27 path=owl/by_an_extension\n30 path=owl/by_an_extension.png\n"),
            ("short", b'0', one),
            ("g", b'g', b"10 size=9\n"),
        ]),
        // Samples of WebDataset.
        tar(&[("00.png", b'0', one), ("00.cls", b'0', b"1"), ("01.png", b'0', one), ("01.cls", b'0', b"0")]),
        tar(&[
            ("00.png", b'0', one),
            ("00.json", b'0', br#"{"label": 3}"#),
            ("01.png", b'0', one),
            ("01.json", b'0', b"{}"),
        ]),
        // Links and what is no file.
        tar(&[
            ("auk/1.png", b'0', one),
            ("owl/1.png", b'2', b""),
            ("owl/2.png", b'1', b""),
            ("owl/", b'5', b""),
            ("owl/3.png", b'0', one),
        ]),
        form::gzip(&tar(&plain)),
    ]
}

pub(crate) fn zips() -> Vec<Vec<u8>> {
    let images = labelled_images();
    let entries: Vec<Entry> = images.iter().map(|(name, data)| Entry::new(name, data)).collect();
    let below: Vec<Entry> =
        images.iter().map(|(name, data)| Entry::new(&format!("set/{name}"), data)).collect();
    vec![write_zip(&entries), write_zip(&below), write_zip(&[])]
}

pub(crate) fn csv_images() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("list/a.png", tiny_png(2, 9)),
        ("list/b.png", tiny_png(2, 99)),
        ("list/deep/c, d.png", tiny_png(2, 199)),
        ("classes.txt", b"auk\nowl\n".to_vec()),
    ]
}

pub(crate) fn csvs() -> Vec<Vec<u8>> {
    [
        "path,label\na.png,auk\nb.png,owl\n",
        "\u{feff}label,path,more\r\n3,a.png,\r\n10,\"deep/c, d.png\",\"a \"\"b\"\"\"\r\n",
        "path;label\na.png;1\nb.png;0\n",
        "path\tlabel\na.png\t-1\nb.png\t0.5\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

fn npy(version: u8, kind: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut header =
        format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}").into_bytes();
    header.resize(header.len() + 63 - (header.len() + 10) % 64, b' ');
    header.push(b'\n');
    let length = (header.len() as u32).to_le_bytes();
    let length = if version == 1 { &length[..2] } else { &length[..] };
    [&b"\x93NUMPY"[..], &[version, 0], length, &header, data].concat()
}

/// Labels and images of a corrupted set that belong together.
pub(crate) fn arrays() -> [Vec<u8>; 2] {
    let pixels: Vec<u8> = (0..5 * 32 * 32 * 3).map(|i| (i % 251) as u8).collect();
    [npy(1, "|u1", "1,", &[3]), npy(1, "|u1", "5, 32, 32, 3", &pixels)]
}

pub(crate) fn npys() -> Vec<Vec<u8>> {
    let [labels, images] = arrays();
    vec![
        labels,
        images,
        npy(2, "<i8", "1,", &[1, 0, 0, 0, 0, 0, 0, 0]),
        npy(3, "<i4", "5,", &[0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0]),
    ]
}

fn idx(dimensions: &[u32], data: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0, 8, dimensions.len() as u8];
    out.extend(dimensions.iter().flat_map(|d| d.to_be_bytes()));
    out.extend_from_slice(data);
    out
}

/// Labels and images of an idx folder that belong together.
pub fn idx_files() -> [Vec<u8>; 2] {
    [idx(&[2], &[0, 9]), idx(&[2, 3, 3], &[7; 18])]
}

pub(crate) fn idxs() -> Vec<Vec<u8>> {
    let [labels, images] = idx_files();
    vec![form::gzip(&labels), form::gzip(&images), labels, images]
}

fn cifar_image(label: u8) -> Vec<u8> {
    std::iter::once(label).chain((0..3072).map(|i| (i * usize::from(label + 1) % 256) as u8)).collect()
}

/// A batch of CIFAR-10's binary files: two images.
pub fn cifar_binary() -> Vec<u8> {
    [cifar_image(3), cifar_image(7)].concat()
}

/// The same for Python.
pub fn cifar_pickle() -> Vec<u8> {
    let mut pickle = b"\x80\x02}q\0(U\x0bbatch_labelU\x05testsU\x06labels](K\x03K\x07eU\x04datacnumpy.core.multiarray\n\
        _reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R(K\x01K\x02M\0\x0c\x86cnumpy\ndtype\nU\x02u1K\0K\x01\x87R(K\x03U\x01|NNN\
        J\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89T\0\x18\0\0"
        .to_vec();
    pickle.extend([1, 2].iter().flat_map(|label| cifar_image(*label)[1..].to_vec()));
    pickle.extend(b"tbu.");
    pickle
}

/// The names of its classes, for Python.
pub fn cifar_meta() -> Vec<u8> {
    let mut pickle = b"\x80\x02}(U\x0blabel_names](".to_vec();
    for digit in b'0'..=b'9' {
        pickle.extend([b'U', 2, b'c', digit]);
    }
    pickle.extend(b"eu.");
    pickle
}

pub(crate) fn cifars() -> Vec<Vec<u8>> {
    vec![cifar_binary(), cifar_pickle(), cifar_meta()]
}
