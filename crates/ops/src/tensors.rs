//! The bank as operations on whole tensors: what a graph is written from, and what a device without kernels of its own can run.
//!
//! Each augmentation has a `Form` in its file, written once over the trait [`Tensors`]. Whoever implements that trait can
//! compute the bank ([`crate::blend::form`]): the export to ONNX does, and so can tensors of any framework. The forms mean
//! the same as the other paths; `tests/forms.rs` holds them together.
//!
//! All tensors have four axes and broadcast: images are `[n, 3, h, w]`, what belongs to an image `[n, 1, 1, 1]`.

/// One of the two axes of an image's pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Axis {
    /// Rows, from the top: axis 2.
    Height,
    /// Columns, from the left: axis 3.
    Width,
}

/// What is reduced to one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Over {
    /// The pixels of each channel: axes 2 and 3.
    Plane,
    /// The whole image: axes 1, 2 and 3.
    Image,
    /// The last axis.
    Last,
}

/// Operations on tensors of four axes, for batches of images of one size: `n` images of `h` x `w` pixels, which the implementor
/// knows, as numbers or as places in a graph.
///
/// Operations of two tensors broadcast as numpy's. `Float` is in single precision, and operations on it round as IEEE 754
/// says wherever a form's result depends on it (before [`Tensors::floor`] and in comparisons).
pub trait Tensors {
    /// Numbers in single precision.
    type Float: Clone;
    /// Whole numbers, of at least 32 bits.
    type Int: Clone;
    /// Truth values.
    type Bool: Clone;

    /// One number, `[1, 1, 1, 1]`.
    fn number(&self, value: f32) -> Self::Float;
    /// Numbers of this shape, row-major.
    fn numbers(&self, shape: [usize; 4], values: &[f32]) -> Self::Float;
    /// One whole number, `[1, 1, 1, 1]`.
    fn integer(&self, value: i32) -> Self::Int;

    /// How many pixels there are along an axis.
    fn extent(&self, axis: Axis) -> Self::Float;
    /// How many pixels a channel has.
    fn pixels(&self) -> Self::Int;
    /// 0, 1, 2 … along an axis of pixels, 1 along the others.
    fn places(&self, axis: Axis) -> Self::Float;
    /// The Hartley matrix of an axis of m pixels, `[1, 1, m, m]`: `(cos + sin)(2 pi k x / m) / sqrt(m)` in row k, column x.
    fn hartley(&self, axis: Axis) -> Self::Float;
    /// `[n, 1, h, w]` from one value a ring, `[n, 1, 1, radii + 1]`: at each frequency (row and column of an unshifted
    /// spectrum) that of its ring. Ring j holds `radii[j - 1] < d <= radii[j]` with d of [`crate::spectral::distance`], in
    /// double precision.
    fn by_ring(&self, values: &Self::Float, radii: &[f64]) -> Self::Float;

    /// `a + b`.
    fn add(&self, a: &Self::Float, b: &Self::Float) -> Self::Float;
    /// `a - b`.
    fn sub(&self, a: &Self::Float, b: &Self::Float) -> Self::Float;
    /// `a b`.
    fn mul(&self, a: &Self::Float, b: &Self::Float) -> Self::Float;
    /// `a / b`.
    fn div(&self, a: &Self::Float, b: &Self::Float) -> Self::Float;
    /// `1 / x`, rounded: a graph's optimiser must not make one division of it and a product that follows.
    fn reciprocal(&self, x: &Self::Float) -> Self::Float;
    /// The smaller.
    fn min(&self, a: &Self::Float, b: &Self::Float) -> Self::Float;
    /// The larger.
    fn max(&self, a: &Self::Float, b: &Self::Float) -> Self::Float;
    /// Into `low ..= high`.
    fn clamp(&self, x: &Self::Float, low: f32, high: f32) -> Self::Float;
    /// The largest whole number not above x.
    fn floor(&self, x: &Self::Float) -> Self::Float;
    /// The exponential.
    fn exp(&self, x: &Self::Float) -> Self::Float;
    /// The natural logarithm.
    fn ln(&self, x: &Self::Float) -> Self::Float;
    /// The sine, of radians.
    fn sin(&self, x: &Self::Float) -> Self::Float;
    /// The cosine, of radians.
    fn cos(&self, x: &Self::Float) -> Self::Float;
    /// The hyperbolic tangent.
    fn tanh(&self, x: &Self::Float) -> Self::Float;
    /// `1 / (1 + exp(-x))`.
    fn sigmoid(&self, x: &Self::Float) -> Self::Float;

