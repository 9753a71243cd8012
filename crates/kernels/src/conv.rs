//! 2-D convolution, forward and backward.
//!
//! Most 3 x 3 convolutions of stride 1 go by minimal filtering, see [`winograd`]; the rest is
//! direct: no column matrix in memory. A tile of output pixels by output channels stays in registers while the kernel
//! runs over the `kw * cin` floats that are contiguous in a padded NHWC row (Zhang, Franchetti and Low, "High Performance
//! Zero-Memory Overhead Direct Convolutions", ICML 2018, for the idea of the loop order). The gradient to the input is
//! the same pass over the output gradient, with flipped weights, once for each residue of the stride. The gradient to
//! the weights is the same tile with the pixels as the summed axis.
//!
//! Results do not depend on the number of threads; they may differ in the last digits between instruction sets.

use crate::band::{Geometry, valid_outputs};
use crate::micro::Kernels;
use crate::pack::{Panels, Sum, View, pack, pack_here};
use crate::{gather, planar, wgrad, winograd};
use dyntta_simd::{Level, level};

/// A convolution's sizes: square stride, square zero padding, one group, no dilation.
///
/// Activations are NHWC, weights OIHW (`[cout][cin][kh][kw]`), all contiguous.
/// A fully connected layer of `n` rows is the case `h = w = kh = kw = stride = 1, pad = 0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2d {
    /// Images.
    pub n: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Input channels.
    pub cin: usize,
    /// Output channels.
    pub cout: usize,
    /// Kernel height.
    pub kh: usize,
    /// Kernel width.
    pub kw: usize,
    /// Step between output pixels, at least 1.
    pub stride: usize,
    /// Zeros on each side of the input.
    pub pad: usize,
}

/// Weights of one convolution, reordered for the forward pass at the SIMD level of the call that made them; see
/// [`pack_forward`].
#[derive(Clone)]
pub struct PackedWeights {
    level: Level,
    shape: [usize; 4],
    panels: Panels,
}

/// Weights of one convolution, reordered for the gradient to the input; see [`pack_backward_input`].
#[derive(Clone)]
pub struct PackedTransposed {
    level: Level,
    shape: [usize; 4],
    stride: usize,
    pad: usize,
    /// One per phase, y slow.
    phases: Vec<Option<Panels>>,
}

impl Conv2d {
    /// Output height: `(h + 2 pad - kh) / stride + 1`, rounded down; 0 if the kernel does not fit.
    pub fn out_h(&self) -> usize {
        out_size(self.h, self.kh, self.stride, self.pad)
    }

    /// Output width: as [`Conv2d::out_h`].
    pub fn out_w(&self) -> usize {
        out_size(self.w, self.kw, self.stride, self.pad)
    }

    /// Floats of the input.
    pub fn input_len(&self) -> usize {
        self.n * self.h * self.w * self.cin
    }

    /// Floats of the output.
    pub fn output_len(&self) -> usize {
        self.n * self.out_h() * self.out_w() * self.cout
    }

    /// Floats of the weights.
    pub fn weight_len(&self) -> usize {
        self.cout * self.cin * self.kh * self.kw
    }

    /// Floating-point operations of one pass (forward, or either gradient): 2 per multiply-add, taps in the padding
    /// included.
    pub fn flops(&self) -> u64 {
        2 * (self.output_len() * self.cin * self.kh * self.kw) as u64
    }

    fn shape(&self) -> [usize; 4] {
        [self.cout, self.cin, self.kh, self.kw]
    }

    fn check(&self) {
        assert!(
            self.stride > 0 && self.kh > 0 && self.kw > 0,
            "stride and kernel must be positive: {self:?}"
        );
    }

