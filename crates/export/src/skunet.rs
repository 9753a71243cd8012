//! The SK-UNet: URIE, and the neural augmentation of the bank.

use dyntta_model::Error;

use crate::control::cells;
use crate::graph::{Graph, Setting, Value};
use crate::params::{EPSILON, Params};
use crate::tensors::Images;

/// The smallest side it takes.
const MIN_SIDE: i64 = 4;
/// The negative slope of a leaky ReLU.
const SLOPE: f32 = 0.01;
/// Cells a side of the gate's grid.
const CELLS: usize = 4;
/// The gate's hidden layer is this much smaller than its input.
const REDUCTION: usize = 16;

/// The network's images of `x`, `[n, 3, h, w]`, not clamped.
pub(crate) fn enhance(
    images: &Images<'_>,
    params: &Params<'_>,
    prefix: &str,
    x: &Value,
) -> Result<Value, Error> {
    let g = images.g;
    // Below the smallest side the last row or column is repeated, and cut off again.
    let size = [&images.h, &images.w].map(|m| g.max(m, &g.int(MIN_SIDE)));
    let grown = grow(g, x, [&images.h, &images.w], [&size[0], &size[1]], "edge");
    let two = g.int(2);
    let half = size.each_ref().map(|m| g.div(m, &two));
    let quarter = half.each_ref().map(|m| g.div(m, &two));

    let net = Net { g, params, prefix, n: &images.n };
    let pool = |x: &Value| g.max_pool(x, [2, 2, 0]);
    let full = net.conv(&grown, "stem", [32, 3, 9], true)?;
    let halves = net.block(&pool(&full), "down1", [32, 64], &half)?;
    let quarters = net.block(&pool(&halves), "down2", [64, 64], &quarter)?;
    let joined = net.join(&halves, &quarters, 64, &half, &quarter);
    let halves = net.block(&joined, "up1", [128, 32], &half)?;
    let joined = net.join(&full, &halves, 32, &size, &half);
    let full = net.block(&joined, "up2", [64, 16], &size)?;
    let residual = net.conv(&full, "head", [3, 16, 3], true)?;
    Ok(g.add(x, &cut(g, &residual, [&images.h, &images.w], [&size[0], &size[1]])))
}

/// Whether two sizes are known to be the same.
fn same(a: [&Value; 2], b: [&Value; 2]) -> bool {
    a.iter().zip(&b).all(|(a, b)| a.name() == b.name() || a.known().is_some() && a.known() == b.known())
}

/// `x`, of size `from`, with rows and columns added at the end.
fn grow(g: &Graph, x: &Value, from: [&Value; 2], to: [&Value; 2], mode: &str) -> Value {
    if same(from, to) {
        return x.clone();
    }
    let pads = [g.sub(to[0], from[0]), g.sub(to[1], from[1])];
    let pads = g.concat(&[&g.list(&[0; 6]), &g.vector(&[&pads[0], &pads[1]])], 0);
    g.op("Pad", &[x, &pads], &[("mode", Setting::Text(mode))])
}

/// The first rows and columns of `x`, of size `from`.
fn cut(g: &Graph, x: &Value, to: [&Value; 2], from: [&Value; 2]) -> Value {
    if same(from, to) {
        return x.clone();
    }
    g.op("Slice", &[x, &g.list(&[0, 0]), &g.vector(&to), &g.list(&[2, 3])], &[])
}

struct Net<'a> {
    g: &'a Graph,
    params: &'a Params<'a>,
    /// Empty, or ends in a dot.
    prefix: &'a str,
    n: &'a Value,
}

