//! A classifier's ONNX file, made a part of another graph: its nodes and weights under other names.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use dyntta_files::{Limits, shown_text};
use dyntta_model::{ChannelOrder, Normalisation};
use dyntta_onnx::{self as proto, Beside, data_type};
use prost::Message;

use crate::error::Error;
use crate::graph::{Graph, Setting, Value};
use crate::{OPSETS, USUAL_OPSET};

/// What stands before the classifier's names.
const PREFIX: &str = "classifier/";

/// A classifier to be appended.
#[derive(Debug)]
pub struct Classifier {
    path: PathBuf,
    graph: proto::Graph,
    pub(crate) opset: i64,
    input: Input,
    output: proto::ValueInfo,
    normalisation: Normalisation,
    classes: Option<Vec<String>>,
}

/// What is known of a classifier beside its file.
#[derive(Clone, Debug)]
pub struct ClassifierOptions {
    /// What its input is normalised by; of one that takes bytes only the order of the channels is used.
    pub normalisation: Normalisation,
    /// The output with the scores; none: the one of two axes.
    pub output: Option<String>,
    /// The names of its classes, where they are known.
    pub classes: Option<Vec<String>>,
}

/// The image input.
#[derive(Debug)]
struct Input {
    name: String,
    /// Whether the channels come last.
    last: bool,
    kind: i32,
    /// Batch, height and width, where fixed.
    sizes: [Option<usize>; 3],
}

impl Classifier {
    /// Reads a file, and the weights that lie beside it.
    ///
    /// # Errors
    /// [`Error::Refused`] with all that keeps it from being a part of another graph; or if a file can't be read.
    pub fn open(path: &Path, options: ClassifierOptions, limits: &Limits) -> Result<Self, Error> {
        let refused = |problems: Vec<String>| Error::Refused { path: path.to_owned(), problems };
        let bytes = dyntta_files::read(path, limits.model_bytes)?;
        let model = proto::Model::decode(prost::bytes::Bytes::from(bytes))
            .map_err(|e| refused(vec![format!("expected an ONNX model, found something else ({e})")]))?;
        let opset = model.opset_import.iter().find(|o| matches!(o.domain.as_str(), "" | "ai.onnx"));
        let opset = opset.map_or(1, |o| o.version);
        let Some(graph) = model.graph.filter(|graph| !graph.node.is_empty()) else {
            return Err(refused(vec!["expected an ONNX model, found no graph".into()]));
        };
        Self::of(path, (graph, opset), &Beside::new(path), options, limits)
    }

    /// Of a file that was read: its graph and operator set, and what lies beside it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn of(
        path: &Path,
        (mut graph, opset): (proto::Graph, i64),
        beside: &Beside,
        options: ClassifierOptions,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let mut problems = Vec::new();
        if !OPSETS.contains(&opset) {
            problems.push(format!(
                "expected a classifier of operator set {} to {}, found {opset}; convert it (Python: \
                 onnx.version_converter.convert_version(onnx.load(W), {USUAL_OPSET})) or export it anew",
                OPSETS.start(),
                OPSETS.end()
            ));
        }
        problems.extend(strange(&graph));
        let input = input(&graph).map_err(|found| problems.push(found)).ok();
        let output = output(&graph, options.output.as_deref()).map_err(|found| problems.push(found)).ok();
        if let Err(found) = embed(&mut graph, beside, limits) {
            problems.push(found);
        }
        let (Some(input), Some(output), true) = (input, output, problems.is_empty()) else {
            return Err(Error::Refused { path: path.to_owned(), problems });
        };
        let ClassifierOptions { normalisation, classes, .. } = options;
        Ok(Self { path: path.to_owned(), graph, opset, input, output, normalisation, classes })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Batch size, height and width of its images, where it fixes them.
    pub fn sizes(&self) -> [Option<usize>; 3] {
        self.input.sizes
    }

    /// The names of its classes, where they are known.
    pub fn classes(&self) -> Option<&[String]> {
        self.classes.as_deref()
    }

    /// The extents and the type of its scores as the file has them, but for the batch.
    pub(crate) fn scores(&self) -> Option<&proto::TensorType> {
        self.output.r#type.as_ref()?.tensor_type.as_ref()
    }

    /// Adds it to a graph behind images `[n, 3, h, w]`; gives the scores.
    pub(crate) fn append(&self, g: &Graph, images: &Value) -> Value {
        let fed = self.feed(g, images);
        let weights: HashSet<&str> = self.graph.initializer.iter().map(|t| t.name.as_str()).collect();
        let renamed = |name: &str| -> String {
            if name.is_empty() {
                return String::new();
            }
            if name == self.input.name && !weights.contains(name) {
                return fed.name().to_owned();
            }
            format!("{PREFIX}{name}")
        };
        let nodes = self.graph.node.iter().map(|node| {
            let mut node = node.clone();
            node.input.iter_mut().chain(&mut node.output).for_each(|name| *name = renamed(name));
            // A runtime wants no name twice, and some files name no node.
            node.name = match node.name.as_str() {
                "" => node.output.first().cloned().unwrap_or_default(),
                name => format!("{PREFIX}{name}"),
            };
            node
        });
        let tensors = self.graph.initializer.iter().map(|tensor| {
            let mut tensor = tensor.clone();
            tensor.name = renamed(&tensor.name);
            tensor
        });
        g.append(nodes.collect(), tensors.collect());
        g.named(&renamed(&self.output.name))
    }

