//! `dyntta classifier info`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use burn::tensor::Device;
use dyntta_data::preprocessing::{Given, Sources};
use dyntta_files::{shown, shown_text};
use dyntta_nn::onnx::{Info, Layout};
use dyntta_nn::{Arch, weights};
use dyntta_train::{InputOptions, load_classifier, metadata, usual, usual_name, usual_preset};
use serde_json::{Value, json};

use crate::claims;
use crate::message::line;
use crate::out::{say, write};

#[derive(clap::Args)]
pub struct Args {
    /// The classifier: .pth, .pt, .th, .safetensors or .onnx
    #[arg(value_name = "W")]
    classifier: PathBuf,
    /// The classifier's architecture, such as cifar-resnet20 or vit_b_16 [default: told by the weights' keys]
    #[arg(long)]
    arch: Option<String>,
    /// Report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    input: InputOptions,
}

pub fn run(args: &Args) -> Result<()> {
    let path = &dyntta_nn::classifier_file(&args.classifier)?;
    let arch = args.arch.as_deref().map(str::parse::<Arch>).transpose()?;
    let resolve = |arch: Arch, metadata: BTreeMap<String, String>| {
        let preset = usual_preset(arch);
        let sources = Sources {
            flags: args.input.given(),
            file: args.input.preprocessing.as_deref(),
            weights: path,
            metadata,
            trained: Given::default(),
            default: usual(preset, Some(arch)),
            default_name: &usual_name(preset, Some(arch)),
        };
        sources.resolve()
    };
    let options = args.input.reading.options();
    let classifier = load_classifier(path, arch, options, &Device::flex(), |arch, metadata| {
        Ok::<_, anyhow::Error>(resolve(arch, metadata)?.0)
    })?;
    let (arch, classes) = (classifier.arch(), classifier.classes());
    let (input, from) = resolve(arch, metadata(classifier.graph()))?;
    let size = classifier.check_size(input.fit.size.height, input.fit.size.width);
    let graph = classifier.graph().map(|graph| graph.info());
    let parameters = match graph {
        Some(_) => None,
        None => classifier
            .network()
            .map(|net| weights::state_dict(net).values().map(|entry| entry.data.len()).sum::<usize>()),
    };
    if args.json {
        let out = json!({
            "version": 1,
            "arch": arch.to_string(),
            "classes": classes,
            "parameters": parameters,
            "notes": classifier.notes(),
            "preprocessing": input,
            "preprocessing_from": from,
            "fits": size.as_ref().map_or_else(|e| json!(e.to_string()), |()| Value::Bool(true)),
            "onnx": graph.map(graph_json),
        });
        write(format_args!("{}", claims::result("classifier info", &out)));
        return Ok(());
    }
    say!("{}", shown(path));
    say!("  {arch}, {classes} classes");
    if let Some(parameters) = parameters {
        say!("  {parameters} numbers");
    }
    match graph {
        Some(info) => print_graph(info),
        None => classifier.notes().iter().for_each(|note| say!("  {}", line(note))),
    }
    say!("  preprocessing {}; from {}", line(&input.describe()), line(&from));
    if let Err(error) = size {
        say!("  which does not fit: {}; see --input-size", line(&error.to_string()));
    }
    Ok(())
}

fn layout(info: &Info) -> &'static str {
    match info.layout {
        Layout::Nchw => "NCHW",
        Layout::Nhwc => "NHWC",
    }
}

fn graph_json(info: &Info) -> Value {
    json!({
        "producer": info.producer,
        "opset": info.opset,
        "input": info.input,
        "layout": layout(info),
        "channels": info.channels,
        "bytes": info.bytes,
        "batch": info.batch,
        "height": info.height,
        "width": info.width,
        "output": info.output,
        "outputs": info.outputs,
        "scores": info.scores.name(),
        "operators": info.operators,
        "run_as": info.fused,
        "softmax_removed": info.softmax_removed,
        "one_by_one": info.one_by_one,
        "notes": info.notes,
        "metadata": info.metadata,
    })
}

fn print_graph(info: &Info) {
    let any = |n: Option<usize>| n.map_or("any".to_owned(), |n| n.to_string());
    let Info { producer, opset, input, output, .. } = info;
    say!("  ONNX, operator set {opset}, written by {}", shown_text(producer));
    say!(
        "  input `{}`: {}, batch {}, height {}, width {}; output `{}`",
        shown_text(input),
        layout(info),
        any(info.batch),
        any(info.height),
        any(info.width),
        shown_text(output)
    );
    let list = |counts: &std::collections::BTreeMap<String, usize>| {
        counts.iter().map(|(name, n)| format!("{} {n}", shown_text(name))).collect::<Vec<_>>().join(", ")
    };
    say!("  operators {}", list(&info.operators));
    say!("  run as {}", list(&info.fused));
    if info.softmax_removed {
        say!("  the softmax at its end is taken off: training wants what goes into it");
    }
    for note in &info.notes {
        say!("  {}", line(note));
    }
    if info.one_by_one {
        say!("  it works for its own batch size only: larger batches run in parts");
    }
}
