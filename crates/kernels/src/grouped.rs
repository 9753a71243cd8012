//! 2-D convolution with groups, dilation, and stride and padding of its own for each side; forward and backward.
//!
//! What [`crate::conv`] can do, it does. Otherwise, where each output channel reads few input channels (as in a depthwise
//! convolution) the vectors run along the channels and read the input in place, and other groups are matrix products over
//! input columns that are gathered a few pixels at a time.
//!
//! Results do not depend on the number of threads; they may differ in the last digits between instruction sets.

use crate::axis::Axis;
use crate::conv::{self, Conv2d};
use crate::{columns, depthwise, wgrad};

/// A convolution's sizes.
///
/// Activations are NHWC, weights OIHW (`[cout][cin / groups][kh][kw]`), all contiguous. Output channel `c` reads the
/// `cin / groups` input channels of group `c / (cout / groups)`. A depthwise convolution has `groups = cin`, and `cout` a
/// multiple of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GroupedConv2d {
    /// Images.
    pub n: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Input channels, a multiple of `groups`.
    pub cin: usize,
    /// Output channels, a multiple of `groups`.
    pub cout: usize,
    /// Groups, at least 1.
    pub groups: usize,
    /// Kernel height, at least 1.
    pub kh: usize,
    /// Kernel width, at least 1.
    pub kw: usize,
    /// Step between output pixels, down and across, at least 1.
    pub stride: [usize; 2],
    /// Zeros around the input: top, left, bottom, right (ONNX's order).
    pub pad: [usize; 4],
    /// Step between the kernel's taps, down and across, at least 1.
    pub dilation: [usize; 2],
}

impl From<Conv2d> for GroupedConv2d {
    fn from(c: Conv2d) -> Self {
        let Conv2d { n, h, w, cin, cout, kh, kw, stride, pad } = c;
        let (stride, pad) = ([stride; 2], [pad; 4]);
        GroupedConv2d { n, h, w, cin, cout, groups: 1, kh, kw, stride, pad, dilation: [1, 1] }
    }
}

impl GroupedConv2d {
    /// Output height: `(h + top + bottom - dilation (kh - 1) - 1) / stride + 1`, rounded down; 0 if the kernel does not fit.
    pub fn out_h(&self) -> usize {
        self.axes().0.out()
    }

    /// Output width: as [`GroupedConv2d::out_h`].
    pub fn out_w(&self) -> usize {
        self.axes().1.out()
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
        self.cout * self.group_in() * self.kh * self.kw
    }

    /// Floating-point operations of one pass (forward, or either gradient): 2 per multiply-add, taps in the padding
    /// included.
    pub fn flops(&self) -> u64 {
        2 * (self.output_len() * self.group_in() * self.kh * self.kw) as u64
    }

    /// Input channels of a group.
    pub(crate) fn group_in(&self) -> usize {
        self.cin / self.groups
    }

    /// Output channels of a group.
    pub(crate) fn group_out(&self) -> usize {
        self.cout / self.groups
    }

    /// (down, across)
    pub(crate) fn axes(&self) -> (Axis, Axis) {
        let axis = |i: usize, size, kernel| Axis {
            size,
            kernel,
            stride: self.stride[i],
            pad_before: self.pad[i],
            pad_after: self.pad[i + 2],
            dilation: self.dilation[i],
        };
        (axis(0, self.h, self.kh), axis(1, self.w, self.kw))
    }

    /// The same convolution for [`crate::conv`], if it is one.
    fn dense(&self) -> Option<Conv2d> {
        let GroupedConv2d { n, h, w, cin, cout, kh, kw, stride, pad, .. } = *self;
        let c = Conv2d { n, h, w, cin, cout, kh, kw, stride: stride[0], pad: pad[0] };
        (GroupedConv2d::from(c) == *self).then_some(c)
    }

