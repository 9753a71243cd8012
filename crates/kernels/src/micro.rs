//! The micro-kernels every convolution pass is made of.
//!
//! * [`Gather`]: `y[pixel][column] = sum over k of a[pixel + k] * w[k][column]`, a tile of MR pixels by NV vectors of
//!   output channels held in registers, one broadcast of an input float against NV weight vectors.
//! * [`Outer`]: `c[i][column] += sum over pixels of a[pixel + i] * b[pixel][column]`, the weight gradient: the same tile,
//!   with the pixels as the summed axis.
//! * [`Planar`]: the gather for few output channels, with the pixels of a plane as the vector and weights as broadcasts.

#[cfg(target_arch = "x86_64")]
use dyntta_simd::{Avx2, Avx512};
use dyntta_simd::{Level, Portable, Set, Simd};

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
/// Adds to (or, unless `add`, writes over) rows `skip..MR` of `c` (rows `ldc` floats apart, NV * LANES columns) the sum over
/// `n` pixels of
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
    pub add: bool,
}

/// Arguments of the planar kernel.
///
/// `y[r * y_ld + q] = bias[r] + sum over planes, ky, kx of w * x[plane * x_plane + ky * x_row + kx + q]` for the MR output
/// channels r and NV * LANES neighbouring pixels q; `w` holds MR weights for each (plane, ky, kx) in order.
pub(crate) struct Planar {
    pub x: *const f32,
    pub planes: usize,
    pub x_plane: usize,
    pub kh: usize,
    pub x_row: usize,
    pub kw: usize,
    pub w: *const f32,
    pub bias: *const f32,
    pub y: *mut f32,
    pub y_ld: usize,
}

/// Arguments of the paired gather: one vector of output channels for two neighbouring pixels, in the place of two vectors
/// for one.
///
/// As [`Gather`], where pixel `i` stands for itself and for the pixel whose input starts `shift` floats on (less than
/// `len`) and whose output is `cols` floats on. Each input float the two share is broadcast once.
pub(crate) struct Paired {
    pub a: *const f32,
    pub off: *const usize,
    pub nseg: usize,
    pub len: usize,
    pub shift: usize,
    pub a_seg: usize,
    pub w: *const f32,
    pub w_seg: usize,
    pub bias: *const f32,
    pub y: *mut f32,
    pub y_off: *const usize,
    pub cols: usize,
}

pub(crate) type PairedFn = unsafe fn(&Paired);
pub(crate) type PlanarFn = unsafe fn(&Planar);
pub(crate) type TransposeFn = unsafe fn(*const f32, usize, *mut f32, usize);
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

