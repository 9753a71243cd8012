//! Convolutions: those without dilation and of one stride on the native kernels, the others on Burn's. Of one axis they are
//! those of two with images one pixel high, of three sums of those over the planes that a window reaches.

use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Tensor, module};

use super::windows::{Axis, TOO_LARGE, Windows, kernel_shape, pad};
use super::{Context, Inputs, Op, boxed, float};
use crate::onnx::ir::Node;
use crate::onnx::value::{Float, Value};
use crate::ops;

pub const OPS: &[(&str, super::Build)] = &[("Conv", conv), ("ConvTranspose", transposed)];

fn groups(node: &Node) -> Result<usize, String> {
    let groups = usize::try_from(node.attributes.int("group").unwrap_or(1)).ok().filter(|&g| g > 0);
    groups.ok_or("a group that is not positive".into())
}

fn conv(node: &Node) -> Result<Box<dyn Op>, String> {
    boxed(Conv { windows: Windows::new(node)?, kernel: kernel_shape(node)?, groups: groups(node)? })
}

#[derive(Debug)]
struct Conv {
    windows: Windows,
    kernel: Option<Vec<usize>>,
    groups: usize,
}

/// Images or weights of two axes beside the first two from those of one.
fn lifted(x: Float) -> Result<Float, String> {
    match x.shape()[..] {
        [a, b, c] => x.reshape(&[a, b, 1, c]),
        _ => Ok(x),
    }
}

/// A bias is a vector with a number for each channel.
fn bias_of(inputs: &mut Inputs, channels: usize) -> Result<Option<Tensor<1>>, String> {
    match inputs.optional_float(2)? {
        Some(bias) if bias.shape() != [channels] => {
            Err(format!("a bias of shape {:?} for {channels} channels", bias.shape()))
        }
        bias => Ok(bias.map(|b| b.data().reshape([channels]))),
    }
}

impl Op for Conv {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let (x, weight) = (inputs.float(0)?, inputs.float(1)?);
        let (shape, weights) = (x.shape(), weight.shape());
        let ([n, cin, size @ ..], [cout, from, kernel @ ..]) = (&shape[..], &weights[..]) else {
            return Err(format!("a tensor of shape {shape:?} and weights of {weights:?}"));
        };
        if !(1..4).contains(&size.len()) || size.len() != kernel.len() {
            return Err(format!(
                "a tensor of shape {shape:?} and weights of {weights:?}: one to three axes are supported"
            ));
        }
        let groups = self.groups;
        let declared = self.kernel.as_deref().unwrap_or(kernel);
        if from.checked_mul(groups) != Some(*cin) || !cout.is_multiple_of(groups) || declared != kernel {
            return Err(format!(
                "{cin} channels, weights {weights:?}, kernel {declared:?} and {groups} groups don't fit"
            ));
        }
        let bias = bias_of(&mut inputs, *cout)?;
        let axes = self.windows.axes(size, kernel)?;
        let mut result = vec![*n, *cout];
        let mut padded = vec![*n, *cin];
        for (axis, &size) in axes.iter().zip(size) {
            result.push(axis.count(size)?);
            padded.push(size + axis.before + axis.after);
        }
        let spatial: usize = result[2..].iter().product();
        context.room(&result)?;
        context.bordered(&padded, shape.iter().product())?;
        context.affordable(&[*n, *cout, *from, kernel.iter().product(), spatial])?;
        let y = match axes[..] {
            // Along the axis that is not there any stride will do, and one of both is what the kernels have.
            [axis] => {
                let rows = Axis { stride: axis.stride, ..Axis::NONE };
                convolve(lifted(x)?, lifted(weight)?.nchw()?, bias, [rows, axis], groups, context)?
                    .reshape(&result)?
            }
            [rows, columns] => convolve(x, weight.nchw()?, bias, [rows, columns], groups, context)?,
            [depth, rows, columns] => planes(x, weight, bias, [depth, rows, columns], groups, context)?
                .reshape(&[*n, result[2], *cout, result[3], result[4]])?
                .permute(&[0, 2, 1, 3, 4]),
            _ => return Err("an axis too many".into()),
        };
        float(y)
    }
}

