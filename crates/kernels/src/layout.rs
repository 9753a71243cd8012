//! Copies between NCHW and NHWC.

use crate::micro::Kernels;
use dyntta_simd::level;
use rayon::prelude::*;

/// Rows of the result one task writes.
const ROWS: usize = 64;

/// `to[i][c][r] = from[i][r][c]` for `n` matrices of `rows` x `cols`.
fn transpose(from: &[f32], to: &mut [f32], n: usize, rows: usize, cols: usize) {
    assert_eq!(from.len(), n * rows * cols, "source does not fit the shape");
    assert_eq!(to.len(), n * rows * cols, "destination does not fit the shape");
    if to.is_empty() {
        return;
    }
    let kernels = Kernels::of(level());
    let step = ROWS.max(4096 / rows);
    to.par_chunks_exact_mut(rows * cols).zip(from.par_chunks_exact(rows * cols)).for_each(|(to, from)| {
        to.par_chunks_mut(step * rows).enumerate().for_each(|(i, to)| {
            let count = to.len() / rows;
            crate::transpose::transpose(kernels, &from[i * step..], cols, to, rows, rows, count);
        });
    });
}

/// Copies `n` images of `c` planes of `h` x `w` from planes to interleaved channels.
///
/// # Panics
/// If a slice is not `n * c * h * w` long.
pub fn nchw_to_nhwc(from: &[f32], n: usize, c: usize, h: usize, w: usize, to: &mut [f32]) {
    transpose(from, to, n, c, h * w);
}

/// Copies `n` images of `c` channels of `h` x `w` from interleaved channels to planes.
///
/// # Panics
/// If a slice is not `n * c * h * w` long.
pub fn nhwc_to_nchw(from: &[f32], n: usize, c: usize, h: usize, w: usize, to: &mut [f32]) {
    transpose(from, to, n, h * w, c);
}
