//! How an ONNX file is understood: its inputs and outputs, sizes, what its scores are, and what is refused before it costs
//! anything.

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use dyntta_files::Limits;
use dyntta_nn::onnx::{Graph, Layout, Model, Options, Scores};
use dyntta_nn::{Arch, Classifier, ClassifierNet, Error, Init, Normalisation, weights};

#[path = "graphs/mod.rs"]
mod graphs;
use graphs::{Attr, DOUBLE, FLOAT, FLOAT16, INT32, INT64, Net, OPEN, UINT8};

const IMAGE: [i64; 4] = [OPEN, 3, 8, 8];
const IDENTITY: Normalisation = Normalisation { mean: [0.0; 3], std: [1.0; 3], ..Normalisation::IMAGENET };

fn load(path: &Path, options: &Options) -> Result<Graph, Error> {
    Model::open(path, &options.limits)?.graph(options, &Device::flex())
}

fn said(path: &Path, options: &Options) -> String {
    load(path, options).unwrap_err().to_string()
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().try_to_vec::<f32>().unwrap()
}

fn softmax(row: &[f32]) -> Vec<f32> {
    let sum: f32 = row.iter().map(|v| v.exp()).sum();
    row.iter().map(|v| v.exp() / sum).collect()
}

/// Pixels of every byte's value.
fn bytes(shape: [usize; 4]) -> Tensor<4> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| ((i * 53 + 7) % 256) as f32 / 255.0).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, net: &Net) -> PathBuf {
        net.write(self.0.path(), name)
    }
}

fn plain() -> Net {
    Net::new().input("x", FLOAT, Some(&IMAGE)).head("x", 3, "logits").output(
        "logits",
        FLOAT,
        Some(&[OPEN, 5]),
    )
}

#[test]
fn probabilities_are_told_by_their_values_however_they_are_made() {
    let place = Place::new();
    let logits = |net: Net| net.input("x", FLOAT, Some(&IMAGE)).head("x", 3, "z");
    let one = |net: Net, to: &str| net.output(to, FLOAT, Some(&[OPEN, 5]));
    let composed = logits(Net::new())
        .ints("last", &[1], &[-1])
        .node("Exp", &["z"], &["e"], &[])
        .node("ReduceSum", &["e", "last"], &["s"], &[])
        .node("Div", &["e", "s"], &["p"], &[]);
    let scaled = logits(Net::new())
        .floats("two", &[], &[2.0])
        .floats("half", &[], &[0.5])
        .node("Softmax", &["z"], &["q"], &[])
        .node("Mul", &["q", "two"], &["r"], &[])
        .node("Mul", &["r", "half"], &["p"], &[]);
    let exp_of_log =
        logits(Net::new()).node("LogSoftmax", &["z"], &["q"], &[]).node("Exp", &["q"], &["p"], &[]);
    let base = load(&place.write("base.onnx", &one(logits(Net::new()), "z")), &Options::default()).unwrap();
    assert_eq!((base.info().scores, base.info().notes.len()), (Scores::Logits, 0));
    let x = bytes([3, 3, 8, 8]);
    let right: Vec<f32> = values(base.forward(x.clone()).unwrap()).chunks(5).flat_map(softmax).collect();
    for (name, net) in [("composed", composed), ("scaled", scaled), ("exp_of_log", exp_of_log)] {
        let path = place.write(&format!("{name}.onnx"), &one(net, "p"));
        let graph = load(&path, &Options::default()).unwrap();
        let info = graph.info();
        assert_eq!((info.scores, info.softmax_removed), (Scores::Probabilities, false), "{name}");
        assert!(
            info.notes[0].contains("`p` are probabilities") && info.notes[0].contains("--scores"),
            "{name}"
        );
        let found = values(graph.forward(x.clone()).unwrap());
        let found: Vec<f32> = found.chunks(5).flat_map(softmax).collect();
        assert!(found.iter().zip(&right).all(|(a, b)| (a - b).abs() < 1e-5), "{name}: {found:?}, {right:?}");
        graph.check_gradient(2, 8, 8).unwrap();
        // As they are, on request.
        let as_logits = Options { scores: Some(Scores::Logits), ..Options::default() };
        let found = values(load(&path, &as_logits).unwrap().forward(x.clone()).unwrap());
        assert!(found.iter().zip(&right).all(|(a, b)| (a - b).abs() < 1e-5), "{name}");
    }
    // A softmax that is there is kept if its values are to be the logits.
    let last = one(logits(Net::new()).node("Softmax", &["z"], &["p"], &[]), "p");
    let path = place.write("last.onnx", &last);
    let as_logits = Options { scores: Some(Scores::Logits), ..Options::default() };
    let found = values(load(&path, &as_logits).unwrap().forward(x.clone()).unwrap());
    assert!(found.iter().zip(&right).all(|(a, b)| (a - b).abs() < 1e-5));
    assert!(load(&path, &Options::default()).unwrap().info().softmax_removed);
}

