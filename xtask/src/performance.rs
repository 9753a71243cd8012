//! The page of measurements, written by the command that takes them.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::USAGE;

/// What is measured: words for the page, and the arguments of `dyntta bench`; the peer's, where it has the same.
struct Case {
    name: &'static str,
    ours: &'static [&'static str],
    peer: Option<&'static [&'static str]>,
}

const CASES: [Case; 7] = [
    Case {
        name: "enhance, 224×224, batch 1",
        ours: &["forward", "--size", "224", "--batch", "1", "--runs", "15"],
        peer: Some(&["bench", "--size", "224", "--batch", "1", "--runs", "7"]),
    },
    Case {
        name: "enhance, 224×224, batch 8",
        ours: &["forward", "--size", "224", "--batch", "8"],
        peer: Some(&["bench", "--size", "224", "--batch", "8", "--runs", "5"]),
    },
    Case {
        name: "enhance, 32×32, batch 64",
        ours: &["forward", "--size", "32", "--batch", "64", "--runs", "15"],
        peer: Some(&["bench", "--size", "32", "--batch", "64", "--runs", "7"]),
    },
    Case {
        name: "training step, 224×224, batch 8, ResNet-50",
        ours: &["step", "--size", "224", "--batch", "8", "--runs", "3"],
        peer: Some(&["step", "--size", "224", "--batch", "8", "--runs", "2"]),
    },
    Case {
        name: "training step, 32×32, batch 64, CIFAR ResNet-20",
        ours: &["step", "--size", "32", "--batch", "64", "--runs", "9"],
        peer: Some(&["step", "--size", "32", "--batch", "64", "--runs", "7"]),
    },
    Case {
        name: "enhance, 1920×1080, control view 224",
        ours: &["forward", "--size", "1920x1080", "--control-size", "224", "--runs", "3"],
        peer: None,
    },
    Case {
        name: "enhance, 4000×3000, control view 224",
        ours: &["forward", "--size", "4000x3000", "--control-size", "224", "--runs", "1"],
        peer: None,
    },
];

/// The convolutions of the roofline: the words that the kernels' benchmark knows them by.
const LAYERS: [&str; 4] = ["224/9x9 3-32", "224/3x3 64-16", "224/3x3 128-32", "224/3x3 64-64"];