    fn geometry(&self) -> Geometry {
        Geometry {
            n: self.n,
            ih: self.h,
            iw: self.w,
            ic: self.cin,
            oh: self.out_h(),
            ow: self.out_w(),
            oc: self.cout,
            kh: self.kh,
            kw: self.kw,
            stride: self.stride,
            pad_y: self.pad as isize,
            pad_x: self.pad as isize,
            out_h: self.out_h(),
            out_w: self.out_w(),
            out_step: 1,
            out_y: 0,
            out_x: 0,
        }
    }

    fn view(&self) -> View {
        let all_taps = self.kh * self.kw;
        View { cout: self.cout, cin: self.cin, all_taps, sum: Sum::Inputs, taps: (0..all_taps).collect() }
    }

    /// The stride-1 pass over the output gradient that fills the input pixels `stride * j + r`, and the weights it
    /// takes; none where no tap reaches them.
    ///
    /// Input pixel i is read by output o with tap k where i = o * stride - pad + k. For i = stride * j + r that makes
    /// k = t0 + stride * t with t0 = (r + pad) mod stride, and o = j + (r + pad - t0) / stride - t.
    fn phase(&self, ry: usize, rx: usize) -> Option<(Geometry, View)> {
        let s = self.stride;
        // (taps, padding, pixels)
        let axis = |r: usize, k: usize, size: usize| {
            let t0 = (r + self.pad) % s;
            let taps: Vec<usize> = (t0..k).step_by(s).rev().collect();
            let shift = ((r + self.pad - t0) / s) as isize;
            let pad = taps.len() as isize - 1 - shift;
            (taps, pad, size.saturating_sub(r).div_ceil(s))
        };
        let (ty, pad_y, oh) = axis(ry, self.kh, self.h);
        let (tx, pad_x, ow) = axis(rx, self.kw, self.w);
        if ty.is_empty() || tx.is_empty() || oh == 0 || ow == 0 {
            return None;
        }
        let geometry = Geometry {
            n: self.n,
            ih: self.out_h(),
            iw: self.out_w(),
            ic: self.cout,
            oh,
            ow,
            oc: self.cin,
            kh: ty.len(),
            kw: tx.len(),
            stride: 1,
            pad_y,
            pad_x,
            out_h: self.h,
            out_w: self.w,
            out_step: s,
            out_y: ry,
            out_x: rx,
        };
        let view = View {
            sum: Sum::Outputs,
            taps: ty.iter().flat_map(|y| tx.iter().map(move |x| y * self.kw + x)).collect(),
            ..self.view()
        };
        Some((geometry, view))
    }
}

/// Drops kernel rows and columns that only ever meet the padding, as most do where images are tiny: they need not be
/// packed.
fn crop(mut g: Geometry, mut view: View) -> (Geometry, View) {
    let used = |k: usize, pad: isize, size: usize, out: usize| {
        let seen = |t: &usize| {
            let (lo, hi) = valid_outputs(*t, pad, g.stride, size, out);
            lo < hi
        };
        Some((0..k).find(seen)?..(0..k).rfind(seen)? + 1)
    };
    let rows = used(g.kh, g.pad_y, g.ih, g.oh);
    let columns = used(g.kw, g.pad_x, g.iw, g.ow);
    if let (Some(ys), Some(xs)) = (rows, columns) {
        view.taps = ys
            .clone()
            .flat_map(|y| xs.clone().map(move |x| (y, x)))
            .map(|(y, x)| view.taps[y * g.kw + x])
            .collect();
        g.pad_y -= ys.start as isize;
        g.pad_x -= xs.start as isize;
        (g.kh, g.kw) = (ys.len(), xs.len());
    }
    (g, view)
}

fn out_size(size: usize, k: usize, stride: usize, pad: usize) -> usize {
    let padded = size + 2 * pad;
    if size == 0 || padded < k { 0 } else { (padded - k) / stride + 1 }
}

fn check_len(name: &str, found: usize, expected: usize, conv: &Conv2d) {
    assert_eq!(found, expected, "{name} has {found} floats where {expected} belong ({conv:?})");
}

