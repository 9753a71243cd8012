//! Elastic transform: a random affine map, then a smooth random displacement of each pixel. Source: Hendrycks &
//! Dietterich 2019, after Simard, Steinkraus & Platt 2003.

use std::f64::consts::PI;

use dyntta_image::{Rgb8, Stream};

use crate::Preset;
use crate::gaussian::{Kernel, blur_xy, half};
use crate::level::{Level, Table};
use crate::raster::{Border, Raster};
use crate::registry::{Entry, Resources, Suite};
use dyntta_simd::simd;

pub(crate) const ENTRY: Entry = Entry {
    name: "elastic_transform",
    summary: "The image on a stretched rubber sheet.",
    suite: Suite::Common15,
    random: true,
    apply,
};

/// Which definition the `imagenet` preset of `elastic_transform` follows; the `cifar` preset has one only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Elastic {
    /// That of the published ImageNet-C, with which figures are compared: an affine map, then displacements, both in units of
    /// 244 px whatever the image's size. Made for 224×224; smaller images are torn apart.
    #[default]
    Published,
    /// Displacements alone, in proportion to the image's size, which keeps their look at any size: what the generator for
    /// images of any size does, and what the golden figures were measured on.
    Proportional,
}

impl Elastic {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Published, Self::Proportional];

    /// `"published"` or `"proportional"`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Proportional => "proportional",
        }
    }
}

/// The published displacement's factor α, its smoothness σ, and how far the affine map moves its three points: in units
/// of 244 and 32 px, whatever the image's size.
const PUBLISHED: Table<(f64, f64, f64)> = Table {
    imagenet: [(2.0, 0.7, 0.1), (2.0, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02)],
    cifar: [(0.0, 0.0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)],
};

/// The proportional displacement's factor α, in heights of the image. Its σ is [`SHARE`] of the width along x and of the
/// height along y.
const PROPORTIONAL: [f64; 5] = [0.0625, 0.08125, 0.10625, 0.125, 0.15];
const SHARE: f64 = 0.01;

/// Where the displacement's Gaussian is cut, in σ.
const TRUNCATE: f64 = 3.0;

fn apply(image: &Rgb8, at: Level, stream: &mut Stream, resources: &Resources) -> Rgb8 {
    let source = Raster::from_rgb8(image);
    let (w, h) = (image.width(), image.height());
    let unit = match (at.preset, resources.elastic) {
        (Preset::Imagenet, Elastic::Proportional) => {
            let alpha = PROPORTIONAL[usize::from(at.severity.get() - 1)] * h as f64;
            return displace(&source, alpha, (SHARE * w as f64, SHARE * h as f64), stream).to_rgb8();
        }
        (Preset::Imagenet, Elastic::Published) => 244.0,
        (Preset::Cifar, _) => 32.0,
    };
    let (alpha, sigma, reach) = PUBLISHED.at(at);
    let moved = affine(&source, reach * unit, stream);
    if alpha == 0.0 {
        return moved.to_rgb8();
    }
    displace(&moved, alpha * unit, (sigma * unit, sigma * unit), stream).to_rgb8()
}

/// The image under a random affine map of `reach` pixels; bilinear, mirrored at its border without repeating it.
fn affine(source: &Raster, reach: f64, stream: &mut Stream) -> Raster {
    let map = Affine::random(source.width, source.height, reach, stream);
    let mut out = Raster::zeros(source.width, source.height, 3);
    for y in 0..source.height {
        for (x, out) in out.row_mut(y).as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let (sx, sy) = map.at(x as f64, y as f64);
            *out = bilinear(source, sx as f32, sy as f32, Border::Mirror);
        }
    }
    out
}

/// The image with each pixel taken from elsewhere; bilinear, reflected at its border.
fn displace(source: &Raster, alpha: f64, sigma: (f64, f64), stream: &mut Stream) -> Raster {
    let (w, h) = (source.width, source.height);
    let dx = displacement(w, h, sigma, alpha as f32, stream);
    let dy = displacement(w, h, sigma, alpha as f32, stream);
    let mut out = Raster::zeros(w, h, 3);
    for y in 0..h {
        let offsets = dx.row(y).iter().zip(dy.row(y));
        for ((x, out), (&dx, &dy)) in
            out.row_mut(y).as_chunks_mut::<3>().0.iter_mut().enumerate().zip(offsets)
        {
            *out = bilinear(source, x as f32 + dx, y as f32 + dy, Border::Reflect);
        }
    }
    out
}

