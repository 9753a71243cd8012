//! Fuzzing on the stable toolchain: one process a target, so that what ends one process ends no other, and its memory is its own.

mod worker;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use dyntta_fuzzing::{TARGETS, target};
use serde_json::Value;

use crate::arguments::{each, seed_of_the_time, value};

/// The most memory that a reader may take for one input, in bytes.
pub const MEMORY: usize = 2 << 30;
/// The most processor time that one input may take.
pub const TIME: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
struct Options {
    target: Option<String>,
    input: Option<PathBuf>,
    seconds: f64,
    count: Option<u64>,
    seed: Option<u64>,
    jobs: usize,
    faults: PathBuf,
    /// Set in the process that does one target's work: what to skip and where to say which input it is at.
    worker: Option<u64>,
}

/// What a target's work came to.
#[derive(Default)]
struct Sum {
    inputs: u64,
    seconds: f64,
    /// Files and what is wrong with each.
    faults: Vec<(PathBuf, String)>,
    most_memory: u64,
    slowest: f64,
    outcomes: u64,
}

pub fn run(args: impl Iterator<Item = String>) -> Result<()> {
    let mut options = Options {
        target: None,
        input: None,
        seconds: 60.0,
        count: None,
        seed: None,
        jobs: 2,
        faults: "target/fuzz-faults".into(),
        worker: None,
    };
    each(args, |flag, text| {
        match flag {
            "--target" => options.target = Some(text.into()),
            "--input" => options.input = Some(text.into()),
            "--seconds" => options.seconds = value(flag, text)?,
            "--count" => options.count = Some(value(flag, text)?),
            "--seed" => options.seed = Some(value(flag, text)?),
            "--jobs" => options.jobs = value(flag, text)?,
            "--faults" => options.faults = text.into(),
            "--worker" => options.worker = Some(value(flag, text)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if let Some(name) = &options.target
        && target(name).is_none()
    {
        let known: Vec<_> = TARGETS.iter().map(|t| t.name).collect();
        bail!("--target: expected one of {}, found {name}", known.join(", "));
    }
    let seed = options.seed.unwrap_or_else(seed_of_the_time);
    match (&options.target, &options.input, options.worker) {
        (Some(name), Some(input), _) => worker::reproduce(name, input),
        (Some(name), None, Some(first)) => worker::work(
            name,
            &worker::Plan {
                seed,
                first,
                count: options.count,
                seconds: options.seconds,
                faults: options.faults.clone(),
            },
        ),
        (_, None, None) => all(&options, seed),
        _ => bail!("{}", crate::USAGE),
    }
}

fn all(options: &Options, seed: u64) -> Result<()> {
    std::fs::create_dir_all(&options.faults)
        .with_context(|| format!("cannot make {}", options.faults.display()))?;
    println!("seed {seed}");
    let wanted = |name: &&str| options.target.as_deref().is_none_or(|only| only == *name);
    let waiting: Mutex<VecDeque<&str>> = Mutex::new(TARGETS.iter().map(|t| t.name).filter(wanted).collect());
    let done: Mutex<Vec<(&str, Sum)>> = Mutex::default();
    let failure: Mutex<Option<anyhow::Error>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                while let Some(name) = { waiting.lock().expect("no panic").pop_front() } {
                    match one(name, options, seed) {
                        Ok(sum) => {
                            print(name, &sum);
                            done.lock().expect("no panic").push((name, sum));
                        }
                        Err(error) => *failure.lock().expect("no panic") = Some(error),
                    }
                }
            });
        }
    });
    if let Some(error) = failure.into_inner().expect("no panic") {
        return Err(error);
    }
    let done = done.into_inner().expect("no panic");
    let inputs: u64 = done.iter().map(|(_, sum)| sum.inputs).sum();
    let faults: usize = done.iter().map(|(_, sum)| sum.faults.len()).sum();
    println!("{inputs} inputs to {} targets, seed {seed}: {faults} kinds of faults", done.len());
    for (name, sum) in &done {
        for (file, fault) in &sum.faults {
            println!("\n{name}: {fault}");
            println!("  cargo run --release -p xtask -- fuzz --target {name} --input {}", file.display());
        }
    }
    if faults > 0 {
        bail!("{faults} kinds of faults");
    }
    Ok(())
}

