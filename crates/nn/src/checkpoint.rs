//! Checkpoints of an enhancer: the weights as safetensors, and beside them a JSON config with all that is needed to
//! run it again. What they say is read by [`dyntta_model`], for training and for use alike.

use std::collections::HashMap;
use std::path::Path;

use burn::tensor::Device;
use dyntta_image::write_atomic;
use dyntta_model::{Checkpoint, Limits};

pub use dyntta_model::{ClassifierConfig, EnhancerConfig, Method, WEIGHTS};

use crate::enhancer::{DynTta, Enhancer};
use crate::error::Error;
use crate::init::Init;
use crate::skunet::SkUnet;
use crate::weights;

/// A fresh enhancer of the kind that a config describes; `context` stands for the config in messages.
///
/// # Errors
/// If an op of the bank is unknown or the list is not a bank, or a size is out of bounds.
pub fn build(config: &EnhancerConfig, context: &Path, seed: u64, device: &Device) -> Result<Enhancer, Error> {
    // What couldn't be read again isn't trained either.
    config.check(context)?;
    let init = Init::new("enhancer", seed, device);
    Ok(match config.method {
        Method::Urie => Enhancer::Urie(SkUnet::new(&init.child("urie"))),
        Method::Dyntta => {
            let fresh = DynTta::new(&init, config.bank(context)?, None, IDENTITY_LOGIT);
            Enhancer::DynTta(fresh.with_view(Some(config.view())))
        }
    })
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
    Ok(write_atomic(path.with_extension("json"), config.text().as_bytes())?)
}

/// Loads an enhancer from a run's folder or a weight file with its config beside it.
///
/// A weight file without a config is taken for the bare weights of a URIE, such as the published ones; its config is
/// then absent.
///
/// # Errors
/// If a file is missing or not what it should be, or the weights do not fit the config.
pub fn load(path: &Path, device: &Device) -> Result<(Enhancer, Option<EnhancerConfig>), Error> {
    let Checkpoint { file, weights: choice, config, network, context } =
        Checkpoint::open(path, &Limits::DEFAULT)?;
    let dict = file.dict(&choice)?;
    let Some(config) = config else {
        let urie = SkUnet::new(&Init::new("enhancer", 0, device).child("urie"));
        return Ok((Enhancer::Urie(weights::load(urie, &dict, file.path(), &network)?), None));
    };
    let fresh = build(&config, &context, 0, device)?;
    Ok((weights::load(fresh, &dict, file.path(), &network)?, Some(config)))
}
