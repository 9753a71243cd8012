//! Classifiers behind an enhancer, run by the reference.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dyntta_export::{
    Array, Classifier, ClassifierOptions, Error, Layout, Options, Output, export, image, reference, sample,
};
use dyntta_model::{ChannelOrder, Checkpoint, Limits, Normalisation, ValueRange};
use dyntta_onnx::{self as proto, attribute_type, data_type};
use dyntta_runtime::Enhancer;
use prost::Message;

fn node(op: &str, input: &[&str], output: &str, attribute: Vec<proto::Attribute>) -> proto::Node {
    let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
    proto::Node {
        input: names(input),
        output: names(&[output]),
        op_type: op.into(),
        attribute,
        ..Default::default()
    }
}

fn info(name: &str, elem_type: i32, dims: &[i64]) -> proto::ValueInfo {
    let dim = dims.iter().map(|&dim_value| proto::Dimension { dim_value, ..Default::default() }).collect();
    let tensor = proto::TensorType { elem_type, shape: Some(proto::Shape { dim }) };
    proto::ValueInfo { name: name.into(), r#type: Some(proto::Type { tensor_type: Some(tensor) }) }
}

fn weight(name: &str, dims: &[i64], values: &[f32]) -> proto::Tensor {
    proto::Tensor {
        dims: dims.to_vec(),
        data_type: data_type::FLOAT,
        name: name.into(),
        raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>().into(),
        ..Default::default()
    }
}

const WEIGHTS: [f32; 6] = [1.0, -2.0, 0.5, 3.0, -1.5, 0.25];

/// Means of the three channels, times a matrix: a classifier of two classes. Its names are those that the enhancer's graph has too.
fn classifier(last: bool, opset: i64) -> proto::Model {
    let perm = proto::Attribute {
        name: "perm".into(),
        ints: vec![0, 3, 1, 2],
        r#type: attribute_type::INTS,
        ..Default::default()
    };
    let mut nodes = vec![
        node("GlobalAveragePool", &["Add_1"], "constant_1", vec![]),
        node("Flatten", &["constant_1"], "x", vec![]),
        node("MatMul", &["x", "weight"], "enhanced", vec![]),
    ];
    let mut dims = vec![0, 3, 0, 0];
    if last {
        nodes.insert(0, node("Transpose", &["image"], "Add_1", vec![perm]));
        dims = vec![0, 0, 0, 3];
    } else {
        nodes[0].input = vec!["image".into()];
    }
    proto::Model {
        ir_version: 8,
        graph: Some(proto::Graph {
            node: nodes,
            initializer: vec![weight("weight", &[3, 2], &WEIGHTS)],
            input: vec![info("image", data_type::FLOAT, &dims)],
            output: vec![info("enhanced", data_type::FLOAT, &[0, 2])],
            ..Default::default()
        }),
        opset_import: vec![proto::OperatorSetId { domain: String::new(), version: opset }],
        ..Default::default()
    }
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, model: &proto::Model) -> PathBuf {
        let path = self.0.path().join("classifier.onnx");
        std::fs::write(&path, model.encode_to_vec()).unwrap();
        path
    }

    fn open(&self, model: &proto::Model, normalisation: Normalisation) -> Result<Classifier, Error> {
        let options =
            ClassifierOptions { normalisation, output: None, classes: Some(vec!["a".into(), "b".into()]) };
        Classifier::open(&self.write(model), options, &Limits::DEFAULT)
    }

    fn refusal(&self, model: &proto::Model) -> String {
        self.open(model, Normalisation::IMAGENET).unwrap_err().to_string()
    }
}

fn run(folder: &Path, bank: Option<&[&str]>) -> (Checkpoint, Enhancer) {
    let run = common::write_run(folder, bank, 16);
    (Checkpoint::open(&run, &Limits::DEFAULT).unwrap(), Enhancer::load(&run).unwrap())
}

