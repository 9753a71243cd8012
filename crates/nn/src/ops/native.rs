//! The operations of [`super`] on the kernels of [`dyntta_kernels`].

use std::sync::{Arc, OnceLock};

use burn::tensor::{Tensor, TensorData};
use dyntta_kernels::act::Activation;
use dyntta_kernels::pool::{
    AvgPool, MaxPool, adaptive_avg_pool_backward, adaptive_avg_pool_forward, max_pool_backward,
    max_pool_forward,
};
use dyntta_kernels::upsample::{Upsample, upsample_backward, upsample_forward};
use dyntta_kernels::{GroupedConv2d, act, grouped, norm};

use super::function::{Context, Function, Gradient, Keeps, Output, View, apply};
use super::memory::Buffer;

pub(super) fn nhwc(x: &View<'_>) -> [usize; 4] {
    x.shape.try_into().expect("activations are NHWC")
}

pub(super) fn activation(slope: f32) -> Activation {
    match slope {
        0.0 => Activation::Relu,
        1.0 => Activation::Identity,
        slope => Activation::LeakyRelu(slope),
    }
}

/// See [`super::conv2d`].
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    pad: usize,
) -> Tensor<4> {
    grouped_conv2d(x, weight, bias, stride, [pad; 4], 1)
}

/// See [`super::grouped_conv2d`].
pub fn grouped_conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    pad: [usize; 4],
    groups: usize,
) -> Tensor<4> {
    let mut inputs = vec![x.into(), weight.into()];
    inputs.extend(bias.map(Into::into));
    apply(Convolution { stride, pad, groups }, inputs)
}

#[derive(Debug)]
struct Convolution {
    stride: usize,
    pad: [usize; 4],
    groups: usize,
}

impl Convolution {
    fn on(&self, x: &View<'_>, weight: &View<'_>) -> GroupedConv2d {
        let [n, h, w, cin] = nhwc(x);
        let [cout, from, kh, kw] = *weight.shape else { panic!("weights are OIHW") };
        assert_eq!(cin, from * self.groups, "channels of the input and of the weights");
        let (stride, pad, groups) = ([self.stride; 2], self.pad, self.groups);
        GroupedConv2d { n, h, w, cin, cout, groups, kh, kw, stride, pad, dilation: [1; 2] }
    }
}

impl Function for Convolution {
    fn keeps(&self, wanted: &[bool]) -> Keeps {
        // The input serves the weight's gradient, the weight the input's.
        let mut inputs = vec![wanted[1], wanted[0]];
        inputs.resize(wanted.len(), false);
        Keeps { inputs, output: false }
    }

