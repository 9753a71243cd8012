//! Images of every kind that a format has: depths, palettes, passes, compressions, what travels beside the pixels.

use std::io::Write;

use dyntta_image::{Rgb8, encode_jpeg, encode_png};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use mozjpeg::{ColorSpace, Compress};

use crate::form;

/// A picture with an edge, a slope and noise.
fn picture(width: usize, height: usize) -> Rgb8 {
    let value = |i: usize| {
        let (x, y, c) = (i / 3 % width, i / 3 / width, i % 3);
        (x * 28 + y * 36 * (c + 1) + x * y * 17 % 50) as u8
    };
    Rgb8::new(width, height, (0..width * height * 3).map(value).collect()).unwrap()
}

/// A PNG of `side` pixels a side in one colour.
pub fn tiny_png(side: usize, level: u8) -> Vec<u8> {
    let image = Rgb8::new(side, side, vec![level; side * side * 3]).unwrap();
    encode_png(&image).expect("an image can be encoded")
}

fn deflated(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).and_then(|()| encoder.finish()).expect("memory can be written")
}

/// Orientation 6 and nothing else.
const EXIF: &[u8] = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";

/// One of a depth, a colour type and a way of passes: 5 × 3 pixels.
fn png_of(depth: u8, colour: u8, passes: bool, extra: &[(&[u8], &[u8])]) -> Vec<u8> {
    let channels = [1, 0, 3, 1, 2, 0, 4][usize::from(colour)];
    let bits = usize::from(depth) * channels;
    let mut raw = Vec::new();
    // Width and height of each pass: of one, or of the seven of Adam7.
    let sizes: &[(usize, usize)] =
        if passes { &[(1, 1), (1, 1), (2, 0), (1, 1), (3, 1), (2, 2), (5, 1)] } else { &[(5, 3)] };
    for (width, height) in sizes {
        for row in 0..*height {
            raw.push((row % 5) as u8);
            raw.extend((0..(width * bits).div_ceil(8)).map(|i| (i * 29 + row * 7) as u8));
        }
    }
    let header = [&[0, 0, 0, 5, 0, 0, 0, 3][..], &[depth, colour, 0, 0, u8::from(passes)]].concat();
    let palette: Vec<u8> = (0..3 << depth.min(8)).map(|i| (i * 7) as u8).collect();
    let pixels = deflated(&raw);
    let mut chunks: Vec<(&[u8], &[u8])> = vec![(b"IHDR", &header)];
    chunks.extend_from_slice(extra);
    if colour == 3 {
        chunks.push((b"PLTE", &palette));
    }
    chunks.extend([(&b"IDAT"[..], &pixels[..]), (b"IEND", b"")]);
    form::png(&chunks)
}

pub(crate) fn png() -> Vec<Vec<u8>> {
    let mut out = vec![encode_png(&picture(9, 7)).expect("an image can be encoded")];
    for (colour, depths) in
        [(0, &[1, 2, 4, 8, 16][..]), (2, &[8, 16]), (3, &[1, 2, 4, 8]), (4, &[8, 16]), (6, &[8, 16])]
    {
        for depth in depths {
            out.push(png_of(*depth, colour, false, &[]));
        }
        out.push(png_of(8, colour, true, &[]));
    }
    let profile = [b"icc\0\0", &deflated(&[7; 200])[..]].concat();
    let text = [b"Comment\0\0", &deflated(b"text")[..]].concat();
    out.push(png_of(8, 2, false, &[(b"eXIf", EXIF), (b"gAMA", &[0, 0, 0xb1, 0x8f])]));
    out.push(png_of(8, 2, false, &[(b"iCCP", &profile), (b"tRNS", &[0, 1, 0, 2, 0, 3])]));
    out.push(png_of(8, 0, false, &[(b"zTXt", &text), (b"tRNS", &[0, 9]), (b"tIME", &[0; 7])]));
    let control = [0, 0, 0, 1, 0, 0, 0, 0];
    let frame = [&[0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 3][..], &[0; 8], &[0, 1, 0, 1, 0, 0]].concat();
    out.push(png_of(8, 2, false, &[(b"acTL", &control), (b"fcTL", &frame)]));
    out
}

