//! Batch norm, instance norm and the per-channel affine map, fused with a residual and an activation.
//!
//! Batch norm over a batch and instance norm over each image are one computation over groups of pixels: one group, or
//! one an image. Moments are taken chunk by chunk (mean, then squared distance from it, while the chunk is in cache) and
//! merged in order in double precision (Chan, Golub and LeVeque 1983).

use crate::act::{Activation, Slope};
use dyntta_simd::{Level, level, multiversion};
use rayon::prelude::*;

/// Floats per task.
const CHUNK: usize = 16 << 10;
/// Few channels are repeated up to this many floats, to give the vector loops some length.
const PERIOD: usize = 256;

/// Groups of pixels of `c` channels that share their moments.
#[derive(Clone, Copy)]
pub(crate) struct Groups {
    pub count: usize,
    pub pixels: usize,
    pub c: usize,
}

impl Groups {
    pub(crate) fn new(count: usize, pixels: usize, c: usize) -> Self {
        Groups { count, pixels, c }
    }

    fn group_len(self) -> usize {
        self.pixels * self.c
    }

    fn len(self) -> usize {
        self.count * self.group_len()
    }

    /// Floats of a chunk, whole pixels.
    fn chunk_len(self) -> usize {
        (CHUNK / self.c).clamp(1, self.pixels) * self.c
    }

    pub(crate) fn chunks(self) -> usize {
        self.group_len().div_ceil(self.chunk_len())
    }

    /// Channels, repeated to the length the loops run over.
    pub(crate) fn period(self) -> usize {
        self.c * (PERIOD / self.c).max(1)
    }

    pub(crate) fn check(self, slices: &[(&str, usize)]) {
        for (name, len) in slices {
            assert_eq!(*len, self.len(), "{name} has {len} floats where {} belong", self.len());
        }
    }

    /// `per_channel` (count x c) with each group's row repeated to [`Groups::period`].
    pub(crate) fn repeat(self, per_channel: &[f32]) -> Vec<f32> {
        let times = self.period() / self.c;
        per_channel
            .chunks_exact(self.c)
            .flat_map(|row| std::iter::repeat_n(row, times).flatten())
            .copied()
            .collect()
    }

    /// Runs `f(group, chunk number, [chunk of each input])` for all chunks and collects its `width` floats for each.
    pub(crate) fn reduce<const N: usize>(
        self,
        inputs: [&[f32]; N],
        width: usize,
        f: impl Fn(usize, [&[f32]; N], &mut [f32]) + Sync,
    ) -> Vec<f32> {
        let (chunks, chunk) = (self.chunks(), self.chunk_len());
        let mut out = vec![0.0; self.count * chunks * width];
        out.par_chunks_mut(width).enumerate().for_each(|(i, out)| {
            let (group, first) = (i / chunks, i % chunks * chunk);
            let last = (first + chunk).min(self.group_len());
            let base = group * self.group_len();
            f(group, inputs.map(|x| &x[base + first..base + last]), out);
        });
        out
    }

    /// Runs `f(group, [chunk of each input], chunk of out)` for all chunks.
    pub(crate) fn map<const N: usize>(
        self,
        inputs: [&[f32]; N],
        out: &mut [f32],
        f: impl Fn(usize, [&[f32]; N], &mut [f32]) + Sync,
    ) {
        if out.is_empty() {
            return;
        }
        let chunk = self.chunk_len();
        out.par_chunks_mut(self.group_len()).enumerate().for_each(|(group, out)| {
            let base = group * self.group_len();
            out.par_chunks_mut(chunk).enumerate().for_each(|(i, out)| {
                let first = base + i * chunk;
                f(group, inputs.map(|x| &x[first..first + out.len()]), out);
            });
        });
    }
}

/// Adds up `row` (any whole number of pixels), channel by channel, into `out`.
pub(crate) fn fold(row: &[f32], out: &mut [f32]) {
    for pixel in row.chunks_exact(out.len()) {
        for (o, v) in out.iter_mut().zip(pixel) {
            *o += v;
        }
    }
}

