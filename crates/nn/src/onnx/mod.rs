//! Image classifiers from ONNX files, run on Burn's tensors so that the gradient of a loss reaches the image.
//!
//! [`Graph::load`] reads a file of operator sets 7 to 25, refuses what it doesn't support (all of it at once), computes
//! what is known beforehand, folds batch normalisation into convolutions and fuses what stands for one operation. The
//! weights are frozen: they record no gradient.
//!
//! | file | what |
//! |---|---|
//! | `proto` | the messages of the format |
//! | `tensor` | weights, in whatever way they are stored |
//! | `ir` | the graph as read |
//! | `rewrite` | folding and fusing |
//! | `plan` | running in order |
//! | `value` | what flows along the edges |
//! | `ops` | the operators: a family a file, and a line for each |

mod ir;
mod ops;
mod plan;
mod proto;
mod rewrite;
mod tensor;
mod value;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use dyntta_image::Stream;
use prost::Message;

use self::ir::Ir;
use self::plan::{Failure, Plan};
use self::value::{Float, Value};
use crate::error::{Error, Unsupported};
use crate::ops::plain::to_nhwc;

/// The operator sets that are read. The first is that of ONNX 1.2, since which tensors broadcast as numpy's do.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=25;

/// Image sizes tried in turn where the file leaves the size open.
const SIZES: [usize; 8] = [224, 32, 64, 96, 128, 256, 299, 384];

/// How the file wants its images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[n, 3, h, w]`.
    Nchw,
    /// `[n, h, w, 3]`.
    Nhwc,
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
    /// The batch size, where the file fixes one. Other batches run too; see `one_by_one`.
    pub batch: Option<usize>,
    /// The height of the images, where fixed.
    pub height: Option<usize>,
    /// The width of the images, where fixed.
    pub width: Option<usize>,
    /// The name of the output that the scores come from, the first.
    pub output: String,
    /// The number of classes.
    pub classes: usize,
    /// How many nodes of each operator the scores depend on.
    pub operators: BTreeMap<String, usize>,
    /// How many there are of each after folding and fusing; those of this crate's own start with `dyntta::`.
    pub fused: BTreeMap<String, usize>,
    /// Whether a softmax at the end was taken off: [`Graph::forward`] gives what went into it.
    pub softmax_removed: bool,
    /// Whether the file works for its own batch size only, so that others are run in parts.
    pub one_by_one: bool,
}

/// A classifier read from an ONNX file. Cloning it shares the weights.
#[derive(Clone)]
pub struct Graph(Arc<Inner>);

struct Inner {
    path: PathBuf,
    plan: Plan,
    info: Info,
    /// Where the weights are; it records no gradients.
    device: Device,
    /// The shape of each operator's first input for the file's own batch, where it fixes one.
    shapes: Option<Vec<Vec<usize>>>,
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
/// the number of the format's version) and not as a safetensors file.
pub fn is_onnx(path: &Path) -> bool {
    let named = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx"));
    let mut head = [0; 9];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut head));
    named || read.is_ok() && head[0] == 0x08 && head[8] != b'{'
}

impl Graph {
    /// Reads a classifier.
    ///
    /// The graph takes one image batch, NCHW or NHWC with three channels, and its first output has a score for each
    /// class. Weights may lie in files beside this one. A softmax at the very end is taken off.
    ///
    /// # Errors
    /// If the file is not readable or not ONNX; [`Error::Unsupported`] with every operator that is not supported; if
    /// input and output are not a classifier's; or if a trial run with the file's own sizes fails.
    pub fn load(path: &Path, device: &Device) -> Result<Self, Error> {
        Self::load_with(path, device, true)
    }

    /// As [`Graph::load`], but with every node run as the file has it: the reference for what `load` fuses.
    ///
    /// # Errors
    /// As [`Graph::load`].
    pub fn load_unfused(path: &Path, device: &Device) -> Result<Self, Error> {
        Self::load_with(path, device, false)
    }

