//! Depthwise convolution, and groups of few channels: vectors along the channels.
//!
//! The input is read in place, and a pixel near the border takes only the taps inside, so nothing is padded. Where a channel
//! reads several others (a group's, or with a channel multiplier the gradients of its multiples) or one that is not its own,
//! the input rows of a task are first spread out: for each pixel one plane after the other, as wide as the output.

use crate::axis::{Axis, Run};
use crate::band::TASKS;
use crate::buffer::{Aligned, with_scratch, with_sums};
use crate::grouped::GroupedConv2d;
use crate::lanewise::{LaneKernels, MAX_TAPS, Mix, Tap, TapSums};
use crate::wgrad::add_up;
use dyntta_simd::{Level, level, multiversion};
use rayon::prelude::*;
use std::ops::Range;

/// Most channels of a group, in or out.
const GROUP: usize = 4;
/// Most floats of input or output in one task.
const TASK_FLOATS: usize = 64 << 10;

/// Whether this is the better way.
pub(crate) fn suits(conv: &GroupedConv2d) -> bool {
    conv.groups > 1 && conv.group_in() <= GROUP && conv.group_out() <= GROUP
}

/// The channels each output channel reads: those of its group.
#[derive(Clone, Copy)]
struct Spread {
    /// Input channels.
    from: usize,
    /// Output channels.
    to: usize,
    /// Channels read by each: the planes.
    planes: usize,
    /// Output channels that share them.
    shared: usize,
}

impl Spread {
    fn forward(conv: &GroupedConv2d) -> Spread {
        Spread { from: conv.cin, to: conv.cout, planes: conv.group_in(), shared: conv.group_out() }
    }

    /// With the sides exchanged.
    fn backward(conv: &GroupedConv2d) -> Spread {
        Spread { from: conv.cout, to: conv.cin, planes: conv.group_out(), shared: conv.group_in() }
    }

    /// Every channel reads itself.
    fn in_place(&self) -> bool {
        self.planes == 1 && self.shared == 1
    }

    /// Floats of a pixel as it is read.
    fn pixel(&self) -> usize {
        self.planes * self.to
    }

    /// For each float of a spread pixel the channel it comes from.
    fn sources(&self) -> Vec<u32> {
        let source = |plane: usize, c: usize| (c / self.shared * self.planes + plane) as u32;
        (0..self.planes).flat_map(|p| (0..self.to).map(move |c| source(p, c))).collect()
    }
}

multiversion! {
    /// `to[p][i] = from[p][sources[i]]` for pixels of `channels`.
    fn spread_rows(from: &[f32], channels: usize, sources: &[u32], to: &mut [f32]) {
        for (to, from) in to.chunks_exact_mut(sources.len()).zip(from.chunks_exact(channels)) {
            for (t, s) in to.iter_mut().zip(sources) {
                *t = from[*s as usize];
            }
        }
    }
}

/// A pass's input and where its pixels are.
struct Input<'a> {
    level: Level,
    data: &'a [f32],
    h: usize,
    w: usize,
    spread: Spread,
    sources: Vec<u32>,
}

impl<'a> Input<'a> {
    fn new(data: &'a [f32], h: usize, w: usize, spread: Spread) -> Self {
        let sources = if spread.in_place() { Vec::new() } else { spread.sources() };
        Input { level: level(), data, h, w, spread, sources }
    }

    /// Floats of a row as it is read.
    fn row(&self) -> usize {
        self.w * self.spread.pixel()
    }

    /// Rows `rows` of image `n`, as they are read.
    fn rows<'b>(&'b self, n: usize, rows: Range<usize>, buffer: &'b mut Aligned) -> &'b [f32] {
        let row = self.w * self.spread.from;
        let data = &self.data[(n * self.h + rows.start) * row..(n * self.h + rows.end) * row];
        if self.spread.in_place() {
            return data;
        }
        let to = buffer.ensure(rows.len() * self.row());
        spread_rows(self.level, data, self.spread.from, &self.sources, to);
        to
    }

    /// Each tap of outputs that have `ys` and `xs`, where the first row to be read is `first`; weights of neighbouring
    /// planes are `w_step` apart.
    fn taps(
        &self,
        kw: usize,
        ys: &[(usize, usize)],
        xs: &[(usize, usize)],
        first: usize,
        w_step: usize,
        taps: &mut Vec<Tap>,
    ) {
        let Spread { planes, to, .. } = self.spread;
        taps.clear();
        for &(ky, iy) in ys {
            for &(kx, ix) in xs {
                let (x, w) = ((iy - first) * self.row() + ix * planes * to, (ky * kw + kx) * planes);
                taps.extend((0..planes).map(|p| Tap { x: x + p * to, w: (w + p) * w_step }));
            }
        }
    }

