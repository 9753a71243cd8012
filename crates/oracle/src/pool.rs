//! Pools.

use super::to_f32;
use dyntta_kernels::pool::{AvgPool, MaxPool};
use dyntta_kernels::pool2d::Pool2d;

/// For each window, in reading order: its inputs as pixels of the batch, how many places it has in the padded image.
fn windows(p: &Pool2d) -> Vec<(Vec<usize>, usize)> {
    // Positions of window `o` along an axis, the padding before it included.
    let positions = |axis: usize, o: usize| {
        (0..p.kernel[axis]).map(move |k| o * p.stride[axis] + k * p.dilation[axis]).collect::<Vec<_>>()
    };
    let [top, left, bottom, right] = p.pad;
    let mut all = Vec::new();
    for n in 0..p.n {
        for oy in 0..p.out_h() {
            for ox in 0..p.out_w() {
                let (mut inputs, mut places) = (Vec::new(), 0);
                for y in positions(0, oy) {
                    for x in positions(1, ox) {
                        if y < top + p.h + bottom && x < left + p.w + right {
                            places += 1;
                        }
                        if y >= top && y < top + p.h && x >= left && x < left + p.w {
                            inputs.push((n * p.h + y - top) * p.w + x - left);
                        }
                    }
                }
                all.push((inputs, places));
            }
        }
    }
    all
}

/// [`dyntta_kernels::pool2d::max_pool2d_forward`].
pub fn max_pool2d_forward(p: &Pool2d, x: &[f32], y: &mut [f32], index: &mut [u32]) {
    for (o, (inputs, _)) in windows(p).into_iter().enumerate() {
        for c in 0..p.c {
            let mut best: Option<(f32, usize)> = None;
            for &i in &inputs {
                let v = x[i * p.c + c];
                if best.is_none_or(|b| v > b.0 || v.is_nan()) {
                    best = Some((v, i % (p.h * p.w)));
                }
            }
            let (v, at) = best.map_or((f32::NEG_INFINITY, u32::MAX), |b| (b.0, b.1 as u32));
            (y[o * p.c + c], index[o * p.c + c]) = (v, at);
        }
    }
}

/// [`dyntta_kernels::pool2d::max_pool2d_backward`].
pub fn max_pool2d_backward(p: &Pool2d, g: &[f32], index: &[u32], dx: &mut [f32]) {
    let mut sum = vec![0.0f64; p.input_len()];
    let image = p.out_h() * p.out_w() * p.c;
    for (i, g) in g.iter().enumerate() {
        if index[i] != u32::MAX {
            sum[(i / image * p.h * p.w + index[i] as usize) * p.c + i % p.c] += f64::from(*g);
        }
    }
    to_f32(&sum, dx);
}

/// Calls `f(output float, input float, weight)` for every pair that an average joins.
fn each_share(p: &Pool2d, count_include_pad: bool, mut f: impl FnMut(usize, usize, f64)) {
    for (o, (inputs, places)) in windows(p).into_iter().enumerate() {
        let count = if count_include_pad { places } else { inputs.len() };
        for i in inputs {
            for c in 0..p.c {
                f(o * p.c + c, i * p.c + c, 1.0 / count as f64);
            }
        }
    }
}

/// [`dyntta_kernels::pool2d::avg_pool2d_forward`].
pub fn avg_pool2d_forward(p: &Pool2d, count_include_pad: bool, x: &[f32], y: &mut [f32]) {
    let mut sum = vec![0.0f64; p.output_len()];
    each_share(p, count_include_pad, |o, i, share| sum[o] += f64::from(x[i]) * share);
    to_f32(&sum, y);
}

/// [`dyntta_kernels::pool2d::avg_pool2d_backward`].
pub fn avg_pool2d_backward(p: &Pool2d, count_include_pad: bool, g: &[f32], dx: &mut [f32]) {
    let mut sum = vec![0.0f64; p.input_len()];
    each_share(p, count_include_pad, |o, i, share| sum[i] += f64::from(g[o]) * share);
    to_f32(&sum, dx);
}

/// [`dyntta_kernels::pool::max_pool_forward`].
pub fn max_pool_forward(p: &MaxPool, x: &[f32], y: &mut [f32], index: &mut [u32]) {
    max_pool2d_forward(&(*p).into(), x, y, index);
}

/// [`dyntta_kernels::pool::max_pool_backward`].
pub fn max_pool_backward(p: &MaxPool, g: &[f32], index: &[u32], dx: &mut [f32]) {
    max_pool2d_backward(&(*p).into(), g, index, dx);
}

/// Calls `f(output, input, area)` for every pair of pixels an average pool joins.
fn each_average(p: &AvgPool, mut f: impl FnMut(usize, usize, f64)) {
    let span = |o: usize, out: usize, size: usize| {
        let lo = (o as f64 * size as f64 / out as f64).floor() as usize;
        let hi = ((o + 1) as f64 * size as f64 / out as f64).ceil() as usize;
        lo..hi
    };
    for n in 0..p.n {
        for oy in 0..p.oh {
            for ox in 0..p.ow {
                let (ys, xs) = (span(oy, p.oh, p.h), span(ox, p.ow, p.w));
                let area = (ys.len() * xs.len()) as f64;
                for y in ys {
                    for x in xs.clone() {
                        f((n * p.oh + oy) * p.ow + ox, (n * p.h + y) * p.w + x, area);
                    }
                }
            }
        }
    }
}

/// [`dyntta_kernels::pool::adaptive_avg_pool_forward`].
pub fn adaptive_avg_pool_forward(p: &AvgPool, x: &[f32], y: &mut [f32]) {
    let mut sum = vec![0.0f64; p.output_len()];
    each_average(p, |o, i, area| {
        for c in 0..p.c {
            sum[o * p.c + c] += f64::from(x[i * p.c + c]) / area;
        }
    });
    to_f32(&sum, y);
}

/// [`dyntta_kernels::pool::adaptive_avg_pool_backward`].
pub fn adaptive_avg_pool_backward(p: &AvgPool, g: &[f32], dx: &mut [f32]) {
    let mut sum = vec![0.0f64; p.input_len()];
    each_average(p, |o, i, area| {
        for c in 0..p.c {
            sum[i * p.c + c] += f64::from(g[o * p.c + c]) / area;
        }
    });
    to_f32(&sum, dx);
}
