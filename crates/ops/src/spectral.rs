//! Radial filters: any number of them as one.
//!
//! The frequency (fy, fx) of an H x W image, `-floor(H/2) <= fy`, `-floor(W/2) <= fx`, has the radius
//! `d = sqrt(fy^2 + fx^2) / sqrt(floor(H/2)^2 + floor(W/2)^2)`, in `f64`. `low_pass` r keeps `d <= r` and `high_pass` r
//! keeps `d > r`. (An image of one pixel has a single frequency, whose radius is taken as 0.)
//!
//! d is the same at a frequency and at its opposite, the unpaired frequency -H/2 of an even size included, since that one
//! is its own opposite: a filtered image is real, and half of the spectrum is enough.
//!
//! A weighted sum of filters is one multiplication of the spectrum by a function of d that is constant between the
//! filters' radii ("rings"). Backward to the weights needs no inverse transform: by Parseval,
//! `<g, filter x> = 1/(H W) sum over kept frequencies of Re(G conj(X))`, so one sum over each ring and running totals give
//! the gradients of all weights.

use std::cell::Cell;
use std::f64;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex};

use rayon::prelude::*;
use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner};

use crate::View;
use crate::tensors::{Axis, Tensors};

/// A filter's radius, strictly between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Radius(f64);

impl Radius {
    /// The `f64` product `i * 0.05`, `0 < i < 20`.
    pub(crate) fn of_twentieths(i: u32) -> Self {
        Self(f64::from(i) * 0.05)
    }

    /// The radii of the published bank.
    pub(crate) fn published() -> impl Iterator<Item = Self> {
        (1..20).map(Self::of_twentieths)
    }

    /// A decimal; one that is a multiple of 0.05 means the `f64` product `i * 0.05`.
    pub fn parse(text: &str) -> Option<Self> {
        let value: f64 = text.parse().ok()?;
        if !(value > 0.0 && value < 1.0) {
            return None;
        }
        let i = (value * 20.0).round();
        let near = (1.0..20.0).contains(&i) && (i / 20.0 - value).abs() < 1e-12;
        Some(if near { Self::of_twentieths(i as u32) } else { Self(value) })
    }

    /// The number that radii are compared with.
    pub fn value(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Radius {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let i = (self.0 * 20.0).round() as u32;
        if *self == Self::of_twentieths(i) { write!(f, "{:.2}", self.0) } else { write!(f, "{}", self.0) }
    }
}

/// The radius d of row `y` and column `x` of an unshifted H x W spectrum (frequency 0 first).
pub fn distance(y: usize, x: usize, h: usize, w: usize) -> f64 {
    let length = |y: usize, x: usize| ((y * y + x * x) as f64).sqrt();
    let largest = length(h / 2, w / 2);
    if largest == 0.0 {
        return 0.0;
    }
    length(y.min(h - y), x.min(w - x)) / largest
}

/// The plain path: the frequencies of `input` (CHW, of `image`'s shape) whose radius `keep` accepts, by a full complex
/// transform in `f64`.
pub(crate) fn reference(image: View<'_>, input: &[f32], out: &mut [f32], keep: impl Fn(f64) -> bool) {
    let (h, w) = (image.height(), image.width());
    let n = h * w;
    assert_eq!((input.len(), out.len()), (3 * n, 3 * n));
    let mut planner = FftPlanner::<f64>::new();
    for (input, out) in input.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
        let mut spectrum: Vec<Complex<f64>> =
            input.iter().map(|&x| Complex::new(f64::from(x), 0.0)).collect();
        planner.plan_fft_forward(w).process(&mut spectrum);
        let mut turned: Vec<Complex<f64>> = (0..n).map(|i| spectrum[i % h * w + i / h]).collect();
        planner.plan_fft_forward(h).process(&mut turned);
        for (i, value) in turned.iter_mut().enumerate() {
            if !keep(distance(i % h, i / h, h, w)) {
                *value = Complex::ZERO;
            }
        }
        planner.plan_fft_inverse(h).process(&mut turned);
        let mut back: Vec<Complex<f64>> = (0..n).map(|i| turned[i % w * h + i / w]).collect();
        planner.plan_fft_inverse(w).process(&mut back);
        for (out, value) in out.iter_mut().zip(back) {
            *out = (value.re / n as f64) as f32;
        }
    }
}

