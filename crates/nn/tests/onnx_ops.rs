//! Single operators, under the operator sets in which they changed, against what ONNX Runtime gives for them; see
//! `onnx_ops/make_cases.py`. Their gradients are held against differences of their values.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use dyntta_nn::onnx::Graph;
use safetensors::SafeTensors;

/// A family's cases.
struct Cases {
    bytes: Vec<u8>,
    /// Which are checked for their gradient.
    smooth: Vec<String>,
    /// Which are refused, by which words.
    refused: std::collections::BTreeMap<String, String>,
}

impl Cases {
    fn open(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let notes = metadata.metadata().clone().unwrap();
        let (smooth, refused) =
            (serde_json::from_str(&notes["smooth"]).unwrap(), serde_json::from_str(&notes["refused"]).unwrap());
        Self { bytes, smooth, refused }
    }
}

/// The images of all cases: pixel i is ((37 i + 11) mod 101) / 50 − 1.
fn images(height: usize, width: usize, device: &Device) -> Tensor<4> {
    let pixel = |i: usize| ((37 * i + 11) % 101) as f32 / 50.0 - 1.0;
    let values = (0..2 * 3 * height * width).map(pixel).collect::<Vec<_>>();
    Tensor::from_data(TensorData::new(values, [2, 3, height, width]), device)
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().try_to_vec::<f32>().unwrap()
}

fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// What is wrong with a case, if anything.
fn wrong(cases: &Cases, file: &SafeTensors<'_>, name: &str, path: &Path) -> Option<String> {
    std::fs::write(path, file.tensor(&format!("{name}.model")).unwrap().data()).unwrap();
    let device = Device::flex().autodiff();
    let graph = match (Graph::load(path, &device), cases.refused.get(name)) {
        (Ok(graph), None) => graph,
        (Ok(_), Some(words)) => return Some(format!("is not refused, though `{words}`")),
        (Err(e), Some(words)) if e.to_string().contains(words) => return None,
        (Err(e), _) => return Some(e.to_string()),
    };
    let (height, width) = (graph.info().height.unwrap(), graph.info().width.unwrap());
    let x = images(height, width, &device).require_grad();
    let y = match graph.forward(x.clone()) {
        Ok(y) => y,
        Err(e) => return Some(e.to_string()),
    };
    let ours = values(y.clone());
    if let Ok(expected) = file.tensor(&format!("{name}.y")) {
        let expected = f32s(expected.data());
        let far = |(a, b): (&f32, &f32)| (a - b).abs() > 2e-5 * (1.0 + b.abs()) || a.is_nan() != b.is_nan();
        if let Some(i) = ours.iter().zip(&expected).position(far) {
            return Some(format!("score {i} of {} is {}, not {}", ours.len(), ours[i], expected[i]));
        }
    }
    let expected = f32s(file.tensor(&format!("{name}.p")).unwrap().data());
    for (i, expected) in expected.into_iter().enumerate() {
        let classes = ours.len() / 2;
        let weight = |k: usize| (((37 + 2 * (i % 3)) * k + 11 * (i % 3)) % 101) as f64 / 50.0 - 1.0;
        let of_image = ours[i / 3 * classes..(i / 3 + 1) * classes].iter().enumerate();
        let products: Vec<f64> = of_image.map(|(k, &y)| f64::from(y) * weight(k)).collect();
        let scale = 0.1 + products.iter().map(|p| p.abs()).sum::<f64>();
        let sum = products.iter().sum::<f64>();
        if (sum - f64::from(expected)).abs() > 1e-5 * scale || sum.is_nan() {
            return Some(format!("sum {i} of {classes} scores is {sum}, not {expected}"));
        }
    }
    if !cases.smooth.iter().any(|s| s == name) {
        return None;
    }
    // The slope of a weighted sum of the scores along one direction.
    let [n, classes] = y.dims();
    let weight = |i: usize| ((i * 7919) % 13) as f32 / 6.0 - 0.9;
    let weights: Vec<f32> = (0..n * classes).map(weight).collect();
    let weighted = |y: Vec<f32>| y.iter().zip(&weights).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let plain = Device::flex();
    let direction: Vec<f32> = (0..n * 3 * height * width).map(|i| weight(i * 31 + 5)).collect();
    let step = Tensor::<4>::from_data(TensorData::new(direction.clone(), [n, 3, height, width]), &plain);
    let epsilon = 2e-3;
    let at = |sign: f32| {
        let moved = images(height, width, &plain) + step.clone().mul_scalar(sign * epsilon);
        weighted(values(graph.forward(moved).unwrap()))
    };
    let difference = (at(1.0) - at(-1.0)) / f64::from(2.0 * epsilon);
    let w = Tensor::<2>::from_data(TensorData::new(weights.clone(), [n, classes]), &plain);
    let grads = (y * w).sum().backward();
    let Some(gradient) = x.grad(&grads) else { return Some("has no gradient".into()) };
    let slope: f64 =
        values(gradient).iter().zip(&direction).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    let close = (slope - difference).abs() <= 0.02 * difference.abs().max(0.3);
    (!close).then(|| format!("slope {slope}, by differences {difference}"))
}

#[test]
fn operators_give_what_onnx_runtime_gives() {
    let folder = std::env::var_os("DYNTTA_ONNX_CASES").map(PathBuf::from);
    let folder = folder.unwrap_or(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/onnx_ops"));
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("case.onnx");
    let (mut failures, mut count) = (Vec::new(), 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let family = entry.unwrap().path();
        if family.extension().is_none_or(|e| e != "safetensors") {
            continue;
        }
        let cases = Cases::open(&family);
        let file = SafeTensors::deserialize(&cases.bytes).unwrap();
        let family = family.file_stem().unwrap().to_string_lossy();
        for name in file.names().into_iter().filter_map(|n| n.strip_suffix(".model")) {
            count += 1;
            failures.extend(wrong(&cases, &file, name, &path).map(|why| format!("{family} {name}: {why}")));
        }
    }
    failures.sort();
    assert!(failures.is_empty(), "{} of {count} cases:\n{}", failures.len(), failures.join("\n"));
    assert!(count > 800, "{count} cases");
}
