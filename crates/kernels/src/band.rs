//! Cutting a convolution's output pixels into tasks, and the input each task reads.
//!
//! A task is a rectangle of work: some whole images, or some rows of one image. Where the kernel reaches over the
//! border, the task's input rows are copied with zeros around them into a band that stays in the second-level cache;
//! where it does not, the tensor is read in place.

use crate::buffer::Aligned;

/// One pass over a tensor: `out[oy][ox] = sum over taps of in[oy * stride - pad_y + ky][ox * stride - pad_x + kx]`, with
/// zeros outside, for the `oh` x `ow` outputs that go to every `out_step`-th pixel of an `out_h` x `out_w` tensor.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    pub n: usize,
    pub ih: usize,
    pub iw: usize,
    /// Input channels.
    pub ic: usize,
    pub oh: usize,
    pub ow: usize,
    /// Output channels.
    pub oc: usize,
    pub kh: usize,
    pub kw: usize,
    pub stride: usize,
    pub pad_y: isize,
    pub pad_x: isize,
    pub out_h: usize,
    pub out_w: usize,
    pub out_step: usize,
    pub out_y: usize,
    pub out_x: usize,
}

/// Images `n0..n1`, output rows `y0..y1` of each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Band {
    pub n0: usize,
    pub n1: usize,
    pub y0: usize,
    pub y1: usize,
}

/// The bands of a pass: `groups` of images, or `per_image` runs of rows of each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bands {
    n: usize,
    oh: usize,
    groups: usize,
    per_image: usize,
}

impl Bands {
    pub fn len(&self) -> usize {
        self.groups * self.per_image
    }

    pub fn get(&self, i: usize) -> Band {
        let Bands { n, oh, groups, per_image } = *self;
        let (group, part) = (i / per_image, i % per_image);
        Band {
            n0: group * n / groups,
            n1: (group + 1) * n / groups,
            y0: part * oh / per_image,
            y1: (part + 1) * oh / per_image,
        }
    }
}

/// Floats of padded input one task may hold: half a megabyte.
const BAND_FLOATS: usize = 128 << 10;
/// Floats a copied band can be read beyond its end: a tile of vectors.
pub(crate) const BAND_SLACK: usize = 256;
/// Tasks wanted, whatever the number of threads (the cut must not depend on it).
pub(crate) const TASKS: usize = 16;
/// Fewest pixels worth a task of their own.
const MIN_PIXELS: usize = 56;

/// Output indices `lo..hi` whose tap `k` falls inside `0..size`.
pub(crate) fn valid_outputs(k: usize, pad: isize, stride: usize, size: usize, out: usize) -> (usize, usize) {
    let s = stride as isize;
    // o * s - pad + k in 0..size
    let lo = (pad - k as isize + s - 1).div_euclid(s).max(0);
    let hi = (size as isize - 1 + pad - k as isize).div_euclid(s) + 1;
    let hi = hi.clamp(0, out as isize);
    (lo.min(hi) as usize, hi as usize)
}

/// Taps `lo..hi` that output `o` finds inside `0..size`.
pub(crate) fn valid_taps(o: usize, pad: isize, stride: usize, size: usize, k: usize) -> (usize, usize) {
    let base = (o * stride) as isize - pad;
    let hi = (size as isize - base).clamp(0, k as isize);
    let lo = (-base).clamp(0, hi);
    (lo as usize, hi as usize)
}

impl Geometry {
    pub fn pixels(&self) -> usize {
        self.n * self.oh * self.ow
    }

    /// Columns of a padded input row.
    pub fn band_w(&self) -> usize {
        (self.ow - 1) * self.stride + self.kw
    }

    /// Rows of padded input that `rows` output rows read.
    pub fn band_h(&self, rows: usize) -> usize {
        (rows - 1) * self.stride + self.kh
    }

    /// Whether any tap falls outside the input.
    pub fn reaches_out(&self) -> bool {
        self.pad_y > 0
            || self.pad_x > 0
            || self.band_h(self.oh) as isize - self.pad_y > self.ih as isize
            || self.band_w() as isize - self.pad_x > self.iw as isize
    }

    /// Where pixel (n, oy, ox) is written, in floats.
    pub fn out_at(&self, n: usize, oy: usize, ox: usize) -> usize {
        let (y, x) = (oy * self.out_step + self.out_y, ox * self.out_step + self.out_x);
        ((n * self.out_h + y) * self.out_w + x) * self.oc
    }

