//! Glass blur: a Gaussian blur, pixels displaced at random by a few, and the blur again. Source: Hendrycks & Dietterich
//! 2019.

use dyntta_image::{Rgb8, Stream};

use crate::gaussian::{Kernel, blur};
use crate::level::{Level, PerLevel, Table};
use crate::raster::{Border, Raster};
use crate::registry::{Entry, Resources, Suite};

pub(crate) const ENTRY: Entry = Entry {
    name: "glass_blur",
    summary: "A view through frosted glass.",
    suite: Suite::Common15,
    random: true,
    apply,
};

/// The blur's σ in pixels, the greatest displacement d, and the number of passes.
const GLASS: Table<(f64, usize, usize)> = Table {
    imagenet: [(0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2)],
    cifar: [(0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)],
};

fn apply(image: &Rgb8, at: Level, stream: &mut Stream, _: &Resources) -> Rgb8 {
    static KERNELS: PerLevel<Kernel> = PerLevel::new();
    let (sigma, reach, passes) = GLASS.at(at);
    let kernel = KERNELS.at(at, || Kernel::new(sigma, 4.0));
    let blurred = |image: &Rgb8| blur(&Raster::from_rgb8(image), kernel, Border::Nearest).to_rgb8();
    let mut displaced = blurred(image);
    for _ in 0..passes {
        displace(&mut displaced, reach, stream);
    }
    blurred(&displaced)
}

/// Each pixel takes the value of one up to `reach` away, both offsets uniform in `-reach..reach`.
///
/// In place, rows from `height - reach` down to `reach + 1` and columns likewise, so what a pixel takes may have been
/// displaced before. The published data was made so: the exchange of two pixels that its code spells out in effect copies
/// one way.
fn displace(image: &mut Rgb8, reach: usize, stream: &mut Stream) {
    let (w, h) = (image.width(), image.height());
    let pixels = image.data_mut().as_chunks_mut::<3>().0;
    let span = 2 * reach as u64;
    for y in (reach + 1..=h.saturating_sub(reach)).rev() {
        for x in (reach + 1..=w.saturating_sub(reach)).rev() {
            let bits = stream.next_u64();
            // The high and the low half, each scaled to 0..span.
            let dx = (((bits & 0xffff_ffff) * span) >> 32) as usize;
            let dy = (((bits >> 32) * span) >> 32) as usize;
            pixels[y * w + x] = pixels[(y + dy - reach) * w + x + dx - reach];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displacement_takes_each_offset_equally_often() {
        let reach = 3;
        let (w, h) = (201, 5 + 2 * reach);
        let mut counts = [0usize; 6];
        for seed in 0..20 {
            // A ramp along x, so that a row that was not yet touched tells dx; only the first row visited qualifies
            // for every offset that points to the left or nowhere.
            let mut image =
                Rgb8::new(w, h, (0..h).flat_map(|_| (0..w).flat_map(|x| [x as u8; 3])).collect()).unwrap();
            displace(&mut image, reach, &mut Stream::new(seed, &["glass"]));
            for x in reach + 1..=w - reach {
                let moved = usize::from(image.data()[((h - reach) * w + x) * 3]) as isize - x as isize;
                if moved < 0 {
                    counts[(moved + reach as isize) as usize] += 1;
                }
            }
        }
        // A sixth of the 195 · 20 pixels for each of -3, -2, -1, apart from those copied on from the right.
        assert!(counts[..3].iter().all(|&n| n > 500), "{counts:?}");
    }

    #[test]
    fn the_margin_is_left_alone() {
        let reach = 2;
        let before = Rgb8::new(9, 8, (0..9 * 8 * 3).map(|v| v as u8).collect()).unwrap();
        let mut after = before.clone();
        displace(&mut after, reach, &mut Stream::new(0, &[]));
        for y in 0..8 {
            for x in 0..9 {
                if y <= reach || x <= reach || y > 8 - reach || x > 9 - reach {
                    let at = (y * 9 + x) * 3;
                    assert_eq!(after.data()[at..at + 3], before.data()[at..at + 3], "({x}, {y})");
                }
            }
        }
        assert_ne!(before, after);
    }
}
