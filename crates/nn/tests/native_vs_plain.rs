//! Every native operation against its composition of Burn tensor operations: outputs and all gradients.

use burn::tensor::{Device, Gradients, Tensor, TensorData};
use dyntta_image::Stream;
use dyntta_nn::ops::{native, plain};

fn random<const D: usize>(name: &str, shape: [usize; D], device: &Device) -> Tensor<D> {
    let mut stream = Stream::new(0, &[name]);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| stream.normal_f32()).collect();
    let tensor = Tensor::<D>::from_data(TensorData::new(values, shape), device);
    if device.is_autodiff() { tensor.require_grad() } else { tensor }
}

fn autodiff() -> Device {
    Device::flex().autodiff()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec::<f32>().unwrap()
}

type Gradient<'a> = (&'a str, &'a dyn Fn(&Gradients) -> Vec<f32>);

/// Holds two ways to compute the same thing against each other: the output, and the gradient of a random projection of
/// it to each input. The tolerance is relative to the largest value.
fn compare(what: &str, native: Tensor<4>, plain: Tensor<4>, gradients: &[Gradient<'_>]) {
    let [a, b] = [native, plain].map(|y| {
        let g = random("upstream", y.dims(), &Device::flex());
        let output = values(y.clone());
        let grads = (y * g).sum().backward();
        let mut all = vec![("output", output)];
        all.extend(gradients.iter().map(|(name, get)| (*name, get(&grads))));
        all
    });
    for ((name, x), (_, y)) in a.iter().zip(&b) {
        assert_eq!(x.len(), y.len(), "{what}: {name}");
        let scale = y.iter().fold(1.0f32, |m, v| m.max(v.abs()));
        for (i, (x, y)) in x.iter().zip(y).enumerate() {
            assert!((x - y).abs() <= 1e-4 * scale, "{what}: {name}[{i}] is {x}, plain {y}");
        }
    }
}

macro_rules! grad {
    ($tensor:ident) => {
        (stringify!($tensor), &|grads: &Gradients| values($tensor.grad(grads).expect("tracked")))
    };
}

const SIZES: [[usize; 4]; 5] = [[2, 9, 7, 3], [1, 8, 8, 16], [3, 5, 6, 33], [1, 1, 1, 2], [4, 4, 4, 64]];

#[test]
fn convolution() {
    for (n, h, w, cin, cout, k, stride) in [
        (2, 9, 7, 3, 5, 3, 1),
        (1, 8, 8, 4, 16, 3, 2),
        (3, 5, 6, 7, 3, 1, 2),
        (2, 11, 10, 3, 32, 9, 1),
        (1, 1, 1, 2, 3, 3, 1),
    ] {
        let x = random("x", [n, h, w, cin], &autodiff());
        let weight = random("weight", [cout, cin, k, k], &autodiff());
        let bias = random("bias", [cout], &autodiff());
        let [native, plain] = [native::conv2d, plain::conv2d]
            .map(|f| f(x.clone(), weight.clone(), Some(bias.clone()), stride, k / 2));
        let what = format!("conv {k}x{k}/{stride} {cin}->{cout} on {h}x{w}");
        compare(&what, native, plain, &[grad!(x), grad!(weight), grad!(bias)]);
    }
}

#[test]
fn a_frozen_weight_lets_the_gradient_through() {
    let x = random("x", [1, 4, 4, 2], &autodiff());
    let weight = random("weight", [3, 2, 3, 3], &Device::flex());
    let [native, plain] = [native::conv2d, plain::conv2d].map(|f| f(x.clone(), weight.clone(), None, 1, 1));
    compare("frozen", native, plain, &[grad!(x)]);
}

#[test]
fn normalisation() {
    for shape in SIZES {
        let c = shape[3];
        let x = random("x", shape, &autodiff());
        let gamma = random("gamma", [c], &autodiff());
        let beta = random("beta", [c], &autodiff());
        for slope in [0.0, 0.01, 1.0] {
            // A single value has no spread: its normalised value is 0 and its gradient rounding noise.
            if shape[0] * shape[1] * shape[2] > 1 {
                let [native, plain] = [native::batch_norm, plain::batch_norm]
                    .map(|f| f(x.clone(), gamma.clone(), beta.clone(), 1e-5, slope));
                for (a, b) in [(&native.1, &plain.1), (&native.2, &plain.2)] {
                    for (a, b) in values(a.clone()).iter().zip(values(b.clone())) {
                        assert!((a - b).abs() < 1e-5, "statistics {a} and {b}");
                    }
                }
                compare("batch norm", native.0, plain.0, &[grad!(x), grad!(gamma), grad!(beta)]);
                let [native, plain] =
                    [native::instance_norm, plain::instance_norm].map(|f| f(x.clone(), 1e-5, slope));
                compare("instance norm", native, plain, &[grad!(x)]);
            }
            let [native, plain] =
                [native::affine, plain::affine].map(|f| f(x.clone(), gamma.clone(), beta.clone(), slope));
            compare("affine", native, plain, &[grad!(x)]);
        }
    }
}

#[test]
fn sums_pools_and_resampling() {
    for shape in SIZES {
        let x = random("x", shape, &autodiff());
        let y = random("y", shape, &autodiff());
        let [native, plain] = [native::add_relu, plain::add_relu].map(|f| f(x.clone(), y.clone()));
        compare("add_relu", native, plain, &[grad!(x), grad!(y)]);
        for (size, stride, pad) in [(2, 2, 0), (3, 2, 1)] {
            if shape[1] >= 2 {
                let [native, plain] =
                    [native::max_pool, plain::max_pool].map(|f| f(x.clone(), size, stride, pad));
                compare("max pool", native, plain, &[grad!(x)]);
            }
        }
        for size in [1, 4] {
            let [native, plain] =
                [native::adaptive_avg_pool, plain::adaptive_avg_pool].map(|f| f(x.clone(), size));
            compare("adaptive average pool", native, plain, &[grad!(x)]);
        }
        let (h, w) = (2 * shape[1], 2 * shape[2] + 1);
        let [native, plain] = [native::upsample_to, plain::upsample_to].map(|f| f(x.clone(), h, w));
        compare("upsample", native, plain, &[grad!(x)]);
    }
}

/// A selective block's branches and gate, as the SK-UNet puts them together: the pooled branches steer the gate.
#[test]
fn branches_and_their_gate() {
    use dyntta_nn::ops::branches::{BranchGate, branches};

    for [n, h, w, c] in [[2, 9, 7, 3], [1, 8, 8, 16], [3, 5, 6, 33], [4, 4, 4, 64]] {
        let x = random("x", [n, h, w, c], &autodiff());
        let gamma = random("gamma", [c], &autodiff());
        let beta = random("beta", [c], &autodiff());
        let a = random("a", [5, c, 3, 3], &autodiff());
        let b = random("b", [5, c, 3, 3], &autodiff());
        let fixed = [0, 1].map(|i| random(["mean", "variance"][i], [c], &Device::flex()).abs());
        for fixed in [None, Some((fixed[0].clone(), fixed[1].clone()))] {
            let [native, plain] = [branches, plain::branches].map(|f| {
                let affine = [gamma.clone(), beta.clone()];
                f(x.clone(), affine, fixed.clone(), [a.clone(), b.clone()], 1e-5, 0.01)
            });
            for (a, b) in [(native.1.0, plain.1.0), (native.1.1, plain.1.1)] {
                for (a, b) in values(a).iter().zip(values(b)) {
                    assert!((a - b).abs() < 1e-5, "statistics {a} and {b}");
                }
            }
            let share = |pooled: Tensor<4>| burn::tensor::activation::sigmoid(pooled);
            let rest = |share: Tensor<4>| share.neg().add_scalar(1.0);
            let gate = BranchGate::new(native.0);
            let map = share(gate.pool(4));
            let native = gate.blend(map.clone(), rest(map));
            let [one, other] = [0, 1].map(|i| plain.0.clone().narrow(0, i, 1).reshape([n, h, w, 5]));
            let map = share(plain::adaptive_avg_pool(one.clone() + other.clone(), 4));
            let plain = plain::gate(one, other, map.clone(), rest(map));
            let wanted: [Gradient<'_>; 5] = [grad!(x), grad!(gamma), grad!(beta), grad!(a), grad!(b)];
            compare("branches and gate", native, plain, &wanted);
        }
    }
}

#[test]
fn joined_maps() {
    use dyntta_nn::ops::branches::join_doubled;

    for [n, h, w, c, ch, cw] in [[2, 9, 7, 3, 4, 3], [1, 8, 8, 16, 4, 4], [1, 2, 3, 2, 1, 1]] {
        let fine = random("fine", [n, h, w, c], &autodiff());
        let coarse = random("coarse", [n, ch, cw, 5], &autodiff());
        let [native, plain] = [join_doubled, plain::join_doubled].map(|f| f(fine.clone(), coarse.clone()));
        compare("join", native, plain, &[grad!(fine), grad!(coarse)]);
    }
}

#[test]
fn frozen_convolution() {
    use dyntta_nn::ops::frozen::{FrozenConv, frozen_conv};
    use std::sync::Arc;

    for (cin, cout, k, stride, slope) in [(3, 5, 3, 1, 0.0), (16, 32, 1, 2, 1.0), (7, 3, 3, 2, 0.01)] {
        let device = Device::flex();
        let (n, h, w, pad) = (2, 9, 7, k / 2);
        let x = random("x", [n, h, w, cin], &autodiff());
        let weight = random("weight", [cout, cin, k, k], &device);
        let scale = random("scale", [cout], &device);
        let shift = random("shift", [cout], &device);
        let folded = || {
            let y = plain::conv2d(x.clone(), weight.clone(), None, stride, pad);
            plain::affine(y, scale.clone(), shift.clone(), 1.0)
        };
        let shortcut = random("shortcut", folded().dims(), &autodiff());
        let frozen = FrozenConv::new(weight.clone(), stride, pad, scale.clone(), shift.clone());
        let frozen = Arc::new(frozen);
        let native = frozen_conv(x.clone(), &frozen, None, slope);
        compare("frozen", native, plain::leaky_relu(folded(), slope), &[grad!(x)]);
        let native = frozen_conv(x.clone(), &frozen, Some(shortcut.clone()), slope);
        let plain = plain::leaky_relu(folded() + shortcut.clone(), slope);
        compare("frozen with a shortcut", native, plain, &[grad!(x), grad!(shortcut)]);
    }
}

#[test]
fn blend_through_the_graph_matches_the_bank() {
    use dyntta_nn::ops::blend::blend;
    use dyntta_ops::{Bank, Gradients as BankGradients, Shape, blend as bank_blend};

    let bank = std::sync::Arc::new(Bank::paper());
    let (n, h, w, k) = (2, 9, 11, bank.len());
    // Images are in 0..=1.
    let image = burn::tensor::activation::sigmoid(random("image", [n, 3, h, w], &Device::flex()));
    let image = Tensor::<4>::from_data(image.into_data(), &autodiff()).require_grad();
    let raw = random("raw", [n, k], &autodiff());
    let weights = burn::tensor::activation::softmax(random("weights", [n, k], &autodiff()), 1);
    let weights = Tensor::<2>::from_data(weights.into_data(), &autodiff()).require_grad();
    let network = random("network", [n, 3, h, w], &autodiff());
    let y = blend(&bank, image.clone(), raw.clone(), weights.clone(), Some(network.clone()));
    let g = random("upstream", y.dims(), &Device::flex());
    let out = values(y.clone());
    let grads = (y * g.clone()).sum().backward();

    let shape = Shape { n, h, w };
    let [x, r, v, u, g] = [
        values(image.clone()),
        values(raw.clone()),
        values(weights.clone()),
        values(network.clone()),
        values(g),
    ];
    let mut expected = vec![0.0; x.len()];
    bank_blend::reference::forward(&bank, shape, &x, &r, &v, Some(&u), &mut expected).unwrap();
    let [mut dx, mut du] = [(); 2].map(|()| vec![0.0; x.len()]);
    let [mut dr, mut dv] = [(); 2].map(|()| vec![0.0; n * k]);
    let gradients =
        BankGradients { raw: &mut dr, weights: &mut dv, network: Some(&mut du), image: Some(&mut dx) };
    bank_blend::reference::backward(&bank, shape, &x, &r, &v, Some(&u), &expected, &g, gradients).unwrap();
    for (what, ours, theirs) in [
        ("output", out, expected),
        ("image", values(image.grad(&grads).unwrap()), dx),
        ("raw", values(raw.grad(&grads).unwrap()), dr),
        ("weights", values(weights.grad(&grads).unwrap()), dv),
        ("network", values(network.grad(&grads).unwrap()), du),
    ] {
        let scale = theirs.iter().fold(1.0f32, |m, v| m.max(v.abs()));
        for (i, (a, b)) in ours.iter().zip(&theirs).enumerate() {
            assert!((a - b).abs() <= 1e-4 * scale, "{what}[{i}]: {a} and {b}");
        }
    }
}
