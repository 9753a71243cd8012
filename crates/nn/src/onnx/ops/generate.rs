//! What makes tensors from numbers: ramps, constants, identities, one-hot codes, triangles. A few bytes of a file may ask for
//! much here, so sizes are held against a bound before anything is made.

use burn::tensor::Tensor;

use super::{Context, Inputs, Op, boxed, float, ints};
use crate::onnx::ir::Node;
use crate::onnx::tensor::{self, DataType};
use crate::onnx::value::{self, Float, Ints, Value};

pub const OPS: &[(&str, super::Build)] = &[
    ("ConstantOfShape", constant_of_shape),
    ("Range", |_| boxed(Range)),
    ("EyeLike", eye),
    ("OneHot", |n| boxed(OneHot { axis: n.attributes.int("axis").unwrap_or(-1) })),
    ("Trilu", |n| boxed(Triangle { upper: n.attributes.int("upper").unwrap_or(1) != 0 })),
];

#[derive(Debug)]
struct ConstantOfShape {
    value: Number,
}

#[derive(Clone, Copy, Debug)]
enum Number {
    Float(f32),
    Int(i64, DataType),
}

fn constant_of_shape(node: &Node) -> Result<Box<dyn Op>, String> {
    let value = match node.attributes.tensor("value") {
        None => Number::Float(0.0),
        Some(tensor) => {
            let numbers = tensor::numbers(tensor, None).map_err(|e| format!("a value that {e}"))?;
            match (&numbers.floats[..], &numbers.ints[..]) {
                (&[v], _) => Number::Float(v),
                (_, &[v]) => Number::Int(v, numbers.kind),
                _ => return Err("a value that is not one number".into()),
            }
        }
    };
    boxed(ConstantOfShape { value })
}

impl Op for ConstantOfShape {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let shape = inputs.ints(0)?.extents()?;
        let count = context.made(&shape, 0)?;
        match self.value {
            Number::Float(v) => float(Float::from_values(vec![v; count], &shape, context.device)?),
            Number::Int(v, kind) => ints(Ints { shape, data: vec![v; count], kind }),
        }
    }
}

#[derive(Debug)]
struct Range;

impl Op for Range {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let values = [inputs.value(0)?, inputs.value(1)?, inputs.value(2)?];
        if let Some(other) = values.iter().map(Value::shape).find(|s| s.iter().product::<usize>() != 1) {
            return Err(format!("bounds of shape {other:?}, not numbers"));
        }
        match values {
            [Value::Int(start), Value::Int(limit), Value::Int(step)] => {
                let first = |x: &Ints| x.wide().next().unwrap_or(0);
                let [from, to, by] = [&start, &limit, &step].map(first);
                if by == 0 {
                    return Err("steps of 0".into());
                }
                // Rounded away from zero: the last step may be a part of one.
                let steps = (to - from) / by + i128::from((to - from) % by != 0 && ((to - from) < 0) == (by < 0));
                let count = usize::try_from(steps.max(0)).map_err(|_| format!("{steps} numbers"))?;
                context.made(&[count], 0)?;
                ints(Ints::wrapped(start.kind, vec![count], (0..count as i128).map(|i| from + i * by)))
            }
            [Value::Float(start), Value::Float(limit), Value::Float(step)] => {
                let [start, limit, step] = [start, limit, step].map(|x| x.values()[0]);
                let steps = ((f64::from(limit) - f64::from(start)) / f64::from(step)).ceil().max(0.0);
                // Infinity becomes the largest number there is, which is too large.
                let count = if steps.is_nan() || step == 0.0 { usize::MAX } else { steps as usize };
                context.made(&[count], 0).map_err(|_| format!("the range from {start} to {limit} by {step}"))?;
                let values = (0..count).map(|i| start + i as f32 * step).collect();
                float(Float::from_values(values, &[count], context.device)?)
            }
            _ => Err("bounds of different types".into()),
        }
    }
}

/// 1 on the diagonal, or on the `offset`-th above it, and 0 elsewhere.
#[derive(Debug)]
struct Eye {
    kind: Option<DataType>,
    offset: i64,
}