pub(crate) fn jpeg() -> Vec<Vec<u8>> {
    let image = picture(19, 17);
    let mut out: Vec<Vec<u8>> =
        [1, 50, 95].map(|q| encode_jpeg(&image, q).expect("an image can be encoded")).into();
    let made = |space, channels: usize, set: &dyn Fn(&mut Compress)| {
        let mut compress = Compress::new(space);
        compress.set_size(19, 17);
        set(&mut compress);
        let mut started = compress.start_compress(Vec::new()).expect("memory can be written");
        let pixels: Vec<u8> = (0..19 * 17 * channels).map(|i| (i * 37 % 251) as u8).collect();
        started.write_scanlines(&pixels).and_then(|()| started.finish()).expect("memory can be written")
    };
    out.push(made(ColorSpace::JCS_RGB, 3, &|c| c.set_progressive_mode()));
    out.push(made(ColorSpace::JCS_GRAYSCALE, 1, &|c| c.set_quality(40.0)));
    out.push(made(ColorSpace::JCS_CMYK, 4, &|c| c.set_quality(70.0)));
    out.push(made(ColorSpace::JCS_RGB, 3, &|c| {
        c.set_color_space(ColorSpace::JCS_RGB);
        c.set_optimize_coding(true);
    }));
    // A turned one, and one with a profile.
    let with = |marker: u8, content: &[u8]| {
        let mut file = out[1].clone();
        let segment = [&[0xff, marker], &(content.len() as u16 + 2).to_be_bytes()[..], content].concat();
        file.splice(2..2, segment);
        file
    };
    let exif = with(0xe1, &[b"Exif\0\0", EXIF].concat());
    let profile = with(0xe2, b"ICC_PROFILE\0\x01\x01profile");
    let adobe = with(0xee, b"Adobe\0\x64\0\0\0\0\x01");
    out.extend([exif, profile, adobe]);
    out
}

const LOSSY: &[u8] = &[
    80, 2, 0, 157, 1, 42, 9, 0, 7, 0, 2, 128, 66, 37, 176, 2, 116, 186, 0, 3, 58, 84, 14, 187, 136, 146, 0,
    0, 254, 247, 216, 28, 100, 41, 237, 187, 192, 148, 91, 159, 60, 130, 234, 239, 69, 12, 59, 132, 98, 203,
    168, 185, 56, 201, 129, 244, 63, 158, 32, 110, 36, 172, 62, 126, 210, 247, 200, 119, 193, 214, 15, 189,
    231, 155, 31, 153, 111, 93, 0, 0,
];
const LOSSLESS: &[u8] = &[
    47, 8, 128, 1, 0, 185, 50, 68, 244, 63, 118, 17, 209, 255, 128, 65, 182, 145, 10, 115, 254, 148, 119,
    255, 10, 195, 97, 16, 146, 148, 87, 56, 132, 16, 154, 87, 73, 33, 167, 71, 136, 37, 170, 152, 0, 164,
    102, 8, 230, 11, 3, 105, 4, 168, 6, 12, 23, 2, 192, 4, 88, 158, 6,
];
const ALPHA: &[u8] = &[
    1, 55, 64, 144, 109, 27, 130, 56, 194, 222, 136, 136, 197, 101, 80, 21, 219, 54, 117, 175, 215, 191, 10,
    42, 168, 160, 130, 10, 250, 119, 80, 98, 239, 136, 254, 103, 252, 169, 230, 2, 202, 86, 235, 81, 219, 5,
    250, 83, 7,
];