    /// Rows of one task, of `out_h` rows of `out_row` floats.
    fn task_rows(&self, n: usize, out_h: usize, out_row: usize) -> usize {
        (TASK_FLOATS / self.row().max(out_row)).min(n * out_h / TASKS).clamp(1, out_h)
    }
}

/// For each output its taps.
fn each_output(runs: &[Run], size: usize) -> Vec<Vec<(usize, usize)>> {
    let mut all = vec![Vec::new(); size];
    for run in runs {
        for j in 0..run.count {
            all[run.first + j * run.step] = run.taps.iter().map(|t| (t.0, t.1 + j * run.in_step)).collect();
        }
    }
    all
}

/// The inputs that taps name.
fn hull<'a>(taps: impl Iterator<Item = &'a (usize, usize)>) -> Range<usize> {
    taps.fold(
        0..0,
        |all, t| {
            if all.is_empty() { t.1..t.1 + 1 } else { all.start.min(t.1)..all.end.max(t.1 + 1) }
        },
    )
}

/// Weights in the order a pass reads them: for each tap and plane the output channels.
fn pack(conv: &GroupedConv2d, weight: &[f32], spread: Spread, forward: bool) -> Vec<f32> {
    let (taps, inputs) = (conv.kh * conv.kw, conv.group_in());
    let mut packed = Vec::with_capacity(weight.len());
    for t in 0..taps {
        for plane in 0..spread.planes {
            packed.extend((0..spread.to).map(|c| {
                let other = c / spread.shared * spread.planes + plane;
                let (co, ci) = if forward { (c, plane) } else { (other, c % inputs) };
                weight[(co * inputs + ci) * taps + t]
            }));
        }
    }
    packed
}

/// `y = conv(x, weight) + bias`.
pub(crate) fn forward(conv: &GroupedConv2d, x: &[f32], weight: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
    let spread = Spread::forward(conv);
    let (down, across) = conv.axes();
    let input = Input::new(x, conv.h, conv.w, spread);
    let (ys, xs) = (down.forward().runs(conv.h), across.forward().runs(conv.w));
    run(conv, &input, &ys, &xs, &pack(conv, weight, spread, true), bias, (down.out(), across.out()), y);
}

/// Gradient to the input.
pub(crate) fn backward_input(conv: &GroupedConv2d, g: &[f32], weight: &[f32], dx: &mut [f32]) {
    let spread = Spread::backward(conv);
    let (down, across) = conv.axes();
    let input = Input::new(g, down.out(), across.out(), spread);
    let runs = |axis: Axis| axis.backward().iter().flat_map(|p| p.runs(axis.out())).collect::<Vec<_>>();
    let weights = pack(conv, weight, spread, false);
    run(conv, &input, &runs(down), &runs(across), &weights, None, (conv.h, conv.w), dx);
}

/// Writes every output pixel, from the runs of rows and columns.
fn run(
    conv: &GroupedConv2d,
    input: &Input,
    ys: &[Run],
    xs: &[Run],
    weights: &[f32],
    bias: Option<&[f32]>,
    (out_h, out_w): (usize, usize),
    y: &mut [f32],
) {
    let (c, pixel) = (input.spread.to, input.spread.pixel());
    assert!(weights.len() == conv.kh * conv.kw * pixel && bias.is_none_or(|b| b.len() == c));
    let kernels = LaneKernels::of(input.level, c);
    let rows = each_output(ys, out_h);
    let task_rows = input.task_rows(conv.n, out_h, out_w * c);
    let task = |n: usize, first: usize, y: &mut [f32]| {
        let rows = &rows[first..first + y.len() / (out_w * c)];
        let read = hull(rows.iter().flatten());
        let mut taps = Vec::with_capacity(conv.kh * conv.kw * input.spread.planes);
        with_scratch(|s| {
            let x = input.rows(n, read.clone(), &mut s.band);
            for (row, y) in rows.iter().zip(y.chunks_exact_mut(out_w * c)) {
                for run in xs {
                    input.taps(conv.kw, row, &run.taps, read.start, c, &mut taps);
                    let (pixels, kernel) = kernels.mix(run.count);
                    let mut done = 0;
                    while done < run.count {
                        let i = done.min(run.count - pixels);
                        let at = (run.first + i * run.step) * c;
                        // SAFETY: the runs' taps are within the input's rows and columns, and `i + pixels` within the
                        // run, so within the output row, which is this task's; the weights hold `c` floats for each tap
                        // and plane. The kernel comes from the table of a level this processor has, and its vector is no
                        // longer than `c`.
                        unsafe {
                            kernel(&Mix {
                                x: x.as_ptr().wrapping_add(i * run.in_step * pixel),
                                x_step: run.in_step * pixel,
                                taps: taps.as_ptr(),
                                tap_count: taps.len(),
                                w: weights.as_ptr(),
                                bias: bias.map_or(std::ptr::null(), <[f32]>::as_ptr),
                                y: y[at..].as_mut_ptr(),
                                y_step: run.step * c,
                                channels: c,
                            });
                        }
                        done = i + pixels;
                    }
                }
            }
        });
    };
    y.par_chunks_exact_mut(out_h * out_w * c).enumerate().for_each(|(n, y)| {
        y.par_chunks_mut(task_rows * out_w * c).enumerate().for_each(|(i, y)| task(n, i * task_rows, y));
    });
}

