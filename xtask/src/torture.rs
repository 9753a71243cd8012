//! Kills jobs at random moments and holds what they make in the end against an uninterrupted run's, byte for byte.

mod jobs;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use dyntta_image::Stream;
use serde_json::Value;

use crate::arguments::{each, seed_of_the_time, value};
use crate::process::{self, tree};

use jobs::{JOBS, Job};

/// A run is left to end after so many kills.
const KILLS: u64 = 5;
/// How long a run may take to stop when it is asked to.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the kills of a kind of job came to.
#[derive(Default)]
struct Sum {
    kills: u64,
    /// Of these, while there was a state to go on from.
    with_state: u64,
    runs: u64,
    slowest_stop: Duration,
    faults: Vec<String>,
}

pub fn run(args: impl Iterator<Item = String>) -> Result<()> {
    let (mut dyntta, mut seed) = (PathBuf::from("target/release/dyntta"), None);
    let mut wanted: BTreeMap<&str, u64> = BTreeMap::new();
    let mut folder = None;
    each(args, |flag, text| {
        match flag {
            "--dyntta" => dyntta = text.into(),
            "--seed" => seed = Some(value(flag, text)?),
            "--folder" => folder = Some(PathBuf::from(text)),
            _ => {
                let Some(name) = ["train", "corrupt", "estimate", "experiment"]
                    .into_iter()
                    .find(|name| flag.strip_prefix("--") == Some(name))
                else {
                    return Ok(false);
                };
                wanted.insert(name, value(flag, text)?);
            }
        }
        Ok(true)
    })?;
    if wanted.is_empty() {
        bail!("{}", crate::USAGE);
    }
    let seed = seed.unwrap_or_else(seed_of_the_time);
    println!("seed {seed}");
    let dyntta = process::binary(&dyntta)?;
    let temporary = tempfile::tempdir()?;
    let folder = folder.unwrap_or_else(|| temporary.path().to_owned());
    jobs::prepare(&dyntta, &folder)?;
    let mut faults = Vec::new();
    for (command, kills) in wanted {
        let jobs: Vec<&Job> = JOBS.iter().filter(|job| job.command == command).collect();
        let mut sum = Sum::default();
        let started = Instant::now();
        for (i, job) in jobs.iter().enumerate() {
            // Shared among the variants of a command.
            let share = kills * (i as u64 + 1) / jobs.len() as u64 - kills * i as u64 / jobs.len() as u64;
            torture(&dyntta, &folder, job, share, seed, &mut sum)?;
        }
        println!(
            "{command}: {} kills ({} with a state) in {} runs, {:.0} s; slowest stop {:.1} s; {} faults",
            sum.kills,
            sum.with_state,
            sum.runs,
            started.elapsed().as_secs_f64(),
            sum.slowest_stop.as_secs_f64(),
            sum.faults.len()
        );
        faults.extend(sum.faults);
    }
    if !faults.is_empty() {
        bail!("{} faults, seed {seed}:\n{}", faults.len(), faults.join("\n"));
    }
    Ok(())
}

/// Kills runs of a job until it was done `kills` times.
fn torture(dyntta: &Path, folder: &Path, job: &Job, kills: u64, seed: u64, sum: &mut Sum) -> Result<()> {
    if kills == 0 {
        return Ok(());
    }
    // What an uninterrupted run makes, and how long it takes.
    let reference = folder.join(format!("{}-reference", job.name));
    let started = Instant::now();
    let (status, said) = finish(start(dyntta, folder, job, &reference, false)?, &reference)?;
    if !status.success() {
        bail!("{}: the uninterrupted run failed: {said}", job.name);
    }
    let whole = started.elapsed();
    let expected = results(&reference)?;
    let mut stream = Stream::new(seed, &["torture", job.name]);
    let end = sum.counted(job) + kills;
    while sum.counted(job) < end {
        let out = folder.join(format!("{}-{}", job.name, sum.runs));
        sum.runs += 1;
        let mut history = String::new();
        let ended = one(&mut stream, (dyntta, folder, job), &out, whole, (end, sum), &mut history)?;
        let fault = match ended {
            Some(fault) => Some(fault),
            None => difference(&expected, &results(&out)?),
        };
        match fault {
            Some(fault) => {
                sum.faults.push(format!("{}, {}: {fault}\n  killed{history}", job.name, out.display()));
                if sum.faults.len() > 20 {
                    bail!("too many faults:\n{}", sum.faults.join("\n"));
                }
            }
            None => std::fs::remove_dir_all(&out)?,
        }
    }
    Ok(())
}

impl Sum {
    /// The kills that count: of a job that keeps a state, those while there was one.
    fn counted(&self, job: &Job) -> u64 {
        if job.state.is_some() { self.with_state } else { self.kills }
    }
}

