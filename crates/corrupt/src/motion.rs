//! The motion blur that `motion_blur` and `snow` share.

use crate::correlate::{Tap, correlate};
use crate::raster::{Border, Raster};

/// Blurs along a direction, with the image's edge repeated outwards.
///
/// A one-sided Gaussian of `2 · radius + 1` taps: the tap `i` has the weight `exp(-i² / 2σ²)`, normalised, and lies at
/// `(i cos, i sin)` of `angle` (degrees, 0 along the row, clockwise), rounded to the nearest pixel, halves downwards.
pub(crate) fn blur(source: &Raster, radius: usize, sigma: f64, angle: f64) -> Raster {
    correlate(source, &taps(radius, sigma, angle), Border::Nearest)
}

fn taps(radius: usize, sigma: f64, angle: f64) -> Vec<Tap> {
    let (sin, cos) = angle.to_radians().sin_cos();
    let weight = |i: usize| (-0.5 * (i as f64 / sigma).powi(2)).exp();
    let sum: f64 = (0..=2 * radius).map(weight).sum();
    let at = |v: f64| (v - 0.5).ceil() as isize;
    (0..=2 * radius)
        .map(|i| Tap { dx: at(i as f64 * cos), dy: at(i as f64 * sin), weight: (weight(i) / sum) as f32 })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_becomes_a_one_sided_trail() {
        let mut source = Raster::zeros(9, 9, 1);
        source.row_mut(4)[4] = 1.0;
        let along = blur(&source, 1, 1.0, 0.0);
        let weights = [1.0f32, (-0.5f32).exp(), (-2.0f32).exp()];
        let sum: f32 = weights.iter().sum();
        for (i, w) in weights.iter().enumerate() {
            assert!((along.row(4)[4 - i] - w / sum).abs() < 1e-6);
        }
        let down = blur(&source, 1, 1.0, 90.0);
        assert!((0..3).all(|i| (down.row(4 - i)[4] - weights[i] / sum).abs() < 1e-6));
    }

    #[test]
    fn a_trail_longer_than_the_image_repeats_its_edge() {
        let source = Raster::new(2, 1, 1, vec![0.25, 0.75]);
        let out = blur(&source, 20, 15.0, -135.0);
        assert!(out.data.iter().all(|v| (0.249..=0.751).contains(v)));
    }
}
