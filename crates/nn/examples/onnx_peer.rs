//! Runs an ONNX classifier on images of a `.npy` file, for comparison with other programs; `tests/onnx_peer` has the script.
//!
//! `onnx_peer MODEL.onnx IMAGES.npy OUT` writes the logits to `OUT.logits.f32` and the gradient of the mean cross-entropy to
//! label i mod classes with respect to the images to `OUT.gradient.f32`, both as little-endian floats.

use std::error::Error;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData, activation::log_softmax};
use dyntta_nn::onnx::Graph;

/// A `.npy` file of float32 `[n, 3, h, w]` in C order.
fn read_npy(path: &str) -> Result<(Vec<f32>, [usize; 4]), Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..10 + length])?;
    let shape = header.split(['(', ')']).nth(1).ok_or("no shape")?;
    let shape = shape.split(',').map(|d| d.trim().parse()).collect::<Result<Vec<usize>, _>>()?;
    let data = bytes[10 + length..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    Ok((data.collect(), shape.try_into().map_err(|_| "not of rank 4")?))
}

fn write(path: String, values: Vec<f32>) -> Result<(), Box<dyn Error>> {
    let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
    Ok(std::fs::write(path, bytes)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, images, out] = &arguments[..] else { return Err("onnx_peer MODEL IMAGES OUT".into()) };
    let device = Device::flex().autodiff();
    let graph = Graph::load(Path::new(model), &device)?;
    let (values, shape) = read_npy(images)?;
    let x = Tensor::<4>::from_data(TensorData::new(values, shape), &device).require_grad();
    let logits = graph.forward(x.clone())?;
    let [n, classes] = logits.dims();
    let mut labels = vec![0.0f32; n * classes];
    (0..n).for_each(|i| labels[i * classes + i % classes] = -1.0 / n as f32);
    let labels = Tensor::<2>::from_data(TensorData::new(labels, [n, classes]), &Device::flex());
    let grads = (log_softmax(logits.clone(), 1) * labels).sum().backward();
    let gradient = x.grad(&grads).ok_or("no gradient reaches the images")?;
    let vector = |data: TensorData| data.try_to_vec::<f32>().map_err(|e| format!("{e:?}"));
    write(format!("{out}.logits.f32"), vector(logits.into_data())?)?;
    write(format!("{out}.gradient.f32"), vector(gradient.into_data())?)
}
