//! The two branches of the SK-UNet's selective blocks and the gate that blends them, on the native kernels.
//!
//! A block's maps are large, so its passes are few and keep little: the normalised maps are computed again for the backward
//! pass, and the gradients that the gate and the pooling send to the branches meet in one buffer.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use burn::tensor::{Tensor, TensorData};
use dyntta_kernels::gate::{Gate, gate_backward, gate_forward};
use dyntta_kernels::join::{Join, join, split};
use dyntta_kernels::pool::{AvgPool, adaptive_avg_pool_backward_add, adaptive_avg_pool_forward};
use dyntta_kernels::two_norms::{Maps, Norm, both_backward, both_moments, normalise};
use dyntta_kernels::upsample::{Upsample, upsample_backward, upsample_forward};
use dyntta_kernels::{Activation, Conv2d, act, conv};

use super::function::{Context, Function, Gradient, Keeps, Output, View, apply, is_native};
use super::memory::Buffer;
use super::native::{activation, nhwc};
use super::plain;

/// Mean and biased variance of a batch's channels, `[c]` each.
pub type Statistics = (Tensor<1>, Tensor<1>);

/// See [`super::branches()`].
pub fn branches(
    x: Tensor<4>,
    [gamma, beta]: [Tensor<1>; 2],
    fixed: Option<Statistics>,
    [weight_a, weight_b]: [Tensor<4>; 2],
    epsilon: f64,
    slope: f32,
) -> (Tensor<5>, Statistics) {
    let device = x.device().without_autodiff();
    let values = |t: Tensor<1>| -> Vec<f32> {
        t.without_autodiff().into_data().try_to_vec().expect("statistics are f32")
    };
    let function = Branches {
        epsilon: epsilon as f32,
        act: activation(slope),
        fixed: fixed.map(|(mean, variance)| (values(mean), values(variance))),
        of_batch: Arc::default(),
    };
    let of_batch = function.of_batch.clone();
    let inputs = vec![x.into(), gamma.into(), beta.into(), weight_a.into(), weight_b.into()];
    let y = apply(function, inputs);
    let (mean, variance) = of_batch.get().expect("set by the forward pass");
    let tensor = |v: &Vec<f32>| Tensor::from_data(TensorData::new(v.clone(), [v.len()]), &device);
    (y, (tensor(mean), tensor(variance)))
}

#[derive(Debug)]
struct Branches {
    epsilon: f32,
    act: Activation,
    /// Mean and variance to use for the batch's.
    fixed: Option<(Vec<f32>, Vec<f32>)>,
    /// Mean and biased variance of the batch.
    of_batch: Arc<OnceLock<(Vec<f32>, Vec<f32>)>>,
}

/// Mean and 1/standard deviation, of the batch (or what stands for them) and of the images.
struct Moments {
    batch: [Vec<f32>; 2],
    images: [Vec<f32>; 2],
}

impl Branches {
    fn on(x: &View<'_>, weight: &View<'_>) -> (Conv2d, Maps) {
        let [n, h, w, cin] = nhwc(x);
        let [cout, _, kh, kw] = *weight.shape else { panic!("weights are OIHW") };
        let on = Conv2d { n, h, w, cin, cout, kh, kw, stride: 1, pad: kh / 2 };
        (on, Maps { n, pixels: h * w, c: cin })
    }

    fn norms<'a>(&self, moments: &'a Moments, gamma: &'a View<'_>, beta: &'a View<'_>) -> [Norm<'a>; 2] {
        let Moments { batch, images } = moments;
        let fixed = self.fixed.is_some();
        [
            Norm { mean: &batch[0], inv_std: &batch[1], gamma: gamma.data, beta: beta.data, fixed },
            Norm { mean: &images[0], inv_std: &images[1], gamma: &[], beta: &[], fixed: false },
        ]
    }
}