#[test]
fn a_softmax_is_taken_off_before_nodes_that_pass_its_values_on() {
    let place = Place::new();
    let scores = || Net::new().input("x", FLOAT, Some(&IMAGE)).head("x", 3, "z");
    let open = |name: &str, net: Net| {
        let path = place.write(&format!("{name}.onnx"), &net.output("p", FLOAT, Some(&[OPEN, 5])));
        load(&path, &Options::default()).unwrap()
    };
    let x = bytes([3, 3, 8, 8]);
    let run = |graph: &Graph| values(graph.forward(x.clone()).unwrap());
    let base = run(&open("base", scores().node("Identity", &["z"], &["p"], &[])));
    let probabilities: Vec<f32> = base.chunks(5).flat_map(softmax).collect();
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    let last = || scores().node("Softmax", &["z"], &["q"], &[Attr::Int("axis", 1)]);
    let shaped = last().ints("shape", &[2], &[-1, 5]).node("Reshape", &["q", "shape"], &["r"], &[]);
    for (name, net) in [
        ("identity", last().node("Identity", &["q"], &["p"], &[])),
        ("cast", last().node("Cast", &["q"], &["p"], &[Attr::Int("to", FLOAT as i64)])),
        ("flatten", last().node("Flatten", &["q"], &["p"], &[])),
        (
            "squeeze",
            last().ints("axes", &[1], &[2]).node("Unsqueeze", &["q", "axes"], &["r"], &[]).node(
                "Squeeze",
                &["r", "axes"],
                &["p"],
                &[],
            ),
        ),
        (
            "reshape, cast, identity",
            shaped.node("Cast", &["r"], &["s"], &[Attr::Int("to", DOUBLE as i64)]).node(
                "Identity",
                &["s"],
                &["p"],
                &[],
            ),
        ),
    ] {
        let graph = open(name, net);
        let info = graph.info();
        assert_eq!(
            (info.scores, info.softmax_removed, info.notes.len()),
            (Scores::Logits, true, 0),
            "{name}"
        );
        assert_eq!(run(&graph), base, "{name}");
        graph.check_gradient(2, 8, 8).unwrap();
    }
    // The logarithms of probabilities are logits, and nothing is to be done.
    let log = open("log", scores().node("LogSoftmax", &["z"], &["p"], &[Attr::Int("axis", 1)]));
    assert_eq!((log.info().scores, log.info().softmax_removed), (Scores::Logits, false));
    assert!(close(&run(&log).chunks(5).flat_map(softmax).collect::<Vec<_>>(), &probabilities));
    // What changes values, if only some, is kept; the values tell that they are probabilities.
    let limits = |net: Net| net.floats("least", &[], &[0.0]).floats("most", &[], &[1.0]);
    let clip = open("clip", limits(last()).node("Clip", &["q", "least", "most"], &["p"], &[]));
    assert_eq!((clip.info().scores, clip.info().softmax_removed), (Scores::Probabilities, false));
    assert!(close(&run(&clip).chunks(5).flat_map(softmax).collect::<Vec<_>>(), &probabilities));
    // A softmax that is no score's, such as that of an attention, stays.
    let inner = open("inner", last().weight("w", &[5, 5]).node("MatMul", &["q", "w"], &["p"], &[]));
    assert_eq!((inner.info().scores, inner.info().softmax_removed), (Scores::Logits, false));
    // Over the images of a batch there are no probabilities of classes.
    let over = open("over", scores().node("Softmax", &["z"], &["p"], &[Attr::Int("axis", 0)]));
    assert!(!over.info().softmax_removed);
}

