//! The time of a training step, part by part, on random images with fresh networks.

use std::time::Instant;

use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor, TensorData};
use dyntta_image::Stream;
use dyntta_nn::{Arch, Classifier, ClassifierNet, Depth, DynTta, Enhancer, Init, Mode, Normalisation};
use dyntta_ops::Bank;

use crate::fit::cross_entropy;
use crate::recipe::Recipe;

/// Seconds of each timed step and of its parts.
#[derive(Clone, Debug, Default)]
pub struct StepTimes {
    /// Whole steps.
    pub total: Vec<f64>,
    /// Enhancer, classifier and loss.
    pub forward: Vec<f64>,
    /// Gradients of all weights.
    pub backward: Vec<f64>,
    /// The update of the weights.
    pub optimizer: Vec<f64>,
    /// The frozen classifier.
    pub classifier: String,
}

/// Times training steps of DynTTA by the paper's SGD in front of a frozen ResNet-50 (from 64 pixels up) or CIFAR
/// ResNet-20: `runs` after one that does not count.
pub fn step(size: usize, batch: usize, runs: usize) -> StepTimes {
    let plain = Device::flex();
    let device = plain.clone().autodiff();
    let arch = if size >= 64 { Arch::ResNet(Depth::D50) } else { Arch::CifarResNet(3) };
    let classes = if size >= 64 { 1000 } else { 10 };
    let net = ClassifierNet::new(&Init::new("classifier", 0, &plain), arch, classes);
    let classifier = Classifier::new(net, arch, classes, Normalisation::IMAGENET);
    let mut enhancer =
        Enhancer::DynTta(DynTta::new(&Init::new("enhancer", 0, &device), Bank::paper(), None, 0.0));
    let recipe = Recipe { batch_size: batch, lr: 1e-4, weight_decay: 1e-3, ..Recipe::PLAIN };
    let mut optimizer = recipe.optimizer();
    let mut stream = Stream::new(0, &["bench"]);
    let values: Vec<f32> = (0..batch * 3 * size * size).map(|_| stream.uniform_f32()).collect();
    let labels: Vec<i32> = (0..batch).map(|_| stream.below(10) as i32).collect();
    let mut times = StepTimes { classifier: arch.to_string(), ..StepTimes::default() };
    for run in 0..=runs {
        let images = Tensor::<4>::from_data(TensorData::new(values.clone(), [batch, 3, size, size]), &device);
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels.clone(), [batch]), &device);
        let started = Instant::now();
        let scores =
            classifier.forward(enhancer.forward(images, Mode::Train)).expect("a network takes its own size");
        let loss = cross_entropy(scores, labels, 0.0);
        let forward = started.elapsed().as_secs_f64();
        let grads = GradientsParams::from_grads(loss.backward(), &enhancer);
        let backward = started.elapsed().as_secs_f64() - forward;
        enhancer = optimizer.step(recipe.lr, enhancer, grads);
        let total = started.elapsed().as_secs_f64();
        if run > 0 {
            times.total.push(total);
            times.forward.push(forward);
            times.backward.push(backward);
            times.optimizer.push(total - forward - backward);
        }
    }
    times
}