    fn load_with(path: &Path, device: &Device, fuse: bool) -> Result<Self, Error> {
        let device = device.clone().without_autodiff();
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        let format = |expected: &str, found: String| Error::Format {
            path: path.to_owned(),
            expected: expected.to_owned(),
            found,
        };
        let model = proto::Model::decode(prost::bytes::Bytes::from(bytes))
            .map_err(|e| format("an ONNX model", format!("something else, or a part of one ({e})")))?;
        let Some(graph) = model.graph.filter(|g| !g.node.is_empty()) else {
            return Err(format("an ONNX model", "no graph".into()));
        };
        let opset = model.opset_import.iter().find(|o| matches!(o.domain.as_str(), "" | "ai.onnx"));
        let opset = opset.map_or(1, |o| o.version);
        if !OPSETS.contains(&opset) {
            let expected = format!("operator set {} to {}", OPSETS.start(), OPSETS.end());
            return Err(format(&expected, format!("operator set {opset}")));
        }
        let (input, layout, sizes) = image_input(&graph).map_err(|found| format("one image input", found))?;
        let Some(output) = graph.output.first().map(|o| o.name.clone()) else {
            return Err(format("an output", "none".into()));
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut ir = Ir::new(&graph, &input, &output, opset, folder, &device)
            .map_err(|found| format("a graph that can be run", found))?;
        // The weights were converted: what they were read from is in the way of large ones.
        drop(graph);
        let operators = ir.operators();
        rewrite::fold_constants(&mut ir, &device);
        rewrite::remove_identities(&mut ir);
        refuse_unsupported(&ir, path)?;
        let softmax_removed = rewrite::remove_softmax(&mut ir);
        if fuse {
            rewrite::fuse(&mut ir);
        }
        let fused = ir.operators();
        let plan = Plan::new(ir).map_err(|f| f.into_error(path))?;
        let [batch, height, width] = sizes;
        let info = Info {
            producer: format!("{} {}", model.producer_name, model.producer_version).trim().to_owned(),
            opset,
            metadata: model.metadata_props.into_iter().map(|e| (e.key, e.value)).collect(),
            input,
            layout,
            batch,
            height,
            width,
            output,
            classes: 0,
            operators,
            fused,
            softmax_removed,
            one_by_one: false,
        };
        let mut inner = Inner { path: path.to_owned(), plan, info, device, shapes: None };
        inner.try_out()?;
        Ok(Self(Arc::new(inner)))
    }

    /// What the file says about itself.
    pub fn info(&self) -> &Info {
        &self.0.info
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.0.info.classes
    }

    /// Whether images of this size can be classified.
    ///
    /// # Errors
    /// If the file has another size, or fails on one image of this one.
    pub fn check_size(&self, height: usize, width: usize) -> Result<(), Error> {
        self.forward(Tensor::zeros([1, 3, height, width], &self.0.device)).map(drop)
    }

    /// Images `[n, 3, h, w]`, normalised as the model wants them, to logits `[n, classes]`. Gradients flow to the
    /// images.
    ///
    /// # Errors
    /// If the images' size is not the file's, or no size that the graph takes.
    pub fn forward(&self, images: Tensor<4>) -> Result<Tensor<2>, Error> {
        self.forward_nhwc(to_nhwc(images))
    }

    /// As [`Graph::forward`], from `[n, h, w, 3]`.
    ///
    /// # Errors
    /// As [`Graph::forward`].
    pub fn forward_nhwc(&self, images: Tensor<4>) -> Result<Tensor<2>, Error> {
        let Inner { info, path, .. } = &*self.0;
        let [n, h, w, c] = images.dims();
        if n == 0 || c != 3 || info.height.is_some_and(|e| e != h) || info.width.is_some_and(|e| e != w) {
            let open = |e: Option<usize>| e.map_or("any".to_owned(), |e| e.to_string());
            return Err(Error::Format {
                path: path.clone(),
                expected: format!(
                    "images of height {}, width {}, 3 channels",
                    open(info.height),
                    open(info.width)
                ),
                found: format!("{n} of {h}x{w} with {c}"),
            });
        }
        let own = info.batch.unwrap_or(1);
        if !info.one_by_one || n == own {
            return self.0.run(images);
        }
        let parts = (0..n).step_by(own).map(|start| {
            let end = (start + own).min(n);
            let mut part = vec![images.clone().narrow(0, start, end - start)];
            // The last images stand in for those that a whole part lacks.
            part.extend((end..start + own).map(|_| images.clone().narrow(0, n - 1, 1)));
            Ok(self.0.run(Tensor::cat(part, 0))?.narrow(0, 0, end - start))
        });
        Ok(Tensor::cat(parts.collect::<Result<Vec<_>, Error>>()?, 0))
    }
}

impl Inner {
    fn value(&self, images: Tensor<4>) -> Value {
        Value::Float(match self.info.layout {
            Layout::Nchw => Float::from_nhwc(images),
            Layout::Nhwc => Float::from_tensor(images),
        })
    }

    /// Runs `[n, h, w, 3]` as one batch.
    fn run(&self, images: Tensor<4>) -> Result<Tensor<2>, Error> {
        let n = images.dims()[0];
        let batch = match (&self.shapes, self.info.batch) {
            (Some(shapes), Some(own)) if own != n => Some((own, n, &shapes[..])),
            _ => None,
        };
        let scores = self.plan.run(self.value(images), &self.device, batch);
        self.scores(scores.map_err(|f| f.into_error(&self.path))?, n)
    }

    /// The output as `[n, classes]`.
    fn scores(&self, output: Value, n: usize) -> Result<Tensor<2>, Error> {
        let shape = output.shape();
        match (output, &shape[..]) {
            (Value::Float(x), [images, classes, rest @ ..])
                if *images == n && *classes > 0 && rest.iter().all(|&d| d == 1) =>
            {
                Ok(x.row_major().reshape([n, *classes]))
            }
            (Value::Float(_), _) => Err(self.format(
                format!("scores [{n}, classes] as the first output, `{}`", self.info.output),
                format!("a tensor of shape {shape:?}"),
            )),
            (Value::Int(_), _) => Err(self.format(
                format!("scores as the first output, `{}`", self.info.output),
                "integers, which have no gradient".into(),
            )),
        }
    }

