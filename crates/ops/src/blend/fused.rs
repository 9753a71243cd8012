//! The fast path: one transform for all filters, one sweep over the pixels for the other ops, nothing stored in between.
//!
//! For each image, first what needs all of it: the filtered image, its largest value, the tables of `auto_contrast` and
//! `equalize`. Then tiles of a fixed number of pixels, strip by strip: every op adds its share to the strip. Backward does
//! the same sweep again and sums g times value and g times slope for each op.
//!
//! A sum over an image is taken in a fixed order: in `f32` down the strips of a tile, lane by lane, then in `f64` over
//! lanes and tiles.

use rayon::prelude::*;

use super::{Gradients, Inputs};
use crate::ops::{
    Sweep, auto_contrast, brightness, contrast, equalize, gamma, hue, invert, rotate, saturation,
};
use crate::ops::{scale, sharpness};
use crate::simd::{self, Kernel, STRIP, Strip};
use crate::spectral::Plan;
use crate::warp::Affine;
use crate::{Bank, Shape, View, hsv};

/// Pixels of a tile.
const TILE: usize = 64 * STRIP;

/// From this many pixels on, one image is spread over the threads.
const SPREAD: usize = 4 * TILE;

/// The plan of the bank's filters, if it has any.
fn plan(bank: &Bank, shape: Shape) -> Option<std::sync::Arc<Plan>> {
    (!bank.filters.is_empty()).then(|| Plan::get(shape.h, shape.w, &bank.filters))
}

pub(super) fn forward(inputs: Inputs<'_>, out: &mut [f32]) {
    let plan = plan(inputs.bank, inputs.shape);
    let size = inputs.shape.image();
    if inputs.shape.n == 1 {
        forward_image(&inputs.image(0), plan.as_deref(), out);
    } else {
        out.par_chunks_exact_mut(size)
            .enumerate()
            .for_each(|(i, out)| forward_image(&inputs.image(i), plan.as_deref(), out));
    }
}

/// The inputs of one image.
struct Image<'a> {
    bank: &'a Bank,
    view: View<'a>,
    raw: &'a [f32],
    weights: &'a [f32],
    network: Option<&'a [f32]>,
}

impl<'a> Inputs<'a> {
    fn image(&self, i: usize) -> Image<'a> {
        let (size, k) = (self.shape.image(), self.bank.len());
        let here = i * size..(i + 1) * size;
        let columns = i * k..(i + 1) * k;
        Image {
            bank: self.bank,
            view: View::new(&self.image[here.clone()], self.shape.h, self.shape.w).expect("checked"),
            raw: &self.raw[columns.clone()],
            weights: &self.weights[columns],
            network: self.network.map(|network| &network[here]),
        }
    }
}

/// What the sweep needs to know of one image: per op, if the bank has it, its weight and its parameters.
struct Settings<'a> {
    planes: [&'a [f32]; 3],
    h: usize,
    w: usize,
    rotate: Option<(f32, Affine)>,
    scale: Option<(f32, Affine)>,
    saturation: Option<(f32, f32)>,
    contrast: Option<(f32, f32)>,
    sharpness: Option<(f32, f32)>,
    brightness: Option<(f32, f32)>,
    hue: Option<(f32, f32)>,
    gamma: Option<(f32, f32)>,
    identity: Option<f32>,
    /// Weight and the image's largest value.
    invert: Option<(f32, f32)>,
    auto_contrast: Option<(f32, [[f32; 256]; 3])>,
    /// A channel without table stays as it is.
    equalize: Option<(f32, [Option<[f32; 256]>; 3])>,
    network: Option<(f32, [&'a [f32]; 3])>,
}

/// Largest and smallest value of a plane.
struct Extremes<'a>(&'a [f32]);

impl Kernel for Extremes<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run(self) -> (f32, f32) {
        let (mut min, mut max) = ([f32::INFINITY; STRIP], [f32::NEG_INFINITY; STRIP]);
        let strips = self.0.chunks_exact(STRIP);
        let rest = strips.remainder();
        for x in strips {
            for i in 0..STRIP {
                min[i] = if x[i] < min[i] { x[i] } else { min[i] };
                max[i] = if x[i] > max[i] { x[i] } else { max[i] };
            }
        }
        let min = min.iter().chain(rest).fold(f32::INFINITY, |a, &b| a.min(b));
        let max = max.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| a.max(b));
        (min, max)
    }
}

