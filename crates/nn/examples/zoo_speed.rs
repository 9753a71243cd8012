//! Milliseconds an image of the zoo's networks, forward and forward with the gradient to the image:
//! `cargo run --release --example zoo_speed -- 8 224 [NAME ...]`.
#![allow(clippy::disallowed_macros, reason = "an example prints")]

use std::time::Instant;

use burn::tensor::{Device, Tensor};
use dyntta_nn::{Arch, Classifier, ClassifierNet, Init, Normalisation};

fn best(mut run: impl FnMut()) -> f64 {
    let time = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        run();
        1e3 * start.elapsed().as_secs_f64()
    };
    (0..3).map(|_| time(&mut run)).fold(f64::INFINITY, f64::min)
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize| args[i].parse::<usize>().expect("a batch size and a side in pixels");
    let (batch, side) = (number(0), number(1));
    for name in &args[2..] {
        let arch: Arch = name.parse().expect("a known architecture");
        let net = ClassifierNet::new(&Init::new("net", 0, &Device::flex()), arch, 1000);
        let classifier = Classifier::new(net, arch, 1000, Normalisation::IMAGENET);
        let images = Tensor::<4>::ones([batch, 3, side, side], &Device::flex()).mul_scalar(0.3);
        let forward = best(|| drop(classifier.forward(images.clone()).unwrap().into_data()));
        let both = best(|| {
            let images = Tensor::from_inner(images.clone()).require_grad();
            let gradients = classifier.forward(images.clone()).unwrap().sum().backward();
            drop(images.grad(&gradients).expect("tracked").into_data());
        });
        println!("{name:20} {:8.2} {:8.2}", forward / batch as f64, both / batch as f64);
    }
}
