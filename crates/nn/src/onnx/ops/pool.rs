//! Pools over windows and over whole images.

use burn::tensor::module;
use burn::tensor::ops::AvgPoolOptions;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Tensor, TensorData};

use super::conv::{TOO_LARGE, Windows, pad};
use super::{Context, Inputs, Op, boxed, float};
use crate::onnx::ir::Node;
use crate::onnx::value::{Float, Value};
use crate::ops;

pub const OPS: &[(&str, super::Build)] = &[
    ("MaxPool", |n| pool(n, Kind::Max)),
    ("AveragePool", |n| {
        let count_padding = n.attributes.int("count_include_pad") == Some(1);
        pool(n, Kind::Average { count_padding })
    }),
    ("GlobalAveragePool", |_| boxed(Global { max: false })),
    ("GlobalMaxPool", |_| boxed(Global { max: true })),
];

#[derive(Clone, Copy, Debug)]
enum Kind {
    Max,
    Average { count_padding: bool },
}

#[derive(Debug)]
struct Pool {
    kind: Kind,
    kernel: [usize; 2],
    windows: Windows,
    /// Whether the last window may reach beyond the border.
    ceil: bool,
}

fn pool(node: &Node, kind: Kind) -> Result<Box<dyn Op>, String> {
    if node.has_output(1) {
        return Err("its second output, the indices".into());
    }
    let kernel = match node.attributes.extents("kernel_shape")?.as_deref() {
        Some(&[h, w]) if [h, w].iter().all(|v| (1..TOO_LARGE).contains(v)) => [h, w],
        other => return Err(format!("kernel_shape = {:?}: 2-D pools are supported", other.unwrap_or(&[]))),
    };
    let windows = Windows::new(node)?;
    if windows.dilation != [1, 1] && matches!(kind, Kind::Average { .. }) {
        return Err("dilations".into());
    }
    boxed(Pool { kind, kernel, windows, ceil: node.attributes.int("ceil_mode") == Some(1) })
}

impl Op for Pool {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.float(0)?;
        let [_, _, h, w] = x.four()?;
        let image = [h, w];
        let mut pads = self.windows.pads(image, self.kernel);
        let declared = pads;
        let mut size = [0; 2];
        for i in 0..2 {
            let (reach, stride) = (self.windows.reach(i, self.kernel), self.windows.stride[i]);
            let total = image[i] + pads[i].0 + pads[i].1;
            let Some(room) = total.checked_sub(reach) else {
                return Err(format!("windows of {reach} pixels on {h}x{w} ones"));
            };
            size[i] = room / stride + 1;
            // One more window, unless it would begin in the padding after the image.
            if self.ceil && !room.is_multiple_of(stride) && size[i] * stride < image[i] + pads[i].0 {
                pads[i].1 += size[i] * stride + reach - total;
                size[i] += 1;
            }
        }
        match self.kind {
            Kind::Max => self.max(x, pads),
            Kind::Average { count_padding } => self.average(x, pads, declared, size, count_padding),
        }
    }
}

impl Pool {
    fn max(&self, x: Float, pads: [(usize, usize); 2]) -> Result<Vec<Value>, String> {
        let ([kh, kw], [sh, sw]) = (self.kernel, self.windows.stride);
        let native = kh == kw && sh == sw && self.windows.dilation == [1, 1];
        let even = pads == [(pads[0].0, pads[0].0); 2];
        let x = x.nhwc()?;
        // Padding never wins: no activation is as low.
        let (x, p) = if native && even { (x, pads[0].0) } else { (pad(x, pads, f32::MIN), 0) };
        float(if native {
            Float::from_nhwc(ops::max_pool(x, kh, sh, p))
        } else {
            let options = MaxPoolOptions::new(self.kernel).with_stride(self.windows.stride);
            let options = options.with_dilation(self.windows.dilation);
            Float::from_tensor(module::max_pool2d(Float::from_nhwc(x).nchw()?, options))
        })
    }

    fn average(
        &self,
        x: Float,
        pads: [(usize, usize); 2],
        declared: [(usize, usize); 2],
        size: [usize; 2],
        count_padding: bool,
    ) -> Result<Vec<Value>, String> {
        let [_, _, h, w] = x.four()?;
        let image = [h, w];
        let unpadded = pads == [(0, 0); 2];
        // Cells that tile the image are what adaptive pooling averages over.
        if unpadded
            && size[0] == size[1]
            && self.windows.stride == self.kernel
            && [0, 1].iter().all(|&i| self.kernel[i] * size[i] == image[i])
            || unpadded && self.kernel == image
        {
            return float(Float::from_nhwc(ops::adaptive_avg_pool(x.nhwc()?, size[0])));
        }
        let device = x.clone().data().device().without_autodiff();
        let x = if unpadded { x } else { Float::from_nhwc(pad(x.nhwc()?, pads, 0.0)) };
        let options = AvgPoolOptions::new(self.kernel).with_stride(self.windows.stride);
        let y = module::avg_pool2d(x.nchw()?, options);
        if unpadded {
            return float(Float::from_tensor(y));
        }
        // The pixels that count in window o: those of the image and, where asked for, of the padding that was declared.
        let counts = [0, 1].map(|i| {
            let (low, high) = if count_padding {
                (0, image[i] + declared[i].0 + declared[i].1)
            } else {
                (pads[i].0, pads[i].0 + image[i])
            };
            let count = |o: usize| {
                let start = o * self.windows.stride[i];
                (start + self.kernel[i]).min(high).saturating_sub(start.max(low)).max(1)
            };
            (0..size[i]).map(|o| self.kernel[i] as f32 / count(o) as f32).collect::<Vec<_>>()
        });
        let rows = Tensor::<4>::from_data(TensorData::new(counts[0].clone(), [1, 1, size[0], 1]), &device);
        let columns = Tensor::<4>::from_data(TensorData::new(counts[1].clone(), [1, 1, 1, size[1]]), &device);
        float(Float::from_tensor(y * (rows * columns)))
    }
}

#[derive(Debug)]
struct Global {
    max: bool,
}

impl Op for Global {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.float(0)?.nhwc()?;
        float(Float::from_nhwc(if self.max { x.max_dim(1).max_dim(2) } else { ops::adaptive_avg_pool(x, 1) }))
    }
}
