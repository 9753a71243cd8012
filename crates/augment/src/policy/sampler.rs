//! Training images by an estimated policy.

use std::ops::RangeInclusive;

use dyntta_image::{Rgb8, Stream};
use dyntta_ops::ops::low_pass::LowPass;
use dyntta_ops::ops::{Opposite, RadialFilter};
use dyntta_ops::{Bank, Magnitude, Mapping, Op};

use super::{Distribution, Policy, PolicyOp};
use crate::bank;

/// Which way the augmentations of a policy go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// As the enhancer applies them, at the factors that it gives them: towards what mends the domain's images.
    Mend,
    /// The other way round, from a clean image towards the domain's, which is what a classifier has to get used to:
    /// - a factor f becomes n²/f for factors that multiply, 2n - f for those that add, n its neutral value;
    /// - a frequency filter stands for the band above its radius r: clean images are given the domain's strength there (the
    ///   `change` of `low_pass_r`), by noise where the domain has more and by weakening the band where it has less;
    /// - `auto_contrast` and `equalize` become less contrast about the mean, evenly down to a tenth;
    /// - `invert` stays.
    Invert,
}

/// How [`PolicyAugment`] draws.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyOptions {
    /// Which way.
    pub direction: Direction,
    /// How far what is done stands from doing nothing: 1 as estimated, 0 nothing, 2 twice as far (as the power of a factor
    /// that multiplies).
    pub strength: f64,
    /// The share of images that are augmented; the others stay as they are, which keeps a classifier good on clean images.
    pub share: f64,
    /// The least and the greatest number of augmentations that an image goes through, all equally likely.
    pub depth: RangeInclusive<usize>,
}

impl Default for PolicyOptions {
    fn default() -> Self {
        Self { direction: Direction::Invert, strength: 1.0, share: 0.15, depth: 1..=3 }
    }
}

/// Augments by an estimated policy: an image goes through a few of its operations one after the other, each chosen by its
/// weight, at a factor from its distribution.
#[derive(Clone, Debug)]
pub struct PolicyAugment {
    options: PolicyOptions,
    actions: Vec<Action>,
    /// The running sums of the actions' shares; the last is 1.
    cumulative: Vec<f64>,
}

/// What is done for an op of the policy.
#[derive(Clone, Debug)]
enum Action {
    /// The op without a factor, or at a factor from its distribution.
    Op { bank: Bank, factor: Option<(Magnitude, Distribution)> },
    /// The band above the radius of a low-pass, from its strength in clean images to that in the domain's.
    Band { low_pass: String, domain: Distribution, clean: Distribution },
    /// Contrast lowered about the mean.
    Fade,
}

/// What is drawn for one augmentation of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    /// The index of the action.
    action: usize,
    /// Which share of a distribution it takes its value from.
    quantile: f64,
    /// Names the noise.
    seed: u64,
}

impl PolicyAugment {
    /// Draws from `policy`. Augmentations that can't be gone through have no part in it: `urie` and `identity`; and with
    /// [`Direction::Invert`] filters whose `change` is not known, over the domain and over clean images. `None` if nothing is
    /// left.
    pub fn new(policy: &Policy, options: PolicyOptions) -> Option<Self> {
        let weighted: Vec<(f64, Action)> = policy
            .top(usize::MAX)
            .into_iter()
            .filter_map(|op| Some((op.weight, Action::of(op, policy, options.direction)?)))
            .collect();
        let total: f64 = weighted.iter().map(|(weight, _)| weight).sum();
        let mut sum = 0.0;
        let (cumulative, actions) = weighted
            .into_iter()
            .map(|(weight, action)| {
                sum += weight / total;
                (sum, action)
            })
            .unzip();
        (total > 0.0).then_some(Self { options, actions, cumulative })
    }

    /// `image` augmented, with all that is random drawn from `stream`. Any size; the size is kept.
    pub fn apply(&self, image: &Rgb8, stream: &mut Stream) -> Rgb8 {
        let mut out = image.clone();
        for step in self.draw(stream) {
            self.actions[step.action].apply(&mut out, step, self.options.direction, self.options.strength);
        }
        out
    }

    fn draw(&self, stream: &mut Stream) -> Vec<Step> {
        let PolicyOptions { share, depth, .. } = &self.options;
        if stream.uniform() >= *share {
            return Vec::new();
        }
        let (least, most) = (*depth.start(), *depth.end());
        let count = least + stream.below(most.saturating_sub(least) + 1);
        let step = |_| {
            let at = stream.uniform();
            let last = self.actions.len() - 1;
            let action = self.cumulative.iter().position(|&sum| at < sum).unwrap_or(last);
            Step { action, quantile: stream.uniform(), seed: stream.next_u64() }
        };
        (0..count).map(step).collect()
    }
}

