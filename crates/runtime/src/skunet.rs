//! The SK-UNet of URIE (Son et al., "URIE: Universal Image Enhancement for Visual Recognition in the Wild", ECCV 2020,
//! arXiv 2007.08979), in inference mode.
//!
//! Beside the image it holds at most 76 floats a pixel: the stem's 32 maps, up to 32 of the two branches of a block, and 12
//! of the halves. What a block reads is joined, doubled and normalised row by row as the convolutions ask for it; no
//! normalised or joined map is ever stored.

use dyntta_kernels::pool::MaxPool;

use crate::fused::{self, CELLS, Coarse, Joined, Normalise};
use crate::layers::{Conv, EPSILON, Norm, Size, Winograd};
use crate::params::{Init, Params};
use crate::workspace::{BlockBuffers, NetworkBuffers};

/// The smallest side it takes: two poolings leave one pixel of four.
pub(crate) const MIN_SIDE: usize = 4;

/// Channels after the stem, at half and quarter size, and on the way up at half and full size.
const FULL: usize = 32;
const HALF: usize = 64;
const QUARTER: usize = 64;
const UP_HALF: usize = 32;
const UP_FULL: usize = 16;

/// The gate's hidden layer is this much smaller than its input.
const REDUCTION: usize = 16;

/// Two branches, one on batch-normalised and one on instance-normalised input, blended by a gate of one weight a channel
/// and cell.
struct SelectiveConv {
    norm: Norm,
    a: Winograd,
    b: Winograd,
    squeeze: Conv,
    /// The difference of the two attention layers: a softmax over two is a sigmoid of it.
    attend: Conv,
}

impl SelectiveConv {
    fn load(params: &mut Params, key: &str, input: usize, output: usize) -> Self {
        let norm = Norm::load(params, &format!("{key}.bn"), input);
        let a = Winograd::load(params, &format!("{key}.conv_a"), (input, output));
        let b = Winograd::load(params, &format!("{key}.conv_b"), (input, output));

        // In the file the gate's features lie channel first, here cell first.
        let flat = CELLS * CELLS * output;
        let hidden = flat / REDUCTION;
        let from = |i: usize| i % output * CELLS * CELLS + i / output;
        let init = Init::Uniform { fan_in: flat };
        let squeeze = params.take(&format!("{key}.squeeze.weight"), &[hidden, flat], init);
        let squeeze: Vec<f32> =
            squeeze.chunks_exact(flat).flat_map(|row| (0..flat).map(|i| row[from(i)])).collect();
        let mut attend = |branch: &str| {
            let init = Init::Uniform { fan_in: hidden };
            let weight =
                params.take(&format!("{key}.attend_{branch}.weight"), &[flat, hidden], init).to_vec();
            (weight, params.take(&format!("{key}.attend_{branch}.bias"), &[flat], init).to_vec())
        };
        let ((weight_a, bias_a), (weight_b, bias_b)) = (attend("a"), attend("b"));
        let weight: Vec<f32> = (0..flat)
            .flat_map(|i| {
                let row = from(i) * hidden;
                (row..row + hidden).map(|j| weight_a[j] - weight_b[j])
            })
            .collect();
        let bias = (0..flat).map(|i| bias_a[from(i)] - bias_b[from(i)]).collect();
        Self {
            norm,
            a,
            b,
            squeeze: Conv::linear(flat, hidden, &squeeze, None),
            attend: Conv::linear(hidden, flat, &weight, Some(bias)),
        }
    }

    /// `a` gets the result, n x h x w x output; `b`, of the same length, is scratch.
    fn forward(&self, x: &Joined<'_>, a: &mut [f32], b: &mut [f32], buffers: &mut BlockBuffers) {
        let BlockBuffers { rows, moments, pooled, hidden, share } = buffers;
        let Joined { n, h, w, .. } = *x;
        let (c, cout) = (x.channels(), self.a.cout());
        let moments = moments.ensure(n * 2 * c);
        fused::instance_moments(x, EPSILON, rows.ensure(n * h * 2 * c), moments);
        let batch = Normalise::Batch { scale: &self.norm.scale, shift: &self.norm.shift };
        let branch = |conv: &Winograd, by: Normalise<'_>, y: &mut [f32]| {
            let fill = |n, y, x0, row: &mut [f32]| fused::normalise(x, by, [n, y, x0], row);
            conv.forward_rows([n, h, w], &fill, y);
        };
        rayon::join(|| branch(&self.a, batch, a), || branch(&self.b, Normalise::Instance { moments }, b));

