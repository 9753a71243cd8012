//! Loops compiled for the baseline and for AVX2; see the macro.

pub(crate) use dyntta_image::simd;
