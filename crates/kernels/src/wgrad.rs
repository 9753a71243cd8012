//! The gradient to the weights: outer products of input and output gradient, summed over pixels.
//!
//! Three ways: `banded` (zeros around the input, each kernel row one run of floats), `wide` (the same for so few output
//! channels that the vector had better run along the input), and `exact` (images so small that the border costs more than
//! a list of pixels for each tap).

use crate::band::{BAND_SLACK, Band, Geometry, TASKS, valid_outputs};
use crate::buffer::{Aligned, Scratch, Shared, with_scratch, with_sums};
use crate::micro::{Kernels, MAX_COLS, Outer};
use crate::pack::{Block, View, blocks, panel_len, planar_runs, unpack};
use rayon::prelude::*;
use std::ops::Range;

/// Pixels handled between two visits to the sums in memory: the block of output gradient then stays in the nearest
/// cache.
const CHUNK: usize = 128;
/// Fewest pixels worth a partial sum of their own.
const PART_PIXELS: usize = 512;
/// Most floats all partial sums together may take.
const PART_FLOATS: usize = 4 << 20;
/// Tasks below which the parts of the pixels are cut further.
const FEW: usize = 8;
/// Share of taps inside the input below which each tap gets its own list of pixels.
const EXACT_INSIDE: f64 = 0.8;

/// Output gradients of a few blocks of columns for a chunk of pixels, side by side in cache lines of their own.
pub(crate) struct Columns<'a> {
    blocks: &'a [Block],
    data: &'a [f32],
    /// Floats of one block.
    size: usize,
    off: &'a [usize],
}

/// Blocks handled together: what they read of the input is then read once.
const BLOCKS: usize = 2;

impl<'a> Columns<'a> {
    /// Copies `blocks` (of one width) of the pixels at `at`; columns beyond a block's last are zero.
    pub fn copy(
        grad: &[f32],
        at: &[usize],
        blocks: &'a [Block],
        buffer: &'a mut Aligned,
        off: &'a mut Vec<usize>,
    ) -> Self {
        let size = at.len() * MAX_COLS;
        let data = buffer.ensure(blocks.len() * size);
        for (b, data) in blocks.iter().zip(data.chunks_exact_mut(size)) {
            for (to, at) in data.chunks_exact_mut(b.width).zip(at) {
                to[..b.cols].copy_from_slice(&grad[at + b.col..at + b.col + b.cols]);
                to[b.cols..].fill(0.0);
            }
        }
        off.clear();
        off.extend((0..at.len()).map(|i| i * blocks[0].width));
        Columns { blocks, data, size, off }
    }

    /// Adds rows `row..row + k` of the weight gradient to the panels at `sums` (or, unless `add`, writes them there); they
    /// read the input at `a + off[pixel]`, `k` floats from there.
    ///
    /// # Safety
    /// `a` must hold `k` floats at each offset, of which there are as many as pixels were copied; `sums` must hold the
    /// panels, and no other task may touch these rows of them.
    pub unsafe fn rows(
        &self,
        kernels: &'static Kernels,
        a: *const f32,
        off: &[usize],
        sums: *mut f32,
        row: usize,
        k: usize,
        add: bool,
    ) {
        assert_eq!(off.len(), self.off.len());
        let (mr, kernel) = kernels.outer(self.blocks[0].nv, k);
        let mut done = 0;
        while done < k {
            let first = done.min(k - mr);
            for (i, b) in self.blocks.iter().enumerate() {
                // SAFETY: rows first..first + mr are within 0..k, the pixels within the copy; the rest is the caller's
                // promise. The kernel comes from the table of a level this processor has.
                unsafe {
                    kernel(&Outer {
                        a: a.add(first),
                        a_off: off.as_ptr(),
                        b: self.data[i * self.size..].as_ptr(),
                        b_off: self.off.as_ptr(),
                        n: off.len(),
                        c: sums.add(b.start + (row + first) * b.width),
                        ldc: b.width,
                        skip: done - first,
                        add,
                    });
                }
            }
            done = first + mr;
        }
    }
}

