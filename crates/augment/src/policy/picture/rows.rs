//! Which ops are shown, and in which order.

use super::Policy;

/// Ops with this much of the domain's weights or of the clean ones are shown.
const ENOUGH: f64 = 0.01;
/// Of the ops that have any weight, at least and at most how many are shown.
const SHOWN: [usize; 2] = [8, 20];

/// Shares of the sum of the weights.
#[derive(Clone, Copy, Default)]
pub struct Share {
    pub domain: f64,
    /// 0 where there are no clean images.
    pub clean: f64,
}

impl Share {
    fn sum(shares: impl Iterator<Item = Self>) -> Self {
        shares.fold(Self::default(), |a, b| Self { domain: a.domain + b.domain, clean: a.clean + b.clean })
    }

    pub fn larger(self) -> f64 {
        self.domain.max(self.clean)
    }
}

/// Neighbours: an op, or filters of one family.
pub struct Block {
    /// The family's name and the shares of all its ops, also of those that are not shown, where more than one is.
    pub family: Option<(String, Share)>,
    /// Names and shares.
    pub ops: Vec<(String, Share)>,
}

/// What is shown.
pub struct Rows {
    /// The shares of every op of the policy, in its order.
    pub shares: Vec<Share>,
    /// Whether there are clean weights.
    pub has_clean: bool,
    /// By falling weight over the domain.
    pub blocks: Vec<Block>,
    /// How many ops are summed up, and their sum.
    pub others: Option<(usize, Share)>,
}

impl Rows {
    pub fn of(policy: &Policy) -> Self {
        let domain = shares(policy.ops.iter().map(|op| op.weight));
        let clean = shares(policy.ops.iter().map(|op| op.clean_weight.unwrap_or(0.0)));
        let shares: Vec<Share> =
            domain.into_iter().zip(clean).map(|(domain, clean)| Share { domain, clean }).collect();
        let has_clean = shares.iter().any(|share| share.clean > 0.0);

        let mut order: Vec<usize> = (0..shares.len()).collect();
        order.sort_by(|&a, &b| shares[b].larger().total_cmp(&shares[a].larger()));
        let above = |least: f64| order.iter().filter(|&&i| shares[i].larger() > least).count();
        let mut shown = above(ENOUGH).max(SHOWN[0]).min(above(0.0)).min(SHOWN[1]);
        // One op alone is no sum.
        if shown + 1 == order.len() {
            shown += 1;
        }
        let hidden = order.split_off(shown);
        let others =
            (!hidden.is_empty()).then(|| (hidden.len(), Share::sum(hidden.iter().map(|&i| shares[i]))));

        // Equal blocks stay in the policy's order.
        order.sort_unstable();
        let mut blocks: Vec<(String, Vec<usize>)> = Vec::new();
        for &i in &order {
            let name = family(&policy.ops[i].name).map_or(&*policy.ops[i].name, |(family, _)| family);
            match blocks.iter_mut().find(|block| block.0 == name) {
                Some(block) => block.1.push(i),
                None => blocks.push((name.to_owned(), vec![i])),
            }
        }
        let mut blocks: Vec<Block> = blocks
            .into_iter()
            .map(|(name, mut members)| {
                let radius = |i: usize| family(&policy.ops[i].name).map_or(0.0, |(_, radius)| radius);
                members.sort_by(|&a, &b| radius(a).total_cmp(&radius(b)));
                let family = (members.len() > 1).then(|| {
                    let all = policy.ops.iter().zip(&shares);
                    let all =
                        all.filter(|(op, _)| family(&op.name).is_some_and(|(family, _)| family == name));
                    (name.clone(), Share::sum(all.map(|(_, share)| *share)))
                });
                Block {
                    family,
                    ops: members.iter().map(|&i| (policy.ops[i].name.clone(), shares[i])).collect(),
                }
            })
            .collect();
        let total = |block: &Block| block.family.as_ref().map_or(block.ops[0].1, |family| family.1).domain;
        blocks.sort_by(|a, b| total(b).total_cmp(&total(a)));
        Self { shares, has_clean, blocks, others }
    }

    /// The ops that are shown, in order.
    pub fn ops(&self) -> impl Iterator<Item = &(String, Share)> {
        self.blocks.iter().flat_map(|block| &block.ops)
    }
}

/// The family and the radius of a filter.
fn family(name: &str) -> Option<(&str, f64)> {
    let (family, radius) = name.rsplit_once('_')?;
    Some((family, radius.parse().ok()?))
}

/// Weights as shares of their sum, all 0 if that is; large ones don't overflow.
fn shares(weights: impl Iterator<Item = f64>) -> Vec<f64> {
    let weights: Vec<f64> =
        weights.map(|weight| if weight.is_finite() { weight.max(0.0) } else { 0.0 }).collect();
    let largest = weights.iter().copied().fold(0.0, f64::max);
    if largest == 0.0 {
        return weights;
    }
    let sum: f64 = weights.iter().map(|weight| weight / largest).sum();
    weights.iter().map(|weight| weight / largest / sum).collect()
}
