//! Normalisation by fixed or by each image's own statistics, scale and shift included.

use burn::tensor::Tensor;

use super::conv::TOO_LARGE;
use super::{Context, Inputs, Op, boxed, float};
use crate::onnx::ir::Node;
use crate::onnx::value::{self, Float, RANK, Value};
use crate::ops;

pub const OPS: &[(&str, super::Build)] = &[
    ("BatchNormalization", batch),
    ("InstanceNormalization", |n| boxed(Instance { epsilon: epsilon(n) })),
    ("GroupNormalization", group),
    ("LayerNormalization", layer),
    ("LRN", local_response),
];

fn epsilon(node: &Node) -> f64 {
    node.attributes.float("epsilon").unwrap_or(1e-5).into()
}

/// Normalisation by running statistics, and the activation after it where one was fused (`dyntta.slope`).
#[derive(Debug)]
struct Batch {
    epsilon: f64,
    slope: f32,
}

fn batch(node: &Node) -> Result<Box<dyn Op>, String> {
    if node.attributes.int("training_mode") == Some(1) || (1..5).any(|i| node.has_output(i)) {
        return Err("training_mode: export the model in evaluation mode".into());
    }
    let slope = node.attributes.float("dyntta.slope").unwrap_or(1.0);
    boxed(Batch { epsilon: epsilon(node), slope })
}

impl Op for Batch {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.float(0)?;
        let c = x.shape().get(1).copied().ok_or("a tensor without channels")?;
        let [scale, shift, mean, variance] = [1, 2, 3, 4].map(|i| vector(inputs.float(i), c));
        let scale = scale? / variance?.add_scalar(self.epsilon).sqrt();
        let shift = shift? - mean? * scale.clone();
        if x.rank() == 4 {
            return float(Float::from_nhwc(ops::affine(x.nhwc()?, scale, shift, self.slope)));
        }
        let rank = x.rank();
        let (scale, shift) = (along_channels(scale, rank), along_channels(shift, rank));
        let y = Float::zip(Float::zip(x, scale, |x, s| x * s)?, shift, |x, s| x + s)?;
        float(if self.slope == 1.0 {
            y
        } else {
            y.map(|y| super::activation::Unary::LeakyRelu(self.slope).apply(y))
        })
    }
}

/// A vector of `len` numbers.
fn vector(x: Result<Float, String>, len: usize) -> Result<Tensor<1>, String> {
    let x = x?;
    match x.shape()[..] {
        [n] if n == len => Ok(x.data().reshape([len])),
        ref other => Err(format!("parameters of shape {other:?} for {len} channels")),
    }
}

/// A vector as a value that broadcasts over axis 1 of a value of this rank.
fn along_channels(x: Tensor<1>, rank: usize) -> Float {
    let mut shape = [1; RANK];
    shape[RANK - rank + 1] = x.dims()[0];
    Float::new(x.reshape(shape), rank)
}

/// Brings `x` to mean 0 and (biased) variance 1 over the axes of its tensor from `first` on.
fn normalise(x: Tensor<RANK>, first: usize, epsilon: f64) -> Tensor<RANK> {
    let axes: Vec<usize> = (first..RANK).collect();
    let centred = x.clone() - x.mean_dims(&axes);
    let variance = (centred.clone() * centred.clone()).mean_dims(&axes);
    centred / variance.add_scalar(epsilon).sqrt()
}

#[derive(Debug)]
struct Instance {
    epsilon: f64,
}

impl Op for Instance {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.float(0)?;
        let rank = x.rank();
        let c = x.shape().get(1).copied().ok_or("a tensor without channels")?;
        let [scale, shift] = [1, 2].map(|i| vector(inputs.float(i), c));
        let (scale, shift) = (scale?, shift?);
        let y = if rank == 4 {
            let y = ops::instance_norm(x.nhwc()?, self.epsilon, 1.0);
            return float(Float::from_nhwc(ops::affine(y, scale, shift, 1.0)));
        } else {
            Float::new(normalise(x.row_major(), RANK - rank + 2, self.epsilon), rank)
        };
        let y = Float::zip(y, along_channels(scale, rank), |y, s| y * s)?;
        float(Float::zip(y, along_channels(shift, rank), |y, s| y + s)?)
    }
}

/// Each image's groups of channels normalised; scale and shift by channel or, up to operator set 20, by group.
#[derive(Debug)]
struct Group {
    groups: usize,
    epsilon: f64,
}

