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