    fn format(&self, expected: String, found: String) -> Error {
        Error::Format { path: self.path.clone(), expected, found }
    }

    /// Runs the graph with its own sizes, which finds what doesn't fit, and tells how it takes other batches: two images
    /// together have to give what each gives by itself.
    fn try_out(&mut self) -> Result<(), Error> {
        let own = self.info.batch.unwrap_or(1);
        let sizes: Vec<[usize; 2]> = match (self.info.height, self.info.width) {
            (None, None) => SIZES.iter().map(|&s| [s, s]).collect(),
            (h, w) => vec![[h.or(w).unwrap_or(1), w.or(h).unwrap_or(1)]],
        };
        let image = |label: &str, [h, w]: [usize; 2]| {
            let mut stream = Stream::new(0, &["onnx", "trial", label]);
            let values = (0..own * h * w * 3).map(|_| stream.normal_f32()).collect::<Vec<_>>();
            Tensor::<4>::from_data(TensorData::new(values, [own, h, w, 3]), &self.device)
        };
        let mut failure = None;
        for size in sizes {
            let [h, w] = size;
            value::count(&[2, own, h, w, 3]).map_err(|found| self.format("images".into(), found))?;
            let first = image("a", size);
            let (output, shapes) = match self.plan.first_inputs(self.value(first.clone()), &self.device) {
                Ok(done) => done,
                Err(f) => {
                    failure.get_or_insert(f);
                    continue;
                }
            };
            let alone = self.scores(output, own)?;
            let second = image("b", size);
            let classes = alone.dims()[1];
            let apart = Tensor::cat(vec![alone, self.run(second.clone())?], 0);
            self.info.classes = classes;
            self.shapes = self.info.batch.map(|_| shapes);
            let together = self.run(Tensor::cat(vec![first, second], 0));
            self.info.one_by_one = !together.is_ok_and(|t| agree(t, apart));
            return Ok(());
        }
        Err(failure.expect("at least one size is tried").into_error(&self.path))
    }
}

/// Whether two results are one but for rounding.
fn agree(a: Tensor<2>, b: Tensor<2>) -> bool {
    let [a, b] = [a, b].map(|x| x.into_data().try_to_vec::<f32>().expect("scores are f32"));
    let scale = b.iter().fold(1.0f32, |m, v| m.max(v.abs()));
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-3 * scale)
}

impl Failure {
    fn into_error(self, path: &Path) -> Error {
        let Self { node, operator, message } = self;
        Error::Onnx { path: path.to_owned(), node, operator, message }
    }
}

/// The input that is no weight: its name, its layout, and batch size, height and width where they are fixed.
fn image_input(graph: &proto::Graph) -> Result<(String, Layout, [Option<usize>; 3]), String> {
    let weights: std::collections::HashSet<&str> =
        graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let inputs: Vec<_> = graph.input.iter().filter(|i| !weights.contains(i.name.as_str())).collect();
    let [input] = inputs[..] else {
        let names: Vec<_> = inputs.iter().map(|i| i.name.as_str()).collect();
        return Err(format!("{} inputs: {}", names.len(), names.join(", ")));
    };
    let name = input.name.clone();
    let Some(kind) = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()) else {
        return Err(format!("`{name}`, which is no tensor"));
    };
    let is_float = tensor::DataType::new(kind.elem_type.into()).is_ok_and(tensor::DataType::is_float);
    if !is_float {
        return Err(format!("`{name}`, whose elements are not floats (type {})", kind.elem_type));
    }
    let Some(shape) = &kind.shape else { return Ok((name, Layout::Nchw, [None; 3])) };
    let fixed: Vec<_> =
        shape.dim.iter().map(|d| usize::try_from(d.dim_value).ok().filter(|&v| v > 0)).collect();
    let described = || {
        let extent = |d: &proto::Dimension| match d.dim_value {
            v if v > 0 => v.to_string(),
            _ if d.dim_param.is_empty() => "?".into(),
            _ => d.dim_param.clone(),
        };
        format!("`{name}` of shape [{}]", shape.dim.iter().map(extent).collect::<Vec<_>>().join(", "))
    };
    match fixed[..] {
        [n, None | Some(3), h, w] if fixed[1].is_some() || fixed[3] != Some(3) => {
            Ok((name, Layout::Nchw, [n, h, w]))
        }
        [n, h, w, Some(3)] => Ok((name, Layout::Nhwc, [n, h, w])),
        [_, _, _, _] => Err(format!("{}: images have three channels", described())),
        _ => Err(format!("{}: images are of rank 4", described())),
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