impl Action {
    fn of(op: &PolicyOp, policy: &Policy, direction: Direction) -> Option<Self> {
        let found = dyntta_ops::bank::op(&op.name)?;
        match (direction, found.opposite()) {
            (Direction::Invert, Opposite::Band(radius)) => {
                let low_pass = LowPass::new(radius).name().to_owned();
                let is_it = |name: &str| dyntta_ops::bank::op(name).is_some_and(|op| op.name() == low_pass);
                let band = policy.ops.iter().find(|op| is_it(&op.name))?;
                let (domain, clean) = (band.change.clone()?, band.clean_change.clone()?);
                Some(Self::Band { low_pass, domain, clean })
            }
            (Direction::Invert, Opposite::Fade) => Some(Self::Fade),
            _ => {
                let bank = Bank::from_names(&[&op.name]).ok()?;
                let factor = match (bank.op(0)?.magnitude(), &op.factor) {
                    (None, _) => None,
                    (Some(magnitude), Some(factors)) => Some((magnitude, factors.clone())),
                    (Some(_), None) => return None,
                };
                Some(Self::Op { bank, factor })
            }
        }
    }

    fn apply(&self, image: &mut Rgb8, step: Step, direction: Direction, strength: f64) {
        match self {
            Self::Op { bank, factor: None } => bank::alone(image, bank, 0, 0.0),
            Self::Op { bank, factor: Some((magnitude, factors)) } => {
                let estimated = factors.at(step.quantile);
                let factor = moved(*magnitude, estimated, direction, strength);
                bank::alone(image, bank, 0, magnitude.raw(factor as f32));
            }
            Self::Fade => {
                let kept = 1.0 - (0.9 * step.quantile * strength).min(1.0);
                fade(image, kept as f32);
            }
            Self::Band { low_pass, domain, clean } => {
                let (domain, clean) = (domain.at(step.quantile), clean.at(step.quantile));
                if domain <= clean {
                    let taken = (strength * (1.0 - domain / clean.max(f64::MIN_POSITIVE))).clamp(0.0, 1.0);
                    weaken_above(image, low_pass, taken as f32);
                } else {
                    let missing = (domain * domain - clean * clean).sqrt();
                    add_noise_above(image, low_pass, strength * missing, step.seed);
                }
            }
        }
    }
}

/// The factor that is applied for an estimated one: `strength` times as far from neutral, in the direction; strictly inside
/// its range, whose ends no raw value gives.
fn moved(magnitude: Magnitude, estimated: f64, direction: Direction, strength: f64) -> f64 {
    let neutral = f64::from(magnitude.neutral);
    let times = match direction {
        Direction::Mend => strength,
        Direction::Invert => -strength,
    };
    let factor = match magnitude.mapping {
        Mapping::Tanh { .. } => neutral + times * (estimated - neutral),
        // They multiply. Zero has no inverse: what is next to it goes to the other end.
        Mapping::Sigmoid { .. } => neutral * (estimated / neutral).max(1e-6).powf(times),
    };
    let (low, high) = magnitude.range();
    let (low, high) = (f64::from(low), f64::from(high));
    let edge = 1e-4 * (high - low);
    factor.clamp(low + edge, high - edge)
}

/// Brings every value towards the mean of all: `kept` of the difference stays.
fn fade(image: &mut Rgb8, kept: f32) {
    let mean = image.data().iter().map(|&v| f64::from(v)).sum::<f64>() / image.data().len() as f64;
    let mean = mean as f32;
    image.data_mut().iter_mut().for_each(|v| *v = level(mean + kept * (f32::from(*v) - mean)));
}

/// Takes `taken` (0 to 1) of what a low-pass takes away.
fn weaken_above(image: &mut Rgb8, low_pass: &str, taken: f32) {
    let mut low = image.clone();
    bank::filter(&mut low, low_pass);
    for (v, &l) in image.data_mut().iter_mut().zip(low.data()) {
        *v = level(f32::from(*v) + taken * (f32::from(l) - f32::from(*v)));
    }
}

/// Adds Gaussian noise without what a low-pass keeps; `rms` is its root mean square, values from 0 to 1.
fn add_noise_above(image: &mut Rgb8, low_pass: &str, rms: f64, seed: u64) {
    let mut stream = Stream::new(seed, &["noise"]);
    // As an image about the middle level, with room for four standard deviations each way, so that the bank can filter it.
    const ONE: f32 = 30.0;
    let noise: Vec<u8> = image.data().iter().map(|_| level(128.0 + ONE * stream.normal_f32())).collect();
    let mut low = Rgb8::new(image.width(), image.height(), noise.clone()).expect("three bytes a pixel");
    bank::filter(&mut low, low_pass);
    let above: Vec<f32> =
        noise.iter().zip(low.data()).map(|(&all, &low)| f32::from(all) - f32::from(low)).collect();
    let squares = above.iter().map(|&v| f64::from(v * v)).sum::<f64>();
    if squares == 0.0 {
        return; // an image too small to have anything above the radius
    }
    let scale = (255.0 * rms / (squares / above.len() as f64).sqrt()) as f32;
    image.data_mut().iter_mut().zip(above).for_each(|(v, noise)| *v = level(f32::from(*v) + scale * noise));
}

