use crate::Error;

/// An 8-bit RGB image: `height` rows from the top of `width` pixels, interleaved (HWC). It has a pixel, and three bytes for
/// each: none can be made that hasn't.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb8 {
    width: usize,
    height: usize,
    /// `height * width * 3` bytes, R G B R G B …
    data: Vec<u8>,
}

impl Rgb8 {
    /// An image over `data`, `height * width * 3` bytes: R G B R G B …, rows from the top.
    ///
    /// # Errors
    /// [`Error::Shape`] if a side is 0, or `data` has another length.
    pub fn new(width: usize, height: usize, data: Vec<u8>) -> Result<Self, Error> {
        match values(width, height) {
            Some(n) if n == data.len() && n > 0 => Ok(Self { width, height, data }),
            n => Err(shape("bytes", width, height, n, data.len())),
        }
    }

    /// A black image.
    ///
    /// # Errors
    /// [`Error::Shape`] if a side is 0, or there are more pixels than the memory can be asked for.
    pub fn black(width: usize, height: usize) -> Result<Self, Error> {
        let n = values(width, height).filter(|n| *n <= isize::MAX as usize);
        Self::new(width, height, vec![0; n.unwrap_or(0)])
    }

    /// Pixels a row, at least 1.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows, at least 1.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The pixels: `height * width * 3` bytes, R G B R G B …, rows from the top.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The pixels, to be changed.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// The pixels, without a copy.
    pub fn into_data(self) -> Vec<u8> {
        self.data
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

    /// An image from planar `f32` (CHW): clamped to `0..=1`, times 255, rounded to nearest; NaN becomes 0.
    ///
    /// # Errors
    /// [`Error::Shape`] if a side is 0, or `planar` does not hold `3 * height * width` values.
    pub fn from_planar(width: usize, height: usize, planar: &[f32]) -> Result<Self, Error> {
        let wanted = values(width, height);
        if wanted != Some(planar.len()) {
            return Err(shape("values", width, height, wanted, planar.len()));
        }
        let n = planar.len() / 3;
        let mut data = Vec::with_capacity(3 * n);
        for i in 0..n {
            for c in 0..3 {
                data.push((planar[c * n + i].clamp(0.0, 1.0) * 255.0).round() as u8);
            }
        }
        Self::new(width, height, data)
    }
}

/// Values of an image of this size, if they can be counted.
fn values(width: usize, height: usize) -> Option<usize> {
    width.checked_mul(height)?.checked_mul(3)
}

fn shape(unit: &str, width: usize, height: usize, wanted: Option<usize>, found: usize) -> Error {
    let expected = match wanted {
        Some(0) => "an image of at least one pixel a side".to_owned(),
        Some(n) => format!("{n} {unit} for an image of {width}x{height} pixels"),
        None => "an image that fits the memory".to_owned(),
    };
    let found = match wanted {
        Some(1..) => found.to_string(),
        _ => format!("{width}x{height} pixels"),
    };
    Error::Shape { expected, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planar_round_trip_is_exact_for_every_level() {
        let data: Vec<u8> = (0..16 * 16 * 3).map(|i| (i * 7 % 256) as u8).collect();
        let image = Rgb8::new(16, 16, data).unwrap();
        assert_eq!(Rgb8::from_planar(16, 16, &image.to_planar()).unwrap(), image);
    }

    #[test]
    fn an_image_has_a_pixel_and_the_bytes_of_its_pixels() {
        let image = Rgb8::new(2, 1, (0..6).collect()).unwrap();
        assert_eq!((image.width(), image.height(), image.data()), (2, 1, &[0, 1, 2, 3, 4, 5][..]));
        for (width, height, length, message) in [
            (0, 1, 0, "expected an image of at least one pixel a side, found 0x1 pixels"),
            (1, 0, 0, "expected an image of at least one pixel a side, found 1x0 pixels"),
            (2, 1, 5, "expected 6 bytes for an image of 2x1 pixels, found 5"),
            (2, 1, 0, "expected 6 bytes for an image of 2x1 pixels, found 0"),
            (usize::MAX, 2, 6, "expected an image that fits the memory, found 18446744073709551615x2 pixels"),
            (1 << 63, 2, 0, "expected an image that fits the memory, found 9223372036854775808x2 pixels"),
        ] {
            assert_eq!(Rgb8::new(width, height, vec![0; length]).unwrap_err().to_string(), message);
            let planar = Rgb8::from_planar(width, height, &vec![0.0; length]).unwrap_err().to_string();
            assert_eq!(planar, message.replace("bytes", "values"));
        }
    }

    #[test]
    fn a_black_image_of_no_size_is_an_error() {
        assert_eq!(Rgb8::black(2, 1).unwrap().into_data(), [0; 6]);
        for (width, height) in [(0, 0), (0, 5), (usize::MAX, 2), (1 << 31, 1 << 31)] {
            assert!(Rgb8::black(width, height).is_err(), "{width}x{height}");
        }
    }

    #[test]
    fn planar_is_channel_after_channel() {
        let image = Rgb8::new(2, 1, vec![255, 0, 51, 0, 255, 102]).unwrap();
        assert_eq!(image.to_planar(), [1.0, 0.0, 0.0, 1.0, 0.2, 0.4]);
    }
}
