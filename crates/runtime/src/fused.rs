//! The memory-bound steps between the convolutions, each in one pass, and in place where it can be. All is NHWC.
//!
//! Channel counts are multiples of [`LANES`]. Work is cut by rows; sums are taken in a fixed order.

use dyntta_kernels::pool::MaxPool;
use dyntta_simd::level;
use rayon::prelude::*;

use dyntta_simd::multiversion;

/// Channels that are worked on together.
pub(crate) const LANES: usize = 16;
type Lanes = [f32; LANES];
/// The most channels a block reads.
const MOST_CHANNELS: usize = 128;

/// Floats worth a task of their own.
const GRAIN: usize = 16 << 10;
/// The negative slope of a leaky ReLU, PyTorch's default.
const SLOPE: f32 = 0.01;
/// Cells a side of the gate's grid.
pub(crate) const CELLS: usize = 4;

#[inline(always)]
fn load(x: &[f32], at: usize) -> Lanes {
    let mut lanes = [0.0; LANES];
    lanes.copy_from_slice(&x[at..at + LANES]);
    lanes
}

#[inline(always)]
fn store(lanes: Lanes, to: &mut [f32], at: usize) {
    to[at..at + LANES].copy_from_slice(&lanes);
}

/// Rows of `row` floats to a task.
fn min_rows(row: usize) -> usize {
    GRAIN.div_ceil(row.max(1))
}

/// What a block of the SK-UNet reads: maps at its own size and, on the way up, behind them the channels of maps that are
/// doubled in size (bilinear, corners aligned) and padded with zeros at the end. The joined maps are never stored.
#[derive(Clone, Copy)]
pub(crate) struct Joined<'a> {
    pub n: usize,
    pub h: usize,
    pub w: usize,
    pub fine: &'a [f32],
    pub fine_c: usize,
    pub coarse: Option<Coarse<'a>>,
}

/// Maps of about half the size: `h` x `w` x `c`.
#[derive(Clone, Copy)]
pub(crate) struct Coarse<'a> {
    pub x: &'a [f32],
    pub h: usize,
    pub w: usize,
    pub c: usize,
}

/// The two inputs that an output of the doubling mixes, and their shares; both 0 in the padding.
#[derive(Clone, Copy)]
struct Mix {
    at: [usize; 2],
    share: [f32; 2],
}

impl Mix {
    /// Output `o` of an axis of `size` inputs. Positions in single precision, as PyTorch has them.
    #[inline(always)]
    fn doubled(o: usize, size: usize) -> Self {
        if o >= 2 * size {
            return Self { at: [0, 0], share: [0.0, 0.0] };
        }
        let scale = (size - 1) as f32 / (2 * size - 1) as f32;
        let position = scale * o as f32;
        let first = (position as usize).min(size - 1);
        let share = (position - first as f32).clamp(0.0, 1.0);
        Self { at: [first, (first + 1).min(size - 1)], share: [1.0 - share, share] }
    }
}

/// One row of [`Joined`].
#[derive(Clone, Copy)]
struct Row<'a> {
    w: usize,
    fine: &'a [f32],
    fine_c: usize,
    /// The two rows, their shares, width and channels.
    coarse: Option<(CoarseRow<'a>, usize, usize)>,
}

#[derive(Clone, Copy)]
struct CoarseRow<'a> {
    rows: [&'a [f32]; 2],
    share: [f32; 2],
}

impl CoarseRow<'_> {
    /// [`LANES`] channels from `k` on of `c`, where `column` says.
    #[inline(always)]
    fn at(&self, column: Mix, c: usize, k: usize) -> Lanes {
        let [left, right] = column.at.map(|x| x * c + k);
        let [w0, w1] = column.share;
        let [h0, h1] = self.share;
        let (a0, a1) = (load(self.rows[0], left), load(self.rows[0], right));
        let (b0, b1) = (load(self.rows[1], left), load(self.rows[1], right));
        let mut out = [0.0; LANES];
        for i in 0..LANES {
            out[i] = h0 * (w0 * a0[i] + w1 * a1[i]) + h1 * (w0 * b0[i] + w1 * b1[i]);
        }
        out
    }
}

