//! Max and average pooling over windows of any size, stride, padding and dilation, NHWC.
//!
//! Padding is never read: a maximum is of the inputs in its window, an average is their sum over a count that may include the
//! padding.

use dyntta_simd::{level, multiversion};
use rayon::prelude::*;

/// Pooling windows, PyTorch's `MaxPool2d` and `AvgPool2d` and ONNX's `MaxPool` and `AveragePool`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    /// Images.
    pub n: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// Window height and width, at least 1.
    pub kernel: [usize; 2],
    /// Step between windows, down and across, at least 1.
    pub stride: [usize; 2],
    /// Padding: top, left, bottom, right (ONNX's order).
    pub pad: [usize; 4],
    /// Step between the inputs of a window, down and across, at least 1.
    pub dilation: [usize; 2],
    /// Whether a last window may reach beyond the padding: sizes are rounded up then. A window that would start beyond the
    /// input and the padding before it is left out even so, as in PyTorch.
    pub ceil_mode: bool,
}

/// The windows along one axis.
#[derive(Clone, Copy)]
struct Axis {
    size: usize,
    k: usize,
    stride: usize,
    before: usize,
    after: usize,
    dilation: usize,
    out: usize,
}

impl Axis {
    /// Position of the first input of window `o`.
    fn start(&self, o: usize) -> isize {
        (o * self.stride) as isize - self.before as isize
    }

    /// Inputs of window `o` before position `end`.
    fn count_before(&self, o: usize, end: usize) -> usize {
        let room = (end as isize - self.start(o)).max(0) as usize;
        room.div_ceil(self.dilation).min(self.k)
    }

    /// Inputs of window `o` inside: the first, and how many, `dilation` apart.
    fn inside(&self, o: usize) -> (usize, usize) {
        let outside = self.count_before(o, 0);
        let first = self.start(o) + (outside * self.dilation) as isize;
        (first as usize, self.count_before(o, self.size) - outside)
    }

    /// Windows `lo..hi` that input `i` may be in; with dilation, those it is in are among them.
    fn windows(&self, i: usize) -> (usize, usize) {
        let last = i + self.before;
        let reach = (self.k - 1) * self.dilation;
        (last.saturating_sub(reach).div_ceil(self.stride), (last / self.stride + 1).min(self.out))
    }

    /// Whether input `i` is in window `o` of [`Axis::windows`].
    fn has(&self, o: usize, i: usize) -> bool {
        (i + self.before - o * self.stride).is_multiple_of(self.dilation)
    }

    /// Inputs of window `o`, counting those in the padding if `pad`.
    fn counted(&self, o: usize, pad: bool) -> usize {
        if pad { self.count_before(o, self.size + self.after) } else { self.inside(o).1 }
    }
}

impl Pool2d {
    /// Output height: `(h + top + bottom - dilation (kernel - 1) - 1) / stride + 1`, rounded down or, in `ceil_mode`, up; 0 if
    /// there is no input, or the window does not fit.
    pub fn out_h(&self) -> usize {
        self.axis(0).out
    }

    /// Output width, as [`Pool2d::out_h`].
    pub fn out_w(&self) -> usize {
        self.axis(1).out
    }

    /// Floats of the input.
    pub fn input_len(&self) -> usize {
        self.n * self.h * self.w * self.c
    }

    /// Floats of the output.
    pub fn output_len(&self) -> usize {
        self.n * self.out_h() * self.out_w() * self.c
    }

    fn axis(&self, i: usize) -> Axis {
        let (size, k) = ([self.h, self.w][i], self.kernel[i]);
        let (stride, dilation) = (self.stride[i], self.dilation[i]);
        let (before, after) = (self.pad[i], self.pad[i + 2]);
        let room = (size + before + after) as isize - ((k - 1) * dilation + 1) as isize;
        let steps = if self.ceil_mode { room + stride as isize - 1 } else { room };
        let out = (steps.div_euclid(stride as isize) + 1).max(0) as usize;
        // Windows that start before the padding at the end.
        let out = if self.ceil_mode { out.min((size + before).div_ceil(stride)) } else { out };
        Axis { size, k, stride, before, after, dilation, out: if size == 0 { 0 } else { out } }
    }

