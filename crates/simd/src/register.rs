//! The register of each instruction set.

/// Vector operations of one instruction set.
///
/// # Safety
/// Every function may be called only from code compiled with (and running on a processor that has) the
/// instruction set; pointers must be valid for `LANES` floats, one for `splat`; no alignment is asked for.
pub trait Simd {
    /// A register of `LANES` floats.
    type V: Copy;
    /// Floats in a register.
    const LANES: usize;
    /// All lanes zero.
    ///
    /// # Safety
    /// The contract of [`Simd`].
    unsafe fn zero() -> Self::V;
    /// Reads `LANES` floats.
    ///
    /// # Safety
    /// The contract of [`Simd`].
    unsafe fn load(p: *const f32) -> Self::V;
    /// Writes `LANES` floats.
    ///
    /// # Safety
    /// The contract of [`Simd`].
    unsafe fn store(p: *mut f32, v: Self::V);
    /// Reads one float into all lanes.
    ///
    /// # Safety
    /// The contract of [`Simd`].
    unsafe fn splat(p: *const f32) -> Self::V;
    /// a * b + c
    ///
    /// # Safety
    /// The contract of [`Simd`].
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// a + b
    ///
    /// # Safety
    /// The contract of [`Simd`].
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// The larger; b, should one be NaN.
    ///
    /// # Safety
    /// The contract of [`Simd`].
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// Asks for the cache line at `p`, which need not be readable.
    ///
    /// # Safety
    /// The contract of [`Simd`].
    unsafe fn prefetch(_p: *const f32) {}
    /// Transposes a square of `LANES` rows, `from_ld` and `to_ld` floats apart.
    ///
    /// # Safety
    /// The contract of [`Simd`].
    unsafe fn transpose(from: *const f32, from_ld: usize, to: *mut f32, to_ld: usize);
}

/// Arrays of four floats, which the compiler maps to the target's own vectors.
pub struct Portable;

impl Simd for Portable {
    type V = [f32; 4];
    const LANES: usize = 4;
    #[inline(always)]
    unsafe fn zero() -> Self::V {
        [0.0; 4]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::V {
        // SAFETY: the caller vouches for four floats; alignment is not assumed.
        unsafe { p.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Self::V) {
        // SAFETY: as for `load`.
        unsafe { p.cast::<[f32; 4]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn splat(p: *const f32) -> Self::V {
        // SAFETY: the caller vouches for one float.
        [unsafe { *p }; 4]
    }
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // `mul_add` is a library call where the target has no such instruction.
        #[cfg(target_arch = "aarch64")]
        let f = |i: usize| a[i].mul_add(b[i], c[i]);
        #[cfg(not(target_arch = "aarch64"))]
        let f = |i: usize| a[i] * b[i] + c[i];
        [f(0), f(1), f(2), f(3)]
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]]
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        [0, 1, 2, 3].map(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_ld: usize, to: *mut f32, to_ld: usize) {
        // SAFETY: four rows of four floats on either side.
        unsafe {
            let r = [0, 1, 2, 3].map(|i| Self::load(from.add(i * from_ld)));
            for j in 0..4 {
                Self::store(to.add(j * to_ld), [r[0][j], r[1][j], r[2][j], r[3][j]]);
            }
        }
    }
}

/// One float, where there are not enough for a vector.
pub struct Scalar;

impl Simd for Scalar {
    type V = f32;
    const LANES: usize = 1;
    #[inline(always)]
    unsafe fn zero() -> Self::V {
        0.0
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::V {
        // SAFETY: the caller vouches for one float.
        unsafe { *p }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Self::V) {
        // SAFETY: as for `load`.
        unsafe { *p = v }
    }
    #[inline(always)]
    unsafe fn splat(p: *const f32) -> Self::V {
        // SAFETY: as for `load`.
        unsafe { *p }
    }
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        a * b + c
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        a + b
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        if a > b { a } else { b }
    }
    #[inline(always)]
    unsafe fn transpose(from: *const f32, _from_ld: usize, to: *mut f32, _to_ld: usize) {
        // SAFETY: as for `load`.
        unsafe { *to = *from }
    }
}

#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "each is one instruction, or a few, under the trait's contract"
)]
mod x86 {
    use super::Simd;
    use std::arch::x86_64::*;

    /// Registers of AVX2, with FMA.
    pub struct Avx2;
    /// Registers of AVX-512.
    pub struct Avx512;

