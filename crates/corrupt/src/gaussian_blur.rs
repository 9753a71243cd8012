//! Gaussian blur, cut at 4σ, the image's edge repeated. Source: Hendrycks & Dietterich 2019.

use dyntta_image::{Rgb8, Stream};

use crate::gaussian::{Kernel, blur};
use crate::level::{Level, PerLevel, Table};
use crate::raster::{Border, Raster};
use crate::registry::{Entry, Resources, Suite};

pub(crate) const ENTRY: Entry =
    Entry { name: "gaussian_blur", summary: "A soft lens.", suite: Suite::Extra4, random: false, apply };

/// σ in pixels.
const SIGMA: Table<f64> = Table { imagenet: [1.0, 2.0, 3.0, 4.0, 6.0], cifar: [0.4, 0.6, 0.7, 0.8, 1.0] };

fn apply(image: &Rgb8, at: Level, _: &mut Stream, _: &Resources) -> Rgb8 {
    static KERNELS: PerLevel<Kernel> = PerLevel::new();
    let kernel = KERNELS.at(at, || Kernel::new(SIGMA.at(at), 4.0));
    blur(&Raster::from_rgb8(image), kernel, Border::Nearest).to_rgb8()
}
