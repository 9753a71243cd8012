//! The library as an embedding program sees it.

use dyntta::image::{Metadata, encode_jpeg_with, read_with};
use dyntta::{
    Enhancer, ErrorKind, Exif, FileFormat, Limits, Method, Options, Profile, Rgb8, View, Workspace,
};

fn picture(width: usize, height: usize) -> Rgb8 {
    Rgb8::new(width, height, (0..width * height * 3).map(|i| (i * 37 % 251) as u8).collect()).unwrap()
}

/// The header of a profile of an RGB space, and noise.
fn profile() -> Vec<u8> {
    let mut icc: Vec<u8> = (0..400).map(|i| (i * i / 7 % 251) as u8).collect();
    icc[..4].copy_from_slice(&400u32.to_be_bytes());
    icc[16..20].copy_from_slice(b"RGB ");
    icc[36..40].copy_from_slice(b"acsp");
    icc
}

/// A JPEG with a profile, that says it is to be turned by a quarter.
fn turned_jpeg(image: &Rgb8) -> Vec<u8> {
    let file = encode_jpeg_with(image, 95, &Metadata { icc: Some(&profile()), marked: false }).unwrap();
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    let mut segment = vec![0xff, 0xe1];
    segment.extend((exif.len() as u16 + 2).to_be_bytes());
    segment.append(&mut exif);
    [&file[..2], &segment, &file[2..]].concat()
}

#[test]
fn a_file_keeps_its_profile_and_is_turned_as_it_says() {
    let enhancer = Enhancer::untrained(Method::Urie, 3);
    let file = turned_jpeg(&picture(30, 20));
    for (exif, size) in [(Exif::Apply, (20, 30)), (Exif::Ignore, (30, 20))] {
        let enhancer = enhancer.clone().with_options(Options { exif, ..Options::default() }).unwrap();
        for format in [FileFormat::Png, FileFormat::Jpeg(90)] {
            let enhanced = enhancer.enhance_encoded(&file, format).unwrap();
            let decoded = dyntta::image::decode_with(&enhanced, "x", &enhancer.decoding()).unwrap();
            assert_eq!(
                (decoded.image.width(), decoded.image.height(), decoded.orientation),
                (size.0, size.1, 1)
            );
            assert_eq!(decoded.profile, Profile::Rgb(profile()));
            assert!(dyntta::image::is_ours(&enhanced));
            if format == FileFormat::Png {
                let before = dyntta::image::decode_with(&file, "x", &enhancer.decoding()).unwrap().image;
                assert_eq!(decoded.image, enhancer.enhance(&before).unwrap());
            }
            let files = [file.clone(), b"GIF89a".to_vec(), file[..file.len() / 2].to_vec(), file.clone()];
            let all = enhancer.enhance_encoded_batch(&files, format);
            let kinds = all.iter().map(|one| one.as_ref().err().map(dyntta::Error::kind));
            let expected = [None, Some(ErrorKind::Unsupported), Some(ErrorKind::Damaged), None];
            assert!(kinds.eq(expected));
            assert!(all[3].as_ref().unwrap() == &enhanced);
        }
    }
}

#[test]
fn a_batch_is_its_images_to_the_bit() {
    let images = [picture(33, 20), picture(1, 1), picture(64, 64), picture(5, 70), picture(400, 350)];
    for method in [Method::Urie, Method::Dyntta] {
        let options = Options { view: View::Side(32), ..Options::default() };
        let enhancer = Enhancer::untrained(method, 1).with_options(options).unwrap();
        let single: Vec<Rgb8> = images.iter().map(|image| enhancer.enhance(image).unwrap()).collect();
        assert!(enhancer.enhance_batch(&images).unwrap() == single);
        let explained: Vec<_> = images.iter().map(|image| enhancer.explain(image).unwrap()).collect();
        assert_eq!(enhancer.explain_batch(&images).unwrap(), explained);
        assert_eq!(explained[0].len(), if method == Method::Dyntta { 50 } else { 0 });
    }
}

#[test]
fn limits_hold_in_every_verb() {
    let limits = Limits { pixels: 100, side: 20, image_bytes: 2000, ..Limits::DEFAULT };
    let options = Options { limits, ..Options::default() };
    let enhancer = Enhancer::untrained(Method::Urie, 0).with_options(options).unwrap();
    let too_large = |error: dyntta::Error| assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert!(enhancer.enhance(&picture(10, 10)).is_ok());
    for image in [picture(101, 1), picture(11, 10)] {
        too_large(enhancer.enhance(&image).unwrap_err());
        too_large(enhancer.enhance_batch(&[picture(2, 2), image.clone()]).unwrap_err());
        too_large(enhancer.explain(&image).unwrap_err());
        too_large(enhancer.explain_batch(std::slice::from_ref(&image)).unwrap_err());
        let file = FileFormat::Png.encode(&image).unwrap();
        too_large(enhancer.enhance_encoded(&file, FileFormat::Png).unwrap_err());
    }
    let mut workspace = Workspace::new();
    too_large(enhancer.enhance_planar(&mut workspace, 1, usize::MAX, 2, &[], &mut []).unwrap_err());
    too_large(enhancer.enhance_encoded(&[0; 2001], FileFormat::Png).unwrap_err());
}

#[test]
fn wrong_arguments_are_errors() {
    let enhancer = Enhancer::untrained(Method::Dyntta, 0);
    let mut workspace = Workspace::new();
    for (n, h, w, x, out) in
        [(1, 2, 2, 11, 12), (1, 2, 2, 12, 0), (1, 0, 2, 0, 0), (usize::MAX, 2, 2, 12, 12)]
    {
        let (x, mut out) = (vec![0.0; x], vec![0.0; out]);
        let error = enhancer.enhance_planar(&mut workspace, n, h, w, &x, &mut out).unwrap_err();
        let kind = if n == usize::MAX { ErrorKind::TooLarge } else { ErrorKind::InvalidInput };
        assert_eq!(error.kind(), kind, "{error}");
    }
    for side in [0, 2049, usize::MAX] {
        let options = Options { view: View::Side(side), ..Options::default() };
        assert_eq!(enhancer.clone().with_options(options).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn what_is_wrong_with_a_checkpoint_has_its_kind() {
    let folder = tempfile::tempdir().unwrap();
    let kind = |path: &std::path::Path| Enhancer::load(path).unwrap_err().kind();
    let path = folder.path().join("a.safetensors");
    assert_eq!(kind(&path), ErrorKind::NotFound);
    std::fs::write(&path, b"not weights").unwrap();
    assert_eq!(kind(&path), ErrorKind::Damaged);
    // An empty safetensors: no weights of a URIE.
    std::fs::write(&path, [&2u64.to_le_bytes()[..], b"{}"].concat()).unwrap();
    assert!(matches!(kind(&path), ErrorKind::Mismatch | ErrorKind::Damaged));
    // The image reader's errors have the same kinds.
    let image = read_with(folder.path().join("none.png"), &Enhancer::untrained(Method::Urie, 0).decoding());
    assert_eq!(dyntta::Error::from(image.unwrap_err()).kind(), ErrorKind::NotFound);
}
