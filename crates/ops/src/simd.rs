//! Strips of pixels, what the fused sweep works on.
//!
//! Its loops run over strips of a fixed number of pixels and are turned into vector instructions by the compiler, for each
//! instruction set; see [`dyntta_simd`]. All of them give the same bits.

pub(crate) use dyntta_simd::math::{clamp01, exp2, floor, log2, passed, whole};
pub(crate) use dyntta_simd::{Kernel, dispatch};

/// Pixels that are worked on together: four vectors of AVX-512.
pub(crate) const STRIP: usize = 64;

/// One value for each pixel of a strip.
pub(crate) type Strip = [f32; STRIP];
