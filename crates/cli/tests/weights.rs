//! Files with several sets of weights, folders, and files that are no weights, as the command meets them.

use std::collections::HashMap;

use burn::tensor::Device;
use dyntta_nn::weights::{self, Entry, StateDict};
use dyntta_nn::{Arch, ClassifierNet, Init};

mod common;
#[path = "common/place.rs"]
mod place;
use common::{dyntta, text};
use place::Place;

fn network(value: f32) -> StateDict {
    let net = ClassifierNet::new(&Init::blank("classifier", &Device::flex()), Arch::CifarResNet(1), 2);
    let mut dict = weights::state_dict(&net);
    for (key, Entry { data, .. }) in &mut dict {
        data.fill(if key.ends_with("running_var") { 1.0 } else { value });
    }
    dict
}

fn under(prefix: &str, dict: StateDict) -> StateDict {
    dict.into_iter().map(|(key, entry)| (format!("{prefix}{key}"), entry)).collect()
}

#[test]
fn the_set_that_is_taken_is_said_and_chosen_by_its_key() {
    let place = Place::new();
    let mut file = under("state_dict.", network(0.0));
    file.extend(under("state_dict_ema.", network(0.1)));
    weights::write(&place.path("best.safetensors"), &file, HashMap::new()).unwrap();
    let (data, best) = (place.at("data"), place.at("best.safetensors"));
    let info = text(&dyntta(&["classifier", "info", &best]).stdout);
    assert!(info.contains("`state_dict_ema` is taken; there is also `state_dict`"), "{info}");
    let info = dyntta(&["classifier", "info", &best, "--weights-key", "state_dict", "--json"]);
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    assert_eq!(info["arch"], "cifar-resnet8");
    let notes = info["notes"].to_string();
    assert!(notes.contains("left out: `state_dict_ema.") && !notes.contains("is taken"), "{notes}");
    let eval = dyntta(&["eval", "--clean", &data, "--classifier", &best]);
    assert!(text(&eval.stderr).contains("`state_dict_ema` is taken"), "{}", text(&eval.stderr));
    let wrong = dyntta(&["eval", "--clean", &data, "--classifier", &best, "--weights-key", "best"]);
    assert_eq!(wrong.status.code(), Some(1));
    let message = text(&wrong.stderr);
    assert!(message.contains("`best`") && message.contains("`state_dict_ema`"), "{message}");
}

#[test]
fn a_folder_stands_for_its_weights_and_what_is_beside_them() {
    let place = Place::new();
    std::fs::create_dir(place.path("hub")).unwrap();
    weights::write(&place.path("hub/model.safetensors"), &network(0.1), HashMap::new()).unwrap();
    let config = r#"{"architecture": "resnet8", "pretrained_cfg": {"input_size": [3, 32, 32], "mean": [0.1, 0.2, 0.3],
        "std": [1, 1, 1], "interpolation": "bilinear", "crop_pct": 1.0}}"#;
    std::fs::write(place.path("hub/config.json"), config).unwrap();
    let output = dyntta(&["classifier", "info", &place.at("hub")]);
    let info = text(&output.stdout);
    for part in ["model.safetensors", "cifar-resnet8", "mean 0.1, 0.2, 0.3", "config.json"] {
        assert!(info.contains(part), "no `{part}` in {info}{}", text(&output.stderr));
    }
    std::fs::write(place.path("hub/config.json"), config.replace("resnet8", "resnetblur18")).unwrap();
    let message = text(&dyntta(&["classifier", "info", &place.at("hub")]).stderr);
    assert!(message.contains("cifar-resnet8") && message.contains("`resnetblur18`"), "{message}");
}

#[test]
fn what_is_no_weight_file_is_named() {
    let place = Place::new();
    for (name, bytes, word) in [
        ("zero.pth", "", "an empty file"),
        ("page.pth", "<!DOCTYPE html><title>404</title>", "an HTML page"),
        (
            "lfs.safetensors",
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "a Git LFS pointer",
        ),
    ] {
        std::fs::write(place.path(name), bytes).unwrap();
        let (file, data) = (place.at(name), place.at("data"));
        let info = dyntta(&["classifier", "info", &file]);
        let eval = dyntta(&["eval", "--clean", &data, "--classifier", &file]);
        for output in [info, eval] {
            let message = text(&output.stderr);
            assert!(output.status.code() == Some(1) && message.contains(word), "{name}: {message}");
        }
    }
}

#[test]
fn a_published_urie_enhances_whatever_its_format() {
    let place = Place::new();
    let (enhancer, _) = dyntta_nn::checkpoint::load(&place.path("enhancer"), &Device::flex()).unwrap();
    let urie: StateDict = weights::state_dict(&enhancer)
        .into_iter()
        .filter_map(|(key, entry)| Some((format!("state_dict.module.{}", key.strip_prefix("urie.")?), entry)))
        .collect();
    let file = place.at("urie.safetensors");
    weights::write(&place.path("urie.safetensors"), &urie, HashMap::new()).unwrap();
    let out = place.at("out");
    let output = dyntta(&["enhance", &place.at("data/cat"), "--enhancer", &file, "--out", &out]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(std::fs::read_dir(place.path("out")).unwrap().count(), 4);
    let output = dyntta(&[
        "enhance",
        &place.at("data/cat"),
        "--enhancer",
        &place.at("net.safetensors"),
        "--out",
        &out,
    ]);
    assert!(
        output.status.code() == Some(1) && text(&output.stderr).contains("URIE"),
        "{}",
        text(&output.stderr)
    );
}
