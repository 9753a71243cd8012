use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use crate::Error;

/// Which parameters a corruption uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Preset {
    /// Those of ImageNet-C: made for 224×224, sensible for photographs from 32 px up.
    Imagenet,
    /// Those of CIFAR-10-C: made for 32×32.
    Cifar,
}

impl Preset {
    /// Both presets.
    pub const ALL: [Self; 2] = [Self::Imagenet, Self::Cifar];

    /// `"imagenet"` or `"cifar"`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Imagenet => "imagenet",
            Self::Cifar => "cifar",
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Preset {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|preset| preset.name() == name.trim())
            .ok_or_else(|| Error::UnknownPreset { name: name.to_owned() })
    }
}

/// How strong a corruption is: 1 (weak) to 5 (strong).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Severity(u8);

impl Severity {
    /// 1 to 5.
    pub const ALL: [Self; 5] = [Self(1), Self(2), Self(3), Self(4), Self(5)];

    /// The severity `value`.
    ///
    /// # Errors
    /// [`Error::Severity`] outside 1..=5.
    pub fn new(value: u8) -> Result<Self, Error> {
        if (1..=5).contains(&value) {
            Ok(Self(value))
        } else {
            Err(Error::Severity { found: value.to_string() })
        }
    }

    /// The number, 1 to 5.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Severity {
    type Error = Error;

    fn try_from(value: u8) -> Result<Self, Error> {
        Self::new(value)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Severity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        text.trim()
            .parse()
            .ok()
            .and_then(|v| Self::new(v).ok())
            .ok_or_else(|| Error::Severity { found: text.into() })
    }
}

/// Preset and severity together: which entry of a parameter table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    pub preset: Preset,
    pub severity: Severity,
}

impl Level {
    #[cfg(test)]
    pub fn all() -> impl Iterator<Item = Self> {
        Preset::ALL.into_iter().flat_map(|preset| Severity::ALL.map(|severity| Self { preset, severity }))
    }
}

/// A corruption's parameters, severity 1 to 5 of each preset.
#[derive(Debug)]
pub(crate) struct Table<T> {
    pub imagenet: [T; 5],
    pub cifar: [T; 5],
}

impl<T: Copy> Table<T> {
    pub fn at(&self, level: Level) -> T {
        let row = match level.preset {
            Preset::Imagenet => &self.imagenet,
            Preset::Cifar => &self.cifar,
        };
        row[usize::from(level.severity.0 - 1)]
    }
}

/// Something derived from the parameters alone (a kernel, a lookup table), made at first use and kept.
pub(crate) struct PerLevel<T>([OnceLock<T>; 10]);

impl<T> PerLevel<T> {
    pub const fn new() -> Self {
        Self([const { OnceLock::new() }; 10])
    }

    pub fn at(&self, level: Level, make: impl FnOnce() -> T) -> &T {
        self.0[level.preset as usize * 5 + usize::from(level.severity.0 - 1)].get_or_init(make)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_parse_and_print() {
        for preset in Preset::ALL {
            assert_eq!(preset.to_string().parse::<Preset>(), Ok(preset));
        }
        for severity in Severity::ALL {
            assert_eq!(severity.to_string().parse::<Severity>(), Ok(severity));
        }
        assert!(Severity::new(0).is_err() && Severity::new(6).is_err());
        assert!("3.5".parse::<Severity>().unwrap_err().to_string().contains("\"3.5\""));
        assert!("mnist".parse::<Preset>().unwrap_err().to_string().contains("imagenet"));
    }

    #[test]
    fn every_level_has_its_own_cache_cell() {
        let cells = PerLevel::new();
        for (i, level) in Level::all().enumerate() {
            assert_eq!(*cells.at(level, || i), i);
        }
        for (i, level) in Level::all().enumerate() {
            assert_eq!(*cells.at(level, || usize::MAX), i);
        }
    }
}
