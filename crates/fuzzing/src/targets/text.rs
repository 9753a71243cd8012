use std::collections::BTreeMap;
use std::path::Path;

use dyntta_augment::{Policy, PolicyAugment, PolicyOptions};
use dyntta_data::Preprocessing;
use dyntta_data::preprocessing::Given;
use dyntta_files::Limits;
use dyntta_image::{Rgb8, Stream};
use dyntta_model::EnhancerConfig;
use dyntta_runtime::Enhancer;

use crate::Scratch;

use super::{all, message};

/// A policy: read, drawn, written, and drawn from.
pub fn policy(bytes: &[u8], _: &Scratch) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(message)?;
    let path = Path::new("policy.toml");
    let policy = Policy::parse(text, path).map_err(message)?;
    let again = Policy::parse(&policy.to_toml(), path).expect("what is written is read");
    assert!(again == policy, "a policy is read as it was written");
    assert!(policy.picture().starts_with('<'), "an SVG");
    let image = Rgb8::new(4, 4, (0..48).map(|i| i * 5).collect()).unwrap();
    let mut stream = Stream::new(0, &["policy"]);
    let options = PolicyOptions { share: 1.0, ..PolicyOptions::default() };
    if let Some(augment) = PolicyAugment::new(&policy, options) {
        augment.apply(&image, &mut stream);
    }
    Ok(())
}

/// An enhancer's config, and settings as TOML and as a run keeps them.
pub fn config(bytes: &[u8], scratch: &Scratch) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(message)?;
    let path = Path::new("enhancer.json");
    let config = EnhancerConfig::parse(text, path).map_err(message).and_then(|config| {
        let again = EnhancerConfig::parse(&config.text(), path).expect("what is written is read");
        assert!(again == config, "a config is read as it was written");
        let _ = config.bank(path).map_err(message)?;
        // The weights beside it are of another network, which is to be said.
        let weights = crate::seeds::weights::bare();
        Enhancer::from_bytes(weights, Some(text), path, &Limits::DEFAULT).map(drop).map_err(message)
    });
    all([config, settings(bytes, scratch)])
}

#[cfg(feature = "networks")]
fn settings(bytes: &[u8], scratch: &Scratch) -> Result<(), String> {
    use dyntta_train::{ClassifierSettings, TrainSettings};
    let toml = scratch.input("settings.toml", bytes);
    scratch.input("run/settings.json", bytes);
    all([
        TrainSettings::read_toml(&toml).map(drop).map_err(message),
        ClassifierSettings::read_toml(&toml).map(drop).map_err(message),
        TrainSettings::read_run(&scratch.path("run")).map(drop).map_err(message),
    ])
}

#[cfg(not(feature = "networks"))]
fn settings(_: &[u8], _: &Scratch) -> Result<(), String> {
    Ok(())
}

/// A preprocessing beside weights, and in a model's metadata.
pub fn preprocessing(bytes: &[u8], _: &Scratch) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(message)?;
    let complete = |given: Given| given.complete(Preprocessing::imagenet(8), "T").map_err(message);
    let file = Given::from_json("preprocessing.json", text).map_err(message).and_then(complete).map(|all| {
        let _ = all.describe();
        if all.fit.size.width.max(all.fit.size.height) <= 64 {
            all.fit.apply(&Rgb8::black(5, 3).unwrap());
        }
    });
    let mut metadata = BTreeMap::new();
    for line in text.lines() {
        let (key, value) = line.split_once(':').unwrap_or((line, ""));
        let trimmed = |text: &str| text.trim_matches([' ', '"', ',']).to_owned();
        metadata.insert(trimmed(key), trimmed(value));
    }
    let metadata =
        Given::from_metadata("model", &metadata).map_err(message).and_then(|read| complete(read.0)).map(drop);
    all([file, metadata])
}
