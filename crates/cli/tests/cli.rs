//! The command as a user meets it: exit codes, messages, and files that are whole or not there.

use dyntta_image::{
    Decode, Metadata, Profile, Rgb8, decode_with, encode_jpeg, encode_jpeg_with, encode_png, is_ours, read,
    write,
};
use dyntta_nn::{Init, weights};

mod common;
#[path = "common/place.rs"]
mod place;
use common::{dyntta, text};
use place::Place;

/// Runs what must fail: exit code 1, and every one of `parts` in the message, and no trace of a panic.
fn fails(args: &[&str], parts: &[&str]) {
    let output = dyntta(args);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {message}");
    assert!(!message.contains("panicked"), "{args:?}: {message}");
    for part in parts {
        assert!(message.contains(part), "{args:?}: no `{part}` in {message}");
    }
}

/// Runs what the command line itself refuses, naming the flag.
fn misused(args: &[&str], flag: &str) {
    let output = dyntta(args);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
    assert!(message.contains(flag), "{args:?}: no `{flag}` in {message}");
}

fn succeeds(args: &[&str]) -> String {
    let output = dyntta(args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn usage_errors_exit_with_2_and_help_with_0() {
    assert_eq!(dyntta(&["train", "--no-such-flag"]).status.code(), Some(2));
    assert_eq!(dyntta(&[]).status.code(), Some(2));
    for command in ["demo", "train", "eval", "enhance"] {
        assert!(succeeds(&[command, "--help"]).contains("Usage"), "{command}");
    }
}

#[test]
fn eval_prints_a_table_and_writes_versioned_json() {
    let place = Place::new();
    let (net, data, enhancer, json) =
        (place.at("net.safetensors"), place.at("data"), place.at("enhancer"), place.at("result.json"));
    let table = succeeds(&[
        "eval",
        "--classifier",
        &net,
        "--clean",
        &data,
        "--suite",
        "gaussian_noise,fog",
        "--severities",
        "1,5",
        "--enhancer",
        &enhancer,
        "--json",
        &json,
    ]);
    for part in ["clean", "gaussian_noise", "fog", "alone", "with dyntta", "mean of 2 in common15"] {
        assert!(table.contains(part), "no `{part}` in\n{table}");
    }
    let value: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(value["version"], 1);
    assert_eq!(value["clean"]["n"], 8);
    assert!(value["corrupted"]["by_corruption"]["fog"]["5"].is_f64());
    // This enhancer's config names no setting, so nothing is known of what it has seen.
    assert!(table.contains("setting unknown"), "{table}");
    assert_eq!(value["corrupted"]["seen_in_training"]["common15"], serde_json::Value::Null);
    assert!(
        value["corrupted"]["common15"].is_f64() && value["without_enhancer"]["clean"]["accuracy"].is_f64()
    );
    // The same again gives the same, in other batches too.
    let again = succeeds(&[
        "eval",
        "--classifier",
        &net,
        "--clean",
        &data,
        "--suite",
        "gaussian_noise,fog",
        "--severities",
        "1,5",
        "--enhancer",
        &enhancer,
        "--batch-size",
        "3",
    ]);
    assert_eq!(table, again);
}

#[test]
fn eval_shows_baselines_beside_the_classifier_and_its_enhancer() {
    let place = Place::new();
    let (net, data, enhancer, json) =
        (place.at("net.safetensors"), place.at("data"), place.at("enhancer"), place.at("result.json"));
    let eval = |more: &[&str]| {
        let given = ["eval", "--classifier", &net, "--clean", &data, "--suite", "fog", "--severities", "1,5"];
        succeeds(&[given.as_slice(), &["--json", &json], more].concat())
    };
    let read = || -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(place.path("result.json")).unwrap()).unwrap()
    };
    let names = ["flip", "ten-crop", "bn-adapt", "tent"];
    let plain = eval(&["--enhancer", &enhancer]);
    let (before, all) = (read(), eval(&["--enhancer", &enhancer, "--baselines"]));
    let heading = all.lines().next().unwrap();
    let columns = [&["alone", "with dyntta"], names.as_slice()].concat().join(" ");
    assert_eq!(heading.split_whitespace().collect::<Vec<_>>().join(" "), columns, "{all}");
    let value = read();
    assert_eq!(value["version"], 1);
    for key in ["clean", "corrupted", "without_enhancer"] {
        assert_eq!(value[key], before[key], "{plain}{all}");
    }
    assert!(before.get("baselines").is_none());
    assert_eq!(value["baselines"].as_object().unwrap().len(), 4);
    for name in names {
        let scores = &value["baselines"][name];
        assert_eq!(scores["clean"]["n"], 8, "{value}");
        assert!(scores["corrupted"]["by_corruption"]["fog"]["5"].is_f64(), "{value}");
    }
    assert_eq!(value["about"]["bn_prior"], 16);

    let some = eval(&["--baselines", "tent,flip", "--bn-prior", "0"]);
    let heading: Vec<&str> = some.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heading, ["alone", "tent", "flip"]);
    assert_eq!(read()["about"]["baselines"], serde_json::json!(["tent", "flip"]));
    let unknown = ["eval", "--classifier", &net, "--clean", &data, "--baselines=flip,memo"];
    fails(&unknown, &["memo", "flip, ten-crop, bn-adapt, tent"]);
}

