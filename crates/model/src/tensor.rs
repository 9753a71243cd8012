//! Tensors as files have them, and as networks take them.

use std::collections::BTreeMap;
use std::rc::Rc;

/// A tensor of a weight file, converted to f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The extent of each dimension.
    pub shape: Vec<usize>,
    /// The values, row-major.
    pub data: Vec<f32>,
}

/// The tensors of a set of weights by key.
pub type StateDict = BTreeMap<String, Entry>;

/// The type of a tensor's elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit floating point.
    F32,
    /// 64-bit floating point.
    F64,
    /// IEEE half precision.
    F16,
    /// The upper half of an [`Dtype::F32`].
    BF16,
    /// Whole numbers or truth values: counters and indices, no weights.
    Whole(&'static str),
    /// What is not read: quantised, sparse, complex or 8-bit floating point; by name.
    Other(String),
}

impl Dtype {
    /// Whether elements are converted to f32.
    pub fn is_float(&self) -> bool {
        matches!(self, Self::F32 | Self::F64 | Self::F16 | Self::BF16)
    }

    /// Bytes of an element; 0 where that is not known, and for packed bits.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Whole("i64" | "u64") => 8,
            Self::Whole("i32" | "u32") => 4,
            Self::Whole("i16" | "u16") => 2,
            Self::Whole(_) => 1,
            Self::Other(_) => 0,
        }
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::Whole(name) => name,
            Self::Other(name) => name,
        })
    }
}

/// Where the bytes of one or more tensors are.
#[derive(Debug)]
pub(crate) struct Storage {
    /// Which of the file's sources (shards).
    pub source: usize,
    /// The first byte.
    pub start: u64,
    /// How many.
    pub bytes: u64,
    /// What their CRC-32 should be, where that is known.
    pub crc: Option<u32>,
    /// Whether the first byte of an element is its highest.
    pub big_endian: bool,
}

/// A tensor in a file.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub storage: Rc<Storage>,
    /// The first element, counted in elements of the storage.
    pub offset: usize,
    /// How many elements of the storage the next index of each dimension is away; none where the elements lie in order.
    pub strides: Option<Vec<usize>>,
    /// Whether another tensor of the file has the same key.
    pub twice: bool,
}

/// How many elements a tensor of this shape has, if that can be counted.
pub(crate) fn elements(shape: &[usize]) -> Option<usize> {
    // A side of 0 must not hide others whose product can't be counted.
    let all = shape.iter().try_fold(1usize, |n, side| n.checked_mul((*side).max(1)))?;
    Some(if shape.contains(&0) { 0 } else { all })
}

impl Tensor {
    /// How many elements it has; the readers have seen that they can be counted.
    pub fn elements(&self) -> usize {
        elements(&self.shape).unwrap_or(0)
    }

    /// Converts the elements, row-major, onto the end of `values`; `bytes` is the whole storage. The reader has seen that all
    /// of them lie in it; what does not, is left out.
    pub fn convert(&self, bytes: &[u8], values: &mut Vec<f32>) {
        match (&self.dtype, self.storage.big_endian) {
            (Dtype::F64, false) => self.gather(bytes, values, |b| f64::from_le_bytes(b) as f32),
            (Dtype::F16, false) => self.gather(bytes, values, |b| half::f16::from_le_bytes(b).to_f32()),
            (Dtype::BF16, false) => self.gather(bytes, values, |b| half::bf16::from_le_bytes(b).to_f32()),
            (Dtype::F32, false) => self.gather(bytes, values, f32::from_le_bytes),
            (Dtype::F64, true) => self.gather(bytes, values, |b| f64::from_be_bytes(b) as f32),
            (Dtype::F16, true) => self.gather(bytes, values, |b| half::f16::from_be_bytes(b).to_f32()),
            (Dtype::BF16, true) => self.gather(bytes, values, |b| half::bf16::from_be_bytes(b).to_f32()),
            (Dtype::F32, true) => self.gather(bytes, values, f32::from_be_bytes),
            (Dtype::Whole(_) | Dtype::Other(_), _) => {}
        }
    }

    fn gather<const N: usize>(&self, bytes: &[u8], values: &mut Vec<f32>, one: impl Fn([u8; N]) -> f32) {
        let all = bytes.as_chunks::<N>().0;
        let count = self.elements();
        let Some(strides) = &self.strides else {
            let some = all.get(self.offset..self.offset.saturating_add(count)).unwrap_or_default();
            values.extend(some.iter().map(|b| one(*b)));
            return;
        };
        values.reserve(count);
        let mut index = vec![0usize; self.shape.len()];
        let mut at = self.offset;
        for _ in 0..count {
            values.extend(all.get(at).map(|b| one(*b)));
            for (d, (side, stride)) in self.shape.iter().zip(strides).enumerate().rev() {
                index[d] += 1;
                at = at.wrapping_add(*stride);
                if index[d] < *side {
                    break;
                }
                at = at.wrapping_sub(stride.wrapping_mul(*side));
                index[d] = 0;
            }
        }
    }
}