pub fn run(mut args: impl Iterator<Item = String>) -> Result<()> {
    let (mut peer, mut rounds, mut out) = (None, 3, PathBuf::from("docs/performance.md"));
    while let Some(flag) = args.next() {
        let value = args.next().with_context(|| format!("{flag} wants a value\n\n{USAGE}"))?;
        match flag.as_str() {
            "--peer" => peer = Some(value),
            "--rounds" => rounds = value.parse().ok().filter(|n| *n > 0).context("--rounds is at least 1")?,
            "--out" => out = value.into(),
            _ => bail!("unknown flag {flag}\n\n{USAGE}"),
        }
    }
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    // With a test target among them the dependencies are those of the tests, compiled already.
    let build = ["build", "--release", "--workspace", "--bin", "dyntta", "--test", "conv"];
    text(Command::new(&cargo).args(build))?;
    let binary = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into()) + "/release/dyntta";

    let mut rows = String::new();
    let mut parts = String::new();
    for case in &CASES {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            eprintln!("{} ({}/{rounds})", case.name, round + 1);
            ours.push(json(Command::new(&binary).arg("bench").args(case.ours).args([
                "--threads",
                "2",
                "--json",
            ]))?);
            if let (Some(peer), Some(args)) = (&peer, case.peer) {
                let mut words = peer.split_whitespace();
                let program = words.next().context("--peer is empty")?;
                theirs.push(json(Command::new(program).args(words).args(args))?);
            }
        }
        let our = middle(&ours, "ms_per_image")?;
        let peak = most(&ours, "peak_mib")?;
        let _ = match theirs.is_empty() {
            true => writeln!(rows, "| {} | {our:.2} | {peak:.0} | – | – | – |", case.name),
            false => {
                let (their, their_peak) = (middle(&theirs, "ms_per_image")?, most(&theirs, "peak_mib")?);
                let times = their / our;
                writeln!(
                    rows,
                    "| {} | {our:.2} | {peak:.0} | {their:.2} | {their_peak:.0} | {times:.2}× |",
                    case.name
                )
            }
        };
        let named: Vec<String> = ours[0]["parts"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| {
                let of_part: Vec<Value> = ours.iter().map(|run| run["parts"].clone()).collect();
                Ok(format!("{name} {:.2}", middle(&of_part, name)?))
            })
            .collect::<Result<_>>()?;
        let _ = writeln!(parts, "| {} | {} |", case.name, named.join(", "));
    }

    eprintln!("convolutions");
    let bench = ["bench", "-p", "dyntta-kernels", "--bench", "conv", "--", "--table", "224/"];
    let table = text(Command::new(&cargo).args(bench).env("RAYON_NUM_THREADS", "2"))?;
    let mut lines = table.lines();
    let peak = lines.find(|l| l.contains("peak")).context("no peak in the kernels' table")?.to_owned();
    let names = lines.next().unwrap_or_default();
    let layers = table.lines().filter(|l| LAYERS.iter().any(|name| l.starts_with(name)));
    let layers: Vec<&str> = std::iter::once(names).chain(layers).collect();

    let page = format!(
        "# Performance\n\nWritten by `cargo run -p xtask -- performance`{}; do not edit. {}; 2 threads. Every figure is the \
         median over {rounds} rounds of a run's own median{}; memory is the most a process ever held (peak RSS).\n\n\
         | what | ms an image | MiB | peer, ms | peer, MiB | speed |\n|---|---|---|---|---|---|\n{rows}\n\
         ## By part\nMilliseconds an image.\n\n| what | parts |\n|---|---|\n{parts}\n\
         ## Convolutions against the roofline\nThe peak is what the same threads reach with multiply-adds in registers, \
         measured in the same run (`cargo bench -p dyntta-kernels --bench conv -- --table`). For each pass: milliseconds, GFLOP/s, \
         share of the peak, GB/s of the tensors alone. Operations are those of the direct convolution; minimal filtering takes \
         fewer, so its layers may show more than the peak.\n\n```text\n{peak}\n{}\n```\n",
        if peer.is_some() { " with `--peer`" } else { "" },
        processor(),
        if peer.is_some() { ", alternating with the peer, the same method in plain PyTorch" } else { "" },
        layers.join("\n"),
    );
    let temporary = out.with_extension("md.tmp");
    std::fs::write(&temporary, page).with_context(|| format!("cannot write {}", temporary.display()))?;
    std::fs::rename(&temporary, &out).with_context(|| format!("cannot write {}", out.display()))?;
    eprintln!("{} written", out.display());
    Ok(())
}

/// What a command prints.
fn text(command: &mut Command) -> Result<String> {
    let output = command.stderr(std::process::Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn json(command: &mut Command) -> Result<Value> {
    let text = text(command)?;
    serde_json::from_str(&text).with_context(|| format!("{command:?} printed no JSON: {text}"))
}

fn values(runs: &[Value], key: &str) -> Result<Vec<f64>> {
    runs.iter().map(|run| run[key].as_f64().with_context(|| format!("no {key} in {run}"))).collect()
}

fn middle(runs: &[Value], key: &str) -> Result<f64> {
    let mut values = values(runs, key)?;
    values.sort_by(f64::total_cmp);
    Ok(values[values.len() / 2])
}

fn most(runs: &[Value], key: &str) -> Result<f64> {
    Ok(values(runs, key)?.into_iter().fold(0.0, f64::max))
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        text.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':').map(|(_, m)| m.trim()));
    model.unwrap_or("Processor unknown").to_owned()
}