    /// `a < b`.
    fn less(&self, a: &Self::Float, b: &Self::Float) -> Self::Bool;
    /// `a = b`.
    fn equal(&self, a: &Self::Float, b: &Self::Float) -> Self::Bool;
    /// Both.
    fn and(&self, a: &Self::Bool, b: &Self::Bool) -> Self::Bool;
    /// `yes` where `condition` holds, else `no`.
    fn choose(&self, condition: &Self::Bool, yes: &Self::Float, no: &Self::Float) -> Self::Float;

    /// The smallest value; the axes stay, with an extent of 1.
    fn least(&self, x: &Self::Float, over: Over) -> Self::Float;
    /// The largest value; the axes stay, with an extent of 1.
    fn most(&self, x: &Self::Float, over: Over) -> Self::Float;
    /// The products of matrices in the last two axes.
    fn matmul(&self, a: &Self::Float, b: &Self::Float) -> Self::Float;
    /// The three channels, `[n, 1, h, w]` each.
    fn channels(&self, x: &Self::Float) -> [Self::Float; 3];
    /// The columns of `[n, 1, 1, count]`, `[n, 1, 1, 1]` each.
    fn columns(&self, x: &Self::Float, count: usize) -> Vec<Self::Float>;
    /// Each channel convolved with a kernel of 3 x 3, pixels outside the image counting 0.
    fn convolve(&self, x: &Self::Float, kernel: &[f32; 9]) -> Self::Float;
    /// The image bilinearly at the places `u` to the right of its centre and `v` below, a neighbour outside counting 0. What
    /// `u` and `v` broadcast to with `[n, 1, h, w]` is the shape of the places.
    fn sample(&self, x: &Self::Float, u: &Self::Float, v: &Self::Float) -> Self::Float;

    /// The whole numbers that x holds.
    fn int(&self, x: &Self::Float) -> Self::Int;
    /// As numbers.
    fn float(&self, x: &Self::Int) -> Self::Float;
    /// `a + b` of whole numbers.
    fn int_add(&self, a: &Self::Int, b: &Self::Int) -> Self::Int;
    /// `a / b` of whole numbers from 0 up, rounded down.
    fn int_div(&self, a: &Self::Int, b: &Self::Int) -> Self::Int;
    /// The smaller of whole numbers.
    fn int_min(&self, a: &Self::Int, b: &Self::Int) -> Self::Int;
    /// The larger of whole numbers.
    fn int_max(&self, a: &Self::Int, b: &Self::Int) -> Self::Int;
    /// `a < b` of whole numbers.
    fn int_less(&self, a: &Self::Int, b: &Self::Int) -> Self::Bool;
    /// `yes` where `condition` holds, else `no`, of whole numbers.
    fn int_choose(&self, condition: &Self::Bool, yes: &Self::Int, no: &Self::Int) -> Self::Int;
    /// The largest whole number; the axes stay, with an extent of 1.
    fn int_most(&self, x: &Self::Int, over: Over) -> Self::Int;
    /// How many values of each channel are 0, 1 … 255: `[n, 3, 1, 256]` from `[n, 3, h, w]`, whose values are in that range.
    fn histogram(&self, x: &Self::Int) -> Self::Int;
    /// Along the last axis, the sum of all values before each.
    fn before(&self, x: &Self::Int) -> Self::Int;
    /// For each value of `index`, `[n, 3, h, w]` in `0..256`, that of its channel's table: `table` is `[n, 3, 1, 256]`.
    fn look_up(&self, table: &Self::Float, index: &Self::Int) -> Self::Float;

    /// Clamps to `0..=1`.
    fn clamp01(&self, x: &Self::Float) -> Self::Float {
        self.clamp(x, 0.0, 1.0)
    }

    /// The levels of values: `floor(255 x)`, kept in `0..=255`.
    fn levels(&self, x: &Self::Float) -> Self::Float {
        self.floor(&self.clamp(&self.mul(&self.number(255.0), x), 0.0, 255.0))
    }

    /// How far the pixels along an axis are from the image's centre.
    fn centred(&self, axis: Axis) -> Self::Float {
        let last = self.sub(&self.extent(axis), &self.number(1.0));
        self.sub(&self.places(axis), &self.mul(&last, &self.number(0.5)))
    }
}

/// An augmentation on tensors.
pub(crate) trait Form {
    /// The augmented images, `[n, 3, h, w]`, of `x`, of the same shape in `0..=1`, and the `factor` of each, `[n, 1, 1, 1]`.
    fn form<T: Tensors>(t: &T, x: &T::Float, factor: &T::Float) -> T::Float;
}
