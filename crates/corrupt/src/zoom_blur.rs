//! Zoom blur: the mean of the image and of enlargements of its centre. Source: Hendrycks & Dietterich 2019.

use dyntta_image::{Rgb8, Stream};

use crate::level::{Level, Table};
use crate::raster::Raster;
use crate::registry::{Entry, Resources, Suite};
use crate::zoom;

pub(crate) const ENTRY: Entry = Entry {
    name: "zoom_blur",
    summary: "A camera that moved towards the scene during the exposure.",
    suite: Suite::Common15,
    random: false,
    apply,
};

/// The factors run from 1 up to this end, excluded, in this step.
const ZOOM: Table<(f64, f64)> = Table {
    imagenet: [(1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)],
    cifar: [(1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)],
};

fn apply(image: &Rgb8, at: Level, _: &mut Stream, _: &Resources) -> Rgb8 {
    let (end, step) = ZOOM.at(at);
    let factors = factors(end, step);
    let source = Raster::from_rgb8(image);
    let mut sum = source.clone();
    for &factor in &factors {
        zoom::add_zoomed(&source, factor, &mut sum);
    }
    let scale = 1.0 / (factors.len() + 1) as f32;
    sum.data.iter_mut().for_each(|v| *v *= scale);
    sum.to_rgb8()
}

/// `1, 1 + step, …`, `ceil((end - 1) / step)` of them in binary arithmetic, as NumPy's `arange` counts: rounding makes
/// 1.11 and 1.06 themselves appear.
fn factors(end: f64, step: f64) -> Vec<f64> {
    // NumPy multiplies by the difference of the first two values, which is not quite `step`; 25 · 0.01 is then above 0.25,
    // and rounding a size goes the other way.
    let step_taken = (1.0 + step) - 1.0;
    (0..((end - 1.0) / step).ceil() as usize).map(|i| 1.0 + i as f64 * step_taken).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_counted_as_numpy_does() {
        let counts: Vec<usize> = Level::all()
            .map(|at| {
                let (end, step) = ZOOM.at(at);
                factors(end, step).len()
            })
            .collect();
        assert_eq!(counts, [12, 16, 11, 13, 11, 7, 12, 16, 21, 26]);
    }
}
