//! One step of an optimiser over a parameter, in one pass.

use dyntta_simd::{level, multiversion};
use rayon::prelude::*;

/// The constants of one step of Adam (Kingma & Ba, ICLR 2015, arXiv 1412.6980), with L2 weight decay added to the
/// gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Decay of the mean of the gradients.
    pub beta1: f32,
    /// Decay of the mean of their squares.
    pub beta2: f32,
    /// The learning rate over `1 - beta1^t`, t counted from 1.
    pub rate: f32,
    /// `1 / sqrt(1 - beta2^t)`.
    pub root_correction: f32,
    /// Added to the root of the mean square.
    pub epsilon: f32,
    /// This times the parameter is added to the gradient.
    pub weight_decay: f32,
}

impl AdamStep {
    /// The constants of step `t`, counted from 1.
    pub fn new(t: usize, lr: f64, betas: (f64, f64), epsilon: f64, weight_decay: f64) -> Self {
        let t = i32::try_from(t).unwrap_or(i32::MAX);
        Self {
            beta1: betas.0 as f32,
            beta2: betas.1 as f32,
            rate: (lr / (1.0 - betas.0.powi(t))) as f32,
            root_correction: (1.0 - betas.1.powi(t)).sqrt().recip() as f32,
            epsilon: epsilon as f32,
            weight_decay: weight_decay as f32,
        }
    }
}

/// Floats per task.
const CHUNK: usize = 16 << 10;

multiversion! {
    fn chunk(s: AdamStep, grad: &[f32], p: &mut [f32], m: &mut [f32], v: &mut [f32]) {
        for (((g, p), m), v) in grad.iter().zip(p).zip(m).zip(v) {
            let g = g + s.weight_decay * *p;
            *m = s.beta1 * *m + (1.0 - s.beta1) * g;
            *v = s.beta2 * *v + (1.0 - s.beta2) * (g * g);
            *p -= s.rate * *m / (v.sqrt() * s.root_correction + s.epsilon);
        }
    }
}

/// Updates the parameter `p` and its moments `m` (mean) and `v` (mean square) from the gradient, all of one length.
///
/// # Panics
/// If the lengths differ.
pub fn adam(step: &AdamStep, grad: &[f32], p: &mut [f32], m: &mut [f32], v: &mut [f32]) {
    let n = grad.len();
    assert!(p.len() == n && m.len() == n && v.len() == n, "gradient, parameter and moments differ in length");
    let level = level();
    p.par_chunks_mut(CHUNK)
        .zip(m.par_chunks_mut(CHUNK))
        .zip(v.par_chunks_mut(CHUNK))
        .zip(grad.par_chunks(CHUNK))
        .for_each(|(((p, m), v), g)| chunk(level, *step, g, p, m, v));
}

/// The constants of a step of gradient descent with momentum, with L2 weight decay added to the gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// The learning rate.
    pub rate: f32,
    /// Decay of the velocity.
    pub momentum: f32,
    /// This times the parameter is added to the gradient.
    pub weight_decay: f32,
}

multiversion! {
    fn sgd_chunk(s: SgdStep, grad: &[f32], p: &mut [f32], v: &mut [f32]) {
        for ((g, p), v) in grad.iter().zip(p).zip(v) {
            *v = s.momentum * *v + (g + s.weight_decay * *p);
            *p -= s.rate * *v;
        }
    }
}

/// Updates the parameter `p` and its velocity `v` (0 before the first step) from the gradient: `v ← momentum v + g`,
/// `p ← p − rate v`, PyTorch's rule without dampening.
///
/// # Panics
/// If the lengths differ.
pub fn sgd(step: &SgdStep, grad: &[f32], p: &mut [f32], v: &mut [f32]) {
    let n = grad.len();
    assert!(p.len() == n && v.len() == n, "gradient, parameter and velocity differ in length");
    let level = level();
    p.par_chunks_mut(CHUNK)
        .zip(v.par_chunks_mut(CHUNK))
        .zip(grad.par_chunks(CHUNK))
        .for_each(|((p, v), g)| sgd_chunk(level, *step, g, p, v));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The algorithm as published, in f64.
    #[test]
    fn many_steps_follow_the_published_algorithm() {
        let n = CHUNK + 37;
        let at = |i: usize, t: usize| ((i * 7 + t * 13) as f64 * 0.37).sin();
        let (lr, (b1, b2), eps, decay) = (0.01, (0.9, 0.999), 1e-8, 0.01);
        let mut p: Vec<f32> = (0..n).map(|i| at(i, 0) as f32).collect();
        let (mut m, mut v) = (vec![0.0f32; n], vec![0.0f32; n]);
        let mut exact: Vec<[f64; 3]> = p.iter().map(|p| [f64::from(*p), 0.0, 0.0]).collect();
        for t in 1..=20 {
            let grad: Vec<f32> = (0..n).map(|i| at(i, t) as f32).collect();
            adam(&AdamStep::new(t, lr, (b1, b2), eps, decay), &grad, &mut p, &mut m, &mut v);
            for ([p, m, v], g) in exact.iter_mut().zip(&grad) {
                let g = f64::from(*g) + decay * *p;
                *m = b1 * *m + (1.0 - b1) * g;
                *v = b2 * *v + (1.0 - b2) * g * g;
                let (mean, square) = (*m / (1.0 - b1.powi(t as i32)), *v / (1.0 - b2.powi(t as i32)));
                *p -= lr * mean / (square.sqrt() + eps);
            }
        }
        for (p, exact) in p.iter().zip(&exact) {
            assert!((f64::from(*p) - exact[0]).abs() < 1e-5, "{p} and {}", exact[0]);
        }
    }
}
