//! Plain loops, summed in double precision: what every kernel is tested against.

use dyntta_kernels::act::Activation;
use dyntta_kernels::gate::Gate;
use dyntta_kernels::upsample::Upsample;

mod conv;
mod pool;

pub use conv::*;
pub use pool::*;

fn to_f32(from: &[f64], to: &mut [f32]) {
    assert_eq!(from.len(), to.len());
    for (t, f) in to.iter_mut().zip(from) {
        *t = *f as f32;
    }
}

fn act(v: f64, act: Activation) -> f64 {
    match act {
        Activation::Identity => v,
        Activation::Relu => v.max(0.0),
        Activation::LeakyRelu(s) => {
            if v > 0.0 {
                v
            } else {
                v * f64::from(s)
            }
        }
    }
}

/// The activation's derivative, from its result.
fn act_slope(y: f32, act: Activation) -> f64 {
    match act {
        Activation::Identity => 1.0,
        Activation::Relu => f64::from(u8::from(y > 0.0)),
        Activation::LeakyRelu(s) => {
            if y > 0.0 {
                1.0
            } else {
                f64::from(s)
            }
        }
    }
}

/// [`dyntta_kernels::act::activate`].
pub fn activate(x: &[f32], a: Activation, y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = act(f64::from(*x), a) as f32;
    }
}

/// [`dyntta_kernels::act::activate_backward`].
pub fn activate_backward(g: &[f32], y: &[f32], a: Activation, dx: &mut [f32]) {
    for i in 0..dx.len() {
        dx[i] = (f64::from(g[i]) * act_slope(y[i], a)) as f32;
    }
}

/// [`dyntta_kernels::norm::affine_forward`].
pub fn affine_forward(
    x: &[f32],
    scale: &[f32],
    shift: &[f32],
    residual: Option<&[f32]>,
    a: Activation,
    y: &mut [f32],
) {
    for i in 0..x.len() {
        let c = i % scale.len();
        let v = f64::from(x[i]) * f64::from(scale[c]) + f64::from(shift[c]);
        y[i] = act(v + residual.map_or(0.0, |r| f64::from(r[i])), a) as f32;
    }
}

/// [`dyntta_kernels::norm::affine_backward`].
pub fn affine_backward(
    g: &[f32],
    y: &[f32],
    scale: &[f32],
    a: Activation,
    dx: &mut [f32],
    dresidual: Option<&mut [f32]>,
) {
    for i in 0..dx.len() {
        dx[i] = (f64::from(g[i]) * act_slope(y[i], a) * f64::from(scale[i % scale.len()])) as f32;
    }
    if let Some(d) = dresidual {
        activate_backward(g, y, a, d);
    }
}

/// Mean and biased variance of each channel of each of `n` groups: n x c.
fn group_moments(x: &[f32], n: usize, c: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut mean, mut var) = (vec![0.0; n * c], vec![0.0; n * c]);
    let len = x.len() / n;
    let pixels = (len / c) as f64;
    for (i, v) in x.iter().enumerate() {
        mean[i / len * c + i % c] += f64::from(*v) / pixels;
    }
    for (i, v) in x.iter().enumerate() {
        let at = i / len * c + i % c;
        var[at] += (f64::from(*v) - mean[at]).powi(2) / pixels;
    }
    (mean, var)
}

/// [`dyntta_kernels::norm::batch_norm_forward`].
pub fn batch_norm_forward(
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    eps: f32,
    residual: Option<&[f32]>,
    a: Activation,
    y: &mut [f32],
    mean: &mut [f32],
    var: &mut [f32],
    inv_std: &mut [f32],
) {
    let c = gamma.len();
    let (m, v) = group_moments(x, 1, c);
    for i in 0..x.len() {
        let k = i % c;
        let hat = (f64::from(x[i]) - m[k]) / (v[k] + f64::from(eps)).sqrt();
        let out = hat * f64::from(gamma[k]) + f64::from(beta[k]) + residual.map_or(0.0, |r| f64::from(r[i]));
        y[i] = act(out, a) as f32;
    }
    to_f32(&m, mean);
    to_f32(&v, var);
    for k in 0..c {
        inv_std[k] = (1.0 / (v[k] + f64::from(eps)).sqrt()) as f32;
    }
}

/// Gradient through a norm of `n` groups, term by term: returns (sum of g', sum of g' x_hat), n x c each.
fn norm_backward(
    g: &[f32],
    y: &[f32],
    x: &[f32],
    n: usize,
    gamma: &[f32],
    mean: &[f32],
    inv_std: &[f32],
    a: Activation,
    dx: &mut [f32],
) -> (Vec<f64>, Vec<f64>) {
    let c = gamma.len();
    let len = x.len() / n;
    let at = |i: usize| i / len * c + i % c;
    let hat = |i: usize| (f64::from(x[i]) - f64::from(mean[at(i)])) * f64::from(inv_std[at(i)]);
    let before = |i: usize| f64::from(g[i]) * act_slope(y[i], a);
    let (mut sum, mut dot) = (vec![0.0; n * c], vec![0.0; n * c]);
    for i in 0..x.len() {
        sum[at(i)] += before(i);
        dot[at(i)] += before(i) * hat(i);
    }
    let m = (len / c) as f64;
    for i in 0..x.len() {
        let k = at(i);
        let centred = before(i) - sum[k] / m - hat(i) * dot[k] / m;
        dx[i] = (f64::from(gamma[i % c]) * f64::from(inv_std[k]) * centred) as f32;
    }
    (sum, dot)
}

