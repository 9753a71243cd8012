//! `dyntta-runtime` against the Burn modules: both from one checkpoint, on images of many sizes.
#![allow(clippy::disallowed_macros, reason = "a test prints")]

use std::collections::HashMap;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use dyntta_image::Stream;
use dyntta_nn::checkpoint::{self, ClassifierConfig, EnhancerConfig, Method};
use dyntta_nn::{Enhancer, Mode, Normalisation, weights};
use dyntta_ops::Bank;
use dyntta_runtime::Workspace;

const TOLERANCE: f32 = 1e-4;

fn config(method: Method) -> EnhancerConfig {
    EnhancerConfig {
        format: 1,
        method,
        bank: (method == Method::Dyntta).then(|| Bank::paper().names().map(str::to_owned).collect()),
        control_size: None,
        image_size: [32, 32],
        classifier: ClassifierConfig {
            arch: "resnet18".into(),
            normalisation: Normalisation::IMAGENET,
            classes: vec!["a".into(), "b".into()],
        },
        seed: 5,
        versions: Default::default(),
        training: serde_json::json!({ "epochs": 1 }),
    }
}

/// Saves a fresh enhancer, and moves its batch norms away from where they start.
fn save(dir: &Path, method: Method) {
    let config = config(method);
    let enhancer = checkpoint::build(&config, dir, config.seed, &Device::flex()).unwrap();
    checkpoint::save(dir, &enhancer, &config).unwrap();
    let path = dir.join(checkpoint::WEIGHTS);
    let (mut dict, metadata) = weights::read_safetensors(&path).unwrap();
    let mut moved = 0;
    for (key, entry) in &mut dict {
        let mut stream = Stream::new(0, &["move", key]);
        let norm = ["bn.", "bn1.", "bn2."].iter().any(|part| key.contains(part));
        // The last layer too, for weights and magnitudes that differ.
        let last = key == "control.fc.weight";
        if norm || last {
            entry.data.iter_mut().for_each(|v| *v += 0.4 * (2.0 * stream.uniform_f32() - 1.0));
            moved += 1;
        }
    }
    assert_eq!(moved, if method == Method::Dyntta { 16 + 20 * 4 + 1 } else { 16 });
    weights::write(&path, &dict, HashMap::from_iter(metadata)).unwrap();
}

fn image(len: usize) -> Vec<f32> {
    let mut stream = Stream::new(1, &["image"]);
    (0..len).map(|_| stream.below(256) as f32 / 255.0).collect()
}

fn values<const D: usize>(t: Tensor<D>) -> Vec<f32> {
    t.into_data().try_to_vec().unwrap()
}

fn close(ours: &[f32], burn: &[f32], what: &str) -> f32 {
    assert_eq!(ours.len(), burn.len(), "{what}");
    let apart = ours.iter().zip(burn).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(ours.iter().all(|v| v.is_finite()) && apart <= TOLERANCE, "{what}: {apart} apart");
    apart
}

fn sizes() -> impl Iterator<Item = [usize; 3]> {
    let sizes = [[32, 32], [33, 47], [1, 1], [3, 50], [8, 5]];
    let batches = sizes.into_iter().flat_map(|[h, w]| (1..=3).map(move |n| [n, h, w]));
    batches.chain([[1, 224, 224], [2, 224, 224]])
}

#[test]
fn urie_agrees() {
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), Method::Urie);
    let device = Device::flex();
    let (burn, _) = checkpoint::load(dir.path(), &device).unwrap();
    let ours = dyntta_runtime::Enhancer::load(dir.path()).unwrap();
    let mut workspace = Workspace::new();
    let mut worst = 0.0f32;
    for [n, h, w] in sizes() {
        let x = image(n * 3 * h * w);
        let mut out = vec![f32::NAN; x.len()];
        ours.enhance_planar(&mut workspace, n, h, w, &x, &mut out);
        let tensor = Tensor::from_data(TensorData::new(x, [n, 3, h, w]), &device);
        let expected = values(burn.forward(tensor, Mode::Eval));
        worst = worst.max(close(&out, &expected, &format!("{n}x{h}x{w}")));
    }
    println!("at most {worst} apart");
}

