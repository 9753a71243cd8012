//! What a classifier is fed: its preprocessing in a run, its class names, and broken files.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use dyntta_corrupt::Preset;
use dyntta_data::{Dataset, Preprocessing, Skipped};
use dyntta_nn::zoo::Input;
use dyntta_nn::{About, Arch, Classifier, ClassifierFile, Normalisation, onnx};

use crate::control::Progress;
use crate::error::Error;

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
pub fn load_classifier<E: From<dyntta_nn::Error>>(
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

/// The data set with the labels of the classifier's class names, where they are known, and turned as the classifier takes it.
///
/// # Errors
/// [`dyntta_data::Error::Classes`], with both lists, if it has classes that are not among them.
pub fn named(data: Dataset, preprocessing: &Preprocessing) -> Result<Dataset, Error> {
    let data = data.with_exif(preprocessing.exif);
    Ok(match &preprocessing.classes {
        Some(names) => data.with_classes(names)?,
        None => data,
    })
}

/// The names of a classifier's outputs, where its own file or the config of an enhancer that was trained before it tells them.
///
/// # Errors
/// [`Error::ClassNames`] if both do and differ: the enhancer was trained for other outputs.
pub fn class_names(own: Option<&[String]>, trained: Option<&[String]>) -> Result<Option<Vec<String>>, Error> {
    match (own, trained) {
        (Some(own), Some(trained)) if own != trained => Err(Error::ClassNames {
            first: "the classifier's own file".to_owned(),
            second: "the enhancer's config".to_owned(),
            expected: own.to_vec(),
            found: trained.to_vec(),
        }),
        (own, trained) => Ok(own.or(trained).map(<[String]>::to_vec)),
    }
}

/// The data set with the labels of another set's classes, which it is used beside: by name, not by place. It may lack some of
/// them.
///
/// # Errors
/// [`dyntta_data::Error::Classes`], with both lists, if it has classes that the other has not.
pub fn aligned(data: Dataset, with: &[String]) -> Result<Dataset, Error> {
    if data.classes == with { Ok(data) } else { Ok(data.with_classes(with)?) }
}

/// Says how many broken files were left out, and what is wrong with the first of them.
pub fn report_skipped(skipped: &Skipped, progress: &mut dyn Progress) {
    const SHOWN: usize = 10;
    let errors = skipped.errors();
    if !errors.is_empty() {
        let more = if errors.len() > SHOWN { "\n  ..." } else { "" };
        let shown = errors[..errors.len().min(SHOWN)].join("\n  ");
        progress.message(&format!("{} broken files skipped:\n  {shown}{more}", errors.len()));
    }
}

/// Checks that a data set's classes are as many as the classifier's outputs.
///
/// # Errors
/// [`Error::Classes`].
pub fn check_classes(data: &Dataset, classifier: &Classifier) -> Result<(), Error> {
    check_class_count(data.name(), &data.classes, classifier)
}

/// [`check_classes`] for the `classes` of what is called `name`.
///
/// # Errors
/// [`Error::Classes`].
pub fn check_class_count(name: &str, classes: &[String], classifier: &Classifier) -> Result<(), Error> {
    if classes.len() == classifier.classes() {
        return Ok(());
    }
    const SHOWN: usize = 20;
    let mut listing: Vec<&str> = classes.iter().take(SHOWN).map(String::as_str).collect();
    if classes.len() > SHOWN {
        listing.push("…");
    }
    Err(Error::Classes {
        what: name.to_owned(),
        expected: classifier.classes(),
        found: classes.len(),
        listing: format!(
            ": {}.\nA `classes.txt` in the data set, one class a line in the order of the classifier's outputs, may name \
             classes without images",
            listing.join(", ")
        ),
    })
}