fn group(node: &Node) -> Result<Box<dyn Op>, String> {
    let groups = usize::try_from(node.attributes.int("num_groups").unwrap_or(0)).ok().filter(|&g| g > 0);
    boxed(Group { groups: groups.ok_or("a num_groups that is not positive")?, epsilon: epsilon(node) })
}

impl Op for Group {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.float(0)?;
        let shape = x.shape();
        let (rank, groups) = (x.rank(), self.groups);
        let c = shape.get(1).copied().filter(|c| c.is_multiple_of(groups));
        let c = c.ok_or_else(|| format!("{groups} groups of the channels of a tensor of shape {shape:?}"))?;
        let within = shape.iter().product::<usize>() / (shape[0].max(1) * groups);
        let grouped = x.reshape(&[shape[0], groups, within])?;
        let y = Float::new(normalise(grouped.data(), RANK - 1, self.epsilon), 3).reshape(&shape)?;
        let mut parameters = |i| -> Result<Float, String> {
            let x = inputs.float(i)?;
            let [n] = x.shape()[..] else { return Err(format!("parameters of shape {:?}", x.shape())) };
            let vector = x.data().reshape([n]);
            match n {
                n if n == c => Ok(along_channels(vector, rank)),
                n if n == groups => {
                    Ok(along_channels(vector.reshape([n, 1]).expand([n, c / n]).reshape([c]), rank))
                }
                n => Err(format!("{n} parameters for {c} channels in {groups} groups")),
            }
        };
        let (scale, shift) = (parameters(1)?, parameters(2)?);
        float(Float::zip(Float::zip(y, scale, |y, s| y * s)?, shift, |y, s| y + s)?)
    }
}

#[derive(Debug)]
struct Layer {
    axis: i64,
    epsilon: f64,
}

fn layer(node: &Node) -> Result<Box<dyn Op>, String> {
    if node.has_output(1) || node.has_output(2) {
        return Err("its outputs beside the first".into());
    }
    boxed(Layer { axis: node.attributes.int("axis").unwrap_or(-1), epsilon: epsilon(node) })
}

impl Op for Layer {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let (x, scale) = (inputs.float(0)?.plain(), inputs.float(1)?);
        let first = x.at(value::axis(self.axis, x.rank())?);
        let c = x.shape().last().copied().unwrap_or(1);
        let whole = |v: &Float| first == RANK - 1 && v.shape() == [c];
        let shift = inputs.optional_float(2)?;
        if let Some(shift) = shift.as_ref().filter(|shift| whole(shift) && whole(&scale)) {
            let [scale, shift] = [scale, shift.clone()].map(|v| v.data().reshape([c]));
            return float(x.map(|x| ops::layer_norm(x, scale, shift, self.epsilon)));
        }
        let y = Float::zip(x.map(|x| normalise(x, first, self.epsilon)), scale, |y, s| y * s)?;
        float(match shift {
            Some(shift) => Float::zip(y, shift, |y, s| y + s)?,
            None => y,
        })
    }
}

/// `x / (bias + alpha/size · Σ x²)^beta`, the sum over `size` channels around each.
#[derive(Debug)]
struct LocalResponse {
    size: usize,
    alpha: f32,
    beta: f32,
    bias: f32,
}

fn local_response(node: &Node) -> Result<Box<dyn Op>, String> {
    let size =
        usize::try_from(node.attributes.int("size").unwrap_or(0)).ok().filter(|s| (1..TOO_LARGE).contains(s));
    let float = |name: &str, default: f32| node.attributes.float(name).unwrap_or(default);
    boxed(LocalResponse {
        size: size.ok_or("a size that is not positive, or too large")?,
        alpha: float("alpha", 1e-4),
        beta: float("beta", 0.75),
        bias: float("bias", 1.0),
    })
}

impl Op for LocalResponse {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.float(0)?.nhwc()?;
        let [n, h, w, c] = x.dims();
        let before = (self.size - 1) / 2;
        let device = x.device().without_autodiff();
        let zeros = |count| Tensor::<4>::zeros([n, h, w, count], &device);
        let square = x.clone() * x.clone();
        let wide = Tensor::cat(vec![zeros(before), square, zeros(self.size - before)], 3);
        let sum =
            (0..self.size).map(|i| wide.clone().narrow(3, i, c)).reduce(|a, b| a + b).expect("positive");
        let scale = sum.mul_scalar(self.alpha / self.size as f32).add_scalar(self.bias);
        float(Float::from_nhwc(x / scale.powf_scalar(self.beta)))
    }
}
