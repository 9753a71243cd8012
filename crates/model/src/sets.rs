//! Which of a file's tensors are the weights asked for.
//!
//! Training scripts wrap a network's state dict into others (`state_dict`, `model`, …), put prefixes before its keys
//! (`module.`, `_orig_mod.`, …), and save optimisers, averages and losses beside it. Whatever stands before the keys of a
//! network that is known by all its keys and shapes is taken off.

use std::collections::{BTreeMap, BTreeSet};

use dyntta_files::shown_text;

use crate::error::Error;
use crate::keys::Naming;
use crate::weights::WeightFile;

/// Shapes by key.
pub type Shapes = BTreeMap<String, Vec<usize>>;

/// Words before keys, at most.
const DEEPEST: usize = 24;

/// Wrappers and prefixes that are taken off where no set is known, so that a message is about the right keys.
const WRAPPERS: [&str; 12] = [
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "params",
    "weights",
    "module",
    "_orig_mod",
    "backbone",
    "encoder",
    "classifier",
];

/// A set of weights in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// What stands before the keys of its tensors, with the dot.
    pub prefix: String,
    /// Its tensors' keys without that.
    pub keys: Vec<String>,
    /// The prefixes of other sets that would fit too.
    pub others: Vec<String>,
    /// Other tensors of the file, by their whole keys.
    pub left_out: Vec<String>,
    /// Whose keys they are.
    pub naming: Naming,
    /// Whether it fits what was asked for.
    pub fits: bool,
}

impl Choice {
    /// What a user is told of the choice: which of several sets it is, and what else there is.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.others.is_empty() {
            let others: Vec<String> = self.others.iter().map(|p| name(p)).collect();
            notes.push(format!(
                "of several sets of weights `{}` is taken; there is also {} (--weights-key KEY takes another)",
                name(&self.prefix),
                list(&others)
            ));
        }
        if self.fits && !self.left_out.is_empty() {
            notes.push(format!("tensors beside the weights are left out: {}", list(&self.left_out)));
        }
        notes
    }
}

/// A few of many, in words.
fn list(names: &[String]) -> String {
    let some: Vec<String> = names.iter().take(4).map(|n| format!("`{}`", shown_text(n))).collect();
    let more = if names.len() > 4 { format!(" and {} more", names.len() - 4) } else { String::new() };
    format!("{}{more}", some.join(", "))
}

/// A prefix as a user gives it.
fn name(prefix: &str) -> String {
    match prefix.trim_end_matches('.') {
        "" => "the file's own".to_owned(),
        name => shown_text(name).to_string(),
    }
}

/// Everything that may stand before a set's keys, from nothing on.
pub fn prefixes(shapes: &Shapes) -> BTreeSet<String> {
    let mut all = BTreeSet::from([String::new()]);
    for key in shapes.keys() {
        for (at, _) in key.match_indices('.').take(DEEPEST) {
            // Longest paths first seen: those above are there already.
            all.insert(key[..=at].to_owned());
        }
    }
    all
}

/// The shapes below a prefix.
fn below<'a>(shapes: &'a Shapes, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Vec<usize>)> {
    shapes
        .range(prefix.to_owned()..)
        .take_while(move |(key, _)| key.starts_with(prefix))
        .map(|(key, shape)| (&key[prefix.len()..], shape))
}

/// How much a set is preferred, less is more: timm's order first (averaged weights before plain ones), then the usual names
/// of what wraps it, from the outermost on.
fn rank(prefix: &str) -> (usize, Vec<usize>) {
    let words = || prefix.split('.').filter(|word| !matches!(*word, "" | "module" | "_orig_mod"));
    let averaged = words().map(|word| match word {
        "state_dict_ema" => 0,
        "model_ema" => 1,
        _ if word.split('_').any(|part| matches!(part, "ema" | "swa" | "averaged")) => 2,
        _ => 3,
    });
    let plain = words().map(|word| match word {
        "state_dict" => 0,
        "model_state_dict" => 1,
        "model" => 2,
        "net" | "network" | "params" | "weights" => 3,
        _ => 4,
    });
    (averaged.min().unwrap_or(3), plain.collect())
}

/// Whether the set that `key` names is, or holds, the one at `prefix`.
fn named(prefix: &str, key: &str) -> bool {
    let key = key.trim_end_matches('.');
    prefix.trim_end_matches('.') == key || prefix.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
}