impl Net<'_> {
    fn weight(&self, key: &str, shape: &[usize]) -> Result<Value, Error> {
        let key = format!("{}{key}", self.prefix);
        Ok(self.g.weight(&key, shape, self.params.get(&key, shape)?.to_vec()))
    }

    /// A convolution that keeps the size; channels out and in, and the side.
    fn conv(
        &self,
        x: &Value,
        key: &str,
        [output, input, side]: [usize; 3],
        bias: bool,
    ) -> Result<Value, Error> {
        let weight = self.weight(&format!("{key}.weight"), &[output, input, side, side])?;
        let window = [side as i64, 1, side as i64 / 2];
        if !bias {
            return Ok(self.g.conv(&[x, &weight], window, 1));
        }
        let bias = self.weight(&format!("{key}.bias"), &[output])?;
        Ok(self.g.conv(&[x, &weight, &bias], window, 1))
    }

    /// Two branches, one on batch-normalised and one on instance-normalised input, blended by a gate of one weight a channel and
    /// cell. `x` is of `size`.
    fn block(
        &self,
        x: &Value,
        key: &str,
        [input, output]: [usize; 2],
        size: &[Value; 2],
    ) -> Result<Value, Error> {
        let g = self.g;
        let name = |part: &str| format!("{}{key}.{part}", self.prefix);
        let leaky = |x: &Value| g.op("LeakyRelu", &[x], &[("alpha", Setting::Float(SLOPE))]);
        let [scale, shift] = self.params.norm(&name("bn"), input)?;
        let by_channel = |part: &str, values| g.weight(&name(part), &[1, input, 1, 1], values);
        let scaled = g.mul(x, &by_channel("bn.scale", scale));
        let batch = leaky(&g.add(&scaled, &by_channel("bn.shift", shift)));
        let instance = leaky(&normalised(g, x));
        let a = self.conv(&batch, &format!("{key}.conv_a"), [output, input, 3], false)?;
        let b = self.conv(&instance, &format!("{key}.conv_b"), [output, input, 3], false)?;

        let rows = g.matmul(&cells(g, &size[0], CELLS), &g.add(&a, &b));
        let pooled = g.matmul(&rows, &g.transpose(&cells(g, &size[1], CELLS), &[1, 0]));
        let share = self.share(&pooled, key, output)?;
        // Width first: then the larger gather works on whole rows.
        let share = g.gather(&g.gather(&share, &nearest(g, &size[1]), 3), &nearest(g, &size[0]), 2);
        Ok(g.add(&b, &g.mul(&share, &g.sub(&a, &b))))
    }

    /// The share of the first branch, `[n, output, 4, 4]`. A softmax over two is a sigmoid of their difference.
    fn share(&self, pooled: &Value, key: &str, output: usize) -> Result<Value, Error> {
        let (g, flat) = (self.g, CELLS * CELLS * output);
        let hidden = flat / REDUCTION;
        let get =
            |part: &str, shape: &[usize]| self.params.get(&format!("{}{key}.{part}", self.prefix), shape);
        let turned = |weight: &[f32], rows: usize, columns: usize| -> Vec<f32> {
            (0..rows * columns).map(|i| weight[i % rows * columns + i / rows]).collect()
        };
        let name = |part: &str| format!("{}{key}.{part}", self.prefix);
        let squeeze = turned(get("squeeze.weight", &[hidden, flat])?, hidden, flat);
        let squeeze = g.weight(&name("squeeze.weight"), &[flat, hidden], squeeze);
        let less = |a: &[f32], b: &[f32]| -> Vec<f32> { a.iter().zip(b).map(|(a, b)| a - b).collect() };
        let shape = [flat, hidden];
        let attend = less(get("attend_a.weight", &shape)?, get("attend_b.weight", &shape)?);
        let attend = g.weight(&name("attend.weight"), &[hidden, flat], turned(&attend, flat, hidden));
        let bias = less(get("attend_a.bias", &[flat])?, get("attend_b.bias", &[flat])?);
        let bias = g.weight(&name("attend.bias"), &[flat], bias);
        let features = g.reshape(pooled, &g.list(&[-1, flat as i64]));
        let hidden = g.op("Relu", &[&g.matmul(&features, &squeeze)], &[]);
        let share = g.op("Sigmoid", &[&g.add(&g.matmul(&hidden, &attend), &bias)], &[]);
        Ok(g.reshape(&share, &g.list(&[-1, output as i64, CELLS as i64, CELLS as i64])))
    }

    /// `fine`, of `size`, with the channels of `coarse`, of the size `from`, behind it: doubled (bilinear, corners aligned) and
    /// padded with zeros.
    fn join(
        &self,
        fine: &Value,
        coarse: &Value,
        channels: i64,
        size: &[Value; 2],
        from: &[Value; 2],
    ) -> Value {
        let g = self.g;
        let twice = from.each_ref().map(|m| g.mul(m, &g.int(2)));
        let sizes = g.vector(&[self.n, &g.int(channels), &twice[0], &twice[1]]);
        let settings = [
            ("mode", Setting::Text("linear")),
            ("coordinate_transformation_mode", Setting::Text("align_corners")),
        ];
        let doubled = g.ops("Resize", &[Some(coarse), None, None, Some(&sizes)], &settings, 1).swap_remove(0);
        let doubled = grow(g, &doubled, [&twice[0], &twice[1]], [&size[0], &size[1]], "constant");
        g.concat(&[fine, &doubled], 1)
    }
}

/// `x` by the mean and the variance of each image's channels.
///
/// Not by `InstanceNormalization`: ONNX Runtime's sums millions of values one after the other in single precision. Rows first,
/// then their means, loses less, and takes as long.
fn normalised(g: &Graph, x: &Value) -> Value {
    let mean = |x: &Value| g.reduce("ReduceMean", &g.reduce("ReduceMean", x, &[3], true), &[2], true);
    let centred = g.sub(x, &mean(x));
    let variance = mean(&g.mul(&centred, &centred));
    let deviation = g.op("Sqrt", &[&g.add(&variance, &g.number(EPSILON))], &[]);
    g.mul(&centred, &g.op("Reciprocal", &[&deviation], &[]))
}

/// The cell that each place of an axis takes: `floor(i (4 / size))` in single precision, as PyTorch's nearest neighbour.
fn nearest(g: &Graph, size: &Value) -> Value {
    let ratio = g.div(&g.number(CELLS as f32), &g.float(size));
    let cell = g.whole(&g.floor(&g.mul(&g.float(&g.range(size)), &ratio)));
    g.min(&cell, &g.int(CELLS as i64 - 1))
}