/// Groups of blocks of one width, at most [`BLOCKS`] each.
pub(crate) fn groups(blocks: &[Block]) -> impl Iterator<Item = &[Block]> {
    blocks.chunk_by(|a, b| a.nv == b.nv).flat_map(|same| same.chunks(BLOCKS))
}

/// Writes the gradient to the weights, laid out as `view` (a forward view with all taps in order) says.
pub(crate) fn run(
    kernels: &'static Kernels,
    g: &Geometry,
    x: &[f32],
    grad: &[f32],
    view: &View,
    dw: &mut [f32],
) {
    assert_eq!(x.len(), g.n * g.ih * g.iw * g.ic);
    assert_eq!(grad.len(), g.pixels() * g.oc);
    if g.pixels() == 0 || g.oc == 0 || g.ic == 0 {
        dw.fill(0.0);
        return;
    }
    if g.inside() < EXACT_INSIDE && g.ic >= 8 && g.n > 1 {
        exact(kernels, g, x, grad, view, dw);
    } else if g.oc <= kernels.lanes && g.reaches_out() && g.kw * g.ic >= 2 * kernels.lanes {
        wide(kernels, g, x, grad, view, dw);
    } else {
        banded(kernels, g, x, grad, view, dw);
    }
}

/// Parts of the pixels that get partial sums of `size` floats.
fn part_count(g: &Geometry, bands: usize, size: usize) -> usize {
    (g.pixels() / PART_PIXELS).min(PART_FLOATS / size.max(1)).min(bands).clamp(1, TASKS)
}

/// The bands of part `i` of `parts`.
fn part_of(bands: &[Band], i: usize, parts: usize) -> &[Band] {
    &bands[i * bands.len() / parts..(i + 1) * bands.len() / parts]
}

/// Adds the partial sums, `size` floats each, to the first, in order.
pub(crate) fn add_up(sums: &mut [f32], size: usize) -> &[f32] {
    let (first, others) = sums.split_at_mut(size);
    if !others.is_empty() {
        let step = size.div_ceil(TASKS).max(4096);
        first.par_chunks_mut(step).enumerate().for_each(|(i, sum)| {
            for other in others.chunks_exact(size) {
                for (s, o) in sum.iter_mut().zip(&other[i * step..]) {
                    *s += o;
                }
            }
        });
    }
    first
}

/// Calls `f` with even runs of at most [`CHUNK`] of `n` pixels.
pub(crate) fn each_chunk(n: usize, mut f: impl FnMut(Range<usize>)) {
    let count = n.div_ceil(CHUNK);
    for i in 0..count {
        f(i * n / count..(i + 1) * n / count);
    }
}

