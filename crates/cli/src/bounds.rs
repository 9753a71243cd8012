//! The ranges of numeric flags: a value outside is refused by name before anything is read.

use std::ops::RangeInclusive;

use clap::builder::RangedU64ValueParser;
use dyntta_files::Limits;

/// A count of images, steps or runs: from 1 up.
pub fn count() -> RangedU64ValueParser<usize> {
    within(1..=u64::from(u32::MAX))
}

/// A count that may be 0.
pub fn count_or_none() -> RangedU64ValueParser<usize> {
    within(0..=u64::from(u32::MAX))
}

/// Passes over data.
pub fn epochs() -> RangedU64ValueParser<usize> {
    within(1..=1_000_000)
}

/// Images at a time.
pub fn batch() -> RangedU64ValueParser<usize> {
    within(1..=65_536)
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

/// Pixels a side of the control network's view.
pub fn view() -> RangedU64ValueParser<usize> {
    within(1..=VIEW)
}

/// The same, or 0 for the image itself.
pub fn view_or_image() -> RangedU64ValueParser<usize> {
    within(0..=VIEW)
}

/// The largest view: the control network's first layers hold a GB at it.
const VIEW: u64 = 2048;

fn within(range: RangeInclusive<u64>) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(range)
}
