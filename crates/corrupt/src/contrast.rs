//! Contrast: values drawn towards their channel's mean. Source: Hendrycks & Dietterich 2019.

use dyntta_image::{Rgb8, Stream};

use crate::level::{Level, Table};
use crate::raster::level;
use crate::registry::{Entry, Resources, Suite};

pub(crate) const ENTRY: Entry =
    Entry { name: "contrast", summary: "Flat light.", suite: Suite::Common15, random: false, apply };

/// What the distance from the mean is multiplied by.
const FACTOR: Table<f32> = Table { imagenet: [0.4, 0.3, 0.2, 0.1, 0.05], cifar: [0.75, 0.5, 0.4, 0.3, 0.15] };

fn apply(image: &Rgb8, at: Level, _: &mut Stream, _: &Resources) -> Rgb8 {
    let factor = FACTOR.at(at);
    let pixels = image.data().as_chunks::<3>().0;
    let mut sums = [0u64; 3];
    for pixel in pixels {
        for c in 0..3 {
            sums[c] += u64::from(pixel[c]);
        }
    }
    // Three tables of 256 levels are all there is to compute.
    let tables = sums.map(|sum| {
        let mean = (sum as f64 / pixels.len() as f64) as f32;
        std::array::from_fn::<u8, 256, _>(|v| level(((v as f32 - mean) * factor + mean) / 255.0))
    });
    let data = pixels.iter().flat_map(|p| [0, 1, 2].map(|c| tables[c][usize::from(p[c])])).collect();
    Rgb8::new(image.width(), image.height(), data).expect("three bytes a pixel")
}
