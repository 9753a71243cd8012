//! Image classifiers from ONNX files, run on Burn's tensors so that the gradient of a loss reaches the image.
//!
//! [`Graph::load`] reads a file of operator sets 7 to 25, refuses what it doesn't support (all of it at once), computes
//! what is known beforehand, folds batch normalisation into convolutions and fuses what stands for one operation. The
//! weights are frozen: they record no gradient.
//!
//! | file | what |
//! |---|---|
//! | `tensor` | weights, in whatever way they are stored |
//! | `files` | the model's file and those beside it, each opened once |
//! | `model` | a file, parsed |
//! | `input`, `output` | which of its inputs is the image, which of its outputs the scores |
//! | `ir` | the graph as read |
//! | `rewrite` | folding and fusing |
//! | `plan` | running in order |
//! | `work` | what a node costs, before it runs |
//! | `trial` | running it once, to find what doesn't fit and what the scores are |
//! | `gradient` | whether a gradient reaches the image |
//! | `value` | what flows along the edges |
//! | `ops` | the operators: a family a file, and a line for each |

mod files;
mod gradient;
mod input;
mod ir;
mod model;
mod ops;
mod output;
mod plan;
mod rewrite;
mod tensor;
mod trial;
mod value;
mod work;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use dyntta_files::{Limits, shown_text};
use dyntta_onnx as proto;
use serde::{Deserialize, Serialize};

use self::gradient::Flow;
use self::ir::Ir;
use self::plan::{Failure, Plan};
use self::value::{Float, Value};
use self::work::Budget;
use crate::error::{Error, Unsupported};
use crate::ops::plain::to_nhwc;

pub use input::Layout;
pub use model::Model;

/// The operator sets that are read. The first is that of ONNX 1.2, since which tensors broadcast as numpy's do.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=25;

/// Image sizes tried in turn where the file leaves the size open.
const SIZES: [usize; 8] = [224, 32, 64, 96, 128, 256, 299, 384];

/// Nodes of a graph in which runs of nodes are looked for that stand for one: it takes time with the square of them.
const MOST_FUSED: usize = 8000;

/// What a graph's output holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scores {
    /// Numbers whose softmax are the classes' probabilities.
    Logits,
    /// Those probabilities. Their logarithms are logits.
    Probabilities,
}

impl Scores {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Logits, Self::Probabilities];

    /// As flags and settings call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logits => "logits",
            Self::Probabilities => "probabilities",
        }
    }
}

/// What is known of a classifier beside its file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// The output to take the scores from; none: the likeliest.
    pub output: Option<String>,
    /// What that output holds; none: told by its values.
    pub scores: Option<Scores>,
    /// Height and width of the images that will come, tried first where the file leaves them open.
    pub size: Option<[usize; 2]>,
    /// The number of classes, where it is known: of several outputs the one with so many scores is taken.
    pub classes: Option<usize>,
    /// Of a file of weights, which of several sets: what stands before its keys; none: the first of timm's order.
    pub weights_key: Option<String>,
    /// What a file may ask for.
    pub limits: Limits,
}

/// What a file says about itself, and what was made of it.
#[derive(Clone, Debug)]
pub struct Info {
    /// The program that wrote the file, and its version.
    pub producer: String,
    /// The operator set.
    pub opset: i64,
    /// The file's own notes.
    pub metadata: BTreeMap<String, String>,
    /// The name of the input.
    pub input: String,
    /// The layout of the input.
    pub layout: Layout,
    /// The channels of the input: 3, or 1 of grey.
    pub channels: usize,
    /// Whether the input takes whole numbers from 0 to 255, with whatever normalisation there is inside the graph.
    pub bytes: bool,
    /// The batch size, where the file fixes one. Other batches run too; see `one_by_one`.
    pub batch: Option<usize>,
    /// The height of the images, where fixed.
    pub height: Option<usize>,
    /// The width of the images, where fixed.
    pub width: Option<usize>,
    /// The name of the output that the scores come from.
    pub output: String,
    /// The names of all outputs.
    pub outputs: Vec<String>,
    /// The number of classes.
    pub classes: usize,
    /// What the output holds, after a softmax was taken off. [`Graph::forward`] gives logits of either.
    pub scores: Scores,
    /// How many nodes of each operator the scores depend on.
    pub operators: BTreeMap<String, usize>,
    /// How many there are of each after folding and fusing; those of this crate's own start with `dyntta::`.
    pub fused: BTreeMap<String, usize>,
    /// Whether a softmax at the end was taken off: [`Graph::forward`] gives what went into it.
    pub softmax_removed: bool,
    /// Whether the file works for its own batch size only, so that others are run in parts.
    pub one_by_one: bool,
    /// What a user should know of how the file was understood, a sentence each.
    pub notes: Vec<String>,
}