/// The histogram of `equalize`.
struct Histogram<'a>(&'a [f32]);

impl Kernel for Histogram<'_> {
    type Output = [u32; 256];

    #[inline(always)]
    fn run(self) -> [u32; 256] {
        // Four, so that runs of equal values do not wait for each other.
        let mut parts = [[0u32; 256]; 4];
        let strips = self.0.chunks_exact(STRIP);
        for &x in strips.remainder() {
            parts[0][equalize::bin(x)] += 1;
        }
        for strip in strips {
            let mut bins = [0u8; STRIP];
            for i in 0..STRIP {
                bins[i] = equalize::bin(strip[i]) as u8;
            }
            for i in 0..STRIP {
                parts[i % 4][bins[i] as usize] += 1;
            }
        }
        let mut sum = [0; 256];
        for part in parts {
            for j in 0..256 {
                sum[j] += part[j];
            }
        }
        sum
    }
}

/// What is known of one channel before the sweep.
#[derive(Clone, Copy)]
struct Channel {
    extremes: (f32, f32),
    equalize: Option<[f32; 256]>,
}

impl<'a> Settings<'a> {
    fn new(image: &Image<'a>, spread: bool) -> Self {
        let (bank, view) = (image.bank, image.view);
        let slot = |op: Sweep| bank.sweep[op as usize];
        let weight = |op: Sweep| slot(op).map(|k| image.weights[k]);
        let both = |op: Sweep| {
            let k = slot(op)?;
            Some((image.weights[k], bank.op(k)?.factor(image.raw[k])))
        };
        let planes = [0, 1, 2].map(|c| view.plane(c));
        let (h, w) = (view.height(), view.width());

        let needs_extremes = slot(Sweep::Invert).is_some() || slot(Sweep::AutoContrast).is_some();
        let needs_histogram = slot(Sweep::Equalize).is_some();
        let channel = |c: usize| Channel {
            extremes: if needs_extremes { simd::dispatch(Extremes(planes[c])) } else { (0.0, 0.0) },
            equalize: if needs_histogram {
                equalize::table(&simd::dispatch(Histogram(planes[c])), h * w)
            } else {
                None
            },
        };
        let channels = if spread {
            let (r, (g, b)) = rayon::join(|| channel(0), || rayon::join(|| channel(1), || channel(2)));
            [r, g, b]
        } else {
            [channel(0), channel(1), channel(2)]
        };
        let extremes = channels.map(|channel| channel.extremes);
        let max = extremes.iter().fold(f32::NEG_INFINITY, |a, &(_, b)| a.max(b));
        let of_network = bank.network_slot().zip(image.network);
        Self {
            planes,
            h,
            w,
            rotate: both(Sweep::Rotate).map(|(weight, f)| (weight, rotate::affine(h, w, f))),
            scale: both(Sweep::Scale).map(|(weight, f)| (weight, scale::affine(h, w, f))),
            saturation: both(Sweep::Saturation),
            contrast: both(Sweep::Contrast),
            sharpness: both(Sweep::Sharpness),
            brightness: both(Sweep::Brightness),
            hue: both(Sweep::Hue),
            gamma: both(Sweep::Gamma),
            identity: weight(Sweep::Identity),
            invert: weight(Sweep::Invert).map(|weight| (weight, max)),
            auto_contrast: weight(Sweep::AutoContrast)
                .map(|weight| (weight, extremes.map(|(min, max)| auto_contrast::table(min, max)))),
            equalize: weight(Sweep::Equalize)
                .map(|weight| (weight, channels.map(|channel| channel.equalize))),
            network: of_network.map(|(k, data)| {
                let n = h * w;
                (image.weights[k], [0, 1, 2].map(|c| &data[c * n..(c + 1) * n]))
            }),
        }
    }
}

