//! Activations beyond ReLU's kin: each value for itself.
//!
//! The exponential is a polynomial on a reduced argument, so that the compiler vectorises it: relative error below 3e-7.

use dyntta_simd::{level, multiversion};
use rayon::prelude::*;

/// A function of each value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pointwise {
    /// `max(v, 0)`; the gradient at 0 is 0.
    Relu,
    /// `min(max(v, 0), 6)`; the gradient at 0 and at 6 is 0.
    Relu6,
    /// `v / (1 + exp(-v))`.
    Silu,
    /// `v/2 (1 + erf(v/sqrt(2)))`, to 1e-7 times `v`: erf by Abramowitz and Stegun, "Handbook of Mathematical Functions"
    /// (1964), 7.1.26.
    Gelu,
}

/// Floats per task.
const CHUNK: usize = 16 << 10;

/// exp(v), 0 or infinity by the nearest power of two beyond what a float holds.
#[inline(always)]
fn exp(v: f32) -> f32 {
    // Adding this rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // In two parts, the first with few digits: multiples of it are exact.
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let v = v.clamp(-87.0, 88.0);
    let rounded = v * std::f32::consts::LOG2_E + ROUND;
    let power = (rounded.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let k = rounded - ROUND;
    let r = (v - k * LN2[0]) - k * LN2[1];
    let p = 1.0 / 5040.0;
    let p = p * r + 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    p * f32::from_bits((power.wrapping_add(127) << 23) as u32)
}

#[inline(always)]
fn sigmoid(v: f32) -> f32 {
    1.0 / (1.0 + exp(-v))
}

/// The normal distribution function at `v`, and exp(-v²/2).
#[inline(always)]
fn normal(v: f32) -> (f32, f32) {
    let e = exp(-0.5 * v * v);
    let t = 1.0 / (1.0 + 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2 * v.abs());
    let p = 1.061_405_4;
    let p = p * t - 1.453_152;
    let p = p * t + 1.421_413_8;
    let p = p * t - 0.284_496_74;
    let p = p * t + 0.254_829_6;
    let tail = 0.5 * p * t * e;
    (if v >= 0.0 { 1.0 - tail } else { tail }, e)
}

#[inline(always)]
fn map(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = f(*x);
    }
}

#[inline(always)]
fn map_gradient(g: &[f32], x: &[f32], dx: &mut [f32], slope: impl Fn(f32) -> f32) {
    for ((d, g), x) in dx.iter_mut().zip(g).zip(x) {
        *d = g * slope(*x);
    }
}

multiversion! {
    fn forward_chunk(f: Pointwise, x: &[f32], y: &mut [f32]) {
        match f {
            // A comparison, not `max`, lets a NaN through; so does `clamp`.
            Pointwise::Relu => map(x, y, |v| if v <= 0.0 { 0.0 } else { v }),
            Pointwise::Relu6 => map(x, y, |v| v.clamp(0.0, 6.0)),
            Pointwise::Silu => map(x, y, |v| v * sigmoid(v)),
            Pointwise::Gelu => map(x, y, |v| v * normal(v).0),
        }
    }
}

multiversion! {
    fn backward_chunk(f: Pointwise, g: &[f32], x: &[f32], dx: &mut [f32]) {
        const FRAC_1_SQRT_2PI: f32 = 0.398_942_3;
        match f {
            Pointwise::Relu => map_gradient(g, x, dx, |v| if v > 0.0 { 1.0 } else { 0.0 }),
            Pointwise::Relu6 => map_gradient(g, x, dx, |v| if v > 0.0 && v < 6.0 { 1.0 } else { 0.0 }),
            Pointwise::Silu => map_gradient(g, x, dx, |v| {
                let s = sigmoid(v);
                s * (1.0 + v * (1.0 - s))
            }),
            Pointwise::Gelu => map_gradient(g, x, dx, |v| {
                let (below, e) = normal(v);
                below + v * e * FRAC_1_SQRT_2PI
            }),
        }
    }
}

/// `y = f(x)`, any shape.
///
/// # Panics
/// If the lengths differ.
pub fn pointwise(f: Pointwise, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "x and y differ in length");
    let level = level();
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| forward_chunk(level, f, x, y));
}

/// Gradient of [`pointwise`] from the gradient `g` and the input `x`; for ReLU and ReLU6 the result does as well as the
/// input.
///
/// # Panics
/// If the lengths differ.
pub fn pointwise_backward(f: Pointwise, g: &[f32], x: &[f32], dx: &mut [f32]) {
    assert!(g.len() == dx.len() && x.len() == dx.len(), "g, x and dx differ in length");
    let level = level();
    dx.par_chunks_mut(CHUNK)
        .zip(g.par_chunks(CHUNK))
        .zip(x.par_chunks(CHUNK))
        .for_each(|((dx, g), x)| backward_chunk(level, f, g, x, dx));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the series, whose terms all have one sign.
    fn erf(z: f64) -> f64 {
        let (mut term, mut sum) = (z, z);
        for n in 1..200 {
            term *= 2.0 * z * z / f64::from(2 * n + 1);
            sum += term;
        }
        sum * (-z * z).exp() * 2.0 / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn values_and_gradients_are_those_of_the_formulas() {
        let x: Vec<f32> = (-4000..=4000).map(|i| i as f32 * 0.002).chain([-1e4, -90.0, 90.0]).collect();
        type Formula = fn(f64) -> f64;
        let formulas: [(Pointwise, Formula, f64); 4] = [
            (Pointwise::Relu, |v| v.max(0.0), 0.0),
            (Pointwise::Relu6, |v| v.clamp(0.0, 6.0), 0.0),
            (Pointwise::Silu, |v| v / (1.0 + (-v).exp()), 4e-7),
            (
                Pointwise::Gelu,
                |v| if v.abs() > 9.0 { v.max(0.0) } else { v / 2.0 * (1.0 + erf(v / 2f64.sqrt())) },
                4e-7,
            ),
        ];
        for (f, formula, tolerance) in formulas {
            let mut y = vec![0.0; x.len()];
            pointwise(f, &x, &mut y);
            let (g, mut dx) = (vec![2.0; x.len()], vec![0.0; x.len()]);
            pointwise_backward(f, &g, &x, &mut dx);
            for ((x, y), dx) in x.iter().zip(&y).zip(&dx) {
                let (v, h) = (f64::from(*x), 1e-5);
                let expected = formula(v);
                assert!(
                    (f64::from(*y) - expected).abs() <= tolerance * v.abs().max(1.0),
                    "{f:?}({x}) is {y}"
                );
                let kink = matches!(f, Pointwise::Relu | Pointwise::Relu6)
                    && [0.0, 6.0].iter().any(|k| (v - k).abs() < 1e-3);
                if !kink {
                    let slope = (formula(v + h) - formula(v - h)) / h;
                    assert!((f64::from(*dx) - slope).abs() <= 1e-5, "slope of {f:?} at {x}: {dx}, {slope}");
                }
            }
        }
    }

    #[test]
    fn nan_stays() {
        for f in [Pointwise::Relu, Pointwise::Relu6, Pointwise::Silu, Pointwise::Gelu] {
            let mut y = [0.0];
            pointwise(f, &[f32::NAN], &mut y);
            assert!(y[0].is_nan(), "{f:?}");
        }
    }
}
