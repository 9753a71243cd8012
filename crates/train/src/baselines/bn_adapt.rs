//! Batch normalisation by the test batch's statistics (Nado et al. 2020, arXiv 2006.10963), mixed with those of training
//! (Schneider et al. 2020, arXiv 2006.16971); see [`Mode::Adapt`].

use burn::tensor::Tensor;
use dyntta_nn::{Classifier, Mode};

use crate::error::Error;

use super::{Baseline, Predictor, logits, network};

pub(super) const BASELINE: Baseline = Baseline {
    name: "bn-adapt",
    batch_statistics: true,
    start: |setup| Box::new(BnAdapt { classifier: setup.classifier, prior: setup.settings.bn_prior }),
};

struct BnAdapt<'a> {
    classifier: &'a Classifier,
    prior: usize,
}

impl Predictor for BnAdapt<'_> {
    fn scores(&mut self, images: Tensor<4>) -> Result<Tensor<2>, Error> {
        Ok(logits(self.classifier, network(self.classifier), images, Mode::Adapt { prior: self.prior }))
    }
}
