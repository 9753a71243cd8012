//! 3 x 3 convolutions of stride 1 with padding 1 by minimal filtering: a tile of 4 x 4 outputs takes 36 products a channel
//! in the place of 144 (Winograd, "Arithmetic Complexity of Computations", 1980; Lavin and Gray, "Fast Algorithms for
//! Convolutional Neural Networks", CVPR 2016, arXiv 1509.09308).
//!
//! The points of evaluation are 0, +-sqrt(1/2), +-sqrt(2) and infinity: with them the result is about as exact as that of
//! the direct convolution, where the usual 0, +-1, +-2 lose a digit (on the choice of points: Barabasz, Anderson, Soodhalter
//! and Gregg, "Error Analysis and Improving the Accuracy of Winograd Convolution for DNNs", 2018, arXiv 1803.10986).
//!
//! A task transforms a block of tiles, multiplies it by the weights of each of the 36 places with the micro-kernels of the
//! direct convolution, and transforms the products back, all within its second-level cache. It asks the caller for the
//! rows of its input, which so need not be stored anywhere.
//!
//! Results do not depend on the number of threads, nor on an image's neighbours in the batch.

use crate::Conv2d;
use crate::band::TASKS;
use crate::buffer::{Aligned, Shared, with_scratch};
use crate::gather::each_tile;
use crate::micro::{Gather, Kernels};
use crate::pack::{Block, blocks, panel_len};
#[cfg(target_arch = "x86_64")]
use dyntta_simd::{Avx2, Avx512};
use dyntta_simd::{Level, Portable, Set, Simd, level, multiversion};
use rayon::prelude::*;
use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};
use std::ops::Range;

/// Outputs a tile has each way.
const OUT: usize = 4;
/// Inputs a tile has each way.
const IN: usize = OUT + 2;
/// Places of a transformed tile.
const PLACES: usize = IN * IN;
/// Channels must be a multiple of this: the widest vector.
const LANES: usize = 16;

/// Floats of transformed tiles a task holds at a time, and of input rows: a quarter of a megabyte, and a bit more.
const TILE_FLOATS: usize = 64 << 10;
const ROW_FLOATS: usize = 96 << 10;
/// Fewest tiles worth a task: as many as share each weight that is read.
const MIN_TILES: usize = 14;

/// Weights of one convolution, transformed and reordered; see [`pack`].
pub struct PackedWinograd {
    level: Level,
    cin: usize,
    cout: usize,
    /// For each block of output channels and each place, one row an input channel.
    panels: Aligned,
    blocks: Vec<Block>,
}

impl PackedWinograd {
    /// Output channels.
    pub fn cout(&self) -> usize {
        self.cout
    }
}

/// What happens to a sum before it is stored: `y = relu(sum + bias + residual)`, each part if there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// One float an output channel.
    pub bias: Option<&'a [f32]>,
    /// As long as the output.
    pub residual: Option<&'a [f32]>,
    /// Whether negative results become 0.
    pub relu: bool,
}

/// Most weights (products of channels) that are worth transforming: a transformed one takes four times the memory.
const MOST_WEIGHTS: usize = 128 * 128;
/// The smallest side: less than a tile is mostly padding.
const MIN_SIDE: usize = 4;

/// Whether this way suits a convolution, its weights transformed once or for each call.
pub fn suits(c: &Conv2d) -> bool {
    [c.kh, c.kw, c.stride, c.pad] == [3, 3, 1, 1]
        && c.cin.is_multiple_of(LANES)
        && c.cout.is_multiple_of(LANES)
        && (1..=MOST_WEIGHTS).contains(&(c.cin * c.cout))
        && c.h.min(c.w) >= MIN_SIDE
}

/// The weights (`[cout][cin][3][3]`) of the convolution that is the gradient of one with `weight` to its input.
pub fn transposed(cin: usize, cout: usize, weight: &[f32]) -> Vec<f32> {
    assert_eq!(weight.len(), cout * cin * 9, "weights of {cin} to {cout} channels");
    let mut out = vec![0.0; weight.len()];
    for (i, taps) in weight.chunks_exact(9).enumerate() {
        let (co, ci) = (i / cin, i % cin);
        let to = &mut out[(ci * cout + co) * 9..][..9];
        for (to, v) in to.iter_mut().zip(taps.iter().rev()) {
            *to = *v;
        }
    }
    out
}

