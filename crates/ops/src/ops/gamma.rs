//! `gamma`: `clamp(x ^ c, 0, 1)`.

use dyntta_simd::math;

use super::{Op, clamp01, pointwise_backward, pointwise_forward};
use crate::sweep::{Needs, PerPlane, STRIP, Seen, Strip, Strips, Swept};
use crate::tensors::{Form, Tensors};
use crate::{Magnitude, Mapping, View};

/// Raises every value to a power.
#[derive(Clone, Copy, Debug)]
pub struct Gamma;

/// `x^c` and `log2 x`; 0 and a finite number at x = 0.
#[inline(always)]
fn power(x: f32, c: f32) -> (f32, f32) {
    let log = math::log2(x);
    (if x > 0.0 { math::exp2(c * log) } else { 0.0 }, log)
}

impl Swept for Gamma {
    const NEEDS: Needs = Needs::NOTHING;
    /// The factor.
    type Prepared = f32;

    fn prepare(_: &Seen<'_>, factor: f32) -> f32 {
        factor
    }
}

impl PerPlane for Gamma {
    #[inline(always)]
    fn add(&c: &f32, strips: &Strips<'_>, channel: usize, weight: f32, acc: &mut Strip) {
        let x = &strips.x[channel];
        for i in 0..STRIP {
            acc[i] += weight * math::clamp01(power(x[i], c).0);
        }
    }

    #[inline(always)]
    fn add_gradients(
        &c: &f32,
        strips: &Strips<'_>,
        channel: usize,
        g: &Strip,
        value: &mut Strip,
        slope: &mut Strip,
    ) {
        let x = &strips.x[channel];
        for i in 0..STRIP {
            let (y, log) = power(x[i], c);
            value[i] += g[i] * math::clamp01(y);
            slope[i] += math::passed(y, g[i] * y * (log * std::f32::consts::LN_2));
        }
    }
}

impl Form for Gamma {
    fn form<T: Tensors>(t: &T, x: &T::Float, factor: &T::Float) -> T::Float {
        let log = t.ln(&t.max(x, &t.number(f32::MIN_POSITIVE)));
        let power = t.clamp01(&t.exp(&t.mul(factor, &log)));
        let zero = t.number(0.0);
        t.choose(&t.less(&zero, x), &power, &zero)
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
}
