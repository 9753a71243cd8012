//! A trained enhancer as one ONNX graph, alone or with a classifier behind it.
//!
//! ```no_run
//! use dyntta_export::{Options, export};
//! use dyntta_model::{Checkpoint, Limits};
//!
//! let checkpoint = Checkpoint::open("runs/dyntta".as_ref(), &Limits::DEFAULT)?;
//! std::fs::write("enhancer.onnx", export(&checkpoint, None, &Options::default())?.bytes())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | file | what |
//! |---|---|
//! | `graph` | the builder: operators as methods, constants computed, nothing written twice |
//! | `tensors` | the bank's operations ([`dyntta_ops::tensors`]) as nodes; the augmentations themselves are in `dyntta-ops` |
//! | `control`, `skunet`, `params` | the networks, and their parameters by key |
//! | `classifier` | a classifier's file as a part of the graph |
//! | `reference` | the operators computed plainly: folds constants, and runs a graph without an ONNX runtime |
//! | `check` | a graph against the runtime |
//! | `sample` | an input and what is to come out, as a `.npz` |
//!
//! A graph has truly dynamic axes, unless a size is asked for, and no `If`, `Loop`, `DFT` or operator that isn't ONNX's own.

mod array;
mod check;
mod classifier;
mod control;
mod error;
mod graph;
mod params;
pub mod reference;
mod sample;
mod skunet;
mod tensors;

use std::ops::RangeInclusive;
use std::str::FromStr;

use dyntta_model::{Checkpoint, EnhancerConfig, Method};
use dyntta_onnx::{self as proto, data_type};
use dyntta_ops::{Bank, blend};
use prost::Message;

pub use array::{Array, Data};
pub use check::{Agreement, check};
pub use classifier::{Classifier, ClassifierOptions};
pub use dyntta_onnx::Dimension;
pub use error::Error;
pub use sample::{image, npz, sample};

use graph::{Graph, Value};
use params::Params;
use tensors::Images;

/// The operator sets that can be written.
pub const OPSETS: RangeInclusive<i64> = 17..=25;
/// The operator set that is written where none is asked for.
pub const USUAL_OPSET: i64 = 18;
/// The most bytes that a file in the format of protocol buffers can have.
const MOST_BYTES: usize = (1 << 31) - 1;
/// How a file that this crate wrote is known: by its producer, which comes second in it.
const PRODUCER: &str = "dyntta";

/// How images come in, and enhanced ones go out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// `[batch, 3, height, width]` in `0..=1`.
    #[default]
    F32Nchw,
    /// `[batch, height, width, 3]`, bytes.
    U8Nhwc,
}

impl Layout {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::F32Nchw, Self::U8Nhwc];

    /// As flags call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32Nchw => "f32-nchw",
            Self::U8Nhwc => "u8-nhwc",
        }
    }
}

/// An output of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The enhanced images, in the layout of the input; in `0..=1`.
    Enhanced,
    /// The blend weights, `[batch, slots]`.
    Weights,
    /// The factor of each augmentation, `[batch, slots]`; NaN for one without a factor.
    Factors,
    /// The classifier's scores, as its own file gives them.
    Scores,
}

impl Output {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Enhanced, Self::Weights, Self::Factors, Self::Scores];

    /// Its name in the graph, and as flags call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enhanced => "enhanced",
            Self::Weights => "weights",
            Self::Factors => "factors",
            Self::Scores => "scores",
        }
    }
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|output| output.name() == text).ok_or_else(|| {
            format!("expected one of {}, found `{text}`", Self::ALL.map(Self::name).join(", "))
        })
    }
}

/// What the control network looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Look {
    /// A view of the size it was trained at.
    #[default]
    Trained,
    /// A square view of this many pixels a side.
    Square(usize),
    /// The image itself.
    Image,
}

/// How a graph is to be written.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The operator set; none: the classifier's, or else [`USUAL_OPSET`].
    pub opset: Option<i64>,
    /// The height and width of all images; none: any, or what the classifier fixes. Then all that depends on the size alone is a
    /// constant, and nothing is in double precision.
    pub size: Option<[usize; 2]>,
    /// How images come in, and enhanced ones go out.
    pub layout: Layout,
    /// The outputs; empty: the scores, or without a classifier the enhanced images.
    pub outputs: Vec<Output>,
    /// Whether the networks' weights are kept in half precision. All is computed in single precision none the less.
    pub fp16_weights: bool,
    /// What the control network looks at.
    pub look: Look,
}