/// The filters of a bank.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters {
    /// The distinct radii, ascending; ring j holds `radii[j - 1] < d <= radii[j]`.
    radii: Vec<f64>,
    /// (slot, index of the radius).
    low: Vec<(usize, usize)>,
    high: Vec<(usize, usize)>,
}

impl Filters {
    /// The filters at (slot, radius).
    pub fn new(low: &[(usize, f64)], high: &[(usize, f64)]) -> Self {
        let mut radii: Vec<f64> = low.iter().chain(high).map(|&(_, r)| r).collect();
        radii.sort_by(f64::total_cmp);
        radii.dedup();
        let place = |&(slot, r): &(usize, f64)| (slot, radii.partition_point(|&other| other < r));
        let (low, high) = (low.iter().map(place).collect(), high.iter().map(place).collect());
        Self { radii, low, high }
    }

    pub fn is_empty(&self) -> bool {
        self.radii.is_empty()
    }

    fn rings(&self) -> usize {
        self.radii.len() + 1
    }

    /// All as one on tensors: `[n, 3, h, w]` from images and the weights of all slots, `[n, 1, 1, slots]`.
    ///
    /// With the Hartley matrices C, which are their own inverses, the filtered image is `C (gain * (C x C)) C`: the gain
    /// depends on `min(k, m - k)` alone, and what the Hartley transform has at k and m - k is what the Fourier transform has
    /// there, mixed.
    pub fn form<T: Tensors>(&self, t: &T, x: &T::Float, weights: &T::Float, slots: usize) -> T::Float {
        let rings = self.rings();
        let mut kept = vec![0.0; slots * rings];
        for &(slot, i) in &self.low {
            kept[slot * rings..][..=i].fill(1.0);
        }
        for &(slot, i) in &self.high {
            kept[slot * rings..][i + 1..rings].fill(1.0);
        }
        let gains = t.matmul(weights, &t.numbers([1, 1, slots, rings], &kept));
        let (rows, columns) = (t.hartley(Axis::Height), t.hartley(Axis::Width));
        let both = |x: &T::Float| t.matmul(&t.matmul(&rows, x), &columns);
        both(&t.mul(&both(x), &t.by_ring(&gains, &self.radii)))
    }

    /// The factor of each ring, from the blend weights of the bank's slots; divided by `pixels`, as the inverse
    /// transform needs.
    fn gains(&self, weights: &[f32], pixels: usize, gains: &mut Vec<f32>) {
        gains.clear();
        gains.extend((0..self.rings()).map(|ring| {
            let low = self.low.iter().filter(|&&(_, i)| ring <= i);
            let high = self.high.iter().filter(|&&(_, i)| ring > i);
            let sum: f64 = low.chain(high).map(|&(slot, _)| f64::from(weights[slot])).sum();
            (sum / pixels as f64) as f32
        }));
    }

    /// The gradients of the blend weights, from the sums of Re(G conj(X)) over the rings.
    fn weight_gradients(&self, sums: &[f64], pixels: usize, grads: &mut [f32]) {
        let scale = 1.0 / pixels as f64;
        for &(slot, i) in &self.low {
            grads[slot] = (sums[..=i].iter().sum::<f64>() * scale) as f32;
        }
        for &(slot, i) in &self.high {
            grads[slot] = (sums[i + 1..].iter().sum::<f64>() * scale) as f32;
        }
    }
}

/// Rows and columns that are transformed together: eight complex numbers are one cache line.
const BLOCK: usize = 8;

type Spectrum = Vec<Complex<f32>>;