fn eye(node: &Node) -> Result<Box<dyn Op>, String> {
    let kind = node.attributes.int("dtype").map(DataType::new).transpose();
    let kind = kind.map_err(|e| format!("a type that {e}"))?;
    boxed(Eye { kind, offset: node.attributes.int("k").unwrap_or(0) })
}

impl Op for Eye {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let like = inputs.value(0)?;
        let [rows, columns] = like.shape()[..] else {
            return Err(format!("a tensor of shape {:?}, not a matrix", like.shape()));
        };
        context.made(&[rows, columns], 0)?;
        let mut data = vec![0i64; rows * columns];
        for row in 0..rows {
            let column = (row as i64).checked_add(self.offset).and_then(|c| usize::try_from(c).ok());
            if let Some(column) = column.filter(|&c| c < columns) {
                data[row * columns + column] = 1;
            }
        }
        let kind = self.kind.or(if let Value::Int(x) = &like { Some(x.kind) } else { None });
        match kind.filter(|k| !k.is_float()) {
            Some(kind) => ints(Ints { shape: vec![rows, columns], data, kind }),
            None => {
                let values = data.into_iter().map(|v| v as f32).collect();
                float(Float::from_values(values, &[rows, columns], context.device)?)
            }
        }
    }
}

/// For each index a new axis with one value at its place and another elsewhere.
#[derive(Debug)]
struct OneHot {
    axis: i64,
}

impl Op for OneHot {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let integers = |x: Value| match x {
            Value::Int(x) => x,
            Value::Float(x) => Ints::new(x.shape(), x.values().into_iter().map(|v| v as i64).collect()),
        };
        let (indices, depth) = (integers(inputs.value(0)?), integers(inputs.value(1)?));
        let values = inputs.value(2)?;
        let depth = match depth.data[..] {
            [depth] => usize::try_from(depth).ok().filter(|&d| d > 0).ok_or(format!("a depth of {depth}"))?,
            _ => return Err("a depth that is not one number".into()),
        };
        let axis = value::axis(self.axis, indices.shape.len() + 1)?;
        let mut shape = indices.shape.clone();
        shape.insert(axis, depth);
        let count = context.made(&shape, indices.data.len())?;
        let inner: usize = indices.shape[axis..].iter().product();
        let mut hot = vec![0usize; count];
        for (i, &index) in indices.data.iter().enumerate() {
            // An index beyond the depth has no place.
            if let Ok(at) = value::axis(index, depth) {
                hot[(i / inner * depth + at) * inner + i % inner] = 1;
            }
        }
        match values {
            Value::Int(x) if x.data.len() == 2 => {
                ints(Ints { shape, data: hot.into_iter().map(|h| x.data[h]).collect(), kind: x.kind })
            }
            Value::Float(x) if x.shape() == [2] => {
                let x = x.values();
                float(Float::from_values(hot.into_iter().map(|h| x[h]).collect(), &shape, context.device)?)
            }
            other => Err(format!("values of shape {:?}, not two", other.shape())),
        }
    }
}

/// A matrix, the last two axes, without what lies below or above a diagonal.
#[derive(Debug)]
struct Triangle {
    upper: bool,
}

impl Op for Triangle {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.value(0)?;
        let offset = match inputs.optional_ints(1)? {
            None => 0,
            Some(k) if k.data.len() == 1 => k.data[0],
            Some(k) => return Err(format!("a diagonal of shape {:?}", k.shape)),
        };
        let shape = x.shape();
        let [.., rows, columns] = shape[..] else { return Err(format!("a tensor of shape {shape:?}")) };
        let stays = |i: usize| {
            let distance = (i % columns) as i64 - (i / columns % rows) as i64;
            if self.upper { distance >= offset } else { distance <= offset }
        };
        match x {
            Value::Int(x) => {
                let data = x.data.iter().enumerate().map(|(i, &v)| if stays(i) { v } else { 0 }).collect();
                ints(Ints { data, ..x })
            }
            Value::Float(x) => {
                let mask = Ints::truth(vec![rows, columns], (0..rows * columns).map(stays)).expand(&shape)?;
                let x = x.row_major();
                let zeros = Tensor::zeros(x.dims(), context.device);
                float(Float::new(zeros.mask_where(mask.mask(context.device)?, x), shape.len()))
            }
        }
    }
}
