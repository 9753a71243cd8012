//! The sum over taps and channels that the forward pass and the gradient to the input share.

use crate::band::{Band, Geometry, TASKS, valid_taps};
use crate::buffer::{Shared, with_scratch};
use crate::micro::{Gather, Kernels, MAX_ROWS, Paired};
use crate::pack::{Block, Panels};
use crate::planar;
use rayon::prelude::*;
use std::ops::Range;

/// Images from which on the exact form pays, if the share of taps inside is below [`EXACT_INSIDE`].
const EXACT_BATCH: usize = 4;
const EXACT_INSIDE: f64 = 0.9;
/// Floats of input rows the exact form copies at a time.
const COPY_FLOATS: usize = 96 << 10;
/// Pixels of one task in the exact form.
const EXACT_PIXELS: usize = 112;

/// Where a tile reads and writes, but for the pixels.
pub(crate) struct Tiles<'a> {
    pub kernels: &'static Kernels,
    pub block: &'a Block,
    pub a: *const f32,
    pub nseg: usize,
    pub len: usize,
    pub a_seg: usize,
    pub w: *const f32,
    pub w_seg: usize,
    pub bias: *const f32,
    pub accumulate: bool,
    pub y: *mut f32,
}

impl Tiles<'_> {
    /// Does all pixels, tile by tile.
    ///
    /// # Safety
    /// Every offset, with the segments it stands for, must lie within what `a`, `w`, `bias` and `y` point to, and no
    /// other task may touch the outputs.
    pub unsafe fn run(&self, in_off: &[usize], out_off: &[usize]) {
        let (mr, kernel) = self.kernels.gather(self.block.nv, in_off.len());
        each_tile(mr, in_off, out_off, |off, y_off| {
            // SAFETY: `off` and `y_off` hold `mr` offsets; the rest is the caller's promise. The kernel comes from the
            // table of a level this processor has.
            unsafe {
                kernel(&Gather {
                    a: self.a,
                    off,
                    nseg: self.nseg,
                    len: self.len,
                    a_seg: self.a_seg,
                    w: self.w,
                    w_seg: self.w_seg,
                    bias: self.bias,
                    accumulate: self.accumulate,
                    y: self.y,
                    y_off,
                    cols: self.block.cols,
                });
            }
        });
    }

    /// As [`Tiles::run`] for pairs of pixels, the second's input `shift` floats on.
    ///
    /// # Safety
    /// As for [`Tiles::run`], for both pixels of each pair; a pixel's channels must be the block's columns.
    unsafe fn run_pairs(&self, in_off: &[usize], out_off: &[usize], shift: usize) {
        let (mr, kernel) = self.kernels.paired(in_off.len());
        each_tile(mr, in_off, out_off, |off, y_off| {
            // SAFETY: as in `run`.
            unsafe {
                kernel(&Paired {
                    a: self.a,
                    off,
                    nseg: self.nseg,
                    len: self.len,
                    shift,
                    a_seg: self.a_seg,
                    w: self.w,
                    w_seg: self.w_seg,
                    bias: self.bias,
                    y: self.y,
                    y_off,
                    cols: self.block.cols,
                });
            }
        });
    }
}

/// Calls `f` with pointers to `mr` offsets at a time, the last one repeated to fill the last tile.
fn each_tile(mr: usize, in_off: &[usize], out_off: &[usize], mut f: impl FnMut(*const usize, *const usize)) {
    let n = in_off.len();
    assert_eq!(n, out_off.len());
    let (mut ins, mut outs) = ([0; MAX_ROWS], [0; MAX_ROWS]);
    for p0 in (0..n).step_by(mr) {
        if p0 + mr <= n {
            f(in_off[p0..].as_ptr(), out_off[p0..].as_ptr());
        } else {
            for i in 0..mr {
                ins[i] = in_off[(p0 + i).min(n - 1)];
                outs[i] = out_off[(p0 + i).min(n - 1)];
            }
            f(ins.as_ptr(), outs.as_ptr());
        }
    }
}

/// Keeps of each row of `w` offsets the first, the third and so on, and of an odd row the last but one: the first pixels of
/// the pairs that cover it.
fn pairs(off: &mut Vec<usize>, w: usize) {
    let rows = off.len() / w;
    let count = w.div_ceil(2);
    for y in 0..rows {
        for i in 0..count {
            off[y * count + i] = off[y * w + (2 * i).min(w - 2)];
        }
    }
    off.truncate(rows * count);
}

