//! The ranges of numeric flags that only commands have; those of settings stand with them.

use clap::builder::RangedU64ValueParser;
use dyntta_files::Limits;
use dyntta_train::options::flags::{VIEW, within};
pub use dyntta_train::options::flags::{batch, choice, count, view};

/// A count that may be 0.
pub fn count_or_none() -> RangedU64ValueParser<usize> {
    within(0..=u64::from(u32::MAX))
}

/// Repetitions of a measurement.
pub fn runs() -> RangedU64ValueParser<usize> {
    within(1..=1_000_000)
}

/// Threads.
pub fn threads() -> RangedU64ValueParser<usize> {
    within(1..=Limits::DEFAULT.threads as u64)
}

/// Pixels a side of a square that is an image.
pub fn side() -> RangedU64ValueParser<usize> {
    within(1..=Limits::DEFAULT.pixels.isqrt() as u64)
}

/// Pixels a side of the control network's view, or 0 for the image itself.
pub fn view_or_image() -> RangedU64ValueParser<usize> {
    within(0..=VIEW)
}