#[test]
fn corrupted_images_on_disk_are_evaluated_by_corruption_and_severity() {
    let place = Place::new();
    for class in ["cat", "dog"] {
        let folder = place.path("c/fog/3").join(class);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(place.path("data").join(class).join("0.png"), folder.join("0.png")).unwrap();
    }
    let net = place.at("net.safetensors");
    let table = succeeds(&[
        "eval",
        "--classifier",
        &net,
        "--clean",
        &place.at("data"),
        "--corrupted",
        &place.at("c"),
    ]);
    assert!(table.contains("fog") && table.contains("clean"), "{table}");
    std::fs::rename(place.path("c/fog/3/dog"), place.path("c/fog/3/wolf")).unwrap();
    fails(
        &["eval", "--classifier", &net, "--clean", &place.at("data"), "--corrupted", &place.at("c")],
        &["dog", "wolf"],
    );
}

#[test]
fn bench_reports_parts_as_json() {
    for (what, parts) in [
        ("forward", vec!["control network", "sk-unet", "blend"]),
        ("step", vec!["forward", "backward", "optimizer"]),
        ("corrupt", vec!["gaussian_noise", "saturate"]),
    ] {
        let out = succeeds(&["bench", what, "--size", "32", "--batch", "2", "--runs", "1", "--json"]);
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["version"], 1);
        assert!(value["ms_per_image"].as_f64().unwrap() > 0.0);
        for part in parts {
            assert!(value["parts"][part].as_f64().unwrap() > 0.0, "{part}");
        }
    }
}

#[test]
fn train_writes_a_run_that_eval_and_enhance_take() {
    let place = Place::new();
    let (net, data, run, out) =
        (place.at("net.safetensors"), place.at("data"), place.at("run"), place.at("out"));
    succeeds(&[
        "train",
        "--data",
        &data,
        "--classifier",
        &net,
        "--preset",
        "cifar",
        "--method",
        "dyntta",
        "--bank",
        "gamma,contrast,invert",
        "--epochs",
        "1",
        "--batch-size",
        "4",
        "--out",
        &run,
    ]);
    for file in
        ["settings.json", "metrics.jsonl", "state.safetensors", "enhancer.safetensors", "enhancer.json"]
    {
        assert!(place.path("run").join(file).is_file(), "{file}");
    }
    // A finished run resumed has nothing left to do, and needs no other flags.
    succeeds(&["train", "--out", &run, "--resume"]);
    fails(&["train", "--data", &data, "--classifier", &net, "--out", &run], &["--resume", &run]);
    succeeds(&["eval", "--classifier", &net, "--clean", &data, "--enhancer", &run]);
    let image = place.at("data/cat/0.png");
    succeeds(&["enhance", &image, "--enhancer", &run, "--out", &out]);
    assert_eq!(read(place.path("out/0.png")).unwrap().width(), 32);
}