impl Function for Branches {
    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps { inputs: vec![true; 5], output: false }
    }

    fn forward(&self, inputs: &[View<'_>]) -> Output {
        let [x, gamma, beta, weight_a, weight_b] = [0, 1, 2, 3, 4].map(|i| inputs[i]);
        let (on, maps) = Self::on(&x, &weight_a);
        let [mut mean, mut var] = [(); 2].map(|()| vec![0.0; maps.n * maps.c]);
        let [mut batch_mean, mut batch_var] = [(); 2].map(|()| vec![0.0; maps.c]);
        both_moments(maps, x.data, [&mut mean, &mut var], [&mut batch_mean, &mut batch_var]);
        let inverse = |v: &Vec<f32>| v.iter().map(|v| 1.0 / (v + self.epsilon).sqrt()).collect::<Vec<f32>>();
        let batch = match &self.fixed {
            None => [batch_mean.clone(), inverse(&batch_var)],
            Some((mean, var)) => [mean.clone(), inverse(var)],
        };
        let moments = Moments { batch, images: [mean, inverse(&var)] };
        let _ = self.of_batch.set((batch_mean, batch_var));

        let half = on.output_len();
        let mut y = Buffer::stale(2 * half);
        let mut normalised = Buffer::stale(x.data.len());
        for ((norm, weight), y) in
            self.norms(&moments, &gamma, &beta).iter().zip([weight_a, weight_b]).zip(y.chunks_exact_mut(half))
        {
            normalise(maps, x.data, norm, self.act, &mut normalised);
            conv::forward(&on, &normalised, weight.data, None, y);
        }
        let shape = vec![2, on.n, on.out_h(), on.out_w(), on.cout];
        Output { shape, data: y, saved: Some(Arc::new(moments)) }
    }

    fn backward(&self, context: &Context<'_>) -> Vec<Gradient> {
        let [x, gamma, beta, weight_a, weight_b] = [0, 1, 2, 3, 4].map(|i| context.inputs[i]);
        let (on, maps) = Self::on(&x, &weight_a);
        let moments: &Moments =
            context.saved.as_ref().and_then(|s| s.downcast_ref()).expect("saved by the forward pass");
        let norms = self.norms(moments, &gamma, &beta);
        let half = on.output_len();
        let mut of_maps = Vec::with_capacity(2);
        let mut of_weights = Vec::with_capacity(2);
        for ((norm, weight), g) in norms.iter().zip([weight_a, weight_b]).zip(context.grad.chunks_exact(half))
        {
            // One buffer: the normalised maps, then, once they have served, the gradient to them.
            let mut maps_of = Buffer::stale(x.data.len());
            normalise(maps, x.data, norm, self.act, &mut maps_of);
            let mut dw = Buffer::stale(weight.data.len());
            conv::backward_weight(&on, &maps_of, g, &mut dw, None);
            of_weights.push(dw);
            conv::backward_input(&on, g, weight.data, &mut maps_of);
            of_maps.push(maps_of);
        }
        let [a, b] = norms;
        let gb = of_maps.pop().expect("two branches");
        let mut dx = of_maps.pop().expect("two branches");
        let [mut dgamma, mut dbeta] = [(); 2].map(|()| Buffer::stale(maps.c));
        both_backward(maps, &mut dx, &gb, x.data, &a, &b, self.act, &mut dgamma, &mut dbeta);
        let mut gradients: Vec<_> = [dx, dgamma, dbeta].map(Gradient::Of).into();
        gradients.extend(of_weights.into_iter().map(Gradient::Of));
        gradients
    }
}

/// Where the gate leaves its gradient to the branches for the pooling to add its own: the pooling's backward pass comes
/// after the gate's, which depends on it.
type Pending = Arc<Mutex<Option<Buffer>>>;

/// A gate over two branches: first [`BranchGate::pool`], then, with what is made of that, [`BranchGate::blend`].
pub struct BranchGate {
    branches: Tensor<5>,
    pending: Pending,
}

impl BranchGate {
    /// Over `branches`, `[2, n, h, w, c]`.
    pub fn new(branches: Tensor<5>) -> Self {
        Self { branches, pending: Pending::default() }
    }

    /// The sum of both branches' means over a `size × size` grid of cells, `[n, size, size, c]`.
    pub fn pool(&self, size: usize) -> Tensor<4> {
        if !is_native(&self.branches) {
            let [a, b] = plain::halves(self.branches.clone());
            return plain::adaptive_avg_pool(a + b, size);
        }
        let pending = self.pending.clone();
        apply(PoolSum { size, pending }, vec![self.branches.clone().into()])
    }

    /// `a · map_a + b · map_b`, with maps made of what [`BranchGate::pool`] gave (`[n, 4, 4, c]`, any grid), spread over the
    /// image by nearest neighbour: row y takes cell `⌊y · (4 / h)⌋`, in single precision as PyTorch does.
    pub fn blend(self, map_a: Tensor<4>, map_b: Tensor<4>) -> Tensor<4> {
        if !is_native(&self.branches) {
            let [a, b] = plain::halves(self.branches);
            return plain::gate(a, b, map_a, map_b);
        }
        apply(Blend { pending: self.pending }, vec![self.branches.into(), map_a.into(), map_b.into()])
    }
}

#[derive(Debug)]
struct PoolSum {
    size: usize,
    pending: Pending,
}

impl PoolSum {
    fn on(&self, x: &View<'_>) -> AvgPool {
        let [_, n, h, w, c] = *x.shape else { panic!("branches are two batches") };
        AvgPool { n, h, w, c, oh: self.size, ow: self.size }
    }
}

