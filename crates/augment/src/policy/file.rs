//! Policies as TOML files.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::ops::Range;
use std::path::Path;

use dyntta_files::{Limits, read_text, shown, shown_text};
use dyntta_ops::Bank;
use serde::Deserialize;
use toml::Spanned;

use super::{Distribution, Policy, PolicyGroup, PolicyOp, QUANTILES};
use crate::Error;

const HEAD: &str = "\
# An augmentation policy: what DynTTA makes of the images of a domain. Written to be read and edited: retraining
# (`dyntta retrain --policy`) goes by the ops' values, the rest tells where they come from.
#
# weight   mean blend weight over the domain's images; retraining uses shares of their sum, `urie` and `identity` left out
# factor   distribution of the op's factor, quantiles at 0, 5, 25, 50, 75, 95 and 100 %
# change   how much the op changes the images: root mean square of the difference, values from 0 to 1;
#          distribution over the images
# clean_…  the same over clean images: the difference is what the shift asks for
";

/// What every version has, read first: a later one has keys that are unknown here.
#[derive(Deserialize)]
struct Head {
    version: Spanned<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: Spanned<i64>,
    #[serde(default)]
    about: BTreeMap<String, toml::Value>,
    #[serde(default)]
    op: Vec<FileOp>,
    #[serde(default)]
    group: Vec<FileGroup>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileOp {
    name: Spanned<String>,
    weight: Spanned<f64>,
    factor: Option<Spanned<FileDistribution>>,
    change: Option<Spanned<FileDistribution>>,
    clean_weight: Option<Spanned<f64>>,
    clean_factor: Option<Spanned<FileDistribution>>,
    clean_change: Option<Spanned<FileDistribution>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileDistribution {
    mean: Spanned<f64>,
    quantiles: Spanned<Vec<Spanned<f64>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileGroup {
    by: String,
    name: String,
    images: usize,
    weights: BTreeMap<Spanned<String>, Spanned<f64>>,
}

impl Policy {
    /// Reads a policy's file (UTF-8, with or without a byte order mark).
    ///
    /// Integers do for numbers. Values under `about` may be of any type and are kept as text. Names may be spelt as the
    /// bank understands them (`low_pass_0.1`) and are kept as it spells them (`low_pass_0.10`). A factor that rounding
    /// put beyond an end of its op's range, by at most a millionth of it, is taken as that end.
    ///
    /// # Errors
    /// [`Error::Read`], or [`Error::Policy`] with the line: for what is not TOML, versions other than 1, missing and
    /// unknown keys, unknown augmentations and ones that occur twice, weights that are negative or not finite or all 0,
    /// factors out of their op's range, quantiles that fall or are not as many as [`QUANTILES`], factors of an op that
    /// has none or the lack of them where the weight is positive, changes outside `0..=1`, and groups that name an op that
    /// the file hasn't.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = read_text(path, Limits::DEFAULT.text_bytes).map_err(|error| {
            let said = error.to_string();
            let reason = said.strip_prefix(&format!("{}: ", shown(path))).unwrap_or(&said).to_owned();
            Error::Read { path: path.to_owned(), reason }
        })?;
        Self::parse(&text, path)
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), dyntta_image::Error> {
        dyntta_image::write_atomic(path, self.to_toml().as_bytes())
    }

    /// Parses a policy's file; `path` is what errors call it.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        Reader { text, path }.policy()
    }

    /// The policy as its file, which [`Self::parse`] reads as the same policy. Numbers have as many digits as it takes.
    pub fn to_toml(&self) -> String {
        let mut out = format!("{HEAD}version = 1\n");
        if !self.about.is_empty() {
            out.push_str("\n[about]\n");
            for (key, value) in &self.about {
                let _ = writeln!(out, "{} = {}", quoted_key(key), quoted(value));
            }
        }
        for op in &self.ops {
            let _ = write!(out, "\n[[op]]\nname = {}\nweight = {}\n", quoted(&op.name), number(op.weight));
            if let Some(factor) = &op.factor {
                let _ = writeln!(out, "factor = {}", distribution(factor));
            }
            for (key, value) in [
                ("change", op.change.as_ref().map(distribution)),
                ("clean_weight", op.clean_weight.map(number)),
                ("clean_factor", op.clean_factor.as_ref().map(distribution)),
                ("clean_change", op.clean_change.as_ref().map(distribution)),
            ] {
                if let Some(value) = value {
                    let _ = writeln!(out, "{key} = {value}");
                }
            }
        }
        for group in &self.groups {
            let weights: Vec<String> = group
                .weights
                .iter()
                .map(|(name, weight)| format!("{} = {}", quoted(name), number(*weight)))
                .collect();
            let _ = write!(
                out,
                "\n[[group]]\nby = {}\nname = {}\nimages = {}\nweights = {{ {} }}\n",
                quoted(&group.by),
                quoted(&group.name),
                group.images,
                weights.join(", ")
            );
        }
        out
    }
}

