//! Saturation: S of HSV times a factor plus a constant. Source: Hendrycks & Dietterich 2019.

use dyntta_image::{Rgb8, Stream};

use crate::level::{Level, Table};
use crate::raster::{level, unit};
use crate::registry::{Entry, Resources, Suite};
use dyntta_simd::simd;

pub(crate) const ENTRY: Entry = Entry {
    name: "saturate",
    summary: "Colours too pale or too strong.",
    suite: Suite::Extra4,
    random: false,
    apply,
};

/// What S is multiplied by, and what is then added.
const SATURATION: Table<(f32, f32)> = Table {
    imagenet: [(0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2)],
    cifar: [(0.3, 0.0), (0.1, 0.0), (1.5, 0.0), (2.0, 0.1), (2.5, 0.2)],
};

fn apply(image: &Rgb8, at: Level, _: &mut Stream, _: &Resources) -> Rgb8 {
    let (factor, added) = SATURATION.at(at);
    let mut out = image.clone();
    scale_saturation(out.data_mut().as_chunks_mut().0, factor, added);
    out
}

simd! {
    fn scale_saturation(pixels: &mut [[u8; 3]], factor: f32, added: f32) {
        for pixel in pixels {
            let [r, g, b] = pixel.map(unit);
            let (high, low) = (r.max(g).max(b), r.min(g).min(b));
            let grey = high == low;
            // With hue and value kept, each channel's distance from V is in proportion to S.
            let saturation = (high - low) / high;
            let scale = if grey { 0.0 } else { (saturation * factor + added).clamp(0.0, 1.0) / saturation };
            // A grey has the hue 0, so what saturation is added makes it red.
            let red = if grey { high * added } else { 0.0 };
            let shifted = |v: f32| high - (high - v) * scale;
            *pixel = [level(shifted(r)), level(shifted(g) - red), level(shifted(b) - red)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Preset, Severity, registry::Corruption};

    #[test]
    fn the_maximum_stays_and_greys_turn_red_only_where_saturation_is_added() {
        let image = Rgb8::new(3, 1, vec![200, 100, 150, 80, 80, 80, 0, 0, 0]).unwrap();
        let saturate: Corruption = "saturate".parse().unwrap();
        let out = |s: usize| {
            saturate
                .apply(&image, Preset::Imagenet, Severity::ALL[s - 1], &mut Stream::new(0, &[]))
                .into_data()
        };
        assert_eq!(out(1), [200, 170, 185, 80, 80, 80, 0, 0, 0]);
        assert_eq!(out(3), [200, 0, 100, 80, 80, 80, 0, 0, 0]);
        assert_eq!(out(5), [200, 0, 100, 80, 64, 64, 0, 0, 0]);
    }
}
