//! Images, random streams and shapes: the ground under every dyntta crate.
//!
//! Two representations are used everywhere:
//! - [`Rgb8`]: 8-bit RGB, rows from the top, interleaved (HWC); what files hold and corruptions work on;
//! - planar `f32` slices in `0..=1`, channel after channel (CHW, batches NCHW); what the augmentation bank works on.

mod codec;
mod crop;
mod error;
mod input;
mod jpeg;
mod resize;
mod rgb8;
mod stream;

pub use codec::{
    EXTENSIONS, JPEG_QUALITY, MAX_PIXELS, decode, encode_jpeg, encode_png, is_image_name, read, write,
    write_atomic,
};
pub use crop::{Rect, centre_crop, crop, flip_horizontal, random_resized_crop};
pub use error::Error;
pub use input::{ChannelOrder, ValueRange};
pub use resize::{Filter, covering_size, resize, resize_centre_crop, resize_shorter};
pub use rgb8::Rgb8;
#[doc(hidden)]
pub use stream::Stream;