#[test]
fn a_grey_graph_is_fed_the_luma() {
    let place = Place::new();
    let device = Device::flex();
    let normalisation = Normalisation { mean: [0.1, 0.2, 0.3], std: [0.5; 3], ..Normalisation::IMAGENET };
    let x = bytes([2, 3, 8, 8]);
    let plane = |c: usize| values(x.clone().narrow(1, c, 1));
    let [r, g, b] = [0, 1, 2].map(plane);
    let mean = 0.299 * 0.1 + 0.587 * 0.2 + 0.114 * 0.3;
    let grey = |i: usize| (0.299 * r[i] + 0.587 * g[i] + 0.114 * b[i] - mean) / 0.5;
    for (name, shape) in [("nchw", [OPEN, 1, 8, 8]), ("nhwc", [OPEN, 8, 8, 1])] {
        let net = Net::new().input("x", FLOAT, Some(&shape));
        let net = match name {
            "nchw" => net.head("x", 1, "y"),
            _ => {
                net.node("Transpose", &["x"], &["t"], &[Attr::Ints("perm", &[0, 3, 1, 2])]).head("t", 1, "y")
            }
        };
        let path = place.write(&format!("{name}.onnx"), &net.output("y", FLOAT, Some(&[OPEN, 5])));
        let classifier = Classifier::load(&path, None, normalisation, &device).unwrap();
        let info = classifier.graph().unwrap().info();
        assert_eq!((info.channels, info.layout == Layout::Nhwc), (1, name == "nhwc"));
        assert!(classifier.notes()[0].contains("grey"), "{:?}", classifier.notes());
        let found = values(classifier.forward(x.clone()).unwrap());
        for n in 0..2 {
            let average = (0..64).map(|i| grey(64 * n + i)).sum::<f32>() / 64.0;
            for k in 0..5 {
                let weight = ((k * 37 + 11) % 101) as f32 / 50.0 - 1.0;
                let (found, right) = (found[5 * n + k], average * weight);
                assert!((found - right).abs() < 1e-5, "{name}: {found} and {right}");
            }
        }
        classifier.check_training(2, 8, 8).unwrap();
    }
}

#[test]
fn bytes_go_in_as_they_are_and_the_gradient_comes_back() {
    let place = Place::new();
    let device = Device::flex();
    let net = |casts: &[i64]| {
        let mut net = Net::new().input("x", UINT8, Some(&[OPEN, 8, 8, 3])).floats("scale", &[], &[255.0]);
        net = net.node("Transpose", &["x"], &["c0"], &[Attr::Ints("perm", &[0, 3, 1, 2])]);
        for (i, &to) in casts.iter().enumerate() {
            net = net.node("Cast", &[&format!("c{i}")], &[&format!("c{}", i + 1)], &[Attr::Int("to", to)]);
        }
        net.node("Div", &[&format!("c{}", casts.len()), "scale"], &["d"], &[]).head("d", 3, "y").output(
            "y",
            FLOAT,
            Some(&[OPEN, 5]),
        )
    };
    let float = load(&place.write("plain.onnx", &plain()), &Options::default()).unwrap();
    for casts in [&[1i64][..], &[6, 1], &[10, 1]] {
        let path = place.write("bytes.onnx", &net(casts));
        // Whatever is said of the normalisation: it is inside.
        let classifier = Classifier::load(&path, None, Normalisation::IMAGENET, &device).unwrap();
        assert!(classifier.notes()[0].contains("bytes"), "{:?}", classifier.notes());
        let x = bytes([2, 3, 8, 8]);
        let found = values(classifier.forward(x.clone()).unwrap());
        let right = values(float.forward(x.clone()).unwrap());
        assert!(found.iter().zip(&right).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}, {right:?}");
        // Between two bytes: the nearest.
        let between = x + 0.3 / 255.0;
        let found = values(classifier.forward(between).unwrap());
        assert!(found.iter().zip(&right).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}, {right:?}");
        classifier.check_training(2, 8, 8).unwrap();
    }
    let computing = Net::new()
        .input("x", UINT8, Some(&IMAGE))
        .node("Mul", &["x", "x"], &["sq"], &[])
        .node("Cast", &["sq"], &["f"], &[Attr::Int("to", 1)])
        .head("f", 3, "y")
        .output("y", FLOAT, None);
    let error = said(&place.write("computing.onnx", &computing), &Options::default());
    assert!(error.contains("Mul (node `sq`) computes with the bytes"), "{error}");
}

#[test]
fn floats_of_any_precision_are_taken_and_integers_are_refused_by_name() {
    let place = Place::new();
    for kind in [FLOAT16, DOUBLE] {
        let net = Net::new()
            .input("x", kind, Some(&IMAGE))
            .node("Cast", &["x"], &["f"], &[Attr::Int("to", 1)])
            .head("f", 3, "y")
            .output("y", FLOAT, Some(&[OPEN, 5]));
        let graph = load(&place.write("net.onnx", &net), &Options::default()).unwrap();
        assert_eq!((graph.classes(), graph.info().bytes), (5, false));
        graph.check_gradient(2, 8, 8).unwrap();
    }
    let net = Net::new()
        .input("x", INT32, Some(&IMAGE))
        .node("Cast", &["x"], &["f"], &[Attr::Int("to", 1)])
        .head("f", 3, "y")
        .output("y", FLOAT, None);
    let error = said(&place.write("int.onnx", &net), &Options::default());
    assert!(error.contains("`x`, whose elements are not floats or uint8 but int32"), "{error}");
}

