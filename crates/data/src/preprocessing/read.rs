//! The forms in which a preprocessing is written down: our own JSON, timm's config, and the metadata of an ONNX model.

use std::collections::BTreeMap;

use dyntta_files::shown_text;
use dyntta_image::{Exif, Filter};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Given, InputSize, ResizeRule};
use crate::Error;

/// The keys of our own JSON.
const KEYS: [&str; 10] = [
    "input_size",
    "resize",
    "interpolation",
    "crop_pct",
    "mean",
    "std",
    "channels",
    "range",
    "exif",
    "classes",
];

/// Where timm's keys stand in its `config.json`.
const TIMM_PARTS: [&str; 2] = ["pretrained_cfg", "default_cfg"];

impl Given {
    /// From our own JSON or, told by its `pretrained_cfg` or `default_cfg`, a config of timm.
    ///
    /// # Errors
    /// [`Error::Layout`] if it is no JSON object; [`Error::Preprocessing`] names a key that is not known or whose value
    /// is not what it should be. `path` is for the messages.
    pub fn from_json(path: &str, text: &str) -> Result<Self, Error> {
        let value: Value = serde_json::from_str(text)
            .map_err(|e| Error::layout(path, "a JSON object", format!("other text ({e})")))?;
        if let Some(given) = Self::from_timm(path, &value)? {
            return Ok(given);
        }
        Self::from_value(path, &value)
    }

    /// From our own JSON, parsed.
    ///
    /// # Errors
    /// As [`Given::from_json`].
    pub fn from_value(path: &str, value: &Value) -> Result<Self, Error> {
        let Value::Object(map) = value else {
            return Err(Error::layout(path, "a JSON object", shorten(value)));
        };
        let mut given = Self::default();
        for (key, value) in map {
            given.set(path, key, key, value)?;
        }
        given.check(path)?;
        Ok(given)
    }

    /// From what a run has kept of the preprocessing of its training. One from before [`Exif`] was a choice applied the
    /// orientation.
    ///
    /// # Errors
    /// As [`Given::from_json`].
    pub fn from_run(path: &str, value: &Value) -> Result<Self, Error> {
        let mut given = Self::from_value(path, value)?;
        given.exif.get_or_insert(Exif::Apply);
        Ok(given)
    }

    /// From timm's `config.json`; `None` if it is not one. What of it has nothing to do with preprocessing is passed over.
    pub(super) fn from_timm(path: &str, value: &Value) -> Result<Option<Self>, Error> {
        let Some((part, Value::Object(config))) =
            TIMM_PARTS.iter().find_map(|part| Some((*part, value.get(part)?)))
        else {
            return Ok(None);
        };
        // Class names and their number stand in either place, depending on timm's version.
        let get = |key: &str| config.get(key).or_else(|| value.get(key)).filter(|v| !v.is_null());
        let mut given = Self::default();
        let at = |key: &str| format!("{part}.{key}");
        for key in ["input_size", "interpolation", "crop_pct", "mean", "std"] {
            if let Some(value) = config.get(key).filter(|v| !v.is_null()) {
                given.set(path, &at(key), key, value)?;
            }
        }
        if let Some(mode) = get("crop_mode") {
            given.set_crop_mode(path, &at("crop_mode"), mode)?;
        } else {
            given.resize = Some(ResizeRule::ShorterSide);
        }
        if let Some(names) = get("label_names") {
            given.set(path, &at("label_names"), "classes", names)?;
        }
        if let (Some(names), Some(count)) = (&given.classes, get("num_classes"))
            && count.as_u64() != Some(names.len() as u64)
        {
            let expected = format!("{}, the number of `label_names`", names.len());
            return Err(wrong(path, &at("num_classes"), &expected, shorten(count)));
        }
        given.check(path)?;
        Ok(Some(given))
    }

