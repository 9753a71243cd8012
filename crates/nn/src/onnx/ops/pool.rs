//! Pools over windows and over whole images. Of one axis they are those of two with images one pixel high; of three those of
//! two and then along the third, since maxima and means go axis by axis.

use burn::tensor::module;
use burn::tensor::ops::AvgPoolOptions;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Tensor, TensorData};

use super::activation::Unary;
use super::windows::{Axis, Windows, kernel_shape, pad};
use super::{Context, Inputs, Op, boxed, float};
use crate::onnx::ir::Node;
use crate::onnx::value::{Float, Value};
use crate::ops;

pub const OPS: &[(&str, super::Build)] = &[
    ("MaxPool", |n| pool(n, Kind::Max)),
    ("AveragePool", |n| {
        let count_padding = n.attributes.int("count_include_pad") == Some(1);
        pool(n, Kind::Average { count_padding })
    }),
    ("LpPool", |n| pool(n, Kind::Norm(power(n)?))),
    ("GlobalAveragePool", |_| boxed(Global::Average)),
    ("GlobalMaxPool", |_| boxed(Global::Max)),
    ("GlobalLpPool", |n| boxed(Global::Norm(power(n)?))),
];

fn power(node: &Node) -> Result<i32, String> {
    match node.attributes.int("p").unwrap_or(2) {
        p @ 1..64 => Ok(p as i32),
        p => Err(format!("p = {p}: 1 to 63 are supported")),
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Max,
    Average {
        count_padding: bool,
    },
    /// `(Σ |x|^p)^(1/p)`.
    Norm(i32),
}

#[derive(Debug)]
struct Pool {
    kind: Kind,
    kernel: Vec<usize>,
    windows: Windows,
    /// Whether the last window may reach beyond the border.
    ceil: bool,
}

fn pool(node: &Node, kind: Kind) -> Result<Box<dyn Op>, String> {
    if node.has_output(1) {
        return Err("its second output, the indices".into());
    }
    let kernel = kernel_shape(node)?.ok_or("no kernel_shape")?;
    let windows = Windows::new(node)?;
    boxed(Pool { kind, kernel, windows, ceil: node.attributes.int("ceil_mode") == Some(1) })
}

/// An axis with what may lie beyond the declared padding: the last window's share, where sizes are rounded up.
#[derive(Clone, Copy, Debug)]
struct Span {
    axis: Axis,
    /// The padding after that the file declares.
    declared: usize,
    /// The number of windows.
    count: usize,
}

impl Span {
    const NONE: Self = Self { axis: Axis::NONE, declared: 0, count: 1 };

    fn new(mut axis: Axis, size: usize, ceil: bool) -> Result<Self, String> {
        let declared = axis.after;
        if axis.before.max(axis.after) >= axis.kernel.max(axis.reach()) {
            return Err(format!(
                "padding of {} for windows of {} pixels",
                axis.before.max(axis.after),
                axis.reach()
            ));
        }
        let mut count = axis.count(size)?;
        let total = size + axis.before + axis.after;
        let room = total - axis.reach();
        // One more window, unless it would begin in the padding after the image.
        if ceil && !room.is_multiple_of(axis.stride) && count * axis.stride < size + axis.before {
            axis.after += count * axis.stride + axis.reach() - total;
            count += 1;
        }
        Ok(Self { axis, declared, count })
    }

    /// By what the mean over all taps is to be multiplied in each window, so that it is the mean over those that count: of
    /// the image and, where asked for, of the padding that was declared.
    fn shares(&self, size: usize, count_padding: bool) -> Vec<f32> {
        let Axis { stride, dilation, kernel, before, .. } = self.axis;
        let (low, high) =
            if count_padding { (0, size + before + self.declared) } else { (before, before + size) };
        let share = |o: usize| {
            let inside = |t: &usize| (low..high).contains(&(o * stride + t * dilation));
            kernel as f32 / (0..kernel).filter(inside).count().max(1) as f32
        };
        (0..self.count).map(share).collect()
    }
}

impl Op for Pool {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.float(0)?;
        let shape = x.shape();
        let [n, c, size @ ..] = &shape[..] else { return Err(format!("a tensor of shape {shape:?}")) };
        let axes = self.windows.axes(size, &self.kernel)?;
        let spans = axes.iter().zip(size).map(|(&axis, &size)| Span::new(axis, size, self.ceil));
        let spans = spans.collect::<Result<Vec<_>, _>>()?;
        let mut result = vec![*n, *c];
        result.extend(spans.iter().map(|s| s.count));
        let padded = spans.iter().zip(size).map(|(s, size)| size + s.axis.before + s.axis.after);
        context.room(&result)?;
        let padded = [&[*n, *c][..], &padded.collect::<Vec<_>>()].concat();
        context.bordered(&padded, shape.iter().product())?;
        context.affordable(&[&result[..], &self.kernel].concat())?;
        let x = match self.kind {
            Kind::Norm(p) => to_power(x, p),
            _ => x,
        };
        let y = match spans[..] {
            [columns] => self.flat(x.reshape(&[*n, *c, 1, size[0]])?, [Span::NONE, columns], context)?,
            [rows, columns] => self.flat(x, [rows, columns], context)?,
            [depth, rows, columns] => {
                let (d, h, w) = (size[0], rows.count, columns.count);
                let flat = self.flat(x.reshape(&[*n, c * d, size[1], size[2]])?, [rows, columns], context)?;
                self.flat(flat.reshape(&[*n, *c, d, h * w])?, [depth, Span::NONE], context)?
            }
            _ => return Err(format!("a tensor of shape {shape:?}")),
        };
        // Of two axes it has the shape, and may go on lying as the kernels have it.
        let y = if size.len() == 2 { y } else { y.reshape(&result)? };
        float(match self.kind {
            Kind::Norm(p) => {
                from_power(y.map(|y| y.mul_scalar(self.kernel.iter().product::<usize>() as f32)), p)
            }
            _ => y,
        })
    }
}

