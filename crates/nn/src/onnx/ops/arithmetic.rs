//! Sums, products and comparisons of two or more tensors, broadcast; on integers too, which is how graphs compute shapes.

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
    ("Mod", |n| match n.attributes.int("fmod") {
        Some(1) => Err("fmod = 1".into()),
        _ => boxed(Integer::Mod),
    }),
    ("Equal", |_| boxed(Integer::Equal)),
    ("Less", |_| boxed(Integer::Less)),
    ("LessOrEqual", |_| boxed(Integer::LessOrEqual)),
    ("Greater", |_| boxed(Integer::Greater)),
    ("GreaterOrEqual", |_| boxed(Integer::GreaterOrEqual)),
    ("And", |_| boxed(Integer::And)),
    ("Or", |_| boxed(Integer::Or)),
    ("Not", |_| boxed(Not)),
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
        match (inputs.value(0)?, inputs.value(1)?) {
            (Value::Int(a), Value::Int(b)) => {
                if matches!(self, Self::Div) && b.data.contains(&0) {
                    return Err("a division by 0".into());
                }
                ints(a.zip(&b, |a, b| match self {
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
        let base = inputs.value(0)?.into_float(context.device)?;
        let exponent = inputs.value(1)?.into_float(context.device)?;
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
            e => x.powf_scalar(e),
        }))
    }
}

/// What gives integers or truth values. Of floats only comparisons are taken: they let no gradient through.
#[derive(Clone, Copy, Debug)]
enum Integer {
    Mod,
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
}

impl Op for Integer {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        match (inputs.value(0)?, inputs.value(1)?) {
            (Value::Int(a), Value::Int(b)) => {
                if matches!(self, Self::Mod) && b.data.contains(&0) {
                    return Err("a division by 0".into());
                }
                ints(a.zip(&b, |a, b| match self {
                    // The sign is the divisor's.
                    Self::Mod => (a.wrapping_rem(b)).wrapping_add(b).wrapping_rem(b),
                    Self::Equal => (a == b).into(),
                    Self::Less => (a < b).into(),
                    Self::LessOrEqual => (a <= b).into(),
                    Self::Greater => (a > b).into(),
                    Self::GreaterOrEqual => (a >= b).into(),
                    Self::And => (a != 0 && b != 0).into(),
                    Self::Or => (a != 0 || b != 0).into(),
                })?)
            }
            (a, b) => {
                let shape = broadcast(&a.shape(), &b.shape())?;
                let (a, b) = (a.into_float(context.device)?, b.into_float(context.device)?);
                let (a, b) = (a.expand(&shape)?.values(), b.expand(&shape)?.values());
                let compare =
                    |f: fn(f32, f32) -> bool| a.iter().zip(&b).map(|(&a, &b)| f(a, b).into()).collect();
                let data = match self {
                    Self::Equal => compare(|a, b| a == b),
                    Self::Less => compare(|a, b| a < b),
                    Self::LessOrEqual => compare(|a, b| a <= b),
                    Self::Greater => compare(|a, b| a > b),
                    Self::GreaterOrEqual => compare(|a, b| a >= b),
                    Self::Mod | Self::And | Self::Or => {
                        return Err("floats, where integers are supported".into());
                    }
                };
                ints(Ints { shape, data })
            }
        }
    }
}

#[derive(Debug)]
struct Not;

impl Op for Not {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.ints(0)?;
        ints(Ints { data: x.data.iter().map(|&v| (v == 0).into()).collect(), shape: x.shape })
    }
}

/// The second input where the first holds, else the third.
#[derive(Debug)]
struct Where;

impl Op for Where {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let condition = inputs.ints(0)?;
        let (yes, no) = (inputs.value(1)?, inputs.value(2)?);
        let shape = broadcast(&broadcast(&yes.shape(), &no.shape())?, &condition.shape)?;
        let condition = condition.expand(&shape)?;
        match (yes, no) {
            (Value::Int(yes), Value::Int(no)) => {
                let (yes, no) = (yes.expand(&shape)?, no.expand(&shape)?);
                let pick = |(i, c): (usize, &i64)| if *c != 0 { yes.data[i] } else { no.data[i] };
                ints(Ints { data: condition.data.iter().enumerate().map(pick).collect(), shape })
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
        let values: Vec<Value> = inputs.0.into_iter().flatten().collect();
        let count = values.len();
        if values.iter().all(|v| matches!(v, Value::Int(_))) && matches!(self, Self::Max | Self::Min) {
            let all =
                values.into_iter().filter_map(|v| if let Value::Int(x) = v { Some(Ok(x)) } else { None });
            let fold = |a: Result<Ints, String>, b: Result<Ints, String>| {
                a?.zip(&b?, |a, b| if matches!(self, Self::Max) { a.max(b) } else { a.min(b) })
            };
            return ints(all.reduce(fold).ok_or("no inputs")??);
        }
        let all = values.into_iter().map(|v| v.into_float(context.device));
        let fold = |a: Result<Float, String>, b: Result<Float, String>| {
            let (a, b) = Float::align(a?, b?)?;
            match self {
                Self::Sum | Self::Mean => Float::zip(a, b, |a, b| a + b),
                Self::Max | Self::Min => {
                    // Masks don't broadcast.
                    let (shape, max) = (broadcast(&a.shape(), &b.shape())?, matches!(self, Self::Max));
                    let (a, b) = (a.expand(&shape)?, b.expand(&shape)?);
                    Float::zip(a, b, |a, b| {
                        let other =
                            if max { a.clone().lower(b.clone()) } else { a.clone().greater(b.clone()) };
                        a.mask_where(other, b)
                    })
                }
            }
        };
        let result = all.reduce(fold).ok_or("no inputs")??;
        float(if matches!(self, Self::Mean) { result.map(|x| x.div_scalar(count as f32)) } else { result })
    }
}

/// `max(a + b, 0)`, which residual networks end their blocks with.
#[derive(Debug)]
struct AddRelu;

impl Op for AddRelu {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let (a, b) =
            (inputs.value(0)?.into_float(context.device)?, inputs.value(1)?.into_float(context.device)?);
        if a.rank() == 4 && a.shape() == b.shape() {
            return float(Float::from_nhwc(ops::add_relu(a.nhwc()?, b.nhwc()?)));
        }
        float(Float::zip(a, b, |a, b| Unary::LeakyRelu(0.0).apply(a + b))?)
    }
}