/// Gradient to the weights: partial sums over fixed parts of the rows, added up in order.
pub(crate) fn backward_weight(conv: &GroupedConv2d, x: &[f32], g: &[f32], dw: &mut [f32]) {
    let spread = Spread::forward(conv);
    let (c, pixel, planes) = (spread.to, spread.pixel(), spread.planes);
    let (down, across) = conv.axes();
    let (oh, ow) = (down.out(), across.out());
    let input = Input::new(x, conv.h, conv.w, spread);
    let (ys, xs) = (down.forward().runs(conv.h), across.forward().runs(conv.w));
    let taps_of = each_output(&ys, oh);
    let kernels = LaneKernels::of(input.level, c);
    let lanes = kernels.lanes;
    // The first channel of each vector.
    let vectors: Vec<usize> = (0..c).step_by(lanes).map(|v| v.min(c - lanes)).collect();
    let taps_len = conv.kh * conv.kw * planes * lanes;
    let size = vectors.len() * taps_len;
    let task_rows = input.task_rows(conv.n, oh, ow * c);
    let per_image = oh.div_ceil(task_rows);
    let bands = conv.n * per_image;
    let parts = bands.min(TASKS);
    let add_band =
        |n: usize, y0: usize, y1: usize, taps: &mut Vec<Tap>, buffer: &mut Aligned, sums: &mut [f32]| {
            // (first output row, rows, taps of the first)
            let rows = ys.iter().filter_map(|run| {
                let (lo, hi) = (run.first.max(y0), (run.first + run.count).min(y1));
                let shift = lo.saturating_sub(run.first) * run.in_step;
                let taps: Vec<_> = run.taps.iter().map(|t| (t.0, t.1 + shift)).collect();
                (lo < hi).then_some((lo, hi - lo, taps))
            });
            let rows: Vec<_> = rows.collect();
            let read = hull(taps_of[y0..y1].iter().flatten());
            let x = input.rows(n, read.clone(), buffer);
            for (first, rows, row_taps) in &rows {
                for run in &xs {
                    input.taps(conv.kw, row_taps, &run.taps, read.start, lanes, taps);
                    let at = ((n * oh + first) * ow + run.first) * c;
                    for (v, sums) in vectors.iter().zip(sums.chunks_exact_mut(taps_len)) {
                        for taps in taps.chunks(MAX_TAPS) {
                            // SAFETY: the runs' taps are within the input's rows and columns, the outputs within the
                            // gradient, `v + lanes` within their channels; the sums hold a vector for each tap and plane. The
                            // kernel comes from the table of a level this processor has.
                            unsafe {
                                kernels.tap_sums(taps.len())(&TapSums {
                                    x: x.as_ptr().add(*v),
                                    x_row: down.stride * input.row(),
                                    x_step: run.in_step * pixel,
                                    taps: taps.as_ptr(),
                                    g: g.as_ptr().add(at + v),
                                    g_row: ow * c,
                                    g_step: c,
                                    rows: *rows,
                                    pixels: run.count,
                                    sums: sums.as_mut_ptr(),
                                });
                            }
                        }
                    }
                }
            }
        };
    with_sums(parts * size, |sums| {
        sums.par_chunks_exact_mut(size).enumerate().for_each(|(part, sums)| {
            sums.fill(0.0);
            let mut taps = Vec::with_capacity(conv.kh * conv.kw * planes);
            with_scratch(|s| {
                for band in part * bands / parts..(part + 1) * bands / parts {
                    let (n, y0) = (band / per_image, band % per_image * task_rows);
                    add_band(n, y0, (y0 + task_rows).min(oh), &mut taps, &mut s.band, sums);
                }
            });
        });
        let sums = add_up(sums, size);
        let all = conv.kh * conv.kw;
        for (v, sums) in vectors.iter().zip(sums.chunks_exact(taps_len)) {
            for (i, sums) in sums.chunks_exact(lanes).enumerate() {
                let (tap, plane) = (i / planes, i % planes);
                for (lane, s) in sums.iter().enumerate() {
                    dw[((v + lane) * planes + plane) * all + tap] = *s;
                }
            }
        }
    });
}
