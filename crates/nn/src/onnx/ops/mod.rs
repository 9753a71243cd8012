//! The operators, each by its ONNX name.
//!
//! An operator is built from a node, which is where what it does not support is refused, and run on values.

mod activation;
mod arithmetic;
mod conv;
mod index;
mod matmul;
mod normalisation;
mod pool;
mod reduce;
mod resize;
mod shape;

use std::fmt::Debug;

use burn::tensor::Device;

use super::ir::Node;
use super::value::{Float, Ints, Value};

/// An operator with its settings.
pub trait Op: Debug + Send + Sync {
    /// Computes the outputs.
    ///
    /// # Errors
    /// A message, if the inputs are not what the operator takes.
    fn run(&self, inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String>;
}

/// What an operator may need beside its inputs.
pub struct Context<'a> {
    /// Where constants are made; it records no gradients.
    pub device: &'a Device,
    /// How the batch differs from that of the file, where the file fixes one.
    pub batch: Option<Batch<'a>>,
}

/// A batch of another size than the file's.
pub struct Batch<'a> {
    /// The shape of the operator's first input with the file's batch.
    pub shape: &'a [usize],
    /// The file's batch size.
    pub from: usize,
    /// This one's.
    pub to: usize,
    /// Whether the operator's second input is a constant of the file.
    pub constant: bool,
}

/// The inputs of an operator.
#[derive(Debug)]
pub struct Inputs(pub Vec<Option<Value>>);

impl Inputs {
    /// Input `i`, where given; it is given once.
    pub fn optional(&mut self, i: usize) -> Option<Value> {
        self.0.get_mut(i).and_then(Option::take)
    }

    /// Input `i`; it is given once.
    pub fn value(&mut self, i: usize) -> Result<Value, String> {
        self.optional(i).ok_or_else(|| format!("input {i} is missing"))
    }

    /// Input `i` as a float tensor.
    pub fn float(&mut self, i: usize) -> Result<Float, String> {
        match self.value(i)? {
            Value::Float(x) => Ok(x),
            Value::Int(_) => Err(format!("input {i} holds integers, not floats")),
        }
    }

    /// Input `i` as a float tensor, where given.
    pub fn optional_float(&mut self, i: usize) -> Result<Option<Float>, String> {
        if self.0.get(i).is_some_and(Option::is_some) { self.float(i).map(Some) } else { Ok(None) }
    }

    /// Input `i` as integers.
    pub fn ints(&mut self, i: usize) -> Result<Ints, String> {
        match self.value(i)? {
            Value::Int(x) => Ok(x),
            Value::Float(_) => Err(format!("input {i} holds floats, not integers")),
        }
    }

    /// Input `i` as integers, where given.
    pub fn optional_ints(&mut self, i: usize) -> Result<Option<Ints>, String> {
        if self.0.get(i).is_some_and(Option::is_some) { self.ints(i).map(Some) } else { Ok(None) }
    }

    /// Input `i` as one number, where given.
    pub fn optional_scalar(&mut self, i: usize) -> Result<Option<f32>, String> {
        let Some(value) = self.optional(i) else { return Ok(None) };
        if value.shape().iter().product::<usize>() != 1 {
            return Err(format!("input {i} has the shape {:?}, not one number", value.shape()));
        }
        Ok(Some(match value {
            Value::Float(x) => x.values()[0],
            Value::Int(x) => x.data[0] as f32,
        }))
    }
}

type Build = fn(&Node) -> Result<Box<dyn Op>, String>;

const FAMILIES: [&[(&str, Build)]; 10] = [
    activation::OPS,
    arithmetic::OPS,
    conv::OPS,
    index::OPS,
    matmul::OPS,
    normalisation::OPS,
    pool::OPS,
    reduce::OPS,
    resize::OPS,
    shape::OPS,
];

/// The operator of a node: none if there is no such operator.
///
/// # Errors
/// A message, if the operator is there, but not with these settings.
pub fn build(node: &Node) -> Option<Result<Box<dyn Op>, String>> {
    let (_, build) = FAMILIES.into_iter().flatten().find(|(name, _)| *name == node.op)?;
    Some(build(node))
}

/// One float tensor as an operator's outputs.
fn float(x: Float) -> Result<Vec<Value>, String> {
    Ok(vec![Value::Float(x)])
}

/// One list of integers as an operator's outputs.
fn ints(x: Ints) -> Result<Vec<Value>, String> {
    Ok(vec![Value::Int(x)])
}

/// Boxes an operator.
fn boxed(op: impl Op + 'static) -> Result<Box<dyn Op>, String> {
    Ok(Box::new(op))
}
