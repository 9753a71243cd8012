//! Circular and hyperbolic functions and their inverses.

use burn::tensor::Tensor;

use super::activation::{Unary, pointwise};
use crate::onnx::value::RANK;

pub const OPS: &[(&str, super::Build)] = &[
    ("Sin", |_| pointwise(Unary::Of(Angle::Sin))),
    ("Cos", |_| pointwise(Unary::Of(Angle::Cos))),
    ("Tan", |_| pointwise(Unary::Of(Angle::Tan))),
    ("Asin", |_| pointwise(Unary::Of(Angle::Asin))),
    ("Acos", |_| pointwise(Unary::Of(Angle::Acos))),
    ("Atan", |_| pointwise(Unary::Of(Angle::Atan))),
    ("Sinh", |_| pointwise(Unary::Of(Angle::Sinh))),
    ("Cosh", |_| pointwise(Unary::Of(Angle::Cosh))),
    ("Asinh", |_| pointwise(Unary::Of(Angle::Asinh))),
    ("Acosh", |_| pointwise(Unary::Of(Angle::Acosh))),
    ("Atanh", |_| pointwise(Unary::Of(Angle::Atanh))),
];

/// A function by its usual name.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Angle {
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Asinh,
    Acosh,
    Atanh,
}

impl Angle {
    /// The value at `x`.
    pub fn value(self, x: f32) -> f32 {
        match self {
            Self::Sin => x.sin(),
            Self::Cos => x.cos(),
            Self::Tan => x.tan(),
            Self::Asin => x.asin(),
            Self::Acos => x.acos(),
            Self::Atan => x.atan(),
            Self::Sinh => x.sinh(),
            Self::Cosh => x.cosh(),
            Self::Asinh => x.asinh(),
            Self::Acosh => x.acosh(),
            Self::Atanh => x.atanh(),
        }
    }

    /// The derivative at `x`.
    pub fn slope(self, x: f32) -> f32 {
        match self {
            Self::Sin => x.cos(),
            Self::Cos => -x.sin(),
            Self::Tan => 1.0 + x.tan() * x.tan(),
            Self::Asin => 1.0 / (1.0 - x * x).sqrt(),
            Self::Acos => -1.0 / (1.0 - x * x).sqrt(),
            Self::Atan => 1.0 / (1.0 + x * x),
            Self::Sinh => x.cosh(),
            Self::Cosh => x.sinh(),
            Self::Asinh => 1.0 / (x * x + 1.0).sqrt(),
            Self::Acosh => 1.0 / (x * x - 1.0).sqrt(),
            Self::Atanh => 1.0 / (1.0 - x * x),
        }
    }

    /// Composed of Burn's tensor operations.
    pub fn plain(self, x: Tensor<RANK>) -> Tensor<RANK> {
        match self {
            Self::Sin => x.sin(),
            Self::Cos => x.cos(),
            Self::Tan => x.tan(),
            Self::Asin => x.asin(),
            Self::Acos => x.acos(),
            Self::Atan => x.atan(),
            Self::Sinh => x.sinh(),
            Self::Cosh => x.cosh(),
            Self::Asinh => x.asinh(),
            Self::Acosh => x.acosh(),
            Self::Atanh => x.atanh(),
        }
    }
}
