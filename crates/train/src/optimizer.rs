//! Adam and SGD as optimisers of Burn, by the native kernels on the CPU.

use burn::optim::{
    AdamState, AdaptiveMomentumState, LearningRate, Optimizer, RecordState, StateSink, StateSource,
};
use burn::tensor::{Device, Tensor};
use dyntta_kernels::optimizer::{AdamStep, SgdStep};
use dyntta_nn::ops::function::is_native;
use dyntta_nn::ops::optimizer::{adam_step, sgd_step};

const BETAS: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;

/// Adam with β = (0.9, 0.999), ε = 1e-8 and L2 weight decay, or AdamW. It does what [`burn::optim::Adam`] does with these
/// constants, in one parallel pass over a parameter instead of a dozen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adam {
    pub weight_decay: f64,
    /// AdamW: the decay is taken off the weights, not put into the gradient.
    pub decoupled: bool,
}

impl Optimizer for Adam {
    type State<const D: usize> = AdamState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<AdamState<D>>,
    ) -> (Tensor<D>, Option<AdamState<D>>) {
        let (time, mean, square) = match state {
            Some(AdamState { momentum }) => (momentum.time + 1, momentum.moment_1, momentum.moment_2),
            None => (1, tensor.zeros_like(), tensor.zeros_like()),
        };
        let (decay, tensor) = match self.decoupled {
            false => (self.weight_decay, tensor),
            true => (0.0, tensor.mul_scalar(1.0 - lr * self.weight_decay)),
        };
        let step = AdamStep::new(time, lr, BETAS, EPSILON, decay);
        let parts = [tensor, mean, square];
        let [tensor, mean, square] =
            if is_native(&grad) { adam_step(step, grad, parts) } else { composed(step, grad, parts) };
        (tensor, Some(AdamState::new(AdaptiveMomentumState::new(time, mean, square))))
    }

    fn to_device<const D: usize>(mut state: AdamState<D>, device: &Device) -> AdamState<D> {
        state.momentum = state.momentum.to_device(device);
        state
    }
}

/// The same step composed of tensor operations, for devices without the kernel.
fn composed<const D: usize>(s: AdamStep, grad: Tensor<D>, [p, m, v]: [Tensor<D>; 3]) -> [Tensor<D>; 3] {
    let grad = grad + p.clone().mul_scalar(s.weight_decay);
    let m = m.mul_scalar(s.beta1) + grad.clone().mul_scalar(1.0 - s.beta1);
    let v = v.mul_scalar(s.beta2) + grad.powi_scalar(2).mul_scalar(1.0 - s.beta2);
    let root = v.clone().sqrt().mul_scalar(s.root_correction).add_scalar(s.epsilon);
    let p = p - m.clone().mul_scalar(s.rate) / root;
    [p, m, v]
}

/// Stochastic gradient descent with momentum and L2 weight decay: what [`burn::optim::Sgd`] does without dampening, in
/// one parallel pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sgd {
    pub momentum: f64,
    pub weight_decay: f64,
}

/// The velocity of one parameter.
#[derive(Clone)]
pub(crate) struct Velocity<const D: usize>(Tensor<D>);

const VELOCITY: &str = "velocity";

impl<const D: usize> RecordState for Velocity<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        out.push_tensor(prefix, VELOCITY, self.0.to_data());
    }

    fn state_unflatten(prefix: &str, src: &mut StateSource, device: &Device) -> Option<Self> {
        Some(Self(Tensor::from_data(src.take_tensor(prefix, VELOCITY)?, device)))
    }
}