#[test]
fn enhance_takes_any_image_and_any_size() {
    let place = Place::new();
    let picture =
        |w: usize, h: usize| Rgb8::new(w, h, (0..w * h * 3).map(|v| (v * 13 % 256) as u8).collect()).unwrap();
    let inputs = place.path("inputs");
    std::fs::create_dir(&inputs).unwrap();
    write(inputs.join("one.png"), &picture(1, 1)).unwrap();
    write(inputs.join("odd.png"), &picture(61, 47)).unwrap();
    std::fs::write(inputs.join("photo.jpg"), encode_jpeg(&picture(40, 30), 90).unwrap()).unwrap();
    std::fs::write(inputs.join("turned.jpg"), turned(&encode_jpeg(&picture(40, 30), 90).unwrap())).unwrap();
    let out = place.at("out");
    succeeds(&["enhance", &inputs.display().to_string(), "--enhancer", &place.at("enhancer"), "--out", &out]);
    for (name, size) in [("one", (1, 1)), ("odd", (61, 47)), ("photo", (40, 30)), ("turned", (30, 40))] {
        let image = read(place.path("out").join(format!("{name}.png"))).unwrap();
        assert_eq!((image.width(), image.height()), size, "{name}");
    }
}

/// A JPEG with an EXIF header that asks for a quarter turn.
fn turned(jpeg: &[u8]) -> Vec<u8> {
    let exif: &[u8] = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let mut out = jpeg[..2].to_vec();
    out.extend([0xff, 0xe1]);
    out.extend((exif.len() as u16 + 2).to_be_bytes());
    out.extend(exif);
    out.extend(&jpeg[2..]);
    out
}

#[test]
fn bare_urie_weights_enhance_without_a_config() {
    let place = Place::new();
    let urie = dyntta_nn::SkUnet::new(&Init::new("urie", 0, &burn::tensor::Device::flex()));
    weights::write(&place.path("urie.safetensors"), &weights::state_dict(&urie), Default::default()).unwrap();
    let image = place.at("data/cat/0.png");
    succeeds(&["enhance", &image, "--enhancer", &place.at("urie.safetensors"), "--out", &place.at("out")]);
    assert_eq!(read(place.path("out/0.png")).unwrap().height(), 32);
}

#[test]
fn one_bad_image_is_named_and_the_others_are_enhanced() {
    let place = Place::new();
    let good = place.at("data/cat/0.png");
    let bad = place.at("cut.jpg");
    let jpeg = encode_jpeg(&Rgb8::black(64, 64).unwrap(), 90).unwrap();
    std::fs::write(&bad, &jpeg[..jpeg.len() / 2]).unwrap();
    let out = place.at("out");
    fails(
        &["enhance", &bad, &good, "--enhancer", &place.at("enhancer"), "--out", &out],
        &["1 of 2", "cut.jpg"],
    );
    assert!(place.path("out/0.png").is_file());
    let left: Vec<_> = std::fs::read_dir(place.path("out")).unwrap().collect();
    assert_eq!(left.len(), 1, "only the good one is there");
    fails(
        &["enhance", &good, &place.at("data/dog/0.png"), "--enhancer", &place.at("enhancer"), "--out", &out],
        &["0.png", "would be written over what"],
    );
}

