//! Looks at every image of a data set: what it was recognised as, how much it holds, what is broken.
//!
//! Folders and tars are streamed, so that millions of files need no more memory than the counts of their folders; the
//! other layouts are opened as they are for training.

mod report;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::classes::{self, ClassList};
use crate::{
    CorruptedSet, Dataset, Error, Options, Split, cifar, corrupted, cub, folder, idx, prefetch, shards,
};

pub use report::{Broken, Part, Report, Sizes};
use stream::{Item, Streamed};

/// Images in work or waiting, per thread.
const AHEAD: usize = 4;

/// Opens whatever [`Dataset::open`] and [`CorruptedSet::open`] take, decodes every image on `workers` threads, and
/// reports. `progress` is told how many images are done and of how many, where that is known beforehand; when it returns
/// false the check stops.
///
/// The result does not depend on the number of threads.
///
/// # Errors
/// If the data set cannot be opened at all. `None`: stopped.
pub fn check(
    path: impl AsRef<Path>,
    workers: usize,
    progress: &mut dyn FnMut(u64, Option<u64>) -> bool,
) -> Result<Option<Report>, Error> {
    let path = path.as_ref();
    let csv = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"));
    if path.is_dir() && (cifar::recognise(path) || idx::recognise(path) || cub::recognise(path)) {
        return check_splits(path, workers, progress);
    }
    if path.is_dir() && path.join(corrupted::LABELS).is_file() {
        let set = CorruptedSet::open(path, None)?;
        let part =
            |part: crate::CorruptedPart| Ok((format!("{} {}", part.corruption, part.severity), part.open()?));
        return check_listed(
            path,
            set.parts.into_iter().map(part).collect::<Result<_, Error>>()?,
            workers,
            progress,
        );
    }
    if csv {
        let set = Dataset::open(path, &Options::default())?;
        return check_listed(path, vec![(String::new(), set)], workers, progress);
    }
    let source = match shards::find(path)? {
        Some(tars) => Streamed::Tars(tars),
        None if path.is_dir() => Streamed::Folder,
        None => {
            std::fs::metadata(path).map_err(|e| Error::io(path, "open", e))?;
            Streamed::Tars(vec![path.to_path_buf()])
        }
    };
    check_streamed(path, source, workers, progress)
}

/// The parts of a data set that comes in training and test images; one may be missing.
fn check_splits(
    path: &Path,
    workers: usize,
    progress: &mut dyn FnMut(u64, Option<u64>) -> bool,
) -> Result<Option<Report>, Error> {
    let mut sets = Vec::new();
    let mut problems = Vec::new();
    for (name, split) in [("train", Split::Train), ("test", Split::Test)] {
        match Dataset::open(path, &Options::split(split)) {
            Ok(set) => sets.push((name.to_string(), set)),
            Err(error) => problems.push(error),
        }
    }
    if sets.is_empty() {
        return Err(problems.swap_remove(0));
    }
    let report = check_listed(path, sets, workers, progress)?;
    Ok(report.map(|mut report| {
        report.problems.extend(problems.iter().map(ToString::to_string));
        report
    }))
}

/// Decodes every image of the sets; they have the same classes.
fn check_listed(
    path: &Path,
    sets: Vec<(String, Dataset)>,
    workers: usize,
    progress: &mut dyn FnMut(u64, Option<u64>) -> bool,
) -> Result<Option<Report>, Error> {
    let total: usize = sets.iter().map(|(_, set)| set.len()).sum();
    let (layout, classes) =
        sets.first().map_or(("", Vec::new()), |(_, set)| (set.layout, set.classes.clone()));
    let mut report = Report::new(path, layout, classes);
    report.ignored = sets.iter().map(|(_, set)| set.ignored as u64).max().unwrap_or(0);
    let mut done = 0;
    for (name, set) in sets {
        let mut part = Part { name, images: 0, by_class: vec![0; report.classes.len()] };
        let set = Arc::new(set);
        let loader = set.clone();
        let load = move |i: usize| (i, loader.load(i).map(|image| (image.width, image.height)));
        for (i, size) in prefetch(0..set.len(), workers, workers.max(1) * AHEAD, load) {
            let sample = &set.samples[i];
            part.images += 1;
            part.by_class[sample.class] += 1;
            match size {
                Ok((width, height)) => report.sizes.add(width, height),
                Err(error) => report.add_broken(set.locate(sample), &error),
            }
            done += 1;
            if !progress(done, Some(total as u64)) {
                return Ok(None);
            }
        }
        report.parts.push(part);
    }
    Ok(Some(report))
}