impl<'a> Joined<'a> {
    pub fn channels(&self) -> usize {
        self.fine_c + self.coarse.map_or(0, |coarse| coarse.c)
    }

    fn row(&self, n: usize, y: usize) -> Row<'a> {
        let line = self.w * self.fine_c;
        let at = (n * self.h + y) * line;
        let coarse = self.coarse.map(|coarse| {
            let (mix, line) = (Mix::doubled(y, coarse.h), coarse.w * coarse.c);
            let rows = mix.at.map(|y| {
                let at = (n * coarse.h + y) * line;
                &coarse.x[at..at + line]
            });
            (CoarseRow { rows, share: mix.share }, coarse.w, coarse.c)
        });
        Row { w: self.w, fine: &self.fine[at..at + line], fine_c: self.fine_c, coarse }
    }
}

/// [`LANES`] channels of a row, place by place. (A trait and not a closure: a closure is compiled for the least of the
/// instruction sets unless it is inlined, and nothing makes the compiler do that.)
trait Column {
    fn at(&self, x: usize) -> Lanes;
}

struct Fine<'a> {
    row: &'a [f32],
    c: usize,
    k: usize,
}

impl Column for Fine<'_> {
    #[inline(always)]
    fn at(&self, x: usize) -> Lanes {
        load(self.row, x * self.c + self.k)
    }
}

struct Doubled<'a> {
    row: CoarseRow<'a>,
    w: usize,
    c: usize,
    k: usize,
}

impl Column for Doubled<'_> {
    #[inline(always)]
    fn at(&self, x: usize) -> Lanes {
        self.row.at(Mix::doubled(x, self.w), self.c, self.k)
    }
}

/// Mean over a row of `n` places, and summed squared distance from it, in one pass: about the mean of four of the places,
/// so that little cancels (Chan, Golub and LeVeque 1983, on shifted data).
#[inline(always)]
fn mean_and_distance(n: usize, column: &impl Column) -> (Lanes, Lanes) {
    let mut about = [0.0f32; LANES];
    for j in 0..4 {
        let v = column.at((2 * j + 1) * n / 8);
        for i in 0..LANES {
            about[i] += 0.25 * v[i];
        }
    }
    let (mut sums, mut squares) = ([[0.0f32; LANES]; 2], [[0.0f32; LANES]; 2]);
    for x in (0..n).step_by(2) {
        for j in 0..2.min(n - x) {
            let v = column.at(x + j);
            for i in 0..LANES {
                let d = v[i] - about[i];
                sums[j][i] += d;
                squares[j][i] += d * d;
            }
        }
    }
    let (mut mean, mut distance) = ([0.0; LANES], [0.0; LANES]);
    for i in 0..LANES {
        let sum = sums[0][i] + sums[1][i];
        mean[i] = about[i] + sum / n as f32;
        distance[i] = (squares[0][i] + squares[1][i] - sum * (sum / n as f32)).max(0.0);
    }
    (mean, distance)
}

multiversion! {
    /// Mean and summed squared distance of each channel of a row: `out` is 2 x c.
    fn row_moments(row: &Row<'_>, out: &mut [f32]) {
        let c = out.len() / 2;
        let (mean, distance) = out.split_at_mut(c);
        for k in (0..row.fine_c).step_by(LANES) {
            let (m, d) = mean_and_distance(row.w, &Fine { row: row.fine, c: row.fine_c, k });
            store(m, mean, k);
            store(d, distance, k);
        }
        if let Some((coarse, w, c)) = row.coarse {
            for k in (0..c).step_by(LANES) {
                let (m, d) = mean_and_distance(row.w, &Doubled { row: coarse, w, c, k });
                store(m, mean, row.fine_c + k);
                store(d, distance, row.fine_c + k);
            }
        }
    }
}

