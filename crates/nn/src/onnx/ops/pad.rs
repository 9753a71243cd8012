//! Borders around tensors.

use burn::tensor::Tensor;

use super::{Context, Inputs, Op, boxed, float, ints};
use crate::onnx::ir::Node;
use crate::onnx::value::{self, Float, Ints, Value};

pub const OPS: &[(&str, super::Build)] = &[("Pad", pad)];

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
    /// Amounts and value, where they are attributes: up to operator set 10.
    given: Option<(Vec<i64>, f32)>,
}

fn pad(node: &Node) -> Result<Box<dyn Op>, String> {
    let fill = match node.attributes.string("mode", "constant").as_str() {
        "constant" => Fill::Constant,
        "reflect" => Fill::Reflect,
        "edge" => Fill::Edge,
        "wrap" => Fill::Wrap,
        other => return Err(format!("mode = {other}")),
    };
    let given = match node.attributes.ints("pads") {
        Some(pads) if node.opset < 11 => Some((pads.to_vec(), node.attributes.float("value").unwrap_or(0.0))),
        None if node.opset < 11 => return Err("no pads".into()),
        _ => None,
    };
    boxed(Pad { fill, given })
}

/// What is before and after an axis of so many entries, all in bounds.
#[derive(Clone, Copy)]
struct Border {
    before: i64,
    after: i64,
    extent: i64,
}

impl Border {
    /// The entries that stay, first and behind the last.
    fn kept(&self) -> (usize, usize) {
        let (start, end) = ((-self.before).max(0), self.extent + self.after.min(0));
        (start as usize, end.max(start) as usize)
    }

    fn size(&self) -> i64 {
        self.extent + self.before + self.after
    }
}

impl Op for Pad {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let mut x = inputs.value(0)?;
        let rank = x.shape().len();
        let (pads, value) = match &self.given {
            Some((pads, value)) => (pads.clone(), *value),
            None => (inputs.ints(1)?.data, inputs.optional_scalar(2)?.unwrap_or(0.0)),
        };
        let axes = inputs.optional_ints(3)?.map_or_else(|| (0..rank as i64).collect(), |a| a.data);
        if pads.len() != 2 * axes.len() {
            return Err(format!("pads {pads:?} for {} axes", axes.len()));
        }
        let from: usize = x.shape().iter().product();
        for (i, &axis) in axes.iter().enumerate() {
            let axis = value::axis(axis, rank)?;
            let (before, after) = (pads[i], pads[i + axes.len()]);
            if (before, after) == (0, 0) {
                continue;
            }
            let mut shape = x.shape();
            let border = Border { before, after, extent: shape[axis] as i64 };
            let too_much = || format!("{before} before and {after} after the {} of axis {axis}", shape[axis]);
            let bounded = before.unsigned_abs().max(after.unsigned_abs()) <= 1 << 24;
            if !bounded || border.extent == 0 || border.size() <= 0 {
                return Err(too_much());
            }
            if matches!(self.fill, Fill::Constant) && border.kept().0 >= border.kept().1 {
                return Err(too_much());
            }
            shape[axis] = border.size() as usize;
            context.bordered(&shape, from)?;
            x = match x {
                Value::Float(x) => Value::Float(self.floats(x, axis, border, value, context)),
                Value::Int(x) => Value::Int(self.integers(x, axis, border, value as i64)),
            };
        }
        match x {
            Value::Float(x) => float(x),
            Value::Int(x) => ints(x),
        }
    }
}

impl Pad {
    /// Which entry stands at each place of the result, where none is new.
    fn indices(&self, border: Border) -> Vec<usize> {
        let last = border.extent - 1;
        let index = |i: i64| {
            let from = i - border.before;
            let at = match self.fill {
                Fill::Edge | Fill::Constant => from.clamp(0, last),
                Fill::Wrap => from.rem_euclid(border.extent),
                // Mirrored at the outermost pixels, which don't repeat.
                Fill::Reflect => {
                    let period = (2 * last).max(1);
                    let within = from.rem_euclid(period);
                    within.min(period - within).min(last)
                }
            };
            at as usize
        };
        (0..border.size()).map(index).collect()
    }

    fn floats(&self, x: Float, axis: usize, border: Border, value: f32, context: &Context<'_>) -> Float {
        if !matches!(self.fill, Fill::Constant) {
            return x.select(axis, &self.indices(border));
        }
        let (start, end) = border.kept();
        let at = x.at(axis);
        let x = if end - start == border.extent as usize { x } else { x.slice(axis, start, end, 1) };
        x.map(|x| {
            let strip = |size: i64| {
                let mut shape = x.dims();
                shape[at] = size.max(0) as usize;
                (size > 0).then(|| Tensor::full(shape, value, context.device))
            };
            let parts = [strip(border.before), Some(x.clone()), strip(border.after)];
            Tensor::cat(parts.into_iter().flatten().collect(), at)
        })
    }

    fn integers(&self, x: Ints, axis: usize, border: Border, value: i64) -> Ints {
        let mut padded = x.select(axis, &self.indices(border));
        if matches!(self.fill, Fill::Constant) {
            let (extent, inner) = (padded.shape[axis], padded.shape[axis + 1..].iter().product::<usize>());
            let inside = border.before..border.before + border.extent;
            for (i, v) in padded.data.iter_mut().enumerate() {
                if !inside.contains(&((i / inner % extent) as i64)) {
                    *v = value;
                }
            }
        }
        padded
    }
}
