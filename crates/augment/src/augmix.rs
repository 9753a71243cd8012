//! AugMix: an image mixed with what chains of ordinary image operations make of it, to train on more than clean images
//! without knowing what corruptions will come. Source: Hendrycks, Mu, Cubuk, Zoph, Gilmer & Lakshminarayanan, "AugMix: A
//! Simple Data Processing Method to Improve Robustness and Uncertainty", ICLR 2020, arXiv 1912.02781.

mod op;

use std::ops::RangeInclusive;

use dyntta_image::{Rgb8, Stream};
use dyntta_simd::math::nearest;
use dyntta_simd::simd;

pub use op::AugmixOp;

/// How AugMix draws: [`AugMix::default`] is the paper's, with all thirteen operations.
///
/// An image x becomes `(1 - m)·x + m·Σ w_i·chain_i(x)`, m from Beta(1, 1), the weights w from Dirichlet(1, …, 1). A chain
/// is a number of operations one after the other, each chosen evenly, at a level from U(0.1, `severity`) and in a
/// direction drawn evenly where it has two. The operations work on 8-bit images, as [`AugmixOp`] tells; the mixture is
/// rounded to the nearest level.
#[derive(Clone, Debug, PartialEq)]
pub struct AugMix {
    /// The number of chains.
    pub width: usize,
    /// The least and the greatest number of operations in a chain, all equally likely.
    pub depth: RangeInclusive<usize>,
    /// The greatest level, from 0.1 up to 10.
    pub severity: f64,
    /// What chains are made of. None: nothing changes.
    pub ops: Vec<AugmixOp>,
}

impl Default for AugMix {
    fn default() -> Self {
        Self { width: 3, depth: 1..=3, severity: 5.0, ops: AugmixOp::all().collect() }
    }
}

/// What is drawn for one image.
#[derive(Clone, Debug, PartialEq)]
struct Draws {
    /// m: the share of the chains.
    share: f64,
    chains: Vec<Chain>,
}

#[derive(Clone, Debug, PartialEq)]
struct Chain {
    weight: f64,
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    op: AugmixOp,
    level: f64,
    reverse: bool,
}

impl AugMix {
    /// `image` augmented, with all that is random drawn from `stream`. Any size; the size is kept.
    pub fn apply(&self, image: &Rgb8, stream: &mut Stream) -> Rgb8 {
        if self.ops.is_empty() || self.width == 0 {
            return image.clone();
        }
        let draws = self.draw(stream);
        let mut sum = vec![0.0f32; image.data().len()];
        add_scaled(image.data(), (1.0 - draws.share) as f32, &mut sum);
        for chain in &draws.chains {
            let mut augmented = image.clone();
            for step in &chain.steps {
                step.op.apply(&mut augmented, step.level, step.reverse);
            }
            add_scaled(augmented.data(), (draws.share * chain.weight) as f32, &mut sum);
        }
        let mut data = vec![0; sum.len()];
        to_levels(&sum, &mut data);
        Rgb8::new(image.width(), image.height(), data).expect("three bytes a pixel")
    }

    fn draw(&self, stream: &mut Stream) -> Draws {
        let share = stream.uniform();
        // The gaps between sorted uniform draws have the flat Dirichlet distribution, with no logarithm that might round
        // otherwise elsewhere.
        let mut cuts: Vec<f64> = (1..self.width).map(|_| stream.uniform()).collect();
        cuts.sort_by(f64::total_cmp);
        cuts.push(1.0);
        let (least, most) = (*self.depth.start(), *self.depth.end());
        let mut before = 0.0;
        let chains = cuts.into_iter().map(|cut| {
            let weight = cut - before;
            before = cut;
            let depth = least + stream.below(most.saturating_sub(least) + 1);
            let steps = (0..depth).map(|_| Step {
                op: self.ops[stream.below(self.ops.len())],
                level: stream.range(0.1, self.severity),
                reverse: stream.below(2) == 1,
            });
            Chain { weight, steps: steps.collect() }
        });
        Draws { share, chains: chains.collect() }
    }
}

simd! {
    fn add_scaled(levels: &[u8], weight: f32, sum: &mut [f32]) {
        for (s, &v) in sum.iter_mut().zip(levels) {
            *s += weight * f32::from(v);
        }
    }
}