/// A graph that can be written to a file.
#[derive(Debug)]
pub struct Exported {
    /// The file's content.
    pub model: proto::Model,
}

impl Exported {
    /// The bytes of the file.
    pub fn bytes(&self) -> Vec<u8> {
        self.model.encode_to_vec()
    }

    /// How many nodes the graph has.
    pub fn nodes(&self) -> usize {
        self.model.graph.as_ref().map_or(0, |graph| graph.node.len())
    }
}

/// Whether a file that begins with `head` was written by [`export`].
pub fn is_ours(head: &[u8]) -> bool {
    let [0x08, _, 0x12, len, rest @ ..] = head else { return false };
    rest.get(..usize::from(*len)) == Some(PRODUCER.as_bytes())
}

/// An enhancer, and a classifier behind it if there is one, as a graph.
///
/// # Errors
/// [`Error::Refused`] with all that can't be exported; or if weights can't be read or don't fit the config.
pub fn export(
    checkpoint: &Checkpoint,
    classifier: Option<&Classifier>,
    options: &Options,
) -> Result<Exported, Error> {
    let plan = Plan::new(checkpoint, classifier, options)?;
    let params = Params::of(checkpoint)?;
    let g = Graph::new(plan.opset, options.fp16_weights);
    let image = g.input("image");
    let (x, images) = plan.images(&g, &image);
    let view = view(checkpoint, options.look);
    let (raw_image, decided) = match &plan.bank {
        None => (skunet::enhance(&images, &params, "", &x)?, None),
        Some(bank) => {
            let [raw, weights] = control::decide(&images, &params, &x, view, bank.len())?;
            let network = bank.network_slot().map(|_| skunet::enhance(&images, &params, "urie.", &x));
            let [raw, wide] = [&raw, &weights].map(|v| g.unsqueeze(v, &[1, 2]));
            let factors = blend::factors(&images, bank, &raw);
            let y = blend::form(&images, bank, &x, &factors, &wide, network.transpose()?.as_ref());
            (y, Some((weights, factors)))
        }
    };
    let scores = classifier.map(|classifier| classifier.append(&g, &raw_image));
    let value = |output: Output| match (output, &decided, &scores) {
        (Output::Enhanced, ..) => Some(plan.enhanced(&g, &raw_image)),
        (Output::Weights, Some((weights, _)), _) => Some(weights.clone()),
        (Output::Factors, Some((_, factors)), _) => Some(joined(&images, factors)),
        (Output::Scores, _, Some(scores)) => Some(scores.clone()),
        _ => None,
    };
    let outputs: Vec<(&str, Value)> =
        plan.outputs.iter().filter_map(|&output| Some((output.name(), value(output)?))).collect();
    let (node, initializer) = g.finish(&outputs);
    let graph = proto::Graph {
        name: "enhancer".into(),
        node,
        initializer,
        input: vec![plan.image_info("image")],
        output: plan.outputs.iter().map(|&output| plan.info(output)).collect(),
        ..Default::default()
    };
    let size = graph.encoded_len();
    if size > MOST_BYTES {
        let found = format!("expected a graph of at most {MOST_BYTES} bytes, found {size}");
        return Err(Error::Refused { path: checkpoint.file.path().to_owned(), problems: vec![found] });
    }
    Ok(Exported { model: plan.model(checkpoint, graph)? })
}

/// The height and width of what the control network looks at; none: the image itself.
fn view(checkpoint: &Checkpoint, look: Look) -> Option<[usize; 2]> {
    match look {
        Look::Trained => checkpoint.config.as_ref().map(EnhancerConfig::view),
        Look::Square(side) => Some([side, side]),
        Look::Image => None,
    }
}

/// All factors side by side.
fn joined(images: &Images<'_>, factors: &[Option<Value>]) -> Value {
    let g = images.g;
    let none = g.expand(&g.constant(Array::f32(&[1, 1], vec![f32::NAN])), &g.vector(&[&images.n, &g.int(1)]));
    let flat = |factor: &Value| g.reshape(factor, &g.list(&[-1, 1]));
    let columns: Vec<Value> =
        factors.iter().map(|factor| factor.as_ref().map_or_else(|| none.clone(), flat)).collect();
    g.concat(&columns.iter().collect::<Vec<_>>(), 1)
}

