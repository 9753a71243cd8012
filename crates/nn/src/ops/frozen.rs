//! A convolution that is never trained, with all that is fixed folded into it: batch normalisation by running
//! statistics, packed weights, activation and shortcut in one pass. Its backward pass keeps one byte an output.

use std::sync::{Arc, OnceLock};

use burn::tensor::{Bytes, Tensor, TensorData};
use dyntta_kernels::conv::{PackedTransposed, PackedWeights};
use dyntta_kernels::winograd::{Epilogue, PackedWinograd};
use dyntta_kernels::{Activation, Conv2d, act, conv, winograd};

use super::function::{Context, Function, Gradient, Keeps, Output, View, apply, is_native};
use super::memory::Buffer;
use super::native::{activation, nhwc};
use super::plain;

/// Fixed weights `[cout, cin, kh, kw]`, and what is done to every channel of the result.
pub struct FrozenConv {
    /// Without the sizes of the input.
    on: Conv2d,
    weight: Tensor<4>,
    scale: Vec<f32>,
    bias: Vec<f32>,
    forward: OnceLock<PackedWeights>,
    backward: OnceLock<PackedTransposed>,
    /// The same for [`winograd`], forward and backward.
    minimal: [OnceLock<PackedWinograd>; 2],
}

fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.to_data().try_to_vec().expect("weights are f32")
}

impl FrozenConv {
    /// The convolution with `weight`, stride and zero padding as given, and then `v · scale + shift` by channel.
    pub fn new(weight: Tensor<4>, stride: usize, pad: usize, scale: Tensor<1>, shift: Tensor<1>) -> Self {
        let [cout, cin, kh, kw] = weight.dims();
        let on = Conv2d { n: 0, h: 0, w: 0, cin, cout, kh, kw, stride, pad };
        Self {
            on,
            weight: weight.without_autodiff(),
            scale: values(&scale.without_autodiff()),
            bias: values(&shift.without_autodiff()),
            forward: OnceLock::new(),
            backward: OnceLock::new(),
            minimal: Default::default(),
        }
    }

    /// The weights with the scale in them.
    fn folded(&self) -> Vec<f32> {
        let mut weight = values(&self.weight);
        let Conv2d { cin, kh, kw, .. } = self.on;
        for (weights, scale) in weight.chunks_exact_mut(cin * kh * kw).zip(&self.scale) {
            weights.iter_mut().for_each(|w| *w *= scale);
        }
        weight
    }

    fn on(&self, x: &View<'_>) -> Conv2d {
        let [n, h, w, cin] = nhwc(x);
        assert_eq!(cin, self.on.cin, "channels of the input and of the weights");
        Conv2d { n, h, w, ..self.on }
    }
}

impl std::fmt::Debug for FrozenConv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrozenConv").field("on", &self.on).finish_non_exhaustive()
    }
}

/// `act(conv(x) + shortcut)`; the activation is `v` where `v > 0`, else `slope · v` (0 is ReLU, 1 is none).
///
/// `x` is `[n, h, w, cin]`, `shortcut` has the shape of the result, `[n, h', w', cout]`.
pub fn frozen_conv(
    x: Tensor<4>,
    conv: &Arc<FrozenConv>,
    shortcut: Option<Tensor<4>>,
    slope: f32,
) -> Tensor<4> {
    if !is_native(&x) {
        let device = x.device().without_autodiff();
        let Conv2d { cout, cin, kh, kw, stride, pad, .. } = conv.on;
        let weight = Tensor::from_data(TensorData::new(conv.folded(), [cout, cin, kh, kw]), &device);
        let bias = Tensor::from_data(TensorData::new(conv.bias.clone(), [cout]), &device);
        let y = plain::conv2d(x, weight, Some(bias), stride, pad);
        return plain::leaky_relu(shortcut.map_or(y.clone(), |s| y + s), slope);
    }
    let mut inputs = vec![x.into()];
    inputs.extend(shortcut.map(Into::into));
    apply(Frozen { conv: conv.clone(), act: activation(slope) }, inputs)
}

#[derive(Debug)]
struct Frozen {
    conv: Arc<FrozenConv>,
    act: Activation,
}

impl Function for Frozen {
    fn keeps(&self, wanted: &[bool]) -> Keeps {
        Keeps { inputs: vec![false; wanted.len()], output: false }
    }

    fn forward(&self, inputs: &[View<'_>]) -> Output {
        let conv = &*self.conv;
        let on = conv.on(&inputs[0]);
        let mut y = Buffer::stale(on.output_len());
        let shape = vec![on.n, on.out_h(), on.out_w(), on.cout];
        let shortcut = inputs.get(1).map(|v| v.data);
        let minimal = winograd::suits(&on);
        let relu = self.act == Activation::Relu;
        if minimal {
            let packed = conv.minimal[0].get_or_init(|| winograd::pack(on.cin, on.cout, &conv.folded()));
            let epilogue = Epilogue { bias: Some(&conv.bias), residual: shortcut, relu };
            winograd::forward([on.n, on.h, on.w], inputs[0].data, packed, &epilogue, &mut y);
        } else {
            let packed = conv.forward.get_or_init(|| conv::pack_forward(&conv.on, &conv.folded()));
            conv::forward_packed(&on, inputs[0].data, packed, Some(&conv.bias), &mut y);
        }
        // What the epilogue has not done.
        let shortcut = shortcut.filter(|_| !minimal);
        if self.act == Activation::Identity {
            if let Some(shortcut) = shortcut {
                act::add(&mut y, shortcut);
            }
            return Output::new(shape, y);
        }
        // ReLU twice is ReLU once, and its result is above zero where the sum was.
        let mut positive = Buffer::bytes(y.len());
        act::activate_masking(&mut y, shortcut, self.act, &mut positive);
        Output { shape, data: y, saved: Some(Arc::new(positive)) }
    }

    fn backward(&self, context: &Context<'_>) -> Vec<Gradient> {
        let conv = &*self.conv;
        let on = conv.on(&context.inputs[0]);
        // Before the activation; without one the output's own.
        let inner = context.saved.as_ref().map(|saved| {
            let positive: &Bytes = saved.downcast_ref().expect("saved by the forward pass");
            let mut inner = Buffer::stale(context.grad.len());
            act::mask_backward(context.grad, positive, self.act, &mut inner);
            inner
        });
        let dx = context.wanted[0].then(|| {
            let mut dx = Buffer::stale(on.input_len());
            let g = inner.as_deref().unwrap_or(context.grad);
            if winograd::suits(&on) {
                let packed = conv.minimal[1].get_or_init(|| {
                    let transposed = winograd::transposed(on.cin, on.cout, &conv.folded());
                    winograd::pack(on.cout, on.cin, &transposed)
                });
                winograd::forward([on.n, on.h, on.w], g, packed, &Epilogue::default(), &mut dx);
            } else {
                let packed =
                    conv.backward.get_or_init(|| conv::pack_backward_input(&conv.on, &conv.folded()));
                conv::backward_input_packed(&on, g, packed, &mut dx);
            }
            dx
        });
        let mut gradients = vec![dx.into()];
        if context.inputs.len() == 2 {
            gradients.push(inner.map_or(Gradient::Output, Gradient::Of));
        }
        gradients
    }
}