    fn forward(&self, inputs: &[View<'_>]) -> Output {
        let [x, weight] = [inputs[0], inputs[1]];
        let on = self.on(&x, &weight);
        let mut y = Buffer::stale(on.output_len());
        grouped::forward(&on, x.data, weight.data, inputs.get(2).map(|b| b.data), &mut y);
        Output::new(vec![on.n, on.out_h(), on.out_w(), on.cout], y)
    }

    fn backward(&self, context: &Context<'_>) -> Vec<Gradient> {
        let [x, weight] = [context.inputs[0], context.inputs[1]];
        let on = self.on(&x, &weight);
        let dx = context.wanted[0].then(|| {
            let mut dx = Buffer::stale(on.input_len());
            grouped::backward_input(&on, context.grad, weight.data, &mut dx);
            dx
        });
        let with_bias = context.inputs.len() == 3;
        // A bias is trained with its weight or not at all.
        let mut db = (with_bias && context.wanted[2]).then(|| Buffer::stale(on.cout));
        let dw = context.wanted[1].then(|| {
            let mut dw = Buffer::stale(on.weight_len());
            grouped::backward_weight(&on, x.data, context.grad, &mut dw, db.as_deref_mut());
            dw
        });
        let mut gradients = vec![dx.into(), dw.into()];
        if with_bias {
            gradients.push(db.into());
        }
        gradients
    }
}

/// Values and what a normalisation saves: the mean and 1/standard deviation of each channel (of each image).
struct Moments {
    mean: Vec<f32>,
    inv_std: Vec<f32>,
}

fn moments<'a>(context: &'a Context<'_>) -> &'a Moments {
    context.saved.as_ref().and_then(|s| s.downcast_ref()).expect("saved by the forward pass")
}

/// See [`super::batch_norm`].
pub fn batch_norm(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
    slope: f32,
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    let device = x.device().without_autodiff();
    let statistics = Arc::new(OnceLock::new());
    let function = BatchNorm { epsilon: epsilon as f32, slope, statistics: statistics.clone() };
    let y = apply(function, vec![x.into(), gamma.into(), beta.into()]);
    let (mean, variance): &(Vec<f32>, Vec<f32>) = statistics.get().expect("set by the forward pass");
    let tensor = |v: &Vec<f32>| Tensor::from_data(TensorData::new(v.clone(), [v.len()]), &device);
    (y, tensor(mean), tensor(variance))
}

#[derive(Debug)]
struct BatchNorm {
    epsilon: f32,
    slope: f32,
    /// Mean and biased variance of the batch, for the running statistics.
    statistics: Arc<OnceLock<(Vec<f32>, Vec<f32>)>>,
}

impl Function for BatchNorm {
    fn forward(&self, inputs: &[View<'_>]) -> Output {
        let [x, gamma, beta] = [inputs[0], inputs[1], inputs[2]];
        let c = gamma.data.len();
        let mut y = Buffer::stale(x.data.len());
        let [mut mean, mut variance, mut inv_std] = [(); 3].map(|()| vec![0.0; c]);
        norm::batch_norm_forward(
            x.data,
            gamma.data,
            beta.data,
            self.epsilon,
            None,
            activation(self.slope),
            &mut y,
            &mut mean,
            &mut variance,
            &mut inv_std,
        );
        let _ = self.statistics.set((mean.clone(), variance));
        Output { shape: x.shape.to_vec(), data: y, saved: Some(Arc::new(Moments { mean, inv_std })) }
    }

    fn backward(&self, context: &Context<'_>) -> Vec<Gradient> {
        let [x, gamma] = [context.inputs[0], context.inputs[1]];
        let moments = moments(context);
        let mut dx = Buffer::stale(x.data.len());
        let [mut dgamma, mut dbeta] = [(); 2].map(|()| Buffer::stale(gamma.data.len()));
        norm::batch_norm_backward(
            context.grad,
            context.output.data,
            x.data,
            gamma.data,
            &moments.mean,
            &moments.inv_std,
            activation(self.slope),
            &mut dx,
            &mut dgamma,
            &mut dbeta,
            None,
        );
        [dx, dgamma, dbeta].map(Gradient::Of).into()
    }
}

/// See [`super::affine`].
pub fn affine(x: Tensor<4>, scale: Tensor<1>, shift: Tensor<1>, slope: f32) -> Tensor<4> {
    // The kernel gives the input's gradient only: fixed statistics have none.
    let (scale, shift) = (scale.without_autodiff(), shift.without_autodiff());
    apply(Affine { slope }, vec![x.into(), scale.into(), shift.into()])
}

#[derive(Debug)]
struct Affine {
    slope: f32,
}

impl Function for Affine {
    fn keeps(&self, _: &[bool]) -> Keeps {
        // The sign of the output tells which side of the activation a value was on.
        Keeps { inputs: vec![false, true, false], output: self.slope != 1.0 }
    }

