//! Weights in the order the micro-kernels read them: panels.
//!
//! A panel holds one block of output columns (two vectors wide, or one at the end), for each kernel tap and each
//! reduced channel one row of as many floats; columns beyond the last are zero.

use crate::buffer::Aligned;
use crate::micro::Kernels;
use crate::transpose::transpose;
use rayon::prelude::*;

/// A block of output columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    /// First column.
    pub col: usize,
    /// Columns in use.
    pub cols: usize,
    /// Vectors per row: 1 or 2.
    pub nv: usize,
    /// Floats per row.
    pub width: usize,
    /// Where the panel starts, in floats.
    pub start: usize,
}

/// Cuts `cols` columns into blocks, for panels of `k` rows.
pub(crate) fn blocks(lanes: usize, cols: usize, k: usize) -> Vec<Block> {
    let mut out = Vec::new();
    let (mut col, mut start) = (0, 0);
    while col < cols {
        let left = cols - col;
        let nv = if left > lanes { 2 } else { 1 };
        let width = nv * lanes;
        out.push(Block { col, cols: left.min(width), nv, width, start });
        col += left.min(width);
        start += k * width;
    }
    out
}

/// Total floats of panels of `k` rows.
pub(crate) fn panel_len(blocks: &[Block], k: usize) -> usize {
    blocks.last().map_or(0, |b| b.start + k * b.width)
}

/// Which axis of the weights is the summed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sum {
    /// Input channels, for the forward pass.
    Inputs,
    /// Output channels, for the gradient to the input.
    Outputs,
}

/// OIHW weights as a pass reads them.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Outer axis of the tensor.
    pub cout: usize,
    /// Inner axis.
    pub cin: usize,
    /// Taps of the tensor, `kh * kw`.
    pub all_taps: usize,
    pub sum: Sum,
    /// Index of each tap the pass uses, in the order of the panel.
    pub taps: Vec<usize>,
}

impl View {
    /// Channels summed over.
    pub fn red(&self) -> usize {
        if self.sum == Sum::Inputs { self.cin } else { self.cout }
    }

    /// Output columns.
    pub fn cols(&self) -> usize {
        if self.sum == Sum::Inputs { self.cout } else { self.cin }
    }

    /// Rows of a panel.
    pub fn k(&self) -> usize {
        self.taps.len() * self.red()
    }

    /// For each tap of the tensor its place in the panel.
    fn places(&self) -> Vec<Option<usize>> {
        let mut places = vec![None; self.all_taps];
        for (i, &tap) in self.taps.iter().enumerate() {
            places[tap] = Some(i);
        }
        places
    }

    /// The weight of a panel's (tap, summed channel, column).
    pub fn at(&self, tap: usize, red: usize, col: usize) -> usize {
        let (co, ci) = if self.sum == Sum::Inputs { (col, red) } else { (red, col) };
        (co * self.cin + ci) * self.all_taps + self.taps[tap]
    }
}

/// Packed weights: row `t * red + r` of each panel is tap `t`, channel `r`.
#[derive(Clone)]
pub(crate) struct Panels {
    pub data: Aligned,
    pub blocks: Vec<Block>,
    pub k: usize,
    /// Weights for the planar kernel, where the columns are few: see [`pack_planar`].
    pub planar: Vec<f32>,
}

/// Side of the square that goes through the nearest cache.
const SIDE: usize = 32;

/// Packs `w`.
pub(crate) fn pack(kernels: &Kernels, w: &[f32], view: &View) -> Panels {
    let k = view.k();
    let blocks = blocks(kernels.lanes, view.cols(), k);
    let mut data = Aligned::zeros(panel_len(&blocks, k));
    let mut parts = Vec::with_capacity(blocks.len());
    let mut rest = data.as_mut_slice();
    for b in &blocks {
        let (head, tail) = rest.split_at_mut(k * b.width);
        parts.push((*b, head));
        rest = tail;
    }
    let places = view.places();
    let one = |(b, panel): (Block, &mut [f32])| match view.sum {
        Sum::Inputs => pack_rows(kernels, w, view, &places, &b, panel),
        Sum::Outputs => pack_columns(kernels, w, view, &b, panel),
    };
    if k == 0 {
        // No tap is used.
    } else if k * view.cols() > 16384 {
        parts.into_par_iter().for_each(one);
    } else {
        parts.into_iter().for_each(one);
    }
    let planar = if 2 * view.cols() <= kernels.lanes.max(6) && view.taps.len() > 1 {
        pack_planar(kernels, w, view)
    } else {
        Vec::new()
    };
    Panels { data, blocks, k, planar }
}