/// `acc[i][v] += a[i] * b[v]`, with the shorter side held in registers and the longer one passing by: 8 x 3 sums, 3 held
/// and 1 passing are 28 registers; the other way round there would be 33.
///
/// # Safety
/// The instruction set must be there; MR floats at `a` (which gives the address of each) and NV vectors at `b` must be
/// readable.
#[inline(always)]
unsafe fn rank_one<S: Simd, const MR: usize, const NV: usize>(
    acc: &mut [[S::V; NV]; MR],
    a: impl Fn(usize) -> *const f32,
    b: *const f32,
) {
    // SAFETY: the caller's.
    unsafe {
        if NV <= MR {
            let mut bv = [S::zero(); NV];
            for v in 0..NV {
                bv[v] = S::load(b.add(v * S::LANES));
            }
            for i in 0..MR {
                let x = S::splat(a(i));
                for v in 0..NV {
                    acc[i][v] = S::fma(x, bv[v], acc[i][v]);
                }
            }
        } else {
            let mut av = [S::zero(); MR];
            for i in 0..MR {
                av[i] = S::splat(a(i));
            }
            for v in 0..NV {
                let x = S::load(b.add(v * S::LANES));
                for i in 0..MR {
                    acc[i][v] = S::fma(av[i], x, acc[i][v]);
                }
            }
        }
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
                // A page ahead: the hardware looks no further than the end of this one.
                for line in (0..4 * NV * S::LANES).step_by(16) {
                    S::prefetch(w.wrapping_add(1024 + line));
                }
                // Written out: a loop here is not always unrolled, and then the sums live in memory.
                rank_one::<S, MR, NV>(&mut acc, |i| p[i].add(k), w);
                rank_one::<S, MR, NV>(&mut acc, |i| p[i].add(k + 1), w.add(NV * S::LANES));
                rank_one::<S, MR, NV>(&mut acc, |i| p[i].add(k + 2), w.add(2 * NV * S::LANES));
                rank_one::<S, MR, NV>(&mut acc, |i| p[i].add(k + 3), w.add(3 * NV * S::LANES));
                w = w.add(4 * NV * S::LANES);
                k += 4;
            }
            while k < t.len {
                rank_one::<S, MR, NV>(&mut acc, |i| p[i].add(k), w);
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
/// The instruction set must be there, and every address `Paired` describes must be readable (writable for `y`).
#[inline(always)]
unsafe fn paired<S: Simd, const MR: usize>(t: &Paired) {
    // SAFETY: the addresses are those of the contract above.
    unsafe {
        let bias = if t.bias.is_null() { S::zero() } else { S::load(t.bias) };
        let mut acc = [[bias; 2]; MR];
        for s in 0..t.nseg {
            let mut p = [t.a; MR];
            for i in 0..MR {
                p[i] = t.a.add(*t.off.add(i) + s * t.a_seg);
            }
            let mut w = t.w.add(s * t.w_seg);
            for k in 0..t.shift {
                let first = S::load(w);
                for i in 0..MR {
                    acc[i][0] = S::fma(S::splat(p[i].add(k)), first, acc[i][0]);
                }
                w = w.add(S::LANES);
            }
            let mut late = t.w.add(s * t.w_seg);
            for k in t.shift..t.len {
                let (first, second) = (S::load(w), S::load(late));
                for i in 0..MR {
                    let x = S::splat(p[i].add(k));
                    acc[i][0] = S::fma(x, first, acc[i][0]);
                    acc[i][1] = S::fma(x, second, acc[i][1]);
                }
                w = w.add(S::LANES);
                late = late.add(S::LANES);
            }
            for k in t.len..t.len + t.shift {
                let second = S::load(late);
                for i in 0..MR {
                    acc[i][1] = S::fma(S::splat(p[i].add(k)), second, acc[i][1]);
                }
                late = late.add(S::LANES);
            }
        }
        for i in 0..MR {
            let y = t.y.add(*t.y_off.add(i));
            for (v, sum) in acc[i].iter().enumerate() {
                if t.cols == S::LANES {
                    S::store(y.add(v * t.cols), *sum);
                } else {
                    store_part::<S>(y.add(v * t.cols), *sum, t.cols);
                }
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
            // The rows of the next tile: the stride between pixels defeats the hardware's guesses.
            S::prefetch(a.wrapping_add(MR + 8));
            rank_one::<S, MR, NV>(&mut acc, |i| a.add(i), b);
        }
        for i in 0..MR {
            if i >= t.skip {
                for v in 0..NV {
                    let c = t.c.add(i * t.ldc + v * S::LANES);
                    S::store(c, if t.add { S::add(S::load(c), acc[i][v]) } else { acc[i][v] });
                }
            }
        }
    }
}

/// # Safety
/// The instruction set must be there, and every address `Planar` describes must be readable (writable for `y`).
#[inline(always)]
unsafe fn planar<S: Simd, const MR: usize, const NV: usize>(t: &Planar) {
    // SAFETY: the addresses are those of the contract above.
    unsafe {
        let mut acc = [[S::zero(); NV]; MR];
        for r in 0..MR {
            acc[r] = [S::splat(t.bias.add(r)); NV];
        }
        let mut w = t.w;
        for plane in 0..t.planes {
            for ky in 0..t.kh {
                let x = t.x.add(plane * t.x_plane + ky * t.x_row);
                for kx in 0..t.kw {
                    rank_one::<S, MR, NV>(&mut acc, |i| w.add(i), x.add(kx));
                    w = w.add(MR);
                }
            }
        }
        for r in 0..MR {
            for v in 0..NV {
                S::store(t.y.add(r * t.y_ld + v * S::LANES), acc[r][v]);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn paired_avx512<const MR: usize>(t: &Paired) {
    // SAFETY: the caller's.
    unsafe { paired::<Avx512, MR>(t) }
}
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn paired_avx2<const MR: usize>(t: &Paired) {
    // SAFETY: the caller's.
    unsafe { paired::<Avx2, MR>(t) }
}
unsafe fn paired_portable<const MR: usize>(t: &Paired) {
    // SAFETY: the caller's.
    unsafe { paired::<Portable, MR>(t) }
}
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn planar_avx512<const MR: usize, const NV: usize>(t: &Planar) {
    // SAFETY: the caller's.
    unsafe { planar::<Avx512, MR, NV>(t) }
}
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn planar_avx2<const MR: usize, const NV: usize>(t: &Planar) {
    // SAFETY: the caller's.
    unsafe { planar::<Avx2, MR, NV>(t) }
}
unsafe fn planar_portable<const MR: usize, const NV: usize>(t: &Planar) {
    // SAFETY: the caller's.
    unsafe { planar::<Portable, MR, NV>(t) }
}
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn transpose_avx512(from: *const f32, from_ld: usize, to: *mut f32, to_ld: usize) {
    // SAFETY: the caller's.
    unsafe { Avx512::transpose(from, from_ld, to, to_ld) }
}
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn transpose_avx2(from: *const f32, from_ld: usize, to: *mut f32, to_ld: usize) {
    // SAFETY: the caller's.
    unsafe { Avx2::transpose(from, from_ld, to, to_ld) }
}
unsafe fn transpose_portable(from: *const f32, from_ld: usize, to: *mut f32, to_ld: usize) {
    // SAFETY: the caller's.
    unsafe { Portable::transpose(from, from_ld, to, to_ld) }
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
    ($f:ident, [$($mr:literal)*]) => { &[$(($mr, $f::<$mr>)),*] };
}

/// For each number of rows, from 1: `(vectors, kernel)`, vectors ascending from 1.
macro_rules! wide_table {
    ($f:ident, $($mr:literal: [$($nv:literal)*]),*) => { &[$(&[$(($nv, $f::<$mr, $nv>)),*]),*] };
}

type Table<F> = &'static [(usize, F)];

/// The kernels of one level.
pub(crate) struct Kernels {
    /// Floats in a vector.
    pub lanes: usize,
    /// Transposes a square of `lanes` rows: from, floats between its rows, to, floats between its rows.
    pub transpose: TransposeFn,
    /// By vectors per row, less one.
    gather: [Table<GatherFn>; 2],
    paired: Table<PairedFn>,
    outer: [Table<OuterFn>; 2],
    /// By rows, less one: few rows of many vectors.
    wide_outer: &'static [Table<OuterFn>],
    planar: &'static [Table<PlanarFn>],
}

static PORTABLE: Kernels = Kernels {
    lanes: 4,
    transpose: transpose_portable,
    gather: [table!(gather_portable, 1, [1 2 4 6 8 10 12]), table!(gather_portable, 2, [1 2 3 4 5 6])],
    paired: table!(paired_portable, [1 2 3 4 5 6]),
    outer: [table!(outer_portable, 1, [1 2 3 4 6 7 8 9 10 11 12]), table!(outer_portable, 2, [1 2 3 4 5 6])],
    wide_outer: wide_table!(outer_portable, 1: [1 2 4 8], 2: [1 2 3 4 5], 3: [1 2 3 4], 4: [1 2 3]),
    planar: wide_table!(planar_portable, 1: [8], 2: [5], 3: [4], 4: [3]),
};
#[cfg(target_arch = "x86_64")]
static AVX2: Kernels = Kernels {
    lanes: 8,
    transpose: transpose_avx2,
    gather: [table!(gather_avx2, 1, [1 2 4 6 8 10 12]), table!(gather_avx2, 2, [1 2 3 4 5 6])],
    paired: table!(paired_avx2, [1 2 3 4 5 6]),
    outer: [table!(outer_avx2, 1, [1 2 3 4 6 7 8 9 10 11 12]), table!(outer_avx2, 2, [1 2 3 4 5 6])],
    wide_outer: wide_table!(outer_avx2, 1: [1 2 4 8], 2: [1 2 3 4 5], 3: [1 2 3 4], 4: [1 2 3]),
    planar: wide_table!(planar_avx2, 1: [8], 2: [5], 3: [4], 4: [3]),
};
#[cfg(target_arch = "x86_64")]
static AVX512: Kernels = Kernels {
    lanes: 16,
    transpose: transpose_avx512,
    gather: [
        table!(gather_avx512, 1, [1 2 4 8 12 16 18 20 22 24 26]),
        table!(gather_avx512, 2, [1 2 4 6 8 10 11 12 13 14]),
    ],
    paired: table!(paired_avx512, [1 2 4 6 8 10 12 14]),
    outer: [
        table!(outer_avx512, 1, [1 2 3 4 6 8 9 10 12 14 16 18 20 21 22 24 26 27 28]),
        table!(outer_avx512, 2, [1 2 3 4 5 6 7 8 9 10 11 12 13 14]),
    ],
    wide_outer: wide_table!(
        outer_avx512, 1: [1 2 4 8], 2: [1 2 3 4 6 8], 3: [1 2 3 4 5 6 7 8], 4: [1 2 3 4 5 6], 5: [1 2 3 4 5],
        6: [1 2 3 4], 7: [1 2 3], 8: [1 2 3]
    ),
    planar: wide_table!(
        planar_avx512, 1: [8], 2: [8], 3: [8], 4: [6], 5: [5], 6: [4], 7: [3], 8: [3]
    ),
};

impl Kernels {
    /// The kernels of `level`.
    pub fn of(level: Level) -> &'static Kernels {
        match level.set() {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => &AVX512,
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => &AVX2,
            _ => &PORTABLE,
        }
    }

    /// Cuts `n` rows into the fewest tiles, as even as can be: the kernel to use for all of them, and its rows. The
    /// last tile may have fewer rows to do than the kernel has.
    pub fn gather(&self, nv: usize, n: usize) -> (usize, GatherFn) {
        fit(self.gather[nv - 1], n)
    }

    /// As [`Kernels::gather`], for `n` pairs of pixels.
    pub fn paired(&self, n: usize) -> (usize, PairedFn) {
        fit(self.paired, n)
    }

    /// As [`Kernels::gather`]; never more rows than `n`, so that the last tile can be moved back to end at `n`.
    pub fn outer(&self, nv: usize, n: usize) -> (usize, OuterFn) {
        let table = self.outer[nv - 1];
        let (mr, f) = fit(table, n);
        if mr <= n { (mr, f) } else { *table.iter().rev().find(|t| t.0 <= n).unwrap_or(&table[0]) }
    }

    /// Most rows of the wide kernels.
    pub fn wide_rows(&self) -> usize {
        self.planar.len()
    }

    /// Cuts `n` vectors into the fewest tiles of exactly `rows` rows: the kernel for all of them, and its vectors.
    pub fn wide_outer(&self, rows: usize, n: usize) -> (usize, OuterFn) {
        fit(self.wide_outer[rows - 1], n)
    }

    /// The planar kernel for exactly `rows` output channels, and its vectors.
    pub fn planar(&self, rows: usize) -> (usize, PlanarFn) {
        self.planar[rows - 1][0]
    }
}

fn fit<F: Copy>(table: &[(usize, F)], n: usize) -> (usize, F) {
    let most = table[table.len() - 1].0;
    let want = n.div_ceil(n.div_ceil(most).max(1));
    *table.iter().find(|t| t.0 >= want).unwrap_or(&table[table.len() - 1])
}
