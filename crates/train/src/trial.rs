//! A step of training on made-up images, before anything is trained: what can't work fails here, not after the data is read.

use std::path::Path;

use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor, TensorData};
use dyntta_files::{Limits, shown};
use dyntta_image::Stream;
use dyntta_nn::{Classifier, Enhancer, Mode};

use crate::error::Error;
use crate::fit::cross_entropy;
use crate::scores::{check_black, check_weights, predictions};

/// Images and their pixels along each side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub n: usize,
    pub height: usize,
    pub width: usize,
}

/// Runs the classifier, and then the enhancer before it, forward and backward as in training. The enhancer is spoilt by it: its
/// running statistics move. `name` is the classifier's file.
///
/// # Errors
/// [`Error::BrokenClassifier`], [`Error::NoGradient`], those of an ONNX graph, and [`Error::Setting`] for batches larger than any reader's bounds.
pub(crate) fn step(
    enhancer: &Enhancer,
    classifier: &Classifier,
    name: &Path,
    shape: Shape,
    device: &Device,
) -> Result<(), Error> {
    check_batch(shape)?;
    check_weights(classifier)?;
    // An ONNX graph knows better what lets no gradient through.
    classifier.check_training(shape.n, shape.height, shape.width)?;
    gradient(classifier, name, shape, device)?;
    let scores = classifier.forward(enhancer.forward(noise(shape, device), Mode::Train))?;
    let labels = Tensor::<1, Int>::from_data(TensorData::new(vec![0i32; shape.n], [shape.n]), device);
    let loss = cross_entropy(scores, labels, 0.0);
    if !loss.is_tracked() {
        return Err(no_gradient(name));
    }
    drop(GradientsParams::from_grads(loss.backward(), enhancer));
    Ok(())
}

/// Checks that a batch is one that fits any memory.
pub(crate) fn check_batch(Shape { n, height, width }: Shape) -> Result<(), Error> {
    let most = Limits::DEFAULT.tensor_elements;
    let elements = [3, height, width].into_iter().try_fold(n, usize::checked_mul);
    if elements.is_some_and(|e| e <= most) {
        return Ok(());
    }
    let expected = format!("batches of at most {most} values");
    Err(Error::setting("batch-size", expected, format!("{n} images of {width} × {height} pixels")))
}

/// Checks that the classifier's scores are numbers and that a gradient reaches the image.
fn gradient(classifier: &Classifier, name: &Path, shape: Shape, device: &Device) -> Result<(), Error> {
    let few = Shape { n: shape.n.min(2), ..shape };
    let images = noise(few, device).require_grad();
    let scores = classifier.forward(images.clone())?;
    if predictions(scores.clone().without_autodiff()).is_err() {
        // Numbers for real images are still possible where black gives them.
        return check_black(classifier, shape.height, shape.width, &device.clone().without_autodiff());
    }
    if !scores.is_tracked() {
        return Err(no_gradient(name));
    }
    // Not the loss: that of a classifier that is sure has no gradient.
    let [n, classes] = scores.dims();
    let mut stream = Stream::new(0, &["trial", "scores"]);
    let weights: Vec<f32> = (0..n * classes).map(|_| stream.uniform_f32()).collect();
    let gradients =
        (scores * Tensor::from_data(TensorData::new(weights, [n, classes]), device)).sum().backward();
    let gradient =
        images.grad(&gradients).map(|g| g.into_data().try_to_vec::<f32>().expect("gradients are f32"));
    if gradient.is_none_or(|g| g.iter().all(|&v| v == 0.0)) {
        return Err(no_gradient(name));
    }
    Ok(())
}

fn no_gradient(name: &Path) -> Error {
    Error::NoGradient { classifier: shown(name).to_string() }
}

/// Images of independent values.
fn noise(Shape { n, height, width }: Shape, device: &Device) -> Tensor<4> {
    let mut stream = Stream::new(0, &["trial"]);
    let values: Vec<f32> = (0..n * 3 * height * width).map(|_| stream.uniform_f32()).collect();
    Tensor::from_data(TensorData::new(values, [n, 3, height, width]), device)
}
