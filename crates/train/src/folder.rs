//! The folder of a run: who may begin, go on and write there. Nothing in it is ever removed but temporary files of killed runs,
//! and nothing is written over but a run's own files.

use std::path::{Path, PathBuf};

use dyntta_files::{Claims, Lock, remove_leftovers, shown, write_atomic};
use dyntta_nn::checkpoint;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::classifier::CLASSIFIER;
use crate::error::Error;
use crate::fit::METRICS;
use crate::options::file::{self, SETTINGS};
use crate::state;

/// The files that runs write into their folders. A new run takes no folder that has one of them.
pub const RUN_FILES: [&str; 7] =
    [SETTINGS, METRICS, state::FILE, checkpoint::WEIGHTS, "enhancer.json", CLASSIFIER, "classifier.json"];

/// How a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// In a folder without a run.
    New,
    /// With the run that is there.
    Resume,
    /// With the run of the same settings that is there, or else in a folder without a run: for what goes on by itself.
    Either,
}

/// How far the run in a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// There is none.
    Nothing,
    /// It was killed before its first state: it begins anew.
    Begun,
    /// It goes on from its state.
    State,
    /// There are weights and no state, as when that was deleted to save room. If they are the run's last, it is finished.
    Weights,
}

/// The folder of a run that is to begin or go on.
pub(crate) struct Place {
    pub folder: PathBuf,
    pub at: At,
    start: Start,
    /// The file of what the run trains.
    weights: &'static str,
    /// Who works there, for others that want to.
    worker: &'static str,
    /// From when there is a run. A folder of others gets none.
    lock: Option<Lock>,
}

impl Place {
    /// Looks at `folder`; nothing is made there. `settings` are the run's.
    ///
    /// # Errors
    /// A run where a new one is to begin, none where one is to go on, files that are not those of such a run, another process
    /// that works there, and a folder that can't be written.
    pub fn find<S: Serialize + DeserializeOwned>(
        folder: &Path,
        settings: &S,
        start: Start,
        weights: &'static str,
        worker: &'static str,
    ) -> Result<Self, Error> {
        // Before anything is made there.
        file::to_json(settings)?;
        let mut place =
            Self { folder: folder.to_owned(), at: At::Nothing, start, weights, worker, lock: None };
        place.at = place.look(settings)?;
        if place.at == At::Nothing {
            Claims::new(false).folder("`out`", folder).check()?;
        } else {
            place.lock = Some(Lock::folder(folder, worker)?);
            // It may have gone on before it was locked.
            place.at = place.look(settings)?;
        }
        Ok(place)
    }

    /// Makes the folder, locks it, and keeps the settings of a run that begins.
    ///
    /// # Errors
    /// As [`Place::find`], if another process came first, and a full disk.
    pub fn enter<S: Serialize + DeserializeOwned>(&mut self, settings: &S) -> Result<(), Error> {
        let folder = &self.folder;
        if self.lock.is_none() {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
            self.lock = Some(Lock::folder(folder, self.worker)?);
            if self.look(settings)? != self.at {
                return Err(refused(folder, "another process has begun a run in it".to_owned()));
            }
        }
        remove_leftovers(folder);
        if matches!(self.at, At::Nothing | At::Begun) {
            write_atomic(folder.join(SETTINGS), file::to_json(settings)?.as_bytes())?;
        }
        Ok(())
    }

    /// Whether the run goes on or is finished, so that what it starts from isn't needed.
    pub fn has_weights(&self) -> bool {
        matches!(self.at, At::State | At::Weights)
    }

    fn look<S: Serialize + DeserializeOwned>(&self, settings: &S) -> Result<At, Error> {
        let folder = &self.folder;
        let mut there = Vec::new();
        for name in RUN_FILES {
            let path = folder.join(name);
            match std::fs::symlink_metadata(&path) {
                Ok(_) => there.push(name),
                Err(e) if is_absent(&e) => {}
                Err(e) => return Err(Error::io(&path)(e)),
            }
        }
        let has = |name: &str| there.contains(&name);
        match (self.start, there.first()) {
            (Start::New | Start::Either, None) => return Ok(At::Nothing),
            (Start::New, Some(first)) => {
                let place = shown(folder);
                let (expected, found) = if has(SETTINGS) {
                    (
                        "a folder without a run; continue the run with --resume or choose another folder",
                        format!("a run in {place}"),
                    )
                } else {
                    (
                        "a folder without files that a run writes; choose another folder",
                        format!("{first} in {place}"),
                    )
                };
                return Err(Error::setting("out", expected, found));
            }
            (Start::Resume, _) if !has(SETTINGS) && !has(state::FILE) => {
                return Err(refused(folder, format!("there is no run in this folder (no {SETTINGS})")));
            }
            _ => {}
        }
        if has(state::FILE) {
            return Ok(At::State);
        }
        let foreign =
            |why: String| refused(folder, format!("not a run of this command ({why}); move it away"));
        if !has(SETTINGS) {
            return Err(foreign(format!("{} without {SETTINGS}", there.join(", "))));
        }
        // Only a run's own settings say that what is there may be written over.
        file::read_run::<S>(folder).map_err(|e| foreign(e.to_string()))?;
        let before: Value = file::read_run(folder)?;
        if before["data"].is_null() {
            return Err(foreign(format!("{SETTINGS} names no data")));
        }
        if self.start == Start::Either {
            // As it would stand in the file: a number may be another in memory.
            let now: Value = serde_json::from_str(&file::to_json(settings)?).unwrap_or_default();
            let others = others(&before, &now);
            if !others.is_empty() {
                return Err(foreign(format!("{SETTINGS} has another {}", others.join(", "))));
            }
        }
        Ok(if has(self.weights) { At::Weights } else { At::Begun })
    }
}

/// The keys by which the settings of two runs differ; paths may be written in several ways, and what they lead to is compared
/// apart.
fn others(before: &Value, now: &Value) -> Vec<String> {
    const PATHS: [&str; 7] =
        ["data", "validation", "classifier", "urie", "control-weights", "preprocessing", "policy"];
    let (Value::Object(before), Value::Object(now)) = (before, now) else { return vec!["form".to_owned()] };
    let keys = before.keys().chain(now.keys().filter(|key| !before.contains_key(*key)));
    let value = |map: &serde_json::Map<String, Value>, key: &str| map.get(key).cloned().unwrap_or_default();
    keys.filter(|key| match (value(before, key), value(now, key)) {
        (Value::String(_), Value::String(_)) if PATHS.contains(&key.as_str()) => false,
        (a, b) => a != b,
    })
    .map(|key| format!("`{key}`"))
    .collect()
}

/// The error of a run that can't go on.
pub(crate) fn refused(folder: &Path, message: String) -> Error {
    Error::Resume { path: folder.to_owned(), message }
}

/// Whether an error says that nothing stands there.
pub(crate) fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}
