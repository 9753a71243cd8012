use std::path::Path;

use dyntta_files::Limits;
use dyntta_model::WeightFile;
use dyntta_runtime::Enhancer;

use crate::Scratch;

use super::{all, message};

/// Weights as PyTorch writes them, and as safetensors.
pub fn file(bytes: &[u8], scratch: &Scratch) -> Result<(), String> {
    let path = Path::new("weights");
    let read = WeightFile::from_bytes(bytes.to_vec(), path, &Limits::DEFAULT).map_err(message)?;
    let _ = (read.metadata().len(), read.told().len(), read.tensors().count());
    all([
        read.all().map(drop).map_err(message),
        read.choose(None, &|_| false).map_err(message).and_then(|choice| {
            let _ = choice.notes();
            read.dict(&choice).map(drop).map_err(message)
        }),
        Enhancer::from_bytes(bytes.to_vec(), None, path, &Limits::DEFAULT).map(drop).map_err(message),
        classifier(bytes, scratch),
    ])
}

/// An index of weights in several files.
pub fn index(bytes: &[u8], scratch: &Scratch) -> Result<(), String> {
    let path = scratch.input("model.safetensors.index.json", bytes);
    WeightFile::open(&path, &Limits::DEFAULT).and_then(|read| read.all()).map(drop).map_err(message)
}

#[cfg(feature = "networks")]
fn classifier(bytes: &[u8], scratch: &Scratch) -> Result<(), String> {
    use dyntta_nn::{Classifier, Normalisation};
    let path = scratch.input("weights.pth", bytes);
    let device = burn::tensor::Device::flex();
    Classifier::load(&path, None, Normalisation::IMAGENET, &device).map(drop).map_err(message)
}

#[cfg(not(feature = "networks"))]
fn classifier(_: &[u8], _: &Scratch) -> Result<(), String> {
    Ok(())
}
