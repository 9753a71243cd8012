//! The selective-kernel gate: two branches mixed by coarse per-channel maps, NHWC.

use dyntta_simd::{level, multiversion};
use rayon::prelude::*;
use std::ops::Range;

/// `out = a * map_a + b * map_b`, the maps (`mh` x `mw` per channel) enlarged to `h` x `w` by nearest neighbour.
///
/// Output row i takes map row `floor(i * (mh / h))`, the quotient and the product in single precision: PyTorch's
/// `interpolate(mode="nearest")`. That is `floor(i * mh / h)` wherever the rounding does not fall short of a whole number
/// (it does at h = 164, say). Likewise for columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Images.
    pub n: usize,
    /// Height of the branches.
    pub h: usize,
    /// Width of the branches.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// Height of the maps.
    pub mh: usize,
    /// Width of the maps.
    pub mw: usize,
}

/// The outputs each map index covers, in order: neighbours, some perhaps empty.
fn spans(map: usize, size: usize) -> Vec<Range<usize>> {
    let scale = map as f32 / size as f32;
    let of = |i: usize| ((i as f32 * scale) as usize).min(map - 1);
    let mut spans = Vec::with_capacity(map);
    let mut at = 0;
    for m in 0..map {
        let first = at;
        while at < size && of(at) == m {
            at += 1;
        }
        spans.push(first..at);
    }
    spans
}

impl Gate {
    /// Floats of a branch, and of the output.
    pub fn branch_len(&self) -> usize {
        self.n * self.h * self.w * self.c
    }

    /// Floats of a map.
    pub fn map_len(&self) -> usize {
        self.n * self.mh * self.mw * self.c
    }

    fn check(&self, branches: &[usize], maps: &[usize]) {
        assert!(
            branches.iter().all(|l| *l == self.branch_len()) && maps.iter().all(|l| *l == self.map_len()),
            "slices do not fit {self:?}"
        );
        assert!(self.map_len() > 0 || self.branch_len() == 0, "no map to gate with: {self:?}");
    }
}

multiversion! {
    fn mix_row(a: &[f32], b: &[f32], ma: &[f32], mb: &[f32], spans: &[Range<usize>], c: usize, y: &mut [f32]) {
        for (m, span) in spans.iter().enumerate() {
            let (ma, mb) = (&ma[m * c..(m + 1) * c], &mb[m * c..(m + 1) * c]);
            for x in span.clone() {
                let (a, b, y) = (&a[x * c..(x + 1) * c], &b[x * c..(x + 1) * c], &mut y[x * c..(x + 1) * c]);
                for i in 0..c {
                    y[i] = a[i] * ma[i] + b[i] * mb[i];
                }
            }
        }
    }
}

multiversion! {
    /// One row's gradients: to the branches, and added to the maps' row sums.
    fn mix_row_backward(
        g: &[f32],
        ab: [&[f32]; 2],
        maps: [&[f32]; 2],
        spans: &[Range<usize>],
        c: usize,
        dab: [&mut [f32]; 2],
        dmaps: [&mut [f32]; 2],
    ) {
        let [a, b] = ab;
        let [ma, mb] = maps;
        let [da, db] = dab;
        let [dma, dmb] = dmaps;
        let mut sums = vec![0.0f32; 2 * c];
        for (m, span) in spans.iter().enumerate() {
            let cell = m * c..(m + 1) * c;
            let (ma, mb) = (&ma[cell.clone()], &mb[cell.clone()]);
            sums.fill(0.0);
            let (sa, sb) = sums.split_at_mut(c);
            for x in span.clone() {
                let pixel = x * c..(x + 1) * c;
                let (g, a, b) = (&g[pixel.clone()], &a[pixel.clone()], &b[pixel.clone()]);
                let (da, db) = (&mut da[pixel.clone()], &mut db[pixel]);
                for i in 0..c {
                    da[i] = g[i] * ma[i];
                    db[i] = g[i] * mb[i];
                    sa[i] += g[i] * a[i];
                    sb[i] += g[i] * b[i];
                }
            }
            for (d, s) in dma[cell.clone()].iter_mut().zip(sa.iter()) {
                *d += s;
            }
            for (d, s) in dmb[cell].iter_mut().zip(sb.iter()) {
                *d += s;
            }
        }
    }
}