#[test]
fn an_input_that_the_scores_do_not_need_is_no_matter() {
    let place = Place::new();
    let net = plain().input("mask", FLOAT, Some(&[OPEN, 4]));
    let net = net.node("Relu", &["mask"], &["other"], &[]).output("other", FLOAT, Some(&[OPEN, 4]));
    let graph = load(&place.write("net.onnx", &net), &Options::default()).unwrap();
    assert_eq!((graph.info().input.as_str(), graph.info().output.as_str()), ("x", "logits"));
    let net = Net::new()
        .input("x", FLOAT, Some(&IMAGE))
        .input("a\u{1b}[31m", FLOAT, Some(&IMAGE))
        .node("Add", &["x", "a\u{1b}[31m"], &["s"], &[])
        .head("s", 3, "y")
        .output("y", FLOAT, None);
    let error = said(&place.write("two.onnx", &net), &Options::default());
    assert!(error.contains("2 inputs: x, a") && !error.contains('\u{1b}'), "{error}");
}

#[test]
fn the_output_is_the_one_with_the_scores() {
    let place = Place::new();
    let base = || Net::new().input("x", FLOAT, Some(&IMAGE)).head("x", 3, "scores");
    // Labels first: no more than the scores' nodes are judged.
    let label = base()
        .node("ArgMax", &["scores"], &["label"], &[Attr::Int("axis", 1), Attr::Int("keepdims", 0)])
        .node("Frobnicate", &["label"], &["name"], &[])
        .output("name", 8, Some(&[OPEN]))
        .output("label", INT64, Some(&[OPEN]))
        .output("scores", FLOAT, Some(&[OPEN, 5]));
    let graph = load(&place.write("label.onnx", &label), &Options::default()).unwrap();
    assert_eq!((graph.info().output.as_str(), graph.classes()), ("scores", 5));
    assert!(graph.info().notes.is_empty(), "{:?}", graph.info().notes);

    // Features first: told by the number of classes, or by name.
    for shape in [Some(&[OPEN, 3][..]), Some(&[OPEN, OPEN]), None] {
        let declared = shape.map(|s| if s[1] == 3 { [OPEN, 5] } else { [OPEN, OPEN] });
        let features =
            base().output("head.f", FLOAT, shape).output("scores", FLOAT, declared.as_ref().map(|s| &s[..]));
        let path = place.write("features.onnx", &features);
        let by_classes = Options { classes: Some(5), ..Options::default() };
        let graph = load(&path, &by_classes).unwrap();
        assert_eq!((graph.info().output.as_str(), graph.classes()), ("scores", 5), "{shape:?}");
        assert!(graph.info().notes.is_empty(), "{:?}", graph.info().notes);
        let by_name = Options { output: Some("scores".into()), ..Options::default() };
        assert_eq!(load(&path, &by_name).unwrap().info().output, "scores");
        let graph = load(&path, &Options::default()).unwrap();
        assert_eq!(graph.info().output, "head.f");
        let note = &graph.info().notes[0];
        assert!(
            note.contains("`head.f`, the first of head.f, scores") && note.contains("--output"),
            "{note}"
        );
        let unknown = Options { output: Some("scoers".into()), ..Options::default() };
        let error = said(&path, &unknown);
        assert!(error.contains("expected an output `scoers`, found the outputs head.f, scores"), "{error}");
    }
    let label = Options { output: Some("label".into()), ..Options::default() };
    let error = said(&place.0.path().join("label.onnx"), &label);
    assert!(error.contains("label"), "{error}");
}