/// What the classifier gives for enhanced images, by hand.
fn scores(enhanced: &Array, by: &Normalisation) -> Vec<f32> {
    let &[n, 3, h, w] = &enhanced.shape[..] else { panic!("{:?}", enhanced.shape) };
    let y = enhanced.floats().unwrap();
    let (stretch, start) = by.range.from_unit();
    let mean = |i: usize, c: usize| {
        let plane = &y[(i * 3 + c) * h * w..][..h * w];
        let mean = plane.iter().map(|&v| f64::from(v)).sum::<f64>() / (h * w) as f64;
        ((mean as f32 * stretch + start) - by.mean[c]) / by.std[c]
    };
    let order = if by.channels == ChannelOrder::Bgr { [2, 1, 0] } else { [0, 1, 2] };
    let score = |i: usize, k: usize| (0..3).map(|c| mean(i, order[c]) * WEIGHTS[c * 2 + k]).sum();
    (0..n).flat_map(|i| [score(i, 0), score(i, 1)]).collect()
}

#[test]
fn scores_are_those_of_the_classifier_on_the_enhanced_image() {
    let place = Place::new();
    let (checkpoint, enhancer) = run(place.0.path(), Some(&["contrast", "rotate", "hue"]));
    let plain = Normalisation::IMAGENET;
    let bytes = Normalisation {
        mean: [120.0, 110.0, 100.0],
        std: [50.0, 60.0, 70.0],
        channels: ChannelOrder::Bgr,
        range: ValueRange::Byte,
    };
    for (last, by) in [(false, plain), (true, bytes)] {
        let classifier = place.open(&classifier(last, 20), by).unwrap();
        for layout in Layout::ALL {
            let outputs = vec![Output::Scores, Output::Enhanced];
            let options = Options { outputs, layout, ..Options::default() };
            let exported = export(&checkpoint, Some(&classifier), &options).unwrap();
            let names: BTreeSet<&String> =
                exported.model.graph.iter().flat_map(|g| &g.node).map(|n| &n.name).collect();
            assert_eq!(names.len(), exported.nodes());
            // The operator set is the classifier's.
            assert_eq!(exported.model.opset_import[0].version, 20);
            let x = image(layout, [2, 12, 9]);
            let found = reference::run(&exported.model, &[("image", x)]).unwrap();
            let x = image(Layout::F32Nchw, [2, 12, 9]);
            let enhanced = sample(&enhancer, x, &[Output::Enhanced]).pop().unwrap().1;
            assert_eq!(found[0].shape, [2, 2]);
            for (a, b) in found[0].floats().unwrap().iter().zip(scores(&enhanced, &by)) {
                assert!((a - b).abs() < 1e-4 * b.abs().max(1.0), "{a} {b}");
            }
        }
    }
}

#[test]
fn a_uries_image_reaches_the_classifier_as_it_is() {
    let place = Place::new();
    let (checkpoint, _) = run(place.0.path(), None);
    let classifier = place.open(&classifier(false, 18), Normalisation::IMAGENET).unwrap();
    let exported = export(&checkpoint, Some(&classifier), &Options::default()).unwrap();
    let graph = exported.model.graph.unwrap();
    // Evaluation doesn't clamp it either.
    assert!(!graph.node.iter().any(|n| n.op_type == "Clip"));
    let notes: Vec<&str> = exported.model.metadata_props.iter().map(|e| e.key.as_str()).collect();
    assert!(
        notes.contains(&"mean") && notes.contains(&"std") && notes.contains(&"dyntta_classes"),
        "{notes:?}"
    );
}

