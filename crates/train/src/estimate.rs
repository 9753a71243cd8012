//! The augmentations that a domain needs, read off what DynTTA does to its images.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use dyntta_augment::Policy;
use dyntta_augment::policy::{Distribution, PolicyGroup, PolicyOp};
use dyntta_data::{Batch, Dataset};
use dyntta_nn::{DynTta, Mode};
use dyntta_ops::{Bank, View, blend};
use rayon::prelude::*;

use crate::control::{Progress, Stop};
use crate::error::Error;
use crate::images::{Geometry, eval_batches, images};
use crate::scores::NotFinite;
use crate::setting::{Setting, shifted, shifted_by};

/// What DynTTA decided on the images of a domain.
#[derive(Clone, Debug, Default)]
pub struct Decisions {
    /// The bank's names.
    names: Vec<String>,
    /// The blend weights, one row an image.
    weights: Vec<Vec<f32>>,
    /// The factors, one row an image; 0 for augmentations without one.
    factors: Vec<Vec<f32>>,
    /// The mean squares of what each augmentation changes, one row an image; 0 for a network.
    changes: Vec<Vec<f64>>,
    /// Which of the bank's augmentations have a factor.
    has_factor: Vec<bool>,
    /// Which of them are no networks.
    is_op: Vec<bool>,
    /// The parts that each image belongs to, as (kind, name).
    groups: Vec<Vec<(&'static str, String)>>,
}

/// Runs `enhancer` over the images of `data`, shifted by `setting` as in an evaluation with this `seed`, and notes what it
/// decides on each. `corrupted` says that the first part of an image's path is its corruption
/// ([`dyntta_data::CorruptedSet::merged`]).
///
/// An image's decisions do not depend on the batch size beyond rounding.
///
/// # Errors
/// An unreadable image or a request to stop.
pub fn decide(
    enhancer: &DynTta,
    data: &Dataset,
    geometry: Geometry,
    corrupted: bool,
    setting: Setting,
    seed: u64,
    device: &Device,
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<Decisions, Error> {
    let bank = enhancer.bank();
    let mut out = Decisions {
        names: bank.names().map(Into::into).collect(),
        has_factor: (0..bank.len()).map(|k| bank.op(k).is_some_and(|op| op.magnitude().is_some())).collect(),
        is_op: (0..bank.len()).map(|k| bank.op(k).is_some()).collect(),
        ..Decisions::default()
    };
    let change = move |image, path: &str| shifted(image, setting, geometry.preset, seed, path);
    progress.begin("estimating", data.len() as u64, 0);
    for batch in
        eval_batches(Arc::new(data.clone()), (0..data.len()).collect(), geometry, change, geometry.batch())
    {
        stop.check()?;
        let batch = batch?;
        if batch.is_empty() {
            continue; // all its files are broken and skipped
        }
        let enhanced = enhancer.forward(images(&batch, device), Mode::Eval);
        let weights = rows(enhanced.weights);
        let raws = rows(enhanced.raw);
        for decisions in [&weights, &raws] {
            let found = decisions.iter().enumerate().find_map(|(row, values)| {
                values.iter().find(|v| !v.is_finite()).map(|&value| NotFinite { row, value })
            });
            if let Some(bad) = found {
                return Err(bad.error(data, &batch, "the enhancer's decisions", None));
            }
        }
        out.changes.extend(changes(bank, &batch, &raws));
        for (raw, &index) in raws.iter().zip(&batch.indices) {
            out.factors.push(factors(bank, raw));
            let sample = &data.samples[index];
            let mut groups = vec![("class", data.classes[sample.class].clone())];
            let by_path = sample.path.split('/').next().filter(|_| corrupted).map(str::to_owned);
            let by_setting = shifted_by(setting, seed, &sample.path).map(|(c, _)| c.name().to_owned());
            groups.extend(by_path.or(by_setting).map(|name| ("corruption", name)));
            out.groups.push(groups);
        }
        out.weights.extend(weights);
        progress.update(out.weights.len() as u64, "images");
    }
    if out.weights.is_empty() {
        return Err(Error::setting("data", "an image that can be read", "none"));
    }
    progress.end(&format!("{} images", out.weights.len()));
    Ok(out)
}

fn rows(tensor: Tensor<2>) -> Vec<Vec<f32>> {
    let [_, columns] = tensor.dims();
    let values = tensor.into_data().try_to_vec::<f32>().expect("decisions are f32");
    values.chunks_exact(columns).map(<[f32]>::to_vec).collect()
}

fn factors(bank: &Bank, raw: &[f32]) -> Vec<f32> {
    raw.iter().enumerate().map(|(k, &raw)| bank.op(k).map_or(0.0, |op| op.factor(raw))).collect()
}

/// The mean square of what each augmentation of the bank changes, for each image of the batch.
fn changes(bank: &Bank, batch: &Batch, raws: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let size = 3 * batch.height * batch.width;
    let images: Vec<(&[f32], &Vec<f32>)> = batch.images.chunks_exact(size).zip(raws).collect();
    let of_image = |(image, raw): (&[f32], &Vec<f32>)| {
        let view = View::new(image, batch.height, batch.width).expect("an image of the batch");
        let mut augmented = vec![0.0; size];
        let slots = raw.iter().enumerate().map(|(k, &raw)| {
            if bank.op(k).is_none() {
                return 0.0; // the network's image is not at hand
            }
            blend::apply(bank, k, view, raw, &mut augmented).expect("an image of the batch");
            let squares = augmented.iter().zip(image).map(|(a, b)| f64::from(a - b) * f64::from(a - b));
            squares.sum::<f64>() / size as f64
        });
        slots.collect()
    };
    images.into_par_iter().map(of_image).collect()
}

impl Decisions {
    /// The number of images.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// The mean blend weight of augmentation `k` over these images.
    fn weight(&self, k: usize, members: impl ExactSizeIterator<Item = usize>) -> f64 {
        let n = members.len();
        rounded(members.map(|i| f64::from(self.weights[i][k])).sum::<f64>() / n as f64)
    }

    fn factors(&self, k: usize) -> Option<Distribution> {
        let weighted = |i: usize| (f64::from(self.factors[i][k]), f64::from(self.weights[i][k]));
        let mut all: Vec<(f64, f64)> = (0..self.len()).map(weighted).collect();
        if self.has_factor[k] { Distribution::of(&mut all).map(tidy) } else { None }
    }

    /// How much augmentation `k` changes an image.
    fn change(&self, k: usize) -> Option<Distribution> {
        let mut all: Vec<(f64, f64)> = self.changes.iter().map(|row| (row[k].sqrt(), 1.0)).collect();
        if self.is_op[k] { Distribution::of(&mut all).map(tidy) } else { None }
    }

    /// The policy of a domain: mean blend weights and the distributions of factors, and the same over clean images where
    /// they are at hand; the mean weights by class and by corruption where an image's are known.
    pub fn policy(&self, clean: Option<&Self>, about: BTreeMap<String, String>) -> Policy {
        let ops = self.names.iter().enumerate().map(|(k, name)| PolicyOp {
            name: name.clone(),
            weight: self.weight(k, 0..self.len()),
            factor: self.factors(k),
            change: self.change(k),
            clean_weight: clean.map(|c| c.weight(k, 0..c.len())),
            clean_factor: clean.and_then(|c| c.factors(k)),
            clean_change: clean.and_then(|c| c.change(k)),
        });
        let mut parts: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for (i, groups) in self.groups.iter().enumerate() {
            for (by, name) in groups {
                parts.entry((by, name)).or_default().push(i);
            }
        }
        let kinds = |by: &str| parts.keys().filter(|(kind, _)| *kind == by).count();
        // One part that holds everything says nothing new.
        let told = parts.iter().filter(|((by, _), _)| kinds(by) > 1);
        let groups = told.map(|((by, name), members)| PolicyGroup {
            by: (*by).to_owned(),
            name: (*name).to_owned(),
            images: members.len(),
            weights: self
                .names
                .iter()
                .enumerate()
                .map(|(k, op)| (op.clone(), self.weight(k, members.iter().copied())))
                .filter(|(_, weight)| *weight >= LEAST_SHOWN)
                .collect(),
        });
        Policy { about, ops: ops.collect(), groups: groups.collect() }
    }
}

/// The smallest weight that a part of the data lists.
const LEAST_SHOWN: f64 = 0.005;

fn tidy(found: Distribution) -> Distribution {
    Distribution { mean: rounded(found.mean), quantiles: found.quantiles.map(rounded) }
}

/// Six digits: more say nothing, and fewer are easier to read.
fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().expect("a number")
}