    /// Columns `lo..hi` of a padded row that lie inside the input, and the input column at `lo`.
    pub fn inside_columns(&self) -> (usize, usize, usize) {
        let lo = self.pad_x.clamp(0, self.band_w() as isize);
        let hi = (self.iw as isize + self.pad_x).clamp(lo, self.band_w() as isize);
        (lo as usize, hi as usize, (lo - self.pad_x).max(0) as usize)
    }

    /// Share of the taps that fall inside the input.
    pub fn inside(&self) -> f64 {
        let axis = |k: usize, pad: isize, size: usize, out: usize| -> f64 {
            let hits: usize = (0..k)
                .map(|t| {
                    let (lo, hi) = valid_outputs(t, pad, self.stride, size, out);
                    hi - lo
                })
                .sum();
            hits as f64 / (k * out) as f64
        };
        axis(self.kh, self.pad_y, self.ih, self.oh) * axis(self.kw, self.pad_x, self.iw, self.ow)
    }

    /// The tasks, in order.
    pub fn bands(&self) -> Bands {
        let image = self.band_h(self.oh) * self.band_w() * self.ic;
        let (n, oh) = (self.n, self.oh);
        if image <= BAND_FLOATS && self.n >= TASKS {
            let by_cache = BAND_FLOATS / image.max(1);
            let by_work = MIN_PIXELS.div_ceil(self.oh * self.ow).max(self.n / TASKS);
            let group = by_cache.min(by_work).clamp(1, self.n);
            Bands { n, oh, groups: self.n.div_ceil(group), per_image: 1 }
        } else {
            let row = self.band_w() * self.ic;
            let fit = (BAND_FLOATS / row.max(1)).saturating_sub(self.kh) / self.stride + 1;
            let by_work = MIN_PIXELS.div_ceil(self.ow).max(self.n * self.oh / TASKS);
            let per_image = self.oh.div_ceil(fit.min(by_work).clamp(1, self.oh));
            Bands { n, oh, groups: self.n, per_image }
        }
    }

    /// Makes the band's input ready: the floats to read from, and, in `off`, where in them each output pixel's first
    /// tap lies (image by image, row by row). Returns also the floats from one kernel row to the next.
    pub fn prepare<'a>(
        &self,
        x: &'a [f32],
        band: Band,
        buffer: &'a mut Aligned,
        off: &mut Vec<usize>,
    ) -> (&'a [f32], usize) {
        off.clear();
        let rows = band.y1 - band.y0;
        if !self.reaches_out() {
            // Both pads are zero or negative here.
            let (py, px) = (-self.pad_y as usize, -self.pad_x as usize);
            for n in band.n0..band.n1 {
                for oy in band.y0..band.y1 {
                    let at = ((n * self.ih + oy * self.stride + py) * self.iw + px) * self.ic;
                    off.extend((0..self.ow).map(|ox| at + ox * self.stride * self.ic));
                }
            }
            return (x, self.iw * self.ic);
        }
        let (bh, row) = (self.band_h(rows), self.band_w() * self.ic);
        let data = buffer.ensure((band.n1 - band.n0) * bh * row + BAND_SLACK);
        let (lo, hi, first) = self.inside_columns();
        for n in band.n0..band.n1 {
            for by in 0..bh {
                let at = ((n - band.n0) * bh + by) * row;
                let to = &mut data[at..at + row];
                let iy = (band.y0 * self.stride + by) as isize - self.pad_y;
                if iy < 0 || iy >= self.ih as isize || lo == hi {
                    to.fill(0.0);
                    continue;
                }
                let from = ((n * self.ih + iy as usize) * self.iw + first) * self.ic;
                to[..lo * self.ic].fill(0.0);
                to[lo * self.ic..hi * self.ic].copy_from_slice(&x[from..from + (hi - lo) * self.ic]);
                to[hi * self.ic..].fill(0.0);
            }
        }
        for n in 0..band.n1 - band.n0 {
            for oy in 0..rows {
                let at = (n * bh + oy * self.stride) * row;
                off.extend((0..self.ow).map(|ox| at + ox * self.stride * self.ic));
            }
        }
        (buffer.as_slice(), row)
    }

    /// Where each output pixel of the band is written, in the order of [`Geometry::prepare`].
    pub fn outputs(&self, band: Band, off: &mut Vec<usize>) {
        off.clear();
        for n in band.n0..band.n1 {
            for oy in band.y0..band.y1 {
                let (at, step) = (self.out_at(n, oy, 0), self.out_step * self.oc);
                off.extend((0..self.ow).map(|ox| at + ox * step));
            }
        }
    }
}
