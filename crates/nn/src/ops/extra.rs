//! The operations of [`super`] that the zoo's classifiers take besides those in [`super::native`], on the kernels of
//! [`dyntta_kernels`].

use burn::tensor::Tensor;
use dyntta_kernels::layer_norm::{layer_norm_backward, layer_norm_backward_parameters, layer_norm_forward};
use dyntta_kernels::pointwise::{self, Pointwise};
use dyntta_kernels::pool2d::{Pool2d, avg_pool2d_backward, avg_pool2d_forward};
use dyntta_kernels::{Activation, norm};
use rayon::prelude::*;

use super::function::{Context, Function, Gradient, Keeps, Output, View, apply};
use super::memory::Buffer;
use super::native::nhwc;

/// See [`super::relu`], [`super::relu6`], [`super::silu`] and [`super::gelu`].
pub fn pointwise<const D: usize>(x: Tensor<D>, function: Pointwise) -> Tensor<D> {
    apply(OfEach(function), vec![x.into()])
}

#[derive(Debug)]
struct OfEach(Pointwise);

impl OfEach {
    /// Whether the result tells the gradient as well as the input does.
    fn by_output(&self) -> bool {
        matches!(self.0, Pointwise::Relu | Pointwise::Relu6)
    }
}

impl Function for OfEach {
    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps { inputs: vec![!self.by_output()], output: self.by_output() }
    }

    fn forward(&self, inputs: &[View<'_>]) -> Output {
        let mut y = Buffer::stale(inputs[0].data.len());
        pointwise::pointwise(self.0, inputs[0].data, &mut y);
        Output::new(inputs[0].shape.to_vec(), y)
    }

    fn backward(&self, context: &Context<'_>) -> Vec<Gradient> {
        let mut dx = Buffer::stale(context.grad.len());
        let at = if self.by_output() { context.output.data } else { context.inputs[0].data };
        pointwise::pointwise_backward(self.0, context.grad, at, &mut dx);
        vec![Gradient::Of(dx)]
    }
}

/// See [`super::layer_norm`].
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    apply(LayerNorm { epsilon: epsilon as f32 }, vec![x.into(), gamma.into(), beta.into()])
}

#[derive(Debug)]
struct LayerNorm {
    epsilon: f32,
}

impl Function for LayerNorm {
    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps { inputs: vec![true, true, false], output: false }
    }

    fn forward(&self, inputs: &[View<'_>]) -> Output {
        let [x, gamma, beta] = [inputs[0], inputs[1], inputs[2]];
        let mut y = Buffer::stale(x.data.len());
        layer_norm_forward(x.data, gamma.data, beta.data, self.epsilon, &mut y);
        Output::new(x.shape.to_vec(), y)
    }

    fn backward(&self, context: &Context<'_>) -> Vec<Gradient> {
        let [x, gamma] = [context.inputs[0].data, context.inputs[1].data];
        let dx = context.wanted[0].then(|| {
            let mut dx = Buffer::stale(x.len());
            layer_norm_backward(context.grad, x, gamma, self.epsilon, &mut dx);
            dx
        });
        if !(context.wanted[1] || context.wanted[2]) {
            return vec![dx.into(), Gradient::None, Gradient::None];
        }
        let [mut dgamma, mut dbeta] = [(); 2].map(|()| Buffer::stale(gamma.len()));
        layer_norm_backward_parameters(context.grad, x, self.epsilon, &mut dgamma, &mut dbeta);
        vec![dx.into(), Gradient::Of(dgamma), Gradient::Of(dbeta)]
    }
}

/// See [`super::scale_channels`].
pub fn scale_channels(x: Tensor<4>, scale: Tensor<4>) -> Tensor<4> {
    apply(ScaleChannels, vec![x.into(), scale.into()])
}

#[derive(Debug)]
struct ScaleChannels;

impl ScaleChannels {
    /// `x · scale`, image by image.
    fn scaled(x: &[f32], [n, h, w, c]: [usize; 4], scale: &[f32]) -> Buffer {
        let mut y = Buffer::stale(x.len());
        let zero = vec![0.0; c];
        for i in 0..n {
            let image = i * h * w * c..(i + 1) * h * w * c;
            let scale = scale.chunks(c).cycle().nth(i).expect("at least one scale");
            norm::affine_forward(&x[image.clone()], scale, &zero, None, Activation::Identity, &mut y[image]);
        }
        y
    }
}

impl Function for ScaleChannels {
    fn keeps(&self, wanted: &[bool]) -> Keeps {
        Keeps { inputs: vec![wanted[1], wanted[0]], output: false }
    }

    fn forward(&self, inputs: &[View<'_>]) -> Output {
        let [x, scale] = [inputs[0], inputs[1]];
        Output::new(x.shape.to_vec(), Self::scaled(x.data, nhwc(&x), scale.data))
    }

    fn backward(&self, context: &Context<'_>) -> Vec<Gradient> {
        let [x, scale] = [context.inputs[0], context.inputs[1]];
        let [n, h, w, c] = nhwc(&x);
        let dx = context.wanted[0].then(|| Self::scaled(context.grad, [n, h, w, c], scale.data));
        let dscale = context.wanted[1].then(|| {
            let mut sums = Buffer::zeros(n * c);
            let image = h * w * c;
            let images = context.grad.par_chunks(image).zip(x.data.par_chunks(image));
            sums.par_chunks_mut(c).zip(images).for_each(|(sums, (g, x))| {
                for (g, x) in g.chunks(c).zip(x.chunks(c)) {
                    sums.iter_mut().zip(g.iter().zip(x)).for_each(|(sum, (g, x))| *sum += g * x);
                }
            });
            match scale.shape[0] {
                1 => (0..c).map(|i| sums[i..].iter().step_by(c).sum()).collect::<Vec<f32>>().into(),
                _ => sums,
            }
        });
        vec![dx.into(), dscale.into()]
    }
}

/// See [`super::avg_pool`].
pub fn avg_pool(x: Tensor<4>, size: usize) -> Tensor<4> {
    apply(AvgPooling { size }, vec![x.into()])
}

#[derive(Debug)]
struct AvgPooling {
    size: usize,
}

impl AvgPooling {
    fn on(&self, x: &View<'_>) -> Pool2d {
        let [n, h, w, c] = nhwc(x);
        let side = [self.size; 2];
        Pool2d { n, h, w, c, kernel: side, stride: side, pad: [0; 4], dilation: [1; 2], ceil_mode: false }
    }
}

impl Function for AvgPooling {
    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps { inputs: vec![false], output: false }
    }

    fn forward(&self, inputs: &[View<'_>]) -> Output {
        let on = self.on(&inputs[0]);
        let mut y = Buffer::stale(on.output_len());
        avg_pool2d_forward(&on, false, inputs[0].data, &mut y);
        Output::new(vec![on.n, on.out_h(), on.out_w(), on.c], y)
    }

    fn backward(&self, context: &Context<'_>) -> Vec<Gradient> {
        let on = self.on(&context.inputs[0]);
        let mut dx = Buffer::stale(on.input_len());
        avg_pool2d_backward(&on, false, context.grad, &mut dx);
        vec![Gradient::Of(dx)]
    }
}
