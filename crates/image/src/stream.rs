use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Gamma, StandardNormal};
use sha2::{Digest, Sha256};

/// A random stream that is fixed by a seed and a list of labels.
///
/// Two streams with the same seed and labels are the same on every platform, whatever else ran before and on however
/// many threads; any difference gives an unrelated stream. So a label names what is drawn for: the image's relative
/// path, the corruption, the epoch.
///
/// ChaCha8 keyed by SHA-256 of the seed and the labels.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of `seed` and `labels`.
    pub fn new(seed: u64, labels: &[&str]) -> Self {
        let mut hash = Sha256::new();
        hash.update(seed.to_le_bytes());
        for label in labels {
            // The length keeps ["ab", "c"] apart from ["a", "bc"].
            hash.update((label.len() as u64).to_le_bytes());
            hash.update(label.as_bytes());
        }
        Self(ChaCha8Rng::from_seed(hash.finalize().into()))
    }

    /// 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// 32 uniform bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Uniform in `[0, 1)`, 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `[0, 1)`, 24 bits.
    pub fn uniform_f32(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 * (1.0 / (1u32 << 24) as f32)
    }

    /// Uniform in `[low, high)`.
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Uniform among `0..n`, without bias.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "no number is below 0");
        // Lemire's method: reject the short interval that would be drawn once too often.
        let n = n as u64;
        loop {
            let wide = u128::from(self.next_u64()) * u128::from(n);
            if (wide as u64) >= n.wrapping_neg() % n {
                return (wide >> 64) as usize;
            }
        }
    }

    /// A standard normal deviate.
    pub fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }

    /// A standard normal deviate.
    pub fn normal_f32(&mut self) -> f32 {
        StandardNormal.sample(&mut self.0)
    }

    /// A draw from the Gamma distribution of this shape (positive) and scale 1.
    ///
    /// # Panics
    /// If `shape` is not positive and finite.
    pub fn gamma(&mut self, shape: f64) -> f64 {
        Gamma::new(shape, 1.0).expect("a positive shape").sample(&mut self.0)
    }

    /// A draw from any distribution of `rand_distr`.
    pub fn sample<T>(&mut self, distribution: &impl Distribution<T>) -> T {
        distribution.sample(&mut self.0)
    }

    /// Shuffles `items`, every order equally likely (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_boundary_matters() {
        let draw = |labels: &[&str]| Stream::new(1, labels).next_u64();
        assert_eq!(draw(&["ab", "c"]), draw(&["ab", "c"]));
        assert_ne!(draw(&["ab", "c"]), draw(&["a", "bc"]));
        assert_ne!(draw(&["ab"]), Stream::new(2, &["ab"]).next_u64());
    }

    #[test]
    fn below_is_even() {
        let mut stream = Stream::new(0, &[]);
        let mut counts = [0usize; 7];
        for _ in 0..70_000 {
            counts[stream.below(7)] += 1;
        }
        // Five standard deviations of a binomial of 70,000 draws.
        assert!(counts.iter().all(|&c| c.abs_diff(10_000) < 463), "{counts:?}");
    }

    #[test]
    fn moments_are_those_of_the_distribution() {
        let mut stream = Stream::new(3, &["moments"]);
        let n = 100_000;
        let (mut u, mut m, mut v) = (0.0, 0.0, 0.0);
        for _ in 0..n {
            u += stream.uniform();
            let z = stream.normal();
            m += z;
            v += z * z;
        }
        let n = f64::from(n);
        assert!((u / n - 0.5).abs() < 0.005);
        assert!((m / n).abs() < 0.016);
        assert!((v / n - 1.0).abs() < 0.025);
    }
}
