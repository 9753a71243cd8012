//! The operations that the networks are made of. Activations are NHWC, weights in PyTorch's layout.
//!
//! On the CPU backend each is a native kernel with a hand-written backward pass ([`native`]); elsewhere it is composed
//! of Burn's tensor operations ([`plain`]). The two agree to rounding; the tests hold them against each other.

pub mod blend;
pub mod branches;
pub mod extra;
pub mod frozen;
pub mod function;
pub mod memory;
pub mod native;
pub mod optimizer;
pub mod plain;

use branches::Statistics;
use burn::tensor::{Tensor, s};
use dyntta_kernels::pointwise::Pointwise;
use function::is_native;

/// 2-D convolution (cross-correlation) with zero padding.
///
/// `x` is `[n, h, w, cin]`, `weight` `[cout, cin, kh, kw]`, `bias` `[cout]`; the result is
/// `[n, (h + 2·pad − kh)/stride + 1, (w + 2·pad − kw)/stride + 1, cout]`.
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    pad: usize,
) -> Tensor<4> {
    let run = if is_native(&x) { native::conv2d } else { plain::conv2d };
    run(x, weight, bias, stride, pad)
}

/// [`conv2d`] with the channels in `groups`: `weight` is `[cout, cin / groups, kh, kw]`, and output channel o sees the
/// `cin / groups` input channels of group `⌊o · groups / cout⌋` alone. With `groups = cin` it is depthwise. The zeros
/// around the image are counted for each side: top, left, bottom, right.
pub fn grouped_conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    pad: [usize; 4],
    groups: usize,
) -> Tensor<4> {
    let run = if is_native(&x) { native::grouped_conv2d } else { plain::grouped_conv2d };
    run(x, weight, bias, stride, pad, groups)
}

/// A fully connected layer: `x` is `[n, in]`, `weight` `[out, in]`, `bias` `[out]`, the result `[n, out]`.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    let [n, input] = x.dims();
    let output = weight.dims()[0];
    // On one pixel an image, a 1×1 convolution is a matrix product.
    conv2d(x.reshape([n, 1, 1, input]), weight.reshape([output, input, 1, 1]), bias, 1, 0)
        .reshape([n, output])
}

/// Batch normalisation by the batch's own statistics (biased variance), then an activation.
///
/// The activation is `v` where `v > 0`, else `slope · v`: 0 is ReLU, 1 is none. Beside the result, the mean and biased
/// variance of each channel over batch, rows and columns: two tensors of `[c]`, outside the graph.
pub fn batch_norm(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
    slope: f32,
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    let run = if is_native(&x) { native::batch_norm } else { plain::batch_norm };
    run(x, gamma, beta, epsilon, slope)
}

/// `x · scale + shift` by channel, then the activation of [`batch_norm`]: normalisation by fixed statistics, which get
/// no gradient.
pub fn affine(x: Tensor<4>, scale: Tensor<1>, shift: Tensor<1>, slope: f32) -> Tensor<4> {
    let run = if is_native(&x) { native::affine } else { plain::affine };
    run(x, scale, shift, slope)
}

/// Each image's channel brought to mean 0 and variance 1 over its pixels (biased variance), then the activation of
/// [`batch_norm`].
pub fn instance_norm(x: Tensor<4>, epsilon: f64, slope: f32) -> Tensor<4> {
    let run = if is_native(&x) { native::instance_norm } else { plain::instance_norm };
    run(x, epsilon, slope)
}

/// `max(a + b, 0)`.
pub fn add_relu(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    let run = if is_native(&a) { native::add_relu } else { plain::add_relu };
    run(a, b)
}

/// `max(v, 0)`.
pub fn relu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if is_native(&x) { extra::pointwise(x, Pointwise::Relu) } else { plain::relu(x) }
}

/// `min(max(v, 0), 6)`.
pub fn relu6<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if is_native(&x) { extra::pointwise(x, Pointwise::Relu6) } else { plain::relu6(x) }
}

/// `v / (1 + exp(−v))`.
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if is_native(&x) { extra::pointwise(x, Pointwise::Silu) } else { plain::silu(x) }
}

/// `v · Φ(v)`, Φ the distribution function of the normal distribution: `v/2 · (1 + erf(v/√2))`.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if is_native(&x) { extra::pointwise(x, Pointwise::Gelu) } else { plain::gelu(x) }
}

