//! The operations of the zoo's classifiers against their compositions of Burn tensor operations: outputs and gradients.

use burn::tensor::{Device, Tensor, TensorData};
use dyntta_image::Stream;
use dyntta_kernels::pointwise::Pointwise;
use dyntta_nn::ops::{extra, native, plain};

fn random<const D: usize>(name: &str, shape: [usize; D]) -> Tensor<D> {
    let mut stream = Stream::new(0, &[name]);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| 3.0 * stream.normal_f32()).collect();
    Tensor::<D>::from_data(TensorData::new(values, shape), &Device::flex().autodiff()).require_grad()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec::<f32>().unwrap()
}

/// The output, and the gradients of a random projection of it, held to 1e-4 of the largest value.
macro_rules! compare {
    ($what:expr, $native:expr, $plain:expr, [$($input:ident),*]) => {{
        let [a, b] = [$native, $plain].map(|y| {
            let g = random("upstream", y.dims()).without_autodiff();
            let output = values(y.clone());
            let grads = (y * g).sum().backward();
            [("output", output), $((stringify!($input), values($input.grad(&grads).expect("tracked")))),*]
        });
        for ((name, x), (_, y)) in a.iter().zip(&b) {
            assert_eq!(x.len(), y.len(), "{}: {name}", $what);
            let scale = y.iter().fold(1.0f32, |m, v| m.max(v.abs()));
            for (i, (x, y)) in x.iter().zip(y).enumerate() {
                assert!((x - y).abs() <= 1e-4 * scale, "{}: {name}[{i}] is {x}, plain {y}", $what);
            }
        }
    }};
}

#[test]
fn grouped_convolution() {
    for (h, w, cin, cout, groups, k, stride, pad) in [
        (9, 7, 8, 8, 8, 3, 1, [1; 4]),
        (8, 8, 24, 24, 24, 5, 2, [1, 1, 2, 2]),
        (7, 7, 16, 16, 16, 7, 1, [3; 4]),
        (6, 9, 32, 64, 8, 3, 2, [1; 4]),
        (5, 5, 6, 12, 3, 3, 1, [0; 4]),
        (8, 6, 3, 16, 1, 3, 2, [0, 0, 1, 1]),
    ] {
        let x = random("x", [2, h, w, cin]);
        let weight = random("weight", [cout, cin / groups, k, k]);
        let bias = random("bias", [cout]);
        let run = |f: fn(_, _, _, _, _, _) -> _| {
            f(x.clone(), weight.clone(), Some(bias.clone()), stride, pad, groups)
        };
        let what = format!("{k}x{k}/{stride} {cin}->{cout} in {groups} on {h}x{w}");
        compare!(what, run(native::grouped_conv2d), run(plain::grouped_conv2d), [x, weight, bias]);
    }
}

#[test]
fn pointwise() {
    let x = random("x", [3, 50, 7]);
    let run = |f| extra::pointwise(x.clone(), f);
    compare!("relu", run(Pointwise::Relu), plain::relu(x.clone()), [x]);
    compare!("relu6", run(Pointwise::Relu6), plain::relu6(x.clone()), [x]);
    compare!("silu", run(Pointwise::Silu), plain::silu(x.clone()), [x]);
    compare!("gelu", run(Pointwise::Gelu), plain::gelu(x.clone()), [x]);
}

#[test]
fn layer_norm() {
    for (rows, c) in [(5, 1), (37, 19), (300, 96), (4, 768)] {
        let (x, gamma, beta) = (random("x", [rows, c]), random("gamma", [c]), random("beta", [c]));
        let run = |f: fn(_, _, _, _) -> Tensor<2>| f(x.clone(), gamma.clone(), beta.clone(), 1e-3);
        compare!(format!("{rows} x {c}"), run(extra::layer_norm), run(plain::layer_norm), [x, gamma, beta]);
    }
}

#[test]
fn scaled_channels() {
    for (n, scales) in [(3, 3), (3, 1), (1, 1)] {
        let (x, scale) = (random("x", [n, 5, 4, 9]), random("scale", [scales, 1, 1, 9]));
        let run = |f: fn(_, _) -> Tensor<4>| f(x.clone(), scale.clone());
        compare!(
            format!("{scales} for {n}"),
            run(extra::scale_channels),
            run(plain::scale_channels),
            [x, scale]
        );
    }
}

#[test]
fn average_pooling() {
    for (h, w, size) in [(8, 8, 2), (7, 5, 2), (9, 4, 3)] {
        let x = random("x", [2, h, w, 5]);
        let run = |f: fn(_, _) -> Tensor<4>| f(x.clone(), size);
        compare!(format!("{h} x {w} by {size}"), run(extra::avg_pool), run(plain::avg_pool), [x]);
    }
}
