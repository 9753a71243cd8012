//! Snow: a whitened image under two layers of motion-blurred flakes. Source: Hendrycks & Dietterich 2019.

use dyntta_image::{Rgb8, Stream};

use crate::level::{Level, Table};
use crate::raster::Raster;
use crate::registry::{Entry, Resources, Suite};
use crate::{motion, zoom};

pub(crate) const ENTRY: Entry = Entry {
    name: "snow",
    summary: "Falling snow, driven by the wind.",
    suite: Suite::Common15,
    random: true,
    apply,
};

#[derive(Clone, Copy)]
struct Snow {
    /// Mean and standard deviation of the noise that flakes are cut from.
    mean: f32,
    sigma: f32,
    /// How much the noise is enlarged.
    zoom: f64,
    /// Noise below this is no flake.
    threshold: f32,
    /// The motion blur's radius and σ, in pixels.
    radius: usize,
    blur: f64,
    /// How much of the image is kept as it is; the rest is whitened.
    keep: f32,
}

const fn p(mean: f32, sigma: f32, zoom: f64, threshold: f32, radius: usize, blur: f64, keep: f32) -> Snow {
    Snow { mean, sigma, zoom, threshold, radius, blur, keep }
}

const SNOW: Table<Snow> = Table {
    imagenet: [
        p(0.1, 0.3, 3.0, 0.5, 10, 4.0, 0.8),
        p(0.2, 0.3, 2.0, 0.5, 12, 4.0, 0.7),
        p(0.55, 0.3, 4.0, 0.9, 12, 8.0, 0.7),
        p(0.55, 0.3, 4.5, 0.85, 12, 8.0, 0.65),
        p(0.55, 0.3, 2.5, 0.85, 12, 12.0, 0.55),
    ],
    cifar: [
        p(0.1, 0.2, 1.0, 0.6, 8, 3.0, 0.95),
        p(0.1, 0.2, 1.0, 0.5, 10, 4.0, 0.9),
        p(0.15, 0.3, 1.75, 0.55, 10, 4.0, 0.9),
        p(0.25, 0.3, 2.25, 0.6, 12, 6.0, 0.85),
        p(0.3, 0.3, 1.25, 0.65, 14, 12.0, 0.8),
    ],
};

fn apply(image: &Rgb8, at: Level, stream: &mut Stream, _: &Resources) -> Rgb8 {
    let snow = SNOW.at(at);
    let layer = flakes(image.width(), image.height(), &snow, stream);
    let mut out = Raster::from_rgb8(image);
    // The layer turned by 180° is the layer read backwards.
    for ((pixel, &a), &b) in
        out.data.as_chunks_mut::<3>().0.iter_mut().zip(&layer.data).zip(layer.data.iter().rev())
    {
        let grey = 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
        let white = grey * 1.5 + 0.5;
        for v in pixel {
            *v = snow.keep * *v + (1.0 - snow.keep) * v.max(white) + (a + b);
        }
    }
    out.to_rgb8()
}

fn flakes(width: usize, height: usize, snow: &Snow, stream: &mut Stream) -> Raster {
    // Only the part of the noise that the enlargement shows is drawn.
    let (w, h) = (zoom::visible(width, snow.zoom), zoom::visible(height, snow.zoom));
    let noise = (0..w * h).map(|_| snow.mean + snow.sigma * stream.normal_f32()).collect();
    let noise = Raster::new(w, h, 1, noise);
    let mut layer = Raster::zeros(width, height, 1);
    let crop = zoom::Crop { source: &noise, left: 0, top: 0, width: w };
    zoom::add_stretched(&crop, &zoom::axis(width, snow.zoom), &zoom::axis(height, snow.zoom), &mut layer);
    for v in &mut layer.data {
        *v = if *v < snow.threshold { 0.0 } else { *v };
    }
    layer.quantise();
    motion::blur(&layer, snow.radius, snow.blur, stream.range(-135.0, -45.0))
}
