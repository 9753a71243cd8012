//! Convolutions and linear layers with weights packed once, and batch norms folded into them.

use dyntta_kernels::winograd::{self, Epilogue, PackedWinograd};
use dyntta_kernels::{Conv2d, conv};

use crate::params::{Init, Params};

/// PyTorch's default for normalisation layers.
pub(crate) const EPSILON: f32 = 1e-5;

/// A convolution of NHWC activations, its weights packed.
pub(crate) struct Conv {
    /// Without the sizes of the input.
    on: Conv2d,
    packed: conv::PackedWeights,
    bias: Option<Vec<f32>>,
}

/// Channels in and out, kernel side, stride and padding.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub channels: (usize, usize),
    pub side: usize,
    pub stride: usize,
    pub pad: usize,
}

impl Size {
    fn on(self) -> Conv2d {
        let Size { channels: (cin, cout), side, stride, pad } = self;
        Conv2d { n: 0, h: 0, w: 0, cin, cout, kh: side, kw: side, stride, pad }
    }

    fn shape(self) -> [usize; 4] {
        [self.channels.1, self.channels.0, self.side, self.side]
    }

    fn fan_in(self) -> usize {
        self.channels.0 * self.side * self.side
    }
}

/// A 3 x 3 convolution of stride 1 and padding 1 by minimal filtering, for channels in multiples of 16.
pub(crate) struct Winograd {
    packed: PackedWinograd,
    bias: Option<Vec<f32>>,
}

impl Winograd {
    /// `key.weight`, without bias.
    pub fn load(params: &mut Params, key: &str, (cin, cout): (usize, usize)) -> Self {
        let size = Size { channels: (cin, cout), side: 3, stride: 1, pad: 1 };
        let init = Init::Uniform { fan_in: size.fan_in() };
        let weight = params.take(&format!("{key}.weight"), &size.shape(), init);
        Self { packed: winograd::pack(cin, cout, weight), bias: None }
    }

    /// As [`Conv::load_normalised`].
    pub fn load_normalised(params: &mut Params, conv: &str, norm: &str, (cin, cout): (usize, usize)) -> Self {
        let size = Size { channels: (cin, cout), side: 3, stride: 1, pad: 1 };
        let (weight, bias) = normalised(params, conv, norm, size);
        Self { packed: winograd::pack(cin, cout, weight), bias: Some(bias) }
    }

    /// Output channels.
    pub fn cout(&self) -> usize {
        self.packed.cout()
    }

    /// Writes `n` x `h` x `w` x cout to `y`: `relu(conv(x) + residual)`, the residual if there is one.
    pub fn forward_relu(&self, size: [usize; 3], x: &[f32], residual: Option<&[f32]>, y: &mut [f32]) {
        let epilogue = Epilogue { bias: self.bias.as_deref(), residual, relu: true };
        winograd::forward(size, x, &self.packed, &epilogue, y);
    }

    /// Writes `n` x `h` x `w` x cout to `y`, from the rows that `fill` makes: see [`winograd::forward_rows`].
    pub fn forward_rows(
        &self,
        size: [usize; 3],
        fill: &(impl Fn(usize, usize, usize, &mut [f32]) + Sync),
        y: &mut [f32],
    ) {
        let epilogue = Epilogue { bias: self.bias.as_deref(), ..Epilogue::default() };
        winograd::forward_rows(size, fill, &self.packed, &epilogue, y);
    }
}

/// `conv.weight` with the scale of the batch norm `norm` that follows it, and that norm's shift.
fn normalised<'a>(params: &'a mut Params, conv: &str, norm: &str, size: Size) -> (&'a mut [f32], Vec<f32>) {
    let cout = size.channels.1;
    let init = Init::Normal { fan_out: cout * size.side * size.side };
    let norm = Norm::load(params, norm, cout);
    let weight = params.take(&format!("{conv}.weight"), &size.shape(), init);
    for (weights, scale) in weight.chunks_exact_mut(size.fan_in()).zip(&norm.scale) {
        weights.iter_mut().for_each(|w| *w *= scale);
    }
    (weight, norm.shift)
}

impl Conv {
    fn new(on: Conv2d, weight: &[f32], bias: Option<Vec<f32>>) -> Self {
        Self { on, packed: conv::pack_forward(&on, weight), bias }
    }

    /// `key.weight` and, where asked for, `key.bias`.
    pub fn load(params: &mut Params, key: &str, size: Size, bias: bool) -> Self {
        let init = Init::Uniform { fan_in: size.fan_in() };
        let bias = bias.then(|| params.take(&format!("{key}.bias"), &[size.channels.1], init).to_vec());
        Self::new(size.on(), params.take(&format!("{key}.weight"), &size.shape(), init), bias)
    }

    /// `conv.weight` with the batch norm that follows it folded in.
    pub fn load_normalised(params: &mut Params, conv: &str, norm: &str, size: Size) -> Self {
        let (weight, bias) = normalised(params, conv, norm, size);
        Self::new(size.on(), weight, Some(bias))
    }

    /// A fully connected layer; `weight` is `[output, input]`.
    pub fn linear(input: usize, output: usize, weight: &[f32], bias: Option<Vec<f32>>) -> Self {
        Self::new(Size { channels: (input, output), side: 1, stride: 1, pad: 0 }.on(), weight, bias)
    }

    /// Output channels.
    pub fn cout(&self) -> usize {
        self.on.cout
    }

    /// The convolution of `n` images of `h` x `w`.
    pub fn on(&self, n: usize, h: usize, w: usize) -> Conv2d {
        Conv2d { n, h, w, ..self.on }
    }

    /// Writes `n` x `out_h` x `out_w` x cout to `y`.
    pub fn forward(&self, [n, h, w]: [usize; 3], x: &[f32], y: &mut [f32]) {
        conv::forward_packed(&self.on(n, h, w), x, &self.packed, self.bias.as_deref(), y);
    }
}

/// A batch norm in inference mode: `x * scale + shift` by channel.
pub(crate) struct Norm {
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
}

impl Norm {
    /// `key.weight`, `key.bias`, `key.running_mean` and `key.running_var`.
    pub fn load(params: &mut Params, key: &str, channels: usize) -> Self {
        let mut take = |leaf: &str, value| {
            params.take(&format!("{key}.{leaf}"), &[channels], Init::Constant(value)).to_vec()
        };
        let (weight, bias) = (take("weight", 1.0), take("bias", 0.0));
        let (mean, variance) = (take("running_mean", 0.0), take("running_var", 1.0));
        let scale: Vec<f32> = weight.iter().zip(&variance).map(|(w, v)| w / (v + EPSILON).sqrt()).collect();
        let shift = (0..channels).map(|c| bias[c] - mean[c] * scale[c]).collect();
        Self { scale, shift }
    }
}
