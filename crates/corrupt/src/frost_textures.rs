use std::sync::{Arc, OnceLock};

use dyntta_image::{Rgb8, Stream};

use crate::raster::Border;
use crate::{Error, Preset};

/// The textures that `frost` lays over an image: procedural ones by default.
///
/// A clone shares the textures. The procedural ones are drawn at first use, are the same everywhere, and are kept for the
/// life of the process.
#[derive(Clone, Debug, Default)]
pub struct FrostTextures(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    Procedural,
    Given(Arc<[Texture]>),
}

/// How much smaller than in the `imagenet` preset textures are in the `cifar` preset.
const CIFAR_SCALE: f64 = 0.2;

/// One texture at both presets' scales.
#[derive(Debug)]
pub(crate) struct Texture {
    imagenet: Rgb8,
    cifar: Rgb8,
    /// Whether the left edge continues the right one and the top the bottom.
    periodic: bool,
}

impl FrostTextures {
    /// Textures from photographs of frost, as the published data used: best larger than the images to be corrupted;
    /// smaller ones are continued by mirroring. The `cifar` preset scales them to a fifth.
    ///
    /// # Errors
    /// [`Error::NoFrostTextures`] if there is none.
    pub fn from_images(images: Vec<Rgb8>) -> Result<Self, Error> {
        if images.is_empty() {
            return Err(Error::NoFrostTextures);
        }
        Ok(Self(Source::Given(images.into_iter().map(|image| Texture::new(image, false)).collect())))
    }

    /// Whether these are the procedural textures.
    pub fn is_procedural(&self) -> bool {
        matches!(self.0, Source::Procedural)
    }

    /// Draws one of the textures, all equally likely.
    pub(crate) fn choose(&self, preset: Preset, stream: &mut Stream) -> View<'_> {
        let texture = match &self.0 {
            Source::Procedural => procedural(stream.below(PROCEDURAL)),
            Source::Given(textures) => &textures[stream.below(textures.len())],
        };
        let image = match preset {
            Preset::Imagenet => &texture.imagenet,
            Preset::Cifar => &texture.cifar,
        };
        View { image, periodic: texture.periodic }
    }
}

impl Texture {
    fn new(imagenet: Rgb8, periodic: bool) -> Self {
        Self { cifar: scaled(&imagenet, CIFAR_SCALE), imagenet, periodic }
    }
}

/// A texture at a preset's scale.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    image: &'a Rgb8,
    periodic: bool,
}

/// Part of a texture: which of its columns and rows, in order.
pub(crate) struct Crop<'a> {
    pixels: &'a [[u8; 3]],
    width: usize,
    xs: Vec<usize>,
    ys: Vec<usize>,
}

impl<'a> View<'a> {
    /// A crop of `width` × `height` at a place drawn from `stream`.
    pub fn crop(self, width: usize, height: usize, stream: &mut Stream) -> Crop<'a> {
        let mut axis = |n: usize, wanted: usize| -> Vec<usize> {
            if self.periodic {
                let start = stream.below(n);
                (start..start + wanted).map(|i| i % n).collect()
            } else {
                let start = stream.below(n.saturating_sub(wanted) + 1);
                (start..start + wanted).map(|i| Border::Reflect.index(i as isize, n)).collect()
            }
        };
        let (xs, ys) = (axis(self.image.width(), width), axis(self.image.height(), height));
        Crop { pixels: self.image.data().as_chunks().0, width: self.image.width(), xs, ys }
    }
}

impl Crop<'_> {
    pub fn columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.xs.iter().copied()
    }

    pub fn rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.ys.iter().copied()
    }

    #[inline]
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        self.pixels[y * self.width + x]
    }
}

