//! An experiment's result: means and standard deviations over seeds as table, JSON and picture.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use dyntta_files::write_atomic;
use serde_json::{Map, Value, json};

use super::plot;
use super::{ALONE, DomainScores, ExperimentSettings, WITH_DYNTTA};
use crate::error::Error;
use crate::evaluate::Score;
use crate::setting::Setting;

/// The files of the result in an experiment's folder.
pub(super) const JSON: &str = "results.json";
pub(super) const TABLES: &str = "results.md";
pub(super) const PICTURE: &str = "results.svg";

/// What an experiment ended with.
pub struct ExperimentReport {
    /// The tables, in Markdown.
    pub tables: String,
    /// The files written, by what they are.
    pub files: Vec<(&'static str, PathBuf)>,
}

/// Mean and sample standard deviation over seeds; the latter is absent for one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Statistic {
    pub mean: f64,
    pub deviation: Option<f64>,
}

impl Statistic {
    /// Of these values; `None` without any.
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        let deviation = (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
        (!values.is_empty()).then_some(Self { mean, deviation })
    }

    /// In percent, one digit.
    fn text(self) -> String {
        match self.deviation {
            Some(deviation) => format!("{:.1} ± {:.1}", 100.0 * self.mean, 100.0 * deviation),
            None => format!("{:.1}", 100.0 * self.mean),
        }
    }

    fn json(self) -> Value {
        json!({ "mean": self.mean, "sd": self.deviation })
    }
}

/// The contenders of an experiment in the order of its tables, by name and heading.
fn contenders(settings: &ExperimentSettings) -> Vec<(String, String)> {
    let heading = |name: &str| match name {
        ALONE => "classifier as it was".to_owned(),
        "none" => "retrained, no augmentation".to_owned(),
        "augmix" => "retrained, AugMix".to_owned(),
        "randaugment" => "retrained, RandAugment".to_owned(),
        "trivialaugment" => "retrained, TrivialAugment".to_owned(),
        other => match other.strip_prefix(super::ESTIMATED) {
            Some(style) => format!("retrained, estimated policy ({style})"),
            None => format!("retrained, {other}"),
        },
    };
    super::names(settings).into_iter().map(|name| (name.clone(), heading(&name))).collect()
}

/// Column titles: a domain's name.
fn title(shift: Setting) -> String {
    match shift {
        Setting::Clean => "natural".to_owned(),
        _ => shift.to_string(),
    }
}

/// Gathers the scores, and writes `results.json`, `results.md` and `results.svg` into the folder.
pub(super) fn report(
    settings: &ExperimentSettings,
    folder: &Path,
    scores: &BTreeMap<(u64, String), DomainScores>,
) -> Result<ExperimentReport, Error> {
    type Of = fn(&DomainScores) -> &BTreeMap<String, Score>;
    let accuracy = |name: &str, seed: u64, shift: Setting, of: Of| {
        of(scores.get(&(seed, shift.to_string()))?).get(name).map(|score| score.accuracy())
    };
    let statistic = |name: &str, shift: Setting, of: Of| {
        let values = settings.seeds.iter().filter_map(|&seed| accuracy(name, seed, shift, of));
        Statistic::of(&values.collect::<Vec<_>>())
    };
    // The mean over domains, seed by seed, so that its deviation is that between seeds.
    let over_domains = |name: &str, of: Of| {
        let by_seed = settings.seeds.iter().filter_map(|&seed| {
            let values = settings.shifts.iter().filter_map(|&shift| accuracy(name, seed, shift, of));
            Statistic::of(&values.collect::<Vec<_>>()).map(|s| s.mean)
        });
        Statistic::of(&by_seed.collect::<Vec<_>>())
    };
    let titles: Vec<String> = settings.shifts.iter().map(|s| title(*s)).collect();
    let parts: [(&str, &str, Of); 2] = [
        ("shifted", "On the shifted domain", |d| &d.shifted),
        ("clean", "On the images without the shift", |d| &d.clean),
    ];
    let contenders = contenders(settings);
    let mut tables = String::new();
    let mut json_parts = Map::new();
    for (key, about, of) in parts {
        let _ = writeln!(tables, "{about}, accuracy in percent{}:\n", over_seeds(settings));
        let _ = writeln!(tables, "| | {} | mean |", titles.join(" | "));
        let _ = writeln!(tables, "|---|{}", "---|".repeat(titles.len() + 1));
        let mut json_contenders = Map::new();
        for suffix in ["", WITH_DYNTTA] {
            for (name, heading) in &contenders {
                let name = format!("{name}{suffix}");
                let mut cells = Vec::new();
                let mut json_cells = Map::new();
                for &shift in &settings.shifts {
                    let found = statistic(&name, shift, of);
                    cells.push(found.map_or(String::new(), Statistic::text));
                    if let Some(found) = found {
                        json_cells.insert(shift.to_string(), found.json());
                    }
                }
                let mean = over_domains(&name, of);
                cells.push(mean.map_or(String::new(), Statistic::text));
                if let Some(mean) = mean {
                    json_cells.insert("mean".into(), mean.json());
                }
                let _ = writeln!(tables, "| {heading}{suffix} | {} |", cells.join(" | "));
                json_contenders.insert(name, Value::Object(json_cells));
            }
        }
        tables.push('\n');
        json_parts.insert(key.into(), Value::Object(json_contenders));
    }
    let json = json!({
        "version": 1,
        "dyntta": env!("CARGO_PKG_VERSION"),
        "settings": settings,
        "accuracy": json_parts,
    });
    let bars: Vec<(String, Vec<Option<Statistic>>)> = contenders
        .iter()
        .flat_map(|(name, heading)| {
            ["", WITH_DYNTTA].map(|suffix| {
                let name = format!("{name}{suffix}");
                let cells = settings.shifts.iter().map(|&s| statistic(&name, s, |d| &d.shifted));
                (format!("{heading}{suffix}"), cells.collect())
            })
        })
        .collect();
    let picture = plot::bars(&titles, &bars);
    let mut files = Vec::new();
    let text = serde_json::to_string_pretty(&json).expect("plain data") + "\n";
    for (what, name, bytes) in [
        ("results", JSON, text.as_bytes()),
        ("tables", TABLES, tables.as_bytes()),
        ("picture", PICTURE, picture.as_bytes()),
    ] {
        let path = folder.join(name);
        write_atomic(&path, bytes)?;
        files.push((what, path));
    }
    Ok(ExperimentReport { tables, files })
}

fn over_seeds(settings: &ExperimentSettings) -> String {
    match settings.seeds.len() {
        1 => ", one seed".into(),
        n => format!(", mean ± standard deviation of {n} seeds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_those_of_the_sample() {
        assert_eq!(Statistic::of(&[]), None);
        assert_eq!(Statistic::of(&[0.5]).unwrap().text(), "50.0");
        let three = Statistic::of(&[0.1, 0.2, 0.3]).unwrap();
        assert!((three.mean - 0.2).abs() < 1e-12 && (three.deviation.unwrap() - 0.1).abs() < 1e-12);
        assert_eq!(three.text(), "20.0 ± 10.0");
    }
}
