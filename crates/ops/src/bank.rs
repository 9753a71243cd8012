//! The registry of augmentations, and banks made from it.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::Error;
use crate::ops::{ALL, Entry, Keeps, Op, Sweep, What};
use crate::spectral::{Filters, Radius};
use crate::sweep::Needs;

/// Every augmentation: those of the published bank in its order, then the others.
fn registry() -> Vec<What> {
    let mut all: Vec<&Entry> = ALL.iter().collect();
    all.sort_by_key(|entry| entry.published.unwrap_or(usize::MAX));
    all.into_iter().map(|entry| entry.what).collect()
}

/// One place of a bank.
#[derive(Clone, Debug)]
pub enum Slot {
    /// An augmentation.
    Op(Arc<dyn Op>),
    /// The image of a network, which the caller computes; its name in lists.
    Network(&'static str),
}

impl Slot {
    /// The name in lists.
    pub fn name(&self) -> &str {
        match self {
            Self::Op(op) => op.name(),
            Self::Network(name) => name,
        }
    }

    /// The augmentation, unless this is the network's place.
    pub fn op(&self) -> Option<&dyn Op> {
        match self {
            Self::Op(op) => Some(&**op),
            Self::Network(_) => None,
        }
    }
}

/// A list of augmentations in a fixed order; column k of magnitudes and weights belongs to slot k.
#[derive(Clone, Debug)]
pub struct Bank {
    slots: Vec<Slot>,
    network: Option<usize>,
    /// The slot of each op of the fused sweep.
    pub(crate) sweep: [Option<usize>; Sweep::COUNT],
    /// What those ops ask for.
    pub(crate) needs: Needs,
    /// The slots that take the plain path.
    pub(crate) plain: Vec<usize>,
    pub(crate) filters: Filters,
}

impl Bank {
    /// The published bank: 50 slots, the network `urie` last.
    pub fn paper() -> Self {
        Self::from_names(&paper_names()).expect("the registry's own names")
    }

    /// The bank of these augmentations, in this order.
    ///
    /// Names are those of [`Bank::paper`] and `identity`. A radial filter takes any radius r with 0 < r < 1, written as a
    /// decimal (`low_pass_0.125`). A decimal that is a multiple of 0.05 means the `f64` product `i * 0.05`, which the
    /// published bank uses and which matters where a frequency lies exactly on the radius: `0.15` is
    /// 0.15000000000000002. Its name is written with two digits (`low_pass_0.10`, found as `low_pass_0.1` too).
    ///
    /// # Errors
    /// [`Error::EmptyBank`], [`Error::UnknownOp`], [`Error::Radius`], [`Error::DuplicateOp`] (also for two spellings of
    /// one radius), [`Error::TwoNetworks`].
    pub fn from_names<S: AsRef<str>>(names: &[S]) -> Result<Self, Error> {
        let found: Vec<(Slot, Option<Sweep>)> = names
            .iter()
            .enumerate()
            .map(|(position, name)| find(name.as_ref(), position))
            .collect::<Result<_, _>>()?;
        let (slots, swept): (Vec<Slot>, Vec<Option<Sweep>>) = found.into_iter().unzip();
        if slots.is_empty() {
            return Err(Error::EmptyBank);
        }
        let mut network: Option<usize> = None;
        for (second, slot) in slots.iter().enumerate() {
            if let Some(first) = slots[..second].iter().position(|other| other.name() == slot.name()) {
                return Err(Error::DuplicateOp { name: slot.name().to_owned(), first, second });
            }
            if matches!(slot, Slot::Network(_)) {
                if let Some(first) = network {
                    return Err(Error::TwoNetworks { first, second });
                }
                network = Some(second);
            }
        }
        let mut sweep = [None; Sweep::COUNT];
        let mut needs = Needs::NOTHING;
        let mut plain = Vec::new();
        let (mut low, mut high) = (Vec::new(), Vec::new());
        for (k, (slot, swept)) in slots.iter().zip(swept).enumerate() {
            match (slot.op().map(Op::keeps), swept) {
                (Some(Some(Keeps::UpTo(r))), _) => low.push((k, r.value())),
                (Some(Some(Keeps::Above(r))), _) => high.push((k, r.value())),
                (Some(None), Some(op)) => {
                    sweep[op as usize] = Some(k);
                    needs = needs.and(op.needs());
                }
                (Some(None), None) => plain.push(k),
                (None, _) => {}
            }
        }
        Ok(Self { filters: Filters::new(&low, &high), slots, network, sweep, needs, plain })
    }