/// Bilinear at the output pixels' centres, without a low-pass first: so the published data's textures were reduced, which
/// keeps their full contrast.
fn scaled(image: &Rgb8, scale: f64) -> Rgb8 {
    let size = |n: usize| ((n as f64 * scale).round_ties_even() as usize).max(1);
    let (w, h) = (size(image.width()), size(image.height()));
    let axis = |from: usize, to: usize| {
        (0..to).map(move |i| {
            let at = ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64);
            (at as usize, (at as usize + 1).min(from - 1), at.fract())
        })
    };
    let pixels = image.data().as_chunks::<3>().0;
    let mut data = Vec::with_capacity(w * h * 3);
    for (y0, y1, ty) in axis(image.height(), h) {
        for (x0, x1, tx) in axis(image.width(), w) {
            let at = |x: usize, y: usize, c: usize| f64::from(pixels[y * image.width() + x][c]);
            data.extend([0, 1, 2].map(|c| {
                let top = at(x0, y0, c) * (1.0 - tx) + at(x1, y0, c) * tx;
                let bottom = at(x0, y1, c) * (1.0 - tx) + at(x1, y1, c) * tx;
                (top * (1.0 - ty) + bottom * ty).round() as u8
            }));
        }
    }
    Rgb8::new(w, h, data).expect("three bytes a pixel")
}

/// How many procedural textures there are.
const PROCEDURAL: usize = 5;

/// Their side, in pixels.
const SIDE: usize = 640;

/// Mean level of each: thin frost is darker. Photographs of frost lie about here.
const MEAN: [f32; PROCEDURAL] = [118.0, 142.0, 165.0, 188.0, 206.0];

/// Standard deviation of the levels of each.
const CONTRAST: f32 = 42.0;

fn procedural(index: usize) -> &'static Texture {
    static TEXTURES: [OnceLock<Texture>; PROCEDURAL] = [const { OnceLock::new() }; PROCEDURAL];
    TEXTURES[index].get_or_init(|| Texture::new(grow(index), true))
}

/// A periodic texture: feathery crystals grown over a cloudy film of ice.
fn grow(index: usize) -> Rgb8 {
    let mut stream = Stream::new(0, &["frost texture", &index.to_string()]);
    let mut ice = Ice { light: vec![0.0; SIDE * SIDE] };
    for _ in 0..130 {
        let length = stream.range(70.0, 260.0);
        let feather = Feather {
            x: stream.range(0.0, SIDE as f64),
            y: stream.range(0.0, SIDE as f64),
            angle: stream.range(0.0, std::f64::consts::TAU),
            bend: stream.range(-0.004, 0.004),
            length,
            light: stream.range(0.5, 1.0) as f32,
        };
        ice.feather(&feather, 3, &mut stream);
    }
    let film = clouds(&mut stream);
    // Crystals saturate where they overlap.
    let mut light: Vec<f32> =
        ice.light.iter().zip(&film).map(|(&c, &f)| 0.9 * c / (c + 0.8) + 0.8 * f).collect();
    for v in &mut light {
        *v += 0.03 * (stream.uniform_f32() - 0.5);
    }
    let n = light.len() as f32;
    let mean = light.iter().sum::<f32>() / n;
    let deviation = (light.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n).sqrt();
    let data = light
        .iter()
        .flat_map(|v| {
            let level = MEAN[index] + (v - mean) / deviation * CONTRAST;
            // Ice is bluish where it is thin and white where it is thick.
            let tint = (1.0 - level / 255.0).clamp(0.0, 1.0);
            [level - 28.0 * tint, level, level + 22.0 * tint].map(|v| v.round() as u8)
        })
        .collect();
    Rgb8::new(SIDE, SIDE, data).expect("three bytes a pixel")
}

/// Light scattered by crystals, SIDE × SIDE, periodic.
struct Ice {
    light: Vec<f32>,
}

/// A crystal's spine.
struct Feather {
    x: f64,
    y: f64,
    /// The direction at its root, and its change per pixel.
    angle: f64,
    bend: f64,
    length: f64,
    light: f32,
}

impl Ice {
    /// Draws a spine and, at both of its sides, ever shorter ones at the 60° of ice, `depth` generations of them.
    fn feather(&mut self, spine: &Feather, depth: usize, stream: &mut Stream) {
        let (mut x, mut y, mut angle) = (spine.x, spine.y, spine.angle);
        let spacing = if depth >= 3 { 7.0 } else { 5.0 };
        let mut next = spacing * stream.uniform();
        let mut side = 1.0;
        let steps = spine.length as usize;
        for step in 0..steps {
            let left = 1.0 - step as f64 / spine.length;
            self.splat(x, y, spine.light * (0.3 + 0.7 * left as f32));
            if depth > 1 && step as f64 >= next {
                next += spacing * stream.range(0.3, 1.0);
                side = -side;
                let branch = Feather {
                    x,
                    y,
                    angle: angle + side * stream.range(0.9, 1.15),
                    bend: -side * 0.002,
                    length: spine.length * left * stream.range(0.15, 0.4),
                    light: spine.light * 0.75,
                };
                if branch.length >= 3.0 {
                    self.feather(&branch, depth - 1, stream);
                }
            }
            x += angle.cos();
            y += angle.sin();
            angle += spine.bend;
        }
    }

