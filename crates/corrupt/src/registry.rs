use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use dyntta_image::{Rgb8, Stream};

use crate::level::Level;
use crate::{ENTRIES, Elastic, Error, FrostTextures, Preset, Severity};

/// What a corruption's file tells about it.
pub(crate) struct Entry {
    /// Its name in ImageNet-C.
    pub name: &'static str,
    /// One sentence on what it imitates.
    pub summary: &'static str,
    /// The suite that it belongs to.
    pub suite: Suite,
    /// Whether it draws from the stream.
    pub random: bool,
    /// The corrupted image, of the same size.
    pub apply: fn(&Rgb8, Level, &mut Stream, &Resources) -> Rgb8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suite {
    /// The fifteen of ImageNet-C.
    Common15,
    /// The four kept for validation.
    Extra4,
}

/// Declares each corruption's module and lists its entry, in the order of the suites.
macro_rules! registry {
    ($($name:ident),* $(,)?) => {
        $(mod $name;)*
        static ENTRIES: &[registry::Entry] = &[$($name::ENTRY),*];
    };
}
pub(crate) use registry;

/// What corruptions use besides the image, the parameters and the stream. Build it with
/// `Resources { frost, ..Resources::default() }`.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    /// The textures of `frost`; procedural unless set.
    pub frost: FrostTextures,
    /// What `elastic_transform` does in the `imagenet` preset.
    pub elastic: Elastic,
}

/// One of the corruptions: a handle to copy and compare freely. Prints and parses as its ImageNet-C name.
#[derive(Clone, Copy)]
pub struct Corruption(&'static Entry);

impl Corruption {
    /// All corruptions, in the order of the suites: those of `common15`, then those of `extra4`.
    pub fn all() -> impl ExactSizeIterator<Item = Self> + Clone {
        ENTRIES.iter().map(Self)
    }

    /// The name, in snake case, as ImageNet-C's folders have it.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// One sentence on what it imitates.
    pub fn summary(self) -> &'static str {
        self.0.summary
    }

    /// Whether the result depends on the stream.
    pub fn is_random(self) -> bool {
        self.0.random
    }

    /// The suite that it belongs to: `"common15"` or `"extra4"`.
    pub fn suite(self) -> &'static str {
        match self.0.suite {
            Suite::Common15 => "common15",
            Suite::Extra4 => "extra4",
        }
    }

    /// `image` corrupted, drawing what is random from `stream`. Any size; the size is kept.
    ///
    /// Frost uses the procedural textures; see [`apply_with`](Self::apply_with).
    pub fn apply(self, image: &Rgb8, preset: Preset, severity: Severity, stream: &mut Stream) -> Rgb8 {
        self.apply_with(image, preset, severity, stream, &Resources::default())
    }

    /// [`apply`](Self::apply) with `resources`.
    pub fn apply_with(
        self,
        image: &Rgb8,
        preset: Preset,
        severity: Severity,
        stream: &mut Stream,
        resources: &Resources,
    ) -> Rgb8 {
        (self.0.apply)(image, Level { preset, severity }, stream, resources)
    }
}

impl PartialEq for Corruption {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Corruption {}

impl Hash for Corruption {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl fmt::Debug for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Corruption({})", self.0.name)
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.name)
    }
}

impl FromStr for Corruption {
    type Err = Error;

    /// The corruption of this name.
    ///
    /// # Errors
    /// [`Error::UnknownCorruption`] with the names that exist and the nearest of them.
    fn from_str(name: &str) -> Result<Self, Error> {
        let name = name.trim();
        Self::all().find(|c| c.name() == name).ok_or_else(|| Error::UnknownCorruption {
            name: name.to_owned(),
            suggestion: nearest(name),
            known: known(),
        })
    }
}

/// The corruptions of a comma-separated list of suites (`common15`, `extra4`, `all19`) and corruptions' names, each once,
/// in the order of their first mention.
///
/// # Errors
/// [`Error::UnknownCorruption`] for a name that does not exist, [`Error::EmptySuite`] if nothing is named.
pub fn suite(list: &str) -> Result<Vec<Corruption>, Error> {
    let mut found = Vec::new();
    for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let members: Vec<Corruption> = match name {
            "all19" => Corruption::all().collect(),
            "common15" | "extra4" => Corruption::all().filter(|c| c.suite() == name).collect(),
            _ => vec![name.parse()?],
        };
        for corruption in members {
            if !found.contains(&corruption) {
                found.push(corruption);
            }
        }
    }
    if found.is_empty() { Err(Error::EmptySuite { known: known() }) } else { Ok(found) }
}