    /// The images as its input wants them.
    fn feed(&self, g: &Graph, images: &Value) -> Value {
        let Normalisation { mean, std, channels, range } = self.normalisation;
        let by_channel = |v: [f32; 3]| g.constant(crate::Array::f32(&[1, 3, 1, 1], v.to_vec()));
        let bytes = self.input.kind == data_type::UINT8;
        let mut x = if bytes {
            let scaled = g.clip(&g.mul(images, &g.number(255.0)), 0.0, 255.0);
            g.cast(&g.floor(&g.add(&scaled, &g.number(0.5))), data_type::UINT8)
        } else {
            let (stretch, start) = range.from_unit();
            let scale = std.map(|s| stretch / s);
            let shift = [0, 1, 2].map(|c| (start - mean[c]) / std[c]);
            g.add(&g.mul(images, &by_channel(scale)), &by_channel(shift))
        };
        if channels == ChannelOrder::Bgr {
            x = g.gather(&x, &g.list(&[2, 1, 0]), 1);
        }
        if !bytes && self.input.kind != data_type::FLOAT {
            x = g.op("Cast", &[&x], &[("to", Setting::Int(self.input.kind.into()))]);
        }
        if self.input.last { g.transpose(&x, &[0, 2, 3, 1]) } else { x }
    }
}

/// What of a graph can't go into another one.
fn strange(graph: &proto::Graph) -> Vec<String> {
    // By what is wrong, the first node and how many there are.
    let mut found: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for node in &graph.node {
        let own = matches!(node.domain.as_str(), "" | "ai.onnx");
        let op = shown_text(&node.op_type);
        let wrong = if !own {
            format!("{op} of the domain `{}`, which is not ONNX's own", shown_text(&node.domain))
        } else if node.attribute.iter().any(|a| a.g.is_some() || !a.graphs.is_empty()) {
            format!("{op}, which holds a graph of its own")
        } else {
            continue;
        };
        found.entry(wrong).or_insert_with(|| (node.name.clone(), 0)).1 += 1;
    }
    let mut problems: Vec<String> = found
        .into_iter()
        .map(|(wrong, (first, count))| {
            format!("expected operators of ONNX without graphs inside, found {wrong} ({count}, the first is `{}`)", shown_text(&first))
        })
        .collect();
    if !graph.sparse_initializer.is_empty() {
        problems
            .push(format!("expected dense weights, found {} sparse ones", graph.sparse_initializer.len()));
    }
    problems
}

fn input(graph: &proto::Graph) -> Result<Input, String> {
    let weights: BTreeSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let inputs: Vec<_> = graph.input.iter().filter(|i| !weights.contains(i.name.as_str())).collect();
    let [input] = inputs[..] else {
        let names: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
        return Err(format!("expected one input, found {}: {}", inputs.len(), shown_text(&names.join(", "))));
    };
    let name = shown_text(&input.name).to_string();
    let kind = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let Some(kind) = kind else {
        return Err(format!("expected a tensor as input `{name}`, found another type"));
    };
    let known = [data_type::FLOAT, data_type::FLOAT16, data_type::DOUBLE, data_type::UINT8];
    if !known.contains(&kind.elem_type) {
        return Err(format!(
            "expected floats or bytes as input `{name}`, found elements of type {}",
            kind.elem_type
        ));
    }
    let dims: Vec<i64> = kind.shape.iter().flat_map(|s| &s.dim).map(|d| d.dim_value).collect();
    let last = match dims[..] {
        [_, 3, _, _] => false,
        [_, _, _, 3] => true,
        _ => {
            return Err(format!(
                "expected three-channel images, [n, 3, h, w] or [n, h, w, 3], as input `{name}`, found {dims:?} (0 is free)"
            ));
        }
    };
    let fixed = |axis: usize| dims.get(axis).and_then(|&d| usize::try_from(d).ok()).filter(|&d| d > 0);
    let sizes = if last { [fixed(0), fixed(1), fixed(2)] } else { [fixed(0), fixed(2), fixed(3)] };
    Ok(Input { name: input.name.clone(), last, kind: kind.elem_type, sizes })
}

fn output(graph: &proto::Graph, wanted: Option<&str>) -> Result<proto::ValueInfo, String> {
    let names: Vec<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
    let names = shown_text(&names.join(", ")).to_string();
    if let Some(wanted) = wanted {
        let found = graph.output.iter().find(|o| o.name == wanted);
        return found
            .cloned()
            .ok_or_else(|| format!("expected an output `{}`, found {names}", shown_text(wanted)));
    }
    let axes = |o: &&proto::ValueInfo| {
        let kind = o.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
        kind.and_then(|t| t.shape.as_ref()).map(|s| s.dim.len())
    };
    let fitting: Vec<_> = graph.output.iter().filter(|o| axes(o) == Some(2)).collect();
    match (&graph.output[..], &fitting[..]) {
        ([only], _) => Ok(only.clone()),
        (_, [only]) => Ok((*only).clone()),
        _ => Err(format!("expected one output with scores, found {names}; name it with --output")),
    }
}

/// Brings weights that lie in other files into the graph.
fn embed(graph: &mut proto::Graph, beside: &Beside, limits: &Limits) -> Result<(), String> {
    let mut room = limits.model_bytes;
    let of_nodes = graph.node.iter_mut().flat_map(|n| &mut n.attribute).filter_map(|a| a.t.as_mut());
    for tensor in graph.initializer.iter_mut().chain(of_nodes).filter(|t| t.data_location == 1) {
        let bytes = beside
            .read(tensor, None, room)
            .map_err(|found| format!("the weight `{}` {found}", shown_text(&tensor.name)))?;
        room -= bytes.len() as u64;
        tensor.raw_data = bytes.into();
        tensor.data_location = 0;
        tensor.external_data.clear();
    }
    Ok(())
}
