//! Images, random streams and shapes: the ground under every dyntta crate.
//!
//! Two representations are used everywhere:
//! - [`Rgb8`]: 8-bit RGB, rows from the top, interleaved (HWC); what files hold and corruptions work on;
//! - planar `f32` slices in `0..=1`, channel after channel (CHW, batches NCHW); what the augmentation bank works on.

mod rgb8;
mod stream;

pub use rgb8::Rgb8;
pub use stream::Stream;
