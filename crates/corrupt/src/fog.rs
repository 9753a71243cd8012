//! Fog: a diamond-square plasma added to the image, the sum scaled back to the image's range. Source: Hendrycks &
//! Dietterich 2019.

use dyntta_image::{Rgb8, Stream};

use crate::level::{Level, Table};
use crate::raster::Raster;
use crate::registry::{Entry, Resources, Suite};

pub(crate) const ENTRY: Entry =
    Entry { name: "fog", summary: "Drifting fog.", suite: Suite::Common15, random: true, apply };

/// The amount of fog, and by how much the plasma's irregularity falls from one level to the next.
const FOG: Table<(f32, f32)> = Table {
    imagenet: [(1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)],
    cifar: [(0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75)],
};

/// The plasma's greatest side. It is periodic, so larger images repeat it, and memory stays bounded.
const LARGEST: usize = 4096;

fn apply(image: &Rgb8, at: Level, stream: &mut Stream, _: &Resources) -> Rgb8 {
    let (amount, decay) = FOG.at(at);
    let size = image.width().max(image.height()).next_power_of_two().min(LARGEST);
    let plasma = plasma(size, decay, stream);
    let mut out = Raster::from_rgb8(image);
    let brightest = out.data.iter().copied().fold(0.0, f32::max);
    let scale = brightest / (brightest + amount);
    for y in 0..out.height {
        let plasma = &plasma[y % size * size..][..size];
        for (pixel, &fog) in out.row_mut(y).as_chunks_mut::<3>().0.iter_mut().zip(plasma.iter().cycle()) {
            for v in pixel {
                *v = (*v + amount * fog) * scale;
            }
        }
    }
    out.to_rgb8()
}

/// A periodic diamond-square fractal of `size` × `size` (a power of two), scaled to `0..=1`.
///
/// Each new point is the mean of four older ones and a deviation of `wibble · U(-wibble, wibble)`: the squares' centres
/// first, then the edges' (whose four neighbours are two old corners and two new centres); then the step is halved and
/// the wibble, 100 at first, divided by `decay`.
fn plasma(size: usize, decay: f32, stream: &mut Stream) -> Vec<f32> {
    let mut map = vec![0.0f32; size * size];
    let mut wibble = 100.0f32;
    let mut step = size;
    let mask = size - 1;
    while step >= 2 {
        let half = step / 2;
        let amplitude = 2.0 * wibble * wibble;
        let mut deviation = || (stream.uniform_f32() - 0.5) * amplitude;
        for y in (0..size).step_by(step) {
            let next = (y + step) & mask;
            for x in (0..size).step_by(step) {
                let right = (x + step) & mask;
                let corners = map[y * size + x]
                    + map[y * size + right]
                    + map[next * size + x]
                    + map[next * size + right];
                map[(y + half) * size + x + half] = corners * 0.25 + deviation();
            }
        }
        for y in (0..size).step_by(step) {
            let (above, below, next) = (y.wrapping_sub(half) & mask, y + half, (y + step) & mask);
            for x in (0..size).step_by(step) {
                let (left, middle, right) = (x.wrapping_sub(half) & mask, x + half, (x + step) & mask);
                let corner = map[y * size + x];
                let centre = map[below * size + middle];
                let top = corner + map[y * size + right] + centre + map[above * size + middle];
                map[y * size + middle] = top * 0.25 + deviation();
                let side = corner + map[next * size + x] + centre + map[below * size + left];
                map[below * size + x] = side * 0.25 + deviation();
            }
        }
        step = half;
        wibble /= decay;
    }
    let (low, high) = map.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
    // A single point has no range: no fog at all.
    let scale = if high > low { 1.0 / (high - low) } else { 0.0 };
    map.iter_mut().for_each(|v| *v = (*v - low) * scale);
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plasma_spans_the_range_and_is_smoother_with_more_decay() {
        let roughness = |decay| {
            let map = plasma(64, decay, &mut Stream::new(0, &["plasma"]));
            assert_eq!(map.iter().copied().fold(f32::MAX, f32::min), 0.0);
            assert!((map.iter().copied().fold(0.0, f32::max) - 1.0).abs() < 1e-6);
            map.windows(2).map(|p| (p[0] - p[1]).abs()).sum::<f32>()
        };
        assert!(roughness(1.4) > roughness(2.0) && roughness(2.0) > roughness(3.0));
        assert_eq!(plasma(1, 2.0, &mut Stream::new(0, &[])), [0.0]);
    }
}
