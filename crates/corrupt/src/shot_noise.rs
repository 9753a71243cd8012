//! Shot noise: Poisson(x·c) / c, each value on its own, c the photons that white gives. Source: Hendrycks & Dietterich
//! 2019.

use dyntta_image::{Rgb8, Stream};

use crate::level::{Level, PerLevel, Table};
use crate::raster::level;
use crate::registry::{Entry, Resources, Suite};

pub(crate) const ENTRY: Entry = Entry {
    name: "shot_noise",
    summary: "The graininess of counting few photons.",
    suite: Suite::Common15,
    random: true,
    apply,
};

/// c, photons for the value 1.
const PHOTONS: Table<u16> = Table { imagenet: [60, 25, 12, 5, 3], cifar: [500, 250, 100, 75, 50] };

fn apply(image: &Rgb8, at: Level, stream: &mut Stream, _: &Resources) -> Rgb8 {
    static SAMPLERS: PerLevel<Sampler> = PerLevel::new();
    let sampler = SAMPLERS.at(at, || Sampler::new(PHOTONS.at(at)));
    let data = image.data().iter().map(|&v| sampler.draw(v, stream.next_u32())).collect();
    Rgb8::new(image.width(), image.height(), data).expect("three bytes a pixel")
}

/// Draws a Poisson count by inverting its distribution function, for the 256 means that an 8-bit image can have.
///
/// Counts above c are all white, so c + 1 outcomes are enough. A guide by the first eight bits of the uniform draw leaves
/// a step or two of linear search (Chen & Asau 1974).
struct Sampler {
    /// `c + 1` a level: P(count ≤ k) · 2³², the last `u32::MAX`.
    cumulative: Vec<u32>,
    /// 256 a level: the least count whose `cumulative` reaches the draw that starts with these bits.
    guide: Vec<u16>,
    /// The 8-bit level of each count.
    output: Vec<u8>,
}

impl Sampler {
    fn new(photons: u16) -> Self {
        let (c, counts) = (f64::from(photons), usize::from(photons) + 1);
        let mut cumulative = Vec::with_capacity(256 * counts);
        let mut guide = Vec::with_capacity(256 * 256);
        for v in 0..=255u8 {
            let mean = f64::from(v) / 255.0 * c;
            let mut p = (-mean).exp();
            let mut sum = 0.0;
            let start = cumulative.len();
            for k in 0..counts {
                sum += p;
                p *= mean / (k + 1) as f64;
                cumulative.push(if k + 1 == counts { u32::MAX } else { (sum * 4_294_967_296.0) as u32 });
            }
            let mut k = 0;
            for bits in 0..256u32 {
                while cumulative[start + k] < bits << 24 {
                    k += 1;
                }
                guide.push(k as u16);
            }
        }
        let output = (0..counts).map(|k| level(k as f32 / f32::from(photons))).collect();
        Self { cumulative, guide, output }
    }

    #[inline]
    fn draw(&self, v: u8, uniform: u32) -> u8 {
        let counts = self.output.len();
        let cumulative = &self.cumulative[usize::from(v) * counts..][..counts];
        let mut k = usize::from(self.guide[usize::from(v) * 256 + (uniform >> 24) as usize]);
        while cumulative[k] < uniform {
            k += 1;
        }
        self.output[k]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_the_poisson_moments() {
        let sampler = Sampler::new(500);
        let mut stream = Stream::new(0, &["poisson"]);
        // Far enough from white that nothing is cut.
        let (v, n) = (102, 100_000);
        let mean = f64::from(v) / 255.0 * 500.0;
        let (mut m, mut s) = (0.0, 0.0);
        for _ in 0..n {
            let out = f64::from(sampler.draw(v, stream.next_u32())) + 0.5;
            let count = out / 255.0 * 500.0;
            m += count / f64::from(n);
            s += (count - mean).powi(2) / f64::from(n);
        }
        assert!((m / mean - 1.0).abs() < 0.005, "{m} against {mean}");
        // The 8-bit steps of 1.96 counts add a variance of 1.96² / 12.
        assert!((s / (mean + 0.32) - 1.0).abs() < 0.03, "{s} against {mean}");
    }

    #[test]
    fn the_guide_changes_no_draw() {
        for photons in [3, 60, 500] {
            let sampler = Sampler::new(photons);
            let counts = usize::from(photons) + 1;
            let mut stream = Stream::new(1, &["guide"]);
            for v in 0..=255u8 {
                for uniform in
                    [0, 1, u32::MAX, u32::MAX - 1, stream.next_u32(), stream.next_u32() & 0xff00_0000]
                {
                    let cumulative = &sampler.cumulative[usize::from(v) * counts..][..counts];
                    let k = cumulative.iter().position(|&c| c >= uniform).unwrap();
                    assert_eq!(sampler.draw(v, uniform), sampler.output[k]);
                }
            }
        }
    }

    #[test]
    fn black_stays_black() {
        let sampler = Sampler::new(3);
        assert!([0, 1, u32::MAX / 2, u32::MAX - 1, u32::MAX].iter().all(|&u| sampler.draw(0, u) == 0));
    }
}
