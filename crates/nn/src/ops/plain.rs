//! Every network operation composed of Burn tensor operations: the reference for the native kernels, and what runs on
//! devices that have none. Activations are NHWC.

use burn::tensor::activation;
use burn::tensor::module::{
    avg_pool2d as burn_avg_pool2d, conv2d as burn_conv2d, max_pool2d as burn_max_pool2d,
};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{Int, Tensor, TensorData, s};

use super::branches::Statistics;

/// See [`super::conv2d`].
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    pad: usize,
) -> Tensor<4> {
    grouped_conv2d(x, weight, bias, stride, [pad; 4], 1)
}

/// See [`super::grouped_conv2d`].
pub fn grouped_conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    [top, left, bottom, right]: [usize; 4],
    groups: usize,
) -> Tensor<4> {
    let pad = [(top, bottom), (left, right)];
    let options = ConvOptions::new_with_padding([stride; 2], pad, [1; 2], groups);
    to_nhwc(burn_conv2d(to_nchw(x), weight, bias, options))
}

/// See [`super::relu`].
pub fn relu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::relu(x)
}

/// See [`super::relu6`].
pub fn relu6<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clamp(0.0, 6.0)
}

/// See [`super::silu`].
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::silu(x)
}

/// See [`super::gelu`].
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::gelu(x)
}

/// See [`super::layer_norm`].
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    let centred = x.clone() - x.mean_dim(D - 1);
    let variance = centred.clone().powi_scalar(2).mean_dim(D - 1);
    centred / variance.add_scalar(epsilon).sqrt() * gamma.unsqueeze() + beta.unsqueeze()
}

/// See [`super::scale_channels`].
pub fn scale_channels(x: Tensor<4>, scale: Tensor<4>) -> Tensor<4> {
    x * scale
}

/// See [`super::attention`].
pub fn attention(qkv: Tensor<3>, heads: usize) -> Tensor<3> {
    let [n, tokens, three_c] = qkv.dims();
    let c = three_c / 3;
    let parts = qkv.reshape([n, tokens, 3, heads, c / heads]).permute([2, 0, 3, 1, 4]);
    let part = |i: usize| parts.clone().slice(s![i..i + 1]).reshape([n, heads, tokens, c / heads]);
    let scores = part(0).mul_scalar(((c / heads) as f64).sqrt().recip()).matmul(part(1).swap_dims(2, 3));
    let y = activation::softmax(scores, 3).matmul(part(2));
    y.swap_dims(1, 2).reshape([n, tokens, c])
}

/// See [`super::avg_pool`].
pub fn avg_pool(x: Tensor<4>, size: usize) -> Tensor<4> {
    to_nhwc(burn_avg_pool2d(to_nchw(x), AvgPoolOptions::new([size; 2]).with_stride([size; 2])))
}

/// `v` where `v > 0`, else `slope · v`.
pub fn leaky_relu(x: Tensor<4>, slope: f32) -> Tensor<4> {
    if slope == 1.0 {
        return x;
    }
    let negative = x.clone().lower_elem(0.0);
    let scaled = x.clone().mul_scalar(slope);
    x.mask_where(negative, scaled)
}

/// See [`super::batch_norm`].
pub fn batch_norm(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
    slope: f32,
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    let [n, h, w, c] = x.dims();
    let x = x.reshape([n * h * w, c]);
    let mean = x.clone().mean_dim(0);
    let centred = x - mean.clone();
    let variance = centred.clone().powi_scalar(2).mean_dim(0);
    let scale = gamma.reshape([1, c]) / variance.clone().add_scalar(epsilon).sqrt();
    let y = (centred * scale + beta.reshape([1, c])).reshape([n, h, w, c]);
    let outside = |t: Tensor<2>| t.without_autodiff().reshape([c]);
    (leaky_relu(y, slope), outside(mean), outside(variance))
}

/// See [`super::affine`].
pub fn affine(x: Tensor<4>, scale: Tensor<1>, shift: Tensor<1>, slope: f32) -> Tensor<4> {
    let (scale, shift) = (scale.without_autodiff(), shift.without_autodiff());
    let c = scale.dims()[0];
    leaky_relu(x * scale.reshape([1, 1, 1, c]) + shift.reshape([1, 1, 1, c]), slope)
}

/// See [`super::instance_norm`].
pub fn instance_norm(x: Tensor<4>, epsilon: f64, slope: f32) -> Tensor<4> {
    let [n, h, w, c] = x.dims();
    let x = x.reshape([n, h * w, c]);
    let mean = x.clone().mean_dim(1);
    let centred = x - mean;
    let variance = centred.clone().powi_scalar(2).mean_dim(1);
    leaky_relu((centred / variance.add_scalar(epsilon).sqrt()).reshape([n, h, w, c]), slope)
}

/// See [`super::add_relu`].
pub fn add_relu(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    leaky_relu(a + b, 0.0)
}

/// See [`super::max_pool`].
pub fn max_pool(x: Tensor<4>, size: usize, stride: usize, pad: usize) -> Tensor<4> {
    let options = MaxPoolOptions::new([size; 2]).with_stride([stride; 2]).with_padding([pad; 2]);
    to_nhwc(burn_max_pool2d(to_nchw(x), options))
}

/// See [`super::adaptive_avg_pool`].
pub fn adaptive_avg_pool(x: Tensor<4>, size: usize) -> Tensor<4> {
    adaptive_avg_pool_to(x, size, size)
}

