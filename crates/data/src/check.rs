//! Looks at every image of a data set: what it was recognised as, how much it holds, what is broken.
//!
//! Folders and tars are streamed, so that millions of files need no more memory than the counts of their folders; the
//! other layouts are opened as they are for training.

mod report;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::classes::{self, ClassList, beside};
use crate::layout::{self, Layout};
use crate::{
    CorruptedSet, Dataset, Error, Options, Split, archive, corrupted, folder, parquet_files, prefetch,
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
    match layout::recognise(path)? {
        Layout::Cifar | Layout::CifarPython | Layout::Idx | Layout::Cub => {
            check_splits(path, workers, progress)
        }
        // The folder of the images for validation has no other part.
        Layout::TinyImagenet if path.join("val").is_dir() => check_splits(path, workers, progress),
        Layout::Parquet(files) if path.is_dir() && parquet_files::has_parts(&files) => {
            check_splits(path, workers, progress)
        }
        Layout::TinyImagenet | Layout::Parquet(_) | Layout::Table => check_whole(path, workers, progress),
        Layout::Archives(_, files) if is_listed(&files) => check_whole(path, workers, progress),
        Layout::Archives(_, tars) => check_streamed(path, Streamed::Tars(tars), workers, progress),
        Layout::Folder => check_streamed(path, Streamed::Folder, workers, progress),
    }
}

/// Whether archives are to be opened and not streamed: a zip has a directory, and where labels lie beside images (WebDataset)
/// the classes are not the folders. The first archive tells; one that is damaged is reported with the others.
fn is_listed(files: &[PathBuf]) -> bool {
    let Some(first) = files.first() else { return false };
    if crate::names::head(first).is_some_and(|head| crate::zipped::is_zip(&head)) {
        return true;
    }
    let index = archive::index(std::slice::from_ref(first), &|_| true);
    index.is_ok_and(|index| !matches!(crate::webdataset::recognise(&index), Ok(None)))
}

