//! The two micro-kernels every convolution pass is made of.
//!
//! * [`Gather`]: `y[pixel][column] = sum over k of a[pixel + k] * w[k][column]`, a tile of MR pixels by NV vectors of
//!   output channels held in registers, one broadcast of an input float against NV weight vectors.
//! * [`Outer`]: `c[i][column] += sum over pixels of a[pixel + i] * b[pixel][column]`, the weight gradient: the same tile,
//!   with the pixels as the summed axis.

#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Level, Portable, Simd};

/// Most rows a tile has, at any level.
pub(crate) const MAX_ROWS: usize = 28;
/// Most columns a tile has, at any level.
pub(crate) const MAX_COLS: usize = 32;

/// Arguments of the gather kernel.
///
/// Pixel `i` reads `len` floats at `a + off[i] + s * a_seg` for each segment `s < nseg`, against the weight rows at
/// `w + s * w_seg`, each NV * LANES wide. The sum starts from `bias` (NV * LANES floats; null for zero), or, if
/// `accumulate`, from what is in `y`. The first `cols` columns are written to `y + y_off[i]`.
///
/// Two pixels of a tile may be the same one (that is how a short tile is filled up): all reads come before any write.
pub(crate) struct Gather {
    pub a: *const f32,
    pub off: *const usize,
    pub nseg: usize,
    pub len: usize,
    pub a_seg: usize,
    pub w: *const f32,
    pub w_seg: usize,
    pub bias: *const f32,
    pub accumulate: bool,
    pub y: *mut f32,
    pub y_off: *const usize,
    pub cols: usize,
}

/// Arguments of the outer-product kernel.
///
/// Adds to rows `skip..MR` of `c` (rows `ldc` floats apart, NV * LANES columns) the sum over `n` pixels of
/// `a[a_off[p] + i] * b[b_off[p] + column]`. Reads rows `0..MR` of `a` all the same.
pub(crate) struct Outer {
    pub a: *const f32,
    pub a_off: *const usize,
    pub b: *const f32,
    pub b_off: *const usize,
    pub n: usize,
    pub c: *mut f32,
    pub ldc: usize,
    pub skip: usize,
}

pub(crate) type GatherFn = unsafe fn(&Gather);
pub(crate) type OuterFn = unsafe fn(&Outer);

/// Reads `cols` floats, zeros beyond.
#[inline(always)]
unsafe fn load_part<S: Simd>(p: *const f32, cols: usize) -> S::V {
    let mut tmp = [0.0f32; 16];
    // SAFETY: the caller vouches for `cols` floats at `p`; `tmp` holds LANES <= 16.
    unsafe {
        std::ptr::copy_nonoverlapping(p, tmp.as_mut_ptr(), cols.min(S::LANES));
        S::load(tmp.as_ptr())
    }
}

/// Writes the first `cols` lanes.
#[inline(always)]
unsafe fn store_part<S: Simd>(p: *mut f32, v: S::V, cols: usize) {
    let mut tmp = [0.0f32; 16];
    // SAFETY: as for `load_part`.
    unsafe {
        S::store(tmp.as_mut_ptr(), v);
        std::ptr::copy_nonoverlapping(tmp.as_ptr(), p, cols.min(S::LANES));
    }
}

