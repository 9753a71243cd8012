//! What takes entries from places that a tensor of indices names, or puts them there; largest values and where they are.

use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData};

use super::index::take;
use super::{Context, Inputs, Op, boxed, float, ints};
use crate::onnx::ir::Node;
use crate::onnx::value::{self, Float, Ints, Value};

pub const OPS: &[(&str, super::Build)] = &[
    ("Gather", |n| boxed(Gather { axis: axis_of(n) })),
    ("GatherElements", |n| boxed(GatherElements { axis: axis_of(n) })),
    ("GatherND", gather_nd),
    ("Scatter", |n| boxed(ScatterElements { axis: axis_of(n), reduction: Reduction::None })),
    ("ScatterElements", |n| boxed(ScatterElements { axis: axis_of(n), reduction: reduction(n)? })),
    ("ScatterND", |n| boxed(Scatter { reduction: reduction(n)? })),
    ("TopK", top),
    ("ArgMax", |n| boxed(Extreme::new(n, true))),
    ("ArgMin", |n| boxed(Extreme::new(n, false))),
];

fn axis_of(node: &Node) -> i64 {
    node.attributes.int("axis").unwrap_or(0)
}

/// An index, counted from the end where negative.
fn place(index: i64, extent: usize) -> Result<usize, String> {
    value::axis(index, extent).map_err(|_| format!("the index {index} of {extent}"))
}

/// Entries along one axis; the indices' axes take its place.
#[derive(Debug)]
struct Gather {
    axis: i64,
}

impl Op for Gather {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let (x, indices) = (inputs.value(0)?, inputs.ints(1)?);
        let shape = x.shape();
        let axis = value::axis(self.axis, shape.len())?;
        let at = indices.data.iter().map(|&i| value::axis(i, shape[axis]));
        let at = at.collect::<Result<Vec<_>, _>>().map_err(|_| {
            let some = &indices.data[..indices.data.len().min(16)];
            format!("an index among {some:?} beyond the {} of axis {axis}", shape[axis])
        })?;
        let result = [&shape[..axis], &indices.shape, &shape[axis + 1..]].concat();
        context.made(&result, shape.iter().product())?;
        Ok(vec![match take(x, axis, &at)? {
            Value::Float(x) => Value::Float(x.reshape(&result)?),
            Value::Int(x) => Value::Int(Ints { shape: result, ..x }),
        }])
    }
}

/// `x` seen as rows of `len`, those that `places` name, as `shape`.
fn rows(x: Value, len: usize, places: &[usize], shape: Vec<usize>) -> Result<Value, String> {
    let count: usize = x.shape().iter().product();
    let flat = [count / len.max(1), len];
    Ok(match x {
        Value::Float(_) if places.is_empty() => return Err("an empty part of a tensor".into()),
        Value::Float(x) => Value::Float(x.reshape(&flat)?.select(0, places).reshape(&shape)?),
        Value::Int(x) => {
            let flat = Ints { shape: flat.to_vec(), ..x };
            Value::Int(Ints { shape, ..flat.select(0, places) })
        }
    })
}

/// Where in a tensor of `shape` each entry of `indices` points to, along `axis` and else at its own place.
fn along(shape: &[usize], indices: &Ints, axis: usize) -> Result<Vec<usize>, String> {
    let smaller = (0..shape.len()).all(|i| i == axis || indices.shape[i] <= shape[i]);
    if !smaller {
        return Err(format!("indices of shape {:?} in a tensor of shape {shape:?}", indices.shape));
    }
    let mut places = Vec::with_capacity(indices.data.len());
    let mut at = vec![0; shape.len()];
    for &index in &indices.data {
        let mut flat = 0;
        for (i, &extent) in shape.iter().enumerate() {
            flat = flat * extent + if i == axis { place(index, extent)? } else { at[i] };
        }
        places.push(flat);
        for i in (0..at.len()).rev() {
            at[i] += 1;
            if at[i] < indices.shape[i] {
                break;
            }
            at[i] = 0;
        }
    }
    Ok(places)
}