/// The random stream of one corrupted image.
///
/// It depends on `seed`, `relative_path`, the corruption and the severity alone. The path is the image's, relative to the
/// data set's folder; a backslash counts as a slash, so that all platforms agree.
pub fn stream(corruption: Corruption, severity: Severity, seed: u64, relative_path: &str) -> Stream {
    let path = relative_path.replace('\\', "/");
    Stream::new(seed, &["corrupt", &path, corruption.name(), &severity.to_string()])
}

/// `image` corrupted with the [`stream`] of (`seed`, `relative_path`, `corruption`, `severity`).
pub fn corrupt(
    image: &Rgb8,
    corruption: Corruption,
    preset: Preset,
    severity: Severity,
    seed: u64,
    relative_path: &str,
) -> Rgb8 {
    corrupt_with(image, corruption, preset, severity, seed, relative_path, &Resources::default())
}

/// [`corrupt`] with `resources`.
pub fn corrupt_with(
    image: &Rgb8,
    corruption: Corruption,
    preset: Preset,
    severity: Severity,
    seed: u64,
    relative_path: &str,
    resources: &Resources,
) -> Rgb8 {
    let mut stream = stream(corruption, severity, seed, relative_path);
    corruption.apply_with(image, preset, severity, &mut stream, resources)
}

fn known() -> String {
    Corruption::all().map(Corruption::name).collect::<Vec<_>>().join(", ")
}

/// The name nearest to `name`, unless more than a third of it would have to change.
fn nearest(name: &str) -> Option<String> {
    let wanted = name.to_lowercase().replace(['-', ' '], "_");
    Corruption::all()
        .map(Corruption::name)
        .chain(["common15", "extra4", "all19"])
        // "motion" stands for motion_blur, though half of it is missing.
        .map(|known| {
            (if known.starts_with(&wanted) && wanted.len() > 2 { 1 } else { edits(&wanted, known) }, known)
        })
        .min()
        .filter(|&(distance, known)| distance * 3 <= known.len())
        .map(|(_, known)| known.to_owned())
}

/// The Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_have_their_sizes_and_order() {
        let names = |list: &str| suite(list).unwrap().into_iter().map(Corruption::name).collect::<Vec<_>>();
        assert_eq!(names("common15").len(), 15);
        assert_eq!(names("extra4"), ["speckle_noise", "gaussian_blur", "spatter", "saturate"]);
        assert_eq!(names("all19"), [names("common15"), names("extra4")].concat());
        assert_eq!(names("fog, snow,fog"), ["fog", "snow"]);
        assert_eq!(names("spatter,extra4").len(), 4);
        assert_eq!(names("common15,spatter").len(), 16);
    }

    #[test]
    fn names_are_unique_and_parse() {
        for corruption in Corruption::all() {
            assert_eq!(corruption.name().parse::<Corruption>(), Ok(corruption));
            assert!(corruption.summary().ends_with('.'), "{corruption}: {}", corruption.summary());
        }
        let mut names: Vec<_> = Corruption::all().map(Corruption::name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ENTRIES.len());
    }

    #[test]
    fn an_unknown_name_gets_a_suggestion_and_the_list() {
        for (asked, meant) in [
            ("gausian_noise", "gaussian_noise"),
            ("Glass-Blur", "glass_blur"),
            ("motion", "motion_blur"),
            ("jpeg", "jpeg_compression"),
            ("all", "all19"),
            ("common 15", "common15"),
        ] {
            let message = suite(&format!("fog,{asked}")).unwrap_err().to_string();
            assert!(message.contains(&format!("did you mean {meant}?")), "{message}");
            assert!(message.contains("elastic_transform") && message.contains("all19"), "{message}");
        }
        let message = "zebra_crossing".parse::<Corruption>().unwrap_err().to_string();
        assert!(!message.contains("did you mean"), "{message}");
        assert!(matches!(suite(" , "), Err(Error::EmptySuite { .. })));
    }

    #[test]
    fn each_part_of_the_key_gives_another_stream() {
        let draw = |c: &str, severity, seed, path| {
            stream(c.parse().unwrap(), Severity::new(severity).unwrap(), seed, path).next_u64()
        };
        let base = draw("fog", 1, 0, "a/b.png");
        assert_eq!(base, draw("fog", 1, 0, "a\\b.png"));
        for other in [
            draw("snow", 1, 0, "a/b.png"),
            draw("fog", 2, 0, "a/b.png"),
            draw("fog", 1, 1, "a/b.png"),
            draw("fog", 1, 0, "a/c.png"),
        ] {
            assert_ne!(base, other);
        }
    }
}
