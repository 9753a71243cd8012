/// An 8-bit RGB image: `height` rows from the top of `width` pixels, interleaved (HWC). It is made by [`Rgb8::new`] or
/// [`Rgb8::checked`], so that its fields agree; who changes them keeps it so.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
        let length = data.len();
        Self::checked(width, height, data)
            .unwrap_or_else(|| panic!("{length} bytes for an RGB image of {width}x{height} pixels"))
    }

    /// An image over `data`, if that holds `width * height * 3` bytes and is not empty.
    pub fn checked(width: usize, height: usize, data: Vec<u8>) -> Option<Self> {
        let image = Self { width, height, data };
        image.is_whole().then_some(image)
    }

    /// Whether the fields agree and there is a pixel; so as long as nobody changes them.
    pub fn is_whole(&self) -> bool {
        let length = self.width.checked_mul(self.height).and_then(|n| n.checked_mul(3));
        !self.data.is_empty() && length == Some(self.data.len())
    }

    /// A black image.
    ///
    /// # Panics
    /// If a side is 0.
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
    fn an_image_has_the_bytes_of_its_pixels() {
        assert!(Rgb8::checked(2, 1, vec![0; 6]).is_some());
        for (width, height, length) in [(0, 1, 0), (1, 0, 0), (2, 1, 5), (usize::MAX, 2, 6), (1 << 63, 2, 0)]
        {
            assert!(Rgb8::checked(width, height, vec![0; length]).is_none(), "{width}x{height}");
        }
    }

    #[test]
    fn planar_is_channel_after_channel() {
        let image = Rgb8::new(2, 1, vec![255, 0, 51, 0, 255, 102]);
        assert_eq!(image.to_planar(), [1.0, 0.0, 0.0, 1.0, 0.2, 0.4]);
    }
}