    // SAFETY (all bodies below): the trait's contract passes the presence of the instructions and the validity of the
    // pointers on to the caller; the unaligned forms are used throughout.
    impl Simd for Avx2 {
        type V = __m256;
        const LANES: usize = 8;
        #[inline(always)]
        unsafe fn zero() -> Self::V {
            unsafe { _mm256_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self::V {
            unsafe { _mm256_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn store(p: *mut f32, v: Self::V) {
            unsafe { _mm256_storeu_ps(p, v) }
        }
        #[inline(always)]
        unsafe fn splat(p: *const f32) -> Self::V {
            unsafe { _mm256_set1_ps(*p) }
        }
        #[inline(always)]
        unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm256_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm256_max_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn prefetch(p: *const f32) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
        }
        #[inline(always)]
        unsafe fn transpose(from: *const f32, from_ld: usize, to: *mut f32, to_ld: usize) {
            unsafe {
                let mut r = [_mm256_setzero_ps(); 8];
                for i in 0..8 {
                    r[i] = _mm256_loadu_ps(from.add(i * from_ld));
                }
                // q[4 g + j], half L: column 4 L + j of rows 4 g .. 4 g + 4.
                let mut q = r;
                for g in 0..2 {
                    let (a, b) = (4 * g, 4 * g + 2);
                    let (lo0, hi0) = (_mm256_unpacklo_ps(r[a], r[a + 1]), _mm256_unpackhi_ps(r[a], r[a + 1]));
                    let (lo1, hi1) = (_mm256_unpacklo_ps(r[b], r[b + 1]), _mm256_unpackhi_ps(r[b], r[b + 1]));
                    q[a] = _mm256_shuffle_ps::<0x44>(lo0, lo1);
                    q[a + 1] = _mm256_shuffle_ps::<0xee>(lo0, lo1);
                    q[a + 2] = _mm256_shuffle_ps::<0x44>(hi0, hi1);
                    q[a + 3] = _mm256_shuffle_ps::<0xee>(hi0, hi1);
                }
                for j in 0..4 {
                    _mm256_storeu_ps(to.add(j * to_ld), _mm256_permute2f128_ps::<0x20>(q[j], q[4 + j]));
                    _mm256_storeu_ps(to.add((4 + j) * to_ld), _mm256_permute2f128_ps::<0x31>(q[j], q[4 + j]));
                }
            }
        }
    }

    impl Simd for Avx512 {
        type V = __m512;
        const LANES: usize = 16;
        #[inline(always)]
        unsafe fn zero() -> Self::V {
            unsafe { _mm512_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self::V {
            unsafe { _mm512_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn store(p: *mut f32, v: Self::V) {
            unsafe { _mm512_storeu_ps(p, v) }
        }
        #[inline(always)]
        unsafe fn splat(p: *const f32) -> Self::V {
            unsafe { _mm512_set1_ps(*p) }
        }
        #[inline(always)]
        unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm512_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
            unsafe { _mm512_max_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn prefetch(p: *const f32) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
        }
        #[inline(always)]
        unsafe fn transpose(from: *const f32, from_ld: usize, to: *mut f32, to_ld: usize) {
            unsafe {
                let mut r = [_mm512_setzero_ps(); 16];
                for i in 0..16 {
                    r[i] = _mm512_loadu_ps(from.add(i * from_ld));
                }
                // q[4 g + j], quarter L: column 4 L + j of rows 4 g .. 4 g + 4.
                let mut q = r;
                for g in 0..4 {
                    let (a, b) = (4 * g, 4 * g + 2);
                    let (lo0, hi0) = (_mm512_unpacklo_ps(r[a], r[a + 1]), _mm512_unpackhi_ps(r[a], r[a + 1]));
                    let (lo1, hi1) = (_mm512_unpacklo_ps(r[b], r[b + 1]), _mm512_unpackhi_ps(r[b], r[b + 1]));
                    q[a] = _mm512_shuffle_ps::<0x44>(lo0, lo1);
                    q[a + 1] = _mm512_shuffle_ps::<0xee>(lo0, lo1);
                    q[a + 2] = _mm512_shuffle_ps::<0x44>(hi0, hi1);
                    q[a + 3] = _mm512_shuffle_ps::<0xee>(hi0, hi1);
                }
                for j in 0..4 {
                    // Even quarters of groups 0, 1 and of 2, 3; then odd ones.
                    let a = _mm512_shuffle_f32x4::<0x88>(q[j], q[4 + j]);
                    let b = _mm512_shuffle_f32x4::<0x88>(q[8 + j], q[12 + j]);
                    let c = _mm512_shuffle_f32x4::<0xdd>(q[j], q[4 + j]);
                    let d = _mm512_shuffle_f32x4::<0xdd>(q[8 + j], q[12 + j]);
                    _mm512_storeu_ps(to.add(j * to_ld), _mm512_shuffle_f32x4::<0x88>(a, b));
                    _mm512_storeu_ps(to.add((4 + j) * to_ld), _mm512_shuffle_f32x4::<0x88>(c, d));
                    _mm512_storeu_ps(to.add((8 + j) * to_ld), _mm512_shuffle_f32x4::<0xdd>(a, b));
                    _mm512_storeu_ps(to.add((12 + j) * to_ld), _mm512_shuffle_f32x4::<0xdd>(c, d));
                }
            }
        }
    }
}