/// # Safety
/// The instruction set must be there, and every address `Gather` describes must be readable (writable for `y`).
#[inline(always)]
unsafe fn gather<S: Simd, const MR: usize, const NV: usize>(t: &Gather) {
    // SAFETY: the addresses are those of the contract above.
    unsafe {
        let full = t.cols == NV * S::LANES;
        let mut acc = [[S::zero(); NV]; MR];
        if t.accumulate {
            for i in 0..MR {
                let y = t.y.add(*t.y_off.add(i)).cast_const();
                for v in 0..NV {
                    let at = v * S::LANES;
                    if full {
                        acc[i][v] = S::load(y.add(at));
                    } else if at < t.cols {
                        acc[i][v] = load_part::<S>(y.add(at), t.cols - at);
                    }
                }
            }
        } else if !t.bias.is_null() {
            for v in 0..NV {
                let b = S::load(t.bias.add(v * S::LANES));
                for row in &mut acc {
                    row[v] = b;
                }
            }
        }
        for s in 0..t.nseg {
            let mut p = [t.a; MR];
            for i in 0..MR {
                p[i] = t.a.add(*t.off.add(i) + s * t.a_seg);
            }
            let mut w = t.w.add(s * t.w_seg);
            let mut k = 0;
            while k + 4 <= t.len {
                // Written out: a loop here is not always unrolled, and then the sums live in memory.
                step::<S, MR, NV>(&mut acc, &p, k, w);
                step::<S, MR, NV>(&mut acc, &p, k + 1, w.add(NV * S::LANES));
                step::<S, MR, NV>(&mut acc, &p, k + 2, w.add(2 * NV * S::LANES));
                step::<S, MR, NV>(&mut acc, &p, k + 3, w.add(3 * NV * S::LANES));
                w = w.add(4 * NV * S::LANES);
                k += 4;
            }
            while k < t.len {
                step::<S, MR, NV>(&mut acc, &p, k, w);
                w = w.add(NV * S::LANES);
                k += 1;
            }
        }
        for i in 0..MR {
            let y = t.y.add(*t.y_off.add(i));
            for v in 0..NV {
                let at = v * S::LANES;
                if full {
                    S::store(y.add(at), acc[i][v]);
                } else if at < t.cols {
                    store_part::<S>(y.add(at), acc[i][v], t.cols - at);
                }
            }
        }
    }
}

/// # Safety
/// As for `gather`, for input float `k` and the weight row at `w`.
#[inline(always)]
unsafe fn step<S: Simd, const MR: usize, const NV: usize>(
    acc: &mut [[S::V; NV]; MR],
    p: &[*const f32; MR],
    k: usize,
    w: *const f32,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut wv = [S::zero(); NV];
        for v in 0..NV {
            wv[v] = S::load(w.add(v * S::LANES));
        }
        for i in 0..MR {
            let x = S::splat(p[i].add(k));
            for v in 0..NV {
                acc[i][v] = S::fma(x, wv[v], acc[i][v]);
            }
        }
    }
}