/// A strip of pixels with all that several ops ask for.
struct Pixels {
    start: usize,
    x: [Strip; 3],
    xs: [i32; STRIP],
    ys: [i32; STRIP],
    /// 1 where all eight neighbours exist, 0 on the border.
    inner: Strip,
}

/// `n` values of a plane from `start` on, then zeros.
#[inline(always)]
fn load(plane: &[f32], start: usize, n: usize) -> Strip {
    let mut strip = [0.0; STRIP];
    if n == STRIP {
        strip.copy_from_slice(&plane[start..start + STRIP]);
    } else {
        strip[..n].copy_from_slice(&plane[start..start + n]);
    }
    strip
}

impl Pixels {
    #[inline(always)]
    fn new(settings: &Settings<'_>, start: usize, n: usize) -> Self {
        let (h, w) = (settings.h, settings.w);
        let x = settings.planes.map(|plane| load(plane, start, n));
        let (mut xs, mut ys) = ([0; STRIP], [0; STRIP]);
        if settings.rotate.is_some() || settings.scale.is_some() || settings.sharpness.is_some() {
            let (mut y, mut x) = ((start / w) as i32, (start % w) as i32);
            for i in 0..STRIP {
                xs[i] = x;
                ys[i] = y;
                x += 1;
                if x == w as i32 {
                    x = 0;
                    y += 1;
                }
            }
        }
        let mut inner = [0.0; STRIP];
        let (right, bottom) = (w as i32 - 1, h as i32 - 1);
        for i in 0..STRIP {
            let inside = (xs[i] > 0) & (xs[i] < right) & (ys[i] > 0) & (ys[i] < bottom);
            inner[i] = if inside { 1.0 } else { 0.0 };
        }
        Self { start, x, xs, ys, inner }
    }
}

/// Forward over one tile.
struct ForwardTile<'a, 'b> {
    settings: &'a Settings<'a>,
    /// The tables' and the linear ops' shares.
    shares: &'a Shares,
    start: usize,
    out: [&'b mut [f32]; 3],
}

/// Ops that add up before the sweep: one table and one linear function for each channel.
struct Shares {
    table: Option<[[f32; 256]; 3]>,
    linear: [f32; 3],
    constant: f32,
}

impl Shares {
    fn new(settings: &Settings<'_>) -> Self {
        let mut linear = [settings.identity.unwrap_or(0.0); 3];
        let mut constant = 0.0;
        if let Some((weight, max)) = settings.invert {
            constant = weight * max;
            linear = linear.map(|share| share - weight);
        }
        let mut table = [[0.0f32; 256]; 3];
        let tables = settings.auto_contrast.is_some() || settings.equalize.is_some();
        if let Some((weight, own)) = &settings.auto_contrast {
            for c in 0..3 {
                for j in 0..256 {
                    table[c][j] += weight * own[c][j];
                }
            }
        }
        if let Some((weight, own)) = &settings.equalize {
            for c in 0..3 {
                match &own[c] {
                    None => linear[c] += weight,
                    Some(own) => {
                        for j in 0..256 {
                            table[c][j] += weight * own[j];
                        }
                    }
                }
            }
        }
        Self { table: tables.then_some(table), linear, constant }
    }
}

impl Kernel for ForwardTile<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { settings, shares, start: tile, out } = self;
        let length = out[0].len();
        for offset in (0..length).step_by(STRIP) {
            let n = STRIP.min(length - offset);
            let pixels = Pixels::new(settings, tile + offset, n);
            let x = &pixels.x;
            let mut acc = [load(out[0], offset, n), load(out[1], offset, n), load(out[2], offset, n)];
            for c in 0..3 {
                for i in 0..STRIP {
                    acc[c][i] += shares.linear[c] * x[c][i] + shares.constant;
                }
                if let Some(table) = &shares.table {
                    auto_contrast::strip_forward(&auto_contrast::strip_levels(&x[c]), &table[c], &mut acc[c]);
                }
                if let Some((weight, f)) = settings.contrast {
                    contrast::strip_forward(&x[c], f, weight, &mut acc[c]);
                }
                if let Some((weight, f)) = settings.brightness {
                    brightness::strip_forward(&x[c], f, weight, &mut acc[c]);
                }
                if let Some((weight, f)) = settings.gamma {
                    gamma::strip_forward(&x[c], f, weight, &mut acc[c]);
                }
                if let Some((weight, f)) = settings.sharpness {
                    let b = sharpness::strip_smooth(
                        settings.planes[c],
                        settings.w,
                        pixels.start,
                        n,
                        &x[c],
                        &pixels.inner,
                    );
                    sharpness::strip_forward(&x[c], &b, f, weight, &mut acc[c]);
                }
                if let Some((weight, network)) = &settings.network {
                    let value = load(network[c], pixels.start, n);
                    for i in 0..STRIP {
                        acc[c][i] += weight * value[i];
                    }
                }
            }
            if settings.saturation.is_some() || settings.hue.is_some() {
                let hsv = hsv::Strips::new(x);
                if let Some((weight, f)) = settings.saturation {
                    saturation::strip_forward(x, &hsv, f, weight, &mut acc);
                }
                if let Some((weight, f)) = settings.hue {
                    hue::strip_forward(&hsv, f, weight, &mut acc);
                }
            }
            for (weight, affine) in [&settings.rotate, &settings.scale].into_iter().flatten() {
                affine.strip_forward(&settings.planes, &pixels.xs, &pixels.ys, *weight, &mut acc);
            }
            for c in 0..3 {
                for i in 0..STRIP {
                    acc[c][i] = simd::clamp01(acc[c][i]);
                }
                out[c][offset..offset + n].copy_from_slice(&acc[c][..n]);
            }
        }
    }
}