/// Mean and `1 / sqrt(variance + eps)` (biased variance) of each image's channels: `moments` is n x 2 x c. `rows`, n x h x 2
/// x c, is scratch.
pub(crate) fn instance_moments(x: &Joined<'_>, eps: f32, rows: &mut [f32], moments: &mut [f32]) {
    let (c, level) = (x.channels(), level());
    rows.par_chunks_exact_mut(2 * c)
        .with_min_len(min_rows(x.w * c))
        .enumerate()
        .for_each(|(i, out)| row_moments(level, &x.row(i / x.h, i % x.h), out));
    // All rows are of one length. In double precision, means first.
    for (rows, moments) in rows.chunks_exact(x.h * 2 * c).zip(moments.chunks_exact_mut(2 * c)) {
        let (means, inverses) = moments.split_at_mut(c);
        for k in (0..c).step_by(LANES) {
            let mut mean = [0.0f64; LANES];
            for row in rows.chunks_exact(2 * c) {
                let row = load(row, k);
                for i in 0..LANES {
                    mean[i] += f64::from(row[i]);
                }
            }
            mean = mean.map(|m| m / x.h as f64);
            let mut distance = [0.0f64; LANES];
            for row in rows.chunks_exact(2 * c) {
                let (m, d) = (load(row, k), load(row, c + k));
                for i in 0..LANES {
                    let apart = f64::from(m[i]) - mean[i];
                    distance[i] += f64::from(d[i]) + apart * apart * x.w as f64;
                }
            }
            for i in 0..LANES {
                means[k + i] = mean[i] as f32;
                let variance = (distance[i] / (x.h * x.w) as f64) as f32;
                inverses[k + i] = 1.0 / (variance + eps).sqrt();
            }
        }
    }
}

/// How a branch of a block normalises its input before the leaky ReLU: `(x - mean) * scale + shift` by channel.
#[derive(Clone, Copy)]
pub(crate) enum Normalise<'a> {
    /// By a batch norm's running statistics, folded into a scale and a shift, c each.
    Batch { scale: &'a [f32], shift: &'a [f32] },
    /// By each image's own: [`instance_moments`].
    Instance { moments: &'a [f32] },
}

#[inline(always)]
fn leaky(v: f32) -> f32 {
    if v <= 0.0 { v * SLOPE } else { v }
}

/// `by`: mean, scale and shift of the channels of `v`.
#[inline(always)]
fn normalise_lanes(v: Lanes, by: &[Lanes; 3]) -> Lanes {
    let mut out = [0.0; LANES];
    for i in 0..LANES {
        out[i] = leaky((v[i] - by[0][i]) * by[1][i] + by[2][i]);
    }
    out
}

multiversion! {
    /// The normalised pixels of a row from column `x0` on, `c` channels each, as many as `out` has room for; `by`: mean,
    /// scale and shift, c each.
    fn normalise_row(row: &Row<'_>, x0: usize, c: usize, by: &[&[f32]; 3], out: &mut [f32]) {
        for k in (0..row.fine_c).step_by(LANES) {
            let by = [load(by[0], k), load(by[1], k), load(by[2], k)];
            for (i, out) in out.chunks_exact_mut(c).enumerate() {
                store(normalise_lanes(load(row.fine, (x0 + i) * row.fine_c + k), &by), out, k);
            }
        }
        if let Some((coarse, w, coarse_c)) = &row.coarse {
            for k in (0..*coarse_c).step_by(LANES) {
                let to = row.fine_c + k;
                let by = [load(by[0], to), load(by[1], to), load(by[2], to)];
                for (i, out) in out.chunks_exact_mut(c).enumerate() {
                    let v = coarse.at(Mix::doubled(x0 + i, *w), *coarse_c, k);
                    store(normalise_lanes(v, &by), out, to);
                }
            }
        }
    }
}

/// Writes to `out` what a branch's convolution reads of image `n`, row `y`, from column `x0` on.
pub(crate) fn normalise(x: &Joined<'_>, by: Normalise<'_>, [n, y, x0]: [usize; 3], out: &mut [f32]) {
    let c = x.channels();
    let zeros = &[0.0; MOST_CHANNELS][..c];
    let by = match by {
        Normalise::Batch { scale, shift } => [zeros, scale, shift],
        Normalise::Instance { moments } => {
            let (mean, inverse) = moments[n * 2 * c..(n + 1) * 2 * c].split_at(c);
            [mean, inverse, zeros]
        }
    };
    normalise_row(level(), &x.row(n, y), x0, c, &by, out);
}