/// # Safety
/// The instruction set must be there, and every address `Outer` describes must be readable (writable for `c`).
#[inline(always)]
unsafe fn outer<S: Simd, const MR: usize, const NV: usize>(t: &Outer) {
    // SAFETY: the addresses are those of the contract above.
    unsafe {
        let mut acc = [[S::zero(); NV]; MR];
        for p in 0..t.n {
            let a = t.a.add(*t.a_off.add(p));
            let b = t.b.add(*t.b_off.add(p));
            let mut bv = [S::zero(); NV];
            for v in 0..NV {
                bv[v] = S::load(b.add(v * S::LANES));
            }
            for i in 0..MR {
                let x = S::splat(a.add(i));
                for v in 0..NV {
                    acc[i][v] = S::fma(x, bv[v], acc[i][v]);
                }
            }
        }
        for i in 0..MR {
            if i >= t.skip {
                for v in 0..NV {
                    let c = t.c.add(i * t.ldc + v * S::LANES);
                    S::store(c, S::add(S::load(c), acc[i][v]));
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn gather_avx512<const MR: usize, const NV: usize>(t: &Gather) {
    // SAFETY: the caller's.
    unsafe { gather::<Avx512, MR, NV>(t) }
}
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn gather_avx2<const MR: usize, const NV: usize>(t: &Gather) {
    // SAFETY: the caller's.
    unsafe { gather::<Avx2, MR, NV>(t) }
}
unsafe fn gather_portable<const MR: usize, const NV: usize>(t: &Gather) {
    // SAFETY: the caller's.
    unsafe { gather::<Portable, MR, NV>(t) }
}
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn outer_avx512<const MR: usize, const NV: usize>(t: &Outer) {
    // SAFETY: the caller's.
    unsafe { outer::<Avx512, MR, NV>(t) }
}
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn outer_avx2<const MR: usize, const NV: usize>(t: &Outer) {
    // SAFETY: the caller's.
    unsafe { outer::<Avx2, MR, NV>(t) }
}
unsafe fn outer_portable<const MR: usize, const NV: usize>(t: &Outer) {
    // SAFETY: the caller's.
    unsafe { outer::<Portable, MR, NV>(t) }
}

/// `[(rows, kernel), ..]`, rows ascending.
macro_rules! table {
    ($f:ident, $nv:literal, [$($mr:literal)*]) => { &[$(($mr, $f::<$mr, $nv>)),*] };
}

type GatherTable = &'static [(usize, GatherFn)];
type OuterTable = &'static [(usize, OuterFn)];

/// The kernels of one level.
pub(crate) struct Kernels {
    /// Floats in a vector.
    pub lanes: usize,
    /// By vectors per row, less one.
    gather: [GatherTable; 2],
    outer: [OuterTable; 2],
}

static PORTABLE: Kernels = Kernels {
    lanes: 4,
    gather: [table!(gather_portable, 1, [1 2 4 6 8 10 12]), table!(gather_portable, 2, [1 2 3 4 5 6])],
    outer: [table!(outer_portable, 1, [1 2 3 4 6 7 8 9 10 11 12]), table!(outer_portable, 2, [1 2 3 4 5 6])],
};
#[cfg(target_arch = "x86_64")]
static AVX2: Kernels = Kernels {
    lanes: 8,
    gather: [table!(gather_avx2, 1, [1 2 4 6 8 10 12]), table!(gather_avx2, 2, [1 2 3 4 5 6])],
    outer: [table!(outer_avx2, 1, [1 2 3 4 6 7 8 9 10 11 12]), table!(outer_avx2, 2, [1 2 3 4 5 6])],
};
#[cfg(target_arch = "x86_64")]
static AVX512: Kernels = Kernels {
    lanes: 16,
    gather: [
        table!(gather_avx512, 1, [1 2 4 8 12 16 18 20 22 24 26]),
        table!(gather_avx512, 2, [1 2 4 6 8 10 11 12 13 14]),
    ],
    outer: [
        table!(outer_avx512, 1, [1 2 3 4 6 8 9 10 12 14 16 18 20 21 22 24 26 27 28]),
        table!(outer_avx512, 2, [1 2 3 4 5 6 7 8 9 10 11 12 13 14]),
    ],
};

impl Kernels {
    /// The kernels of `level`.
    pub fn of(level: Level) -> &'static Kernels {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => &AVX512,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => &AVX2,
            _ => &PORTABLE,
        }
    }

    /// Cuts `n` rows into the fewest tiles, as even as can be: the kernel to use for all of them, and its rows. The
    /// last tile may have fewer rows to do than the kernel has.
    pub fn gather(&self, nv: usize, n: usize) -> (usize, GatherFn) {
        fit(self.gather[nv - 1], n)
    }

    /// As [`Kernels::gather`]; never more rows than `n`, so that the last tile can be moved back to end at `n`.
    pub fn outer(&self, nv: usize, n: usize) -> (usize, OuterFn) {
        let table = self.outer[nv - 1];
        let (mr, f) = fit(table, n);
        if mr <= n { (mr, f) } else { *table.iter().rev().find(|t| t.0 <= n).unwrap_or(&table[0]) }
    }
}

fn fit<F: Copy>(table: &[(usize, F)], n: usize) -> (usize, F) {
    let most = table[table.len() - 1].0;
    let want = n.div_ceil(n.div_ceil(most).max(1));
    *table.iter().find(|t| t.0 >= want).unwrap_or(&table[table.len() - 1])
}
