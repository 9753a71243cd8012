//! Functions of single elements. On the CPU backend each is one pass forward and one backward; elsewhere it is composed
//! of Burn's tensor operations.

use burn::tensor::{Tensor, activation};
use dyntta_kernels::act::{self, Activation};
use rayon::prelude::*;

use super::{Context, Inputs, Op, boxed, float, ints};
use crate::onnx::ir::Node;
use super::trigonometry::Angle;
use crate::onnx::value::{Float, Ints, RANK, Value, broadcast};
use crate::ops;
use crate::ops::function::{Context as Pass, Function, Gradient, Keeps, Output, View, apply, is_native};
use crate::ops::memory::Buffer;

pub const OPS: &[(&str, super::Build)] = &[
    ("Relu", |_| pointwise(Unary::LeakyRelu(0.0))),
    ("LeakyRelu", |n| pointwise(Unary::LeakyRelu(n.attributes.float("alpha").unwrap_or(0.01)))),
    ("ThresholdedRelu", |n| pointwise(Unary::ThresholdedRelu(n.attributes.float("alpha").unwrap_or(1.0)))),
    ("Celu", |n| match n.attributes.float("alpha").unwrap_or(1.0) {
        0.0 => Err("alpha = 0".into()),
        alpha => pointwise(Unary::Celu(alpha)),
    }),
    ("Shrink", |n| {
        let float = |name: &str, default: f32| n.attributes.float(name).unwrap_or(default);
        pointwise(Unary::Shrink { from: float("lambd", 0.5), bias: float("bias", 0.0) })
    }),
    ("Elu", |n| pointwise(Unary::Elu { alpha: n.attributes.float("alpha").unwrap_or(1.0), gamma: 1.0 })),
    ("Selu", |n| {
        pointwise(Unary::Elu {
            alpha: n.attributes.float("alpha").unwrap_or(1.673_263_2),
            gamma: n.attributes.float("gamma").unwrap_or(1.050_701),
        })
    }),
    ("Sigmoid", |_| pointwise(Unary::Sigmoid)),
    ("HardSigmoid", |n| pointwise(hard_sigmoid(n))),
    ("HardSwish", |_| pointwise(Unary::HardSwish)),
    ("Swish", |n| pointwise(Unary::Swish(n.attributes.float("alpha").unwrap_or(1.0)))),
    ("Mish", |_| pointwise(Unary::Mish)),
    ("Gelu", gelu),
    ("Erf", |_| pointwise(Unary::Erf)),
    ("Tanh", |_| pointwise(Unary::Tanh)),
    ("Softplus", |_| pointwise(Unary::Softplus)),
    ("Softsign", |_| pointwise(Unary::Softsign)),
    ("Exp", |_| pointwise(Unary::Exp)),
    ("Log", |_| pointwise(Unary::Log)),
    ("Sqrt", |_| pointwise(Unary::Sqrt)),
    ("Reciprocal", |_| pointwise(Unary::Reciprocal)),
    ("Neg", |_| pointwise(Unary::Neg)),
    ("Abs", |_| pointwise(Unary::Abs)),
    ("Floor", |_| pointwise(Unary::Floor)),
    ("Ceil", |_| pointwise(Unary::Ceil)),
    ("Round", |_| pointwise(Unary::Round)),
    ("Sign", |_| pointwise(Unary::Sign)),
    ("Clip", clip),
    ("PRelu", |_| boxed(PRelu)),
];

