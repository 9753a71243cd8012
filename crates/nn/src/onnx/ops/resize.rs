//! Resampling of images to another size, at the positions that ONNX Runtime computes: in single precision, since a tie may
//! fall to either side.

use burn::tensor::{Tensor, TensorData};

use super::{Context, Inputs, Op, boxed, float};
use crate::onnx::ir::Node;
use crate::onnx::value::{self, Float, Value};

pub const OPS: &[(&str, super::Build)] = &[("Resize", resize), ("Upsample", upsample)];

#[derive(Clone, Copy, Debug)]
enum Mode {
    Nearest(Rounding),
    Linear,
    /// With the coefficient a of the cubic convolution (Keys 1981).
    Cubic(f64),
}

#[derive(Clone, Copy, Debug)]
enum Rounding {
    PreferFloor,
    PreferCeil,
    Floor,
    Ceil,
    /// Up to operator set 10: up where the image shrinks, else towards zero.
    Simple,
}

/// Where output pixel i lies among the input's.
#[derive(Clone, Copy, Debug)]
enum Coordinates {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    /// Of operator sets 11 and 12.
    TensorflowHalfPixel,
    AlignCorners,
    Asymmetric,
}

#[derive(Debug)]
struct Resize {
    mode: Mode,
    coordinates: Coordinates,
    exclude_outside: bool,
    axes: Option<Vec<i64>>,
    /// The input that holds the scales, or the scales themselves.
    scales: Result<usize, Vec<f32>>,
}

fn mode(node: &Node) -> Result<Mode, String> {
    let attributes = &node.attributes;
    let rounding = match attributes.string("nearest_mode", "round_prefer_floor").as_str() {
        _ if node.opset < 11 => Rounding::Simple,
        "round_prefer_floor" => Rounding::PreferFloor,
        "round_prefer_ceil" => Rounding::PreferCeil,
        "floor" => Rounding::Floor,
        "ceil" => Rounding::Ceil,
        other => return Err(format!("nearest_mode = {other}")),
    };
    match attributes.string("mode", "nearest").as_str() {
        "nearest" => Ok(Mode::Nearest(rounding)),
        "linear" => Ok(Mode::Linear),
        "cubic" if node.opset > 10 => {
            Ok(Mode::Cubic(attributes.float("cubic_coeff_a").unwrap_or(-0.75).into()))
        }
        other => Err(format!("mode = {other}")),
    }
}

/// Before `Resize` and in its first version there were fewer ways.
fn early(node: &Node, scales: Result<usize, Vec<f32>>) -> Result<Box<dyn Op>, String> {
    let mode = mode(node)?;
    boxed(Resize { mode, coordinates: Coordinates::Asymmetric, exclude_outside: false, axes: None, scales })
}

fn upsample(node: &Node) -> Result<Box<dyn Op>, String> {
    match node.opset {
        ..9 => early(node, Err(node.attributes.floats("scales").ok_or("no scales")?.to_vec())),
        9 => early(node, Ok(1)),
        opset => Err(format!("operator set {opset}, which doesn't have it")),
    }
}

fn resize(node: &Node) -> Result<Box<dyn Op>, String> {
    if node.opset < 11 {
        return early(node, Ok(1));
    }
    let attributes = &node.attributes;
    let coordinates = match attributes.string("coordinate_transformation_mode", "half_pixel").as_str() {
        "half_pixel" => Coordinates::HalfPixel,
        "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "tf_half_pixel_for_nn" => Coordinates::TensorflowHalfPixel,
        "align_corners" => Coordinates::AlignCorners,
        "asymmetric" => Coordinates::Asymmetric,
        other => return Err(format!("coordinate_transformation_mode = {other}")),
    };
    if attributes.int("antialias").unwrap_or(0) != 0 {
        return Err("antialias".into());
    }
    let policy = attributes.string("keep_aspect_ratio_policy", "stretch");
    if policy != "stretch" {
        return Err(format!("keep_aspect_ratio_policy = {policy}"));
    }
    let exclude_outside = attributes.int("exclude_outside") == Some(1);
    let axes = attributes.ints("axes").map(<[i64]>::to_vec);
    boxed(Resize { mode: mode(node)?, coordinates, exclude_outside, axes, scales: Ok(2) })
}

