//! Checkpoints of an enhancer: the weights as safetensors, and beside them a JSON config with all that is needed to
//! run it again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use dyntta_image::write_atomic;
use dyntta_ops::Bank;
use serde::{Deserialize, Serialize};

use crate::enhancer::{DynTta, Enhancer};
use crate::error::Error;
use crate::init::Init;
use crate::layers::Normalisation;
use crate::skunet::SkUnet;
use crate::weights;

/// The file name of the weights in a run's folder; the config has the same name with `.json`.
pub const WEIGHTS: &str = "enhancer.safetensors";

/// Which enhancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// The control network with the bank.
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

/// Everything needed to run an enhancer besides its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnhancerConfig {
    /// The version of this format: 1.
    pub format: u32,
    /// Which enhancer.
    pub method: Method,
    /// The bank's augmentations in order; absent for URIE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bank: Option<Vec<String>>,
    /// The side of the view that the control network looks at; absent: the image itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_size: Option<usize>,
    /// Height and width of the training images, in pixels.
    pub image_size: [usize; 2],
    /// The classifier it was trained for.
    pub classifier: ClassifierConfig,
    /// The seed of the training run.
    pub seed: u64,
    /// Versions of the programs that made it, by name.
    pub versions: std::collections::BTreeMap<String, String>,
    /// The settings of the training run.
    pub training: serde_json::Value,
}

impl EnhancerConfig {
    /// The bank, checked.
    ///
    /// # Errors
    /// If an op is unknown or the list is not a bank; the message names `context`.
    pub fn bank(&self, context: &Path) -> Result<Bank, Error> {
        match &self.bank {
            None => Ok(Bank::paper()),
            Some(names) => Bank::from_names(names).map_err(|e| Error::Bank {
                context: format!("{}: `bank`", context.display()),
                message: e.to_string(),
            }),
        }
    }

    /// A fresh enhancer of this kind.
    ///
    /// # Errors
    /// As [`Self::bank`].
    pub fn build(&self, context: &Path, seed: u64, device: &Device) -> Result<Enhancer, Error> {
        let init = Init::new("enhancer", seed, device);
        Ok(match self.method {
            Method::Urie => Enhancer::Urie(SkUnet::new(&init.child("urie"))),
            Method::Dyntta => {
                Enhancer::DynTta(DynTta::new(&init, self.bank(context)?, self.control_size, IDENTITY_LOGIT))
            }
        })
    }
}

/// Where the logit of the optional `identity` op starts: it then has 0.83 of the weight among 50 ops.
pub const IDENTITY_LOGIT: f32 = 5.5;

/// Saves weights and config as `dir/enhancer.safetensors` and `dir/enhancer.json`, each whole or not at all.
///
/// # Errors
/// If a file cannot be written.
pub fn save(dir: &Path, enhancer: &Enhancer, config: &EnhancerConfig) -> Result<(), Error> {
    let metadata = HashMap::from([("format".to_owned(), "dyntta enhancer 1".to_owned())]);
    let path = dir.join(WEIGHTS);
    weights::write(&path, &weights::state_dict(enhancer), metadata)?;
    let json = serde_json::to_string_pretty(config).expect("a config is plain data");
    Ok(write_atomic(path.with_extension("json"), json.as_bytes())?)
}

/// Loads an enhancer from a run's folder or a weight file with its config beside it.
///
/// A weight file without a config is taken for the bare weights of a URIE, such as the published ones; its config is
/// then absent.
///
/// # Errors
/// If a file is missing or not what it should be, or the weights do not fit the config.
pub fn load(path: &Path, device: &Device) -> Result<(Enhancer, Option<EnhancerConfig>), Error> {
    let weights_path = if path.is_dir() { path.join(WEIGHTS) } else { path.to_owned() };
    if path.is_dir() && !weights_path.is_file() {
        return Err(Error::Format {
            path: path.to_owned(),
            expected: format!("the folder of a run, with {WEIGHTS}"),
            found: "no such file in it".into(),
        });
    }
    let dict = weights::read(&weights_path)?;
    let json = weights_path.with_extension("json");
    if !json.is_file() && !path.is_dir() {
        let urie = SkUnet::new(&Init::new("enhancer", 0, device).child("urie"));
        let urie = weights::load(urie, &dict, &weights_path, "URIE (no config beside the weights)")?;
        return Ok((Enhancer::Urie(urie), None));
    }
    let config = read_config(&json)?;
    let fresh = config.build(&json, 0, device)?;
    let enhancer =
        weights::load(fresh, &dict, &weights_path, &format!("the {} of {}", config.method, json.display()))?;
    Ok((enhancer, Some(config)))
}

/// Reads and checks a config.
///
/// # Errors
/// If the file is missing, is not the JSON of a config (line and column are named), or of another format version.
pub fn read_config(path: &Path) -> Result<EnhancerConfig, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let config: EnhancerConfig = serde_json::from_str(&text).map_err(|e| Error::Format {
        path: path.to_owned(),
        expected: "the config of an enhancer".into(),
        found: e.to_string(),
    })?;
    if config.format != 1 {
        return Err(Error::Format {
            path: PathBuf::from(path),
            expected: "`format` 1".into(),
            found: format!("`format` {}", config.format),
        });
    }
    Ok(config)
}
