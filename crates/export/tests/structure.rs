//! Exported graphs as they are built, and run by the reference against the runtime: without Python.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dyntta_export::{
    Agreement, Array, Exported, Layout, Look, OPSETS, Options, Output, check, export, image, npz, reference,
    sample,
};
use dyntta_model::{Checkpoint, Limits};
use dyntta_onnx::{self as proto, data_type};
use dyntta_runtime::Enhancer;
use prost::Message;

/// A bank with an op of every kind.
const BANK: [&str; 8] =
    ["rotate", "hue", "equalize", "auto_contrast", "sharpness", "low_pass_0.30", "high_pass_0.123", "urie"];

fn open(path: &Path) -> Checkpoint {
    Checkpoint::open(path, &Limits::DEFAULT).unwrap()
}

fn refusal(path: &Path, options: &Options) -> String {
    export(&open(path), None, options).unwrap_err().to_string()
}

fn graph(exported: &Exported) -> &proto::Graph {
    exported.model.graph.as_ref().unwrap()
}

/// What a checker holds a graph to: names are made once and before they are read, nothing is left over, and operators are ONNX's
/// own and none of those that runtimes stumble over.
fn is_sound(exported: &Exported) {
    let graph = graph(exported);
    let mut made: BTreeSet<&str> = BTreeSet::new();
    for name in graph.initializer.iter().map(|t| &t.name).chain(graph.input.iter().map(|i| &i.name)) {
        assert!(made.insert(name), "`{name}` twice");
    }
    let mut read: BTreeSet<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
    let mut nodes = BTreeSet::new();
    for node in &graph.node {
        assert!(node.domain.is_empty(), "{}", node.name);
        assert!(nodes.insert(&node.name), "two nodes `{}`", node.name);
        assert!(!["If", "Loop", "Scan", "DFT"].contains(&node.op_type.as_str()), "{}", node.op_type);
        for name in node.input.iter().filter(|name| !name.is_empty()) {
            assert!(made.contains(name.as_str()), "{} reads `{name}` before it is made", node.name);
            read.insert(name);
        }
        for attribute in &node.attribute {
            assert_ne!(attribute.r#type, 0, "{}: {}", node.name, attribute.name);
        }
        for name in &node.output {
            assert!(made.insert(name), "`{name}` twice");
        }
    }
    for output in &graph.output {
        assert!(made.contains(output.name.as_str()), "no output `{}`", output.name);
    }
    for tensor in &graph.initializer {
        assert!(read.contains(tensor.name.as_str()), "`{}` is not read", tensor.name);
        let size = match tensor.data_type {
            data_type::FLOAT | data_type::INT32 => 4,
            data_type::INT64 | data_type::DOUBLE => 8,
            data_type::FLOAT16 => 2,
            _ => 1,
        };
        let count: i64 = tensor.dims.iter().product();
        assert_eq!(tensor.raw_data.len() as i64, count * size, "`{}`", tensor.name);
    }
    let again = proto::Model::decode(&exported.bytes()[..]).unwrap();
    assert_eq!(again, exported.model);
    assert!(dyntta_export::is_ours(&exported.bytes()));
}

fn agrees(found: Agreement, most: f32, what: &str) {
    assert!(found.largest <= most && found.levels <= 1 && found.differing <= 1e-3, "{what}: {found:?}");
}

#[test]
fn graphs_mean_what_the_runtime_does_at_any_size() {
    let folder = tempfile::tempdir().unwrap();
    let run = common::write_run(folder.path(), Some(&BANK), 16);
    let enhancer = Enhancer::load(&run).unwrap();
    let exported = export(&open(&run), None, &Options::default()).unwrap();
    is_sound(&exported);
    for size in [[1, 1, 1], [2, 3, 9], [1, 16, 16], [3, 17, 31], [1, 5, 40], [1, 40, 33]] {
        let found = check(&exported, &enhancer, Layout::F32Nchw, size).unwrap();
        agrees(found, 2e-5, &format!("{size:?}"));
    }
}

#[test]
fn every_output_layout_and_way_is_as_the_runtime_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let run = common::write_run(folder.path(), Some(&["contrast", "identity", "gamma", "scale"]), 16);
    let trained = Enhancer::load(&run).unwrap();
    let size = [2, 14, 11];
    for (options, view) in [
        (Options { opset: Some(17), ..Options::default() }, None),
        (Options { opset: Some(25), layout: Layout::U8Nhwc, ..Options::default() }, None),
        (Options { size: Some([14, 11]), ..Options::default() }, None),
        (Options { look: Look::Square(9), ..Options::default() }, Some(Some(9))),
        (Options { look: Look::Image, size: Some([14, 11]), ..Options::default() }, Some(None)),
    ] {
        let enhancer = match view {
            None => trained.clone(),
            Some(view) => trained.clone().with_control_size(view).unwrap(),
        };
        let outputs = vec![Output::Factors, Output::Enhanced, Output::Weights];
        let options = Options { outputs, ..options };
        let exported = export(&open(&run), None, &options).unwrap();
        is_sound(&exported);
        let x = image(options.layout, size);
        let found = reference::run(&exported.model, &[("image", x.clone())]).unwrap();
        let expected = sample(&enhancer, x, &options.outputs);
        assert_eq!(found.len(), 3);
        for (found, (name, expected)) in found.iter().zip(&expected[1..]) {
            assert_eq!(found.shape, expected.shape, "{name}");
            if let (Some(found), Some(expected)) = (found.floats(), expected.floats()) {
                for (a, b) in found.iter().zip(expected) {
                    let same = a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-4 * b.abs().max(0.1);
                    assert!(same, "{name} with {options:?}: {a} {b}");
                }
            } else {
                agrees(Agreement::of(found, expected), 1.1 / 255.0, name);
            }
        }
    }
}

