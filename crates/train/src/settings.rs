//! The files of settings: a user's TOML, and what a run keeps in its folder.

use std::path::Path;

use dyntta_image::write_atomic;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::state;

/// The file of the settings in a run's folder.
pub const SETTINGS: &str = "settings.json";

/// The settings of `$a`, field by field, and those of `$b` where `$a` is silent. All fields are named: one left out does not
/// compile.
macro_rules! or {
    ($a:expr, $b:expr, $($field:ident),* $(,)?) => {{
        let (a, b) = ($a, $b);
        Self { $($field: a.$field.or(b.$field)),* }
    }};
}
pub(crate) use or;

/// Reads settings from a TOML file.
pub(crate) fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    toml::from_str(&text)
        .map_err(|e| Error::Config { path: path.to_owned(), message: e.to_string().trim_end().to_owned() })
}

/// Reads the settings of a run that is there.
pub(crate) fn read_run<T: DeserializeOwned>(folder: &Path) -> Result<T, Error> {
    let path = folder.join(SETTINGS);
    if !path.is_file() {
        let message = format!("there is no run in this folder (no {SETTINGS})");
        return Err(Error::Resume { path: folder.to_owned(), message });
    }
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    serde_json::from_str(&text).map_err(|e| Error::Config { path, message: e.to_string() })
}

/// Makes the folder of a new run with its settings in it, or checks that there is a run to go on with. A folder that holds a
/// run already is refused to a new one.
pub(crate) fn open_folder(folder: &Path, settings: &impl Serialize, resume: bool) -> Result<(), Error> {
    if resume {
        if folder.join(state::FILE).is_file() {
            return Ok(());
        }
        let message =
            format!("the run has no saved state yet (no {}); start it anew in another folder", state::FILE);
        return Err(Error::Resume { path: folder.to_owned(), message });
    }
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let path = folder.join(SETTINGS);
    if path.exists() {
        return Err(Error::setting(
            "out",
            "a folder without a run; continue the run with --resume or choose another folder",
            format!("a run in {}", folder.display()),
        ));
    }
    let json = serde_json::to_string_pretty(settings).expect("plain data");
    Ok(write_atomic(path, json.as_bytes())?)
}

/// Whether there is a run in `folder` to go on with; one that was stopped before its first state is removed, since nothing
/// in it is worth keeping.
pub(crate) fn resumable(folder: &Path) -> Result<bool, Error> {
    let resume = folder.join(state::FILE).is_file();
    if !resume && folder.join(SETTINGS).is_file() {
        std::fs::remove_dir_all(folder).map_err(Error::io(folder))?;
    }
    Ok(resume)
}
