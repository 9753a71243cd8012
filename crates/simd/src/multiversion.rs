//! Functions compiled once for each instruction set.

/// Defines functions `name(level, args..)` whose body, plain safe Rust, is compiled once for each instruction set and run at
/// the given one; the compiler does the vectorising.
#[macro_export]
macro_rules! multiversion {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block)+) => { $(
        $(#[$meta])*
        $vis fn $name(level: $crate::Level, $($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn avx512($($arg: $ty),*) $(-> $ret)? {
                    body($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    body($($arg),*)
                }
                match level.set() {
                    // SAFETY: a level is only made where the processor has its features.
                    $crate::Set::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::Set::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::Set::Portable => {}
                }
            }
            let _ = level;
            body($($arg),*)
        }
    )+ };
}

/// As [`multiversion!`], at the level of the thread that calls: `name(args..)`.
#[macro_export]
macro_rules! simd {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block)+) => { $(
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            $crate::multiversion! {
                fn at($($arg: $ty),*) $(-> $ret)? $body
            }
            at($crate::level(), $($arg),*)
        }
    )+ };
}