/// Transforms `weight` (`[cout][cin][3][3]`) once for many calls.
///
/// # Panics
/// If a channel count is not a multiple of 16 or the weights are of another length.
pub fn pack(cin: usize, cout: usize, weight: &[f32]) -> PackedWinograd {
    assert!(cin.is_multiple_of(LANES) && cout.is_multiple_of(LANES), "{cin} to {cout} channels");
    assert_eq!(weight.len(), cout * cin * 9, "weights of {cin} to {cout} channels");
    let level = level();
    let blocks = blocks(Kernels::of(level).lanes, cout, PLACES * cin);
    let mut panels = Aligned::default();
    let mut parts = Vec::with_capacity(blocks.len());
    let mut rest = panels.ensure(panel_len(&blocks, PLACES * cin));
    for b in &blocks {
        let (head, tail) = rest.split_at_mut(PLACES * cin * b.width);
        parts.push((b, head));
        rest = tail;
    }
    parts.into_par_iter().for_each(|(b, panel)| pack_block(level, cin, b, weight, panel));
    PackedWinograd { level, cin, cout, panels, blocks }
}

/// Vectors of doubles: eight kernels at a time.
type Eight = [f64; 8];

/// `G g`: three weights to their values at the six points, each over the product of its distances to the others.
#[inline(always)]
fn transform_weights(g: [Eight; 3]) -> [Eight; IN] {
    let (a, b) = (std::f64::consts::FRAC_1_SQRT_2, std::f64::consts::SQRT_2);
    let mut out = [[0.0; 8]; IN];
    for i in 0..8 {
        let [g0, g1, g2] = [g[0][i], g[1][i], g[2][i]];
        let (even, odd) = ((g0 + 0.5 * g2) / -1.5, a * g1 / -1.5);
        let (even_b, odd_b) = ((g0 + 2.0 * g2) / 6.0, b * g1 / 6.0);
        for (out, v) in out.iter_mut().zip([g0, even + odd, even - odd, even_b + odd_b, even_b - odd_b, g2]) {
            out[i] = v;
        }
    }
    out
}

multiversion! {
    fn pack_block(cin: usize, b: &Block, weight: &[f32], panel: &mut [f32]) {
        // Every width is a multiple of 4, those of wide vectors of 8.
        for c in 0..cin {
            for j0 in (0..b.cols).step_by(8) {
                let count = 8.min(b.cols - j0);
                let mut g = [[[0.0f64; 8]; 3]; 3];
                for j in 0..count {
                    let from = &weight[((b.col + j0 + j) * cin + c) * 9..][..9];
                    for (t, v) in from.iter().enumerate() {
                        g[t / 3][t % 3][j] = f64::from(*v);
                    }
                }
                let rows = g.map(transform_weights);
                for x in 0..IN {
                    let column = transform_weights([rows[0][x], rows[1][x], rows[2][x]]);
                    for (y, values) in column.iter().enumerate() {
                        let to = &mut panel[((y * IN + x) * cin + c) * b.width + j0..][..count];
                        for (to, v) in to.iter_mut().zip(values) {
                            *to = *v as f32;
                        }
                    }
                }
            }
        }
    }
}

/// `y = conv(x, weight)`, then `epilogue`: `x` n x h x w x cin, `y` n x h x w x cout, overwritten.
///
/// # Panics
/// If a slice has the wrong length.
pub fn forward(
    [n, h, w]: [usize; 3],
    x: &[f32],
    weight: &PackedWinograd,
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) {
    let cin = weight.cin;
    assert_eq!(x.len(), n * h * w * cin, "x of {n} x {h} x {w} x {cin}");
    let fill = |n: usize, y: usize, column: usize, row: &mut [f32]| {
        let at = ((n * h + y) * w + column) * cin;
        row.copy_from_slice(&x[at..at + row.len()]);
    };
    forward_rows([n, h, w], &fill, weight, epilogue, y);
}

