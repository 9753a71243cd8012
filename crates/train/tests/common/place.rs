//! A small data set and a small classifier.

use std::path::PathBuf;

use burn::tensor::Device;
use dyntta_augment::Policy;
use dyntta_augment::policy::PolicyOp;
use dyntta_data::Split;
use dyntta_image::{Rgb8, Stream, write};
use dyntta_nn::weights::{self, StateDict};
use dyntta_nn::{Arch, ClassifierNet, Init};
use dyntta_train::{
    ClassifierSettings, Error, EstimateSettings, InputOptions, Progress, RecipeOptions, Stop, TrainSettings,
    train_classifier,
};

/// The same settings but for this.
#[allow(dead_code, reason = "not every file needs it")]
pub fn with<T>(mut settings: T, change: impl FnOnce(&mut T)) -> T {
    change(&mut settings);
    settings
}

/// A folder with pictures of three classes and weights of a small classifier.
pub struct Place(pub tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for class in 0..3usize {
            for i in 0..10 {
                let mut stream = Stream::new(class as u64, &[&i.to_string()]);
                let level = |v: usize, stream: &mut Stream| (60 * class + v % 40 + stream.below(60)) as u8;
                let data = (0..16 * 16 * 3).map(|v| level(v, &mut stream)).collect();
                let folder = place.at(&format!("data/c{class}"));
                std::fs::create_dir_all(&folder).unwrap();
                write(folder.join(format!("{i}.png")), &Rgb8::new(16, 16, data).unwrap()).unwrap();
            }
        }
        let net = ClassifierNet::new(&Init::new("classifier", 1, &Device::flex()), Arch::CifarResNet(1), 3);
        weights::write(&place.at("net.safetensors"), &weights::state_dict(&net), Default::default()).unwrap();
        place
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn policy(&self) -> PathBuf {
        let op = |name: &str, weight| PolicyOp::new(name, weight);
        let policy = Policy { ops: vec![op("invert", 0.5), op("equalize", 0.5)], ..Policy::default() };
        policy.write(&self.at("policy.toml")).unwrap();
        self.at("policy.toml")
    }

    pub fn settings(&self) -> ClassifierSettings {
        ClassifierSettings {
            data: Some(self.at("data")),
            classifier: Some(self.at("net.safetensors")),
            policy: Some(self.policy().display().to_string()),
            preset: Some("cifar".into()),
            ema: Some(0.9),
            label_smoothing: Some(0.1),
            recipe: RecipeOptions { epochs: Some(2), batch_size: Some(6), ..RecipeOptions::default() },
            input: InputOptions { input_size: Some(16.into()), ..InputOptions::default() },
            ..ClassifierSettings::default()
        }
    }

    pub fn estimation(&self, runs: &str) -> EstimateSettings {
        EstimateSettings {
            train: TrainSettings {
                data: Some(self.at("data")),
                classifier: Some(self.at("net.safetensors")),
                setting: Some("common15".parse().unwrap()),
                preset: Some("cifar".into()),
                bank: Some(["contrast", "low_pass_0.50", "invert", "urie"].map(Into::into).to_vec()),
                recipe: RecipeOptions { epochs: Some(1), batch_size: Some(6), ..RecipeOptions::default() },
                input: InputOptions { input_size: Some(16.into()), ..InputOptions::default() },
                ..TrainSettings::default()
            },
            corrupted: None,
            split: Split::Train,
            enhancer: None,
            clean: None,
            held_out: 0.3,
            runs: self.at(runs),
        }
    }

    pub fn train(
        &self,
        settings: &ClassifierSettings,
        run: &str,
        resume: bool,
        stop: &Stop,
        progress: &mut dyn Progress,
    ) -> Result<StateDict, Error> {
        let summary = train_classifier(settings, &self.at(run), resume, stop, progress)?;
        Ok(weights::read(&summary.weights).unwrap())
    }
}