fn check_forward(conv: &Conv2d, x: &[f32], bias: Option<&[f32]>, y: &[f32]) {
    conv.check();
    check_len("x", x.len(), conv.input_len(), conv);
    check_len("y", y.len(), conv.output_len(), conv);
    if let Some(b) = bias {
        check_len("bias", b.len(), conv.cout, conv);
    }
}

fn check_backward_input(conv: &Conv2d, g: &[f32], dx: &[f32]) {
    conv.check();
    check_len("g", g.len(), conv.output_len(), conv);
    check_len("dx", dx.len(), conv.input_len(), conv);
}

/// Reorders `weight` (OIHW) once for many calls of [`forward_packed`].
///
/// Only `cin`, `cout`, `kh` and `kw` of `conv` matter: batch, image size, stride and padding may differ later.
///
/// # Panics
/// If `weight` has the wrong length.
pub fn pack_forward(conv: &Conv2d, weight: &[f32]) -> PackedWeights {
    conv.check();
    check_len("weight", weight.len(), conv.weight_len(), conv);
    let level = level();
    PackedWeights { level, shape: conv.shape(), panels: pack(Kernels::of(level), weight, &conv.view()) }
}

/// `y = conv(x, weight) + bias`.
///
/// `x`: n x h x w x cin; `weight`: cout x cin x kh x kw; `bias`: cout; `y`: n x out_h x out_w x cout, overwritten.
///
/// # Panics
/// If a slice has the wrong length.
pub fn forward(conv: &Conv2d, x: &[f32], weight: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
    check_forward(conv, x, bias, y);
    check_len("weight", weight.len(), conv.weight_len(), conv);
    if winograd::suits(conv) {
        let packed = winograd::pack(conv.cin, conv.cout, weight);
        let epilogue = winograd::Epilogue { bias, ..winograd::Epilogue::default() };
        return winograd::forward([conv.n, conv.h, conv.w], x, &packed, &epilogue, y);
    }
    let (g, view) = crop(conv.geometry(), conv.view());
    let kernels = Kernels::of(level());
    let panels = pack_here(kernels, weight, &view);
    gather::run(kernels, &g, x, &panels, bias, y);
    panels.done();
}

/// [`forward`] with weights packed before. Runs at the SIMD level they were packed at; the same up to rounding.
///
/// # Panics
/// If a slice has the wrong length, or the weights were packed for other channels or another kernel size.
pub fn forward_packed(conv: &Conv2d, x: &[f32], weight: &PackedWeights, bias: Option<&[f32]>, y: &mut [f32]) {
    check_forward(conv, x, bias, y);
    assert_eq!(weight.shape, conv.shape(), "weights were packed for another convolution");
    gather::run(Kernels::of(weight.level), &conv.geometry(), x, &weight.panels, bias, y);
}

/// Reorders `weight` (OIHW) once for many calls of [`backward_input_packed`] with the same `conv`; batch and image size
/// may differ later.
///
/// # Panics
/// If `weight` has the wrong length.
pub fn pack_backward_input(conv: &Conv2d, weight: &[f32]) -> PackedTransposed {
    conv.check();
    check_len("weight", weight.len(), conv.weight_len(), conv);
    let level = level();
    // Any size that has all the phases will do: the weights of a phase do not depend on it.
    let sized = Conv2d { h: conv.h.max(conv.stride), w: conv.w.max(conv.stride), ..*conv };
    let phases = (0..conv.stride * conv.stride)
        .map(|p| {
            let (_, view) = sized.phase(p / conv.stride, p % conv.stride)?;
            Some(pack(Kernels::of(level), weight, &view))
        })
        .collect();
    PackedTransposed { level, shape: conv.shape(), stride: conv.stride, pad: conv.pad, phases }
}

