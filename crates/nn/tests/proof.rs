//! Which architecture weights are of, and which of several sets: proved, said, or asked for.

use std::collections::HashMap;
use std::path::Path;

use burn::tensor::Device;
use dyntta_nn::onnx::Options;
use dyntta_nn::weights::{self, Entry, StateDict};
use dyntta_nn::{Arch, Classifier, ClassifierNet, Error, Init, Normalisation};

fn device() -> Device {
    Device::flex()
}

/// A network's weights, all of this value.
fn network(name: &str, value: f32) -> StateDict {
    let net = ClassifierNet::new(&Init::blank("net", &device()), name.parse().unwrap(), 3);
    let mut dict = weights::state_dict(&net);
    dict.values_mut().for_each(|entry| entry.data.fill(value));
    dict
}

fn under(prefix: &str, dict: &StateDict) -> StateDict {
    dict.iter().map(|(key, entry)| (format!("{prefix}{key}"), entry.clone())).collect()
}

type Loading = (Option<Arch>, Options);

fn load(path: &Path, (arch, options): &Loading) -> Result<Classifier, String> {
    let loaded = Classifier::load_with(path, *arch, Normalisation::IMAGENET, options, &device());
    loaded.map_err(|e: Error| e.to_string())
}

fn named(arch: &str) -> Loading {
    (Some(arch.parse().unwrap()), Options::default())
}

fn value(classifier: &Classifier) -> f32 {
    weights::state_dict(classifier.network().unwrap())["linear.bias"].data[0]
}

#[test]
fn the_set_of_several_that_is_taken_is_said_and_can_be_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model_best.safetensors");
    let mut file = under("state_dict.module.", &network("cifar-resnet8", 1.0));
    file.extend(under("state_dict_ema.module.", &network("cifar-resnet8", 2.0)));
    file.insert("optimizer.state.0.exp_avg".into(), Entry { shape: vec![2, 2], data: vec![0.0; 4] });
    weights::write(&path, &file, HashMap::new()).unwrap();
    let classifier = load(&path, &Loading::default()).unwrap();
    assert_eq!((classifier.arch(), value(&classifier)), (Arch::CifarResNet(1), 2.0));
    let note = &classifier.notes()[0];
    assert!(note.contains("`state_dict_ema.module`") && note.contains("`state_dict.module`"), "{note}");
    let key = |key: &str| (None, Options { weights_key: Some(key.into()), ..Options::default() });
    assert_eq!(value(&load(&path, &key("state_dict")).unwrap()), 1.0);
    assert_eq!(value(&load(&path, &key("state_dict_ema")).unwrap()), 2.0);
    assert!(load(&path, &key("teacher")).unwrap_err().contains("`teacher`"));
}

#[test]
fn a_name_beside_the_weights_must_be_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    weights::write(&path, &network("resnet18", 0.5), HashMap::new()).unwrap();
    let config = folder.path().join("config.json");
    let say = |name: &str| std::fs::write(&config, format!("{{\"architecture\": \"{name}\"}}")).unwrap();
    say("resnetblur18");
    for path in [&path, folder.path()] {
        let error = load(path, &Loading::default()).unwrap_err();
        for word in ["model.safetensors", "resnet18", "resnetblur18", "config.json", "--arch resnet18"] {
            assert!(error.contains(word), "no `{word}` in: {error}");
        }
    }
    let taken = load(&path, &named("resnet18")).unwrap();
    assert!(taken.notes()[0].contains("resnetblur18"), "{:?}", taken.notes());
    say("a_network_of_my_own");
    assert!(load(&path, &Loading::default()).unwrap_err().contains("a_network_of_my_own"));
    for name in ["resnet18", "resnet18.a1_in1k", "tv_resnet18"] {
        say(name);
        let classifier = load(folder.path(), &Loading::default()).unwrap();
        assert!(classifier.notes().is_empty(), "{:?}", classifier.notes());
    }
    // Without a name there is no proof against a network with the same keys and shapes: that is said.
    std::fs::remove_file(&config).unwrap();
    let classifier = load(&path, &Loading::default()).unwrap();
    assert!(classifier.notes()[0].contains("resnetblur18"), "{:?}", classifier.notes());
    let told = folder.path().join("resnetblur18-84f4748f.safetensors");
    std::fs::rename(&path, &told).unwrap();
    assert!(load(&told, &Loading::default()).unwrap_err().contains("resnetblur18"));
    let known = folder.path().join("resnet18-5c106cde.safetensors");
    std::fs::rename(&told, &known).unwrap();
    assert!(load(&known, &Loading::default()).unwrap().notes().is_empty());
}

