//! Normalisation by fixed or by each image's own statistics, scale and shift included.

use burn::tensor::Tensor;

use super::activation::Unary;
use super::windows::TOO_LARGE;
use super::{Context, Inputs, Op, boxed, float};
use crate::onnx::ir::Node;
use crate::onnx::value::{self, Float, RANK, Value};
use crate::ops;

pub const OPS: &[(&str, super::Build)] = &[
    ("BatchNormalization", batch),
    ("InstanceNormalization", |n| boxed(Instance { epsilon: epsilon(n) })),
    ("GroupNormalization", group),
    ("LayerNormalization", layer),
    ("RMSNormalization", |n| {
        boxed(RootMeanSquare { axis: n.attributes.int("axis").unwrap_or(-1), epsilon: epsilon(n) })
    }),
    ("LpNormalization", length),
    ("MeanVarianceNormalization", |n| {
        boxed(MeanVariance { axes: n.attributes.ints("axes").unwrap_or(&[0, 2, 3]).to_vec() })
    }),
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
    /// Whether each place of an image has parameters of its own, as up to operator set 8 with `spatial = 0`.
    places: bool,
}

/// What tells that a node takes the statistics of the batch: an attribute or, before operator set 14, that it gives them.
fn trains(node: &Node) -> Option<&'static str> {
    if node.opset < 14 {
        (node.outputs.len() > 1).then_some("training mode, which its outputs tell")
    } else if node.attributes.int("training_mode").unwrap_or(0) != 0 {
        Some("training_mode")
    } else {
        node.has_output(1).then_some("outputs beside the first")
    }
}

fn batch(node: &Node) -> Result<Box<dyn Op>, String> {
    if let Some(what) = trains(node) {
        return Err(format!("{what}: export the model in evaluation mode"));
    }
    let slope = node.attributes.float("dyntta.slope").unwrap_or(1.0);
    if ![0.0, 1.0].contains(&slope) {
        return Err(format!("dyntta.slope = {slope}"));
    }
    let places = node.opset < 9 && node.attributes.int("spatial") == Some(0);
    boxed(Batch { epsilon: epsilon(node), slope, places })
}

impl Op for Batch {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.float(0)?;
        if self.places {
            return self.by_place(x, inputs, context);
        }
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
        self.activated(y)
    }
}

impl Batch {
    fn activated(&self, y: Float) -> Result<Vec<Value>, String> {
        float(if self.slope == 1.0 { y } else { y.map(|y| Unary::LeakyRelu(self.slope).apply(y)) })
    }

    fn by_place(&self, x: Float, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let shape = x.shape();
        let mut parameters = [1, 2, 3, 4].map(|i| inputs.float(i));
        for p in parameters.iter().flatten() {
            if p.shape() != shape[1..] {
                return Err(format!("parameters of shape {:?} for images of {shape:?}", p.shape()));
            }
        }
        context.room(&shape)?;
        let mut next = |i: usize| std::mem::replace(&mut parameters[i], Err(String::new()));
        let (scale, shift, mean, variance) = (next(0)?, next(1)?, next(2)?, next(3)?);
        let deviation = variance.map(|v| v.add_scalar(self.epsilon).sqrt());
        let scale = Float::zip(scale, deviation, |s, d| s / d)?;
        let centred = Float::zip(x, mean, |x, m| x - m)?;
        let y = Float::zip(Float::zip(centred, scale, |x, s| x * s)?, shift, |x, s| x + s)?;
        self.activated(y)
    }
}

/// Normalisation by the batch's own statistics, of what is known beforehand: how weights are standardised.
#[derive(Debug)]
struct OfConstants {
    epsilon: f64,
    momentum: f64,
}

/// Batch normalisation whose inputs are all constants.
///
/// # Errors
/// As for any other.
pub fn batch_of_constants(node: &Node) -> Result<Box<dyn Op>, String> {
    if trains(node).is_none() {
        return batch(node);
    }
    let momentum = node.attributes.float("momentum").unwrap_or(0.9).into();
    boxed(OfConstants { epsilon: epsilon(node), momentum })
}

