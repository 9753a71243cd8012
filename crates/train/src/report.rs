//! The result of an evaluation as a table for people and as JSON for programs.

use std::collections::BTreeSet;
use std::fmt::Write;

use dyntta_corrupt::suite;
use serde_json::{Map, Value, json};

use crate::evaluate::Scores;
use crate::setting::Setting;

/// Names the scores of an evaluation: what stands before the classifier.
pub struct Column<'a> {
    /// The heading.
    pub name: &'a str,
    /// The scores under it.
    pub scores: &'a Scores,
}

fn is_member(of: &str) -> impl Fn(&str) -> bool {
    let names: Vec<String> =
        suite(of).map(|s| s.iter().map(|c| c.name().to_owned()).collect()).unwrap_or_default();
    move |name| names.iter().any(|n| n == name)
}

/// Severities are shown for so many columns at most: more make lines too long to read.
const WITH_SEVERITIES: usize = 3;

/// A table of accuracies (1 is all right): a row for the clean images, each corruption and each suite's mean; for every
/// column the severities (of up to three columns) and their mean; for all but the first the gain over the first.
pub fn table(columns: &[Column<'_>]) -> String {
    let severities: BTreeSet<u8> = columns
        .iter()
        .flat_map(|c| c.scores.corrupted.iter().flat_map(|(_, by)| by.keys().copied()))
        .collect();
    let show = severities.len() > 1 && columns.len() <= WITH_SEVERITIES;
    let mut rows: Vec<(String, Vec<Vec<Option<f64>>>)> = Vec::new();
    if columns.iter().any(|c| c.scores.clean.is_some()) {
        let cells = columns.iter().map(|c| {
            let mut cells = vec![None; if show { severities.len() } else { 0 }];
            cells.push(c.scores.clean.map(|s| s.accuracy()));
            cells
        });
        rows.push(("clean".into(), cells.collect()));
    }
    let mut names: Vec<&str> = Vec::new();
    for column in columns {
        for (name, _) in &column.scores.corrupted {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
    }
    for name in &names {
        let cells = columns.iter().map(|c| {
            let by = c.scores.corrupted.iter().find(|(n, _)| n == name).map(|(_, by)| by);
            let mut cells: Vec<Option<f64>> = Vec::new();
            if show {
                cells.extend(severities.iter().map(|s| by.and_then(|by| by.get(s)).map(|s| s.accuracy())));
            }
            cells.push(c.scores.mean(|n| n == *name));
            cells
        });
        rows.push(((*name).to_owned(), cells.collect()));
    }
    let member_count = |of: &str| names.iter().filter(|n| is_member(of)(n)).count();
    for of in ["common15", "extra4"] {
        let count = member_count(of);
        if count == 0 || names.len() == 1 {
            continue;
        }
        let whole = suite(of).map_or(0, |s| s.len()) == count;
        let title = if whole { format!("mean of {of}") } else { format!("mean of {count} in {of}") };
        let cells = columns.iter().map(|c| {
            let mut cells: Vec<Option<f64>> = Vec::new();
            if show {
                cells.extend(severities.iter().map(|s| severity_mean(c.scores, *s, is_member(of))));
            }
            cells.push(c.scores.mean(is_member(of)));
            cells
        });
        rows.push((title, cells.collect()));
    }
    draw(columns, &severities, show, &rows)
}

fn severity_mean(scores: &Scores, severity: u8, member: impl Fn(&str) -> bool) -> Option<f64> {
    let cells: Vec<f64> = scores
        .corrupted
        .iter()
        .filter(|(name, _)| member(name))
        .filter_map(|(_, by)| by.get(&severity).map(|s| s.accuracy()))
        .collect();
    (!cells.is_empty()).then(|| cells.iter().sum::<f64>() / cells.len() as f64)
}

fn draw(
    columns: &[Column<'_>],
    severities: &BTreeSet<u8>,
    show: bool,
    rows: &[(String, Vec<Vec<Option<f64>>>)],
) -> String {
    let label = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(8);
    let cell = if show { 8 } else { 10 };
    let per_column = |first: bool| (if show { severities.len() } else { 0 } + 1 + usize::from(!first)) * cell;
    let mut out = String::new();
    let _ = write!(out, "{:label$}", "");
    for (i, column) in columns.iter().enumerate() {
        let _ = write!(out, "  {:>width$}", column.name, width = per_column(i == 0));
    }
    out.push('\n');
    let _ = write!(out, "{:label$}", if show { "severity" } else { "" });
    for i in 0..columns.len() {
        out.push_str("  ");
        if show {
            for severity in severities {
                let _ = write!(out, "{severity:>cell$}");
            }
        }
        let _ = write!(out, "{:>cell$}", if show { "mean" } else { "accuracy" });
        if i > 0 {
            let _ = write!(out, "{:>cell$}", "gain");
        }
    }
    out.push('\n');
    for (name, cells) in rows {
        if name.starts_with("mean of common15") || (name.starts_with("mean of") && !out.contains("mean of")) {
            let width =
                label + columns.iter().enumerate().map(|(i, _)| 2 + per_column(i == 0)).sum::<usize>();
            let _ = writeln!(out, "{}", "-".repeat(width));
        }
        let _ = write!(out, "{name:label$}");
        for (i, values) in cells.iter().enumerate() {
            out.push_str("  ");
            for value in values {
                match value {
                    Some(v) => drop(write!(out, "{:>cell$.4}", v)),
                    None => drop(write!(out, "{:>cell$}", "")),
                }
            }
            if i > 0 {
                match (values.last().copied().flatten(), cells[0].last().copied().flatten()) {
                    (Some(v), Some(base)) => drop(write!(out, "{:>+cell$.4}", v - base)),
                    _ => drop(write!(out, "{:>cell$}", "")),
                }
            }
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out
}

/// The scores of one column as JSON: `clean` and `corrupted` with the means of the suites and every cell.
pub fn scores_json(scores: &Scores) -> Map<String, Value> {
    let mut out = Map::new();
    if let Some(clean) = scores.clean {
        out.insert("clean".into(), json!({ "accuracy": clean.accuracy(), "n": clean.n }));
    }
    if !scores.corrupted.is_empty() {
        let mut corrupted = Map::new();
        for of in ["common15", "extra4"] {
            if let Some(mean) = scores.mean(is_member(of)) {
                corrupted.insert(of.into(), json!(mean));
            }
        }
        let cells: Map<String, Value> = scores
            .corrupted
            .iter()
            .map(|(name, by)| {
                let by: Map<_, _> = by.iter().map(|(s, v)| (s.to_string(), json!(v.accuracy()))).collect();
                (name.clone(), Value::Object(by))
            })
            .collect();
        corrupted.insert("by_corruption".into(), Value::Object(cells));
        let n = scores.corrupted.iter().flat_map(|(_, by)| by.values().map(|s| s.n)).max().unwrap_or(0);
        corrupted.insert("n_per_cell".into(), json!(n));
        out.insert("corrupted".into(), Value::Object(corrupted));
    }
    out
}

/// The names of the evaluated corruptions that an enhancer trained in `setting` has seen.
fn seen(scores: &Scores, setting: Setting) -> Vec<&str> {
    let known = setting.corruptions();
    let names = scores.corrupted.iter().map(|(name, _)| name.as_str());
    names.filter(|name| known.iter().any(|c| c.name() == *name)).collect()
}

/// A line on which of the corruptions of an evaluation the enhancer has seen in training: their scores say nothing about
/// corruptions that are new to it. `setting` is `None` where it isn't known; without corruptions there is nothing to say.
pub fn seen_note(scores: &Scores, setting: Option<Setting>) -> Option<String> {
    if scores.corrupted.is_empty() {
        return None;
    }
    let Some(setting) = setting else {
        return Some("setting unknown: these corruptions may have been seen in training".into());
    };
    let names = seen(scores, setting);
    let which = match names.len() {
        0 => "none of these corruptions was".to_owned(),
        n if n == setting.corruptions().len() => "common15 was".to_owned(),
        1 => format!("{} was", names[0]),
        _ => format!("{} were", names.join(", ")),
    };
    Some(format!("setting {setting}: {which} seen in training"))
}

/// The JSON of `dyntta eval --json`, version 1: the scores behind the enhancer, and the classifier's alone under
/// `without_enhancer`. `setting` is how the enhancer was trained, as far as it is known; for each suite
/// `corrupted.seen_in_training` says whether corruptions of it were trained on. The scores of baselines, where there are
/// any, stand under `baselines` by name.
pub fn eval_json(
    alone: &Scores,
    enhanced: Option<(&Scores, Option<Setting>)>,
    baselines: &[Column<'_>],
    about: Value,
) -> Value {
    let mut out = Map::from_iter([("version".to_owned(), json!(1))]);
    out.append(&mut scores_json(enhanced.map_or(alone, |(scores, _)| scores)));
    if let Some((scores, setting)) = enhanced {
        out.insert("setting".into(), json!(setting));
        if let Some(Value::Object(corrupted)) = out.get_mut("corrupted") {
            let suites = ["common15", "extra4"].into_iter().filter(|of| corrupted.contains_key(*of));
            let by_suite: Map<String, Value> = suites
                .map(|of| {
                    (of.to_owned(), json!(setting.map(|s| seen(scores, s).into_iter().any(is_member(of)))))
                })
                .collect();
            corrupted.insert("seen_in_training".into(), Value::Object(by_suite));
        }
        out.insert("without_enhancer".into(), Value::Object(scores_json(alone)));
    }
    if !baselines.is_empty() {
        let by_name: Map<String, Value> =
            baselines.iter().map(|b| (b.name.to_owned(), Value::Object(scores_json(b.scores)))).collect();
        out.insert("baselines".into(), Value::Object(by_name));
    }
    out.insert("about".into(), about);
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::evaluate::Score;

    fn scores(names: &[&str]) -> Scores {
        let by = BTreeMap::from([(3, Score { hits: 1, n: 2 })]);
        Scores { clean: None, corrupted: names.iter().map(|n| ((*n).to_owned(), by.clone())).collect() }
    }

    #[test]
    fn what_was_seen_in_training_is_said() {
        let all: Vec<&str> = suite("all19").unwrap().iter().map(|c| c.name()).collect();
        let note = |names: &[&str], setting| seen_note(&scores(names), setting).unwrap_or_default();
        assert_eq!(note(&all, Some(Setting::NonBlind)), "setting nonblind: common15 was seen in training");
        assert_eq!(
            note(&["fog", "snow", "spatter"], Some(Setting::NonBlind)),
            "setting nonblind: fog, snow were seen in training"
        );
        assert_eq!(
            note(&all, Some(Setting::Blind)),
            "setting blind: none of these corruptions was seen in training"
        );
        assert!(note(&all, None).contains("may have been seen"));
        assert_eq!(note(&[], Some(Setting::NonBlind)), "");
        let json = |setting| eval_json(&scores(&all), Some((&scores(&all), setting)), &[], Value::Null);
        let nonblind = json(Some(Setting::NonBlind));
        assert_eq!(nonblind["setting"], "nonblind");
        assert_eq!(nonblind["corrupted"]["seen_in_training"], json!({ "common15": true, "extra4": false }));
        let blind = json(Some(Setting::Blind));
        assert_eq!(blind["corrupted"]["seen_in_training"], json!({ "common15": false, "extra4": false }));
        assert_eq!(json(None)["corrupted"]["seen_in_training"], json!({ "common15": null, "extra4": null }));
        let alone = eval_json(&scores(&all), None, &[], Value::Null);
        assert!(alone.get("setting").is_none() && alone["corrupted"].get("seen_in_training").is_none());
    }
}
