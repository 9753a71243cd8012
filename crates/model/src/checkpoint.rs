//! An enhancer's checkpoint: its weights and its config, opened together.

use std::collections::BTreeMap;
use std::path::Path;

use dyntta_files::{Limits, shown};

use crate::config::{EnhancerConfig, Files, Method};
use crate::error::Error;
use crate::sets::{Choice, Shapes};
use crate::weights::WeightFile;

/// An enhancer's checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    /// The weight file.
    pub file: WeightFile,
    /// Which of its tensors are the enhancer's.
    pub weights: Choice,
    /// The config beside it; none beside the bare weights of a URIE.
    pub config: Option<EnhancerConfig>,
    /// What a message calls the network that the weights are for.
    pub network: String,
    /// The config's file; where there is none, the weights'.
    pub context: std::path::PathBuf,
}

impl Checkpoint {
    /// Opens a run's folder, or a weight file with its config beside it. A weight file without a config is taken for the bare
    /// weights of a URIE, such as the published ones, of whatever format [`WeightFile`] reads.
    ///
    /// # Errors
    /// If a file is missing or not what it should be.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self, Error> {
        let files = Files::of(path)?;
        let file = WeightFile::open(&files.weights, limits)?;
        let config = files.config.as_deref().map(|path| EnhancerConfig::read(path, limits)).transpose()?;
        Self::new(file, config, files.config.as_deref().unwrap_or(&files.weights))
    }

    /// From bytes: of a weight file, and the text of its config; `name` stands for both in messages.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_bytes(
        weights: Vec<u8>,
        config: Option<&str>,
        name: &Path,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let file = WeightFile::from_bytes(weights, name, limits)?;
        let config = config.map(|text| EnhancerConfig::parse(text, name)).transpose()?;
        Self::new(file, config, name)
    }

    /// The keys of the enhancer's tensors: by ours, the file's own.
    ///
    /// # Errors
    /// If two of them are one of ours.
    pub fn keys(&self) -> Result<BTreeMap<String, &String>, Error> {
        self.weights.naming.theirs(self.weights.keys.iter()).map_err(|twice| {
            let expected = format!("one tensor for `{}` of {}", twice.key, self.network);
            Error::format(self.file.path(), expected, twice.to_string())
        })
    }

    fn new(file: WeightFile, config: Option<EnhancerConfig>, context: &Path) -> Result<Self, Error> {
        let method = config.as_ref().map(|config| config.method);
        let fits = |shapes: &Shapes| match method {
            Some(Method::Dyntta) => shapes.contains_key("control.fc.weight"),
            Some(Method::Urie) | None => ["stem.weight", "head.weight", "up2.bn.running_var"]
                .iter()
                .all(|key| shapes.contains_key(*key)),
        };
        let weights = file.choose(None, &fits)?;
        if method != Some(Method::Dyntta) && weights.left_out.iter().any(|key| key.contains("control.")) {
            let expected =
                "the weights of a URIE alone, or the config of DynTTA beside them (the same name with .json)";
            return Err(Error::format(file.path(), expected, "those of DynTTA"));
        }
        let network = match &config {
            Some(config) => format!("the {} of {}", config.method, shown(context)),
            None => "URIE (no config beside the weights)".to_owned(),
        };
        Ok(Self { file, weights, config, network, context: context.to_owned() })
    }
}