/// A function of one element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary {
    /// `x` where positive, else this much of it: 0 is ReLU.
    LeakyRelu(f32),
    /// `x` where above this, else 0.
    ThresholdedRelu(f32),
    /// `γ x` where positive, else `γ α (e^x − 1)`.
    Elu {
        /// α.
        alpha: f32,
        /// γ, which SELU has beside α.
        gamma: f32,
    },
    /// `x` where positive, else `α (e^(x/α) − 1)`.
    Celu(f32),
    /// `x` beyond ±`from`, moved towards 0 by `bias`; 0 between.
    Shrink {
        /// λ.
        from: f32,
        /// How far it is moved.
        bias: f32,
    },
    /// `1/(1 + e^−x)`.
    Sigmoid,
    /// `clamp(α x + β, 0, 1)`.
    HardSigmoid {
        /// α.
        alpha: f32,
        /// β.
        beta: f32,
    },
    /// `x · clamp(x/6 + 1/2, 0, 1)`.
    HardSwish,
    /// `x · sigmoid(α x)`.
    Swish(f32),
    /// `x · tanh(ln(1 + e^x))`.
    Mish,
    /// `x · Φ(x)`, the normal distribution function.
    Gelu,
    /// Its approximation by tanh.
    GeluTanh,
    /// The error function.
    Erf,
    /// Hyperbolic tangent.
    Tanh,
    /// `ln(1 + e^x)`.
    Softplus,
    /// `x/(1 + |x|)`.
    Softsign,
    /// `e^x`.
    Exp,
    /// Natural logarithm.
    Log,
    /// Square root.
    Sqrt,
    /// `1/x`.
    Reciprocal,
    /// `−x`.
    Neg,
    /// `|x|`; its slope at 0 is 0.
    Abs,
    /// Largest integer not above; no gradient.
    Floor,
    /// Smallest integer not below; no gradient.
    Ceil,
    /// Nearest integer, of two the even one; no gradient.
    Round,
    /// −1, 0 or 1; no gradient.
    Sign,
    /// `x` to this power.
    Power(f32),
    /// Square root whose slope at 0 is taken as 0: that of a norm, as PyTorch has it.
    Root,
    /// A circular or hyperbolic function.
    Of(Angle),
    /// Within these bounds; the gradient is 0 on them and beyond.
    Clip {
        /// The lower bound.
        min: f32,
        /// The upper bound.
        max: f32,
    },
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

fn softplus(x: f32) -> f32 {
    // For large x the sum would overflow, and differs from x by less than rounding.
    if x > 20.0 { x } else { x.exp().ln_1p() }
}

/// The error function, to 4e-7: `1 − P(t) e^−x²`, formula 7.1.26 of Abramowitz and Stegun, "Handbook of Mathematical
/// Functions", with the power series near 0, where the formula loses relative precision.
fn erf(x: f32) -> f32 {
    let a = x.abs();
    if a < 0.5 {
        let q = x * x;
        let series =
            1.0 - q * (1.0 / 3.0 - q * (1.0 / 10.0 - q * (1.0 / 42.0 - q * (1.0 / 216.0 - q / 1320.0))));
        return x * std::f32::consts::FRAC_2_SQRT_PI * series;
    }
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let p =
        t * (0.254_829_6 + t * (-0.284_496_72 + t * (1.421_413_7 + t * (-1.453_152_1 + t * 1.061_405_4))));
    (1.0 - p * (-a * a).exp()).copysign(x)
}

const SQRT_2_PI: f32 = 0.797_884_6;
const GELU_CUBIC: f32 = 0.044_715;

