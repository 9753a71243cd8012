//! The bank of augmentations as one operation of the network: [`dyntta_ops::blend`] with its derivatives.

use std::sync::Arc;

use burn::tensor::Tensor;
use dyntta_ops::{Bank, Gradients, Shape, blend};

use super::function::{Context, Function, Gradient, Output, View, apply};
use super::memory::Buffer;

/// `clamp(Σ_k weights[k] · a_k(image; raw[k]), 0, 1)`.
///
/// `image` is `[n, 3, h, w]` in `0..=1`, `raw` and `weights` `[n, k]`, `network` the output of the bank's network slot
/// in the image's shape, if the bank has one. Differentiable in all four.
///
/// # Panics
/// If the shapes do not fit the bank.
pub fn blend(
    bank: &Arc<Bank>,
    image: Tensor<4>,
    raw: Tensor<2>,
    weights: Tensor<2>,
    network: Option<Tensor<4>>,
) -> Tensor<4> {
    let mut inputs = vec![image.into(), raw.into(), weights.into()];
    inputs.extend(network.map(Into::into));
    apply(Blend(bank.clone()), inputs)
}

#[derive(Debug)]
struct Blend(Arc<Bank>);

fn shape(image: &View<'_>) -> Shape {
    Shape { n: image.shape[0], h: image.shape[2], w: image.shape[3] }
}

impl Function for Blend {
    fn forward(&self, inputs: &[View<'_>]) -> Output {
        let mut out = Buffer::stale(inputs[0].data.len());
        let network = inputs.get(3).map(|v| v.data);
        blend::forward(
            &self.0,
            shape(&inputs[0]),
            inputs[0].data,
            inputs[1].data,
            inputs[2].data,
            network,
            &mut out,
        )
        .expect("shapes that fit the bank");
        Output::new(inputs[0].shape.to_vec(), out)
    }

    fn backward(&self, context: &Context<'_>) -> Vec<Gradient> {
        let [image, raw, weights] = [0, 1, 2].map(|i| context.inputs[i]);
        let network = context.inputs.get(3);
        let buffer = |wanted: bool, n: usize| wanted.then(|| Buffer::stale(n));
        let mut d_image = buffer(context.wanted[0], image.data.len());
        let mut d_network = buffer(context.wanted.get(3) == Some(&true), image.data.len());
        let mut d_raw = Buffer::stale(raw.data.len());
        let mut d_weights = Buffer::stale(weights.data.len());
        blend::backward(
            &self.0,
            shape(&image),
            image.data,
            raw.data,
            weights.data,
            network.map(|v| v.data),
            context.output.data,
            context.grad,
            Gradients {
                raw: &mut d_raw,
                weights: &mut d_weights,
                network: d_network.as_deref_mut(),
                image: d_image.as_deref_mut(),
            },
        )
        .expect("shapes that fit the bank");
        let mut gradients = vec![d_image.into(), Gradient::Of(d_raw), Gradient::Of(d_weights)];
        if network.is_some() {
            gradients.push(d_network.into());
        }
        gradients
    }
}