/// [`forward`] of an input that is made as it is needed: `fill(image, y, x, row)` writes the pixels of a row from column `x`
/// on, as many as `row` has room for. It is called from many threads, more than once for the same pixels, and must neither
/// call a convolution nor wait for other threads.
///
/// # Panics
/// If a slice has the wrong length.
pub fn forward_rows(
    [n, h, w]: [usize; 3],
    fill: &(impl Fn(usize, usize, usize, &mut [f32]) + Sync),
    weight: &PackedWinograd,
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) {
    let cout = weight.cout;
    let len = n * h * w * cout;
    assert_eq!(y.len(), len, "y of {n} x {h} x {w} x {cout}");
    assert!(epilogue.bias.is_none_or(|b| b.len() == cout), "bias of {cout} channels");
    assert!(epilogue.residual.is_none_or(|r| r.len() == len), "residual of {n} x {h} x {w} x {cout}");
    if len == 0 || weight.cin == 0 {
        return y.fill(0.0);
    }
    let run = Run { h, w, weight, epilogue, y: Shared::new(y) };
    run.tasks(n).into_par_iter().for_each(|task| run.task(&task, fill));
}

/// Whole images, or some rows and columns of tiles of one image; and some blocks of output channels.
struct Task {
    images: Range<usize>,
    rows: Range<usize>,
    columns: Range<usize>,
    blocks: Range<usize>,
}

/// Part `i` of `parts` of `0..size`.
fn part(i: usize, parts: usize, size: usize) -> Range<usize> {
    i * size / parts..(i + 1) * size / parts
}

struct Run<'a> {
    h: usize,
    w: usize,
    weight: &'a PackedWinograd,
    epilogue: &'a Epilogue<'a>,
    y: Shared,
}

impl Run<'_> {
    fn tasks(&self, n: usize) -> Vec<Task> {
        let (ty, tx) = (self.h.div_ceil(OUT), self.w.div_ceil(OUT));
        let widest = (ROW_FLOATS / IN / self.weight.cin).saturating_sub(2) / OUT;
        let cuts = tx.div_ceil(widest.max(1));
        let wanted = (n * ty * tx).div_ceil(TASKS).max(MIN_TILES);
        let images = (wanted / (ty * tx)).clamp(1, n);
        let groups = n.div_ceil(images);
        let bands = ty.div_ceil(wanted.div_ceil(tx.div_ceil(cuts)));
        let all = self.weight.blocks.len();
        let parts = (TASKS / (groups * bands * cuts)).clamp(1, all);
        let mut tasks = Vec::with_capacity(parts * groups * bands * cuts);
        // The weights slowest: a thread that goes on to the next task finds them in its cache.
        for p in 0..parts {
            for g in 0..groups {
                for b in 0..bands {
                    for c in 0..cuts {
                        tasks.push(Task {
                            images: part(g, groups, n),
                            rows: part(b, bands, ty),
                            columns: part(c, cuts, tx),
                            blocks: part(p, parts, all),
                        });
                    }
                }
            }
        }
        tasks
    }

    fn task(&self, task: &Task, fill: &impl Fn(usize, usize, usize, &mut [f32])) {
        let (cin, cout) = (self.weight.cin, self.weight.cout);
        let tiles = task.images.len() * task.rows.len() * task.columns.len();
        let rounds = tiles.div_ceil((TILE_FLOATS / (PLACES * cin)).max(1));
        let most = tiles.div_ceil(rounds);
        let line = (task.columns.len() * OUT + 2) * cin;
        // An odd number of cache lines from one place to the next.
        let odd = |floats: usize| (floats.div_ceil(LANES) | 1) * LANES;
        let place = odd(most * cin);
        let widest = self.weight.blocks[task.blocks.clone()].iter().map(|b| b.width).max().unwrap_or(0);
        let product = odd(most * widest);
        with_scratch(|s| {
            let ring = s.band.ensure(IN * line);
            let (v, m) = s.extra.ensure(PLACES * (place + product)).split_at_mut(PLACES * place);
            let mut batch =
                Batch { run: self, task, most, place, product, v, m, at: &mut s.in_off, out: &mut s.out_off };
            batch.at.clear();
            for n in task.images.clone() {
                for ty in task.rows.clone() {
                    // Of the six rows around these outputs, the tiles above have left the first two.
                    for i in if ty == task.rows.start { 0 } else { 2 }..IN {
                        let slot = &mut ring[(ty * OUT + i) % IN * line..][..line];
                        self.padded_row(n, ty * OUT + i, task.columns.start * OUT, slot, fill);
                    }
                    for tx in task.columns.clone() {
                        let column = (tx - task.columns.start) * OUT * cin;
                        let rows: [&[f32]; IN] =
                            std::array::from_fn(|i| &ring[(ty * OUT + i) % IN * line + column..][..IN * cin]);
                        let at = ((n * self.h + ty * OUT) * self.w + tx * OUT) * cout;
                        batch.push(&rows, at, self.h - ty * OUT, self.w - tx * OUT);
                    }
                }
            }
            batch.flush();
        });
    }

    /// Row `y` of the padded image, from its column `x` on.
    fn padded_row(
        &self,
        n: usize,
        y: usize,
        x: usize,
        row: &mut [f32],
        fill: &impl Fn(usize, usize, usize, &mut [f32]),
    ) {
        if y == 0 || y > self.h {
            return row.fill(0.0);
        }
        let cin = self.weight.cin;
        let first = usize::from(x == 0);
        let last = (row.len() / cin).min(self.w + 1 - x);
        row[..first * cin].fill(0.0);
        row[last * cin..].fill(0.0);
        fill(n, y - 1, x + first - 1, &mut row[first * cin..last * cin]);
    }
}

