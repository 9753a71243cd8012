//! CPU convolution and its companions, forward and backward.
//!
//! Everything works on plain slices of `f32`, NHWC (`[image][row][column][channel]`) unless a function says otherwise, and
//! writes into slices the caller owns. Each pass is cut into tasks by the shape alone and sums in a fixed order, so a
//! result does not depend on the number of rayon threads. The instruction set is chosen at run time, see [`simd`].
//!
//! Lengths are checked: a slice that does not fit the shape is a bug of the caller and panics.

mod band;
mod buffer;
pub mod conv;
mod gather;
pub mod layout;
mod micro;
pub mod naive;
mod pack;
pub mod simd;
mod wgrad;

pub use conv::Conv2d;
