//! ONNX graphs against what ONNX Runtime (logits) and PyTorch (gradients) give for them; see `onnx/make_fixtures.py`.
#![allow(clippy::disallowed_macros, reason = "a test prints")]

use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData, activation::log_softmax};
use dyntta_nn::onnx::{Graph, Layout};
use dyntta_nn::weights::{StateDict, read_safetensors};
use dyntta_nn::{Classifier, Error, Normalisation};

const MODELS: [(&str, usize); 18] = [
    ("resnet", 24),
    ("mobile", 24),
    ("mobile_old", 24),
    ("vit", 16),
    ("vit_single", 16),
    ("vit_dynamo", 16),
    ("swin", 16),
    ("swin_single", 16),
    ("convnext", 16),
    ("convnext_dynamo", 16),
    ("dense", 16),
    ("norms", 16),
    ("norms_dynamo", 16),
    ("activations", 16),
    ("activations_dynamo", 16),
    ("shapes", 16),
    ("pads", 16),
    ("nhwc", 16),
];

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/onnx").join(name)
}

fn expected() -> StateDict {
    read_safetensors(&file("expected.safetensors")).unwrap().0
}

fn tensor<const D: usize>(dict: &StateDict, key: &str, device: &Device) -> Tensor<D> {
    let entry = &dict[key];
    Tensor::from_data(TensorData::new(entry.data.clone(), entry.shape.clone()), device)
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().try_to_vec::<f32>().unwrap()
}

/// The largest difference, and the largest value.
fn difference(ours: &[f32], theirs: &[f32]) -> (f32, f32) {
    assert_eq!(ours.len(), theirs.len());
    assert!(ours.iter().all(|v| v.is_finite()), "not finite");
    let worst = ours.iter().zip(theirs).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    (worst, theirs.iter().fold(0.0, |m, v| v.abs().max(m)))
}

/// Logits and the gradient of the mean cross-entropy to label i mod classes.
fn logits_and_gradient(graph: &Graph, images: Tensor<4>) -> (Vec<f32>, Vec<f32>) {
    let images = images.require_grad();
    let logits = graph.forward(images.clone()).unwrap();
    let [n, classes] = logits.dims();
    let mut labels = vec![0.0f32; n * classes];
    (0..n).for_each(|i| labels[i * classes + i % classes] = -1.0 / n as f32);
    let labels = Tensor::<2>::from_data(TensorData::new(labels, [n, classes]), &Device::flex());
    let grads = (log_softmax(logits.clone(), 1) * labels).sum().backward();
    (values(logits), values(images.grad(&grads).expect("the image's gradient")))
}

#[test]
fn logits_agree_with_onnx_runtime_and_gradients_with_pytorch() {
    let dict = expected();
    let device = Device::flex().autodiff();
    for (name, size) in MODELS {
        for load in [Graph::load, Graph::load_unfused] {
            let graph = load(&file(&format!("{name}.onnx")), &device).unwrap();
            assert!(!graph.info().one_by_one, "{name} runs one by one");
            let images = tensor(&dict, &format!("images{size}"), &device);
            let (logits, gradient) = logits_and_gradient(&graph, images);
            let (logit, _) = difference(&logits, &dict[&format!("{name}.logits")].data);
            let (error, scale) = difference(&gradient, &dict[&format!("{name}.gradient")].data);
            println!("{name}: logits {logit:.1e}, gradient {:.1e} of {scale:.1e}", error / scale);
            assert!(logit <= 1e-3, "{name}: logits differ by {logit}");
            assert!(error <= 1e-3 * scale, "{name}: gradients differ by {error}, the largest is {scale}");
        }
    }
}

#[test]
fn each_image_is_classified_by_itself() {
    let dict = expected();
    let device = Device::flex();
    for (name, size) in MODELS {
        let graph = Graph::load(&file(&format!("{name}.onnx")), &device).unwrap();
        let two: Tensor<4> = tensor(&dict, &format!("images{size}"), &device);
        let [first, second] = [0, 1].map(|i| two.clone().narrow(0, i, 1));
        let three = graph.forward(Tensor::cat(vec![second.clone(), first.clone(), second], 0)).unwrap();
        let alone = values(graph.forward(first).unwrap());
        let of_three = values(three.narrow(0, 1, 1));
        let (worst, _) = difference(&of_three, &alone);
        assert!(worst <= 1e-5, "{name}: {worst}");
    }
}

