//! The run of a graph at its loading, which finds what doesn't fit, how it takes other batches, and what its scores are.

use burn::tensor::{Tensor, TensorData};
use dyntta_files::shown_text;
use dyntta_image::Stream;

use super::input::ImageInput;
use super::work::Budget;
use super::{Inner, Options, SIZES, Scores};
use crate::error::Error;

/// The largest batch of a file's own that is run at once; what has a larger one is tried with single images before.
const LARGE_BATCH: usize = 16;

/// Pixels of an image that a graph is tried with, at most.
const MOST_PIXELS: usize = 1 << 24;
/// Elements of a batch of them, at most: they are there a few times over.
const MOST_ELEMENTS: f64 = 8e7;

/// Multiply-adds beyond which a run is not made again to see how batches are taken: they are taken one by one.
const COSTLY: f64 = 1e11;

/// How far a row's sum may be from 1 for its values to be probabilities.
const SUM: f32 = 1e-3;

/// What was found wrong.
struct Wrong {
    error: Error,
    /// How many nodes ran: the attempt that got furthest is the one to report.
    after: usize,
    /// The images' size that it was found with.
    size: [usize; 2],
}

impl Inner {
    /// Runs the graph with its own sizes, and tells how it takes other batches: two images together have to give what each
    /// gives by itself.
    ///
    /// # Errors
    /// If it fails with all sizes and layouts that the file leaves open, if it needs too much, or if its scores are not
    /// finite.
    pub(super) fn try_out(&mut self, input: &ImageInput, options: &Options) -> Result<(), Error> {
        let own = self.info.batch.unwrap_or(1);
        let sizes = sizes(input, options.size);
        let mut worst: Option<Wrong> = None;
        let mut spent = 0.0;
        let batches: &[usize] = if own > LARGE_BATCH { &[1, own] } else { &[own] };
        for &n in batches {
            for &size in &sizes {
                for &(layout, channels) in &input.forms {
                    // What failed has cost something too.
                    if spent > options.limits.work as f64 {
                        break;
                    }
                    (self.info.layout, self.info.channels) = (layout, channels);
                    let mut budget = Budget::of_trial(&self.limits, n, size);
                    let found = self.attempt(n, size, &mut budget);
                    spent += budget.spent();
                    match found {
                        Ok(scores) => return self.judge(scores, size, options),
                        Err(wrong) if worst.as_ref().is_none_or(|w| wrong.after > w.after) => {
                            worst = Some(wrong)
                        }
                        Err(_) => {}
                    }
                }
            }
        }
        let Some(Wrong { error, size: [h, w], .. }) = worst else {
            return Err(self.format("a size of images".into(), "none".into()));
        };
        // What runs through and fails in the end doesn't do so for its size.
        let Error::Onnx { path, node, operator, message } = error else { return Err(error) };
        let message = match sizes.len() {
            1 if input.sizes[1].is_some() && input.sizes[2].is_some() => message,
            _ => format!(
                "{message} (with images of {h}x{w}, after trying {}; --input-size gives another size)",
                sizes.iter().map(|[h, w]| format!("{h}x{w}")).collect::<Vec<_>>().join(", ")
            ),
        };
        Err(Error::Onnx { path, node, operator, message })
    }

    /// One batch of `n` by itself, another, and both together; gives the scores of each by itself.
    #[allow(clippy::result_large_err, reason = "one a file")]
    fn attempt(&mut self, n: usize, size: [usize; 2], budget: &mut Budget) -> Result<Vec<f32>, Wrong> {
        let [h, w] = size;
        let wrong = |error: Error, after: usize| Wrong { error, after, size };
        let expected = "a batch of images that can be tried";
        let elements = n as f64 * h as f64 * w as f64 * self.info.channels as f64;
        if h.saturating_mul(w) > MOST_PIXELS || h.max(w) > self.limits.side || elements > MOST_ELEMENTS {
            return Err(wrong(self.format(expected.into(), format!("{n} images of {h}x{w} pixels")), 0));
        }
        if let Err(found) = budget.fits(elements) {
            let found = format!("{n} of {h}x{w} pixels, which {found}");
            return Err(wrong(self.format(expected.into(), found), 0));
        }
        self.shapes = None;
        let first = self.images("a", n, size);
        let run = self.plan.first_inputs(self.value(first.clone()), &self.device, budget);
        let (output, shapes) = run.map_err(|f| {
            let after = f.after;
            wrong(f.into_error(&self.path), after)
        })?;
        let alone = self.scores(output, n).map_err(|e| wrong(e, usize::MAX))?;
        self.info.classes = alone.dims()[1];
        let own = self.info.batch.is_none_or(|own| own == n);
        if own {
            self.shapes = self.info.batch.map(|_| shapes);
        }
        let (takes_batches, scores) = match budget.spent() > COSTLY {
            true => (false, values(alone)),
            false => self.in_batches(first, alone, size),
        };
        self.info.one_by_one = !takes_batches;
        if own || takes_batches {
            return Ok(scores);
        }
        let found = format!("its own of {}", self.info.batch.unwrap_or(1));
        Err(wrong(self.format(expected.into(), found), usize::MAX))
    }

    /// Whether two batches of `n` give together what each gives by itself, and what that is.
    fn in_batches(&self, first: Tensor<4>, alone: Tensor<2>, size: [usize; 2]) -> (bool, Vec<f32>) {
        let n = first.dims()[0];
        let second = self.images("b", n, size);
        let run = |images: Tensor<4>| {
            let mut budget = Budget::of_trial(&self.limits, images.dims()[0], size);
            self.run(images, &mut budget).ok()
        };
        let mut apart = values(alone);
        let Some(other) = run(second.clone()) else { return (false, apart) };
        apart.extend(values(other));
        let together = run(Tensor::cat(vec![first, second], 0));
        (together.is_some_and(|t| agree(&values(t), &apart)), apart)
    }

