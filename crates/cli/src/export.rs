//! `dyntta export`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use dyntta_data::preprocessing::Sources;
use dyntta_export::{
    Classifier, ClassifierOptions, Exported, Layout, Look, OPSETS, Options, Output, check, export, image,
    is_ours, npz, sample,
};
use dyntta_files::{Limits, shown, write_atomic};
use dyntta_model::Checkpoint;
use dyntta_nn::{About, Arch, ClassifierFile, onnx};
use dyntta_train::{Stop, class_names, normalisation, usual, usual_name};

use crate::bounds;
use crate::claims::{Claims, Overwrite};
use crate::eval;
use crate::out::say;

#[derive(clap::Args)]
pub struct Args {
    /// A run's folder or a weight file
    #[arg(long, value_name = "RUN|FILE")]
    enhancer: PathBuf,
    /// The ONNX file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Put this ONNX classifier behind the enhancer, with its normalisation: images in, scores out
    #[arg(long, value_name = "W")]
    classifier: Option<PathBuf>,
    /// What the graph gives, separated by commas: enhanced, weights, factors, scores [default: scores, or enhanced without a
    /// classifier]
    #[arg(long, value_name = "O", value_delimiter = ',')]
    outputs: Vec<Output>,
    /// How images come in and enhanced ones go out: f32-nchw in 0..1, or u8-nhwc
    #[arg(long = "input", value_name = "LAYOUT", default_value = "f32-nchw", value_parser = layout())]
    feed: Layout,
    /// One size of all images, for runtimes that want it; the batch stays free [default: any size]
    #[arg(long, value_name = "HxW", value_parser = size)]
    size: Option<[usize; 2]>,
    /// The operator set, 17 to 25 [default: the classifier's, or 18]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(OPSETS))]
    opset: Option<i64>,
    /// Keep the networks' weights in half precision: half the file, and results that differ a little
    #[arg(long)]
    fp16_weights: bool,
    /// Also write an input and what is to come out of it, for checking a runtime: the output's name with .npz
    #[arg(long)]
    sample: bool,
    /// Side of the view that the control network looks at; 0 for the image itself [default: the size it was trained at]
    #[arg(long, value_name = "S", value_parser = bounds::view_or_image())]
    control_size: Option<usize>,
    /// JSON file to read the classifier's preprocessing from instead of one beside its weights
    #[arg(long, value_name = "FILE", requires = "classifier")]
    preprocessing: Option<PathBuf>,
    /// The classifier's output with the scores [default: the one of two axes]
    #[arg(long, value_name = "NAME", requires = "classifier")]
    output: Option<String>,
    #[command(flatten)]
    overwrite: Overwrite,
}

fn layout() -> impl TypedValueParser<Value = Layout> {
    let find =
        |name: String| Layout::ALL.into_iter().find(|layout| layout.name() == name).unwrap_or_default();
    PossibleValuesParser::new(Layout::ALL.map(Layout::name)).map(find)
}

fn size(text: &str) -> Result<[usize; 2], String> {
    let sides = text.split_once('x').map(|(h, w)| [h.parse(), w.parse()]);
    match sides {
        Some([Ok(h), Ok(w)]) if h > 0 && w > 0 => Ok([h, w]),
        _ => Err("expected a height and a width from 1 up, such as 224x224".into()),
    }
}

/// A file's size, in words.
fn megabytes(bytes: usize) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

pub fn run(args: &Args, mut claims: Claims, stop: &Stop) -> Result<()> {
    let beside = args.out.with_extension("npz");
    claims.file("--out", &args.out, is_ours);
    if args.sample {
        claims.file("--sample", &beside, |head| {
            head.starts_with(b"PK") && head.get(30..39) == Some(b"image.npy")
        });
    }
    claims.check()?;
    let checkpoint = Checkpoint::open(&args.enhancer, &Limits::DEFAULT)?;
    let mut enhancer = dyntta_runtime::Enhancer::of(&checkpoint)?;
    let look = match args.control_size {
        None => Look::Trained,
        Some(side) => {
            enhancer = enhancer.with_control_size((side > 0).then_some(side))?;
            if side > 0 { Look::Square(side) } else { Look::Image }
        }
    };
    stop.check()?;
    let classifier = args.classifier.as_deref().map(|path| open(args, &checkpoint, path)).transpose()?;
    let options = Options {
        opset: args.opset,
        size: args.size,
        layout: args.feed,
        outputs: args.outputs.clone(),
        fp16_weights: args.fp16_weights,
        look,
    };
    let exported = export(&checkpoint, classifier.as_ref(), &options)?;
    // The reference knows the enhancer's operators alone.
    let [_, h, w] = classifier.as_ref().map_or([None; 3], Classifier::sizes);
    let fixed = options.size.or(h.zip(w).map(|(h, w)| [h, w]));
    stop.check()?;
    let alone = Options { opset: None, size: fixed, outputs: vec![Output::Enhanced], ..options.clone() };
    let agreement = agreement(&export(&checkpoint, None, &alone)?, &enhancer, &alone)?;
    stop.check()?;
    let bytes = exported.bytes();
    write_atomic(&args.out, &bytes)?;
    describe(args, &exported, bytes.len());
    say!("  {agreement}");
    if args.sample {
        let [h, w] = fixed.unwrap_or([60, 83]);
        let n = classifier.as_ref().and_then(|c| c.sizes()[0]).unwrap_or(2);
        let wanted = [Output::Enhanced, Output::Weights, Output::Factors];
        let wanted: Vec<Output> = wanted
            .into_iter()
            .filter(|output| *output == Output::Enhanced || enhancer.bank().is_some())
            .collect();
        let arrays = sample(&enhancer, image(args.feed, [n, h, w]), &wanted);
        let bytes = npz(&arrays).map_err(dyntta_files::Error::io(&beside, "write"))?;
        write_atomic(&beside, &bytes)?;
        let names: Vec<&str> = arrays.iter().map(|(name, _)| name.as_str()).collect();
        say!("{}: {}", shown(&beside), names.join(", "));
    }
    Ok(())
}

