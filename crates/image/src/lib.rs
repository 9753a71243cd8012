//! Images, random streams and shapes: the ground under every dyntta crate.
//!
//! Two representations are used everywhere:
//! - [`Rgb8`]: 8-bit RGB, rows from the top, interleaved (HWC); what files hold and corruptions work on;
//! - planar `f32` slices in `0..=1`, channel after channel (CHW, batches NCHW); what the augmentation bank works on.

mod crop;
mod decode;
mod encode;
mod error;
mod format;
mod input;
mod metadata;
mod profile;
mod resize;
mod rgb8;
mod stream;

pub use crop::{Rect, centre_crop, crop, flip_horizontal, random_resized_crop};
pub use decode::{Decode, Decoded, Exif, MAX_PIXELS, decode, decode_with, read, read_with};
pub use dyntta_files::Limits;
pub use encode::{encode_jpeg, encode_jpeg_with, encode_png, encode_png_with, write, write_atomic};
pub use error::Error;
pub use format::{EXTENSIONS, FileFormat, JPEG_QUALITY, is_image_name};
pub use input::{ChannelOrder, ValueRange};
pub use metadata::{Metadata, SOFTWARE, is_ours};
pub use profile::Profile;
pub use resize::{Filter, covering_size, resize, resize_centre_crop, resize_shorter};
pub use rgb8::Rgb8;
pub use stream::Stream;
