//! What a user can get wrong about a checkpoint, and what the error says.

mod common;

use std::path::Path;

use common::{config, dyntta, image, tempdir, urie, write, write_weights};
use dyntta_runtime::{Enhancer, Error, Method, Workspace};

fn message(path: impl AsRef<Path>) -> String {
    Enhancer::load(path).expect_err("not a checkpoint").to_string()
}

fn says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
}

#[test]
fn a_folder_a_file_and_bare_weights_load() {
    let dir = tempdir();
    let folder = write(dir.path(), &urie(""), &config("urie", ""));
    let by_folder = Enhancer::load(&folder).unwrap();
    let by_file = Enhancer::load(folder.join("enhancer.safetensors")).unwrap();
    assert_eq!(by_folder.config(), by_file.config());
    assert_eq!(by_folder.config().unwrap().method, Method::Urie);
    let bare = dir.path().join("bare.safetensors");
    write_weights(&bare, &urie(""));
    assert!(Enhancer::load(&bare).unwrap().config().is_none());
}

#[test]
fn the_published_keys_load_as_ours() {
    // Blocks under their published names, wrapped and with the counters PyTorch adds.
    let mut published = common::Tensors::new();
    for (key, tensor) in urie("") {
        let key = match key.split_once('.').unwrap() {
            ("stem", leaf) => format!("down1.conv.{leaf}"),
            ("head", leaf) => format!("up3.{leaf}"),
            (block, rest) => {
                let block = match block {
                    "down1" => "down2.maxpool_conv.1",
                    "down2" => "down3.maxpool_conv.1",
                    "up1" => "up1.conv",
                    _ => "up2.conv",
                };
                let rest = rest
                    .replace("conv_a", "conv1")
                    .replace("conv_b", "conv2")
                    .replace("squeeze", "selector.fc.0")
                    .replace("attend_a", "selector.att_conv1")
                    .replace("attend_b", "selector.att_conv2")
                    .replace("bn.", "BN.");
                format!("{block}.{rest}")
            }
        };
        published.insert(format!("module.{key}"), tensor);
    }
    published.insert("module.up1.conv.BN.num_batches_tracked".into(), (vec![1], vec![7.0]));
    let dir = tempdir();
    let (theirs, ours) = (dir.path().join("theirs.safetensors"), dir.path().join("ours.safetensors"));
    write_weights(&theirs, &published);
    write_weights(&ours, &urie(""));
    let x = image(3 * 9 * 8, "published");
    let run = |path: &Path| {
        let mut out = vec![0.0; x.len()];
        Enhancer::load(path).unwrap().enhance_planar(&mut Workspace::new(), 1, 9, 8, &x, &mut out);
        out
    };
    assert_eq!(run(&theirs), run(&ours));
}

#[test]
fn paths_that_lead_nowhere() {
    let dir = tempdir();
    let nowhere = dir.path().join("nowhere");
    assert!(matches!(Enhancer::load(&nowhere), Err(Error::File(_))));
    says(&message(&nowhere), &["nowhere: cannot read"]);
    says(&message(dir.path()), &["folder of a run", "enhancer.safetensors"]);
    // A run's folder without its config is damaged, not bare weights.
    write_weights(&dir.path().join("enhancer.safetensors"), &urie(""));
    says(&message(dir.path()), &["enhancer.json"]);
}