/// Output `i` of `size` takes this cell, in single precision as PyTorch's nearest neighbour does.
#[inline(always)]
fn cell(i: usize, size: usize) -> usize {
    ((i as f32 * (CELLS as f32 / size as f32)) as usize).min(CELLS - 1)
}

multiversion! {
    /// Mean of `a + b` over a cell (rows `y0..y1`, columns `x0..x1`) of an image `w` wide.
    fn cell_mean(a: &[f32], b: &[f32], w: usize, cell: [usize; 4], mean: &mut [f32]) {
        let [y0, y1, x0, x1] = cell;
        let c = mean.len();
        let area = ((y1 - y0) * (x1 - x0)) as f32;
        for k in (0..c).step_by(LANES) {
            // Row by row: shorter chains of additions round less.
            let mut total = [0.0f32; LANES];
            for y in y0..y1 {
                let mut sums = [[0.0f32; LANES]; 2];
                for x in x0..x1 {
                    let at = (y * w + x) * c + k;
                    for (sum, v) in sums.iter_mut().zip([load(a, at), load(b, at)]) {
                        for i in 0..LANES {
                            sum[i] += v[i];
                        }
                    }
                }
                for i in 0..LANES {
                    total[i] += sums[0][i] + sums[1][i];
                }
            }
            store(total.map(|t| t / area), mean, k);
        }
    }
}

/// Adaptive average pool of `a + b`, images of `h` x `w` x `c`, to `pooled`, 4 x 4 cells each; cell i of an axis covers places
/// `floor(i * size / 4) .. ceil((i + 1) * size / 4)`.
pub(crate) fn pool_sum(h: usize, w: usize, c: usize, a: &[f32], b: &[f32], pooled: &mut [f32]) {
    let (level, image) = (level(), h * w * c);
    let span = |i: usize, size: usize| (i * size / CELLS, ((i + 1) * size).div_ceil(CELLS));
    pooled
        .par_chunks_exact_mut(c)
        .with_min_len(min_rows(image.div_ceil(CELLS * CELLS)))
        .enumerate()
        .for_each(|(i, mean)| {
            let (n, cell) = (i / (CELLS * CELLS), i % (CELLS * CELLS));
            let ((y0, y1), (x0, x1)) = (span(cell / CELLS, h), span(cell % CELLS, w));
            let here = n * image..(n + 1) * image;
            cell_mean(level, &a[here.clone()], &b[here], w, [y0, y1, x0, x1], mean);
        });
}

multiversion! {
    /// `share`: one row of cells.
    fn gate_row(a: &mut [f32], b: &[f32], share: &[f32]) {
        let c = share.len() / CELLS;
        let w = a.len() / c;
        for (x, (a, b)) in a.chunks_exact_mut(c).zip(b.chunks_exact(c)).enumerate() {
            let at = cell(x, w) * c;
            for k in (0..c).step_by(LANES) {
                let (mut va, vb, s) = (load(a, k), load(b, k), load(share, at + k));
                for i in 0..LANES {
                    va[i] = va[i] * s[i] + vb[i] * (1.0 - s[i]);
                }
                store(va, a, k);
            }
        }
    }
}

/// `a = a * share + b * (1 - share)`: `a`, `b` of images of `h` x `w` x `c`, `share` of 4 x 4 cells each, spread by nearest
/// neighbour.
pub(crate) fn gate(h: usize, w: usize, c: usize, a: &mut [f32], b: &[f32], share: &[f32]) {
    let (level, cells) = (level(), CELLS * c);
    a.par_chunks_exact_mut(w * c)
        .zip(b.par_chunks_exact(w * c))
        .with_min_len(min_rows(w * c))
        .enumerate()
        .for_each(|(i, (a, b))| {
            let at = (i / h * CELLS + cell(i % h, h)) * cells;
            gate_row(level, a, b, &share[at..at + cells]);
        });
}

