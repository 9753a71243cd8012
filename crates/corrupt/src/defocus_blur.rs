//! Defocus blur: correlation with a disk, the image mirrored at its border without repeating the edge pixel. Source:
//! Hendrycks & Dietterich 2019.

use dyntta_image::{Rgb8, Stream};

use crate::correlate::{Tap, correlate};
use crate::level::{Level, PerLevel, Table};
use crate::raster::{Border, Raster};
use crate::registry::{Entry, Resources, Suite};

pub(crate) const ENTRY: Entry = Entry {
    name: "defocus_blur",
    summary: "A lens out of focus.",
    suite: Suite::Common15,
    random: false,
    apply,
};

/// The disk's radius in pixels, and the σ of the Gaussian that softens its edge.
const DISK: Table<(f64, f64)> = Table {
    imagenet: [(3.0, 0.1), (4.0, 0.5), (6.0, 0.5), (8.0, 0.5), (10.0, 0.5)],
    cifar: [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1)],
};

fn apply(image: &Rgb8, at: Level, _: &mut Stream, _: &Resources) -> Rgb8 {
    static KERNELS: PerLevel<Vec<Tap>> = PerLevel::new();
    let taps = KERNELS.at(at, || {
        let (radius, sigma) = DISK.at(at);
        disk(radius, sigma)
    });
    correlate(&Raster::from_rgb8(image), taps, Border::Mirror).to_rgb8()
}

/// The disk on a grid of whole pixels, normalised, then blurred.
///
/// Up to radius 8 the grid is -8..=8 and the blur has 3×3 taps, above it -r..=r and 5×5; the grid is mirrored at its
/// border without repeating it. A disk that reaches the border (radius 8 and 10) gains 1 % of its sum by that, and the
/// published images are that much brighter; it is kept.
fn disk(radius: f64, sigma: f64) -> Vec<Tap> {
    let (reach, side) = if radius <= 8.0 { (8, 1) } else { (radius as isize, 2) };
    let n = (2 * reach + 1) as usize;
    let inside = |x: isize, y: isize| ((x * x + y * y) as f64) <= radius * radius;
    let mut grid: Vec<f64> = (-reach..=reach)
        .flat_map(|y| (-reach..=reach).map(move |x| f64::from(u8::from(inside(x, y)))))
        .collect();
    let area: f64 = grid.iter().sum();
    grid.iter_mut().for_each(|v| *v /= area);

    let weight = |j: isize| (-0.5 * (j as f64 / sigma).powi(2)).exp();
    let total: f64 = (-side..=side).map(weight).sum();
    let at =
        |grid: &[f64], x: isize, y: isize| grid[Border::Mirror.index(y, n) * n + Border::Mirror.index(x, n)];
    for (step_x, step_y) in [(1, 0), (0, 1)] {
        let before = grid.clone();
        for y in 0..n as isize {
            for x in 0..n as isize {
                grid[y as usize * n + x as usize] = (-side..=side)
                    .map(|j| weight(j) / total * at(&before, x + j * step_x, y + j * step_y))
                    .sum();
            }
        }
    }
    let mut taps = Vec::new();
    for (i, &weight) in grid.iter().enumerate() {
        // Gaussians of σ = 0.1 and 0.2 have side weights down to 1e-22, which f32 sums do not see.
        if weight > 1e-9 {
            taps.push(Tap {
                dx: (i % n) as isize - reach,
                dy: (i / n) as isize - reach,
                weight: weight as f32,
            });
        }
    }
    taps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_sums_to_one_and_is_round() {
        for at in Level::all() {
            let (radius, sigma) = DISK.at(at);
            let taps = disk(radius, sigma);
            let sum: f64 = taps.iter().map(|t| f64::from(t.weight)).sum();
            // See `disk`: two of them reach their grid's border.
            let least = if radius >= 8.0 { 1.005 } else { 1.0 - 1e-6 };
            let most = if radius >= 8.0 { 1.015 } else { 1.0 + 1e-6 };
            assert!((least..=most).contains(&sum), "{at:?}: {sum}");
            for t in &taps {
                let turned = taps.iter().find(|o| (o.dx, o.dy) == (-t.dy, t.dx)).unwrap();
                assert!((turned.weight - t.weight).abs() < 1e-7);
            }
        }
        assert_eq!(disk(3.0, 0.1).len(), 29);
        assert_eq!(disk(1.5, 0.1).len(), 9);
    }
}