/// Gradient to the input: `dx` such that `<dx, x> = <g, conv(x, weight)>` for every `x`.
///
/// `g`: n x out_h x out_w x cout; `weight`: cout x cin x kh x kw; `dx`: n x h x w x cin, overwritten.
///
/// # Panics
/// If a slice has the wrong length.
pub fn backward_input(conv: &Conv2d, g: &[f32], weight: &[f32], dx: &mut [f32]) {
    check_backward_input(conv, g, dx);
    check_len("weight", weight.len(), conv.weight_len(), conv);
    if winograd::suits(conv) {
        let packed = winograd::pack(conv.cout, conv.cin, &winograd::transposed(conv.cin, conv.cout, weight));
        return winograd::forward([conv.n, conv.h, conv.w], g, &packed, &winograd::Epilogue::default(), dx);
    }
    let kernels = Kernels::of(level());
    let count = conv.stride * conv.stride;
    let phases: Vec<(Geometry, Panels)> = (0..count)
        .filter_map(|p| conv.phase(p / conv.stride, p % conv.stride))
        .map(|(g, view)| crop(g, view))
        .map(|(g, view)| (g, pack_here(kernels, weight, &view)))
        .collect();
    let passes: Vec<_> = phases.iter().map(|(g, panels)| (g.clone(), panels)).collect();
    run_backward_input(kernels, conv, g, &passes, dx);
    phases.into_iter().for_each(|(_, panels)| panels.done());
}

/// [`backward_input`] with weights packed before. Runs at the SIMD level they were packed at; the same up to rounding.
///
/// # Panics
/// If a slice has the wrong length, or the weights were packed for another convolution.
pub fn backward_input_packed(conv: &Conv2d, g: &[f32], weight: &PackedTransposed, dx: &mut [f32]) {
    check_backward_input(conv, g, dx);
    assert!(
        weight.shape == conv.shape() && weight.stride == conv.stride && weight.pad == conv.pad,
        "weights were packed for another convolution"
    );
    let mut passes = Vec::with_capacity(weight.phases.len());
    for (p, phase) in weight.phases.iter().enumerate() {
        if let (Some(panels), Some((g, _))) = (phase, conv.phase(p / conv.stride, p % conv.stride)) {
            passes.push((g, panels));
        }
    }
    run_backward_input(Kernels::of(weight.level), conv, g, &passes, dx);
}

fn run_backward_input(
    kernels: &'static Kernels,
    conv: &Conv2d,
    g: &[f32],
    passes: &[(Geometry, &Panels)],
    dx: &mut [f32],
) {
    let nothing = conv.output_len() == 0;
    // Input pixels that no tap reaches.
    if nothing || passes.len() < conv.stride * conv.stride {
        dx.fill(0.0);
    }
    if nothing {
        return;
    }
    if passes.iter().all(|(pass, panels)| planar::suits(pass, panels)) {
        planar::run(kernels, passes, g, None, dx);
    } else {
        for (pass, panels) in passes {
            gather::run(kernels, pass, g, panels, None, dx);
        }
    }
}

/// Gradient to the weights and the bias, summed over the batch.
///
/// `x`: n x h x w x cin; `g`: n x out_h x out_w x cout; `dw`: cout x cin x kh x kw, overwritten; `db`: cout, overwritten.
///
/// # Panics
/// If a slice has the wrong length.
pub fn backward_weight(conv: &Conv2d, x: &[f32], g: &[f32], dw: &mut [f32], db: Option<&mut [f32]>) {
    conv.check();
    check_len("x", x.len(), conv.input_len(), conv);
    check_len("g", g.len(), conv.output_len(), conv);
    check_len("dw", dw.len(), conv.weight_len(), conv);
    wgrad::run(Kernels::of(level()), &conv.geometry(), x, g, &conv.view(), dw);
    if let Some(db) = db {
        check_len("db", db.len(), conv.cout, conv);
        wgrad::channel_sums(g, conv.cout, db);
    }
}