/// Tiles on their way through a task.
struct Batch<'a> {
    run: &'a Run<'a>,
    task: &'a Task,
    /// Tiles it holds.
    most: usize,
    /// Floats from one place to the next, of the transformed input and of the products.
    place: usize,
    product: usize,
    v: &'a mut [f32],
    m: &'a mut [f32],
    /// For each tile where in the output it goes, and, in `out` (three for each), also its rows and columns inside.
    at: &'a mut Vec<usize>,
    out: &'a mut Vec<usize>,
}

impl Batch<'_> {
    fn push(&mut self, rows: &[&[f32]; IN], at: usize, h: usize, w: usize) {
        if self.at.is_empty() {
            self.out.clear();
        }
        let cin = self.run.weight.cin;
        let input = Input {
            rows: rows.map(<[f32]>::as_ptr),
            channels: cin,
            v: self.v[self.at.len() * cin..].as_mut_ptr(),
            place: self.place,
        };
        // SAFETY: six rows of six pixels, and in `v` a run of channels at each of the places, as `push` is never called
        // with more than `most` tiles held.
        unsafe { (Transforms::of(self.run.weight.level).input)(&input) };
        self.at.push(self.at.len() * cin);
        self.out.extend([at, h.min(OUT), w.min(OUT)]);
        if self.at.len() == self.most {
            self.flush();
        }
    }

    /// Multiplies and transforms back what is held.
    fn flush(&mut self) {
        let (weight, epilogue) = (self.run.weight, self.run.epilogue);
        let (cin, cout, count) = (weight.cin, weight.cout, self.at.len());
        if count == 0 {
            return;
        }
        let kernels = Kernels::of(weight.level);
        let transforms = Transforms::of(weight.level);
        let outputs = self.out.len();
        for block in &weight.blocks[self.task.blocks.clone()] {
            self.out.truncate(outputs);
            self.out.extend((0..count).map(|i| i * block.width));
            let panel = &weight.panels.as_slice()[block.start..][..PLACES * cin * block.width];
            let (mr, kernel) = kernels.gather(block.nv, count);
            for p in 0..PLACES {
                each_tile(mr, self.at, &self.out[outputs..], |off, y_off| {
                    // SAFETY: `off` and `y_off` hold `mr` of the tiles held, each with `cin` floats in `v` and `width`
                    // in `m`; the panel has `cin` rows for each place. The kernel is of a level this processor has.
                    unsafe {
                        kernel(&Gather {
                            a: self.v.as_ptr().add(p * self.place),
                            off,
                            nseg: 1,
                            len: cin,
                            a_seg: 0,
                            w: panel.as_ptr().add(p * cin * block.width),
                            w_seg: 0,
                            bias: std::ptr::null(),
                            accumulate: false,
                            y: self.m.as_mut_ptr().add(p * self.product),
                            y_off,
                            cols: block.width,
                        });
                    }
                });
            }
            for i in 0..count {
                let [at, rows, columns] = [0, 1, 2].map(|j| self.out[3 * i + j]);
                let output = Output {
                    m: self.m[i * block.width..].as_ptr(),
                    place: self.product,
                    channels: block.cols,
                    bias: epilogue.bias.map_or(std::ptr::null(), |b| b[block.col..].as_ptr()),
                    residual: epilogue.residual.map_or(std::ptr::null(), |r| r[at + block.col..].as_ptr()),
                    relu: epilogue.relu,
                    // SAFETY: within the output.
                    y: unsafe { self.run.y.get().add(at + block.col) },
                    row: self.run.w * cout,
                    pixel: cout,
                    rows,
                    columns,
                };
                // SAFETY: `m` holds the block's channels at each place; the output has `rows` x `columns` pixels from
                // `at` on, which no other task writes in these channels; bias and residual were checked.
                unsafe { (transforms.output)(&output) };
            }
        }
        self.at.clear();
    }
}