/// Mixes; see [`Gate`]. `a`, `b`, `y`: n x h x w x c; `map_a`, `map_b`: n x mh x mw x c.
///
/// # Panics
/// If a slice has the wrong length.
pub fn gate_forward(p: &Gate, a: &[f32], b: &[f32], map_a: &[f32], map_b: &[f32], y: &mut [f32]) {
    p.check(&[a.len(), b.len(), y.len()], &[map_a.len(), map_b.len()]);
    if y.is_empty() {
        return;
    }
    let (level, row, map_row) = (level(), p.w * p.c, p.mw * p.c);
    let columns = spans(p.mw, p.w);
    let map_of: Vec<usize> =
        spans(p.mh, p.h).into_iter().enumerate().flat_map(|(m, s)| s.map(move |_| m)).collect();
    y.par_chunks_exact_mut(row).enumerate().for_each(|(i, y)| {
        let line = i * row..(i + 1) * row;
        let m = (i / p.h * p.mh + map_of[i % p.h]) * map_row;
        let maps = m..m + map_row;
        mix_row(level, &a[line.clone()], &b[line], &map_a[maps.clone()], &map_b[maps], &columns, p.c, y);
    });
}

/// Gradients of [`gate_forward`] to both branches and both maps, all overwritten.
///
/// # Panics
/// If a slice has the wrong length.
pub fn gate_backward(
    p: &Gate,
    g: &[f32],
    a: &[f32],
    b: &[f32],
    map_a: &[f32],
    map_b: &[f32],
    da: &mut [f32],
    db: &mut [f32],
    dmap_a: &mut [f32],
    dmap_b: &mut [f32],
) {
    p.check(
        &[g.len(), a.len(), b.len(), da.len(), db.len()],
        &[map_a.len(), map_b.len(), dmap_a.len(), dmap_b.len()],
    );
    dmap_a.fill(0.0);
    dmap_b.fill(0.0);
    if g.is_empty() {
        return;
    }
    let (level, row, map_row) = (level(), p.w * p.c, p.mw * p.c);
    let (columns, rows) = (spans(p.mw, p.w), spans(p.mh, p.h));
    // One task per map row of each image: the image rows it covers, in order.
    let mut tasks = Vec::with_capacity(p.n * p.mh);
    let (mut rest_a, mut rest_b) = (da, db);
    let maps = dmap_a.chunks_exact_mut(map_row).zip(dmap_b.chunks_exact_mut(map_row));
    for (i, dmaps) in maps.enumerate() {
        let (n, span) = (i / p.mh, &rows[i % p.mh]);
        let (head_a, tail_a) = rest_a.split_at_mut(span.len() * row);
        let (head_b, tail_b) = rest_b.split_at_mut(span.len() * row);
        tasks.push((i, n * p.h + span.start, head_a, head_b, dmaps));
        (rest_a, rest_b) = (tail_a, tail_b);
    }
    tasks.into_par_iter().for_each(|(i, first, da, db, (dma, dmb))| {
        let maps = i * map_row..(i + 1) * map_row;
        let lines = da.chunks_exact_mut(row).zip(db.chunks_exact_mut(row));
        for (y, (da, db)) in lines.enumerate() {
            let line = (first + y) * row..(first + y + 1) * row;
            mix_row_backward(
                level,
                &g[line.clone()],
                [&a[line.clone()], &b[line]],
                [&map_a[maps.clone()], &map_b[maps.clone()]],
                &columns,
                p.c,
                [da, db],
                [&mut *dma, &mut *dmb],
            );
        }
    });
}