#[derive(Debug)]
struct GatherElements {
    axis: i64,
}

impl Op for GatherElements {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let (x, indices) = (inputs.value(0)?, inputs.ints(1)?);
        let shape = x.shape();
        let axis = value::axis(self.axis, shape.len())?;
        if shape.len() != indices.shape.len() {
            return Err(format!("indices of shape {:?} in a tensor of shape {shape:?}", indices.shape));
        }
        let places = along(&shape, &indices, axis)?;
        Ok(vec![rows(x, 1, &places, indices.shape)?])
    }
}

/// Where the rows begin that the last axis of `indices` names, in rows; the first `batch` axes are shared.
fn starts(shape: &[usize], indices: &Ints, batch: usize) -> Result<(usize, Vec<usize>), String> {
    let wrong = || format!("indices of shape {:?} in a tensor of shape {shape:?}", indices.shape);
    let (&depth, lead) = indices.shape.split_last().ok_or_else(wrong)?;
    let fits = depth > 0 && batch <= lead.len() && batch + depth <= shape.len() && lead[..batch] == shape[..batch];
    if !fits {
        return Err(wrong());
    }
    let each: usize = lead[batch..].iter().product();
    let mut starts = Vec::with_capacity(indices.data.len() / depth);
    for (i, index) in indices.data.chunks(depth).enumerate() {
        let mut row = i / each.max(1);
        for (&index, &extent) in index.iter().zip(&shape[batch..]) {
            row = row * extent + place(index, extent)?;
        }
        starts.push(row);
    }
    Ok((shape[batch + depth..].iter().product(), starts))
}

#[derive(Debug)]
struct GatherNd {
    batch: usize,
}

fn gather_nd(node: &Node) -> Result<Box<dyn Op>, String> {
    let batch = usize::try_from(node.attributes.int("batch_dims").unwrap_or(0));
    boxed(GatherNd { batch: batch.map_err(|_| "a negative batch_dims")? })
}

impl Op for GatherNd {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let (x, indices) = (inputs.value(0)?, inputs.ints(1)?);
        let shape = x.shape();
        let (len, starts) = starts(&shape, &indices, self.batch)?;
        let (depth, lead) = (indices.shape[indices.shape.len() - 1], &indices.shape[..indices.shape.len() - 1]);
        let result = [lead, &shape[self.batch + depth..]].concat();
        context.made(&result, shape.iter().product())?;
        Ok(vec![rows(x, len, &starts, result)?])
    }
}

/// What becomes of what is there and what is put there.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reduction {
    None,
    Add,
    Multiply,
    Max,
    Min,
}

fn reduction(node: &Node) -> Result<Reduction, String> {
    Ok(match node.attributes.string("reduction", "none").as_str() {
        "none" => Reduction::None,
        "add" => Reduction::Add,
        "mul" => Reduction::Multiply,
        "max" => Reduction::Max,
        "min" => Reduction::Min,
        other => return Err(format!("reduction = {other}")),
    })
}

impl Reduction {
    /// Puts rows of `len` into `x`.
    fn put<T: Copy>(
        self,
        x: &mut [T],
        starts: &[usize],
        updates: &[T],
        len: usize,
        f: impl Fn(Self, T, T) -> T,
    ) {
        for (&start, update) in starts.iter().zip(updates.chunks(len.max(1))) {
            let to = &mut x[start * len..(start + 1) * len];
            to.iter_mut().zip(update).for_each(|(x, &u)| *x = f(self, *x, u));
        }
    }