/// The classifier with what it is fed.
fn open(args: &Args, checkpoint: &Checkpoint, path: &Path) -> Result<Classifier> {
    let file = ClassifierFile::open(path, None, &onnx::Options::default())?;
    let About { path, arch, metadata } = file.about().clone();
    let Some(model) = file.into_graph() else {
        let found = arch.map_or("other weights".to_owned(), |arch| format!("weights of {arch}"));
        bail!(
            "{}: expected a classifier as an ONNX file, found {found}, which cannot be put into a graph yet; write it as \
             ONNX where it was trained (torch.onnx.export), or export the enhancer alone",
            shown(&path)
        );
    };
    let config = checkpoint.config.as_ref();
    let preset = eval::preset(None, config, Arch::Onnx)?;
    let sources = Sources {
        flags: Default::default(),
        file: args.preprocessing.as_deref(),
        weights: &path,
        metadata,
        trained: eval::trained(config, &shown(&args.enhancer).to_string())?,
        default: usual(preset, Some(Arch::Onnx)),
        default_name: &usual_name(preset, Some(Arch::Onnx)),
    };
    let (fed, from) = sources.resolve()?;
    let trained_for = config.map(|c| c.classifier.classes.as_slice());
    let classes = class_names(fed.classes.as_deref(), trained_for)?;
    say!("classifier {}: {}; from {from}", shown(&path), fed.describe());
    let options =
        ClassifierOptions { normalisation: normalisation(&fed), output: args.output.clone(), classes };
    let (graph, opset, beside) = model.into_parts();
    Ok(Classifier::of(&path, (graph, opset), &beside, options, &Limits::DEFAULT)?)
}

/// The most pixels of a fixed size at which the plain operators try a graph: some seconds.
const MOST_TRIED: usize = 256 * 256;

/// The enhancer's graph against the runtime, in words.
fn agreement(exported: &Exported, enhancer: &dyntta_runtime::Enhancer, options: &Options) -> Result<String> {
    let [h, w] = options.size.unwrap_or([24, 37]);
    if h.saturating_mul(w) > MOST_TRIED {
        return Ok("not tried out: the images are too large for that".into());
    }
    let found = check(exported, enhancer, options.layout, [1, h, w])?;
    // Half-precision weights are another network.
    let wrong = !found.largest.is_finite() || !options.fp16_weights && found.levels > 1;
    if wrong {
        bail!("the graph gives something else than the runtime: {found:?}; nothing was written");
    }
    Ok(format!(
        "tried out on an image of {h}x{w}: at most {:.1e} from the runtime; of the 8-bit values {:.2} % differ, by {} at most",
        found.largest,
        100.0 * found.differing,
        found.levels
    ))
}

fn describe(args: &Args, exported: &Exported, bytes: usize) {
    let opset = exported.model.opset_import.first().map_or(0, |o| o.version);
    say!("{}: {} nodes, {}, operator set {opset}", shown(&args.out), exported.nodes(), megabytes(bytes));
    let Some(graph) = &exported.model.graph else { return };
    for (what, infos) in [("input", &graph.input), ("output", &graph.output)] {
        for info in infos {
            let shape = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()?.shape.as_ref());
            let extent = |d: &dyntta_export::Dimension| match d.dim_value {
                1.. => d.dim_value.to_string(),
                _ => d.dim_param.clone(),
            };
            let extents: Vec<String> = shape.iter().flat_map(|s| &s.dim).map(extent).collect();
            say!("  {what} `{}` [{}]", info.name, extents.join(", "));
        }
    }
}