/// The three channels of tile after tile.
fn tiles(data: &mut [f32], pixels: usize) -> Vec<[&mut [f32]; 3]> {
    let (r, rest) = data.split_at_mut(pixels);
    let (g, b) = rest.split_at_mut(pixels);
    let channels = r.chunks_mut(TILE).zip(g.chunks_mut(TILE)).zip(b.chunks_mut(TILE));
    channels.map(|((r, g), b)| [r, g, b]).collect()
}

fn forward_image(image: &Image<'_>, plan: Option<&Plan>, out: &mut [f32]) {
    let view = image.view;
    let spread = view.pixels() >= SPREAD;
    match plan {
        Some(plan) => plan.filter(spread, image.weights, 0.5, rows(view), out),
        None => out.fill(0.0),
    }
    if !image.bank.plain.is_empty() {
        let mut augmented = vec![0.0; out.len()];
        for &k in &image.bank.plain {
            let Some(op) = image.bank.op(k) else { continue };
            op.forward(view, op.factor(image.raw[k]), &mut augmented);
            for (out, value) in out.iter_mut().zip(&augmented) {
                *out += image.weights[k] * value;
            }
        }
    }
    let settings = Settings::new(image, spread);
    let shares = Shares::new(&settings);
    let tile = |(i, out): (usize, [&mut [f32]; 3])| {
        simd::dispatch(ForwardTile { settings: &settings, shares: &shares, start: i * TILE, out });
    };
    let tiles = tiles(out, view.pixels());
    if spread {
        tiles.into_par_iter().enumerate().for_each(tile);
    } else {
        tiles.into_iter().enumerate().for_each(tile);
    }
}

/// The rows of the three planes, for the filters.
fn rows(view: View<'_>) -> impl Fn(usize, &mut [f32]) + Sync {
    let (data, w) = (view.data(), view.width());
    move |row, to| to.copy_from_slice(&data[row * w..(row + 1) * w])
}

/// g where the clamp passed it.
#[inline(always)]
fn passed(out: f32, g: f32) -> f32 {
    simd::passed(out, g)
}

