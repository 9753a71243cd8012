//! What becomes of pixels between a file of a data set and its user.

use std::fs;
use std::path::Path;

use dyntta_data::{CorruptedSet, Dataset, Options};
use dyntta_image::{Exif, Rgb8, encode_jpeg, encode_png};

/// 24x8 pixels that a camera noted to be turned by a quarter.
fn photo() -> Vec<u8> {
    let image = Rgb8::new(24, 8, (0..24 * 8 * 3).map(|i| (i / 3 % 24 * 10) as u8).collect()).unwrap();
    let jpeg = encode_jpeg(&image, 95).unwrap();
    let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let mut file = vec![0xff, 0xd8, 0xff, 0xe1, 0, exif.len() as u8 + 2];
    file.extend(exif);
    file.extend(&jpeg[2..]);
    file
}

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn labelled_images_are_as_stored_unless_turning_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let plain = encode_png(&Rgb8::black(24, 8).unwrap()).unwrap();
    let files = [("cat/1.jpg", photo()), ("dog/2.png", plain)];
    let mut tar = tar::Builder::new(fs::File::create(at("set.tar")).unwrap());
    for (name, bytes) in &files {
        put(&at("set"), name, bytes);
        put(&at("corrupted/fog/1"), name, bytes);
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    tar.finish().unwrap();
    let size = |set: &Dataset, i: usize| {
        let image = set.load(i).unwrap();
        (image.width(), image.height())
    };
    let corrupted = CorruptedSet::open(at("corrupted"), None).unwrap();
    for set in [
        Dataset::open(at("set"), &Options::default()).unwrap(),
        Dataset::open(at("set.tar"), &Options::default()).unwrap(),
        corrupted.merged("fog").unwrap(),
        corrupted.parts[0].open().unwrap(),
    ] {
        assert_eq!([size(&set, 0), size(&set, 1)], [(24, 8); 2], "{}", set.describe());
        let turned = set.with_exif(Exif::Apply);
        assert_eq!([size(&turned, 0), size(&turned, 1)], [(8, 24), (24, 8)], "{}", turned.describe());
        assert_eq!(size(&turned.subset(&[0]), 0), (8, 24));
    }
    let turned = corrupted.with_exif(Exif::Apply);
    assert_eq!(size(&turned.parts[0].open().unwrap(), 0), (8, 24));
    assert_eq!(size(&turned.merged("fog").unwrap(), 0), (8, 24));
}