/// One run, killed a few times and then left to end; gives what went wrong.
fn one(
    stream: &mut Stream,
    (dyntta, folder, job): (&Path, &Path, &Job),
    out: &Path,
    whole: Duration,
    (end, sum): (u64, &mut Sum),
    history: &mut String,
) -> Result<Option<String>> {
    for kill in 0.. {
        let resume = kill > 0;
        if resume && job.last.is_some_and(|name| out.join(name).is_file()) {
            return Ok(None);
        }
        let mut child = start(dyntta, folder, job, out, resume)?;
        let last = kill >= KILLS || sum.counted(job) >= end;
        let after = whole.mul_f64(stream.range(0.0, 1.05));
        if last || !outlives(&mut child, after)? {
            let (status, said) = finish(child, out)?;
            return Ok((!status.success()).then(|| format!("{status} instead of the end: {said}")));
        }
        let signal =
            [libc::SIGKILL, libc::SIGKILL, libc::SIGKILL, libc::SIGTERM, libc::SIGINT][stream.below(5)];
        let state = job.state.is_some_and(|name| out.join(name).is_file());
        let asked = Instant::now();
        process::signal(child.id(), signal);
        let status = child.wait()?;
        let took = asked.elapsed();
        sum.kills += 1;
        sum.with_state += u64::from(state);
        sum.slowest_stop = sum.slowest_stop.max(took);
        let _ = write!(
            history,
            " after {:.2} s by {signal}{};",
            after.as_secs_f64(),
            if state { " (state)" } else { "" }
        );
        if took > PATIENCE {
            return Ok(Some(format!("stopped only after {:.1} s", took.as_secs_f64())));
        }
        let by_itself = [Some(130), Some(143), Some(0)].contains(&status.code());
        if signal != libc::SIGKILL && status.signal() != Some(signal) && !by_itself {
            let said = last_lines(out);
            return Ok(Some(format!("asked to stop by {signal} it ended with {status}: {said}")));
        }
    }
    Ok(None)
}

fn start(dyntta: &Path, folder: &Path, job: &Job, out: &Path, again: bool) -> Result<Child> {
    std::fs::create_dir_all(out)?;
    let resume = again && job.resume.is_some() && job.settings.is_some_and(|name| out.join(name).is_file());
    let args = if resume { job.resume.unwrap_or(job.args) } else { job.args };
    let log = std::fs::File::create(log(out))?;
    let mut command = Command::new(dyntta);
    // The data lies above, what is written is in `out`.
    command.args(args.iter().map(|arg| arg.replace("{}", &folder.to_string_lossy())));
    command.current_dir(out).env("RUST_BACKTRACE", "0").env("RAYON_NUM_THREADS", "2");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().with_context(|| format!("cannot run {command:?}"))
}

fn log(out: &Path) -> PathBuf {
    out.with_extension("log")
}

/// Whether the process is still there after a while.
fn outlives(child: &mut Child, after: Duration) -> Result<bool> {
    let end = Instant::now() + after;
    while Instant::now() < end {
        if child.try_wait()?.is_some() {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(2).min(end.saturating_duration_since(Instant::now())));
    }
    Ok(child.try_wait()?.is_none())
}

fn finish(mut child: Child, out: &Path) -> Result<(ExitStatus, String)> {
    let status = child.wait()?;
    Ok((status, last_lines(out)))
}

fn last_lines(out: &Path) -> String {
    let text =
        std::fs::read(log(out)).map_or_else(|_| String::new(), |b| String::from_utf8_lossy(&b).into_owned());
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join(" / ")
}

/// What must be the same: all files but states, which hold times, and locks, which hold process numbers.
fn results(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = tree(folder)?;
    files.retain(|name, _| !name.ends_with("state.safetensors") && !name.ends_with(".lock"));
    for (name, bytes) in &mut files {
        if name.ends_with(".json") || name.ends_with(".jsonl") {
            *bytes = without_times(bytes);
        }
    }
    Ok(files)
}

/// JSON, or JSON lines, without what tells how long something took.
fn without_times(bytes: &[u8]) -> Vec<u8> {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.retain(|key, _| !["second", "_ms", "ms_"].iter().any(|time| key.contains(time)));
                map.values_mut().for_each(strip);
            }
            Value::Array(list) => list.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let values = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    let Ok(mut values) = values.collect::<Result<Vec<_>, _>>() else { return bytes.to_vec() };
    values.iter_mut().for_each(strip);
    values.iter().map(|v| format!("{v}\n")).collect::<String>().into_bytes()
}

fn difference(expected: &BTreeMap<String, Vec<u8>>, found: &BTreeMap<String, Vec<u8>>) -> Option<String> {
    if let Some(name) = found.keys().find(|name| name.ends_with(".tmp") || name.contains(".dyntta-")) {
        return Some(format!("left the temporary file {name}"));
    }
    if let Some(name) = found.keys().find(|name| !expected.contains_key(*name)) {
        return Some(format!("left {name}, which an uninterrupted run doesn't write"));
    }
    for (name, bytes) in expected {
        match found.get(name) {
            None => return Some(format!("{name} is missing")),
            Some(other) if other != bytes => {
                return Some(format!("{name} is not that of an uninterrupted run"));
            }
            Some(_) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_left_out_and_nothing_else() {
        let text =
            b"{\"loss\": 1.5, \"seconds\": 3, \"parts\": [{\"ms_per_image\": 2, \"n\": 1}]}\n{\"step\": 2}\n";
        let expected = b"{\"loss\":1.5,\"parts\":[{\"n\":1}]}\n{\"step\":2}\n";
        assert_eq!(without_times(text), expected);
    }

    #[test]
    fn what_differs_is_named() {
        let files = |list: &[(&str, &str)]| -> BTreeMap<String, Vec<u8>> {
            list.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect()
        };
        let expected = files(&[("a", "1"), ("b/", "")]);
        assert_eq!(difference(&expected, &expected), None);
        for (found, word) in [
            (files(&[("b/", "")]), "a is missing"),
            (files(&[("a", "2"), ("b/", "")]), "a is not that"),
            (files(&[("a", "1"), ("b/", ""), ("b/c", "")]), "left b/c"),
            (files(&[("a", "1"), ("b/", ""), ("b/.dyntta-1-2.tmp", "")]), "temporary file"),
        ] {
            let said = difference(&expected, &found).unwrap();
            assert!(said.contains(word), "{said}");
        }
    }
}
