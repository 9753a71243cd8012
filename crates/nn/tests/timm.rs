//! timm's networks whose keys are not ours: loaded by timm's keys they give timm's logits. `zoo/make_timm_goldens.py` makes
//! the files in `zoo/timm`, and describes the formula that the weights come from.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use dyntta_nn::weights::{Entry, StateDict};
use dyntta_nn::{Arch, Classifier, Normalisation};
use serde::Deserialize;

#[derive(Deserialize)]
struct Network {
    tensors: Vec<(String, Vec<usize>)>,
    logits: BTreeMap<usize, Vec<f32>>,
}

fn uniform(key: &str, count: usize) -> impl Iterator<Item = f64> {
    let start = key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    (0..count as u64).map(move |i| {
        let z = start.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 23) - 1.0
    })
}

/// Scale and shift of a tensor's values.
fn rule(key: &str, shape: &[usize], gain: f64) -> (f64, f64) {
    match (key.rsplit('.').next().unwrap(), shape.len()) {
        ("running_var", _) => (0.25, 0.5),
        ("weight", 1) => (0.2 * gain, 0.6 * gain),
        (_, 1) => (0.2, 0.0),
        _ => ((4.5 / shape[1..].iter().product::<usize>() as f64).sqrt(), 0.0),
    }
}

fn check(theirs: &str, ours: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/zoo/timm/{theirs}.json"));
    let network: Network = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let gain = if theirs.contains("efficientnet_b0") { 1.4 } else { 1.0 };
    let mut dict = StateDict::new();
    for (key, shape) in network.tensors {
        let (scale, shift) = rule(&key, &shape, gain);
        let values = uniform(&key, shape.iter().product()).map(|u| (scale * u + shift) as f32).collect();
        dict.insert(key, Entry { shape, data: values });
    }
    let arch: Arch = ours.parse().unwrap();
    let plain = Normalisation { mean: [0.0; 3], std: [1.0; 3], ..Normalisation::IMAGENET };
    let classifier = Classifier::of_weights(&dict, arch, Path::new(theirs), plain, &Device::flex()).unwrap();
    assert_eq!(classifier.classes(), 10);
    for (size, expected) in network.logits {
        let image: Vec<f32> = uniform("image0", 3 * size * size).map(|u| (2.0 * u) as f32).collect();
        let image = Tensor::from_data(TensorData::new(image, [1, 3, size, size]), &Device::flex());
        let found = classifier.forward(image).unwrap().into_data().try_to_vec::<f32>().unwrap();
        let norm = |v: &mut dyn Iterator<Item = f32>| v.map(|v| v * v).sum::<f32>().sqrt();
        let off =
            norm(&mut found.iter().zip(&expected).map(|(a, b)| a - b)) / norm(&mut expected.iter().copied());
        assert!(off <= 1e-4, "{theirs} at {size}: off by {off} of their norm: {found:?}, {expected:?}");
    }
}

macro_rules! networks {
    ($($test:ident: $ours:literal;)*) => {$(
        #[test]
        fn $test() {
            check(stringify!($test), $ours);
        }
    )*};
}

networks! {
    mobilenetv2_100: "mobilenet_v2";
    efficientnet_b0: "efficientnet_b0";
    tf_efficientnet_b0: "tf_efficientnet_b0";
    tf_efficientnet_lite0: "efficientnet-lite0";
    convnext_tiny: "convnext_tiny";
    vit_base_patch16_224: "vit_b_16";
    vgg16: "vgg16";
    vgg16_bn: "vgg16_bn";
}
