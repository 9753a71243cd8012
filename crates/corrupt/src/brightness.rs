//! Brightness: V of HSV plus a constant. Source: Hendrycks & Dietterich 2019.

use dyntta_image::{Rgb8, Stream};

use crate::level::{Level, Table};
use crate::raster::{level, unit};
use crate::registry::{Entry, Resources, Suite};
use dyntta_simd::simd;

pub(crate) const ENTRY: Entry =
    Entry { name: "brightness", summary: "Stronger daylight.", suite: Suite::Common15, random: false, apply };

/// What is added to V.
const ADDED: Table<f32> = Table { imagenet: [0.1, 0.2, 0.3, 0.4, 0.5], cifar: [0.05, 0.1, 0.15, 0.2, 0.3] };

fn apply(image: &Rgb8, at: Level, _: &mut Stream, _: &Resources) -> Rgb8 {
    let added = ADDED.at(at);
    let mut out = image.clone();
    brighten(out.data_mut().as_chunks_mut().0, added);
    out
}

simd! {
    fn brighten(pixels: &mut [[u8; 3]], added: f32) {
        for pixel in pixels {
            // With hue and saturation kept, r, g and b are in proportion to V, their maximum. Black turns grey.
            let [r, g, b] = pixel.map(unit);
            let value = r.max(g).max(b);
            let brighter = (value + added).min(1.0);
            let (scale, grey) = if value > 0.0 { (brighter / value, 0.0) } else { (0.0, brighter) };
            *pixel = [level(r * scale + grey), level(g * scale + grey), level(b * scale + grey)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Preset, Severity, registry::Corruption};

    #[test]
    fn ratios_of_channels_are_kept_and_black_becomes_grey() {
        let image = Rgb8::new(2, 1, vec![100, 50, 25, 0, 0, 0]).unwrap();
        let brightness: Corruption = "brightness".parse().unwrap();
        let out = brightness.apply(&image, Preset::Imagenet, Severity::ALL[1], &mut Stream::new(0, &[]));
        // V = 100 + 51.
        assert_eq!(out.data(), [151, 75, 37, 51, 51, 51]);
    }
}