    /// Spreads `light` over the four pixels about (x, y).
    fn splat(&mut self, x: f64, y: f64, light: f32) {
        let (fx, fy) = (x.floor(), y.floor());
        let (tx, ty) = ((x - fx) as f32, (y - fy) as f32);
        let wrap = |v: f64, add: i64| (v as i64 + add).rem_euclid(SIDE as i64) as usize;
        for (dy, wy) in [(0, 1.0 - ty), (1, ty)] {
            for (dx, wx) in [(0, 1.0 - tx), (1, tx)] {
                self.light[wrap(fy, dy) * SIDE + wrap(fx, dx)] += light * wx * wy;
            }
        }
    }
}

/// Periodic value noise of six octaves, in `0..=1`.
fn clouds(stream: &mut Stream) -> Vec<f32> {
    let mut out = vec![0.0f32; SIDE * SIDE];
    let mut amplitude = 0.5;
    // Cells of the coarsest octave; all divide SIDE.
    let mut cells = 4;
    for _ in 0..6 {
        let lattice: Vec<f32> = (0..cells * cells).map(|_| stream.uniform_f32()).collect();
        let cell = SIDE / cells;
        // Where each pixel lies between two lattice points, eased (3t² - 2t³).
        let axis: Vec<(usize, usize, f32)> = (0..SIDE)
            .map(|i| {
                let t = (i % cell) as f32 / cell as f32;
                (i / cell, (i / cell + 1) % cells, t * t * (3.0 - 2.0 * t))
            })
            .collect();
        for (row, &(y0, y1, ty)) in out.chunks_exact_mut(SIDE).zip(&axis) {
            for (v, &(x0, x1, tx)) in row.iter_mut().zip(&axis) {
                let at = |x: usize, y: usize| lattice[y * cells + x];
                let top = at(x0, y0) + (at(x1, y0) - at(x0, y0)) * tx;
                let bottom = at(x0, y1) + (at(x1, y1) - at(x0, y1)) * tx;
                *v += amplitude * (top + (bottom - top) * ty);
            }
        }
        amplitude *= 0.5;
        cells *= 2;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_samples_every_fifth_pixel() {
        let image = Rgb8::new(10, 5, (0..50).flat_map(|i| [i as u8 * 5; 3]).collect()).unwrap();
        let small = scaled(&image, CIFAR_SCALE);
        assert_eq!((small.width(), small.height()), (2, 1));
        assert_eq!(small.data(), [110, 110, 110, 135, 135, 135]);
        assert_eq!(scaled(&Rgb8::black(1, 2).unwrap(), CIFAR_SCALE), Rgb8::black(1, 1).unwrap());
    }

    #[test]
    fn procedural_textures_have_their_statistics_and_tile() {
        for index in 0..PROCEDURAL {
            let texture = procedural(index);
            let green = |image: &Rgb8| {
                image.data().iter().skip(1).step_by(3).map(|&v| f64::from(v)).collect::<Vec<_>>()
            };
            let levels = green(&texture.imagenet);
            let mean = levels.iter().sum::<f64>() / levels.len() as f64;
            assert!((mean - f64::from(MEAN[index])).abs() < 8.0, "{index}: {mean}");
            // The seam differs no more than neighbours elsewhere.
            let step = |x0: usize, x1: usize| {
                (0..SIDE).map(|y| (levels[y * SIDE + x0] - levels[y * SIDE + x1]).abs()).sum::<f64>()
                    / SIDE as f64
            };
            let elsewhere = (0..SIDE - 1).map(|x| step(x, x + 1)).fold(0.0, f64::max);
            assert!(step(SIDE - 1, 0) <= elsewhere, "{index}");
        }
        assert!(FrostTextures::default().is_procedural());
        assert_eq!(FrostTextures::from_images(vec![]).unwrap_err(), Error::NoFrostTextures);
    }
}
