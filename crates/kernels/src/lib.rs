//! CPU convolution and its companions, forward and backward.
//!
//! Everything works on plain slices of `f32`, NHWC (`[image][row][column][channel]`) unless a function says otherwise, and
//! writes into slices the caller owns. Each pass is cut into tasks by the shape alone and sums in a fixed order, so a
//! result does not depend on the number of rayon threads. The instruction set is chosen at run time, see [`dyntta_simd`].
//!
//! Lengths are checked: a slice that does not fit the shape is a bug of the caller and panics.

pub mod act;
mod axis;
mod band;
mod buffer;
mod columns;
pub mod conv;
mod depthwise;
pub mod gate;
mod gather;
pub mod grouped;
pub mod join;
mod lanewise;
pub mod layer_norm;
pub mod layout;
mod micro;
pub mod norm;
pub mod optimizer;
mod pack;
mod planar;
pub mod pointwise;
pub mod pool;
pub mod pool2d;
mod transpose;
pub mod two_norms;
pub mod upsample;
mod wgrad;
pub mod winograd;

pub use act::Activation;
pub use conv::Conv2d;
pub use grouped::GroupedConv2d;