/// What a size needs: transforms and ring indices.
pub(crate) struct Plan {
    h: usize,
    w: usize,
    /// Columns of the half spectrum.
    half: usize,
    rows: Arc<dyn RealToComplex<f32>>,
    rows_back: Arc<dyn ComplexToReal<f32>>,
    columns: Arc<dyn Fft<f32>>,
    columns_back: Arc<dyn Fft<f32>>,
    /// The ring of each frequency, column after column.
    rings: Vec<u16>,
    scratch: usize,
    filters: Filters,
}

/// Buffers of one thread.
#[derive(Default)]
struct Scratch {
    complex: Spectrum,
    real: Vec<f32>,
    half: Spectrum,
}

/// Buffers of one image.
#[derive(Default)]
struct Workspace {
    by_row: Spectrum,
    by_column: Spectrum,
    other_by_column: Spectrum,
    gains: Vec<f32>,
    sums: Vec<f64>,
    scratch: Scratch,
}

thread_local! {
    // Taken and put back, so that a thread that steals another image's work while it waits gets buffers of its own.
    static WORKSPACE: Cell<Option<Box<Workspace>>> = const { Cell::new(None) };
}

fn with_workspace<R>(f: impl FnOnce(&mut Workspace) -> R) -> R {
    let mut workspace = WORKSPACE.take().unwrap_or_default();
    let result = f(&mut workspace);
    WORKSPACE.set(Some(workspace));
    result
}

/// Sizes whose plans are kept.
const CACHED: usize = 32;

type Key = (usize, usize, Vec<u64>);

/// Least recently used first.
type Cache = Vec<(Key, Arc<Plan>)>;

static PLANS: LazyLock<Mutex<Cache>> = LazyLock::new(Mutex::default);

impl Plan {
    /// The plan of a size and a set of filters, from the cache if it is there.
    pub fn get(h: usize, w: usize, filters: &Filters) -> Arc<Self> {
        let mut bits: Vec<u64> = filters.radii.iter().map(|r| r.to_bits()).collect();
        for list in [&filters.low, &filters.high] {
            bits.extend(list.iter().flat_map(|&(slot, i)| [slot as u64, i as u64]));
            bits.push(u64::MAX);
        }
        let key = (h, w, bits);
        let lock = || PLANS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        {
            let mut plans = lock();
            if let Some(i) = plans.iter().position(|(other, _)| *other == key) {
                // The latest used is last.
                plans[i..].rotate_left(1);
                return plans[plans.len() - 1].1.clone();
            }
        }
        let plan = Arc::new(Self::new(h, w, filters));
        let mut plans = lock();
        if plans.len() >= CACHED {
            plans.remove(0);
        }
        plans.push((key, plan.clone()));
        plan
    }

    fn new(h: usize, w: usize, filters: &Filters) -> Self {
        let mut real = RealFftPlanner::new();
        let (rows, rows_back) = (real.plan_fft_forward(w), real.plan_fft_inverse(w));
        let mut complex = FftPlanner::new();
        let (columns, columns_back) = (complex.plan_fft_forward(h), complex.plan_fft_inverse(h));
        let half = w / 2 + 1;
        let mut rings = Vec::with_capacity(half * h);
        for x in 0..half {
            for y in 0..h {
                let d = distance(y, x, h, w);
                rings.push(filters.radii.partition_point(|&r| r < d) as u16);
            }
        }
        let scratch = [
            rows.get_scratch_len(),
            rows_back.get_scratch_len(),
            columns.get_inplace_scratch_len(),
            columns_back.get_inplace_scratch_len(),
        ];
        let scratch = scratch.into_iter().max().unwrap_or(0);
        let filters = filters.clone();
        Self { h, w, half, rows, rows_back, columns, columns_back, rings, scratch, filters }
    }

    fn prepare(&self, scratch: &mut Scratch) {
        scratch.complex.resize(self.scratch.max(scratch.complex.len()), Complex::ZERO);
        scratch.real.resize(self.w, 0.0);
        scratch.half.resize(self.half * BLOCK, Complex::ZERO);
    }

