//! Strips of pixels, and the choice of vector instructions at run time.
//!
//! The fused sweep works on strips of a fixed number of pixels in loops that the compiler turns into vector instructions.
//! The same source is compiled for several instruction sets; [`dispatch`] takes the widest that the processor has. No
//! multiplication is fused with an addition, so all of them round alike and give the same bits.

/// Pixels that are worked on together: four vectors of AVX-512.
pub(crate) const STRIP: usize = 64;

/// One value for each pixel of a strip.
pub(crate) type Strip = [f32; STRIP];

/// Work to be compiled for each instruction set. `run` must be `#[inline(always)]`, and so must what it calls in loops.
pub(crate) trait Kernel {
    type Output;
    fn run(self) -> Self::Output;
}

/// Instruction sets, narrow ones first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Level {
    /// What the build was made for.
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// All that the processor has.
    pub fn all() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let levels = [Self::Portable, Self::Avx2, Self::Avx512];
        #[cfg(not(target_arch = "x86_64"))]
        let levels = [Self::Portable];
        levels.into_iter().filter(|level| level.available())
    }

    fn available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
        }
    }

    /// Runs `kernel` with these instructions.
    ///
    /// # Panics
    /// If the processor lacks them.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        assert!(self.available());
        match self {
            Self::Portable => kernel.run(),
            // SAFETY: the processor has the feature, as just asserted.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2(kernel) },
            // SAFETY: the processor has the features, as just asserted.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { avx512(kernel) },
        }
    }
}

/// Runs `kernel` with the widest vector instructions there are.
#[inline]
pub(crate) fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    Level::all().last().unwrap_or(Level::Portable).run(kernel)
}

/// # Safety
/// The processor must have the features.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

/// # Safety
/// The processor must have the feature.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

/// Clamps to `0..=1` with two selects.
#[inline(always)]
pub(crate) fn clamp01(x: f32) -> f32 {
    let x = if x > 0.0 { x } else { 0.0 };
    if x < 1.0 { x } else { 1.0 }
}

/// `value` where the clamp of `y` to `0..=1` passes the gradient, 0 elsewhere.
#[inline(always)]
pub(crate) fn passed(y: f32, value: f32) -> f32 {
    // One & rather than &&: no branch.
    if (y > 0.0) & (y < 1.0) { value } else { 0.0 }
}

/// The whole part of `x` brought into `0..=max`, `max` at most 2^24; 0 for NaN.
///
/// A plain `as` saturates by itself, but is not turned into vector instructions.
#[inline(always)]
pub(crate) fn whole(x: f32, max: u32) -> i32 {
    debug_assert!(max <= 1 << 24);
    let max = max as f32;
    let x = if x > 0.0 { x } else { 0.0 };
    let x = if x < max { x } else { max };
    // SAFETY: x is a number in 0..=2^24, NaN having failed the first comparison.
    unsafe { x.to_int_unchecked() }
}

/// The floor of `x` brought into `-2..=max`, `max` at most 2^30; -2 for NaN; and how far x lies above it.
#[inline(always)]
pub(crate) fn floor(x: f64, max: i32) -> (i32, f32) {
    debug_assert!(max <= 1 << 30);
    let max = f64::from(max);
    let x = if x > -2.0 { x } else { -2.0 };
    let x = if x < max { x } else { max };
    // Moved up by 2, truncation is floor.
    // SAFETY: x + 2 is a number in 0..=2^30 + 2, NaN having failed the first comparison.
    let floor = unsafe { (x + 2.0).to_int_unchecked::<i32>() } - 2;
    (floor, (x - f64::from(floor)) as f32)
}

