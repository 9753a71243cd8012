use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use dyntta_files::{Limits, write_atomic};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{CorruptLayout, CorruptSettings, is_empty};
use crate::{Dataset, Error};

/// The file that lists a complete corrupted set: `version` 1; the `settings`; `skipped`, the images left out; and `files`,
/// the SHA-256 of each by its path in the folder.
pub const MANIFEST: &str = "manifest.json";

/// The same without files, while a set is being written.
const PARTIAL: &str = "manifest.partial.json";

const VERSION: u64 = 1;

/// What the JSON of this program says first.
const PROGRAM: &str = "dyntta";

#[derive(Serialize, Deserialize)]
struct Manifest {
    #[serde(default)]
    program: String,
    version: u64,
    settings: Map<String, Value>,
    skipped: Vec<String>,
    files: BTreeMap<String, String>,
}

/// The manifest of a set that is being written, and what an earlier run says of it.
pub(super) struct Record {
    folder: PathBuf,
    before: BTreeMap<String, String>,
    now: Manifest,
    /// Whether what stands at [`PARTIAL`] is of this very set.
    partial: bool,
}

impl Record {
    /// Compares `folder` with the settings, and notes there that a set is being written.
    pub fn begin(folder: &Path, settings: &CorruptSettings, data: &Dataset) -> Result<Self, Error> {
        let settings = describe(settings, data);
        let (mut before, mut ours) = (BTreeMap::new(), true);
        let (whole, partial) = (folder.join(MANIFEST), folder.join(PARTIAL));
        match (read(&whole)?, read(&partial)?) {
            (Some(manifest), partly) => {
                compare(&whole, &manifest, &settings)?;
                // Left by a run that was killed when all was done.
                ours = partly.is_some_and(|partly| compare(&partial, &partly, &settings).is_ok());
                before = manifest.files;
            }
            (None, Some(manifest)) => compare(&partial, &manifest, &settings)?,
            (None, None) if !is_empty(folder)? => {
                let expected = "an empty folder, or a corrupted set to complete";
                return Err(Error::layout(folder.display(), expected, format!("files, but no {MANIFEST}")));
            }
            (None, None) => {}
        }
        let now = Manifest {
            program: PROGRAM.into(),
            version: VERSION,
            settings,
            skipped: Vec::new(),
            files: BTreeMap::new(),
        };
        if before.is_empty() {
            write_atomic(partial, to_json(&now).as_bytes())?;
        }
        Ok(Self { folder: folder.to_owned(), partial: ours || before.is_empty(), before, now })
    }

    /// The hash that a complete earlier run gave for a file.
    pub fn before(&self, file: &str) -> Option<&str> {
        self.before.get(file).map(String::as_str)
    }

    pub fn add(&mut self, file: String, hash: String) {
        self.now.files.insert(file, hash);
    }

    pub fn skip(&mut self, image: &str) {
        self.now.skipped.push(image.to_owned());
    }

    pub fn finish(mut self) -> Result<(), Error> {
        self.now.skipped.sort();
        write_atomic(self.folder.join(MANIFEST), to_json(&self.now).as_bytes())?;
        if !self.partial {
            return Ok(());
        }
        let partial = self.folder.join(PARTIAL);
        match fs::remove_file(&partial) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(&partial, "remove", e)),
            _ => Ok(()),
        }
    }
}

fn to_json(manifest: &Manifest) -> String {
    serde_json::to_string_pretty(manifest).expect("plain data") + "\n"
}

fn read(path: &Path) -> Result<Option<Manifest>, Error> {
    // Nothing, or a link that leads nowhere.
    if !path.exists() {
        return Ok(None);
    }
    let bytes = dyntta_files::read(path, Limits::DEFAULT.model_bytes)?;
    let manifest: Manifest = serde_json::from_slice(&bytes)
        .map_err(|e| Error::layout(path.display(), "the manifest of a corrupted set", e.to_string()))?;
    if manifest.version != VERSION {
        let found = format!("version {}", manifest.version);
        return Err(Error::layout(path.display(), format!("a manifest of version {VERSION}"), found));
    }
    Ok(Some(manifest))
}

/// All that decides what stands in the files.
fn describe(settings: &CorruptSettings, data: &Dataset) -> Map<String, Value> {
    let format = match settings.layout {
        CorruptLayout::ImagenetC(format) => format.to_string(),
        CorruptLayout::CifarC => "npy".into(),
    };
    let described = json!({
        "dyntta": env!("CARGO_PKG_VERSION"),
        "layout": settings.layout.to_string(),
        "format": format,
        "preset": settings.preset.name(),
        "seed": settings.seed,
        "suite": settings.corruptions.iter().map(|c| c.name()).collect::<Vec<_>>(),
        "severities": settings.severities.iter().map(|s| s.get()).collect::<Vec<_>>(),
        "size": settings.size,
        "elastic": settings.elastic.name(),
        "exif": data.exif().name(),
        "frost": settings.frost.description,
        "images": data.len(),
        "classes": data.classes.len(),
    });
    let Value::Object(map) = described else { unreachable!("it is an object") };
    map
}

fn compare(path: &Path, manifest: &Manifest, settings: &Map<String, Value>) -> Result<(), Error> {
    for (key, expected) in settings {
        // What sets mean that were made before it was a choice.
        let absent = if key == "exif" { json!("apply") } else { Value::Null };
        let found = manifest.settings.get(key).unwrap_or(&absent);
        if found != expected {
            return Err(Error::Manifest {
                path: path.display().to_string(),
                key: key.clone(),
                expected: expected.to_string(),
                found: found.to_string(),
            });
        }
    }
    Ok(())
}
