//! Flags for what a classifier is fed, of `train` and `eval`.

use std::path::PathBuf;

use clap::ValueEnum;
use dyntta_data::preprocessing::{Given, InputSize, ResizeRule};
use dyntta_image::{ChannelOrder, Exif, Filter, ValueRange};
use dyntta_train::OnError;

use crate::reading;

/// A choice among named values, as a flag's value parser.
macro_rules! choice {
    ($name:ident, $type:ty, $all:expr) => {
        #[derive(Clone, Copy)]
        pub struct $name(pub $type);

        impl ValueEnum for $name {
            fn value_variants<'a>() -> &'a [Self] {
                const ALL: [$name; $all.len()] = {
                    let mut all = [$name($all[0]); $all.len()];
                    let mut i = 0;
                    while i < all.len() {
                        all[i] = $name($all[i]);
                        i += 1;
                    }
                    all
                };
                &ALL
            }

            fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
                Some(self.0.name().into())
            }
        }
    };
}

choice!(ResizeArg, ResizeRule, ResizeRule::ALL);
choice!(FilterArg, Filter, Filter::ALL);
choice!(ChannelsArg, ChannelOrder, ChannelOrder::ALL);
choice!(RangeArg, ValueRange, ValueRange::ALL);
choice!(ExifArg, Exif, Exif::ALL);

#[derive(Clone, Copy, ValueEnum)]
pub enum OnErrorArg {
    /// Stop at the first.
    Fail,
    /// Leave them out, and say how many.
    Skip,
}

impl From<OnErrorArg> for OnError {
    fn from(arg: OnErrorArg) -> Self {
        match arg {
            OnErrorArg::Fail => Self::Fail,
            OnErrorArg::Skip => Self::Skip,
        }
    }
}

/// The classifier's preprocessing. What no flag gives is read from a file beside the weights (W's name with .json,
/// preprocessing.json, or timm's config.json), else it is the preset's.
#[derive(clap::Args)]
#[command(next_help_heading = "Preprocessing of the classifier (docs/data.md)")]
pub struct Args {
    /// JSON file to read it from instead of one beside the weights
    #[arg(long, value_name = "FILE")]
    pub preprocessing: Option<PathBuf>,
    /// Pixels a side, or height and width, of the classifier's input [default: the preset's, 224 or 32]
    #[arg(long, value_name = "N|H,W", alias = "size")]
    pub input_size: Option<InputSize>,
    /// How images are brought to that size
    #[arg(long, value_enum)]
    pub resize: Option<ResizeArg>,
    /// With which kernel, as Pillow does it
    #[arg(long, value_enum)]
    pub interpolation: Option<FilterArg>,
    /// Share of a resized side that the centre crop keeps
    #[arg(long, value_name = "SHARE")]
    pub crop_pct: Option<f64>,
    /// Mean that is subtracted from the values [default: ImageNet's]
    #[arg(long, value_name = "R,G,B", value_parser = triple, allow_hyphen_values = true)]
    pub mean: Option<[f32; 3]>,
    /// Standard deviation that they are divided by [default: ImageNet's]
    #[arg(long, value_name = "R,G,B", value_parser = triple)]
    pub std: Option<[f32; 3]>,
    /// Order of the classifier's channels [default: rgb]
    #[arg(long, value_enum)]
    pub channels: Option<ChannelsArg>,
    /// Values of black and white before mean and std [default: 0..1]
    #[arg(long, value_enum, allow_hyphen_values = true)]
    pub range: Option<RangeArg>,
    #[command(flatten)]
    pub reading: reading::Args,
}

impl Args {
    /// What the flags say.
    pub fn given(&self) -> Given {
        Given {
            input_size: self.input_size,
            resize: self.resize.map(|arg| arg.0),
            interpolation: self.interpolation.map(|arg| arg.0),
            crop_pct: self.crop_pct,
            mean: self.mean,
            std: self.std,
            channels: self.channels.map(|arg| arg.0),
            range: self.range.map(|arg| arg.0),
            classes: None,
        }
    }
}

/// Three numbers separated by commas.
fn triple(text: &str) -> Result<[f32; 3], String> {
    let values: Result<Vec<f32>, _> = text.split(',').map(|v| v.trim().parse()).collect();
    values
        .ok()
        .and_then(|v| v.try_into().ok())
        .ok_or_else(|| "expected three numbers such as 0.5,0.5,0.5".into())
}