/// The convolution over three axes, with the planes of the result among the images: `[n · depth, cout, h, w]`.
fn planes(
    x: Float,
    weight: Float,
    bias: Option<Tensor<1>>,
    [depth, rows, columns]: [Axis; 3],
    groups: usize,
    context: &Context<'_>,
) -> Result<Float, String> {
    let ([n, c, d, h, w], [cout, from, taps, kh, kw]) = (five(&x)?, five(&weight)?);
    let count = depth.count(d)?;
    let mut parts = Vec::new();
    for size in [depth.before, depth.after] {
        let zeros = (size > 0).then(|| Tensor::<5>::zeros([n, c, size, h, w], context.device));
        parts.push(zeros.map(Float::from_tensor));
    }
    let parts: Vec<Float> = [parts[0].take(), Some(x), parts[1].take()].into_iter().flatten().collect();
    let x =
        if parts.len() == 1 { parts.into_iter().next().ok_or("no image")? } else { Float::concat(parts, 2) };
    let mut bias = bias;
    let mut sum: Option<Float> = None;
    for tap in 0..taps {
        let start = tap * depth.dilation;
        let planes = x.clone().slice(2, start, start + (count - 1) * depth.stride + 1, depth.stride);
        let planes = planes.permute(&[0, 2, 1, 3, 4]).reshape(&[n * count, c, h, w])?;
        let weight = weight.clone().slice(2, tap, tap + 1, 1).reshape(&[cout, from, kh, kw])?.nchw()?;
        let y = convolve(planes, weight, bias.take(), [rows, columns], groups, context)?;
        sum = Some(match sum {
            Some(sum) => Float::zip(sum, y, |a, b| a + b)?,
            None => y,
        });
    }
    sum.ok_or("a kernel without taps".into())
}

fn five(x: &Float) -> Result<[usize; 5], String> {
    <[usize; 5]>::try_from(x.shape()).map_err(|s| format!("a tensor of shape {s:?}, not of rank 5"))
}

/// The convolution over two axes by what runs it best.
fn convolve(
    x: Float,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    axes: [Axis; 2],
    groups: usize,
    context: &Context<'_>,
) -> Result<Float, String> {
    let stride = axes[0].stride;
    let [(top, bottom), (left, right)] = axes.map(|a| (a.before, a.after));
    if axes.iter().all(|a| a.dilation == 1 && a.stride == stride) {
        let x = x.nhwc()?;
        return Ok(Float::from_nhwc(if groups > 1 {
            ops::grouped_conv2d(x, weight, bias, stride, [top, left, bottom, right], groups)
        } else if [bottom, left, right] == [top; 3] {
            ops::conv2d(x, weight, bias, stride, top)
        } else {
            ops::conv2d(pad(x, [(top, bottom), (left, right)], 0.0), weight, bias, stride, 0)
        }));
    }
    let [n, cin, h, w] = x.four()?;
    // Burn may lay out every window.
    let spatial = [axes[0].count(h)?, axes[1].count(w)?];
    context.room(&[n, cin, axes[0].kernel, axes[1].kernel, spatial[0], spatial[1]])?;
    let even = top == bottom && left == right;
    let x = if even { x } else { Float::from_nhwc(pad(x.nhwc()?, [(top, bottom), (left, right)], 0.0)) };
    let pads = if even { [top, left] } else { [0, 0] };
    let options = ConvOptions::new(axes.map(|a| a.stride), pads, axes.map(|a| a.dilation), groups);
    Ok(Float::from_tensor(module::conv2d(x.nchw()?, weight, bias, options)))
}

/// What a convolution's backward pass does, as an operator: each pixel spreads its weighted window over the result.
#[derive(Debug)]
struct Transposed {
    windows: Windows,
    kernel: Option<Vec<usize>>,
    groups: usize,
    /// Rows and columns beyond the last window's.
    extra: Option<Vec<usize>>,
    /// The size of the result, where the borders follow from it.
    size: Option<Vec<usize>>,
}

fn transposed(node: &Node) -> Result<Box<dyn Op>, String> {
    let kernel = kernel_shape(node)?;
    if kernel.as_ref().is_some_and(|k| k.len() > 2) {
        return Err(format!(
            "kernel_shape = {:?}: one or two axes are supported",
            kernel.unwrap_or_default()
        ));
    }
    let list = |name: &str| match node.attributes.extents(name)? {
        Some(list) if list.iter().any(|&v| v > TOO_LARGE) => {
            Err(format!("{name} = {list:?}: up to {TOO_LARGE} are supported"))
        }
        list => Ok(list),
    };
    boxed(Transposed {
        windows: Windows::new(node)?,
        kernel,
        groups: groups(node)?,
        extra: list("output_padding")?,
        size: list("output_shape")?,
    })
}

