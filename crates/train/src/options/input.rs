//! What a classifier is fed, and how its file is understood.

use std::path::PathBuf;

use dyntta_data::preprocessing::{Given, InputSize, ResizeRule};
use dyntta_image::{ChannelOrder, Exif, Filter, ValueRange};
use dyntta_nn::onnx::{self, Scores};

use super::options;

options! {
    /// The classifier's preprocessing. What no flag gives is read from a file beside the weights (W's name with .json,
    /// preprocessing.json, or timm's config.json), else it is the preset's.
    #[command(next_help_heading = "Preprocessing of the classifier (docs/data.md)")]
    pub struct InputOptions {
        /// JSON file to read it from instead of one beside the weights
        #[arg(long, value_name = "FILE")]
        pub preprocessing: Option<PathBuf>,
        /// Pixels a side, or height and width, of the classifier's input [default: the preset's, 224 or 32]
        #[arg(long, value_name = "N|H,W", alias = "size")]
        #[alias("size")]
        pub input_size: Option<InputSize>,
        /// How images are brought to that size
        #[arg(long, value_parser = super::flags::choice::<ResizeRule>())]
        pub resize: Option<ResizeRule>,
        /// With which kernel, as Pillow does it
        #[arg(long, value_parser = super::flags::choice::<Filter>())]
        pub interpolation: Option<Filter>,
        /// Share of a resized side that the centre crop keeps
        #[arg(long, value_name = "SHARE")]
        pub crop_pct: Option<f64>,
        /// Mean that is subtracted from the values [default: ImageNet's]
        #[arg(long, value_name = "R,G,B", value_parser = super::flags::triple, allow_hyphen_values = true)]
        pub mean: Option<[f32; 3]>,
        /// Standard deviation that they are divided by [default: ImageNet's]
        #[arg(long, value_name = "R,G,B", value_parser = super::flags::triple)]
        pub std: Option<[f32; 3]>,
        /// Order of the classifier's channels [default: rgb]
        #[arg(long, value_parser = super::flags::choice::<ChannelOrder>())]
        pub channels: Option<ChannelOrder>,
        /// Values of black and white before mean and std [default: 0..1]
        #[arg(long, value_parser = super::flags::choice::<ValueRange>(), allow_hyphen_values = true)]
        pub range: Option<ValueRange>,
        /// Whether pictures are turned as their EXIF orientation says; PIL and torchvision don't [default: ignore]
        #[arg(long, value_parser = super::flags::choice::<Exif>())]
        pub exif: Option<Exif>,
        /// What the classifier's file leaves open.
        #[command(flatten)]
        pub reading: ReadingOptions,
    }
}

options! {
    /// What a classifier's file leaves open.
    #[command(next_help_heading = "What a classifier's file leaves open (docs/classifiers.md)")]
    pub struct ReadingOptions {
        /// The output with the classes' scores [default: the one with as many as there are classes, or the first that may be]
        #[arg(long, value_name = "NAME")]
        pub output: Option<String>,
        /// What that output holds [default: told by its values]
        #[arg(long, value_parser = super::flags::choice::<Scores>())]
        pub scores: Option<Scores>,
        /// Of a file of weights, which of several sets: what stands before its keys, such as state_dict_ema [default: averaged
        /// weights first, then state_dict, then model]
        #[arg(long, value_name = "KEY")]
        pub weights_key: Option<String>,
    }
}

impl InputOptions {
    /// What these options say of the preprocessing.
    pub fn given(&self) -> Given {
        Given {
            input_size: self.input_size,
            resize: self.resize,
            interpolation: self.interpolation,
            crop_pct: self.crop_pct,
            mean: self.mean,
            std: self.std,
            channels: self.channels,
            range: self.range,
            exif: self.exif,
            classes: None,
        }
    }
}

impl ReadingOptions {
    /// How a classifier's file is to be read.
    pub fn options(&self) -> onnx::Options {
        let (output, weights_key) = (self.output.clone(), self.weights_key.clone());
        onnx::Options { output, scores: self.scores, weights_key, ..onnx::Options::default() }
    }
}
