//! `dyntta enhance`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use dyntta::{Enhancer, Workspace};
use dyntta_files::shown;
use dyntta_image::{Decode, FileFormat, Metadata, Profile, is_image_name, read_with, write_atomic};
use dyntta_nn::{checkpoint, weights};
use dyntta_train::Stop;

use crate::preprocessing::ExifArg;
use crate::progress;

#[derive(clap::Args)]
pub struct Args {
    /// Image files, or folders of them
    #[arg(required = true)]
    input: Vec<PathBuf>,
    /// A run's folder or a weight file
    #[arg(long, value_name = "RUN|FILE")]
    enhancer: PathBuf,
    /// Folder for the enhanced files
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// png, or jpeg:Q with a quality Q of 1 to 100 [Q: 95]
    #[arg(long, default_value = "png")]
    format: FileFormat,
    /// Turn and mirror pictures as their EXIF orientation says, or take them as they are stored; the enhanced files have none
    #[arg(long, value_enum, default_value = "apply")]
    exif: ExifArg,
    /// Side of the view that the control network looks at; 0 for the image itself [default: the size it was trained at]
    #[arg(long, value_name = "S")]
    control_size: Option<usize>,
}

/// The files to enhance with the names to write, which must differ.
fn jobs(args: &Args) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut files = Vec::new();
    for input in &args.input {
        if input.is_dir() {
            let mut inside: Vec<PathBuf> = std::fs::read_dir(input)
                .and_then(|entries| entries.map(|e| Ok(e?.path())).collect())
                .with_context(|| format!("{}", input.display()))?;
            inside
                .retain(|p| p.is_file() && p.file_name().and_then(|n| n.to_str()).is_some_and(is_image_name));
            inside.sort();
            if inside.is_empty() {
                bail!("{}: expected image files, found none", input.display());
            }
            files.extend(inside);
        } else {
            files.push(input.clone());
        }
    }
    let extension = args.format.extension();
    let mut names: HashMap<PathBuf, PathBuf> = HashMap::new();
    let mut jobs = Vec::new();
    for file in files {
        let stem = file.file_stem().with_context(|| format!("{}: not a file name", file.display()))?;
        let mut name = stem.to_owned();
        name.push(".");
        name.push(extension);
        let out = args.out.join(name);
        if let Some(other) = names.insert(out.clone(), file.clone()) {
            bail!("{} and {} would both be written to {}", other.display(), file.display(), out.display());
        }
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

pub fn run(args: Args, stop: &Stop) -> Result<()> {
    let jobs = jobs(&args)?;
    let mut enhancer = load(&args.enhancer)?;
    if let Some(size) = args.control_size {
        enhancer = enhancer.with_control_size((size > 0).then_some(size));
    }
    std::fs::create_dir_all(&args.out).with_context(|| format!("{}", args.out.display()))?;
    let mut progress = progress::new();
    progress.begin("enhancing", jobs.len() as u64, 0);
    let mut failures = Vec::new();
    let mut profiles = Vec::new();
    let mut workspace = Workspace::new();
    for (i, (file, out)) in jobs.iter().enumerate() {
        stop.check()?;
        match enhance(&enhancer, &mut workspace, file, out, &args) {
            Ok(Profile::Dropped(what)) => profiles.push(format!("{}: {what} is left out", shown(file))),
            Ok(_) => {}
            // What goes wrong on one file leaves the others be.
            Err(error) => failures.push(format!("{error:#}")),
        }
        progress.update(i as u64 + 1, &out.display().to_string());
    }
    progress.end(&format!(
        "{} of {} files written to {}",
        jobs.len() - failures.len(),
        jobs.len(),
        args.out.display()
    ));
    for note in profiles {
        progress.message(&note);
    }
    if !failures.is_empty() {
        bail!(
            "{} of {} files could not be enhanced:\n  {}",
            failures.len(),
            jobs.len(),
            failures.join("\n  ")
        );
    }
    Ok(())
}

/// Enhances one file, and tells what became of its colour profile: one of RGB goes into the new file.
fn enhance(
    enhancer: &Enhancer,
    workspace: &mut Workspace,
    file: &Path,
    out: &Path,
    args: &Args,
) -> Result<Profile> {
    let how = Decode { exif: args.exif.0, profile: true, ..Decode::default() };
    let decoded = read_with(file, &how)?;
    let image = enhancer.enhance_with(workspace, &decoded.image);
    let metadata = Metadata { icc: decoded.profile.rgb(), marked: true };
    write_atomic(out, &args.format.encode_with(&image, &metadata)?)?;
    Ok(decoded.profile)
}
