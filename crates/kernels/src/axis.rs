//! What a convolution reads along one axis, for any stride, padding and dilation; forward, and backward to the input.

/// The outputs `first`, `first + step`, .. (`count` of them) of an axis, which use the same taps: output `j` of them reads, with
/// tap `k`, input `j * in_step + offset`, or zero where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Phase {
    pub first: usize,
    pub step: usize,
    pub count: usize,
    pub in_step: usize,
    /// (tap, offset)
    pub taps: Vec<(usize, isize)>,
}

/// Outputs of a phase that find the same taps inside the input, from one to the next `in_step` inputs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub first: usize,
    pub step: usize,
    pub count: usize,
    pub in_step: usize,
    /// (tap, input that the first output reads)
    pub taps: Vec<(usize, usize)>,
}

/// One axis of a convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    pub size: usize,
    pub kernel: usize,
    pub stride: usize,
    pub pad_before: usize,
    pub pad_after: usize,
    pub dilation: usize,
}

impl Axis {
    /// Outputs; 0 if the kernel does not fit.
    pub fn out(&self) -> usize {
        let reach = (self.kernel - 1) * self.dilation + 1;
        let padded = self.size + self.pad_before + self.pad_after;
        if self.size == 0 || padded < reach { 0 } else { (padded - reach) / self.stride + 1 }
    }

    /// The forward pass: one phase.
    pub fn forward(&self) -> Phase {
        let offset = |k: usize| (k * self.dilation) as isize - self.pad_before as isize;
        let taps = (0..self.kernel).map(|k| (k, offset(k))).collect();
        Phase { first: 0, step: 1, count: self.out(), in_step: self.stride, taps }
    }

    /// The gradient to the input, a phase for each residue of the stride: input `i = stride * j + r` is read by output `o` with
    /// tap `k` where `i + pad = stride * o + dilation * k`, so `o = j + (r + pad - dilation * k) / stride`.
    pub fn backward(&self) -> Vec<Phase> {
        let phase = |r: usize| {
            let shift = |k: usize| (r + self.pad_before) as isize - (k * self.dilation) as isize;
            let stride = self.stride as isize;
            // Backwards, so that inputs come in order.
            let taps = (0..self.kernel)
                .rev()
                .filter(|k| shift(*k).rem_euclid(stride) == 0)
                .map(|k| (k, shift(k).div_euclid(stride)))
                .collect();
            let count = (self.size - r).div_ceil(self.stride);
            Phase { first: r, step: self.stride, count, in_step: 1, taps }
        };
        (0..self.stride.min(self.size)).map(phase).collect()
    }
}

impl Phase {
    /// Cuts the outputs into runs, where the input has `size`.
    pub fn runs(&self, size: usize) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        // The last run's first output, as a number of this phase.
        let mut start = 0;
        for j in 0..self.count {
            let at = (j * self.in_step) as isize;
            let inside = self.taps.iter().filter(|t| (0..size as isize).contains(&(at + t.1)));
            let taps: Vec<_> = inside.map(|t| (t.0, (at + t.1) as usize)).collect();
            match runs.last_mut() {
                Some(run) if run.taps.iter().map(|t| t.0).eq(taps.iter().map(|t| t.0)) => {
                    run.count = j - start + 1;
                    continue;
                }
                _ => {}
            }
            start = j;
            let first = self.first + j * self.step;
            runs.push(Run { first, step: self.step, count: 1, in_step: self.in_step, taps });
        }
        runs
    }
}
