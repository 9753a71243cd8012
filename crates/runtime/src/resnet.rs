//! The control network: a ResNet-18 with torchvision's layout and key names (He et al., "Deep Residual Learning for Image
//! Recognition", CVPR 2016, arXiv 1512.03385), its batch norms folded into the convolutions before them.

use dyntta_kernels::pool::{AvgPool, MaxPool, adaptive_avg_pool_forward};

use crate::fused;
use crate::layers::{Conv, Size, Winograd};
use crate::params::{Init, Params};
use crate::workspace::ControlBuffers;

const STEM: usize = 64;
const LAST: usize = 512;

struct Block {
    conv1: Conv3x3,
    conv2: Conv3x3,
    downsample: Option<Conv>,
    stride: usize,
    /// Output channels.
    width: usize,
}

/// Directly where the maps are small: minimal filtering has more weights to read.
enum Conv3x3 {
    Direct(Conv),
    Winograd(Winograd),
}

/// Stages whose convolutions of stride 1 go by minimal filtering.
const WINOGRAD_STAGES: usize = 2;

impl Conv3x3 {
    fn load(
        params: &mut Params,
        conv: &str,
        norm: &str,
        channels: (usize, usize),
        stride: usize,
        filtered: bool,
    ) -> Self {
        if filtered && stride == 1 {
            return Self::Winograd(Winograd::load_normalised(params, conv, norm, channels));
        }
        Self::Direct(Conv::load_normalised(params, conv, norm, Size { channels, side: 3, stride, pad: 1 }))
    }

    /// `y = relu(conv(x) + residual)`, the residual if there is one.
    fn forward_relu(&self, size: [usize; 3], x: &[f32], residual: Option<&[f32]>, y: &mut [f32]) {
        match self {
            Self::Winograd(conv) => conv.forward_relu(size, x, residual, y),
            Self::Direct(conv) => {
                conv.forward(size, x, y);
                match residual {
                    Some(residual) => fused::add_relu(y, residual),
                    None => fused::relu(y),
                }
            }
        }
    }
}

impl Block {
    /// Of its output, for inputs of `h` x `w`.
    fn size(&self, h: usize, w: usize) -> (usize, usize) {
        (h.div_ceil(self.stride), w.div_ceil(self.stride))
    }
}

pub(crate) struct ResNet18 {
    stem: Conv,
    blocks: Vec<Block>,
    last: Conv,
}

impl ResNet18 {
    /// With `outputs` outputs; `prefix` is empty or ends in a dot.
    pub fn load(params: &mut Params, prefix: &str, outputs: usize) -> Self {
        let size = Size { channels: (3, STEM), side: 7, stride: 2, pad: 3 };
        let stem = Conv::load_normalised(params, &format!("{prefix}conv1"), &format!("{prefix}bn1"), size);
        let mut blocks = Vec::new();
        let mut input = STEM;
        for stage in 0..4 {
            let width = STEM << stage;
            for i in 0..2 {
                let key = |part: &str| format!("{prefix}layer{}.{i}.{part}", stage + 1);
                let stride = if i == 0 && stage > 0 { 2 } else { 1 };
                let filtered = stage < WINOGRAD_STAGES;
                let conv1 =
                    Conv3x3::load(params, &key("conv1"), &key("bn1"), (input, width), stride, filtered);
                let conv2 = Conv3x3::load(params, &key("conv2"), &key("bn2"), (width, width), 1, filtered);
                let downsample = (input != width).then(|| {
                    let size = Size { channels: (input, width), side: 1, stride, pad: 0 };
                    Conv::load_normalised(params, &key("downsample.conv"), &key("downsample.bn"), size)
                });
                blocks.push(Block { conv1, conv2, downsample, stride, width });
                input = width;
            }
        }
        let init = Init::Uniform { fan_in: LAST };
        let bias = params.take(&format!("{prefix}fc.bias"), &[outputs], init).to_vec();
        let weight = params.take(&format!("{prefix}fc.weight"), &[outputs, LAST], init);
        Self { stem, blocks, last: Conv::linear(LAST, outputs, weight, Some(bias)) }
    }

    /// Normalised images in `buffers.view`, n x h x w x 3, to n x outputs in `buffers.out`.
    pub fn forward(&self, [n, h, w]: [usize; 3], buffers: &mut ControlBuffers) {
        let ControlBuffers { view, x, inner, y, shortcut, pooled, out } = buffers;
        let on = self.stem.on(n, h, w);
        let (mut h, mut w) = (on.out_h(), on.out_w());
        let pool = MaxPool { n, h, w, c: STEM, k: 3, stride: 2, pad: 1 };
        // On small images the channels grow faster than the pixels shrink: any block may have the most.
        let (mut most, mut at) = (pool.output_len(), (pool.out_h(), pool.out_w()));
        for block in &self.blocks {
            at = block.size(at.0, at.1);
            most = most.max(n * at.0 * at.1 * block.width);
        }
        let first = on.output_len();
        let inner = inner.ensure(first.max(most));
        let (mut x, mut y) = (x.ensure(most), y.ensure(most));
        self.stem.forward([n, on.h, on.w], view.ensure(on.input_len()), &mut inner[..first]);
        fused::relu(&mut inner[..first]);
        fused::max_pool(&pool, &inner[..first], &mut x[..pool.output_len()]);
        (h, w) = (pool.out_h(), pool.out_w());

        let mut c = STEM;
        for block in &self.blocks {
            let (oh, ow) = block.size(h, w);
            let len = n * oh * ow * block.width;
            let input = &x[..n * h * w * c];
            block.conv1.forward_relu([n, h, w], input, None, &mut inner[..len]);
            let residual = match &block.downsample {
                None => input,
                Some(conv) => {
                    let shortcut = shortcut.ensure(len);
                    conv.forward([n, h, w], input, shortcut);
                    shortcut
                }
            };
            block.conv2.forward_relu([n, oh, ow], &inner[..len], Some(residual), &mut y[..len]);
            std::mem::swap(&mut x, &mut y);
            (h, w, c) = (oh, ow, block.width);
        }
        let pooled = pooled.ensure(n * c);
        adaptive_avg_pool_forward(&AvgPool { n, h, w, c, oh: 1, ow: 1 }, &x[..n * h * w * c], pooled);
        self.last.forward([n, 1, 1], pooled, out.ensure(n * self.last.cout()));
    }

    /// Outputs.
    pub fn outputs(&self) -> usize {
        self.last.cout()
    }
}
