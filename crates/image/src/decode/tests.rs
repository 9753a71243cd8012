use image::ImageEncoder;

use super::*;
use crate::{Stream, encode_jpeg, encode_png};

/// A smooth picture with no symmetry.
fn picture(width: usize, height: usize) -> Rgb8 {
    let mut image = Rgb8::black(width, height).unwrap();
    for (i, v) in image.data_mut().iter_mut().enumerate() {
        let (x, y, c) = ((i / 3) % width, i / 3 / width, i % 3);
        *v = (40 + (x * 150) / width + (y * 60) / height + c * (x + 2 * y) % 5) as u8;
    }
    image
}

fn png(color: image::ExtendedColorType, width: u32, height: u32, samples: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    image::codecs::png::PngEncoder::new(&mut out).write_image(samples, width, height, color).unwrap();
    out
}

fn message(bytes: &[u8]) -> String {
    decode(bytes, "d/x.jpg").unwrap_err().to_string()
}

#[test]
fn png_round_trip_is_exact() {
    for (w, h) in [(1, 1), (7, 3), (32, 32)] {
        let image = picture(w, h);
        assert_eq!(decode(&encode_png(&image).unwrap(), "x").unwrap(), image);
    }
}

#[test]
fn jpeg_round_trip_is_close_and_quality_matters() {
    let image = picture(67, 41);
    let error = |quality| {
        let back = decode(&encode_jpeg(&image, quality).unwrap(), "x").unwrap();
        assert_eq!((back.width(), back.height()), (67, 41));
        back.data().iter().zip(image.data()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>()
            / back.data().len() as f64
    };
    assert!(error(95) < 1.5, "{}", error(95));
    assert!(error(5) > 2.0 * error(95));
    assert!(encode_jpeg(&image, 95).unwrap().len() > encode_jpeg(&image, 20).unwrap().len());
}

#[test]
fn a_jpeg_averages_its_chroma() {
    // Columns in turn reddish and bluish: the chroma of either alone would tint the whole picture.
    let data = (0..32 * 32).flat_map(|i| if i % 2 == 0 { [200, 50, 50] } else { [50, 50, 200] }).collect();
    let back = decode(&encode_jpeg(&Rgb8::new(32, 32, data).unwrap(), 90).unwrap(), "x").unwrap();
    let tint: i64 = back.data().chunks_exact(3).map(|p| i64::from(p[0]) - i64::from(p[2])).sum();
    assert!(tint.abs() / (32 * 32) < 10, "{tint}");
}

#[test]
fn grey_alpha_and_sixteen_bits_follow_the_stated_rules() {
    use image::ExtendedColorType as C;
    let grey = decode(&png(C::L8, 2, 1, &[10, 200]), "x").unwrap();
    assert_eq!(grey.data(), [10, 10, 10, 200, 200, 200]);
    let grey_alpha = decode(&png(C::La8, 2, 1, &[10, 0, 200, 255]), "x").unwrap();
    assert_eq!(grey_alpha.data(), [10, 10, 10, 200, 200, 200]);
    // The colour under a fully transparent pixel stays.
    let alpha = decode(&png(C::Rgba8, 2, 1, &[1, 2, 3, 0, 4, 5, 6, 128]), "x").unwrap();
    assert_eq!(alpha.data(), [1, 2, 3, 4, 5, 6]);
    // The upper byte, whatever the lower.
    let samples: Vec<u8> = [0x00ffu16, 0x01ff, 0xff00].iter().flat_map(|v| v.to_ne_bytes()).collect();
    assert_eq!(decode(&png(C::Rgb16, 1, 1, &samples), "x").unwrap().data(), [0, 1, 255]);
    let samples: Vec<u8> = [0x4d80u16].iter().flat_map(|v| v.to_ne_bytes()).collect();
    assert_eq!(decode(&png(C::L16, 1, 1, &samples), "x").unwrap().data(), [77, 77, 77]);
}

#[test]
fn a_palette_is_looked_up() {
    // A PNG of 2x1 pixels with the palette (9, 8, 7), (200, 100, 50), written by hand.
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8; 4], data: &[u8]| {
        file.extend((data.len() as u32).to_be_bytes());
        let body = [kind.as_slice(), data].concat();
        let mut crc = u32::MAX;
        for byte in &body {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            }
        }
        file.extend(body);
        file.extend((!crc).to_be_bytes());
    };
    chunk(b"IHDR", &[0, 0, 0, 2, 0, 0, 0, 1, 8, 3, 0, 0, 0]);
    chunk(b"PLTE", &[9, 8, 7, 200, 100, 50]);
    // zlib with one stored block: filter byte 0, indices 1 and 0; Adler-32 of [0, 1, 0].
    chunk(b"IDAT", &[0x78, 1, 1, 3, 0, 0xfc, 0xff, 0, 1, 0, 0, 5, 0, 2]);
    chunk(b"IEND", &[]);
    assert_eq!(decode(&file, "x").unwrap().data(), [200, 100, 50, 9, 8, 7]);
}