pub(crate) fn choose(
    file: &WeightFile,
    key: Option<&str>,
    fits: &dyn Fn(&Shapes) -> bool,
) -> Result<Choice, Error> {
    let shapes = file.shapes();
    let found = |found: String| Error::format(file.path(), "a state dict with floating-point tensors", found);
    if shapes.is_empty() {
        return Err(found("none".into()));
    }
    let mut fitting: Vec<String> = prefixes(&shapes)
        .into_iter()
        .filter(|prefix| {
            let set: Shapes = below(&shapes, prefix).map(|(k, s)| (k.to_owned(), s.clone())).collect();
            set.len() > 1 && Naming::of(&set).canonical(&set).is_ok_and(|ours| fits(&ours))
        })
        .collect();
    if let Some(key) = key {
        let all = fitting.clone();
        fitting.retain(|prefix| named(prefix, key));
        if fitting.is_empty() && !shapes.keys().any(|k| named(k, key)) {
            let there =
                if all.is_empty() { outermost(&shapes) } else { all.iter().map(|p| name(p)).collect() };
            return Err(Error::format(
                file.path(),
                format!("weights under the key `{}`", shown_text(key)),
                format!("none there, but {}", list(&there)),
            ));
        }
    }
    fitting.sort_by_key(|prefix| (rank(prefix), prefix.len()));
    let Some(prefix) = fitting.first().cloned() else {
        return Ok(likely(&shapes, key));
    };
    let keys: Vec<String> = below(&shapes, &prefix).map(|(key, _)| key.to_owned()).collect();
    let others: Vec<String> =
        fitting.iter().filter(|p| **p != prefix && !file.same(&keys, &prefix, p)).cloned().collect();
    if let Some(other) = others.iter().find(|other| rank(other) == rank(&prefix)) {
        return Err(Error::format(
            file.path(),
            "one set of weights, or --weights-key KEY, which takes one of several",
            format!("`{}` and `{}`", name(&prefix), name(other)),
        ));
    }
    if key.is_none() {
        check_sequence(file, &shapes, &prefix)?;
    }
    let outside = |k: &&String| !fitting.iter().any(|p| k.starts_with(p.as_str()));
    let left_out = shapes.keys().filter(outside).cloned().collect();
    Ok(choice(&shapes, prefix, others, left_out, true))
}

fn choice(shapes: &Shapes, prefix: String, others: Vec<String>, left_out: Vec<String>, fits: bool) -> Choice {
    let set: Shapes = below(shapes, &prefix).map(|(k, s)| (k.to_owned(), s.clone())).collect();
    Choice { naming: Naming::of(&set), keys: set.into_keys().collect(), prefix, others, left_out, fits }
}

/// A network that is one of a sequence with others that have weights is not the whole of it.
fn check_sequence(file: &WeightFile, shapes: &Shapes, prefix: &str) -> Result<(), Error> {
    let Some(inner) = prefix.strip_suffix('.') else { return Ok(()) };
    let (outer, last) = match inner.rsplit_once('.') {
        Some((outer, last)) => (format!("{outer}."), last),
        None => (String::new(), inner),
    };
    let number = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    let beside = below(shapes, &outer).find(|(key, shape)| {
        let first = key.split('.').next().unwrap_or_default();
        number(first) && first != last && shape.len() > 1
    });
    match beside {
        Some((key, _)) if number(last) => Err(Error::format(
            file.path(),
            format!("a network alone, or --weights-key {inner}, which takes this part as it is"),
            format!(
                "a network in a sequence with other layers, such as `{}`",
                shown_text(&format!("{outer}{key}"))
            ),
        )),
        _ => Ok(()),
    }
}

/// The first words of all keys.
fn outermost(shapes: &Shapes) -> Vec<String> {
    let words: BTreeSet<&str> = shapes.keys().filter_map(|key| key.split('.').next()).collect();
    words.into_iter().map(str::to_owned).collect()
}

/// What looks most like a state dict: usual wrappers are taken off where there are weights in them, and prefixes where all
/// keys have them.
fn likely(shapes: &Shapes, key: Option<&str>) -> Choice {
    let mut prefix = match key {
        Some(key) => format!("{}.", key.trim_end_matches('.')),
        None => String::new(),
    };
    for _ in 0..DEEPEST {
        let holds = |word: &&&str| {
            below(shapes, &format!("{prefix}{word}.")).any(|(key, _)| key.ends_with(".weight"))
        };
        let all = |word: &&&str| below(shapes, &prefix).all(|(key, _)| key.starts_with(&format!("{word}.")));
        let next = WRAPPERS[..7].iter().find(holds).or_else(|| WRAPPERS.iter().find(all));
        match next {
            Some(word) => prefix = format!("{prefix}{word}."),
            None => break,
        }
    }
    if below(shapes, &prefix).next().is_none() {
        prefix.clear();
    }
    let left_out = shapes.keys().filter(|k| !k.starts_with(&prefix)).cloned().collect();
    choice(shapes, prefix, Vec::new(), left_out, false)
}
