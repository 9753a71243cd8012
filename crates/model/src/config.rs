//! The config of an enhancer, which stands beside its weights: all that is needed to run it again. One reader for training
//! and for use, so that both mean the same by it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dyntta_files::Limits;
pub use dyntta_image::{ChannelOrder, ValueRange};
use dyntta_ops::Bank;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The file name of the weights in a run's folder; the config has the same name with `.json`.
pub const WEIGHTS: &str = "enhancer.safetensors";

/// The largest view that a control network looks at, in pixels a side. It works on a square of them, and needs some 80 bytes
/// for each.
pub const MAX_VIEW: usize = 2048;

/// The version of the config's format that is written and read.
const FORMAT: u32 = 1;

/// Which enhancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// The control network with the bank of augmentations.
    Dyntta,
    /// The SK-UNet alone.
    Urie,
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Dyntta => "dyntta",
            Self::Urie => "urie",
        })
    }
}

/// How RGB values in `0..=1` are brought to what a network was trained on: into `range`, then `(x - mean)/std` by colour,
/// then the channels in order.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalisation {
    /// Mean of red, green and blue, in units of `range`.
    pub mean: [f32; 3],
    /// Standard deviation of red, green and blue, in units of `range`.
    pub std: [f32; 3],
    /// The order of the network's channels.
    #[serde(default, skip_serializing_if = "is_default")]
    pub channels: ChannelOrder,
    /// The range of values.
    #[serde(default, skip_serializing_if = "is_default")]
    pub range: ValueRange,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Normalisation {
    /// ImageNet's statistics, which torchvision and the CIFAR ResNets use.
    pub const IMAGENET: Self = Self {
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
        channels: ChannelOrder::Rgb,
        range: ValueRange::Unit,
    };
}

/// The classifier that an enhancer was trained for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierConfig {
    /// Its architecture.
    pub arch: String,
    /// What its input is normalised by.
    pub normalisation: Normalisation,
    /// The names of its classes, in the order of its outputs.
    pub classes: Vec<String>,
}

impl Default for ClassifierConfig {
    fn default() -> Self {
        Self { arch: "unknown".into(), normalisation: Normalisation::IMAGENET, classes: Vec::new() }
    }
}

/// Everything needed to run an enhancer besides its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnhancerConfig {
    /// The version of this format: 1.
    pub format: u32,
    /// Which enhancer.
    pub method: Method,
    /// The bank's augmentations in order; absent for URIE, and where it is the published bank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bank: Option<Vec<String>>,
    /// The side of the square view that the control network looks at, whatever the size of the image; absent: a view of
    /// `image_size`, since that is what it saw in training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_size: Option<usize>,
    /// Height and width of the training images, in pixels.
    pub image_size: [usize; 2],
    /// The classifier it was trained for.
    #[serde(default)]
    pub classifier: ClassifierConfig,
    /// The seed of the training run.
    #[serde(default)]
    pub seed: u64,
    /// Versions of the programs that made it, by name.
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
    /// The settings of the training run.
    #[serde(default)]
    pub training: serde_json::Value,
}

impl EnhancerConfig {
    /// Reads and checks a config.
    ///
    /// # Errors
    /// As [`Self::parse`], and if the file can't be read.
    pub fn read(path: &Path, limits: &Limits) -> Result<Self, Error> {
        Self::parse(&dyntta_files::read_text(path, limits.text_bytes)?, path)
    }

    /// Reads and checks the text of a config; `path` stands for it in messages.
    ///
    /// # Errors
    /// If it is of another version, not the JSON of a config (line and column are named), has a field that is none, or a
    /// number out of bounds.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let parse =
            |error: serde_json::Error| Error::format(path, "the config of an enhancer", error.to_string());
        // The version first: another one may have other fields.
        let Format { format } = serde_json::from_str(text).map_err(parse)?;
        if format != FORMAT {
            return Err(Error::format(path, format!("`format` {FORMAT}"), format!("`format` {format}")));
        }
        let config: Self = serde_json::from_str(text).map_err(parse)?;
        config.check(path)?;
        Ok(config)
    }

    /// Whether all sizes are ones that a network takes; `path` stands for the config in messages.
    ///
    /// # Errors
    /// What is out of bounds.
    pub fn check(&self, path: &Path) -> Result<(), Error> {
        for side in self.view() {
            // A URIE has no control network: its images may be larger than a view.
            let unbounded = self.method == Method::Urie && self.control_size.is_none() && side > 0;
            if !unbounded && check_view(side).is_err() {
                let expected = format!("`control_size` (or else `image_size`) from 1 to {MAX_VIEW}");
                return Err(Error::format(path, expected, side.to_string()));
            }
        }
        let Normalisation { mean, std, .. } = self.classifier.normalisation;
        if mean.iter().chain(&std).any(|v| !v.is_finite()) || std.iter().any(|&v| v <= 0.0) {
            let expected = "`classifier.normalisation` with finite means and positive standard deviations";
            return Err(Error::format(path, expected, format!("mean {mean:?}, std {std:?}")));
        }
        if self.image_size.contains(&0) {
            return Err(Error::format(path, "`image_size` from 1 up", format!("{:?}", self.image_size)));
        }
        Ok(())
    }

    /// Its text, for a file.
    pub fn text(&self) -> String {
        // Plain data: nothing in it can fail to be written.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Height and width of the view that the control network looks at, whatever the size of the image: the one that it saw
    /// in training.
    pub fn view(&self) -> [usize; 2] {
        self.control_size.map_or(self.image_size, |side| [side, side])
    }

    /// The bank, checked; the published one where none is named.
    ///
    /// # Errors
    /// If an op is unknown or the list is not a bank; `path` stands for the config in the message.
    pub fn bank(&self, path: &Path) -> Result<Bank, Error> {
        match &self.bank {
            None => Ok(Bank::paper()),
            Some(names) => {
                Bank::from_names(names).map_err(|source| Error::Bank { path: path.to_owned(), source })
            }
        }
    }
}

/// Whether a control network may look at a view of so many pixels a side.
///
/// # Errors
/// [`Error::View`], if not.
pub fn check_view(side: usize) -> Result<(), Error> {
    if (1..=MAX_VIEW).contains(&side) { Ok(()) } else { Err(Error::View { side }) }
}

/// The files of an enhancer's checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The weights.
    pub weights: PathBuf,
    /// The config beside them; none beside the bare weights of a URIE, such as the published ones.
    pub config: Option<PathBuf>,
}

impl Files {
    /// Those of a run's folder, or of a weight file with its config beside it.
    ///
    /// # Errors
    /// If a folder has no weights.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let folder = path.is_dir();
        let weights = if folder { path.join(WEIGHTS) } else { path.to_owned() };
        if folder && !weights.is_file() {
            return Err(Error::format(
                path,
                format!("the folder of a run, with {WEIGHTS}"),
                "no such file in it",
            ));
        }
        let config = weights.with_extension("json");
        // A run's folder without its config is damaged, not bare weights.
        let config = (folder || config.is_file()).then_some(config);
        Ok(Self { weights, config })
    }
}