impl Optimizer for Sgd {
    type State<const D: usize> = Velocity<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Velocity<D>>,
    ) -> (Tensor<D>, Option<Velocity<D>>) {
        let velocity = state.map_or_else(|| tensor.zeros_like(), |state| state.0);
        let step = SgdStep {
            rate: lr as f32,
            momentum: self.momentum as f32,
            weight_decay: self.weight_decay as f32,
        };
        let [tensor, velocity] = if is_native(&grad) {
            sgd_step(step, grad, [tensor, velocity])
        } else {
            let grad = grad + tensor.clone().mul_scalar(step.weight_decay);
            let velocity = velocity.mul_scalar(step.momentum) + grad;
            [tensor - velocity.clone().mul_scalar(step.rate), velocity]
        };
        (tensor, Some(Velocity(velocity)))
    }

    fn to_device<const D: usize>(state: Velocity<D>, device: &Device) -> Velocity<D> {
        Velocity(state.0.to_device(device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::optim::AdamConfig;
    use burn::optim::decay::WeightDecayConfig;
    use burn::tensor::TensorData;

    fn values(t: &Tensor<2>) -> Vec<f32> {
        t.clone().into_data().try_to_vec().unwrap()
    }

    #[test]
    fn sgd_agrees_with_burns() {
        use burn::optim::SgdConfig;
        use burn::optim::momentum::MomentumConfig;

        let tensor = |phase: f32| {
            let v: Vec<f32> = (0..35).map(|i| (i as f32 * 0.7 + phase).sin()).collect();
            Tensor::<2>::from_data(TensorData::new(v, [5, 7]), &Device::flex())
        };
        let ours = Sgd { momentum: 0.9, weight_decay: 0.01 };
        let theirs = SgdConfig::new()
            .with_weight_decay(Some(WeightDecayConfig::new(0.01)))
            .with_momentum(Some(MomentumConfig::new().with_momentum(0.9).with_dampening(0.0)))
            .build();
        let (mut a, mut b) = (tensor(0.0), tensor(0.0));
        let (mut sa, mut sb) = (None, None);
        for t in 1..=10 {
            (a, sa) = ours.step(0.01, a, tensor(t as f32), sa);
            (b, sb) = theirs.step(0.01, b, tensor(t as f32), sb);
        }
        for (a, b) in values(&a).iter().zip(values(&b)) {
            assert!((a - b).abs() < 1e-5, "{a} and {b}");
        }
    }

    #[test]
    fn the_kernel_the_composition_and_burns_adam_agree() {
        let device = Device::flex();
        let tensor = |phase: f32| {
            let v: Vec<f32> = (0..35).map(|i| (i as f32 * 0.7 + phase).sin()).collect();
            Tensor::<2>::from_data(TensorData::new(v, [5, 7]), &device)
        };
        let decay = 0.01;
        let ours = Adam { weight_decay: decay, decoupled: false };
        let theirs = AdamConfig::new()
            .with_epsilon(EPSILON as f32)
            .with_weight_decay(Some(WeightDecayConfig::new(decay as f32)))
            .build();
        let (mut a, mut b, mut c) =
            (tensor(0.0), tensor(0.0), [tensor(0.0), tensor(0.0).zeros_like(), tensor(0.0).zeros_like()]);
        let (mut sa, mut sb) = (None, None);
        for t in 1..=10 {
            let grad = tensor(t as f32);
            (a, sa) = ours.step(0.01, a, grad.clone(), sa);
            (b, sb) = theirs.step(0.01, b, grad.clone(), sb);
            c = composed(AdamStep::new(t, 0.01, BETAS, EPSILON, decay), grad, c);
        }
        for ((a, b), c) in values(&a).iter().zip(values(&b)).zip(values(&c[0])) {
            assert!((a - b).abs() < 1e-5 && (a - c).abs() < 1e-6, "{a}, Burn {b}, composed {c}");
        }
    }

    #[test]
    fn adamw_takes_its_decay_off_the_weights() {
        let device = Device::flex();
        let at = |v: f32| Tensor::<2>::from_data(TensorData::new(vec![v; 6], [2, 3]), &device);
        let (lr, decay) = (0.01, 0.1);
        let with = |weight_decay| Adam { weight_decay, decoupled: true };
        // No gradient: what is left is the decay.
        let (p, _) = with(decay).step(lr, at(2.0), at(0.0), None);
        assert!(values(&p).iter().all(|v| (v - 2.0 * (1.0 - 0.001)).abs() < 1e-6), "{p}");
        // With one, the step is Adam's of the gradient alone.
        let (plain, _) = Adam { weight_decay: 0.0, decoupled: false }.step(lr, at(2.0), at(3.0), None);
        let (p, _) = with(decay).step(lr, at(2.0), at(3.0), None);
        assert!(values(&p).iter().zip(values(&plain)).all(|(a, b)| (a - (b - 0.002)).abs() < 1e-6));
    }
}