#[test]
fn a_grey_jpeg_becomes_three_equal_channels() {
    let mut file = Vec::new();
    let samples: Vec<u8> = (0..64).map(|i| i * 3).collect();
    jpeg_encoder::Encoder::new(&mut file, 95).encode(&samples, 8, 8, jpeg_encoder::ColorType::Luma).unwrap();
    let image = decode(&file, "x").unwrap();
    for (p, v) in image.data().chunks_exact(3).zip(samples) {
        assert!(p[0] == p[1] && p[1] == p[2] && p[0].abs_diff(v) <= 4, "{p:?} {v}");
    }
}

/// `jpeg` with an EXIF segment that says `orientation`.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut tiff = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    tiff.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    let mut file = vec![0xff, 0xd8, 0xff, 0xe1];
    file.extend((tiff.len() as u16 + 2).to_be_bytes());
    file.extend(tiff);
    file.extend(&jpeg[2..]);
    file
}

#[test]
fn exif_orientation_is_applied() {
    let image = picture(24, 8);
    let jpeg = encode_jpeg(&image, 95).unwrap();
    let upright = decode(&jpeg, "x").unwrap();
    let (w, h) = (upright.width(), upright.height());
    let at = |image: &Rgb8, x: usize, y: usize| image.data()[(y * image.width() + x) * 3..][..3].to_vec();
    for orientation in 1..=8 {
        let turned = decode(&with_orientation(&jpeg, orientation), "x").unwrap();
        let swapped = orientation >= 5;
        assert_eq!((turned.width(), turned.height()), if swapped { (h, w) } else { (w, h) });
        // Where the pixel (x, y) of the stored picture is seen (EXIF 2.3, tag 274).
        for (x, y) in [(0, 0), (5, 2), (23, 7)] {
            let (u, v) = match orientation {
                1 => (x, y),
                2 => (w - 1 - x, y),
                3 => (w - 1 - x, h - 1 - y),
                4 => (x, h - 1 - y),
                5 => (y, x),
                6 => (h - 1 - y, x),
                7 => (h - 1 - y, w - 1 - x),
                _ => (y, w - 1 - x),
            };
            assert_eq!(at(&turned, u, v), at(&upright, x, y), "orientation {orientation}, pixel {x}, {y}");
        }
    }
}

#[test]
fn an_unknown_orientation_is_none() {
    let jpeg = encode_jpeg(&picture(8, 8), 90).unwrap();
    assert_eq!(decode(&with_orientation(&jpeg, 99), "x").unwrap(), decode(&jpeg, "x").unwrap());
}

#[test]
fn a_truncated_file_is_an_error_wherever_it_is_cut() {
    let image = picture(40, 40);
    for file in [encode_jpeg(&image, 90).unwrap(), encode_png(&image).unwrap()] {
        // A PNG may lose the checksum of its last, empty chunk, and the chunk itself.
        let end = if file[0] == 0xff { file.len() } else { file.len() - 16 };
        for cut in (0..end).step_by(7).chain([end - 1]) {
            let text = message(&file[..cut]);
            assert!(text.starts_with("d/x.jpg: expected "), "{cut}: {text}");
        }
    }
}