multiversion! {
    /// Mean and summed squared distance of each channel of a chunk: `out` is 2 x c.
    fn moments_chunk(x: &[f32], c: usize, period: usize, out: &mut [f32]) {
        let (mean, m2) = out.split_at_mut(c);
        let mut sum = vec![0.0f32; period];
        for row in x.chunks(period) {
            for (s, v) in sum.iter_mut().zip(row) {
                *s += v;
            }
        }
        fold(&sum, mean);
        let scale = c as f32 / x.len() as f32;
        for m in mean.iter_mut() {
            *m *= scale;
        }
        let wide: Vec<f32> = mean.iter().cycle().take(period).copied().collect();
        sum.fill(0.0);
        for row in x.chunks(period) {
            for ((s, v), m) in sum.iter_mut().zip(row).zip(&wide) {
                *s += (v - m) * (v - m);
            }
        }
        fold(&sum, m2);
    }
}

/// Mean and biased variance, count x c each.
pub(crate) fn moments(level: Level, x: &[f32], g: Groups, mean: &mut [f32], var: &mut [f32]) {
    let c = g.c;
    let parts = g.reduce([x], 2 * c, |_, [x], out| moments_chunk(level, x, c, g.period(), out));
    let chunk = g.chunk_len() / c;
    for (i, group) in parts.chunks_exact(g.chunks() * 2 * c).enumerate() {
        for ch in 0..c {
            let (mut n, mut m, mut m2) = (0.0f64, 0.0f64, 0.0f64);
            for (k, part) in group.chunks_exact(2 * c).enumerate() {
                let nk = chunk.min(g.pixels - k * chunk) as f64;
                let delta = f64::from(part[ch]) - m;
                m2 += f64::from(part[c + ch]) + delta * delta * n * nk / (n + nk);
                m += delta * nk / (n + nk);
                n += nk;
            }
            mean[i * c + ch] = m as f32;
            var[i * c + ch] = (m2 / n) as f32;
        }
    }
}

multiversion! {
    /// `coef` holds mean, scale and shift, a period each.
    fn affine_chunk(x: &[f32], coef: [&[f32]; 3], residual: &[f32], act: Slope, y: &mut [f32]) {
        let [mean, scale, shift] = coef;
        let period = mean.len();
        for (i, (y, x)) in y.chunks_mut(period).zip(x.chunks(period)).enumerate() {
            let n = y.len();
            let (x, mean, scale, shift) = (&x[..n], &mean[..n], &scale[..n], &shift[..n]);
            if residual.is_empty() {
                for j in 0..n {
                    let v = (x[j] - mean[j]) * scale[j] + shift[j];
                    y[j] = act.apply(v, v);
                }
            } else {
                let r = &residual[i * period..i * period + n];
                for j in 0..n {
                    let v = (x[j] - mean[j]) * scale[j] + shift[j] + r[j];
                    y[j] = act.apply(v, v);
                }
            }
        }
    }
}

/// `act((x - mean) * scale + shift + residual)` with count x c factors. (One product less with the mean folded into the
/// shift, but then a large mean costs digits.)
pub(crate) fn affine(
    level: Level,
    x: &[f32],
    g: Groups,
    [mean, scale, shift]: [&[f32]; 3],
    residual: Option<&[f32]>,
    act: Activation,
    y: &mut [f32],
) {
    let (coef, act, period) = ([mean, scale, shift].map(|v| g.repeat(v)), act.slope(), g.period());
    let of = |i: usize| [0, 1, 2].map(|k| &coef[k][i * period..(i + 1) * period]);
    match residual {
        Some(r) => g.map([x, r], y, |i, [x, r], y| affine_chunk(level, x, of(i), r, act, y)),
        None => g.map([x], y, |i, [x], y| affine_chunk(level, x, of(i), &[], act, y)),
    }
}