    /// Runs `f(index, block, scratch)` over blocks of `size`.
    fn blocks<T: Send>(
        &self,
        parallel: bool,
        data: &mut [T],
        size: usize,
        scratch: &mut Scratch,
        f: impl Fn(usize, &mut [T], &mut Scratch) + Sync,
    ) {
        if parallel {
            let fresh = || {
                let mut scratch = Scratch::default();
                self.prepare(&mut scratch);
                scratch
            };
            data.par_chunks_mut(size)
                .enumerate()
                .for_each_init(fresh, |scratch, (i, block)| f(i, block, scratch));
        } else {
            self.prepare(scratch);
            for (i, block) in data.chunks_mut(size).enumerate() {
                f(i, block, scratch);
            }
        }
    }

    /// Transforms the rows that `source(row, buffer)` gives into `by_row`, `[3 h][half]`.
    fn transform_rows(
        &self,
        parallel: bool,
        by_row: &mut Spectrum,
        scratch: &mut Scratch,
        source: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        by_row.resize(3 * self.h * self.half, Complex::ZERO);
        self.blocks(parallel, by_row, BLOCK * self.half, scratch, |i, block, scratch| {
            for (j, row) in block.chunks_exact_mut(self.half).enumerate() {
                source(i * BLOCK + j, &mut scratch.real);
                let done = self.rows.process_with_scratch(
                    &mut scratch.real,
                    row,
                    &mut scratch.complex[..self.rows.get_scratch_len()],
                );
                debug_assert!(done.is_ok());
            }
        });
    }

    /// Gathers the columns from `first` on into `block`, `[columns][h]`, and transforms them. Columns are counted through
    /// the three channels.
    fn transform_columns(
        &self,
        by_row: &Spectrum,
        first: usize,
        block: &mut [Complex<f32>],
        scratch: &mut Scratch,
    ) {
        let (h, half) = (self.h, self.half);
        let columns = block.len() / h;
        let mut starts = [0; BLOCK];
        for (j, start) in starts[..columns].iter_mut().enumerate() {
            let column = first + j;
            *start = column / half * h * half + column % half;
        }
        for y in 0..h {
            for (j, start) in starts[..columns].iter().enumerate() {
                block[j * h + y] = by_row[start + y * half];
            }
        }
        self.columns.process_with_scratch(block, &mut scratch.complex);
    }

    fn ring_of(&self, column: usize) -> &[u16] {
        let x = column % self.half;
        &self.rings[x * self.h..(x + 1) * self.h]
    }

