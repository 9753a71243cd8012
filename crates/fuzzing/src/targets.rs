//! The readers of foreign files, each as a function of bytes.

mod data;
#[cfg(feature = "networks")]
mod graph;
mod image;
mod text;
mod weights;

use crate::{Form, Scratch, seeds};

/// A kind of file and its reader.
pub struct Target {
    /// What it is called.
    pub name: &'static str,
    /// How its files are taken apart.
    pub form: Form,
    /// Small good files.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Pieces of bytes that mean something in such a file.
    pub dictionary: &'static [&'static [u8]],
    /// The files that lie in its folder, by name.
    pub beside: fn() -> Vec<(&'static str, Vec<u8>)>,
    /// Reads a file in every way that the command does.
    ///
    /// # Errors
    /// The message.
    pub run: fn(&[u8], &Scratch) -> Result<(), String>,
}

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

fn nothing() -> Vec<(&'static str, Vec<u8>)> {
    Vec::new()
}

/// An error with its causes.
fn message(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The result of several ways to read the same bytes: the first failure, once all were tried.
fn all<const N: usize>(results: [Result<(), String>; N]) -> Result<(), String> {
    results.into_iter().collect()
}

/// All targets.
pub static TARGETS: &[Target] = &[
    Target {
        name: "png",
        form: Form::Png,
        seeds: seeds::image::png,
        dictionary: seeds::tokens::PNG,
        beside: nothing,
        run: image::decode,
    },
    Target {
        name: "jpeg",
        form: Form::Jpeg,
        seeds: seeds::image::jpeg,
        dictionary: seeds::tokens::JPEG,
        beside: nothing,
        run: image::decode,
    },
    Target {
        name: "webp",
        form: Form::Riff,
        seeds: seeds::image::webp,
        dictionary: seeds::tokens::WEBP,
        beside: nothing,
        run: image::decode,
    },
    Target {
        name: "bmp",
        form: Form::Bytes,
        seeds: seeds::image::bmp,
        dictionary: seeds::tokens::BMP,
        beside: nothing,
        run: image::decode,
    },
    Target {
        name: "safetensors",
        form: Form::Safetensors,
        seeds: seeds::weights::safetensors,
        dictionary: seeds::tokens::SAFETENSORS,
        beside: nothing,
        run: weights::file,
    },
    Target {
        name: "pickle",
        form: Form::Zip,
        seeds: seeds::weights::pickles,
        dictionary: seeds::tokens::PICKLE,
        beside: nothing,
        run: weights::file,
    },
    Target {
        name: "legacy",
        form: Form::Pickle,
        seeds: seeds::weights::legacy,
        dictionary: seeds::tokens::PICKLE,
        beside: nothing,
        run: weights::file,
    },
    Target {
        name: "index",
        form: Form::Text,
        seeds: seeds::weights::indices,
        dictionary: seeds::tokens::INDEX,
        beside: seeds::weights::shards,
        run: weights::index,
    },
    #[cfg(feature = "networks")]
    Target {
        name: "onnx",
        form: Form::Protobuf,
        seeds: seeds::onnx::all,
        dictionary: seeds::tokens::ONNX,
        beside: seeds::onnx::beside,
        run: graph::onnx,
    },
    Target {
        name: "tar",
        form: Form::Tar,
        seeds: seeds::data::tars,
        dictionary: seeds::tokens::ARCHIVE,
        beside: nothing,
        run: data::tar,
    },
    Target {
        name: "zip",
        form: Form::Zip,
        seeds: seeds::data::zips,
        dictionary: seeds::tokens::ARCHIVE,
        beside: nothing,
        run: data::zip,
    },
    Target {
        name: "csv",
        form: Form::Text,
        seeds: seeds::data::csvs,
        dictionary: seeds::tokens::CSV,
        beside: seeds::data::csv_images,
        run: data::csv,
    },
    Target {
        name: "npy",
        form: Form::Bytes,
        seeds: seeds::data::npys,
        dictionary: seeds::tokens::NPY,
        beside: nothing,
        run: data::npy,
    },
    Target {
        name: "idx",
        form: Form::Gzip,
        seeds: seeds::data::idxs,
        dictionary: seeds::tokens::IDX,
        beside: nothing,
        run: data::idx,
    },
    Target {
        name: "cifar",
        form: Form::Pickle,
        seeds: seeds::data::cifars,
        dictionary: seeds::tokens::PICKLE,
        beside: nothing,
        run: data::cifar,
    },
    #[cfg(feature = "parquet")]
    Target {
        name: "parquet",
        form: Form::Bytes,
        seeds: seeds::parquet::files,
        dictionary: seeds::tokens::PARQUET,
        beside: nothing,
        run: data::parquet,
    },
    Target {
        name: "policy",
        form: Form::Text,
        seeds: seeds::text::policies,
        dictionary: seeds::tokens::POLICY,
        beside: nothing,
        run: text::policy,
    },
    Target {
        name: "config",
        form: Form::Text,
        seeds: seeds::text::configs,
        dictionary: seeds::tokens::CONFIG,
        beside: nothing,
        run: text::config,
    },
    Target {
        name: "preprocessing",
        form: Form::Text,
        seeds: seeds::text::preprocessings,
        dictionary: seeds::tokens::PREPROCESSING,
        beside: nothing,
        run: text::preprocessing,
    },
];
