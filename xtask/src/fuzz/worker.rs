//! The process that does one target's work.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use dyntta_fuzzing::{Scratch, bad_message, mutate, target};
use dyntta_image::Stream;
use serde_json::json;

use crate::allocator;

use super::{MEMORY, TIME};

/// Inputs that are mutated further: the seeds, and what led to an outcome that was new.
const POOL: usize = 2000;

/// What to do.
pub struct Plan {
    pub seed: u64,
    /// The first input's number.
    pub first: u64,
    /// The number of the last input, and one.
    pub count: Option<u64>,
    pub seconds: f64,
    pub faults: PathBuf,
}

/// The panics so far, and what the last one said: also of those that a library catches.
static PANICS: AtomicU64 = AtomicU64::new(0);
static PANIC: Mutex<String> = Mutex::new(String::new());

fn watch_panics() {
    std::panic::set_hook(Box::new(|info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        let at = info.location().map(|l| format!("{}:{}", l.file(), l.line())).unwrap_or_default();
        let said = info.payload_as_str().unwrap_or_default();
        if let Ok(mut text) = PANIC.lock() {
            *text = format!("panic at {at}: {}", said.chars().take(200).collect::<String>());
        }
    }));
}

/// Processor time of this process.
fn processor_time() -> Duration {
    #[cfg(unix)]
    {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the clock exists on every Unix, and the struct is there to be written to.
        if unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) } == 0 {
            return Duration::new(time.tv_sec as u64, time.tv_nsec as u32);
        }
    }
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// Lets the system refuse what would take all the memory of the machine.
fn bound_memory() {
    #[cfg(unix)]
    {
        let bound = 16 << 30;
        let limit = libc::rlimit { rlim_cur: bound, rlim_max: bound };
        // SAFETY: the struct is only read. Where it fails there is no bound.
        unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) };
    }
}

/// The input in work, and since which processor time.
type Now = Arc<Mutex<(Vec<u8>, Duration)>>;

/// Ends the process if an input takes too long: nothing else could end it.
fn watch_time(now: &Now) {
    let now = now.clone();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(200));
            let Ok(state) = now.lock() else { return };
            if !state.0.is_empty() && processor_time().saturating_sub(state.1) > TIME {
                eprintln!("more than {} s of processor time", TIME.as_secs());
                std::process::exit(101);
            }
        }
    });
}

