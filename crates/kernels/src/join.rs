//! Two maps side by side, channel behind channel; the second may be a little smaller, zeros below and to the right of it.

use dyntta_simd::{level, multiversion};
use rayon::prelude::*;

/// Maps of `h` x `w` x `c`, and others of `oh` x `ow` x `oc`, no larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Join {
    /// Images.
    pub n: usize,
    /// Height of the first and of the result.
    pub h: usize,
    /// Width of the first and of the result.
    pub w: usize,
    /// Channels of the first.
    pub c: usize,
    /// Height of the second.
    pub oh: usize,
    /// Width of the second.
    pub ow: usize,
    /// Channels of the second.
    pub oc: usize,
}

impl Join {
    fn check(&self, first: usize, second: usize, joined: usize) {
        let Self { n, h, w, c, oh, ow, oc } = *self;
        assert!(oh <= h && ow <= w, "the second is no larger than the first: {self:?}");
        assert!(
            first == n * h * w * c && second == n * oh * ow * oc && joined == n * h * w * (c + oc),
            "slices do not fit {self:?}"
        );
    }
}

multiversion! {
    fn join_row(a: &[f32], c: usize, b: &[f32], oc: usize, y: &mut [f32]) {
        let mut b = b.chunks_exact(oc);
        for (y, a) in y.chunks_exact_mut(c + oc).zip(a.chunks_exact(c)) {
            y[..c].copy_from_slice(a);
            match b.next() {
                Some(b) => y[c..].copy_from_slice(b),
                None => y[c..].fill(0.0),
            }
        }
    }
}

multiversion! {
    /// `len` channels of each place, from `first` on of `of`.
    fn take_row(g: &[f32], of: usize, first: usize, len: usize, out: &mut [f32]) {
        for (out, g) in out.chunks_exact_mut(len).zip(g.chunks_exact(of)) {
            out.copy_from_slice(&g[first..first + len]);
        }
    }
}

/// `y`: n x h x w x (c + oc), from `a`: n x h x w x c, and `b`: n x oh x ow x oc.
///
/// # Panics
/// If a slice has the wrong length, or one of the maps no channels.
pub fn join(p: &Join, a: &[f32], b: &[f32], y: &mut [f32]) {
    p.check(a.len(), b.len(), y.len());
    assert!(p.c > 0 && p.oc > 0, "maps without channels: {p:?}");
    if y.is_empty() {
        return;
    }
    let level = level();
    y.par_chunks_exact_mut(p.w * (p.c + p.oc)).zip(a.par_chunks_exact(p.w * p.c)).enumerate().for_each(
        |(i, (y, a))| {
            let row = i % p.h;
            let at = (i / p.h * p.oh + row) * p.ow * p.oc;
            let b = if row < p.oh { &b[at..at + p.ow * p.oc] } else { &[] };
            join_row(level, a, p.c, b, p.oc, y);
        },
    );
}

/// The two parts of `g`, laid out as [`join`]'s result: its gradient. `a` and `b` are overwritten.
///
/// # Panics
/// If a slice has the wrong length.
pub fn split(p: &Join, g: &[f32], a: &mut [f32], b: &mut [f32]) {
    p.check(a.len(), b.len(), g.len());
    let (level, of) = (level(), p.c + p.oc);
    for (h, w, first, len, out) in [(p.h, p.w, 0, p.c, a), (p.oh, p.ow, p.c, p.oc, b)] {
        if out.is_empty() {
            continue;
        }
        out.par_chunks_exact_mut(w * len).enumerate().for_each(|(i, out)| {
            let at = (i / h * p.h + i % h) * p.w * of;
            take_row(level, &g[at..at + w * of], of, first, len, out);
        });
    }
}
