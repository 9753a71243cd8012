//! What puts tensors together and takes parts of them.

use super::{Context, Inputs, Op, boxed, float, ints};
use crate::onnx::ir::Node;
use crate::onnx::value::{self, Float, Ints, Value};
use burn::tensor::Tensor;

pub const OPS: &[(&str, super::Build)] = &[
    ("Concat", |n| boxed(Concat { axis: n.attributes.int("axis").ok_or("no axis")? })),
    ("Split", split),
    ("Slice", |_| boxed(Slice)),
    ("Gather", |n| boxed(Gather { axis: n.attributes.int("axis").unwrap_or(0) })),
    ("Tile", |_| boxed(Tile)),
    ("ScatterND", scatter),
    ("Pad", pad),
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
    Ints { shape, data }
}

/// The part of `x` whose indices along `axis` are these.
fn take(x: Value, axis: usize, indices: &[usize]) -> Result<Value, String> {
    let consecutive = indices.windows(2).all(|w| w[1] == w[0] + 1);
    Ok(match x {
        Value::Float(_) if indices.is_empty() => return Err("an empty part of a tensor".into()),
        Value::Float(x) if indices.len() == x.shape()[axis] && consecutive => Value::Float(x),
        Value::Float(x) if consecutive => {
            Value::Float(x.slice(axis, indices[0], indices[0] + indices.len(), 1))
        }
        Value::Float(x) => Value::Float(x.select(axis, indices)),
        Value::Int(x) => {
            let mut shape = x.shape.clone();
            shape[axis] = indices.len();
            Value::Int(x.pick(shape, |at| {
                let mut from = at.to_vec();
                from[axis] = indices[at[axis]];
                from
            }))
        }
    })
}

/// Parts of these sizes or, without them, as many equal ones as there are outputs (the last may be smaller).
#[derive(Debug)]
struct Split {
    axis: i64,
    sizes: Option<Vec<usize>>,
    outputs: usize,
}

fn split(node: &Node) -> Result<Box<dyn Op>, String> {
    let axis = node.attributes.int("axis").unwrap_or(0);
    boxed(Split { axis, sizes: node.attributes.extents("split")?, outputs: node.outputs.len() })
}

impl Op for Split {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.value(0)?;
        let axis = value::axis(self.axis, x.shape().len())?;
        let extent = x.shape()[axis];
        let given = inputs.optional_ints(1)?.map(|s| s.extents()).transpose()?;
        let sizes = given.or(self.sizes.clone()).unwrap_or_else(|| {
            let each = extent.div_ceil(self.outputs.max(1));
            (0..self.outputs).map(|i| extent.saturating_sub(i * each).min(each)).collect()
        });
        if sizes.iter().try_fold(0usize, |n, &s| n.checked_add(s)) != Some(extent)
            || sizes.len() < self.outputs
        {
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

#[derive(Debug)]
struct Slice;

impl Op for Slice {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let mut x = inputs.value(0)?;
        let (starts, ends) = (inputs.ints(1)?.data, inputs.ints(2)?.data);
        let count = starts.len();
        let axes = inputs.optional_ints(3)?.map_or_else(|| (0..count as i64).collect(), |a| a.data);
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
struct Gather {
    axis: i64,
}

impl Op for Gather {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let (x, indices) = (inputs.value(0)?, inputs.ints(1)?);
        let shape = x.shape();
        let axis = value::axis(self.axis, shape.len())?;
        let at = indices.data.iter().map(|&i| value::axis(i, shape[axis]));
        let at = at.collect::<Result<Vec<_>, _>>().map_err(|_| {
            format!("an index among {:?} beyond the {} of axis {axis}", indices.data, shape[axis])
        })?;
        let result = [&shape[..axis], &indices.shape, &shape[axis + 1..]].concat();
        Ok(vec![match take(x, axis, &at)? {
            Value::Float(x) => Value::Float(x.reshape(&result)?),
            Value::Int(x) => Value::Int(Ints { shape: result, ..x }),
        }])
    }
}

#[derive(Debug)]
struct Tile;

impl Op for Tile {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let (mut x, repeats) = (inputs.value(0)?, inputs.ints(1)?.extents()?);
        let shape = x.shape();
        if repeats.len() != shape.len() {
            return Err(format!("repeats {repeats:?} of a tensor of shape {shape:?}"));
        }
        value::count(&shape.iter().zip(&repeats).map(|(d, r)| d.saturating_mul(*r)).collect::<Vec<_>>())?;
        for (axis, &count) in repeats.iter().enumerate().filter(|(_, count)| **count != 1) {
            let indices: Vec<usize> = (0..count).flat_map(|_| 0..shape[axis]).collect();
            x = take(x, axis, &indices)?;
        }
        Ok(vec![x])
    }
}

/// Parts of a tensor replaced: how masks that were assigned to are exported. No gradient goes through it.
#[derive(Debug)]
struct Scatter;

fn scatter(node: &Node) -> Result<Box<dyn Op>, String> {
    match node.attributes.string("reduction", "none").as_str() {
        "none" => boxed(Scatter),
        other => Err(format!("reduction = {other}")),
    }
}

impl Op for Scatter {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let (x, indices, updates) = (inputs.value(0)?, inputs.ints(1)?, inputs.value(2)?);
        let shape = x.shape();
        let wrong = || format!("updates {:?} at {:?} of {shape:?}", updates.shape(), indices.shape);
        let depth = *indices.shape.last().filter(|&&d| 0 < d && d <= shape.len()).ok_or_else(wrong)?;
        let lead = &indices.shape[..indices.shape.len() - 1];
        if updates.shape() != [lead, &shape[depth..]].concat() {
            return Err(wrong());
        }
        let len = shape[depth..].iter().product::<usize>();
        let mut starts = Vec::new();
        for index in indices.data.chunks(depth) {
            let mut start = 0;
            for (&i, &extent) in index.iter().zip(&shape) {
                start =
                    start * extent + value::axis(i, extent).map_err(|_| format!("index {i} of {extent}"))?;
            }
            starts.push(start * len);
        }
        match (x, updates) {
            (Value::Int(x), Value::Int(updates)) => {
                ints(Ints { data: replace(x.data, &starts, &updates.data, len), shape })
            }
            (Value::Float(x), Value::Float(updates)) if !x.is_tracked() && !updates.is_tracked() => {
                let values = replace(x.values(), &starts, &updates.values(), len);
                float(Float::from_values(values, &shape, context.device)?)
            }
            _ => Err("what depends on the image, where constants are supported".into()),
        }
    }
}

