//! Scaled dot-product attention as one operator, which it is from operator set 23 on.

use burn::tensor::activation;

use super::{Context, Inputs, Op, boxed, float};
use crate::onnx::ir::Node;
use crate::onnx::value::{Float, Ints, RANK, Value};

pub const OPS: &[(&str, super::Build)] = &[("Attention", attention)];

/// `softmax(Q Kᵀ · scale + mask) V`.
#[derive(Debug)]
struct Attention {
    scale: Option<f32>,
    causal: bool,
    /// Of the queries, and of keys and values, where the heads lie side by side in the last axis.
    heads: [Option<usize>; 2],
}

fn attention(node: &Node) -> Result<Box<dyn Op>, String> {
    if node.attributes.float("softcap").unwrap_or(0.0) != 0.0 {
        return Err("softcap".into());
    }
    if (1..4).any(|i| node.has_output(i)) {
        return Err("its outputs beside the first".into());
    }
    if (4..7).any(|i| node.input(i).is_some()) {
        return Err("keys and values of the past".into());
    }
    let heads = |name: &str| match node.attributes.int(name) {
        None => Ok(None),
        Some(n) => usize::try_from(n).ok().filter(|&n| n > 0).map(Some).ok_or(format!("{name} = {n}")),
    };
    boxed(Attention {
        scale: node.attributes.float("scale"),
        causal: node.attributes.int("is_causal") == Some(1),
        heads: [heads("q_num_heads")?, heads("kv_num_heads")?],
    })
}

/// As `[batch, heads, places, size]`.
fn split(x: Float, heads: Option<usize>) -> Result<Float, String> {
    match (x.shape()[..].to_vec().as_slice(), heads) {
        (&[_, _, _, _], _) => Ok(x),
        (&[n, places, all], Some(heads)) if all % heads == 0 => {
            Ok(x.reshape(&[n, places, heads, all / heads])?.permute(&[0, 2, 1, 3]))
        }
        (shape, heads) => Err(format!("a tensor of shape {shape:?} with {heads:?} heads")),
    }
}

impl Op for Attention {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let [q, k, v] = [inputs.float(0)?, inputs.float(1)?, inputs.float(2)?];
        let flat = q.rank() == 3;
        let mask = inputs.optional(3);
        let (q, k, v) = (split(q, self.heads[0])?, split(k, self.heads[1])?, split(v, self.heads[1])?);
        let ([n, heads, places, size], [_, groups, keys, _], [.., depth]) = (q.four()?, k.four()?, v.four()?);
        let fits = k.shape() == [n, groups, keys, size] && v.shape() == [n, groups, keys, depth];
        if !fits || heads % groups != 0 {
            let [q, k, v] = [q, k, v].map(|x| x.shape());
            return Err(format!("queries {q:?}, keys {k:?} and values {v:?} do not fit"));
        }
        context.room(&[n, heads, places, keys])?;
        context.affordable(&[n, heads, places, keys, size.max(depth)])?;
        // Heads that share their keys and values.
        let repeat: Vec<usize> = (0..heads).map(|h| h / (heads / groups)).collect();
        let shared = |x: Float| if groups == heads { x } else { x.select(1, &repeat) };
        let scale = self.scale.unwrap_or(1.0 / (size as f32).sqrt());
        let q = q.map(|q| q.mul_scalar(scale));
        let scores = q.row_major().matmul(shared(k).permute(&[0, 1, 3, 2]).row_major());
        let mut scores = Float::new(scores, 4);
        let shape = [n, heads, places, keys];
        let hidden = |scores: Float, seen: &Ints| -> Result<Float, String> {
            let unseen = Ints::truth(shape.to_vec(), seen.expand(&shape)?.data.iter().map(|&v| v == 0));
            let unseen = unseen.mask(context.device)?;
            Ok(scores.map(|s| s.mask_fill(unseen, f32::NEG_INFINITY)))
        };
        match mask {
            None => {}
            Some(Value::Int(seen)) => scores = hidden(scores, &seen)?,
            Some(Value::Float(bias)) => {
                scores = Float::zip(scores, bias, |s, b| s + b)?;
                if scores.shape() != shape {
                    return Err(format!("a mask that is larger than {shape:?}"));
                }
            }
        }
        if self.causal {
            let seen = (0..places * keys).map(|i| i % keys <= i / keys);
            scores = hidden(scores, &Ints::truth(vec![places, keys], seen))?;
        }
        let weights = scores.map(|s| activation::softmax(s, RANK - 1));
        let y = Float::new(weights.row_major().matmul(shared(v).row_major()), 4);
        float(if flat { y.permute(&[0, 2, 1, 3]).reshape(&[n, places, heads * depth])? } else { y })
    }
}
