//! A graph as read from the file: nodes in order, the edges between them as numbers, and the constants among those.

use std::collections::{BTreeMap, HashMap, HashSet};

use burn::tensor::Device;
use dyntta_files::{Limits, shown_text};

use super::files::Files;
use super::value::{Float, Ints, Value};
use super::{input, proto, tensor};

/// The most nodes of a graph: ten times what the largest exported networks have.
const MOST_NODES: usize = 200_000;

/// The edge that a node reads or writes; an optional one may be left out.
pub type Edge = Option<usize>;

/// An operation of the graph.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its operator, with the domain before it if that is not ONNX's own.
    pub op: String,
    /// What messages call it: its name or, lacking that, its output's.
    pub name: String,
    /// What it reads.
    pub inputs: Vec<Edge>,
    /// What it writes.
    pub outputs: Vec<Edge>,
    /// Its settings.
    pub attributes: Attributes,
    /// The version of the operator set that it is to be understood by.
    pub opset: i64,
}

impl Node {
    /// A node that stands for others.
    pub fn new(op: &str, like: &Self, inputs: Vec<Edge>, output: Edge) -> Self {
        Self {
            op: op.to_owned(),
            inputs,
            outputs: vec![output],
            attributes: Attributes::default(),
            ..like.clone()
        }
    }

    /// The edge of input `i`, where it is given.
    pub fn input(&self, i: usize) -> Edge {
        self.inputs.get(i).copied().flatten()
    }

    /// Whether output `i` is asked for.
    pub fn has_output(&self, i: usize) -> bool {
        self.outputs.get(i).copied().flatten().is_some()
    }
}

/// A node's settings.
#[derive(Clone, Debug, Default)]
pub struct Attributes(HashMap<String, proto::Attribute>);

impl Attributes {
    /// An integer, where given.
    pub fn int(&self, name: &str) -> Option<i64> {
        self.0.get(name).map(|a| a.i)
    }

    /// A float, where given.
    pub fn float(&self, name: &str) -> Option<f32> {
        self.0.get(name).map(|a| a.f)
    }

    /// A list of integers, where given.
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        self.0.get(name).map(|a| a.ints.as_slice())
    }

    /// A list of extents, where given.
    ///
    /// # Errors
    /// If one is negative.
    pub fn extents(&self, name: &str) -> Result<Option<Vec<usize>>, String> {
        let extent = |&v: &i64| usize::try_from(v).map_err(|_| format!("attribute {name} has {v}"));
        self.ints(name).map(|list| list.iter().map(extent).collect()).transpose()
    }

    /// A list of floats, where given.
    pub fn floats(&self, name: &str) -> Option<&[f32]> {
        self.0.get(name).map(|a| a.floats.as_slice())
    }

    /// A string, or `default`.
    pub fn string(&self, name: &str, default: &str) -> String {
        self.0.get(name).map_or(default.to_owned(), |a| String::from_utf8_lossy(&a.s).into_owned())
    }

    /// A tensor, where given.
    pub fn tensor(&self, name: &str) -> Option<&proto::Tensor> {
        self.0.get(name).and_then(|a| a.t.as_ref())
    }

    /// Sets a float.
    pub fn set_float(&mut self, name: &str, f: f32) {
        self.0.insert(name.to_owned(), proto::Attribute { name: name.to_owned(), f, ..Default::default() });
    }

    /// Sets an integer.
    pub fn set_int(&mut self, name: &str, i: i64) {
        self.0.insert(name.to_owned(), proto::Attribute { name: name.to_owned(), i, ..Default::default() });
    }
}

/// A graph with one input and one output.
#[derive(Clone, Debug)]
pub struct Ir {
    /// In an order in which each reads what those before it wrote.
    pub nodes: Vec<Node>,
    /// The edges that are known before any image is.
    pub constants: HashMap<usize, Value>,
    /// The edge of the image.
    pub input: usize,
    /// The edge of the scores.
    pub output: usize,
    /// The number of edges.
    pub edges: usize,
    /// The first weight that holds what is no number or, without one, an infinity; and that value.
    pub not_finite: Option<(String, f32)>,
}

