//! Weight files and checkpoints: formats, keys, and what is said of those that do not fit.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use dyntta_nn::checkpoint::{self, ClassifierConfig, EnhancerConfig, Method};
use dyntta_nn::weights::{self, StateDict};
use dyntta_nn::{Arch, CifarResNet, Classifier, Enhancer, Error, Init, Mode, Normalisation, SkUnet};

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

fn plain() -> Device {
    Device::flex()
}

#[test]
fn zip_legacy_and_half_precision_checkpoints_are_read_without_their_wrapping() {
    for name in ["small_zip.pth", "small_legacy.th", "small_half.pt"] {
        let dict = weights::read(&testdata(name)).unwrap();
        assert_eq!(dict.keys().collect::<Vec<_>>(), ["fc.bias", "fc.weight"], "{name}");
        assert_eq!(dict["fc.weight"].shape, [2, 3]);
        assert_eq!(dict["fc.weight"].data, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(dict["fc.bias"].data, [0.5, -2.0]);
    }
}

#[test]
fn weights_survive_a_round_trip_through_safetensors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    let net = CifarResNet::new(&Init::new("net", 3, &plain()), 1, 10);
    let dict = weights::state_dict(&net);
    weights::write(&path, &dict, Default::default()).unwrap();
    assert_eq!(weights::read(&path).unwrap(), dict);
    let classifier = Classifier::load(&path, None, Normalisation::IMAGENET, &plain()).unwrap();
    assert_eq!(classifier.arch(), Arch::CifarResNet(1));
    assert_eq!(classifier.classes(), 10);
}

#[test]
fn files_that_are_no_weights_are_named_with_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("weights.pth");
    std::fs::write(&text, "these are no weights\n").unwrap();
    let truncated = folder.path().join("half.th");
    let bytes = std::fs::read(testdata("small_legacy.th")).unwrap();
    std::fs::write(&truncated, &bytes[..bytes.len() - 20]).unwrap();
    let tensors = folder.path().join("half.safetensors");
    std::fs::write(&tensors, [&200u64.to_le_bytes()[..], b"{\"a\":"].concat()).unwrap();
    let empty = folder.path().join("empty.pth");
    std::fs::write(&empty, "").unwrap();
    for path in [&text, &truncated, &tensors, &empty] {
        let message = weights::read(path).unwrap_err().to_string();
        assert!(message.starts_with(&path.display().to_string()), "{message}");
        assert!(message.contains("expected"), "{message}");
    }
    let missing = folder.path().join("missing.pth");
    assert!(matches!(weights::read(&missing), Err(Error::Model(dyntta_model::Error::File(_)))));
}

#[test]
fn a_mismatch_lists_missing_and_unexpected_keys_and_shapes() {
    let init = Init::new("net", 0, &plain());
    let mut dict = weights::state_dict(&CifarResNet::new(&init, 1, 10));
    dict.remove("bn1.bias");
    let conv = dict.remove("conv1.weight").unwrap();
    dict.insert("stem.weight".into(), conv);
    dict.get_mut("linear.bias").unwrap().shape = vec![5, 2];
    let fresh = CifarResNet::new(&init, 1, 10);
    let Err(Error::Model(dyntta_model::Error::Mismatch { mismatch, .. })) =
        weights::load(fresh, &dict, Path::new("x"), "net")
    else {
        panic!("it does not fit")
    };
    assert_eq!(mismatch.missing, ["conv1.weight", "bn1.bias"]);
    assert_eq!(mismatch.unexpected, ["stem.weight"]);
    assert_eq!(mismatch.shapes, [("linear.bias".to_owned(), vec![10], vec![5, 2])]);
}

/// The published URIE weights' keys for ours.
fn published(dict: &StateDict) -> StateDict {
    let places = [
        ("down1.", "down2.maxpool_conv.1."),
        ("down2.", "down3.maxpool_conv.1."),
        ("up1.", "up1.conv."),
        ("up2.", "up2.conv."),
    ];
    let parts = [
        ("conv_a.", "conv1."),
        ("conv_b.", "conv2."),
        ("squeeze.", "selector.fc.0."),
        ("attend_a.", "selector.att_conv1."),
        ("attend_b.", "selector.att_conv2."),
        ("bn.", "BN."),
    ];
    let rename = |key: &str| {
        for (ours, theirs) in places {
            if let Some(rest) = key.strip_prefix(ours) {
                let (o, t) = parts.iter().find(|(o, _)| rest.starts_with(o)).unwrap();
                return format!("{theirs}{t}{}", &rest[o.len()..]);
            }
        }
        key.replace("stem.", "down1.").replace("head.", "up3.")
    };
    dict.iter().map(|(k, v)| (format!("module.{}", rename(k)), v.clone())).collect()
}