/// All taps alike, zeros around the input; partial sums over fixed parts of the pixels, added up in order.
fn banded(kernels: &'static Kernels, g: &Geometry, x: &[f32], grad: &[f32], view: &View, dw: &mut [f32]) {
    let k = g.kh * g.kw * g.ic;
    let blocks = blocks(kernels.lanes, g.oc, k);
    let size = panel_len(&blocks, k);
    let bands = g.bands();
    let parts = part_count(g, bands.len(), size);
    // Few parts: share the columns out as well, and the rows. A row task is a stretch of one kernel row.
    let want = FEW.div_ceil(parts);
    let cols = want.min(blocks.len());
    let segment = g.kw * g.ic;
    let stretch = (segment / want.div_ceil(cols * g.kh)).clamp(MAX_COLS.min(segment), segment);
    let per_row = segment.div_ceil(stretch);
    let row_tasks = if want > cols { g.kh * per_row } else { 1 };
    with_sums(parts * size, |sums| {
        let shared = Shared::new(sums);
        let task = |(part, col, row): (usize, usize, usize)| {
            let columns = &blocks[col * blocks.len() / cols..(col + 1) * blocks.len() / cols];
            // (kernel row, first float, floats)
            let stretches: Vec<(usize, usize, usize)> = if row_tasks == 1 {
                (0..g.kh).map(|ky| (ky, 0, segment)).collect()
            } else {
                let (ky, i) = (row / per_row, row % per_row);
                let (s0, s1) = (i * segment / per_row, (i + 1) * segment / per_row);
                vec![(ky, s0, s1 - s0)]
            };
            with_scratch(|s| {
                let mut add = false;
                for band in part_of(&bands, part, parts) {
                    let Scratch { band: buffer, extra, in_off, out_off, extra_off } = s;
                    let (a, a_seg) = g.prepare(x, *band, buffer, in_off);
                    g.outputs(*band, out_off);
                    each_chunk(in_off.len(), |range| {
                        for blocks in groups(columns) {
                            let copied =
                                Columns::copy(grad, &out_off[range.clone()], blocks, extra, extra_off);
                            for &(ky, k0, len) in &stretches {
                                let (row, off) = (ky * segment + k0, &in_off[range.clone()]);
                                // SAFETY: `prepare` gives offsets with the whole kernel within `a`; the sums hold
                                // `kh * kw * ic` rows for each block, and tasks differ in part, block or stretch.
                                unsafe {
                                    let a = a.as_ptr().add(ky * a_seg + k0);
                                    let sums = shared.get().add(part * size);
                                    copied.rows(kernels, a, off, sums, row, len, add);
                                }
                            }
                        }
                        add = true;
                    });
                }
            });
        };
        let tasks: Vec<_> = (0..parts)
            .flat_map(|p| (0..cols).flat_map(move |c| (0..row_tasks).map(move |r| (p, c, r))))
            .collect();
        tasks.into_par_iter().for_each(task);
        unpack(kernels, add_up(sums, size), &blocks, view, dw);
    });
}

/// As [`banded`] with the sides of the outer product exchanged: a few output channels by vectors along the input's row.
fn wide(kernels: &'static Kernels, g: &Geometry, x: &[f32], grad: &[f32], view: &View, dw: &mut [f32]) {
    let segment = g.kw * g.ic;
    let vectors = segment.div_ceil(kernels.lanes);
    // (channels, vectors of a tile, kernel)
    let runs: Vec<_> = planar_runs(kernels, g.oc)
        .into_iter()
        .map(|(c0, c1)| {
            let (nv, kernel) = kernels.wide_outer(c1 - c0, vectors);
            (c0..c1, nv, kernel)
        })
        .collect();
    let tile = |nv: usize| nv * kernels.lanes;
    let run_len = runs.iter().map(|r| segment.next_multiple_of(tile(r.1))).max().unwrap_or(0);
    assert!(run_len - segment <= BAND_SLACK);
    let ld = g.kh * run_len;
    let size = g.oc * ld;
    let bands = g.bands();
    let parts = part_count(g, bands.len(), size);
    with_sums(parts * size, |sums| {
        let shared = Shared::new(sums);
        (0..parts).into_par_iter().for_each(|part| {
            with_scratch(|s| {
                let mut add = false;
                for band in part_of(&bands, part, parts) {
                    let (b, b_seg) = g.prepare(x, *band, &mut s.band, &mut s.in_off);
                    g.outputs(*band, &mut s.out_off);
                    each_chunk(s.in_off.len(), |range| {
                        for ky in 0..g.kh {
                            for (channels, nv, kernel) in &runs {
                                for at in (0..segment).step_by(tile(*nv)) {
                                    // SAFETY: an output pixel has `oc` channels; `prepare` gives offsets with the whole
                                    // kernel within the band, which can be read `BAND_SLACK` beyond; a part's sums
                                    // hold `kh` runs that a whole number of tiles fits in for each channel. The kernel
                                    // comes from the table of a level this processor has.
                                    unsafe {
                                        let sums = shared.get().add(part * size + channels.start * ld);
                                        kernel(&Outer {
                                            a: grad.as_ptr().add(channels.start),
                                            a_off: s.out_off[range.clone()].as_ptr(),
                                            b: b.as_ptr().add(ky * b_seg + at),
                                            b_off: s.in_off[range.clone()].as_ptr(),
                                            n: range.len(),
                                            c: sums.add(ky * run_len + at),
                                            ldc: ld,
                                            skip: 0,
                                            add,
                                        });
                                    }
                                }
                            }
                        }
                        add = true;
                    });
                }
            });
        });
        let sums = add_up(sums, size);
        for co in 0..g.oc {
            for ky in 0..g.kh {
                for kx in 0..g.kw {
                    for ci in 0..g.ic {
                        dw[view.at(ky * g.kw + kx, ci, co)] = sums[co * ld + ky * run_len + kx * g.ic + ci];
                    }
                }
            }
        }
    });
}

