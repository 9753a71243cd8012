//! Options that are one of a few.

use dyntta_data::preprocessing::ResizeRule;
use dyntta_image::{ChannelOrder, Exif, Filter, ValueRange};
use dyntta_nn::checkpoint::Method;
use dyntta_nn::onnx::Scores;

/// A type of a few values, each with a name that flags and files call it by.
pub trait Choice: Copy + Send + Sync + 'static {
    /// All values, in the order in which they are listed.
    const CHOICES: &'static [Self];

    /// The value's name.
    fn name(self) -> &'static str;

    /// What the help says of it; nothing where the name says it all.
    fn help(self) -> Option<&'static str> {
        None
    }
}

/// A type that lists its values itself.
macro_rules! listed {
    ($($type:ty),*) => {
        $(impl Choice for $type {
            const CHOICES: &'static [Self] = &<$type>::ALL;

            fn name(self) -> &'static str {
                <$type>::name(self)
            }
        })*
    };
}
listed!(ResizeRule, Filter, ChannelOrder, ValueRange, Exif, Scores);

impl Choice for Method {
    const CHOICES: &'static [Self] = &[Self::Dyntta, Self::Urie];

    fn name(self) -> &'static str {
        match self {
            Self::Dyntta => "dyntta",
            Self::Urie => "urie",
        }
    }

    fn help(self) -> Option<&'static str> {
        Some(match self {
            Self::Dyntta => "The control network with the bank of augmentations",
            Self::Urie => "The SK-UNet alone",
        })
    }
}

/// Defines an enum whose values have names: [`Choice`], `Display`, `FromStr` and serde by them.
macro_rules! choices {
    (
        $(#[$about:meta])*
        pub enum $name:ident as $key:literal {
            $($(#[$doc:meta])* $value:ident = $text:literal $(: $help:literal)?,)*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $text)] $value,)*
        }

        impl $crate::options::Choice for $name {
            const CHOICES: &'static [Self] = &[$(Self::$value),*];

            fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $text),*
                }
            }

            fn help(self) -> Option<&'static str> {
                match self {
                    $($(Self::$value => Some($help),)?)*
                    #[allow(unreachable_patterns, reason = "where every value has its help")]
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad($crate::options::Choice::name(*self))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::error::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$value),)*
                    _ => Err($crate::error::Error::setting($key, [$($text),*].join(", "), text)),
                }
            }
        }
    };
}
pub(crate) use choices;
