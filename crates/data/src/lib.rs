//! Image classification data sets: layouts, decoding, prefetch.
//!
//! [`Dataset::open`] recognises a layout and lists its samples without decoding anything; [`Dataset::load`] decodes
//! one, from any thread. `layout` recognises, and there is one module a layout: `folder`, `archive` (`tarball`, `zipped`, `webdataset`),
//! `cifar`, `cifar_python`, `idx`, `cub`, `tiny_imagenet`, `parquet_files`, `table`, and for corrupted copies of a test set
//! `corrupted`, which [`write_corrupted`] makes. `names` says what is an image and what a system's own, for all of them. [`prefetch`] and [`batches`] keep a training loop fed.

mod archive;
mod batch;
pub mod check;
mod cifar;
mod cifar_python;
mod classes;
mod corrupt_set;
mod corrupted;
mod cub;
mod dataset;
mod digest;
mod error;
pub mod fashion_mnist;
mod folder;
mod idx;
mod layout;
mod left_out;
mod listing;
mod names;
mod npy;
mod parquet_files;
mod pickle;
mod prefetch;
pub mod preprocessing;
mod shards;
mod skipped;
mod store;
mod table;
mod tarball;
#[cfg(test)]
mod testing;
mod tiny_imagenet;
mod webdataset;
mod zipped;

pub use batch::{Batch, batches};
pub use corrupt_set::{CorruptLayout, CorruptSettings, CorruptSummary, Frost, MANIFEST, write_corrupted};
pub use corrupted::{CorruptedPart, CorruptedSet, Wanted};
pub use dataset::{Dataset, Options, Sample, Split};
pub use dyntta_image::FileFormat;
pub use error::Error;
pub use left_out::LeftOut;
pub use prefetch::{Prefetch, prefetch};
pub use preprocessing::Preprocessing;
pub use skipped::Skipped;
