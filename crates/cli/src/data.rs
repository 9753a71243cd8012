//! `dyntta data`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Subcommand;
use dyntta_data::check::{self, Report};
use dyntta_train::Stop;
use serde_json::json;

use crate::claims;
use crate::message::{clean, line as one_line};
use crate::out::write;
use crate::progress::{self, clock};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Decode every image of a data set: what it is recognised as, what it holds, what is broken. Exits with 1 if
    /// anything is.
    Check(CheckArgs),
}

#[derive(clap::Args)]
struct CheckArgs {
    /// Anything that --data, --clean and --corrupted take
    #[arg(value_name = "D")]
    data: PathBuf,
    /// Report as JSON
    #[arg(long)]
    json: bool,
    /// Threads that decode [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

pub fn run(args: Args, stop: &Stop) -> Result<()> {
    let Command::Check(args) = args.command;
    let threads =
        args.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    let started = Instant::now();
    let mut progress = progress::new();
    let mut begun = false;
    let found = check::check(&args.data, threads, &mut |done, total| {
        if !begun {
            progress.begin("checking", total.unwrap_or(0), 0);
            begun = true;
        }
        progress.update(done, "images");
        !stop.requested()
    })?;
    let Some(report) = found else {
        stop.check()?;
        return Err(dyntta_train::Error::Interrupted(None).into());
    };
    if begun {
        progress.end("");
    }
    if args.json {
        let mut value = serde_json::to_value(&report)?;
        value["version"] = json!(1);
        value["images"] = json!(report.images());
        write(format_args!("{}", claims::result("data check", &value)));
    } else {
        write(format_args!("{}", text(&report)));
    }
    if !report.is_sound() {
        bail!(
            "{}: {} broken files, {} other problems (of {} images, in {})",
            report.path,
            report.broken_count,
            report.problems.len(),
            report.images(),
            clock(started.elapsed().as_secs_f64())
        );
    }
    Ok(())
}

/// Classes, parts and broken files that are listed.
const SHOWN: usize = 30;

/// The report for a person.
fn text(report: &Report) -> String {
    let mut lines = vec![one_line(&format!("{}: {}", report.path, report.layout))];
    let mut line = |text: String| lines.push(format!("  {text}"));
    line(format!("{} images in {} classes", report.images(), report.classes.len()));
    if !report.left_out.is_nothing() {
        line(format!("left out: {}", report.left_out));
    }
    if let (Some(width), Some(height)) = (report.sizes.width, report.sizes.height) {
        if width.0 == width.1 && height.0 == height.1 {
            line(format!("all of {}x{} pixels", width.0, height.0));
        } else {
            line(format!("{} to {} pixels wide, {} to {} high", width.0, width.1, height.0, height.1));
            let by: Vec<String> = report
                .sizes
                .by_shorter_side
                .iter()
                .map(|(side, n)| format!("{n} of {side} to {}", 2 * side - 1))
                .collect();
            line(format!("by shorter side: {}", by.join(", ")));
        }
    }
    for part in &report.parts {
        let name = if part.name.is_empty() { "by class".to_owned() } else { one_line(&part.name) };
        let least = part.by_class.iter().min().copied().unwrap_or(0);
        let most = part.by_class.iter().max().copied().unwrap_or(0);
        if report.parts.len() == 1 && report.classes.len() <= SHOWN {
            line(format!("{name}:"));
            for (class, n) in report.classes.iter().zip(&part.by_class) {
                line(format!("{n:>8}  {}", one_line(class)));
            }
        } else if least == most {
            line(format!("{name}: {} images, {least} of each class", part.images));
        } else {
            line(format!("{name}: {} images, {least} to {most} of a class", part.images));
        }
    }
    for problem in report.problems.iter().take(SHOWN) {
        line(format!("problem: {}", clean(problem)));
    }
    if report.problems.len() > SHOWN {
        line(format!("... and {} more problems", report.problems.len() - SHOWN));
    }
    for broken in report.broken.iter().take(SHOWN) {
        line(format!("broken: {}", clean(&broken.error)));
    }
    if report.broken_count > SHOWN as u64 {
        line(format!("... and {} more broken files", report.broken_count.saturating_sub(SHOWN as u64)));
    }
    lines.join("\n") + "\n"
}