/// A classifier read from an ONNX file. Cloning it shares the weights.
#[derive(Clone)]
pub struct Graph(Arc<Inner>);

struct Inner {
    path: PathBuf,
    /// The SHA-256 of the file, or of it and those beside it.
    digest: String,
    plan: Plan,
    info: Info,
    /// Where the weights are; it records no gradients.
    device: Device,
    /// The shape of each operator's first input for the file's own batch, where it fixes one.
    shapes: Option<Vec<Vec<usize>>>,
    flow: Flow,
    limits: Limits,
    /// See [`Ir::not_finite`].
    not_finite: Option<(String, f32)>,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph")
            .field("path", &self.0.path)
            .field("info", &self.0.info)
            .finish_non_exhaustive()
    }
}

/// Whether a file is to be read as ONNX: by its name or, since the format has no mark, by starting as its files do (with
/// the number of the format's version) and not as a safetensors file. The file is read from its beginning again after.
///
/// # Errors
/// If it can't be read.
pub(crate) fn is_onnx(path: &Path, file: &mut File) -> Result<bool, Error> {
    let named = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx"));
    let mut head = Vec::new();
    file.by_ref().take(9).read_to_end(&mut head).map_err(Error::io(path))?;
    file.rewind().map_err(Error::io(path))?;
    Ok(named || head.len() == 9 && head[0] == 0x08 && head[8] != b'{')
}

/// What an ONNX file says of what it is fed: its own notes, the size of its input where it takes but one, and that bytes are
/// not normalised. Lists of class names are kept if the graph has so many `scores`.
fn about(
    metadata: &BTreeMap<String, String>,
    size: [Option<usize>; 2],
    bytes: bool,
    scores: impl Fn(usize) -> bool,
) -> BTreeMap<String, String> {
    let mut metadata = metadata.clone();
    // Another program's list of names may be about something else. Keys with `dyntta.` before them are meant.
    let count = |text: &str| {
        serde_json::from_str::<Vec<String>>(text)
            .map_or_else(|_| text.split(',').count(), |names| names.len())
    };
    metadata.retain(|key, text| !matches!(key.as_str(), "classes" | "label_names") || scores(count(text)));
    if let [Some(height), Some(width)] = size {
        // Another program's key may be about something else: the graph takes this size.
        metadata.insert("input_size".into(), format!("[3, {height}, {width}]"));
    }
    if bytes {
        for (key, value) in [("range", "0..255"), ("mean", "0, 0, 0"), ("std", "1, 1, 1")] {
            metadata.insert(key.into(), value.into());
        }
    }
    metadata
}

impl Graph {
    /// Reads a classifier, with nothing known beside its file: [`Model::open`] and [`Model::graph`].
    ///
    /// # Errors
    /// As those.
    pub fn load(path: &Path, device: &Device) -> Result<Self, Error> {
        let options = Options::default();
        Model::open(path, &options.limits)?.graph(&options, device)
    }

    /// As [`Graph::load`], but with every node run as the file has it: the reference for what `load` fuses.
    ///
    /// # Errors
    /// As [`Graph::load`].
    pub fn load_unfused(path: &Path, device: &Device) -> Result<Self, Error> {
        let options = Options::default();
        Model::open(path, &options.limits)?.graph_unfused(&options, device)
    }

    /// What the file says about itself.
    pub fn info(&self) -> &Info {
        &self.0.info
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.0.info.classes
    }

    /// As [`Model::about`], with the number of classes known.
    pub fn about(&self) -> BTreeMap<String, String> {
        let Info { metadata, height, width, bytes, classes, .. } = &self.0.info;
        about(metadata, [*height, *width], *bytes, |n| n == *classes)
    }

