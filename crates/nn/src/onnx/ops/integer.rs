//! What gives integers or truth values: comparisons, logic, bits and remainders. Of floats these are constants: no gradient
//! goes through them.

use super::{Context, Inputs, Op, boxed, float, ints};
use crate::onnx::ir::Node;
use crate::onnx::tensor::DataType;
use crate::onnx::value::{Float, Ints, Value};

pub const OPS: &[(&str, super::Build)] = &[
    ("Equal", |_| boxed(Compare::Equal)),
    ("Less", |_| boxed(Compare::Less)),
    ("LessOrEqual", |_| boxed(Compare::LessOrEqual)),
    ("Greater", |_| boxed(Compare::Greater)),
    ("GreaterOrEqual", |_| boxed(Compare::GreaterOrEqual)),
    ("And", |_| boxed(Logic::And)),
    ("Or", |_| boxed(Logic::Or)),
    ("Xor", |_| boxed(Logic::Xor)),
    ("Not", |_| boxed(Not)),
    ("BitwiseAnd", |_| boxed(Bits::And)),
    ("BitwiseOr", |_| boxed(Bits::Or)),
    ("BitwiseXor", |_| boxed(Bits::Xor)),
    ("BitwiseNot", |_| boxed(BitwiseNot)),
    ("BitShift", |n| match n.attributes.string("direction", "").as_str() {
        "LEFT" => boxed(Bits::Left),
        "RIGHT" => boxed(Bits::Right),
        other => Err(format!("direction = {other}")),
    }),
    ("Mod", remainder),
    ("IsNaN", |_| boxed(Test { nan: true, below: false, above: false })),
    ("IsInf", |n| {
        let flag = |name: &str| n.attributes.int(name).unwrap_or(1) != 0;
        boxed(Test { nan: false, below: flag("detect_negative"), above: flag("detect_positive") })
    }),
];

#[derive(Clone, Copy, Debug)]
enum Compare {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Compare {
    fn holds<T: PartialOrd>(self, a: T, b: T) -> bool {
        match self {
            Self::Equal => a == b,
            Self::Less => a < b,
            Self::LessOrEqual => a <= b,
            Self::Greater => a > b,
            Self::GreaterOrEqual => a >= b,
        }
    }
}

impl Op for Compare {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let (a, b) = (inputs.value(0)?, inputs.value(1)?);
        let shape = context.broadcast(&a.shape(), &b.shape())?;
        match (a, b) {
            (Value::Int(a), Value::Int(b)) => {
                ints(a.zip(&b, DataType::Bool, |a, b| self.holds(a, b).into())?)
            }
            (a, b) => {
                let [a, b] = [a, b].map(|x| Ok::<_, String>(x.into_float(context.device)?.expand(&shape)?.values()));
                ints(Ints::truth(shape, a?.into_iter().zip(b?).map(|(a, b)| self.holds(a, b))))
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Logic {
    And,
    Or,
    Xor,
}

impl Op for Logic {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let (a, b) = (inputs.ints(0)?, inputs.ints(1)?);
        context.broadcast(&a.shape, &b.shape)?;
        ints(a.zip(&b, DataType::Bool, |a, b| {
            let (a, b) = (a != 0, b != 0);
            i128::from(match self {
                Self::And => a && b,
                Self::Or => a || b,
                Self::Xor => a != b,
            })
        })?)
    }
}

#[derive(Debug)]
struct Not;

impl Op for Not {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.ints(0)?;
        ints(Ints::truth(x.shape.clone(), x.data.iter().map(|&v| v == 0)))
    }
}

#[derive(Clone, Copy, Debug)]
enum Bits {
    And,
    Or,
    Xor,
    Left,
    Right,
}

impl Op for Bits {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let (a, b) = (inputs.ints(0)?, inputs.ints(1)?);
        context.broadcast(&a.shape, &b.shape)?;
        let bits = i128::from(a.kind.bits());
        ints(a.zip(&b, a.kind, |a, b| match self {
            Self::And => a & b,
            Self::Or => a | b,
            Self::Xor => a ^ b,
            // Beyond the type's bits nothing is left.
            Self::Left if (0..bits).contains(&b) => a << b,
            Self::Right if (0..bits).contains(&b) => a >> b,
            Self::Left | Self::Right => 0,
        })?)
    }
}

#[derive(Debug)]
struct BitwiseNot;

impl Op for BitwiseNot {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.ints(0)?;
        ints(Ints::wrapped(x.kind, x.shape.clone(), x.wide().map(|v| !v)))
    }
}

/// The remainder of a division.
#[derive(Debug)]
struct Remainder {
    /// Whether its sign is the dividend's, as C's is, rather than the divisor's.
    c: bool,
}

fn remainder(node: &Node) -> Result<Box<dyn Op>, String> {
    boxed(Remainder { c: node.attributes.int("fmod") == Some(1) })
}

impl Op for Remainder {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let (a, b) = (inputs.value(0)?, inputs.value(1)?);
        let shape = context.broadcast(&a.shape(), &b.shape())?;
        match (a, b) {
            (Value::Int(a), Value::Int(b)) => {
                if b.data.contains(&0) {
                    return Err("a division by 0".into());
                }
                ints(a.zip(&b, a.kind, |a, b| if self.c { a % b } else { (a % b + b) % b })?)
            }
            (Value::Float(a), Value::Float(b)) if self.c && !a.is_tracked() && !b.is_tracked() => {
                let (a, b) = (a.expand(&shape)?.values(), b.expand(&shape)?.values());
                let values = a.iter().zip(&b).map(|(a, b)| a % b).collect();
                float(Float::from_values(values, &shape, context.device)?)
            }
            _ => Err("what depends on the image, or floats without fmod = 1".into()),
        }
    }
}

/// Which floats are no numbers.
#[derive(Debug)]
struct Test {
    nan: bool,
    below: bool,
    above: bool,
}

impl Op for Test {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.float(0)?;
        let test = |v: f32| {
            if self.nan { v.is_nan() } else { v.is_infinite() && (if v < 0.0 { self.below } else { self.above }) }
        };
        ints(Ints::truth(x.shape(), x.values().into_iter().map(test)))
    }
}