    /// The tensor with the rows put into it.
    fn apply(
        self,
        x: Value,
        updates: Value,
        len: usize,
        starts: &[usize],
        context: &Context<'_>,
    ) -> Result<Vec<Value>, String> {
        let shape = x.shape();
        match (x, updates) {
            (Value::Int(mut x), Value::Int(updates)) => {
                let kind = x.kind;
                self.put(&mut x.data, starts, &updates.data, len, |how, x, u| {
                    let (a, b) = (i128::from(x), i128::from(u));
                    match how {
                        Self::None => u,
                        Self::Add => kind.wrap(a + b),
                        Self::Multiply => kind.wrap(a.wrapping_mul(b)),
                        Self::Max => x.max(u),
                        Self::Min => x.min(u),
                    }
                });
                ints(x)
            }
            (Value::Float(x), Value::Float(updates)) if !x.is_tracked() && !updates.is_tracked() => {
                let mut values = x.values();
                self.put(&mut values, starts, &updates.values(), len, |how, x, u| match how {
                    Self::None => u,
                    Self::Add => x + u,
                    Self::Multiply => x * u,
                    Self::Max => x.max(u),
                    Self::Min => x.min(u),
                });
                float(Float::from_values(values, &shape, context.device)?)
            }
            (Value::Float(x), Value::Float(updates)) => {
                let y = self.tracked(x, updates, len, starts, context)?;
                float(y.reshape(&shape)?)
            }
            _ => Err("floats into integers, or integers into floats".into()),
        }
    }

    /// Where a gradient flows: rows are replaced, each once, or added to.
    fn tracked(
        self,
        x: Float,
        updates: Float,
        len: usize,
        starts: &[usize],
        context: &Context<'_>,
    ) -> Result<Float, String> {
        if starts.is_empty() {
            return Ok(x);
        }
        let count: usize = x.shape().iter().product();
        let total = count / len.max(1);
        let flat = |x: Float, rows: usize| Ok::<_, String>(x.reshape(&[rows, len])?.data().reshape([rows, len]));
        let (x, updates) = (flat(x, total)?, flat(updates, starts.len())?);
        let indices: Vec<i32> = starts.iter().map(|&i| i as i32).collect();
        let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [starts.len()]), context.device);
        let x = match self {
            Self::Add => x,
            Self::None => {
                let mut kept = vec![true; total];
                if !starts.iter().all(|&i| std::mem::replace(&mut kept[i], false)) {
                    return Err("a place twice, in what depends on the image".into());
                }
                let kept = Ints::truth(vec![total, 1], kept.into_iter()).expand(&[total, len])?;
                let mask = kept.mask(context.device)?.reshape([total, len]);
                Tensor::zeros([total, len], context.device).mask_where(mask, x)
            }
            other => return Err(format!("the reduction {other:?} of what depends on the image")),
        };
        Ok(Float::from_tensor(x.select_assign(0, indices, updates, IndexingUpdateOp::Add)))
    }
}

/// Single entries put in: along an axis where the indices say, else at their own places.
#[derive(Debug)]
struct ScatterElements {
    axis: i64,
    reduction: Reduction,
}

impl Op for ScatterElements {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let (x, indices, updates) = (inputs.value(0)?, inputs.ints(1)?, inputs.value(2)?);
        let shape = x.shape();
        let axis = value::axis(self.axis, shape.len())?;
        if shape.len() != indices.shape.len() || updates.shape() != indices.shape {
            let updates = updates.shape();
            return Err(format!("updates {updates:?} at {:?} of {shape:?}", indices.shape));
        }
        let places = along(&shape, &indices, axis)?;
        self.reduction.apply(x, updates, 1, &places, context)
    }
}

/// Rows put in: how masks that were assigned to are exported.
#[derive(Debug)]
struct Scatter {
    reduction: Reduction,
}

impl Op for Scatter {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let (x, indices, updates) = (inputs.value(0)?, inputs.ints(1)?, inputs.value(2)?);
        let shape = x.shape();
        let (len, starts) = starts(&shape, &indices, 0)?;
        let (&depth, lead) = indices.shape.split_last().ok_or("indices without axes")?;
        if updates.shape() != [lead, &shape[depth..]].concat() {
            return Err(format!("updates {:?} at {:?} of {shape:?}", updates.shape(), indices.shape));
        }
        self.reduction.apply(x, updates, len, &starts, context)
    }
}

