//! A graph made ready to run: operators in order, and which values are no longer read after which.

use std::collections::HashMap;

use burn::tensor::Device;

use super::ir::{Edge, Ir, Node};
use super::ops::{self, Batch, Context, Inputs, Op};
use super::value::Value;
use super::work::{self, Budget};

/// What went wrong where.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The node.
    pub node: String,
    /// Its operator.
    pub operator: String,
    /// What is wrong.
    pub message: String,
    /// How many nodes ran before it.
    pub after: usize,
}

impl Failure {
    fn new(node: &Node, after: usize, message: String) -> Self {
        Self { node: node.name.clone(), operator: node.op.clone(), message, after }
    }
}

#[derive(Debug)]
struct Step {
    node: Node,
    op: Box<dyn Op>,
    /// Each input, and whether it is read here for the last time.
    inputs: Vec<Option<(usize, bool)>>,
    outputs: Vec<Edge>,
}

/// A graph that runs.
#[derive(Debug)]
pub struct Plan {
    steps: Vec<Step>,
    constants: HashMap<usize, Value>,
    input: usize,
    output: usize,
    edges: usize,
}

impl Plan {
    /// A plan of a graph of supported operators.
    ///
    /// # Errors
    /// If an operator doesn't take its node's settings.
    pub fn new(ir: Ir) -> Result<Self, Failure> {
        let mut steps: Vec<Step> = Vec::new();
        let mut read = vec![false; ir.edges];
        read[ir.output] = true;
        for node in ir.nodes.iter().rev() {
            let op = ops::build(node).unwrap_or(Err("is not supported".into()));
            let op = op.map_err(|message| Failure::new(node, 0, message))?;
            let mut inputs: Vec<Option<(usize, bool)>> = Vec::new();
            // Backwards, so that of an edge read twice by one node only one place gives it away.
            for edge in node.inputs.iter().rev() {
                inputs.push(edge.map(|e| (e, !std::mem::replace(&mut read[e], true))));
            }
            inputs.reverse();
            steps.push(Step { node: node.clone(), op, inputs, outputs: node.outputs.clone() });
        }
        steps.reverse();
        Ok(Self { steps, constants: ir.constants, input: ir.input, output: ir.output, edges: ir.edges })
    }

    /// Runs the graph on an image batch. With `batch`, the file's batch size, this one's, and the shapes that
    /// [`Plan::first_inputs`] gave, constants that stand for the file's batch are read as this one's.
    ///
    /// # Errors
    /// If an operator's inputs are not what it takes, or if the run would cost more than the budget has left.
    pub fn run(
        &self,
        image: Value,
        device: &Device,
        batch: Option<(usize, usize, &[Vec<usize>])>,
        budget: &mut Budget,
    ) -> Result<Value, Failure> {
        self.run_with(
            image,
            device,
            budget,
            |step| {
                let second = self.steps[step].inputs.get(1).copied().flatten();
                let constant = second.is_some_and(|(edge, _)| self.constants.contains_key(&edge));
                batch.map(|(from, to, shapes)| Batch { shape: &shapes[step], from, to, constant })
            },
            |_, _| {},
        )
    }

    /// Runs the graph and gives, beside the result, the shape of each operator's first input.
    ///
    /// # Errors
    /// As [`Plan::run`].
    pub fn first_inputs(
        &self,
        image: Value,
        device: &Device,
        budget: &mut Budget,
    ) -> Result<(Value, Vec<Vec<usize>>), Failure> {
        let mut shapes = vec![vec![]; self.steps.len()];
        let result = self.run_with(
            image,
            device,
            budget,
            |_| None,
            |step, inputs| {
                shapes[step] =
                    inputs.0.first().and_then(Option::as_ref).map(Value::shape).unwrap_or_default();
            },
        )?;
        Ok((result, shapes))
    }

    fn run_with<'a>(
        &self,
        image: Value,
        device: &Device,
        budget: &mut Budget,
        batch: impl Fn(usize) -> Option<Batch<'a>>,
        mut watch: impl FnMut(usize, &Inputs),
    ) -> Result<Value, Failure> {
        let mut held = Held(0.0);
        let images = image.shape().first().copied().unwrap_or(1);
        let mut values: Vec<Option<Value>> = vec![None; self.edges];
        held.add(&image);
        values[self.input] = Some(image);
        for (i, step) in self.steps.iter().enumerate() {
            let mut inputs = Vec::with_capacity(step.inputs.len());
            for input in &step.inputs {
                inputs.push(input.and_then(|(edge, last)| match self.constants.get(&edge) {
                    Some(constant) => Some(constant.clone()),
                    // A value that nobody else holds may be overwritten in place.
                    None if last => held.remove(values[edge].take()),
                    None => values[edge].clone(),
                }));
            }
            let inputs = Inputs(inputs);
            watch(i, &inputs);
            let failure = |message| Failure::new(&step.node, i, message);
            budget.take(work::cost(&step.node, &inputs.0), held.0).map_err(failure)?;
            let context = Context { device, images, batch: batch(i) };
            let outputs = step.op.run(inputs, &context).map_err(failure)?;
            if outputs.len() < step.outputs.len() && step.outputs[outputs.len()..].iter().any(Option::is_some)
            {
                return Err(failure(format!(
                    "{} outputs, where it has {}",
                    step.outputs.len(),
                    outputs.len()
                )));
            }
            for (edge, value) in step.outputs.iter().zip(outputs) {
                if let Some(edge) = edge {
                    held.add(&value);
                    values[*edge] = Some(value);
                }
            }
        }
        let result = self.constants.get(&self.output).cloned().or_else(|| values[self.output].take());
        result.ok_or_else(|| Failure {
            node: String::new(),
            operator: "output".into(),
            message: "nothing makes it".into(),
            after: self.steps.len(),
        })
    }
}

/// How many elements there are of values that may still be read.
struct Held(f64);

impl Held {
    fn add(&mut self, value: &Value) {
        self.0 += work::elements(&value.shape());
    }

    fn remove(&mut self, value: Option<Value>) -> Option<Value> {
        if let Some(value) = &value {
            self.0 -= work::elements(&value.shape());
        }
        value
    }
}