impl Unary {
    /// The value at `x`.
    fn value(self, x: f32) -> f32 {
        match self {
            Self::LeakyRelu(slope) => {
                if x > 0.0 {
                    x
                } else {
                    slope * x
                }
            }
            Self::ThresholdedRelu(from) => {
                if x > from {
                    x
                } else {
                    0.0
                }
            }
            Self::Elu { alpha, gamma } => gamma * if x > 0.0 { x } else { alpha * x.exp_m1() },
            Self::Celu(alpha) => x.max(0.0) + (alpha * (x / alpha).exp_m1()).min(0.0),
            Self::Shrink { from, bias } => {
                if x < -from {
                    x + bias
                } else if x > from {
                    x - bias
                } else {
                    0.0
                }
            }
            Self::Sigmoid => sigmoid(x),
            Self::HardSigmoid { alpha, beta } => (alpha * x + beta).clamp(0.0, 1.0),
            Self::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Self::Swish(alpha) => x * sigmoid(alpha * x),
            Self::Mish => x * softplus(x).tanh(),
            Self::Gelu => 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)),
            Self::GeluTanh => 0.5 * x * (1.0 + (SQRT_2_PI * (x + GELU_CUBIC * x * x * x)).tanh()),
            Self::Erf => erf(x),
            Self::Tanh => x.tanh(),
            Self::Softplus => softplus(x),
            Self::Softsign => x / (1.0 + x.abs()),
            Self::Exp => x.exp(),
            Self::Log => x.ln(),
            Self::Sqrt => x.sqrt(),
            Self::Reciprocal => 1.0 / x,
            Self::Neg => -x,
            Self::Abs => x.abs(),
            Self::Floor => x.floor(),
            Self::Ceil => x.ceil(),
            Self::Round => x.round_ties_even(),
            Self::Sign if x == 0.0 => 0.0,
            Self::Sign => x.signum(),
            Self::Power(e) => x.powf(e),
            Self::Root => x.sqrt(),
            Self::Of(f) => f.value(x),
            Self::Clip { min, max } => x.max(min).min(max),
        }
    }

    /// The derivative at `x`.
    fn slope(self, x: f32) -> f32 {
        let inside = |yes: bool| if yes { 1.0 } else { 0.0 };
        match self {
            Self::LeakyRelu(slope) => {
                if x > 0.0 {
                    1.0
                } else {
                    slope
                }
            }
            Self::ThresholdedRelu(from) => inside(x > from),
            Self::Elu { alpha, gamma } => gamma * if x > 0.0 { 1.0 } else { alpha * x.exp() },
            Self::Sigmoid => {
                let y = sigmoid(x);
                y * (1.0 - y)
            }
            Self::HardSigmoid { alpha, beta } => {
                let y = alpha * x + beta;
                if y > 0.0 && y < 1.0 { alpha } else { 0.0 }
            }
            Self::HardSwish => {
                if x <= -3.0 {
                    0.0
                } else if x >= 3.0 {
                    1.0
                } else {
                    x / 3.0 + 0.5
                }
            }
            Self::Swish(alpha) => {
                let y = sigmoid(alpha * x);
                y + alpha * x * y * (1.0 - y)
            }
            Self::Mish => {
                let t = softplus(x).tanh();
                t + x * (1.0 - t * t) * sigmoid(x)
            }
            Self::Gelu => {
                let density = (-0.5 * x * x).exp() * (0.5 * SQRT_2_PI);
                0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)) + x * density
            }
            Self::GeluTanh => {
                let t = (SQRT_2_PI * (x + GELU_CUBIC * x * x * x)).tanh();
                0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * SQRT_2_PI * (1.0 + 3.0 * GELU_CUBIC * x * x)
            }
            Self::Erf => (-x * x).exp() * std::f32::consts::FRAC_2_SQRT_PI,
            Self::Tanh => {
                let y = x.tanh();
                1.0 - y * y
            }
            Self::Softplus => sigmoid(x),
            Self::Softsign => {
                let d = 1.0 + x.abs();
                1.0 / (d * d)
            }
            Self::Exp => x.exp(),
            Self::Log => 1.0 / x,
            Self::Sqrt => 0.5 / x.sqrt(),
            Self::Reciprocal => -1.0 / (x * x),
            Self::Neg => -1.0,
            Self::Abs => {
                if x == 0.0 {
                    0.0
                } else {
                    x.signum()
                }
            }
            Self::Floor | Self::Ceil | Self::Round | Self::Sign => 0.0,
            Self::Celu(alpha) => {
                if x > 0.0 {
                    1.0
                } else {
                    (x / alpha).exp()
                }
            }
            Self::Shrink { from, .. } => inside(x < -from || x > from),
            Self::Power(0.0) => 0.0,
            Self::Power(e) => e * x.powf(e - 1.0),
            Self::Root if x <= 0.0 => 0.0,
            Self::Root => 0.5 / x.sqrt(),
            Self::Of(f) => f.slope(x),
            Self::Clip { min, max } => inside(x > min && x < max),
        }
    }

    /// Element by element.
    pub fn apply(self, x: Tensor<RANK>) -> Tensor<RANK> {
        match self {
            // Those of the zoo have vector kernels.
            Self::Gelu => ops::gelu(x),
            Self::Swish(1.0) => ops::silu(x),
            Self::Clip { min: 0.0, max: 6.0 } => ops::relu6(x),
            _ if is_native(&x) => apply(self, vec![x.into()]),
            _ => self.plain(x),
        }
    }

    /// The same composed of Burn's tensor operations.
    pub fn plain(self, x: Tensor<RANK>) -> Tensor<RANK> {
        let where_positive = |x: Tensor<RANK>, y: Tensor<RANK>, otherwise: Tensor<RANK>| {
            let negative = x.lower_equal_elem(0.0);
            y.mask_where(negative, otherwise)
        };
        match self {
            Self::LeakyRelu(slope) => where_positive(x.clone(), x.clone(), x.mul_scalar(slope)),
            Self::ThresholdedRelu(from) => x.clone().mask_fill(x.lower_equal_elem(from), 0.0),
            Self::Elu { alpha, gamma } => {
                // Held at 0 above it, where e^x might overflow and spoil the gradient.
                let below = x.clone().clamp_max(0.0).exp().sub_scalar(1.0).mul_scalar(alpha);
                where_positive(x.clone(), x, below).mul_scalar(gamma)
            }
            Self::Celu(alpha) => {
                let below = x.clone().clamp_max(0.0).div_scalar(alpha).exp().sub_scalar(1.0).mul_scalar(alpha);
                where_positive(x.clone(), x, below)
            }
            Self::Shrink { from, bias } => {
                let (low, high) = (x.clone().lower_elem(-from), x.clone().greater_elem(from));
                let nothing = x.clone().mul_scalar(0.0);
                let upper = nothing.mask_where(high, x.clone().sub_scalar(bias));
                upper.mask_where(low, x.add_scalar(bias))
            }
            Self::Sigmoid => activation::sigmoid(x),
            Self::HardSigmoid { alpha, beta } => x.mul_scalar(alpha).add_scalar(beta).clamp(0.0, 1.0),
            Self::HardSwish => x.clone() * Self::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 }.plain(x),
            Self::Swish(alpha) => x.clone() * activation::sigmoid(x.mul_scalar(alpha)),
            Self::Mish => x.clone() * Self::Softplus.plain(x).tanh(),
            Self::Gelu => {
                let phi = x.clone().mul_scalar(std::f32::consts::FRAC_1_SQRT_2).erf().add_scalar(1.0);
                (x * phi).mul_scalar(0.5)
            }
            Self::GeluTanh => {
                let cubic = x.clone() + x.clone().powi_scalar(3).mul_scalar(GELU_CUBIC);
                (x * cubic.mul_scalar(SQRT_2_PI).tanh().add_scalar(1.0)).mul_scalar(0.5)
            }
            Self::Erf => x.erf(),
            Self::Tanh => x.tanh(),
            // max(x, 0) + ln(1 + e^−|x|).
            Self::Softplus => x.clone().clamp_min(0.0) + x.abs().neg().exp().log1p(),
            Self::Softsign => x.clone() / x.abs().add_scalar(1.0),
            Self::Exp => x.exp(),
            Self::Log => x.log(),
            Self::Sqrt => x.sqrt(),
            Self::Reciprocal => x.recip(),
            Self::Neg => x.neg(),
            Self::Abs => x.abs(),
            Self::Floor => x.floor(),
            Self::Ceil => x.ceil(),
            Self::Round => x.round(),
            Self::Sign => x.sign(),
            Self::Power(e) if e.is_finite() => x.powf_scalar(e),
            Self::Power(e) => {
                let exponent = Tensor::full(x.dims(), e, &x.device().without_autodiff());
                x.powf(exponent)
            }
            Self::Root => {
                let zero = x.clone().lower_equal_elem(0.0);
                x.mask_fill(zero.clone(), 1.0).sqrt().mask_fill(zero, 0.0)
            }
            Self::Of(f) => f.plain(x),
            Self::Clip { min, max } => x.clamp(min, max),
        }
    }
}