#[test]
fn weights_that_do_not_fit() {
    let dir = tempdir();
    let path = dir.path().join("w.safetensors");
    let mut tensors = urie("");
    tensors.remove("up2.bn.running_var");
    tensors.insert("extra.weight".into(), (vec![2], vec![0.0; 2]));
    tensors.insert("head.bias".into(), (vec![1, 3], vec![0.0; 3]));
    write_weights(&path, &tensors);
    says(
        &message(&path),
        &[
            "w.safetensors",
            "URIE (no config",
            "missing keys (1)",
            "up2.bn.running_var",
            "unexpected keys (1)",
            "extra.weight",
            "head.bias: expected [3], found [1, 3]",
        ],
    );
    // DynTTA's weights for another bank.
    let folder = write(dir.path(), &dyntta(50, true), &config("dyntta", r#""bank": ["rotate"],"#));
    says(
        &message(folder),
        &["the dyntta of", "control.fc.weight: expected [2, 512], found [100, 512]", "urie.down1"],
    );
}

#[test]
fn files_that_are_something_else() {
    let dir = tempdir();
    let path = dir.path().join("w.safetensors");
    let whole = {
        write_weights(&path, &urie(""));
        std::fs::read(&path).unwrap()
    };
    let mut damaged = whole.clone();
    damaged[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let no_tensors =
        safetensors::serialize(Vec::<(&str, safetensors::tensor::TensorView)>::new(), None).unwrap();
    for (bytes, word) in [
        (&[][..], "an empty file"),
        (b"PK\x03\x04", "a zip archive"),
        (&whole[..whole.len() / 2], "breaks off"),
        (&whole[..20], "a header of"),
        (&damaged, "a header of"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        says(&message(&path), &["w.safetensors", "expected a", "safetensors file", word]);
    }
    std::fs::write(&path, no_tensors).unwrap();
    says(&message(&path), &["floating-point tensors", "found none"]);
}

#[test]
fn configs_that_are_something_else() {
    let dir = tempdir();
    write(dir.path(), &urie(""), "");
    let json = dir.path().join("enhancer.json");
    for (text, words) in [
        ("{", &["the config of an enhancer", "line 1"][..]),
        (r#"{"format": 2}"#, &["`format` 1", "`format` 2"]),
        (r#"{"format": 1, "method": "urie"}"#, &["image_size"]),
        (r#"{"format": 1, "method": "magic", "image_size": [1, 1]}"#, &["magic", "dyntta"]),
        (r#"{"format": 1, "method": "urie", "image_size": [0, 9]}"#, &["`control_size`", "found 0"]),
        (r#"{"format": 1, "method": "urie", "image_size": [9, 9], "control_size": 99999999}"#, &["2048"]),
        (
            r#"{"format": 1, "method": "urie", "image_size": [9, 9], "control_size": 16384}"#,
            &["from 1 to 2048"],
        ),
        (r#"{"format": 1, "method": "urie", "image_size": [9, 9], "other": 1}"#, &["unknown field `other`"]),
        (&config("dyntta", r#""bank": ["rotat"],"#), &["enhancer.json", "`bank`", "did you mean `rotate`"]),
        (&config("dyntta", r#""bank": [],"#), &["`bank`", "empty"]),
    ] {
        std::fs::write(&json, text).unwrap();
        says(&message(dir.path()), words);
    }
}

#[test]
fn half_precision_and_double_precision_weights_load() {
    use safetensors::tensor::{Dtype, TensorView};
    let dir = tempdir();
    let tensors = urie("");
    let x = image(3 * 8 * 8, "precision");
    let run = |path: &Path| {
        let mut out = vec![0.0; x.len()];
        Enhancer::load(path).unwrap().enhance_planar(&mut Workspace::new(), 1, 8, 8, &x, &mut out);
        out
    };
    let path = dir.path().join("f32.safetensors");
    write_weights(&path, &tensors);
    let exact = run(&path);
    let convert: [(Dtype, f32, fn(f32) -> Vec<u8>); 3] = [
        (Dtype::F64, 0.0, |v| f64::from(v).to_le_bytes().to_vec()),
        (Dtype::F16, 0.02, |v| half::f16::from_f32(v).to_le_bytes().to_vec()),
        (Dtype::BF16, 0.2, |v| half::bf16::from_f32(v).to_le_bytes().to_vec()),
    ];
    for (kind, tolerance, bytes) in convert {
        let data: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
            .iter()
            .map(|(key, (shape, values))| {
                (key.clone(), shape.clone(), values.iter().flat_map(|v| bytes(*v)).collect())
            })
            .collect();
        let views = data
            .iter()
            .map(|(key, shape, bytes)| (key.as_str(), TensorView::new(kind, shape.clone(), bytes).unwrap()));
        let path = dir.path().join(format!("{kind:?}.safetensors"));
        std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        common::close(&run(&path), &exact, tolerance, &format!("{kind:?}"));
    }
}

#[test]
fn weights_that_are_not_numbers_are_refused_and_huge_ones_do_not_panic() {
    let dir = tempdir();
    for (bad, word) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (-1e38, "")] {
        for key in ["control.fc.weight", "control.fc.bias", "urie.stem.weight", "urie.up2.bn.running_var"] {
            let mut tensors = dyntta(50, true);
            tensors.get_mut(key).unwrap().1.fill(bad);
            let folder = write(dir.path(), &tensors, &config("dyntta", ""));
            if !word.is_empty() {
                says(&message(folder), &["enhancer.safetensors", &format!("{word} in `{key}`")]);
                continue;
            }
            let enhancer = Enhancer::load(folder).unwrap();
            let picture =
                dyntta_image::Rgb8::new(9, 7, (0..9 * 7 * 3).map(|i| (i * 5 % 256) as u8).collect()).unwrap();
            enhancer.enhance(&picture);
            enhancer.explain(&picture).unwrap();
        }
    }
}

#[test]
fn a_view_that_no_memory_holds_is_refused() {
    let enhancer = Enhancer::untrained(Method::Dyntta, 0);
    for side in [0, 100_000, 4_294_967_296, usize::MAX] {
        let error = enhancer.clone().with_control_size(Some(side)).unwrap_err().to_string();
        says(&error, &[&side.to_string(), "1 to 2048"]);
    }
    assert!(enhancer.with_control_size(None).is_ok());
}

#[test]
fn bytes_load_as_files_do() {
    let dir = tempdir();
    let folder = write(dir.path(), &urie(""), &config("urie", ""));
    let bytes = std::fs::read(folder.join("enhancer.safetensors")).unwrap();
    let text = std::fs::read_to_string(folder.join("enhancer.json")).unwrap();
    let limits = dyntta_runtime::Limits::DEFAULT;
    let picture =
        dyntta_image::Rgb8::new(9, 7, (0..9 * 7 * 3).map(|i| (i * 5 % 256) as u8).collect()).unwrap();
    let expected = Enhancer::load(&folder).unwrap().enhance(&picture);
    for config in [Some(text.as_str()), None] {
        let enhancer = Enhancer::from_bytes(bytes.clone(), config, "bytes", &limits).unwrap();
        assert_eq!(enhancer.enhance(&picture).data(), expected.data());
    }
    let small = dyntta_runtime::Limits { model_bytes: 100, ..limits };
    says(
        &Enhancer::from_bytes(bytes, None, "bytes", &small).unwrap_err().to_string(),
        &["bytes: expected at most 100"],
    );
    // DynTTA's weights without their config are not a URIE's.
    let path = dir.path().join("bare.safetensors");
    write_weights(&path, &dyntta(50, true));
    says(&message(&path), &["URIE alone", "DynTTA"]);
}
