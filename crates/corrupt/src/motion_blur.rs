//! Motion blur: a one-sided Gaussian along a direction drawn from U(-45°, 45°). Source: Hendrycks & Dietterich 2019.

use dyntta_image::{Rgb8, Stream};

use crate::level::{Level, Table};
use crate::motion;
use crate::raster::Raster;
use crate::registry::{Entry, Resources, Suite};

pub(crate) const ENTRY: Entry = Entry {
    name: "motion_blur",
    summary: "A camera that moved during the exposure.",
    suite: Suite::Common15,
    random: true,
    apply,
};

/// The radius (`2 · radius + 1` taps) and σ, in pixels.
const MOTION: Table<(usize, f64)> = Table {
    imagenet: [(10, 3.0), (15, 5.0), (15, 8.0), (15, 12.0), (20, 15.0)],
    cifar: [(6, 1.0), (6, 1.5), (6, 2.0), (8, 2.0), (9, 2.5)],
};

fn apply(image: &Rgb8, at: Level, stream: &mut Stream, _: &Resources) -> Rgb8 {
    let (radius, sigma) = MOTION.at(at);
    motion::blur(&Raster::from_rgb8(image), radius, sigma, stream.range(-45.0, 45.0)).to_rgb8()
}
