//! The gather for few output channels.
//!
//! Three output channels fill three lanes of sixteen. Here the vector runs along the pixels instead: the input band is
//! turned into planes, each row of a plane following the one above, and every output pixel of the band is then the same
//! sum at another offset. Columns between the images' rows are computed too and thrown away.

use crate::band::{Band, Geometry};
use crate::buffer::{Shared, with_scratch};
use crate::micro::{Kernels, MAX_COLS, Planar};
use crate::pack::{Panels, planar_runs};
use crate::transpose::transpose;
use rayon::prelude::*;

/// Whether this is the better way.
pub(crate) fn suits(g: &Geometry, w: &Panels) -> bool {
    !w.planar.is_empty() && g.stride == 1 && 4 * g.ow >= 3 * g.band_w()
}

/// The pass whose padded input serves all of `passes`, which read one input with stride 1 and differ in kernel, padding and
/// output pixels.
fn common(passes: &[(Geometry, &Panels)]) -> Geometry {
    let mut all = passes[0].0.clone();
    // Where the kernels end, seen from the output pixel.
    let (mut end_y, mut end_x) = (all.kh as isize - all.pad_y, all.kw as isize - all.pad_x);
    for (g, _) in &passes[1..] {
        all.pad_y = all.pad_y.max(g.pad_y);
        all.pad_x = all.pad_x.max(g.pad_x);
        end_y = end_y.max(g.kh as isize - g.pad_y);
        end_x = end_x.max(g.kw as isize - g.pad_x);
        all.oh = all.oh.max(g.oh);
        all.ow = all.ow.max(g.ow);
    }
    all.kh = (end_y + all.pad_y) as usize;
    all.kw = (end_x + all.pad_x) as usize;
    all
}

/// Fills every output pixel of each pass from `x` and its packed weights; other pixels of `y` are left alone. The passes
/// share the input and the output channels.
pub(crate) fn run(
    kernels: &'static Kernels,
    passes: &[(Geometry, &Panels)],
    x: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    if passes.is_empty() {
        return;
    }
    let all = common(passes);
    let oc = all.oc;
    assert_eq!(x.len(), all.n * all.ih * all.iw * all.ic);
    assert_eq!(y.len(), all.n * all.out_h * all.out_w * oc);
    assert!(passes.iter().all(|(g, w)| {
        w.planar.len() == g.kh * g.kw * all.ic * oc && (g.ic, g.oc, g.stride) == (all.ic, oc, 1)
    }));
    let bias = bias.unwrap_or(&[0.0; MAX_COLS][..oc]);
    let runs = planar_runs(kernels, oc);
    let widest = runs.clone().map(|r| kernels.planar(r.1 - r.0).0).max().unwrap_or(1) * kernels.lanes;
    let y = Shared::new(y);
    let task = |band: Band| {
        let images = band.n1 - band.n0;
        let (bh, bw) = (all.band_h(band.y1 - band.y0), all.band_w());
        // What the last tile reads beyond is whatever the buffer holds. An odd number of cache lines keeps the planes
        // out of each other's cache sets.
        let most = (images * bh * bw).next_multiple_of(widest) + widest;
        let plane = ((most + all.kh * bw + all.kw).div_ceil(16) | 1) * 16;
        with_scratch(|s| {
            let planes = s.band.ensure(all.ic * plane);
            fill(kernels, &all, x, band, planes, plane);
            let sums = s.extra.ensure(oc * most);
            for (g, w) in passes {
                let rows = band.y1.min(g.oh).saturating_sub(band.y0);
                if rows == 0 {
                    continue;
                }
                // Sums from the first output of the band to its last.
                let count = ((images - 1) * bh + rows - 1) * bw + g.ow;
                let first = (all.pad_y - g.pad_y) as usize * bw + (all.pad_x - g.pad_x) as usize;
                let mut weights = 0;
                for (c0, c1) in runs.clone() {
                    let (nv, kernel) = kernels.planar(c1 - c0);
                    for q in (0..count).step_by(nv * kernels.lanes) {
                        // SAFETY: the planes reach a whole tile beyond the last sum, with the extent of all kernels after
                        // it; the sums hold a plane that long for each channel; the weights hold `ic * kh * kw` entries
                        // for each run. The kernel comes from the table of a level this processor has.
                        unsafe {
                            kernel(&Planar {
                                x: planes.as_ptr().add(first + q),
                                planes: g.ic,
                                x_plane: plane,
                                kh: g.kh,
                                x_row: bw,
                                kw: g.kw,
                                w: w.planar[weights..].as_ptr(),
                                bias: bias[c0..].as_ptr(),
                                y: sums.as_mut_ptr().add(c0 * most + q),
                                y_ld: most,
                            });
                        }
                    }
                    weights += (c1 - c0) * g.ic * g.kh * g.kw;
                }
                for n in 0..images {
                    for oy in 0..rows {
                        let step = g.out_step * oc;
                        // SAFETY: one output row of one pass, which no other task writes; passes interleave, but this
                        // task does one after the other.
                        let row = unsafe {
                            let at = g.out_at(band.n0 + n, band.y0 + oy, 0);
                            std::slice::from_raw_parts_mut(y.get().add(at), (g.ow - 1) * step + oc)
                        };
                        transpose(kernels, &sums[(n * bh + oy) * bw..], most, row, step, oc, g.ow);
                    }
                }
            }
        });
    };
    let bands = all.bands();
    (0..bands.len()).into_par_iter().for_each(|i| task(bands.get(i)));
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
