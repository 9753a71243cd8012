use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use dyntta_image::{Rgb8, Stream};

use crate::space::Operation;
use crate::{AugMix, Error, RandAugment, TrivialAugment, randaugment, trivialaugment};

/// A policy that is fixed beforehand, not estimated. Prints as its name and parses from it, with the policy's defaults.
#[derive(Clone, Debug, PartialEq)]
pub enum Fixed {
    /// `none`: images stay as they are.
    None,
    /// `augmix`
    AugMix(AugMix),
    /// `randaugment`
    RandAugment(RandAugment),
    /// `trivialaugment`
    TrivialAugment(TrivialAugment),
}

impl Fixed {
    /// All of them, with their defaults.
    pub fn all() -> [Self; 4] {
        [
            Self::None,
            Self::AugMix(AugMix::default()),
            Self::RandAugment(RandAugment::default()),
            Self::TrivialAugment(TrivialAugment::default()),
        ]
    }

    /// The name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::AugMix(_) => "augmix",
            Self::RandAugment(_) => "randaugment",
            Self::TrivialAugment(_) => "trivialaugment",
        }
    }

    /// All of them as a Markdown table: name, what it does, its operations, its defaults, source.
    pub fn markdown_table() -> String {
        let mut table =
            String::from("| name | what it does | operations | defaults | source |\n|---|---|---|---|---|\n");
        let code = |name: &dyn fmt::Display| format!("`{name}`");
        let list = |operations: &[Operation]| {
            operations.iter().map(|op| code(&op.name)).collect::<Vec<_>>().join(", ")
        };
        for policy in Self::all() {
            let (about, operations, defaults, source) = match &policy {
                Self::None => ("leaves the image as it is", String::new(), String::new(), ""),
                Self::AugMix(AugMix { width, depth, severity, ops }) => (
                    "mixes the image with what chains of operations at random levels make of it",
                    ops.iter().map(|op| code(op)).collect::<Vec<_>>().join(", "),
                    format!(
                        "{width} chains of {} to {} operations, levels up to {severity} of 10",
                        depth.start(),
                        depth.end()
                    ),
                    "Hendrycks et al. 2020, arXiv 1912.02781; Pillow's pixels",
                ),
                Self::RandAugment(RandAugment { ops, magnitude, bins }) => (
                    "some operations one after the other, all at one magnitude",
                    list(&randaugment::OPERATIONS),
                    format!("{ops} operations, magnitude {magnitude} of 0 to {}", bins - 1),
                    "Cubuk et al. 2020, arXiv 1909.13719; torchvision's `RandAugment` on PIL images",
                ),
                Self::TrivialAugment(TrivialAugment { bins }) => (
                    "one operation at a random magnitude",
                    list(&trivialaugment::OPERATIONS),
                    format!("magnitudes 0 to {}", bins - 1),
                    "Müller & Hutter 2021, arXiv 2103.10158; torchvision's `TrivialAugmentWide` on PIL images",
                ),
            };
            let _ = writeln!(table, "| `{policy}` | {about} | {operations} | {defaults} | {source} |");
        }
        table
    }

    /// `image` augmented, with all that is random drawn from `stream`. Any size; the size is kept.
    pub fn apply(&self, image: &Rgb8, stream: &mut Stream) -> Rgb8 {
        match self {
            Self::None => image.clone(),
            Self::AugMix(policy) => policy.apply(image, stream),
            Self::RandAugment(policy) => policy.apply(image, stream),
            Self::TrivialAugment(policy) => policy.apply(image, stream),
        }
    }
}

impl fmt::Display for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Fixed {
    type Err = Error;

    /// The policy of this name, with its defaults.
    ///
    /// # Errors
    /// [`Error::UnknownFixed`] with the names that exist.
    fn from_str(name: &str) -> Result<Self, Error> {
        let name = name.trim();
        Self::all().into_iter().find(|policy| policy.name() == name).ok_or_else(|| Error::UnknownFixed {
            name: name.to_owned(),
            known: Self::all().map(|policy| policy.name()).join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_and_print() {
        for policy in Fixed::all() {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        let message = "autoaugment".parse::<Fixed>().unwrap_err().to_string();
        assert!(message.contains("\"autoaugment\""), "{message}");
        assert!(message.ends_with("none, augmix, randaugment, trivialaugment"), "{message}");
    }

    #[test]
    fn the_stream_decides_and_nothing_else() {
        let image = Rgb8::new(32, 32, (0..32 * 32 * 3).map(|i| (i * i % 251) as u8).collect()).unwrap();
        for policy in Fixed::all() {
            let run = |seed| -> Vec<Rgb8> {
                let mut stream = Stream::new(seed, &["policy"]);
                (0..20).map(|_| policy.apply(&image, &mut stream)).collect()
            };
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| run(0))).collect();
                for images in threads {
                    assert!(images.join().unwrap() == run(0), "{policy}");
                }
            });
            assert_eq!(run(0) == run(1), policy == Fixed::None, "{policy}");
            assert!(policy == Fixed::None || run(0).iter().any(|out| *out != image), "{policy}");
        }
    }
}
