//! ONNX classifiers at the command line: what their files leave open, and what is refused before anything starts.

use std::path::{Path, PathBuf};

use dyntta_image::{Rgb8, write};
use serde_json::Value;

mod common;
use common::{dyntta, text};

#[path = "../../nn/tests/graphs/mod.rs"]
#[expect(dead_code, reason = "shared with the tests of the networks")]
mod graphs;
use graphs::{Attr, FLOAT, INT64, Net, OPEN};

#[cfg(target_os = "linux")]
#[path = "common/opens.rs"]
mod opens;

struct Place(tempfile::TempDir);

impl Place {
    /// With six images of each of five classes.
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for class in 0..5 {
            let folder = place.path("data").join(format!("class{class}"));
            std::fs::create_dir_all(&folder).unwrap();
            for i in 0..6 {
                let data = (0..9 * 9 * 3).map(|v| ((v * (7 + i) + class * 37) % 256) as u8).collect();
                write(folder.join(format!("{i}.png")), &Rgb8::new(9, 9, data).unwrap()).unwrap();
            }
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The exit status, what was printed, and what was said.
    fn run(&self, net: &Path, command: &str, more: &[&str]) -> (Option<i32>, String, String) {
        let data = self.path("data").display().to_string();
        let net = net.display().to_string();
        let fed = ["--input-size", "9", "--resize", "none", "--crop-pct", "1", "--range", "0..1"];
        let first: &[&str] = match command {
            "eval" => &["eval", "--clean", &data, "--classifier", &net],
            "info" => &["classifier", "info", &net],
            _ => &["train", "--data", &data, "--classifier", &net, "--setting", "clean", "--preset", "cifar"],
        };
        let output = dyntta(&[first, &fed, &["--mean", "0,0,0", "--std", "1,1,1"], more].concat());
        let [printed, said] = [&output.stdout, &output.stderr].map(|b| text(b));
        assert!(!said.contains("panicked"), "{said}");
        (output.status.code(), printed, said)
    }

    fn train(&self, net: &Path, run: &str) -> (Option<i32>, String, String) {
        let run = self.path(run).display().to_string();
        let more = [
            "--method",
            "dyntta",
            "--bank",
            "identity",
            "--epochs",
            "1",
            "--batch-size",
            "30",
            "--out",
            &run,
        ];
        self.run(net, "train", &more)
    }
}

/// Scores `z` of images `[n, 3, 9, 9]`.
fn base() -> Net {
    Net::new().input("x", FLOAT, Some(&[OPEN, 3, 9, 9])).head("x", 3, "z")
}

#[test]
fn an_open_size_is_the_one_that_is_asked_for() {
    let place = Place::new();
    for shape in [None, Some(&[OPEN; 4][..])] {
        let net = Net::new()
            .input("x", FLOAT, shape)
            .weight("w", &[3 * 81, 5])
            .node("Flatten", &["x"], &["f"], &[])
            .node("MatMul", &["f", "w"], &["y"], &[])
            .output("y", FLOAT, None)
            .write(place.0.path(), "open.onnx");
        let (code, printed, said) = place.run(&net, "eval", &[]);
        assert_eq!(code, Some(0), "{said}");
        assert!(printed.contains("clean"), "{printed}");
    }
}

#[test]
fn an_output_is_chosen_by_what_it_holds_or_by_name() {
    let place = Place::new();
    let net = base()
        .node("ArgMax", &["z"], &["label"], &[Attr::Int("axis", 1)])
        .output("label", INT64, Some(&[OPEN, 1]))
        .output("head.f", FLOAT, Some(&[OPEN, 3]))
        .output("z", FLOAT, Some(&[OPEN, 5]))
        .write(place.0.path(), "net.onnx");
    let info = |more: &[&str]| -> Value {
        let (code, printed, said) = place.run(&net, "info", &[&["--json"], more].concat());
        assert_eq!(code, Some(0), "{said}");
        serde_json::from_str(&printed).unwrap()
    };
    let guessed = info(&[]);
    assert_eq!((&guessed["onnx"]["output"], &guessed["classes"]), (&"head.f".into(), &3.into()));
    assert!(guessed["onnx"]["notes"][0].as_str().unwrap().contains("--output"), "{guessed}");
    assert_eq!(info(&["--output", "z"])["classes"], 5);
    std::fs::write(
        place.path("net.json"),
        r#"{"classes": ["class0", "class1", "class2", "class3", "class4"]}"#,
    )
    .unwrap();
    assert_eq!(info(&[])["onnx"]["output"], "z");
    let (code, _, said) = place.run(&net, "eval", &["--output", "label"]);
    assert!(code == Some(1) && said.contains("label"), "{said}");
    let (code, _, said) = place.run(&net, "eval", &["--output", "y"]);
    assert!(code == Some(1) && said.contains("found the outputs label, head.f, z"), "{said}");
}

#[test]
fn probabilities_train_as_the_logits_they_are_made_of() {
    let place = Place::new();
    let composed = base()
        .ints("last", &[1], &[-1])
        .node("Exp", &["z"], &["e"], &[])
        .node("ReduceSum", &["e", "last"], &["s"], &[])
        .node("Div", &["e", "s"], &["p"], &[]);
    let losses = [("base", base(), "z"), ("composed", composed, "p")].map(|(name, net, output)| {
        let net = net.output(output, FLOAT, Some(&[OPEN, 5])).write(place.0.path(), &format!("{name}.onnx"));
        let (code, printed, said) = place.train(&net, &format!("run-{name}"));
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(said.contains("are probabilities"), name == "composed", "{said}");
        let all = printed + &said;
        let at = all.find("loss ").unwrap_or_else(|| panic!("no loss in {all}"));
        all[at..].split([',', ' ']).nth(1).unwrap().to_owned()
    });
    assert_eq!(losses[0], losses[1]);
}

#[test]
fn what_cannot_be_trained_or_measured_is_refused_before_it_starts() {
    let place = Place::new();
    let broken = base()
        .floats("nan", &[], &[f32::NAN])
        .node("Add", &["z", "nan"], &["y"], &[])
        .output("y", FLOAT, Some(&[OPEN, 5]))
        .write(place.0.path(), "broken.onnx");
    for command in ["eval", "info"] {
        let (code, _, said) = place.run(&broken, command, &[]);
        assert_eq!(code, Some(1));
        assert!(said.contains("the classifier's weights hold NaN in `nan`"), "{said}");
    }
    let steps = Net::new()
        .input("x", FLOAT, Some(&[OPEN, 3, 9, 9]))
        .node("Cast", &["x"], &["u"], &[Attr::Int("to", 2)])
        .node("Cast", &["u"], &["f"], &[Attr::Int("to", 1)])
        .head("f", 3, "y")
        .output("y", FLOAT, Some(&[OPEN, 5]))
        .write(place.0.path(), "steps.onnx");
    let (code, _, said) = place.train(&steps, "run");
    assert_eq!(code, Some(1));
    assert!(said.contains("no gradient reaches the image: Cast to uint8 (node `u`)"), "{said}");
    assert!(!place.path("run").join("settings.json").exists());
    assert_eq!(place.run(&steps, "eval", &[]).0, Some(0));
}

#[test]
fn a_graph_that_fails_on_a_batch_says_so() {
    let place = Place::new();
    let table = Net::new()
        .input("x", FLOAT, Some(&[OPEN, 3, 9, 9]))
        .ints("zero", &[], &[0])
        .floats("table", &[10], &[0.0; 10])
        .node("Shape", &["x"], &["s"], &[])
        .node("Gather", &["s", "zero"], &["b"], &[])
        .node("Gather", &["table", "b"], &["v"], &[])
        .node("Add", &["x", "v"], &["o"], &[])
        .head("o", 3, "y")
        .output("y", FLOAT, Some(&[OPEN, 5]))
        .write(place.0.path(), "table.onnx");
    let (code, _, said) = place.run(&table, "eval", &["--batch-size", "20"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("(Gather)"), "{said}");
    assert_eq!(place.run(&table, "eval", &["--batch-size", "5"]).0, Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_command_opens_a_classifier_once() {
    use opens::Opens;

    let place = Place::new();
    let metadata = base().metadata("dyntta.classes", "class0,class1,class2,class3,class4");
    let net = metadata.output("z", FLOAT, Some(&[OPEN, 5])).write(place.0.path(), "net.onnx");
    // Without the name that tells it.
    let bare = place.path("net.bin");
    std::fs::copy(&net, &bare).unwrap();
    for net in [&net, &bare] {
        let opens = Opens::of(net);
        let count = || drop(std::fs::read(net).unwrap());
        count();
        count();
        assert_eq!(opens.count(), 2, "of two readings");
        for command in ["info", "eval"] {
            let (status, _, said) = place.run(net, command, &[]);
            assert_eq!((status, opens.count()), (Some(0), 1), "{command}: {said}");
        }
        let run = format!("run-{}", net.extension().unwrap().display());
        let (status, _, said) = place.train(net, &run);
        assert_eq!((status, opens.count()), (Some(0), 1), "train: {said}");
        let policy = place.path(&format!("{run}.toml")).display().to_string();
        let data = place.path("data").display().to_string();
        let file = net.display().to_string();
        let fed = ["--input-size", "9", "--resize", "none", "--crop-pct", "1", "--preset", "cifar"];
        let more = ["--classifier", &file, "--epochs", "1", "--out", &policy];
        let output = dyntta(&[&["estimate", "--data", &data][..], &more, &fed].concat());
        assert_eq!((output.status.code(), opens.count()), (Some(0), 1), "{}", text(&output.stderr));
        let enhancer = place.path(&run).join("enhancer.safetensors");
        let weights = Opens::of(&enhancer);
        let [enhancer, graph] =
            [enhancer, place.path(&format!("{run}.onnx"))].map(|path| path.display().to_string());
        let output = dyntta(&["export", "--enhancer", &enhancer, "--classifier", &file, "--out", &graph]);
        let opened = (opens.count(), weights.count());
        assert_eq!((output.status.code(), opened), (Some(0), (1, 1)), "{}", text(&output.stderr));
    }
}