#[test]
fn a_fixed_size_leaves_constants_and_no_double_precision() {
    let folder = tempfile::tempdir().unwrap();
    let run = common::write_run(folder.path(), Some(&BANK), 16);
    let enhancer = Enhancer::load(&run).unwrap();
    for size in [[24, 19], [16, 16], [3, 2]] {
        let options = Options { size: Some(size), ..Options::default() };
        let exported = export(&open(&run), None, &options).unwrap();
        is_sound(&exported);
        let graph = graph(&exported);
        let doubles = graph.initializer.iter().filter(|t| t.data_type == data_type::DOUBLE).count();
        let casts =
            graph.node.iter().flat_map(|n| &n.attribute).filter(|a| a.name == "to" && a.i == 11).count();
        assert_eq!((doubles, casts), (0, 0), "{size:?}");
        // The batch is free still: its extent is all that is asked of a shape.
        assert!(!graph.node.iter().any(|n| n.op_type == "Range"), "{size:?}");
        let [h, w] = size;
        agrees(check(&exported, &enhancer, Layout::F32Nchw, [2, h, w]).unwrap(), 2e-5, &format!("{size:?}"));
    }
}

#[test]
fn a_urie_is_exported_too() {
    let folder = tempfile::tempdir().unwrap();
    let run = common::write_run(folder.path(), None, 16);
    let enhancer = Enhancer::load(&run).unwrap();
    for (layout, most) in [(Layout::F32Nchw, 2e-5), (Layout::U8Nhwc, 1.1 / 255.0)] {
        let exported = export(&open(&run), None, &Options { layout, ..Options::default() }).unwrap();
        is_sound(&exported);
        for size in [[1, 1, 5], [2, 13, 10]] {
            agrees(check(&exported, &enhancer, layout, size).unwrap(), most, &format!("{size:?}"));
        }
    }
}

#[test]
fn half_precision_halves_the_file_and_is_cast_back() {
    let folder = tempfile::tempdir().unwrap();
    let run = common::write_run(folder.path(), Some(&["brightness", "urie"]), 16);
    let whole = export(&open(&run), None, &Options::default()).unwrap();
    let half = export(&open(&run), None, &Options { fp16_weights: true, ..Options::default() }).unwrap();
    is_sound(&half);
    let (whole, size) = (whole.bytes().len() as f64, half.bytes().len() as f64);
    assert!(size < 0.52 * whole, "{size} of {whole}");
    let found = check(&half, &Enhancer::load(&run).unwrap(), Layout::F32Nchw, [1, 12, 12]).unwrap();
    assert!(found.largest < 0.05 && found.largest > 0.0, "{found:?}");
}

#[test]
fn the_file_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let run = common::write_run(folder.path(), Some(&["contrast", "identity"]), 16);
    let exported = export(&open(&run), None, &Options::default()).unwrap();
    let model = &exported.model;
    let notes: BTreeMap<&str, &str> =
        model.metadata_props.iter().map(|e| (e.key.as_str(), e.value.as_str())).collect();
    assert_eq!(notes["dyntta_bank"], "contrast,identity");
    assert_eq!(notes["dyntta_classes"], r#"["a","b"]"#);
    assert!(notes["dyntta_config"].contains("\"control_size\": 16"));
    assert_eq!(notes["dyntta_checkpoint_sha256"].len(), 64);
    assert_eq!(model.opset_import[0].version, 18);
    let graph = graph(&exported);
    let names = |infos: &[proto::ValueInfo]| infos.iter().map(|i| i.name.clone()).collect::<Vec<_>>();
    assert_eq!((names(&graph.input), names(&graph.output)), (vec!["image".into()], vec!["enhanced".into()]));
    let shape = graph.input[0].r#type.clone().unwrap().tensor_type.unwrap().shape.unwrap();
    let axes: Vec<String> = shape.dim.iter().map(|d| format!("{}{}", d.dim_param, d.dim_value)).collect();
    assert_eq!(axes, ["batch0", "3", "height0", "width0"]);
    // What isn't asked for isn't there: the factors of these ops are, the SK-UNet is not.
    assert!(!graph.initializer.iter().any(|t| t.name.starts_with("urie.")));
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let run = common::write_run(folder.path(), None, 16);
    let options = Options {
        opset: Some(9),
        size: Some([0, 5]),
        outputs: vec![Output::Weights, Output::Scores, Output::Enhanced, Output::Enhanced],
        look: Look::Square(0),
        ..Options::default()
    };
    let found = refusal(&run, &options);
    for part in [
        "expected operator set 17 to 25, found 9",
        "found 0x5",
        "a view of 0 pixels",
        "found `weights`, which only DynTTA decides on",
        "expected a classifier for the output `scores`",
        "found `enhanced` twice",
    ] {
        assert!(found.contains(part), "{part}: {found}");
    }
    assert_eq!(*OPSETS.start(), 17);
}

#[test]
fn a_sample_is_an_archive_of_arrays() {
    let arrays = [("image".to_owned(), Array::f32(&[2, 1], vec![0.5, 1.0]))];
    let bytes = npz(&arrays).unwrap();
    assert!(bytes.starts_with(b"PK\x03\x04"));
    let start = bytes.windows(6).position(|w| w == b"\x93NUMPY").unwrap();
    let header = &bytes[start..start + 128];
    assert!(
        String::from_utf8_lossy(header).contains("'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, )")
    );
    assert_eq!(header[127], b'\n');
    assert_eq!(bytes[start + 128..start + 136], [0, 0, 0, 63, 0, 0, 128, 63]);
}
