//! `dyntta export`, and its graphs in our own reader of ONNX files.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use dyntta_nn::checkpoint::{self, ClassifierConfig, EnhancerConfig, Method};
use dyntta_nn::{Normalisation, onnx};

mod common;
use common::{dyntta, text};

#[path = "../../nn/tests/graphs/mod.rs"]
#[expect(dead_code, reason = "shared with the tests of the networks")]
mod graphs;
use graphs::{FLOAT, Net, OPEN};

/// A folder with an untrained enhancer over a bank, and a classifier of five classes.
struct Place(tempfile::TempDir);

impl Place {
    fn new(bank: &[&str]) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let config = EnhancerConfig {
            format: 1,
            method: Method::Dyntta,
            bank: Some(bank.iter().map(|&name| name.into()).collect()),
            control_size: Some(16),
            image_size: [16, 16],
            classifier: ClassifierConfig {
                arch: "onnx".into(),
                normalisation: Normalisation::IMAGENET,
                classes: Vec::new(),
            },
            seed: 0,
            versions: Default::default(),
            training: serde_json::json!({ "preset": "cifar" }),
        };
        fs::create_dir(place.path("enhancer")).unwrap();
        let enhancer = checkpoint::build(&config, Path::new("test"), 0, &Device::flex()).unwrap();
        checkpoint::save(&place.path("enhancer"), &enhancer, &config).unwrap();
        let net = Net::new().input("x", FLOAT, Some(&[OPEN, 3, OPEN, OPEN])).head("x", 3, "z");
        net.output("z", FLOAT, Some(&[OPEN, 5])).write(place.0.path(), "net.onnx");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn at(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Whether it went well, what was printed, and what was said.
    fn export(&self, more: &[&str]) -> (bool, String, String) {
        let (enhancer, out) = (self.at("enhancer"), self.at("out.onnx"));
        let output = dyntta(&[&["export", "--enhancer", &enhancer, "--out", &out], more].concat());
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    }
}

#[test]
fn a_graph_and_a_sample_are_written_and_described() {
    let place = Place::new(&["rotate", "equalize", "low_pass_0.30", "urie"]);
    let (done, printed, said) =
        place.export(&["--sample", "--outputs", "enhanced,weights,factors", "--input", "u8-nhwc"]);
    assert!(done, "{said}");
    for part in [
        "operator set 18",
        "input `image` [batch, height, width, 3]",
        "output `weights` [batch, 4]",
        "tried out on an image of 24x37: at most",
        "out.npz: image, enhanced, weights, factors",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    assert!(dyntta_export::is_ours(&fs::read(place.path("out.onnx")).unwrap()));
    // Its own outputs are replaced, others' stay.
    let (done, _, said) = place.export(&["--sample", "--size", "20x16", "--fp16-weights"]);
    assert!(done, "{said}");
    fs::write(place.path("out.npz"), "precious").unwrap();
    let (done, _, said) = place.export(&["--sample"]);
    assert!(!done && said.contains("--sample would be written over a file"), "{said}");
    assert_eq!(fs::read(place.path("out.npz")).unwrap(), b"precious");
}

#[test]
fn what_cannot_be_exported_is_said_whole_and_nothing_is_written() {
    let place = Place::new(&["contrast"]);
    let (net, weights) = (place.at("net.onnx"), place.at("enhancer/enhancer.safetensors"));
    for (more, parts) in [
        (
            vec!["--classifier", &net, "--opset", "18", "--outputs", "scores,scores"],
            vec!["expected a classifier of operator set 18, found 17", "found `scores` twice"],
        ),
        (vec!["--classifier", &net, "--output", "nothing"], vec!["expected an output `nothing`, found z"]),
        (vec!["--classifier", &weights], vec!["expected a classifier as an ONNX file"]),
        (vec!["--outputs", "scores"], vec!["expected a classifier for the output `scores`"]),
        (vec!["--size", "0x3"], vec!["expected a height and a width from 1 up"]),
        (vec!["--opset", "16"], vec!["16 is not in 17..=25"]),
    ] {
        let (done, _, said) = place.export(&more);
        assert!(!done && !place.path("out.onnx").exists(), "{more:?}");
        for part in parts {
            assert!(said.contains(part), "{more:?}, {part}: {said}");
        }
    }
}

/// Images, planar, in `0..=1`.
fn images(n: usize, h: usize, w: usize) -> Vec<f32> {
    (0..n * 3 * h * w).map(|i| ((i * 7919) % 256) as f32 / 255.0).collect()
}

/// The largest difference of scores from our own reader of the graph and from enhancer and classifier one after the other.
fn apart(place: &Place, [n, h, w]: [usize; 3]) -> f32 {
    let device = Device::flex();
    let tensor = |x: &[f32]| Tensor::<4>::from_data(TensorData::new(x.to_vec(), [n, 3, h, w]), &device);
    let whole = onnx::Graph::load(&place.path("out.onnx"), &device).unwrap();
    let classifier = onnx::Graph::load(&place.path("net.onnx"), &device).unwrap();
    let x = images(n, h, w);
    let mut y = vec![0.0; x.len()];
    let enhancer = dyntta::Enhancer::load(place.path("enhancer")).unwrap();
    enhancer.enhance_planar(&mut dyntta::Workspace::new(), n, h, w, &x, &mut y).unwrap();
    let Normalisation { mean, std, .. } = Normalisation::IMAGENET;
    for (i, v) in y.iter_mut().enumerate() {
        let c = i / (h * w) % 3;
        *v = (*v - mean[c]) / std[c];
    }
    let found = whole.forward(tensor(&x)).unwrap().into_data().try_to_vec::<f32>().unwrap();
    let expected = classifier.forward(tensor(&y)).unwrap().into_data().try_to_vec::<f32>().unwrap();
    assert_eq!(found.len(), 5 * n);
    found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn our_own_reader_runs_a_graph_as_far_as_it_has_the_operators() {
    let place = Place::new(&["identity", "contrast", "brightness", "gamma", "invert", "saturation", "hue"]);
    let net = place.at("net.onnx");
    // With a fixed size, all that depends on it is a constant.
    for (more, size) in [(&[][..], [2, 20, 17]), (&["--size", "20x17"], [3, 20, 17])] {
        let (done, printed, said) = place.export(&[&["--classifier", &net], more].concat());
        assert!(done && printed.contains("output `scores` [batch, 5]"), "{said}{printed}");
        let apart = apart(&place, size);
        assert!(apart < 1e-4, "{more:?}: {apart}");
    }
}

#[test]
fn what_our_own_reader_refuses_of_a_graph_is_listed() {
    let place = Place::new(&["rotate", "equalize", "low_pass_0.30"]);
    let (done, _, said) = place.export(&["--classifier", &place.at("net.onnx")]);
    assert!(done, "{said}");
    let error = onnx::Graph::load(&place.path("out.onnx"), &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("GridSample"), "{error}");
}