/// A tile's input: six pixels of `channels` floats in each row; the result goes to `v + place * p` for the places p.
struct Input {
    rows: [*const f32; IN],
    channels: usize,
    v: *mut f32,
    place: usize,
}

/// A tile's products, `channels` floats at `m + place * p`, and where its outputs go: `rows` x `columns` pixels.
struct Output {
    m: *const f32,
    place: usize,
    channels: usize,
    /// Null for none, as the residual.
    bias: *const f32,
    residual: *const f32,
    relu: bool,
    y: *mut f32,
    /// Floats from one row to the next, and from one pixel to the next; the residual's too.
    row: usize,
    pixel: usize,
    rows: usize,
    columns: usize,
}

/// `a * s + b`
///
/// # Safety
/// The instruction set must be there.
#[inline(always)]
unsafe fn scaled<S: Simd>(a: S::V, s: f32, b: S::V) -> S::V {
    // SAFETY: the caller's.
    unsafe { S::fma(a, S::splat(&raw const s), b) }
}

/// The values at the six points that go with those of [`transform_weights`]: for each finite point the polynomial that is
/// zero at the others, for infinity the one that is zero at all.
///
/// # Safety
/// The instruction set must be there.
#[inline(always)]
unsafe fn transform_input<S: Simd>(d: [S::V; IN]) -> [S::V; IN] {
    // SAFETY: the caller's.
    unsafe {
        let (even, odd) = (scaled::<S>(d[2], -2.0, d[4]), scaled::<S>(d[1], -2.0, d[3]));
        let (even_b, odd_b) = (scaled::<S>(d[2], -0.5, d[4]), scaled::<S>(d[1], -0.5, d[3]));
        [
            scaled::<S>(d[2], -2.5, S::add(d[0], d[4])),
            scaled::<S>(odd, FRAC_1_SQRT_2, even),
            scaled::<S>(odd, -FRAC_1_SQRT_2, even),
            scaled::<S>(odd_b, SQRT_2, even_b),
            scaled::<S>(odd_b, -SQRT_2, even_b),
            scaled::<S>(d[3], -2.5, S::add(d[1], d[5])),
        ]
    }
}