/// A column's weights, channels and taps together, are contiguous: transpose, and put each row where it belongs.
fn pack_rows(
    kernels: &Kernels,
    w: &[f32],
    view: &View,
    places: &[Option<usize>],
    b: &Block,
    panel: &mut [f32],
) {
    let run = view.cin * view.all_taps;
    let mut square = [0.0f32; SIDE * SIDE];
    for i0 in (0..run).step_by(SIDE) {
        let n = SIDE.min(run - i0);
        transpose(kernels, &w[b.col * run + i0..], run, &mut square, SIDE, b.cols, n);
        let (mut r, mut tap) = (i0 / view.all_taps, i0 % view.all_taps);
        for row in square.chunks_exact(SIDE).take(n) {
            if let Some(t) = places[tap] {
                let at = (t * view.cin + r) * b.width;
                panel[at..at + b.cols].copy_from_slice(&row[..b.cols]);
            }
            tap += 1;
            if tap == view.all_taps {
                (r, tap) = (r + 1, 0);
            }
        }
    }
}

/// For each summed channel, columns and taps together are contiguous: transpose from columns x taps to taps x columns.
fn pack_columns(kernels: &Kernels, w: &[f32], view: &View, b: &Block, panel: &mut [f32]) {
    let all = view.all_taps;
    // A tile reads a vector's length at a time: beyond the last taps of a column there is the next column.
    let padded = all.next_multiple_of(kernels.lanes);
    let mut square = vec![0.0f32; padded * SIDE];
    for r in 0..view.cout {
        let from = &w[(r * view.cin + b.col) * all..];
        if all == 1 {
            panel[r * b.width..r * b.width + b.cols].copy_from_slice(&from[..b.cols]);
            continue;
        }
        let readable = from.len() >= (b.cols - 1) * all + padded;
        let taps = if readable { padded } else { all };
        transpose(kernels, from, all, &mut square, SIDE, b.cols, taps);
        for (t, &tap) in view.taps.iter().enumerate() {
            let at = (t * view.cout + r) * b.width;
            panel[at..at + b.cols].copy_from_slice(&square[tap * SIDE..tap * SIDE + b.cols]);
        }
    }
}

/// Runs of columns the planar kernel does at a time.
pub(crate) fn planar_runs(kernels: &Kernels, cols: usize) -> Vec<(usize, usize)> {
    let count = cols.div_ceil(kernels.wide_rows());
    (0..count).map(|i| (i * cols / count, (i + 1) * cols / count)).collect()
}

/// For each run of columns, each summed channel and each tap: the run's weights.
fn pack_planar(kernels: &Kernels, w: &[f32], view: &View) -> Vec<f32> {
    let mut out = Vec::with_capacity(view.k() * view.cols());
    for (c0, c1) in planar_runs(kernels, view.cols()) {
        for r in 0..view.red() {
            for t in 0..view.taps.len() {
                out.extend((c0..c1).map(|c| w[view.at(t, r, c)]));
            }
        }
    }
    out
}

/// The reverse of [`pack`] for a forward view; taps it does not name become zero.
pub(crate) fn unpack(kernels: &Kernels, panels: &[f32], blocks: &[Block], view: &View, w: &mut [f32]) {
    assert_eq!(view.sum, Sum::Inputs);
    let (places, run) = (view.places(), view.cin * view.all_taps);
    if run == 0 {
        return;
    }
    let widest = 2 * kernels.lanes;
    w.par_chunks_mut(widest * run).zip(blocks.par_iter()).for_each(|(w, b)| {
        let mut square = [0.0f32; SIDE * SIDE];
        for i0 in (0..run).step_by(SIDE) {
            let n = SIDE.min(run - i0);
            let (mut r, mut tap) = (i0 / view.all_taps, i0 % view.all_taps);
            for row in square.chunks_exact_mut(SIDE).take(n) {
                match places[tap] {
                    Some(t) => {
                        let at = b.start + (t * view.cin + r) * b.width;
                        row[..b.width].copy_from_slice(&panels[at..at + b.width]);
                    }
                    None => row[..b.width].fill(0.0),
                }
                tap += 1;
                if tap == view.all_taps {
                    (r, tap) = (r + 1, 0);
                }
            }
            transpose(kernels, &square, SIDE, &mut w[i0..], run, n, b.cols);
        }
    });
}