multiversion! {
    fn scale_chunk(g: &[f32], y: &[f32], scale: &[f32], act: Slope, dx: &mut [f32]) {
        let period = scale.len();
        for ((d, g), y) in dx.chunks_mut(period).zip(g.chunks(period)).zip(y.chunks(period)) {
            for (((d, g), y), a) in d.iter_mut().zip(g).zip(y).zip(scale) {
                *d = act.apply(*g, *y) * a;
            }
        }
    }
}

multiversion! {
    /// Sums of g' and of g' * (x - mean), where g' is the gradient before the activation: `out` is 2 x c.
    fn gradient_sums_chunk(
        g: &[f32],
        y: &[f32],
        x: &[f32],
        mean: &[f32],
        act: Slope,
        out: &mut [f32],
    ) {
        let period = mean.len();
        let mut sums = vec![0.0f32; 2 * period];
        let (sum, dot) = sums.split_at_mut(period);
        for ((g, y), x) in g.chunks(period).zip(y.chunks(period)).zip(x.chunks(period)) {
            let n = g.len();
            let (sum, dot, mean, y, x) = (&mut sum[..n], &mut dot[..n], &mean[..n], &y[..n], &x[..n]);
            for i in 0..n {
                let v = act.apply(g[i], y[i]);
                sum[i] += v;
                dot[i] += v * (x[i] - mean[i]);
            }
        }
        let (a, b) = out.split_at_mut(out.len() / 2);
        fold(sum, a);
        fold(dot, b);
    }
}

multiversion! {
    /// dx = g' * scale - (x - mean) * slope - offset; `coef` holds the four, a period each.
    fn gradient_chunk(g: &[f32], y: &[f32], x: &[f32], coef: [&[f32]; 4], act: Slope, dx: &mut [f32]) {
        let [mean, scale, slope, offset] = coef;
        let period = mean.len();
        for (((d, g), y), x) in
            dx.chunks_mut(period).zip(g.chunks(period)).zip(y.chunks(period)).zip(x.chunks(period))
        {
            let n = d.len();
            let (g, y, x) = (&g[..n], &y[..n], &x[..n]);
            let (mean, scale, slope, offset) = (&mean[..n], &scale[..n], &slope[..n], &offset[..n]);
            for i in 0..n {
                d[i] = act.apply(g[i], y[i]) * scale[i] - (x[i] - mean[i]) * slope[i] - offset[i];
            }
        }
    }
}

/// Gradient through a norm; gamma is c long or empty (ones). Returns the sums of g' and of g' * x_hat, count x c each.
fn norm_backward(
    level: Level,
    grad: &[f32],
    y: &[f32],
    x: &[f32],
    g: Groups,
    gamma: &[f32],
    mean: &[f32],
    inv_std: &[f32],
    act: Activation,
    dx: &mut [f32],
) -> (Vec<f32>, Vec<f32>) {
    let (c, period, act) = (g.c, g.period(), act.slope());
    let of = |group: usize| group * period..(group + 1) * period;
    let wide_mean = g.repeat(mean);
    let parts = g.reduce([grad, y, x], 2 * c, |i, [grad, y, x], out| {
        gradient_sums_chunk(level, grad, y, x, &wide_mean[of(i)], act, out);
    });
    let total = g.count * c;
    let (mut sums, mut dots) = (vec![0.0f32; total], vec![0.0f32; total]);
    let (mut scale, mut slope, mut offset) = (vec![0.0f32; total], vec![0.0f32; total], vec![0.0f32; total]);
    let m = g.pixels as f64;
    for (i, group) in parts.chunks_exact(g.chunks() * 2 * c).enumerate() {
        for ch in 0..c {
            let (mut sum, mut dot) = (0.0f64, 0.0f64);
            for part in group.chunks_exact(2 * c) {
                sum += f64::from(part[ch]);
                dot += f64::from(part[c + ch]);
            }
            let at = i * c + ch;
            let inv = f64::from(inv_std[at]);
            let a = gamma.get(ch).map_or(1.0, |v| f64::from(*v)) * inv;
            sums[at] = sum as f32;
            dots[at] = (dot * inv) as f32;
            scale[at] = a as f32;
            slope[at] = (a * inv * inv * dot / m) as f32;
            offset[at] = (a * sum / m) as f32;
        }
    }
    let coef = [wide_mean, g.repeat(&scale), g.repeat(&slope), g.repeat(&offset)];
    g.map([grad, y, x], dx, |i, [grad, y, x], dx| {
        let coef = [&coef[0][of(i)], &coef[1][of(i)], &coef[2][of(i)], &coef[3][of(i)]];
        gradient_chunk(level, grad, y, x, coef, act, dx);
    });
    (sums, dots)
}

