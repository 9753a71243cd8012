//! Spatter: drops of rain or mud on the lens. Source: Hendrycks & Dietterich 2019.

use dyntta_image::{Rgb8, Stream};

use crate::gaussian::{Kernel, blur};
use crate::level::{Level, PerLevel, Table};
use crate::raster::{Border, Raster, level};
use crate::registry::{Entry, Resources, Suite};
use dyntta_simd::simd;

pub(crate) const ENTRY: Entry = Entry {
    name: "spatter",
    summary: "Drops of rain or mud on the lens.",
    suite: Suite::Extra4,
    random: true,
    apply,
};

#[derive(Clone, Copy)]
struct Spatter {
    /// Mean and standard deviation of the noise that drops are cut from.
    mean: f32,
    sigma: f32,
    /// The σ that the noise is blurred with, in pixels.
    blur: f64,
    /// Blurred noise below this is no drop.
    threshold: f32,
    /// Water: its opacity. Mud: the σ that the drops' outline is blurred with.
    amount: f64,
    mud: bool,
}

const fn p(mean: f32, sigma: f32, blur: f64, threshold: f32, amount: f64, mud: bool) -> Spatter {
    Spatter { mean, sigma, blur, threshold, amount, mud }
}

const SPATTER: Table<Spatter> = Table {
    imagenet: [
        p(0.65, 0.3, 4.0, 0.69, 0.6, false),
        p(0.65, 0.3, 3.0, 0.68, 0.6, false),
        p(0.65, 0.3, 2.0, 0.68, 0.5, false),
        p(0.65, 0.3, 1.0, 0.65, 1.5, true),
        p(0.67, 0.4, 1.0, 0.65, 1.5, true),
    ],
    cifar: [
        p(0.62, 0.1, 0.7, 0.7, 0.5, false),
        p(0.65, 0.1, 0.8, 0.7, 0.5, false),
        p(0.65, 0.3, 1.0, 0.69, 0.5, false),
        p(0.65, 0.1, 0.7, 0.69, 0.6, true),
        p(0.65, 0.1, 0.5, 0.68, 0.6, true),
    ],
};

/// Pale turquoise.
const WATER: [f32; 3] = [175.0 / 255.0, 238.0 / 255.0, 238.0 / 255.0];
/// Brown.
const MUD: [f32; 3] = [63.0 / 255.0, 42.0 / 255.0, 20.0 / 255.0];

fn apply(image: &Rgb8, at: Level, stream: &mut Stream, _: &Resources) -> Rgb8 {
    static KERNELS: PerLevel<(Kernel, Kernel)> = PerLevel::new();
    let spatter = SPATTER.at(at);
    let (soften, outline) =
        KERNELS.at(at, || (Kernel::new(spatter.blur, 4.0), Kernel::new(spatter.amount, 4.0)));

    let (w, h) = (image.width(), image.height());
    let noise = (0..w * h).map(|_| spatter.mean + spatter.sigma * stream.normal_f32()).collect();
    let liquid = blur(&Raster::new(w, h, 1, noise), soften, Border::Nearest);

    let mut out = Raster::from_rgb8(image);
    let pixels = out.data.as_chunks_mut::<3>().0;
    if spatter.mud {
        let drops = liquid.data.iter().map(|&v| f32::from(u8::from(v > spatter.threshold))).collect();
        let mask = blur(&Raster::new(w, h, 1, drops), outline, Border::Nearest);
        for (pixel, &m) in pixels.iter_mut().zip(&mask.data) {
            if m >= 0.8 {
                for c in 0..3 {
                    pixel[c] = pixel[c] * (1.0 - m) + MUD[c] * m;
                }
            }
        }
    } else {
        let drops: Vec<u8> =
            liquid.data.iter().map(|&v| if v < spatter.threshold { 0 } else { level(v) }).collect();
        let mut light = relief(&drops, w, h);
        for (light, &drop) in light.iter_mut().zip(&drops) {
            *light *= f32::from(drop);
        }
        let brightest = light.iter().copied().fold(0.0, f32::max);
        // No drop at all leaves the image as it is.
        let scale = if brightest > 0.0 { spatter.amount as f32 / brightest } else { 0.0 };
        for (pixel, &m) in pixels.iter_mut().zip(&light) {
            for c in 0..3 {
                pixel[c] += m * scale * WATER[c];
            }
        }
    }
    out.to_rgb8()
}