/// Cuts the blocks into `parts` runs.
fn column_parts(blocks: usize, tasks: usize) -> Vec<Range<usize>> {
    let parts = TASKS.div_ceil(tasks.max(1)).min(blocks).max(1);
    (0..parts).map(|i| i * blocks / parts..(i + 1) * blocks / parts).collect()
}

/// Fills every output pixel of `g` from `x` and the packed weights; other pixels of `y` are left alone.
pub(crate) fn run(
    kernels: &'static Kernels,
    g: &Geometry,
    x: &[f32],
    w: &Panels,
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    if g.pixels() == 0 || g.oc == 0 {
        return;
    }
    assert_eq!(x.len(), g.n * g.ih * g.iw * g.ic);
    assert_eq!(y.len(), g.n * g.out_h * g.out_w * g.oc);
    assert_eq!(w.k, g.kh * g.kw * g.ic);
    if planar::suits(g, w) {
        return planar::run(kernels, &[(g.clone(), w)], x, bias, y);
    }
    let width = w.blocks.iter().map(|b| b.width).sum();
    let bias: Option<Vec<f32>> = bias.map(|b| {
        let mut padded = b.to_vec();
        padded.resize(width, 0.0);
        padded
    });
    let bias = bias.as_deref();
    // Pixels a multiple of 4 KiB apart all fall into one cache set; the exact form copies them elsewhere.
    let aliased = g.kh * g.kw == 1 && (g.stride * g.ic).is_multiple_of(1024);
    // Runs too short are not worth copying.
    let wasteful = g.ic >= 16 && g.inside() < if g.n >= EXACT_BATCH { EXACT_INSIDE } else { 0.5 };
    if aliased || wasteful {
        exact(kernels, g, x, w, bias, y);
    } else {
        banded(kernels, g, x, w, bias, y);
    }
}

/// All pixels alike, zeros around the input.
fn banded(
    kernels: &'static Kernels,
    g: &Geometry,
    x: &[f32],
    w: &Panels,
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    let bands = g.bands();
    let columns = column_parts(w.blocks.len(), bands.len());
    let y = Shared::new(y);
    let task = |(band, columns): (Band, Range<usize>)| {
        with_scratch(|s| {
            let (a, a_seg) = g.prepare(x, band, &mut s.band, &mut s.in_off);
            g.outputs(band, &mut s.out_off);
            // One vector of channels, and neighbours that share inputs.
            let paired = g.oc <= kernels.lanes && g.kw > g.stride && g.ow > 1 && g.out_step == 1;
            if paired {
                pairs(&mut s.in_off, g.ow);
                pairs(&mut s.out_off, g.ow);
            }
            for block in &w.blocks[columns] {
                let tiles = Tiles {
                    kernels,
                    block,
                    a: a.as_ptr(),
                    nseg: g.kh,
                    len: g.kw * g.ic,
                    a_seg,
                    w: w.data.as_slice()[block.start..].as_ptr(),
                    w_seg: g.kw * g.ic * block.width,
                    bias: bias.map_or(std::ptr::null(), |b| b[block.col..].as_ptr()),
                    accumulate: false,
                    // SAFETY: `block.col` is within a pixel's channels.
                    y: unsafe { y.get().add(block.col) },
                };
                // SAFETY: `prepare` and `outputs` give offsets within `a` and `y` for the whole kernel; tasks are
                // disjoint in pixels or in columns.
                unsafe {
                    if paired {
                        tiles.run_pairs(&s.in_off, &s.out_off, g.stride * g.ic);
                    } else {
                        tiles.run(&s.in_off, &s.out_off);
                    }
                }
            }
        });
    };
    let tasks: Vec<_> = bands.iter().flat_map(|b| columns.iter().map(|c| (*b, c.clone()))).collect();
    tasks.into_par_iter().for_each(task);
}

/// Indices that share one range of taps: `(taps, indices)`.
fn classes(out: usize, taps: impl Fn(usize) -> (usize, usize)) -> Vec<((usize, usize), Vec<usize>)> {
    let mut found: Vec<((usize, usize), Vec<usize>)> = Vec::new();
    for o in 0..out {
        let t = taps(o);
        match found.iter_mut().find(|f| f.0 == t) {
            Some(f) => f.1.push(o),
            None => found.push((t, vec![o])),
        }
    }
    found
}