impl Ir {
    /// Reads what of a graph `output` depends on.
    ///
    /// # Errors
    /// A message that says what is wrong, and with which tensor or node.
    pub fn new(
        graph: &proto::Graph,
        [input, output]: [&str; 2],
        opset: i64,
        files: &Files,
        limits: &Limits,
        device: &Device,
    ) -> Result<Self, String> {
        if graph.node.len() > MOST_NODES {
            return Err(format!("{} nodes, where {MOST_NODES} are the most", graph.node.len()));
        }
        let needed = input::needed(graph, output);
        check_weights(graph, &needed, limits)?;
        let mut names = HashMap::new();
        let mut number = |name: &str| {
            let next = names.len();
            *names.entry(name.to_owned()).or_insert(next)
        };
        let (input, output) = (number(input), number(output));
        let mut nodes = Vec::new();
        let mut constants = HashMap::new();
        let mut not_finite = None;
        for tensor in graph.initializer.iter().filter(|t| needed.contains(t.name.as_str())) {
            let (value, bad) = tensor::read(tensor, files, device)
                .map_err(|e| format!("the tensor `{}` {e}", shown_text(&tensor.name)))?;
            blame(&mut not_finite, &tensor.name, bad);
            if constants.insert(number(&tensor.name), value).is_some() {
                return Err(format!("two tensors `{}`", shown_text(&tensor.name)));
            }
        }
        let wanted = |node: &&proto::Node| node.output.iter().any(|o| needed.contains(o.as_str()));
        for node in graph.node.iter().filter(wanted) {
            let mut edges = |names: &[String]| -> Vec<Edge> {
                names.iter().map(|n| (!n.is_empty()).then(|| number(n))).collect()
            };
            let (inputs, mut outputs) = (edges(&node.input), edges(&node.output));
            // How many a node has may say what it does: those without a name at the end don't count.
            while outputs.last() == Some(&None) {
                outputs.pop();
            }
            let domain = if matches!(node.domain.as_str(), "" | "ai.onnx") { "" } else { &node.domain };
            let op =
                if domain.is_empty() { node.op_type.clone() } else { format!("{domain}::{}", node.op_type) };
            let named = [&node.name].into_iter().chain(&node.output).find(|n| !n.is_empty());
            let attributes = node.attribute.iter().map(|a| (a.name.clone(), a.clone())).collect();
            nodes.push(Node {
                op,
                name: named.cloned().unwrap_or_default(),
                inputs,
                outputs,
                attributes: Attributes(attributes),
                opset,
            });
        }
        let mut ir = Self { nodes, constants, input, output, edges: names.len(), not_finite };
        ir.check_order(&names)?;
        ir.drop_unused();
        ir.read_constant_nodes(files, device)?;
        Ok(ir)
    }

    fn check_order(&self, names: &HashMap<String, usize>) -> Result<(), String> {
        let mut known: HashSet<usize> = self.constants.keys().copied().collect();
        known.insert(self.input);
        let called = |edge: usize| names.iter().find(|(_, e)| **e == edge).map_or("", |(n, _)| n.as_str());
        for node in &self.nodes {
            if let Some(edge) = node.inputs.iter().flatten().find(|e| !known.contains(e)) {
                let [op, name, edge] =
                    [&node.op, &node.name, called(*edge)].map(|n| shown_text(n).to_string());
                return Err(format!(
                    "the node `{name}` ({op}) reads `{edge}`, which nothing before it makes"
                ));
            }
            for edge in node.outputs.iter().flatten() {
                if !known.insert(*edge) {
                    return Err(format!("`{}` is made twice", shown_text(called(*edge))));
                }
            }
        }
        match known.contains(&self.output) {
            true => Ok(()),
            false => Err(format!("nothing makes the output `{}`", shown_text(called(self.output)))),
        }
    }

    /// Drops the nodes and constants that the output doesn't depend on.
    pub fn drop_unused(&mut self) {
        let mut used = HashSet::from([self.output]);
        let mut keep: Vec<bool> = Vec::new();
        for node in self.nodes.iter_mut().rev() {
            for output in &mut node.outputs {
                // What nobody reads is not asked for.
                *output = output.filter(|e| used.contains(e));
            }
            let wanted = node.outputs.iter().any(Option::is_some);
            if wanted {
                used.extend(node.inputs.iter().flatten());
            }
            keep.push(wanted);
        }
        let mut keep = keep.into_iter().rev();
        self.nodes.retain(|_| keep.next() == Some(true));
        self.constants.retain(|edge, _| used.contains(edge));
    }