/// The value at (x, y) of an RGB image.
#[inline]
fn bilinear(source: &Raster, x: f32, y: f32, border: Border) -> [f32; 3] {
    let (w, h) = (source.width, source.height);
    let (ix, iy) = (floor(x), floor(y));
    let (tx, ty) = (x - ix as f32, y - iy as f32);
    let pixels = source.data.as_chunks::<3>().0;
    let inside = ix >= 0 && iy >= 0 && ix as usize + 1 < w && iy as usize + 1 < h;
    let (x0, x1, y0, y1) = if inside {
        (ix as usize, ix as usize + 1, iy as usize, iy as usize + 1)
    } else {
        (border.index(ix, w), border.index(ix + 1, w), border.index(iy, h), border.index(iy + 1, h))
    };
    let (a, b) = (&pixels[y0 * w + x0], &pixels[y0 * w + x1]);
    let (c, d) = (&pixels[y1 * w + x0], &pixels[y1 * w + x1]);
    std::array::from_fn(|i| {
        let top = a[i] + (b[i] - a[i]) * tx;
        let bottom = c[i] + (d[i] - c[i]) * tx;
        top + (bottom - top) * ty
    })
}

/// `f32::floor` for numbers that fit, in instructions that every processor has.
#[inline(always)]
fn floor(v: f32) -> isize {
    let towards_zero = v as isize;
    towards_zero - isize::from(towards_zero as f32 > v)
}

/// Output coordinates to input coordinates: `x' = m[0]·x + m[1]·y + m[2]`, `y' = m[3]·x + m[4]·y + m[5]`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Affine([f64; 6]);

impl Affine {
    const IDENTITY: Self = Self([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);

    /// Three corners of a square about the centre, its side two thirds of the image's shorter side, each moved by
    /// U(-reach, reach) in x and y.
    fn random(w: usize, h: usize, reach: f64, stream: &mut Stream) -> Self {
        let (cx, cy) = ((w / 2) as f64, (h / 2) as f64);
        // A square of no size has no affine map; images of 1 and 2 px get the smallest one.
        let half = (w.min(h) / 3).max(1) as f64;
        let from = [(cx + half, cy + half), (cx + half, cy - half), (cx - half, cy - half)];
        let to = from.map(|(x, y)| (x + stream.range(-reach, reach), y + stream.range(-reach, reach)));
        Self::between(to, from).unwrap_or(Self::IDENTITY)
    }

    /// The map that takes the points `from` to the points `to`, if `from` is a triangle.
    fn between(from: [(f64, f64); 3], to: [(f64, f64); 3]) -> Option<Self> {
        let [(x0, y0), (x1, y1), (x2, y2)] = from;
        let area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0);
        if area.abs() < 1e-3 {
            return None;
        }
        // Cramer's rule, for x' and for y'.
        let row = |v: [f64; 3]| {
            let (p, q) = (v[1] - v[0], v[2] - v[0]);
            let a = (p * (y2 - y0) - q * (y1 - y0)) / area;
            let b = (q * (x1 - x0) - p * (x2 - x0)) / area;
            [a, b, v[0] - a * x0 - b * y0]
        };
        let ([a, b, c], [d, e, f]) = (row(to.map(|p| p.0)), row(to.map(|p| p.1)));
        Some(Self([a, b, c, d, e, f]))
    }

    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let m = &self.0;
        (m[0] * x + m[1] * y + m[2], m[3] * x + m[4] * y + m[5])
    }
}

/// A map of displacements in pixels: U(-1, 1) noise, Gaussian filtered with its border reflected, times `alpha`.
fn displacement(w: usize, h: usize, sigma: (f64, f64), alpha: f32, stream: &mut Stream) -> Raster {
    let noise = (0..w * h).map(|_| (stream.uniform_f32() * 2.0 - 1.0) * alpha).collect();
    let noise = Raster::new(w, h, 1, noise);
    // Above this σ few waves are left, and filtering them is less work than so many taps.
    if sigma.0.min(sigma.1) >= 6.0 {
        return smooth(&noise, sigma);
    }
    let kernel = |sigma| Kernel::new(sigma, TRUNCATE);
    blur_xy(&noise, &kernel(sigma.0), &kernel(sigma.1), Border::Reflect)
}