/// Pixels of the whole batch that see the same taps, so that none is spent on the border; their input rows are copied
/// side by side first.
fn exact(
    kernels: &'static Kernels,
    g: &Geometry,
    x: &[f32],
    w: &Panels,
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    struct Group {
        ky: (usize, usize),
        kx: (usize, usize),
        /// (input, output) offsets; the input's is of the first valid tap.
        pixels: Vec<(usize, usize)>,
    }
    let mut groups = Vec::new();
    let columns_of = classes(g.ow, |o| valid_taps(o, g.pad_x, g.stride, g.iw, g.kw));
    for (ky, ys) in classes(g.oh, |o| valid_taps(o, g.pad_y, g.stride, g.ih, g.kh)) {
        for (kx, xs) in &columns_of {
            let seen = ky.1 > ky.0 && kx.1 > kx.0;
            let mut pixels = Vec::with_capacity(g.n * ys.len() * xs.len());
            for n in 0..g.n {
                for &oy in &ys {
                    for &ox in xs {
                        let at = if seen {
                            let iy = (oy * g.stride + ky.0) as isize - g.pad_y;
                            let ix = (ox * g.stride + kx.0) as isize - g.pad_x;
                            ((n * g.ih + iy as usize) * g.iw + ix as usize) * g.ic
                        } else {
                            0
                        };
                        pixels.push((at, g.out_at(n, oy, ox)));
                    }
                }
            }
            groups.push(Group { ky, kx: *kx, pixels });
        }
    }
    let mut chunks = Vec::new();
    for group in &groups {
        let n = group.pixels.len();
        let count = n.div_ceil(EXACT_PIXELS);
        chunks.extend((0..count).map(|i| (group, i * n / count..(i + 1) * n / count)));
    }
    let columns = column_parts(w.blocks.len(), chunks.len());
    let y = Shared::new(y);
    let task = |(group, pixels, columns): (&Group, Range<usize>, Range<usize>)| {
        let rows = group.ky.1 - group.ky.0;
        let len = (group.kx.1 - group.kx.0) * g.ic;
        // An odd number of cache lines from one pixel to the next.
        let ld = (len.div_ceil(16) | 1) * 16;
        let seen = rows > 0 && len > 0;
        let most = (COPY_FLOATS / ld).max(MAX_ROWS);
        let n = pixels.len();
        let count = n.div_ceil(most);
        with_scratch(|s| {
            for i in 0..count {
                let part = &group.pixels[pixels.start + i * n / count..pixels.start + (i + 1) * n / count];
                s.out_off.clear();
                s.out_off.extend(part.iter().map(|p| p.1));
                s.in_off.clear();
                s.in_off.extend((0..part.len()).map(|p| p * ld));
                let buffer = s.band.ensure(part.len() * ld);
                for r in 0..if seen { rows } else { 1 } {
                    if seen {
                        for (p, row) in part.iter().zip(buffer.chunks_exact_mut(ld)) {
                            let from = p.0 + r * g.iw * g.ic;
                            row[..len].copy_from_slice(&x[from..from + len]);
                        }
                    }
                    let first = (group.ky.0 + r) * g.kw + group.kx.0;
                    for block in &w.blocks[columns.clone()] {
                        let tiles = Tiles {
                            kernels,
                            block,
                            a: buffer.as_ptr(),
                            nseg: usize::from(seen),
                            len,
                            a_seg: 0,
                            w: w.data.as_slice()[block.start..]
                                .as_ptr()
                                .wrapping_add(first * g.ic * block.width),
                            w_seg: 0,
                            bias: bias.map_or(std::ptr::null(), |b| b[block.col..].as_ptr()),
                            accumulate: r > 0,
                            // SAFETY: `block.col` is within a pixel's channels.
                            y: unsafe { y.get().add(block.col) },
                        };
                        // SAFETY: the buffer holds `len` floats a pixel, the panel has `len` rows from tap `first`;
                        // tasks are disjoint in pixels or in columns.
                        unsafe { tiles.run(&s.in_off, &s.out_off) };
                    }
                }
            }
        });
    };
    let tasks: Vec<_> =
        chunks.iter().flat_map(|(g, p)| columns.iter().map(|c| (*g, p.clone(), c.clone()))).collect();
    tasks.into_par_iter().for_each(task);
}