/// [`dyntta_kernels::norm::batch_norm_backward`].
pub fn batch_norm_backward(
    g: &[f32],
    y: &[f32],
    x: &[f32],
    gamma: &[f32],
    mean: &[f32],
    inv_std: &[f32],
    a: Activation,
    dx: &mut [f32],
    dgamma: &mut [f32],
    dbeta: &mut [f32],
    dresidual: Option<&mut [f32]>,
) {
    let (sum, dot) = norm_backward(g, y, x, 1, gamma, mean, inv_std, a, dx);
    to_f32(&dot, dgamma);
    to_f32(&sum, dbeta);
    if let Some(d) = dresidual {
        activate_backward(g, y, a, d);
    }
}

/// [`dyntta_kernels::norm::instance_norm_forward`].
pub fn instance_norm_forward(
    x: &[f32],
    n: usize,
    c: usize,
    eps: f32,
    a: Activation,
    y: &mut [f32],
    mean: &mut [f32],
    inv_std: &mut [f32],
) {
    let (m, v) = group_moments(x, n, c);
    let len = x.len() / n;
    for i in 0..x.len() {
        let k = i / len * c + i % c;
        y[i] = act((f64::from(x[i]) - m[k]) / (v[k] + f64::from(eps)).sqrt(), a) as f32;
    }
    to_f32(&m, mean);
    for k in 0..n * c {
        inv_std[k] = (1.0 / (v[k] + f64::from(eps)).sqrt()) as f32;
    }
}

/// [`dyntta_kernels::norm::instance_norm_backward`].
pub fn instance_norm_backward(
    g: &[f32],
    y: &[f32],
    x: &[f32],
    n: usize,
    c: usize,
    mean: &[f32],
    inv_std: &[f32],
    a: Activation,
    dx: &mut [f32],
) {
    norm_backward(g, y, x, n, &vec![1.0; c], mean, inv_std, a, dx);
}

/// Calls `f(output, input, weight)` for every pair of pixels a bilinear resize joins.
fn each_sample(p: &Upsample, mut f: impl FnMut(usize, usize, f64)) {
    let position = |o: usize, out: usize, size: usize| {
        let scale = if out > 1 { (size - 1) as f32 / (out - 1) as f32 } else { 0.0 };
        let at = scale * o as f32;
        let first = (at.floor() as usize).min(size - 1);
        (first, (first + 1).min(size - 1), f64::from(at - first as f32))
    };
    for n in 0..p.n {
        for oy in 0..p.oh {
            for ox in 0..p.ow {
                let (y0, y1, fy) = position(oy, p.oh, p.h);
                let (x0, x1, fx) = position(ox, p.ow, p.w);
                let out = (n * p.oh + oy) * p.ow + ox;
                for (y, wy) in [(y0, 1.0 - fy), (y1, fy)] {
                    for (x, wx) in [(x0, 1.0 - fx), (x1, fx)] {
                        f(out, (n * p.h + y) * p.w + x, wy * wx);
                    }
                }
            }
        }
    }
}

/// [`dyntta_kernels::upsample::upsample_forward`].
pub fn upsample_forward(p: &Upsample, x: &[f32], y: &mut [f32]) {
    let mut sum = vec![0.0f64; p.output_len()];
    each_sample(p, |o, i, weight| {
        for c in 0..p.c {
            sum[o * p.c + c] += f64::from(x[i * p.c + c]) * weight;
        }
    });
    to_f32(&sum, y);
}

/// [`dyntta_kernels::upsample::upsample_backward`].
pub fn upsample_backward(p: &Upsample, g: &[f32], dx: &mut [f32]) {
    let mut sum = vec![0.0f64; p.input_len()];
    each_sample(p, |o, i, weight| {
        for c in 0..p.c {
            sum[i * p.c + c] += f64::from(g[o * p.c + c]) * weight;
        }
    });
    to_f32(&sum, dx);
}

/// The map float each branch float is gated by.
fn gate_index(p: &Gate, i: usize) -> usize {
    let (c, x, y, n) = (i % p.c, i / p.c % p.w, i / p.c / p.w % p.h, i / p.c / p.w / p.h);
    let nearest = |o: usize, map: usize, size: usize| {
        let scale = map as f32 / size as f32;
        ((o as f32 * scale).floor() as usize).min(map - 1)
    };
    ((n * p.mh + nearest(y, p.mh, p.h)) * p.mw + nearest(x, p.mw, p.w)) * p.c + c
}

/// [`dyntta_kernels::gate::gate_forward`].
pub fn gate_forward(p: &Gate, a: &[f32], b: &[f32], map_a: &[f32], map_b: &[f32], y: &mut [f32]) {
    for i in 0..y.len() {
        let m = gate_index(p, i);
        y[i] = a[i] * map_a[m] + b[i] * map_b[m];
    }
}

/// [`dyntta_kernels::gate::gate_backward`].
pub fn gate_backward(
    p: &Gate,
    g: &[f32],
    a: &[f32],
    b: &[f32],
    map_a: &[f32],
    map_b: &[f32],
    da: &mut [f32],
    db: &mut [f32],
    dmap_a: &mut [f32],
    dmap_b: &mut [f32],
) {
    let (mut sum_a, mut sum_b) = (vec![0.0f64; p.map_len()], vec![0.0f64; p.map_len()]);
    for i in 0..g.len() {
        let m = gate_index(p, i);
        (da[i], db[i]) = (g[i] * map_a[m], g[i] * map_b[m]);
        sum_a[m] += f64::from(g[i]) * f64::from(a[i]);
        sum_b[m] += f64::from(g[i]) * f64::from(b[i]);
    }
    to_f32(&sum_a, dmap_a);
    to_f32(&sum_b, dmap_b);
}
