//! The gradient to the weights: outer products of input and output gradient, summed over pixels.

use crate::band::{Band, Geometry, TASKS, valid_outputs};
use crate::buffer::{Aligned, Shared, with_scratch};
use crate::micro::{Kernels, MAX_COLS, Outer};
use crate::pack::{Block, View, blocks, panel_len, unpack};
use rayon::prelude::*;
use std::ops::Range;

/// Pixels handled between two visits to the sums in memory: the block of output gradient then stays in the nearest
/// cache.
const CHUNK: usize = 256;
/// Fewest pixels worth a partial sum of their own.
const PART_PIXELS: usize = 512;
/// Most floats all partial sums together may take.
const PART_FLOATS: usize = 4 << 20;
/// Share of taps inside the input below which each tap gets its own list of pixels.
const EXACT_INSIDE: f64 = 0.9;

/// A run of rows of the weight gradient: rows `k0..k1`, which read the input at `a + k - k0`.
///
/// # Safety
/// Offsets must lie within `a` (with `k1 - k0` floats after each) and `b` (with the block's width), `c` must hold the
/// panel, and no other task may touch rows `k0..k1` of it.
unsafe fn rows(
    kernels: &'static Kernels,
    block: &Block,
    a: *const f32,
    a_off: &[usize],
    b: *const f32,
    b_off: &[usize],
    c: *mut f32,
    k: usize,
) {
    assert_eq!(a_off.len(), b_off.len());
    let (mr, kernel) = kernels.outer(block.nv, k);
    let mut done = 0;
    while done < k {
        let first = done.min(k - mr);
        // SAFETY: rows first..first + mr are within 0..k; the rest is the caller's promise. The kernel comes from the
        // table of a level this processor has.
        unsafe {
            kernel(&Outer {
                a: a.add(first),
                a_off: a_off.as_ptr(),
                b,
                b_off: b_off.as_ptr(),
                n: a_off.len(),
                c: c.add(first * block.width),
                ldc: block.width,
                skip: done - first,
            });
        }
        done = first + mr;
    }
}

/// The output gradient of one block of columns, readable a full width beyond every offset: `grad` itself, or, where
/// the last pixel's vectors would end outside it, a copy.
fn columns_of<'a>(
    grad: &'a [f32],
    off: &'a mut [usize],
    block: &Block,
    copy: &'a mut Aligned,
) -> (*const f32, &'a [usize]) {
    // The lists need not be sorted.
    let last = off.iter().copied().max().unwrap_or(0);
    if last + block.col + block.width <= grad.len() {
        return (grad[block.col..].as_ptr(), off);
    }
    let data = copy.ensure(off.len() * block.width);
    for (to, at) in data.chunks_exact_mut(block.width).zip(off.iter_mut()) {
        to[..block.cols].copy_from_slice(&grad[*at + block.col..*at + block.col + block.cols]);
        to[block.cols..].fill(0.0);
    }
    for (i, at) in off.iter_mut().enumerate() {
        *at = i * block.width;
    }
    (data.as_ptr(), off)
}

/// Writes the gradient to the weights, laid out as `view` says (one reduced channel per input channel, one column per
/// output channel, all `kh * kw` taps in order).
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
    } else {
        banded(kernels, g, x, grad, view, dw);
    }
}

/// All taps alike, zeros around the input; partial sums over fixed parts of the pixels, added up in order.
fn banded(kernels: &'static Kernels, g: &Geometry, x: &[f32], grad: &[f32], view: &View, dw: &mut [f32]) {
    let k = g.kh * g.kw * g.ic;
    let blocks = blocks(kernels.lanes, g.oc, k);
    let size = panel_len(&blocks, k);
    let bands = g.bands();
    let parts = (g.pixels() / PART_PIXELS).min(PART_FLOATS / size).min(bands.len()).clamp(1, TASKS);
    // Few parts: share the rows and columns out as well. A row task is a stretch of one kernel row.
    let want = TASKS.div_ceil(parts);
    let cols = want.min(blocks.len());
    let segment = g.kw * g.ic;
    let stretch = (segment / want.div_ceil(cols * g.kh)).clamp(MAX_COLS.min(segment), segment);
    let per_row = segment.div_ceil(stretch);
    let row_tasks = if want > cols { g.kh * per_row } else { 1 };
    let mut sums = Aligned::zeros(parts * size);
    let shared = Shared::new(sums.as_mut_slice());
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
            for band in &bands[part * bands.len() / parts..(part + 1) * bands.len() / parts] {
                one_band(kernels, g, x, grad, *band, columns, &stretches, part * size, shared, s);
            }
        });
    };
    let tasks: Vec<_> = (0..parts)
        .flat_map(|p| (0..cols).flat_map(move |c| (0..row_tasks).map(move |r| (p, c, r))))
        .collect();
    tasks.into_par_iter().for_each(task);

    let (first, others) = sums.as_mut_slice().split_at_mut(size);
    if parts > 1 {
        let step = size.div_ceil(TASKS).max(4096);
        first.par_chunks_mut(step).enumerate().for_each(|(i, sum)| {
            for other in others.chunks_exact(size) {
                for (s, o) in sum.iter_mut().zip(&other[i * step..]) {
                    *s += o;
                }
            }
        });
    }
    unpack(first, &blocks, view, dw);
}

