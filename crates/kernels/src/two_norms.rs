//! Batch norm and instance norm of the same maps, as the two branches of a selective block take them: one pass gives the
//! moments of both, and one the gradient through both.
//!
//! Neither result has to be kept for the backward pass: which side of the activation a value was on follows from `x`.

use crate::act::Activation;
use crate::norm::{Groups, affine, fold, moments};
use dyntta_simd::{level, multiversion};

/// Maps of `n` images of `pixels` places of `c` channels, NHWC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maps {
    /// Images.
    pub n: usize,
    /// Places of an image.
    pub pixels: usize,
    /// Channels.
    pub c: usize,
}

/// One norm with its affine map, `(x - mean) * scale + shift`: of a batch (c of each), or of every image (n x c).
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// Means.
    pub mean: &'a [f32],
    /// `1 / sqrt(variance + eps)`.
    pub inv_std: &'a [f32],
    /// The scale behind the norm, c long; ones where empty.
    pub gamma: &'a [f32],
    /// The shift behind the norm, c long; zeros where empty.
    pub beta: &'a [f32],
    /// The moments are not those of `x`: no gradient flows through them.
    pub fixed: bool,
}

impl Norm<'_> {
    /// Scale and shift of every group.
    fn coefficients(&self, c: usize) -> (Vec<f32>, Vec<f32>) {
        let scale = self.inv_std.iter().enumerate().map(|(i, v)| v * self.gamma.get(i % c).unwrap_or(&1.0));
        let shift = (0..self.mean.len()).map(|i| *self.beta.get(i % c).unwrap_or(&0.0));
        (scale.collect(), shift.collect())
    }
}

impl Maps {
    fn len(self) -> usize {
        self.n * self.pixels * self.c
    }

    fn check(self, slices: &[usize]) {
        assert!(
            self.c > 0 && slices.iter().all(|len| *len == self.len()),
            "slices do not fit {self:?}: {slices:?}"
        );
    }

    fn images(self) -> Groups {
        Groups::new(self.n, self.pixels, self.c)
    }

    /// One group, or one an image, by the length of `mean`.
    fn groups(self, norm: &Norm<'_>) -> Groups {
        if norm.mean.len() == self.c && self.n != 1 {
            Groups::new(1, self.n * self.pixels, self.c)
        } else {
            assert_eq!(norm.mean.len(), self.n * self.c, "moments do not fit {self:?}");
            self.images()
        }
    }
}

/// Mean and biased variance of each image's channels (n x c each) and of the whole batch's (c each).
///
/// # Panics
/// If a slice has the wrong length.
pub fn both_moments(maps: Maps, x: &[f32], of_images: [&mut [f32]; 2], of_batch: [&mut [f32]; 2]) {
    let Maps { n, c, .. } = maps;
    maps.check(&[x.len()]);
    let ([mean, var], [batch_mean, batch_var]) = (of_images, of_batch);
    assert!(mean.len() == n * c && var.len() == n * c, "moments of images are n x c");
    assert!(batch_mean.len() == c && batch_var.len() == c, "moments of a batch are c");
    if x.is_empty() {
        return;
    }
    moments(level(), x, maps.images(), mean, var);
    // Images are of one size, so the batch's moments are means.
    for ch in 0..c {
        let of = |v: &[f32], i: usize| f64::from(v[i * c + ch]);
        let all = (0..n).map(|i| of(mean, i)).sum::<f64>() / n as f64;
        let spread = (0..n).map(|i| of(var, i) + (of(mean, i) - all).powi(2)).sum::<f64>() / n as f64;
        (batch_mean[ch], batch_var[ch]) = (all as f32, spread as f32);
    }
}

/// `y = act((x - mean) * inv_std * gamma + beta)`.
///
/// # Panics
/// If a slice has the wrong length.
pub fn normalise(maps: Maps, x: &[f32], norm: &Norm<'_>, act: Activation, y: &mut [f32]) {
    maps.check(&[x.len(), y.len()]);
    if !x.is_empty() {
        let (scale, shift) = norm.coefficients(maps.c);
        affine(level(), x, maps.groups(norm), [norm.mean, &scale, &shift], None, act, y);
    }
}