    fn check(&self, x: usize, y: usize) {
        let positive = [self.kernel, self.stride, self.dilation];
        assert!(
            positive.as_flattened().iter().all(|v| *v > 0),
            "window, stride and dilation must be positive: {self:?}"
        );
        assert!(x == self.input_len() && y == self.output_len(), "slices do not fit {self:?}");
    }
}

multiversion! {
    fn max_row(axes: [Axis; 2], c: usize, x: &[f32], oy: usize, y: &mut [f32], index: &mut [u32]) {
        let [down, across] = axes;
        let (y0, rows) = down.inside(oy);
        for (ox, (y, index)) in y.chunks_exact_mut(c).zip(index.chunks_exact_mut(c)).enumerate() {
            let (x0, columns) = across.inside(ox);
            if rows == 0 || columns == 0 {
                y.fill(f32::NEG_INFINITY);
                index.fill(u32::MAX);
                continue;
            }
            let first = y0 * across.size + x0;
            y.copy_from_slice(&x[first * c..(first + 1) * c]);
            index.fill(first as u32);
            for row in 0..rows {
                for column in 0..columns {
                    let at = first + row * down.dilation * across.size + column * across.dilation;
                    for ((y, i), v) in y.iter_mut().zip(index.iter_mut()).zip(&x[at * c..(at + 1) * c]) {
                        // A NaN wins, as in PyTorch.
                        let better = *v > *y || v.is_nan();
                        *y = if better { *v } else { *y };
                        *i = if better { at as u32 } else { *i };
                    }
                }
            }
        }
    }
}

multiversion! {
    fn max_row_backward(axes: [Axis; 2], c: usize, g: &[f32], index: &[u32], iy: usize, dx: &mut [f32]) {
        let [down, across] = axes;
        dx.fill(0.0);
        let (y0, y1) = down.windows(iy);
        for oy in y0..y1 {
            for (ix, dx) in dx.chunks_exact_mut(c).enumerate() {
                let me = (iy * across.size + ix) as u32;
                let (x0, x1) = across.windows(ix);
                for ox in x0..x1 {
                    let at = (oy * across.out + ox) * c;
                    for ((d, g), i) in dx.iter_mut().zip(&g[at..at + c]).zip(&index[at..at + c]) {
                        *d += if *i == me { *g } else { 0.0 };
                    }
                }
            }
        }
    }
}

multiversion! {
    fn avg_row(axes: [Axis; 2], c: usize, count_pad: bool, x: &[f32], oy: usize, y: &mut [f32]) {
        let [down, across] = axes;
        let (y0, rows) = down.inside(oy);
        for (ox, y) in y.chunks_exact_mut(c).enumerate() {
            let (x0, columns) = across.inside(ox);
            y.fill(0.0);
            for row in 0..rows {
                for column in 0..columns {
                    let at = (y0 + row * down.dilation) * across.size + x0 + column * across.dilation;
                    for (y, v) in y.iter_mut().zip(&x[at * c..(at + 1) * c]) {
                        *y += v;
                    }
                }
            }
            // A window without inputs has a sum of zero.
            let count = (down.counted(oy, count_pad) * across.counted(ox, count_pad)).max(1) as f32;
            for y in y.iter_mut() {
                *y /= count;
            }
        }
    }
}

multiversion! {
    fn avg_row_backward(axes: [Axis; 2], c: usize, count_pad: bool, g: &[f32], iy: usize, dx: &mut [f32]) {
        let [down, across] = axes;
        dx.fill(0.0);
        let (y0, y1) = down.windows(iy);
        for oy in (y0..y1).filter(|oy| down.has(*oy, iy)) {
            let rows = down.counted(oy, count_pad);
            for (ix, dx) in dx.chunks_exact_mut(c).enumerate() {
                let (x0, x1) = across.windows(ix);
                for ox in (x0..x1).filter(|ox| across.has(*ox, ix)) {
                    let share = 1.0 / (rows * across.counted(ox, count_pad)) as f32;
                    let at = (oy * across.out + ox) * c;
                    for (d, g) in dx.iter_mut().zip(&g[at..at + c]) {
                        *d += g * share;
                    }
                }
            }
        }
    }
}

