//! A graph made ready to run: operators in order, and which values are no longer read after which.

use std::collections::HashMap;

use burn::tensor::Device;

use super::ir::{Edge, Ir};
use super::ops::{self, Batch, Context, Inputs, Op};
use super::value::Value;

/// What went wrong where.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The node.
    pub node: String,
    /// Its operator.
    pub operator: String,
    /// What is wrong.
    pub message: String,
}

#[derive(Debug)]
struct Step {
    name: String,
    operator: String,
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
            let failure = |message| Failure { node: node.name.clone(), operator: node.op.clone(), message };
            let op = ops::build(node).unwrap_or(Err("is not supported".into())).map_err(failure)?;
            let mut inputs: Vec<Option<(usize, bool)>> = Vec::new();
            // Backwards, so that of an edge read twice by one node only one place gives it away.
            for edge in node.inputs.iter().rev() {
                inputs.push(edge.map(|e| (e, !std::mem::replace(&mut read[e], true))));
            }
            inputs.reverse();
            let (name, operator) = (node.name.clone(), node.op.clone());
            steps.push(Step { name, operator, op, inputs, outputs: node.outputs.clone() });
        }
        steps.reverse();
        Ok(Self { steps, constants: ir.constants, input: ir.input, output: ir.output, edges: ir.edges })
    }

    /// Runs the graph on an image batch. With `batch`, the file's batch size, this one's, and the shapes that
    /// [`Plan::first_inputs`] gave, constants that stand for the file's batch are read as this one's.
    ///
    /// # Errors
    /// If an operator's inputs are not what it takes.
    pub fn run(
        &self,
        image: Value,
        device: &Device,
        batch: Option<(usize, usize, &[Vec<usize>])>,
    ) -> Result<Value, Failure> {
        self.run_with(
            image,
            device,
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
    pub fn first_inputs(&self, image: Value, device: &Device) -> Result<(Value, Vec<Vec<usize>>), Failure> {
        let mut shapes = vec![vec![]; self.steps.len()];
        let result = self.run_with(
            image,
            device,
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
        batch: impl Fn(usize) -> Option<Batch<'a>>,
        mut watch: impl FnMut(usize, &Inputs),
    ) -> Result<Value, Failure> {
        let images = image.shape().first().copied().unwrap_or(1);
        let mut values: Vec<Option<Value>> = vec![None; self.edges];
        values[self.input] = Some(image);
        for (i, step) in self.steps.iter().enumerate() {
            let mut inputs = Vec::with_capacity(step.inputs.len());
            for input in &step.inputs {
                inputs.push(input.and_then(|(edge, last)| match self.constants.get(&edge) {
                    Some(constant) => Some(constant.clone()),
                    // A value that nobody else holds may be overwritten in place.
                    None if last => values[edge].take(),
                    None => values[edge].clone(),
                }));
            }
            let inputs = Inputs(inputs);
            watch(i, &inputs);
            let failure =
                |message| Failure { node: step.name.clone(), operator: step.operator.clone(), message };
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
                    values[*edge] = Some(value);
                }
            }
        }
        match self.constants.get(&self.output) {
            Some(constant) => Ok(constant.clone()),
            None => Ok(values[self.output].take().expect("the order was checked")),
        }
    }
}