multiversion! {
    fn max_row(p: &MaxPool, x: &[f32], oy: usize, y: &mut [f32]) {
        let window = |o: usize, size: usize| {
            let first = o * p.stride;
            (first.saturating_sub(p.pad), (first + p.k - p.pad).min(size))
        };
        let (y0, y1) = window(oy, p.h);
        for (ox, y) in y.chunks_exact_mut(p.c).enumerate() {
            let (x0, x1) = window(ox, p.w);
            for k in (0..p.c).step_by(LANES) {
                let mut most = [f32::NEG_INFINITY; LANES];
                for iy in y0..y1 {
                    for ix in x0..x1 {
                        let v = load(x, (iy * p.w + ix) * p.c + k);
                        for i in 0..LANES {
                            most[i] = if v[i] > most[i] { v[i] } else { most[i] };
                        }
                    }
                }
                store(most, y, k);
            }
        }
    }
}

/// Largest value of each window, without the places that training wants.
pub(crate) fn max_pool(p: &MaxPool, x: &[f32], y: &mut [f32]) {
    let (level, line, image) = (level(), p.out_w() * p.c, p.h * p.w * p.c);
    y.par_chunks_exact_mut(line).with_min_len(min_rows(line)).enumerate().for_each(|(i, y)| {
        let (n, oy) = (i / p.out_h(), i % p.out_h());
        max_row(level, p, &x[n * image..(n + 1) * image], oy, y);
    });
}

multiversion! {
    fn relu_chunk(x: &mut [f32]) {
        for x in x {
            *x = if *x <= 0.0 { 0.0 } else { *x };
        }
    }
}

/// `x = max(x, 0)`.
pub(crate) fn relu(x: &mut [f32]) {
    let level = level();
    x.par_chunks_mut(GRAIN).for_each(|x| relu_chunk(level, x));
}

multiversion! {
    fn add_relu_chunk(x: &mut [f32], more: &[f32]) {
        for (x, more) in x.iter_mut().zip(more) {
            let v = *x + more;
            *x = if v <= 0.0 { 0.0 } else { v };
        }
    }
}

/// `x = max(x + more, 0)`.
pub(crate) fn add_relu(x: &mut [f32], more: &[f32]) {
    let level = level();
    x.par_chunks_mut(GRAIN).zip(more.par_chunks(GRAIN)).for_each(|(x, more)| add_relu_chunk(level, x, more));
}

multiversion! {
    fn scale_rgb_chunk(x: &mut [f32], scale: &[f32; 3], shift: &[f32; 3]) {
        for pixel in x.chunks_exact_mut(3) {
            for c in 0..3 {
                pixel[c] = pixel[c] * scale[c] + shift[c];
            }
        }
    }
}

/// `x = x * scale + shift` for pixels of three channels.
pub(crate) fn scale_rgb(x: &mut [f32], scale: &[f32; 3], shift: &[f32; 3]) {
    let level = level();
    x.par_chunks_mut(GRAIN / 3 * 3).for_each(|x| scale_rgb_chunk(level, x, scale, shift));
}

/// `out = image + residual`: `image`, `out` planar, n x 3 x `h` x `w`; `residual` interleaved, n x `rh` x `rw` x 3, of which
/// the top left `h` x `w` counts.
pub(crate) fn add_residual(
    [h, w]: [usize; 2],
    image: &[f32],
    residual: &[f32],
    [rh, rw]: [usize; 2],
    out: &mut [f32],
) {
    out.par_chunks_exact_mut(w)
        .zip(image.par_chunks_exact(w))
        .with_min_len(min_rows(w))
        .enumerate()
        .for_each(|(i, (out, image))| {
            let (n, c, y) = (i / (3 * h), i / h % 3, i % h);
            let row = &residual[(n * rh + y) * rw * 3..][..rw * 3];
            for ((out, image), pixel) in out.iter_mut().zip(image).zip(row.as_chunks::<3>().0) {
                *out = image + pixel[c];
            }
        });
}

