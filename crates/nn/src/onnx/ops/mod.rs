//! The operators, each by its ONNX name.
//!
//! An operator is built from a node, which is where what it does not support is refused, and run on values.

mod activation;
mod arithmetic;
mod attention;
mod conv;
mod einsum;
mod gather;
mod generate;
mod index;
mod integer;
mod matmul;
mod normalisation;
mod pad;
mod pool;
mod reduce;
mod resize;
mod shape;
mod trigonometry;
mod windows;

use std::fmt::Debug;

use burn::tensor::Device;
use dyntta_files::Limits;

use super::ir::Node;
use super::value::{self, Float, Ints, Value};

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
    /// How many images there are.
    pub images: usize,
    /// How the batch differs from that of the file, where the file fixes one.
    pub batch: Option<Batch<'a>>,
}

/// Elements for each image that an operator may make of much fewer: no classifier's masks, grids and enlargements are larger.
const MADE: usize = 1 << 25;
/// The same for borders.
const BORDERED: usize = 1 << 22;
/// Elements for each image that an operator may give at all: the attention of 4096 places in 16 heads.
const GIVEN: usize = 1 << 28;

impl Context<'_> {
    /// The number of elements of what an operator is about to give.
    ///
    /// # Errors
    /// If that is more than any classifier has for so many images.
    pub fn room(&self, shape: &[usize]) -> Result<usize, String> {
        self.within(shape, GIVEN)
    }

    /// The same for what is made of `from` elements, where a few bytes of a file may ask for much.
    ///
    /// # Errors
    /// If that is more than any classifier makes.
    pub fn made(&self, shape: &[usize], from: usize) -> Result<usize, String> {
        let count = self.within(shape, GIVEN)?;
        if count <= from.saturating_mul(4) { Ok(count) } else { self.within(shape, MADE) }
    }

    /// The same for `from` elements with a border around them.
    ///
    /// # Errors
    /// If that is more than any classifier pads.
    pub fn bordered(&self, shape: &[usize], from: usize) -> Result<usize, String> {
        let count = self.within(shape, GIVEN)?;
        if count <= from.saturating_mul(4) { Ok(count) } else { self.within(shape, BORDERED) }
    }

    /// The shape that two shapes broadcast to.
    ///
    /// # Errors
    /// If they don't, or if it is too large.
    pub fn broadcast(&self, a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
        let shape = value::broadcast(a, b)?;
        self.made(&shape, a.iter().product::<usize>().max(b.iter().product()))?;
        Ok(shape)
    }

    /// Whether an operator may cost so many multiply-adds, the factors given.
    ///
    /// # Errors
    /// If that is more than a whole classifier may.
    pub fn affordable(&self, factors: &[usize]) -> Result<(), String> {
        let work = factors.iter().try_fold(1u64, |n, &f| n.checked_mul(f as u64));
        let most = Limits::DEFAULT.work.saturating_mul(self.images.max(1) as u64);
        match work.filter(|&w| w <= most) {
            Some(_) => Ok(()),
            None => Err(format!("more than {:e} multiply-adds for an image", Limits::DEFAULT.work as f64)),
        }
    }

    fn within(&self, shape: &[usize], each: usize) -> Result<usize, String> {
        let count = value::count(shape)?;
        if count > each.saturating_mul(self.images.max(1)) {
            return Err(format!("a tensor of shape {shape:?} is too large"));
        }
        Ok(count)
    }
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

const FAMILIES: [&[(&str, Build)]; 17] = [
    activation::OPS,
    arithmetic::OPS,
    attention::OPS,
    conv::OPS,
    einsum::OPS,
    gather::OPS,
    generate::OPS,
    index::OPS,
    integer::OPS,
    matmul::OPS,
    normalisation::OPS,
    pad::OPS,
    pool::OPS,
    reduce::OPS,
    resize::OPS,
    shape::OPS,
    trigonometry::OPS,
];

/// Operators that take float tensors without elements.
const TAKE_NOTHING: [&str; 7] = ["Shape", "Size", "Identity", "Cast", "CastLike", "Concat", "Resize"];

/// The operator of a node: none if there is no such operator.
///
/// # Errors
/// A message, if the operator is there, but not with these settings.
pub fn build(node: &Node) -> Option<Result<Box<dyn Op>, String>> {
    let (_, build) = FAMILIES.into_iter().flatten().find(|(name, _)| *name == node.op)?;
    Some(build(node).map(|op| guarded(op, node)))
}

/// As [`build`], for a node that reads nothing but constants: then normalisation by the batch's own statistics is one more
/// function of them.
///
/// # Errors
/// As [`build`].
pub fn build_constant(node: &Node) -> Option<Result<Box<dyn Op>, String>> {
    match node.op.as_str() {
        "BatchNormalization" => Some(normalisation::batch_of_constants(node).map(|op| guarded(op, node))),
        _ => build(node),
    }
}

fn guarded(op: Box<dyn Op>, node: &Node) -> Box<dyn Op> {
    Box::new(Guarded { op, takes_nothing: TAKE_NOTHING.contains(&node.op.as_str()) })
}

/// An operator behind the check that all share: only some can do with tensors that have no elements.
#[derive(Debug)]
struct Guarded {
    op: Box<dyn Op>,
    takes_nothing: bool,
}

impl Op for Guarded {
    fn run(&self, inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let empty = |v: &Value| matches!(v, Value::Float(x) if x.shape().contains(&0));
        match inputs.0.iter().flatten().find(|v| !self.takes_nothing && empty(v)) {
            Some(value) => Err(format!("a tensor of shape {:?}, which has no elements", value.shape())),
            None => self.op.run(inputs, context),
        }
    }
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
