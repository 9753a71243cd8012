//! The scores that a classifier gives: predictions, and what is wrong where they are no numbers.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use dyntta_data::{Batch, Dataset};
use dyntta_files::shown;
use dyntta_nn::Classifier;

use crate::error::Error;

/// A row of scores that are not all finite, and the first of them that isn't.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct NotFinite {
    pub row: usize,
    pub value: f32,
}

/// The class of each row's largest score, the first among equals.
///
/// # Errors
/// The first row with an infinite score or one that is no number: its largest says nothing.
pub(crate) fn predictions(scores: Tensor<2>) -> Result<Vec<usize>, NotFinite> {
    let [_, classes] = scores.dims();
    let values = scores.into_data().try_to_vec::<f32>().expect("scores are f32");
    let rows = values.chunks_exact(classes.max(1)).enumerate();
    rows.map(|(row, scores)| match scores.iter().find(|v| !v.is_finite()) {
        Some(&value) => Err(NotFinite { row, value }),
        None => Ok((1..classes).fold(0, |best, i| if scores[i] > scores[best] { i } else { best })),
    })
    .collect()
}

/// How many rows of `scores` have their largest value at the label.
///
/// # Errors
/// As [`predictions`].
pub(crate) fn count_hits(scores: Tensor<2>, labels: &[usize]) -> Result<usize, NotFinite> {
    Ok(predictions(scores)?.iter().zip(labels).filter(|(p, l)| p == l).count())
}

/// The image of a batch's row, for a message.
pub(crate) fn image_of(data: &Dataset, batch: &Batch, row: usize) -> String {
    let sample = batch.indices.get(row).and_then(|&index| data.samples.get(index));
    format!("{}: {}", data.name(), sample.map_or(String::new(), |s| shown(s.path.as_ref()).to_string()))
}

impl NotFinite {
    /// The error for the image of a batch that it was found on; `of` is whose scores they are. If the classifier gives nothing
    /// better for black, it is not the image's fault.
    pub fn error(self, data: &Dataset, batch: &Batch, of: &str, classifier: Option<&Classifier>) -> Error {
        let broken =
            classifier.and_then(|c| check_black(c, batch.height, batch.width, &Device::flex()).err());
        broken.unwrap_or_else(|| Error::Scores {
            image: image_of(data, batch, self.row),
            of: of.to_owned(),
            value: self.value,
        })
    }
}

/// Checks that all weights of a classifier are numbers. Scores alone don't tell: a ReLU takes what is no number for 0. An ONNX
/// graph's are looked at when it is read.
///
/// # Errors
/// [`Error::BrokenClassifier`] with those that aren't.
pub(crate) fn check_weights(classifier: &Classifier) -> Result<(), Error> {
    let weights = classifier.network().map(broken_keys).unwrap_or_default();
    if weights.is_empty() { Ok(()) } else { Err(Error::BrokenClassifier { value: f32::NAN, weights }) }
}

/// Checks that the classifier gives finite scores to a black image.
///
/// # Errors
/// [`Error::BrokenClassifier`].
pub(crate) fn check_black(
    classifier: &Classifier,
    height: usize,
    width: usize,
    device: &Device,
) -> Result<(), Error> {
    let black = Tensor::<4>::zeros([1, 3, height, width], device);
    let Err(NotFinite { value, .. }) = predictions(classifier.forward(black)?) else { return Ok(()) };
    Err(Error::BrokenClassifier { value, weights: Vec::new() })
}

/// The names of a network's weights that hold infinities or what is no number; of many the first.
pub(crate) fn broken_keys<M: Module>(net: &M) -> Vec<String> {
    const SHOWN: usize = 3;
    struct Look(Vec<String>, Vec<String>);
    impl ModuleVisitor for Look {
        fn enter_module(&mut self, name: &str, container: &str) {
            // Which variant of an enum a network is, is no part of a key.
            self.0.push(if container.starts_with("Enum:") { String::new() } else { name.to_owned() });
        }

        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let values = param.val().into_data().try_to_vec::<f32>().expect("parameters are f32");
            if self.1.len() < SHOWN && values.iter().any(|v| !v.is_finite()) {
                let names: Vec<&str> = self.0.iter().map(String::as_str).filter(|n| !n.is_empty()).collect();
                self.1.push(names.join("."));
            }
        }
    }
    let mut look = Look(Vec::new(), Vec::new());
    net.visit(&mut look);
    look.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_scores_wins_and_what_is_no_number_is_found() {
        let of = |values: [[f32; 3]; 2]| predictions(Tensor::<2>::from_data(values, &Device::flex()));
        assert_eq!(of([[1.0, 2.0, 2.0], [0.0, -1.0, 0.0]]), Ok(vec![1, 0]));
        for value in [f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(of([[1.0, 2.0, 2.0], [0.0, value, 0.0]]), Err(NotFinite { row: 1, value }));
        }
        let error = of([[1.0, f32::NAN, 2.0], [0.0, 0.0, 0.0]]).unwrap_err();
        assert!(error.row == 0 && error.value.is_nan());
    }
}