/// Elements that one thread takes at a time.
const CHUNK: usize = 1 << 14;

impl Unary {
    /// The activation kernel for this function, where there is one. It tells the sides of 0 by the output's sign.
    fn kernel(self) -> Option<Activation> {
        match self {
            Self::LeakyRelu(0.0) => Some(Activation::Relu),
            Self::LeakyRelu(slope) if slope > 0.0 => Some(Activation::LeakyRelu(slope)),
            _ => None,
        }
    }
}

/// Runs a loop with the function known to the compiler where it is cheap enough for that to matter.
macro_rules! specialised {
    ($function:expr, |$f:ident| $body:expr) => {
        match $function {
            $f @ Unary::Clip { .. } => $body,
            $f @ Unary::HardSigmoid { .. } => $body,
            $f @ Unary::HardSwish => $body,
            $f => $body,
        }
    };
}

impl Function for Unary {
    fn keeps(&self, _: &[bool]) -> Keeps {
        let output = self.kernel().is_some();
        Keeps { inputs: vec![!output], output }
    }

    fn forward(&self, inputs: &[View<'_>]) -> Output {
        let x = inputs[0].data;
        let mut y = Buffer::stale(x.len());
        match self.kernel() {
            Some(kernel) => act::activate(x, kernel, &mut y),
            None => y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| {
                specialised!(*self, |f| y.iter_mut().zip(x).for_each(|(y, &x)| *y = f.value(x)))
            }),
        }
        Output::new(inputs[0].shape.to_vec(), y)
    }