    /// The names of the slots, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.slots.iter().map(Slot::name)
    }

    /// Slots, in order.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The augmentation of slot `k`; `None` for the network's place and beyond the end.
    pub fn op(&self, k: usize) -> Option<&dyn Op> {
        self.slots.get(k).and_then(Slot::op)
    }

    /// The number of slots, K.
    #[allow(clippy::len_without_is_empty)] // a bank is never empty
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// The place of the network's image.
    pub fn network_slot(&self) -> Option<usize> {
        self.network
    }
}

/// The names of the published bank, in order.
pub fn paper_names() -> Vec<String> {
    names(false)
}

/// All names there are, with the filters' radii of the published bank.
pub fn known_names() -> Vec<String> {
    names(true)
}

fn names(extra: bool) -> Vec<String> {
    let mut all: Vec<&Entry> = ALL.iter().filter(|entry| extra || entry.published.is_some()).collect();
    all.sort_by_key(|entry| entry.published.unwrap_or(usize::MAX));
    let mut names = Vec::new();
    for entry in all {
        match entry.what {
            What::Op(make, _) => names.push(make().name().to_owned()),
            What::Filters(_, make) => names.extend(Radius::published().map(|r| make(r).name().to_owned())),
            What::Network(name) => names.push(name.to_owned()),
        }
    }
    names
}

/// The augmentation called `name`; `None` for a name that is unknown or a network's.
pub fn op(name: &str) -> Option<Arc<dyn Op>> {
    match find(name, 0) {
        Ok((Slot::Op(op), _)) => Some(op),
        _ => None,
    }
}

fn find(name: &str, position: usize) -> Result<(Slot, Option<Sweep>), Error> {
    for entry in ALL {
        match entry.what {
            What::Op(make, sweep) => {
                let op = make();
                if op.name() == name {
                    return Ok((Slot::Op(op), sweep));
                }
            }
            What::Network(own) if own == name => return Ok((Slot::Network(own), None)),
            What::Network(_) => {}
            What::Filters(family, make) => {
                let Some(text) = name.strip_prefix(family).and_then(|rest| rest.strip_prefix('_')) else {
                    continue;
                };
                let Some(radius) = Radius::parse(text) else {
                    let (name, radius) = (name.to_owned(), text.to_owned());
                    return Err(Error::Radius { name, family, radius, position });
                };
                return Ok((Slot::Op(make(radius)), None));
            }
        }
    }
    Err(unknown(name, position))
}

fn unknown(name: &str, position: usize) -> Error {
    let mut known = Vec::new();
    let mut closest: Option<(usize, String)> = None;
    for what in registry() {
        let (shown, compared) = match what {
            What::Op(make, _) => {
                let own = make().name().to_owned();
                (own.clone(), own)
            }
            What::Network(own) => (own.to_owned(), own.to_owned()),
            What::Filters(family, _) => (format!("{family}_R (0 < R < 1)"), format!("{family}_0.50")),
        };
        let distance = edit_distance(&name.to_lowercase().replace(['-', ' '], "_"), &compared);
        if distance <= compared.len() / 3 && closest.as_ref().is_none_or(|(best, _)| distance < *best) {
            closest = Some((distance, compared));
        }
        known.push(shown);
    }
    let hint = closest.map_or(String::new(), |(_, name)| format!(", did you mean `{name}`?"));
    Error::UnknownOp { name: name.to_owned(), position, hint, known: known.join(", ") }
}

