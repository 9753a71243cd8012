//! `dyntta bench`.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args as ClapArgs, Subcommand};
use dyntta::{Enhancer, Method, Workspace};
use dyntta_corrupt::{Corruption, Preset, Severity, corrupt};
use dyntta_files::Limits;
use dyntta_image::{Rgb8, Stream};
use dyntta_train::Stop;
use serde_json::{Map, Value, json};

use crate::bounds;
use crate::claims;
use crate::out::{say, write};
use crate::progress::peak_mib;

#[derive(ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Enhancing images: the control network, the SK-UNet and the bank
    Forward(Options),
    /// A training step of DynTTA in front of a frozen ResNet-50 (CIFAR ResNet-20 below 64 pixels)
    Step(Options),
    /// The nineteen corruptions, one thread, severity 3
    Corrupt(Options),
}

#[derive(ClapArgs)]
struct Options {
    /// Side of the images in pixels, or WIDTHxHEIGHT
    #[arg(long, default_value = "224")]
    size: Size,
    /// Images at a time
    #[arg(long, default_value_t = 1, value_parser = bounds::batch())]
    batch: usize,
    /// With `forward`: side of the view that the control network looks at [default: the images themselves]
    #[arg(long, value_parser = bounds::view())]
    control_size: Option<usize>,
    /// Threads [default: all]
    #[arg(long, value_parser = bounds::threads())]
    threads: Option<usize>,
    /// Timed runs; the median counts
    #[arg(long, default_value_t = 7, value_parser = bounds::runs())]
    runs: usize,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Width and height.
#[derive(Clone, Copy)]
struct Size(usize, usize);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (w, h) = text.split_once('x').unwrap_or((text, text));
        match (w.parse(), h.parse()) {
            (Ok(w), Ok(h))
                if (1..=Limits::DEFAULT.side).contains(&w) && (1..=Limits::DEFAULT.side).contains(&h) =>
            {
                Ok(Self(w, h))
            }
            _ => Err(format!(
                "expected a number of pixels, or WIDTHxHEIGHT, each from 1 to {}",
                Limits::DEFAULT.side
            )),
        }
    }
}

impl Display for Size {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.0, self.1)
    }
}

impl Size {
    fn square(self) -> Result<usize> {
        if self.0 != self.1 {
            bail!("--size: only `forward` takes images that are not square, found {self}");
        }
        Ok(self.0)
    }
}

/// The most pixels at a time: every one takes about a kilobyte.
const PIXELS: usize = 1 << 24;

