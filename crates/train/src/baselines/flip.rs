//! The mean of the class probabilities of an image and of its mirror image.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use dyntta_nn::Classifier;

use crate::error::Error;

use super::{Baseline, Predictor};

pub(super) const BASELINE: Baseline = Baseline {
    name: "flip",
    batch_statistics: false,
    start: |setup| Box::new(Flip { classifier: setup.classifier }),
};

struct Flip<'a> {
    classifier: &'a Classifier,
}

impl Predictor for Flip<'_> {
    fn scores(&mut self, images: Tensor<4>) -> Result<Tensor<2>, Error> {
        Ok(of_both(self.classifier, images)?.div_scalar(2.0))
    }
}

/// The sum of the class probabilities of images `[n, 3, h, w]` and of their mirror images.
pub(super) fn of_both(classifier: &Classifier, images: Tensor<4>) -> Result<Tensor<2>, Error> {
    let mirrored = images.clone().flip([3]);
    Ok(softmax(classifier.forward(images)?, 1) + softmax(classifier.forward(mirrored)?, 1))
}