    /// The weighted sum of the filters applied to three planes, written to `out` (`[3 h][w]`).
    ///
    /// `source(row, buffer)` writes row `row` of the three planes, counted through them. `weights` are those of the bank's
    /// slots. `centre` is a value near the middle of the source's: the transform is of the difference from it, which is
    /// smaller and so has smaller rounding errors.
    pub fn filter(
        &self,
        parallel: bool,
        weights: &[f32],
        centre: f32,
        source: impl Fn(usize, &mut [f32]) + Sync,
        out: &mut [f32],
    ) {
        let (h, w, half) = (self.h, self.w, self.half);
        with_workspace(|space| {
            let Workspace { by_row, by_column, gains, scratch, .. } = space;
            self.filters.gains(weights, h * w, gains);
            let from_centre = |row: usize, to: &mut [f32]| {
                source(row, to);
                to.iter_mut().for_each(|x| *x -= centre);
            };
            self.transform_rows(parallel, by_row, scratch, from_centre);
            // A constant image is multiplied by the gain of radius 0.
            let centre = centre * gains[0] * (h * w) as f32;
            by_column.resize(3 * half * h, Complex::ZERO);
            self.blocks(parallel, by_column, BLOCK * h, scratch, |i, block, scratch| {
                self.transform_columns(by_row, i * BLOCK, block, scratch);
                for (j, column) in block.chunks_exact_mut(h).enumerate() {
                    for (value, &ring) in column.iter_mut().zip(self.ring_of(i * BLOCK + j)) {
                        *value *= gains[ring as usize];
                    }
                }
                self.columns_back.process_with_scratch(block, &mut scratch.complex);
            });
            self.blocks(parallel, out, BLOCK * w, scratch, |i, block, scratch| {
                let rows = block.len() / w;
                let mut starts = [0; BLOCK];
                for (j, start) in starts[..rows].iter_mut().enumerate() {
                    let row = i * BLOCK + j;
                    *start = row / h * half * h + row % h;
                }
                for x in 0..half {
                    for (j, start) in starts[..rows].iter().enumerate() {
                        scratch.half[j * half + x] = by_column[start + x * h];
                    }
                }
                for (row, spectrum) in block.chunks_exact_mut(w).zip(scratch.half.chunks_exact_mut(half)) {
                    // Real but for rounding; the inverse insists on it.
                    spectrum[0].im = 0.0;
                    if w.is_multiple_of(2) {
                        spectrum[half - 1].im = 0.0;
                    }
                    let done = self.rows_back.process_with_scratch(
                        spectrum,
                        row,
                        &mut scratch.complex[..self.rows_back.get_scratch_len()],
                    );
                    debug_assert!(done.is_ok());
                    row.iter_mut().for_each(|x| *x += centre);
                }
            });
        });
    }

