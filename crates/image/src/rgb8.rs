/// An 8-bit RGB image: `height` rows from the top of `width` pixels, interleaved (HWC).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb8 {
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height * width * 3` bytes, R G B R G B …
    pub data: Vec<u8>,
}

impl Rgb8 {
    /// An image over `data`.
    ///
    /// # Panics
    /// If `data` does not hold `width * height * 3` bytes or the image is empty.
    pub fn new(width: usize, height: usize, data: Vec<u8>) -> Self {
        assert!(width > 0 && height > 0, "an image has at least one pixel");
        assert_eq!(data.len(), width * height * 3, "an RGB image of {width}x{height} pixels");
        Self { width, height, data }
    }

    /// A black image.
    pub fn black(width: usize, height: usize) -> Self {
        Self::new(width, height, vec![0; width * height * 3])
    }

    /// Writes the image as planar `f32` (CHW), each value divided by 255.
    ///
    /// # Panics
    /// If `out` does not hold `3 * height * width` values.
    pub fn write_planar(&self, out: &mut [f32]) {
        let n = self.width * self.height;
        assert_eq!(out.len(), 3 * n);
        let (r, gb) = out.split_at_mut(n);
        let (g, b) = gb.split_at_mut(n);
        for (i, p) in self.data.chunks_exact(3).enumerate() {
            r[i] = f32::from(p[0]) / 255.0;
            g[i] = f32::from(p[1]) / 255.0;
            b[i] = f32::from(p[2]) / 255.0;
        }
    }

    /// The image as planar `f32` (CHW), each value divided by 255.
    pub fn to_planar(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.data.len()];
        self.write_planar(&mut out);
        out
    }

    /// An image from planar `f32` (CHW): clamped to `0..=1`, times 255, rounded to nearest.
    ///
    /// # Panics
    /// If `planar` does not hold `3 * height * width` values.
    pub fn from_planar(width: usize, height: usize, planar: &[f32]) -> Self {
        let n = width * height;
        assert_eq!(planar.len(), 3 * n);
        let mut data = Vec::with_capacity(3 * n);
        for i in 0..n {
            for c in 0..3 {
                data.push((planar[c * n + i].clamp(0.0, 1.0) * 255.0).round() as u8);
            }
        }
        Self::new(width, height, data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planar_round_trip_is_exact_for_every_level() {
        let data: Vec<u8> = (0..16 * 16 * 3).map(|i| (i * 7 % 256) as u8).collect();
        let image = Rgb8::new(16, 16, data);
        assert_eq!(Rgb8::from_planar(16, 16, &image.to_planar()), image);
    }

    #[test]
    fn planar_is_channel_after_channel() {
        let image = Rgb8::new(2, 1, vec![255, 0, 51, 0, 255, 102]);
        assert_eq!(image.to_planar(), [1.0, 0.0, 0.0, 1.0, 0.2, 0.4]);
    }
}
