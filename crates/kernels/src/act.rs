//! ReLU and leaky ReLU, alone or as the last step of another kernel.

use dyntta_simd::{level, multiversion};
use rayon::prelude::*;

/// What is done to a value last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// max(v, 0); the gradient at 0 is 0.
    Relu,
    /// v where v > 0, else the slope times v; the gradient at 0 is the slope, which must be positive.
    LeakyRelu(f32),
}

/// An activation as the loops use it: the factor below zero.
#[derive(Clone, Copy)]
pub(crate) struct Slope {
    factor: f32,
    zero: bool,
}

impl Activation {
    pub(crate) fn slope(self) -> Slope {
        match self {
            Activation::Identity => Slope { factor: 1.0, zero: false },
            Activation::Relu => Slope { factor: 0.0, zero: true },
            Activation::LeakyRelu(s) => {
                assert!(s > 0.0, "the slope of a leaky ReLU must be positive, not {s}");
                Slope { factor: s, zero: false }
            }
        }
    }
}

impl Slope {
    /// `v` where `sign` is above zero (or NaN), else `v` times the slope.
    ///
    /// With `sign = v` that is the activation; with `sign` its result and `v` the gradient, the gradient: a positive slope
    /// keeps the sign. The product with zero is not formed, so that an infinity becomes 0.
    #[inline(always)]
    pub fn apply(self, v: f32, sign: f32) -> f32 {
        let low = if self.zero { 0.0 } else { v * self.factor };
        if sign <= 0.0 { low } else { v }
    }
}

/// Floats per task.
const CHUNK: usize = 16 << 10;

multiversion! {
    fn forward_chunk(x: &[f32], s: Slope, y: &mut [f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = s.apply(*x, *x);
        }
    }
}

multiversion! {
    fn backward_chunk(g: &[f32], y: &[f32], s: Slope, dx: &mut [f32]) {
        for ((d, g), y) in dx.iter_mut().zip(g).zip(y) {
            *d = s.apply(*g, *y);
        }
    }
}

multiversion! {
    fn masking_chunk(y: &mut [f32], residual: &[f32], s: Slope, positive: &mut [u8]) {
        if residual.is_empty() {
            for (y, p) in y.iter_mut().zip(positive) {
                *p = u8::from(*y > 0.0);
                *y = s.apply(*y, *y);
            }
        } else {
            for ((y, r), p) in y.iter_mut().zip(residual).zip(positive) {
                let v = *y + r;
                *p = u8::from(v > 0.0);
                *y = s.apply(v, v);
            }
        }
    }
}

multiversion! {
    fn masked_chunk(g: &[f32], positive: &[u8], s: Slope, dx: &mut [f32]) {
        for ((d, g), p) in dx.iter_mut().zip(g).zip(positive) {
            *d = s.apply(*g, f32::from(*p));
        }
    }
}

multiversion! {
    fn add_chunk(y: &mut [f32], x: &[f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y += x;
        }
    }
}

/// `y = act(x)`, any shape.
///
/// # Panics
/// If the lengths differ.
pub fn activate(x: &[f32], act: Activation, y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "x and y differ in length");
    let (level, s) = (level(), act.slope());
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| forward_chunk(level, x, s, y));
}

/// Gradient of [`activate`] from the gradient `g` and the result `y` of the forward pass.
///
/// # Panics
/// If the lengths differ.
pub fn activate_backward(g: &[f32], y: &[f32], act: Activation, dx: &mut [f32]) {
    assert!(g.len() == dx.len() && y.len() == dx.len(), "g, y and dx differ in length");
    let (level, s) = (level(), act.slope());
    dx.par_chunks_mut(CHUNK)
        .zip(g.par_chunks(CHUNK))
        .zip(y.par_chunks(CHUNK))
        .for_each(|((dx, g), y)| backward_chunk(level, g, y, s, dx));
}

/// `y = act(y + residual)` in place, any shape; `positive` gets 1 where the sum was above zero, else 0: all that
/// [`mask_backward`] wants to know, in a quarter of the memory of `y`.
///
/// # Panics
/// If the lengths differ.
pub fn activate_masking(y: &mut [f32], residual: Option<&[f32]>, act: Activation, positive: &mut [u8]) {
    assert_eq!(y.len(), positive.len(), "y and its mask differ in length");
    let (level, s, len) = (level(), act.slope(), y.len());
    let chunks = y.par_chunks_mut(CHUNK).zip(positive.par_chunks_mut(CHUNK));
    match residual {
        None => chunks.for_each(|(y, p)| masking_chunk(level, y, &[], s, p)),
        Some(r) => {
            assert_eq!(r.len(), len, "y and the residual differ in length");
            chunks.zip(r.par_chunks(CHUNK)).for_each(|((y, p), r)| masking_chunk(level, y, r, s, p));
        }
    }
}

/// Gradient of [`activate_masking`] to its sum, from the gradient `g` and the mask.
///
/// # Panics
/// If the lengths differ.
pub fn mask_backward(g: &[f32], positive: &[u8], act: Activation, dx: &mut [f32]) {
    assert!(g.len() == dx.len() && positive.len() == dx.len(), "g, the mask and dx differ in length");
    let (level, s) = (level(), act.slope());
    dx.par_chunks_mut(CHUNK)
        .zip(g.par_chunks(CHUNK))
        .zip(positive.par_chunks(CHUNK))
        .for_each(|((dx, g), p)| masked_chunk(level, g, p, s, dx));
}

/// `y += x`, any shape.
///
/// # Panics
/// If the lengths differ.
pub fn add(y: &mut [f32], x: &[f32]) {
    assert_eq!(x.len(), y.len(), "x and y differ in length");
    let level = level();
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| add_chunk(level, y, x));
}
