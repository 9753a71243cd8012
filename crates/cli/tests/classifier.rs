//! A user's way with a classifier of their own: an ONNX file, looked into, enhanced for, measured.

use std::path::{Path, PathBuf};

use dyntta_image::{Rgb8, write};
use serde_json::Value;

mod common;
use common::{dyntta, text};

fn succeeds(args: &[&str]) -> (String, String) {
    let output = dyntta(args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&succeeds(args).0).unwrap()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../nn/tests/onnx").join(name)
}

/// Pictures of as many classes as asked for.
fn pictures(folder: &Path, classes: usize, size: usize) {
    for c in 0..classes {
        let class = folder.join(format!("class{c:02}"));
        std::fs::create_dir_all(&class).unwrap();
        for i in 0..3 {
            let data = (0..size * size * 3).map(|v| ((v * (7 + i) + c * 37) % 256) as u8).collect();
            write(class.join(format!("{i}.png")), &Rgb8::new(size, size, data).unwrap()).unwrap();
        }
    }
}

/// A convolutional network, a transformer, and a network of depthwise convolutions: from the exported file to an enhancer
/// for it and its accuracy.
#[test]
fn from_an_exported_network_to_an_enhancer_for_it() {
    for name in ["resnet.onnx", "vit.onnx", "mobile.onnx"] {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
        let net = at("net.onnx");
        std::fs::copy(fixture(name), &net).unwrap();

        let info = json(&["classifier", "info", &net, "--json"]);
        assert_eq!(info["arch"], "onnx", "{info}");
        let classes = info["classes"].as_u64().unwrap() as usize;
        let fixed = info["onnx"]["height"].as_u64();
        let size = fixed.unwrap_or(24) as usize;
        if fixed.is_some() {
            assert_eq!(info["preprocessing"]["input_size"], serde_json::json!([size, size]), "{info}");
            assert_eq!(info["fits"], true, "{info}");
        }
        let (shown, _) = succeeds(&["classifier", "info", &net]);
        assert!(shown.contains("operators") && shown.contains("preprocessing"), "{shown}");

        // What the exporter was told travels in a file beside the network.
        let beside = format!(r#"{{"input_size": {size}, "resize": "stretch", "mean": [0.5, 0.5, 0.5]}}"#);
        std::fs::write(at("net.json"), beside).unwrap();
        pictures(&place.path().join("data"), classes, 30);
        let (data, run) = (at("data"), at("run"));
        let train =
            ["train", "--data", &data, "--classifier", &net, "--method", "dyntta", "--setting", "nonblind"];
        let more = ["--epochs", "1", "--batch-size", "4", "--limit", "8", "--preset", "cifar", "--out", &run];
        let (_, said) = succeeds(&[train.as_slice(), more.as_slice()].concat());
        assert!(said.contains("net.json"), "{name}: {said}");
        let result = at("result.json");
        let eval = ["eval", "--classifier", &net, "--enhancer", &run, "--clean", &data, "--suite", "fog"];
        succeeds(&[eval.as_slice(), &["--severities", "3", "--json", &result]].concat());
        let result: Value = serde_json::from_str(&std::fs::read_to_string(result).unwrap()).unwrap();
        let accuracy = result["clean"]["accuracy"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&accuracy) && result["clean"]["n"] == 3 * classes, "{result}");
    }
}

/// Baselines that adapt batch normalisation need one that they can reach.
#[test]
fn an_exported_network_has_the_baselines_that_leave_it_as_it_is() {
    let place = tempfile::tempdir().unwrap();
    let net = fixture("resnet.onnx").display().to_string();
    let classes = json(&["classifier", "info", &net, "--json"])["classes"].as_u64().unwrap() as usize;
    pictures(&place.path().join("data"), classes, 30);
    let (data, result) = (place.path().join("data").display().to_string(), place.path().join("result.json"));
    let eval =
        ["classifier", "eval", "--classifier", &net, "--clean", &data, "--input-size", "24", "--baselines"];
    let (table, said) = succeeds(&[eval.as_slice(), &["--json", result.to_str().unwrap()]].concat());
    let heading: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heading, ["alone", "flip", "ten-crop"]);
    assert!(said.contains("baselines left out: bn-adapt, tent: an ONNX graph"), "{said}");
    let value: Value = serde_json::from_str(&std::fs::read_to_string(result).unwrap()).unwrap();
    assert_eq!(value["baselines"].as_object().unwrap().len(), 2, "{value}");
}

#[test]
fn what_cannot_run_is_refused_with_every_reason() {
    let text = |path: &Path| {
        let output = dyntta(&["classifier", "info", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{}", path.display());
        let message = text(&output.stderr);
        assert!(!message.contains("panicked"), "{message}");
        message
    };
    let mut bad = 0;
    for entry in std::fs::read_dir(fixture("bad")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "onnx") {
            let message = text(&path);
            assert!(message.contains(path.file_name().unwrap().to_str().unwrap()), "{message}");
            bad += 1;
        }
    }
    assert!(bad > 3);
    assert!(text(Path::new("no-such.onnx")).contains("no-such.onnx"));
}

#[test]
fn weights_of_a_known_architecture_are_told_by_their_keys() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("net.safetensors");
    let device = burn::tensor::Device::flex();
    let init = dyntta_nn::Init::new("classifier", 0, &device);
    let net = dyntta_nn::ClassifierNet::new(&init, dyntta_nn::Arch::CifarResNet(1), 7);
    dyntta_nn::weights::write(&path, &dyntta_nn::weights::state_dict(&net), Default::default()).unwrap();
    let info = json(&["classifier", "info", path.to_str().unwrap(), "--json"]);
    assert_eq!((&info["arch"], &info["classes"]), (&"cifar-resnet8".into(), &7.into()), "{info}");
    assert!(info["parameters"].as_u64().unwrap() > 10_000, "{info}");
    assert_eq!(info["preprocessing"]["input_size"], serde_json::json!([32, 32]));
}