#[test]
fn open_sizes_are_those_that_are_asked_for() {
    let place = Place::new();
    let options = Options { size: Some([9, 9]), ..Options::default() };
    let flat = |input: &str| {
        let net = Net::new().weight("w", &[3 * 81, 5]);
        net.node("Flatten", &[input], &["f"], &[])
            .node("MatMul", &["f", "w"], &["y"], &[])
            .output("y", FLOAT, None)
    };
    let open = [OPEN; 4];
    let conv = |net: Net, x: &str| {
        let net = net.weight("k", &[3, 3, 1, 1]).node("Conv", &[x, "k"], &["c"], &[]);
        net.weight("w", &[3 * 81, 5])
            .node("Flatten", &["c"], &["f"], &[])
            .node("MatMul", &["f", "w"], &["y"], &[])
            .output("y", FLOAT, None)
    };
    let to_nchw = |net: Net| net.node("Transpose", &["x"], &["t"], &[Attr::Ints("perm", &[0, 3, 1, 2])]);
    let x = |shape: Option<&[i64]>| Net::new().input("x", FLOAT, shape);
    for (name, net, layout) in [
        ("no_shape", conv(x(None), "x"), Layout::Nchw),
        ("all_open", conv(x(Some(&open)), "x"), Layout::Nchw),
        ("nhwc_open", conv(to_nchw(x(Some(&[OPEN, OPEN, OPEN, 3]))), "t"), Layout::Nhwc),
        ("nhwc_no_shape", conv(to_nchw(x(None)), "t"), Layout::Nhwc),
        ("half_open", conv(x(Some(&[OPEN, 3, 9, OPEN])), "x"), Layout::Nchw),
    ] {
        let path = place.write(&format!("{name}.onnx"), &net);
        let graph = load(&path, &options).unwrap();
        assert_eq!((graph.classes(), graph.info().layout), (5, layout), "{name}");
        graph.check_size(9, 9).unwrap();
        assert!(graph.check_size(10, 10).is_err());
    }
    // Grey, told by running alone.
    let grey = x(None).weight("k", &[3, 1, 1, 1]).node("Conv", &["x", "k"], &["c"], &[]).head("c", 3, "y");
    let graph = load(&place.write("grey.onnx", &grey.output("y", FLOAT, None)), &options).unwrap();
    assert_eq!((graph.info().channels, graph.classes()), (1, 5));

    let net = flat("x").input("x", FLOAT, Some(&[OPEN, 3, OPEN, OPEN]));
    let path = place.write("late.onnx", &net);
    let error = said(&path, &Options::default());
    assert!(error.contains("with images of 224x224") && error.contains("--input-size"), "{error}");
    let error = said(&path, &Options { size: Some([17, 19]), ..Options::default() });
    assert!(error.contains("with images of 17x19, after trying 17x19, 224x224"), "{error}");
}

#[test]
fn scores_that_are_not_finite_are_refused_with_the_weight() {
    let place = Place::new();
    for (name, bad, shown) in [("nan", f32::NAN, "NaN"), ("inf", f32::INFINITY, "inf")] {
        let net = Net::new().input("x", FLOAT, Some(&IMAGE)).floats("scale\n", &[], &[bad]);
        let net = net.node("Mul", &["x", "scale\n"], &["m"], &[]).head("m", 3, "y").output("y", FLOAT, None);
        let error = said(&place.write(&format!("{name}.onnx"), &net), &Options::default());
        let expected = format!("the classifier's weights hold {shown} in `scale\\u{{a}}`");
        assert!(error.contains(&expected), "{error}");
    }
    let net = Net::new().input("x", FLOAT, Some(&IMAGE)).node("Sub", &["x", "x"], &["z"], &[]);
    let net = net.node("Div", &["x", "z"], &["d"], &[]).head("d", 3, "y").output("y", FLOAT, None);
    let error = said(&place.write("zero.onnx", &net), &Options::default());
    assert!(error.contains("the scores are not finite on an image of zeros"), "{error}");
    let init = Init::new("classifier", 0, &Device::flex());
    let net = ClassifierNet::new(&init, Arch::CifarResNet(1), 7);
    let mut dict = weights::state_dict(&net);
    let path = place.0.path().join("net.safetensors");
    weights::write(&path, &dict, Default::default()).unwrap();
    Classifier::load(&path, None, IDENTITY, &Device::flex()).unwrap();
    dict.get_mut("linear.bias").unwrap().data[3] = f32::NAN;
    weights::write(&path, &dict, Default::default()).unwrap();
    let error = Classifier::load(&path, None, IDENTITY, &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("the classifier's weights hold NaN in `linear.bias`"), "{error}");
}