    /// Sees whether the scores are finite on an image of zeros and, with those of other images, whether they are
    /// probabilities.
    fn judge(&mut self, others: Vec<f32>, size: [usize; 2], options: &Options) -> Result<(), Error> {
        let [h, w] = size;
        let own = self.info.batch.unwrap_or(1);
        let n = if self.info.one_by_one || own <= LARGE_BATCH { own } else { 1 };
        let zeros = Tensor::zeros([n, h, w, self.info.channels], &self.device);
        let mut budget = Budget::of_trial(&self.limits, n, size);
        let of_zeros = values(self.run(zeros, &mut budget)?);
        let finite = |values: &[f32]| values.iter().all(|v| v.is_finite());
        if !finite(&of_zeros) {
            let message = match &self.not_finite {
                Some((name, value)) => {
                    format!("the classifier's weights hold {value} in `{}`", shown_text(name))
                }
                None => "the scores are not finite on an image of zeros".to_owned(),
            };
            // Some divide by what an image of one colour has none of.
            if message.contains("weights") || !finite(&others) {
                return Err(Error::NotFinite { path: self.path.clone(), message });
            }
            self.info.notes.push(message);
        }
        let probabilities = are_probabilities(&[of_zeros, others].concat(), self.info.classes);
        let output = shown_text(&self.info.output).to_string();
        match options.scores {
            Some(_) => {}
            None if probabilities && !self.info.softmax_removed => {
                self.info.scores = Scores::Probabilities;
                self.info.notes.push(format!(
                    "the scores in `{output}` are probabilities: none is negative, and those of an image add up to 1. Their \
                     logarithms are used as logits; --scores logits takes them as they are"
                ));
            }
            None => {}
        }
        if self.info.channels == 1 {
            let note = "the input is grey: of a colour it is fed the luma, (299 R + 587 G + 114 B) / 1000";
            self.info.notes.push(note.into());
        }
        if self.info.bytes {
            let note = "the input takes bytes, 0 to 255: mean, standard deviation and range are its own";
            self.info.notes.push(note.into());
        }
        Ok(())
    }

    /// Images to try, all values drawn.
    fn images(&self, label: &str, n: usize, [h, w]: [usize; 2]) -> Tensor<4> {
        let channels = self.info.channels;
        let mut stream = Stream::new(0, &["onnx", "trial", label]);
        let values = (0..n * h * w * channels).map(|_| {
            let value = stream.normal_f32();
            if self.info.bytes { (128.0 + 64.0 * value).clamp(0.0, 255.0).round() } else { value }
        });
        let values: Vec<f32> = values.collect();
        Tensor::from_data(TensorData::new(values, [n, h, w, channels]), &self.device)
    }
}

/// Heights and widths to try: the file's own, else the one that is asked for, then the usual ones.
fn sizes(input: &ImageInput, wanted: Option<[usize; 2]>) -> Vec<[usize; 2]> {
    let [_, height, width] = input.sizes;
    let with = |[h, w]: [usize; 2]| [height.unwrap_or(h), width.unwrap_or(w)];
    let usual = SIZES.map(|s| match (height, width) {
        (None, None) => [s, s],
        (h, w) => [h.or(w).unwrap_or(s), w.or(h).unwrap_or(s)],
    });
    let mut sizes: Vec<[usize; 2]> = Vec::new();
    for size in wanted.map(with).into_iter().chain(usual) {
        if !sizes.contains(&size) {
            sizes.push(size);
        }
    }
    sizes
}

/// Whether all rows of `scores` are probabilities of so many classes: none negative, their sum 1; and not all of one class
/// alone, which steps give and no softmax.
fn are_probabilities(scores: &[f32], classes: usize) -> bool {
    let steps = scores.iter().all(|&v| v == 0.0 || v == 1.0);
    let row = |row: &[f32]| row.iter().all(|&v| v >= 0.0) && (row.iter().sum::<f32>() - 1.0).abs() <= SUM;
    classes > 1 && !steps && scores.chunks(classes).all(row)
}

fn values(x: Tensor<2>) -> Vec<f32> {
    x.into_data().try_to_vec::<f32>().unwrap_or_default()
}

/// Whether two results are one but for rounding.
fn agree(a: &[f32], b: &[f32]) -> bool {
    let scale = b.iter().filter(|v| v.is_finite()).fold(1.0f32, |m, v| m.max(v.abs()));
    let same = |(a, b): (&f32, &f32)| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-3 * scale;
    !a.is_empty() && a.len() == b.len() && a.iter().zip(b).all(same)
}

#[cfg(test)]
mod tests {
    use super::are_probabilities;

    #[test]
    fn probabilities_are_told_by_their_values() {
        assert!(are_probabilities(&[0.25, 0.75, 0.5, 0.5], 2));
        assert!(!are_probabilities(&[0.25, 0.75, 0.5, 0.6], 2));
        assert!(!are_probabilities(&[1.25, -0.25, 0.5, 0.5], 2));
        assert!(!are_probabilities(&[0.0, 1.0, 1.0, 0.0], 2));
        assert!(!are_probabilities(&[f32::NAN, 1.0], 2));
        assert!(!are_probabilities(&[1.0, 1.0], 1));
    }
}