    fn forward(&self, inputs: &[View<'_>]) -> Output {
        let [x, scale, shift] = [inputs[0], inputs[1], inputs[2]];
        let mut y = Buffer::stale(x.data.len());
        norm::affine_forward(x.data, scale.data, shift.data, None, activation(self.slope), &mut y);
        Output::new(x.shape.to_vec(), y)
    }

    fn backward(&self, context: &Context<'_>) -> Vec<Gradient> {
        let mut dx = Buffer::stale(context.grad.len());
        let scale = context.inputs[1].data;
        // Without an activation the output decides nothing: any slice of its length serves.
        let output = if self.slope == 1.0 { context.grad } else { context.output.data };
        norm::affine_backward(context.grad, output, scale, activation(self.slope), &mut dx, None);
        vec![Gradient::Of(dx), Gradient::None, Gradient::None]
    }
}

/// See [`super::instance_norm`].
pub fn instance_norm(x: Tensor<4>, epsilon: f64, slope: f32) -> Tensor<4> {
    apply(InstanceNorm { epsilon: epsilon as f32, slope }, vec![x.into()])
}

#[derive(Debug)]
struct InstanceNorm {
    epsilon: f32,
    slope: f32,
}

impl Function for InstanceNorm {
    fn forward(&self, inputs: &[View<'_>]) -> Output {
        let x = inputs[0];
        let [n, _, _, c] = nhwc(&x);
        let mut y = Buffer::stale(x.data.len());
        let [mut mean, mut inv_std] = [(); 2].map(|()| vec![0.0; n * c]);
        let act = activation(self.slope);
        norm::instance_norm_forward(x.data, n, c, self.epsilon, act, &mut y, &mut mean, &mut inv_std);
        Output { shape: x.shape.to_vec(), data: y, saved: Some(Arc::new(Moments { mean, inv_std })) }
    }

    fn backward(&self, context: &Context<'_>) -> Vec<Gradient> {
        let x = context.inputs[0];
        let [n, _, _, c] = nhwc(&x);
        let moments = moments(context);
        let mut dx = Buffer::stale(x.data.len());
        norm::instance_norm_backward(
            context.grad,
            context.output.data,
            x.data,
            n,
            c,
            &moments.mean,
            &moments.inv_std,
            activation(self.slope),
            &mut dx,
        );
        vec![Gradient::Of(dx)]
    }
}

/// See [`super::add_relu`].
pub fn add_relu(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    apply(AddRelu, vec![a.into(), b.into()])
}

#[derive(Debug)]
struct AddRelu;

impl Function for AddRelu {
    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps { inputs: vec![false; 2], output: true }
    }

    fn forward(&self, inputs: &[View<'_>]) -> Output {
        let [a, b] = [inputs[0], inputs[1]];
        assert_eq!(a.shape, b.shape, "summands of one shape");
        let c = nhwc(&a)[3];
        let mut y = Buffer::stale(a.data.len());
        let (one, zero) = (vec![1.0; c], vec![0.0; c]);
        norm::affine_forward(a.data, &one, &zero, Some(b.data), Activation::Relu, &mut y);
        Output::new(a.shape.to_vec(), y)
    }

    fn backward(&self, context: &Context<'_>) -> Vec<Gradient> {
        let mut da = Buffer::stale(context.grad.len());
        act::activate_backward(context.grad, context.output.data, Activation::Relu, &mut da);
        vec![Gradient::Of(da), Gradient::SameAs(0)]
    }
}

/// See [`super::max_pool`].
pub fn max_pool(x: Tensor<4>, size: usize, stride: usize, pad: usize) -> Tensor<4> {
    apply(MaxPooling { size, stride, pad }, vec![x.into()])
}

#[derive(Debug)]
struct MaxPooling {
    size: usize,
    stride: usize,
    pad: usize,
}

impl MaxPooling {
    fn on(&self, x: &View<'_>) -> MaxPool {
        let [n, h, w, c] = nhwc(x);
        MaxPool { n, h, w, c, k: self.size, stride: self.stride, pad: self.pad }
    }
}

impl Function for MaxPooling {
    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps { inputs: vec![false], output: false }
    }

