//! Where a classifier's preprocessing is looked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dyntta_files::shown;
use dyntta_image::Exif;

use super::{Given, Preprocessing, read};
use crate::Error;

/// The file looked for beside the weights after the one with their own name and `.json`.
pub const BESIDE: &str = "preprocessing.json";
/// timm's file, looked for beside the weights last, and passed over if it is another program's.
pub const TIMM: &str = "config.json";

/// The most bytes of a file: a million class names of 30 characters.
const MOST_BYTES: u64 = 32 << 20;

/// The file that a classifier's training here writes beside its weights.
const OWN: &str = "classifier.json";

/// The sources of a preprocessing, the first that gives a key has it:
///
/// 1. the flags;
/// 2. `file`, if one is named; else the first there is of `<weights' stem>.json`, [`BESIDE`] and a timm [`TIMM`] in the
///    weights' folder;
/// 3. the model's metadata;
/// 4. what an enhancer was trained with;
/// 5. the architecture's default.
///
/// `mean` and `std` belong to a `range`, `crop_pct` belongs to a `resize`: a source that gives the latter alone brings
/// the former's usual values along, see [`Given`].
#[derive(Clone, Debug)]
pub struct Sources<'a> {
    /// What flags or settings say.
    pub flags: Given,
    /// A file to read instead of those beside the weights.
    pub file: Option<&'a Path>,
    /// The classifier's weights.
    pub weights: &'a Path,
    /// The metadata in the weights' file, where its format has any.
    pub metadata: BTreeMap<String, String>,
    /// What the enhancer at hand was trained with.
    pub trained: Given,
    /// The architecture's default.
    pub default: Preprocessing,
    /// What to call the default: `the imagenet preset`.
    pub default_name: &'a str,
}

impl Sources<'_> {
    /// The preprocessing, and in words where it is from: `flags, model.json and the cifar preset`.
    ///
    /// # Errors
    /// If a file cannot be read, or says what is not known or out of range: file, key, expected and found are named.
    pub fn resolve(self) -> Result<(Preprocessing, String), Error> {
        self.flags.check("flags")?;
        let mut levels = vec![("flags".to_string(), self.flags)];
        let path = self.file.map(Path::to_path_buf).or_else(|| beside(self.weights));
        if let Some(path) = path {
            let name = shown(&path).to_string();
            let text = dyntta_files::read_text(&path, MOST_BYTES)?;
            let mut given = Given::from_json(&name, &text)?;
            if self.file.is_none() && path.file_name().is_some_and(|name| name == OWN) && given.is_old() {
                given.exif = Some(Exif::Apply);
            }
            levels.push((name, given));
        }
        let name = shown(self.weights);
        let (metadata, left_out) = Given::from_metadata(&name.to_string(), &self.metadata)?;
        let left_out: String = left_out.iter().map(|note| format!(" ({note})")).collect();
        // Also where nothing of it is left.
        let said = (!left_out.is_empty()).then(|| format!("the metadata of {name}{left_out}"));
        levels.push((said.clone().unwrap_or_else(|| format!("the metadata of {name}")), metadata));
        levels.push(("the enhancer's training".into(), self.trained));

        let mut all = Given::default();
        let mut names = Vec::new();
        for (name, level) in levels {
            let before = all.clone();
            all = all.or(level);
            if all != before || said.as_ref() == Some(&name) {
                names.push(name);
            }
        }
        let default = Given::from(Preprocessing { classes: None, ..self.default.clone() });
        if all.clone().or(default) != all {
            names.push(self.default_name.to_string());
        }
        let found = all.complete(self.default, &names.join(" with "))?;
        let from = match names.as_slice() {
            [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
            _ => names.concat(),
        };
        Ok((found, from))
    }
}