impl Function for PoolSum {
    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps { inputs: vec![false], output: false }
    }

    fn forward(&self, inputs: &[View<'_>]) -> Output {
        let on = self.on(&inputs[0]);
        let (a, b) = inputs[0].data.split_at(on.input_len());
        let [mut y, mut more] = [(); 2].map(|()| Buffer::stale(on.output_len()));
        adaptive_avg_pool_forward(&on, a, &mut y);
        adaptive_avg_pool_forward(&on, b, &mut more);
        act::add(&mut y, &more);
        Output::new(vec![on.n, on.oh, on.ow, on.c], y)
    }

    fn backward(&self, context: &Context<'_>) -> Vec<Gradient> {
        let on = self.on(&context.inputs[0]);
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut dx = pending.expect("the gate's backward pass came before");
        for half in dx.chunks_exact_mut(on.input_len()) {
            adaptive_avg_pool_backward_add(&on, context.grad, half);
        }
        vec![Gradient::Of(dx)]
    }
}

#[derive(Debug)]
struct Blend {
    pending: Pending,
}

impl Blend {
    fn on(inputs: &[View<'_>]) -> Gate {
        let [_, n, h, w, c] = *inputs[0].shape else { panic!("branches are two batches") };
        let [_, mh, mw, _] = nhwc(&inputs[1]);
        Gate { n, h, w, c, mh, mw }
    }
}

impl Function for Blend {
    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps { inputs: vec![true; 3], output: false }
    }

    fn forward(&self, inputs: &[View<'_>]) -> Output {
        let on = Self::on(inputs);
        let (a, b) = inputs[0].data.split_at(inputs[0].data.len() / 2);
        let mut y = Buffer::stale(a.len());
        gate_forward(&on, a, b, inputs[1].data, inputs[2].data, &mut y);
        Output::new(vec![on.n, on.h, on.w, on.c], y)
    }

    fn backward(&self, context: &Context<'_>) -> Vec<Gradient> {
        let [both, map_a, map_b] = [0, 1, 2].map(|i| context.inputs[i].data);
        let half = both.len() / 2;
        let (a, b) = both.split_at(half);
        let mut dx = Buffer::stale(both.len());
        let (da, db) = dx.split_at_mut(half);
        let [mut dmap_a, mut dmap_b] = [(); 2].map(|()| Buffer::stale(map_a.len()));
        let on = Self::on(context.inputs);
        gate_backward(&on, context.grad, a, b, map_a, map_b, da, db, &mut dmap_a, &mut dmap_b);
        *self.pending.lock().unwrap_or_else(PoisonError::into_inner) = Some(dx);
        vec![Gradient::None, Gradient::Of(dmap_a), Gradient::Of(dmap_b)]
    }
}

/// See [`super::join_doubled`].
pub fn join_doubled(fine: Tensor<4>, coarse: Tensor<4>) -> Tensor<4> {
    apply(JoinDoubled, vec![fine.into(), coarse.into()])
}

#[derive(Debug)]
struct JoinDoubled;

impl JoinDoubled {
    fn on(inputs: &[View<'_>]) -> (Upsample, Join) {
        let [n, h, w, c] = nhwc(&inputs[0]);
        let [_, ch, cw, oc] = nhwc(&inputs[1]);
        let (oh, ow) = (2 * ch, 2 * cw);
        (Upsample { n, h: ch, w: cw, c: oc, oh, ow }, Join { n, h, w, c, oh, ow, oc })
    }
}

impl Function for JoinDoubled {
    fn keeps(&self, _: &[bool]) -> Keeps {
        Keeps { inputs: vec![false; 2], output: false }
    }

    fn forward(&self, inputs: &[View<'_>]) -> Output {
        let (double, side) = Self::on(inputs);
        let mut doubled = Buffer::stale(double.output_len());
        upsample_forward(&double, inputs[1].data, &mut doubled);
        let c = side.c + side.oc;
        let mut y = Buffer::stale(side.n * side.h * side.w * c);
        join(&side, inputs[0].data, &doubled, &mut y);
        Output::new(vec![side.n, side.h, side.w, c], y)
    }

    fn backward(&self, context: &Context<'_>) -> Vec<Gradient> {
        let (double, side) = Self::on(context.inputs);
        let mut fine = Buffer::stale(side.n * side.h * side.w * side.c);
        let mut doubled = Buffer::stale(double.output_len());
        split(&side, context.grad, &mut fine, &mut doubled);
        let mut coarse = Buffer::stale(double.input_len());
        upsample_backward(&double, &doubled, &mut coarse);
        vec![Gradient::Of(fine), Gradient::Of(coarse)]
    }
}
