//! The registry of augmentations, and banks made from it.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::Error;
use crate::ops::high_pass::HighPass;
use crate::ops::low_pass::LowPass;
use crate::ops::{self, Fused, Op, Sweep};
use crate::spectral::{Filters, Radius};

/// One line of the registry.
enum Entry {
    /// An op of the published bank.
    Op(fn() -> Arc<dyn Op>),
    /// An op that can be chosen but is not in the published bank.
    Extra(fn() -> Arc<dyn Op>),
    /// Radial filters, one for each radius; the published bank has the radii 0.05, 0.10 .. 0.95.
    Filters(&'static str, fn(Radius) -> Arc<dyn Op>),
    /// The place of a network's image.
    Network(&'static str),
}

/// Every augmentation, in the published order. A new op is one more line here.
const REGISTRY: &[Entry] = &[
    Entry::Op(|| Arc::new(ops::rotate::Rotate)),
    Entry::Op(|| Arc::new(ops::scale::Scale)),
    Entry::Op(|| Arc::new(ops::saturation::Saturation)),
    Entry::Op(|| Arc::new(ops::contrast::Contrast)),
    Entry::Op(|| Arc::new(ops::sharpness::Sharpness)),
    Entry::Op(|| Arc::new(ops::brightness::Brightness)),
    Entry::Op(|| Arc::new(ops::auto_contrast::AutoContrast)),
    Entry::Op(|| Arc::new(ops::hue::Hue)),
    Entry::Op(|| Arc::new(ops::equalize::Equalize)),
    Entry::Op(|| Arc::new(ops::invert::Invert)),
    Entry::Op(|| Arc::new(ops::gamma::Gamma)),
    Entry::Filters(LowPass::FAMILY, |r| Arc::new(LowPass::new(r))),
    Entry::Filters(HighPass::FAMILY, |r| Arc::new(HighPass::new(r))),
    Entry::Network("urie"),
    Entry::Extra(|| Arc::new(ops::identity::Identity)),
];

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
        let slots: Vec<Slot> = names
            .iter()
            .enumerate()
            .map(|(position, name)| find(name.as_ref(), position))
            .collect::<Result<_, _>>()?;
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
        let mut plain = Vec::new();
        let (mut low, mut high) = (Vec::new(), Vec::new());
        for (k, slot) in slots.iter().enumerate() {
            match slot.op().map(Op::fused) {
                Some(Fused::Sweep(op)) => sweep[op as usize] = Some(k),
                Some(Fused::Plain) => plain.push(k),
                Some(Fused::LowPass(r)) => low.push((k, r)),
                Some(Fused::HighPass(r)) => high.push((k, r)),
                None => {}
            }
        }
        Ok(Self { filters: Filters::new(&low, &high), slots, network, sweep, plain })
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
    let mut names = Vec::new();
    for entry in REGISTRY {
        match entry {
            Entry::Op(make) => names.push(make().name().to_owned()),
            Entry::Extra(make) if extra => names.push(make().name().to_owned()),
            Entry::Extra(_) => {}
            Entry::Filters(_, make) => names.extend(Radius::published().map(|r| make(r).name().to_owned())),
            Entry::Network(name) => names.push((*name).to_owned()),
        }
    }
    names
}

/// The augmentation called `name`; `None` for a name that is unknown or a network's.
pub fn op(name: &str) -> Option<Arc<dyn Op>> {
    match find(name, 0) {
        Ok(Slot::Op(op)) => Some(op),
        _ => None,
    }
}

fn find(name: &str, position: usize) -> Result<Slot, Error> {
    for entry in REGISTRY {
        match entry {
            Entry::Op(make) | Entry::Extra(make) => {
                let op = make();
                if op.name() == name {
                    return Ok(Slot::Op(op));
                }
            }
            Entry::Network(own) if *own == name => return Ok(Slot::Network(own)),
            Entry::Network(_) => {}
            Entry::Filters(family, make) => {
                let Some(text) = name.strip_prefix(family).and_then(|rest| rest.strip_prefix('_')) else {
                    continue;
                };
                let Some(radius) = Radius::parse(text) else {
                    let (name, radius) = (name.to_owned(), text.to_owned());
                    return Err(Error::Radius { name, family, radius, position });
                };
                return Ok(Slot::Op(make(radius)));
            }
        }
    }
    Err(unknown(name, position))
}

fn unknown(name: &str, position: usize) -> Error {
    let mut known = Vec::new();
    let mut closest: Option<(usize, String)> = None;
    for entry in REGISTRY {
        let (shown, compared) = match entry {
            Entry::Op(make) | Entry::Extra(make) => {
                let own = make().name().to_owned();
                (own.clone(), own)
            }
            Entry::Network(own) => ((*own).to_owned(), (*own).to_owned()),
            Entry::Filters(family, _) => (format!("{family}_R (0 < R < 1)"), format!("{family}_0.50")),
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
    for entry in REGISTRY {
        let (name, op) = match entry {
            Entry::Op(make) | Entry::Extra(make) => (make().name().to_owned(), make()),
            Entry::Filters(family, make) => (format!("{family}_R"), make(Radius::of_twentieths(10))),
            Entry::Network(name) => {
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
        assert_eq!(table.lines().count(), REGISTRY.len() + 2);
        assert!(table.contains("| `rotate` |") && table.contains("-30 .. 30 degrees"));
    }
}
