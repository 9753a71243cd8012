//! A file, parsed but not yet made ready to run.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use dyntta_files::{Limits, describe, shown_text};
use prost::Message;

use super::files::Files;
use super::gradient::{self, Flow};
use super::input::{Elements, ImageInput, bytes_as_floats, image_input};
use super::ir::Ir;
use super::output::{candidates, may_score};
use super::plan::Plan;
use super::work::Budget;
use super::{
    Graph, Info, Inner, MOST_FUSED, OPSETS, Options, Scores, about, proto, refuse_unsupported, rewrite,
};
use crate::error::Error;

/// An ONNX file, parsed.
pub struct Model {
    path: PathBuf,
    files: Files,
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
        Self::of_file(path, dyntta_files::open(path)?, limits)
    }

    /// [`Self::open`] with the file at hand.
    pub(crate) fn of_file(path: &Path, file: File, limits: &Limits) -> Result<Self, Error> {
        let format = |expected: &str, found: String| Error::Format {
            path: path.to_owned(),
            expected: expected.to_owned(),
            found,
        };
        let bytes = dyntta_files::read_all(path, file, limits.model_bytes)?;
        let files = Files::new(path, &bytes);
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
            files,
            graph,
            opset,
            producer: format!("{} {}", model.producer_name, model.producer_version).trim().to_owned(),
            metadata: model.metadata_props.into_iter().map(|e| (e.key, e.value)).collect(),
        })
    }

    /// The graph as it was read, its operator set, and what lies beside the file.
    pub fn into_parts(self) -> (proto::Graph, i64, proto::Beside) {
        (self.graph, self.opset, self.files.beside)
    }

    /// What the file says of what it is fed: its own notes, as far as they are about this, and what the graph itself says.
    pub fn about(&self) -> BTreeMap<String, String> {
        let input = self.input();
        let size = input
            .as_ref()
            .map_or([None; 2], |ImageInput { sizes: [_, height, width], .. }| [*height, *width]);
        let bytes = input.is_some_and(|input| input.elements == Elements::Bytes);
        about(&self.metadata, size, bytes, |classes| may_score(&self.graph, classes))
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
            let parsed = parsed.and_then(|parsed| Ok((parsed, this.files.digest()?)));
            // The weights were converted: what they were read from is in the way of large ones.
            if last {
                model = None;
            }
            let graph = parsed.and_then(|((ir, info, input), digest)| {
                let path = path.clone();
                let graph = ready(path, ir, info, &input, options, device.clone(), fuse)?;
                Ok(Inner { digest, ..graph })
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
        let ir =
            Ir::new(&self.graph, [&input.name, output], self.opset, &self.files, &options.limits, device)
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
    let not_finite = ir.not_finite.take();
    let plan = Plan::new(ir).map_err(|f| f.into_error(&path))?;
    let limits = options.limits;
    let mut inner =
        Inner { path, digest: String::new(), plan, info, device, shapes: None, flow, limits, not_finite };
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
