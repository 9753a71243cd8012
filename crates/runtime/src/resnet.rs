//! The control network: a ResNet-18 with torchvision's layout and key names (He et al., "Deep Residual Learning for Image
//! Recognition", CVPR 2016, arXiv 1512.03385), its batch norms folded into the convolutions before them.

use dyntta_kernels::pool::{AvgPool, MaxPool, adaptive_avg_pool_forward};

use crate::fused;
use crate::layers::{Conv, Size};
use crate::params::{Init, Params};
use crate::workspace::ControlBuffers;

const STEM: usize = 64;
const LAST: usize = 512;

struct Block {
    conv1: Conv,
    conv2: Conv,
    downsample: Option<Conv>,
}

pub(crate) struct ResNet18 {
    stem: Conv,
    blocks: Vec<Block>,
    last: Conv,
}

impl ResNet18 {
    /// With `outputs` outputs; `prefix` is empty or ends in a dot.
    pub fn load(params: &mut Params, prefix: &str, outputs: usize) -> Self {
        let mut conv = |conv: String, norm: String, channels, side, stride| {
            let size = Size { channels, side, stride, pad: side / 2 };
            Conv::load_normalised(params, &format!("{prefix}{conv}"), &format!("{prefix}{norm}"), size)
        };
        let stem = conv("conv1".into(), "bn1".into(), (3, STEM), 7, 2);
        let mut blocks = Vec::new();
        let mut input = STEM;
        for stage in 0..4 {
            let width = STEM << stage;
            for i in 0..2 {
                let at = format!("layer{}.{i}", stage + 1);
                let stride = if i == 0 && stage > 0 { 2 } else { 1 };
                let mut part = |name: &str, norm: &str, channels, side, stride| {
                    conv(format!("{at}.{name}"), format!("{at}.{norm}"), channels, side, stride)
                };
                blocks.push(Block {
                    conv1: part("conv1", "bn1", (input, width), 3, stride),
                    conv2: part("conv2", "bn2", (width, width), 3, 1),
                    downsample: (input != width)
                        .then(|| part("downsample.conv", "downsample.bn", (input, width), 1, stride)),
                });
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
        let ControlBuffers { view, x, inner, y, pooled, out } = buffers;
        let on = self.stem.on(n, h, w);
        let (mut h, mut w) = (on.out_h(), on.out_w());
        let pool = MaxPool { n, h, w, c: STEM, k: 3, stride: 2, pad: 1 };
        // On small images the channels grow faster than the pixels shrink: any block may have the most.
        let (mut most, mut at) = (pool.output_len(), (pool.out_h(), pool.out_w()));
        for block in &self.blocks {
            let on = block.conv1.on(n, at.0, at.1);
            at = (on.out_h(), on.out_w());
            most = most.max(on.output_len());
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
            let on = block.conv1.on(n, h, w);
            let (oh, ow, len) = (on.out_h(), on.out_w(), on.output_len());
            let input = &x[..n * h * w * c];
            block.conv1.forward([n, h, w], input, &mut inner[..len]);
            fused::relu(&mut inner[..len]);
            block.conv2.forward([n, oh, ow], &inner[..len], &mut y[..len]);
            match &block.downsample {
                None => fused::add_relu(&mut y[..len], input),
                Some(conv) => {
                    conv.forward([n, h, w], input, &mut inner[..len]);
                    fused::add_relu(&mut y[..len], &inner[..len]);
                }
            }
            std::mem::swap(&mut x, &mut y);
            (h, w, c) = (oh, ow, on.cout);
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
