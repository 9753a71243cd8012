//! What an enhancer is compared with: ways to make a classifier more robust at test time, without any training before.
//!
//! A baseline is one file with its [`Baseline`], and one line in [`ALL`].

mod bn_adapt;
mod flip;
mod ten_crop;
mod tent;

use burn::tensor::Tensor;
use dyntta_corrupt::Preset;
use dyntta_nn::adapt::has_batch_norm;
use dyntta_nn::ops::plain::to_nhwc;
use dyntta_nn::{Classifier, ClassifierNet, Mode, Normalise};

use crate::error::Error;

/// Every baseline, in the order of the columns.
pub static ALL: &[Baseline] = &[flip::BASELINE, ten_crop::BASELINE, bn_adapt::BASELINE, tent::BASELINE];

/// A way to classify better at test time.
#[derive(Debug)]
pub struct Baseline {
    /// The name, as the command line takes it and a table shows it.
    pub name: &'static str,
    /// Whether it uses the statistics of a batch: then its result depends on the batch size and on the order of the images,
    /// and it needs batch normalisation.
    pub batch_statistics: bool,
    start: for<'a> fn(Setup<'a>) -> Box<dyn Predictor + 'a>,
}

/// What the baselines go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// For how many images the running statistics count in `bn-adapt`, see [`Mode::Adapt`].
    pub bn_prior: usize,
    /// Names the order of the images.
    pub seed: u64,
}

impl Settings {
    /// The strength at which Zhang et al. (MEMO, NeurIPS 2022, arXiv 2110.09506) run Schneider et al.'s adaptation of a
    /// ResNet-50 in their code.
    pub const BN_PRIOR: usize = 16;
}

impl Default for Settings {
    fn default() -> Self {
        Self { bn_prior: Self::BN_PRIOR, seed: 0 }
    }
}

/// What a baseline starts from.
struct Setup<'a> {
    classifier: &'a Classifier,
    preset: Preset,
    settings: Settings,
}

/// Classifies batch after batch, and may learn from them.
pub(crate) trait Predictor {
    /// Scores `[n, classes]` of images `[n, 3, h, w]` in `0..=1`: a row's largest is at the class.
    ///
    /// # Errors
    /// As [`Classifier::forward`].
    fn scores(&mut self, images: Tensor<4>) -> Result<Tensor<2>, Error>;

    /// Forgets what it has learned: images of another kind follow.
    fn reset(&mut self) {}
}

impl Baseline {
    /// Whether it can run with this classifier.
    ///
    /// # Errors
    /// Says why not.
    pub fn check(&self, classifier: &Classifier) -> Result<(), String> {
        match classifier.network() {
            _ if !self.batch_statistics => Ok(()),
            None => Err("an ONNX graph runs with the statistics it was exported with".into()),
            Some(net) if has_batch_norm(net) => Ok(()),
            Some(_) => Err(format!("{} has no batch normalisation", classifier.arch())),
        }
    }

    /// Gets ready to classify.
    ///
    /// # Errors
    /// [`Error::Setting`] if it cannot run with this classifier.
    pub(crate) fn start<'a>(
        &self,
        classifier: &'a Classifier,
        preset: Preset,
        settings: Settings,
    ) -> Result<Box<dyn Predictor + 'a>, Error> {
        self.check(classifier).map_err(|why| {
            Error::setting("baselines", format!("a classifier that {} can adapt", self.name), why)
        })?;
        Ok((self.start)(Setup { classifier, preset, settings }))
    }
}

/// The baselines of these names, each once; `all` are all of them.
///
/// # Errors
/// [`Error::Setting`] with the known names for an unknown one.
pub fn named<S: AsRef<str>>(names: &[S]) -> Result<Vec<&'static Baseline>, Error> {
    let mut found: Vec<&'static Baseline> = Vec::new();
    for name in names {
        let name = name.as_ref();
        let mut these = ALL.iter().filter(|b| name == "all" || name == b.name).peekable();
        if these.peek().is_none() {
            let known: Vec<&str> = ALL.iter().map(|b| b.name).collect();
            let expected = format!("all, {}", known.join(", "));
            return Err(Error::setting("baselines", expected, format!("{name:?}")));
        }
        for baseline in these {
            if !found.iter().any(|b| b.name == baseline.name) {
                found.push(baseline);
            }
        }
    }
    Ok(found)
}

/// Those of the baselines that can run with this classifier, and a line on those that cannot.
pub fn runnable(
    wanted: Vec<&'static Baseline>,
    classifier: &Classifier,
) -> (Vec<&'static Baseline>, Option<String>) {
    let reason = wanted.iter().find_map(|b| b.check(classifier).err());
    let (run, left_out): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|b| b.check(classifier).is_ok());
    let names: Vec<&str> = left_out.iter().map(|b| b.name).collect();
    (run, reason.map(|reason| format!("baselines left out: {}: {reason}", names.join(", "))))
}

/// The logits of a network of this classifier, changed or not.
fn logits(classifier: &Classifier, net: &ClassifierNet, images: Tensor<4>, mode: Mode) -> Tensor<2> {
    net.forward(classifier.normalisation().apply(to_nhwc(images)), mode)
}

/// The network of a classifier that [`Baseline::check`] has let through.
fn network(classifier: &Classifier) -> &ClassifierNet {
    classifier.network().expect("checked before the start")
}

#[cfg(test)]
mod tests;
