//! The operators that exported graphs consist of, computed plainly: by it a graph's constants are folded, and a graph can be run
//! and held against the runtime where no other ONNX runtime is at hand. It is slow.
//!
//! The operators mean what ONNX says of them from operator set 17 on, as far as exported graphs use them.

mod elementwise;
mod geometry;
mod index;
mod nn;

use std::collections::HashMap;

use dyntta_onnx as proto;

use crate::array::{Array, Data};
use crate::error::Error;

/// The inputs of an operator; `None` where one is left out.
type Inputs<'a> = &'a [Option<&'a Array>];

/// An operator's settings.
#[derive(Clone, Copy)]
pub(crate) struct Settings<'a>(pub &'a [proto::Attribute]);

impl Settings<'_> {
    fn find(&self, name: &str) -> Option<&proto::Attribute> {
        self.0.iter().find(|a| a.name == name)
    }

    fn int(&self, name: &str, usual: i64) -> i64 {
        self.find(name).map_or(usual, |a| a.i)
    }

    fn float(&self, name: &str, usual: f32) -> f32 {
        self.find(name).map_or(usual, |a| a.f)
    }

    fn ints(&self, name: &str) -> Option<Vec<i64>> {
        self.find(name).map(|a| a.ints.clone())
    }

    fn text(&self, name: &str) -> String {
        self.find(name).map_or(String::new(), |a| String::from_utf8_lossy(&a.s).into_owned())
    }
}

/// Computes an operator's outputs.
///
/// # Errors
/// What is wrong: an operator that is none of those, or inputs that it does not take.
pub(crate) fn compute(op: &str, settings: Settings<'_>, inputs: Inputs<'_>) -> Result<Vec<Array>, String> {
    for family in [elementwise::compute, index::compute, geometry::compute, nn::compute] {
        if let Some(outputs) = family(op, settings, inputs) {
            return outputs;
        }
    }
    Err(format!("the operator {op} is not one of the reference's"))
}

/// What a family of operators gives: `None` if the operator is none of them.
type Outcome = Option<Result<Vec<Array>, String>>;

fn input<'a>(inputs: Inputs<'a>, i: usize) -> Result<&'a Array, String> {
    inputs.get(i).copied().flatten().ok_or_else(|| format!("input {i} is missing"))
}

fn floats<'a>(inputs: Inputs<'a>, i: usize) -> Result<(&'a [usize], &'a [f32]), String> {
    let array = input(inputs, i)?;
    let data = array.floats().ok_or_else(|| format!("input {i} is not in single precision"))?;
    Ok((&array.shape, data))
}

fn ints<'a>(inputs: Inputs<'a>, i: usize) -> Result<&'a [i64], String> {
    input(inputs, i)?.ints().ok_or_else(|| format!("input {i} is not of 64-bit whole numbers"))
}

fn sizes(values: &[i64]) -> Result<Vec<usize>, String> {
    values.iter().map(|&v| usize::try_from(v).map_err(|_| format!("an extent of {v}"))).collect()
}

fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let place = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(place).ok().filter(|&a| a < rank).ok_or_else(|| format!("axis {axis} of {rank}"))
}

/// How many elements stand before an axis, along it, and behind it.
fn around(shape: &[usize], axis: usize) -> [usize; 3] {
    [shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product()]
}

/// The same function for elements of every type.
macro_rules! each {
    ($data:expr, $v:ident => $body:expr) => {
        match $data {
            Data::F32($v) => Data::F32($body),
            Data::F64($v) => Data::F64($body),
            Data::F16($v) => Data::F16($body),
            Data::I64($v) => Data::I64($body),
            Data::I32($v) => Data::I32($body),
            Data::U8($v) => Data::U8($body),
            Data::Bool($v) => Data::Bool($body),
        }
    };
}
use each;

/// Runs a graph on named inputs and gives its outputs in order.
///
/// # Errors
/// [`Error::Run`], if an input is missing, or a node can't be computed.
pub fn run(model: &proto::Model, inputs: &[(&str, Array)]) -> Result<Vec<Array>, Error> {
    let failed = |node: &str, message: String| Error::Run { node: node.to_owned(), message };
    let graph = model.graph.as_ref().ok_or_else(|| failed("the model", "no graph".into()))?;
    let mut values: HashMap<&str, Array> = inputs.iter().cloned().collect();
    for tensor in &graph.initializer {
        let shape = sizes(&tensor.dims).map_err(|e| failed(&tensor.name, e))?;
        let data = Data::from_bytes(tensor.data_type, &tensor.raw_data)
            .filter(|data| data.len() == shape.iter().product::<usize>())
            .ok_or_else(|| failed(&tensor.name, "not a tensor that is read".into()))?;
        values.insert(&tensor.name, Array::new(shape, data));
    }
    let mut uses: HashMap<&str, usize> = HashMap::new();
    for name in graph.node.iter().flat_map(|node| &node.input) {
        *uses.entry(name).or_default() += 1;
    }
    let outputs: Vec<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
    for node in &graph.node {
        let mut given: Vec<Option<&Array>> = Vec::new();
        for name in &node.input {
            given.push(match name.as_str() {
                "" => None,
                name => {
                    Some(values.get(name).ok_or_else(|| failed(&node.name, format!("no value `{name}`")))?)
                }
            });
        }
        let made =
            compute(&node.op_type, Settings(&node.attribute), &given).map_err(|e| failed(&node.name, e))?;
        for (name, value) in node.output.iter().zip(made) {
            values.insert(name, value);
        }
        // What nobody reads any more is let go of.
        for name in &node.input {
            let left = uses.entry(name).or_default();
            *left = left.saturating_sub(1);
            if *left == 0 && !outputs.contains(&name.as_str()) {
                values.remove(name.as_str());
            }
        }
    }
    outputs
        .iter()
        .map(|name| {
            values.get(name).cloned().ok_or_else(|| failed("the graph", format!("no output `{name}`")))
        })
        .collect()
}
