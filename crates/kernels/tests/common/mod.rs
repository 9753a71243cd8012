//! What the test files share: a small random stream and a comparison.
#![allow(dead_code)] // each file uses some of it

/// SplitMix64 (Steele, Lea and Flood 2014).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In -1..1.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// Roughly normal, spread about 1.
    pub fn normal(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.unit() + self.unit() + self.unit()).collect()
    }

    pub fn pick(&mut self, from: &[usize]) -> usize {
        from[(self.next() % from.len() as u64) as usize]
    }
}

/// Asserts that `a` is `b` up to single-precision rounding of sums as large as the largest of `b`.
pub fn close(a: &[f32], b: &[f32], what: &str) {
    close_to(a, b, 3e-6, what);
}

/// As [`close`] with a given tolerance, relative to the largest of `b` or 1.
pub fn close_to(a: &[f32], b: &[f32], tolerance: f32, what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let scale = b.iter().fold(1.0f32, |m, v| m.max(v.abs()));
    for (i, (x, y)) in a.iter().zip(b).enumerate() {
        assert!((x - y).abs() <= tolerance * scale, "{what}: {x} for {y} at {i} (scale {scale})");
    }
}
