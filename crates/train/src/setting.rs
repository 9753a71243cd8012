//! What the images of a training run go through besides their geometry.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use dyntta_corrupt::{Corruption, Preset, Severity, suite};
use dyntta_image::{Rgb8, Stream};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Error;

/// The fifteen common corruptions: looked up once, drawn from for every image.
static COMMON: LazyLock<Vec<Corruption>> = LazyLock::new(|| suite("common15").expect("the suite exists"));

/// What training images go through. Prints and parses as `clean`, `nonblind`, `blind`, `common15` or `NAME:SEVERITY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Nothing beyond the geometry.
    Clean,
    /// With probability 15/16 one of the fifteen common corruptions at a random severity.
    NonBlind,
    /// AugMix: none of the corruptions is known in training.
    Blind,
    /// One of the fifteen common corruptions at a random severity, always: a mixed domain.
    Mix,
    /// This corruption at this severity: a domain shifted in one way.
    Shift(Corruption, Severity),
}

impl Setting {
    /// The corruptions that images go through.
    pub fn corruptions(self) -> Vec<Corruption> {
        match self {
            Self::NonBlind | Self::Mix => COMMON.clone(),
            Self::Shift(corruption, _) => vec![corruption],
            Self::Clean | Self::Blind => Vec::new(),
        }
    }

    /// The corruption and severity of one image, drawn from `stream`; `None` where it stays without.
    pub fn draw(self, stream: &mut Stream) -> Option<(Corruption, Severity)> {
        let any =
            |corruption, stream: &mut Stream| (corruption, Severity::ALL[stream.below(Severity::ALL.len())]);
        match self {
            Self::Clean | Self::Blind => None,
            Self::NonBlind => {
                // Sixteen equal chances: fifteen corruptions and none.
                let corruption = *COMMON.get(stream.below(COMMON.len() + 1))?;
                Some(any(corruption, stream))
            }
            Self::Mix => {
                let corruption = COMMON[stream.below(COMMON.len())];
                Some(any(corruption, stream))
            }
            Self::Shift(corruption, severity) => Some((corruption, severity)),
        }
    }

    /// The setting that a checkpoint's config names in its settings of the training run, if it names one.
    pub fn of_run(training: &serde_json::Value) -> Option<Self> {
        Self::deserialize(&training["setting"]).ok()
    }
}

/// `image` as it is in the shifted domain `setting`, fixed by `seed` and the image's `path`: for evaluation. A single
/// corruption is that of `dyntta corrupt` and `dyntta eval --suite` with the same seed.
pub fn shifted(image: Rgb8, setting: Setting, preset: Preset, seed: u64, path: &str) -> Rgb8 {
    match shifted_by(setting, seed, path) {
        Some((corruption, severity)) => {
            dyntta_corrupt::corrupt(&image, corruption, preset, severity, seed, path)
        }
        None => image,
    }
}

/// The corruption and severity of [`shifted`].
pub(crate) fn shifted_by(setting: Setting, seed: u64, path: &str) -> Option<(Corruption, Severity)> {
    setting.draw(&mut Stream::new(seed, &["shift", path]))
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clean => f.pad("clean"),
            Self::NonBlind => f.pad("nonblind"),
            Self::Blind => f.pad("blind"),
            Self::Mix => f.pad("common15"),
            Self::Shift(corruption, severity) => f.pad(&format!("{corruption}:{severity}")),
        }
    }
}

impl FromStr for Setting {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Ok(match text {
            "clean" => Self::Clean,
            "nonblind" => Self::NonBlind,
            "blind" => Self::Blind,
            "common15" => Self::Mix,
            _ => {
                let Some((name, severity)) = text.split_once(':') else {
                    let expected =
                        "clean, nonblind, blind, common15, or a corruption and its severity such as fog:3";
                    return Err(Error::setting("setting", expected, text));
                };
                Self::Shift(name.parse()?, severity.parse()?)
            }
        })
    }
}

impl Serialize for Setting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_print_as_they_parse() {
        for text in ["clean", "nonblind", "blind", "common15", "speckle_noise:5"] {
            assert_eq!(text.parse::<Setting>().unwrap().to_string(), text);
        }
        let error = |text: &str| text.parse::<Setting>().unwrap_err().to_string();
        assert!(error("dirty").contains("`setting`: expected clean, nonblind"), "{}", error("dirty"));
        assert!(error("fogg:3").contains("did you mean fog"), "{}", error("fogg:3"));
        assert!(error("fog:6").contains('6'), "{}", error("fog:6"));
    }

    #[test]
    fn draws_are_even() {
        let n = 16_000;
        let count = |setting: Setting| {
            let drawn = (0..n).filter_map(|i| setting.draw(&mut Stream::new(1, &[&i.to_string()])));
            let mut counts = std::collections::BTreeMap::<(&str, u8), usize>::new();
            drawn.for_each(|(c, s)| *counts.entry((c.name(), s.get())).or_default() += 1);
            counts
        };
        assert!(count(Setting::Clean).is_empty() && count(Setting::Blind).is_empty());
        for (setting, share) in [(Setting::NonBlind, 15.0 / 16.0), (Setting::Mix, 1.0)] {
            let counts = count(setting);
            assert_eq!(counts.len(), 75);
            let (of, p) = (f64::from(n), share / 75.0);
            // Five standard deviations of a binomial, each and all together.
            let spread = |p: f64| 5.0 * (of * p * (1.0 - p)).sqrt();
            assert!(counts.values().all(|&c| (c as f64 - of * p).abs() < spread(p)), "{counts:?}");
            assert!((counts.values().sum::<usize>() as f64 - of * share).abs() <= spread(share));
        }
        let one: Setting = "fog:2".parse().unwrap();
        assert_eq!(count(one), [(("fog", 2), n as usize)].into());
    }

    #[test]
    fn a_shifted_image_is_fixed_by_seed_and_path() {
        let image = Rgb8::new(8, 8, (0..192).map(|v| v as u8).collect()).unwrap();
        let preset = Preset::Cifar;
        let make =
            |setting: &str, seed, path| shifted(image.clone(), setting.parse().unwrap(), preset, seed, path);
        assert_eq!(make("clean", 1, "a"), image);
        assert_eq!(make("common15", 1, "a"), make("common15", 1, "a"));
        let severity = Severity::ALL[4];
        let corruption: Corruption = "speckle_noise".parse().unwrap();
        assert_eq!(
            make("speckle_noise:5", 1, "a"),
            dyntta_corrupt::corrupt(&image, corruption, preset, severity, 1, "a")
        );
        assert_ne!(make("speckle_noise:5", 1, "a"), make("speckle_noise:5", 1, "b"));
        assert_ne!(make("speckle_noise:5", 1, "a"), make("speckle_noise:5", 2, "a"));
    }
}
