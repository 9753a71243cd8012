//! Operations of the enhancer's bank, on 8-bit images: as its blend computes them, so clamped to `0..=1`.

use std::sync::LazyLock;

use dyntta_image::Rgb8;
use dyntta_ops::bank::{self, paper_names};
use dyntta_ops::ops::RadialFilter;
use dyntta_ops::ops::high_pass::HighPass;
use dyntta_ops::ops::low_pass::LowPass;
use dyntta_ops::{Bank, View, blend};

/// The published filters, in one bank: a size then needs one plan of the transform for all of them.
static FILTERS: LazyLock<Bank> = LazyLock::new(|| {
    let mut names = paper_names();
    names.retain(|name| bank::op(name).is_some_and(|op| op.keeps().is_some()));
    Bank::from_names(&names).expect("names of the published bank")
});

/// Enlarges about the centre: the factor is `share` (-1 to 1) of its range from 1.
pub(crate) fn scale(image: &mut Rgb8, share: f64) {
    single(image, "scale", (share as f32).atanh());
}

/// Turns the hue: by `share` (-1 to 1) of the range.
pub(crate) fn hue(image: &mut Rgb8, share: f64) {
    single(image, "hue", (share as f32).atanh());
}

/// Raises to the power of `factor`.
pub(crate) fn gamma(image: &mut Rgb8, factor: f64) {
    let magnitude =
        dyntta_ops::bank::op("gamma").and_then(|op| op.magnitude()).expect("gamma has a magnitude");
    single(image, "gamma", magnitude.raw(factor as f32));
}

/// Takes every value from the image's largest.
pub(crate) fn invert(image: &mut Rgb8, _: f64) {
    single(image, "invert", 0.0);
}

/// Keeps the frequencies up to the radius `1 - share`, to the nearest twentieth; all of them at 1.
pub(crate) fn low_pass(image: &mut Rgb8, share: f64) {
    let radius = twentieth(1.0 - share);
    if radius < 1.0 {
        filter(image, &format!("{}_{radius:.2}", LowPass::FAMILY));
    }
}

/// Keeps the frequencies above the radius `share`, to the nearest twentieth; all of them at 0.
pub(crate) fn high_pass(image: &mut Rgb8, share: f64) {
    let radius = twentieth(share);
    if radius > 0.0 {
        filter(image, &format!("{}_{radius:.2}", HighPass::FAMILY));
    }
}

fn twentieth(radius: f64) -> f64 {
    (radius * 20.0).round() / 20.0
}

/// The radial filter of this name.
pub(crate) fn filter(image: &mut Rgb8, name: &str) {
    match FILTERS.names().position(|published| published == name) {
        Some(slot) => alone(image, &FILTERS, slot, 0.0),
        None => single(image, name, 0.0),
    }
}

/// The op `name` of the bank, its factor that of the raw value. Where that is `centre + reach·tanh(raw)`, atanh of a share
/// is the raw value of that share of the reach.
fn single(image: &mut Rgb8, name: &str, raw: f32) {
    alone(image, &Bank::from_names(&[name]).expect("a name of the bank"), 0, raw);
}

/// The op at `slot` alone.
pub(crate) fn alone(image: &mut Rgb8, bank: &Bank, slot: usize, raw: f32) {
    let (h, w) = (image.height(), image.width());
    let planar = image.to_planar();
    let mut out = vec![0.0; planar.len()];
    View::new(&planar, h, w)
        .and_then(|view| blend::apply(bank, slot, view, raw, &mut out))
        .expect("an op of the bank, and an image of up to 2^30 pixels, as files have");
    *image = Rgb8::from_planar(w, h, &out).expect("three bytes a pixel");
}
