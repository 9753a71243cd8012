//! Tensors of an ONNX file, in whatever way it stores them, as values.

use burn::tensor::Device;
use half::{bf16, f16};

use super::files::Files;
use super::proto;
use super::value::{self, Float, Ints, Value};

/// ONNX's `TensorProto.DataType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    F32,
    U8,
    I8,
    U16,
    I16,
    I32,
    I64,
    Bool,
    F16,
    F64,
    U32,
    U64,
    Bf16,
}

impl DataType {
    /// By the number in the file.
    ///
    /// # Errors
    /// For strings, complex numbers and the 8-bit and smaller types of quantised graphs.
    pub fn new(number: i64) -> Result<Self, String> {
        Ok(match number {
            1 => Self::F32,
            2 => Self::U8,
            3 => Self::I8,
            4 => Self::U16,
            5 => Self::I16,
            6 => Self::I32,
            7 => Self::I64,
            9 => Self::Bool,
            10 => Self::F16,
            11 => Self::F64,
            12 => Self::U32,
            13 => Self::U64,
            16 => Self::Bf16,
            8 => return Err("holds strings, which no classifier computes with".into()),
            14 | 15 => return Err("holds complex numbers, which are not read".into()),
            17..=20 | 24 => return Err("holds 8-bit floats, which are not read".into()),
            21 | 22 | 25 | 26 => return Err("holds integers of 4 bits or fewer, which are not read".into()),
            23 => return Err("holds 4-bit floats, which are not read".into()),
            n => return Err(format!("has the element type {n}, which is not known")),
        })
    }

    /// A value brought into this integer type's range, as a cast in C does; of unsigned 64-bit integers the bits.
    pub fn wrap(self, v: i128) -> i64 {
        match self {
            Self::Bool => (v != 0).into(),
            Self::U8 => (v as u8).into(),
            Self::I8 => (v as i8).into(),
            Self::U16 => (v as u16).into(),
            Self::I16 => (v as i16).into(),
            Self::U32 => (v as u32).into(),
            Self::I32 => (v as i32).into(),
            Self::I64 | Self::U64 | Self::F32 | Self::F16 | Self::F64 | Self::Bf16 => v as i64,
        }
    }

    /// How many bits a value has.
    pub fn bits(self) -> u32 {
        self.size() as u32 * 8
    }

    /// Whether values of this type are held as a float tensor.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::F64 | Self::Bf16)
    }

    fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::Bf16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::I64 | Self::F64 | Self::U64 => 8,
        }
    }
}

/// Reads a tensor, also one that lies in a file beside the model's; and the first of its values that is no number or, without
/// one, infinite.
///
/// # Errors
/// A message that says what is wrong with the tensor.
pub fn read(tensor: &proto::Tensor, files: &Files, device: &Device) -> Result<(Value, Option<f32>), String> {
    let Numbers { shape, floats, ints, kind } = numbers(tensor, Some(files))?;
    let infinite = floats.iter().copied().find(|v| !v.is_finite());
    let bad = infinite.and_then(|first| floats.iter().copied().find(|v| v.is_nan()).or(Some(first)));
    let value = if kind.is_float() {
        Value::Float(Float::from_values(floats, &shape, device)?)
    } else {
        Value::Int(Ints { shape, data: ints, kind })
    };
    Ok((value, bad))
}

/// A tensor's content: floats or integers, the other is empty.
pub struct Numbers {
    /// The extent of each dimension.
    pub shape: Vec<usize>,
    /// The values, where they are floats.
    pub floats: Vec<f32>,
    /// The values, where they are integers or truth values.
    pub ints: Vec<i64>,
    /// The type they are of.
    pub kind: DataType,
}

