//! What can be said of a training, as flags, as a TOML file and as a run's `settings.json`: each option is one field of one
//! struct, with its name, its type, its help and its bounds.
//!
//! The structs are written by `options!` and share groups of options by flattening: [`RecipeOptions`], [`InputOptions`],
//! [`DataOptions`].

mod choice;
mod data;
pub(crate) mod file;
#[cfg(feature = "clap")]
pub mod flags;
mod input;
mod keys;
mod recipe;

pub use choice::Choice;
pub(crate) use choice::choices;
pub use data::{DataOptions, OnError};
pub use file::SETTINGS;
pub use input::{InputOptions, ReadingOptions};
pub(crate) use keys::{Fields, Key, deserialize, serialize};
pub use recipe::RecipeOptions;

/// Defines a struct of options. A field is an `Option` and a flag of its name (`#[arg(…)]`, as clap's derive has it), or a group
/// of options (`#[command(flatten)]`); `#[alias("…")]` is another key that files may use.
///
/// Made from the one definition: the struct; with the feature `clap` its flags, whose help the docs are; `or`, which fills up
/// from other options; and serde with the keys of all groups side by side, kebab-case, where an unknown key is an error.
macro_rules! options {
    (
        $(#[doc = $about:tt])*
        $(#[command($($command:tt)*)])?
        pub struct $name:ident {
            $(
                $(#[doc = $doc:tt])*
                $(#[arg($($arg:tt)*)])?
                $(#[command($($flatten:tt)*)])?
                $(#[alias($alias:literal)])?
                pub $field:ident: $type:ty,
            )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, Default, PartialEq)]
        #[cfg_attr(feature = "clap", derive(clap::Args))]
        $(#[cfg_attr(feature = "clap", command($($command)*))])?
        pub struct $name {
            $(
                $(#[doc = $doc])*
                $(#[cfg_attr(feature = "clap", arg($($arg)*))])?
                $(#[cfg_attr(feature = "clap", command($($flatten)*))])?
                pub $field: $type,
            )*
        }

        impl $name {
            /// These options, and those of `other` where these are silent.
            #[must_use]
            pub fn or(self, other: Self) -> Self {
                Self { $($field: self.$field.or(other.$field)),* }
            }
        }

        impl $crate::options::Fields for $name {
            fn keys(_: &'static str, _: &[&'static str], into: &mut Vec<$crate::options::Key>) {
                $(<$type>::keys(stringify!($field), &[$($alias)?], into);)*
            }

            fn read<'de, M: serde::de::MapAccess<'de>>(
                &mut self,
                _: &'static str,
                key: &str,
                map: &mut M,
            ) -> Result<bool, M::Error> {
                $(if $crate::options::Fields::read(&mut self.$field, stringify!($field), key, map)? {
                    return Ok(true);
                })*
                Ok(false)
            }

            fn write<M: serde::ser::SerializeMap>(&self, _: &'static str, map: &mut M) -> Result<(), M::Error> {
                $($crate::options::Fields::write(&self.$field, stringify!($field), map)?;)*
                Ok(())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::options::serialize(self, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::options::deserialize(deserializer)
            }
        }
    };
}
pub(crate) use options;