#[test]
fn published_urie_keys_find_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("urie.safetensors");
    let urie = SkUnet::new(&Init::new("other", 5, &plain()));
    let dict = weights::state_dict(&urie);
    weights::write(&path, &published(&dict), Default::default()).unwrap();
    let (Enhancer::Urie(loaded), None) = checkpoint::load(&path, &plain()).unwrap() else {
        panic!("a URIE without config")
    };
    assert_eq!(weights::state_dict(&loaded), dict);
}

fn config(method: Method, bank: Option<Vec<String>>) -> EnhancerConfig {
    EnhancerConfig {
        format: 1,
        method,
        bank,
        control_size: None,
        image_size: [32, 32],
        classifier: ClassifierConfig {
            arch: "cifar-resnet20".into(),
            normalisation: Normalisation::IMAGENET,
            classes: vec!["a".into(), "b".into()],
        },
        seed: 0,
        versions: Default::default(),
        training: serde_json::json!({}),
    }
}

fn output(enhancer: &Enhancer, [h, w]: [usize; 2]) -> Vec<f32> {
    let values: Vec<f32> = (0..2 * 3 * h * w).map(|i| (i * 37 % 101) as f32 / 100.0).collect();
    let x = Tensor::from_data(TensorData::new(values, [2, 3, h, w]), &plain());
    enhancer.forward(x, Mode::Eval).into_data().try_to_vec().unwrap()
}

#[test]
fn an_enhancer_survives_its_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    for (method, bank) in [
        (Method::Urie, None),
        (Method::Dyntta, Some(vec!["identity".into(), "gamma".into(), "low_pass_0.25".into()])),
        (Method::Dyntta, None),
    ] {
        let config = config(method, bank);
        let enhancer = checkpoint::build(&config, Path::new("test"), 11, &plain()).unwrap();
        checkpoint::save(folder.path(), &enhancer, &config).unwrap();
        let (loaded, read) = checkpoint::load(folder.path(), &plain()).unwrap();
        assert_eq!(read, Some(config));
        assert_eq!(output(&loaded, [16, 12]), output(&enhancer, [16, 12]));
    }
}

#[test]
fn images_of_any_size_come_through() {
    for method in [Method::Dyntta, Method::Urie] {
        let enhancer = checkpoint::build(&config(method, None), Path::new("test"), 0, &plain()).unwrap();
        for size in [[1, 1], [1, 9], [3, 2], [5, 4], [33, 17]] {
            let y = output(&enhancer, size);
            assert!(y.iter().all(|v| v.is_finite()), "{size:?}");
            if method == Method::Dyntta {
                assert!(y.iter().all(|v| (0.0..=1.0).contains(v)), "{size:?}");
            }
        }
    }
}

#[test]
fn the_identity_op_starts_as_the_identity() {
    let names: Vec<String> = ["identity", "invert", "gamma"].map(Into::into).to_vec();
    let enhancer =
        checkpoint::build(&config(Method::Dyntta, Some(names)), Path::new("test"), 0, &plain()).unwrap();
    let Enhancer::DynTta(dyntta) = enhancer else { unreachable!() };
    let x = Tensor::from_data(TensorData::new(vec![0.25f32; 3 * 64], [1, 3, 8, 8]), &plain());
    let weights: Vec<f32> = dyntta.forward(x, Mode::Eval).weights.into_data().try_to_vec().unwrap();
    assert!(weights[0] > 0.9, "{weights:?}");
}

#[test]
fn configs_that_are_wrong_say_where() {
    let folder = tempfile::tempdir().unwrap();
    let good = config(Method::Dyntta, Some(vec!["gamma".into()]));
    let enhancer = checkpoint::build(&good, Path::new("test"), 0, &plain()).unwrap();
    checkpoint::save(folder.path(), &enhancer, &good).unwrap();
    let path = folder.path().join("enhancer.json");
    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to, expected) in [
        ("\"gamma\"", "\"gama\"", "gama"),
        ("\"format\": 1", "\"format\": 2", "`format` 2"),
        ("\"seed\": 0", "\"sead\": 0", "sead"),
        ("\"gamma\"", "\"hue\", \"gamma\"", "shapes"),
    ] {
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let message = checkpoint::load(folder.path(), &plain()).unwrap_err().to_string();
        assert!(message.contains("enhancer.") && message.contains(expected), "{message}");
    }
}