fn check_whole(
    path: &Path,
    workers: usize,
    progress: &mut dyn FnMut(u64, Option<u64>) -> bool,
) -> Result<Option<Report>, Error> {
    let set = Dataset::open(path, &Options::default())?;
    check_listed(path, vec![(String::new(), set)], workers, progress)
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

/// The classes of all sets, and the place there of each set's own.
fn merged(sets: &[(String, Dataset)]) -> (Vec<String>, Vec<Vec<usize>>) {
    let mut classes = Vec::new();
    let mut place_of = BTreeMap::new();
    let mut place = |class: &String| {
        *place_of.entry(class.clone()).or_insert_with(|| {
            classes.push(class.clone());
            classes.len() - 1
        })
    };
    let places = sets.iter().map(|(_, set)| set.classes.iter().map(&mut place).collect()).collect();
    (classes, places)
}

/// Decodes every image of the sets. That they differ in their classes is a problem.
fn check_listed(
    path: &Path,
    sets: Vec<(String, Dataset)>,
    workers: usize,
    progress: &mut dyn FnMut(u64, Option<u64>) -> bool,
) -> Result<Option<Report>, Error> {
    let total: usize = sets.iter().map(|(_, set)| set.len()).sum();
    let layout = sets.first().map_or("", |(_, set)| set.layout);
    let (classes, places) = merged(&sets);
    let mut report = Report::new(path, layout, classes);
    if let Some((first, set)) = sets.first() {
        report.left_out = set.left_out.clone();
        for (name, other) in sets.iter().filter(|(_, other)| other.classes != set.classes) {
            let (one, two) = (set.classes.len(), other.classes.len());
            report.problems.push(format!("{name} has other classes ({two}) than {first} ({one})"));
        }
    }
    let mut done = 0;
    for ((name, set), places) in sets.into_iter().zip(places) {
        let mut part = Part { name, images: 0, by_class: vec![0; report.classes.len()] };
        let set = Arc::new(set);
        let loader = set.clone();
        let load = move |i: usize| (i, loader.load(i).map(|image| (image.width(), image.height())));
        for (i, size) in prefetch(0..set.len(), workers, workers.max(1) * AHEAD, load) {
            let sample = &set.samples[i];
            part.images += 1;
            part.by_class[places[sample.class]] += 1;
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
    let mut folders = Folders::default();
    let tars = match &source {
        Streamed::Tars(tars) => tars.clone(),
        Streamed::Folder => Vec::new(),
    };
    let mut lists = Vec::new();
    let items = stream::items(path, source);
    let mut done = 0;
    for item in prefetch(items, workers, workers.max(1) * AHEAD, Item::look) {
        match item {
            stream::Seen::Folder(name) => drop(folders.images.entry(name).or_default()),
            stream::Seen::Other(name) => report.left_out.file(&name),
            stream::Seen::Unread(folder, name) => {
                report.left_out.unread(&name);
                *folders.unread.entry(folder).or_default() += 1;
            }
            stream::Seen::Hidden => report.left_out.hidden += 1,
            stream::Seen::Special => report.left_out.special += 1,
            stream::Seen::Broken(place, error) => report.add_broken(place, &error),
            stream::Seen::List(name, list) => lists.push((name, list)),
            stream::Seen::Image { folder, place, size } => {
                *folders.images.entry(folder).or_default() += 1;
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
    shape(path, &tars, lists, folders, &mut report)?;
    report.ignored = report.left_out.files();
    Ok(Some(report))
}

/// What folders have; paths below the set's.
#[derive(Default)]
struct Folders {
    images: BTreeMap<String, u64>,
    /// Images of formats that aren't read.
    unread: BTreeMap<String, u64>,
}

/// Makes classes, or corruptions, severities and classes, of the folders that were found.
fn shape(
    path: &Path,
    tars: &[PathBuf],
    lists: Vec<(String, ClassList)>,
    folders: Folders,
    report: &mut Report,
) -> Result<(), Error> {
    let in_tar = !tars.is_empty();
    let Folders { images: mut by_folder, unread } = folders;
    let tops: Vec<(String, u64)> =
        by_folder.extract_if(.., |f, _| f.is_empty() || f.starts_with('/')).collect();
    if by_folder.values().all(|&n| n == 0) && tops.iter().any(|(folder, _)| !folder.is_empty()) {
        // Tars without folders are classes by their names.
        by_folder = tops.iter().map(|(folder, n)| (folder.trim_start_matches('/').to_string(), *n)).collect();
    } else {
        report.left_out.outside += tops.iter().map(|(_, n)| n).sum::<u64>();
    }
    let prefix = if in_tar { strip_common(&mut by_folder) } else { String::new() };
    if by_folder.values().all(|&n| n == 0) {
        if report.broken_count > 0 {
            report.layout = "unreadable";
            return Ok(());
        }
        let found = format!("no image in a folder; left out: {}", report.left_out);
        return Err(Error::layout(path.display(), crate::listing::IMAGES, found));
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
    let inside = format!("{prefix}{}", classes::FILE);
    let place = beside(tars.first().map_or(path, PathBuf::as_path));
    let list = match lists.into_iter().rfind(|(name, _)| *name == inside) {
        Some((_, list)) => Some(list),
        None if in_tar => ClassList::find(&[&place])?,
        None => ClassList::find(&[path, &place])?,
    };
    let with_images = |n: &u64| *n > 0;
    // Class folders and the names that they have as classes.
    let folders: BTreeSet<String> = counts.values().flat_map(BTreeMap::keys).cloned().collect();
    let found: BTreeSet<&str> = (counts.values().flatten())
        .filter(|(folder, n)| with_images(n) && !folder.is_empty())
        .map(|(folder, _)| folder.as_str())
        .collect();
    if let Some(error) = folder::parts_of_a_set(&report.path, &folders) {
        report.problems.push(error.to_string());
    }
    if !is_corrupted {
        let unread: Vec<String> = unread
            .keys()
            .filter_map(|folder| folder.strip_prefix(&prefix))
            .map(|f| format!("{f}/"))
            .collect();
        if let Err(error) = crate::listing::unread_classes(&report.path, &found, &unread) {
            report.problems.push(error.to_string());
        }
    }
    let names = match crate::listing::normal_names(&report.path, found.iter().copied()) {
        Ok(names) => names,
        Err(error) => {
            report.problems.push(error.to_string());
            found.iter().map(|&folder| (folder, folder.to_owned())).collect()
        }
    };
    let found: BTreeSet<String> = names.values().cloned().collect();
    match classes::resolve(&report.path, list, found.clone()) {
        Ok(ordered) => report.classes = ordered.names,
        Err(error) => {
            report.problems.push(error.to_string());
            report.classes = found.into_iter().collect();
        }
    }
    for ((corruption, severity), by_folder) in &counts {
        let name = if is_corrupted { format!("{corruption} {severity}") } else { String::new() };
        let missing: Vec<String> =
            names.keys().filter(|f| !by_folder.contains_key(**f)).map(|&f| f.to_owned()).collect();
        if !missing.is_empty() {
            report
                .problems
                .push(format!("{name}: no folder of the classes {}", crate::error::list(&missing)));
        }
        let empty: Vec<String> =
            by_folder.iter().filter(|(_, n)| **n == 0).map(|(class, _)| class.clone()).collect();
        if !empty.is_empty() {
            let of = if name.is_empty() { String::new() } else { format!("{name}: ") };
            report.problems.push(format!("{of}no image of the classes {}", crate::error::list(&empty)));
            if name.is_empty() {
                report.left_out.empty = empty;
            }
        }
        let mut by_name: BTreeMap<&str, u64> = BTreeMap::new();
        for (folder, n) in by_folder {
            if let Some(name) = names.get(folder.as_str()) {
                *by_name.entry(name).or_default() += n;
            }
        }
        let by_class: Vec<u64> =
            report.classes.iter().map(|class| by_name.get(class.as_str()).copied().unwrap_or(0)).collect();
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