        let flat = CELLS * CELLS * cout;
        let pooled = pooled.ensure(n * flat);
        fused::pool_sum(h, w, cout, a, b, pooled);
        let hidden = hidden.ensure(n * self.squeeze.cout());
        self.squeeze.forward([n, 1, 1], pooled, hidden);
        fused::relu(hidden);
        let share = share.ensure(n * flat);
        self.attend.forward([n, 1, 1], hidden, share);
        share.iter_mut().for_each(|s| *s = 1.0 / (1.0 + (-*s).exp()));
        fused::gate(h, w, cout, a, b, share);
    }
}

/// The network but for its last addition: image in, residual out.
pub(crate) struct SkUnet {
    stem: Conv,
    down1: SelectiveConv,
    down2: SelectiveConv,
    up1: SelectiveConv,
    up2: SelectiveConv,
    head: Conv,
}

impl SkUnet {
    /// `prefix` is empty or ends in a dot.
    pub fn load(params: &mut Params, prefix: &str) -> Self {
        let key = |name: &str| format!("{prefix}{name}");
        let stem = Size { channels: (3, FULL), side: 9, stride: 1, pad: 4 };
        let head = Size { channels: (UP_FULL, 3), side: 3, stride: 1, pad: 1 };
        Self {
            stem: Conv::load(params, &key("stem"), stem, true),
            down1: SelectiveConv::load(params, &key("down1"), FULL, HALF),
            down2: SelectiveConv::load(params, &key("down2"), HALF, QUARTER),
            up1: SelectiveConv::load(params, &key("up1"), HALF + QUARTER, UP_HALF),
            up2: SelectiveConv::load(params, &key("up2"), FULL + UP_HALF, UP_FULL),
            head: Conv::load(params, &key("head"), head, true),
        }
    }

    /// The residual of `image`, both n x h x w x 3, no side below [`MIN_SIDE`].
    pub fn residual<'a>(
        &self,
        [n, h, w]: [usize; 3],
        image: &[f32],
        buffers: &'a mut NetworkBuffers,
    ) -> &'a [f32] {
        let NetworkBuffers { full, half, quarter, between, branch, block } = buffers;
        // The full map is at least as large as what the half ones hold, rounded down.
        let pixels = n * h * w;
        let (hh, hw) = (h / 2, w / 2);
        let (qh, qw) = (hh / 2, hw / 2);
        let (half_pixels, quarter_pixels) = (n * hh * hw, n * qh * qw);
        let full = full.ensure(pixels * FULL);
        let half = half.ensure((half_pixels * HALF).max(pixels * UP_FULL));
        let quarter = quarter.ensure(quarter_pixels * QUARTER);
        let between = between.ensure((half_pixels * FULL.max(UP_HALF)).max(pixels * 3));
        let branch = branch.ensure((half_pixels * HALF.max(UP_HALF)).max(pixels * UP_FULL));

        self.stem.forward([n, h, w], image, full);
        let pool = |h, w, c, x: &[f32], y: &mut [f32]| {
            fused::max_pool(&MaxPool { n, h, w, c, k: 2, stride: 2, pad: 0 }, x, y);
        };
        {
            let pooled = &mut between[..half_pixels * FULL];
            pool(h, w, FULL, full, pooled);
            let x = Joined { n, h: hh, w: hw, fine: pooled, fine_c: FULL, coarse: None };
            let len = half_pixels * HALF;
            self.down1.forward(&x, &mut half[..len], &mut branch[..len], block);
        }
        {
            let pooled = &mut between[..quarter_pixels * HALF];
            pool(hh, hw, HALF, &half[..half_pixels * HALF], pooled);
            let x = Joined { n, h: qh, w: qw, fine: pooled, fine_c: HALF, coarse: None };
            self.down2.forward(&x, quarter, &mut branch[..quarter_pixels * QUARTER], block);
        }
        {
            let coarse = Some(Coarse { x: quarter, h: qh, w: qw, c: QUARTER });
            let fine = &half[..half_pixels * HALF];
            let x = Joined { n, h: hh, w: hw, fine, fine_c: HALF, coarse };
            let len = half_pixels * UP_HALF;
            self.up1.forward(&x, &mut between[..len], &mut branch[..len], block);
        }
        {
            let coarse = Some(Coarse { x: &between[..half_pixels * UP_HALF], h: hh, w: hw, c: UP_HALF });
            let x = Joined { n, h, w, fine: full, fine_c: FULL, coarse };
            let len = pixels * UP_FULL;
            self.up2.forward(&x, &mut half[..len], &mut branch[..len], block);
        }
        let residual = &mut between[..pixels * 3];
        self.head.forward([n, h, w], &half[..pixels * UP_FULL], residual);
        residual
    }
}
