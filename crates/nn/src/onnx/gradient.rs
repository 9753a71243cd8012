//! Whether the gradient of the scores reaches the image, told by the operators on the way.

use std::collections::HashSet;

use dyntta_files::shown_text;

use super::ir::{Ir, Node};
use super::tensor::DataType;

/// Operators whose outputs are steps of their inputs: integers, truth values, or the nearest integers.
const STEPS: [&str; 28] = [
    "ArgMax",
    "ArgMin",
    "Hardmax",
    "Round",
    "Floor",
    "Ceil",
    "Sign",
    "Equal",
    "Less",
    "LessOrEqual",
    "Greater",
    "GreaterOrEqual",
    "And",
    "Or",
    "Xor",
    "Not",
    "NonZero",
    "OneHot",
    "IsNaN",
    "IsInf",
    "Unique",
    "BitShift",
    "BitwiseAnd",
    "BitwiseNot",
    "BitwiseOr",
    "BitwiseXor",
    "QuantizeLinear",
    "DynamicQuantizeLinear",
];

/// Operators that ask for the extents of a tensor, not for its values.
const EXTENTS: [&str; 2] = ["Shape", "Size"];

/// How the scores depend on the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flow {
    /// By functions that have a derivative.
    Smooth,
    /// By steps alone, those of these nodes: `Cast to uint8 (node c)`.
    Steps(Vec<String>),
    /// By the image's size at most.
    None,
}

/// How the output of a graph depends on its input.
pub fn flow(ir: &Ir) -> Flow {
    let mut smooth = HashSet::from([ir.input]);
    let mut steps = Vec::new();
    let mut depends = smooth.clone();
    for node in &ir.nodes {
        let reads = |edges: &HashSet<usize>| node.inputs.iter().flatten().any(|e| edges.contains(e));
        if EXTENTS.contains(&node.op.as_str()) {
            continue;
        }
        let outputs = node.outputs.iter().flatten();
        if reads(&depends) {
            depends.extend(outputs.clone());
        }
        if !reads(&smooth) {
            continue;
        }
        match step(node) {
            Some(what) => steps.push(format!("{what} (node `{}`)", shown_text(&node.name))),
            // Places of the largest values are no values.
            None if node.op == "TopK" => smooth.extend(node.outputs.first().copied().flatten()),
            None => smooth.extend(outputs),
        }
    }
    if smooth.contains(&ir.output) {
        Flow::Smooth
    } else if depends.contains(&ir.output) {
        Flow::Steps(steps)
    } else {
        Flow::None
    }
}

/// What a node is called if it lets no gradient through.
fn step(node: &Node) -> Option<String> {
    if node.op == "Cast" {
        let to = node.attributes.int("to").unwrap_or(0);
        let to = DataType::new(to).ok().filter(|to| !to.is_float())?;
        return Some(format!("Cast to {}", name(to)));
    }
    STEPS.contains(&node.op.as_str()).then(|| node.op.clone())
}

/// An element type as numpy calls it.
pub fn name(kind: DataType) -> &'static str {
    match kind {
        DataType::F32 => "float32",
        DataType::U8 => "uint8",
        DataType::I8 => "int8",
        DataType::U16 => "uint16",
        DataType::I16 => "int16",
        DataType::I32 => "int32",
        DataType::I64 => "int64",
        DataType::Bool => "bool",
        DataType::F16 => "float16",
        DataType::F64 => "float64",
        DataType::U32 => "uint32",
        DataType::U64 => "uint64",
        DataType::Bf16 => "bfloat16",
    }
}