#[test]
fn what_lets_no_gradient_through_is_named_before_training() {
    let place = Place::new();
    let through = |op: &str, attributes: &[Attr<'_>]| {
        let net = Net::new().input("x", FLOAT, Some(&IMAGE)).node(op, &["x"], &["steps"], attributes);
        let net = net.node("Cast", &["steps"], &["f"], &[Attr::Int("to", 1)]);
        net.head("f", 3, "y").output("y", FLOAT, Some(&[OPEN, 5]))
    };
    for (name, net) in [
        ("Cast to uint8", through("Cast", &[Attr::Int("to", 2)])),
        ("Cast to int64", through("Cast", &[Attr::Int("to", 7)])),
        ("Cast to bool", through("Cast", &[Attr::Int("to", 9)])),
    ] {
        let path = place.write("steps.onnx", &net);
        let classifier = Classifier::load(&path, None, IDENTITY, &Device::flex()).unwrap();
        // It can be measured,
        classifier.forward(bytes([2, 3, 8, 8])).unwrap();
        // and not be trained in front of.
        let error = classifier.check_training(2, 8, 8).unwrap_err().to_string();
        let expected = format!("no gradient reaches the image: {name} (node `steps`)");
        assert!(error.contains(&expected), "{error}");
    }
    // Steps beside a way that has a derivative are no matter.
    let net = Net::new()
        .input("x", FLOAT, Some(&IMAGE))
        .node("Cast", &["x"], &["i"], &[Attr::Int("to", 7)])
        .node("Cast", &["i"], &["f"], &[Attr::Int("to", 1)])
        .node("Sub", &["x", "f"], &["d"], &[])
        .head("d", 3, "y")
        .output("y", FLOAT, Some(&[OPEN, 5]));
    load(&place.write("beside.onnx", &net), &Options::default()).unwrap().check_gradient(2, 8, 8).unwrap();
    // Scores of the image's size alone are none.
    let net = Net::new()
        .input("x", FLOAT, Some(&IMAGE))
        .node("Shape", &["x"], &["s"], &[])
        .node("Cast", &["s"], &["f"], &[Attr::Int("to", 1)])
        .ints("one", &[2], &[1, 4])
        .node("Reshape", &["f", "one"], &["y"], &[])
        .output("y", FLOAT, Some(&[1, 4]));
    let error = said(&place.write("size.onnx", &net), &Options::default());
    assert!(error.contains("expected scores that depend on the image"), "{error}");
}

/// Loads it, or says why not, in much less time than what it asks for would take.
fn quickly(path: &Path) -> Result<Graph, String> {
    let started = Instant::now();
    let loaded = load(path, &Options::default()).map_err(|e| e.to_string());
    let seconds = started.elapsed().as_secs_f64();
    assert!(seconds < 5.0, "{}: {seconds} s", path.display());
    loaded
}

#[test]
fn a_graph_of_more_work_than_a_classifiers_is_refused_before_it_runs() {
    let place = Place::new();
    let grown = |op: &str, extents: &[i64]| {
        let net = Net::new().input("x", FLOAT, Some(&IMAGE)).ints("to", &[extents.len()], extents);
        net.node(op, &["x", "to"], &["g"], &[]).head("g", 3, "y").output("y", FLOAT, None)
    };
    let range = Net::new()
        .input("x", FLOAT, Some(&IMAGE))
        .ints("a", &[], &[0])
        .ints("b", &[], &[1 << 29])
        .ints("c", &[], &[1])
        .node("Range", &["a", "b", "c"], &["r"], &[])
        .node("Cast", &["r"], &["rf"], &[Attr::Int("to", 1)])
        .node("ReduceSum", &["rf"], &["q"], &[Attr::Int("keepdims", 0)])
        .node("Add", &["x", "q"], &["o"], &[])
        .head("o", 3, "y")
        .output("y", FLOAT, None);
    let fill = Net::new()
        .input("x", FLOAT, Some(&IMAGE))
        .ints("s", &[2], &[60_000, 60_000])
        .node("ConstantOfShape", &["s"], &["c"], &[])
        .node("ReduceSum", &["c"], &["q"], &[Attr::Int("keepdims", 0)])
        .node("Add", &["x", "q"], &["o"], &[])
        .head("o", 3, "y")
        .output("y", FLOAT, None);
    let wide = Net::new()
        .input("x", FLOAT, Some(&IMAGE))
        .node("GlobalAveragePool", &["x"], &["p"], &[])
        .weight("k", &[9, 3, 1, 1])
        .node("Conv", &["p", "k"], &["c"], &[Attr::Ints("pads", &[4000, 4000, 4000, 4000])])
        .head("c", 9, "y")
        .output("y", FLOAT, None);
    // Products of matrices, each of some seconds.
    let mut long = Net::new().input("x", FLOAT, Some(&IMAGE)).ints("sq", &[2], &[1800, 1800]).ints(
        "row",
        &[2],
        &[-1, 3],
    );
    long = long.node("GlobalAveragePool", &["x"], &["p"], &[]).node("Flatten", &["p"], &["f"], &[]);
    long = long.node("ReduceSum", &["f"], &["s"], &[]).node("Expand", &["s", "sq"], &["m0"], &[]);
    for i in 0..300 {
        let [from, to] = [i, i + 1].map(|i| format!("m{i}"));
        long = long.node("MatMul", &[&from, &from], &[&to], &[]);
    }
    long = long.node("ReduceMean", &["m300"], &["mm"], &[]).node("Add", &["f", "mm"], &["fm"], &[]);
    long = long.weight("w", &[3, 5]).node("MatMul", &["fm", "w"], &["y"], &[]).output("y", FLOAT, None);
    for (name, net, part) in [
        ("expand", grown("Expand", &[1, 3, 60_000, 60_000]), "makes a tensor"),
        ("tile", grown("Tile", &[1, 1, 30_000, 30_000]), "makes a tensor"),
        ("range", range, "(Range)"),
        ("fill", fill, "(ConstantOfShape)"),
        ("pads", wide, "elements"),
        ("batch", grown("Expand", &[1 << 20, 3, 8, 8]), ""),
    ] {
        let error = quickly(&place.write(&format!("{name}.onnx"), &net)).unwrap_err();
        assert!(error.contains(part), "{name}: {error}");
    }
    let started = Instant::now();
    let path = place.write("long.onnx", &long);
    let limits = Limits { work: 20_000_000_000, ..Limits::DEFAULT };
    let error = said(&path, &Options { limits, ..Options::default() });
    assert!(error.contains("beyond 2.0e10 multiply-adds"), "{error}");
    assert!(started.elapsed().as_secs() < 20);
}