multiversion! {
    /// For both norms: sums of g' and of g' * (x - mean), where g' is the gradient before the activation: `out` is 4 x c.
    /// `coef` holds mean, scale and shift of the one, then of the other, a period each.
    fn sums_chunk(grads: [&[f32]; 2], x: &[f32], coef: [&[f32]; 6], slope: f32, out: &mut [f32]) {
        let [mean_a, scale_a, shift_a, mean_b, scale_b, shift_b] = coef;
        let period = mean_a.len();
        let mut sums = vec![0.0f32; 4 * period];
        let (of_a, of_b) = sums.split_at_mut(2 * period);
        let ((sum_a, dot_a), (sum_b, dot_b)) = (of_a.split_at_mut(period), of_b.split_at_mut(period));
        for ((ga, gb), x) in grads[0].chunks(period).zip(grads[1].chunks(period)).zip(x.chunks(period)) {
            let n = x.len();
            let (ga, gb) = (&ga[..n], &gb[..n]);
            let (mean_a, scale_a, shift_a) = (&mean_a[..n], &scale_a[..n], &shift_a[..n]);
            let (mean_b, scale_b, shift_b) = (&mean_b[..n], &scale_b[..n], &shift_b[..n]);
            let (sum_a, dot_a, sum_b, dot_b) =
                (&mut sum_a[..n], &mut dot_a[..n], &mut sum_b[..n], &mut dot_b[..n]);
            for i in 0..n {
                let (da, db) = (x[i] - mean_a[i], x[i] - mean_b[i]);
                let va = if da * scale_a[i] + shift_a[i] <= 0.0 { ga[i] * slope } else { ga[i] };
                let vb = if db * scale_b[i] + shift_b[i] <= 0.0 { gb[i] * slope } else { gb[i] };
                sum_a[i] += va;
                dot_a[i] += va * da;
                sum_b[i] += vb;
                dot_b[i] += vb * db;
            }
        }
        let c = out.len() / 4;
        for (row, out) in sums.chunks_exact(period).zip(out.chunks_exact_mut(c)) {
            fold(row, out);
        }
    }
}

multiversion! {
    /// Over the gradient to the one, the gradient to `x`: g' * scale of both norms, less (x - mean of the other) * slope and
    /// an offset. `coef`: as for [`sums_chunk`], then slope and offset.
    fn gradient_chunk(ga: &mut [f32], gb: &[f32], x: &[f32], coef: [&[f32]; 8], slope: f32) {
        let [mean_a, scale_a, shift_a, mean_b, scale_b, shift_b, tilt, offset] = coef;
        let period = mean_a.len();
        for ((ga, gb), x) in ga.chunks_mut(period).zip(gb.chunks(period)).zip(x.chunks(period)) {
            let n = x.len();
            let (ga, gb) = (&mut ga[..n], &gb[..n]);
            let (mean_a, scale_a, shift_a) = (&mean_a[..n], &scale_a[..n], &shift_a[..n]);
            let (mean_b, scale_b, shift_b) = (&mean_b[..n], &scale_b[..n], &shift_b[..n]);
            let (tilt, offset) = (&tilt[..n], &offset[..n]);
            for i in 0..n {
                let (da, db) = (x[i] - mean_a[i], x[i] - mean_b[i]);
                let va = if da * scale_a[i] + shift_a[i] <= 0.0 { ga[i] * slope } else { ga[i] };
                let vb = if db * scale_b[i] + shift_b[i] <= 0.0 { gb[i] * slope } else { gb[i] };
                ga[i] = va * scale_a[i] + vb * scale_b[i] - db * tilt[i] - offset[i];
            }
        }
    }
}