    /// The SHA-256, in hexadecimal digits, of the file that was read or, where weights lie beside it, of the digests of all of
    /// these.
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    /// Whether images of this size can be classified.
    ///
    /// # Errors
    /// If the file has another size, or fails on one image of this one.
    pub fn check_size(&self, height: usize, width: usize) -> Result<(), Error> {
        self.forward(Tensor::zeros([1, self.0.info.channels, height, width], &self.0.device)).map(drop)
    }

    /// Whether the gradient of a loss reaches batches of `n` images of this size: one pass forward and one back.
    ///
    /// # Errors
    /// [`Error::Gradient`] if it does not, with the nodes that let none through; or as [`Graph::forward`].
    pub fn check_gradient(&self, n: usize, height: usize, width: usize) -> Result<(), Error> {
        let Inner { path, info, device, flow, .. } = &*self.0;
        let none = |message: String| Error::Gradient { path: path.clone(), message };
        if let Flow::Steps(nodes) = flow {
            return Err(none(nodes.join(", ")));
        }
        let count = n * height * width * info.channels;
        let most = if info.bytes { 255.0 } else { 1.0 };
        // Every value from black to white, in an order without a short period.
        let values: Vec<f32> = (0..count).map(|i| ((i * 7919) % 256) as f32 / 255.0 * most).collect();
        let device = device.clone().autodiff();
        let images =
            Tensor::<4>::from_data(TensorData::new(values, [n, height, width, info.channels]), &device);
        let images = images.require_grad();
        let logits = self.forward_nhwc(images.clone())?;
        if !logits.device().is_autodiff() {
            return Err(none("the scores don't record one".into()));
        }
        // Different weights for all: those of a constant sum, such as that of probabilities, have no gradient.
        let weights: Vec<f32> = (0..info.classes).map(|k| ((k * 37) % 17) as f32 / 8.0 - 1.0).collect();
        let weights = Tensor::<2>::from_data(TensorData::new(weights, [1, info.classes]), &self.0.device);
        let gradients = (logits * weights).sum().backward();
        let Some(gradient) = images.grad(&gradients) else {
            return Err(none("the image takes no part in it".into()));
        };
        let largest = gradient.abs().max().into_scalar::<f32>();
        if largest == 0.0 {
            return Err(none("it is 0 at every pixel".into()));
        }
        if !largest.is_finite() {
            return Err(none(format!("it is {largest}")));
        }
        Ok(())
    }

    /// Images `[n, c, h, w]` to logits `[n, classes]`. They have the [channels](Info::channels) that the model wants and are
    /// normalised as it wants them; where it takes [bytes](Info::bytes), they are from 0 to 255 and rounded, which the
    /// gradient passes over. Gradients flow to the images.
    ///
    /// # Errors
    /// If the images' size is not the file's, or no size that the graph takes.
    pub fn forward(&self, images: Tensor<4>) -> Result<Tensor<2>, Error> {
        self.forward_nhwc(to_nhwc(images))
    }

    /// As [`Graph::forward`], from `[n, h, w, c]`.
    ///
    /// # Errors
    /// As [`Graph::forward`].
    pub fn forward_nhwc(&self, images: Tensor<4>) -> Result<Tensor<2>, Error> {
        let Inner { info, path, .. } = &*self.0;
        let [n, h, w, c] = images.dims();
        let other = |e: Option<usize>, found: usize| e.is_some_and(|e| e != found);
        if n == 0 || h * w == 0 || c != info.channels || other(info.height, h) || other(info.width, w) {
            let open = |e: Option<usize>| e.map_or("any".to_owned(), |e| e.to_string());
            return Err(Error::Format {
                path: path.clone(),
                expected: format!(
                    "images of height {}, width {}, {} channels",
                    open(info.height),
                    open(info.width),
                    info.channels
                ),
                found: format!("{n} of {h}x{w} with {c}"),
            });
        }
        let images = if info.bytes { rounded(images) } else { images };
        let scores = self.0.in_parts(images)?;
        if scores.dims()[1] != info.classes {
            return Err(self.0.format(
                format!("{} scores, as of images of the size that was tried", info.classes),
                format!("{} of images of {h}x{w}", scores.dims()[1]),
            ));
        }
        Ok(match info.scores {
            Scores::Logits => scores,
            // Small enough to be no class's, large enough for a derivative.
            Scores::Probabilities => scores.clamp_min(1e-30).log(),
        })
    }
}

