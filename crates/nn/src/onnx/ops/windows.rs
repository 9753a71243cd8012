//! How windows lie on an image: of convolutions and pools.

use burn::tensor::Tensor;

use crate::onnx::ir::Node;

/// Larger strides, kernels and borders than any network has: numbers from a damaged file.
pub const TOO_LARGE: usize = 1 << 12;

/// The settings that `Conv` and the pools share, of as many axes as the images have beside batch and channels.
#[derive(Clone, Debug)]
pub struct Windows {
    strides: Option<Vec<usize>>,
    dilations: Option<Vec<usize>>,
    border: Border,
}

#[derive(Clone, Debug)]
enum Border {
    /// This much before each axis, then this much after each.
    Pads(Vec<usize>),
    /// Nothing.
    None,
    /// As much as makes the output `⌈size / stride⌉`; what doesn't divide by two goes after, or before.
    Same { upper: bool },
}

/// How windows lie along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// The step from one window to the next.
    pub stride: usize,
    /// The step between the taps of one.
    pub dilation: usize,
    /// How many taps it has.
    pub kernel: usize,
    /// The padding before.
    pub before: usize,
    /// The padding after.
    pub after: usize,
}

impl Axis {
    /// An axis along which nothing happens.
    pub const NONE: Self = Self { stride: 1, dilation: 1, kernel: 1, before: 0, after: 0 };

    /// How many pixels a window spans.
    pub fn reach(&self) -> usize {
        self.dilation * (self.kernel - 1) + 1
    }

    /// How many windows there are on so many pixels.
    ///
    /// # Errors
    /// If there is none.
    pub fn count(&self, size: usize) -> Result<usize, String> {
        let room = (size + self.before + self.after).checked_sub(self.reach());
        match room {
            Some(room) => Ok(room / self.stride + 1),
            None => Err(format!("windows of {} pixels on {size}", self.reach())),
        }
    }
}

/// The attribute `kernel_shape`, where given.
///
/// # Errors
/// If it is of no, or more than three, axes, or out of bounds.
pub fn kernel_shape(node: &Node) -> Result<Option<Vec<usize>>, String> {
    let list = node.attributes.extents("kernel_shape")?;
    if let Some(list) = list.as_ref().filter(|l| !(1..4).contains(&l.len())) {
        return Err(format!("kernel_shape = {list:?}: one to three axes are supported"));
    }
    bounded("kernel_shape", list)
}

fn bounded(name: &str, list: Option<Vec<usize>>) -> Result<Option<Vec<usize>>, String> {
    match list.as_ref().filter(|l| !l.iter().all(|v| (1..TOO_LARGE).contains(v))) {
        Some(list) => Err(format!("{name} = {list:?}: numbers from 1 up to {TOO_LARGE} are supported")),
        None => Ok(list),
    }
}

impl Windows {
    /// From a node's attributes.
    ///
    /// # Errors
    /// If one is out of bounds.
    pub fn new(node: &Node) -> Result<Self, String> {
        let list = |name: &str| bounded(name, node.attributes.extents(name)?);
        let border = match node.attributes.string("auto_pad", "NOTSET").as_str() {
            "NOTSET" | "" => match node.attributes.extents("pads")? {
                None => Border::None,
                Some(pads) if pads.iter().all(|&v| v < TOO_LARGE) => Border::Pads(pads),
                Some(pads) => return Err(format!("pads = {pads:?}: up to {TOO_LARGE} are supported")),
            },
            "VALID" => Border::None,
            "SAME_UPPER" => Border::Same { upper: true },
            "SAME_LOWER" => Border::Same { upper: false },
            other => return Err(format!("auto_pad = {other}")),
        };
        Ok(Self { strides: list("strides")?, dilations: list("dilations")?, border })
    }

    /// Whether the borders are to be as wide as the strides ask for; then whether what is odd goes after the image.
    pub fn same(&self) -> Option<bool> {
        if let Border::Same { upper } = self.border { Some(upper) } else { None }
    }

    /// The axes of windows with `kernel` taps on images of `size`.
    ///
    /// # Errors
    /// If the settings are for another number of axes.
    pub fn axes(&self, size: &[usize], kernel: &[usize]) -> Result<Vec<Axis>, String> {
        let rank = size.len();
        let ones = vec![1; rank];
        let strides = self.strides.as_ref().unwrap_or(&ones);
        let dilations = self.dilations.as_ref().unwrap_or(&ones);
        let fits = [strides.len(), dilations.len(), kernel.len()] == [rank; 3]
            && !matches!(&self.border, Border::Pads(p) if p.len() != 2 * rank);
        if !fits {
            return Err(format!("kernel, strides, dilations and pads are not for the {rank} axes of {size:?}"));
        }
        if let Some(&bad) = kernel.iter().find(|k| !(1..TOO_LARGE).contains(*k)) {
            return Err(format!("a kernel of {bad} pixels"));
        }
        let axis = |i: usize| {
            let (stride, dilation, kernel) = (strides[i], dilations[i], kernel[i]);
            let mut axis = Axis { stride, dilation, kernel, before: 0, after: 0 };
            match &self.border {
                Border::None => {}
                Border::Pads(pads) => (axis.before, axis.after) = (pads[i], pads[i + rank]),
                Border::Same { upper } => {
                    let steps = size[i].div_ceil(stride).saturating_sub(1);
                    let total = (steps * stride + axis.reach()).saturating_sub(size[i]);
                    let (small, large) = (total / 2, total - total / 2);
                    (axis.before, axis.after) = if *upper { (small, large) } else { (large, small) };
                }
            }
            axis
        };
        Ok((0..rank).map(axis).collect())
    }
}

/// Pads `[n, h, w, c]` by `(top, bottom)` rows and `(left, right)` columns of `value`.
pub fn pad(x: Tensor<4>, pads: [(usize, usize); 2], value: f32) -> Tensor<4> {
    pads.into_iter().zip([1, 2]).fold(x, |x, ((before, after), axis)| {
        if before + after == 0 {
            return x;
        }
        let device = x.device().without_autodiff();
        let strip = |size: usize| {
            let mut shape = x.dims();
            shape[axis] = size;
            Tensor::<4>::full(shape, value, &device)
        };
        let mut parts = vec![x.clone()];
        if before > 0 {
            parts.insert(0, strip(before));
        }
        if after > 0 {
            parts.push(strip(after));
        }
        Tensor::cat(parts, axis)
    })
}