/// Where the gradients of one image go.
struct ImageGradients<'a> {
    raw: &'a mut [f32],
    weights: &'a mut [f32],
    network: Option<&'a mut [f32]>,
    image: Option<&'a mut [f32]>,
}

pub(super) fn backward(inputs: Inputs<'_>, out: &[f32], g: &[f32], grads: Gradients<'_>) {
    let plan = plan(inputs.bank, inputs.shape);
    let (size, k) = (inputs.shape.image(), inputs.bank.len());
    let mut networks = grads.network.map(|network| network.chunks_exact_mut(size));
    let mut images = grads.image.map(|image| image.chunks_exact_mut(size));
    let jobs = grads.raw.chunks_exact_mut(k).zip(grads.weights.chunks_exact_mut(k)).map(|(raw, weights)| {
        let network = networks.as_mut().and_then(Iterator::next);
        ImageGradients { raw, weights, network, image: images.as_mut().and_then(Iterator::next) }
    });
    let jobs: Vec<_> = jobs.zip(out.chunks_exact(size).zip(g.chunks_exact(size))).collect();
    jobs.into_par_iter()
        .enumerate()
        .for_each(|(i, (grads, (out, g)))| backward_image(&inputs.image(i), plan.as_deref(), out, g, grads));
}

/// Number of weight sums: the ops of the sweep, and the network.
const SUMS: usize = Sweep::COUNT + 1;
const NETWORK: usize = Sweep::COUNT;

/// Sums over a tile or an image.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sums {
    /// g times value, for each op: the gradient of its weight.
    value: [f64; SUMS],
    /// g times slope: the gradient of its factor, but for its weight.
    slope: [f64; SUMS],
}

