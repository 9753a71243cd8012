//! Run-time choice of the instruction set, and the vector operations the micro-kernels are written in.
//!
//! The level is the best the processor has, capped by the environment variable `DYNTTA_SIMD`
//! (`portable`, `avx2` or `avx512`; read once; an unknown word is ignored). A test forces a lower level for the
//! calls one thread makes with [`with_level`].

use std::cell::Cell;
use std::sync::OnceLock;

/// Instruction set a kernel is built for, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Whatever the target guarantees (SSE2 on x86-64, NEON on AArch64), vectorised by the compiler.
    Portable,
    /// AVX2 and FMA: 16 registers of 8 floats.
    Avx2,
    /// AVX-512 F, BW, DQ and VL: 32 registers of 16 floats.
    Avx512,
}

impl Level {
    /// Every level this processor can run, `DYNTTA_SIMD` notwithstanding, worst first.
    pub fn available() -> &'static [Level] {
        const ALL: [Level; 3] = [Level::Portable, Level::Avx2, Level::Avx512];
        &ALL[..=detected() as usize]
    }
}

thread_local! {
    static FORCED: Cell<Option<Level>> = const { Cell::new(None) };
}

fn detected() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        static FOUND: OnceLock<Level> = OnceLock::new();
        *FOUND.get_or_init(|| {
            let fma = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let wide = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            match (fma, wide) {
                (true, true) => Level::Avx512,
                (true, false) => Level::Avx2,
                _ => Level::Portable,
            }
        })
    }
    #[cfg(not(target_arch = "x86_64"))]
    Level::Portable
}

/// The level kernels called from this thread use.
pub fn level() -> Level {
    static CAPPED: OnceLock<Level> = OnceLock::new();
    FORCED.with(Cell::get).unwrap_or_else(|| {
        *CAPPED.get_or_init(|| {
            let cap = match std::env::var("DYNTTA_SIMD").as_deref() {
                Ok("portable") => Level::Portable,
                Ok("avx2") => Level::Avx2,
                _ => Level::Avx512,
            };
            cap.min(detected())
        })
    })
}

/// Runs `f` with every kernel it calls from this thread held to `level` (or to the best the processor has, where that
/// is less).
pub fn with_level<R>(level: Level, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<Level>);
    impl Drop for Restore {
        fn drop(&mut self) {
            FORCED.with(|c| c.set(self.0));
        }
    }
    let _restore = Restore(FORCED.with(|c| c.replace(Some(level.min(detected())))));
    f()
}

/// Vector operations of one instruction set.
///
/// # Safety
/// Every function may be called only from code compiled with (and running on a processor that has) the
/// instruction set; pointers must be valid for `LANES` floats, one for `splat`; no alignment is asked for.
pub(crate) trait Simd {
    /// A register of `LANES` floats.
    type V: Copy;
    /// Floats in a register.
    const LANES: usize;
    /// All lanes zero.
    unsafe fn zero() -> Self::V;
    /// Reads `LANES` floats.
    unsafe fn load(p: *const f32) -> Self::V;
    /// Writes `LANES` floats.
    unsafe fn store(p: *mut f32, v: Self::V);
    /// Reads one float into all lanes.
    unsafe fn splat(p: *const f32) -> Self::V;
    /// a * b + c
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// a + b
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// Asks for the cache line at `p`, which need not be readable.
    unsafe fn prefetch(_p: *const f32) {}
    /// Transposes a square of `LANES` rows, `from_ld` and `to_ld` floats apart.
    unsafe fn transpose(from: *const f32, from_ld: usize, to: *mut f32, to_ld: usize);
}

/// Arrays of four floats, which the compiler maps to the target's own vectors.
pub(crate) struct Portable;

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
pub(crate) struct Scalar;

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
    unsafe fn transpose(from: *const f32, _from_ld: usize, to: *mut f32, _to_ld: usize) {
        // SAFETY: as for `load`.
        unsafe { *to = *from }
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Simd;
    use std::arch::x86_64::*;

    pub(crate) struct Avx2;
    pub(crate) struct Avx512;

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

/// Defines a function `name(level, args..)` whose body, plain safe Rust, is compiled once for each instruction set
/// and run at the given one; the compiler does the vectorising.
macro_rules! multiversion {
    ($(#[$meta:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        fn $name(level: $crate::simd::Level, $($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($arg: $ty),*) $(-> $ret)? {
                body($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) $(-> $ret)? {
                body($($arg),*)
            }
            match level {
                // SAFETY: a level above `Portable` is only ever handed out where the processor has it.
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Level::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Level::Avx2 => unsafe { avx2($($arg),*) },
                _ => body($($arg),*),
            }
        }
    };
}
pub(crate) use multiversion;