/// Values from 0 to 255 as bytes have them; the gradient is that of the values.
fn rounded(images: Tensor<4>) -> Tensor<4> {
    let images = images.clamp(0.0, 255.0);
    if !images.device().is_autodiff() {
        return images.round();
    }
    let plain = images.clone().without_autodiff();
    images + (plain.clone().round() - plain)
}

impl Inner {
    fn value(&self, images: Tensor<4>) -> Value {
        Value::Float(match self.info.layout {
            Layout::Nchw => Float::from_nhwc(images),
            Layout::Nhwc => Float::from_tensor(images),
        })
    }

    /// Runs `[n, h, w, c]` as one batch or, where the graph takes but its own, in parts of that.
    fn in_parts(&self, images: Tensor<4>) -> Result<Tensor<2>, Error> {
        let [n, h, w, _] = images.dims();
        let run = |images: Tensor<4>| {
            let mut budget = Budget::of_images(&self.limits, images.dims()[0], [h, w]);
            self.run(images, &mut budget)
        };
        let own = self.info.batch.unwrap_or(1);
        if !self.info.one_by_one || n == own {
            return run(images);
        }
        let parts = (0..n).step_by(own).map(|start| {
            let end = (start + own).min(n);
            let mut part = vec![images.clone().narrow(0, start, end - start)];
            // The last images stand in for those that a whole part lacks.
            part.extend((end..start + own).map(|_| images.clone().narrow(0, n - 1, 1)));
            Ok(run(Tensor::cat(part, 0))?.narrow(0, 0, end - start))
        });
        Ok(Tensor::cat(parts.collect::<Result<Vec<_>, Error>>()?, 0))
    }

    /// Runs `[n, h, w, c]` as one batch.
    fn run(&self, images: Tensor<4>, budget: &mut Budget) -> Result<Tensor<2>, Error> {
        let n = images.dims()[0];
        let batch = match (&self.shapes, self.info.batch) {
            (Some(shapes), Some(own)) if own != n => Some((own, n, &shapes[..])),
            _ => None,
        };
        let scores = self.plan.run(self.value(images), &self.device, batch, budget);
        self.scores(scores.map_err(|f| f.into_error(&self.path))?, n)
    }

    /// The output as `[n, classes]`.
    fn scores(&self, output: Value, n: usize) -> Result<Tensor<2>, Error> {
        let shape = output.shape();
        let expected =
            |what: &str| format!("{what} as the output `{}`{}", shown_text(&self.info.output), self.others());
        match (output, &shape[..]) {
            (Value::Float(x), [images, classes, rest @ ..])
                if *images == n && *classes > 0 && rest.iter().all(|&d| d == 1) =>
            {
                Ok(x.row_major().reshape([n, *classes]))
            }
            (Value::Float(_), _) => Err(self
                .format(expected(&format!("scores [{n}, classes]")), format!("a tensor of shape {shape:?}"))),
            (Value::Int(_), _) => {
                Err(self.format(expected("scores"), "integers, which have no gradient".into()))
            }
        }
    }

    /// What else might be taken, for a message.
    fn others(&self) -> String {
        let others: Vec<&str> =
            self.info.outputs.iter().map(String::as_str).filter(|o| *o != self.info.output).collect();
        match others.is_empty() {
            true => String::new(),
            false => format!(" (--output names another of {})", shown_text(&others.join(", "))),
        }
    }

    fn format(&self, expected: String, found: String) -> Error {
        Error::Format { path: self.path.clone(), expected, found }
    }
}

impl Failure {
    fn into_error(self, path: &Path) -> Error {
        let Self { node, operator, message, .. } = self;
        Error::Onnx { path: path.to_owned(), node, operator, message }
    }
}

/// Lists every operator that is not there, or not with a node's settings.
fn refuse_unsupported(ir: &Ir, path: &Path) -> Result<(), Error> {
    let mut found: BTreeMap<(String, Option<String>), Unsupported> = BTreeMap::new();
    for node in &ir.nodes {
        let reason = match ops::build(node) {
            Some(Ok(_)) => continue,
            Some(Err(reason)) => Some(reason),
            None => None,
        };
        let entry = found.entry((node.op.clone(), reason.clone())).or_insert_with(|| Unsupported {
            operator: node.op.clone(),
            reason,
            count: 0,
            example: node.name.clone(),
        });
        entry.count += 1;
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(Error::Unsupported { path: path.to_owned(), operators: found.into_values().collect() })
}