/// How bright the water is: an emboss of the distance to the drops' edges.
fn relief(drops: &[u8], w: usize, h: usize) -> Vec<f32> {
    let mut height = distance_to_edges(&edges(drops, w, h, 50.0, 150.0), w, h);
    height = box_sums(&height, w, h);
    let mut height: Vec<u8> = height.iter().map(|v| (v * (1.0 / 9.0)) as i32 as u8).collect();
    equalise(&mut height);
    let mut light = box_sums(&emboss(&height, w, h), w, h);
    // The sums are whole, so nothing is half-way between two numbers and adding ½ rounds to nearest.
    light.iter_mut().for_each(|v| *v = (*v * (1.0 / 9.0) + 0.5) as i32 as f32);
    light
}

/// The three rows about each row of a map, mirrored at the border without repeating it, one column more on each side.
fn for_each_row(map: &[f32], w: usize, h: usize, border: Border, mut f: impl FnMut(usize, [&[f32]; 3])) {
    let stride = w + 2;
    let mut padded = vec![0.0f32; stride * 3];
    let load = |into: &mut [f32], y: isize| {
        let row = &map[border.index(y, h) * w..][..w];
        into[1..=w].copy_from_slice(row);
        into[0] = row[border.index(-1, w)];
        into[w + 1] = row[border.index(w as isize, w)];
    };
    for y in -1..=1 {
        load(&mut padded[(y + 1) as usize * stride..][..stride], y);
    }
    for y in 0..h {
        let row = |i: usize| &padded[(y + i) % 3 * stride..][..stride];
        f(y, [row(0), row(1), row(2)]);
        if y + 1 < h {
            load(&mut padded[y % 3 * stride..][..stride], y as isize + 2);
        }
    }
}

/// The sums over 3×3 pixels.
fn box_sums(map: &[f32], w: usize, h: usize) -> Vec<f32> {
    let mut out = vec![0.0; w * h];
    for_each_row(map, w, h, Border::Mirror, |y, [a, b, c]| box_row(a, b, c, &mut out[y * w..][..w]));
    out
}

simd! {
    fn box_row(a: &[f32], b: &[f32], c: &[f32], out: &mut [f32]) {
        let w = out.len();
        let (a, b, c) = (&a[..w + 2], &b[..w + 2], &c[..w + 2]);
        for x in 0..w {
            out[x] = (a[x] + a[x + 1] + a[x + 2]) + (b[x] + b[x + 1] + b[x + 2]) + (c[x] + c[x + 1] + c[x + 2]);
        }
    }
}

/// Light from the upper left: correlation with (-2 -1 0; -1 1 1; 0 1 2), cut to `0..=255`.
fn emboss(height: &[u8], w: usize, h: usize) -> Vec<f32> {
    let map: Vec<f32> = height.iter().map(|&v| f32::from(v)).collect();
    let mut out = vec![0.0; w * h];
    for_each_row(&map, w, h, Border::Mirror, |y, [a, b, c]| emboss_row(a, b, c, &mut out[y * w..][..w]));
    out
}

simd! {
    fn emboss_row(a: &[f32], b: &[f32], c: &[f32], out: &mut [f32]) {
        let w = out.len();
        let (a, b, c) = (&a[..w + 2], &b[..w + 2], &c[..w + 2]);
        for x in 0..w {
            let sum = -2.0 * a[x] - a[x + 1] - b[x] + b[x + 1] + b[x + 2] + c[x + 1] + 2.0 * c[x + 2];
            out[x] = sum.clamp(0.0, 255.0);
        }
    }
}

/// Histogram equalisation: a level becomes the share of pixels up to it, the least level 0.
fn equalise(map: &mut [u8]) {
    let mut counts = [0usize; 256];
    for &v in &*map {
        counts[usize::from(v)] += 1;
    }
    let least = counts.iter().position(|&n| n > 0).unwrap_or(0);
    if counts[least] == map.len() {
        return;
    }
    let scale = 255.0 / (map.len() - counts[least]) as f32;
    let mut table = [0u8; 256];
    let mut sum = 0;
    for v in least + 1..256 {
        sum += counts[v];
        table[v] = (sum as f32 * scale).round_ties_even() as u8;
    }
    for v in map {
        *v = table[usize::from(*v)];
    }
}

