//! The fast path: one transform for all filters, one sweep over the pixels for the other ops, nothing stored in between.
//!
//! For each image, first what needs all of it: the filtered image, its largest value, the tables of `auto_contrast` and
//! `equalize`. Then tiles of a fixed number of pixels, strip by strip: every op adds its share to the strip. Backward does
//! the same sweep again and sums g times value and g times slope for each op.
//!
//! A sum over an image is taken in a fixed order: in `f32` down the strips of a tile, lane by lane, then in `f64` over
//! lanes and tiles.

use dyntta_simd::{Kernel, dispatch, math};
use rayon::prelude::*;

use super::{Gradients, Inputs};
use crate::ops::{Prepared, Sweep};
use crate::spectral::Plan;
use crate::sweep::{Needs, STRIP, Seen, Shares, Strip, Strips, load};
use crate::{Bank, Shape, View};

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

/// What the sweep needs to know of one image.
struct Settings<'a> {
    needs: Needs,
    seen: Seen<'a>,
    prepared: Prepared,
    /// The network's weight and the channels of its image.
    network: Option<(f32, [&'a [f32]; 3])>,
}

impl<'a> Settings<'a> {
    fn new(image: &Image<'a>, spread: bool) -> Self {
        let (bank, view) = (image.bank, image.view);
        let seen = Seen::new(view, bank.needs, spread);
        let prepared = Prepared::new(&seen, |op| {
            let k = bank.sweep[op as usize]?;
            Some((image.weights[k], bank.op(k)?.factor(image.raw[k])))
        });
        let network = bank.network_slot().zip(image.network).map(|(k, data)| {
            let n = view.pixels();
            (image.weights[k], [0, 1, 2].map(|c| &data[c * n..(c + 1) * n]))
        });
        Self { needs: bank.needs, seen, prepared, network }
    }

    /// Slot `k` alone, with weight 1.
    fn alone(bank: &Bank, k: usize, view: View<'a>, raw: f32, spread: bool) -> Self {
        let here = |op: Sweep| bank.sweep[op as usize] == Some(k);
        let needs = Sweep::ALL.iter().filter(|&&op| here(op)).fold(Needs::NOTHING, |n, op| n.and(op.needs()));
        let seen = Seen::new(view, needs, spread);
        let factor = bank.op(k).map_or(0.0, |op| op.factor(raw));
        let prepared = Prepared::new(&seen, |op| here(op).then_some((1.0, factor)));
        Self { needs, seen, prepared, network: None }
    }
}

/// Forward over one tile.
struct ForwardTile<'a, 'b> {
    settings: &'a Settings<'a>,
    shares: &'a Shares,
    start: usize,
    out: [&'b mut [f32]; 3],
}

impl Kernel for ForwardTile<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { settings, shares, start: tile, out } = self;
        let Settings { needs, seen, prepared, network } = settings;
        let length = out[0].len();
        for offset in (0..length).step_by(STRIP) {
            let n = STRIP.min(length - offset);
            let mut strips = Strips::new(seen, *needs, tile + offset, n);
            let mut acc = [load(out[0], offset, n), load(out[1], offset, n), load(out[2], offset, n)];
            for c in 0..3 {
                shares.forward(&strips.x[c], c, &mut acc[c]);
                prepared.forward_plane(&strips, c, &mut acc[c]);
                if let Some((weight, network)) = network {
                    let value = load(network[c], strips.start, n);
                    for i in 0..STRIP {
                        acc[c][i] += weight * value[i];
                    }
                }
            }
            strips.see_colours(*needs);
            prepared.forward_pixels(&strips, &mut acc);
            for c in 0..3 {
                for i in 0..STRIP {
                    acc[c][i] = math::clamp01(acc[c][i]);
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
    sweep(&Settings::new(image, spread), spread, out);
}

/// Adds the ops of the sweep to `out`, and clamps.
fn sweep(settings: &Settings<'_>, spread: bool, out: &mut [f32]) {
    let shares = settings.prepared.shares();
    let tile = |(i, out): (usize, [&mut [f32]; 3])| {
        dispatch(ForwardTile { settings, shares: &shares, start: i * TILE, out });
    };
    let tiles = tiles(out, settings.seen.h * settings.seen.w);
    if spread {
        tiles.into_par_iter().enumerate().for_each(tile);
    } else {
        tiles.into_iter().enumerate().for_each(tile);
    }
}

/// What slot `k` alone makes of an image, clamped: bit for bit the blend with its weight 1 and all others 0.
pub(super) fn apply(bank: &Bank, k: usize, view: View<'_>, raw: f32, out: &mut [f32]) {
    let spread = view.pixels() >= SPREAD;
    let Some(op) = bank.op(k) else { return };
    out.fill(0.0);
    if op.keeps().is_some() {
        let mut weights = vec![0.0; bank.len()];
        weights[k] = 1.0;
        Plan::get(view.height(), view.width(), &bank.filters).filter(spread, &weights, 0.5, rows(view), out);
    } else if bank.plain.contains(&k) {
        op.forward(view, op.factor(raw), out);
    }
    sweep(&Settings::alone(bank, k, view, raw, spread), spread, out);
}

/// The rows of the three planes, for the filters.
fn rows(view: View<'_>) -> impl Fn(usize, &mut [f32]) + Sync {
    let (data, w) = (view.data(), view.width());
    move |row, to| to.copy_from_slice(&data[row * w..(row + 1) * w])
}

/// g where the clamp passed it.
#[inline(always)]
fn passed(out: f32, g: f32) -> f32 {
    math::passed(out, g)
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
        let Self { settings, start: tile, out, g: upstream, network: mut by_network, length } = self;
        let Settings { needs, seen, prepared, network } = settings;
        let mut value = [[0.0f32; STRIP]; SUMS];
        let mut slope = [[0.0f32; STRIP]; SUMS];
        for offset in (0..length).step_by(STRIP) {
            let n = STRIP.min(length - offset);
            let start = tile + offset;
            let mut strips = Strips::new(seen, *needs, start, n);
            let mut g = [[0.0f32; STRIP]; 3];
            for c in 0..3 {
                let (out, upstream) = (load(out[c], start, n), load(upstream[c], start, n));
                for i in 0..STRIP {
                    g[c][i] = passed(out[i], upstream[i]);
                }
            }
            for c in 0..3 {
                strips.see_levels(*needs, c);
                prepared.plane_gradients(&strips, c, &g[c], &mut value, &mut slope);
                if let Some((weight, images)) = network {
                    let image = load(images[c], start, n);
                    for i in 0..STRIP {
                        value[NETWORK][i] += g[c][i] * image[i];
                    }
                    if let Some(grads) = &mut by_network {
                        let mut share = [0.0; STRIP];
                        for i in 0..STRIP {
                            share[i] = weight * g[c][i];
                        }
                        grads[c][offset..offset + n].copy_from_slice(&share[..n]);
                    }
                }
            }
            strips.see_colours(*needs);
            prepared.pixel_gradients(&strips, &g, &mut value, &mut slope);
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
        dispatch(BackwardTile { settings: &settings, start, out: outs, g: gs, network, length })
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
    let mut ops: Vec<usize> = bank.sweep.iter().flatten().chain(&bank.plain).copied().collect();
    ops.sort_unstable();
    for k in ops {
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
            let shares = settings.prepared.shares();
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
