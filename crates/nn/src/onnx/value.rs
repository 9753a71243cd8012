//! What flows along the edges of a graph: float tensors on the device, integers on the host.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use dyntta_files::Limits;

use super::tensor::DataType;

/// The largest rank: what window attention and pixel shuffles take.
pub const RANK: usize = 6;

/// A value of the graph.
#[derive(Clone, Debug)]
pub enum Value {
    /// A float tensor, of the image or of the weights.
    Float(Float),
    /// Integers or truth values, which say shapes, axes and indices.
    Int(Ints),
}

impl Value {
    /// The extent of each dimension.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Float(x) => x.shape(),
            Self::Int(x) => x.shape.clone(),
        }
    }

    /// As floats.
    pub fn into_float(self, device: &Device) -> Result<Float, String> {
        match self {
            Self::Float(x) => Ok(x),
            Self::Int(x) => Float::from_values(x.wide().map(|v| v as f32).collect(), &x.shape, device),
        }
    }
}

/// A float tensor of any rank up to [`RANK`].
///
/// It is held with leading extents of 1 up to that rank, which is how ONNX broadcasts. Activations of convolutions lie
/// in memory as the kernels want them, NHWC, and say so; what the graph sees stays NCHW.
#[derive(Clone, Debug)]
pub struct Float {
    data: Tensor<RANK>,
    rank: usize,
    channels_last: bool,
}

/// Where each axis of an NCHW value stands in an NHWC tensor of the full rank.
const CHANNELS_LAST: [usize; 4] = [2, 5, 3, 4];

/// `shape` with leading extents of 1.
pub fn padded(shape: &[usize]) -> Result<[usize; RANK], String> {
    if shape.len() > RANK {
        return Err(format!("a tensor of rank {}: up to {RANK} are supported", shape.len()));
    }
    let mut full = [1; RANK];
    full[RANK - shape.len()..].copy_from_slice(shape);
    Ok(full)
}

impl Float {
    /// From a tensor whose leading extents up to `rank` are 1.
    pub fn new(data: Tensor<RANK>, rank: usize) -> Self {
        Self { data, rank, channels_last: false }
    }

    /// From row-major values; their number is that of the shape.
    pub fn from_values(values: Vec<f32>, shape: &[usize], device: &Device) -> Result<Self, String> {
        let data = Tensor::from_data(TensorData::new(values, padded(shape)?), device);
        Ok(Self::new(data, shape.len()))
    }

    /// An NCHW value from its activations `[n, h, w, c]`.
    pub fn from_nhwc(x: Tensor<4>) -> Self {
        let [n, h, w, c] = x.dims();
        Self { data: x.reshape([1, 1, n, h, w, c]), rank: 4, channels_last: true }
    }