/// Adds one band's share to the sums that start at `base`.
fn one_band(
    kernels: &'static Kernels,
    g: &Geometry,
    x: &[f32],
    grad: &[f32],
    band: Band,
    columns: &[Block],
    stretches: &[(usize, usize, usize)],
    base: usize,
    sums: Shared,
    s: &mut crate::buffer::Scratch,
) {
    let (a, a_seg) = g.prepare(x, band, &mut s.band, &mut s.in_off);
    g.outputs(band, &mut s.out_off);
    let n = s.in_off.len();
    let count = n.div_ceil(CHUNK);
    for i in 0..count {
        let range = i * n / count..(i + 1) * n / count;
        for block in columns {
            let mut offsets = s.out_off[range.clone()].to_vec();
            let (b, b_off) = columns_of(grad, &mut offsets, block, &mut s.extra);
            for &(ky, k0, len) in stretches {
                let row = ky * g.kw * g.ic + k0;
                // SAFETY: `prepare` gives offsets with the whole kernel within `a`; `columns_of` ones with a block's
                // width within `b`; the sums hold `kh * kw * ic` rows for each block, and tasks differ in part, block
                // or stretch.
                unsafe {
                    rows(
                        kernels,
                        block,
                        a.as_ptr().add(ky * a_seg + k0),
                        &s.in_off[range.clone()],
                        b,
                        b_off,
                        sums.get().add(base + block.start + row * block.width),
                        len,
                    );
                }
            }
        }
    }
}

/// Each tap with the pixels that see it, over the whole batch; no sums to add up afterwards.
fn exact(kernels: &'static Kernels, g: &Geometry, x: &[f32], grad: &[f32], view: &View, dw: &mut [f32]) {
    let k = g.kh * g.kw * g.ic;
    let blocks = blocks(kernels.lanes, g.oc, k);
    let mut sums = Aligned::zeros(panel_len(&blocks, k));
    let shared = Shared::new(sums.as_mut_slice());
    let taps: Vec<(usize, usize)> = (0..g.kh).flat_map(|y| (0..g.kw).map(move |x| (y, x))).collect();
    let ranges = |(ky, kx): (usize, usize)| {
        (valid_outputs(ky, g.pad_y, g.stride, g.ih, g.oh), valid_outputs(kx, g.pad_x, g.stride, g.iw, g.ow))
    };
    let seen: Vec<_> = taps
        .into_iter()
        .filter(|&t| {
            let (y, x) = ranges(t);
            y.0 < y.1 && x.0 < x.1
        })
        .collect();
    let cols = TASKS.div_ceil(seen.len().max(1)).min(blocks.len());
    let task = |(tap, columns): ((usize, usize), Range<usize>)| {
        let (ys, xs) = ranges(tap);
        with_scratch(|s| {
            s.in_off.clear();
            s.out_off.clear();
            for n in 0..g.n {
                for oy in ys.0..ys.1 {
                    let iy = (oy * g.stride + tap.0) as isize - g.pad_y;
                    for ox in xs.0..xs.1 {
                        let ix = (ox * g.stride + tap.1) as isize - g.pad_x;
                        s.in_off.push(((n * g.ih + iy as usize) * g.iw + ix as usize) * g.ic);
                        s.out_off.push(g.out_at(n, oy, ox));
                    }
                }
            }
            let n = s.in_off.len();
            let count = n.div_ceil(CHUNK);
            for i in 0..count {
                let range = i * n / count..(i + 1) * n / count;
                for block in &blocks[columns.clone()] {
                    let mut offsets = s.out_off[range.clone()].to_vec();
                    let (b, b_off) = columns_of(grad, &mut offsets, block, &mut s.extra);
                    let row = (tap.0 * g.kw + tap.1) * g.ic;
                    // SAFETY: each input offset is a pixel with `ic` floats; `columns_of` gives a block's width within
                    // `b`; tasks differ in tap or block.
                    unsafe {
                        rows(
                            kernels,
                            block,
                            x.as_ptr(),
                            &s.in_off[range.clone()],
                            b,
                            b_off,
                            shared.get().add(block.start + row * block.width),
                            g.ic,
                        );
                    }
                }
            }
        });
    };
    let tasks: Vec<_> = seen
        .iter()
        .flat_map(|t| {
            let count = blocks.len();
            (0..cols).map(move |c| (*t, c * count / cols..(c + 1) * count / cols))
        })
        .collect();
    tasks.into_par_iter().for_each(task);
    unpack(sums.as_slice(), &blocks, view, dw);
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
