//! Convolution with any groups, strides, paddings and dilation as matrix products: what a few output pixels read, tap by tap,
//! is copied side by side into columns that stay in the second-level cache, zeros where a tap falls outside.

use crate::axis::Phase;
use crate::band::TASKS;
use crate::buffer::{Scratch, Shared, with_scratch, with_sums};
use crate::gather::Tiles;
use crate::grouped::GroupedConv2d;
use crate::micro::Kernels;
use crate::pack::{Panels, Sum, View, blocks, pack, panel_len, unpack};
use crate::wgrad::{Columns, add_up, each_chunk, groups};
use dyntta_simd::level;
use rayon::prelude::*;
use std::ops::Range;

/// Output pixels of a task.
const PIXELS: usize = 112;
/// Floats of columns made at a time.
const COPY_FLOATS: usize = 96 << 10;
/// Fewest pixels worth a partial sum of their own.
const PART_PIXELS: usize = 512;
/// Most floats all partial sums together may take.
const PART_FLOATS: usize = 4 << 20;

/// One pass over a tensor, for the outputs of one phase on each axis.
struct Pass {
    n: usize,
    ih: usize,
    iw: usize,
    /// Input channels, in all and of a group.
    ic: usize,
    red: usize,
    oh: usize,
    ow: usize,
    /// Output channels, in all and of a group.
    oc: usize,
    cols: usize,
    ys: Phase,
    xs: Phase,
    /// (tap of the tensor, rows down, columns across)
    taps: Vec<(usize, isize, isize)>,
}

impl Pass {
    fn new(
        conv: &GroupedConv2d,
        [ih, iw]: [usize; 2],
        [oh, ow]: [usize; 2],
        sum: Sum,
        ys: &Phase,
        xs: &Phase,
    ) -> Pass {
        let taps =
            ys.taps.iter().flat_map(|y| xs.taps.iter().map(|x| (y.0 * conv.kw + x.0, y.1, x.1))).collect();
        let (inputs, outputs) = ((conv.cin, conv.group_in()), (conv.cout, conv.group_out()));
        let ((ic, red), (oc, cols)) = if sum == Sum::Inputs { (inputs, outputs) } else { (outputs, inputs) };
        Pass { n: conv.n, ih, iw, ic, red, oh, ow, oc, cols, ys: ys.clone(), xs: xs.clone(), taps }
    }

    fn forward(conv: &GroupedConv2d) -> Pass {
        let (down, across) = conv.axes();
        let out = [down.out(), across.out()];
        Pass::new(conv, [conv.h, conv.w], out, Sum::Inputs, &down.forward(), &across.forward())
    }

    fn pixels(&self) -> usize {
        self.n * self.ys.count * self.xs.count
    }

    /// Image, row and column of the phase's output pixel `p`.
    fn pixel(&self, p: usize) -> (usize, usize, usize) {
        let (row, x) = (p / self.xs.count, p % self.xs.count);
        (row / self.ys.count, row % self.ys.count, x)
    }

    /// Where output pixel `p` is written, in floats.
    fn out_at(&self, p: usize) -> usize {
        let (n, y, x) = self.pixel(p);
        let (y, x) = (self.ys.first + y * self.ys.step, self.xs.first + x * self.xs.step);
        ((n * self.oh + y) * self.ow + x) * self.oc
    }

    /// Copies what `pixels` read with `taps` of a group, a row of `ld` floats for each.
    fn copy(
        &self,
        x: &[f32],
        pixels: Range<usize>,
        taps: Range<usize>,
        group: usize,
        to: &mut [f32],
        ld: usize,
    ) {
        for (p, row) in pixels.zip(to.chunks_exact_mut(ld)) {
            let (n, y, ox) = self.pixel(p);
            let (y, ox) = ((y * self.ys.in_step) as isize, (ox * self.xs.in_step) as isize);
            for (tap, to) in self.taps[taps.clone()].iter().zip(row.chunks_exact_mut(self.red)) {
                let (iy, ix) = (y + tap.1, ox + tap.2);
                if (0..self.ih as isize).contains(&iy) && (0..self.iw as isize).contains(&ix) {
                    let pixel = (n * self.ih + iy as usize) * self.iw + ix as usize;
                    let from = pixel * self.ic + group * self.red;
                    to.copy_from_slice(&x[from..from + self.red]);
                } else {
                    to.fill(0.0);
                }
            }
        }
    }

    /// Runs of the taps whose columns for `pixels` pixels fit (an empty one where there are no taps), and the floats from one
    /// pixel to the next: an odd number of cache lines.
    fn tap_runs(&self, pixels: usize) -> (Vec<Range<usize>>, usize) {
        let n = self.taps.len();
        let fit = (COPY_FLOATS / (pixels * self.red)).clamp(1, n.max(1));
        let count = n.div_ceil(fit).max(1);
        let ld = ((fit * self.red).div_ceil(16) | 1) * 16;
        ((0..count).map(|i| i * n / count..(i + 1) * n / count).collect(), ld)
    }

    /// A group's weights as this pass reads them.
    fn view(&self, conv: &GroupedConv2d, sum: Sum) -> View {
        let taps = self.taps.iter().map(|t| t.0).collect();
        View { cout: conv.group_out(), cin: conv.group_in(), all_taps: conv.kh * conv.kw, sum, taps }
    }
}

/// `y = conv(x, weight) + bias`.
pub(crate) fn forward(conv: &GroupedConv2d, x: &[f32], weight: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
    run(conv, &Pass::forward(conv), Sum::Inputs, x, weight, bias, y);
}

