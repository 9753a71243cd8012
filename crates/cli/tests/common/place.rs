//! A folder with what most commands need.

use std::path::{Path, PathBuf};

use dyntta_image::{Rgb8, write};
use dyntta_nn::checkpoint::{self, ClassifierConfig, EnhancerConfig, Method};
use dyntta_nn::{Arch, ClassifierNet, Init, Normalisation, weights};

/// A folder with two classes of small pictures, an untrained classifier for them, and an untrained enhancer.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for (c, class) in ["cat", "dog"].iter().enumerate() {
            std::fs::create_dir_all(place.path("data").join(class)).unwrap();
            for i in 0..4 {
                let data = (0..32 * 32 * 3).map(|v| ((v * (7 + i) + c * 90) % 256) as u8).collect();
                write(
                    place.path("data").join(class).join(format!("{i}.png")),
                    &Rgb8::new(32, 32, data).unwrap(),
                )
                .unwrap();
            }
        }
        let device = burn::tensor::Device::flex();
        let net = ClassifierNet::new(&Init::new("classifier", 0, &device), Arch::CifarResNet(1), 2);
        weights::write(&place.path("net.safetensors"), &weights::state_dict(&net), Default::default())
            .unwrap();
        let config = EnhancerConfig {
            format: 1,
            method: Method::Dyntta,
            bank: Some(["rotate", "gamma", "low_pass_0.30", "urie"].map(Into::into).to_vec()),
            control_size: None,
            image_size: [32, 32],
            classifier: ClassifierConfig {
                arch: "cifar-resnet8".into(),
                normalisation: Normalisation::IMAGENET,
                classes: vec!["cat".into(), "dog".into()],
            },
            seed: 0,
            versions: Default::default(),
            training: serde_json::json!({ "preset": "cifar" }),
        };
        std::fs::create_dir(place.path("enhancer")).unwrap();
        let enhancer = checkpoint::build(&config, Path::new("test"), 0, &device).unwrap();
        checkpoint::save(&place.path("enhancer"), &enhancer, &config).unwrap();
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn at(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}
