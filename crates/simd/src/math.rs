//! Functions on single numbers that the compiler turns into vector instructions, with their measured errors.

/// Clamps to `0..=1` with two selects.
#[inline(always)]
pub fn clamp01(x: f32) -> f32 {
    let x = if x > 0.0 { x } else { 0.0 };
    if x < 1.0 { x } else { 1.0 }
}

/// `value` where the clamp of `y` to `0..=1` passes the gradient, 0 elsewhere.
#[inline(always)]
pub fn passed(y: f32, value: f32) -> f32 {
    // One & rather than &&: no branch.
    if (y > 0.0) & (y < 1.0) { value } else { 0.0 }
}

/// The whole part of `x` brought into `0..=max`, `max` at most 2^24; 0 for NaN.
///
/// A plain `as` saturates by itself, but is not turned into vector instructions.
#[inline(always)]
pub fn whole(x: f32, max: u32) -> i32 {
    debug_assert!(max <= 1 << 24);
    let max = max as f32;
    let x = if x > 0.0 { x } else { 0.0 };
    let x = if x < max { x } else { max };
    // SAFETY: x is a number in 0..=2^24, NaN having failed the first comparison.
    unsafe { x.to_int_unchecked() }
}

/// The floor of `x` brought into `-2..=max`, `max` at most 2^30; -2 for NaN; and how far x lies above it.
#[inline(always)]
pub fn floor(x: f64, max: i32) -> (i32, f32) {
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
pub fn log2(x: f32) -> f32 {
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
pub fn exp2(x: f32) -> f32 {
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

/// The whole number nearest to `v`, halves to even, for magnitudes below 2²²; NaN gives 0.
///
/// Adding 1.5 · 2²³ leaves no bits for a fraction and the number in the lowest bits: two instructions, where a conversion
/// that is defined for all inputs takes many.
#[inline(always)]
pub fn nearest(v: f32) -> i32 {
    const MAGIC: f32 = 12_582_912.0;
    let shifted = v + MAGIC;
    if shifted.is_nan() { 0 } else { (shifted.to_bits() as i32) - (MAGIC.to_bits() as i32) }
}

#[cfg(test)]
#[allow(clippy::disallowed_macros, reason = "tests print")]
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
    fn nearest_is_rounding_to_even() {
        for v in (-4096..4096).map(|i| i as f32 / 8.0) {
            assert_eq!(nearest(v), v.round_ties_even() as i32, "{v}");
        }
        assert_eq!(nearest(f32::NAN), 0);
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
