use burn::tensor::Device;
use dyntta_nn::onnx;

use crate::Scratch;

use super::message;

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
