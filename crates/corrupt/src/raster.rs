use dyntta_image::Rgb8;

use dyntta_simd::math::nearest;
use dyntta_simd::simd;

/// An `f32` image or map, interleaved (HWC): `data[(y * width + x) * channels + c]`. Images are in `0..=1`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Raster {
    pub width: usize,
    pub height: usize,
    pub channels: usize,
    pub data: Vec<f32>,
}

impl Raster {
    pub fn new(width: usize, height: usize, channels: usize, data: Vec<f32>) -> Self {
        debug_assert_eq!(data.len(), width * height * channels);
        Self { width, height, channels, data }
    }

    pub fn zeros(width: usize, height: usize, channels: usize) -> Self {
        Self::new(width, height, channels, vec![0.0; width * height * channels])
    }

    /// `image` divided by 255.
    pub fn from_rgb8(image: &Rgb8) -> Self {
        let mut data = vec![0.0; image.data().len()];
        to_unit(image.data(), &mut data);
        Self::new(image.width(), image.height(), 3, data)
    }

    /// Clamped to `0..=1`, times 255, truncated.
    pub fn to_rgb8(&self) -> Rgb8 {
        debug_assert_eq!(self.channels, 3);
        let mut data = vec![0; self.data.len()];
        to_levels(&self.data, &mut data);
        Rgb8::new(self.width, self.height, data).expect("three bytes a pixel")
    }

    /// [`to_rgb8`](Self::to_rgb8) and back: the 8-bit step in the middle of some corruptions.
    pub fn quantise(&mut self) {
        quantise(&mut self.data);
    }

    /// Values a row.
    pub fn stride(&self) -> usize {
        self.width * self.channels
    }

    pub fn row(&self, y: usize) -> &[f32] {
        &self.data[y * self.stride()..][..self.stride()]
    }

    pub fn row_mut(&mut self, y: usize) -> &mut [f32] {
        let stride = self.stride();
        &mut self.data[y * stride..][..stride]
    }
}

/// Keeps a value that is a whole level but for `f32` rounding from being truncated to the level below.
const GUARD: f32 = 1.0 / 1024.0;

/// The 8-bit level of a value in `0..=1`: clamped, times 255, truncated.
#[inline(always)]
pub(crate) fn level(value: f32) -> u8 {
    nearest(value.clamp(0.0, 1.0) * 255.0 + (GUARD - 0.5)) as u8
}

/// A level as a value in `0..=1`.
#[inline(always)]
pub(crate) fn unit(level: u8) -> f32 {
    f32::from(level) * (1.0 / 255.0)
}

simd! {
    fn to_unit(levels: &[u8], out: &mut [f32]) {
        for (o, &v) in out.iter_mut().zip(levels) {
            *o = unit(v);
        }
    }
}

simd! {
    fn to_levels(values: &[f32], out: &mut [u8]) {
        for (o, &v) in out.iter_mut().zip(values) {
            *o = level(v);
        }
    }
}

simd! {
    fn quantise(values: &mut [f32]) {
        for v in values {
            *v = unit(level(*v));
        }
    }
}

/// How an image goes on beyond its edge. `n` is the length, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Border {
    /// `a a a | a b c | c c c`
    Nearest,
    /// `c b a | a b c | c b a`: the edge is repeated once
    Reflect,
    /// `c b | a b c | b a`: the edge is not repeated
    Mirror,
}

impl Border {
    /// The index inside `0..n` that stands for `i`, however far outside that is.
    pub fn index(self, i: isize, n: usize) -> usize {
        debug_assert!(n > 0);
        if i >= 0 && (i as usize) < n {
            return i as usize;
        }
        let last = n as isize - 1;
        match self {
            Self::Nearest => i.clamp(0, last) as usize,
            Self::Reflect => {
                let j = i.rem_euclid(2 * n as isize);
                j.min(2 * n as isize - 1 - j) as usize
            }
            Self::Mirror if n == 1 => 0,
            Self::Mirror => {
                let j = i.rem_euclid(2 * last);
                j.min(2 * last - j) as usize
            }
        }
    }

    /// Where each of `-before .. n + after` comes from.
    pub fn map(self, n: usize, before: usize, after: usize) -> impl Iterator<Item = usize> {
        (-(before as isize)..(n + after) as isize).map(move |i| self.index(i, n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_are_those_drawn() {
        let five = |b: Border| b.map(3, 5, 5).collect::<Vec<_>>();
        assert_eq!(five(Border::Nearest), [0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2]);
        assert_eq!(five(Border::Reflect), [1, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1]);
        assert_eq!(five(Border::Mirror), [1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]);
        for b in [Border::Nearest, Border::Reflect, Border::Mirror] {
            assert_eq!(b.map(1, 3, 3).collect::<Vec<_>>(), [0; 7]);
        }
    }

    #[test]
    fn every_level_survives() {
        let image = Rgb8::new(16, 16, (0..=255u8).flat_map(|v| [v; 3]).collect()).unwrap();
        let mut raster = Raster::from_rgb8(&image);
        raster.quantise();
        assert_eq!(raster.to_rgb8(), image);
        assert_eq!([level(-1.0), level(f32::NAN), level(0.999), level(7.0)], [0, 0, 254, 255]);
    }
}

#[cfg(test)]
pub(crate) mod tests_support {
    use super::Raster;
    use dyntta_image::Stream;

    /// Uniform noise in `[0, 1)`.
    pub fn noise(width: usize, height: usize, channels: usize, seed: u64) -> Raster {
        let mut stream = Stream::new(seed, &["test noise"]);
        Raster::new(
            width,
            height,
            channels,
            (0..width * height * channels).map(|_| stream.uniform_f32()).collect(),
        )
    }

    /// The greatest absolute difference.
    pub fn rasters_differ_by(a: &Raster, b: &Raster) -> f32 {
        assert_eq!((a.width, a.height, a.channels), (b.width, b.height, b.channels));
        a.data.iter().zip(&b.data).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }
}