/// A basic string of TOML, on one line, so that it can be a key too.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn quoted_key(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { key.to_owned() } else { quoted(key) }
}

/// The shortest text that reads back as the same number, with a decimal point: TOML's integers are another type.
fn number(value: f64) -> String {
    format!("{value:?}")
}

fn distribution(distribution: &Distribution) -> String {
    let quantiles: Vec<String> = distribution.quantiles.iter().map(|q| number(*q)).collect();
    format!("{{ mean = {}, quantiles = [{}] }}", number(distribution.mean), quantiles.join(", "))
}

struct Reader<'a> {
    text: &'a str,
    path: &'a Path,
}

impl Reader<'_> {
    fn policy(&self) -> Result<Policy, Error> {
        let version = self.toml::<Head>()?.version;
        if *version.get_ref() != 1 {
            return Err(self.error(version.span(), "version", "1", version.get_ref()));
        }
        let file: File = self.toml()?;
        let mut ops: Vec<PolicyOp> = Vec::new();
        for op in file.op {
            let op = self.op(op, &ops)?;
            ops.push(op);
        }
        if ops.iter().all(|op| op.weight <= 0.0) {
            let found = if ops.is_empty() { "no op" } else { "none" };
            return Err(self.error(file.version.span(), "op", "an op with a positive weight", found));
        }
        let groups = file.group.into_iter().map(|group| self.group(group, &ops)).collect::<Result<_, _>>()?;
        let about = file.about.into_iter().map(|(key, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (key, value)
        });
        Ok(Policy { about: about.collect(), ops, groups })
    }

    fn toml<T: serde::de::DeserializeOwned>(&self) -> Result<T, Error> {
        toml::from_str(self.text).map_err(|e| {
            let at = e.span().unwrap_or(0..0);
            // Messages about a value don't say whose it is, those about keys do.
            let key = if e.message().contains("field `") { "" } else { self.key_before(at.start) };
            self.refuse(at, key, &shown_text(e.message()).to_string())
        })
    }

    fn op(&self, op: FileOp, before: &[PolicyOp]) -> Result<PolicyOp, Error> {
        let at = op.name.span();
        let bank = self.bank("name", &op.name)?;
        let name = only_name(&bank);
        if before.iter().any(|other| other.name == name) {
            return Err(self.error(at, "name", "every op once", format!("`{name}` again")));
        }
        let magnitude = bank.op(0).and_then(|op| op.magnitude());
        let factor = |key: &str, factors: Option<Spanned<FileDistribution>>| {
            let Some(factors) = factors else { return Ok(None) };
            let Some(magnitude) = magnitude else {
                return Err(self.error(factors.span(), key, format!("none: `{name}` has no factor"), "one"));
            };
            let (low, high) = magnitude.range();
            let range = (decimal(low), decimal(high));
            let what = format!("a factor of `{name}` from {} to {} {}", range.0, range.1, magnitude.unit);
            self.distribution(key, factors.into_inner(), range, what.trim_end()).map(Some)
        };
        let change = |key: &str, change: Option<Spanned<FileDistribution>>| {
            let read = |found: Spanned<FileDistribution>| {
                self.distribution(key, found.into_inner(), (0.0, 1.0), "a number from 0 to 1")
            };
            change.map(read).transpose()
        };
        let amount =
            |key: &str, value: Option<Spanned<f64>>| value.map(|value| self.weight(key, &value)).transpose();
        let weight = self.weight("weight", &op.weight)?;
        let factor_here = factor("factor", op.factor)?;
        if magnitude.is_some() && factor_here.is_none() && weight > 0.0 {
            let expected = format!("the factors of `{name}`, which has a weight");
            return Err(self.error(at, "factor", expected, "nothing"));
        }
        Ok(PolicyOp {
            weight,
            factor: factor_here,
            change: change("change", op.change)?,
            clean_weight: amount("clean_weight", op.clean_weight)?,
            clean_factor: factor("clean_factor", op.clean_factor)?,
            clean_change: change("clean_change", op.clean_change)?,
            name,
        })
    }

    /// The bank of the one augmentation that is named. The bank's own messages tell places in a list, which this is not.
    fn bank(&self, key: &str, name: &Spanned<String>) -> Result<Bank, Error> {
        Bank::from_names(&[name.get_ref()]).map_err(|e| {
            let (expected, found) = match e {
                dyntta_ops::Error::UnknownOp { name, hint, known, .. } => {
                    (format!("one of {known}"), format!("`{}`{hint}", shown_text(&name)))
                }
                dyntta_ops::Error::Radius { name, family, .. } => (
                    format!("a radius between 0 and 1, both excluded, as in `{family}_0.25`"),
                    format!("`{}`", shown_text(&name)),
                ),
                other => {
                    ("an augmentation of the bank".to_owned(), shown_text(&other.to_string()).to_string())
                }
            };
            self.error(name.span(), key, expected, found)
        })
    }

    fn weight(&self, key: &str, weight: &Spanned<f64>) -> Result<f64, Error> {
        let value = *weight.get_ref();
        if value.is_finite() && value >= 0.0 {
            return Ok(value);
        }
        Err(self.error(weight.span(), key, "a finite number from 0 up", value))
    }

    /// A distribution over the range from `low` to `high`, whose values are called `what`.
    fn distribution(
        &self,
        key: &str,
        found: FileDistribution,
        (low, high): (f64, f64),
        what: &str,
    ) -> Result<Distribution, Error> {
        let FileDistribution { mean, quantiles } = found;
        let check = |key: &str, value: &Spanned<f64>| {
            let found = *value.get_ref();
            let slack = 1e-6 * (high - low);
            if found >= low - slack && found <= high + slack {
                return Ok(found.clamp(low, high));
            }
            Err(self.error(value.span(), key, what, found))
        };
        let mean = check(&format!("{key}.mean"), &mean)?;
        let key = &format!("{key}.quantiles");
        let at = quantiles.span();
        let values: Vec<f64> =
            quantiles.get_ref().iter().map(|value| check(key, value)).collect::<Result<_, _>>()?;
        if let Some(i) = values.windows(2).position(|pair| pair[0] > pair[1]) {
            let found = format!("{} before {}", values[i], values[i + 1]);
            let at = quantiles.get_ref()[i + 1].span();
            return Err(self.error(at, key, "quantiles that don't fall", found));
        }
        let quantiles = values.try_into().map_err(|values: Vec<f64>| {
            let expected = format!("{} numbers, the quantiles at {QUANTILES:?}", QUANTILES.len());
            self.error(at, key, expected, values.len())
        })?;
        Ok(Distribution { mean, quantiles })
    }

    fn group(&self, group: FileGroup, ops: &[PolicyOp]) -> Result<PolicyGroup, Error> {
        let mut weights = BTreeMap::new();
        for (spelt, weight) in group.weights {
            let name = only_name(&self.bank("weights", &spelt)?);
            if !ops.iter().any(|op| op.name == name) {
                return Err(self.error(spelt.span(), "weights", "the name of an op of this file", name));
            }
            let weight = self.weight("weights", &weight)?;
            if weights.insert(name.clone(), weight).is_some() {
                return Err(self.error(spelt.span(), "weights", "every op once", format!("`{name}` again")));
            }
        }
        Ok(PolicyGroup { by: group.by, name: group.name, images: group.images, weights })
    }

    fn error(&self, at: Range<usize>, key: &str, expected: impl Display, found: impl Display) -> Error {
        self.refuse(at, key, &format!("expected {expected}, found {found}"))
    }

    fn refuse(&self, at: Range<usize>, key: &str, message: &str) -> Error {
        let before = &self.text.as_bytes()[..at.start.min(self.text.len())];
        let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
        let key = if key.is_empty() { String::new() } else { format!("`{}`: ", shown_text(key)) };
        Error::Policy { path: self.path.to_owned(), line, message: format!("{key}{message}") }
    }

    /// The key whose value begins at a place; empty where none stands before it on the line.
    fn key_before(&self, at: usize) -> &str {
        let before = self.text.get(..at).unwrap_or("");
        let line = before.rsplit('\n').next().unwrap_or("");
        let Some(key) = line.trim_end().strip_suffix('=') else { return "" };
        key.rsplit(['{', ',']).next().unwrap_or("").trim()
    }
}

/// The name of a bank of one as the bank spells it.
fn only_name(bank: &Bank) -> String {
    bank.names().next().expect("a bank of one").to_owned()
}

/// The end of a range as people write it: 1.3 rather than the `f32` next to it, 1.2999999523.
fn decimal(end: f32) -> f64 {
    end.to_string().parse().expect("a number")
}

#[cfg(test)]
mod tests;