#[test]
fn dyntta_agrees() {
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), Method::Dyntta);
    let device = Device::flex();
    let (Enhancer::DynTta(burn), _) = checkpoint::load(dir.path(), &device).unwrap() else {
        panic!("saved as dyntta");
    };
    let loaded = dyntta_runtime::Enhancer::load(dir.path()).unwrap();
    let mut workspace = Workspace::new();
    let mut worst = 0.0f32;
    for (i, [n, h, w]) in sizes().enumerate() {
        let view = [None, Some(32), Some(48)][i % 3];
        let (burn, ours) =
            (burn.clone().with_control_size(view), loaded.clone().with_control_size(view).unwrap());
        let x = image(n * 3 * h * w);
        let mut out = vec![f32::NAN; x.len()];
        ours.enhance_planar(&mut workspace, n, h, w, &x, &mut out);
        let tensor = Tensor::from_data(TensorData::new(x, [n, 3, h, w]), &device);
        let expected = burn.forward(tensor, Mode::Eval);
        let what = format!("{n}x{h}x{w} seen at {view:?}");
        close(workspace.weights(), &values(expected.weights), &format!("weights {what}"));
        close(workspace.raw(), &values(expected.raw), &format!("raw {what}"));
        worst = worst.max(close(&out, &values(expected.images), &what));
    }
    println!("at most {worst} apart");
}

#[test]
fn bytes_and_explanations_agree() {
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), Method::Dyntta);
    let device = Device::flex();
    let (Enhancer::DynTta(burn), config) = checkpoint::load(dir.path(), &device).unwrap() else {
        panic!("saved as dyntta");
    };
    let [h, w] = [41, 60];
    let picture =
        dyntta_image::Rgb8::new(w, h, (0..h * w * 3).map(|i| (i * 37 % 251) as u8).collect()).unwrap();
    let tensor = Tensor::from_data(TensorData::new(picture.to_planar(), [1, 3, h, w]), &device);
    // The size it was trained at, unless told otherwise.
    let expected = burn.with_control_size(Some(config.unwrap().image_size[0])).forward(tensor, Mode::Eval);
    let bytes = dyntta_image::Rgb8::from_planar(w, h, &values(expected.images)).unwrap();

    let ours = dyntta_runtime::Enhancer::load(dir.path()).unwrap();
    let enhanced = ours.enhance(&picture);
    assert!(bytes.data().iter().zip(enhanced.data()).all(|(a, b)| a.abs_diff(*b) <= 1));
    let bank = Bank::paper();
    let (weights, raw) = (values(expected.weights), values(expected.raw));
    let decisions = ours.explain(&picture).unwrap();
    assert!(decisions.iter().map(|d| d.name.as_str()).eq(bank.names()));
    for (k, decision) in decisions.iter().enumerate() {
        assert!((decision.weight - weights[k]).abs() < TOLERANCE, "{decision:?}");
        let factor = bank.op(k).and_then(|op| op.magnitude()).map(|m| m.factor(raw[k]));
        match (decision.factor, factor) {
            (Some(a), Some(b)) => assert!((a - b).abs() < 1e-2, "{a} {b}"),
            (a, b) => assert_eq!(a, b),
        }
    }
}

#[test]
fn a_fresh_network_is_the_same_in_both() {
    let config = config(Method::Urie);
    let device = Device::flex();
    let burn = checkpoint::build(&config, Path::new("none"), 9, &device).unwrap();
    let ours = dyntta_runtime::Enhancer::untrained(dyntta_runtime::Method::Urie, 9);
    let x = image(3 * 20 * 30);
    let mut out = vec![0.0; x.len()];
    ours.enhance_planar(&mut Workspace::new(), 1, 20, 30, &x, &mut out);
    let expected = burn.forward(Tensor::from_data(TensorData::new(x, [1, 3, 20, 30]), &device), Mode::Eval);
    close(&out, &values(expected), "fresh");
}