/// Reads a tensor's content; without `files` it has to be in the tensor itself.
///
/// # Errors
/// A message that says what is wrong with the tensor.
pub fn numbers(tensor: &proto::Tensor, files: Option<&Files>) -> Result<Numbers, String> {
    let kind = DataType::new(tensor.data_type.into())?;
    let shape = tensor.dims.iter().map(|&d| usize::try_from(d).map_err(|_| format!("has the extent {d}")));
    let shape = shape.collect::<Result<Vec<_>, _>>()?;
    let count = value::count(&shape).map_err(|_| format!("has the shape {shape:?}, which is too large"))?;
    let external;
    let raw: &[u8] = if tensor.data_location == 1 {
        let files = files.ok_or("lies in another file, which is not expected here")?;
        external = files.beside.read(tensor, Some((count * kind.size()) as u64), u64::MAX)?;
        &external
    } else {
        &tensor.raw_data
    };
    let (floats, ints) = if raw.is_empty() {
        typed_data(kind, tensor)
    } else if raw.len() == count * kind.size() {
        raw_data(kind, raw)
    } else {
        return Err(format!("has the shape {shape:?}, but {} bytes", raw.len()));
    };
    let given = floats.len() + ints.len();
    if given != count {
        return Err(format!("has the shape {shape:?}, but {given} values"));
    }
    Ok(Numbers { shape, floats, ints, kind })
}

fn convert<const N: usize, T>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.chunks_exact(N).map(|b| convert(b.try_into().expect("chunks of N"))).collect()
}

/// Little-endian bytes as floats or as integers.
fn raw_data(kind: DataType, bytes: &[u8]) -> (Vec<f32>, Vec<i64>) {
    let (mut floats, mut ints) = (vec![], vec![]);
    match kind {
        DataType::F32 => floats = convert(bytes, f32::from_le_bytes),
        DataType::F64 => floats = convert(bytes, |b| f64::from_le_bytes(b) as f32),
        DataType::F16 => floats = convert(bytes, |b| f16::from_le_bytes(b).to_f32()),
        DataType::Bf16 => floats = convert(bytes, |b| bf16::from_le_bytes(b).to_f32()),
        DataType::U8 => ints = convert(bytes, |b: [u8; 1]| b[0].into()),
        DataType::Bool => ints = convert(bytes, |b: [u8; 1]| (b[0] != 0).into()),
        DataType::I8 => ints = convert(bytes, |b| i8::from_le_bytes(b).into()),
        DataType::U16 => ints = convert(bytes, |b| u16::from_le_bytes(b).into()),
        DataType::I16 => ints = convert(bytes, |b| i16::from_le_bytes(b).into()),
        DataType::U32 => ints = convert(bytes, |b| u32::from_le_bytes(b).into()),
        DataType::I32 => ints = convert(bytes, |b| i32::from_le_bytes(b).into()),
        DataType::I64 => ints = convert(bytes, i64::from_le_bytes),
        DataType::U64 => ints = convert(bytes, |b| u64::from_le_bytes(b) as i64),
    }
    (floats, ints)
}

/// The field that this type's values stand in: half precision as bits, among the 32-bit integers.
fn typed_data(kind: DataType, tensor: &proto::Tensor) -> (Vec<f32>, Vec<i64>) {
    let small = tensor.int32_data.iter();
    let (mut floats, mut ints) = (vec![], vec![]);
    match kind {
        DataType::F32 => floats = tensor.float_data.clone(),
        DataType::F64 => floats = tensor.double_data.iter().map(|&v| v as f32).collect(),
        DataType::F16 => floats = small.map(|&v| f16::from_bits(v as u16).to_f32()).collect(),
        DataType::Bf16 => floats = small.map(|&v| bf16::from_bits(v as u16).to_f32()).collect(),
        DataType::I64 => ints = tensor.int64_data.clone(),
        DataType::U32 | DataType::U64 => {
            ints = tensor.uint64_data.iter().map(|&v| kind.wrap(v.into())).collect()
        }
        _ => ints = small.map(|&v| kind.wrap(v.into())).collect(),
    }
    (floats, ints)
}
