//! `dyntta data check`, the preprocessing of a classifier, and broken files, on the command line.

use std::path::{Path, PathBuf};

use dyntta_image::{Rgb8, write};
use dyntta_nn::{Arch, ClassifierNet, Init, weights};
use serde_json::Value;

mod common;
use common::{dyntta, text};

/// Runs what must fail with exit code 1 and every one of `parts` in the message; its output.
fn fails(args: &[&str], parts: &[&str]) -> String {
    let output = dyntta(args);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {message}");
    assert!(!message.contains("panicked"), "{args:?}: {message}");
    for part in parts {
        assert!(message.contains(part), "{args:?}: no `{part}` in {message}");
    }
    text(&output.stdout)
}

/// Output and messages of what must succeed.
fn succeeds(args: &[&str]) -> (String, String) {
    let output = dyntta(args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

/// Pictures of two classes, 40 x 30 pixels, and an untrained classifier for them.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for (c, class) in ["cat", "dog"].iter().enumerate() {
            std::fs::create_dir_all(place.path("data").join(class)).unwrap();
            for i in 0..3 {
                let data = (0..40 * 30 * 3).map(|v| ((v * (7 + i) + c * 90) % 256) as u8).collect();
                let path = place.path("data").join(class).join(format!("{i}.png"));
                write(path, &Rgb8::new(40, 30, data).unwrap()).unwrap();
            }
        }
        let device = burn::tensor::Device::flex();
        let net = ClassifierNet::new(&Init::new("classifier", 0, &device), Arch::CifarResNet(1), 2);
        weights::write(&place.path("net.safetensors"), &weights::state_dict(&net), Default::default())
            .unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn at(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// The JSON of an evaluation with these flags, and its messages.
    fn eval(&self, flags: &[&str]) -> (Value, String) {
        let (net, data, json) = (self.at("net.safetensors"), self.at("data"), self.at("result.json"));
        let args = [&["eval", "--classifier", &net, "--clean", &data, "--json", &json], flags].concat();
        let (_, messages) = succeeds(&args);
        (read_json(&self.path("result.json")), messages)
    }
}

fn read_json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn check_reports_what_is_there_and_fails_on_what_is_broken() {
    let place = Place::new();
    let data = place.at("data");
    let (out, messages) = succeeds(&["data", "check", &data]);
    for part in ["folder of classes", "6 images in 2 classes", "all of 40x30 pixels", "3  cat"] {
        assert!(out.contains(part), "no `{part}` in {out}");
    }
    assert!(!messages.contains('\r'), "a bar where there is no terminal");
    place.write("data/dog/cut.jpg", "no picture");
    place.write("data/notes.txt", "");
    let out = fails(&["data", "check", &data, "--threads", "3"], &["1 broken files, 0 other problems"]);
    assert!(out.contains("broken: ") && out.contains("data/dog/cut.jpg: expected a JPEG"), "{out}");
    let out = fails(&["data", "check", &data, "--json"], &["1 broken"]);
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&value["version"], &value["images"]), (&1.into(), &7.into()));
    assert_eq!(value["parts"][0]["by_class"], serde_json::json!([3, 4]));
    assert_eq!((&value["ignored"], &value["broken_count"]), (&1.into(), &1.into()));
    assert!(value["broken"][0]["path"].as_str().unwrap().ends_with("dog/cut.jpg"));
    fails(&["data", "check", &place.at("nowhere")], &["nowhere", "cannot open"]);
    assert_eq!(dyntta(&["data", "check", &data, "--threads", "0"]).status.code(), Some(2));
}

#[test]
fn preprocessing_is_found_said_and_kept() {
    let place = Place::new();
    let (value, messages) = place.eval(&[]);
    assert!(
        messages.contains("preprocessing 32x32 px (stretched to 32x32, bilinear), RGB in 0..1"),
        "{messages}"
    );
    assert!(messages.contains("from the cifar preset"), "{messages}");
    assert_eq!(value["about"]["preprocessing"]["input_size"], serde_json::json!([32, 32]));

    place.write(
        "net.json",
        r#"{"input_size": 24, "resize": "shorter-side", "interpolation": "bicubic", "crop_pct": 0.8, "channels": "bgr",
            "range": "-1..1", "classes": ["dog", "cat"]}"#,
    );
    let (value, messages) = place.eval(&["--mean", "-0.5,0,0.5"]);
    assert!(
        messages.contains(
            "preprocessing 24x24 px (shorter side to 30, bicubic, centre crop), BGR in -1..1, mean -0.5, 0, 0.5, \
             std 1, 1, 1, 2 class names; from flags, "
        ),
        "{messages}"
    );
    assert!(messages.contains("net.json"), "{messages}");
    assert_eq!(value["about"]["preprocessing"]["range"], "-1..1");
    let (value, _) =
        place.eval(&["--range", "0..255", "--channels", "rgb", "--resize", "none", "--size", "16,20"]);
    let kept = &value["about"]["preprocessing"];
    assert_eq!(
        (&kept["input_size"], &kept["mean"]),
        (&serde_json::json!([16, 20]), &serde_json::json!([0.0, 0.0, 0.0]))
    );

    let (net, data, run) = (place.at("net.safetensors"), place.at("data"), place.at("run"));
    let train = ["train", "--data", &data, "--classifier", &net, "--preset", "cifar", "--method", "urie"];
    let (_, messages) =
        succeeds(&[&train[..], &["--epochs", "1", "--batch-size", "3", "--out", &run]].concat());
    assert!(messages.contains("preprocessing 24x24 px"), "{messages}");
    let config = read_json(&place.path("run/enhancer.json"));
    assert_eq!(config["training"]["preprocessing"]["interpolation"], "bicubic");
    assert_eq!(config["classifier"]["normalisation"]["channels"], "bgr");
    assert_eq!(config["classifier"]["classes"], serde_json::json!(["dog", "cat"]));
    // Without the file beside the weights the enhancer knows it.
    std::fs::remove_file(place.path("net.json")).unwrap();
    let (_, messages) = place.eval(&["--enhancer", &run]);
    assert!(
        messages.contains("BGR in -1..1") && messages.contains("from the enhancer's training"),
        "{messages}"
    );
    // A run goes on only with what it began with.
    fails(&["train", "--out", &run, "--resume", "--epochs", "1"], &["cannot resume", "preprocessing"]);
}

