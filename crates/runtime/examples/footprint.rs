//! Time and memory that one image takes: `cargo run --release --example footprint -- WIDTH HEIGHT [CHECKPOINT] [CALLS]`.
//!
//! Without a checkpoint (or with `-`), an untrained DynTTA whose control network looks at 224 x 224. The peak is the
//! process's largest resident set, known on Linux only.
#![allow(clippy::disallowed_macros, reason = "an example prints")]

use std::time::Instant;

use dyntta_image::Rgb8;
use dyntta_runtime::{Enhancer, Method, Workspace};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut number =
        |name| args.next().ok_or(format!("missing {name}"))?.parse::<usize>().map_err(|e| e.to_string());
    let (width, height) = (number("WIDTH")?, number("HEIGHT")?);
    let start = Instant::now();
    let enhancer = match args.next().as_deref() {
        None | Some("-") => Enhancer::untrained(Method::Dyntta, 0).with_control_size(Some(224)).unwrap(),
        Some(path) => Enhancer::load(path)?,
    };
    println!("ready after {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    let calls = args.next().map_or(Ok(1), |calls| calls.parse::<usize>())?;
    let data = (0..width * height * 3).map(|i| (i * 31 % 253) as u8).collect();
    let image = Rgb8::new(width, height, data).unwrap();
    let mut workspace = Workspace::new();
    for _ in 0..calls {
        workspace.reset_parts();
        let start = Instant::now();
        let enhanced = enhancer.enhance_with(&mut workspace, &image);
        let sum: u64 = enhanced.data().iter().map(|b| u64::from(*b)).sum();
        let ms = start.elapsed().as_secs_f64() * 1e3;
        println!(
            "{ms:.1} ms, mean level {:.3}, {:?}",
            sum as f64 / enhanced.data().len() as f64,
            workspace.parts()
        );
    }
    println!("workspace {:.1} MiB", workspace.bytes() as f64 / f64::from(1 << 20));
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
    }
    Ok(())
}
