//! The blend op by op, through [`Op`](crate::Op): slow and plain.

use super::{Gradients, Inputs, length};
use crate::{Bank, Error, Shape, Slot, View};

/// As [`super::forward`], op by op.
///
/// # Errors
/// As [`super::forward`].
pub fn forward(
    bank: &Bank,
    shape: Shape,
    image: &[f32],
    raw: &[f32],
    weights: &[f32],
    network: Option<&[f32]>,
    out: &mut [f32],
) -> Result<(), Error> {
    Inputs::new(bank, shape, image, raw, weights, network)?;
    length("out", super::BATCH, shape.batch(), out.len())?;
    let (size, k) = (shape.image(), bank.len());
    let mut augmented = vec![0.0; size];
    for (i, out) in out.chunks_exact_mut(size).enumerate() {
        let here = i * size..(i + 1) * size;
        let view = View::new(&image[here.clone()], shape.h, shape.w)?;
        let mut sum = vec![0.0f64; size];
        for (slot, (&raw, &weight)) in
            bank.slots().iter().zip(raw[i * k..(i + 1) * k].iter().zip(&weights[i * k..(i + 1) * k]))
        {
            match slot {
                Slot::Op(op) => op.forward(view, op.factor(raw), &mut augmented),
                Slot::Network(_) => {
                    if let Some(network) = network {
                        augmented.copy_from_slice(&network[here.clone()]);
                    }
                }
            }
            for (sum, &value) in sum.iter_mut().zip(&augmented) {
                *sum += f64::from(weight) * f64::from(value);
            }
        }
        for (out, sum) in out.iter_mut().zip(sum) {
            *out = (sum as f32).clamp(0.0, 1.0);
        }
    }
    Ok(())
}

/// As [`super::backward`], op by op.
///
/// # Errors
/// As [`super::backward`].
pub fn backward(
    bank: &Bank,
    shape: Shape,
    image: &[f32],
    raw: &[f32],
    weights: &[f32],
    network: Option<&[f32]>,
    out: &[f32],
    g: &[f32],
    mut grads: Gradients<'_>,
) -> Result<(), Error> {
    Inputs::new(bank, shape, image, raw, weights, network)?.check_gradients(out, g, &grads)?;
    let (size, k) = (shape.image(), bank.len());
    let mut augmented = vec![0.0; size];
    for i in 0..shape.n {
        let here = i * size..(i + 1) * size;
        let view = View::new(&image[here.clone()], shape.h, shape.w)?;
        let passed: Vec<f32> = g[here.clone()]
            .iter()
            .zip(&out[here.clone()])
            .map(|(&g, &out)| if out > 0.0 && out < 1.0 { g } else { 0.0 })
            .collect();
        if let Some(grad) = grads.image.as_deref_mut() {
            grad[here.clone()].fill(0.0);
        }
        for (slot, column) in bank.slots().iter().zip(i * k..) {
            let weight = weights[column];
            let weighted: Vec<f32> = passed.iter().map(|g| weight * g).collect();
            match slot {
                Slot::Op(op) => {
                    let factor = op.factor(raw[column]);
                    op.forward(view, factor, &mut augmented);
                    let grad_image = grads.image.as_deref_mut().map(|grad| &mut grad[here.clone()]);
                    let by_factor = op.backward(view, factor, &weighted, grad_image);
                    grads.raw[column] = by_factor * op.d_factor_d_raw(raw[column]);
                }
                Slot::Network(_) => {
                    grads.raw[column] = 0.0;
                    if let Some(network) = network {
                        augmented.copy_from_slice(&network[here.clone()]);
                    }
                    if let Some(grad) = grads.network.as_deref_mut() {
                        grad[here.clone()].copy_from_slice(&weighted);
                    }
                }
            }
            let products = passed.iter().zip(&augmented).map(|(&g, &value)| f64::from(g) * f64::from(value));
            grads.weights[column] = products.sum::<f64>() as f32;
        }
    }
    Ok(())
}
