//! Copies between NCHW and NHWC.

use crate::simd::{level, multiversion};
use rayon::prelude::*;

/// Tile side: 16 floats are a cache line on both sides.
const TILE: usize = 16;
/// Rows of the source one task takes.
const ROWS: usize = 256;

multiversion! {
    /// Rows `r0..r0 + to.len() / cols` of the `rows` x `cols` matrix, where `from` is its transpose.
    fn transpose_rows(from: &[f32], to: &mut [f32], rows: usize, cols: usize, r0: usize) {
        let count = to.len() / cols;
        let full_r = count / TILE * TILE;
        let full_c = cols / TILE * TILE;
        for r in (0..full_r).step_by(TILE) {
            for c in (0..full_c).step_by(TILE) {
                let mut tile = [[0.0f32; TILE]; TILE];
                for (j, line) in tile.iter_mut().enumerate() {
                    let at = (c + j) * rows + r0 + r;
                    line.copy_from_slice(&from[at..at + TILE]);
                }
                for i in 0..TILE {
                    let at = (r + i) * cols + c;
                    let out = &mut to[at..at + TILE];
                    for (j, line) in tile.iter().enumerate() {
                        out[j] = line[i];
                    }
                }
            }
            for c in full_c..cols {
                let line = &from[c * rows + r0 + r..][..TILE];
                for (i, v) in line.iter().enumerate() {
                    to[(r + i) * cols + c] = *v;
                }
            }
        }
        for r in full_r..count {
            for c in 0..cols {
                to[r * cols + c] = from[c * rows + r0 + r];
            }
        }
    }
}

/// `to[i][r][c] = from[i][c][r]` for `n` matrices.
fn transpose(from: &[f32], to: &mut [f32], n: usize, rows: usize, cols: usize) {
    assert_eq!(from.len(), n * rows * cols, "source does not fit the shape");
    assert_eq!(to.len(), n * rows * cols, "destination does not fit the shape");
    if to.is_empty() {
        return;
    }
    let level = level();
    to.par_chunks_exact_mut(rows * cols).zip(from.par_chunks_exact(rows * cols)).for_each(|(to, from)| {
        to.par_chunks_mut(ROWS * cols).enumerate().for_each(|(i, to)| {
            transpose_rows(level, from, to, rows, cols, i * ROWS);
        });
    });
}

/// Copies `n` images of `c` planes of `h` x `w` from planes to interleaved channels.
///
/// # Panics
/// If a slice is not `n * c * h * w` long.
pub fn nchw_to_nhwc(from: &[f32], n: usize, c: usize, h: usize, w: usize, to: &mut [f32]) {
    transpose(from, to, n, h * w, c);
}

/// Copies `n` images of `c` channels of `h` x `w` from interleaved channels to planes.
///
/// # Panics
/// If a slice is not `n * c * h * w` long.
pub fn nhwc_to_nchw(from: &[f32], n: usize, c: usize, h: usize, w: usize, to: &mut [f32]) {
    transpose(from, to, n, c, h * w);
}