    /// From a model's metadata, as an ONNX file has it: our own keys, with or without `dyntta.` before them, and timm's
    /// `crop_mode` and `label_names`. Values are text: JSON (`[0.5, 0.5, 0.5]`), a bare name (`bicubic`) or values
    /// separated by commas. Other keys are other programs', and so may be ours without `dyntta.`: what of those is not as it
    /// should be is left out, and the second value says so in words. Keys with `dyntta.` before them are meant, and errors.
    ///
    /// # Errors
    /// As [`Given::from_json`].
    pub fn from_metadata(
        path: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(Self, Vec<String>), Error> {
        let mut left_out = Vec::new();
        let mut foreign = Vec::new();
        let mut own = Vec::new();
        for (key, text) in metadata {
            if let Some(name) = key.strip_prefix("dyntta.") {
                own.push((key, name, text));
                continue;
            }
            let mut alone = Self::default();
            match alone.set_text(path, key, key, text).and_then(|()| alone.check(path)) {
                Ok(()) => foreign.push((key, key.as_str(), text)),
                Err(error) => left_out.extend(without(error)),
            }
        }
        let together = |foreign: &[(&String, &str, &String)]| {
            let mut given = Self::default();
            for (key, name, text) in foreign.iter().chain(&own) {
                given.set_text(path, key, name, text)?;
            }
            given.check_range(path, given.range.unwrap_or_default())?;
            given.check(path)?;
            Ok(given)
        };
        let meant = together(&[])?;
        // What of the others doesn't go with the rest.
        let mut read = together(&foreign);
        if let Err(Error::Preprocessing { key, .. }) = &read
            && matches!(key.as_str(), "mean" | "std")
        {
            foreign.retain(|(_, name, _)| !matches!(*name, "mean" | "std"));
            left_out.extend(read.err().and_then(without));
            read = together(&foreign);
        }
        Ok(match read {
            Ok(given) => (given, left_out),
            Err(error) => {
                left_out.extend(without(error));
                (meant, left_out)
            }
        })
    }

    /// Sets the field `name` if there is one, or if `key` is meant, from text.
    fn set_text(&mut self, path: &str, key: &str, name: &str, text: &str) -> Result<(), Error> {
        match name {
            "crop_mode" => self.set_crop_mode(path, key, &Value::String(text.trim().into())),
            "label_names" => self.set(path, key, "classes", &value_of(text)),
            name if name != key || KEYS.contains(&name) => self.set(path, key, name, &value_of(text)),
            _ => Ok(()),
        }
    }

    /// Sets the field `name`; `key` is how the source calls it.
    fn set(&mut self, path: &str, key: &str, name: &str, value: &Value) -> Result<(), Error> {
        let three = "three numbers, of red, green and blue";
        match name {
            "input_size" => self.input_size = Some(input_size(path, key, value)?),
            "resize" => {
                self.resize = parse(path, key, value, &one_of(ResizeRule::ALL.map(ResizeRule::name)))?
            }
            "interpolation" => {
                self.interpolation = parse(path, key, value, &one_of(Filter::ALL.map(Filter::name)))?;
            }
            "crop_pct" => self.crop_pct = parse(path, key, value, "a number")?,
            "mean" => self.mean = parse(path, key, value, three)?,
            "std" => self.std = parse(path, key, value, three)?,
            "channels" => self.channels = parse(path, key, value, "\"rgb\" or \"bgr\"")?,
            "range" => self.range = parse(path, key, value, "\"0..1\", \"0..255\" or \"-1..1\"")?,
            "exif" => self.exif = parse(path, key, value, &one_of(Exif::ALL.map(Exif::name)))?,
            "classes" => self.classes = parse(path, key, value, "a list of names")?,
            _ => {
                let expected = format!("one of the keys {}", KEYS.join(", "));
                return Err(wrong(path, key, &expected, "no such key".into()));
            }
        }
        Ok(())
    }

    fn set_crop_mode(&mut self, path: &str, key: &str, mode: &Value) -> Result<(), Error> {
        self.resize = Some(match mode.as_str() {
            Some("center") => ResizeRule::ShorterSide,
            Some("squash") => ResizeRule::Stretch,
            _ => return Err(wrong(path, key, "\"center\" or \"squash\"", shorten(mode))),
        });
        Ok(())
    }
}

/// What is left out for an error, in words.
fn without(error: Error) -> Option<String> {
    match error {
        Error::Preprocessing { key, expected, found, .. } => {
            Some(format!("without its `{}`: expected {expected}, found {found}", shown_text(&key)))
        }
        _ => None,
    }
}

fn wrong(path: &str, key: &str, expected: &str, found: String) -> Error {
    Error::Preprocessing { path: path.into(), key: key.into(), expected: expected.into(), found }
}

fn parse<T: DeserializeOwned>(
    path: &str,
    key: &str,
    value: &Value,
    expected: &str,
) -> Result<Option<T>, Error> {
    T::deserialize(value).map(Some).map_err(|_| wrong(path, key, expected, shorten(value)))
}

/// `224`, `[224, 224]`, or `[3, 224, 224]` as timm has it.
fn input_size(path: &str, key: &str, value: &Value) -> Result<InputSize, Error> {
    let sides = match value.as_array().map(Vec::as_slice) {
        Some([colours, height, width]) if colours.as_u64() == Some(3) => {
            Value::Array(vec![height.clone(), width.clone()])
        }
        _ => value.clone(),
    };
    InputSize::deserialize(&sides)
        .map_err(|_| wrong(path, key, "pixels a side, [height, width] or [3, height, width]", shorten(value)))
}

fn one_of<const N: usize>(names: [&str; N]) -> String {
    format!("one of {}", names.map(|name| format!("{name:?}")).join(", "))
}

/// Text as the value it stands for.
fn value_of(text: &str) -> Value {
    let parsed = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.into()));
    match parsed(text.trim()) {
        Value::String(list) if list.contains(',') => {
            Value::Array(list.split(',').map(|item| parsed(item.trim())).collect())
        }
        value => value,
    }
}