#[test]
fn an_image_of_enormous_size_is_refused_before_it_is_made() {
    let place = Place::new();
    for [h, w] in [[17_898_398, 4], [70_000, 8], [1 << 13, 1 << 13]] {
        let net =
            Net::new().input("x", FLOAT, Some(&[1, 3, h, w])).head("x", 3, "y").output("y", FLOAT, None);
        let error = quickly(&place.write("large.onnx", &net)).unwrap_err();
        assert!(error.contains(&format!("{h}x{w}")), "{error}");
    }
}

#[test]
fn a_batch_of_the_files_own_is_no_reason_to_run_it() {
    let place = Place::new();
    let of = |n: i64| Net::new().input("x", FLOAT, Some(&[n, 3, 8, 8]));
    let million = of(1 << 20).node("Relu", &["x"], &["r"], &[]).head("r", 3, "y").output("y", FLOAT, None);
    let graph = quickly(&place.write("million.onnx", &million)).unwrap();
    assert_eq!((graph.info().batch, graph.info().one_by_one), (Some(1 << 20), false));
    assert_eq!(graph.forward(bytes([3, 3, 8, 8])).unwrap().dims(), [3, 5]);
    // What works for such a batch alone can't be tried.
    let alone = of(1 << 20)
        .ints("shape", &[2], &[1 << 20, 192])
        .node("Reshape", &["x", "shape"], &["f"], &[])
        .weight("w", &[192, 5])
        .node("MatMul", &["f", "w"], &["y"], &[])
        .output("y", FLOAT, None);
    let error = quickly(&place.write("alone.onnx", &alone)).unwrap_err();
    assert!(error.contains("1048576"), "{error}");

    // A batch that it has no place for is an error, not a panic.
    let table = Net::new()
        .input("x", FLOAT, Some(&IMAGE))
        .ints("zero", &[], &[0])
        .floats("table", &[10], &[0.0; 10])
        .node("Shape", &["x"], &["s"], &[])
        .node("Gather", &["s", "zero"], &["b"], &[])
        .node("Gather", &["table", "b"], &["v"], &[])
        .node("Add", &["x", "v"], &["o"], &[])
        .head("o", 3, "y")
        .output("y", FLOAT, None);
    let path = place.write("table.onnx", &table);
    let classifier = Classifier::load(&path, None, IDENTITY, &Device::flex()).unwrap();
    classifier.forward(bytes([9, 3, 8, 8])).unwrap();
    let error = classifier.forward(bytes([10, 3, 8, 8])).unwrap_err().to_string();
    assert!(error.contains("(Gather)"), "{error}");
    assert!(classifier.check_training(10, 8, 8).is_err());
    classifier.check_training(9, 8, 8).unwrap();
}

