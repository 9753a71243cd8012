//! Small good files, made here: nothing of a corpus lies in the repository.

#![cfg_attr(not(feature = "networks"), allow(dead_code, reason = "the targets of some seeds aren't there"))]

pub(crate) mod data;
pub(crate) mod image;
pub(crate) mod onnx;
#[cfg(feature = "parquet")]
pub(crate) mod parquet;
pub(crate) mod text;
pub(crate) mod tokens;
pub(crate) mod weights;

pub use data::{cifar_binary, cifar_meta, cifar_pickle, idx_files, labelled_images};
pub use image::tiny_png;
pub use onnx::classifier as classifier_onnx;
pub use weights::pth;