    /// Writes the gradients of the filters' blend weights to `grads` (one for each slot of the bank; others are left),
    /// from the rows of the image and of d loss / d (sum of the filtered images).
    pub fn weight_gradients(
        &self,
        parallel: bool,
        image: impl Fn(usize, &mut [f32]) + Sync,
        g: impl Fn(usize, &mut [f32]) + Sync,
        grads: &mut [f32],
    ) {
        let (h, w, half, rings) = (self.h, self.w, self.half, self.filters.rings());
        with_workspace(|space| {
            let Workspace { by_row, by_column, other_by_column, sums, scratch, .. } = space;
            self.transform_rows(parallel, by_row, scratch, image);
            by_column.resize(3 * half * h, Complex::ZERO);
            self.blocks(parallel, by_column, BLOCK * h, scratch, |i, block, scratch| {
                self.transform_columns(by_row, i * BLOCK, block, scratch);
            });
            self.transform_rows(parallel, by_row, scratch, g);
            other_by_column.resize(3 * half * h, Complex::ZERO);
            // Sums over each block of columns, added up in the order of the blocks: the same on any number of threads.
            let blocks = (3 * half).div_ceil(BLOCK);
            sums.clear();
            sums.resize(blocks * rings, 0.0);
            let block_sums =
                |i: usize, block: &mut [Complex<f32>], sums: &mut [f64], scratch: &mut Scratch| {
                    self.transform_columns(by_row, i * BLOCK, block, scratch);
                    let images = &by_column[i * BLOCK * h..];
                    for (j, (column, image)) in block.chunks_exact(h).zip(images.chunks_exact(h)).enumerate()
                    {
                        let x = (i * BLOCK + j) % half;
                        // The other half of the spectrum mirrors all columns but those of frequency 0 and -W/2.
                        let times = if x == 0 || 2 * x == w { 1.0 } else { 2.0 };
                        for ((g, image), &ring) in column.iter().zip(image).zip(self.ring_of(x)) {
                            let product =
                                f64::from(g.re) * f64::from(image.re) + f64::from(g.im) * f64::from(image.im);
                            sums[ring as usize] += times * product;
                        }
                    }
                };
            if parallel {
                let fresh = || {
                    let mut scratch = Scratch::default();
                    self.prepare(&mut scratch);
                    scratch
                };
                other_by_column
                    .par_chunks_mut(BLOCK * h)
                    .zip(sums.par_chunks_mut(rings))
                    .enumerate()
                    .for_each_init(fresh, |scratch, (i, (block, sums))| block_sums(i, block, sums, scratch));
            } else {
                let blocks = other_by_column.chunks_mut(BLOCK * h).zip(sums.chunks_mut(rings));
                for (i, (block, sums)) in blocks.enumerate() {
                    block_sums(i, block, sums, scratch);
                }
            }
            let (total, rest) = sums.split_at_mut(rings);
            for sums in rest.chunks_exact(rings) {
                for (total, sum) in total.iter_mut().zip(sums) {
                    *total += sum;
                }
            }
            self.filters.weight_gradients(total, h * w, grads);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(h: usize, w: usize) -> Vec<usize> {
        let count = |r: Radius| {
            let places = (0..h).flat_map(|y| (0..w).map(move |x| (y, x)));
            places.filter(|&(y, x)| distance(y, x, h, w) <= r.value()).count()
        };
        Radius::published().map(count).collect()
    }

    #[test]
    fn published_radii_keep_the_published_counts() {
        #[rustfmt::skip]
        let expected: [(usize, usize, [usize; 19]); 3] = [
            (32, 48, [9, 25, 61, 101, 169, 241, 325, 421, 517, 665, 793, 922, 1030, 1140, 1246, 1346, 1441, 1497, 1525]),
            (224, 224, [193, 793, 1765, 3149, 4925, 7105, 9649, 12629, 15965, 19701, 23857, 28377, 33281, 38593, 42875,
                45735, 47779, 49135, 49911]),
            (33, 47, [5, 21, 57, 97, 149, 221, 293, 401, 497, 613, 749, 885, 1005, 1115, 1219, 1333, 1435, 1495, 1531]),
        ];
        for (h, w, counts) in expected {
            assert_eq!(kept(h, w), counts, "{h} x {w}");
        }
    }

    #[test]
    fn opposite_frequencies_have_the_same_radius() {
        for (h, w) in [(1, 1), (1, 6), (4, 4), (5, 4), (7, 9), (8, 3)] {
            for y in 0..h {
                for x in 0..w {
                    let opposite = distance((h - y) % h, (w - x) % w, h, w);
                    assert_eq!(distance(y, x, h, w).to_bits(), opposite.to_bits(), "{h} x {w}: {y} {x}");
                }
            }
        }
    }

    #[test]
    fn the_radius_is_that_of_the_shifted_spectrum() {
        for (h, w) in [(4usize, 6usize), (5, 7), (4, 7), (1, 8)] {
            let (cy, cx) = (h / 2, w / 2);
            let shifted = |y: usize, x: usize| {
                let (dy, dx) = (y as f64 - cy as f64, x as f64 - cx as f64);
                (dy * dy + dx * dx).sqrt()
            };
            let all = (0..h).flat_map(|y| (0..w).map(move |x| (y, x)));
            let largest = all.map(|(y, x)| shifted(y, x)).fold(0.0, f64::max);
            for y in 0..h {
                for x in 0..w {
                    let d = distance((y + h - cy) % h, (x + w - cx) % w, h, w);
                    assert_eq!(d.to_bits(), (shifted(y, x) / largest).to_bits());
                }
            }
        }
    }

    /// The definition, term by term.
    fn naive(input: &[f32], h: usize, w: usize, keep: impl Fn(f64) -> bool) -> Vec<f32> {
        let n = h * w;
        let mut spectrum = vec![Complex::new(0.0f64, 0.0); n];
        let turn = |y: usize, x: usize, v: usize, u: usize| {
            f64::consts::TAU * ((v * y) as f64 / h as f64 + (u * x) as f64 / w as f64)
        };
        for (k, value) in spectrum.iter_mut().enumerate() {
            for (p, &x) in input.iter().enumerate() {
                *value += Complex::from_polar(f64::from(x), -turn(p / w, p % w, k / w, k % w));
            }
            if !keep(distance(k / w, k % w, h, w)) {
                *value = Complex::ZERO;
            }
        }
        let value = |p: usize| {
            let terms = spectrum.iter().enumerate();
            terms.map(|(k, v)| (v * Complex::cis(turn(p / w, p % w, k / w, k % w))).re).sum::<f64>()
                / n as f64
        };
        (0..n).map(|p| value(p) as f32).collect()
    }

    fn noise(n: usize, seed: u64) -> Vec<f32> {
        let mut stream = dyntta_image::Stream::new(seed, &["spectral"]);
        (0..n).map(|_| stream.uniform_f32()).collect()
    }

    const SIZES: [(usize, usize); 11] =
        [(1, 1), (1, 2), (2, 1), (1, 7), (5, 1), (2, 2), (4, 6), (5, 7), (8, 5), (11, 4), (9, 16)];

    #[test]
    fn the_plain_filter_is_the_definition() {
        for (h, w) in SIZES {
            let image = noise(3 * h * w, 1);
            let mut out = vec![0.0; 3 * h * w];
            for r in [0.1, 0.35, 0.5, 0.75] {
                let view = View::new(&image, h, w).unwrap();
                reference(view, &image, &mut out, |d| d <= r);
                for (plane, out) in image.chunks_exact(h * w).zip(out.chunks_exact(h * w)) {
                    for (a, b) in naive(plane, h, w, |d| d <= r).iter().zip(out) {
                        assert!((a - b).abs() < 1e-6, "{h} x {w} {r}: {a} {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn one_transform_is_the_sum_of_the_filters() {
        // Slot 1 belongs to another op; a radius may occur on both sides.
        let filters = Filters::new(&[(0, 0.2), (2, 0.5)], &[(3, 0.5), (4, 0.9)]);
        let radius = [0.2, 0.0, 0.5, 0.5, 0.9];
        for (h, w) in SIZES.into_iter().chain([(31, 17), (32, 32)]) {
            let n = 3 * h * w;
            let (image, g, weights) = (noise(n, 2), noise(n, 3), noise(5, 4));
            let view = View::new(&image, h, w).unwrap();
            let mut expected = vec![0.0; n];
            let mut expected_grads = [7.0; 5];
            let mut one = vec![0.0; n];
            for k in [0, 2, 3, 4] {
                reference(view, &image, &mut one, |d| if k < 3 { d <= radius[k] } else { d > radius[k] });
                let products = one.iter().zip(&g).map(|(a, b)| f64::from(a * b));
                expected_grads[k] = products.sum::<f64>() as f32;
                for (sum, value) in expected.iter_mut().zip(&one) {
                    *sum += weights[k] * value;
                }
            }
            let plan = Plan::get(h, w, &filters);
            let rows =
                |data: &[f32], row: usize, to: &mut [f32]| to.copy_from_slice(&data[row * w..(row + 1) * w]);
            for parallel in [false, true] {
                let mut out = vec![9.0; n];
                plan.filter(parallel, &weights, 0.5, |row, to| rows(&image, row, to), &mut out);
                for (a, b) in out.iter().zip(&expected) {
                    assert!((a - b).abs() < 2e-6, "{h} x {w}: {a} {b}");
                }
                let mut grads = [7.0; 5];
                plan.weight_gradients(
                    parallel,
                    |r, to| rows(&image, r, to),
                    |r, to| rows(&g, r, to),
                    &mut grads,
                );
                let scale = image.iter().zip(&g).map(|(a, b)| a * b).sum::<f32>();
                for (a, b) in grads.iter().zip(&expected_grads) {
                    assert!((a - b).abs() < 1e-6 * scale + 1e-6, "{h} x {w}: {a} {b}");
                }
                assert_eq!(grads[1], 7.0);
            }
        }
    }

    #[test]
    fn the_cache_is_bounded() {
        let filters = Filters::new(&[(0, 0.5)], &[]);
        for w in 1..=2 * CACHED {
            Plan::get(3, w, &filters);
        }
        assert!(PLANS.lock().unwrap().len() <= CACHED);
    }
}
