use std::path::Path;

use burn::tensor::Device;
use dyntta_nn::{Classifier, Normalisation, checkpoint, onnx, weights};

use crate::Scratch;

use super::{all, message};

/// Weights as safetensors: of a classifier, of an enhancer.
pub fn safetensors(bytes: &[u8], scratch: &Scratch) -> Result<(), String> {
    let path = scratch.input("weights.safetensors", bytes);
    all([
        weights(&path),
        weights::read_safetensors(&path).map(drop).map_err(message),
        dyntta_runtime::Enhancer::load(&path).map(drop).map_err(message),
    ])
}

/// Weights as PyTorch writes them.
pub fn pickle(bytes: &[u8], scratch: &Scratch) -> Result<(), String> {
    let path = scratch.input("weights.pth", bytes);
    weights(&path)
}

fn weights(path: &Path) -> Result<(), String> {
    let device = Device::flex();
    weights::read(path).map_err(message)?;
    all([
        Classifier::load(path, None, Normalisation::IMAGENET, &device).map(drop).map_err(message),
        checkpoint::load(path, &device).map(drop).map_err(message),
    ])
}

/// A graph: what it says of itself, then loaded and run forward and backward as for training.
pub fn onnx(bytes: &[u8], scratch: &Scratch) -> Result<(), String> {
    let path = scratch.input("model.onnx", bytes);
    let device = Device::flex();
    let graph = onnx::Graph::load(&path, &device).map_err(message)?;
    let info = graph.info();
    let (height, width) = (info.height.unwrap_or(8), info.width.unwrap_or(8));
    if height.saturating_mul(width) <= 1 << 12 {
        graph.check_gradient(3, height, width).map_err(message)?;
    }
    Ok(())
}