simd! {
    fn to_levels(sum: &[f32], out: &mut [u8]) {
        for (o, &s) in out.iter_mut().zip(sum) {
            *o = nearest(s.clamp(0.0, 255.0)) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(width: usize, height: usize) -> Rgb8 {
        let mut stream = Stream::new(3, &["augmix"]);
        Rgb8::new(width, height, (0..width * height * 3).map(|_| stream.next_u32() as u8).collect()).unwrap()
    }

    #[test]
    fn the_mixture_is_the_formula() {
        let augmix = AugMix { ops: AugmixOp::known().collect(), ..AugMix::default() };
        for (i, (w, h)) in [(1, 1), (1, 7), (5, 2), (31, 17), (32, 32)].into_iter().enumerate() {
            let image = noise(w, h);
            let stream = Stream::new(1, &[&i.to_string()]);
            let fast = augmix.apply(&image, &mut stream.clone());
            assert_eq!((fast.width(), fast.height()), (w, h));
            let draws = augmix.draw(&mut stream.clone());
            let mut exact: Vec<f64> =
                image.data().iter().map(|&v| (1.0 - draws.share) * f64::from(v)).collect();
            for chain in &draws.chains {
                let mut out = image.clone();
                chain.steps.iter().for_each(|s| s.op.apply(&mut out, s.level, s.reverse));
                for (e, &v) in exact.iter_mut().zip(out.data()) {
                    *e += draws.share * chain.weight * f64::from(v);
                }
            }
            for (e, &v) in exact.iter().zip(fast.data()) {
                assert!((e - f64::from(v)).abs() < 0.5001, "{w}x{h}: {e} became {v}");
            }
        }
    }

    #[test]
    fn draws_have_their_distributions() {
        let augmix = AugMix::default();
        let n = 6000;
        let (mut share, mut weight, mut weight_squared) = (0.0, [0.0; 3], [0.0; 3]);
        let mut depths = [0usize; 4];
        let mut ops = std::collections::BTreeMap::<String, usize>::new();
        let (mut steps, mut reversed, mut level) = (0usize, 0usize, 0.0);
        for i in 0..n {
            let draws = augmix.draw(&mut Stream::new(0, &["draws", &i.to_string()]));
            share += draws.share;
            assert_eq!(draws.chains.len(), 3);
            assert!((draws.chains.iter().map(|c| c.weight).sum::<f64>() - 1.0).abs() < 1e-12);
            for (c, chain) in draws.chains.iter().enumerate() {
                assert!(chain.weight >= 0.0);
                weight[c] += chain.weight;
                weight_squared[c] += chain.weight * chain.weight;
                depths[chain.steps.len()] += 1;
                for step in &chain.steps {
                    assert!((0.1..5.0).contains(&step.level));
                    *ops.entry(step.op.to_string()).or_default() += 1;
                    steps += 1;
                    reversed += usize::from(step.reverse);
                    level += step.level;
                }
            }
        }
        let (n, steps) = (f64::from(n), steps as f64);
        // Allowed are five standard deviations of each mean.
        assert!((share / n - 0.5).abs() < 5.0 * (1.0f64 / 12.0 / n).sqrt());
        for c in 0..3 {
            // A component of Dirichlet(1, 1, 1) has the mean 1/3 and the variance 1/18.
            let mean = weight[c] / n;
            assert!((mean - 1.0 / 3.0).abs() < 5.0 * (1.0f64 / 18.0 / n).sqrt(), "{mean}");
            assert!((weight_squared[c] / n - mean * mean - 1.0 / 18.0).abs() < 0.004);
        }
        assert_eq!(depths[0], 0);
        let even =
            |count: usize, of: f64, p: f64| (count as f64 - of * p).abs() < 5.0 * (of * p * (1.0 - p)).sqrt();
        assert!(depths[1..].iter().all(|&d| even(d, 3.0 * n, 1.0 / 3.0)), "{depths:?}");
        assert_eq!(ops.len(), 13);
        assert!(ops.values().all(|&o| even(o, steps, 1.0 / 13.0)), "{ops:?}");
        assert!(even(reversed, steps, 0.5));
        assert!((level / steps - 2.55).abs() < 5.0 * 4.9 / (12.0 * steps).sqrt());
    }

    #[test]
    fn the_stream_decides_and_nothing_else() {
        let augmix = AugMix::default();
        let image = noise(32, 32);
        let run =
            |seed, epoch: &str, path| augmix.apply(&image, &mut Stream::new(seed, &["train", epoch, path]));
        let base = run(0, "1", "cat/1.png");
        assert_eq!(base, run(0, "1", "cat/1.png"));
        for other in [run(1, "1", "cat/1.png"), run(0, "2", "cat/1.png"), run(0, "1", "cat/2.png")] {
            assert!(other != base);
        }
    }

    #[test]
    fn without_operations_nothing_changes() {
        let image = noise(5, 4);
        for augmix in [
            AugMix { ops: Vec::new(), ..AugMix::default() },
            AugMix { width: 0, ..AugMix::default() },
            AugMix { depth: 0..=0, ..AugMix::default() },
        ] {
            assert_eq!(augmix.apply(&image, &mut Stream::new(0, &[])), image);
        }
    }
}
