//! Convolutions: those without dilation and of one stride on the native kernels, the others on Burn's.

use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, module};

use super::{Context, Inputs, Op, boxed, float};
use crate::onnx::ir::Node;
use crate::onnx::value::{Float, Value};
use crate::ops;

pub const OPS: &[(&str, super::Build)] = &[("Conv", conv)];

/// Larger strides, kernels and borders than any network has: numbers from a damaged file.
pub const TOO_LARGE: usize = 1 << 12;

/// How windows lie on an image: of a convolution or a pool. Rows first, then columns.
#[derive(Clone, Debug)]
pub struct Windows {
    /// The step from one to the next.
    pub stride: [usize; 2],
    /// The step between the taps of one.
    pub dilation: [usize; 2],
    /// What the file says about the borders.
    border: Border,
}

#[derive(Clone, Copy, Debug)]
enum Border {
    /// This much before and after.
    Pads([(usize, usize); 2]),
    /// As much as makes the output `⌈size / stride⌉`; what doesn't divide by two goes after, or before.
    Same { upper: bool },
}

impl Windows {
    /// From the attributes that `Conv` and the pools share.
    pub fn new(node: &Node) -> Result<Self, String> {
        let pair = |name: &str| {
            let list = node.attributes.extents(name)?.unwrap_or(vec![1, 1]);
            match list[..] {
                [a, b] if [a, b].iter().all(|v| (1..TOO_LARGE).contains(v)) => Ok([a, b]),
                _ => Err(format!("{name} = {list:?}: two numbers up to {TOO_LARGE} are supported")),
            }
        };
        let border = match node.attributes.string("auto_pad", "NOTSET").as_str() {
            "NOTSET" | "" => match node.attributes.extents("pads")?.as_deref() {
                None => Border::Pads([(0, 0); 2]),
                Some(&[top, left, bottom, right])
                    if [top, left, bottom, right].iter().all(|&v| v < TOO_LARGE) =>
                {
                    Border::Pads([(top, bottom), (left, right)])
                }
                Some(other) => {
                    return Err(format!("pads = {other:?}: four numbers up to {TOO_LARGE} are supported"));
                }
            },
            "VALID" => Border::Pads([(0, 0); 2]),
            "SAME_UPPER" => Border::Same { upper: true },
            "SAME_LOWER" => Border::Same { upper: false },
            other => return Err(format!("auto_pad = {other}")),
        };
        Ok(Self { stride: pair("strides")?, dilation: pair("dilations")?, border })
    }

    /// The padding before and after, for images and kernels of these sizes.
    pub fn pads(&self, image: [usize; 2], kernel: [usize; 2]) -> [(usize, usize); 2] {
        match self.border {
            Border::Pads(pads) => pads,
            Border::Same { upper } => [0, 1].map(|i| {
                let steps = image[i].div_ceil(self.stride[i]).saturating_sub(1);
                let total = (steps * self.stride[i] + self.reach(i, kernel)).saturating_sub(image[i]);
                let (small, large) = (total / 2, total - total / 2);
                if upper { (small, large) } else { (large, small) }
            }),
        }
    }

    /// How many pixels a window spans.
    pub fn reach(&self, i: usize, kernel: [usize; 2]) -> usize {
        self.dilation[i] * (kernel[i] - 1) + 1
    }
}

/// Pads `[n, h, w, c]` by `(top, bottom)` rows and `(left, right)` columns of `value`.
pub fn pad(x: Tensor<4>, pads: [(usize, usize); 2], value: f32) -> Tensor<4> {
    pads.into_iter().zip([1, 2]).fold(x, |x, ((before, after), axis)| {
        if before + after == 0 {
            return x;
        }
        let device = x.device().without_autodiff();
        let strip = |size: usize| {
            let mut shape = x.dims();
            shape[axis] = size;
            Tensor::<4>::full(shape, value, &device)
        };
        let mut parts = vec![x.clone()];
        if before > 0 {
            parts.insert(0, strip(before));
        }
        if after > 0 {
            parts.push(strip(after));
        }
        Tensor::cat(parts, axis)
    })
}

fn conv(node: &Node) -> Result<Box<dyn Op>, String> {
    let kernel = node.attributes.ints("kernel_shape");
    if kernel.is_some_and(|k| k.len() != 2) {
        return Err(format!(
            "kernel_shape = {:?}: 2-D convolutions are supported",
            kernel.unwrap_or_default()
        ));
    }
    let groups = usize::try_from(node.attributes.int("group").unwrap_or(1)).ok().filter(|&g| g > 0);
    boxed(Conv { windows: Windows::new(node)?, groups: groups.ok_or("a group that is not positive")? })
}

#[derive(Debug)]
struct Conv {
    windows: Windows,
    groups: usize,
}

impl Op for Conv {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let (x, weight) = (inputs.float(0)?, inputs.float(1)?);
        let bias = inputs.optional_float(2)?;
        let ([_, cin, h, w], [cout, from, kh, kw]) = (x.four()?, weight.four()?);
        if from * self.groups != cin || !cout.is_multiple_of(self.groups) || kh * kw == 0 {
            let groups = self.groups;
            return Err(format!(
                "{cin} channels, weights {cout}x{from}x{kh}x{kw} and {groups} groups don't fit"
            ));
        }
        if let Some(bias) = bias.as_ref().filter(|b| b.shape() != [cout]) {
            return Err(format!("a bias of shape {:?} for {cout} channels", bias.shape()));
        }
        let pads = self.windows.pads([h, w], [kh, kw]);
        for (i, size) in [h, w].into_iter().enumerate() {
            let reach = self.windows.reach(i, [kh, kw]);
            if size + pads[i].0 + pads[i].1 < reach {
                return Err(format!("windows of {reach} pixels on {h}x{w} ones"));
            }
        }
        let weight = weight.nchw()?;
        let bias = bias.map(|b| b.data().reshape([cout]));
        float(convolve(x, weight, bias, &self.windows, pads, self.groups)?)
    }
}

/// The convolution by what runs it best.
fn convolve(
    x: Float,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    windows: &Windows,
    pads: [(usize, usize); 2],
    groups: usize,
) -> Result<Float, String> {
    let [rows, columns] = windows.stride;
    if groups == 1 && windows.dilation == [1, 1] && rows == columns {
        let x = x.nhwc()?;
        let p = pads[0].0;
        if pads == [(p, p); 2] {
            return Ok(Float::from_nhwc(ops::conv2d(x, weight, bias, rows, p)));
        }
        return Ok(Float::from_nhwc(ops::conv2d(pad(x, pads, 0.0), weight, bias, rows, 0)));
    }
    if windows.dilation == [1, 1] && rows == columns {
        let [(top, bottom), (left, right)] = pads;
        let pad = [top, left, bottom, right];
        return Ok(Float::from_nhwc(ops::grouped_conv2d(x.nhwc()?, weight, bias, rows, pad, groups)));
    }
    let x = if pads.iter().all(|(before, after)| before == after) {
        x
    } else {
        return convolve(
            Float::from_nhwc(pad(x.nhwc()?, pads, 0.0)),
            weight,
            bias,
            windows,
            [(0, 0); 2],
            groups,
        );
    };
    let options = ConvOptions::new(windows.stride, pads.map(|p| p.0), windows.dilation, groups);
    Ok(Float::from_tensor(module::conv2d(x.nchw()?, weight, bias, options)))
}
