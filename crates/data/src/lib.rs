//! Image classification data sets: layouts, decoding, prefetch.
//!
//! [`Dataset::open`] recognises a layout and lists its samples without decoding anything; [`Dataset::load`] decodes
//! one, from any thread. One module a layout: `folder`, `tarball`, `cifar`, `idx`, `cub`, `csv`, and for corrupted
//! copies of a test set `corrupted`, which [`write_corrupted`] makes. [`prefetch`] and [`batches`] keep a training loop fed.

mod batch;
pub mod check;
mod cifar;
mod classes;
mod corrupt_set;
mod corrupted;
mod csv;
mod cub;
mod dataset;
mod digest;
mod error;
pub mod fashion_mnist;
mod folder;
mod idx;
mod npy;
mod prefetch;
pub mod preprocessing;
mod shards;
mod skipped;
mod store;
mod tarball;
#[cfg(test)]
mod testing;

pub use batch::{Batch, batches};
pub use corrupt_set::{CorruptLayout, CorruptSettings, CorruptSummary, Frost, MANIFEST, write_corrupted};
pub use corrupted::{CorruptedPart, CorruptedSet, Wanted};
pub use dataset::{Dataset, Options, Sample, Split};
pub use dyntta_image::FileFormat;
pub use error::Error;
pub use prefetch::{Prefetch, prefetch};
pub use preprocessing::Preprocessing;
pub use skipped::Skipped;