/// Repeats the last row and column of `image` (planar, n x 3 x `h` x `w`) up to `oh` x `ow`, interleaved.
pub(crate) fn grow([h, w]: [usize; 2], image: &[f32], [oh, ow]: [usize; 2], out: &mut [f32]) {
    for (i, pixel) in out.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        let (n, y, x) = (i / (oh * ow), (i / ow % oh).min(h - 1), (i % ow).min(w - 1));
        *pixel = [0, 1, 2].map(|c| image[((n * 3 + c) * h + y) * w + x]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dyntta_image::Stream;
    use dyntta_kernels::act::Activation;
    use dyntta_kernels::gate::Gate;
    use dyntta_kernels::pool::AvgPool;
    use dyntta_kernels::upsample::Upsample;
    use dyntta_oracle as naive;
    use dyntta_simd::{Level, with_level};

    fn normal(stream: &mut Stream, len: usize) -> Vec<f32> {
        (0..len).map(|_| stream.normal_f32()).collect()
    }

    fn close(a: &[f32], b: &[f32], what: &str) {
        assert_eq!(a.len(), b.len(), "{what}");
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{what}: {a} for {b} at {i}");
        }
    }

    /// On one thread, so that the level holds in the tasks too.
    fn at_each_level(f: impl Fn() + Sync) {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        for level in Level::available() {
            pool.install(|| with_level(*level, &f));
        }
    }

    /// The joined maps, stored.
    fn join(x: &Joined<'_>) -> Vec<f32> {
        let c = x.channels();
        let mut out = vec![0.0; x.n * x.h * x.w * c];
        for (to, from) in out.chunks_exact_mut(c).zip(x.fine.chunks_exact(x.fine_c)) {
            to[..x.fine_c].copy_from_slice(from);
        }
        if let Some(coarse) = x.coarse {
            let (oh, ow) = (2 * coarse.h, 2 * coarse.w);
            let p = Upsample { n: x.n, h: coarse.h, w: coarse.w, c: coarse.c, oh, ow };
            let mut up = vec![0.0; p.output_len()];
            naive::upsample_forward(&p, coarse.x, &mut up);
            for n in 0..x.n {
                for y in 0..oh {
                    for column in 0..ow {
                        let from = ((n * oh + y) * ow + column) * coarse.c;
                        let to = ((n * x.h + y) * x.w + column) * c + x.fine_c;
                        out[to..to + coarse.c].copy_from_slice(&up[from..from + coarse.c]);
                    }
                }
            }
        }
        out
    }

    #[test]
    fn normalised_rows_are_the_norms_of_the_joined_maps() {
        at_each_level(|| {
            let mut stream = Stream::new(0, &["fused"]);
            for (n, h, w, ch, cw) in [(2, 5, 6, 0, 0), (2, 9, 12, 4, 6), (1, 4, 7, 2, 3), (3, 2, 3, 1, 1)] {
                let fine = normal(&mut stream, n * h * w * 32);
                let coarse = normal(&mut stream, n * ch * cw * 16);
                let coarse = (ch > 0).then_some(Coarse { x: &coarse, h: ch, w: cw, c: 16 });
                let x = Joined { n, h, w, fine: &fine, fine_c: 32, coarse };
                let (c, plain) = (x.channels(), join(&x));
                let (scale, shift) = (normal(&mut stream, c), normal(&mut stream, c));
                let (mut a, mut b) = (vec![0.0; plain.len()], vec![0.0; plain.len()]);
                let leaky = Activation::LeakyRelu(0.01);
                naive::affine_forward(&plain, &scale, &shift, None, leaky, &mut a);
                let [mut mean, mut inverse] = [(); 2].map(|()| vec![0.0; n * c]);
                naive::instance_norm_forward(&plain, n, c, 1e-5, leaky, &mut b, &mut mean, &mut inverse);

                let (mut rows, mut moments) = (vec![0.0; n * h * 2 * c], vec![0.0; n * 2 * c]);
                instance_moments(&x, 1e-5, &mut rows, &mut moments);
                for i in 0..n {
                    close(&moments[i * 2 * c..][..c], &mean[i * c..][..c], "mean");
                    close(&moments[(i * 2 + 1) * c..][..c], &inverse[i * c..][..c], "1/deviation");
                }
                let batch = Normalise::Batch { scale: &scale, shift: &shift };
                for (by, plain) in [(batch, &a), (Normalise::Instance { moments: &moments }, &b)] {
                    for (i, row) in plain.chunks_exact(w * c).enumerate() {
                        for (x0, x1) in [(0, w), (1, w), (0, 1), (w / 2, w - 1)] {
                            let mut got = vec![f32::NAN; (x1 - x0) * c];
                            normalise(&x, by, [i / h, i % h, x0], &mut got);
                            close(&got, &row[x0 * c..x1 * c], "row");
                        }
                    }
                }
            }
        });
    }

    #[test]
    fn moments_hold_for_a_large_mean() {
        let mut stream = Stream::new(0, &["mean"]);
        let (n, h, w, c) = (1, 37, 41, 16);
        let fine: Vec<f32> = normal(&mut stream, n * h * w * c).iter().map(|v| 1000.0 + v).collect();
        let (mut rows, mut moments) = (vec![0.0; n * h * 2 * c], vec![0.0; 2 * c]);
        let x = Joined { n, h, w, fine: &fine, fine_c: c, coarse: None };
        instance_moments(&x, 1e-5, &mut rows, &mut moments);
        let [mut y, mut mean, mut inverse] = [fine.len(), c, c].map(|len| vec![0.0; len]);
        naive::instance_norm_forward(
            &fine,
            n,
            c,
            1e-5,
            Activation::Identity,
            &mut y,
            &mut mean,
            &mut inverse,
        );
        close(&moments[..c], &mean, "mean");
        close(&moments[c..], &inverse, "1/deviation");
    }

    #[test]
    fn gate_and_pool_agree_with_the_plain_ones() {
        at_each_level(|| {
            let mut stream = Stream::new(0, &["gate"]);
            for (n, h, w, c) in [(2, 4, 4, 16), (1, 7, 13, 32), (3, 1, 2, 16), (1, 164, 5, 16)] {
                let (mut a, b) = (normal(&mut stream, n * h * w * c), normal(&mut stream, n * h * w * c));
                let share: Vec<f32> = (0..n * 16 * c).map(|_| stream.uniform_f32()).collect();
                let rest: Vec<f32> = share.iter().map(|s| 1.0 - s).collect();
                let sum: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
                let [mut pooled, mut expected] = [(); 2].map(|()| vec![0.0; n * 16 * c]);
                let p = AvgPool { n, h, w, c, oh: 4, ow: 4 };
                naive::adaptive_avg_pool_forward(&p, &sum, &mut expected);
                pool_sum(h, w, c, &a, &b, &mut pooled);
                close(&pooled, &expected, "pool of the sum");
                let mut expected = vec![0.0; a.len()];
                let p = Gate { n, h, w, c, mh: 4, mw: 4 };
                naive::gate_forward(&p, &a, &b, &share, &rest, &mut expected);
                gate(h, w, c, &mut a, &b, &share);
                close(&a, &expected, "gate");
            }
            for (n, h, w, k, stride, pad) in [(2, 9, 6, 2, 2, 0), (1, 7, 8, 3, 2, 1), (2, 1, 1, 3, 2, 1)] {
                let p = MaxPool { n, h, w, c: 32, k, stride, pad };
                let x = normal(&mut stream, p.input_len());
                let (mut y, mut expected) = (vec![0.0; p.output_len()], vec![0.0; p.output_len()]);
                naive::max_pool_forward(&p, &x, &mut expected, &mut vec![0; p.output_len()]);
                max_pool(&p, &x, &mut y);
                assert_eq!(y, expected);
            }
        });
    }

    #[test]
    fn the_small_steps_do_what_they_say() {
        let mut x = [-1.0, 0.0, 2.0];
        add_relu(&mut x, &[0.5, -3.0, 1.0]);
        assert_eq!(x, [0.0, 0.0, 3.0]);
        let mut x = [-1.0, 0.0, 2.0];
        relu(&mut x);
        assert_eq!(x, [0.0, 0.0, 2.0]);
        let mut x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        scale_rgb(&mut x, &[1.0, 2.0, 3.0], &[0.5, 0.0, -1.0]);
        assert_eq!(x, [1.5, 4.0, 8.0, 4.5, 10.0, 17.0]);
        // One row of two pixels, grown to 2 x 3; planes R, G, B.
        let image = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let mut grown = [0.0; 18];
        grow([1, 2], &image, [2, 3], &mut grown);
        let row = [1.0, 3.0, 5.0, 2.0, 4.0, 6.0, 2.0, 4.0, 6.0];
        assert_eq!(grown, [row, row].concat()[..]);
        let mut out = [0.0; 6];
        add_residual([1, 2], &image, &grown, [2, 3], &mut out);
        assert_eq!(out, [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]);
    }
}