/// Levenshtein's distance.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &cb) in b.iter().enumerate() {
            let changed = diagonal + usize::from(ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// The registry as a Markdown table: name, what it does, formula, factor's range, unit and neutral value, source.
pub fn markdown_table() -> String {
    let mut table = String::from(
        "| name | what it does | formula | factor | neutral | source |\n|---|---|---|---|---|---|\n",
    );
    for what in registry() {
        let (name, op) = match what {
            What::Op(make, _) => (make().name().to_owned(), make()),
            What::Filters(family, make) => (format!("{family}_R"), make(Radius::of_twentieths(10))),
            What::Network(name) => {
                let _ =
                    writeln!(table, "| `{name}` | the image of a network (SK-UNet) | x + residual | | | |");
                continue;
            }
        };
        let (factor, neutral) = match op.magnitude() {
            None => (String::new(), String::new()),
            Some(m) => {
                let (low, high) = m.range();
                (format!("{low} .. {high} {}", m.unit).trim_end().to_owned(), m.neutral.to_string())
            }
        };
        let (about, formula, source) = (op.about(), op.formula(), op.source());
        let _ = writeln!(table, "| `{name}` | {about} | `{formula}` | {factor} | {neutral} | {source} |");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_bank_has_fifty_slots_in_order() {
        let bank = Bank::paper();
        assert_eq!(bank.len(), 50);
        assert_eq!(bank.network_slot(), Some(49));
        let names: Vec<&str> = bank.names().collect();
        let first = [
            "rotate",
            "scale",
            "saturation",
            "contrast",
            "sharpness",
            "brightness",
            "auto_contrast",
            "hue",
            "equalize",
            "invert",
            "gamma",
            "low_pass_0.05",
        ];
        assert_eq!(names[..12], first);
        assert_eq!(names[12], "low_pass_0.10");
        assert_eq!(names[29], "low_pass_0.95");
        assert_eq!(names[30], "high_pass_0.05");
        assert_eq!(names[48], "high_pass_0.95");
        assert_eq!(names[49], "urie");
        let with: Vec<usize> =
            (0..50).filter(|&k| bank.op(k).is_some_and(|op| op.magnitude().is_some())).collect();
        assert_eq!(with, [0, 1, 2, 3, 4, 5, 7, 10]);
    }

    #[test]
    fn errors_name_the_op_its_place_and_what_there_is() {
        let error = Bank::from_names(&["rotate", "sharpnes"]).unwrap_err().to_string();
        assert!(error.contains("position 1"), "{error}");
        assert!(error.contains("`sharpnes`"), "{error}");
        assert!(error.contains("did you mean `sharpness`?"), "{error}");
        assert!(error.contains("high_pass_R"), "{error}");
        let far = Bank::from_names(&["zzzzzzzz"]).unwrap_err().to_string();
        assert!(!far.contains("did you mean"), "{far}");
        assert!(Bank::from_names(&["Auto-Contrast"]).unwrap_err().to_string().contains("`auto_contrast`?"));
        assert_eq!(Bank::from_names::<&str>(&[]).unwrap_err(), Error::EmptyBank);
        assert_eq!(
            Bank::from_names(&["hue", "gamma", "hue"]).unwrap_err(),
            Error::DuplicateOp { name: "hue".into(), first: 0, second: 2 }
        );
        assert_eq!(
            Bank::from_names(&["low_pass_0.1", "low_pass_0.10"]).unwrap_err(),
            Error::DuplicateOp { name: "low_pass_0.10".into(), first: 0, second: 1 }
        );
        assert!(matches!(
            Bank::from_names(&["urie", "urie"]).unwrap_err(),
            Error::DuplicateOp { first: 0, second: 1, .. }
        ));
        for radius in ["0", "1", "1.5", "-0.5", "nan", "inf", "", "x"] {
            let error = Bank::from_names(&[format!("low_pass_{radius}")]).unwrap_err();
            assert!(matches!(error, Error::Radius { position: 0, .. }), "{error}");
        }
    }

    #[test]
    fn any_radius_is_found_again_by_its_name() {
        let bank = Bank::from_names(&["high_pass_0.125", "low_pass_.3", "identity"]).unwrap();
        let names: Vec<&str> = bank.names().collect();
        assert_eq!(names, ["high_pass_0.125", "low_pass_0.30", "identity"]);
        assert!(Bank::from_names(&names).is_ok());
        assert_eq!(bank.network_slot(), None);
    }

    #[test]
    fn the_table_lists_every_entry() {
        let table = markdown_table();
        assert_eq!(table.lines().count(), ALL.len() + 2);
        assert!(table.contains("| `rotate` |") && table.contains("-30 .. 30 degrees"));
    }
}
