//! Reading checkpoints: weights as safetensors and, beside them, a JSON config.

use std::path::{Path, PathBuf};

use dyntta_ops::Bank;
use serde::Deserialize;

use crate::Model;
use crate::error::Error;
use crate::params::Params;
use crate::resnet::ResNet18;
use crate::skunet::SkUnet;

/// The weights in a run's folder; the config has the same name with `.json`.
const WEIGHTS: &str = "enhancer.safetensors";

/// The largest view the control network may be configured to look at, in pixels a side.
const MAX_VIEW: usize = 1 << 14;

/// Which enhancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// The control network with the bank of augmentations.
    Dyntta,
    /// The SK-UNet alone.
    Urie,
}

/// What of a checkpoint's config matters for running it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Which enhancer.
    pub method: Method,
    /// The bank's augmentations in order; absent for a URIE, and where it is the published bank.
    #[serde(default)]
    pub bank: Option<Vec<String>>,
    /// The side of the view that the control network was trained on; absent: the training image itself.
    #[serde(default)]
    pub control_size: Option<usize>,
    /// Height and width of the training images, in pixels.
    pub image_size: [usize; 2],
}

impl Config {
    fn read(path: &Path) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let text = std::fs::read_to_string(path).map_err(io(path))?;
        let wrong = |expected: &str, found: String| Error::Format {
            path: path.to_owned(),
            expected: expected.to_owned(),
            found,
        };
        let parse = |error: serde_json::Error| wrong("the config of an enhancer", error.to_string());
        // The version first: another one may have other fields.
        let Format { format } = serde_json::from_str(&text).map_err(parse)?;
        if format != 1 {
            return Err(wrong("`format` 1", format!("`format` {format}")));
        }
        let config: Self = serde_json::from_str(&text).map_err(parse)?;
        let view = config.view();
        if !(1..=MAX_VIEW).contains(&view) {
            let expected = format!("`control_size` (or else `image_size`) from 1 to {MAX_VIEW}");
            return Err(wrong(&expected, view.to_string()));
        }
        Ok(config)
    }

    /// The side of the view that the control network should see, whatever the size of the image.
    pub(crate) fn view(&self) -> usize {
        self.control_size.unwrap_or(self.image_size[0])
    }

    fn bank(&self, path: &Path) -> Result<Bank, Error> {
        match &self.bank {
            None => Ok(Bank::paper()),
            Some(names) => {
                Bank::from_names(names).map_err(|source| Error::Bank { path: path.to_owned(), source })
            }
        }
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path: PathBuf = path.to_owned();
    move |source| Error::Io { path, source }
}

/// The model at `path` and its config; a weight file without config is a URIE's.
pub(crate) fn load(path: &Path) -> Result<(Model, Option<Config>), Error> {
    let folder = path.is_dir();
    let weights = if folder { path.join(WEIGHTS) } else { path.to_owned() };
    if folder && !weights.is_file() {
        return Err(Error::Format {
            path: path.to_owned(),
            expected: format!("the folder of a run, with {WEIGHTS}"),
            found: "no such file in it".into(),
        });
    }
    let json = weights.with_extension("json");
    let mut params = Params::open(&weights)?;
    if !folder && !json.is_file() {
        let network = SkUnet::load(&mut params, "");
        params.finish("URIE (no config beside the weights)")?;
        return Ok((Model::Urie(network), None));
    }
    let config = Config::read(&json)?;
    let model = build(config.method, &mut params, || config.bank(&json))?;
    let name = match config.method {
        Method::Dyntta => "the dyntta of",
        Method::Urie => "the urie of",
    };
    params.finish(&format!("{name} {}", json.display()))?;
    Ok((model, Some(config)))
}

fn build(
    method: Method,
    params: &mut Params,
    bank: impl FnOnce() -> Result<Bank, Error>,
) -> Result<Model, Error> {
    Ok(match method {
        Method::Urie => Model::Urie(SkUnet::load(params, "")),
        Method::Dyntta => {
            let bank = bank()?;
            Model::Dyntta {
                control: ResNet18::load(params, "control.", 2 * bank.len()),
                network: bank.network_slot().map(|_| SkUnet::load(params, "urie.")),
                bank,
            }
        }
    })
}

/// A model with fresh weights and the published bank.
pub(crate) fn untrained(method: Method, seed: u64) -> Model {
    let root = match method {
        Method::Dyntta => "enhancer",
        Method::Urie => "enhancer.urie",
    };
    let mut params = Params::from_seed(seed, root);
    build(method, &mut params, || Ok(Bank::paper())).expect("the published bank is one")
}