/// Canny's edges (1986): Sobel gradients with the border repeated, |gx| + |gy|, only the maxima across the edge, those
/// above `high` and what is connected to them above `low`.
fn edges(image: &[u8], w: usize, h: usize, low: f32, high: f32) -> Vec<bool> {
    let map: Vec<f32> = image.iter().map(|&v| f32::from(v)).collect();
    let mut gradients = vec![(0.0, 0.0); w * h];
    // Magnitudes with a frame of zeros, so that neighbours need no test.
    let stride = w + 2;
    let mut magnitude = vec![0.0; stride * (h + 2)];
    for_each_row(&map, w, h, Border::Nearest, |y, [a, b, c]| {
        let (gradients, magnitude) =
            (&mut gradients[y * w..][..w], &mut magnitude[(y + 1) * stride + 1..][..w]);
        sobel_row(a, b, c, gradients, magnitude);
    });
    #[derive(Clone, Copy, PartialEq)]
    enum Edge {
        No,
        Weak,
        Yes,
    }
    let mut edge = vec![Edge::No; stride * (h + 2)];
    let mut growing = Vec::new();
    for y in 0..h {
        for x in 0..w {
            let at = (y + 1) * stride + x + 1;
            let m = magnitude[at];
            if m <= low {
                continue;
            }
            let (gx, gy) = gradients[y * w + x];
            // Which two neighbours lie across the edge: by the gradient's angle, in sectors of 45°. tan 22.5° = √2 - 1.
            let (ax, ay) = (gx.abs(), gy.abs());
            let tangent = std::f32::consts::SQRT_2 - 1.0;
            let is_maximum = if ay < ax * tangent {
                m > magnitude[at - 1] && m >= magnitude[at + 1]
            } else if ay > ax * (tangent + 2.0) {
                m > magnitude[at - stride] && m >= magnitude[at + stride]
            } else {
                let (before, after) = if (gx < 0.0) == (gy < 0.0) {
                    (at - stride - 1, at + stride + 1)
                } else {
                    (at - stride + 1, at + stride - 1)
                };
                m > magnitude[before] && m > magnitude[after]
            };
            if is_maximum {
                edge[at] = if m > high { Edge::Yes } else { Edge::Weak };
                if m > high {
                    growing.push(at);
                }
            }
        }
    }
    while let Some(at) = growing.pop() {
        for row in [at - stride, at, at + stride] {
            for neighbour in row - 1..=row + 1 {
                if edge[neighbour] == Edge::Weak {
                    edge[neighbour] = Edge::Yes;
                    growing.push(neighbour);
                }
            }
        }
    }
    (0..h).flat_map(|y| edge[(y + 1) * stride + 1..][..w].iter().map(|&e| e == Edge::Yes)).collect()
}

simd! {
    /// The Sobel gradients (x, y) of a row, whole numbers, and |x| + |y|.
    fn sobel_row(a: &[f32], b: &[f32], c: &[f32], gradients: &mut [(f32, f32)], magnitude: &mut [f32]) {
        let w = magnitude.len();
        let (a, b, c, gradients) = (&a[..w + 2], &b[..w + 2], &c[..w + 2], &mut gradients[..w]);
        for x in 0..w {
            let gx = (a[x + 2] - a[x]) + 2.0 * (b[x + 2] - b[x]) + (c[x + 2] - c[x]);
            let gy = (c[x] - a[x]) + 2.0 * (c[x + 1] - a[x + 1]) + (c[x + 2] - a[x + 2]);
            gradients[x] = (gx, gy);
            magnitude[x] = gx.abs() + gy.abs();
        }
    }
}