/// A value for a message, cut if it is long.
fn shorten(value: &Value) -> String {
    let text = value.to_string();
    let cut = match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    };
    shown_text(&cut).to_string()
}

/// Whether this is a config of timm; other programs' are called `config.json` too.
pub(super) fn is_timm(text: &str) -> bool {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    TIMM_PARTS.iter().any(|part| value.get(part).is_some_and(Value::is_object))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dyntta_image::{ChannelOrder, ValueRange};

    fn own(text: &str) -> Result<Given, String> {
        Given::from_json("m.json", text).map_err(|e| e.to_string())
    }

    const FULL: &str = r#"{"input_size": [14, 21], "resize": "stretch", "interpolation": "bicubic", "crop_pct": 0.9,
        "mean": [103.5, 116, 124], "std": [1, 2, 3], "channels": "bgr", "range": "0..255", "exif": "apply", "classes": ["auk", "owl"]}"#;

    #[test]
    fn every_key_is_read_and_written() {
        let given = own(FULL).unwrap();
        assert_eq!(given.input_size, Some(InputSize { height: 14, width: 21 }));
        assert_eq!((given.resize, given.interpolation), (Some(ResizeRule::Stretch), Some(Filter::Bicubic)));
        assert_eq!((given.crop_pct, given.mean), (Some(0.9), Some([103.5, 116.0, 124.0])));
        assert_eq!((given.channels, given.range), (Some(ChannelOrder::Bgr), Some(ValueRange::Byte)));
        assert_eq!((given.exif, given.classes.as_ref().unwrap()[1].as_str()), (Some(Exif::Apply), "owl"));
        assert_eq!(own(&serde_json::to_string(&given).unwrap()).unwrap(), given);
        assert_eq!(own("{}").unwrap(), Given::default());
    }

    #[test]
    fn what_is_wrong_is_named_with_file_key_expected_and_found() {
        for (text, message) in [
            ("[1]", "m.json: expected a JSON object, found [1]"),
            (
                "size: 3",
                "m.json: expected a JSON object, found other text (expected value at line 1 column 1)",
            ),
            (
                r#"{"sise": 3}"#,
                "m.json: `sise`: expected one of the keys input_size, resize, interpolation, crop_pct, mean, std, \
                 channels, range, exif, classes, found no such key",
            ),
            (
                r#"{"input_size": "big"}"#,
                "m.json: `input_size`: expected pixels a side, [height, width] or [3, height, width], found \"big\"",
            ),
            (r#"{"input_size": 0}"#, "m.json: `input_size`: expected sides of 1 to 8192 pixels, found 0x0"),
            (
                r#"{"resize": "crop"}"#,
                r#"m.json: `resize`: expected one of "shorter-side", "stretch", "none", found "crop""#,
            ),
            (r#"{"crop_pct": 1.5}"#, "m.json: `crop_pct`: expected a share from 0.05 to 1, found 1.5"),
            (
                r#"{"mean": [0.5]}"#,
                "m.json: `mean`: expected three numbers, of red, green and blue, found [0.5]",
            ),
            (
                r#"{"std": [0.5, 0, 1]}"#,
                "m.json: `std`: expected three positive numbers, found [0.5, 0.0, 1.0]",
            ),
            (
                r#"{"range": "byte"}"#,
                r#"m.json: `range`: expected "0..1", "0..255" or "-1..1", found "byte""#,
            ),
            (
                r#"{"classes": ["a", "b", "a"]}"#,
                r#"m.json: `classes`: expected every class once, found "a" twice"#,
            ),
            (r#"{"exif": "turn"}"#, r#"m.json: `exif`: expected one of "apply", "ignore", found "turn""#),
            (
                r#"{"range": "0..1", "mean": [123.675, 116.28, 103.53]}"#,
                "m.json: `mean`: expected values within the `range` 0..1, found 123.675, 116.28, 103.53 (those of the \
                 `range` 0..255?)",
            ),
            (
                r#"{"range": "0..255", "mean": [0.485, 0.456, 0.406]}"#,
                "m.json: `mean`: expected values within the `range` 0..255, found 0.485, 0.456, 0.406 (those of the \
                 `range` 0..1?)",
            ),
            (
                r#"{"range": "-1..1", "std": [58.395, 57.12, 57.375]}"#,
                "m.json: `std`: expected values from 0.000002 to 8, for the `range` -1..1, found 58.395, 57.12, 57.375 \
                 (those of the `range` 0..255?)",
            ),
            (r#"{"classes": ["a"]}"#, "m.json: `classes`: expected two or more names, found 1"),
            (
                r#"{"resize": "none", "crop_pct": 0.9}"#,
                "m.json: `crop_pct`: expected 1 where `resize` is \"none\", found 0.9",
            ),
        ] {
            assert_eq!(own(text).unwrap_err(), message);
        }
        assert!(own(r#"{"interpolation": "random"}"#).unwrap_err().contains("\"nearest\", \"box\""));
    }

    #[test]
    fn a_config_of_timm_is_understood() {
        let given = own(
            r#"{"architecture": "vit_tiny", "num_classes": 2, "global_pool": "token", "label_names": ["auk", "owl"],
             "pretrained_cfg": {"tag": "x", "input_size": [3, 224, 224], "fixed_input_size": true,
                "interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center", "mean": [0.5, 0.5, 0.5],
                "std": [0.5, 0.5, 0.5], "num_classes": 2, "first_conv": "patch_embed.proj"}}"#,
        )
        .unwrap();
        let classes = Some(vec!["auk".to_string(), "owl".into()]);
        let expected = Given {
            input_size: Some(224.into()),
            resize: Some(ResizeRule::ShorterSide),
            interpolation: Some(Filter::Bicubic),
            crop_pct: Some(0.9),
            mean: Some([0.5; 3]),
            std: Some([0.5; 3]),
            classes,
            ..Given::default()
        };
        assert_eq!(given, expected);
        let squash = own(r#"{"default_cfg": {"input_size": [3, 8, 9], "crop_mode": "squash"}}"#).unwrap();
        assert_eq!(squash.resize, Some(ResizeRule::Stretch));
        for (text, message) in [
            (
                r#"{"pretrained_cfg": {"input_size": [1, 28, 28]}}"#,
                "m.json: `pretrained_cfg.input_size`: expected pixels a side, [height, width] or [3, height, width], \
                 found [1,28,28]",
            ),
            (
                r#"{"default_cfg": {"crop_mode": "border"}}"#,
                r#"m.json: `default_cfg.crop_mode`: expected "center" or "squash", found "border""#,
            ),
            (
                r#"{"default_cfg": {"num_classes": 3, "label_names": ["a", "b"]}}"#,
                "m.json: `default_cfg.num_classes`: expected 2, the number of `label_names`, found 3",
            ),
        ] {
            assert_eq!(own(text).unwrap_err(), message);
        }
    }

    #[test]
    fn metadata_is_text_and_other_programs_keys_are_left_alone() {
        let read = |pairs: &[(&str, &str)]| {
            let map = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            Given::from_metadata("m.onnx", &map).map_err(|e| e.to_string())
        };
        let given = read(&[
            ("author", "somebody"),
            ("input_size", "[3, 224, 224]"),
            ("mean", "0.5, 0.5,0.5"),
            ("dyntta.interpolation", "bicubic"),
            ("dyntta.classes", "[\"1\", \"owl\"]"),
            ("crop_mode", "squash"),
        ])
        .unwrap()
        .0;
        assert_eq!((given.input_size, given.mean), (Some(224.into()), Some([0.5; 3])));
        assert_eq!((given.interpolation, given.resize), (Some(Filter::Bicubic), Some(ResizeRule::Stretch)));
        assert_eq!(given.classes.unwrap(), ["1", "owl"]);
        assert!(
            read(&[("dyntta.meen", "0")]).unwrap_err().starts_with("m.onnx: `dyntta.meen`: expected one of")
        );
        assert!(
            read(&[("dyntta.std", "0")]).unwrap_err().starts_with("m.onnx: `dyntta.std`: expected three")
        );
        assert!(read(&[("dyntta.mean", "124,116,104"), ("dyntta.range", "0..1")]).is_err());
        // Without `dyntta.` they may be another program's.
        for (pairs, left_out) in [
            (vec![("std", "0.5"), ("interpolation", "bicubic")], "without its `std`: expected three numbers"),
            (
                vec![("mean", "[124, 116, 104]"), ("std", "[58, 57, 57]"), ("interpolation", "bicubic")],
                "without its `mean`: expected values within the `range` 0..1, found 124, 116, 104",
            ),
            (vec![("resize", "256"), ("interpolation", "bicubic")], "without its `resize`: expected one of"),
            (vec![("input_size", "NaN"), ("interpolation", "bicubic")], "without its `input_size`: expected"),
        ] {
            let (given, notes) = read(&pairs).unwrap();
            assert_eq!(given, Given { interpolation: Some(Filter::Bicubic), ..Given::default() });
            assert!(notes.len() == 1 && notes[0].starts_with(left_out), "{notes:?}");
        }
        let (given, notes) = read(&[("mean", "124,116,104"), ("range", "0..255")]).unwrap();
        assert_eq!((given.mean, notes.len()), (Some([124.0, 116.0, 104.0]), 0));
    }
}