/// The file beside the weights.
fn beside(weights: &Path) -> Option<PathBuf> {
    let own = [weights.with_extension("json"), weights.with_file_name(BESIDE)];
    if let Some(found) = own.into_iter().find(|path| path.is_file() && path != weights) {
        return Some(found);
    }
    let timm = weights.with_file_name(TIMM);
    let text = dyntta_files::read_text(&timm, MOST_BYTES);
    text.is_ok_and(|text| read::is_timm(&text)).then_some(timm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocessing::{Fit, ResizeRule};
    use crate::testing::Folder;
    use dyntta_image::{Filter, ValueRange};

    fn sources(weights: &Path) -> Sources<'_> {
        Sources {
            flags: Given::default(),
            file: None,
            weights,
            metadata: BTreeMap::new(),
            trained: Given::default(),
            default: Preprocessing::imagenet(224),
            default_name: "the imagenet preset",
        }
    }

    const TIMM_CONFIG: &str = r#"{"pretrained_cfg": {"interpolation": "bicubic", "crop_pct": 0.95}}"#;

    #[test]
    fn the_nearest_source_has_a_key_and_the_default_the_rest() {
        let folder = Folder::new();
        let weights = folder.0.join("net.pth");
        let path = |name: &str| folder.0.join(name).display().to_string();
        assert_eq!(
            sources(&weights).resolve().unwrap(),
            (Preprocessing::imagenet(224), "the imagenet preset".into())
        );

        folder.file("config.json", r#"{"model_type": "another program's"}"#);
        assert_eq!(sources(&weights).resolve().unwrap().1, "the imagenet preset");
        folder.file("config.json", TIMM_CONFIG);
        let (found, from) = sources(&weights).resolve().unwrap();
        assert_eq!(
            found.fit,
            Fit { interpolation: Filter::Bicubic, crop_pct: 0.95, ..Fit::imagenet(224) },
            "{from}"
        );
        assert_eq!(from, format!("{} and the imagenet preset", path("config.json")));

        folder.file("preprocessing.json", r#"{"mean": [0.5, 0.5, 0.5]}"#);
        let (found, from) = sources(&weights).resolve().unwrap();
        assert_eq!((found.mean, found.fit), ([0.5; 3], Fit::imagenet(224)), "{from}");
        folder.file("net.json", r#"{"std": [0.25, 0.25, 0.25]}"#);
        let (found, from) = sources(&weights).resolve().unwrap();
        assert_eq!((found.mean[0], found.std), (0.485, [0.25; 3]), "{from}");

        let flags = Given { input_size: Some(64.into()), std: Some([2.0; 3]), ..Given::default() };
        let metadata = BTreeMap::from([("mean".into(), "0.1,0.2,0.3".into())]);
        let trained =
            Given { mean: Some([0.9; 3]), classes: Some(vec!["a".into(), "b".into()]), ..flags.clone() };
        let (found, from) = Sources { flags, metadata, trained, ..sources(&weights) }.resolve().unwrap();
        assert_eq!((found.fit.size, found.std, found.mean), (64.into(), [2.0; 3], [0.1, 0.2, 0.3]));
        assert_eq!(found.classes.unwrap(), ["a", "b"]);
        let weights = weights.display();
        assert_eq!(
            from,
            format!("flags, the metadata of {weights}, the enhancer's training and the imagenet preset")
        );
    }

    #[test]
    fn a_named_file_replaces_those_beside() {
        let folder = Folder::new();
        folder.file("net.json", "not even JSON");
        let weights = folder.0.join("net.pth");
        let file = folder.file("other.json", TIMM_CONFIG);
        let (found, _) = Sources { file: Some(&file), ..sources(&weights) }.resolve().unwrap();
        assert_eq!(found.fit.crop_pct, 0.95);
        let error = sources(&weights).resolve().unwrap_err().to_string();
        assert!(error.contains("net.json: expected a JSON object"), "{error}");
        let missing = folder.0.join("none.json");
        let error = Sources { file: Some(&missing), ..sources(&weights) }.resolve().unwrap_err().to_string();
        assert!(error.contains("none.json: cannot read"), "{error}");
    }

    #[test]
    fn a_range_brings_its_mean_and_a_rule_its_crop() {
        let weights = Path::new("net.pth");
        let flags =
            Given { range: Some(ValueRange::Byte), resize: Some(ResizeRule::Stretch), ..Given::default() };
        let (found, _) = Sources { flags, ..sources(weights) }.resolve().unwrap();
        assert_eq!((found.mean, found.std, found.fit.crop_pct), ([0.0; 3], [1.0; 3], 1.0));
        assert_eq!(
            found.describe(),
            "224x224 px (stretched to 224x224, bilinear), RGB in 0..255, mean 0, 0, 0, std 1, 1, 1"
        );
        let flags = Given { resize: Some(ResizeRule::None), crop_pct: Some(0.5), ..Given::default() };
        let error = Sources { flags, ..sources(weights) }.resolve().unwrap_err().to_string();
        assert_eq!(error, "flags: `crop_pct`: expected 1 where `resize` is \"none\", found 0.5");
    }

    #[test]
    fn a_byte_order_mark_is_taken_off_and_what_is_no_file_refused() {
        let folder = Folder::new();
        let weights = folder.0.join("net.pth");
        folder.file("net.json", "\u{feff}{\"interpolation\": \"bicubic\"}");
        let (found, _) = sources(&weights).resolve().unwrap();
        assert_eq!(found.fit.interpolation, Filter::Bicubic);
        folder.file("net.json", [0xff, 0xfe, b'{', 0, b'}', 0]);
        let error = sources(&weights).resolve().unwrap_err().to_string();
        assert!(error.contains("net.json: expected UTF-8 text, found UTF-16 text"), "{error}");
        let error = Sources { file: Some(&folder.0), ..sources(&weights) }.resolve().unwrap_err().to_string();
        assert!(error.ends_with("expected a file, found a folder"), "{error}");
    }

    #[test]
    fn means_of_another_range_are_refused_wherever_they_come_from() {
        let folder = Folder::new();
        let weights = folder.0.join("net.pth");
        let bytes = [123.675, 116.28, 103.53];
        let flags = Given { mean: Some(bytes), std: Some([58.395, 57.12, 57.375]), ..Given::default() };
        let error = Sources { flags: flags.clone(), ..sources(&weights) }.resolve().unwrap_err().to_string();
        assert_eq!(
            error,
            "flags with the imagenet preset: `mean`: expected values within the `range` 0..1, found 123.675, 116.28, 103.53 \
             (those of the `range` 0..255?)"
        );
        let right = Given { range: Some(ValueRange::Byte), ..flags };
        assert_eq!(Sources { flags: right, ..sources(&weights) }.resolve().unwrap().0.mean, bytes);
        for text in [
            r#"{"mean": [124, 116, 104]}"#,
            r#"{"std": [58, 57, 57]}"#,
            r#"{"default_cfg": {"mean": [124, 116, 104]}}"#,
            r#"{"range": "0..255", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}"#,
        ] {
            folder.file("net.json", text);
            let error = sources(&weights).resolve().unwrap_err().to_string();
            assert!(error.contains("net.json"), "{error}");
        }
        // What may stand in another program's metadata is left out, and that is said.
        let weights = folder.0.join("other.onnx");
        let metadata = BTreeMap::from([("mean".to_owned(), "[124, 116, 104]".to_owned())]);
        let (found, from) = Sources { metadata, ..sources(&weights) }.resolve().unwrap();
        assert_eq!(found, Preprocessing::imagenet(224));
        assert!(from.contains("other.onnx (without its `mean`: expected values within"), "{from}");
    }

    #[test]
    fn turning_is_as_the_nearest_source_says_and_old_runs_keep_it() {
        let folder = Folder::new();
        let weights = folder.0.join("classifier.safetensors");
        assert_eq!(sources(&weights).resolve().unwrap().0.exif, Exif::Ignore);
        let flags = Given { exif: Some(Exif::Apply), ..Given::default() };
        let (found, _) = Sources { flags, ..sources(&weights) }.resolve().unwrap();
        assert_eq!(found.exif, Exif::Apply);
        assert!(found.describe().ends_with(", turned by EXIF"));
        let mut written = serde_json::to_value(Preprocessing::cifar(32)).unwrap();
        folder.file("classifier.json", written.to_string());
        assert_eq!(sources(&weights).resolve().unwrap().0.exif, Exif::Ignore);
        written.as_object_mut().unwrap().remove("exif");
        folder.file("classifier.json", written.to_string());
        assert_eq!(sources(&weights).resolve().unwrap().0.exif, Exif::Apply);
        assert_eq!(Given::from_run("run", &written).unwrap().exif, Some(Exif::Apply));
        folder.file("classifier.json", "{}");
        assert_eq!(sources(&weights).resolve().unwrap().0.exif, Exif::Ignore);
    }
}
