use crate::tensors::Tensors;

/// How a raw network output becomes an op's factor, and what the factor means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Magnitude {
    /// From raw to factor.
    pub mapping: Mapping,
    /// The factor's unit; empty for a plain number.
    pub unit: &'static str,
    /// The factor at which the op leaves an image as it is.
    pub neutral: f32,
}

/// A bounded map from any raw value to a factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mapping {
    /// `centre + reach * tanh(raw)`, strictly between `centre - reach` and `centre + reach`.
    Tanh {
        /// The factor of raw 0.
        centre: f32,
        /// The largest distance from it.
        reach: f32,
    },
    /// `reach / (1 + exp(-raw))`, strictly between 0 and `reach`.
    Sigmoid {
        /// The largest factor.
        reach: f32,
    },
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

impl Magnitude {
    /// The factor of a raw value.
    pub fn factor(&self, raw: f32) -> f32 {
        match self.mapping {
            Mapping::Tanh { centre, reach } => centre + reach * raw.tanh(),
            Mapping::Sigmoid { reach } => reach * sigmoid(raw),
        }
    }

    /// [`Self::factor`] on tensors.
    pub(crate) fn form<T: Tensors>(&self, t: &T, raw: &T::Float) -> T::Float {
        match self.mapping {
            Mapping::Tanh { centre, reach } => {
                t.add(&t.number(centre), &t.mul(&t.number(reach), &t.tanh(raw)))
            }
            Mapping::Sigmoid { reach } => t.mul(&t.number(reach), &t.sigmoid(raw)),
        }
    }

    /// d factor / d raw at a raw value.
    pub fn d_factor_d_raw(&self, raw: f32) -> f32 {
        match self.mapping {
            // 1 - t^2 cancels far out; rounded once, as the published gradients are.
            Mapping::Tanh { reach, .. } => {
                let t = raw.tanh();
                reach * (-t).mul_add(t, 1.0)
            }
            Mapping::Sigmoid { reach } => {
                let s = sigmoid(raw);
                reach * ((1.0 - s) * s)
            }
        }
    }

    /// The raw value of a factor; infinite at the ends of the range, NaN outside.
    pub fn raw(&self, factor: f32) -> f32 {
        match self.mapping {
            Mapping::Tanh { centre, reach } => ((factor - centre) / reach).atanh(),
            Mapping::Sigmoid { reach } => (factor / (reach - factor)).ln(),
        }
    }

    /// The open interval of factors.
    pub fn range(&self) -> (f32, f32) {
        match self.mapping {
            Mapping::Tanh { centre, reach } => (centre - reach, centre + reach),
            Mapping::Sigmoid { reach } => (0.0, reach),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slope_and_inverse_agree_with_the_map() {
        let maps = [Mapping::Tanh { centre: 1.0, reach: 0.3 }, Mapping::Sigmoid { reach: 5.0 }];
        for mapping in maps {
            let magnitude = Magnitude { mapping, unit: "", neutral: 1.0 };
            let (low, high) = magnitude.range();
            for raw in [-3.0f32, -0.7, 0.0, 0.2, 2.5] {
                let factor = magnitude.factor(raw);
                assert!(low < factor && factor < high);
                assert!((magnitude.raw(factor) - raw).abs() < 1e-3, "{mapping:?} {raw}");
                let slope = (magnitude.factor(raw + 1e-2) - magnitude.factor(raw - 1e-2)) / 2e-2;
                assert!((magnitude.d_factor_d_raw(raw) - slope).abs() < 1e-3, "{mapping:?} {raw}");
            }
        }
    }

    #[test]
    fn far_raw_values_stay_finite() {
        let magnitude = Magnitude { mapping: Mapping::Sigmoid { reach: 3.0 }, unit: "", neutral: 1.0 };
        for raw in [-1e30f32, -200.0, 200.0, 1e30] {
            assert!(magnitude.factor(raw).is_finite());
            assert!(magnitude.d_factor_d_raw(raw).is_finite());
        }
    }
}
