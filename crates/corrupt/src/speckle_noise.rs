//! Speckle noise: x + x·N(0, σ), each value on its own. Source: Hendrycks & Dietterich 2019.

use dyntta_image::{Rgb8, Stream};

use crate::level::{Level, Table};
use crate::raster::{level, unit};
use crate::registry::{Entry, Resources, Suite};

pub(crate) const ENTRY: Entry = Entry {
    name: "speckle_noise",
    summary: "Noise in proportion to the light, as of radar and ultrasound.",
    suite: Suite::Extra4,
    random: true,
    apply,
};

/// σ, as a fraction of the value.
const SIGMA: Table<f32> =
    Table { imagenet: [0.15, 0.2, 0.35, 0.45, 0.6], cifar: [0.06, 0.1, 0.12, 0.16, 0.2] };

fn apply(image: &Rgb8, at: Level, stream: &mut Stream, _: &Resources) -> Rgb8 {
    let sigma = SIGMA.at(at);
    let data = image
        .data()
        .iter()
        .map(|&v| {
            let x = unit(v);
            level(x + x * sigma * stream.normal_f32())
        })
        .collect();
    Rgb8::new(image.width(), image.height(), data).expect("three bytes a pixel")
}