    fn check(&self) {
        let positive = [self.groups, self.kh, self.kw, self.stride[0], self.stride[1]];
        assert!(
            positive.iter().chain(&self.dilation).all(|v| *v > 0),
            "groups, kernel, stride and dilation must be positive: {self:?}"
        );
        assert!(
            self.cin.is_multiple_of(self.groups) && self.cout.is_multiple_of(self.groups),
            "channels must be a multiple of the groups: {self:?}"
        );
    }

    fn check_len(&self, name: &str, found: usize, expected: usize) {
        assert_eq!(found, expected, "{name} has {found} floats where {expected} belong ({self:?})");
    }
}

/// `y = conv(x, weight) + bias`.
///
/// `x`: n x h x w x cin; `weight`: cout x cin / groups x kh x kw; `bias`: cout; `y`: n x out_h x out_w x cout, overwritten.
///
/// # Panics
/// If a slice has the wrong length, or the sizes make no convolution.
pub fn forward(conv: &GroupedConv2d, x: &[f32], weight: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
    conv.check();
    conv.check_len("x", x.len(), conv.input_len());
    conv.check_len("y", y.len(), conv.output_len());
    conv.check_len("weight", weight.len(), conv.weight_len());
    if let Some(b) = bias {
        conv.check_len("bias", b.len(), conv.cout);
    }
    if let Some(dense) = conv.dense() {
        conv::forward(&dense, x, weight, bias, y);
    } else if y.is_empty() {
        // Nothing to do.
    } else if weight.is_empty() {
        for (i, y) in y.iter_mut().enumerate() {
            *y = bias.map_or(0.0, |b| b[i % conv.cout]);
        }
    } else if depthwise::suits(conv) {
        depthwise::forward(conv, x, weight, bias, y);
    } else {
        columns::forward(conv, x, weight, bias, y);
    }
}

/// Gradient to the input: `dx` such that `<dx, x> = <g, conv(x, weight)>` for every `x`.
///
/// `g`: n x out_h x out_w x cout; `weight`: cout x cin / groups x kh x kw; `dx`: n x h x w x cin, overwritten.
///
/// # Panics
/// If a slice has the wrong length, or the sizes make no convolution.
pub fn backward_input(conv: &GroupedConv2d, g: &[f32], weight: &[f32], dx: &mut [f32]) {
    conv.check();
    conv.check_len("g", g.len(), conv.output_len());
    conv.check_len("dx", dx.len(), conv.input_len());
    conv.check_len("weight", weight.len(), conv.weight_len());
    if let Some(dense) = conv.dense() {
        conv::backward_input(&dense, g, weight, dx);
    } else if dx.is_empty() || g.is_empty() {
        dx.fill(0.0);
    } else if depthwise::suits(conv) {
        depthwise::backward_input(conv, g, weight, dx);
    } else {
        columns::backward_input(conv, g, weight, dx);
    }
}

/// Gradient to the weights and the bias, summed over the batch.
///
/// `x`: n x h x w x cin; `g`: n x out_h x out_w x cout; `dw`: cout x cin / groups x kh x kw, overwritten; `db`: cout,
/// overwritten.
///
/// # Panics
/// If a slice has the wrong length, or the sizes make no convolution.
pub fn backward_weight(conv: &GroupedConv2d, x: &[f32], g: &[f32], dw: &mut [f32], db: Option<&mut [f32]>) {
    conv.check();
    conv.check_len("x", x.len(), conv.input_len());
    conv.check_len("g", g.len(), conv.output_len());
    conv.check_len("dw", dw.len(), conv.weight_len());
    if let Some(dense) = conv.dense() {
        return conv::backward_weight(&dense, x, g, dw, db);
    }
    if dw.is_empty() || g.is_empty() {
        dw.fill(0.0);
    } else if depthwise::suits(conv) {
        depthwise::backward_weight(conv, x, g, dw);
    } else {
        columns::backward_weight(conv, x, g, dw);
    }
    if let Some(db) = db {
        conv.check_len("db", db.len(), conv.cout);
        wgrad::channel_sums(g, conv.cout, db);
    }
}