#[test]
fn odd_graphs_are_refused_in_words() {
    let place = Place::new();
    let x = || Net::new().input("x", FLOAT, Some(&IMAGE));
    let relu = |net: Net, from: &str, to: &str| net.node("Relu", &[from], &[to], &[]);
    let mut many = x();
    for i in 0..200_001 {
        many = relu(many, if i == 0 { "x" } else { "r" }, "r");
    }
    for (name, net, part) in [
        (
            "cycle",
            relu(relu(x(), "b", "a"), "a", "b").output("b", FLOAT, None),
            "which nothing before it makes",
        ),
        ("twice", relu(relu(x(), "x", "a"), "x", "a").output("a", FLOAT, None), "`a` is made twice"),
        ("missing", relu(x(), "gone", "a").output("a", FLOAT, None), "reads `gone`"),
        ("nothing", relu(x(), "x", "a").output("y", FLOAT, None), "nothing makes the output `y`"),
        ("itself", relu(x(), "x", "a").output("x", FLOAT, None), "scores"),
        (
            "weight",
            relu(x(), "x", "a").floats("w", &[1, 5], &[0.5; 5]).output("w", FLOAT, None),
            "depend on the image",
        ),
        ("two_weights", plain().weight("head.w", &[3, 5]), "two tensors `head.w`"),
        ("no_output", relu(x(), "x", "a"), "expected an output, found none"),
        (
            "no_input",
            Net::new().weight("w", &[1, 5]).node("Relu", &["w"], &["y"], &[]).output("y", FLOAT, None),
            "no input",
        ),
        ("unnamed", relu(x(), "x", "").output("", FLOAT, None), "expected an output, found none"),
        ("many", many.output("r", FLOAT, None), "200001 nodes"),
        ("no_operator", x().node("", &["x"], &["y"], &[]).output("y", FLOAT, None), "not supported"),
        (
            "list",
            x().node("SequenceConstruct", &["x"], &["y"], &[]).output("y", FLOAT, None),
            "SequenceConstruct",
        ),
    ] {
        let error = said(&place.write(&format!("{name}.onnx"), &net), &Options::default());
        assert!(error.contains(part), "{name}: {error}");
    }
}

#[test]
fn a_file_that_is_something_else_is_called_what_it_is() {
    let place = Place::new();
    let path = place.0.path().join("net.onnx");
    for (content, what) in [
        (&b"<!DOCTYPE html><html>"[..], "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "LFS"),
        (b"", "empty"),
    ] {
        std::fs::write(&path, content).unwrap();
        let error = said(&path, &Options::default());
        assert!(error.to_lowercase().contains(&what.to_lowercase()), "{error}");
    }
    let error = said(place.0.path(), &Options::default());
    assert!(error.contains("a folder"), "{error}");
    let options = Options { limits: Limits { model_bytes: 100, ..Limits::DEFAULT }, ..Options::default() };
    let path = place.write("large.onnx", &plain());
    assert!(said(&path, &options).contains("at most 100 bytes"));
}

#[test]
fn a_parsed_file_tells_what_its_images_are_before_it_is_made_ready() {
    let place = Place::new();
    let net = Net::new()
        .input("x", UINT8, Some(&[1, 8, 9, 3]))
        .metadata("mean", "none of ours")
        .node("Cast", &["x"], &["c"], &[Attr::Int("to", 1)])
        .node("Transpose", &["c"], &["t"], &[Attr::Ints("perm", &[0, 3, 1, 2])])
        .head("t", 3, "y")
        .output("y", FLOAT, Some(&[1, 5]));
    let model = Model::open(&place.write("net.onnx", &net), &Limits::DEFAULT).unwrap();
    let about = model.about();
    assert_eq!((&about["input_size"][..], &about["range"][..]), ("[3, 8, 9]", "0..255"));
    assert_eq!(
        about["mean"], "0, 0, 0",
        "the graph's bytes are not normalised, whatever else the key is about"
    );
}

#[cfg(unix)]
#[test]
fn data_beside_a_model_may_be_linked_with_it_and_from_nowhere_else() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    let at = |name: &str| place.0.path().join(name);
    std::fs::create_dir_all(at("cache/blobs")).unwrap();
    std::fs::create_dir_all(at("cache/snapshot")).unwrap();
    std::fs::create_dir(at("elsewhere")).unwrap();
    let fixture = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx").join(name);
    for (name, blob) in [("nhwc.onnx", "a1"), ("nhwc.data", "b2")] {
        std::fs::copy(fixture(name), at("cache/blobs").join(blob)).unwrap();
        symlink(format!("../blobs/{blob}"), at("cache/snapshot").join(name)).unwrap();
    }
    load(&at("cache/snapshot/nhwc.onnx"), &Options::default()).unwrap();
    std::fs::copy(fixture("nhwc.onnx"), at("elsewhere/nhwc.onnx")).unwrap();
    symlink("../cache/blobs/b2", at("elsewhere/nhwc.data")).unwrap();
    let error = said(&at("elsewhere/nhwc.onnx"), &Options::default());
    assert!(error.contains("`nhwc.data`, a link to what is not beside the model"), "{error}");
}
