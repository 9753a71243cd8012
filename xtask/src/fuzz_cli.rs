//! The command on mutated files and folders, as a user runs it.

mod scenes;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use dyntta_fuzzing::{bad_message, mutate, target};
use dyntta_image::Stream;

use crate::arguments::{each, seed_of_the_time, value};
use crate::fuzz::{MEMORY, TIME};
use crate::process::{self, Bounds, Ended, tree};

use scenes::{SCENES, Scene};

/// Addresses are bounded well above the memory that may be used: threads and allocators reserve what they don't touch.
const ADDRESSES: u64 = 24 << 30;

/// What a kind of fault is called, its first example, and how often it was seen.
type Faults = BTreeMap<String, (PathBuf, u64)>;

#[derive(Default)]
struct Sum {
    runs: u64,
    memory: u64,
    slowest: f64,
    codes: BTreeMap<i32, u64>,
}

struct Job {
    dyntta: PathBuf,
    seed: u64,
    count: u64,
    faults: PathBuf,
    /// What the scenes start from, made once.
    ready: PathBuf,
}

pub fn run(args: impl Iterator<Item = String>) -> Result<()> {
    let (mut dyntta, mut jobs, mut seed) = (PathBuf::from("target/release/dyntta"), 2, None);
    let (mut count, mut faults, mut only) = (500, PathBuf::from("target/fuzz-faults"), None);
    each(args, |flag, text| {
        match flag {
            "--dyntta" => dyntta = text.into(),
            "--count" => count = value(flag, text)?,
            "--jobs" => jobs = value(flag, text)?,
            "--seed" => seed = Some(value(flag, text)?),
            "--faults" => faults = text.into(),
            // One input of a run again, by its number.
            "--only" => only = Some(value(flag, text)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let seed = seed.unwrap_or_else(seed_of_the_time);
    println!("seed {seed}");
    std::fs::create_dir_all(&faults).with_context(|| format!("cannot make {}", faults.display()))?;
    let ready = tempfile::tempdir()?;
    let dyntta = process::binary(&dyntta)?;
    scenes::prepare(&dyntta, ready.path())?;
    let job = Job { dyntta, seed, count, faults, ready: ready.path().to_owned() };
    if let Some(at) = only {
        let folder = tempfile::tempdir()?;
        let (ended, command) = once(&job, at, folder.path())?;
        println!("{command}\n{}\n{}{}", ended.status, ended.out, ended.err);
        return Ok(());
    }
    let started = Instant::now();
    let next = AtomicU64::new(0);
    let found: Mutex<(BTreeMap<&str, Sum>, Faults)> = Mutex::default();
    let failure: Mutex<Option<anyhow::Error>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                if let Err(error) = worker(&job, &next, &found) {
                    next.store(u64::MAX / 2, Ordering::Relaxed);
                    *failure.lock().expect("no panic") = Some(error);
                }
            });
        }
    });
    if let Some(error) = failure.into_inner().expect("no panic") {
        return Err(error);
    }
    let (sums, faults) = found.into_inner().expect("no panic");
    print!("{}", report(&sums));
    println!(
        "{count} runs in {:.0} s, seed {seed}: {} kinds of faults",
        started.elapsed().as_secs_f64(),
        faults.len()
    );
    for (fault, (folder, times)) in &faults {
        println!("\n{times} times: {fault}\n  {}", folder.display());
    }
    if !faults.is_empty() {
        bail!("{} kinds of faults", faults.len());
    }
    Ok(())
}

fn report(sums: &BTreeMap<&str, Sum>) -> String {
    let mut out = String::new();
    for (name, sum) in sums {
        let codes: Vec<String> = sum.codes.iter().map(|(code, n)| format!("{n} × {code}")).collect();
        let _ = writeln!(
            out,
            "{name:>24}: {:>5} runs; exit status {}; at most {:>4} MiB and {:.1} s for one",
            sum.runs,
            codes.join(", "),
            sum.memory >> 20,
            sum.slowest
        );
    }
    out
}

fn worker(job: &Job, next: &AtomicU64, found: &Mutex<(BTreeMap<&str, Sum>, Faults)>) -> Result<()> {
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        if at >= job.count {
            return Ok(());
        }
        let folder = tempfile::tempdir()?;
        let scene = scene(at);
        let before = lay_out(job, at, folder.path())?;
        let ended = call(job, scene, folder.path())?;
        let fault = fault(&ended, &before, folder.path())?;
        let mut found = found.lock().expect("no panic");
        let sum = found.0.entry(scene.name).or_default();
        sum.runs += 1;
        sum.memory = sum.memory.max(ended.memory);
        sum.slowest = sum.slowest.max(ended.time.as_secs_f64());
        *sum.codes.entry(ended.code().unwrap_or(-1)).or_default() += 1;
        let Some(fault) = fault else { continue };
        let fault = format!("{}: {fault}", scene.name);
        match found.1.get_mut(&fault) {
            Some((_, times)) => *times += 1,
            None => {
                let kept = keep(job, at, folder.path(), &ended)?;
                found.1.insert(fault, (kept, 1));
            }
        }
    }
}

