//! Weights in the order the micro-kernels read them: panels.
//!
//! A panel holds one block of output columns (two vectors wide, or one at the end), for each kernel tap and each
//! reduced channel one row of as many floats; columns beyond the last are zero.

use crate::buffer::Aligned;
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

/// How a weight tensor is indexed: `w[col * col_stride + red * red_stride + taps[t]]`.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Channels summed over.
    pub red: usize,
    pub red_stride: usize,
    /// Output columns.
    pub cols: usize,
    pub col_stride: usize,
    /// Offset of each tap used, in panel order.
    pub taps: Vec<usize>,
}

impl View {
    /// Rows of a panel.
    pub fn k(&self) -> usize {
        self.taps.len() * self.red
    }
}

/// Packed weights: row `t * red + r` of each panel is tap `t`, channel `r`.
#[derive(Clone)]
pub(crate) struct Panels {
    pub data: Aligned,
    pub blocks: Vec<Block>,
    pub k: usize,
}

/// Channels handled at a time, so that the rows written stay in the nearest cache.
const RED_BLOCK: usize = 16;

/// Packs `w`.
pub(crate) fn pack(lanes: usize, w: &[f32], view: &View) -> Panels {
    let k = view.k();
    let blocks = blocks(lanes, view.cols, k);
    let mut data = Aligned::zeros(panel_len(&blocks, k));
    let mut parts = Vec::with_capacity(blocks.len());
    let mut rest = data.as_mut_slice();
    for b in &blocks {
        let (head, tail) = rest.split_at_mut(k * b.width);
        parts.push((*b, head));
        rest = tail;
    }
    let one = |(b, panel): (Block, &mut [f32])| {
        for r0 in (0..view.red).step_by(RED_BLOCK) {
            for c in 0..b.cols {
                for r in r0..(r0 + RED_BLOCK).min(view.red) {
                    let from = &w[(b.col + c) * view.col_stride + r * view.red_stride..];
                    let mut at = r * b.width + c;
                    for &tap in &view.taps {
                        panel[at] = from[tap];
                        at += view.red * b.width;
                    }
                }
            }
        }
    };
    if k * view.cols > 16384 {
        parts.into_par_iter().for_each(one);
    } else {
        parts.into_iter().for_each(one);
    }
    Panels { data, blocks, k }
}

/// The reverse of [`pack`]: writes every weight `view` names, and no other.
pub(crate) fn unpack(panels: &[f32], blocks: &[Block], view: &View, w: &mut [f32]) {
    for b in blocks {
        let panel = &panels[b.start..b.start + view.k() * b.width];
        for r0 in (0..view.red).step_by(RED_BLOCK) {
            for c in 0..b.cols {
                for r in r0..(r0 + RED_BLOCK).min(view.red) {
                    let to = &mut w[(b.col + c) * view.col_stride + r * view.red_stride..];
                    let mut at = r * b.width + c;
                    for &tap in &view.taps {
                        to[tap] = panel[at];
                        at += view.red * b.width;
                    }
                }
            }
        }
    }
}
