//! Sums, means and maxima over axes; softmax.

use burn::tensor::{Tensor, activation};

use super::{Context, Inputs, Op, boxed, float, ints};
use crate::onnx::ir::Node;
use crate::onnx::value::{self, Float, Ints, RANK, Value};
use crate::ops;

pub const OPS: &[(&str, super::Build)] = &[
    ("ReduceMean", |n| reduce(n, How::Mean)),
    ("ReduceSum", |n| reduce(n, How::Sum)),
    ("ReduceMax", |n| reduce(n, How::Max)),
    ("ReduceMin", |n| reduce(n, How::Min)),
    ("ReduceProd", |n| reduce(n, How::Product)),
    ("ReduceSumSquare", |n| reduce(n, How::SumSquare)),
    ("ReduceL1", |n| reduce(n, How::L1)),
    ("ReduceL2", |n| reduce(n, How::L2)),
    ("Softmax", |n| softmax(n, false)),
    ("LogSoftmax", |n| softmax(n, true)),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Mean,
    Sum,
    Max,
    Min,
    Product,
    SumSquare,
    L1,
    L2,
}

#[derive(Debug)]
struct Reduce {
    how: How,
    /// Where the operator has them as an attribute.
    axes: Option<Vec<i64>>,
    keep: bool,
    /// Whether no axes means none rather than all.
    none_if_empty: bool,
}

fn reduce(node: &Node, how: How) -> Result<Box<dyn Op>, String> {
    let flag = |name: &str, default: i64| node.attributes.int(name).unwrap_or(default) != 0;
    boxed(Reduce {
        how,
        axes: node.attributes.ints("axes").map(<[i64]>::to_vec),
        keep: flag("keepdims", 1),
        none_if_empty: flag("noop_with_empty_axes", 0),
    })
}

impl Op for Reduce {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.value(0)?;
        let shape = x.shape();
        let axes = inputs.optional_ints(1)?.map(|a| a.data).or(self.axes.clone()).unwrap_or_default();
        if axes.is_empty() && self.none_if_empty {
            return Ok(vec![x]);
        }
        let axes = axes.into_iter().map(|a| value::axis(a, shape.len())).collect::<Result<Vec<_>, _>>()?;
        let axes: Vec<usize> = if axes.is_empty() { (0..shape.len()).collect() } else { axes };
        let kept = shape.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, &d)| d).collect();
        let with_ones = (0..shape.len()).map(|i| if axes.contains(&i) { 1 } else { shape[i] }).collect();
        let result: Vec<usize> = if self.keep { with_ones } else { kept };
        match x {
            Value::Int(x) => self.integers(&x, &axes, result),
            Value::Float(x) => {
                let y = self.floats(x, &axes)?;
                float(if self.keep { y } else { y.reshape(&result)? })
            }
        }
    }
}

impl Reduce {
    /// Reduced axes stay, with extent 1.
    fn floats(&self, x: Float, axes: &[usize]) -> Result<Float, String> {
        if self.how == How::Mean && x.rank() == 4 && matches!(axes, [2, 3] | [3, 2]) {
            return Ok(Float::from_nhwc(ops::adaptive_avg_pool(x.nhwc()?, 1)));
        }
        let at: Vec<usize> = axes.iter().map(|&axis| x.at(axis)).collect();
        let each = |x: Tensor<RANK>, f: fn(Tensor<RANK>, usize) -> Tensor<RANK>| {
            at.iter().fold(x, |x, &axis| f(x, axis))
        };
        Ok(x.map(|x| match self.how {
            How::Mean => x.mean_dims(&at),
            How::Sum => x.sum_dims(&at),
            How::Max => each(x, |x, axis| x.max_dim(axis)),
            How::Min => each(x, |x, axis| x.min_dim(axis)),
            How::Product => each(x, |x, axis| x.prod_dim(axis)),
            How::SumSquare => (x.clone() * x).sum_dims(&at),
            How::L1 => x.abs().sum_dims(&at),
            How::L2 => (x.clone() * x).sum_dims(&at).sqrt(),
        }))
    }

    fn integers(&self, x: &Ints, axes: &[usize], shape: Vec<usize>) -> Result<Vec<Value>, String> {
        if axes.len() != x.shape.len() {
            return Err("integers over some of their axes: over all are supported".into());
        }
        let all = x.data.iter().copied();
        let total = match self.how {
            How::Sum => all.fold(0, i64::wrapping_add),
            How::Product => all.fold(1, i64::wrapping_mul),
            How::Max => all.max().ok_or("the maximum of nothing")?,
            How::Min => all.min().ok_or("the minimum of nothing")?,
            _ => return Err("integers, where floats are supported".into()),
        };
        ints(Ints { shape, data: vec![total] })
    }
}

/// Softmax or its logarithm.
#[derive(Debug)]
struct Softmax {
    log: bool,
    axis: i64,
    /// Before operator set 13 it goes over all axes from `axis` on together.
    together: bool,
}

fn softmax(node: &Node, log: bool) -> Result<Box<dyn Op>, String> {
    let together = node.opset < 13;
    let axis = node.attributes.int("axis").unwrap_or(if together { 1 } else { -1 });
    boxed(Softmax { log, axis, together })
}

impl Op for Softmax {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.float(0)?;
        let shape = x.shape();
        let axis = value::axis(self.axis, shape.len())?;
        let f = |x: Tensor<RANK>, at: usize| {
            if self.log { activation::log_softmax(x, at) } else { activation::softmax(x, at) }
        };
        if self.together && axis + 1 < shape.len() {
            let flat = x.reshape(&[shape[..axis].iter().product(), shape[axis..].iter().product()])?;
            return float(flat.map(|x| f(x, RANK - 1)).reshape(&shape)?);
        }
        let at = x.at(axis);
        float(x.map(|x| f(x, at)))
    }
}