#[test]
fn a_graph_that_mixes_its_images_is_run_in_parts_of_its_own_batch_size() {
    let device = Device::flex();
    let graph = Graph::load(&file("mixing.onnx"), &device).unwrap();
    assert_eq!((graph.info().batch, graph.info().one_by_one), (Some(2), true));
    let values_of = |i: usize| (0..192).map(move |v| ((v * (i + 3)) % 17) as f32);
    let images = |which: &[usize]| {
        let values: Vec<f32> = which.iter().flat_map(|&i| values_of(i)).collect();
        Tensor::<4>::from_data(TensorData::new(values, [which.len(), 3, 8, 8]), &device)
    };
    let scores = |which: &[usize]| values(graph.forward(images(which)).unwrap());
    // The last image stands in for the one that its part lacks.
    let parts = [scores(&[0, 1]), scores(&[2, 3]), scores(&[4, 4])].concat();
    assert_eq!(scores(&[0, 1, 2, 3, 4]), parts[..10]);
}

#[test]
fn a_graph_tells_what_it_is() {
    let device = Device::flex();
    let load = |name: &str| Graph::load(&file(name), &device).unwrap();
    let count = |graph: &Graph, op: &str| graph.info().fused.get(op).copied().unwrap_or(0);

    let graph = load("resnet.onnx");
    let info = graph.info();
    assert_eq!((graph.classes(), info.opset, info.layout), (7, 13, Layout::Nchw));
    assert_eq!((info.batch, info.height, info.width, info.softmax_removed), (None, None, None, false));
    assert_eq!((count(&graph, "Conv"), count(&graph, "BatchNormalization")), (6, 0));
    assert_eq!((count(&graph, "dyntta::AddRelu"), count(&graph, "dyntta::Linear")), (2, 1));
    assert!(info.producer.starts_with("pytorch"), "{}", info.producer);
    graph.check_size(40, 56).unwrap();

    // Layer normalisation and GELU, spelt out in the file; queries, keys and values, two layers, the output, the head.
    let graph = load("vit.onnx");
    assert!(!graph.info().operators.contains_key("LayerNormalization"));
    let counts = ["LayerNormalization", "Gelu", "dyntta::Linear", "Erf", "Pow"].map(|op| count(&graph, op));
    assert_eq!(counts, [3, 1, 5, 0, 0], "{:?}", graph.info().fused);
    let graph = load("vit_single.onnx");
    assert_eq!(
        (graph.info().batch, graph.info().height, graph.info().one_by_one),
        (Some(1), Some(16), false)
    );

    let graph = load("mobile_old.onnx");
    assert_eq!([count(&graph, "Swish"), count(&graph, "Sigmoid")], [2, 1], "{:?}", graph.info().fused);
    assert_eq!(count(&load("mobile.onnx"), "HardSwish"), 2);
    // Normalisation comes before the convolution here: it stays, with the ReLU after it.
    let graph = load("dense.onnx");
    assert_eq!(
        (count(&graph, "BatchNormalization"), count(&graph, "Relu")),
        (4, 0),
        "{:?}",
        graph.info().fused
    );

    let graph = load("nhwc.onnx");
    let info = graph.info();
    assert_eq!((info.layout, info.softmax_removed, info.height), (Layout::Nhwc, true, Some(16)));
    assert_eq!(info.metadata["task"], "fixture");
}

#[test]
fn bad_files_are_refused_with_what_is_wrong() {
    let device = Device::flex();
    for (name, parts) in [
        ("opset", &["operator set 7 to", "operator set 6"][..]),
        ("two_inputs", &["2 inputs: image, mask"]),
        ("rank", &["`image` of shape [n, 3]", "rank 4"]),
        ("channels", &["[n, 4, 8, 8]", "three channels"]),
        ("order", &["(Relu) reads `later`, which nothing before it makes"]),
        ("no_scores", &["scores [1, classes]", "[1, 3, 8, 8]"]),
        ("shapes", &["node `logits`", "a product of [1, 3] with 5x7"]),
        ("short_weights", &["`fc` has the shape [3, 7], but 80 bytes"]),
        ("outside", &["`fc` lies in `../resnet.onnx`, which is not beside the model"]),
        ("missing_data", &["`fc` cannot be read from `nowhere.data`"]),
        ("absent", &["absent.onnx"]),
    ] {
        let error = Graph::load(&file(&format!("bad/{name}.onnx")), &device).unwrap_err().to_string();
        assert!(error.contains(&format!("{name}.onnx")), "{error}");
        for part in parts {
            assert!(error.contains(part), "{name}: no `{part}` in: {error}");
        }
    }
    let error = Graph::load(&file("make_fixtures.py"), &device).unwrap_err().to_string();
    assert!(error.contains("expected an ONNX model, found something else"), "{error}");
}

