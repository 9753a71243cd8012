//! Hand-written forward and backward passes as Burn operations on the CPU backend.
//!
//! A [`Function`] works on plain slices; [`apply`] runs it on tensors and, where a gradient is wanted, records it in
//! the autodiff graph. Everything native goes through here, so no kernel knows about Burn's graph.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, DispatchDevice, Flex, backend_extension};
use burn::tensor::Tensor;

use super::memory::Buffer;

/// A contiguous tensor as a function sees it.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The extent of each dimension.
    pub shape: &'a [usize],
    /// The values, row-major; empty where a backward pass said that it doesn't need them.
    pub data: &'a [f32],
}

/// What a forward pass leaves for the backward pass besides inputs and output.
pub type Saved = Option<Arc<dyn Any + Send + Sync>>;

/// What a forward pass makes.
pub struct Output {
    /// The extent of each dimension.
    pub shape: Vec<usize>,
    /// The values, row-major.
    pub data: Buffer,
    /// Anything worth not computing twice.
    pub saved: Saved,
}

impl Output {
    /// An output with nothing saved beside it.
    pub fn new(shape: Vec<usize>, data: Buffer) -> Self {
        Self { shape, data, saved: None }
    }
}

/// What a backward pass is given.
pub struct Context<'a> {
    /// The inputs of the forward pass.
    pub inputs: &'a [View<'a>],
    /// Its output.
    pub output: View<'a>,
    /// What it saved.
    pub saved: &'a Saved,
    /// The gradient of the loss with respect to the output, in the output's shape.
    pub grad: &'a [f32],
    /// Which inputs want a gradient.
    pub wanted: &'a [bool],
}

/// What a backward pass reads; see [`Function::keeps`].
pub struct Keeps {
    /// Which of the inputs.
    pub inputs: Vec<bool>,
    /// Whether the output.
    pub output: bool,
}

/// The gradient with respect to an input.
pub enum Gradient {
    /// Not wanted, or there is none.
    None,
    /// These values, in the input's shape.
    Of(Buffer),
    /// The same values as the gradient of an earlier input.
    SameAs(usize),
    /// The gradient of the output, unchanged.
    Output,
}

impl From<Option<Buffer>> for Gradient {
    fn from(gradient: Option<Buffer>) -> Self {
        gradient.map_or(Self::None, Self::Of)
    }
}

/// An operation with a hand-written derivative.
pub trait Function: Debug + Send + Sync + 'static {
    /// Which inputs, and whether the output, the backward pass reads: the rest is not kept alive for it. `wanted` says
    /// which inputs will want a gradient. By default everything is kept.
    fn keeps(&self, wanted: &[bool]) -> Keeps {
        Keeps { inputs: vec![true; wanted.len()], output: true }
    }

    /// Computes the output.
    fn forward(&self, inputs: &[View<'_>]) -> Output;

    /// The gradient with respect to each input, where one is wanted.
    fn backward(&self, context: &Context<'_>) -> Vec<Gradient>;
}

/// Runs `function` on up to five float tensors.
///
/// # Panics
/// If the tensors are not on the CPU backend ([`is_native`]), or there are none or more than five.
pub fn apply<const D: usize>(function: impl Function, inputs: Vec<Erased>) -> Tensor<D> {
    let function: Arc<dyn Function> = Arc::new(function);
    let mut inputs = inputs.into_iter().map(|e| e.0);
    let count = inputs.len();
    let mut next = || inputs.next().expect("counted");
    Tensor::from_dispatch(match count {
        1 => Dispatch::apply1(next(), function),
        2 => Dispatch::apply2(next(), next(), function),
        3 => Dispatch::apply3(next(), next(), next(), function),
        4 => Dispatch::apply4(next(), next(), next(), next(), function),
        5 => Dispatch::apply5(next(), next(), next(), next(), next(), function),
        n => panic!("a function takes one to five tensors, not {n}"),
    })
}

/// A float tensor of any rank on its way into [`apply`].
pub struct Erased(burn::backend::DispatchTensor);

impl<const D: usize> From<Tensor<D>> for Erased {
    fn from(tensor: Tensor<D>) -> Self {
        Self(tensor.into_dispatch())
    }
}

/// Whether functions run where this tensor is.
pub fn is_native<const D: usize>(tensor: &Tensor<D>) -> bool {
    matches!(tensor.device().without_autodiff().as_dispatch(), DispatchDevice::Flex(_))
}

#[backend_extension(Flex, Autodiff)]
trait Functions: Backend {
    fn apply1(a: FloatTensor<Self>, function: Arc<dyn Function>) -> FloatTensor<Self>;
    fn apply2(a: FloatTensor<Self>, b: FloatTensor<Self>, function: Arc<dyn Function>) -> FloatTensor<Self>;
    fn apply3(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        function: Arc<dyn Function>,
    ) -> FloatTensor<Self>;
    fn apply4(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        function: Arc<dyn Function>,
    ) -> FloatTensor<Self>;
    fn apply5(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        function: Arc<dyn Function>,
    ) -> FloatTensor<Self>;
}

impl Functions for Flex {
    fn apply1(a: FlexTensor, function: Arc<dyn Function>) -> FlexTensor {
        run(&*function, [a]).1
    }

    fn apply2(a: FlexTensor, b: FlexTensor, function: Arc<dyn Function>) -> FlexTensor {
        run(&*function, [a, b]).1
    }

    fn apply3(a: FlexTensor, b: FlexTensor, c: FlexTensor, function: Arc<dyn Function>) -> FlexTensor {
        run(&*function, [a, b, c]).1
    }

    fn apply4(
        a: FlexTensor,
        b: FlexTensor,
        c: FlexTensor,
        d: FlexTensor,
        function: Arc<dyn Function>,
    ) -> FlexTensor {
        run(&*function, [a, b, c, d]).1
    }

    fn apply5(
        a: FlexTensor,
        b: FlexTensor,
        c: FlexTensor,
        d: FlexTensor,
        e: FlexTensor,
        function: Arc<dyn Function>,
    ) -> FlexTensor {
        run(&*function, [a, b, c, d, e]).1
    }
}

type Tracked = FloatTensor<Autodiff<Flex>>;

impl<C: CheckpointStrategy> Functions for Autodiff<Flex, C> {
    fn apply1(a: Tracked, function: Arc<dyn Function>) -> Tracked {
        record::<C, 1>(function, [a])
    }

    fn apply2(a: Tracked, b: Tracked, function: Arc<dyn Function>) -> Tracked {
        record::<C, 2>(function, [a, b])
    }

    fn apply3(a: Tracked, b: Tracked, c: Tracked, function: Arc<dyn Function>) -> Tracked {
        record::<C, 3>(function, [a, b, c])
    }

    fn apply4(a: Tracked, b: Tracked, c: Tracked, d: Tracked, function: Arc<dyn Function>) -> Tracked {
        record::<C, 4>(function, [a, b, c, d])
    }

    fn apply5(
        a: Tracked,
        b: Tracked,
        c: Tracked,
        d: Tracked,
        e: Tracked,
        function: Arc<dyn Function>,
    ) -> Tracked {
        record::<C, 5>(function, [a, b, c, d, e])
    }
}

/// A tensor of a forward pass, or its shape alone where the backward pass doesn't read it. Tensors are reference
/// counted: keeping one costs nothing beyond keeping it alive.
#[derive(Clone)]
struct Kept {
    shape: Vec<usize>,
    tensor: Option<FlexTensor>,
}

impl Kept {
    fn new(tensor: FlexTensor, keep: bool) -> Self {
        Self { shape: tensor.layout().shape().as_slice().to_vec(), tensor: keep.then_some(tensor) }
    }

    fn view(&self) -> View<'_> {
        match &self.tensor {
            Some(tensor) => view(tensor),
            None => View { shape: &self.shape, data: &[] },
        }
    }
}

/// What a backward pass starts from.
#[derive(Clone)]
struct Run<const N: usize> {
    inputs: [Kept; N],
    output: Kept,
    saved: Saved,
}

impl<const N: usize> Debug for Run<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("output", &self.output.shape).finish_non_exhaustive()
    }
}