/// To the nearest of the 256 levels.
fn level(value: f32) -> u8 {
    (value + 0.5).clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(values: [f64; 7]) -> Distribution {
        Distribution { mean: values[3], quantiles: values }
    }

    fn op(name: &str, weight: f64) -> PolicyOp {
        PolicyOp::new(name, weight)
    }

    fn policy(ops: Vec<PolicyOp>) -> Policy {
        Policy { ops, ..Policy::default() }
    }

    fn noise(width: usize, height: usize) -> Rgb8 {
        let mut stream = Stream::new(3, &["policy"]);
        Rgb8::new(
            width,
            height,
            (0..width * height * 3).map(|_| 64 + (stream.next_u32() % 128) as u8).collect(),
        )
        .unwrap()
    }

    /// Ops by their weights, factors by their quantiles, depths evenly, and the share of images that stay.
    #[test]
    fn draws_have_the_policys_distribution() {
        let rotate = PolicyOp {
            factor: Some(distribution([-20.0, -10.0, 0.0, 4.0, 8.0, 12.0, 16.0])),
            ..op("rotate", 0.5)
        };
        let ops = vec![rotate, op("invert", 0.25), op("urie", 1.0), op("equalize", 0.05)];
        let augment = PolicyAugment::new(&policy(ops), PolicyOptions::default()).unwrap();
        let n = 40_000;
        let (mut stays, mut depths, mut chosen) = (0usize, [0usize; 4], [0usize; 3]);
        let mut factors = Vec::new();
        for i in 0..n {
            let steps = augment.draw(&mut Stream::new(0, &["draws", &i.to_string()]));
            depths[steps.len()] += 1;
            stays += usize::from(steps.is_empty());
            for step in steps {
                chosen[step.action] += 1;
                if let Action::Op { factor: Some((magnitude, found)), .. } = &augment.actions[step.action] {
                    // What is applied is the mirror image of what was estimated.
                    let factor = found.at(step.quantile);
                    let applied = moved(*magnitude, factor, Direction::Invert, 1.0);
                    assert!((applied + factor).abs() < 1e-9);
                    factors.push(factor);
                }
            }
        }
        // Allowed are five standard deviations of a binomial.
        let fits = |count: usize, of: usize, p: f64| {
            let of = of as f64;
            (count as f64 - of * p).abs() < 5.0 * (of * p * (1.0 - p)).sqrt()
        };
        assert!(fits(stays, n, 0.85), "{stays}");
        assert!(depths[1..].iter().all(|&d| fits(d, n, 0.15 / 3.0)), "{depths:?}");
        let all: usize = chosen.iter().sum();
        for (count, p) in chosen.into_iter().zip([0.5 / 0.8, 0.25 / 0.8, 0.05 / 0.8]) {
            assert!(fits(count, all, p), "{chosen:?}");
        }
        let below = |limit: f64| factors.iter().filter(|f| **f <= limit).count();
        for (limit, p) in [(-10.0, 0.05), (0.0, 0.25), (2.0, 0.375), (4.0, 0.5), (8.0, 0.75), (12.0, 0.95)] {
            assert!(fits(below(limit), factors.len(), p), "{limit}: {} of {}", below(limit), factors.len());
        }
    }

    #[test]
    fn the_stream_decides_and_nothing_else() {
        let band = PolicyOp {
            change: Some(distribution([0.1; 7])),
            clean_change: Some(distribution([0.05; 7])),
            ..op("low_pass_0.50", 1.0)
        };
        let options = PolicyOptions { share: 1.0, ..PolicyOptions::default() };
        let augment = PolicyAugment::new(&policy(vec![band]), options).unwrap();
        let image = noise(17, 13);
        let run = |seed, epoch: &str, path| augment.apply(&image, &mut Stream::new(seed, &[epoch, path]));
        let base = run(0, "1", "a.png");
        assert_eq!(base, run(0, "1", "a.png"));
        for other in [run(1, "1", "a.png"), run(0, "2", "a.png"), run(0, "1", "b.png")] {
            assert!(other != base);
        }
    }

    #[test]
    fn factors_are_inverted_and_scaled_about_neutral() {
        let of = |name: &str| dyntta_ops::bank::op(name).unwrap().magnitude().unwrap();
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-5, "{a} and {b}");
        near(moved(of("brightness"), 0.2, Direction::Invert, 1.0), -0.2);
        near(moved(of("brightness"), 0.2, Direction::Mend, 0.5), 0.1);
        near(moved(of("scale"), 1.1, Direction::Invert, 2.0), 0.8);
        near(moved(of("contrast"), 2.0, Direction::Invert, 1.0), 0.5);
        near(moved(of("contrast"), 2.0, Direction::Mend, 0.5), 2.0f64.sqrt());
        near(moved(of("gamma"), 0.5, Direction::Invert, 0.0), 1.0);
        // Ends of the range stay just inside it.
        for (name, estimated, end) in
            [("saturation", 0.0, 5.0), ("sharpness", 10.0, 0.1), ("rotate", 30.0, -30.0)]
        {
            let found = moved(of(name), estimated, Direction::Invert, 1.0);
            assert!((found - end).abs() < 0.01 && of(name).raw(found as f32).is_finite(), "{name}: {found}");
        }
    }

    /// Noise and weakening bring a clean band to the domain's strength.
    #[test]
    fn a_band_gets_the_domains_strength() {
        let strength = |image: &Rgb8| {
            let mut low = image.clone();
            bank::filter(&mut low, "low_pass_0.50");
            let difference = |(a, b): (&u8, &u8)| (f64::from(*a) - f64::from(*b)) / 255.0;
            let squares = image.data().iter().zip(low.data()).map(difference).map(|d| d * d);
            (squares.sum::<f64>() / image.data().len() as f64).sqrt()
        };
        // A band of known strength on grey.
        let mut clean = Rgb8::new(64, 48, vec![128; 64 * 48 * 3]).unwrap();
        add_noise_above(&mut clean, "low_pass_0.50", 0.06, 1);
        let before = strength(&clean);
        assert!((before - 0.06).abs() < 0.002, "{before}");
        for domain in [0.1, 0.06, 0.02, 0.0] {
            let action = Action::Band {
                low_pass: "low_pass_0.50".into(),
                domain: distribution([domain; 7]),
                clean: distribution([0.06; 7]),
            };
            let step = Step { action: 0, quantile: 0.3, seed: 7 };
            let mut image = clean.clone();
            action.apply(&mut image, step, Direction::Invert, 1.0);
            assert!((strength(&image) - domain).abs() < 0.004, "{domain}: {}", strength(&image));
            let mut image = clean.clone();
            action.apply(&mut image, step, Direction::Invert, 0.0);
            assert!((strength(&image) - before).abs() < 0.001);
        }
    }

    #[test]
    fn every_op_goes_both_ways_at_any_size() {
        let filters = ["low_pass_0.05", "low_pass_0.50", "high_pass_0.50"];
        let names =
            ["rotate", "scale", "saturation", "contrast", "sharpness", "brightness", "auto_contrast", "hue"];
        for name in names.into_iter().chain(["equalize", "invert", "gamma"]).chain(filters) {
            let magnitude = dyntta_ops::bank::op(name).unwrap().magnitude();
            let tested = PolicyOp {
                factor: magnitude.map(|m| {
                    let (low, high) = (f64::from(m.range().0), f64::from(m.range().1));
                    distribution([low, low, low, f64::from(m.neutral), high, high, high])
                }),
                change: Some(distribution([0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.9])),
                clean_change: Some(distribution([0.05; 7])),
                ..op(name, 1.0)
            };
            let band = PolicyOp { name: "low_pass_0.50".into(), weight: 0.0, ..tested.clone() };
            for direction in [Direction::Mend, Direction::Invert] {
                let options = PolicyOptions { direction, share: 1.0, ..PolicyOptions::default() };
                let augment =
                    PolicyAugment::new(&policy(vec![tested.clone(), band.clone()]), options).unwrap();
                for (w, h) in [(1, 1), (1, 7), (5, 2), (32, 32), (31, 17)] {
                    let image = noise(w, h);
                    for i in 0..6 {
                        let out = augment.apply(&image, &mut Stream::new(i, &[name]));
                        assert_eq!((out.width(), out.height()), (w, h), "{name}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_gone_through_has_no_part() {
        let new = |ops| PolicyAugment::new(&policy(ops), PolicyOptions::default());
        assert!(new(vec![op("urie", 0.5), op("identity", 0.5)]).is_none());
        assert!(new(vec![op("low_pass_0.50", 1.0)]).is_none(), "its band's strength is not known");
        assert_eq!(new(vec![op("low_pass_0.50", 1.0), op("invert", 0.1)]).unwrap().actions.len(), 1);
        assert!(new(vec![op("invert", 0.0)]).is_none());
    }
}