/// Largest value of each window, and where it is.
///
/// `x`: n x h x w x c; `y` and `index`: n x out_h x out_w x c. `index` is the pixel within its image, `row * w + column`, of
/// the first maximum in reading order. A window without inputs gives minus infinity and `u32::MAX`.
///
/// # Panics
/// If a slice has the wrong length, or the sizes make no windows.
pub fn max_pool2d_forward(p: &Pool2d, x: &[f32], y: &mut [f32], index: &mut [u32]) {
    p.check(x.len(), y.len());
    assert_eq!(index.len(), y.len(), "slices do not fit {p:?}");
    if y.is_empty() {
        return;
    }
    let axes = [p.axis(0), p.axis(1)];
    let (level, row, image) = (level(), axes[1].out * p.c, p.h * p.w * p.c);
    y.par_chunks_exact_mut(row).zip(index.par_chunks_exact_mut(row)).enumerate().for_each(
        |(i, (y, index))| {
            let (n, oy) = (i / axes[0].out, i % axes[0].out);
            max_row(level, axes, p.c, &x[n * image..(n + 1) * image], oy, y, index);
        },
    );
}

/// Gradient of [`max_pool2d_forward`]: each window's gradient goes to its first maximum.
///
/// `g`, `index`: n x out_h x out_w x c; `dx`: n x h x w x c, overwritten.
///
/// # Panics
/// If a slice has the wrong length, or the sizes make no windows.
pub fn max_pool2d_backward(p: &Pool2d, g: &[f32], index: &[u32], dx: &mut [f32]) {
    p.check(dx.len(), g.len());
    assert_eq!(index.len(), g.len(), "slices do not fit {p:?}");
    if dx.is_empty() {
        return;
    }
    let axes = [p.axis(0), p.axis(1)];
    let (level, image) = (level(), axes[0].out * axes[1].out * p.c);
    dx.par_chunks_exact_mut(p.w * p.c).enumerate().for_each(|(i, dx)| {
        let (n, iy) = (i / p.h, i % p.h);
        let range = n * image..(n + 1) * image;
        max_row_backward(level, axes, p.c, &g[range.clone()], &index[range], iy, dx);
    });
}

/// Average of each window: the sum of its inputs over their number, or, if `count_include_pad`, over the number of inputs it has
/// within the padded image (not beyond, where `ceil_mode` lets it reach). A window without inputs gives zero.
///
/// `x`: n x h x w x c; `y`: n x out_h x out_w x c.
///
/// # Panics
/// If a slice has the wrong length, or the sizes make no windows.
pub fn avg_pool2d_forward(p: &Pool2d, count_include_pad: bool, x: &[f32], y: &mut [f32]) {
    p.check(x.len(), y.len());
    if y.is_empty() {
        return;
    }
    let axes = [p.axis(0), p.axis(1)];
    let (level, image) = (level(), p.h * p.w * p.c);
    y.par_chunks_exact_mut(axes[1].out * p.c).enumerate().for_each(|(i, y)| {
        let (n, oy) = (i / axes[0].out, i % axes[0].out);
        avg_row(level, axes, p.c, count_include_pad, &x[n * image..(n + 1) * image], oy, y);
    });
}

/// Gradient of [`avg_pool2d_forward`]. `g`: n x out_h x out_w x c; `dx`: n x h x w x c, overwritten.
///
/// # Panics
/// If a slice has the wrong length, or the sizes make no windows.
pub fn avg_pool2d_backward(p: &Pool2d, count_include_pad: bool, g: &[f32], dx: &mut [f32]) {
    p.check(dx.len(), g.len());
    if dx.is_empty() {
        return;
    }
    let axes = [p.axis(0), p.axis(1)];
    let (level, image) = (level(), axes[0].out * axes[1].out * p.c);
    dx.par_chunks_exact_mut(p.w * p.c).enumerate().for_each(|(i, dx)| {
        let (n, iy) = (i / p.h, i % p.h);
        avg_row_backward(level, axes, p.c, count_include_pad, &g[n * image..(n + 1) * image], iy, dx);
    });
}
