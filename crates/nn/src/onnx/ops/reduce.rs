//! Sums, means and maxima over axes; softmax.

use burn::tensor::{IndexingUpdateOp, Tensor, activation};

use super::activation::Unary;
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
    ("ReduceLogSum", |n| reduce(n, How::LogSum)),
    ("ReduceLogSumExp", |n| reduce(n, How::LogSumExp)),
    ("Softmax", |n| softmax(n, Kind::Soft)),
    ("LogSoftmax", |n| softmax(n, Kind::Logarithm)),
    ("Hardmax", |n| softmax(n, Kind::Hard)),
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
    LogSum,
    LogSumExp,
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
            // Each element is reduced by itself.
            return match x {
                Value::Float(x) => float(self.each(x)),
                Value::Int(x) => self.integers(&x, &[], x.shape.clone()),
            };
        }
        let axes = axes.into_iter().map(|a| value::axis(a, shape.len())).collect::<Result<Vec<_>, _>>()?;
        let axes: Vec<usize> = if axes.is_empty() { (0..shape.len()).collect() } else { axes };
        if (1..axes.len()).any(|i| axes[..i].contains(&axes[i])) {
            return Err(format!("an axis twice among {axes:?}"));
        }
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
            How::L2 => Unary::Root.apply((x.clone() * x).sum_dims(&at)),
            How::LogSum => Unary::Log.apply(x.sum_dims(&at)),
            How::LogSumExp => {
                // Held below overflow by the largest, which passes no gradient: it takes none away.
                let largest = each(x.clone().detach(), |x, axis| x.max_dim(axis));
                let infinite = largest.clone().abs().greater_elem(f32::MAX);
                let largest = largest.mask_fill(infinite, 0.0);
                Unary::Log.apply((x - largest.clone()).exp().sum_dims(&at)) + largest
            }
        }))
    }

    /// What the reduction makes of single elements.
    fn each(&self, x: Float) -> Float {
        match self.how {
            How::Mean | How::Sum | How::Max | How::Min | How::Product | How::LogSumExp => x,
            How::SumSquare => x.map(|x| x.clone() * x),
            How::L1 | How::L2 => x.map(|x| Unary::Abs.apply(x)),
            How::LogSum => x.map(|x| Unary::Log.apply(x)),
        }
    }

    fn integers(&self, x: &Ints, axes: &[usize], shape: Vec<usize>) -> Result<Vec<Value>, String> {
        let reduced: usize = axes.iter().map(|&a| x.shape[a]).product();
        let start = match self.how {
            How::Product => 1,
            How::Max => i128::MIN,
            How::Min => i128::MAX,
            How::LogSum | How::LogSumExp => return Err("integers, where floats are supported".into()),
            _ => 0,
        };
        if reduced == 0 && !matches!(self.how, How::Sum | How::Product) {
            return Err("a tensor without elements".into());
        }
        // The reduced axes last.
        let kept: Vec<usize> = (0..x.shape.len()).filter(|i| !axes.contains(i)).collect();
        let order = [&kept[..], axes].concat();
        let strides = x.strides();
        let of = |list: &[usize]| order.iter().map(|&axis| list[axis]).collect::<Vec<_>>();
        let ordered = x.view(of(&x.shape), &of(&strides));
        let count = shape.iter().product::<usize>();
        let mut totals = vec![start; count];
        for (i, v) in ordered.wide().enumerate() {
            let total = &mut totals[i / reduced.max(1)];
            *total = match self.how {
                How::Product => x.kind.wrap(total.wrapping_mul(v)).into(),
                How::Max => v.max(*total),
                How::Min => v.min(*total),
                How::SumSquare | How::L2 => total.wrapping_add(v.wrapping_mul(v)),
                How::L1 => total.wrapping_add(v.abs()),
                _ => total.wrapping_add(v),
            };
        }
        let whole = |total: i128| match self.how {
            How::Mean => total / reduced as i128,
            How::L2 => (total as f64).sqrt() as i128,
            _ => total,
        };
        ints(Ints::wrapped(x.kind, shape, totals.into_iter().map(whole)))
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Soft,
    Logarithm,
    /// 1 where the first largest is, and 0 elsewhere; no gradient.
    Hard,
}

/// Softmax, its logarithm or its limit.
#[derive(Debug)]
struct Softmax {
    kind: Kind,
    axis: i64,
    /// Before operator set 13 it goes over all axes from `axis` on together.
    together: bool,
}

fn softmax(node: &Node, kind: Kind) -> Result<Box<dyn Op>, String> {
    let together = node.opset < 13;
    let axis = node.attributes.int("axis").unwrap_or(if together { 1 } else { -1 });
    boxed(Softmax { kind, axis, together })
}

impl Softmax {
    fn over(&self, x: Tensor<RANK>, at: usize) -> Tensor<RANK> {
        match self.kind {
            Kind::Soft => activation::softmax(x, at),
            Kind::Logarithm => activation::log_softmax(x, at),
            Kind::Hard => {
                let x = x.detach();
                let first = x.clone().argmax(at);
                let device = x.device().without_autodiff();
                let ones = Tensor::<RANK>::ones(first.dims(), &device);
                Tensor::zeros(x.dims(), &device).scatter(at, first, ones, IndexingUpdateOp::Add)
            }
        }
    }
}

impl Op for Softmax {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.float(0)?;
        let shape = x.shape();
        let axis = value::axis(self.axis, shape.len())?;
        if self.together && axis + 1 < shape.len() {
            let flat = x.reshape(&[shape[..axis].iter().product(), shape[axis..].iter().product()])?;
            return float(flat.map(|x| self.over(x, RANK - 1)).reshape(&shape)?);
        }
        let at = x.at(axis);
        float(x.map(|x| self.over(x, at)))
    }
}
