//! `dyntta enhance`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use dyntta::{Enhancer, Workspace};
use dyntta_files::{Ours, shown, write_atomic};
use dyntta_image::{encode_jpeg, encode_png, is_image_name, read};
use dyntta_nn::{checkpoint, weights};
use dyntta_train::Stop;

use crate::bounds;
use crate::claims::{Claims, Overwrite};
use crate::message::describe;
use crate::progress;

#[derive(clap::Args)]
pub struct Args {
    /// Image files, or folders of them
    #[arg(required = true, value_name = "INPUT")]
    images: Vec<PathBuf>,
    /// A run's folder or a weight file
    #[arg(long, value_name = "RUN|FILE")]
    enhancer: PathBuf,
    /// Folder for the enhanced files
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// png, or jpeg:Q with a quality Q of 1 to 100
    #[arg(long, default_value = "png", value_parser = format)]
    format: Format,
    /// Side of the view that the control network looks at; 0 for the image itself [default: the size it was trained at]
    #[arg(long, value_name = "S", value_parser = bounds::view_or_image())]
    control_size: Option<usize>,
    #[command(flatten)]
    overwrite: Overwrite,
}

/// Whether a picture that is there is one that this command wrote.
const OURS: Ours = |_| false;

/// Files that could not be enhanced that are named.
const SHOWN: usize = 20;

#[derive(Clone, Copy)]
enum Format {
    Png,
    Jpeg(u8),
}

fn format(text: &str) -> Result<Format, String> {
    let quality = |q: &str| q.parse().ok().filter(|q| (1..=100).contains(q));
    match text.split_once(':') {
        None if text == "png" => Ok(Format::Png),
        None if text == "jpeg" => Ok(Format::Jpeg(90)),
        Some(("jpeg", q)) if quality(q).is_some() => Ok(Format::Jpeg(quality(q).expect("checked"))),
        _ => Err("expected png, jpeg or jpeg:Q with Q from 1 to 100".into()),
    }
}

/// The files to enhance with the names to write.
fn jobs(args: &Args) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut files = Vec::new();
    for input in &args.images {
        if input.is_dir() {
            let mut inside: Vec<PathBuf> = std::fs::read_dir(input)
                .and_then(|entries| entries.map(|e| Ok(e?.path())).collect())
                .with_context(|| format!("{}: cannot be listed", shown(input)))?;
            inside
                .retain(|p| p.is_file() && p.file_name().and_then(|n| n.to_str()).is_some_and(is_image_name));
            inside.sort();
            if inside.is_empty() {
                bail!("{}: expected image files, found none", shown(input));
            }
            files.extend(inside);
        } else {
            files.push(input.clone());
        }
    }
    let extension = match args.format {
        Format::Png => "png",
        Format::Jpeg(_) => "jpg",
    };
    let mut jobs = Vec::new();
    for file in files {
        let stem =
            file.file_stem().with_context(|| format!("{}: expected the name of a file", shown(&file)))?;
        let mut name = stem.to_owned();
        name.push(".");
        name.push(extension);
        let out = args.out.join(name);
        jobs.push((file, out));
    }
    Ok(jobs)
}

/// Loads a checkpoint. Bare weights in whatever format and by whatever keys (a published URIE) are brought into ours
/// first.
fn load(path: &Path) -> Result<Enhancer> {
    if path.is_dir() || path.with_extension("json").is_file() {
        return Ok(Enhancer::load(path)?);
    }
    let (bare, _) = checkpoint::load(path, &Device::flex())?;
    let folder = tempfile::tempdir().context("temporary folder")?;
    let file = folder.path().join(checkpoint::WEIGHTS);
    weights::write(&file, &weights::state_dict(&bare), Default::default())?;
    Ok(Enhancer::load(&file)?)
}

pub fn run(args: Args, mut claims: Claims, stop: &Stop) -> Result<()> {
    let jobs = jobs(&args)?;
    claims.folder("--out", &args.out);
    for (file, out) in &jobs {
        claims.input("an image that is read", file);
        claims.file(&format!("the enhanced {}", shown(file)), out, OURS);
    }
    claims.check()?;
    let mut enhancer = load(&args.enhancer)?;
    if let Some(size) = args.control_size {
        enhancer = enhancer.with_control_size((size > 0).then_some(size));
    }
    std::fs::create_dir_all(&args.out).with_context(|| format!("{}: cannot be made", shown(&args.out)))?;
    let mut progress = progress::new();
    progress.begin("enhancing", jobs.len() as u64, 0);
    let mut failures = Vec::new();
    let mut workspace = Workspace::new();
    for (i, (file, out)) in jobs.iter().enumerate() {
        stop.check()?;
        if let Err(error) = enhance(&enhancer, &mut workspace, file, out, args.format) {
            // What goes wrong on one file leaves the others be.
            failures.push(describe(&error));
        }
        progress.update(i as u64 + 1, &shown(out).to_string());
    }
    progress.end(&format!(
        "{} of {} files written to {}",
        jobs.len() - failures.len(),
        jobs.len(),
        shown(&args.out)
    ));
    if !failures.is_empty() {
        let more = match failures.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!("\n  … and {more} more"),
        };
        let (failed, of) = (failures.len(), jobs.len());
        failures.truncate(SHOWN);
        bail!("{failed} of {of} files could not be enhanced:\n  {}{more}", failures.join("\n  "));
    }
    Ok(())
}

fn enhance(
    enhancer: &Enhancer,
    workspace: &mut Workspace,
    file: &Path,
    out: &Path,
    format: Format,
) -> Result<()> {
    let image = enhancer.enhance_with(workspace, &read(file)?);
    let bytes = match format {
        Format::Png => encode_png(&image)?,
        Format::Jpeg(quality) => encode_jpeg(&image, quality)?,
    };
    Ok(write_atomic(out, &bytes)?)
}