/// Gradient to the input.
pub(crate) fn backward_input(conv: &GroupedConv2d, g: &[f32], weight: &[f32], dx: &mut [f32]) {
    let (down, across) = conv.axes();
    for ys in down.backward() {
        for xs in across.backward() {
            let pass = Pass::new(conv, [down.out(), across.out()], [conv.h, conv.w], Sum::Outputs, &ys, &xs);
            run(conv, &pass, Sum::Outputs, g, weight, None, dx);
        }
    }
}

/// Writes the pass's output pixels; others are left alone.
fn run(
    conv: &GroupedConv2d,
    pass: &Pass,
    sum: Sum,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    let kernels = Kernels::of(level());
    let view = pass.view(conv, sum);
    let group_len = weight.len() / conv.groups;
    let panels: Vec<Panels> = weight.par_chunks_exact(group_len).map(|w| pack(kernels, w, &view)).collect();
    let widest = 2 * kernels.lanes;
    // A group's bias with zeros for the columns that fill its last vector.
    let padded = pass.cols.next_multiple_of(widest);
    let bias: Option<Vec<f32>> = bias.map(|b| {
        let mut all = vec![0.0; conv.groups * padded];
        for (to, from) in all.chunks_exact_mut(padded).zip(b.chunks_exact(pass.cols)) {
            to[..pass.cols].copy_from_slice(from);
        }
        all
    });
    let pixels = pass.pixels();
    let chunks = pixels.div_ceil(PIXELS);
    // Few chunks: share the groups out as well.
    let group_parts = TASKS.div_ceil(chunks.max(1)).min(conv.groups);
    let y = Shared::new(y);
    (0..chunks * group_parts).into_par_iter().for_each(|task| {
        let (chunk, part) = (task / group_parts, task % group_parts);
        let range = chunk * pixels / chunks..(chunk + 1) * pixels / chunks;
        let (runs, ld) = pass.tap_runs(range.len());
        with_scratch(|s| {
            s.out_off.clear();
            s.out_off.extend(range.clone().map(|p| pass.out_at(p)));
            s.in_off.clear();
            s.in_off.extend((0..range.len()).map(|i| i * ld));
            let buffer = s.band.ensure(range.len() * ld);
            for group in part * conv.groups / group_parts..(part + 1) * conv.groups / group_parts {
                let panels = &panels[group];
                for taps in &runs {
                    pass.copy(x, range.clone(), taps.clone(), group, buffer, ld);
                    for block in &panels.blocks {
                        let tiles = Tiles {
                            kernels,
                            block,
                            a: buffer.as_ptr(),
                            nseg: 1,
                            len: taps.len() * pass.red,
                            a_seg: 0,
                            w: panels.data.as_slice()[block.start + taps.start * pass.red * block.width..]
                                .as_ptr(),
                            w_seg: 0,
                            bias: bias
                                .as_ref()
                                .map_or(std::ptr::null(), |b| b[group * padded + block.col..].as_ptr()),
                            accumulate: taps.start > 0,
                            // SAFETY: the block's columns are within a pixel's channels.
                            y: unsafe { y.get().add(group * pass.cols + block.col) },
                        };
                        // SAFETY: the buffer holds `len` floats a pixel, the panel as many rows from the first tap on;
                        // tasks are disjoint in pixels or in groups.
                        unsafe { tiles.run(&s.in_off, &s.out_off) };
                    }
                }
            }
        });
    });
}

/// Gradient to the weights: partial sums over fixed parts of the pixels, added up in order.
pub(crate) fn backward_weight(conv: &GroupedConv2d, x: &[f32], g: &[f32], dw: &mut [f32]) {
    let kernels = Kernels::of(level());
    let pass = Pass::forward(conv);
    let view = pass.view(conv, Sum::Inputs);
    let k = view.k();
    let blocks = blocks(kernels.lanes, pass.cols, k);
    let size = panel_len(&blocks, k);
    let pixels = pass.pixels();
    let most = PART_FLOATS / (size * conv.groups);
    let parts = (pixels / PART_PIXELS).min(most).min(TASKS.div_ceil(conv.groups)).max(1);
    let all = conv.groups * size;
    with_sums(parts * all, |sums| {
        sums.par_chunks_exact_mut(size).enumerate().for_each(|(task, sums)| {
            let (part, group) = (task / conv.groups, task % conv.groups);
            let (first, last) = (part * pixels / parts, (part + 1) * pixels / parts);
            let shared = Shared::new(sums);
            with_scratch(|s| {
                let Scratch { band, extra, in_off, out_off, extra_off } = s;
                let mut add = false;
                each_chunk(last - first, |range| {
                    let range = first + range.start..first + range.end;
                    out_off.clear();
                    out_off.extend(range.clone().map(|p| pass.out_at(p) + group * pass.cols));
                    let (runs, ld) = pass.tap_runs(range.len());
                    in_off.clear();
                    in_off.extend((0..range.len()).map(|i| i * ld));
                    let buffer = band.ensure(range.len() * ld);
                    for taps in runs {
                        pass.copy(x, range.clone(), taps.clone(), group, buffer, ld);
                        for blocks in groups(&blocks) {
                            let copied = Columns::copy(g, out_off, blocks, extra, extra_off);
                            let (row, len) = (taps.start * pass.red, taps.len() * pass.red);
                            // SAFETY: the buffer holds `len` floats a pixel, the sums `k` rows for each block; tasks
                            // have sums of their own.
                            unsafe {
                                copied.rows(kernels, buffer.as_ptr(), in_off, shared.get(), row, len, add)
                            };
                        }
                    }
                    add = true;
                });
            });
        });
        let sums = add_up(sums, all);
        let group_len = dw.len() / conv.groups;
        for (sums, dw) in sums.chunks_exact(size).zip(dw.chunks_exact_mut(group_len)) {
            unpack(kernels, sums, &blocks, &view, dw);
        }
    });
}
