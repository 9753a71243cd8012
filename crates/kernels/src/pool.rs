//! Max pooling over square windows and adaptive average pooling, NHWC; [`crate::pool2d`] has other windows.

use crate::pool2d::{Pool2d, max_pool2d_backward, max_pool2d_forward};
use dyntta_simd::{level, multiversion};
use rayon::prelude::*;

/// Max pooling with a square window, PyTorch's `MaxPool2d` without dilation or `ceil_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// Images.
    pub n: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// Window side.
    pub k: usize,
    /// Step between windows, at least 1.
    pub stride: usize,
    /// Padding on each side, by minus infinity; at most half the window.
    pub pad: usize,
}

impl MaxPool {
    /// Output height: `(h + 2 pad - k) / stride + 1`, rounded down; 0 if the window does not fit.
    pub fn out_h(&self) -> usize {
        Pool2d::from(*self).out_h()
    }

    /// Output width, as [`MaxPool::out_h`].
    pub fn out_w(&self) -> usize {
        Pool2d::from(*self).out_w()
    }

    /// Floats of the input.
    pub fn input_len(&self) -> usize {
        self.n * self.h * self.w * self.c
    }

    /// Floats of the output.
    pub fn output_len(&self) -> usize {
        self.n * self.out_h() * self.out_w() * self.c
    }

    /// The same windows, checked.
    fn window(&self) -> Pool2d {
        assert!(
            self.k > 0 && self.stride > 0 && 2 * self.pad <= self.k,
            "window and stride must be positive, padding at most half the window: {self:?}"
        );
        (*self).into()
    }
}

impl From<MaxPool> for Pool2d {
    fn from(p: MaxPool) -> Self {
        let MaxPool { n, h, w, c, k, stride, pad } = p;
        let (kernel, stride, pad) = ([k; 2], [stride; 2], [pad; 4]);
        Pool2d { n, h, w, c, kernel, stride, pad, dilation: [1, 1], ceil_mode: false }
    }
}

/// Largest value of each window, and where it is.
///
/// `x`: n x h x w x c; `y` and `index`: n x out_h x out_w x c. `index` is the pixel within its image, `row * w + column`, of
/// the first maximum in reading order.
///
/// # Panics
/// If a slice has the wrong length, or the padding exceeds half the window.
pub fn max_pool_forward(p: &MaxPool, x: &[f32], y: &mut [f32], index: &mut [u32]) {
    max_pool2d_forward(&p.window(), x, y, index);
}

/// Gradient of [`max_pool_forward`]: each window's gradient goes to its first maximum.
///
/// `g`, `index`: n x out_h x out_w x c; `dx`: n x h x w x c, overwritten.
///
/// # Panics
/// If a slice has the wrong length, or the padding exceeds half the window.
pub fn max_pool_backward(p: &MaxPool, g: &[f32], index: &[u32], dx: &mut [f32]) {
    max_pool2d_backward(&p.window(), g, index, dx);
}

/// Adaptive average pooling to `oh` x `ow`: output i averages inputs `floor(i * h / oh) .. ceil((i + 1) * h / oh)`, PyTorch's
/// rule. A global average pool is `oh = ow = 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPool {
    /// Images.
    pub n: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// Output height.
    pub oh: usize,
    /// Output width.
    pub ow: usize,
}

impl AvgPool {
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
        assert!(self.h > 0 && self.w > 0 || y == 0, "nothing to average: {self:?}");
    }
}

/// Inputs `lo..hi` that output `o` of `out` averages, of `size`.
fn cell(o: usize, out: usize, size: usize) -> (usize, usize) {
    (o * size / out, ((o + 1) * size).div_ceil(out))
}

multiversion! {
    fn avg_row(p: &AvgPool, x: &[f32], oy: usize, y: &mut [f32]) {
        let (y0, y1) = cell(oy, p.oh, p.h);
        let mut row = vec![0.0f32; p.c];
        for (ox, y) in y.chunks_exact_mut(p.c).enumerate() {
            let (x0, x1) = cell(ox, p.ow, p.w);
            y.fill(0.0);
            for iy in y0..y1 {
                // Row by row: shorter chains of additions round less.
                row.fill(0.0);
                for pixel in x[(iy * p.w + x0) * p.c..(iy * p.w + x1) * p.c].chunks_exact(p.c) {
                    for (r, v) in row.iter_mut().zip(pixel) {
                        *r += v;
                    }
                }
                for (y, r) in y.iter_mut().zip(&row) {
                    *y += r;
                }
            }
            let area = ((y1 - y0) * (x1 - x0)) as f32;
            for y in y.iter_mut() {
                *y /= area;
            }
        }
    }
}

multiversion! {
    fn avg_row_backward(p: &AvgPool, g: &[f32], iy: usize, dx: &mut [f32]) {
        for oy in 0..p.oh {
            let (y0, y1) = cell(oy, p.oh, p.h);
            if iy < y0 || iy >= y1 {
                continue;
            }
            for ox in 0..p.ow {
                let (x0, x1) = cell(ox, p.ow, p.w);
                let share = 1.0 / ((y1 - y0) * (x1 - x0)) as f32;
                let g = &g[(oy * p.ow + ox) * p.c..(oy * p.ow + ox + 1) * p.c];
                for dx in dx[x0 * p.c..x1 * p.c].chunks_exact_mut(p.c) {
                    for (d, g) in dx.iter_mut().zip(g) {
                        *d += g * share;
                    }
                }
            }
        }
    }
}

/// Averages; see [`AvgPool`]. `x`: n x h x w x c; `y`: n x oh x ow x c.
///
/// # Panics
/// If a slice has the wrong length, or there are outputs but no inputs.
pub fn adaptive_avg_pool_forward(p: &AvgPool, x: &[f32], y: &mut [f32]) {
    p.check(x.len(), y.len());
    if y.is_empty() {
        return;
    }
    let (level, image) = (level(), p.h * p.w * p.c);
    y.par_chunks_exact_mut(p.ow * p.c).enumerate().for_each(|(i, y)| {
        let (n, oy) = (i / p.oh, i % p.oh);
        avg_row(level, p, &x[n * image..(n + 1) * image], oy, y);
    });
}

/// Gradient of [`adaptive_avg_pool_forward`]. `g`: n x oh x ow x c; `dx`: n x h x w x c, overwritten.
///
/// # Panics
/// If a slice has the wrong length.
pub fn adaptive_avg_pool_backward(p: &AvgPool, g: &[f32], dx: &mut [f32]) {
    avg_backward(p, g, dx, false);
}

/// As [`adaptive_avg_pool_backward`], added to what is in `dx`.
///
/// # Panics
/// If a slice has the wrong length.
pub fn adaptive_avg_pool_backward_add(p: &AvgPool, g: &[f32], dx: &mut [f32]) {
    avg_backward(p, g, dx, true);
}

fn avg_backward(p: &AvgPool, g: &[f32], dx: &mut [f32], add: bool) {
    p.check(dx.len(), g.len());
    if dx.is_empty() {
        return;
    }
    let (level, image) = (level(), p.oh * p.ow * p.c);
    dx.par_chunks_exact_mut(p.w * p.c).enumerate().for_each(|(i, dx)| {
        let (n, iy) = (i / p.h, i % p.h);
        if !add {
            dx.fill(0.0);
        }
        avg_row_backward(level, p, &g[n * image..(n + 1) * image], iy, dx);
    });
}
