//! Gaussian noise: x + N(0, σ), each value on its own. Source: Hendrycks & Dietterich 2019.

use dyntta_image::{Rgb8, Stream};

use crate::level::{Level, Table};
use crate::raster::{level, unit};
use crate::registry::{Entry, Resources, Suite};

pub(crate) const ENTRY: Entry = Entry {
    name: "gaussian_noise",
    summary: "Sensor noise in low light.",
    suite: Suite::Common15,
    random: true,
    apply,
};

/// σ, of values in `0..=1`.
const SIGMA: Table<f32> =
    Table { imagenet: [0.08, 0.12, 0.18, 0.26, 0.38], cifar: [0.04, 0.06, 0.08, 0.09, 0.10] };

fn apply(image: &Rgb8, at: Level, stream: &mut Stream, _: &Resources) -> Rgb8 {
    let sigma = SIGMA.at(at);
    let data = image.data().iter().map(|&v| level(unit(v) + sigma * stream.normal_f32())).collect();
    Rgb8::new(image.width(), image.height(), data).expect("three bytes a pixel")
}