fn print(name: &str, sum: &Sum) {
    println!(
        "{name:>13}: {:>9} inputs in {:>4.0} s, {:>4} outcomes; at most {:>5} MiB and {:.2} s for one; {} kinds of faults",
        sum.inputs,
        sum.seconds,
        sum.outcomes,
        sum.most_memory >> 20,
        sum.slowest,
        sum.faults.len()
    );
}

/// A target's work, in processes of its own: a new one goes on after an input that ended the last.
fn one(name: &str, options: &Options, seed: u64) -> Result<Sum> {
    let mut sum = Sum::default();
    let started = Instant::now();
    let folder = tempfile::tempdir()?;
    let current = folder.path().join("current");
    loop {
        let left = options.seconds - started.elapsed().as_secs_f64();
        if options.count.is_some_and(|count| sum.inputs >= count) || options.count.is_none() && left <= 0.0 {
            break;
        }
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["fuzz", "--target", name, "--seed", &seed.to_string()]);
        command.args(["--worker", &sum.inputs.to_string(), "--seconds", &left.to_string()]);
        if let Some(count) = options.count {
            command.args(["--count", &count.to_string()]);
        }
        command.arg("--faults").arg(&options.faults);
        command.env("DYNTTA_FUZZ_CURRENT", &current).env("RAYON_NUM_THREADS", "1").env("RUST_BACKTRACE", "0");
        let output = command.stdin(Stdio::null()).stderr(Stdio::piped()).output()?;
        let report = String::from_utf8_lossy(&output.stdout);
        if let Some(report) = report.lines().last().filter(|_| output.status.success()) {
            add(&mut sum, &serde_json::from_str(report).context("the worker's report")?);
            break;
        }
        // It ended in the middle of an input, which it had written down.
        let (input, at) = worker::current(&current)
            .with_context(|| format!("{name}: {}", String::from_utf8_lossy(&output.stderr)))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let fault = format!("the process ended: {} {said}", output.status);
        let file = worker::keep(&options.faults, name, &input)?;
        if !sum.faults.iter().any(|(_, known)| *known == fault) {
            sum.faults.push((file, fault));
        }
        sum.inputs = at + 1;
    }
    sum.seconds = started.elapsed().as_secs_f64();
    Ok(sum)
}

fn add(sum: &mut Sum, report: &Value) {
    let number = |key: &str| report[key].as_u64().unwrap_or_default();
    sum.inputs = number("next");
    sum.most_memory = sum.most_memory.max(number("most_memory"));
    sum.slowest = sum.slowest.max(report["slowest"].as_f64().unwrap_or_default());
    sum.outcomes = number("outcomes");
    for fault in report["faults"].as_array().into_iter().flatten() {
        let text = |key: &str| fault[key].as_str().unwrap_or_default().to_owned();
        sum.faults.push((text("file").into(), format!("{} times: {}", fault["times"], text("what"))));
    }
}

/// Seeds and dictionaries as files.
pub fn seeds(mut args: impl Iterator<Item = String>) -> Result<()> {
    let folder = PathBuf::from(args.next().context(crate::USAGE)?);
    for target in TARGETS {
        let corpus = folder.join("corpus").join(target.name);
        std::fs::create_dir_all(&corpus)?;
        for (i, seed) in (target.seeds)().iter().enumerate() {
            std::fs::write(corpus.join(format!("seed-{i}")), seed)?;
        }
        let lines: Vec<String> =
            target.dictionary.iter().filter(|t| !t.is_empty()).map(|t| line(t)).collect();
        std::fs::write(dictionary(&folder, target.name), lines.join("\n") + "\n")?;
    }
    println!("seeds and dictionaries of {} targets in {}", TARGETS.len(), folder.display());
    Ok(())
}

fn dictionary(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.dict"))
}

/// A line of a dictionary as libFuzzer reads it.
fn line(token: &[u8]) -> String {
    let escaped: String = token
        .iter()
        .map(|b| match b {
            b'"' | b'\\' => format!("\\{}", *b as char),
            b' '..=b'~' => char::from(*b).to_string(),
            b => format!("\\x{b:02x}"),
        })
        .collect();
    format!("\"{escaped}\"")
}