    fn backward(&self, context: &Pass<'_>) -> Vec<Gradient> {
        let g = context.grad;
        let mut dx = Buffer::stale(g.len());
        match self.kernel() {
            Some(kernel) => act::activate_backward(g, context.output.data, kernel, &mut dx),
            None => {
                let parts = g.par_chunks(CHUNK).zip(context.inputs[0].data.par_chunks(CHUNK));
                dx.par_chunks_mut(CHUNK).zip(parts).for_each(|(dx, (g, x))| {
                    let parts = dx.iter_mut().zip(g.iter().zip(x));
                    specialised!(*self, |f| parts.for_each(|(dx, (g, &x))| *dx = g * f.slope(x)))
                });
            }
        }
        vec![Gradient::Of(dx)]
    }
}

impl Op for Unary {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        match (self, inputs.value(0)?) {
            (_, Value::Float(x)) => float(x.map(|x| self.apply(x))),
            (Self::Neg, Value::Int(x)) => integers(x, i128::wrapping_neg),
            (Self::Abs, Value::Int(x)) => integers(x, i128::wrapping_abs),
            (Self::Sign, Value::Int(x)) => integers(x, i128::signum),
            (Self::LeakyRelu(0.0), Value::Int(x)) => integers(x, |v| v.max(0)),
            (Self::Floor | Self::Ceil | Self::Round, Value::Int(x)) => ints(x),
            (_, Value::Int(_)) => Err("integers, where floats are supported".into()),
        }
    }
}

fn integers(x: Ints, f: impl Fn(i128) -> i128) -> Result<Vec<Value>, String> {
    ints(Ints::wrapped(x.kind, x.shape.clone(), x.wide().map(f)))
}

/// A function of single elements as an operator.
pub fn pointwise(unary: Unary) -> Result<Box<dyn Op>, String> {
    boxed(unary)
}

fn hard_sigmoid(node: &Node) -> Unary {
    let [alpha, beta] = [("alpha", 0.2), ("beta", 0.5)].map(|(n, d)| node.attributes.float(n).unwrap_or(d));
    Unary::HardSigmoid { alpha, beta }
}

fn gelu(node: &Node) -> Result<Box<dyn Op>, String> {
    match node.attributes.string("approximate", "none").as_str() {
        "none" => pointwise(Unary::Gelu),
        "tanh" => pointwise(Unary::GeluTanh),
        other => Err(format!("the approximation `{other}`")),
    }
}

/// `Clip`, whose bounds are inputs; up to operator set 10, attributes.
#[derive(Debug)]
struct Clip {
    min: Option<f32>,
    max: Option<f32>,
}

fn clip(node: &Node) -> Result<Box<dyn Op>, String> {
    let bound = |name: &str| node.attributes.float(name).filter(|_| node.opset < 11);
    boxed(Clip { min: bound("min"), max: bound("max") })
}

impl Op for Clip {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        match inputs.value(0)? {
            Value::Float(x) => {
                let min = inputs.optional_scalar(1)?.or(self.min).unwrap_or(f32::MIN);
                let max = inputs.optional_scalar(2)?.or(self.max).unwrap_or(f32::MAX);
                if min.is_nan() || max.is_nan() {
                    return Err(format!("the bounds {min} and {max}"));
                }
                float(x.map(|x| Unary::Clip { min, max }.apply(x)))
            }
            Value::Int(x) => {
                let mut bound = |i: usize| -> Result<Option<i128>, String> {
                    match inputs.optional_ints(i)? {
                        None => Ok(None),
                        Some(b) if b.data.len() == 1 => Ok(b.wide().next()),
                        Some(b) => Err(format!("input {i} has the shape {:?}, not one number", b.shape)),
                    }
                };
                let (min, max) = (bound(1)?.unwrap_or(i128::MIN), bound(2)?.unwrap_or(i128::MAX));
                integers(x, |v| v.max(min).min(max))
            }
        }
    }
}

/// `max(x, 0) + slope · min(x, 0)`, the slope broadcast.
#[derive(Debug)]
struct PRelu;