fn to_power(x: Float, p: i32) -> Float {
    x.map(|x| match p {
        1 => Unary::Abs.apply(x),
        2 => x.clone() * x,
        p if p % 2 == 0 => Unary::Power(p as f32).apply(x),
        p => Unary::Power(p as f32).apply(Unary::Abs.apply(x)),
    })
}

fn from_power(x: Float, p: i32) -> Float {
    x.map(|x| match p {
        1 => x,
        2 => Unary::Root.apply(x),
        p => Unary::Power(1.0 / p as f32).apply(x),
    })
}

impl Pool {
    /// Over two axes.
    fn flat(&self, x: Float, spans: [Span; 2], context: &Context<'_>) -> Result<Float, String> {
        if spans.iter().all(|s| s.axis == Axis::NONE) {
            return Ok(x);
        }
        match self.kind {
            Kind::Max => max(x, spans.map(|s| s.axis)),
            Kind::Average { count_padding } => average(x, spans, Some(count_padding), context),
            Kind::Norm(_) => average(x, spans, None, context),
        }
    }
}

fn max(x: Float, axes: [Axis; 2]) -> Result<Float, String> {
    let [rows, columns] = axes;
    let pads = axes.map(|a| (a.before, a.after));
    let native = rows.kernel == columns.kernel
        && rows.stride == columns.stride
        && axes.iter().all(|a| a.dilation == 1);
    let p = pads[0].0;
    // The kernel takes padding up to half its window.
    let even = pads == [(p, p); 2] && 2 * p <= rows.kernel;
    let x = x.nhwc()?;
    // Padding never wins: no activation is as low.
    let (x, p) = if native && even { (x, p) } else { (pad(x, pads, f32::MIN), 0) };
    Ok(if native {
        Float::from_nhwc(ops::max_pool(x, rows.kernel, rows.stride, p))
    } else {
        let options = MaxPoolOptions::new(axes.map(|a| a.kernel)).with_stride(axes.map(|a| a.stride));
        let options = options.with_dilation(axes.map(|a| a.dilation));
        Float::from_tensor(module::max_pool2d(Float::from_nhwc(x).nchw()?, options))
    })
}

