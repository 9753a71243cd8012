//! Matrix products.

use burn::tensor::Tensor;

use super::{Context, Inputs, Op, boxed, float};
use crate::onnx::ir::Node;
use crate::onnx::value::{Float, RANK, Value, broadcast};
use crate::ops;

pub const OPS: &[(&str, super::Build)] =
    &[("MatMul", |_| boxed(MatMul)), ("Gemm", gemm), ("dyntta::Linear", |_| boxed(Linear))];

/// As numpy's: matrices are the last two axes, the axes before them broadcast.
#[derive(Debug)]
struct MatMul;

impl Op for MatMul {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let (a, b) = (inputs.float(0)?, inputs.float(1)?);
        let (shape_a, shape_b) = (a.shape(), b.shape());
        // A vector is a matrix of one row, or one column, that the result doesn't have.
        let row = |s: &[usize]| if s.len() == 1 { vec![1, s[0]] } else { s.to_vec() };
        let column = |s: &[usize]| if s.len() == 1 { vec![s[0], 1] } else { s.to_vec() };
        let (matrix_a, matrix_b) = (row(&shape_a), column(&shape_b));
        let no_fit = || format!("{shape_a:?} and {shape_b:?} are not matrices that fit");
        let ([lead_a @ .., m, k], [lead_b @ .., k_b, n]) = (&matrix_a[..], &matrix_b[..]) else {
            return Err(no_fit());
        };
        if k != k_b {
            return Err(no_fit());
        }
        let mut shape = broadcast(lead_a, lead_b).map_err(|_| no_fit())?;
        let rank = shape.len() + 2;
        if rank > RANK {
            return Err(format!("a product of rank {rank}: up to {RANK} are supported"));
        }
        let count = context.room(&[&shape[..], &[*m, *n]].concat())?;
        context.affordable(&[count, *k])?;
        let product = product(a.reshape(&matrix_a)?.data(), b.reshape(&matrix_b)?.data());
        let product = Float::new(product, rank);
        if shape_a.len() > 1 && shape_b.len() > 1 {
            return float(product);
        }
        shape.extend((shape_a.len() > 1).then_some(*m));
        shape.extend((shape_b.len() > 1).then_some(*n));
        float(product.reshape(&shape)?)
    }
}

/// A product over the last two axes. One matrix for a whole batch takes its rows as one.
fn product(a: Tensor<RANK>, b: Tensor<RANK>) -> Tensor<RANK> {
    let [.., m, k] = a.dims();
    let [lead @ .., _, n] = b.dims();
    if lead != [1; RANK - 2] {
        return a.matmul(b);
    }
    let mut shape = a.dims();
    shape[RANK - 1] = n;
    let rows = shape[..RANK - 2].iter().product::<usize>() * m;
    a.reshape([rows, k]).matmul(b.reshape([k, n])).reshape(shape)
}

/// `alpha · A · B + beta · C`, A and B transposed on request.
#[derive(Debug)]
struct Gemm {
    alpha: f32,
    beta: f32,
    transposed: [bool; 2],
}

fn gemm(node: &Node) -> Result<Box<dyn Op>, String> {
    let float = |name: &str| node.attributes.float(name).unwrap_or(1.0);
    let transposed = ["transA", "transB"].map(|n| node.attributes.int(n).unwrap_or(0) != 0);
    boxed(Gemm { alpha: float("alpha"), beta: float("beta"), transposed })
}

impl Op for Gemm {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let mut matrix = |i: usize| -> Result<Tensor<2>, String> {
            let x = inputs.float(i)?;
            let [rows, columns] = x.shape()[..] else {
                return Err(format!("input {i} has the shape {:?}, not a matrix's", x.shape()));
            };
            let x = x.data().reshape([rows, columns]);
            Ok(if self.transposed[i] { x.transpose() } else { x })
        };
        let (a, b) = (matrix(0)?, matrix(1)?);
        if a.dims()[1] != b.dims()[0] {
            return Err(format!("{:?} and {:?} do not fit", a.dims(), b.dims()));
        }
        let count = context.room(&[a.dims()[0], b.dims()[1]])?;
        context.affordable(&[count, a.dims()[1]])?;
        let y = a.matmul(b);
        let y = Float::from_tensor(if self.alpha == 1.0 { y } else { y.mul_scalar(self.alpha) });
        let Some(c) = inputs.optional_float(2)? else { return float(y) };
        let shape = y.shape();
        let c = if self.beta == 1.0 { c } else { c.map(|c| c.mul_scalar(self.beta)) };
        context.broadcast(&shape, &c.shape())?;
        let y = Float::zip(y, c, |y, c| y + c)?;
        if y.shape() != shape { Err("the summand is larger than the product".into()) } else { float(y) }
    }
}

/// `x · Wᵀ + b` over the last axis, with W `[out, in]` as the kernels want it.
#[derive(Debug)]
struct Linear;

impl Op for Linear {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let (x, weight) = (inputs.float(0)?, inputs.float(1)?);
        let bias = inputs.optional_float(2)?;
        let mut shape = x.shape();
        let [output, input] = weight.shape()[..] else { return Err("weights that are no matrix".into()) };
        if let Some(bias) = bias.as_ref().filter(|b| b.shape() != [output]) {
            return Err(format!("a bias of shape {:?} for {output} outputs", bias.shape()));
        }
        let Some(last) = shape.last_mut().filter(|last| **last == input) else {
            return Err(format!("a product of {:?} with {input}x{output}", x.shape()));
        };
        *last = output;
        let count = context.room(&shape)?;
        context.affordable(&[count, input])?;
        let rows = shape[..shape.len() - 1].iter().product();
        let x = x.row_major().reshape([rows, input]);
        let bias = bias.map(|b| b.data().reshape([output]));
        let y = ops::linear(x, weight.data().reshape([output, input]), bias);
        float(Float::from_tensor(y).reshape(&shape)?)
    }
}