/// What is to be written, checked.
struct Plan<'a> {
    bank: Option<Bank>,
    classifier: Option<&'a Classifier>,
    opset: i64,
    /// Batch, height and width, where fixed.
    sizes: [Option<usize>; 3],
    layout: Layout,
    outputs: Vec<Output>,
}

impl<'a> Plan<'a> {
    fn new(
        checkpoint: &Checkpoint,
        classifier: Option<&'a Classifier>,
        options: &Options,
    ) -> Result<Self, Error> {
        let mut problems = Vec::new();
        let method = checkpoint.config.as_ref().map_or(Method::Urie, |config| config.method);
        let bank = match (method, &checkpoint.config) {
            (Method::Dyntta, Some(config)) => Some(config.bank(&checkpoint.context)?),
            _ => None,
        };
        let opset = options.opset.or(classifier.map(|c| c.opset)).unwrap_or(USUAL_OPSET);
        if !OPSETS.contains(&opset) {
            problems.push(format!(
                "expected operator set {} to {}, found {opset}",
                OPSETS.start(),
                OPSETS.end()
            ));
        }
        let mut sizes = classifier.map_or([None; 3], Classifier::sizes);
        if let Some(classifier) = classifier {
            if classifier.opset != opset {
                problems.push(format!(
                    "expected a classifier of operator set {opset}, found {} in {}; leave --opset out to write that one",
                    classifier.opset,
                    dyntta_files::shown(classifier.path())
                ));
            }
            let [_, h, w] = sizes;
            let differs = |own: Option<usize>, wanted: usize| own.is_some_and(|own| own != wanted);
            if let Some([wanted_h, wanted_w]) = options.size
                && (differs(h, wanted_h) || differs(w, wanted_w))
            {
                let side = |s: Option<usize>| s.map_or("any".to_owned(), |s| s.to_string());
                problems.push(format!(
                    "expected images of {wanted_h}x{wanted_w}, found a classifier that takes {}x{}",
                    side(h),
                    side(w)
                ));
            }
        }
        if let Some([h, w]) = options.size {
            if h == 0 || w == 0 || h.saturating_mul(w) > MOST_PIXELS {
                problems.push(format!("expected images of 1 to {MOST_PIXELS} pixels, found {h}x{w}"));
            }
            sizes = [sizes[0], Some(h), Some(w)];
        }
        if let Look::Square(side) = options.look
            && let Err(error) = dyntta_model::check_view(side)
        {
            problems.push(error.to_string());
        }
        let mut outputs = options.outputs.clone();
        if outputs.is_empty() {
            outputs.push(if classifier.is_some() { Output::Scores } else { Output::Enhanced });
        }
        for (i, output) in outputs.iter().enumerate() {
            if outputs[..i].contains(output) {
                problems.push(format!("expected each output once, found `{}` twice", output.name()));
            }
            match output {
                Output::Weights | Output::Factors if bank.is_none() => problems.push(format!(
                    "expected outputs that a URIE has, found `{}`, which only DynTTA decides on",
                    output.name()
                )),
                Output::Scores if classifier.is_none() => {
                    problems.push("expected a classifier for the output `scores`, found none".into());
                }
                _ => {}
            }
        }
        if !problems.is_empty() {
            return Err(Error::Refused { path: checkpoint.file.path().to_owned(), problems });
        }
        Ok(Self { bank, classifier, opset, sizes, layout: options.layout, outputs })
    }