fn scene(at: u64) -> &'static Scene {
    &SCENES[(at % SCENES.len() as u64) as usize]
}

/// Lays the files of run `at` out in a folder, one of them mutated; gives what then lies there.
fn lay_out(job: &Job, at: u64, folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let scene = scene(at);
    let mut stream = Stream::new(job.seed, &["fuzz-cli", scene.name, &at.to_string()]);
    let work = folder.join("work");
    for made in ["work", "home", "tmp"] {
        std::fs::create_dir(folder.join(made))?;
    }
    for (from, to) in scene.files {
        copy(&job.ready.join(from), &work.join(to))?;
    }
    let target = target(scene.target).context("a target of that name")?;
    let path = work.join(scene.mutated);
    let mut seeds = (target.seeds)();
    let own = std::fs::read(&path).ok();
    // What lies there is a good file of the scene; the target's own seeds are others.
    let seed = match own {
        Some(own) if stream.below(3) > 0 => own,
        _ => seeds.swap_remove(stream.below(seeds.len())),
    };
    let others = (target.seeds)();
    let other = &others[stream.below(others.len())];
    let input = mutate(&mut stream, target, &seed, other);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(&path, input)?;
    tree(folder)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        std::fs::create_dir_all(to)?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

fn call(job: &Job, scene: &Scene, folder: &Path) -> Result<Ended> {
    let logs = tempfile::tempdir()?;
    let mut command = Command::new(&job.dyntta);
    command
        .args(scene.args)
        .current_dir(folder.join("work"))
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", folder.join("home"))
        .env("TMPDIR", folder.join("tmp"))
        .env("RAYON_NUM_THREADS", "1");
    let bounds = Bounds { seconds: TIME.as_secs() + 5, memory: ADDRESSES };
    process::run(&mut command, bounds, logs.path())
}

/// What is wrong with how a run ended, or with what it left behind.
fn fault(ended: &Ended, before: &BTreeMap<String, Vec<u8>>, folder: &Path) -> Result<Option<String>> {
    if let Some(line) = ended.err.lines().find(|line| line.contains("panicked")) {
        // Where, without the thread's number.
        return Ok(Some(line.split_once("panicked").map_or(line, |(_, rest)| rest).to_owned()));
    }
    if !matches!(ended.code(), Some(0..=2)) {
        return Ok(Some(format!("ended by {}", ended.status)));
    }
    if ended.memory > MEMORY as u64 {
        return Ok(Some(format!("more than {} MiB of memory", MEMORY >> 20)));
    }
    if ended.time > TIME {
        return Ok(Some(format!("more than {} s of processor time", TIME.as_secs())));
    }
    for text in [&ended.out, &ended.err] {
        if let Some(fault) = bad_message(&text.replace('\r', "")) {
            return Ok(Some(fault));
        }
    }
    if ended.code() == Some(1) && !ended.err.contains("error: ") {
        return Ok(Some("failed without a message".into()));
    }
    let after = tree(folder)?;
    for (name, bytes) in before {
        match after.get(name) {
            Some(now) if now == bytes => {}
            Some(_) => return Ok(Some(format!("changed its input {name}"))),
            None => return Ok(Some(format!("removed its input {name}"))),
        }
    }
    let new = |name: &&String| !before.contains_key(*name) && !name.starts_with("work/out");
    if let Some(name) = after.keys().find(new) {
        return Ok(Some(format!("wrote {name}")));
    }
    let temporary = |name: &&String| name.ends_with(".tmp");
    Ok(after.keys().find(temporary).map(|name| format!("left {name}")))
}

/// Keeps the files of a run that went wrong, and how to run it again.
fn keep(job: &Job, at: u64, folder: &Path, ended: &Ended) -> Result<PathBuf> {
    let kept = job.faults.join(format!("cli-{}-{at}", job.seed));
    copy(&folder.join("work"), &kept)?;
    let again = format!(
        "cd {} && {} {}\ncargo run --release -p xtask -- fuzz-cli --seed {} --only {at}\n\n{}\n{}{}",
        kept.display(),
        job.dyntta.display(),
        scene(at).args.join(" "),
        job.seed,
        ended.status,
        ended.out,
        ended.err
    );
    std::fs::write(kept.join("HOW"), again)?;
    Ok(kept)
}

fn once(job: &Job, at: u64, folder: &Path) -> Result<(Ended, String)> {
    let before = lay_out(job, at, folder)?;
    let ended = call(job, scene(at), folder)?;
    let what = fault(&ended, &before, folder)?.unwrap_or_else(|| "nothing is wrong".into());
    Ok((ended, format!("dyntta {}: {what}", scene(at).args.join(" "))))
}