/// Gradient through both norms of `x` and their activation: `a` of the batch, `b` of each image.
///
/// `ga`: the gradient to the normalised maps of `a`, overwritten by the gradient to `x`; `gb`: that of `b`; `dgamma`, `dbeta`:
/// c each, of `a`, overwritten.
///
/// # Panics
/// If a slice has the wrong length.
pub fn both_backward(
    maps: Maps,
    ga: &mut [f32],
    gb: &[f32],
    x: &[f32],
    a: &Norm<'_>,
    b: &Norm<'_>,
    act: Activation,
    dgamma: &mut [f32],
    dbeta: &mut [f32],
) {
    let Maps { n, pixels, c } = maps;
    maps.check(&[ga.len(), gb.len(), x.len()]);
    assert!(
        a.mean.len() == c && b.mean.len() == n * c && dgamma.len() == c && dbeta.len() == c,
        "moments do not fit"
    );
    let slope = match act {
        Activation::Identity => 1.0,
        Activation::LeakyRelu(slope) => slope,
        Activation::Relu => 0.0,
    };
    dgamma.fill(0.0);
    dbeta.fill(0.0);
    if x.is_empty() {
        return;
    }
    let (level, groups) = (level(), maps.images());
    let period = groups.period();
    // The batch's coefficients again for each image.
    let spread = |v: &[f32]| (0..n).flat_map(|_| v.iter().copied()).collect::<Vec<f32>>();
    let ((scale_a, shift_a), (scale_b, shift_b)) = (a.coefficients(c), b.coefficients(c));
    let mean_a = spread(a.mean);
    let scale_a = spread(&scale_a);
    let narrow = [&mean_a, &scale_a, &spread(&shift_a), b.mean, &scale_b, &shift_b].map(|v| groups.repeat(v));
    let of = |i: usize| [0, 1, 2, 3, 4, 5].map(|k| &narrow[k][i * period..(i + 1) * period]);
    let parts = groups.reduce([&*ga, gb, x], 4 * c, |i, [ga, gb, x], out| {
        sums_chunk(level, [ga, gb], x, of(i), slope, out);
    });

    // [image][sum a, dot a, sum b, dot b][channel]
    let mut sums = vec![0.0f64; n * 4 * c];
    for (sums, parts) in sums.chunks_exact_mut(4 * c).zip(parts.chunks_exact(groups.chunks() * 4 * c)) {
        for part in parts.chunks_exact(4 * c) {
            for (s, p) in sums.iter_mut().zip(part) {
                *s += f64::from(*p);
            }
        }
    }
    let (mut tilt, mut offset) = (vec![0.0f32; n * c], vec![0.0f32; n * c]);
    for ch in 0..c {
        let total = |k: usize| (0..n).map(|i| sums[(i * 4 + k) * c + ch]).sum::<f64>();
        let (sum_a, dot_a) = (total(0), total(1));
        let inv_a = f64::from(a.inv_std[ch]);
        dbeta[ch] = sum_a as f32;
        dgamma[ch] = (dot_a * inv_a) as f32;
        let (all, flow_a) = ((n * pixels) as f64, if a.fixed { 0.0 } else { f64::from(scale_a[ch]) });
        let (tilt_a, offset_a) = (flow_a * inv_a * inv_a * dot_a / all, flow_a * sum_a / all);
        for i in 0..n {
            let at = i * c + ch;
            let inv = f64::from(b.inv_std[at]);
            let flow = if b.fixed { 0.0 } else { f64::from(scale_b[at]) / pixels as f64 };
            let (sum, dot) = (sums[(i * 4 + 2) * c + ch], sums[(i * 4 + 3) * c + ch]);
            tilt[at] = (tilt_a + flow * inv * inv * dot) as f32;
            // (x - mean_a) is (x - mean_b) + (mean_b - mean_a).
            let apart = f64::from(b.mean[at]) - f64::from(a.mean[ch]);
            offset[at] = (offset_a + tilt_a * apart + flow * sum) as f32;
        }
    }
    let (tilt, offset) = (groups.repeat(&tilt), groups.repeat(&offset));
    groups.map([gb, x], ga, |i, [gb, x], ga| {
        let [ma, sa, ha, mb, sb, hb] = of(i);
        let here = i * period..(i + 1) * period;
        gradient_chunk(level, ga, gb, x, [ma, sa, ha, mb, sb, hb, &tilt[here.clone()], &offset[here]], slope);
    });
}