/// A few of timm's EfficientNet keys for ours.
fn timm_efficientnet(dict: &StateDict) -> StateDict {
    let rename = |key: &str| -> String {
        let key = key.strip_prefix("features.").unwrap_or(key);
        let parts: Vec<&str> = key.split('.').collect();
        match parts[..] {
            ["0", "0", leaf] => format!("conv_stem.{leaf}"),
            ["0", "1", leaf] => format!("bn1.{leaf}"),
            ["8", "0", leaf] => format!("conv_head.{leaf}"),
            ["8", "1", leaf] => format!("bn2.{leaf}"),
            ["classifier", "1", leaf] => format!("classifier.{leaf}"),
            [stage, block, "block", part, inner, leaf] => {
                let stage: usize = stage.parse().unwrap();
                let names = ["conv_dw bn1", "conv_reduce conv_expand", "conv_pw bn2"];
                let wide = ["conv_pw bn1", "conv_dw bn2", "conv_reduce conv_expand", "conv_pwl bn3"];
                let part: usize = part.parse().unwrap();
                let pair = if stage == 1 { names[part] } else { wide[part] };
                let (first, second) = pair.split_once(' ').unwrap();
                let name = if inner == "0" || inner == "fc1" { first } else { second };
                let se = if inner.starts_with("fc") { "se." } else { "" };
                format!("blocks.{}.{block}.{se}{name}.{leaf}", stage - 1)
            }
            _ => panic!("{key}"),
        }
    };
    dict.iter().map(|(key, entry)| (rename(key), entry.clone())).collect()
}

#[test]
fn networks_of_the_zoo_that_share_their_keys_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let dict = network("efficientnet_b0", 0.5);
    let timm = timm_efficientnet(&dict);
    weights::write(&path, &timm, HashMap::new()).unwrap();
    let error = load(&path, &Loading::default()).unwrap_err();
    assert!(error.contains("--arch efficientnet_b0 or tf_efficientnet_b0"), "{error}");
    for name in ["efficientnet_b0", "tf_efficientnet_b0"] {
        assert_eq!(load(&path, &named(name)).unwrap().arch().to_string(), name);
        let config = folder.path().join("config.json");
        std::fs::write(&config, format!("{{\"architecture\": \"{name}\"}}")).unwrap();
        assert_eq!(load(&path, &Loading::default()).unwrap().arch().to_string(), name);
        std::fs::remove_file(&config).unwrap();
        let told = folder.path().join(format!("{name}_ra-3dd342df.safetensors"));
        std::fs::copy(&path, &told).unwrap();
        assert_eq!(load(&told, &Loading::default()).unwrap().arch().to_string(), name);
        // What a training writes says what it is.
        let about = HashMap::from([("arch".to_owned(), name.to_owned())]);
        let own = folder.path().join("classifier.safetensors");
        weights::write(&own, &dict, about).unwrap();
        assert_eq!(load(&own, &Loading::default()).unwrap().arch().to_string(), name);
    }
    // torchvision has one of them.
    let path = folder.path().join("w.safetensors");
    weights::write(&path, &dict, HashMap::new()).unwrap();
    assert_eq!(load(&path, &Loading::default()).unwrap().arch().to_string(), "efficientnet_b0");
}

#[test]
fn weights_that_are_nearly_a_network_s_list_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let mut dict = network("cifar-resnet8", 1.0);
    dict.remove("bn1.bias");
    dict.insert("extra.weight".into(), Entry { shape: vec![2], data: vec![0.0; 2] });
    weights::write(&path, &under("module.", &dict), HashMap::new()).unwrap();
    let error = load(&path, &Loading::default()).unwrap_err();
    assert!(error.contains("missing keys (1)") && error.contains("extra.weight"), "{error}");
    let error = load(&path, &named("resnet18")).unwrap_err();
    assert!(error.contains("do not fit resnet18"), "{error}");
    // The last layer says how many classes there are: it is looked at before memory is taken.
    for (shape, word) in
        [(vec![500_000_000, 0], "no elements"), (vec![0, 64], "no elements"), (vec![64, 3], "linear.weight")]
    {
        let mut dict = network("cifar-resnet8", 1.0);
        let count = shape.iter().product();
        dict.insert("linear.weight".into(), Entry { shape, data: vec![1.0; count] });
        weights::write(&path, &dict, HashMap::new()).unwrap();
        let error = load(&path, &Loading::default()).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
    let mut dict = network("cifar-resnet8", 1.0);
    dict.get_mut("layer2.0.bn2.weight").unwrap().data[3] = f32::NAN;
    weights::write(&path, &dict, HashMap::new()).unwrap();
    let error = load(&path, &Loading::default()).unwrap_err();
    assert!(error.contains("NaN in `layer2.0.bn2.weight`"), "{error}");
}

#[test]
fn two_keys_of_one_tensor_are_an_error() {
    let mut dict = network("resnet18", 0.5);
    let twice = dict["layer2.0.downsample.conv.weight"].clone();
    dict.insert("layer2.0.downsample.0.weight".into(), twice);
    let net = ClassifierNet::new(&Init::blank("net", &device()), "resnet18".parse().unwrap(), 3);
    let error = weights::load(net, &dict, Path::new("w.pth"), "resnet18").unwrap_err().to_string();
    assert!(
        error.contains("`layer2.0.downsample.0.weight` and `layer2.0.downsample.conv.weight`"),
        "{error}"
    );
}
