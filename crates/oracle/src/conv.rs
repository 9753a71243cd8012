//! Convolutions.

use super::to_f32;
use dyntta_kernels::conv::Conv2d;
use dyntta_kernels::grouped::GroupedConv2d;

/// Calls `f(output float, input float, weight)` for every product of the convolution but those with the padding.
fn each_product(c: &GroupedConv2d, mut f: impl FnMut(usize, usize, usize)) {
    let (inputs, outputs) = (c.cin / c.groups, c.cout / c.groups);
    let mut each_tap = |out: usize, inp: usize, tap: usize| {
        for co in 0..c.cout {
            for ci in 0..inputs {
                let weight = (co * inputs + ci) * c.kh * c.kw + tap;
                f(out * c.cout + co, inp * c.cin + co / outputs * inputs + ci, weight);
            }
        }
    };
    let [top, left, _, _] = c.pad;
    for n in 0..c.n {
        for oy in 0..c.out_h() {
            for ox in 0..c.out_w() {
                for ky in 0..c.kh {
                    for kx in 0..c.kw {
                        let iy = oy * c.stride[0] + ky * c.dilation[0];
                        let ix = ox * c.stride[1] + kx * c.dilation[1];
                        if iy >= top && iy < top + c.h && ix >= left && ix < left + c.w {
                            let out = (n * c.out_h() + oy) * c.out_w() + ox;
                            each_tap(out, (n * c.h + iy - top) * c.w + ix - left, ky * c.kw + kx);
                        }
                    }
                }
            }
        }
    }
}

/// [`dyntta_kernels::grouped::forward`].
pub fn grouped_forward(c: &GroupedConv2d, x: &[f32], weight: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
    let mut sum = vec![0.0f64; c.output_len()];
    if let Some(b) = bias {
        for (i, s) in sum.iter_mut().enumerate() {
            *s = f64::from(b[i % c.cout]);
        }
    }
    each_product(c, |o, i, w| sum[o] += f64::from(x[i]) * f64::from(weight[w]));
    to_f32(&sum, y);
}

/// [`dyntta_kernels::grouped::backward_input`].
pub fn grouped_backward_input(c: &GroupedConv2d, g: &[f32], weight: &[f32], dx: &mut [f32]) {
    let mut sum = vec![0.0f64; c.input_len()];
    each_product(c, |o, i, w| sum[i] += f64::from(g[o]) * f64::from(weight[w]));
    to_f32(&sum, dx);
}

/// [`dyntta_kernels::grouped::backward_weight`].
pub fn grouped_backward_weight(
    c: &GroupedConv2d,
    x: &[f32],
    g: &[f32],
    dw: &mut [f32],
    db: Option<&mut [f32]>,
) {
    let mut sum = vec![0.0f64; c.weight_len()];
    each_product(c, |o, i, w| sum[w] += f64::from(x[i]) * f64::from(g[o]));
    to_f32(&sum, dw);
    if let Some(db) = db {
        let mut sum = vec![0.0f64; c.cout];
        for (i, v) in g.iter().enumerate() {
            sum[i % c.cout] += f64::from(*v);
        }
        to_f32(&sum, db);
    }
}

/// [`dyntta_kernels::conv::forward`].
pub fn conv_forward(c: &Conv2d, x: &[f32], weight: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
    grouped_forward(&(*c).into(), x, weight, bias, y);
}

/// [`dyntta_kernels::conv::backward_input`].
pub fn conv_backward_input(c: &Conv2d, g: &[f32], weight: &[f32], dx: &mut [f32]) {
    grouped_backward_input(&(*c).into(), g, weight, dx);
}

/// [`dyntta_kernels::conv::backward_weight`].
pub fn conv_backward_weight(c: &Conv2d, x: &[f32], g: &[f32], dw: &mut [f32], db: Option<&mut [f32]>) {
    grouped_backward_weight(&(*c).into(), x, g, dw, db);
}