pub fn run(args: Args, stop: &Stop) -> Result<()> {
    let (What::Forward(options) | What::Step(options) | What::Corrupt(options)) = &args.what;
    // Neither factor overflows: both are bounded.
    if options.batch * options.size.0 * options.size.1 > PIXELS {
        bail!(
            "--batch, --size: expected at most {PIXELS} pixels at a time, found {} images of {}",
            options.batch,
            options.size
        );
    }
    if let Some(threads) = options.threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("--threads")?;
    }
    match &args.what {
        What::Forward(options) => forward(options),
        What::Step(options) => step(options),
        What::Corrupt(options) => corruptions(options, stop),
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Prints a result: the whole, then its parts, in ms an image.
fn report(options: &Options, what: &str, total: &[f64], parts: &[(&str, f64)], threads: usize) {
    let per_image = |seconds: f64| 1e3 * seconds / options.batch as f64;
    let (middle, least) =
        (per_image(median(total)), per_image(total.iter().copied().fold(f64::MAX, f64::min)));
    if options.json {
        let parts: Map<String, Value> =
            parts.iter().map(|(name, s)| ((*name).to_owned(), json!(per_image(*s)))).collect();
        let out = json!({
            "version": 1,
            "what": what,
            "size": [options.size.0, options.size.1],
            "batch": options.batch,
            "runs": options.runs,
            "ms_per_image": middle,
            "min": least,
            "peak_mib": peak_mib(),
            "threads": threads,
            "parts": parts,
        });
        write(format_args!("{}", claims::result("bench", &out)));
        return;
    }
    say!("{what}, {}, batch {}, {threads} threads, median of {}", options.size, options.batch, options.runs);
    say!("{:<20} {middle:>9.3} ms an image (least {least:.3})", "whole");
    for (name, seconds) in parts {
        say!("{name:<20} {:>9.3}", per_image(*seconds));
    }
    if let Some(mib) = peak_mib() {
        say!("{:<20} {mib:>9} MiB", "peak memory");
    }
}

fn forward(options: &Options) -> Result<()> {
    let Options { size: Size(w, h), batch, runs, .. } = *options;
    let enhancer = Enhancer::untrained(Method::Dyntta, 0).with_control_size(options.control_size)?;
    let mut stream = Stream::new(0, &["bench"]);
    let images: Vec<f32> = (0..batch * 3 * h * w).map(|_| stream.uniform_f32()).collect();
    let mut out = vec![0.0; images.len()];
    let mut workspace = Workspace::new();
    let mut total = Vec::new();
    let mut parts: [Vec<f64>; 4] = Default::default();
    for run in 0..=runs {
        workspace.reset_parts();
        let started = Instant::now();
        enhancer.enhance_planar(&mut workspace, batch, h, w, &images, &mut out);
        if run > 0 {
            total.push(started.elapsed().as_secs_f64());
            let p = workspace.parts();
            for (times, part) in parts.iter_mut().zip([p.control, p.network, p.blend, p.conversions]) {
                times.push(part.as_secs_f64());
            }
        }
    }
    let names = ["control network", "sk-unet", "blend", "conversions"];
    let parts: Vec<(&str, f64)> = names.into_iter().zip(parts.iter().map(|p| median(p))).collect();
    report(options, "enhancing by dyntta", &total, &parts, rayon::current_num_threads());
    Ok(())
}

fn step(options: &Options) -> Result<()> {
    let times = dyntta_train::bench::step(options.size.square()?, options.batch, options.runs);
    let parts = [
        ("forward", median(&times.forward)),
        ("backward", median(&times.backward)),
        ("optimizer", median(&times.optimizer)),
    ];
    let what = format!("training step before a frozen {}", times.classifier);
    report(options, &what, &times.total, &parts, rayon::current_num_threads());
    Ok(())
}

fn corruptions(options: &Options, stop: &Stop) -> Result<()> {
    let size = options.size.square()?;
    let preset = if size >= 64 { Preset::Imagenet } else { Preset::Cifar };
    // Smooth waves with some grain: neither flat nor noise.
    let data = (0..size * size * 3)
        .map(|i| {
            let (x, y) = ((i / 3 % size) as f64, (i / 3 / size) as f64);
            let wave = (x * 0.07).sin() + (y * 0.05 + (i % 3) as f64).cos();
            (128.0 + 50.0 * wave + (i * 7919 % 17) as f64).clamp(0.0, 255.0) as u8
        })
        .collect();
    let image = Rgb8::new(size, size, data).expect("three bytes a pixel");
    let mut names = Vec::new();
    let mut totals = vec![0.0; options.runs];
    for corruption in Corruption::all() {
        stop.check()?;
        // Frost makes each of its textures when it is first drawn: enough draws to have met them all.
        for i in 0..32 {
            let path = format!("before/{i}");
            std::hint::black_box(corrupt(&image, corruption, preset, Severity::ALL[2], 0, &path));
        }
        let mut times = Vec::new();
        for run in 0..options.runs {
            let started = Instant::now();
            for i in 0..options.batch {
                let path = format!("{run}/{i}");
                std::hint::black_box(corrupt(&image, corruption, preset, Severity::ALL[2], 0, &path));
            }
            let seconds = started.elapsed().as_secs_f64();
            totals[run] += seconds;
            times.push(seconds);
        }
        names.push((corruption.name(), median(&times)));
    }
    report(options, "the nineteen corruptions, severity 3", &totals, &names, 1);
    Ok(())
}