#[test]
fn bad_inputs_are_named_with_what_was_expected() {
    let place = Place::new();
    let (net, data, enhancer) = (place.at("net.safetensors"), place.at("data"), place.at("enhancer"));
    let missing = place.at("nowhere.pth");
    fails(&["eval", "--classifier", &missing, "--clean", &data], &["nowhere.pth"]);
    fails(&["eval", "--classifier", &net, "--clean", &place.at("nothing")], &["nothing"]);
    let text_file = place.at("text.pth");
    std::fs::write(&text_file, "not a checkpoint").unwrap();
    fails(&["eval", "--classifier", &text_file, "--clean", &data], &["text.pth", "expected", "PyTorch"]);
    fails(
        &["eval", "--classifier", &net, "--arch", "resnet18", "--clean", &data],
        &["resnet18", "missing keys", "unexpected keys", "layer1.1.conv1.weight"],
    );
    fails(&["eval", "--classifier", &net, "--arch", "resnet19", "--clean", &data], &["resnet19", "resnet18"]);
    misused(&["eval", "--classifier", &net, "--clean", &data, "--limit", "0"], "--limit");
    fails(&["eval", "--classifier", &net, "--clean", &data, "--suite", "fogg"], &["fogg", "fog"]);
    fails(&["eval", "--classifier", &net, "--clean", &data, "--suite", "fog", "--severities", "6"], &["6"]);
    fails(&["eval", "--classifier", &net, "--suite", "fog"], &["--clean"]);
    fails(&["eval", "--classifier", &net, "--clean", &data, "--enhancer", &data], &["enhancer.safetensors"]);
    fails(&["eval", "--classifier", &net, "--clean", &place.at("data/cat")], &["data/cat"]);
    fails(&["enhance", &missing, "--enhancer", &enhancer, "--out", &place.at("out")], &["nowhere.pth"]);
    fails(&["train", "--out", &place.at("run"), "--resume"], &["run"]);
    let run = place.at("run");
    misused(&["train", "--data", &data, "--classifier", &net, "--out", &run, "--limit", "0"], "--limit");
    std::fs::write(place.path("zero.toml"), "limit = 0").unwrap();
    let config = place.at("zero.toml");
    fails(&["train", "--data", &data, "--classifier", &net, "--out", &run, "--config", &config], &["limit"]);
    fails(
        &["train", "--data", &data, "--classifier", &net, "--bank", "gama", "--out", &place.at("run")],
        &["gama", "gamma"],
    );
    assert!(!place.path("run").exists(), "nothing is begun on bad input");
}

#[test]
fn a_folder_with_one_class_or_another_number_of_classes_is_refused() {
    let place = Place::new();
    let net = place.at("net.safetensors");
    let one = place.path("one/only");
    std::fs::create_dir_all(&one).unwrap();
    write(one.join("a.png"), &Rgb8::black(32, 32).unwrap()).unwrap();
    fails(&["eval", "--classifier", &net, "--clean", &place.at("one")], &["one", "class"]);
    std::fs::create_dir_all(place.path("data/bird")).unwrap();
    write(place.path("data/bird/a.png"), &Rgb8::black(32, 32).unwrap()).unwrap();
    fails(
        &["eval", "--classifier", &net, "--clean", &place.at("data")],
        &["3 classes", "2", "bird, cat, dog"],
    );
}