/// Decodes what streams from a folder or from tars, counting by folder, and makes classes of the folders at the end.
fn check_streamed(
    path: &Path,
    source: Streamed,
    workers: usize,
    progress: &mut dyn FnMut(u64, Option<u64>) -> bool,
) -> Result<Option<Report>, Error> {
    let mut report = Report::new(path, "", Vec::new());
    let mut by_folder: BTreeMap<String, u64> = BTreeMap::new();
    let tars = match &source {
        Streamed::Tars(tars) => tars.clone(),
        Streamed::Folder => Vec::new(),
    };
    let mut lists = Vec::new();
    let items = stream::items(path, source);
    let mut done = 0;
    for item in prefetch(items, workers, workers.max(1) * AHEAD, Item::look) {
        match item {
            stream::Seen::Folder(name) => drop(by_folder.entry(name).or_default()),
            stream::Seen::Other => report.ignored += 1,
            stream::Seen::Broken(place, error) => report.add_broken(place, &error),
            stream::Seen::List(name, list) => lists.push((name, list)),
            stream::Seen::Image { folder, place, size } => {
                *by_folder.entry(folder).or_default() += 1;
                match size {
                    Ok((width, height)) => report.sizes.add(width, height),
                    Err(error) => report.add_broken(place, &error),
                }
                done += 1;
                if !progress(done, None) {
                    return Ok(None);
                }
            }
        }
    }
    shape(path, &tars, lists, by_folder, &mut report)?;
    Ok(Some(report))
}

