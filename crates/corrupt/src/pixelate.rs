//! Pixelation: reduced to a fraction of the size and enlarged again, both with a box filter. Source: Hendrycks &
//! Dietterich 2019 (Pillow's `resize(…, BOX)`).

use std::ops::Range;

use dyntta_image::{Rgb8, Stream};

use crate::level::{Level, Table};
use crate::registry::{Entry, Resources, Suite};

pub(crate) const ENTRY: Entry = Entry {
    name: "pixelate",
    summary: "A small picture shown large.",
    suite: Suite::Common15,
    random: false,
    apply,
};

/// The fraction of width and height that is left in between.
const FRACTION: Table<f64> =
    Table { imagenet: [0.6, 0.5, 0.4, 0.3, 0.25], cifar: [0.95, 0.9, 0.85, 0.75, 0.65] };

fn apply(image: &Rgb8, at: Level, _: &mut Stream, _: &Resources) -> Rgb8 {
    let fraction = FRACTION.at(at);
    let (w, h) = (image.width(), image.height());
    let small = |n: usize| ((n as f64 * fraction) as usize).max(1);
    let (sw, sh) = (small(w), small(h));
    let (columns, rows) = (boxes(w, sw), boxes(h, sh));

    // Along the rows, rounded to 8 bits as Pillow does between its two passes.
    let mut narrow = Vec::with_capacity(sw * h * 3);
    for row in image.data().chunks_exact(w * 3) {
        let pixels = row.as_chunks::<3>().0;
        for range in &columns {
            let mut sum = [0u32; 3];
            for pixel in &pixels[range.clone()] {
                for c in 0..3 {
                    sum[c] += u32::from(pixel[c]);
                }
            }
            narrow.extend(sum.map(|s| mean(s, range.len() as u32)));
        }
    }
    let (nearest_x, nearest_y) = (nearest(sw, w), nearest(sh, h));
    let mut data = Vec::with_capacity(w * h * 3);
    let mut sums = vec![0u32; sw * 3];
    let mut drawn = None;
    for &sy in &nearest_y {
        if drawn == Some(sy) {
            data.extend_from_within(data.len() - w * 3..);
            continue;
        }
        drawn = Some(sy);
        sums.fill(0);
        for row in narrow[rows[sy].start * sw * 3..rows[sy].end * sw * 3].chunks_exact(sw * 3) {
            for (sum, &v) in sums.iter_mut().zip(row) {
                *sum += u32::from(v);
            }
        }
        let line: Vec<u8> = sums.iter().map(|&s| mean(s, rows[sy].len() as u32)).collect();
        let line = line.as_chunks::<3>().0;
        data.extend(nearest_x.iter().flat_map(|&sx| line[sx]));
    }
    Rgb8::new(w, h, data).expect("three bytes a pixel")
}

/// The mean, rounded to nearest.
fn mean(sum: u32, n: u32) -> u8 {
    ((sum + n / 2) / n) as u8
}

/// The input pixels that each of `to` ≤ `from` output pixels is the mean of: those whose centres lie in it.
fn boxes(from: usize, to: usize) -> Vec<Range<usize>> {
    let scale = from as f64 / to as f64;
    (0..to)
        .map(|i| {
            let start = ((i as f64 * scale + 0.5) as usize).min(from - 1);
            let end = (((i + 1) as f64 * scale + 0.5) as usize).clamp(start + 1, from);
            start..end
        })
        .collect()
}

/// The input pixel that each of `to` ≥ `from` output pixels lies in.
fn nearest(from: usize, to: usize) -> Vec<usize> {
    let scale = from as f64 / to as f64;
    (0..to).map(|i| (((i as f64 + 0.5) * scale) as usize).min(from - 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_tile_the_axis() {
        for from in [1usize, 2, 7, 32, 224, 225] {
            for fraction in [0.25, 0.3, 0.6, 0.95] {
                let to = ((from as f64 * fraction) as usize).max(1);
                let boxes = boxes(from, to);
                assert_eq!((boxes[0].start, boxes[to - 1].end), (0, from));
                assert!(boxes.windows(2).all(|b| b[0].end == b[1].start), "{from} to {to}: {boxes:?}");
                assert!(nearest(to, from).windows(2).all(|i| i[1] - i[0] <= 1));
            }
        }
    }
}