    /// The images in `0..=1`, `[n, 3, h, w]`, and their size.
    fn images<'g>(&self, g: &'g Graph, image: &Value) -> (Value, Images<'g>) {
        let axes = match self.layout {
            Layout::F32Nchw => [0, 2, 3],
            Layout::U8Nhwc => [0, 1, 2],
        };
        let [n, h, w] = [0, 1, 2].map(|i| match self.sizes[i] {
            Some(extent) => g.int(extent as i64),
            None => g.extent(image, axes[i]),
        });
        let x = match self.layout {
            Layout::F32Nchw => image.clone(),
            Layout::U8Nhwc => {
                let planes = g.transpose(&g.float(image), &[0, 3, 1, 2]);
                g.div(&planes, &g.number(255.0))
            }
        };
        (x, Images { g, n, h, w })
    }

    /// The enhanced images as they go out. A URIE's may leave the range.
    fn enhanced(&self, g: &Graph, y: &Value) -> Value {
        let y = if self.bank.is_some() { y.clone() } else { g.clip(y, 0.0, 1.0) };
        match self.layout {
            Layout::F32Nchw => y,
            Layout::U8Nhwc => {
                let rounded = g.floor(&g.add(&g.mul(&y, &g.number(255.0)), &g.number(0.5)));
                g.transpose(&g.cast(&rounded, data_type::UINT8), &[0, 2, 3, 1])
            }
        }
    }

    fn image_info(&self, name: &str) -> proto::ValueInfo {
        let [n, h, w] =
            [("batch", 0), ("height", 1), ("width", 2)].map(|(name, i)| dimension(self.sizes[i], name));
        let channels = dimension(Some(3), "");
        match self.layout {
            Layout::F32Nchw => info(name, data_type::FLOAT, vec![n, channels, h, w]),
            Layout::U8Nhwc => info(name, data_type::UINT8, vec![n, h, w, channels]),
        }
    }

    fn info(&self, output: Output) -> proto::ValueInfo {
        let batch = dimension(self.sizes[0], "batch");
        match output {
            Output::Enhanced => self.image_info(output.name()),
            Output::Weights | Output::Factors => {
                let slots = self.bank.as_ref().map(Bank::len);
                info(output.name(), data_type::FLOAT, vec![batch, dimension(slots, "slots")])
            }
            Output::Scores => {
                let own = self.classifier.and_then(Classifier::scores);
                let kind = own.map_or(data_type::FLOAT, |t| t.elem_type);
                let rest = own
                    .and_then(|t| t.shape.as_ref())
                    .map_or(&[][..], |s| s.dim.get(1..).unwrap_or_default());
                let rest = match rest {
                    [] => vec![dimension(None, "classes")],
                    rest => rest.to_vec(),
                };
                info(output.name(), kind, [vec![batch], rest].concat())
            }
        }
    }

    fn model(&self, checkpoint: &Checkpoint, graph: proto::Graph) -> Result<proto::Model, Error> {
        Ok(proto::Model {
            // The first version of the format that has the operator set, or a later one that runtimes of that time read.
            ir_version: match self.opset {
                ..=18 => 8,
                19 | 20 => 9,
                _ => 10,
            },
            producer_name: PRODUCER.into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            doc_string: "An image enhancer, written by dyntta export".into(),
            graph: Some(graph),
            opset_import: vec![proto::OperatorSetId { domain: String::new(), version: self.opset }],
            metadata_props: self.metadata(checkpoint)?,
            functions: Vec::new(),
        })
    }

    fn metadata(&self, checkpoint: &Checkpoint) -> Result<Vec<proto::StringEntry>, Error> {
        let mut notes = vec![
            ("dyntta_version", env!("CARGO_PKG_VERSION").to_owned()),
            ("dyntta_image", self.layout.name().to_owned()),
            ("dyntta_checkpoint_sha256", checkpoint.file.sha256()?),
        ];
        if let Some(config) = &checkpoint.config {
            notes.push(("dyntta_config", config.text()));
        }
        if let Some(bank) = &self.bank {
            notes.push(("dyntta_bank", bank.names().collect::<Vec<_>>().join(",")));
        }
        let own = self.classifier.and_then(Classifier::classes);
        let trained = checkpoint.config.as_ref().map(|config| &config.classifier.classes[..]);
        if let Some(classes) = own.or(trained).filter(|classes| !classes.is_empty()) {
            notes.push(("dyntta_classes", serde_json::Value::from(classes).to_string()));
        }
        if self.classifier.is_some() {
            // For who reads the graph as a classifier: all that its images need is inside.
            notes.push(("mean", "[0, 0, 0]".into()));
            notes.push(("std", "[1, 1, 1]".into()));
        }
        Ok(notes.into_iter().map(|(key, value)| proto::StringEntry { key: key.into(), value }).collect())
    }
}

/// The most pixels of a fixed size: what depends on the size becomes a part of the file.
const MOST_PIXELS: usize = 1 << 24;

fn dimension(fixed: Option<usize>, name: &str) -> proto::Dimension {
    match fixed {
        Some(extent) => proto::Dimension { dim_value: extent as i64, ..Default::default() },
        None => proto::Dimension { dim_param: name.to_owned(), ..Default::default() },
    }
}

fn info(name: &str, elements: i32, dim: Vec<proto::Dimension>) -> proto::ValueInfo {
    let tensor = proto::TensorType { elem_type: elements, shape: Some(proto::Shape { dim }) };
    proto::ValueInfo { name: name.to_owned(), r#type: Some(proto::Type { tensor_type: Some(tensor) }) }
}