    /// From a tensor of its own rank, row-major.
    pub fn from_tensor<const D: usize>(x: Tensor<D>) -> Self {
        let shape = padded(&x.dims()).expect("of a rank that was chosen here");
        Self::new(x.reshape(shape), D)
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Where `axis` stands in [`Float::data`].
    pub fn at(&self, axis: usize) -> usize {
        if self.channels_last { CHANNELS_LAST[axis] } else { RANK - self.rank + axis }
    }

    /// The extent of each dimension, as the graph sees them.
    pub fn shape(&self) -> Vec<usize> {
        let dims = self.data.dims();
        (0..self.rank).map(|axis| dims[self.at(axis)]).collect()
    }

    /// The tensor as it lies; see [`Float::at`].
    pub fn data(self) -> Tensor<RANK> {
        self.data
    }

    /// The tensor, row-major in the graph's order.
    pub fn row_major(self) -> Tensor<RANK> {
        if self.channels_last { self.data.permute([0, 1, 2, 5, 3, 4]) } else { self.data }
    }

    /// Lies NCHW: as the graph sees it.
    pub fn plain(self) -> Self {
        let rank = self.rank;
        Self::new(self.row_major(), rank)
    }

    /// The same value lying NHWC; of rank four at most, smaller ones with leading extents of 1.
    pub fn into_channels_last(self) -> Self {
        if self.channels_last {
            return self;
        }
        Self { data: self.data.permute([0, 1, 2, 4, 5, 3]), rank: 4, channels_last: true }
    }

    /// The activations `[n, h, w, c]` of an NCHW value.
    ///
    /// # Errors
    /// If the rank is not four.
    pub fn nhwc(self) -> Result<Tensor<4>, String> {
        self.four()?;
        let x = self.into_channels_last().data;
        let [_, _, n, h, w, c] = x.dims();
        Ok(x.reshape([n, h, w, c]))
    }

    /// An NCHW value as `[n, c, h, w]`.
    ///
    /// # Errors
    /// If the rank is not four.
    pub fn nchw(self) -> Result<Tensor<4>, String> {
        let [n, c, h, w] = self.four()?;
        Ok(self.row_major().reshape([n, c, h, w]))
    }

    /// The shape of a value of rank four.
    pub fn four(&self) -> Result<[usize; 4], String> {
        <[usize; 4]>::try_from(self.shape())
            .map_err(|s| format!("takes images, tensors of rank 4, not of shape {s:?}"))
    }

    /// The values, row-major in the graph's order.
    pub fn values(self) -> Vec<f32> {
        let data = self.row_major().into_data();
        data.try_to_vec::<f32>().expect("float tensors are f32")
    }

    /// Element by element, wherever they lie.
    pub fn map(self, f: impl FnOnce(Tensor<RANK>) -> Tensor<RANK>) -> Self {
        Self { data: f(self.data), ..self }
    }

    /// The same values in another shape, row-major.
    ///
    /// # Errors
    /// If the shapes have different numbers of elements.
    pub fn reshape(self, shape: &[usize]) -> Result<Self, String> {
        let from = self.shape();
        if from.iter().product::<usize>() != count(shape)? {
            return Err(format!("{from:?} does not reshape to {shape:?}"));
        }
        Ok(Self::new(self.row_major().reshape(padded(shape)?), shape.len()))
    }

    /// Dimension i of the result is dimension `axes[i]` of this one.
    pub fn permute(self, axes: &[usize]) -> Self {
        // From and to NHWC nothing moves: only who knows of it changes.
        match (self.channels_last, axes) {
            (true, [0, 2, 3, 1]) => return Self { channels_last: false, ..self },
            (false, [0, 3, 1, 2]) => return Self { channels_last: true, ..self },
            _ => {}
        }
        let rank = self.rank;
        let lead = RANK - rank;
        let mut order = [0, 1, 2, 3, 4, 5];
        for (i, &axis) in axes.iter().enumerate() {
            order[lead + i] = lead + axis;
        }
        Self::new(self.row_major().permute(order), rank)
    }

    /// Spread over `shape`, which this value's shape broadcasts to.
    pub fn expand(self, shape: &[usize]) -> Result<Self, String> {
        let from = self.shape();
        if from == shape {
            return Ok(self);
        }
        count(shape)?;
        if broadcast(&from, shape)? != shape || shape.contains(&0) {
            return Err(format!("{from:?} does not spread over {shape:?}"));
        }
        Ok(Self::new(self.row_major().expand(padded(shape)?), shape.len()))
    }

    /// The part of `axis` from `start` up to `end`, every `step`-th.
    pub fn slice(self, axis: usize, start: usize, end: usize, step: usize) -> Self {
        let at = self.at(axis);
        self.map(|x| {
            let mut parts = x.dims().map(|d| burn::tensor::Slice::new(0, Some(d as isize), 1));
            parts[at] = burn::tensor::Slice::new(start as isize, Some(end as isize), step as isize);
            x.slice(parts)
        })
    }

    /// The entries of `axis` that `indices` name.
    pub fn select(self, axis: usize, indices: &[usize]) -> Self {
        let (at, device) = (self.at(axis), self.data.device());
        let values: Vec<i32> = indices.iter().map(|&i| i as i32).collect();
        let indices = Tensor::<1, Int>::from_data(TensorData::new(values, [indices.len()]), &device);
        self.map(|x| x.select(at, indices))
    }

    /// Values one after the other along `axis`; they agree in all other extents.
    pub fn concat(values: Vec<Self>, axis: usize) -> Self {
        let channels_last = values.iter().any(|v| v.channels_last);
        let values: Vec<Self> =
            values.into_iter().map(|v| if channels_last { v.into_channels_last() } else { v }).collect();
        let (at, rank) = (values[0].at(axis), values[0].rank);
        let data = Tensor::cat(values.into_iter().map(|v| v.data).collect(), at);
        Self { data, rank, channels_last }
    }

    /// Two values made to lie alike, so that they broadcast as ONNX says.
    ///
    /// # Errors
    /// If their shapes don't broadcast.
    pub fn align(a: Self, b: Self) -> Result<(Self, Self), String> {
        broadcast(&a.shape(), &b.shape())?;
        let rank = a.rank.max(b.rank);
        Ok(if rank == 4 && (a.channels_last || b.channels_last) {
            (a.into_channels_last(), b.into_channels_last())
        } else {
            (Self { rank, ..a.plain() }, Self { rank, ..b.plain() })
        })
    }

    /// Element by element of two values, broadcast.
    ///
    /// # Errors
    /// If their shapes don't broadcast.
    pub fn zip(
        a: Self,
        b: Self,
        f: impl FnOnce(Tensor<RANK>, Tensor<RANK>) -> Tensor<RANK>,
    ) -> Result<Self, String> {
        let (a, b) = Self::align(a, b)?;
        Ok(Self { data: f(a.data, b.data), ..a })
    }

    /// Whether a gradient may flow from here.
    pub fn is_tracked(&self) -> bool {
        self.data.device().is_autodiff()
    }
}

/// Integers or truth values (0 and 1), row-major, on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ints {
    /// The extent of each dimension.
    pub shape: Vec<usize>,
    /// The values; of unsigned 64-bit integers the bits.
    pub data: Vec<i64>,
    /// Their type, which is no float's: arithmetic wraps around at its bounds.
    pub kind: DataType,
}

