//! `gamma`: `clamp(x ^ c, 0, 1)`.

use super::{Fused, Op, Sweep, clamp01, pointwise_backward, pointwise_forward};
use crate::simd::{self, STRIP, Strip};
use crate::{Magnitude, Mapping, View};

/// Raises every value to a power.
#[derive(Clone, Copy, Debug)]
pub struct Gamma;

/// `x^c` and `log2 x`; 0 and a finite number at x = 0.
#[inline(always)]
fn power(x: f32, c: f32) -> (f32, f32) {
    let log = simd::log2(x);
    (if x > 0.0 { simd::exp2(c * log) } else { 0.0 }, log)
}

/// Strip kernel: `acc += weight * gamma(x)`.
#[inline(always)]
pub(crate) fn strip_forward(x: &Strip, c: f32, weight: f32, acc: &mut Strip) {
    for i in 0..STRIP {
        acc[i] += weight * simd::clamp01(power(x[i], c).0);
    }
}

/// Strip kernel: `value += g * gamma(x)`, `slope += g * d gamma(x) / dc`.
#[inline(always)]
pub(crate) fn strip_backward(x: &Strip, g: &Strip, c: f32, value: &mut Strip, slope: &mut Strip) {
    for i in 0..STRIP {
        let (y, log) = power(x[i], c);
        value[i] += g[i] * simd::clamp01(y);
        slope[i] += simd::passed(y, g[i] * y * (log * std::f32::consts::LN_2));
    }
}

impl Op for Gamma {
    fn name(&self) -> &str {
        "gamma"
    }

    fn about(&self) -> &'static str {
        "raises every value to the power of the factor"
    }

    fn formula(&self) -> &'static str {
        "clamp(x^c, 0, 1)"
    }

    fn source(&self) -> &'static str {
        "kornia 0.5 adjust_gamma"
    }

    fn magnitude(&self) -> Option<Magnitude> {
        Some(Magnitude { mapping: Mapping::Sigmoid { reach: 3.0 }, unit: "", neutral: 1.0 })
    }

    fn forward(&self, image: View<'_>, factor: f32, out: &mut [f32]) {
        pointwise_forward(image, out, |x| clamp01(x.powf(factor)).0);
    }

    fn backward(&self, image: View<'_>, factor: f32, g: &[f32], grad_image: Option<&mut [f32]>) -> f32 {
        pointwise_backward(image, g, grad_image, |x| match clamp01(x.powf(factor)) {
            (y, true) => (factor * x.powf(factor - 1.0), y * x.ln()),
            (_, false) => (0.0, 0.0),
        })
    }

    fn fused(&self) -> Fused {
        Fused::Sweep(Sweep::Gamma)
    }
}