impl Op for PRelu {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let (x, slope) = (inputs.float(0)?, inputs.float(1)?);
        if broadcast(&x.shape(), &slope.shape())? != x.shape() {
            return Err(format!("a slope of shape {:?} for a tensor of {:?}", slope.shape(), x.shape()));
        }
        let positive = x.clone().map(|x| Unary::LeakyRelu(0.0).apply(x));
        let negative = x.map(|x| Unary::Clip { min: f32::MIN, max: 0.0 }.apply(x));
        let scaled = Float::zip(negative, slope, |x, slope| x * slope)?;
        float(Float::zip(positive, scaled, |a, b| a + b)?)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    const ALL: [Unary; 44] = [
        Unary::LeakyRelu(0.0),
        Unary::LeakyRelu(0.1),
        Unary::LeakyRelu(-0.5),
        Unary::ThresholdedRelu(0.7),
        Unary::Elu { alpha: 1.3, gamma: 1.1 },
        Unary::Sigmoid,
        Unary::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Unary::HardSwish,
        Unary::Swish(1.7),
        Unary::Mish,
        Unary::Gelu,
        Unary::GeluTanh,
        Unary::Erf,
        Unary::Tanh,
        Unary::Softplus,
        Unary::Softsign,
        Unary::Exp,
        Unary::Log,
        Unary::Sqrt,
        Unary::Reciprocal,
        Unary::Neg,
        Unary::Abs,
        Unary::Floor,
        Unary::Ceil,
        Unary::Clip { min: -1.0, max: 2.0 },
        Unary::Celu(0.7),
        Unary::Shrink { from: 0.6, bias: 0.2 },
        Unary::Round,
        Unary::Sign,
        Unary::Power(1.7),
        Unary::Power(-0.5),
        Unary::Power(0.0),
        Unary::Root,
        Unary::Of(Angle::Sin),
        Unary::Of(Angle::Cos),
        Unary::Of(Angle::Tan),
        Unary::Of(Angle::Asin),
        Unary::Of(Angle::Acos),
        Unary::Of(Angle::Atan),
        Unary::Of(Angle::Sinh),
        Unary::Of(Angle::Cosh),
        Unary::Of(Angle::Asinh),
        Unary::Of(Angle::Acosh),
        Unary::Of(Angle::Atanh),
    ];

    #[test]
    fn one_pass_is_the_composition_with_its_gradient() {
        for f in ALL {
            // Roots and logarithms take positive numbers; no point falls on a kink.
            let positive =
                matches!(f, Unary::Log | Unary::Sqrt | Unary::Reciprocal | Unary::Power(_) | Unary::Root);
            let at = |i: usize| match f {
                // Within −1 and 1; above 1; between poles.
                Unary::Of(Angle::Asin | Angle::Acos | Angle::Atanh) => (i as f32 - 299.6) * 0.0033,
                Unary::Of(Angle::Acosh) => 1.01 + i as f32 * 0.01,
                Unary::Of(Angle::Tan) => (i as f32 - 299.6) * 0.0049,
                _ => (i as f32 - if positive { -1.0 } else { 300.0 }) * 0.0201 + 0.0031,
            };
            let points: Vec<f32> = (0..600).map(at).collect();
            let device = Device::flex().autodiff();
            let data = TensorData::new(points.clone(), [1, 1, 2, 3, 10, 10]);
            let [native, plain] = [Unary::apply, Unary::plain].map(|run| {
                let x = Tensor::<RANK>::from_data(data.clone(), &device).require_grad();
                let y = run(f, x.clone());
                let weights = y.clone().detach().mul_scalar(0.3).add_scalar(1.0);
                let grads = (y.clone() * weights).sum().backward();
                let gradient = x.grad(&grads).map(|g| g.into_data().try_to_vec::<f32>().unwrap());
                let gradient = gradient.unwrap_or_else(|| vec![0.0; 600]);
                (y.into_data().try_to_vec::<f32>().unwrap(), gradient)
            });
            for i in 0..600 {
                for (what, a, b) in [("value", native.0[i], plain.0[i]), ("slope", native.1[i], plain.1[i])] {
                    let close = (a - b).abs() <= 3e-6 * (1.0 + b.abs());
                    assert!(close, "{f:?} at {}: {what} {a}, composed {b}", points[i]);
                }
            }
        }
    }
}
