//! The gather for few output channels.
//!
//! Three output channels fill three lanes of sixteen. Here the vector runs along the pixels instead: the input band is
//! turned into planes, each row of a plane following the one above, and every output pixel of the band is then the same
//! sum at another offset. Columns between the images' rows are computed too and thrown away.

use crate::band::{Band, Geometry};
use crate::buffer::{Shared, with_scratch};
use crate::micro::{Kernels, Planar};
use crate::pack::{Panels, planar_runs};
use crate::transpose::transpose;
use rayon::prelude::*;

/// Whether this is the better way.
pub(crate) fn suits(g: &Geometry, w: &Panels) -> bool {
    !w.planar.is_empty() && g.stride == 1 && 4 * g.ow >= 3 * g.band_w()
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
    let zeros = vec![0.0; g.oc];
    let bias = bias.unwrap_or(&zeros);
    let runs = planar_runs(kernels, g.oc);
    let widest = runs.iter().map(|r| kernels.planar(r.1 - r.0).0).max().unwrap_or(1) * kernels.lanes;
    let y = Shared::new(y);
    let task = |band: Band| {
        let (rows, images) = (band.y1 - band.y0, band.n1 - band.n0);
        let (bh, bw) = (g.band_h(rows), g.band_w());
        // Sums from the first output of the band to its last.
        let count = (images * bh - g.kh) * bw + g.ow;
        // What the last tile reads beyond is whatever the buffer holds. An odd number of cache lines keeps the planes
        // out of each other's cache sets.
        let reach = count.next_multiple_of(widest) + widest + (g.kh - 1) * bw + g.kw;
        let plane = (reach.div_ceil(16) | 1) * 16;
        let out_plane = count.next_multiple_of(widest) + widest;
        with_scratch(|s| {
            let planes = s.band.ensure(g.ic * plane);
            fill(kernels, g, x, band, planes, plane);
            let sums = s.extra.ensure(g.oc * out_plane);
            let mut weights = 0;
            for &(c0, c1) in &runs {
                let (nv, kernel) = kernels.planar(c1 - c0);
                for q in (0..count).step_by(nv * kernels.lanes) {
                    // SAFETY: the planes reach a whole tile beyond the last sum, with the kernel's extent after it; the
                    // sums hold a plane that long for each channel; the weights hold `ic * kh * kw` entries for each run.
                    // The kernel comes from the table of a level this processor has.
                    unsafe {
                        kernel(&Planar {
                            x: planes.as_ptr().add(q),
                            planes: g.ic,
                            x_plane: plane,
                            kh: g.kh,
                            x_row: bw,
                            kw: g.kw,
                            w: w.planar[weights..].as_ptr(),
                            bias: bias[c0..].as_ptr(),
                            y: sums.as_mut_ptr().add(c0 * out_plane + q),
                            y_ld: out_plane,
                        });
                    }
                }
                weights += (c1 - c0) * g.ic * g.kh * g.kw;
            }
            for n in 0..images {
                for oy in 0..rows {
                    let step = g.out_step * g.oc;
                    // SAFETY: one output row, which belongs to this task alone.
                    let row = unsafe {
                        let at = g.out_at(band.n0 + n, band.y0 + oy, 0);
                        std::slice::from_raw_parts_mut(y.get().add(at), (g.ow - 1) * step + g.oc)
                    };
                    let from = &sums[(n * bh + oy) * bw..];
                    transpose(kernels, from, out_plane, row, step, g.oc, g.ow);
                }
            }
        });
    };
    g.bands().into_par_iter().for_each(task);
}

/// Turns a band of the input, zeros around it, into planes.
fn fill(kernels: &Kernels, g: &Geometry, x: &[f32], band: Band, planes: &mut [f32], plane: usize) {
    let (bh, bw) = (g.band_h(band.y1 - band.y0), g.band_w());
    let (lo, hi, first) = g.inside_columns();
    for n in band.n0..band.n1 {
        for by in 0..bh {
            let at = ((n - band.n0) * bh + by) * bw;
            let iy = (band.y0 + by) as isize - g.pad_y;
            let inside = iy >= 0 && iy < g.ih as isize && lo < hi;
            let (lo, hi) = if inside { (lo, hi) } else { (bw, bw) };
            for row in planes.chunks_exact_mut(plane) {
                row[at..at + lo].fill(0.0);
                row[at + hi..at + bw].fill(0.0);
            }
            if inside {
                let from = ((n * g.ih + iy as usize) * g.iw + first) * g.ic;
                transpose(kernels, &x[from..], g.ic, &mut planes[at + lo..], plane, hi - lo, g.ic);
            }
        }
    }
}