#[test]
fn odd_kinds_of_images_train_and_broken_ones_are_named() {
    let place = Place::new();
    let (net, data) = (place.at("net.safetensors"), place.at("data"));
    // Another size, and one pixel.
    write(place.path("data/cat/wide.png"), &Rgb8::new(50, 20, vec![90; 3000]).unwrap()).unwrap();
    write(place.path("data/dog/dot.png"), &Rgb8::new(1, 1, vec![1, 2, 3]).unwrap()).unwrap();
    succeeds(&["eval", "--classifier", &net, "--clean", &data, "--suite", "common15", "--severities", "5"]);
    let png = encode_png(&Rgb8::black(32, 32).unwrap()).unwrap();
    std::fs::write(place.path("data/dog/cut.png"), &png[..png.len() - 20]).unwrap();
    fails(&["eval", "--classifier", &net, "--clean", &data], &["cut.png"]);
    fails(
        &[
            "train",
            "--data",
            &data,
            "--classifier",
            &net,
            "--preset",
            "cifar",
            "--method",
            "urie",
            "--epochs",
            "1",
            "--batch-size",
            "4",
            "--out",
            &place.at("run"),
        ],
        &["cut.png"],
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_reported_and_leaves_nothing_half_written() {
    let place = Place::new();
    // /dev/full fails every write as a full disk does; a folder link would not, so the JSON goes there.
    let output = dyntta(&[
        "eval",
        "--classifier",
        &place.at("net.safetensors"),
        "--clean",
        &place.at("data"),
        "--json",
        "/dev/full/x.json",
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/dev/full/x.json"), "{}", text(&output.stderr));
}

/// An ICC profile of a colour space, as far as its header goes.
fn profile(space: &[u8; 4]) -> Vec<u8> {
    let mut icc: Vec<u8> = (0..600).map(|i| (i * i % 251) as u8).collect();
    icc[..4].copy_from_slice(&600u32.to_be_bytes());
    icc[16..20].copy_from_slice(space);
    icc[36..40].copy_from_slice(b"acsp");
    icc
}

#[test]
fn enhanced_files_are_turned_and_keep_their_colour_profile() {
    let place = Place::new();
    let image = Rgb8::new(24, 8, (0..24 * 8 * 3).map(|v| (v * 5 % 256) as u8).collect()).unwrap();
    let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    for (name, space) in [("rgb.jpg", b"RGB "), ("inks.jpg", b"CMYK")] {
        let icc = profile(space);
        let jpeg = encode_jpeg_with(&image, 90, &Metadata { icc: Some(&icc), marked: false }).unwrap();
        let mut file = vec![0xff, 0xd8, 0xff, 0xe1, 0, exif.len() as u8 + 2];
        file.extend(exif);
        file.extend(&jpeg[2..]);
        std::fs::write(place.path(name), file).unwrap();
    }
    let (enhancer, rgb, inks) = (place.at("enhancer"), place.at("rgb.jpg"), place.at("inks.jpg"));
    let enhance = |more: &[&str]| {
        let output = dyntta(&[["enhance", &rgb, &inks, "--enhancer", &enhancer].as_slice(), more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    let said = enhance(&["--out", &place.at("png")]);
    assert!(said.contains("inks.jpg: a CMYK profile") && !said.contains("rgb.jpg: a"), "{said}");
    enhance(&["--out", &place.at("jpeg"), "--format", "jpeg", "--exif", "ignore"]);
    let how = Decode { profile: true, ..Decode::default() };
    for (file, size, kept) in [
        ("png/rgb.png", (8, 24), Profile::Rgb(profile(b"RGB "))),
        ("png/inks.png", (8, 24), Profile::None),
        ("jpeg/rgb.jpg", (24, 8), Profile::Rgb(profile(b"RGB "))),
    ] {
        let bytes = std::fs::read(place.path(file)).unwrap();
        let decoded = decode_with(&bytes, file, &how).unwrap();
        assert_eq!((decoded.image.width(), decoded.image.height()), size, "{file}");
        assert_eq!((decoded.profile, decoded.orientation), (kept, 1), "{file}");
        assert!(is_ours(&bytes[..512.min(bytes.len())]), "{file}");
    }
}

#[test]
fn a_classifier_s_settings_may_not_contradict_each_other() {
    let place = Place::new();
    let (net, data, json) = (place.at("net.safetensors"), place.at("data"), place.at("p.json"));
    let eval = ["eval", "--classifier", &net, "--clean", &data];
    let means = ["--mean", "123.675,116.28,103.53", "--std", "58.395,57.12,57.375"];
    fails(&[eval.as_slice(), &means].concat(), &["`mean`", "within the `range` 0..1", "0..255?"]);
    succeeds(&[eval.as_slice(), &means, &["--range", "0..255"]].concat());
    // A byte order mark is no part of a file's text.
    std::fs::write(&json, "\u{feff}{\"exif\": \"apply\"}").unwrap();
    succeeds(&[eval.as_slice(), &["--preprocessing", &json]].concat());
    std::fs::write(&json, "\u{feff}{\"std\": [58.395, 57.12, 57.375]}").unwrap();
    fails(&[eval.as_slice(), &["--preprocessing", &json]].concat(), &["p.json", "`std`", "0..255?"]);
}
