//! What puts tensors together and takes parts of them.

use super::{Context, Inputs, Op, boxed, float, ints};
use crate::onnx::ir::Node;
use crate::onnx::tensor::DataType;
use crate::onnx::value::{self, Float, Ints, Value};

pub const OPS: &[(&str, super::Build)] = &[
    ("Concat", |n| boxed(Concat { axis: n.attributes.int("axis").ok_or("no axis")? })),
    ("Split", split),
    ("Slice", slice),
    ("Tile", |_| boxed(Tile)),
    ("CumSum", |n| {
        let flag = |name: &str| n.attributes.int(name).unwrap_or(0) != 0;
        boxed(CumulativeSum { exclusive: flag("exclusive"), reverse: flag("reverse") })
    }),
];

#[derive(Debug)]
struct Concat {
    axis: i64,
}

impl Op for Concat {
    fn run(&self, inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let values: Vec<Value> = inputs.0.into_iter().flatten().collect();
        let shapes: Vec<_> = values.iter().map(Value::shape).collect();
        let first = shapes.first().ok_or("nothing to put together")?;
        let axis = value::axis(self.axis, first.len())?;
        if shapes.iter().any(|s| s.len() != first.len()) {
            return Err(format!("tensors of shapes {shapes:?}"));
        }
        let extent = |i: usize| shapes.iter().map(|s| s[i]).max().unwrap_or(0);
        let whole: Vec<usize> = (0..first.len()).map(extent).collect();
        // In a file made for one image a token's batch of 1 may stand in a constant: then it is spread over the batch.
        let fits = |s: &[usize]| {
            let spread = |i: usize| context.batch.is_some() && s[i] == 1;
            (0..s.len()).all(|i| i == axis || s[i] == whole[i] || spread(i))
        };
        if !shapes.iter().all(|s| fits(s)) {
            return Err(format!("tensors of shapes {shapes:?}"));
        }
        let mut sum = whole.clone();
        sum[axis] = shapes.iter().map(|s| s[axis]).sum();
        context.room(&sum)?;
        let full =
            |s: &[usize]| (0..s.len()).map(|i| if i == axis { s[i] } else { whole[i] }).collect::<Vec<_>>();
        if values.iter().all(|v| matches!(v, Value::Int(_))) {
            let mut parts = Vec::new();
            for (value, s) in values.into_iter().zip(&shapes) {
                if let Value::Int(x) = value {
                    parts.push(x.expand(&full(s))?);
                }
            }
            return ints(concat_ints(&parts, axis, whole));
        }
        let mut parts = Vec::new();
        for (value, s) in values.into_iter().zip(&shapes) {
            if s[axis] > 0 {
                parts.push(value.into_float(context.device)?.expand(&full(s))?);
            }
        }
        if parts.is_empty() {
            Err("nothing to put together".into())
        } else {
            float(Float::concat(parts, axis))
        }
    }
}

fn concat_ints(parts: &[Ints], axis: usize, mut shape: Vec<usize>) -> Ints {
    shape[axis] = parts.iter().map(|p| p.shape[axis]).sum();
    let rows = shape[..axis].iter().product();
    let mut data = Vec::new();
    for row in 0..rows {
        for part in parts {
            let len = part.shape[axis..].iter().product::<usize>();
            data.extend_from_slice(&part.data[row * len..(row + 1) * len]);
        }
    }
    Ints { shape, data, kind: parts.first().map_or(DataType::I64, |p| p.kind) }
}

/// The part of `x` whose indices along `axis` are these.
pub fn take(x: Value, axis: usize, indices: &[usize]) -> Result<Value, String> {
    let consecutive = indices.windows(2).all(|w| w[1] == w[0] + 1);
    Ok(match x {
        Value::Float(_) if indices.is_empty() => return Err("an empty part of a tensor".into()),
        Value::Float(x) if indices.len() == x.shape()[axis] && consecutive => Value::Float(x),
        Value::Float(x) if consecutive => {
            Value::Float(x.slice(axis, indices[0], indices[0] + indices.len(), 1))
        }
        Value::Float(x) => Value::Float(x.select(axis, indices)),
        Value::Int(x) => Value::Int(x.select(axis, indices)),
    })
}

/// Parts of these sizes or, without them, as many equal ones as there are outputs (the last may be smaller).
#[derive(Debug)]
struct Split {
    axis: i64,
    sizes: Option<Vec<usize>>,
    outputs: usize,
    /// Whether all have to be equal.
    even: bool,
}

fn split(node: &Node) -> Result<Box<dyn Op>, String> {
    let axis = node.attributes.int("axis").unwrap_or(0);
    let outputs = node.outputs.len();
    if outputs == 0 || node.attributes.int("num_outputs").is_some_and(|n| n != outputs as i64) {
        return Err(format!("num_outputs that are not its {outputs} outputs"));
    }
    // A smaller last part came with operator set 18.
    let even = node.opset < 18;
    boxed(Split { axis, sizes: node.attributes.extents("split")?, outputs, even })
}

impl Op for Split {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.value(0)?;
        let axis = value::axis(self.axis, x.shape().len())?;
        let extent = x.shape()[axis];
        let given = inputs.optional_ints(1)?.map(|s| s.extents()).transpose()?;
        let given = given.or(self.sizes.clone());
        let sized = given.is_some();
        let sizes = given.unwrap_or_else(|| {
            let each = extent.div_ceil(self.outputs);
            (0..self.outputs).map(|i| extent.saturating_sub(i * each).min(each)).collect()
        });
        let whole = sizes.iter().try_fold(0usize, |n, &s| n.checked_add(s)) == Some(extent);
        let uneven = self.even && !sized && !extent.is_multiple_of(self.outputs);
        if !whole || sizes.len() < self.outputs || uneven {
            return Err(format!("{extent} split into {sizes:?} for {} outputs", self.outputs));
        }
        let mut start = 0;
        let part = |&size: &usize| {
            let indices: Vec<usize> = (start..start + size).collect();
            start += size;
            take(x.clone(), axis, &indices)
        };
        sizes.iter().map(part).collect()
    }
}

