//! An input for a graph and what is to come out, so that any runtime can be checked.

use std::io::{self, Write};

use dyntta_ops::Bank;
use dyntta_runtime::{Enhancer, Workspace};

use crate::array::{Array, Data};
use crate::{Layout, Output};

/// Images `n` x `h` x `w` with edges, smooth parts, noise, and a black and a white corner, in a layout: the same at every call.
pub fn image(layout: Layout, [n, h, w]: [usize; 3]) -> Array {
    let byte = |i: usize, c: usize, y: usize, x: usize| -> u8 {
        // A linear congruential generator's last byte is poor: the third is not.
        let seed = ((i * 3 + c) * 65_537 + y * 257 + x) as u32;
        let noise = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345).wrapping_mul(1_664_525) >> 24;
        let smooth = (255 * (y * (c + 1) + x * (3 - c))) / (4 * (h + w));
        match (4 * y / h, 4 * x / w) {
            (0, 0) => 0,
            (3, 3) => 255,
            (0..=1, _) => noise as u8,
            (2, 0..=1) => 90 + 40 * c as u8,
            _ => smooth as u8,
        }
    };
    let count = n * 3 * h * w;
    match layout {
        Layout::F32Nchw => {
            let value =
                |k: usize| f32::from(byte(k / (3 * h * w), k / (h * w) % 3, k / w % h, k % w)) / 255.0;
            Array::f32(&[n, 3, h, w], (0..count).map(value).collect())
        }
        Layout::U8Nhwc => {
            let value = |k: usize| byte(k / (3 * h * w), k % 3, k / (3 * w) % h, k / 3 % w);
            Array::new(vec![n, h, w, 3], Data::U8((0..count).map(value).collect()))
        }
    }
}

/// What the runtime makes of images: the input and the outputs that an enhancer alone gives, by name.
///
/// # Panics
/// If the image is none that [`image`] makes.
pub fn sample(enhancer: &Enhancer, image: Array, outputs: &[Output]) -> Vec<(String, Array)> {
    let (x, [n, h, w]) = match (&image.data, &image.shape[..]) {
        (Data::F32(x), &[n, 3, h, w]) => (x.clone(), [n, h, w]),
        (Data::U8(bytes), &[n, h, w, 3]) => {
            let value = |k: usize| {
                let (i, c, p) = (k / (3 * h * w), k / (h * w) % 3, k % (h * w));
                f32::from(bytes[(i * h * w + p) * 3 + c]) / 255.0
            };
            ((0..bytes.len()).map(value).collect(), [n, h, w])
        }
        _ => panic!("an image of shape {:?}", image.shape),
    };
    let mut workspace = Workspace::new();
    let mut y = vec![0.0; x.len()];
    enhancer
        .enhance_planar(&mut workspace, n, h, w, &x, &mut y)
        .unwrap_or_else(|e| panic!("an image of shape {:?}: {e}", image.shape));
    let k = enhancer.bank().map_or(0, Bank::len);
    let enhanced = match image.data {
        Data::U8(_) => {
            let value = |i: usize| {
                let (m, p, c) = (i / (3 * h * w), i / 3 % (h * w), i % 3);
                (y[(m * 3 + c) * h * w + p].clamp(0.0, 1.0) * 255.0).round() as u8
            };
            Array::new(vec![n, h, w, 3], Data::U8((0..y.len()).map(value).collect()))
        }
        _ => Array::f32(&[n, 3, h, w], y.iter().map(|v| v.clamp(0.0, 1.0)).collect()),
    };
    let mut arrays = vec![("image".to_owned(), image)];
    for output in outputs {
        let array = match output {
            Output::Enhanced => enhanced.clone(),
            Output::Weights => Array::f32(&[n, k], workspace.weights().to_vec()),
            Output::Factors => {
                let magnitude = |slot: usize| enhancer.bank()?.op(slot)?.magnitude();
                let factor = |(i, &raw): (usize, &f32)| magnitude(i % k).map_or(f32::NAN, |m| m.factor(raw));
                Array::f32(&[n, k], workspace.raw().iter().enumerate().map(factor).collect())
            }
            Output::Scores => continue,
        };
        arrays.push((output.name().to_owned(), array));
    }
    arrays
}

/// Arrays by name as numpy's `.npz`: a zip archive, not compressed, of `.npy` files.
///
/// # Errors
/// If an array is of a type that numpy is not told of.
pub fn npz(arrays: &[(String, Array)]) -> io::Result<Vec<u8>> {
    let mut zip = rawzip::ZipArchiveWriter::new(Vec::new());
    for (name, array) in arrays {
        let name = format!("{name}.npy");
        let bytes = npy(array)?;
        let (mut entry, config) = zip.new_file(name.as_str()).start().map_err(io::Error::other)?;
        let mut writer = config.wrap(&mut entry);
        writer.write_all(&bytes)?;
        let (_, descriptor) = writer.finish().map_err(io::Error::other)?;
        entry.finish(descriptor).map_err(io::Error::other)?;
    }
    zip.finish().map_err(io::Error::other)
}

/// Format 1.0 of <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.
fn npy(array: &Array) -> io::Result<Vec<u8>> {
    let kind = match &array.data {
        Data::F32(_) => "<f4",
        Data::F64(_) => "<f8",
        Data::F16(_) => "<f2",
        Data::I64(_) => "<i8",
        Data::I32(_) => "<i4",
        Data::U8(_) => "|u1",
        Data::Bool(_) => "|b1",
    };
    let extents: String = array.shape.iter().map(|extent| format!("{extent}, ")).collect();
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({extents}), }}");
    // The data starts at a multiple of 64; the header ends in a line break.
    let len = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let stated = u16::try_from(len).map_err(io::Error::other)?;
    bytes.extend(stated.to_le_bytes());
    bytes.extend(format!("{header:<width$}\n", width = len - 1).bytes());
    bytes.extend(array.data.bytes());
    Ok(bytes)
}
