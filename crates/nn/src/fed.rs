//! What a classifier is fed: the usual preprocessing of an architecture, what an ONNX file says of it, and reading a classifier
//! so that it is tried out with the images that will come.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use dyntta_corrupt::Preset;
use dyntta_data::Preprocessing;
use dyntta_model::Normalisation;

use crate::classifier::{Arch, Classifier};
use crate::classifier_file::{About, ClassifierFile};
use crate::error::Error;
use crate::onnx;
use crate::zoo::Input;

/// The preset of an architecture where none is named.
pub fn usual_preset(arch: Arch) -> Preset {
    match arch {
        Arch::CifarResNet(_) => Preset::Cifar,
        _ => Preset::Imagenet,
    }
}

/// The usual preprocessing of an architecture with published weights, else a preset's: ImageNet's at 224 pixels, or the
/// whole image at 32.
pub fn usual(preset: Preset, arch: Option<Arch>) -> Preprocessing {
    match (preset, arch) {
        (Preset::Imagenet, Some(arch @ Arch::Zoo(_))) => {
            let Input { resize, crop, filter, normalisation, .. } = arch.input();
            let mut usual = Preprocessing::imagenet(crop);
            usual.fit.interpolation = filter;
            // The shorter side is the crop over this, rounded down: not one pixel short for a rounding error.
            let exact = crop as f64 / resize as f64;
            let short = ((crop as f64 / exact) as usize) < resize;
            usual.fit.crop_pct = if short { exact * (1.0 - 1e-12) } else { exact };
            Preprocessing { mean: normalisation.mean, std: normalisation.std, ..usual }
        }
        (Preset::Imagenet, _) => Preprocessing::imagenet(224),
        (Preset::Cifar, _) => Preprocessing::cifar(32),
    }
}

/// What [`usual`] is called in a message.
pub fn usual_name(preset: Preset, arch: Option<Arch>) -> String {
    match (preset, arch) {
        (Preset::Imagenet, Some(arch @ Arch::Zoo(_))) => format!("{arch}'s published weights"),
        _ => format!("the {preset} preset"),
    }
}

/// What a graph says of what it is fed; empty without one.
pub fn metadata(graph: Option<&onnx::Graph>) -> BTreeMap<String, String> {
    graph.map(onnx::Graph::about).unwrap_or_default()
}

/// Reads a classifier. For an ONNX file, `fed` tells from the architecture and the file's [`metadata`] what it will be fed, so
/// that it is tried out with images of that size, and scores for as many classes.
///
/// # Errors
/// As [`Classifier::load_with`], and those of `fed`.
pub fn load_classifier<E: From<Error>>(
    path: &Path,
    arch: Option<Arch>,
    options: onnx::Options,
    device: &Device,
    fed: impl FnOnce(Arch, BTreeMap<String, String>) -> Result<Preprocessing, E>,
) -> Result<Classifier, E> {
    let file = ClassifierFile::open(path, arch, &options)?;
    let About { arch, metadata, .. } = file.about();
    if *arch != Some(Arch::Onnx) {
        return Ok(file.classifier(Normalisation::IMAGENET, &options, device)?);
    }
    let fed = fed(Arch::Onnx, metadata.clone())?;
    Ok(file.classifier(normalisation(&fed), &for_images(options, &fed), device)?)
}

/// These options, with what a preprocessing says of the images and the classes.
pub fn for_images(options: onnx::Options, fed: &Preprocessing) -> onnx::Options {
    let size = fed.fit.size;
    let classes = fed.classes.as_ref().map(Vec::len);
    onnx::Options { size: Some([size.height, size.width]), classes, ..options }
}

/// What of a preprocessing stands in front of the classifier's network.
pub fn normalisation(preprocessing: &Preprocessing) -> Normalisation {
    let Preprocessing { mean, std, channels, range, .. } = *preprocessing;
    Normalisation { mean, std, channels, range }
}
