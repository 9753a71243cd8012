//! Writes a graph and, for images of several sizes, what the runtime makes of them: see `tests/peer/README.md`.
//!
//! `peer CHECKPOINT OUT OPTIONS SIZE...`: CHECKPOINT is a run's folder, or `random:BANK` with names separated by commas, `paper`
//! or `urie`; OPTIONS are `-` or some of `opset=N`, `size=HxW`, `u8`, `fp16`, `view=S`, `forced` (decisions that don't depend on the
//! image), `time=RUNS` (the runtime's median milliseconds instead, as JSON), separated by commas; a SIZE is NxHxW.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use dyntta_export::{Layout, Options, Output, export, image, npz, sample};
use dyntta_model::{Checkpoint, Limits};
use dyntta_runtime::{Enhancer, Workspace};

#[path = "../tests/common/mod.rs"]
mod common;

fn numbers(text: &str) -> Result<Vec<usize>, std::num::ParseIntError> {
    text.split('x').map(str::parse).collect()
}

#[allow(clippy::disallowed_macros, reason = "an example prints")]
fn time(enhancer: &Enhancer, runs: usize, sizes: &[String]) -> Result<(), Box<dyn Error>> {
    let mut workspace = Workspace::new();
    for size in sizes {
        let [n, h, w]: [usize; 3] = numbers(size)?.try_into().map_err(|_| "a size of NxHxW")?;
        let x = image(Layout::F32Nchw, [n, h, w]);
        let x = x.floats().ok_or("an image of floats")?;
        let mut y = vec![0.0; x.len()];
        enhancer.enhance_planar(&mut workspace, n, h, w, x, &mut y).unwrap();
        let mut times: Vec<f64> = (0..runs)
            .map(|_| {
                let start = Instant::now();
                enhancer.enhance_planar(&mut workspace, n, h, w, x, &mut y).unwrap();
                start.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!("{{\"{size}\": {}}}", times[runs / 2]);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [checkpoint, out, flags, sizes @ ..] = &args[..] else {
        return Err("peer CHECKPOINT OUT OPTIONS SIZE...".into());
    };
    let out = Path::new(out);
    let mut options = Options::default();
    let (mut view, mut forced, mut runs) = (32, false, 0);
    for flag in flags.split(',').filter(|flag| *flag != "-") {
        match flag.split_once('=').unwrap_or((flag, "")) {
            ("opset", n) => options.opset = Some(n.parse()?),
            ("size", size) => options.size = Some(numbers(size)?.try_into().map_err(|_| "a size of HxW")?),
            ("u8", _) => options.layout = Layout::U8Nhwc,
            ("fp16", _) => options.fp16_weights = true,
            ("view", n) => view = n.parse()?,
            ("forced", _) => forced = true,
            ("time", n) => runs = n.parse()?,
            (other, _) => return Err(format!("no option `{other}`").into()),
        }
    }
    let path = match checkpoint.strip_prefix("random:") {
        None => PathBuf::from(checkpoint),
        Some("urie") => common::write_run_with(out, None, view, forced),
        Some("paper") => {
            let names = dyntta_ops::bank::paper_names();
            common::write_run_with(
                out,
                Some(&names.iter().map(String::as_str).collect::<Vec<_>>()),
                view,
                forced,
            )
        }
        Some(names) => common::write_run_with(out, Some(&names.split(',').collect::<Vec<_>>()), view, forced),
    };
    let enhancer = Enhancer::load(&path)?;
    if runs > 0 {
        return time(&enhancer, runs, sizes);
    }
    options.outputs = match enhancer.bank() {
        Some(_) => vec![Output::Enhanced, Output::Weights, Output::Factors],
        None => vec![Output::Enhanced],
    };
    let exported = export(&Checkpoint::open(&path, &Limits::DEFAULT)?, None, &options)?;
    std::fs::write(out.join("enhancer.onnx"), exported.bytes())?;
    for size in sizes {
        let shape: [usize; 3] = numbers(size)?.try_into().map_err(|_| "a size of NxHxW")?;
        let arrays = sample(&enhancer, image(options.layout, shape), &options.outputs);
        std::fs::write(out.join(format!("{size}.npz")), npz(&arrays)?)?;
    }
    Ok(())
}