/// [`blur_xy`] with the border reflected, for a σ of several pixels, by way of the cosine transform.
///
/// A symmetric filter with a reflected border is diagonal in the basis of the DCT-II: the wave `cos(πk(x + ½)/n)` comes
/// out multiplied by the filter's frequency response at `πk/n`. Waves of which less than [`LEAST`] is left are dropped.
fn smooth(source: &Raster, sigma: (f64, f64)) -> Raster {
    let (w, h) = (source.width, source.height);
    let (across, down) = (waves(w, sigma.0), waves(h, sigma.1));
    let (kx, ky) = (across.len() / w, down.len() / h);

    // Coefficients: along y first (rows of w), then along x.
    let mut by_row = vec![0.0f32; ky * w];
    for (out, wave) in by_row.chunks_exact_mut(w).zip(down.chunks_exact(h)) {
        for (row, &weight) in source.data.chunks_exact(w).zip(wave) {
            add_scaled(out, row, weight);
        }
    }
    let mut coefficients = vec![0.0f32; ky * kx];
    for (out, row) in coefficients.chunks_exact_mut(kx).zip(by_row.chunks_exact(w)) {
        for (c, wave) in out.iter_mut().zip(across.chunks_exact(w)) {
            *c = row.iter().zip(wave).map(|(a, b)| a * b).sum();
        }
    }
    // And back. The waves carry the square root of the response on both ways.
    by_row.fill(0.0);
    for (out, row) in by_row.chunks_exact_mut(w).zip(coefficients.chunks_exact(kx)) {
        for (&c, wave) in row.iter().zip(across.chunks_exact(w)) {
            add_scaled(out, wave, c);
        }
    }
    let mut out = Raster::zeros(w, h, 1);
    for (row, wave) in by_row.chunks_exact(w).zip(down.chunks_exact(h)) {
        for (y, &weight) in wave.iter().enumerate() {
            add_scaled(out.row_mut(y), row, weight);
        }
    }
    out
}

/// The least response that counts: at α = 488 px a wave of this response moves a pixel by some hundredths.
const LEAST: f64 = 2e-3;

/// The orthonormal DCT-II waves of length `n` that a Gaussian of `sigma` lets through, one after the other, each times
/// the square root of its response.
fn waves(n: usize, sigma: f64) -> Vec<f32> {
    let weights = half(sigma, TRUNCATE);
    let response = |k: usize| {
        let omega = PI * k as f64 / n as f64;
        weights[0]
            + 2.0 * weights.iter().enumerate().skip(1).map(|(j, w)| w * (omega * j as f64).cos()).sum::<f64>()
    };
    let mut out = Vec::new();
    for k in 0..n {
        let response = response(k);
        // The cut Gaussian's response has small side lobes, some of them negative, past its main one.
        if response < LEAST {
            break;
        }
        let norm = (if k == 0 { 1.0 } else { 2.0 } / n as f64 * response).sqrt();
        out.extend((0..n).map(|x| (norm * (PI * k as f64 * (x as f64 + 0.5) / n as f64).cos()) as f32));
    }
    out
}

simd! {
    fn add_scaled(out: &mut [f32], row: &[f32], weight: f32) {
        for (o, &v) in out.iter_mut().zip(row) {
            *o += weight * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raster::tests_support::{noise, rasters_differ_by};

    #[test]
    fn an_affine_map_takes_its_points_where_it_should() {
        let from = [(3.0, 4.0), (10.0, -2.0), (-7.0, 1.5)];
        let to = [(0.0, 1.0), (5.0, 5.0), (2.0, -8.0)];
        let map = Affine::between(from, to).unwrap();
        for (p, q) in from.into_iter().zip(to) {
            let (x, y) = map.at(p.0, p.1);
            assert!((x - q.0).abs() < 1e-9 && (y - q.1).abs() < 1e-9);
        }
        assert_eq!(Affine::between([(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)], to), None);
    }

    #[test]
    fn filtering_waves_is_filtering_pixels() {
        for (w, h, sigma) in
            [(96, 70, 19.52), (60, 48, 170.8), (32, 32, 6.4), (1, 9, 170.8), (1, 1, 6.4), (224, 7, 12.0)]
        {
            // α scales both alike; 488 is the greatest there is.
            let mut source = noise(w, h, 1, 5);
            source.data.iter_mut().for_each(|v| *v = (*v * 2.0 - 1.0) * 488.0);
            let (across, down) = (Kernel::new(sigma, TRUNCATE), Kernel::new(sigma * 1.25, TRUNCATE));
            let taps = blur_xy(&source, &across, &down, Border::Reflect);
            let difference = rasters_differ_by(&taps, &smooth(&source, (sigma, sigma * 1.25)));
            assert!(difference < 0.3, "{w}x{h} sigma {sigma}: {difference} px");
        }
    }
}