/// Makes classes, or corruptions, severities and classes, of the folders that were found.
fn shape(
    path: &Path,
    tars: &[PathBuf],
    lists: Vec<(String, ClassList)>,
    mut by_folder: BTreeMap<String, u64>,
    report: &mut Report,
) -> Result<(), Error> {
    let in_tar = !tars.is_empty();
    let tops: Vec<(String, u64)> =
        by_folder.extract_if(.., |f, _| f.is_empty() || f.starts_with('/')).collect();
    if by_folder.values().all(|&n| n == 0) && tops.iter().any(|(folder, _)| !folder.is_empty()) {
        // Tars without folders are classes by their names.
        by_folder = tops.iter().map(|(folder, n)| (folder.trim_start_matches('/').to_string(), *n)).collect();
    } else {
        report.ignored += tops.iter().map(|(_, n)| n).sum::<u64>();
    }
    let prefix = if in_tar { strip_common(&mut by_folder) } else { String::new() };
    if by_folder.values().all(|&n| n == 0) {
        if report.broken_count > 0 {
            report.layout = "unreadable";
            return Ok(());
        }
        let found = format!("no image in a folder, {} other files", report.ignored);
        let expected = "images in class folders (jpg, jpeg, png, bmp, webp)";
        return Err(Error::layout(path.display(), expected, found));
    }
    let folders = by_folder.iter().filter(|(_, n)| **n > 0).map(|(folder, _)| folder);
    let is_corrupted = folders.clone().all(|folder| is_corrupted(folder));
    report.layout = match (in_tar, tars.len() > 1, is_corrupted) {
        (false, _, false) => "folder of classes",
        (false, _, true) => "folder of corruptions, severities and classes",
        (true, false, false) => "tar of classes",
        (true, false, true) => "tar of corruptions, severities and classes",
        (true, true, false) => "tar shards of classes",
        (true, true, true) => "tar shards of corruptions, severities and classes",
    };
    // Part and class of each folder.
    let mut counts: BTreeMap<(String, u8), BTreeMap<String, u64>> = BTreeMap::new();
    for (folder, n) in &by_folder {
        let mut pieces = folder.split('/');
        let (part, class) = if is_corrupted {
            let (corruption, severity) = (pieces.next(), pieces.next().and_then(corrupted::severity));
            let (Some(corruption), Some(severity), Some(class)) = (corruption, severity, pieces.next())
            else {
                continue; // a folder above the classes
            };
            ((corruption.to_string(), severity), class)
        } else {
            ((String::new(), 0), pieces.next().unwrap_or_default())
        };
        *counts.entry(part).or_default().entry(class.to_string()).or_default() += n;
    }
    let found: BTreeSet<String> = counts.values().flat_map(BTreeMap::keys).cloned().collect();
    let inside = format!("{prefix}{}", classes::FILE);
    let beside = tars.first().map_or(path, PathBuf::as_path).parent().unwrap_or(path);
    let list = match lists.into_iter().rfind(|(name, _)| *name == inside) {
        Some((_, list)) => Some(list),
        None if in_tar => ClassList::find(&[beside])?,
        None => ClassList::find(&[path, beside])?,
    };
    if let Some(error) = folder::parts_of_a_set(&report.path, &found) {
        report.problems.push(error.to_string());
    }
    match classes::resolve(&report.path, list, found.clone()) {
        Ok(classes) => report.classes = classes,
        Err(error) => {
            report.problems.push(error.to_string());
            report.classes = found.iter().cloned().collect();
        }
    }
    for ((corruption, severity), by_class) in counts {
        let name = if is_corrupted { format!("{corruption} {severity}") } else { String::new() };
        let missing: Vec<String> = found.iter().filter(|c| !by_class.contains_key(*c)).cloned().collect();
        if !missing.is_empty() {
            report
                .problems
                .push(format!("{name}: no folder of the classes {}", crate::error::list(&missing)));
        }
        let empty: Vec<String> =
            by_class.iter().filter(|(_, n)| **n == 0).map(|(class, _)| class.clone()).collect();
        if !empty.is_empty() {
            let of = if name.is_empty() { String::new() } else { format!("{name}: ") };
            report.problems.push(format!("{of}no image of the classes {}", crate::error::list(&empty)));
        }
        let by_class: Vec<u64> =
            report.classes.iter().map(|class| by_class.get(class).copied().unwrap_or(0)).collect();
        report.parts.push(Part { name, images: by_class.iter().sum(), by_class });
    }
    Ok(())
}

/// Whether a folder is `corruption/severity/class` or below.
fn is_corrupted(folder: &str) -> bool {
    let mut pieces = folder.split('/').skip(1);
    pieces.next().is_some_and(|name| corrupted::severity(name).is_some()) && pieces.next().is_some()
}

/// Takes away folders above all images, as opening a tar does: as long as something is left below them, and no
/// corruption is taken for one. What was taken away: `a/b/`.
fn strip_common(by_folder: &mut BTreeMap<String, u64>) -> String {
    let mut taken = String::new();
    loop {
        let images = || by_folder.iter().filter(|(_, n)| **n > 0).map(|(folder, _)| folder.as_str());
        let Some((first, _)) = images().next().and_then(|f| f.split_once('/')) else { return taken };
        let prefix = format!("{first}/");
        if !images().all(|f| f.starts_with(&prefix)) || images().all(is_corrupted) {
            return taken;
        }
        *by_folder = std::mem::take(by_folder)
            .into_iter()
            .filter_map(|(folder, n)| folder.strip_prefix(&prefix).map(|rest| (rest.to_string(), n)))
            .collect();
        taken.push_str(&prefix);
    }
}

#[cfg(test)]
mod tests;