/// Keeps an input that made trouble, named by its content.
pub fn keep(folder: &Path, name: &str, input: &[u8]) -> Result<PathBuf> {
    // FNV-1a: a name, nothing more.
    let hash =
        input.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
    let file = folder.join(format!("{name}-{hash:016x}"));
    std::fs::write(&file, input).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// The input that a worker was at, and its number.
pub fn current(file: &Path) -> Result<(Vec<u8>, u64)> {
    let bytes = std::fs::read(file)?;
    let (at, rest) = bytes.split_first_chunk::<8>().context("too short")?;
    let (length, rest) = rest.split_first_chunk::<8>().context("too short")?;
    let input = rest.get(..u64::from_le_bytes(*length) as usize).context("too short")?;
    Ok((input.to_vec(), u64::from_le_bytes(*at)))
}

/// What came out, so that two of the same kind are the same: without quoted text, words with digits, and bytes in hexadecimal.
fn outcome(result: &Result<(), String>) -> String {
    let Err(message) = result else { return "read".into() };
    let mut out = String::new();
    let mut quoted = None;
    for word in message.split_inclusive(|c: char| !c.is_alphanumeric()).take(80) {
        let letters = word.trim_end_matches(|c: char| !c.is_alphanumeric());
        let mark = word[letters.len()..].chars().next().unwrap_or(' ');
        let number = letters.contains(|c: char| c.is_ascii_digit())
            || letters.len() == 2 && letters.chars().all(|c| c.is_ascii_hexdigit());
        match quoted {
            Some(end) if mark == end => quoted = None,
            Some(_) => {}
            None => {
                out.push_str(if number || letters.is_empty() { "#" } else { letters });
                if matches!(mark, '"' | '`') {
                    quoted = Some(mark);
                }
            }
        }
    }
    out
}

/// What one input came to.
struct Run {
    result: Result<(), String>,
    fault: Option<String>,
    memory: usize,
    seconds: f64,
}

fn run(scratch: &Scratch, input: &[u8], since: Duration) -> Run {
    let (panics, held) = (PANICS.load(Ordering::Relaxed), allocator::held());
    allocator::start();
    let result = catch_unwind(AssertUnwindSafe(|| scratch.run(input)));
    let memory = allocator::most().saturating_sub(held);
    let seconds = processor_time().saturating_sub(since).as_secs_f64();
    let mut fault = None;
    if memory > MEMORY {
        fault = Some(format!("more than {} MiB of memory", MEMORY >> 20));
    }
    if seconds > TIME.as_secs_f64() {
        fault = Some(format!("more than {} s of processor time", TIME.as_secs()));
    }
    let result = result.unwrap_or_else(|_| Err("panic".into()));
    if let Err(message) = &result {
        fault = fault.or_else(|| bad_message(message));
    }
    if PANICS.load(Ordering::Relaxed) != panics {
        fault = Some(PANIC.lock().map_or_else(|_| "panic".into(), |text| text.clone()));
    }
    Run { result, fault, memory, seconds }
}

/// Feeds mutated files to a target until the plan's end, and prints a JSON line of what it came to.
pub fn work(name: &str, plan: &Plan) -> Result<()> {
    let target = target(name).context("the target")?;
    watch_panics();
    bound_memory();
    let scratch = Scratch::new(target)?;
    let mut record = File::create(std::env::var_os("DYNTTA_FUZZ_CURRENT").context("DYNTTA_FUZZ_CURRENT")?)?;
    let now: Now = Arc::default();
    watch_time(&now);

    let seeds = (target.seeds)();
    let mut pool = seeds.clone();
    let mut outcomes = HashSet::new();
    let mut faults: BTreeMap<String, (PathBuf, u64)> = BTreeMap::new();
    let (mut most_memory, mut slowest) = (0, 0f64);
    let started = Instant::now();
    let mut at = plan.first;
    while plan.count.map_or_else(|| started.elapsed().as_secs_f64() < plan.seconds, |count| at < count) {
        let mut stream = Stream::new(plan.seed, &["fuzz", name, &at.to_string()]);
        let from = if stream.below(3) == 0 { &seeds } else { &pool };
        let (seed, other) = (&from[stream.below(from.len())], &pool[stream.below(pool.len())]);
        // The seeds themselves first.
        let input = match usize::try_from(at).ok().and_then(|i| seeds.get(i)) {
            Some(seed) => seed.clone(),
            None => mutate(&mut stream, target, seed, other),
        };
        let since = processor_time();
        record.seek(SeekFrom::Start(0))?;
        record.write_all(&[&at.to_le_bytes()[..], &(input.len() as u64).to_le_bytes(), &input].concat())?;
        if let Ok(mut state) = now.lock() {
            *state = (input, since);
        }
        let input = now.lock().map_or_else(|_| Vec::new(), |state| state.0.clone());
        let run = run(&scratch, &input, since);
        if let Some(fault) = run.fault {
            match faults.get_mut(&fault) {
                Some((_, times)) => *times += 1,
                None => drop(faults.insert(fault, (keep(&plan.faults, name, &input)?, 1))),
            }
        }
        if outcomes.insert(outcome(&run.result)) && pool.len() < POOL {
            pool.push(input);
        }
        most_memory = most_memory.max(run.memory);
        slowest = slowest.max(run.seconds);
        at += 1;
    }
    let faults: Vec<_> = faults
        .into_iter()
        .map(|(what, (file, times))| json!({"what": what, "file": file, "times": times}))
        .collect();
    let report = json!({"next": at, "most_memory": most_memory, "slowest": slowest, "outcomes": outcomes.len(), "faults": faults});
    println!("{report}");
    Ok(())
}

/// Feeds one file to a target and says what comes of it.
pub fn reproduce(name: &str, input: &Path) -> Result<()> {
    let target = target(name).context("the target")?;
    let bytes = std::fs::read(input).with_context(|| format!("cannot read {}", input.display()))?;
    watch_panics();
    let scratch = Scratch::new(target)?;
    let now: Now = Arc::new(Mutex::new((bytes.clone(), processor_time())));
    watch_time(&now);
    let since = processor_time();
    let run = run(&scratch, &bytes, since);
    println!("{} bytes, {} MiB, {:.2} s: {:?}", bytes.len(), run.memory >> 20, run.seconds, run.result);
    match run.fault {
        Some(fault) => bail!("{fault}"),
        None => Ok(()),
    }
}