fn riff(chunks: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut body = b"WEBP".to_vec();
    for (name, data) in chunks {
        body.extend_from_slice(name);
        body.extend((data.len() as u32).to_le_bytes());
        body.extend_from_slice(data);
        body.resize(body.len().next_multiple_of(2), 0);
    }
    [b"RIFF", &(body.len() as u32).to_le_bytes()[..], &body].concat()
}

pub(crate) fn webp() -> Vec<Vec<u8>> {
    let extended = |flags: u8| [flags, 0, 0, 0, 8, 0, 0, 6, 0, 0];
    let frame = |data: &[u8], name: &[u8]| {
        let length = (data.len() as u32).to_le_bytes();
        [&[0, 0, 0, 0, 0, 0, 8, 0, 0, 6, 0, 0, 10, 0, 0, 2][..], name, &length, data].concat()
    };
    vec![
        riff(&[(b"VP8 ", LOSSY)]),
        riff(&[(b"VP8L", LOSSLESS)]),
        riff(&[(b"VP8X", &extended(0x10)), (b"ALPH", ALPHA), (b"VP8 ", LOSSY)]),
        riff(&[(b"VP8X", &extended(0x28)), (b"ICCP", b"profile"), (b"VP8 ", LOSSY), (b"EXIF", EXIF)]),
        riff(&[
            (b"VP8X", &extended(0x02)),
            (b"ANIM", &[0; 6]),
            (b"ANMF", &frame(LOSSY, b"VP8 ")),
            (b"ANMF", &frame(LOSSLESS, b"VP8L")),
        ]),
    ]
}

/// A BMP of 5 × 3 pixels with so many bits each, a way of compression, and the rest after the header.
fn bmp_of(bits: u16, compression: u32, height: i32, rest: &[u8]) -> Vec<u8> {
    let colours = if bits <= 8 { 4usize << bits } else { 0 };
    let masks = if compression == 3 { 12 } else { 0 };
    let offset = (54 + colours + masks) as u32;
    let mut out = b"BM".to_vec();
    out.extend((offset + rest.len() as u32).to_le_bytes());
    out.extend([0; 4]);
    out.extend(offset.to_le_bytes());
    out.extend(40u32.to_le_bytes());
    out.extend(5i32.to_le_bytes());
    out.extend(height.to_le_bytes());
    out.extend(1u16.to_le_bytes());
    out.extend(bits.to_le_bytes());
    out.extend(compression.to_le_bytes());
    out.extend((rest.len() as u32).to_le_bytes());
    out.extend([0; 16]);
    if compression == 3 {
        let masks = if bits == 16 { [0xf800u32, 0x7e0, 0x1f] } else { [0xff_0000, 0xff00, 0xff] };
        out.extend(masks.iter().flat_map(|m| m.to_le_bytes()));
    }
    out.extend((0..colours).map(|i| (i * 13) as u8));
    out.extend_from_slice(rest);
    out
}

pub(crate) fn bmp() -> Vec<Vec<u8>> {
    let rows = |bits: usize| -> Vec<u8> {
        (0..(5 * bits).div_ceil(32) * 4 * 3).map(|i| (i * 11 % 256) as u8).collect()
    };
    let mut out: Vec<Vec<u8>> =
        [1, 4, 8, 16, 24, 32].map(|bits| bmp_of(bits, 0, 3, &rows(usize::from(bits)))).into();
    out.push(bmp_of(24, 0, -3, &rows(24)));
    out.push(bmp_of(16, 3, 3, &rows(16)));
    out.push(bmp_of(32, 3, 3, &rows(32)));
    out.push(bmp_of(8, 1, 3, &[5, 1, 0, 0, 0, 3, 1, 2, 3, 0, 2, 7, 0, 0, 0, 2, 1, 0, 4, 9, 0, 1]));
    out.push(bmp_of(4, 2, 3, &[5, 0x12, 0, 0, 0, 3, 0x12, 0x30, 2, 7, 0, 0, 5, 9, 0, 1]));
    out
}
