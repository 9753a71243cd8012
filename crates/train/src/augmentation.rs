//! The training-time augmentation of a classifier.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use dyntta_augment::policy::Direction;
use dyntta_augment::{AugMix, AugmixOp, Fixed, Policy, PolicyAugment, PolicyOptions};
use dyntta_files::shown;

use crate::error::Error;
use crate::images::Treatment;

/// How many augmentations [`Style::TopK`] takes unless something else is said: the paper's number.
pub const TOP_K: usize = 4;

/// How an estimated policy is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// The operations of largest weight are AugMix's list: the published way.
    TopK,
    /// Operations by their weights, factors from their distributions, as the enhancer applies them ([`Direction::Mend`]).
    Sampled,
    /// The same the other way round, so that clean images become like the domain's ([`Direction::Invert`]).
    #[default]
    Inverted,
}

impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::TopK => "top-k",
            Self::Sampled => "sampled",
            Self::Inverted => "inverted",
        })
    }
}

impl FromStr for Style {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "top-k" => Ok(Self::TopK),
            "sampled" => Ok(Self::Sampled),
            "inverted" => Ok(Self::Inverted),
            _ => Err(Error::setting("style", "top-k, sampled or inverted", text)),
        }
    }
}

/// What a classifier's training images go through after crop, shift and flip.
#[derive(Clone, Debug)]
pub enum Augmentation {
    /// A policy that no domain was asked for.
    Fixed(Fixed),
    /// AugMix with an estimated policy's augmentations.
    TopK {
        /// The policy's file.
        policy: PathBuf,
        /// AugMix with its list.
        augmix: AugMix,
    },
    /// An estimated policy, drawn from.
    Sampled {
        /// The policy's file.
        policy: PathBuf,
        /// How.
        style: Style,
        /// What draws from it.
        augment: PolicyAugment,
    },
}

impl Augmentation {
    /// A policy by its name.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn fixed(name: &str) -> Result<Self, Error> {
        Ok(Self::Fixed(name.parse()?))
    }

    /// From settings: the name of a fixed policy or the file of an estimated one, and what goes with a file.
    ///
    /// # Errors
    /// If the name is neither, the file is wrong, has no operation, or a setting does not go with the policy.
    pub fn resolve(
        policy: &str,
        style: Option<Style>,
        top_k: Option<usize>,
        strength: Option<f64>,
    ) -> Result<Self, Error> {
        let path = Path::new(policy);
        if !path.is_file() {
            let fixed = Self::fixed(policy).map_err(|_| {
                let names = Fixed::all().map(|fixed| fixed.name()).join(", ");
                let expected = format!("the file of a policy, or one of {names}");
                Error::setting("policy", expected, format!("{policy}, which is neither"))
            })?;
            for (key, given) in
                [("style", style.is_some()), ("top-k", top_k.is_some()), ("strength", strength.is_some())]
            {
                if given {
                    return Err(Error::setting(
                        key,
                        "the file of an estimated policy",
                        format!("`{policy}`"),
                    ));
                }
            }
            return Ok(fixed);
        }
        let estimated = Policy::read(path)?;
        let no_operation = || {
            let expected = "a policy with an operation (`urie` and `identity` are none, nor are filters of unknown `change`)";
            Error::setting("policy", expected, shown(path))
        };
        let policy = path.to_owned();
        match style.unwrap_or_default() {
            Style::TopK => {
                if strength.is_some() {
                    return Err(Error::setting(
                        "strength",
                        "`--style sampled` or `inverted`",
                        "`--style top-k`",
                    ));
                }
                let k = top_k.unwrap_or(TOP_K);
                let ops: Vec<AugmixOp> =
                    estimated.top(k).iter().filter_map(|op| AugmixOp::of_bank(&op.name)).collect();
                if ops.is_empty() {
                    return Err(no_operation());
                }
                Ok(Self::TopK { policy, augmix: AugMix { ops, ..AugMix::default() } })
            }
            style @ (Style::Sampled | Style::Inverted) => {
                if top_k.is_some() {
                    return Err(Error::setting("top-k", "`--style top-k`", format!("`--style {style}`")));
                }
                let strength = strength.unwrap_or(1.0);
                if !(strength.is_finite() && strength >= 0.0) {
                    return Err(Error::setting("strength", "a number from 0 up", strength));
                }
                let direction = if style == Style::Sampled { Direction::Mend } else { Direction::Invert };
                let options = PolicyOptions { direction, strength, ..PolicyOptions::default() };
                let augment = PolicyAugment::new(&estimated, options).ok_or_else(no_operation)?;
                Ok(Self::Sampled { policy, style, augment })
            }
        }
    }

    /// All that decides what it does, for a resumed run to be held against.
    pub(crate) fn fingerprint(&self) -> String {
        match self {
            Self::Fixed(fixed) => format!("{fixed:?}"),
            Self::TopK { augmix, .. } => format!("{augmix:?}"),
            Self::Sampled { augment, .. } => format!("{augment:?}"),
        }
    }

    /// What is done to each image.
    pub fn treatment(&self) -> Treatment {
        match self.clone() {
            Self::Fixed(fixed) => Arc::new(move |image, stream| fixed.apply(&image, stream)),
            Self::TopK { augmix, .. } => Arc::new(move |image, stream| augmix.apply(&image, stream)),
            Self::Sampled { augment, .. } => Arc::new(move |image, stream| augment.apply(&image, stream)),
        }
    }
}

impl fmt::Display for Augmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(fixed) => fixed.fmt(f),
            Self::TopK { policy, augmix } => {
                let names: Vec<String> = augmix.ops.iter().map(ToString::to_string).collect();
                write!(f, "AugMix of {} ({})", names.join(", "), shown(policy))
            }
            Self::Sampled { policy, style, .. } => write!(f, "{style} from {}", shown(policy)),
        }
    }
}