/// The distance to the nearest edge, at most 20, by Borgefors' 5×5 chamfer (1986): 1 along a side, 1.4 along a diagonal,
/// 2.1969 along a knight's move.
fn distance_to_edges(edges: &[bool], w: usize, h: usize) -> Vec<f32> {
    // A frame two wide that is far from everything. Distances never exceed FAR, which cuts them as is wanted.
    let stride = w + 4;
    let mut distance = vec![FAR; stride * (h + 4)];
    for (y, row) in edges.chunks_exact(w).enumerate() {
        for (d, &edge) in distance[(y + 2) * stride + 2..].iter_mut().zip(row) {
            *d = if edge { 0.0 } else { FAR };
        }
    }
    // Down and to the right, then up and to the left: each time first what the two rows passed last give, all at once,
    // then along the row.
    for y in 2..h + 2 {
        let (passed, row) = distance.split_at_mut(y * stride);
        let (second, first) = passed[(y - 2) * stride..].split_at(stride);
        let row = &mut row[2..2 + w];
        from_rows(first, second, row);
        let mut before = FAR;
        for d in row {
            before = d.min(before + 1.0);
            *d = before;
        }
    }
    for y in (2..h + 2).rev() {
        let (row, passed) = distance.split_at_mut((y + 1) * stride);
        let row = &mut row[y * stride + 2..][..w];
        from_rows(&passed[..stride], &passed[stride..2 * stride], row);
        let mut before = FAR;
        for d in row.iter_mut().rev() {
            before = d.min(before + 1.0);
            *d = before;
        }
    }
    let mut out = Vec::with_capacity(w * h);
    for row in distance[2 * stride..].chunks_exact(stride).take(h) {
        out.extend_from_slice(&row[2..2 + w]);
    }
    out
}

/// Where distances are cut.
const FAR: f32 = 20.0;

simd! {
    /// Lowers a row's distances to what the row next to it (`first`) and the one after that (`second`) give. Those have two
    /// more columns on each side.
    fn from_rows(first: &[f32], second: &[f32], row: &mut [f32]) {
        const DIAGONAL: f32 = 1.4;
        const KNIGHT: f32 = 2.1969;
        let w = row.len();
        let (first, second) = (&first[..w + 4], &second[..w + 4]);
        for x in 0..w {
            let side = first[x + 2] + 1.0;
            let diagonal = least(first[x + 1], first[x + 3]) + DIAGONAL;
            let knight = least(least(first[x], first[x + 4]), least(second[x + 1], second[x + 3])) + KNIGHT;
            row[x] = least(least(row[x], side), least(diagonal, knight));
        }
    }
}

/// `f32::min` without its care for NaN: one instruction.
#[inline(always)]
fn least(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_has_its_outline_for_an_edge() {
        let (w, h) = (20, 16);
        let image: Vec<u8> = (0..w * h)
            .map(|i| if (5..15).contains(&(i % w)) && (4..12).contains(&(i / w)) { 200 } else { 0 })
            .collect();
        let edges = edges(&image, w, h, 50.0, 150.0);
        let inside = |x: usize, y: usize| edges[y * w + x];
        // A step has two equal gradients; the first of them is the maximum.
        assert!((6..10).all(|y| inside(4, y) && !inside(5, y) && inside(14, y) && !inside(15, y)));
        assert!((7..13).all(|x| inside(x, 3) && !inside(x, 4) && inside(x, 11) && !inside(x, 12)));
        assert!(!inside(10, 8) && !inside(0, 0));
    }

    #[test]
    fn chamfer_distances_are_near_the_true_ones() {
        let (w, h) = (31, 17);
        let mut edges = vec![false; w * h];
        for (x, y) in [(3, 4), (22, 11), (30, 0)] {
            edges[y * w + x] = true;
        }
        let distance = distance_to_edges(&edges, w, h);
        for y in 0..h {
            for x in 0..w {
                let exact = [(3.0f32, 4.0f32), (22.0, 11.0), (30.0, 0.0)]
                    .iter()
                    .map(|&(ex, ey)| (x as f32 - ex).hypot(y as f32 - ey))
                    .fold(20.0, f32::min);
                assert!((distance[y * w + x] - exact).abs() <= 0.03 * exact + 1e-4, "({x}, {y})");
            }
        }
        assert!(distance_to_edges(&[false; 6], 3, 2).iter().all(|&d| d == 20.0));
    }

    #[test]
    fn equalising_spreads_the_levels() {
        let mut map = [10, 10, 11, 12, 12, 12];
        equalise(&mut map);
        // (1, 4 of 4 pixels above the least) · 255.
        assert_eq!(map, [0, 0, 64, 255, 255, 255]);
        let mut flat = [7; 4];
        equalise(&mut flat);
        assert_eq!(flat, [7; 4]);
    }
}