fn check_channels(slices: &[(&str, usize)], expected: usize) {
    for (name, len) in slices {
        assert_eq!(*len, expected, "{name} has {len} floats where {expected} belong");
    }
}

fn pixels_of(len: usize, c: usize) -> usize {
    assert!(c > 0 && len.is_multiple_of(c), "{len} floats are no whole number of pixels of {c} channels");
    len / c
}

/// Per-channel affine map, `y = act(x * scale + shift + residual)`: a frozen batch norm, with what follows it.
///
/// `x`, `residual`, `y`: pixels x c, where c is the length of `scale` and `shift`.
///
/// # Panics
/// If a slice has the wrong length.
pub fn affine_forward(
    x: &[f32],
    scale: &[f32],
    shift: &[f32],
    residual: Option<&[f32]>,
    act: Activation,
    y: &mut [f32],
) {
    let c = scale.len();
    let g = Groups::new(1, pixels_of(x.len(), c), c);
    g.check(&[("y", y.len()), ("residual", residual.map_or(x.len(), <[f32]>::len))]);
    check_channels(&[("shift", shift.len())], c);
    if !x.is_empty() {
        affine(level(), x, g, [&vec![0.0; c], scale, shift], residual, act, y);
    }
}

/// Gradients of [`affine_forward`] to `x` and to the residual, from the gradient `g` and the forward result `y`.
///
/// # Panics
/// If a slice has the wrong length.
pub fn affine_backward(
    g: &[f32],
    y: &[f32],
    scale: &[f32],
    act: Activation,
    dx: &mut [f32],
    dresidual: Option<&mut [f32]>,
) {
    let c = scale.len();
    let groups = Groups::new(1, pixels_of(g.len(), c), c);
    groups.check(&[("y", y.len()), ("dx", dx.len())]);
    if g.is_empty() {
        return;
    }
    let (level, scale, slope) = (level(), groups.repeat(scale), act.slope());
    groups.map([g, y], dx, |_, [g, y], dx| scale_chunk(level, g, y, &scale, slope, dx));
    if let Some(d) = dresidual {
        crate::act::activate_backward(g, y, act, d);
    }
}

/// Batch norm in training mode: `y = act((x - mean) * inv_std * gamma + beta + residual)`.
///
/// `x`, `residual`, `y`: pixels x c with all images, rows and columns as pixels; `gamma`, `beta`: c. Also written, c long
/// each: `mean` and `var`, the batch's mean and biased variance (running statistics take `var * pixels / (pixels - 1)`), and
/// `inv_std = 1 / sqrt(var + eps)`. The backward pass wants `mean`, `inv_std` and `y`.
///
/// # Panics
/// If a slice has the wrong length.
pub fn batch_norm_forward(
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    eps: f32,
    residual: Option<&[f32]>,
    act: Activation,
    y: &mut [f32],
    mean: &mut [f32],
    var: &mut [f32],
    inv_std: &mut [f32],
) {
    let c = gamma.len();
    let g = Groups::new(1, pixels_of(x.len(), c), c);
    g.check(&[("y", y.len()), ("residual", residual.map_or(x.len(), <[f32]>::len))]);
    let of_channels =
        [("beta", beta.len()), ("mean", mean.len()), ("var", var.len()), ("inv_std", inv_std.len())];
    check_channels(&of_channels, c);
    if x.is_empty() {
        return;
    }
    let level = level();
    moments(level, x, g, mean, var);
    let mut scale = vec![0.0; c];
    for i in 0..c {
        inv_std[i] = 1.0 / (var[i] + eps).sqrt();
        scale[i] = gamma[i] * inv_std[i];
    }
    affine(level, x, g, [mean, &scale, beta], residual, act, y);
}

