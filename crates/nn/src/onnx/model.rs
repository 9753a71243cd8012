//! A file, parsed but not yet made ready to run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use dyntta_files::{Limits, describe, shown_text};
use prost::Message;

use super::gradient::{self, Flow};
use super::input::{Elements, ImageInput, bytes_as_floats, image_input};
use super::ir::Ir;
use super::output::{candidates, may_score};
use super::plan::Plan;
use super::work::Budget;
use super::{
    Graph, Info, Inner, MOST_FUSED, OPSETS, Options, Scores, proto, refuse_unsupported, rewrite, tensor,
};
use crate::error::Error;

/// An ONNX file, parsed.
pub struct Model {
    path: PathBuf,
    graph: proto::Graph,
    opset: i64,
    producer: String,
    metadata: BTreeMap<String, String>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("path", &self.path).field("opset", &self.opset).finish_non_exhaustive()
    }
}

impl Model {
    /// Reads and parses a file. Weights that lie beside it are not read yet.
    ///
    /// # Errors
    /// If it is not readable, too large, not ONNX, or of an operator set that is not read.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self, Error> {
        let format = |expected: &str, found: String| Error::Format {
            path: path.to_owned(),
            expected: expected.to_owned(),
            found,
        };
        let bytes = dyntta_files::read(path, limits.model_bytes)?;
        let what = describe(&bytes);
        let model = proto::Model::decode(prost::bytes::Bytes::from(bytes)).map_err(|e| {
            let what = what.unwrap_or("something else, or a part of one");
            format("an ONNX model", format!("{what} ({})", shown_text(&e.to_string())))
        })?;
        let Some(graph) = model.graph.filter(|g| !g.node.is_empty()) else {
            return Err(format("an ONNX model", what.unwrap_or("no graph").into()));
        };
        let opset = model.opset_import.iter().find(|o| matches!(o.domain.as_str(), "" | "ai.onnx"));
        let opset = opset.map_or(1, |o| o.version);
        if !OPSETS.contains(&opset) {
            let expected = format!("operator set {} to {}", OPSETS.start(), OPSETS.end());
            return Err(format(&expected, format!("operator set {opset}")));
        }
        Ok(Self {
            path: path.to_owned(),
            graph,
            opset,
            producer: format!("{} {}", model.producer_name, model.producer_version).trim().to_owned(),
            metadata: model.metadata_props.into_iter().map(|e| (e.key, e.value)).collect(),
        })
    }

    /// The file's own notes.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The files that hold it: its own, and those beside it with its weights, each once.
    pub fn files(&self) -> Vec<PathBuf> {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let beside = self.graph.initializer.iter().flat_map(|tensor| &tensor.external_data);
        let beside = beside.filter(|entry| entry.key == "location").map(|entry| folder.join(&entry.value));
        let beside: std::collections::BTreeSet<PathBuf> = beside.collect();
        std::iter::once(self.path.clone()).chain(beside).collect()
    }

    /// Height and width of its images where it fixes them; none if it has no image input.
    pub fn input_size(&self) -> [Option<usize>; 2] {
        match self.input() {
            Some(ImageInput { sizes: [_, height, width], .. }) => [height, width],
            None => [None; 2],
        }
    }

    /// Whether it takes whole numbers from 0 to 255; see [`Info::bytes`].
    pub fn takes_bytes(&self) -> bool {
        self.input().is_some_and(|i| i.elements == Elements::Bytes)
    }

    /// Whether an output may hold scores of so many classes, as far as the file says.
    pub fn may_score(&self, classes: usize) -> bool {
        may_score(&self.graph, classes)
    }

    fn input(&self) -> Option<ImageInput> {
        let output = candidates(&self.graph, None, None).ok()?;
        image_input(&self.graph, output.names.first()?).ok()
    }

    /// Makes the graph ready to run, and runs it once.
    ///
    /// The graph takes one image batch, NCHW or NHWC, of three channels or grey, and an output has a score for each class.
    /// Weights may lie in files beside this one. A softmax at the very end is taken off.
    ///
    /// # Errors
    /// [`Error::Unsupported`] with every operator that is not supported; if input and output are not a classifier's; if the
    /// graph asks for more than the limits; if a trial run with the file's own sizes fails, or its scores are not finite.
    pub fn graph(self, options: &Options, device: &Device) -> Result<Graph, Error> {
        self.graph_with(options, device, true)
    }

    /// As [`Model::graph`], but with every node run as the file has it.
    ///
    /// # Errors
    /// As [`Model::graph`].
    pub fn graph_unfused(self, options: &Options, device: &Device) -> Result<Graph, Error> {
        self.graph_with(options, device, false)
    }

    fn graph_with(self, options: &Options, device: &Device, fuse: bool) -> Result<Graph, Error> {
        let device = device.clone().without_autodiff();
        let path = self.path.clone();
        let format = |expected: &str, found: String| Error::Format {
            path: path.clone(),
            expected: expected.to_owned(),
            found,
        };
        let found = candidates(&self.graph, options.output.as_deref(), options.classes);
        let expected = match &options.output {
            Some(name) => format!("an output `{}`", shown_text(name)),
            None => "an output".into(),
        };
        let found = found.map_err(|found| format(&expected, found))?;
        let mut first: Option<Result<Graph, Error>> = None;
        let mut model = Some(self);
        for (i, output) in found.names.iter().enumerate() {
            let last = i + 1 == found.names.len();
            let Some(this) = &model else { break };
            let parsed = this.parse(output, options, &device);
            // The weights were converted: what they were read from is in the way of large ones.
            if last {
                model = None;
            }
            let graph = parsed.and_then(|(ir, info, input)| {
                let path = path.clone();
                ready(path, ir, info, &input, options, device.clone(), fuse)
            });
            let fits = graph.as_ref().is_ok_and(|g| options.classes.is_none_or(|n| n == g.info.classes));
            let better = graph.is_ok() && !matches!(first, Some(Ok(_)));
            let graph = graph.map(|inner| {
                let taken_by_chance = found.ambiguous && !(fits && options.classes.is_some());
                Graph(Arc::new(inner.with_output_note(taken_by_chance)))
            });
            if fits {
                return graph;
            }
            if better || first.is_none() {
                first = Some(graph);
            }
        }
        first.unwrap_or_else(|| Err(format("an output", "none".into())))
    }

    /// The graph behind an output, as read.
    fn parse(
        &self,
        output: &str,
        options: &Options,
        device: &Device,
    ) -> Result<(Ir, Info, ImageInput), Error> {
        let format = |expected: &str, found: String| Error::Format {
            path: self.path.clone(),
            expected: expected.to_owned(),
            found,
        };
        let input = image_input(&self.graph, output).map_err(|found| format("one image input", found))?;
        let ir = Ir::new(&self.graph, [&input.name, output], self.opset, &self.path, &options.limits, device)
            .map_err(|found| format("a graph that can be run", found))?;
        let [batch, height, width] = input.sizes;
        let (layout, channels) = input.forms[0];
        let info = Info {
            producer: self.producer.clone(),
            opset: self.opset,
            metadata: self.metadata.clone(),
            input: input.name.clone(),
            layout,
            channels,
            bytes: input.elements == Elements::Bytes,
            batch,
            height,
            width,
            output: output.to_owned(),
            outputs: self.graph.output.iter().map(|o| o.name.clone()).collect(),
            classes: 0,
            scores: options.scores.unwrap_or(Scores::Logits),
            operators: ir.operators(),
            fused: BTreeMap::new(),
            softmax_removed: false,
            one_by_one: false,
            notes: Vec::new(),
        };
        Ok((ir, info, input))
    }
}

