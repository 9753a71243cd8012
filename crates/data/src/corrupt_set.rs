//! Writes corrupted copies of a data set, laid out as [`CorruptedSet`](crate::CorruptedSet) and everybody else reads them.

mod arrays;
mod frost;
mod images;
mod manifest;
mod parallel;

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use dyntta_corrupt::{Corruption, Elastic, Preset, Resources, Severity};
use dyntta_files::{remove_leftovers, sync_all, write_atomic};
use dyntta_image::{FileFormat, Rgb8};

pub use self::frost::Frost;
pub use self::manifest::MANIFEST;
use self::manifest::Record;
use self::parallel::Watch;
use crate::{Dataset, Error, Preprocessing, classes, folder};

/// What [`write_corrupted`] is to write and how.
#[derive(Clone, Debug)]
pub struct CorruptSettings {
    /// The corruptions.
    pub corruptions: Vec<Corruption>,
    /// The severities of each.
    pub severities: Vec<Severity>,
    /// The parameters.
    pub preset: Preset,
    /// Names the random streams, together with each image's path, the corruption and the severity.
    pub seed: u64,
    /// The layout and the kind of file.
    pub layout: CorruptLayout,
    /// Brings images to this side before they are corrupted: the shorter side to 8/7 of it, then the centre, as
    /// ImageNet-C was made with 224. `None`: as they are.
    pub size: Option<usize>,
    /// What `elastic_transform` does in the `imagenet` preset.
    pub elastic: Elastic,
    /// The textures of `frost`.
    pub frost: Frost,
    /// Threads that work at the same time: at least 1, at most as many as there are images.
    pub threads: usize,
    /// Leaves out images that cannot be read, instead of giving up at the first.
    pub skip_bad: bool,
}

/// How a corrupted set is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CorruptLayout {
    /// A folder of `corruption/severity/class/file`, as ImageNet-C is.
    ImagenetC(FileFormat),
    /// A folder of `corruption.npy`, u8 `[5 n, height, width, 3]`, severity after severity, and `labels.npy`, as CIFAR-10-C
    /// is. Images of one size, all five severities.
    CifarC,
}

impl fmt::Display for CorruptLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ImagenetC(_) => "imagenet-c",
            Self::CifarC => "cifar-c",
        })
    }
}

/// What [`write_corrupted`] did. An image counts once for each corruption and severity.
#[derive(Debug, Default)]
pub struct CorruptSummary {
    /// Images written.
    pub written: u64,
    /// Images that were there from an earlier run.
    pub kept: u64,
    /// Why images were left out, in the order of the data set.
    pub skipped: Vec<Error>,
    /// Whether all is there; not so if it was stopped.
    pub complete: bool,
}

/// Writes `data` under every corruption and severity of `settings` to the folder `out`.
///
/// What an earlier run with the same settings left there is kept, so a stopped run goes on where it stopped. Every file is
/// written under a temporary name and renamed, and temporary files that a killed run left are removed. The bytes depend on the settings, the images and their paths, not on
/// threads or the order of the images (but for the order of the rows in arrays). A `classes.txt` keeps the order of the
/// classes, and at the end, when all is on the disk, [`MANIFEST`] lists the settings and the SHA-256 of every file; while it is
/// missing, the set is not complete.
///
/// `stop` is asked often, from all threads, whether to stop at the next file; `progress` hears how many images of how many
/// are done.
///
/// # Errors
/// An image that cannot be read (unless those are skipped) or a file that cannot be written; [`Error::Manifest`] if
/// `out` holds a set made with other settings; [`Error::Layout`] if it holds anything else, if two images would have the
/// same name or, for arrays, differ in size.
pub fn write_corrupted(
    data: &Dataset,
    out: &Path,
    settings: &CorruptSettings,
    stop: &(dyn Fn() -> bool + Sync),
    progress: &mut dyn FnMut(u64, u64),
) -> Result<CorruptSummary, Error> {
    let work = Work {
        data,
        out,
        settings,
        resources: settings.resources(),
        watch: Watch::new(stop),
        folders: Mutex::default(),
    };
    let names = match settings.layout {
        CorruptLayout::ImagenetC(format) => images::names(data, format)?,
        CorruptLayout::CifarC => Vec::new(),
    };
    if settings.layout == CorruptLayout::CifarC && settings.severities != Severity::ALL {
        let found = settings.severities.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let expected = "the severities 1,2,3,4,5 for the layout cifar-c, whose arrays hold all five";
        return Err(Error::Selection { path: out.display().to_string(), expected, found });
    }
    work.enter(out)?;
    let mut record = Record::begin(out, settings, data)?;
    write_atomic(out.join(classes::FILE), (data.classes.join("\n") + "\n").as_bytes())?;
    let summary = match settings.layout {
        CorruptLayout::ImagenetC(format) => work.write_images(&names, format, &mut record, progress)?,
        CorruptLayout::CifarC => work.write_arrays(&mut record, progress)?,
    };
    if summary.complete {
        // Each file alone would wait for the disk as many times.
        sync_all(out)?;
        record.finish()?;
    }
    Ok(summary)
}

impl CorruptSettings {
    fn resources(&self) -> Resources {
        Resources { frost: self.frost.textures.clone(), elastic: self.elastic }
    }
}

/// What all of a run shares.
struct Work<'a> {
    data: &'a Dataset,
    out: &'a Path,
    settings: &'a CorruptSettings,
    resources: Resources,
    watch: Watch<'a>,
    /// Folders of the set that are ready to be written into.
    folders: Mutex<HashSet<PathBuf>>,
}

impl Work<'_> {
    /// Makes a folder of the set; what a killed run left there is removed when it is entered first.
    fn enter(&self, folder: &Path) -> Result<(), Error> {
        let mut known = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(folder) {
            return Ok(());
        }
        fs::create_dir_all(folder).map_err(|e| Error::io(folder, "create", e))?;
        remove_leftovers(folder);
        known.insert(folder.to_owned());
        Ok(())
    }

    fn load(&self, index: usize) -> Result<Rgb8, Error> {
        let image = self.data.load(index)?;
        Ok(match self.settings.size {
            Some(size) => Preprocessing::imagenet(size).fit.apply(&image),
            None => image,
        })
    }

    fn corrupt(&self, image: &Rgb8, corruption: Corruption, severity: Severity, index: usize) -> Rgb8 {
        let CorruptSettings { preset, seed, .. } = *self.settings;
        let path = &self.data.samples[index].path;
        dyntta_corrupt::corrupt_with(image, corruption, preset, severity, seed, path, &self.resources)
    }

    fn total(&self) -> u64 {
        (self.data.len() * self.settings.corruptions.len() * self.settings.severities.len()) as u64
    }
}

/// Whether the folder has nothing in it, hidden files apart.
fn is_empty(folder: &Path) -> Result<bool, Error> {
    Ok(folder::entries(folder)?.is_empty())
}

#[cfg(test)]
mod tests;
