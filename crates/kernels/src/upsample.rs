//! Bilinear resizing with aligned corners, NHWC.

use dyntta_simd::{level, multiversion};
use rayon::prelude::*;

/// Bilinear resizing to any size, PyTorch's `align_corners=True`: output i samples the input at `i * (h - 1) / (oh - 1)`, or at
/// 0 where `oh` is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upsample {
    /// Images.
    pub n: usize,
    /// Input height, at least 1.
    pub h: usize,
    /// Input width, at least 1.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// Output height.
    pub oh: usize,
    /// Output width.
    pub ow: usize,
}

/// The two inputs an output mixes, and the second's share.
#[derive(Clone, Copy)]
struct Mix {
    a: usize,
    b: usize,
    share: f32,
}

/// Positions in single precision, as PyTorch has them.
fn mixes(size: usize, out: usize) -> Vec<Mix> {
    let scale = if out > 1 { (size - 1) as f32 / (out - 1) as f32 } else { 0.0 };
    (0..out)
        .map(|o| {
            let at = scale * o as f32;
            let a = (at as usize).min(size - 1);
            Mix { a, b: (a + 1).min(size - 1), share: (at - a as f32).clamp(0.0, 1.0) }
        })
        .collect()
}

impl Upsample {
    /// Floats of the input.
    pub fn input_len(&self) -> usize {
        self.n * self.h * self.w * self.c
    }

    /// Floats of the output.
    pub fn output_len(&self) -> usize {
        self.n * self.oh * self.ow * self.c
    }

    fn check(&self, x: usize, y: usize) {
        assert!(x == self.input_len() && y == self.output_len(), "slices do not fit {self:?}");
        assert!(self.h > 0 && self.w > 0 || y == 0, "nothing to sample: {self:?}");
    }
}

multiversion! {
    fn row_forward(top: &[f32], bottom: &[f32], share: f32, columns: &[Mix], c: usize, y: &mut [f32]) {
        for (m, y) in columns.iter().zip(y.chunks_exact_mut(c)) {
            let (a0, a1) = (&top[m.a * c..(m.a + 1) * c], &top[m.b * c..(m.b + 1) * c]);
            let (b0, b1) = (&bottom[m.a * c..(m.a + 1) * c], &bottom[m.b * c..(m.b + 1) * c]);
            let (h0, h1, w0, w1) = (1.0 - share, share, 1.0 - m.share, m.share);
            for i in 0..c {
                y[i] = h0 * (w0 * a0[i] + w1 * a1[i]) + h1 * (w0 * b0[i] + w1 * b1[i]);
            }
        }
    }
}

multiversion! {
    fn row_backward(g: &[f32], factor: f32, columns: &[Mix], c: usize, dx: &mut [f32]) {
        for (m, g) in columns.iter().zip(g.chunks_exact(c)) {
            for (at, f) in [(m.a, factor * (1.0 - m.share)), (m.b, factor * m.share)] {
                for (d, g) in dx[at * c..(at + 1) * c].iter_mut().zip(g) {
                    *d += f * g;
                }
            }
        }
    }
}

/// Resizes; see [`Upsample`]. `x`: n x h x w x c; `y`: n x oh x ow x c.
///
/// # Panics
/// If a slice has the wrong length, or there are outputs but no inputs.
pub fn upsample_forward(p: &Upsample, x: &[f32], y: &mut [f32]) {
    p.check(x.len(), y.len());
    if y.is_empty() {
        return;
    }
    let (level, rows, columns, row) = (level(), mixes(p.h, p.oh), mixes(p.w, p.ow), p.w * p.c);
    y.par_chunks_exact_mut(p.ow * p.c).enumerate().for_each(|(i, y)| {
        let (base, m) = (i / p.oh * p.h, rows[i % p.oh]);
        let line = |r: usize| &x[(base + r) * row..(base + r + 1) * row];
        row_forward(level, line(m.a), line(m.b), m.share, &columns, p.c, y);
    });
}

/// Gradient of [`upsample_forward`]. `g`: n x oh x ow x c; `dx`: n x h x w x c, overwritten.
///
/// # Panics
/// If a slice has the wrong length.
pub fn upsample_backward(p: &Upsample, g: &[f32], dx: &mut [f32]) {
    p.check(dx.len(), g.len());
    if g.is_empty() {
        dx.fill(0.0);
        return;
    }
    let (level, rows, columns, row) = (level(), mixes(p.h, p.oh), mixes(p.w, p.ow), p.ow * p.c);
    dx.par_chunks_exact_mut(p.w * p.c).enumerate().for_each(|(i, dx)| {
        dx.fill(0.0);
        let (base, iy) = (i / p.h * p.oh, i % p.h);
        // Rows are sampled in order, so those that read `iy` lie together.
        let first = rows.partition_point(|m| m.b < iy);
        for (oy, m) in rows.iter().enumerate().skip(first).take_while(|(_, m)| m.a <= iy) {
            let mut factor = 0.0;
            if m.a == iy {
                factor += 1.0 - m.share;
            }
            if m.b == iy {
                factor += m.share;
            }
            let g = &g[(base + oy) * row..(base + oy + 1) * row];
            row_backward(level, g, factor, &columns, p.c, dx);
        }
    });
}