/// Folds, fuses, and tries out.
fn ready(
    path: PathBuf,
    mut ir: Ir,
    mut info: Info,
    input: &ImageInput,
    options: &Options,
    device: Device,
    fuse: bool,
) -> Result<Inner, Error> {
    let format = |expected: &str, found: String| Error::Format {
        path: path.clone(),
        expected: expected.to_owned(),
        found,
    };
    let mut budget = Budget::of_constants(&options.limits);
    rewrite::fold_constants(&mut ir, &device, &mut budget);
    rewrite::remove_identities(&mut ir);
    refuse_unsupported(&ir, &path)?;
    if info.bytes {
        bytes_as_floats(&mut ir)
            .map_err(|found| format("an input of bytes that are cast to floats", found))?;
        rewrite::remove_identities(&mut ir);
    }
    if options.scores != Some(Scores::Logits) {
        info.softmax_removed = rewrite::remove_softmax(&mut ir);
    }
    if info.softmax_removed {
        info.scores = Scores::Logits;
    }
    let flow = gradient::flow(&ir);
    if flow == Flow::None {
        let found = format!("`{}`, which does not", shown_text(&info.output));
        return Err(format("scores that depend on the image", found));
    }
    if fuse && ir.nodes.len() <= MOST_FUSED {
        rewrite::fuse(&mut ir);
    }
    info.fused = ir.operators();
    let plan = Plan::new(ir).map_err(|f| f.into_error(&path))?;
    let mut inner = Inner { path, plan, info, device, shapes: None, flow, limits: options.limits };
    inner.try_out(input, options)?;
    Ok(inner)
}

impl Inner {
    fn with_output_note(mut self, by_chance: bool) -> Self {
        if by_chance {
            let Info { output, outputs, .. } = &self.info;
            let note = format!(
                "the scores are taken from the output `{}`, the first of {} that may hold them; --output names another",
                shown_text(output),
                shown_text(&outputs.join(", "))
            );
            self.info.notes.insert(0, note);
        }
        self
    }
}

/// The first weight of a file that holds what is no number or, without one, an infinity; and that value. Weights that cannot be
/// read are passed over.
pub(super) fn weight_not_finite(path: &Path, limits: &Limits) -> Option<(String, f32)> {
    let model = Model::open(path, limits).ok()?;
    let of_nodes = model.graph.node.iter().filter(|n| n.op_type == "Constant").filter_map(|node| {
        let tensor = node.attribute.iter().find_map(|a| a.t.as_ref())?;
        Some((node.output.first()?, tensor))
    });
    let mut infinite = None;
    for (name, tensor) in model.graph.initializer.iter().map(|t| (&t.name, t)).chain(of_nodes) {
        let Ok(numbers) = tensor::numbers(tensor, Some(path)) else { continue };
        if numbers.floats.iter().any(|v| v.is_nan()) {
            return Some((name.clone(), f32::NAN));
        }
        // Masks hold infinities for good: they are to blame if nothing else is.
        let found = numbers.floats.into_iter().find(|v| v.is_infinite());
        infinite = infinite.or(found.map(|value| (name.clone(), value)));
    }
    infinite
}