impl Transposed {
    /// For each axis what is cut off before, and the size of the result.
    fn cuts(&self, axes: &[Axis], size: &[usize], full: &[usize]) -> Result<Vec<(usize, usize)>, String> {
        let lack = || format!("borders wider than the result, of {full:?}");
        let cut = |i: usize| {
            let axis = axes[i];
            let target = match (&self.size, self.windows.same()) {
                (Some(target), _) => Some(*target.get(target.len() + i - size.len()).ok_or_else(lack)?),
                (None, Some(_)) => Some(size[i] * axis.stride),
                (None, None) => None,
            };
            let Some(target) = target else {
                let left = full[i].checked_sub(axis.before + axis.after).filter(|&l| l > 0);
                return Ok((axis.before, left.ok_or_else(lack)?));
            };
            let total = full[i].checked_sub(target).filter(|_| target > 0).ok_or_else(lack)?;
            let upper = self.windows.same() == Some(true);
            Ok((if upper { total / 2 } else { total - total / 2 }, target))
        };
        (0..size.len()).map(cut).collect()
    }
}

impl Op for Transposed {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let (x, weight) = (inputs.float(0)?, inputs.float(1)?);
        let (shape, weights) = (x.shape(), weight.shape());
        let ([n, cin, size @ ..], [from, to, kernel @ ..]) = (&shape[..], &weights[..]) else {
            return Err(format!("a tensor of shape {shape:?} and weights of {weights:?}"));
        };
        let rank = size.len();
        let declared = self.kernel.as_deref().unwrap_or(kernel);
        if !(1..3).contains(&rank)
            || rank != kernel.len()
            || cin != from
            || !cin.is_multiple_of(self.groups)
            || declared != kernel
        {
            return Err(format!(
                "a tensor of shape {shape:?} and weights of {weights:?} in {} groups",
                self.groups
            ));
        }
        let zeros = vec![0; rank];
        let extra = self.extra.as_ref().unwrap_or(&zeros);
        if extra.len() != rank || self.size.as_ref().is_some_and(|s| s.len() != rank && s.len() != rank + 2) {
            return Err(format!("output_padding or output_shape is not for the {rank} axes of {size:?}"));
        }
        let cout = to.checked_mul(self.groups).ok_or("too many channels")?;
        let bias = bias_of(&mut inputs, cout)?;
        let axes = self.windows.axes(size, kernel)?;
        let spread = |i: usize| (size[i] - 1).saturating_mul(axes[i].stride).saturating_add(axes[i].reach());
        let full: Vec<usize> = (0..rank).map(|i| spread(i).saturating_add(extra[i])).collect();
        context.made(&[&[*n, cout][..], &full].concat(), shape.iter().product())?;
        context.affordable(&[*n, *cin, *to, kernel.iter().product(), size.iter().product()])?;
        let cuts = self.cuts(&axes, size, &full)?;
        let two = |f: &dyn Fn(usize) -> usize, one: usize| if rank == 1 { [one, f(0)] } else { [f(0), f(1)] };
        let options = ConvTransposeOptions::new(
            two(&|i| axes[i].stride, 1),
            [0, 0],
            [0, 0],
            two(&|i| axes[i].dilation, 1),
            self.groups,
        );
        let y = module::conv_transpose2d(lifted(x)?.nchw()?, lifted(weight)?.nchw()?, None, options);
        let after = two(&|i| extra[i], 0).map(|e| (0, e));
        let mut y = Float::from_nhwc(pad(Float::from_tensor(y).nhwc()?, after, 0.0));
        for (i, &(start, size)) in cuts.iter().enumerate() {
            y = y.slice(i + 4 - rank, start, start + size, 1);
        }
        if let Some(bias) = bias {
            y = Float::zip(y, Float::from_tensor(bias.reshape([1, cout, 1, 1])), |y, b| y + b)?;
        }
        let result = [&[*n, cout][..], &cuts.iter().map(|c| c.1).collect::<Vec<_>>()].concat();
        float(if rank == 2 { y } else { y.reshape(&result)? })
    }
}