#[test]
fn bad_preprocessing_is_named_with_file_key_expected_and_found() {
    let place = Place::new();
    let (net, data) = (place.at("net.safetensors"), place.at("data"));
    let eval = ["eval", "--classifier", &net, "--clean", &data];
    place.write("net.json", r#"{"crop_pct": 2}"#);
    fails(&eval, &["net.json", "`crop_pct`", "expected a share from 0.05 to 1", "found 2"]);
    place.write("net.json", r#"{"classes": ["cat", "wolf"]}"#);
    fails(&eval, &["expected the 2 classes cat, wolf, found the 2 classes cat, dog"]);
    let other = place.at("other.json");
    place.write("other.json", r#"{"colour": "rgb"}"#);
    fails(&[&eval[..], &["--preprocessing", &other]].concat(), &["other.json", "`colour`", "channels"]);
    std::fs::remove_file(place.path("net.json")).unwrap();
    fails(&[&eval[..], &["--crop-pct", "0"]].concat(), &["flags", "`crop_pct`", "found 0"]);
    fails(&[&eval[..], &["--input-size", "0"]].concat(), &["`input_size`", "sides of 1 to"]);
    fails(&[&eval[..], &["--std", "1,0,1"]].concat(), &["`std`", "positive"]);
    for (flag, value) in [("--range", "0..2"), ("--channels", "rgba"), ("--interpolation", "random")] {
        assert_eq!(dyntta(&[&eval[..], &[flag, value]].concat()).status.code(), Some(2), "{flag} {value}");
    }
}

#[test]
fn broken_files_are_skipped_and_counted_if_asked() {
    let place = Place::new();
    let (net, data) = (place.at("net.safetensors"), place.at("data"));
    place.write("data/dog/cut.jpg", "no picture");
    fails(&["eval", "--classifier", &net, "--clean", &data], &["data/dog/cut.jpg"]);
    let (value, messages) =
        place.eval(&["--suite", "fog", "--severities", "1,2", "--on-error", "skip", "--batch-size", "2"]);
    assert!(messages.contains("1 broken files skipped"), "{messages}");
    assert!(messages.contains("data/dog/cut.jpg: expected a JPEG"), "{messages}");
    assert_eq!((&value["clean"]["n"], &value["about"]["skipped"]), (&6.into(), &1.into()));
    let train = ["train", "--data", &data, "--classifier", &net, "--preset", "cifar", "--method", "urie"];
    let run = place.at("run");
    let more = ["--epochs", "1", "--batch-size", "1", "--on-error", "skip", "--out", &run];
    let (_, messages) = succeeds(&[&train[..], &more].concat());
    assert!(messages.contains("1 broken files skipped"), "{messages}");
}

#[test]
fn parts_of_a_corrupted_set_can_be_chosen() {
    let place = Place::new();
    for part in ["fog/1", "fog/3", "snow/3"] {
        for class in ["cat", "dog"] {
            let folder = place.path("c").join(part).join(class);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::copy(place.path("data").join(class).join("0.png"), folder.join("0.png")).unwrap();
        }
    }
    let (net, c) = (place.at("net.safetensors"), place.at("c"));
    let eval = ["eval", "--classifier", &net, "--corrupted", &c];
    let (all, _) = succeeds(&eval);
    assert!(all.contains("fog") && all.contains("snow"), "{all}");
    let (some, _) = succeeds(&[&eval[..], &["--corruptions", "fog", "--severities", "3"]].concat());
    assert!(some.contains("fog") && !some.contains("snow"), "{some}");
    fails(
        &[&eval[..], &["--corruptions", "fog", "--severities", "2"]].concat(),
        &["of fog, at severity 2", "found no corruption"],
    );
    fails(&[&eval[..], &["--corruptions", "frost"]].concat(), &["corruption"]);
    let (out, _) = succeeds(&["data", "check", &c]);
    assert!(out.contains("corruptions, severities and classes") && out.contains("fog 3: 2 images"), "{out}");
}
