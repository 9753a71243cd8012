/// Compiles a function twice, for the baseline and for AVX2, and picks at run time.
///
/// The body is plain Rust over slices; the compiler vectorises it. Fused multiply-add is left off on purpose: without it
/// every lane does the same IEEE operations in the same order whatever the vector width, so all machines give the same
/// image.
#[doc(hidden)]
#[macro_export]
macro_rules! simd {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) {
            #[inline(always)]
            fn body($($arg: $ty),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $ty),*) {
                    body($($arg),*);
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has AVX2, the only requirement of a safe body compiled for it.
                    return unsafe { avx2($($arg),*) };
                }
            }
            body($($arg),*);
        }
    };
}

/// The whole number nearest to `v`, halves to even, for magnitudes below 2²²; NaN gives 0.
///
/// Adding 1.5 · 2²³ leaves no bits for a fraction and the number in the lowest bits: two instructions, where a conversion
/// that is defined for all inputs takes many.
#[doc(hidden)]
#[inline(always)]
pub fn nearest(v: f32) -> i32 {
    const MAGIC: f32 = 12_582_912.0;
    let shifted = v + MAGIC;
    if shifted.is_nan() { 0 } else { (shifted.to_bits() as i32) - (MAGIC.to_bits() as i32) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_is_rounding_to_even() {
        for v in (-4096..4096).map(|i| i as f32 / 8.0) {
            assert_eq!(nearest(v), v.round_ties_even() as i32, "{v}");
        }
        assert_eq!(nearest(f32::NAN), 0);
    }
}
