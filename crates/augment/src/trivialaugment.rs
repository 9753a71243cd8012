//! TrivialAugment (Wide): one operation at any magnitude. Source: Müller & Hutter, "TrivialAugment: Tuning-free Yet
//! State-of-the-Art Data Augmentation", ICCV 2021, arXiv 2103.10158.

use dyntta_image::{Rgb8, Stream};

use crate::space::{Draw, Magnitudes, Operation, operations};

pub(crate) static OPERATIONS: [Operation; 14] =
    operations(0.99, [Magnitudes::EitherWay(32.0), Magnitudes::EitherWay(32.0)], 135.0, 0.99, 6.0);

/// How TrivialAugment draws: [`TrivialAugment::default`] is torchvision's.
///
/// An image goes through one of fourteen operations, chosen evenly, at one of the magnitudes, chosen evenly, in a direction
/// drawn evenly where it has two. They and their magnitudes are those of torchvision's `TrivialAugmentWide`, with its pixels
/// of PIL images: the nearest pixel where pixels move, and black where the image does not reach. Translations are in pixels,
/// up to 32 whatever the image's size.
#[derive(Clone, Debug, PartialEq)]
pub struct TrivialAugment {
    /// The number of magnitudes from the weakest to the strongest, those two included.
    pub bins: usize,
}

impl Default for TrivialAugment {
    fn default() -> Self {
        Self { bins: 31 }
    }
}

impl TrivialAugment {
    /// `image` augmented, with all that is random drawn from `stream`. Any size; the size is kept.
    pub fn apply(&self, image: &Rgb8, stream: &mut Stream) -> Rgb8 {
        let mut out = image.clone();
        self.draw(stream).apply(&mut out, self.bins);
        out
    }

    fn draw(&self, stream: &mut Stream) -> Draw {
        let bin = stream.below(self.bins.max(1));
        Draw::new(&OPERATIONS, bin, stream)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn draws_have_their_distributions() {
        let (policy, n) = (TrivialAugment::default(), 40_000);
        let mut stream = Stream::new(0, &["trivialaugment"]);
        let mut ops = BTreeMap::<&str, usize>::new();
        let (mut bins, mut together) = ([0usize; 31], BTreeMap::<(&str, usize), usize>::new());
        let (mut two_ways, mut reversed) = (0, 0);
        for _ in 0..n {
            let draw = policy.draw(&mut stream);
            *ops.entry(draw.op.name).or_default() += 1;
            bins[draw.bin] += 1;
            *together.entry((draw.op.name, draw.bin)).or_default() += 1;
            let one_way = ["identity", "posterize", "solarize", "auto_contrast", "equalize"];
            if one_way.contains(&draw.op.name) {
                assert!(!draw.reverse);
            } else {
                two_ways += 1;
                reversed += usize::from(draw.reverse);
            }
        }
        // Five standard deviations.
        let even =
            |count: usize, of: f64, p: f64| (count as f64 - of * p).abs() < 5.0 * (of * p * (1.0 - p)).sqrt();
        let n = f64::from(n);
        assert!(ops.len() == 14 && ops.values().all(|&count| even(count, n, 1.0 / 14.0)), "{ops:?}");
        assert!(bins.iter().all(|&count| even(count, n, 1.0 / 31.0)), "{bins:?}");
        assert!(together.len() == 14 * 31 && together.values().all(|&count| even(count, n, 1.0 / 434.0)));
        assert!(even(reversed, f64::from(two_ways), 0.5), "{reversed} of {two_ways}");
    }
}
