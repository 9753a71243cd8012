//! What a classifier is fed: the usual preprocessing of an architecture, what an ONNX file says of it, and reading a classifier
//! so that it is tried out with the images that will come.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use dyntta_corrupt::Preset;
use dyntta_data::Preprocessing;
use dyntta_model::Normalisation;

use crate::classifier::{Arch, Classifier};
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

/// What an ONNX file says about itself, and the size of its input where it takes but one; empty without a graph.
pub fn metadata(graph: Option<&onnx::Graph>) -> BTreeMap<String, String> {
    let Some(info) = graph.map(onnx::Graph::info) else { return BTreeMap::new() };
    about(&info.metadata, [info.height, info.width], info.bytes, |classes| classes == info.classes)
}

/// The same of a file that is no more than parsed.
pub fn metadata_of(model: &onnx::Model) -> BTreeMap<String, String> {
    about(model.metadata(), model.input_size(), model.takes_bytes(), |classes| model.may_score(classes))
}

fn about(
    metadata: &BTreeMap<String, String>,
    size: [Option<usize>; 2],
    bytes: bool,
    scores: impl Fn(usize) -> bool,
) -> BTreeMap<String, String> {
    let mut metadata = metadata.clone();
    // Another program's list of names may be about something else. Keys with `dyntta.` before them are meant.
    let count = |text: &str| {
        serde_json::from_str::<Vec<String>>(text)
            .map_or_else(|_| text.split(',').count(), |names| names.len())
    };
    metadata.retain(|key, text| !matches!(key.as_str(), "classes" | "label_names") || scores(count(text)));
    if let [Some(height), Some(width)] = size {
        // Another program's key may be about something else: the graph takes this size.
        metadata.insert("input_size".into(), format!("[3, {height}, {width}]"));
    }
    if bytes {
        for (key, value) in [("range", "0..255"), ("mean", "0, 0, 0"), ("std", "1, 1, 1")] {
            metadata.insert(key.into(), value.into());
        }
    }
    metadata
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
    let is_graph = arch.map_or_else(|| onnx::is_onnx(path), |arch| arch == Arch::Onnx);
    if !is_graph {
        return Ok(Classifier::load_with(path, arch, Normalisation::IMAGENET, &options, device)?);
    }
    let model = onnx::Model::open(path, &options.limits)?;
    let fed = fed(Arch::Onnx, metadata_of(&model))?;
    Ok(Classifier::from_graph(model.graph(&for_images(options, &fed), device)?, normalisation(&fed)))
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
