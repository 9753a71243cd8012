//! Checkpoints with random weights, in which no part of the networks is without effect.
#![allow(dead_code)] // each user needs some of it

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use dyntta_image::Stream;
use dyntta_model::{Entry, StateDict, write};

struct Weights(StateDict);

impl Weights {
    /// Values about `centre`, uniform within `spread`.
    fn add(&mut self, key: &str, shape: &[usize], centre: f32, spread: f32) {
        let mut stream = Stream::new(1, &["export", key]);
        let len = shape.iter().product();
        let data = (0..len).map(|_| centre + spread * (2.0 * stream.uniform_f32() - 1.0)).collect();
        self.0.insert(key.to_owned(), Entry { shape: shape.to_vec(), data });
    }

    fn conv(&mut self, key: &str, [output, input, side]: [usize; 3], gain: f32) {
        let spread = gain * (6.0 / (input * side * side) as f32).sqrt();
        self.add(&format!("{key}.weight"), &[output, input, side, side], 0.0, spread);
    }

    fn linear(&mut self, key: &str, [output, input]: [usize; 2], gain: f32) {
        self.add(&format!("{key}.weight"), &[output, input], 0.0, gain * (3.0 / input as f32).sqrt());
    }

    fn norm(&mut self, key: &str, channels: usize) {
        for (leaf, centre) in [("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)] {
            self.add(&format!("{key}.{leaf}"), &[channels], centre, 0.3);
        }
    }

    fn urie(&mut self, prefix: &str) {
        self.conv(&format!("{prefix}stem"), [32, 3, 9], 1.0);
        self.add(&format!("{prefix}stem.bias"), &[32], 0.0, 0.1);
        self.conv(&format!("{prefix}head"), [3, 16, 3], 0.1);
        self.add(&format!("{prefix}head.bias"), &[3], 0.0, 0.05);
        for (name, input, output) in [("down1", 32, 64), ("down2", 64, 64), ("up1", 128, 32), ("up2", 64, 16)]
        {
            let key = format!("{prefix}{name}");
            self.norm(&format!("{key}.bn"), input);
            self.conv(&format!("{key}.conv_a"), [output, input, 3], 1.0);
            self.conv(&format!("{key}.conv_b"), [output, input, 3], 1.0);
            self.linear(&format!("{key}.squeeze"), [output, 16 * output], 1.0);
            for branch in ["a", "b"] {
                self.linear(&format!("{key}.attend_{branch}"), [16 * output, output], 1.0);
                self.add(&format!("{key}.attend_{branch}.bias"), &[16 * output], 0.0, 0.5);
            }
        }
    }

    fn control(&mut self, slots: usize, forced: bool) {
        self.conv("control.conv1", [64, 3, 7], 1.0);
        self.norm("control.bn1", 64);
        let mut input = 64;
        for stage in 0..4 {
            let width = 64 << stage;
            for i in 0..2 {
                let key = format!("control.layer{}.{i}", stage + 1);
                self.conv(&format!("{key}.conv1"), [width, input, 3], 1.0);
                self.norm(&format!("{key}.bn1"), width);
                self.conv(&format!("{key}.conv2"), [width, width, 3], 0.5);
                self.norm(&format!("{key}.bn2"), width);
                if input != width {
                    self.conv(&format!("{key}.downsample.conv"), [width, input, 1], 1.0);
                    self.norm(&format!("{key}.downsample.bn"), width);
                }
                input = width;
            }
        }
        self.linear("control.fc", [2 * slots, 512], if forced { 0.0 } else { 0.6 });
        self.add("control.fc.bias", &[2 * slots], 0.0, 0.5);
    }
}

/// Writes the folder of a run of DynTTA over this bank, or of a URIE where there is none.
pub fn write_run(folder: &Path, bank: Option<&[&str]>, view: usize) -> PathBuf {
    write_run_with(folder, bank, view, false)
}

/// The same; `forced` decisions are those of the last layer's bias alone, whatever the image.
pub fn write_run_with(folder: &Path, bank: Option<&[&str]>, view: usize, forced: bool) -> PathBuf {
    let mut weights = Weights(StateDict::new());
    let more = match bank {
        None => {
            weights.urie("");
            String::new()
        }
        Some(names) => {
            weights.control(names.len(), forced);
            if names.contains(&"urie") {
                weights.urie("urie.");
            }
            format!("\"bank\": {names:?}, \"control_size\": {view}, ")
        }
    };
    let method = if bank.is_some() { "dyntta" } else { "urie" };
    let config = format!(
        r#"{{"format": 1, "method": "{method}", {more}"image_size": [32, 32],
        "classifier": {{"arch": "x", "classes": ["a", "b"],
        "normalisation": {{"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}}}}}}"#
    );
    write(&folder.join("enhancer.safetensors"), &weights.0, HashMap::new()).unwrap();
    std::fs::write(folder.join("enhancer.json"), config).unwrap();
    folder.to_owned()
}