/// Gradients of [`batch_norm_forward`], with the dependence of mean and variance on `x`.
///
/// `g`: gradient to `y`; `dx`: pixels x c; `dgamma`, `dbeta`: c; `dresidual`: pixels x c. All overwritten.
///
/// # Panics
/// If a slice has the wrong length.
pub fn batch_norm_backward(
    g: &[f32],
    y: &[f32],
    x: &[f32],
    gamma: &[f32],
    mean: &[f32],
    inv_std: &[f32],
    act: Activation,
    dx: &mut [f32],
    dgamma: &mut [f32],
    dbeta: &mut [f32],
    dresidual: Option<&mut [f32]>,
) {
    let c = gamma.len();
    let groups = Groups::new(1, pixels_of(x.len(), c), c);
    groups.check(&[("g", g.len()), ("y", y.len()), ("dx", dx.len())]);
    let of_channels =
        [("mean", mean.len()), ("inv_std", inv_std.len()), ("dgamma", dgamma.len()), ("dbeta", dbeta.len())];
    check_channels(&of_channels, c);
    if x.is_empty() {
        dgamma.fill(0.0);
        dbeta.fill(0.0);
        return;
    }
    let (sums, dots) = norm_backward(level(), g, y, x, groups, gamma, mean, inv_std, act, dx);
    dbeta.copy_from_slice(&sums);
    dgamma.copy_from_slice(&dots);
    if let Some(d) = dresidual {
        crate::act::activate_backward(g, y, act, d);
    }
}

/// Instance norm without affine: `y = act((x - mean) * inv_std)` with the moments of each image and channel.
///
/// `x`, `y`: n x pixels x c; `mean`, `inv_std`: n x c, written for the backward pass; the variance is biased.
///
/// # Panics
/// If a slice has the wrong length, or `x` is no whole number of pixels.
pub fn instance_norm_forward(
    x: &[f32],
    n: usize,
    c: usize,
    eps: f32,
    act: Activation,
    y: &mut [f32],
    mean: &mut [f32],
    inv_std: &mut [f32],
) {
    let g = Groups::new(n, pixels_of(x.len(), c) / n.max(1), c);
    g.check(&[("x", x.len()), ("y", y.len())]);
    check_channels(&[("mean", mean.len()), ("inv_std", inv_std.len())], n * c);
    if x.is_empty() {
        return;
    }
    let level = level();
    moments(level, x, g, mean, inv_std);
    for v in inv_std.iter_mut() {
        *v = 1.0 / (*v + eps).sqrt();
    }
    affine(level, x, g, [mean, inv_std, &vec![0.0; n * c]], None, act, y);
}

/// Gradient of [`instance_norm_forward`] to `x`.
///
/// # Panics
/// If a slice has the wrong length.
pub fn instance_norm_backward(
    g: &[f32],
    y: &[f32],
    x: &[f32],
    n: usize,
    c: usize,
    mean: &[f32],
    inv_std: &[f32],
    act: Activation,
    dx: &mut [f32],
) {
    let groups = Groups::new(n, pixels_of(x.len(), c) / n.max(1), c);
    groups.check(&[("x", x.len()), ("g", g.len()), ("y", y.len()), ("dx", dx.len())]);
    check_channels(&[("mean", mean.len()), ("inv_std", inv_std.len())], n * c);
    if !x.is_empty() {
        norm_backward(level(), g, y, x, groups, &[], mean, inv_std, act, dx);
    }
}