/// See [`super::adaptive_avg_pool_to`].
pub fn adaptive_avg_pool_to(x: Tensor<4>, out_h: usize, out_w: usize) -> Tensor<4> {
    let [_, h, w, _] = x.dims();
    let weights = |input: usize, size: usize| {
        let mut m = vec![0.0f32; size * input];
        for o in 0..size {
            let (start, end) = (o * input / size, ((o + 1) * input).div_ceil(size));
            m[o * input + start..o * input + end].fill(1.0 / (end - start) as f32);
        }
        m
    };
    resample(x, out_h, out_w, &weights(h, out_h), &weights(w, out_w))
}

/// See [`super::upsample_to`].
pub fn upsample_to(x: Tensor<4>, out_h: usize, out_w: usize) -> Tensor<4> {
    let [_, h, w, _] = x.dims();
    let weights = |input: usize, output: usize| {
        let step = if output > 1 { (input - 1) as f32 / (output - 1) as f32 } else { 0.0 };
        let mut m = vec![0.0f32; output * input];
        for o in 0..output {
            let position = o as f32 * step;
            let low = (position as usize).min(input - 1);
            let t = position - low as f32;
            m[o * input + low] += 1.0 - t;
            m[o * input + (low + 1).min(input - 1)] += t;
        }
        m
    };
    resample(x, out_h, out_w, &weights(h, out_h), &weights(w, out_w))
}

/// See [`super::branches()`].
pub fn branches(
    x: Tensor<4>,
    [gamma, beta]: [Tensor<1>; 2],
    fixed: Option<Statistics>,
    [weight_a, weight_b]: [Tensor<4>; 2],
    epsilon: f64,
    slope: f32,
) -> (Tensor<5>, Statistics) {
    let pad = weight_a.dims()[2] / 2;
    let (a, mean, variance) = batch_norm(x.clone(), gamma.clone(), beta.clone(), epsilon, slope);
    let a = match fixed {
        None => a,
        Some((mean, variance)) => {
            let scale = gamma / variance.add_scalar(epsilon).sqrt();
            let shift = beta - mean * scale.clone();
            let [n, h, w, c] = x.dims();
            let y = x.clone() * scale.reshape([1, 1, 1, c]).expand([n, h, w, c]);
            leaky_relu(y + shift.reshape([1, 1, 1, c]), slope)
        }
    };
    let b = instance_norm(x, epsilon, slope);
    let conv = |x, weight| conv2d(x, weight, None, 1, pad);
    (Tensor::stack(vec![conv(a, weight_a), conv(b, weight_b)], 0), (mean, variance))
}

/// Both halves of what [`branches`] gives.
pub(super) fn halves(both: Tensor<5>) -> [Tensor<4>; 2] {
    let [_, n, h, w, c] = both.dims();
    [0, 1].map(|i| both.clone().narrow(0, i, 1).reshape([n, h, w, c]))
}

/// See [`super::join_doubled`].
pub fn join_doubled(fine: Tensor<4>, coarse: Tensor<4>) -> Tensor<4> {
    let [n, h, w, _] = fine.dims();
    let [_, ch, cw, c] = coarse.dims();
    let mut coarse = upsample_to(coarse, 2 * ch, 2 * cw);
    for (dim, gap) in [(1, h - 2 * ch), (2, w - 2 * cw)] {
        if gap > 0 {
            let mut shape = [n, h, if dim == 1 { 2 * cw } else { w }, c];
            shape[dim] = gap;
            let zeros = Tensor::zeros(shape, &coarse.device().without_autodiff());
            coarse = Tensor::cat(vec![coarse, zeros], dim);
        }
    }
    Tensor::cat(vec![fine, coarse], 3)
}

/// See [`super::branches::BranchGate::blend`].
pub fn gate(a: Tensor<4>, b: Tensor<4>, map_a: Tensor<4>, map_b: Tensor<4>) -> Tensor<4> {
    let [_, h, w, _] = a.dims();
    let [_, mh, mw, _] = map_a.dims();
    let device = map_a.device();
    let index = |size: usize, cells: usize| {
        let scale = cells as f32 / size as f32;
        let at: Vec<i32> = (0..size).map(|i| ((i as f32 * scale) as usize).min(cells - 1) as i32).collect();
        Tensor::<1, Int>::from_data(TensorData::new(at, [size]), &device)
    };
    let (rows, columns) = (index(h, mh), index(w, mw));
    let spread = |map: Tensor<4>| map.select(1, rows.clone()).select(2, columns.clone());
    a * spread(map_a) + b * spread(map_b)
}

/// NCHW to NHWC.
pub fn to_nhwc(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 2, 3, 1])
}

/// NHWC to NCHW.
pub fn to_nchw(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 3, 1, 2])
}

/// Separable resampling by one matrix a direction: `rows` is `[out_h, h]`, `columns` `[out_w, w]`, both row-major.
fn resample(x: Tensor<4>, out_h: usize, out_w: usize, rows: &[f32], columns: &[f32]) -> Tensor<4> {
    let [n, h, w, c] = x.dims();
    let device = x.device().without_autodiff();
    let matrix = |values: &[f32], output: usize, input: usize| {
        Tensor::<3>::from_data(TensorData::new(values.to_vec(), [1, output, input]), &device)
    };
    let x = x.reshape([n, h, w * c]);
    let x = matrix(rows, out_h, h).matmul(x).reshape([n * out_h, w, c]);
    matrix(columns, out_w, w).matmul(x).reshape([n, out_h, out_w, c])
}
