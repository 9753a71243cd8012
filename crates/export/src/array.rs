//! Tensors whose values are known: constants of a graph, and what the reference computes with.

use dyntta_onnx::data_type;
use half::f16;

/// The elements of an [`Array`], row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Single precision.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
    /// Half precision.
    F16(Vec<f16>),
    /// Whole numbers.
    I64(Vec<i64>),
    /// Whole numbers.
    I32(Vec<i32>),
    /// Bytes.
    U8(Vec<u8>),
    /// Truth values.
    Bool(Vec<bool>),
}

/// A tensor of any number of axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The extents.
    pub shape: Vec<usize>,
    /// The elements.
    pub data: Data,
}

impl Data {
    /// How many elements there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
            Self::F16(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::U8(v) => v.len(),
            Self::Bool(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of the type: see [`data_type`].
    pub fn kind(&self) -> i32 {
        match self {
            Self::F32(_) => data_type::FLOAT,
            Self::F64(_) => data_type::DOUBLE,
            Self::F16(_) => data_type::FLOAT16,
            Self::I64(_) => data_type::INT64,
            Self::I32(_) => data_type::INT32,
            Self::U8(_) => data_type::UINT8,
            Self::Bool(_) => data_type::BOOL,
        }
    }

    /// Little-endian, as files have them.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::F32(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::F64(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::F16(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::I64(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::I32(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::U8(v) => v.clone(),
            Self::Bool(v) => v.iter().map(|&v| v.into()).collect(),
        }
    }

    /// From little-endian bytes of a type; `None` for a type that is none of these, or bytes of another number.
    pub fn from_bytes(kind: i32, bytes: &[u8]) -> Option<Self> {
        fn read<const N: usize, T>(bytes: &[u8], from: impl Fn([u8; N]) -> T) -> Option<Vec<T>> {
            let (chunks, []) = bytes.as_chunks::<N>() else { return None };
            Some(chunks.iter().map(|chunk| from(*chunk)).collect())
        }
        Some(match kind {
            data_type::FLOAT => Self::F32(read(bytes, f32::from_le_bytes)?),
            data_type::DOUBLE => Self::F64(read(bytes, f64::from_le_bytes)?),
            data_type::FLOAT16 => Self::F16(read(bytes, f16::from_le_bytes)?),
            data_type::INT64 => Self::I64(read(bytes, i64::from_le_bytes)?),
            data_type::INT32 => Self::I32(read(bytes, i32::from_le_bytes)?),
            data_type::UINT8 => Self::U8(bytes.to_vec()),
            data_type::BOOL => Self::Bool(bytes.iter().map(|&b| b != 0).collect()),
            _ => return None,
        })
    }
}

impl Array {
    /// A tensor in single precision.
    ///
    /// # Panics
    /// If the shape is of another number of elements.
    pub fn f32(shape: &[usize], data: Vec<f32>) -> Self {
        Self::new(shape.to_vec(), Data::F32(data))
    }

    /// A list of whole numbers.
    pub fn list(data: &[i64]) -> Self {
        Self::new(vec![data.len()], Data::I64(data.to_vec()))
    }

    /// A tensor.
    ///
    /// # Panics
    /// If the shape is of another number of elements.
    pub fn new(shape: Vec<usize>, data: Data) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "{shape:?}");
        Self { shape, data }
    }

    /// The elements, if they are in single precision.
    pub fn floats(&self) -> Option<&[f32]> {
        match &self.data {
            Data::F32(v) => Some(v),
            _ => None,
        }
    }

    /// The elements, if they are whole numbers of 64 bits.
    pub fn ints(&self) -> Option<&[i64]> {
        match &self.data {
            Data::I64(v) => Some(v),
            _ => None,
        }
    }
}