/// Each position brought to mean 0 and variance 1 over its channels, the last dimension (biased variance), then times
/// `gamma` plus `beta`, both `[c]`.
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    let run = if is_native(&x) { extra::layer_norm } else { plain::layer_norm };
    run(x, gamma, beta, epsilon)
}

/// `x · scale`, the scale by channel: `[n, 1, 1, c]`, or `[1, 1, 1, c]` for all images alike.
pub fn scale_channels(x: Tensor<4>, scale: Tensor<4>) -> Tensor<4> {
    let run = if is_native(&x) { extra::scale_channels } else { plain::scale_channels };
    run(x, scale)
}

/// Scaled dot-product self-attention: `qkv` is `[n, tokens, 3 · c]`, queries, keys and values in this order, each of
/// `heads` parts; the result is `[n, tokens, c]`.
pub fn attention(qkv: Tensor<3>, heads: usize) -> Tensor<3> {
    plain::attention(qkv, heads)
}

/// Largest value in each `size × size` window; padding never wins.
pub fn max_pool(x: Tensor<4>, size: usize, stride: usize, pad: usize) -> Tensor<4> {
    let run = if is_native(&x) { native::max_pool } else { plain::max_pool };
    run(x, size, stride, pad)
}

/// Mean over a `size × size` grid of cells; cell i covers rows `⌊i·h/size⌋ .. ⌈(i+1)·h/size⌉`.
pub fn adaptive_avg_pool(x: Tensor<4>, size: usize) -> Tensor<4> {
    adaptive_avg_pool_to(x, size, size)
}

/// As [`adaptive_avg_pool`], to `out_h × out_w`.
pub fn adaptive_avg_pool_to(x: Tensor<4>, out_h: usize, out_w: usize) -> Tensor<4> {
    let run = if is_native(&x) { native::adaptive_avg_pool_to } else { plain::adaptive_avg_pool_to };
    run(x, out_h, out_w)
}

/// Mean of each `size × size` cell; rows and columns that fill no cell are left out.
pub fn avg_pool(x: Tensor<4>, size: usize) -> Tensor<4> {
    let run = if is_native(&x) { extra::avg_pool } else { plain::avg_pool };
    run(x, size)
}

/// Bilinear resampling to `out_h × out_w` with the corners aligned.
pub fn upsample_to(x: Tensor<4>, out_h: usize, out_w: usize) -> Tensor<4> {
    let run = if is_native(&x) { native::upsample_to } else { plain::upsample_to };
    run(x, out_h, out_w)
}

/// The two branches of a selective block: `conv(act(batch_norm(x)))` and `conv(act(instance_norm(x)))`, each with its own
/// weights, stride 1 and padding that keeps the size; see [`batch_norm`] and [`instance_norm`].
///
/// `x` is `[n, h, w, c]`, `affine` the batch norm's scale and shift, `weights` two of `[cout, c, k, k]`; with `fixed`, mean
/// and variance of every channel, those stand in for the batch's statistics. The result is `[2, n, h, w, cout]`, with mean
/// and biased variance of the batch's channels, outside the graph.
pub fn branches(
    x: Tensor<4>,
    affine: [Tensor<1>; 2],
    fixed: Option<Statistics>,
    weights: [Tensor<4>; 2],
    epsilon: f64,
    slope: f32,
) -> (Tensor<5>, Statistics) {
    let run = if is_native(&x) { branches::branches } else { plain::branches };
    run(x, affine, fixed, weights, epsilon, slope)
}

/// `fine` and, behind its channels, `coarse` doubled in size ([`upsample_to`]), with zeros below and to the right of it
/// where `fine` is larger still.
pub fn join_doubled(fine: Tensor<4>, coarse: Tensor<4>) -> Tensor<4> {
    let run = if is_native(&fine) { branches::join_doubled } else { plain::join_doubled };
    run(fine, coarse)
}

/// The parameter-free shortcut of the CIFAR ResNets: every second pixel, channels padded with zeros to `channels`,
/// half of them before and half after.
pub fn shrink_shortcut(x: Tensor<4>, channels: usize) -> Tensor<4> {
    let c = x.dims()[3];
    let x = x.slice(s![.., ..;2, ..;2, ..]);
    let [n, h, w, _] = x.dims();
    let before = (channels - c) / 2;
    let zeros = |count| Tensor::<4>::zeros([n, h, w, count], &x.device().without_autodiff());
    Tensor::cat(vec![zeros(before), x.clone(), zeros(channels - c - before)], 3)
}
