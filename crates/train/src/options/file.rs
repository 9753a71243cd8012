//! The files of settings: a user's TOML, and what a run keeps in its folder.

use std::path::Path;

use dyntta_files::{Limits, read_text, shown_text};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::folder::refused;

/// The file of the settings in a run's folder.
pub const SETTINGS: &str = "settings.json";

/// Reads settings from a TOML file.
pub(crate) fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = read_text(path, Limits::DEFAULT.text_bytes)?;
    let wrong =
        |e: toml::de::Error| Error::Config { path: path.to_owned(), message: toml_message(&e, &text) };
    let table: toml::Table = toml::from_str(&text).map_err(wrong)?;
    if let Some((key, value)) = table.iter().find_map(|(key, value)| Some((key, not_finite(value)?))) {
        let message = format!("`{key}`: expected a finite number, found {value}");
        return Err(Error::Config { path: path.to_owned(), message });
    }
    toml::from_str(&text).map_err(wrong)
}

/// The first number in a value that is infinite or none.
fn not_finite(value: &toml::Value) -> Option<f64> {
    match value {
        toml::Value::Float(v) if !v.is_finite() => Some(*v),
        toml::Value::Array(values) => values.iter().find_map(not_finite),
        toml::Value::Table(table) => table.values().find_map(not_finite),
        _ => None,
    }
}

/// What is wrong with a TOML text, with the line; of a line that is too long to show, what is wrong alone.
fn toml_message(error: &toml::de::Error, text: &str) -> String {
    const LONGEST: usize = 200;
    let whole = error.to_string();
    if whole.lines().all(|line| line.chars().count() <= LONGEST) {
        return whole
            .trim_end()
            .lines()
            .map(|line| shown_text(line).to_string())
            .collect::<Vec<_>>()
            .join("\n");
    }
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    format!("line {}: {}", before.matches('\n').count() + 1, shown_text(error.message()))
}

/// Reads the settings of a run that is there.
pub(crate) fn read_run<T: DeserializeOwned>(folder: &Path) -> Result<T, Error> {
    let path = folder.join(SETTINGS);
    if !path.is_file() {
        return Err(refused(folder, format!("there is no run in this folder (no {SETTINGS})")));
    }
    read_json(&path)
}

/// The text of settings as a run keeps them.
///
/// # Errors
/// If a path is no text: it could not be read back.
pub(crate) fn to_json(settings: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string_pretty(settings)
        .map_err(|e| Error::setting("settings", "paths that are UTF-8 text, since a run keeps them", e))
}

/// Reads a JSON file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = read_text(path, Limits::DEFAULT.text_bytes)?;
    serde_json::from_str(&text)
        .map_err(|e| Error::Config { path: path.to_owned(), message: shown_text(&e.to_string()).to_string() })
}