impl Op for OfConstants {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.float(0)?;
        let shape = x.shape();
        let [_, c, size @ ..] = &shape[..] else { return Err(format!("a tensor of shape {shape:?}")) };
        let [scale, shift, old_mean, old_variance] =
            [1, 2, 3, 4].map(|i| vector(inputs.float(i), *c).map(|v| Float::from_tensor(v).values()));
        let (scale, shift) = (scale?, shift?);
        let (mut values, pixels) = (x.values(), size.iter().product::<usize>());
        let (mut means, mut variances) = (vec![0.0f64; *c], vec![0.0f64; *c]);
        let count = (values.len() / c) as f64;
        for (i, row) in values.chunks(pixels).enumerate() {
            means[i % c] += row.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        }
        for (i, row) in values.chunks(pixels).enumerate() {
            let square = |&v: &f32| (f64::from(v) - means[i % c]).powi(2);
            variances[i % c] += row.iter().map(square).sum::<f64>() / count;
        }
        for (i, row) in values.chunks_mut(pixels).enumerate() {
            let c = i % c;
            let factor = f64::from(scale[c]) / (variances[c] + self.epsilon).sqrt();
            row.iter_mut().for_each(|v| *v = ((f64::from(*v) - means[c]) * factor) as f32 + shift[c]);
        }
        let running = |old: Vec<f32>, new: &[f64]| {
            let mixed = old.iter().zip(new).map(|(&o, n)| f64::from(o) * self.momentum + n * (1.0 - self.momentum));
            Float::from_values(mixed.map(|v| v as f32).collect(), &[*c], context.device)
        };
        Ok(vec![
            Value::Float(Float::from_values(values, &shape, context.device)?),
            Value::Float(running(old_mean?, &means)?),
            Value::Float(running(old_variance?, &variances)?),
        ])
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

/// `x / √(mean of x² + epsilon)` over the axes from `axis` on, times a scale.
#[derive(Debug)]
struct RootMeanSquare {
    axis: i64,
    epsilon: f64,
}

impl Op for RootMeanSquare {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let (x, scale) = (inputs.float(0)?.plain(), inputs.float(1)?);
        let axes: Vec<usize> = (x.at(value::axis(self.axis, x.rank())?)..RANK).collect();
        context.broadcast(&x.shape(), &scale.shape())?;
        let y = x.map(|x| {
            let mean = (x.clone() * x.clone()).mean_dims(&axes);
            x / mean.add_scalar(self.epsilon).sqrt()
        });
        float(Float::zip(y, scale, |y, s| y * s)?)
    }
}

/// Brought to length 1 along an axis; what is all zeros stays.
#[derive(Debug)]
struct Length {
    axis: i64,
    absolute: bool,
}

fn length(node: &Node) -> Result<Box<dyn Op>, String> {
    let absolute = match node.attributes.int("p").unwrap_or(2) {
        1 => true,
        2 => false,
        p => return Err(format!("p = {p}")),
    };
    boxed(Length { axis: node.attributes.int("axis").unwrap_or(-1), absolute })
}

impl Op for Length {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.float(0)?;
        let at = x.at(value::axis(self.axis, x.rank())?);
        float(x.map(|x| {
            let length = if self.absolute {
                Unary::Abs.apply(x.clone()).sum_dim(at)
            } else {
                Unary::Root.apply((x.clone() * x.clone()).sum_dim(at))
            };
            let none = length.clone().lower_equal_elem(0.0);
            x / length.mask_fill(none, 1.0)
        }))
    }
}

/// Mean 0 and variance 1 over these axes.
#[derive(Debug)]
struct MeanVariance {
    axes: Vec<i64>,
}

impl Op for MeanVariance {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.float(0)?;
        let at = self.axes.iter().map(|&a| Ok(x.at(value::axis(a, x.rank())?)));
        let at = at.collect::<Result<Vec<usize>, String>>()?;
        if (1..at.len()).any(|i| at[..i].contains(&at[i])) {
            return Err(format!("an axis twice among {:?}", self.axes));
        }
        float(x.map(|x| {
            let centred = x.clone() - x.mean_dims(&at);
            let variance = (centred.clone() * centred.clone()).mean_dims(&at);
            centred / Unary::Root.apply(variance).add_scalar(1e-9)
        }))
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
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.float(0)?.nhwc()?;
        let [n, h, w, c] = x.dims();
        context.room(&[n, h, w, c + self.size])?;
        context.affordable(&[n, h, w, c, self.size])?;
        let before = (self.size - 1) / 2;
        let device = x.device().without_autodiff();
        let zeros = |count| Tensor::<4>::zeros([n, h, w, count], &device);
        let square = x.clone() * x.clone();
        let wide = Tensor::cat(vec![zeros(before), square, zeros(self.size - before)], 3);
        let sum =
            (0..self.size).map(|i| wide.clone().narrow(3, i, c)).reduce(|a, b| a + b).expect("positive");
        let scale = sum.mul_scalar(self.alpha / self.size as f32).add_scalar(self.bias);
        let scale = Float::from_nhwc(scale).map(|s| Unary::Power(self.beta).apply(s));
        float(Float::zip(Float::from_nhwc(x), scale, |x, s| x / s)?)
    }
}
