//! Options as the keys of a map, those of groups side by side. (serde's own flattening forgets on which line of a file a value
//! stands, and lets unknown keys pass.)

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, DeserializeSeed, Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserializer, Serialize, Serializer};

/// An option's key, in kebab-case, and what else files may call it.
pub(crate) struct Key {
    name: String,
    aliases: Vec<&'static str>,
}

/// A field of a struct of options: an option, or a group of them.
pub(crate) trait Fields: Sized {
    /// Adds the keys of a field that is called `field`; a group has its own.
    fn keys(field: &'static str, aliases: &[&'static str], into: &mut Vec<Key>);

    /// Takes the value of `key` if that is a key of this field.
    fn read<'de, M: MapAccess<'de>>(
        &mut self,
        field: &'static str,
        key: &str,
        map: &mut M,
    ) -> Result<bool, M::Error>;

    /// Writes the field's keys and values.
    fn write<M: SerializeMap>(&self, field: &'static str, map: &mut M) -> Result<(), M::Error>;
}

fn kebab(field: &str) -> String {
    field.replace('_', "-")
}

impl<T: Serialize + DeserializeOwned> Fields for Option<T> {
    fn keys(field: &'static str, aliases: &[&'static str], into: &mut Vec<Key>) {
        into.push(Key { name: kebab(field), aliases: aliases.to_vec() });
    }

    fn read<'de, M: MapAccess<'de>>(
        &mut self,
        field: &'static str,
        key: &str,
        map: &mut M,
    ) -> Result<bool, M::Error> {
        let is_own = key == kebab(field);
        if is_own {
            *self = map.next_value()?;
        }
        Ok(is_own)
    }

    fn write<M: SerializeMap>(&self, field: &'static str, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry(&kebab(field), self)
    }
}

pub(crate) fn serialize<T: Fields, S: Serializer>(options: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    options.write("", &mut map)?;
    map.end()
}

pub(crate) fn deserialize<'de, T: Fields + Default, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    struct Options<T>(PhantomData<T>);
    impl<'de, T: Fields + Default> Visitor<'de> for Options<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("settings by their names")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<T, M::Error> {
            let mut keys = Vec::new();
            T::keys("", &[], &mut keys);
            let mut seen: Vec<usize> = Vec::new();
            let mut options = T::default();
            while let Some(at) = map.next_key_seed(Known { keys: &keys, seen: &seen })? {
                options.read("", &keys[at].name, &mut map)?;
                seen.push(at);
            }
            Ok(options)
        }
    }
    deserializer.deserialize_map(Options(PhantomData))
}

/// A key that there is and that has not been given: its place among the keys. An error about it is one at its line.
struct Known<'a> {
    keys: &'a [Key],
    seen: &'a [usize],
}

impl<'de> DeserializeSeed<'de> for Known<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Known<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a setting")
    }

    fn visit_str<E: Error>(self, found: &str) -> Result<usize, E> {
        let is = |key: &Key| key.name == found || key.aliases.contains(&found);
        match self.keys.iter().position(is) {
            Some(at) if self.seen.contains(&at) => {
                Err(E::custom(format!("duplicate field `{}`", self.keys[at].name)))
            }
            Some(at) => Ok(at),
            None => {
                let names: Vec<String> = self.keys.iter().map(|key| format!("`{}`", key.name)).collect();
                Err(E::custom(format!("unknown field `{found}`, expected one of {}", names.join(", "))))
            }
        }
    }
}