#[test]
fn a_size_that_the_classifier_fixes_is_the_images() {
    let place = Place::new();
    let (checkpoint, _) = run(place.0.path(), Some(&["contrast", "rotate"]));
    let mut model = classifier(false, 18);
    model.graph.as_mut().unwrap().input = vec![info("image", data_type::FLOAT, &[1, 3, 12, 10])];
    let classifier = place.open(&model, Normalisation::IMAGENET).unwrap();
    let exported = export(&checkpoint, Some(&classifier), &Options::default()).unwrap();
    let graph = exported.model.graph.unwrap();
    let shape = graph.input[0].r#type.clone().unwrap().tensor_type.unwrap().shape.unwrap();
    assert_eq!(shape.dim.iter().map(|d| d.dim_value).collect::<Vec<_>>(), [1, 3, 12, 10]);
    assert!(!graph.node.iter().any(|n| n.op_type == "Shape"));
    let options = Options { size: Some([12, 11]), opset: Some(21), ..Options::default() };
    let found = export(&checkpoint, Some(&classifier), &options).unwrap_err().to_string();
    for part in
        ["expected images of 12x11, found a classifier that takes 12x10", "of operator set 21, found 18"]
    {
        assert!(found.contains(part), "{part}: {found}");
    }
}

#[test]
fn all_that_keeps_a_classifier_out_is_said_at_once() {
    let place = Place::new();
    let mut model = classifier(false, 11);
    let graph = model.graph.as_mut().unwrap();
    graph.node[1].domain = "com.example".into();
    graph.node[2].attribute.push(proto::Attribute {
        name: "then_branch".into(),
        g: Some(Vec::new().into()),
        ..Default::default()
    });
    graph.input.push(info("mask", data_type::FLOAT, &[1]));
    graph.output = vec![info("a", data_type::FLOAT, &[0, 2]), info("b", data_type::FLOAT, &[0, 2])];
    let outside = proto::StringEntry { key: "location".into(), value: "../secret".into() };
    graph.initializer[0].data_location = 1;
    graph.initializer[0].external_data = vec![outside];
    let found = place.refusal(&model);
    for part in [
        "expected a classifier of operator set 17 to 25, found 11; convert it",
        "found Flatten of the domain `com.example`",
        "found MatMul, which holds a graph of its own",
        "expected one input, found 2: image, mask",
        "expected one output with scores, found a, b; name it with --output",
        "lies in `../secret`, which is not beside the model",
    ] {
        assert!(found.contains(part), "{part}: {found}");
    }
    let mut grey = classifier(false, 18);
    grey.graph.as_mut().unwrap().input = vec![info("image", data_type::INT64, &[0, 1, 0, 0])];
    assert!(place.refusal(&grey).contains("expected floats or bytes as input `image`"));
    let path = place.0.path().join("classifier.onnx");
    std::fs::write(&path, "text").unwrap();
    let options = ClassifierOptions { normalisation: Normalisation::IMAGENET, output: None, classes: None };
    let found = Classifier::open(&path, options, &Limits::DEFAULT).unwrap_err().to_string();
    assert!(found.contains("expected an ONNX model"), "{found}");
}

#[test]
fn weights_beside_the_classifier_become_a_part_of_the_file() {
    let place = Place::new();
    let (checkpoint, _) = run(place.0.path(), Some(&["identity"]));
    let mut model = classifier(false, 18);
    let tensor = &mut model.graph.as_mut().unwrap().initializer[0];
    std::fs::write(place.0.path().join("weights.bin"), [&[7; 4], &tensor.raw_data[..]].concat()).unwrap();
    tensor.raw_data = Vec::new().into();
    tensor.data_location = 1;
    let entry = |key: &str, value: &str| proto::StringEntry { key: key.into(), value: value.into() };
    tensor.external_data =
        vec![entry("location", "weights.bin"), entry("offset", "4"), entry("length", "24")];
    let classifier = place.open(&model, Normalisation::IMAGENET).unwrap();
    let exported = export(&checkpoint, Some(&classifier), &Options::default()).unwrap();
    let x = image(Layout::F32Nchw, [1, 5, 4]);
    let found = reference::run(&exported.model, &[("image", x.clone())]).unwrap();
    for (a, b) in found[0].floats().unwrap().iter().zip(scores(&x, &Normalisation::IMAGENET)) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}
