//! Matrix transposition, tile by tile in registers.

use crate::micro::Kernels;

/// `to[c][r] = from[r][c]` for `rows` x `cols`, rows `from_ld` and `to_ld` floats apart.
///
/// # Panics
/// If a slice is too short.
pub(crate) fn transpose(
    kernels: &Kernels,
    from: &[f32],
    from_ld: usize,
    to: &mut [f32],
    to_ld: usize,
    rows: usize,
    cols: usize,
) {
    if rows == 0 || cols == 0 {
        return;
    }
    assert!(from.len() >= (rows - 1) * from_ld + cols && to.len() >= (cols - 1) * to_ld + rows);
    let t = kernels.lanes;
    let (full_r, full_c) = (rows / t * t, cols / t * t);
    for r in (0..full_r).step_by(t) {
        for c in (0..full_c).step_by(t) {
            // SAFETY: the tile is within both matrices, whose lengths are checked above; the kernel is of a level this
            // processor has.
            unsafe {
                let from = from.as_ptr().add(r * from_ld + c);
                (kernels.transpose)(from, from_ld, to.as_mut_ptr().add(c * to_ld + r), to_ld);
            }
        }
        for c in full_c..cols {
            for i in r..r + t {
                to[c * to_ld + i] = from[i * from_ld + c];
            }
        }
    }
    for r in full_r..rows {
        for c in 0..cols {
            to[c * to_ld + r] = from[r * from_ld + c];
        }
    }
}