/// Base 2 logarithm of a positive number; those below the smallest normal one count as that one.
///
/// With x = 2^e m, m in [1/sqrt 2, sqrt 2): `ln m = 2 (s + s^3/3 + s^5/5 + ..)`, `s = (m - 1)/(m + 1)`, cut after s^9.
/// Measured over all positive normal numbers: relative error below 2.6e-7 (see the test).
#[inline(always)]
pub(crate) fn log2(x: f32) -> f32 {
    let x = if x > f32::MIN_POSITIVE { x } else { f32::MIN_POSITIVE };
    // Adding the distance from sqrt(1/2) to 1 moves the exponent's step from powers of two to sqrt(2) times those.
    const HALF_ROOT: u32 = 0x3f35_04f3;
    let bits = x.to_bits().wrapping_add(0x3f80_0000 - HALF_ROOT);
    let e = (bits >> 23) as i32 - 127;
    let m = f32::from_bits((bits & 0x007f_ffff).wrapping_add(HALF_ROOT));
    let s = (m - 1.0) / (m + 1.0);
    let q = s * s;
    let tail = q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0))));
    let ln = 2.0 * (s + s * tail);
    e as f32 + ln * std::f32::consts::LOG2_E
}

/// 2 to a power between -126 and 0; lower powers count as -126.
///
/// `2^x = 2^n e^(f ln 2)` with n the integer nearest to x, the exponential by its series, cut after f^7. Measured over all
/// of the range: relative error below 1.2e-7 (see the test).
#[inline(always)]
pub(crate) fn exp2(x: f32) -> f32 {
    let x = if x > -126.0 { x } else { -126.0 };
    // Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let shifted = x + ROUND;
    let n = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let t = (x - (shifted - ROUND)) * std::f32::consts::LN_2;
    let series = t
        * (1.0
            + t * (0.5
                + t * (1.0 / 6.0
                    + t * (1.0 / 24.0 + t * (1.0 / 120.0 + t * (1.0 / 720.0 + t * (1.0 / 5040.0)))))));
    (1.0 + series) * f32::from_bits(((n + 127) << 23) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_take_anything() {
        for (x, expected) in [(f32::NAN, 0), (-1.0, 0), (0.99, 0), (3.0, 3), (254.9, 254), (1e30, 255)] {
            assert_eq!(whole(x, 255), expected);
        }
        assert_eq!(floor(f64::NAN, 9).0, -2);
        assert_eq!(floor(-1.25, 9), (-2, 0.75));
        assert_eq!(floor(-0.25, 9), (-1, 0.75));
        assert_eq!(floor(3.5, 9), (3, 0.5));
        assert_eq!(floor(f64::INFINITY, 9), (9, 0.0));
        assert_eq!(floor(f64::NEG_INFINITY, 9), (-2, 0.0));
    }

    #[test]
    fn the_logarithm_is_accurate() {
        let mut worst = 0.0f64;
        // Every 97th of the positive normal numbers, and those next to 1.
        let bits = (f32::MIN_POSITIVE.to_bits()..f32::MAX.to_bits()).step_by(9973);
        let near_one = 1.0f32.to_bits() - 3000..1.0f32.to_bits() + 3000;
        for x in bits.chain(near_one).map(f32::from_bits) {
            let exact = f64::from(x).log2();
            let error = (f64::from(log2(x)) - exact).abs();
            worst = worst.max(if exact == 0.0 { error } else { error / exact.abs() });
        }
        println!("log2: relative error {worst:.2e}");
        assert!(worst < 2.6e-7, "{worst:e}");
        assert_eq!(log2(1.0), 0.0);
    }

    #[test]
    fn the_exponential_is_accurate() {
        let mut worst = 0.0f64;
        for i in 0..=4_000_000 {
            let x = -126.0 * i as f32 / 4_000_000.0;
            let exact = f64::from(x).exp2();
            worst = worst.max((f64::from(exp2(x)) - exact).abs() / exact);
        }
        println!("exp2: relative error {worst:.2e}");
        assert!(worst < 1.2e-7, "{worst:e}");
        assert_eq!(exp2(0.0), 1.0);
        assert_eq!(exp2(-1e9), exp2(-126.0));
    }
}