/// Each tap with the pixels that see it, over the whole batch; no sums to add up afterwards.
fn exact(kernels: &'static Kernels, g: &Geometry, x: &[f32], grad: &[f32], view: &View, dw: &mut [f32]) {
    let ranges = |tap: usize| {
        let (ky, kx) = (tap / g.kw, tap % g.kw);
        (valid_outputs(ky, g.pad_y, g.stride, g.ih, g.oh), valid_outputs(kx, g.pad_x, g.stride, g.iw, g.ow))
    };
    let taps: Vec<usize> = (0..g.kh * g.kw)
        .filter(|&t| {
            let (y, x) = ranges(t);
            y.0 < y.1 && x.0 < x.1
        })
        .collect();
    // The others' gradient is zero.
    let view = View { taps, ..view.clone() };
    let blocks = blocks(kernels.lanes, g.oc, view.k());
    let cols = TASKS.div_ceil(view.taps.len().max(1)).min(blocks.len());
    with_sums(panel_len(&blocks, view.k()), |sums| {
        let shared = Shared::new(sums);
        let task = |(t, columns): (usize, Range<usize>)| {
            let tap = view.taps[t];
            let (ys, xs) = ranges(tap);
            with_scratch(|s| {
                let Scratch { extra, in_off, out_off, extra_off, .. } = s;
                in_off.clear();
                out_off.clear();
                for n in 0..g.n {
                    for oy in ys.0..ys.1 {
                        let iy = (oy * g.stride + tap / g.kw) as isize - g.pad_y;
                        for ox in xs.0..xs.1 {
                            let ix = (ox * g.stride + tap % g.kw) as isize - g.pad_x;
                            in_off.push(((n * g.ih + iy as usize) * g.iw + ix as usize) * g.ic);
                            out_off.push(g.out_at(n, oy, ox));
                        }
                    }
                }
                let mut add = false;
                each_chunk(in_off.len(), |range| {
                    for blocks in groups(&blocks[columns.clone()]) {
                        let copied = Columns::copy(grad, &out_off[range.clone()], blocks, extra, extra_off);
                        let off = &in_off[range.clone()];
                        // SAFETY: each input offset is a pixel with `ic` floats; tasks differ in tap or block.
                        unsafe { copied.rows(kernels, x.as_ptr(), off, shared.get(), t * g.ic, g.ic, add) };
                    }
                    add = true;
                });
            });
        };
        let tasks: Vec<_> = (0..view.taps.len())
            .flat_map(|t| {
                let count = blocks.len();
                (0..cols).map(move |c| (t, c * count / cols..(c + 1) * count / cols))
            })
            .collect();
        tasks.into_par_iter().for_each(task);
        unpack(kernels, sums, &blocks, &view, dw);
    });
}

/// Sums each channel over all pixels: `out[c] = sum of grad[pixel][c]`, in fixed parts, added up in order.
pub(crate) fn channel_sums(grad: &[f32], c: usize, out: &mut [f32]) {
    out.fill(0.0);
    if c == 0 || grad.is_empty() {
        return;
    }
    let pixels = grad.len() / c;
    let part = pixels.div_ceil(TASKS).max(256);
    let sums: Vec<Vec<f32>> = grad
        .par_chunks(part * c)
        .map(|chunk| {
            let mut sum = vec![0.0; c];
            for pixel in chunk.chunks_exact(c) {
                for (s, g) in sum.iter_mut().zip(pixel) {
                    *s += g;
                }
            }
            sum
        })
        .collect();
    for sum in sums {
        for (o, s) in out.iter_mut().zip(sum) {
            *o += s;
        }
    }
}