/// The mean over the taps that count, or, without `count_padding`, over all.
fn average(
    x: Float,
    spans: [Span; 2],
    count_padding: Option<bool>,
    context: &Context<'_>,
) -> Result<Float, String> {
    let [n, c, h, w] = x.four()?;
    let image = [h, w];
    let axes = spans.map(|s| s.axis);
    let pads = axes.map(|a| (a.before, a.after));
    let unpadded = pads == [(0, 0); 2];
    let plain = axes.iter().all(|a| a.dilation == 1);
    // Cells that tile the image are what adaptive pooling averages over.
    let tiles = |i: usize| axes[i].stride == axes[i].kernel && axes[i].kernel * spans[i].count == image[i];
    let whole = axes.map(|a| a.kernel) == image;
    if unpadded && plain && (spans[0].count == spans[1].count && tiles(0) && tiles(1) || whole) {
        return Ok(Float::from_nhwc(ops::adaptive_avg_pool(x.nhwc()?, spans[0].count)));
    }
    let x = if unpadded { x } else { Float::from_nhwc(pad(x.nhwc()?, pads, 0.0)) };
    let y = if plain {
        let options = AvgPoolOptions::new(axes.map(|a| a.kernel)).with_stride(axes.map(|a| a.stride));
        Float::from_tensor(module::avg_pool2d(x.nchw()?, options))
    } else {
        // Tap by tap.
        let taps = axes[0].kernel * axes[1].kernel;
        context.affordable(&[taps, n, c, h, w])?;
        let part = |x: Float, i: usize, tap: usize| {
            let start = tap * axes[i].dilation;
            x.slice(i + 2, start, start + (spans[i].count - 1) * axes[i].stride + 1, axes[i].stride)
        };
        let mut sum: Option<Float> = None;
        for tap in 0..taps {
            let y = part(part(x.clone(), 0, tap / axes[1].kernel), 1, tap % axes[1].kernel);
            sum = Some(match sum {
                Some(sum) => Float::zip(sum, y, |a, b| a + b)?,
                None => y,
            });
        }
        sum.ok_or("a window without pixels")?.map(|x| x.div_scalar(taps as f32))
    };
    let Some(count_padding) = count_padding.filter(|_| !unpadded) else { return Ok(y) };
    let shares = [0, 1].map(|i| spans[i].shares(image[i], count_padding));
    let [rows, columns] = [0, 1].map(|i| {
        let shape = if i == 0 { [1, 1, spans[0].count, 1] } else { [1, 1, 1, spans[1].count] };
        Tensor::<4>::from_data(TensorData::new(shares[i].clone(), shape), context.device)
    });
    Float::zip(y, Float::from_tensor(rows * columns), |y, s| y * s)
}

/// Over all axes beside batch and channels.
#[derive(Clone, Copy, Debug)]
enum Global {
    Average,
    Max,
    Norm(i32),
}

impl Op for Global {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.float(0)?;
        let shape = x.shape();
        let [n, c, size @ ..] = &shape[..] else { return Err(format!("a tensor of shape {shape:?}")) };
        let result = [&[*n, *c][..], &vec![1; size.len()]].concat();
        let pixels = size.iter().product();
        let x = if size.len() == 2 { x } else { x.reshape(&[*n, *c, 1, pixels])? };
        let y = match self {
            Self::Average => Float::from_nhwc(ops::adaptive_avg_pool(x.nhwc()?, 1)),
            Self::Max => Float::from_nhwc(x.nhwc()?.max_dim(1).max_dim(2)),
            Self::Norm(p) => {
                let sum = to_power(x, *p).nhwc()?.sum_dim(1).sum_dim(2);
                from_power(Float::from_nhwc(sum), *p)
            }
        };
        float(if size.len() == 2 { y } else { y.reshape(&result)? })
    }
}
