//! `dyntta enhance`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use dyntta::{Enhancer, Workspace};
use dyntta_files::{shown, write_atomic};
use dyntta_image::{Decode, Exif, FileFormat, Metadata, Profile, is_image_name, is_ours, read_with};
use dyntta_train::Stop;

use crate::bounds;
use crate::claims::{Claims, Overwrite};
use crate::message::describe;
use crate::progress::{self, available_bytes};

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
    /// png, or jpeg:Q with a quality Q of 1 to 100 [Q: 95]
    #[arg(long, default_value = "png")]
    format: FileFormat,
    /// Turn and mirror pictures as their EXIF orientation says, or take them as they are stored; the enhanced files have none
    #[arg(long, value_parser = bounds::choice::<Exif>(), default_value = "apply")]
    exif: Exif,
    /// Side of the view that the control network looks at; 0 for the image itself [default: the size it was trained at]
    #[arg(long, value_name = "S", value_parser = bounds::view_or_image())]
    control_size: Option<usize>,
    #[command(flatten)]
    overwrite: Overwrite,
}

/// What enhancing takes for every pixel, about: the networks' maps of full, half and quarter size.
const BYTES_PER_PIXEL: u64 = 600;

/// Files of which something is said by name.
const SHOWN: usize = 20;

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
    let extension = args.format.extension();
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

/// A list of notes, a line each, as far as they are shown.
fn list(notes: &[String]) -> String {
    let shown = notes.iter().take(SHOWN).map(|note| format!("\n  {note}")).collect::<String>();
    match notes.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}\n  … and {more} more"),
    }
}

pub fn run(args: Args, mut claims: Claims, stop: &Stop) -> Result<()> {
    let jobs = jobs(&args)?;
    claims.folder("--out", &args.out);
    for (file, out) in &jobs {
        claims.input("an image that is read", file);
        claims.file(&format!("the enhanced {}", shown(file)), out, is_ours);
    }
    claims.check()?;
    let mut enhancer = Enhancer::load(&args.enhancer)?;
    if let Some(size) = args.control_size {
        enhancer = enhancer.with_control_size((size > 0).then_some(size))?;
    }
    std::fs::create_dir_all(&args.out).with_context(|| format!("{}: cannot be made", shown(&args.out)))?;
    let mut progress = progress::new();
    progress.begin("enhancing", jobs.len() as u64, 0);
    let mut failures = Vec::new();
    let (mut dropped, mut kept) = (Vec::new(), 0);
    let mut workspace = Workspace::new();
    for (i, (file, out)) in jobs.iter().enumerate() {
        stop.check()?;
        match enhance(&enhancer, &mut workspace, file, out, &args) {
            Ok(Profile::Dropped(what)) => dropped.push(format!("{}: {what}", shown(file))),
            Ok(Profile::Rgb(_)) => kept += 1,
            Ok(Profile::None) => {}
            // What goes wrong on one file leaves the others be.
            Err(error) => failures.push(describe(&error)),
        }
        progress.update(i as u64 + 1, &shown(out).to_string());
    }
    progress.end(&format!(
        "{} of {} files written to {}",
        jobs.len() - failures.len(),
        jobs.len(),
        shown(&args.out)
    ));
    if kept > 0 {
        progress.message(&format!("colour profiles of {kept} files are kept"));
    }
    if !dropped.is_empty() {
        progress.message(&format!(
            "colour profiles of {} files are left out:{}",
            dropped.len(),
            list(&dropped)
        ));
    }
    if !failures.is_empty() {
        bail!("{} of {} files could not be enhanced:{}", failures.len(), jobs.len(), list(&failures));
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
    let how = Decode { exif: args.exif, profile: true, ..Decode::default() };
    let decoded = read_with(file, &how)?;
    let needed = BYTES_PER_PIXEL * (decoded.image.width() as u64) * (decoded.image.height() as u64);
    if let Some(free) = available_bytes().filter(|free| needed > *free) {
        let mib = |bytes: u64| bytes >> 20;
        bail!(
            "{}: expected an image that fits the memory, found {}x{} pixels, which take about {} MiB of {} MiB that are free",
            shown(file),
            decoded.image.width(),
            decoded.image.height(),
            mib(needed),
            mib(free)
        );
    }
    let image = enhancer.enhance_with(workspace, &decoded.image);
    let metadata = Metadata { icc: decoded.profile.rgb(), marked: true };
    write_atomic(out, &args.format.encode_with(&image, &metadata)?)?;
    Ok(decoded.profile)
}