#[test]
fn all_unsupported_operators_are_listed_at_once() {
    let device = Device::flex();
    let of = |name: &str| match Graph::load(&file(&format!("bad/{name}.onnx")), &device) {
        Err(Error::Unsupported { operators, .. }) => operators,
        other => panic!("{other:?}"),
    };
    let found = of("unsupported");
    let brief: Vec<_> = found.iter().map(|u| (u.operator.as_str(), u.count, u.example.as_str())).collect();
    let expected = [
        ("GridSample", 2, "second"),
        ("MaxPool", 1, "fourth"),
        ("NonMaxSuppression", 1, "first"),
        ("com.example::Frobnicate", 1, "d"),
    ];
    assert_eq!(brief, expected);
    assert_eq!(
        found[1].reason.as_deref(),
        Some("kernel_shape = [2, 2, 2, 2]: one to three axes are supported")
    );
    assert_eq!(of("control_flow")[0].operator, "If");
    let quantised: Vec<_> = of("quantised").into_iter().map(|u| u.operator).collect();
    assert_eq!(quantised, ["DequantizeLinear", "QuantizeLinear"]);
}

#[test]
fn damaged_files_never_panic() {
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.onnx");
    for name in ["pads", "dense", "vit_dynamo", "shapes"] {
        let bytes = std::fs::read(file(&format!("{name}.onnx"))).unwrap();
        for cut in (0..bytes.len()).step_by(bytes.len() / 20) {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            assert!(Graph::load(&path, &device).is_err(), "{name} cut at {cut}");
        }
        let mut at = 0;
        for i in 0..60usize {
            // Steps that have no common period with anything.
            at = (at + 7919) % bytes.len();
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (i % 8);
            std::fs::write(&path, &damaged).unwrap();
            // Whether it loads is the damage's business; that it says so, ours.
            let _ = Graph::load(&path, &device);
        }
    }
}

#[test]
fn a_classifier_may_be_an_onnx_file() {
    let device = Device::flex();
    let dict = expected();
    let normalisation =
        Normalisation { mean: [0.5, 0.4, 0.3], std: [0.2, 0.3, 0.4], ..Normalisation::IMAGENET };
    let classifier = Classifier::load(&file("nhwc.onnx"), None, normalisation, &device).unwrap();
    assert_eq!((classifier.arch().to_string().as_str(), classifier.classes()), ("onnx", 7));
    // Images that normalise to those of the fixtures.
    let constant = |v: [f32; 3]| Tensor::<4>::from_data(TensorData::new(v.to_vec(), [1, 3, 1, 1]), &device);
    let images = tensor::<4>(&dict, "images16", &device);
    let images = images * constant(normalisation.std) + constant(normalisation.mean);
    let (worst, _) = difference(&values(classifier.forward(images).unwrap()), &dict["nhwc.logits"].data);
    assert!(worst < 1e-4, "{worst}");

    classifier.check_size(16, 16).unwrap();
    let error = classifier.check_size(16, 17).unwrap_err().to_string();
    assert!(error.contains("expected images of height 16, width 16"), "{error}");
    let named = Some("resnet18".parse().unwrap());
    let error = Classifier::load(&file("nhwc.onnx"), named, normalisation, &device).unwrap_err().to_string();
    assert!(error.contains("expected weights of resnet18, found an ONNX graph"), "{error}");

    // By its content, whatever it is called.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.bin");
    std::fs::copy(file("resnet.onnx"), &path).unwrap();
    assert!(Classifier::load(&path, None, normalisation, &device).unwrap().graph().is_some());
}