/// Four outputs from the products at the six points: output i is the sum over points p of `p^i` times the product, and the
/// last has that at infinity too.
///
/// # Safety
/// The instruction set must be there.
#[inline(always)]
unsafe fn transform_output<S: Simd>(m: [S::V; IN]) -> [S::V; OUT] {
    // SAFETY: the caller's.
    unsafe {
        let (sum, apart) = (S::add(m[1], m[2]), scaled::<S>(m[2], -1.0, m[1]));
        let (sum_b, apart_b) = (S::add(m[3], m[4]), scaled::<S>(m[4], -1.0, m[3]));
        let (near, far) =
            (scaled::<S>(apart, FRAC_1_SQRT_2, S::zero()), scaled::<S>(apart_b, SQRT_2, S::zero()));
        [
            S::add(S::add(m[0], sum), sum_b),
            S::add(near, far),
            scaled::<S>(sum, 0.5, S::add(sum_b, sum_b)),
            scaled::<S>(near, 0.5, scaled::<S>(far, 2.0, m[5])),
        ]
    }
}

/// # Safety
/// The instruction set must be there, and every address `Input` describes must be readable (writable for `v`).
#[inline(always)]
unsafe fn input<S: Simd>(t: &Input) {
    // SAFETY: the addresses are those of the contract above.
    unsafe {
        for k in (0..t.channels).step_by(S::LANES) {
            let mut columns = [[S::zero(); IN]; IN];
            for x in 0..IN {
                let at = x * t.channels + k;
                let mut d = [S::zero(); IN];
                for y in 0..IN {
                    d[y] = S::load(t.rows[y].add(at));
                }
                columns[x] = transform_input::<S>(d);
            }
            for y in 0..IN {
                let mut d = [S::zero(); IN];
                for x in 0..IN {
                    d[x] = columns[x][y];
                }
                let out = transform_input::<S>(d);
                for x in 0..IN {
                    S::store(t.v.add((y * IN + x) * t.place + k), out[x]);
                }
            }
        }
    }
}

/// # Safety
/// The instruction set must be there, and every address `Output` describes must be readable (writable for `y`).
#[inline(always)]
unsafe fn output<S: Simd>(t: &Output) {
    // SAFETY: the addresses are those of the contract above.
    unsafe {
        for k in (0..t.channels).step_by(S::LANES) {
            let bias = if t.bias.is_null() { S::zero() } else { S::load(t.bias.add(k)) };
            let mut columns = [[S::zero(); OUT]; IN];
            for x in 0..IN {
                let mut m = [S::zero(); IN];
                for y in 0..IN {
                    m[y] = S::load(t.m.add((y * IN + x) * t.place + k));
                }
                columns[x] = transform_output::<S>(m);
            }
            for y in 0..OUT {
                if y == t.rows {
                    break;
                }
                let mut m = [S::zero(); IN];
                for x in 0..IN {
                    m[x] = columns[x][y];
                }
                let out = transform_output::<S>(m);
                for x in 0..OUT {
                    if x == t.columns {
                        break;
                    }
                    let at = y * t.row + x * t.pixel + k;
                    let mut v = S::add(out[x], bias);
                    if !t.residual.is_null() {
                        v = S::add(v, S::load(t.residual.add(at)));
                    }
                    if t.relu {
                        v = S::max(v, S::zero());
                    }
                    S::store(t.y.add(at), v);
                }
            }
        }
    }
}

/// The transforms of one level.
struct Transforms {
    input: unsafe fn(&Input),
    output: unsafe fn(&Output),
}

macro_rules! transforms {
    ($simd:ty, $features:literal) => {{
        #[cfg_attr(target_arch = "x86_64", target_feature(enable = $features))]
        unsafe fn input_at(t: &Input) {
            // SAFETY: the caller's.
            unsafe { input::<$simd>(t) }
        }
        #[cfg_attr(target_arch = "x86_64", target_feature(enable = $features))]
        unsafe fn output_at(t: &Output) {
            // SAFETY: the caller's.
            unsafe { output::<$simd>(t) }
        }
        Transforms { input: input_at, output: output_at }
    }};
}

impl Transforms {
    fn of(level: Level) -> Self {
        match level.set() {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => transforms!(Avx512, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => transforms!(Avx2, "avx2,fma"),
            _ => transforms!(Portable, "sse2"),
        }
    }
}
