//! Normalisation of each position over its channels.

use dyntta_simd::{Level, level, multiversion};
use rayon::prelude::*;

const LANES: usize = 16;

/// Rows per task: about 16 Ki floats.
fn rows_per_task(c: usize) -> usize {
    ((16 << 10) / c).max(1)
}

/// Sum of `f(i)` for `i < n`, in lanes, so that it vectorises.
#[inline(always)]
fn sum(n: usize, f: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let whole = n / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += f(start + lane);
        }
    }
    (whole..n).fold(lanes.iter().sum(), |sum, i| sum + f(i))
}

/// Mean and 1/standard deviation.
#[inline(always)]
fn moments(x: &[f32], epsilon: f32) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = sum(x.len(), |i| x[i]) / n;
    let variance = sum(x.len(), |i| (x[i] - mean) * (x[i] - mean)) / n;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

multiversion! {
    fn forward_rows(x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32, y: &mut [f32]) {
        let c = gamma.len();
        for (x, y) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)) {
            let (mean, inv_std) = moments(x, epsilon);
            for (((y, x), gamma), beta) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
                *y = (x - mean) * inv_std * gamma + beta;
            }
        }
    }
}

multiversion! {
    fn backward_rows(g: &[f32], x: &[f32], gamma: &[f32], epsilon: f32, dx: &mut [f32]) {
        let c = gamma.len();
        for ((g, x), dx) in g.chunks_exact(c).zip(x.chunks_exact(c)).zip(dx.chunks_exact_mut(c)) {
            let (mean, inv_std) = moments(x, epsilon);
            let scaled = sum(c, |i| g[i] * gamma[i]) / c as f32;
            let along = sum(c, |i| g[i] * gamma[i] * (x[i] - mean)) * inv_std / c as f32;
            for (((dx, g), x), gamma) in dx.iter_mut().zip(g).zip(x).zip(gamma) {
                *dx = inv_std * (g * gamma - scaled - (x - mean) * inv_std * along);
            }
        }
    }
}

multiversion! {
    fn parameter_rows(g: &[f32], x: &[f32], epsilon: f32, dgamma: &mut [f32], dbeta: &mut [f32]) {
        let c = dgamma.len();
        for (g, x) in g.chunks_exact(c).zip(x.chunks_exact(c)) {
            let (mean, inv_std) = moments(x, epsilon);
            for (((dgamma, dbeta), g), x) in dgamma.iter_mut().zip(dbeta.iter_mut()).zip(g).zip(x) {
                *dgamma += g * (x - mean) * inv_std;
                *dbeta += g;
            }
        }
    }
}

fn check(x: &[f32], gamma: &[f32]) -> Level {
    assert!(!gamma.is_empty() && x.len().is_multiple_of(gamma.len()), "rows of the scale's length");
    level()
}

/// `y = (x - mean) / sqrt(variance + epsilon) * gamma + beta` for each row of `gamma.len()` values, with the row's own
/// mean and biased variance.
///
/// # Panics
/// If the lengths don't fit.
pub fn layer_norm_forward(x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32, y: &mut [f32]) {
    let level = check(x, gamma);
    assert!(x.len() == y.len() && gamma.len() == beta.len(), "x and y, gamma and beta differ in length");
    let chunk = rows_per_task(gamma.len()) * gamma.len();
    let tasks = y.par_chunks_mut(chunk).zip(x.par_chunks(chunk));
    tasks.for_each(|(y, x)| forward_rows(level, x, gamma, beta, epsilon, y));
}

/// Gradient of [`layer_norm_forward`] to `x`.
///
/// # Panics
/// If the lengths don't fit.
pub fn layer_norm_backward(g: &[f32], x: &[f32], gamma: &[f32], epsilon: f32, dx: &mut [f32]) {
    let level = check(x, gamma);
    assert!(x.len() == dx.len() && x.len() == g.len(), "g, x and dx differ in length");
    let chunk = rows_per_task(gamma.len()) * gamma.len();
    let tasks = dx.par_chunks_mut(chunk).zip(g.par_chunks(chunk)).zip(x.par_chunks(chunk));
    tasks.for_each(|((dx, g), x)| backward_rows(level, g, x, gamma, epsilon, dx));
}

/// Gradients of [`layer_norm_forward`] to `gamma` and `beta`, summed in one order whatever the number of threads.
///
/// # Panics
/// If the lengths don't fit.
pub fn layer_norm_backward_parameters(
    g: &[f32],
    x: &[f32],
    epsilon: f32,
    dgamma: &mut [f32],
    dbeta: &mut [f32],
) {
    let level = check(x, dgamma);
    assert!(x.len() == g.len() && dgamma.len() == dbeta.len(), "g and x, dgamma and dbeta differ in length");
    let c = dgamma.len();
    let chunk = rows_per_task(c) * c;
    let parts = g.par_chunks(chunk).zip(x.par_chunks(chunk)).map(|(g, x)| {
        let (mut dgamma, mut dbeta) = (vec![0.0; c], vec![0.0; c]);
        parameter_rows(level, g, x, epsilon, &mut dgamma, &mut dbeta);
        (dgamma, dbeta)
    });
    let parts: Vec<_> = parts.collect();
    dgamma.fill(0.0);
    dbeta.fill(0.0);
    for (part_gamma, part_beta) in parts {
        dgamma.iter_mut().zip(part_gamma).for_each(|(sum, part)| *sum += part);
        dbeta.iter_mut().zip(part_beta).for_each(|(sum, part)| *sum += part);
    }
}