fn replace<T: Copy>(mut data: Vec<T>, starts: &[usize], updates: &[T], len: usize) -> Vec<T> {
    for (&start, update) in starts.iter().zip(updates.chunks(len.max(1))) {
        data[start..start + len].copy_from_slice(update);
    }
    data
}

#[derive(Clone, Copy, Debug)]
enum Fill {
    Constant,
    Reflect,
    Edge,
    Wrap,
}

/// Before and after each axis, by the fill's rule; negative amounts crop.
#[derive(Debug)]
struct Pad {
    fill: Fill,
}

fn pad(node: &Node) -> Result<Box<dyn Op>, String> {
    let fill = match node.attributes.string("mode", "constant").as_str() {
        "constant" => Fill::Constant,
        "reflect" => Fill::Reflect,
        "edge" => Fill::Edge,
        "wrap" => Fill::Wrap,
        other => return Err(format!("mode = {other}")),
    };
    boxed(Pad { fill })
}

impl Op for Pad {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let (mut x, pads) = (inputs.float(0)?, inputs.ints(1)?.data);
        let value = inputs.optional_scalar(2)?.unwrap_or(0.0);
        let rank = x.rank();
        let axes = inputs.optional_ints(3)?.map_or_else(|| (0..rank as i64).collect(), |a| a.data);
        if pads.len() != 2 * axes.len() {
            return Err(format!("pads {pads:?} for {} axes", axes.len()));
        }
        for (i, &axis) in axes.iter().enumerate() {
            let axis = value::axis(axis, rank)?;
            x = self.axis(x, axis, (pads[i], pads[i + axes.len()]), value, context)?;
        }
        float(x)
    }
}

impl Pad {
    fn axis(
        &self,
        x: Float,
        axis: usize,
        (before, after): (i64, i64),
        value: f32,
        context: &Context<'_>,
    ) -> Result<Float, String> {
        let mut shape = x.shape();
        let extent = shape[axis] as i64;
        let too_much = || format!("{before} before and {after} after the {extent} of axis {axis}");
        if before.unsigned_abs().max(after.unsigned_abs()) > 1 << 24 || extent == 0 {
            return Err(too_much());
        }
        let size = Some(extent + before + after).filter(|&s| s > 0).ok_or_else(too_much)?;
        shape[axis] = size as usize;
        value::count(&shape)?;
        if (before, after) == (0, 0) {
            return Ok(x);
        }
        if !matches!(self.fill, Fill::Constant) {
            let index = |i: i64| {
                let from = i - before;
                let at = match self.fill {
                    Fill::Edge | Fill::Constant => from.clamp(0, extent - 1),
                    Fill::Wrap => from.rem_euclid(extent),
                    // Mirrored at the outermost pixels, which don't repeat.
                    Fill::Reflect => {
                        let period = (2 * (extent - 1)).max(1);
                        let within = from.rem_euclid(period);
                        within.min(period - within).min(extent - 1)
                    }
                };
                at as usize
            };
            return Ok(x.select(axis, &(0..size).map(index).collect::<Vec<_>>()));
        }
        let (start, end) = ((-before).max(0), extent - (-after).max(0));
        if start >= end {
            return Err(too_much());
        }
        let at = x.at(axis);
        let x = if (start, end) == (0, extent) { x } else { x.slice(axis, start as usize, end as usize, 1) };
        Ok(x.map(|x| {
            let strip = |size: i64| {
                let mut shape = x.dims();
                shape[at] = size.max(0) as usize;
                (size > 0).then(|| Tensor::full(shape, value, context.device))
            };
            let parts = [strip(before), Some(x.clone()), strip(after)];
            Tensor::cat(parts.into_iter().flatten().collect(), at)
        }))
    }
}