/// Where the bounds are attributes, up to operator set 9: starts, ends and axes.
#[derive(Debug)]
struct Slice {
    given: Option<[Vec<i64>; 3]>,
}

fn slice(node: &Node) -> Result<Box<dyn Op>, String> {
    if node.opset > 9 {
        return boxed(Slice { given: None });
    }
    let list = |name: &str| node.attributes.ints(name).map(<[i64]>::to_vec);
    let (starts, ends) = (list("starts").ok_or("no starts")?, list("ends").ok_or("no ends")?);
    let axes = list("axes").unwrap_or_else(|| (0..starts.len() as i64).collect());
    boxed(Slice { given: Some([starts, ends, axes]) })
}

impl Op for Slice {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let mut x = inputs.value(0)?;
        let [starts, ends, axes] = match &self.given {
            Some(given) => given.clone(),
            None => {
                let (starts, ends) = (inputs.ints(1)?.data, inputs.ints(2)?.data);
                let all = (0..starts.len() as i64).collect();
                [starts, ends, inputs.optional_ints(3)?.map_or(all, |a| a.data)]
            }
        };
        let count = starts.len();
        let steps = inputs.optional_ints(4)?.map_or_else(|| vec![1; count], |s| s.data);
        if ends.len() != count || axes.len() != count || steps.len() != count {
            return Err("starts, ends, axes and steps of different numbers".into());
        }
        for i in 0..count {
            let shape = x.shape();
            let axis = value::axis(axes[i], shape.len())?;
            let (extent, step) = (shape[axis] as i64, steps[i]);
            if step == 0 {
                return Err("a step of 0".into());
            }
            let from_start = |v: i64| if v < 0 { v.saturating_add(extent) } else { v };
            // Backwards, the end that stands before the first index is −1.
            let (low, high) = if step > 0 { (0, extent) } else { (-1, extent - 1) };
            let start = from_start(starts[i]).clamp(low.max(0), high.max(0));
            let end = from_start(ends[i]).clamp(low, high);
            let mut indices = Vec::new();
            let mut at = start;
            while (step > 0 && at < end) || (step < 0 && at > end) {
                indices.push(at as usize);
                at = at.saturating_add(step);
            }
            x = match x {
                Value::Float(x) if step > 1 && !indices.is_empty() => {
                    Value::Float(x.slice(axis, start as usize, end as usize, step as usize))
                }
                x => take(x, axis, &indices)?,
            };
        }
        Ok(vec![x])
    }
}

#[derive(Debug)]
struct Tile;

impl Op for Tile {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let (mut x, repeats) = (inputs.value(0)?, inputs.ints(1)?.extents()?);
        let shape = x.shape();
        if repeats.len() != shape.len() {
            return Err(format!("repeats {repeats:?} of a tensor of shape {shape:?}"));
        }
        let tiled: Vec<_> = shape.iter().zip(&repeats).map(|(d, r)| d.saturating_mul(*r)).collect();
        context.made(&tiled, shape.iter().product())?;
        for (axis, &count) in repeats.iter().enumerate().filter(|(_, count)| **count != 1) {
            let indices: Vec<usize> = (0..count).flat_map(|_| 0..shape[axis]).collect();
            x = take(x, axis, &indices)?;
        }
        Ok(vec![x])
    }
}

/// The sum of what stands before along an axis, itself included or not.
#[derive(Debug)]
struct CumulativeSum {
    exclusive: bool,
    reverse: bool,
}

impl Op for CumulativeSum {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let (x, axis) = (inputs.value(0)?, inputs.ints(1)?);
        let [axis] = axis.data[..] else { return Err("an axis that is not one number".into()) };
        let shape = x.shape();
        let axis = value::axis(axis, shape.len())?;
        let extent = shape[axis];
        let backwards: Vec<usize> = (0..extent).rev().collect();
        match x {
            Value::Int(x) => {
                let x = if self.reverse { x.select(axis, &backwards) } else { x };
                let inner: usize = shape[axis + 1..].iter().product();
                let mut data = x.data.clone();
                for i in 0..data.len() {
                    let first = (i / inner.max(1)).is_multiple_of(extent);
                    let before = if first { 0 } else { data[i - inner] };
                    let own = if !self.exclusive {
                        x.data[i]
                    } else if first {
                        0
                    } else {
                        x.data[i - inner]
                    };
                    data[i] = x.kind.wrap(i128::from(before) + i128::from(own));
                }
                let sum = Ints { data, ..x };
                ints(if self.reverse { sum.select(axis, &backwards) } else { sum })
            }
            Value::Float(x) => {
                let x = if self.reverse { x.select(axis, &backwards) } else { x };
                let at = x.at(axis);
                let x = if self.exclusive && extent > 1 {
                    let zeros = x.clone().slice(axis, 0, 1, 1).shape();
                    let zeros =
                        Float::from_values(vec![0.0; zeros.iter().product()], &zeros, context.device)?;
                    Float::concat(vec![zeros, x.slice(axis, 0, extent - 1, 1)], axis)
                } else if self.exclusive {
                    x.map(|x| x.mul_scalar(0.0))
                } else {
                    x
                };
                let at = if self.exclusive { x.at(axis) } else { at };
                let sum = x.map(|x| x.cumsum(at));
                float(if self.reverse { sum.select(axis, &backwards) } else { sum })
            }
        }
    }
}
