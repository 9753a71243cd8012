//! Resampling of images to another size.

use burn::tensor::{Tensor, TensorData};

use super::{Context, Inputs, Op, boxed, float};
use crate::onnx::ir::Node;
use crate::onnx::value::{self, Float, Value};

pub const OPS: &[(&str, super::Build)] = &[("Resize", resize)];

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
}

/// Where output pixel i lies among the input's.
#[derive(Clone, Copy, Debug)]
enum Coordinates {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
}

#[derive(Debug)]
struct Resize {
    mode: Mode,
    coordinates: Coordinates,
    exclude_outside: bool,
    axes: Option<Vec<i64>>,
}

fn resize(node: &Node) -> Result<Box<dyn Op>, String> {
    let attributes = &node.attributes;
    let mode = match attributes.string("mode", "nearest").as_str() {
        "nearest" => Mode::Nearest(match attributes.string("nearest_mode", "round_prefer_floor").as_str() {
            "round_prefer_floor" => Rounding::PreferFloor,
            "round_prefer_ceil" => Rounding::PreferCeil,
            "floor" => Rounding::Floor,
            "ceil" => Rounding::Ceil,
            other => return Err(format!("nearest_mode = {other}")),
        }),
        "linear" => Mode::Linear,
        "cubic" => Mode::Cubic(attributes.float("cubic_coeff_a").unwrap_or(-0.75).into()),
        other => return Err(format!("mode = {other}")),
    };
    let coordinates = match attributes.string("coordinate_transformation_mode", "half_pixel").as_str() {
        "half_pixel" => Coordinates::HalfPixel,
        "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "align_corners" => Coordinates::AlignCorners,
        "asymmetric" => Coordinates::Asymmetric,
        other => return Err(format!("coordinate_transformation_mode = {other}")),
    };
    if attributes.int("antialias") == Some(1) {
        return Err("antialias".into());
    }
    let policy = attributes.string("keep_aspect_ratio_policy", "stretch");
    if policy != "stretch" {
        return Err(format!("keep_aspect_ratio_policy = {policy}"));
    }
    let exclude_outside = attributes.int("exclude_outside") == Some(1);
    boxed(Resize { mode, coordinates, exclude_outside, axes: attributes.ints("axes").map(<[i64]>::to_vec) })
}

impl Op for Resize {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.float(0)?;
        let scales = inputs.optional_float(2)?.map(Float::values).unwrap_or_default();
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
        let mut x = x;
        for (i, &axis) in axes.iter().enumerate() {
            let input = shape[axis];
            let (output, scale) = match scales.get(i) {
                Some(&scale) => ((input as f64 * f64::from(scale)).floor() as usize, f64::from(scale)),
                None => (sizes[i], sizes[i] as f64 / input as f64),
            };
            if output == 0 || input == 0 {
                return Err(format!("{input} pixels to {output}"));
            }
            let mut larger = x.shape();
            larger[axis] = output;
            value::count(&larger)?;
            value::count(&[input, output])?;
            // The batch of a file made for one image may stand among the sizes.
            let batch = axis == 0 && context.batch.as_ref().is_some_and(|b| output == b.from);
            if (output == input && scale == 1.0) || batch {
                continue;
            }
            x = self.axis(x, axis, input, output, scale, context);
        }
        float(x)
    }
}

impl Resize {
    fn axis(
        &self,
        x: Float,
        axis: usize,
        input: usize,
        output: usize,
        scale: f64,
        context: &Context<'_>,
    ) -> Float {
        let position = |o: usize| self.position(o as f64, input as f64, output as f64, scale);
        let last = input as i64 - 1;
        if let Mode::Nearest(rounding) = self.mode {
            let index = |o| {
                let p: f64 = position(o);
                let i = match rounding {
                    Rounding::PreferFloor => (p - 0.5).ceil(),
                    Rounding::PreferCeil => (p + 0.5).floor(),
                    Rounding::Floor => p.floor(),
                    Rounding::Ceil => p.ceil(),
                };
                (i as i64).clamp(0, last) as usize
            };
            return x.select(axis, &(0..output).map(index).collect::<Vec<_>>());
        }
        let mut matrix = vec![0.0f32; output * input];
        for o in 0..output {
            let p: f64 = position(o);
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
        // The axis becomes the rows of a matrix, whose columns are all behind it.
        let at = x.at(axis);
        x.map(|x| {
            let mut dims = x.dims();
            let lead: usize = dims[..at].iter().product();
            let rest: usize = dims[at + 1..].iter().product();
            dims[at] = output;
            matrix.unsqueeze::<3>().matmul(x.reshape([lead, input, rest])).reshape(dims)
        })
    }

    fn position(&self, o: f64, input: f64, output: f64, scale: f64) -> f64 {
        match self.coordinates {
            Coordinates::HalfPixel => (o + 0.5) / scale - 0.5,
            Coordinates::HalfPixelSymmetric => {
                let adjustment = output / (scale * input);
                input / 2.0 * (1.0 - adjustment) + (o + 0.5) / scale - 0.5
            }
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
