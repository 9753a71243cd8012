//! `dyntta corrupt`.

use std::path::PathBuf;
use std::thread::available_parallelism;

use anyhow::{Result, bail};
use clap::ValueEnum;
use dyntta_corrupt::{Elastic, Severity, suite};
use dyntta_data::{
    CorruptLayout, CorruptSettings, Dataset, FileFormat, Frost, MANIFEST, Options, Split, write_corrupted,
};
use dyntta_files::shown;
use dyntta_image::Exif;
use dyntta_train::{Error, OnError, Stop};

use crate::bounds;
use crate::claims::Claims;
use crate::out::say;
use crate::progress;

#[derive(Clone, Copy, ValueEnum)]
enum LayoutArg {
    /// A folder of corruption/severity/class/file.
    ImagenetC,
    /// A folder of corruption.npy and labels.npy.
    CifarC,
}

#[derive(Clone, Copy, ValueEnum)]
enum ElasticArg {
    /// As ImageNet-C was published, made for 224 px.
    Published,
    /// Displacements in proportion to the image's size.
    Proportional,
}

#[derive(clap::Args)]
pub struct Args {
    /// Labelled images: anything that `train --data` takes
    input: PathBuf,
    /// Folder for the corrupted set; one that was stopped goes on from what is there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// common15, extra4, all19, or corruptions' names separated by commas
    #[arg(long, value_name = "S|NAMES", default_value = "common15")]
    suite: String,
    /// Severities, 1 to 5
    #[arg(long, value_name = "1,3,5", value_delimiter = ',', default_value = "1,2,3,4,5")]
    severities: Vec<String>,
    /// imagenet (made for 224 px) or cifar (made for 32 px)
    #[arg(long)]
    preset: String,
    /// Names the random streams, together with each image's path
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Folder of pictures for frost, such as the published photographs [default: procedural textures]
    #[arg(long, value_name = "DIR")]
    frost_dir: Option<PathBuf>,
    /// What elastic_transform does in the imagenet preset
    #[arg(long, value_enum, default_value = "published")]
    elastic: ElasticArg,
    /// How the set is laid out
    #[arg(long, value_enum, default_value = "imagenet-c")]
    layout: LayoutArg,
    /// png, or jpeg:Q with a quality Q of 1 to 100 [Q: 95; ImageNet-C has 85] [default: png]
    #[arg(long)]
    format: Option<FileFormat>,
    /// Bring images to S pixels a side first: the shorter side to 8/7 of it, then the centre (ImageNet-C: 224)
    #[arg(long, value_name = "S", value_parser = bounds::side())]
    size: Option<usize>,
    /// Part of a data set that comes in parts (CIFAR, CUB-200, idx)
    #[arg(long, value_name = "test|train", default_value = "test", value_parser = ["test", "train"])]
    split: String,
    /// Take N images only, as many of each class
    #[arg(long, value_name = "N", value_parser = bounds::count())]
    limit: Option<usize>,
    /// Whether pictures are turned as their EXIF orientation says, which the written files don't have
    #[arg(long, value_parser = bounds::choice::<Exif>(), default_value = "ignore")]
    exif: Exif,
    /// What to do about images that cannot be read; those left out are listed in the manifest
    #[arg(long, value_parser = bounds::choice::<OnError>(), default_value = "fail")]
    on_error: OnError,
    /// Threads [default: all]
    #[arg(long, value_parser = bounds::threads())]
    threads: Option<usize>,
}

impl Args {
    fn settings(&self) -> Result<CorruptSettings> {
        let layout = match (self.layout, self.format) {
            (LayoutArg::ImagenetC, format) => CorruptLayout::ImagenetC(format.unwrap_or(FileFormat::Png)),
            (LayoutArg::CifarC, None) => CorruptLayout::CifarC,
            (LayoutArg::CifarC, Some(format)) => {
                bail!("--format {format} doesn't go with --layout cifar-c, whose files are arrays")
            }
        };
        let mut severities: Vec<Severity> =
            self.severities.iter().map(|s| s.parse()).collect::<Result<_, _>>()?;
        severities.sort_unstable();
        severities.dedup();
        Ok(CorruptSettings {
            corruptions: suite(&self.suite)?,
            severities,
            preset: self.preset.parse()?,
            seed: self.seed,
            layout,
            size: self.size,
            elastic: match self.elastic {
                ElasticArg::Proportional => Elastic::Proportional,
                ElasticArg::Published => Elastic::Published,
            },
            frost: self.frost_dir.as_deref().map(Frost::read).transpose()?.unwrap_or_default(),
            threads: self.threads.unwrap_or_else(|| available_parallelism().map_or(1, usize::from)),
            skip_bad: self.on_error == OnError::Skip,
        })
    }
}

/// Images left out that are named.
const SHOWN: usize = 20;

pub fn run(args: Args, mut claims: Claims, stop: &Stop) -> Result<()> {
    claims.folder("--out", &args.out);
    claims.check()?;
    let settings = args.settings()?;
    let split = if args.split == "train" { Split::Train } else { Split::Test };
    let mut data = Dataset::open(&args.input, &Options::split(split))?.with_exif(args.exif);
    if let Some(limit) = args.limit {
        data = data.limit_balanced(limit)?;
    }
    let mut progress = progress::new();
    progress.message(&data.describe());
    let mut total = None;
    let summary = write_corrupted(&data, &args.out, &settings, &|| stop.requested(), &mut |done, of| {
        if total.is_none() {
            progress.begin("corrupting", of, 0);
        }
        total = Some(of);
        progress.update(done, "images");
    })?;
    let there = summary.written + summary.kept;
    progress.end(&format!("{there} images in {}, {} of them new", shown(&args.out), summary.written));
    for error in summary.skipped.iter().take(SHOWN) {
        progress.message(&format!("left out: {error}"));
    }
    if summary.skipped.len() > SHOWN {
        progress.message(&format!("left out: {} more", summary.skipped.len() - SHOWN));
    }
    if !summary.complete {
        let of = total.map_or_else(String::new, |total| format!(" of {total}"));
        let how = format!("{there}{of} images are written; the same command goes on from there");
        return Err(Error::Interrupted(Some(how)).into());
    }
    say!("{}", shown(&args.out.join(MANIFEST)));
    Ok(())
}
