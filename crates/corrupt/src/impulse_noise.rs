//! Impulse noise: a fraction of the values becomes 0 or 1, evenly. Source: Hendrycks & Dietterich 2019 (the
//! salt-and-pepper noise of scikit-image, each channel on its own).

use dyntta_image::{Rgb8, Stream};

use crate::level::{Level, Table};
use crate::registry::{Entry, Resources, Suite};

pub(crate) const ENTRY: Entry = Entry {
    name: "impulse_noise",
    summary: "Salt and pepper: values lost to bit errors.",
    suite: Suite::Common15,
    random: true,
    apply,
};

/// The fraction of values that are replaced.
const AMOUNT: Table<f64> =
    Table { imagenet: [0.03, 0.06, 0.09, 0.17, 0.27], cifar: [0.01, 0.02, 0.03, 0.05, 0.07] };

fn apply(image: &Rgb8, at: Level, stream: &mut Stream, _: &Resources) -> Rgb8 {
    let salt_and_pepper = (AMOUNT.at(at) * 4_294_967_296.0) as u32;
    let salt = salt_and_pepper / 2;
    let data = image
        .data()
        .iter()
        .map(|&v| match stream.next_u32() {
            u if u < salt => 255,
            u if u < salt_and_pepper => 0,
            _ => v,
        })
        .collect();
    Rgb8::new(image.width(), image.height(), data).expect("three bytes a pixel")
}
