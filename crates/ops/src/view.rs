use crate::Error;

/// The shape of a batch of three-channel images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Images.
    pub n: usize,
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
}

impl Shape {
    /// Whether images of this size can be worked on, and so many be counted.
    ///
    /// # Errors
    /// [`Error::NoPixels`] if a side is 0; [`Error::TooLarge`].
    pub fn check(self) -> Result<(), Error> {
        check(self.h, self.w)?;
        match self.image().checked_mul(self.n) {
            Some(values) if values <= isize::MAX as usize / 4 => Ok(()),
            _ => Err(Error::TooMany { n: self.n, h: self.h, w: self.w }),
        }
    }

    /// Pixels of one channel of one image.
    pub fn pixels(self) -> usize {
        self.h * self.w
    }

    /// Values of one image.
    pub fn image(self) -> usize {
        3 * self.pixels()
    }

    /// Values of the batch.
    pub fn batch(self) -> usize {
        self.n * self.image()
    }
}

/// Refuses empty images, and those whose pixels would not fit the indices of the fused path.
pub(crate) fn check(h: usize, w: usize) -> Result<(), Error> {
    if h == 0 || w == 0 {
        return Err(Error::NoPixels { h, w });
    }
    let side = 1 << 28;
    if h > side || w > side || h * w > 1 << 30 {
        return Err(Error::TooLarge { h, w });
    }
    Ok(())
}

/// One planar three-channel image, read only: `3 * h * w` values in `0..=1`, channel after channel.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    data: &'a [f32],
    h: usize,
    w: usize,
}

impl<'a> View<'a> {
    /// Views `data` as an image of `h` rows and `w` columns.
    ///
    /// # Errors
    /// [`Error::NoPixels`] if a side is 0, [`Error::TooLarge`], [`Error::Length`] unless there are `3 * h * w` values.
    pub fn new(data: &'a [f32], h: usize, w: usize) -> Result<Self, Error> {
        check(h, w)?;
        if data.len() != 3 * h * w {
            return Err(Error::Length {
                buffer: "image",
                layout: "3 * h * w",
                expected: 3 * h * w,
                found: data.len(),
            });
        }
        Ok(Self { data, h, w })
    }

    /// All values, CHW.
    pub fn data(self) -> &'a [f32] {
        self.data
    }

    /// Rows.
    pub fn height(self) -> usize {
        self.h
    }

    /// Columns.
    pub fn width(self) -> usize {
        self.w
    }

    /// Pixels of one channel.
    pub fn pixels(self) -> usize {
        self.h * self.w
    }

    /// The values of channel `c` (0 to 2), rows from the top.
    pub fn plane(self, c: usize) -> &'a [f32] {
        let n = self.pixels();
        &self.data[c * n..(c + 1) * n]
    }

    /// The three channels of pixel `p`, counted along the rows.
    pub(crate) fn rgb(self, p: usize) -> [f32; 3] {
        let n = self.pixels();
        [self.data[p], self.data[n + p], self.data[2 * n + p]]
    }
}