impl Op for Resize {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.float(0)?;
        let scales = match &self.scales {
            Ok(i) => inputs.optional_float(*i)?.map(Float::values).unwrap_or_default(),
            Err(scales) => scales.clone(),
        };
        let sizes = inputs.optional_ints(3)?.map(|s| s.extents()).transpose()?.unwrap_or_default();
        let (shape, rank) = (x.shape(), x.rank());
        let axes = match &self.axes {
            None => (0..rank).collect(),
            Some(axes) => axes.iter().map(|&a| value::axis(a, rank)).collect::<Result<Vec<_>, _>>()?,
        };
        let given = if scales.is_empty() { sizes.len() } else { scales.len() };
        if given != axes.len() {
            return Err(format!("{given} scales or sizes for {} axes", axes.len()));
        }
        if (1..axes.len()).any(|i| axes[..i].contains(&axes[i])) {
            return Err(format!("an axis twice among {axes:?}"));
        }
        let from = shape.iter().product();
        let sized = |i: usize| match scales.get(i) {
            Some(&scale) => ((shape[axes[i]] as f32 * scale) as usize, scale),
            None => (sizes[i], sizes[i] as f32 / shape[axes[i]] as f32),
        };
        // What keeps its size stays as it is, whatever the scales are.
        if (0..axes.len()).all(|i| sized(i).0 == shape[axes[i]]) {
            return float(x);
        }
        let mut x = x;
        for (i, &axis) in axes.iter().enumerate() {
            let input = shape[axis];
            let (output, scale) = sized(i);
            if output == 0 || input == 0 || !scale.is_finite() {
                return Err(format!("{input} pixels to {output}, scaled by {scale}"));
            }
            let mut larger = x.shape();
            larger[axis] = output;
            context.made(&larger, from)?;
            // The batch of a file made for one image may stand among the sizes.
            let batch = axis == 0 && context.batch.as_ref().is_some_and(|b| output == b.from);
            if (output == input && scale == 1.0) || batch {
                continue;
            }
            x = self.axis(x, axis, [input, output], scale, context)?;
        }
        float(x)
    }
}

impl Resize {
    fn axis(
        &self,
        x: Float,
        axis: usize,
        [input, output]: [usize; 2],
        scale: f32,
        context: &Context<'_>,
    ) -> Result<Float, String> {
        let position = |o: usize| self.position(o as f32, input as f32, output as f32, scale);
        let last = input as i64 - 1;
        if let Mode::Nearest(rounding) = self.mode {
            let index = |o| {
                let p: f32 = position(o);
                // So close to the middle it is a tie.
                let tie = (p - p.floor() - 0.5).abs() < 1e-6;
                let i = match rounding {
                    Rounding::PreferFloor if tie => p.floor(),
                    Rounding::PreferCeil if tie => p.ceil(),
                    Rounding::PreferFloor | Rounding::PreferCeil => p.round(),
                    Rounding::Floor => p.floor(),
                    Rounding::Simple if scale < 1.0 => p.ceil(),
                    Rounding::Simple => p.trunc(),
                    Rounding::Ceil => p.ceil(),
                };
                (i as i64).clamp(0, last) as usize
            };
            return Ok(x.select(axis, &(0..output).map(index).collect::<Vec<_>>()));
        }
        context.made(&[output, input], 0)?;
        let mut matrix = vec![0.0f32; output * input];
        for o in 0..output {
            let p = f64::from(position(o));
            let low = p.floor();
            let mut taps = match self.mode {
                Mode::Cubic(a) => [-1.0, 0.0, 1.0, 2.0].map(|k| (low + k, cubic(p - low - k, a))),
                _ => [-1.0, 0.0, 1.0, 2.0].map(|k| (low + k, (1.0 - (p - low - k).abs()).max(0.0))),
            };
            if self.exclude_outside {
                taps = taps.map(|(i, w)| (i, if i < 0.0 || i > last as f64 { 0.0 } else { w }));
                let sum: f64 = taps.iter().map(|t| t.1).sum();
                taps = taps.map(|(i, w)| (i, w / sum));
            }
            for (i, weight) in taps {
                matrix[o * input + (i as i64).clamp(0, last) as usize] += weight as f32;
            }
        }
        let matrix = Tensor::<2>::from_data(TensorData::new(matrix, [output, input]), context.device);
        context.affordable(&[x.shape().iter().product(), output])?;
        // The axis becomes the rows of a matrix, whose columns are all behind it.
        let at = x.at(axis);
        Ok(x.map(|x| {
            let mut dims = x.dims();
            let lead: usize = dims[..at].iter().product();
            let rest: usize = dims[at + 1..].iter().product();
            dims[at] = output;
            if rest == 1 {
                // One product instead of one for each row.
                return x.reshape([lead, input]).matmul(matrix.transpose()).reshape(dims);
            }
            matrix.unsqueeze::<3>().matmul(x.reshape([lead, input, rest])).reshape(dims)
        }))
    }

    fn position(&self, o: f32, input: f32, output: f32, scale: f32) -> f32 {
        match self.coordinates {
            Coordinates::HalfPixel => (o + 0.5) / scale - 0.5,
            Coordinates::HalfPixelSymmetric => {
                let adjustment = output / (scale * input);
                let offset = input / 2.0 * (1.0 - adjustment);
                (f64::from(offset) + (f64::from(o) + 0.5) / f64::from(scale) - 0.5) as f32
            }
            Coordinates::TensorflowHalfPixel => (o + 0.5) / scale,
            Coordinates::PytorchHalfPixel if output <= 1.0 => 0.0,
            Coordinates::PytorchHalfPixel => (o + 0.5) / scale - 0.5,
            Coordinates::AlignCorners if output <= 1.0 => 0.0,
            Coordinates::AlignCorners => o * (input - 1.0) / (output - 1.0),
            Coordinates::Asymmetric => o / scale,
        }
    }
}

/// The kernel of cubic convolution at distance `d`.
fn cubic(d: f64, a: f64) -> f64 {
    let d = d.abs();
    if d <= 1.0 {
        ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    } else if d < 2.0 {
        ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
    } else {
        0.0
    }
}