#[test]
fn what_is_no_image_is_named() {
    assert_eq!(message(b""), "d/x.jpg: expected a JPEG, PNG, BMP or WebP image, found an empty file");
    assert!(message(b"hello, world").ends_with("found a file that begins 68 65 6c 6c 6f 2c 20 77"));
    for (head, kind) in [
        (b"GIF89a\x01\0\x01\0\0\0\0".as_slice(), "a GIF image"),
        (b"II*\0\x08\0\0\0", "a TIFF image"),
        (b"\0\0\0\x18ftypheic", "a HEIC image"),
        (b"\0\0\0\x1cftypavif", "an AVIF image"),
        (b"\xff\x0a\0\0", "a JPEG XL image"),
        (b"\xff\x4f\xff\x51\0", "a JPEG 2000 image"),
        (b"<!DOCTYPE html>", "an HTML page"),
    ] {
        assert_eq!(message(head), format!("d/x.jpg: expected a JPEG, PNG, BMP or WebP image, found {kind}"));
    }
    let missing = read("/no/such/picture.png").unwrap_err();
    assert!(
        matches!(missing, Error::File(_))
            && missing.to_string().starts_with("/no/such/picture.png: cannot read")
    );
    let error = decode(b"?", "a\x1b[2Jb\n").unwrap_err().to_string();
    assert!(error.starts_with("a\\u{1b}[2Jb\\u{a}: expected"), "{error}");
}

#[test]
fn a_bomb_is_refused_by_its_header() {
    let image = picture(8, 8);
    let mut jpeg = encode_jpeg(&image, 90).unwrap();
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].fill(0xfd);
    let text = message(&jpeg);
    assert_eq!(
        text,
        "d/x.jpg: expected an image of at most 100000000 pixels and 65535 a side, found 65021x65021"
    );
    jpeg[frame + 5..frame + 9].fill(0xff);
    assert!(message(&jpeg).ends_with("more than 65500 pixels a side"));

    let mut bmp = Vec::new();
    image::codecs::bmp::BmpEncoder::new(&mut bmp)
        .encode(image.data(), 8, 8, image::ExtendedColorType::Rgb8)
        .unwrap();
    assert_eq!(decode(&bmp, "x").unwrap(), image);
    bmp[18..22].copy_from_slice(&30_000u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&30_000u32.to_le_bytes());
    assert!(message(&bmp).contains("found 30000x30000"), "{}", message(&bmp));
}

#[test]
fn stray_bytes_between_headers_are_let_pass() {
    let jpeg = encode_jpeg(&picture(16, 16), 90).unwrap();
    let quantisation = jpeg.windows(2).position(|w| w == [0xff, 0xdb]).unwrap();
    let mut stray = jpeg.clone();
    stray.splice(quantisation..quantisation, [0; 9]);
    assert_eq!(decode(&stray, "x").unwrap(), decode(&jpeg, "x").unwrap());
}

#[test]
fn damaged_bytes_never_panic() {
    let image = picture(24, 16);
    let mut webp = Vec::new();
    image::codecs::webp::WebPEncoder::new_lossless(&mut webp)
        .encode(image.data(), 24, 16, image::ExtendedColorType::Rgb8)
        .unwrap();
    assert_eq!(decode(&webp, "x").unwrap(), image);
    let mut stream = Stream::new(2, &["damage"]);
    for file in [encode_jpeg(&image, 80).unwrap(), encode_png(&image).unwrap(), webp] {
        for _ in 0..300 {
            let mut bytes = file.clone();
            for _ in 0..1 + stream.below(4) {
                let at = stream.below(bytes.len());
                bytes[at] = stream.next_u32() as u8;
            }
            if let Err(Error::Damaged { found, .. }) = decode(&bytes, "x") {
                assert!(!found.contains("the decoder failed"), "a panic inside the decoder");
            }
        }
    }
}

/// A file of testdata/formats.bin, and Pillow's pixels; none of what it doesn't read.
struct Fixture {
    name: String,
    file: Vec<u8>,
    pillow: Option<Rgb8>,
}

