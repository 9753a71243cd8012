//! Micro-kernels for convolutions whose channels keep to themselves: the vectors run along the channels of a pixel.
//!
//! A pixel with fewer channels than a vector has lanes gets a narrower vector, down to one float; channels beyond the last
//! whole vector are done by one that is moved back.

#[cfg(target_arch = "x86_64")]
use dyntta_simd::{Avx2, Avx512};
use dyntta_simd::{Level, Portable, Scalar, Set, Simd};

/// Most pixels of a tile.
const MAX_PIXELS: usize = 8;
/// Most taps summed at a time.
pub(crate) const MAX_TAPS: usize = 9;

/// Where a tap reads the input and its weights, in floats.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tap {
    pub x: usize,
    pub w: usize,
}

/// `y[i][c] = bias[c] + sum over taps of x[tap.x + i * x_step + c] * w[tap.w + c]` for `channels` channels of each pixel
/// `i`; pixels of `y` are `y_step` apart. A null bias is zero.
pub(crate) struct Mix {
    pub x: *const f32,
    pub x_step: usize,
    pub taps: *const Tap,
    pub tap_count: usize,
    pub w: *const f32,
    pub bias: *const f32,
    pub y: *mut f32,
    pub y_step: usize,
    pub channels: usize,
}

/// `sums[tap.w + c] += sum over rows and pixels of x[tap.x + row * x_row + i * x_step + c] * g[row * g_row + i * g_step + c]`
/// for one vector of channels and each tap.
pub(crate) struct TapSums {
    pub x: *const f32,
    pub x_row: usize,
    pub x_step: usize,
    pub taps: *const Tap,
    pub g: *const f32,
    pub g_row: usize,
    pub g_step: usize,
    pub rows: usize,
    pub pixels: usize,
    pub sums: *mut f32,
}

pub(crate) type MixFn = unsafe fn(&Mix);
pub(crate) type TapSumsFn = unsafe fn(&TapSums);

/// # Safety
/// The instruction set must be there, every address `Mix` describes must be readable (writable for `y`), and there must be
/// at least LANES channels.
#[inline(always)]
unsafe fn mix<S: Simd, const MR: usize>(t: &Mix) {
    // SAFETY: the addresses are those of the contract above.
    unsafe {
        let mut done = 0;
        while done < t.channels {
            let c = done.min(t.channels - S::LANES);
            let bias = if t.bias.is_null() { S::zero() } else { S::load(t.bias.add(c)) };
            let mut acc = [bias; MR];
            for k in 0..t.tap_count {
                let tap = *t.taps.add(k);
                let (w, x) = (S::load(t.w.add(tap.w + c)), t.x.add(tap.x + c));
                for i in 0..MR {
                    acc[i] = S::fma(S::load(x.add(i * t.x_step)), w, acc[i]);
                }
            }
            for i in 0..MR {
                S::store(t.y.add(i * t.y_step + c), acc[i]);
            }
            done = c + S::LANES;
        }
    }
}

/// # Safety
/// The instruction set must be there, and every address `TapSums` describes must be readable (writable for `sums`).
#[inline(always)]
unsafe fn tap_sums<S: Simd, const T: usize>(t: &TapSums) {
    // SAFETY: the addresses are those of the contract above.
    unsafe {
        let taps: [Tap; T] = std::array::from_fn(|k| *t.taps.add(k));
        let mut acc = [S::zero(); T];
        for row in 0..t.rows {
            let (mut x, mut g) = (t.x.add(row * t.x_row), t.g.add(row * t.g_row));
            for _ in 0..t.pixels {
                let v = S::load(g);
                for k in 0..T {
                    acc[k] = S::fma(S::load(x.add(taps[k].x)), v, acc[k]);
                }
                // Beyond the last pixel these may leave the tensors, unread.
                x = x.wrapping_add(t.x_step);
                g = g.wrapping_add(t.g_step);
            }
        }
        for k in 0..T {
            let sum = t.sums.add(taps[k].w);
            S::store(sum, S::add(S::load(sum), acc[k]));
        }
    }
}

/// The kernels of one width.
pub(crate) struct LaneKernels {
    /// Floats in a vector.
    pub lanes: usize,
    /// By pixels, less one.
    mix: [MixFn; MAX_PIXELS],
    /// By taps, less one.
    tap_sums: [TapSumsFn; MAX_TAPS],
}

/// The kernels of one instruction set.
macro_rules! kernels {
    ($table:ident, $simd:ident $(, $features:literal)?) => {
        static $table: LaneKernels = {
            $(#[target_feature(enable = $features)])?
            unsafe fn mix_at<const MR: usize>(t: &Mix) {
                // SAFETY: the caller's.
                unsafe { mix::<$simd, MR>(t) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn tap_sums_at<const T: usize>(t: &TapSums) {
                // SAFETY: the caller's.
                unsafe { tap_sums::<$simd, T>(t) }
            }
            LaneKernels {
                lanes: $simd::LANES,
                mix: [
                    mix_at::<1>, mix_at::<2>, mix_at::<3>, mix_at::<4>, mix_at::<5>, mix_at::<6>, mix_at::<7>, mix_at::<8>,
                ],
                tap_sums: [
                    tap_sums_at::<1>, tap_sums_at::<2>, tap_sums_at::<3>, tap_sums_at::<4>, tap_sums_at::<5>,
                    tap_sums_at::<6>, tap_sums_at::<7>, tap_sums_at::<8>, tap_sums_at::<9>,
                ],
            }
        };
    };
}
kernels!(SCALAR, Scalar);
kernels!(PORTABLE, Portable);
#[cfg(target_arch = "x86_64")]
kernels!(AVX2, Avx2, "avx2,fma");
#[cfg(target_arch = "x86_64")]
kernels!(AVX512, Avx512, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma");

impl LaneKernels {
    /// The widest kernels of `level` that `channels` channels fill.
    pub fn of(level: Level, channels: usize) -> &'static LaneKernels {
        match level.set() {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 if channels >= AVX512.lanes => &AVX512,
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 | Set::Avx2 if channels >= AVX2.lanes => &AVX2,
            _ if channels >= PORTABLE.lanes => &PORTABLE,
            _ => &SCALAR,
        }
    }

    /// Cuts `n` pixels into the fewest tiles, as even as can be: the kernel to use for all of them, and its pixels, at most
    /// `n`.
    pub fn mix(&self, n: usize) -> (usize, MixFn) {
        let pixels = n.div_ceil(n.div_ceil(MAX_PIXELS));
        (pixels, self.mix[pixels - 1])
    }

    /// The kernel for exactly `taps` taps.
    pub fn tap_sums(&self, taps: usize) -> TapSumsFn {
        self.tap_sums[taps - 1]
    }
}