impl Ints {
    /// 64-bit integers: what shapes, axes and indices are.
    pub fn new(shape: Vec<usize>, data: Vec<i64>) -> Self {
        Self { shape, data, kind: DataType::I64 }
    }

    /// Values brought into the range of their type, as a cast in C does.
    pub fn wrapped(kind: DataType, shape: Vec<usize>, values: impl Iterator<Item = i128>) -> Self {
        Self { shape, data: values.map(|v| kind.wrap(v)).collect(), kind }
    }

    /// Truth values.
    pub fn truth(shape: Vec<usize>, values: impl Iterator<Item = bool>) -> Self {
        Self { shape, data: values.map(i64::from).collect(), kind: DataType::Bool }
    }

    /// A list.
    pub fn list(data: Vec<i64>) -> Self {
        Self::new(vec![data.len()], data)
    }

    /// The values, in a type that holds all of them.
    pub fn wide(&self) -> impl Iterator<Item = i128> + '_ {
        let unsigned = self.kind == DataType::U64;
        self.data.iter().map(move |&v| if unsigned { (v as u64).into() } else { v.into() })
    }

    /// Of this shape, with index `i` the value that lies `i · strides` after the first.
    pub fn view(&self, shape: Vec<usize>, strides: &[usize]) -> Self {
        let count = shape.iter().product();
        let mut data = Vec::with_capacity(count);
        let mut at = vec![0; shape.len()];
        let mut from = 0;
        while data.len() < count {
            data.push(self.data[from]);
            for axis in (0..shape.len()).rev() {
                at[axis] += 1;
                from += strides[axis];
                if at[axis] < shape[axis] {
                    break;
                }
                from -= strides[axis] * at[axis];
                at[axis] = 0;
            }
        }
        Self { shape, data, kind: self.kind }
    }

    /// How far apart neighbours along each axis lie.
    pub fn strides(&self) -> Vec<usize> {
        let mut strides = vec![1; self.shape.len()];
        for axis in (1..self.shape.len()).rev() {
            strides[axis - 1] = strides[axis] * self.shape[axis];
        }
        strides
    }

    /// The entries of `axis` that `indices` name.
    pub fn select(&self, axis: usize, indices: &[usize]) -> Self {
        let inner: usize = self.shape[axis + 1..].iter().product();
        let mut shape = self.shape.clone();
        let extent = std::mem::replace(&mut shape[axis], indices.len());
        let mut data = Vec::with_capacity(shape.iter().product());
        for row in self.data.chunks((extent * inner).max(1)) {
            indices.iter().for_each(|i| data.extend_from_slice(&row[i * inner..(i + 1) * inner]));
        }
        Self { shape, data, kind: self.kind }
    }

    /// Spread over `shape`, which this shape broadcasts to.
    pub fn expand(&self, shape: &[usize]) -> Result<Self, String> {
        if broadcast(&self.shape, shape)? != shape {
            return Err(format!("{:?} does not spread over {shape:?}", self.shape));
        }
        count(shape)?;
        let mut strides = vec![0; shape.len() - self.shape.len()];
        strides.extend(self.strides().iter().zip(&self.shape).map(|(&s, &d)| if d == 1 { 0 } else { s }));
        Ok(self.view(shape.to_vec(), &strides))
    }

    /// Element by element of two values, broadcast; the result is of type `kind`, wrapped.
    pub fn zip(&self, other: &Self, kind: DataType, f: impl Fn(i128, i128) -> i128) -> Result<Self, String> {
        let shape = broadcast(&self.shape, &other.shape)?;
        let (a, b) = (self.expand(&shape)?, other.expand(&shape)?);
        Ok(Self::wrapped(kind, shape, a.wide().zip(b.wide()).map(|(a, b)| f(a, b))))
    }

    /// As extents.
    pub fn extents(&self) -> Result<Vec<usize>, String> {
        let extent = |&v: &i64| usize::try_from(v).map_err(|_| format!("the extent {v}"));
        self.data.iter().map(extent).collect()
    }

    /// As a mask: where the values are not 0.
    pub fn mask(&self, device: &Device) -> Result<Tensor<RANK, Bool>, String> {
        let values: Vec<bool> = self.data.iter().map(|&v| v != 0).collect();
        Ok(Tensor::from_data(TensorData::new(values, padded(&self.shape)?), device))
    }
}

/// The number of elements of a tensor of this shape.
///
/// # Errors
/// If it is beyond reason: such a tensor is not to be made.
pub fn count(shape: &[usize]) -> Result<usize, String> {
    let most = Limits::DEFAULT.tensor_elements;
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n < most);
    count.ok_or_else(|| format!("a tensor of shape {shape:?} is too large"))
}

/// The shape that two shapes broadcast to, by ONNX's (and numpy's) rule.
///
/// # Errors
/// If they don't.
pub fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let extent = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    (0..rank)
        .map(|i| match (extent(a, i), extent(b, i)) {
            (x, y) if x == y => Ok(x),
            (1, y) => Ok(y),
            (x, 1) => Ok(x),
            _ => Err(format!("{a:?} and {b:?} do not broadcast")),
        })
        .collect()
}

/// An axis, counted from the end where negative.
///
/// # Errors
/// If there is no such axis.
pub fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let from_start = if axis < 0 { axis + rank as i64 } else { axis };
    match usize::try_from(from_start) {
        Ok(at) if at < rank => Ok(at),
        _ => Err(format!("axis {axis} of a tensor of rank {rank}")),
    }
}