    fn read_constant_nodes(&mut self, files: &Files, device: &Device) -> Result<(), String> {
        let (constant, others) =
            std::mem::take(&mut self.nodes).into_iter().partition(|n| n.op == "Constant");
        self.nodes = others;
        for node in constant {
            let (value, bad) = constant_value(&node.attributes, files, device)
                .map_err(|e| format!("the constant `{}` {e}", shown_text(&node.name)))?;
            blame(&mut self.not_finite, &node.name, bad);
            if let Some(Some(edge)) = node.outputs.first() {
                self.constants.insert(*edge, value);
            }
        }
        Ok(())
    }

    /// A new edge that is known beforehand.
    pub fn add_constant(&mut self, value: Value) -> usize {
        self.edges += 1;
        self.constants.insert(self.edges - 1, value);
        self.edges - 1
    }

    /// The float tensor on an edge that is known beforehand.
    pub fn constant_float(&self, edge: Edge) -> Option<&Float> {
        match self.constants.get(&edge?) {
            Some(Value::Float(x)) => Some(x),
            _ => None,
        }
    }

    /// The one number on an edge that is known beforehand.
    pub fn constant_scalar(&self, edge: Edge) -> Option<f32> {
        match self.constants.get(&edge?) {
            Some(Value::Float(x)) if x.shape().iter().product::<usize>() == 1 => Some(x.clone().values()[0]),
            Some(Value::Int(x)) if x.data.len() == 1 => Some(x.data[0] as f32),
            _ => None,
        }
    }

    /// How many nodes there are of each operator.
    pub fn operators(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for node in &self.nodes {
            *counts.entry(node.op.clone()).or_default() += 1;
        }
        counts
    }
}

/// Holds the weights' sizes against the limits, before any is read.
fn check_weights(graph: &proto::Graph, needed: &HashSet<&str>, limits: &Limits) -> Result<(), String> {
    let mut total = 0.0;
    for tensor in graph.initializer.iter().filter(|t| needed.contains(t.name.as_str())) {
        let count: f64 = tensor.dims.iter().map(|&d| d.max(0) as f64).product();
        if count > limits.tensor_elements as f64 {
            let (name, dims) = (shown_text(&tensor.name), &tensor.dims);
            return Err(format!("the tensor `{name}` has the shape {dims:?}, which is too large"));
        }
        total += count;
    }
    if total > limits.total_elements as f64 {
        return Err(format!("{total:.3e} weights, where {:.1e} are the most", limits.total_elements as f64));
    }
    Ok(())
}

/// Notes a weight's value that is not finite. Masks hold infinities for good: they are to blame if nothing else is.
fn blame(not_finite: &mut Option<(String, f32)>, name: &str, bad: Option<f32>) {
    let nan = |of: &Option<f32>| of.is_some_and(f32::is_nan);
    let so_far = not_finite.as_ref().map(|(_, value)| *value);
    if let Some(value) = bad.filter(|_| so_far.is_none() || nan(&bad) && !nan(&so_far)) {
        *not_finite = Some((name.to_owned(), value));
    }
}

/// A constant node's value, and what of it is not finite.
fn constant_value(
    attributes: &Attributes,
    files: &Files,
    device: &Device,
) -> Result<(Value, Option<f32>), String> {
    let floats =
        |values: Vec<f32>, shape: &[usize]| Float::from_values(values, shape, device).map(Value::Float);
    if let Some(t) = attributes.tensor("value") {
        return tensor::read(t, files, device);
    }
    let value = if let Some(v) = attributes.float("value_float") {
        floats(vec![v], &[])
    } else if let Some(v) = attributes.floats("value_floats") {
        floats(v.to_vec(), &[v.len()])
    } else if let Some(v) = attributes.int("value_int") {
        Ok(Value::Int(Ints::new(vec![], vec![v])))
    } else if let Some(v) = attributes.ints("value_ints") {
        Ok(Value::Int(Ints::list(v.to_vec())))
    } else {
        Err("holds neither a dense tensor nor numbers".into())
    };
    Ok((value?, None))
}