/// The contiguous inputs, the output, and what was saved.
fn run<const N: usize>(
    function: &dyn Function,
    inputs: [FlexTensor; N],
) -> ([FlexTensor; N], FlexTensor, Saved) {
    let inputs = inputs.map(|t| t.to_contiguous());
    let Output { shape, data, saved } = function.forward(&inputs.each_ref().map(view));
    (inputs, data.into_tensor(&shape), saved)
}

fn view(tensor: &FlexTensor) -> View<'_> {
    View {
        shape: tensor.layout().shape().as_slice(),
        data: tensor.as_slice::<f32>().expect("contiguous f32, made so before"),
    }
}

fn record<C: CheckpointStrategy, const N: usize>(
    function: Arc<dyn Function>,
    inputs: [Tracked; N],
) -> Tracked {
    let nodes = inputs.each_ref().map(|t| t.node());
    let step = Step(function.clone());
    match Backward::<Flex, N>::prepare::<C>(step, nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let wanted = inputs.each_ref().map(|t| t.is_tracked());
            let keeps = function.keeps(&wanted);
            let (inputs, output, saved) = run(&*function, inputs.map(|t| t.into_primitive()));
            let mut keep = keeps.inputs.iter();
            let inputs = inputs.map(|t| Kept::new(t, *keep.next().unwrap_or(&true)));
            let run = Run { inputs, output: Kept::new(output.clone(), keeps.output), saved };
            prep.finish(run, output)
        }
        OpsKind::UnTracked(prep) => prep.finish(run(&*function, inputs.map(|t| t.into_primitive())).1),
    }
}

#[derive(Debug)]
struct Step(Arc<dyn Function>);

impl<const N: usize> Backward<Flex, N> for Step {
    type State = Run<N>;

    fn backward(self, ops: Ops<Run<N>, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        let run = ops.state;
        let inputs = run.inputs.each_ref().map(Kept::view);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let gradients = self.0.backward(&Context {
            inputs: &inputs,
            output: run.output.view(),
            saved: &run.saved,
            grad: view(&grad).data,
            wanted: &wanted,
        });
        // Tensors are shared, not copied: nobody writes to a tensor that has two holders.
        let mut tensors: Vec<Option<FlexTensor>> = Vec::with_capacity(N);
        for (gradient, input) in gradients.into_iter().zip(&inputs) {
            tensors.push(match gradient {
                Gradient::None => None,
                Gradient::Of(values) => Some(values.into_tensor(input.shape)),
                Gradient::SameAs(earlier) => tensors[earlier].clone(),
                Gradient::Output => Some(grad.clone()),
            });
        }
        drop(grad);
        for (parent, gradient) in ops.parents.into_iter().zip(tensors) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<Flex>(parent.id, gradient);
            }
        }
    }
}
