//! An augmentation policy: which augmentations of the bank a domain asks for, how much and how strong, as DynTTA's decisions
//! on its images tell (Enomoto et al., IEEE Access 2024, arXiv 2212.04681).
//!
//! [`Policy`] is what was estimated, a TOML file made to be read and edited, and [a picture](Policy::picture);
//! [`PolicyAugment`] augments training images with it.

mod file;
mod picture;
mod sampler;

use std::collections::BTreeMap;

pub use sampler::{Direction, PolicyAugment, PolicyOptions};

/// The shares of a distribution at which [`Distribution::quantiles`] stand.
pub const QUANTILES: [f64; 7] = [0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0];

/// An estimated policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// What it was estimated from, for people: any keys.
    pub about: BTreeMap<String, String>,
    /// The augmentations in the order of the bank.
    pub ops: Vec<PolicyOp>,
    /// The same by parts of the data, where they are known.
    pub groups: Vec<PolicyGroup>,
}

/// One augmentation of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyOp {
    /// Its name in the bank.
    pub name: String,
    /// The mean of its blend weight over the domain's images.
    pub weight: f64,
    /// The distribution of its factor there; `None` for augmentations without one.
    pub factor: Option<Distribution>,
    /// How much it changes the domain's images, the distribution over them: the root mean square of the difference between an
    /// image, values from 0 to 1, and what the augmentation makes of it.
    pub change: Option<Distribution>,
    /// The mean of its blend weight over clean images, where they were at hand.
    pub clean_weight: Option<f64>,
    /// The distribution of its factor over clean images.
    pub clean_factor: Option<Distribution>,
    /// How much it changes clean images.
    pub clean_change: Option<Distribution>,
}

impl PolicyOp {
    /// An op of which no more is known.
    pub fn new(name: impl Into<String>, weight: f64) -> Self {
        Self {
            name: name.into(),
            weight,
            factor: None,
            change: None,
            clean_weight: None,
            clean_factor: None,
            clean_change: None,
        }
    }
}

/// The distribution of a number over images. A factor's counts each image by the blend weight that it gave the augmentation.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// The mean.
    pub mean: f64,
    /// The values that [`QUANTILES`] of the distribution are not above.
    pub quantiles: [f64; 7],
}

impl Distribution {
    /// The distribution of (value, weight); `None` if nothing has any weight.
    pub fn of(weighted: &mut [(f64, f64)]) -> Option<Self> {
        weighted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total: f64 = weighted.iter().map(|w| w.1).sum();
        if weighted.is_empty() || total <= 0.0 {
            return None;
        }
        let quantile = |share: f64| {
            let mut sum = 0.0;
            for &(factor, weight) in weighted.iter() {
                sum += weight;
                if sum >= share * total && weight > 0.0 {
                    return factor;
                }
            }
            weighted[weighted.len() - 1].0
        };
        let mean = weighted.iter().map(|(factor, weight)| factor * weight).sum::<f64>() / total;
        Some(Self { mean, quantiles: QUANTILES.map(quantile) })
    }

    /// The value that `share` (0 to 1) of the distribution is not above: straight between the quantiles.
    pub fn at(&self, share: f64) -> f64 {
        let i = QUANTILES.windows(2).position(|pair| share <= pair[1]).unwrap_or(QUANTILES.len() - 2);
        let between = (share - QUANTILES[i]) / (QUANTILES[i + 1] - QUANTILES[i]);
        let (low, high) = (self.quantiles[i], self.quantiles[i + 1]);
        low + (high - low) * between.clamp(0.0, 1.0)
    }
}

/// The mean blend weights over a part of the domain.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyGroup {
    /// What makes the part: `class` or `corruption`.
    pub by: String,
    /// Its name.
    pub name: String,
    /// How many images it has.
    pub images: usize,
    /// The mean blend weight by augmentation; those that are left out have next to none.
    pub weights: BTreeMap<String, f64>,
}

impl Policy {
    /// The `k` augmentations of largest weight, the largest first; equal ones in the bank's order.
    pub fn heaviest(&self, k: usize) -> Vec<&PolicyOp> {
        let mut ops: Vec<&PolicyOp> = self.ops.iter().filter(|op| op.weight > 0.0).collect();
        ops.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        ops.truncate(k);
        ops
    }

    /// The `k` operations of largest weight: [`Policy::heaviest`] without networks and `identity`, which are nothing to train
    /// with.
    pub fn top(&self, k: usize) -> Vec<&PolicyOp> {
        let mut ops = self.heaviest(usize::MAX);
        ops.retain(|op| is_operation(&op.name));
        ops.truncate(k);
        ops
    }
}

/// Whether a name of the bank is an operation on an image that changes it.
fn is_operation(name: &str) -> bool {
    name != "identity" && dyntta_ops::bank::op(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_weighted_quantiles() {
        let mut even: Vec<(f64, f64)> = (0..=100).rev().map(|i| (f64::from(i), 1.0)).collect();
        let factors = Distribution::of(&mut even).unwrap();
        assert!((factors.mean - 50.0).abs() < 1e-9);
        assert_eq!(factors.quantiles, [0.0, 5.0, 25.0, 50.0, 75.0, 95.0, 100.0]);
        for share in [0.0, 0.05, 0.1, 0.33, 0.5, 0.9, 1.0] {
            assert!((factors.at(share) - 100.0 * share).abs() < 1e-9, "{share}");
        }
        // What has no weight doesn't count.
        let mut uneven = vec![(1.0, 0.0), (2.0, 3.0), (3.0, 1.0), (9.0, 0.0)];
        let factors = Distribution::of(&mut uneven).unwrap();
        assert_eq!(factors.mean, 2.25);
        assert_eq!(factors.quantiles, [2.0, 2.0, 2.0, 2.0, 2.0, 3.0, 3.0]);
        assert_eq!(Distribution::of(&mut [(1.0, 0.0)]), None);
        assert_eq!(Distribution::of(&mut []), None);
    }

    #[test]
    fn the_top_has_operations_only() {
        let op = |name: &str, weight| PolicyOp::new(name, weight);
        let ops = vec![
            op("invert", 0.1),
            op("equalize", 0.1),
            op("auto_contrast", 0.3),
            op("urie", 0.4),
            op("identity", 0.1),
            op("low_pass_0.50", 0.0),
        ];
        let policy = Policy { ops, ..Policy::default() };
        let names: Vec<&str> = policy.top(4).iter().map(|op| op.name.as_str()).collect();
        assert_eq!(names, ["auto_contrast", "invert", "equalize"]);
        assert_eq!(policy.top(1).len(), 1);
    }
}
