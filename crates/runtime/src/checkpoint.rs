//! Building the networks from a checkpoint.

use dyntta_model::{Checkpoint, Error, Method};
use dyntta_ops::Bank;

use crate::Model;
use crate::params::Params;
use crate::resnet::ResNet18;
use crate::skunet::SkUnet;

/// The model of a checkpoint; one without a config is a URIE's.
pub(crate) fn load(checkpoint: &Checkpoint) -> Result<Model, Error> {
    let mut params = Params::of(checkpoint)?;
    let model = match &checkpoint.config {
        Some(config) => build(config.method, &mut params, || config.bank(&checkpoint.context))?,
        None => Model::Urie(SkUnet::load(&mut params, "")),
    };
    params.finish()?;
    Ok(model)
}

fn build(
    method: Method,
    params: &mut Params<'_>,
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