    fn forward(&self, inputs: &[View<'_>]) -> Output {
        let on = self.on(&inputs[0]);
        let mut y = Buffer::stale(on.output_len());
        let mut index = Buffer::stale(on.output_len());
        max_pool_forward(&on, inputs[0].data, &mut y, bytemuck::cast_slice_mut(&mut index));
        Output { shape: vec![on.n, on.out_h(), on.out_w(), on.c], data: y, saved: Some(Arc::new(index)) }
    }

    fn backward(&self, context: &Context<'_>) -> Vec<Gradient> {
        let index = context.saved.as_ref().and_then(|s| s.downcast_ref::<Buffer>());
        let mut dx = Buffer::stale(self.on(&context.inputs[0]).input_len());
        let index = index.expect("saved by the forward pass");
        max_pool_backward(&self.on(&context.inputs[0]), context.grad, bytemuck::cast_slice(index), &mut dx);
        vec![Gradient::Of(dx)]
    }
}

/// See [`super::adaptive_avg_pool`].
pub fn adaptive_avg_pool(x: Tensor<4>, size: usize) -> Tensor<4> {
    adaptive_avg_pool_to(x, size, size)
}

/// See [`super::adaptive_avg_pool_to`].
pub fn adaptive_avg_pool_to(x: Tensor<4>, out_h: usize, out_w: usize) -> Tensor<4> {
    apply(AdaptiveAvgPool { out_h, out_w }, vec![x.into()])
}

#[derive(Debug)]
struct AdaptiveAvgPool {
    out_h: usize,
    out_w: usize,
}

impl AdaptiveAvgPool {
    fn on(&self, x: &View<'_>) -> AvgPool {
        let [n, h, w, c] = nhwc(x);
        AvgPool { n, h, w, c, oh: self.out_h, ow: self.out_w }
    }
}

impl Function for AdaptiveAvgPool {
    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps { inputs: vec![false], output: false }
    }

    fn forward(&self, inputs: &[View<'_>]) -> Output {
        let on = self.on(&inputs[0]);
        let mut y = Buffer::stale(on.output_len());
        adaptive_avg_pool_forward(&on, inputs[0].data, &mut y);
        Output::new(vec![on.n, on.oh, on.ow, on.c], y)
    }

    fn backward(&self, context: &Context<'_>) -> Vec<Gradient> {
        let mut dx = Buffer::stale(self.on(&context.inputs[0]).input_len());
        adaptive_avg_pool_backward(&self.on(&context.inputs[0]), context.grad, &mut dx);
        vec![Gradient::Of(dx)]
    }
}

/// See [`super::upsample_to`].
pub fn upsample_to(x: Tensor<4>, out_h: usize, out_w: usize) -> Tensor<4> {
    apply(Resample { out_h, out_w }, vec![x.into()])
}

#[derive(Debug)]
struct Resample {
    out_h: usize,
    out_w: usize,
}

impl Resample {
    fn on(&self, x: &View<'_>) -> Upsample {
        let [n, h, w, c] = nhwc(x);
        Upsample { n, h, w, c, oh: self.out_h, ow: self.out_w }
    }
}

impl Function for Resample {
    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps { inputs: vec![false], output: false }
    }

    fn forward(&self, inputs: &[View<'_>]) -> Output {
        let on = self.on(&inputs[0]);
        let mut y = Buffer::stale(on.output_len());
        upsample_forward(&on, inputs[0].data, &mut y);
        Output::new(vec![on.n, on.oh, on.ow, on.c], y)
    }

    fn backward(&self, context: &Context<'_>) -> Vec<Gradient> {
        let mut dx = Buffer::stale(self.on(&context.inputs[0]).input_len());
        upsample_backward(&self.on(&context.inputs[0]), context.grad, &mut dx);
        vec![Gradient::Of(dx)]
    }
}
