//! RandAugment: some operations one after the other, all at the same magnitude. Source: Cubuk, Zoph, Shlens & Le,
//! "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space", NeurIPS 2020, arXiv 1909.13719.

use dyntta_image::{Rgb8, Stream};

use crate::space::{Draw, Magnitudes, Operation, operations};

pub(crate) static OPERATIONS: [Operation; 14] = operations(
    0.3,
    [Magnitudes::Side(|i| i.width(), 150.0 / 331.0), Magnitudes::Side(|i| i.height(), 150.0 / 331.0)],
    30.0,
    0.9,
    4.0,
);

/// How RandAugment draws: [`RandAugment::default`] is torchvision's.
///
/// An image goes through `ops` operations, each of fourteen chosen evenly, in a direction drawn evenly where it has two.
/// They and their magnitudes are those of torchvision's `RandAugment`, with its pixels of PIL images: the nearest pixel where
/// pixels move, and black where the image does not reach.
#[derive(Clone, Debug, PartialEq)]
pub struct RandAugment {
    /// The number of operations.
    pub ops: usize,
    /// Which of the bins the magnitude is: 0 (the weakest) to `bins - 1`; a greater one means the last.
    pub magnitude: usize,
    /// The number of magnitudes from the weakest to the strongest, those two included.
    pub bins: usize,
}

impl Default for RandAugment {
    fn default() -> Self {
        Self { ops: 2, magnitude: 9, bins: 31 }
    }
}

impl RandAugment {
    /// `image` augmented, with all that is random drawn from `stream`. Any size; the size is kept.
    pub fn apply(&self, image: &Rgb8, stream: &mut Stream) -> Rgb8 {
        let mut out = image.clone();
        for _ in 0..self.ops {
            self.draw(stream).apply(&mut out, self.bins);
        }
        out
    }

    fn draw(&self, stream: &mut Stream) -> Draw {
        Draw::new(&OPERATIONS, self.magnitude, stream)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn draws_have_their_distributions() {
        let (policy, n) = (RandAugment::default(), 20_000);
        let mut stream = Stream::new(0, &["randaugment"]);
        let mut ops = BTreeMap::<&str, [usize; 2]>::new();
        for _ in 0..n {
            let draw = policy.draw(&mut stream);
            assert_eq!(draw.bin, 9);
            ops.entry(draw.op.name).or_default()[usize::from(draw.reverse)] += 1;
        }
        assert_eq!(ops.len(), 14);
        let one_way = ["identity", "posterize", "solarize", "auto_contrast", "equalize"];
        for (op, counts) in ops {
            let ways: f64 = if one_way.contains(&op) { 1.0 } else { 2.0 };
            let (n, p) = (f64::from(n), 1.0 / (14.0 * ways));
            // Five standard deviations.
            let even = |count: usize| (count as f64 - n * p).abs() < 5.0 * (n * p * (1.0 - p)).sqrt();
            assert!(
                even(counts[0]) && (if ways == 1.0 { counts[1] == 0 } else { even(counts[1]) }),
                "{op}: {counts:?}"
            );
        }
    }

    #[test]
    fn operations_follow_each_other() {
        let image = Rgb8::new(31, 17, (0..31 * 17 * 3).map(|i| (i * 37 % 251) as u8).collect()).unwrap();
        for ops in 0..5 {
            let policy = RandAugment { ops, ..RandAugment::default() };
            let mut stream = Stream::new(1, &["chain"]);
            let mut expected = image.clone();
            let mut draws = stream.clone();
            for _ in 0..ops {
                policy.draw(&mut draws).apply(&mut expected, 31);
            }
            assert_eq!(policy.apply(&image, &mut stream), expected);
            assert_eq!(stream.next_u64(), draws.next_u64());
        }
    }
}