/// Files of many kinds, as testdata/formats.py makes them.
fn fixtures() -> Vec<Fixture> {
    let mut bytes = Vec::new();
    let packed: &[u8] = include_bytes!("../../testdata/formats.bin");
    std::io::Read::read_to_end(&mut flate2::read::ZlibDecoder::new(packed), &mut bytes).unwrap();
    let mut rest = bytes.as_slice();
    let mut take = |n: usize| {
        let (taken, after) = rest.split_at(n);
        rest = after;
        taken.to_vec()
    };
    let mut fixtures = Vec::new();
    let number = |bytes: Vec<u8>| bytes.iter().rev().fold(0, |n, &b| n << 8 | usize::from(b));
    while fixtures.len() < 124 {
        let length = number(take(1));
        let name = String::from_utf8(take(length)).unwrap();
        let length = number(take(4));
        let file = take(length);
        let (width, height) = (number(take(2)), number(take(2)));
        let pixels = take(3 * width * height);
        let pillow = (width > 0).then(|| Rgb8::new(width, height, pixels).unwrap());
        fixtures.push(Fixture { name, file, pillow });
    }
    assert!(rest.is_empty());
    fixtures
}

#[test]
fn pixels_are_those_of_pillow() {
    // What docs/data.md says that differs.
    let different = ["grey16.png", "grey16-trns.png", "rle8-gaps.bmp", "rle4-gaps.bmp", "444.bmp"];
    for Fixture { name, file, pillow } in fixtures() {
        let decoded = decode_with(&file, &name, &Decode::STORED).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(Some(decoded.image) == pillow, !different.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn turning_is_a_choice_in_every_format_that_states_it() {
    let mut seen = 0;
    for Fixture { name, file, pillow } in fixtures() {
        if !name.contains("exif6") {
            continue;
        }
        let pillow = pillow.unwrap();
        let turned = decode_with(&file, &name, &Decode::default()).unwrap();
        assert_eq!(
            (turned.image.width(), turned.image.height()),
            (pillow.height(), pillow.width()),
            "{name}"
        );
        assert_eq!(turned.orientation, 6);
        // A quarter to the right: the first row is the first column, read from below.
        let below = &pillow.data()[(pillow.height() - 1) * pillow.width() * 3..][..3];
        assert_eq!(&turned.image.data()[..3], below, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 3);
}

/// Makes the checksums of a PNG's chunks right, so that what is in them is looked at.
fn repair(bytes: &mut [u8]) {
    if !bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return;
    }
    let mut at = 8;
    while let Some(&[a, b, c, d]) = bytes.get(at..at + 4) {
        let end = at + 8 + u32::from_be_bytes([a, b, c, d]) as usize;
        let Some(chunk) = bytes.get(at + 4..end) else { return };
        let mut crc = flate2::Crc::new();
        crc.update(chunk);
        let Some(place) = bytes.get_mut(end..end + 4) else { return };
        place.copy_from_slice(&crc.sum().to_be_bytes());
        at = end + 4;
    }
}

#[test]
fn a_damaged_file_of_any_kind_is_an_answer() {
    // DYNTTA_MUTATIONS sets how many of each; 5,000 of each, 620,000 in all, found nothing.
    let mutations = std::env::var("DYNTTA_MUTATIONS").map_or(60, |n| n.parse().unwrap());
    let mut stream = Stream::new(7, &["mutations"]);
    for Fixture { name, file, .. } in fixtures() {
        for _ in 0..mutations {
            let mut bytes = file.clone();
            for _ in 0..1 + stream.below(6) {
                let at = stream.below(bytes.len());
                match stream.below(4) {
                    0 => bytes[at] = stream.next_u32() as u8,
                    1 => bytes[at] ^= 1 << stream.below(8),
                    2 => bytes.truncate(at.max(1)),
                    _ => {
                        let length = (1 + stream.below(8)).min(bytes.len() - at);
                        let to = stream.below(bytes.len() - length + 1);
                        bytes.copy_within(at..at + length, to);
                    }
                }
            }
            repair(&mut bytes);
            let how = Decode { profile: true, ..Decode::default() };
            if let Err(Error::Damaged { found, .. }) = decode_with(&bytes, &name, &how) {
                assert!(!found.contains("the decoder failed"), "a panic on {name}: {bytes:02x?}");
            }
        }
    }
}
