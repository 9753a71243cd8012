//! Sums, products, powers and the like of two or more tensors, broadcast; on integers too, which is how graphs compute shapes.

use super::activation::Unary;
use super::{Context, Inputs, Op, boxed, float, ints};
use crate::onnx::value::{Float, Ints, Value, broadcast};
use crate::ops;

pub const OPS: &[(&str, super::Build)] = &[
    ("Add", |_| boxed(Binary::Add)),
    ("Sub", |_| boxed(Binary::Sub)),
    ("Mul", |_| boxed(Binary::Mul)),
    ("Div", |_| boxed(Binary::Div)),
    ("Pow", |_| boxed(Pow)),
    ("Where", |_| boxed(Where)),
    ("Max", |_| boxed(Variadic::Max)),
    ("Min", |_| boxed(Variadic::Min)),
    ("Sum", |_| boxed(Variadic::Sum)),
    ("Mean", |_| boxed(Variadic::Mean)),
    ("dyntta::AddRelu", |_| boxed(AddRelu)),
];

#[derive(Clone, Copy, Debug)]
enum Binary {
    Add,
    Sub,
    Mul,
    Div,
}

impl Op for Binary {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let (a, b) = (inputs.value(0)?, inputs.value(1)?);
        context.broadcast(&a.shape(), &b.shape())?;
        match (a, b) {
            (Value::Int(a), Value::Int(b)) => {
                if matches!(self, Self::Div) && b.data.contains(&0) {
                    return Err("a division by 0".into());
                }
                ints(a.zip(&b, a.kind, |a, b| match self {
                    Self::Add => a.wrapping_add(b),
                    Self::Sub => a.wrapping_sub(b),
                    Self::Mul => a.wrapping_mul(b),
                    Self::Div => a.wrapping_div(b),
                })?)
            }
            (a, b) => {
                let (a, b) = (a.into_float(context.device)?, b.into_float(context.device)?);
                float(Float::zip(a, b, |a, b| match self {
                    Self::Add => a + b,
                    Self::Sub => a - b,
                    Self::Mul => a * b,
                    Self::Div => a / b,
                })?)
            }
        }
    }
}

/// `base ^ exponent`; the small powers that graphs really have go without logarithms.
#[derive(Debug)]
struct Pow;

impl Op for Pow {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let (base, exponent) = (inputs.value(0)?, inputs.value(1)?);
        let shape = context.broadcast(&base.shape(), &exponent.shape())?;
        if let Value::Int(base) = base {
            // As a float's power, cut to the base's type.
            let exponent: Vec<f64> = match exponent {
                Value::Int(x) => x.expand(&shape)?.wide().map(|v| v as f64).collect(),
                Value::Float(x) => x.expand(&shape)?.values().into_iter().map(f64::from).collect(),
            };
            let base_values = base.expand(&shape)?;
            let powers = base_values.wide().zip(exponent).map(|(b, e)| (b as f64).powf(e) as i128);
            return ints(Ints::wrapped(base.kind, shape.clone(), powers));
        }
        let (base, exponent) = (base.into_float(context.device)?, exponent.into_float(context.device)?);
        let constant = exponent.shape().iter().product::<usize>() == 1 && !exponent.is_tracked();
        if !(constant && exponent.rank() <= base.rank()) {
            return float(Float::zip(base, exponent, |a, b| a.powf(b))?);
        }
        let exponent = exponent.values()[0];
        float(base.map(|x| match exponent {
            0.5 => Unary::Sqrt.apply(x),
            -1.0 => Unary::Reciprocal.apply(x),
            1.0 => x,
            2.0 => x.clone() * x,
            3.0 => x.clone() * x.clone() * x,
            e if e.fract() == 0.0 && e.abs() < 64.0 => x.powi_scalar(e as i32),
            e => Unary::Power(e).apply(x),
        }))
    }
}

/// The second input where the first holds, else the third.
#[derive(Debug)]
struct Where;

impl Op for Where {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let condition = inputs.ints(0)?;
        let (yes, no) = (inputs.value(1)?, inputs.value(2)?);
        let shape = context.broadcast(&context.broadcast(&yes.shape(), &no.shape())?, &condition.shape)?;
        let condition = condition.expand(&shape)?;
        match (yes, no) {
            (Value::Int(yes), Value::Int(no)) => {
                let (yes, no) = (yes.expand(&shape)?, no.expand(&shape)?);
                let pick = |(i, c): (usize, &i64)| if *c != 0 { yes.data[i] } else { no.data[i] };
                let data = condition.data.iter().enumerate().map(pick).collect();
                ints(Ints { shape, data, kind: yes.kind })
            }
            (yes, no) => {
                let yes = yes.into_float(context.device)?.expand(&shape)?.row_major();
                let no = no.into_float(context.device)?.expand(&shape)?.row_major();
                let mask = condition.mask(context.device)?;
                float(Float::new(no.mask_where(mask, yes), shape.len()))
            }
        }
    }
}

/// Of any number of tensors.
#[derive(Clone, Copy, Debug)]
enum Variadic {
    Max,
    Min,
    Sum,
    Mean,
}

impl Op for Variadic {
    fn run(&self, inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let count = inputs.0.iter().flatten().count();
        let mut values = inputs.0.into_iter().flatten();
        let mut result = values.next().ok_or("no inputs")?;
        for value in values {
            context.broadcast(&result.shape(), &value.shape())?;
            result = match (result, value) {
                (Value::Int(a), Value::Int(b)) if matches!(self, Self::Max | Self::Min) => {
                    let max = matches!(self, Self::Max);
                    Value::Int(a.zip(&b, a.kind, |a, b| if max { a.max(b) } else { a.min(b) })?)
                }
                (a, b) => Value::Float(
                    self.floats(a.into_float(context.device)?, b.into_float(context.device)?)?,
                ),
            };
        }
        Ok(vec![match (self, result) {
            (Self::Mean, Value::Float(x)) => Value::Float(x.map(|x| x.div_scalar(count as f32))),
            (_, result) => result,
        }])
    }
}

impl Variadic {
    fn floats(&self, a: Float, b: Float) -> Result<Float, String> {
        let (a, b) = Float::align(a, b)?;
        match self {
            Self::Sum | Self::Mean => Float::zip(a, b, |a, b| a + b),
            Self::Max | Self::Min => {
                // Masks don't broadcast.
                let (shape, max) = (broadcast(&a.shape(), &b.shape())?, matches!(self, Self::Max));
                let (a, b) = (a.expand(&shape)?, b.expand(&shape)?);
                Float::zip(a, b, |a, b| {
                    let other = if max { a.clone().lower(b.clone()) } else { a.clone().greater(b.clone()) };
                    a.mask_where(other, b)
                })
            }
        }
    }
}

/// `max(a + b, 0)`, which residual networks end their blocks with.
#[derive(Debug)]
struct AddRelu;

impl Op for AddRelu {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let (a, b) =
            (inputs.value(0)?.into_float(context.device)?, inputs.value(1)?.into_float(context.device)?);
        context.broadcast(&a.shape(), &b.shape())?;
        if a.rank() == 4 && a.shape() == b.shape() {
            return float(Float::from_nhwc(ops::add_relu(a.nhwc()?, b.nhwc()?)));
        }
        float(Float::zip(a, b, |a, b| Unary::LeakyRelu(0.0).apply(a + b))?)
    }
}