/// The indices of each line of `values` along the axis in the middle of `[outer, extent, inner]`, as `order` sorts them.
fn sorted(values: &[f64], [outer, extent, inner]: [usize; 3], largest: bool, keep: usize) -> Vec<usize> {
    let mut result = vec![0; outer * keep * inner];
    for line in 0..outer * inner {
        let (o, i) = (line / inner, line % inner);
        let at = |e: usize| values[(o * extent + e) * inner + i];
        let mut order: Vec<usize> = (0..extent).collect();
        // Equal ones stay in order.
        order.sort_by(|&a, &b| if largest { at(b).total_cmp(&at(a)) } else { at(a).total_cmp(&at(b)) });
        for (k, e) in order.into_iter().take(keep).enumerate() {
            result[(o * keep + k) * inner + i] = e;
        }
    }
    result
}

fn numbers(x: &Value) -> Vec<f64> {
    match x {
        // A zero's sign doesn't order it.
        Value::Float(x) => x.clone().values().into_iter().map(|v| f64::from(v) + 0.0).collect(),
        Value::Int(x) => x.wide().map(|v| v as f64).collect(),
    }
}

/// The `k` largest or smallest entries along an axis, sorted, and where they are.
#[derive(Debug)]
struct Top {
    axis: i64,
    largest: bool,
    /// Up to operator set 9 it is an attribute.
    k: Option<i64>,
}

fn top(node: &Node) -> Result<Box<dyn Op>, String> {
    let k = node.attributes.int("k").filter(|_| node.opset < 10);
    let largest = node.attributes.int("largest").unwrap_or(1) != 0;
    boxed(Top { axis: node.attributes.int("axis").unwrap_or(-1), largest, k })
}

impl Op for Top {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.value(0)?;
        let k = match (self.k, inputs.optional_ints(1)?) {
            (Some(k), _) => k,
            (None, Some(k)) if k.data.len() == 1 => k.data[0],
            _ => return Err("a k that is not one number".into()),
        };
        let mut shape = x.shape();
        let axis = value::axis(self.axis, shape.len())?;
        let extent = shape[axis];
        let k = usize::try_from(k).ok().filter(|k| (1..=extent).contains(k));
        let k = k.ok_or_else(|| format!("a k that is not from 1 to {extent}"))?;
        let split = [shape[..axis].iter().product(), extent, shape[axis + 1..].iter().product()];
        let which = sorted(&numbers(&x), split, self.largest, k);
        let whole = shape.clone();
        shape[axis] = k;
        let indices = Ints::new(shape.clone(), which.into_iter().map(|i| i as i64).collect());
        let places = along(&whole, &indices, axis)?;
        Ok(vec![rows(x, 1, &places, shape)?, Value::Int(indices)])
    }
}

/// Where the largest or smallest entry along an axis is.
#[derive(Debug)]
struct Extreme {
    axis: i64,
    keep: bool,
    largest: bool,
    last: bool,
}

impl Extreme {
    fn new(node: &Node, largest: bool) -> Self {
        let flag = |name: &str, default: i64| node.attributes.int(name).unwrap_or(default) != 0;
        Self { axis: axis_of(node), keep: flag("keepdims", 1), largest, last: flag("select_last_index", 0) }
    }
}

impl Op for Extreme {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.value(0)?;
        let mut shape = x.shape();
        let axis = value::axis(self.axis, shape.len())?;
        let (extent, inner) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
        if shape.contains(&0) {
            return Err(format!("a tensor of shape {shape:?}"));
        }
        let values = numbers(&x);
        let outer = values.len() / (extent * inner);
        let mut found = Vec::with_capacity(outer * inner);
        for line in 0..outer * inner {
            let at = |e: usize| values[(line / inner * extent + e) * inner + line % inner];
            let better = |a: f64, b: f64| if self.largest { a > b } else { a < b };
            let best = (1..extent).fold(0, |best, e| {
                let (new, old) = (at(e), at(best));
                if better(new, old) || self.last && new == old { e } else { best }
            });
            found.push(best as i64);
        }
        if self.keep {
            shape[axis] = 1;
        } else {
            shape.remove(axis);
        }
        ints(Ints::new(shape, found))
    }
}