/// Backward over one tile.
struct BackwardTile<'a, 'b> {
    settings: &'a Settings<'a>,
    start: usize,
    out: [&'a [f32]; 3],
    g: [&'a [f32]; 3],
    network: Option<[&'b mut [f32]; 3]>,
    length: usize,
}

impl Kernel for BackwardTile<'_, '_> {
    type Output = Sums;

    #[inline(always)]
    fn run(self) -> Sums {
        let Self { settings, start: tile, out, g: upstream, mut network, length } = self;
        let mut value = [[0.0f32; STRIP]; SUMS];
        let mut slope = [[0.0f32; STRIP]; SUMS];
        macro_rules! sums {
            ($op:ident) => {
                (&mut value[Sweep::$op as usize], &mut slope[Sweep::$op as usize])
            };
        }
        for offset in (0..length).step_by(STRIP) {
            let n = STRIP.min(length - offset);
            let start = tile + offset;
            let pixels = Pixels::new(settings, start, n);
            let x = &pixels.x;
            let mut g = [[0.0f32; STRIP]; 3];
            for c in 0..3 {
                let (out, upstream) = (load(out[c], start, n), load(upstream[c], start, n));
                for i in 0..STRIP {
                    g[c][i] = passed(out[i], upstream[i]);
                }
            }
            for c in 0..3 {
                let (x, g) = (&x[c], &g[c]);
                if settings.identity.is_some() {
                    add_products(x, g, &mut value[Sweep::Identity as usize]);
                }
                if let Some((_, max)) = settings.invert {
                    invert::strip_backward(x, g, max, &mut value[Sweep::Invert as usize]);
                }
                let levels = auto_contrast::strip_levels(x);
                if let Some((_, tables)) = &settings.auto_contrast {
                    auto_contrast::strip_backward(
                        &levels,
                        &tables[c],
                        g,
                        &mut value[Sweep::AutoContrast as usize],
                    );
                }
                if let Some((_, tables)) = &settings.equalize {
                    let value = &mut value[Sweep::Equalize as usize];
                    match &tables[c] {
                        Some(table) => auto_contrast::strip_backward(&levels, table, g, value),
                        None => add_products(x, g, value),
                    }
                }
                if let Some((_, f)) = settings.contrast {
                    let (value, slope) = sums!(Contrast);
                    contrast::strip_backward(x, g, f, value, slope);
                }
                if let Some((_, f)) = settings.brightness {
                    let (value, slope) = sums!(Brightness);
                    brightness::strip_backward(x, g, f, value, slope);
                }
                if let Some((_, f)) = settings.gamma {
                    let (value, slope) = sums!(Gamma);
                    gamma::strip_backward(x, g, f, value, slope);
                }
                if let Some((_, f)) = settings.sharpness {
                    let plane = settings.planes[c];
                    let b = sharpness::strip_smooth(plane, settings.w, start, n, x, &pixels.inner);
                    let (value, slope) = sums!(Sharpness);
                    sharpness::strip_backward(x, &b, g, f, value, slope);
                }
                if let Some((weight, images)) = &settings.network {
                    add_products(&load(images[c], start, n), g, &mut value[NETWORK]);
                    if let Some(grads) = &mut network {
                        let mut share = [0.0; STRIP];
                        for i in 0..STRIP {
                            share[i] = weight * g[i];
                        }
                        grads[c][offset..offset + n].copy_from_slice(&share[..n]);
                    }
                }
            }
            if settings.saturation.is_some() || settings.hue.is_some() {
                let hsv = hsv::Strips::new(x);
                if let Some((_, f)) = settings.saturation {
                    let (value, slope) = sums!(Saturation);
                    saturation::strip_backward(x, &hsv, &g, f, value, slope);
                }
                if let Some((_, f)) = settings.hue {
                    let (value, slope) = sums!(Hue);
                    hue::strip_backward(&hsv, &g, f, value, slope);
                }
            }
            let warps = [(&settings.rotate, Sweep::Rotate), (&settings.scale, Sweep::Scale)];
            for (warp, op) in warps {
                if let Some((_, affine)) = warp {
                    let (value, slope) = (&mut value[op as usize], &mut slope[op as usize]);
                    affine.strip_backward(&settings.planes, &pixels.xs, &pixels.ys, &g, value, slope);
                }
            }
        }
        let total = |strips: [Strip; SUMS]| {
            strips.map(|strip| {
                let mut lanes = [0.0f64; 8];
                for eight in strip.chunks_exact(8) {
                    for i in 0..8 {
                        lanes[i] += f64::from(eight[i]);
                    }
                }
                lanes.iter().sum()
            })
        };
        Sums { value: total(value), slope: total(slope) }
    }
}

#[inline(always)]
fn add_products(x: &Strip, g: &Strip, sum: &mut Strip) {
    for i in 0..STRIP {
        sum[i] += g[i] * x[i];
    }
}

fn backward_image(image: &Image<'_>, plan: Option<&Plan>, out: &[f32], g: &[f32], grads: ImageGradients<'_>) {
    let (view, bank) = (image.view, image.bank);
    let (pixels, w) = (view.pixels(), view.width());
    let spread = pixels >= SPREAD;
    let passed_rows = |row: usize, to: &mut [f32]| {
        let here = row * w..(row + 1) * w;
        for ((to, &out), &g) in to.iter_mut().zip(&out[here.clone()]).zip(&g[here]) {
            *to = passed(out, g);
        }
    };
    grads.raw.fill(0.0);
    if let Some(plan) = plan {
        plan.weight_gradients(spread, rows(view), passed_rows, grads.weights);
    }

    let settings = Settings::new(image, spread);
    let split = |data| -> [&[f32]; 3] {
        let data: &[f32] = data;
        [0, 1, 2].map(|c| &data[c * pixels..(c + 1) * pixels])
    };
    let (outs, gs) = (split(out), split(g));
    let tile = |(i, network): (usize, Option<[&mut [f32]; 3]>)| {
        let start = i * TILE;
        let length = TILE.min(pixels - start);
        simd::dispatch(BackwardTile { settings: &settings, start, out: outs, g: gs, network, length })
    };
    let parts: Vec<Option<[&mut [f32]; 3]>> = match grads.network {
        Some(network) => tiles(network, pixels).into_iter().map(Some).collect(),
        None => (0..pixels.div_ceil(TILE)).map(|_| None).collect(),
    };
    let parts: Vec<Sums> = if spread {
        parts.into_par_iter().enumerate().map(tile).collect()
    } else {
        parts.into_iter().enumerate().map(tile).collect()
    };
    let mut sums = Sums { value: [0.0; SUMS], slope: [0.0; SUMS] };
    for part in parts {
        for op in 0..SUMS {
            sums.value[op] += part.value[op];
            sums.slope[op] += part.slope[op];
        }
    }
    for (op, slot) in bank.sweep.iter().enumerate() {
        let Some(k) = *slot else { continue };
        grads.weights[k] = sums.value[op] as f32;
        let by_raw = bank.op(k).map_or(0.0, |op| op.d_factor_d_raw(image.raw[k]));
        grads.raw[k] = (f64::from(image.weights[k]) * sums.slope[op] * f64::from(by_raw)) as f32;
    }
    if let Some(k) = bank.network_slot() {
        grads.weights[k] = sums.value[NETWORK] as f32;
    }

    if bank.plain.is_empty() && grads.image.is_none() {
        return;
    }
    let masked: Vec<f32> = out.iter().zip(g).map(|(&out, &g)| passed(out, g)).collect();
    let mut weighted = vec![0.0; masked.len()];
    for &k in &bank.plain {
        let Some(op) = bank.op(k) else { continue };
        let factor = op.factor(image.raw[k]);
        op.forward(view, factor, &mut weighted);
        let products = masked.iter().zip(&weighted).map(|(&g, &value)| f64::from(g) * f64::from(value));
        grads.weights[k] = products.sum::<f64>() as f32;
        let by_factor = op.backward(view, factor, &masked, None);
        grads.raw[k] = image.weights[k] * by_factor * op.d_factor_d_raw(image.raw[k]);
    }
    let Some(grad_image) = grads.image else { return };
    match plan {
        Some(plan) => plan.filter(spread, image.weights, 0.0, passed_rows, grad_image),
        None => grad_image.fill(0.0),
    }
    // The gradient of the image is not asked for in training: op by op, the plain way.
    for k in bank.sweep.iter().flatten().chain(&bank.plain).copied() {
        let Some(op) = bank.op(k) else { continue };
        for (weighted, g) in weighted.iter_mut().zip(&masked) {
            *weighted = image.weights[k] * g;
        }
        op.backward(view, op.factor(image.raw[k]), &weighted, Some(grad_image));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let bank = Bank::from_names(&crate::bank::known_names()).unwrap();
        let mut stream = dyntta_image::Stream::new(1, &["simd"]);
        for (h, w) in [(1, 1), (3, 50), (24, 31), (64, 64)] {
            let n = 3 * h * w;
            let mut noise = |n: usize| -> Vec<f32> { (0..n).map(|_| stream.uniform_f32()).collect() };
            let (data, network, g) = (noise(n), noise(n), noise(n));
            let (raw, weights) = (noise(bank.len()), noise(bank.len()));
            let image = Image {
                bank: &bank,
                view: View::new(&data, h, w).unwrap(),
                raw: &raw,
                weights: &weights,
                network: Some(&network),
            };
            let settings = Settings::new(&image, false);
            let shares = Shares::new(&settings);
            let planes = [0, 1, 2].map(|c| &g[c * h * w..(c + 1) * h * w]);
            let results = dyntta_simd::Level::available().iter().map(|level| {
                let (mut blended, mut by_network) = (vec![0.0; n], vec![0.0; n]);
                let [out]: [_; 1] = tiles(&mut blended, h * w).try_into().expect("one tile");
                level.run(ForwardTile { settings: &settings, shares: &shares, start: 0, out });
                let network = tiles(&mut by_network, h * w).pop();
                let out = planes;
                let tile =
                    BackwardTile { settings: &settings, start: 0, out, g: planes, network, length: h * w };
                let sums = level.run(tile);
                (blended, by_network, sums)
            });
            let results: Vec<_> = results.collect();
            assert!(results.iter().all(|result| *result == results[0]), "{h} x {w}");
        }
    }
}
