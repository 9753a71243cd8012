//! What values a network takes for an image's colours.

use serde::{Deserialize, Serialize};

/// The order of the colours in a network's input channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red, as OpenCV reads images and Caffe's networks take them.
    Bgr,
}

impl ChannelOrder {
    /// Both orders.
    pub const ALL: [Self; 2] = [Self::Rgb, Self::Bgr];

    /// `"rgb"` or `"bgr"`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rgb => "rgb",
            Self::Bgr => "bgr",
        }
    }
}

/// The values that black and white have before mean and standard deviation are applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ValueRange {
    /// Black is 0, white is 1.
    #[default]
    #[serde(rename = "0..1")]
    Unit,
    /// Black is 0, white is 255.
    #[serde(rename = "0..255")]
    Byte,
    /// Black is -1, white is 1.
    #[serde(rename = "-1..1")]
    Symmetric,
}

impl ValueRange {
    /// All ranges.
    pub const ALL: [Self; 3] = [Self::Unit, Self::Byte, Self::Symmetric];

    /// `"0..1"`, `"0..255"` or `"-1..1"`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unit => "0..1",
            Self::Byte => "0..255",
            Self::Symmetric => "-1..1",
        }
    }

    /// `(scale, shift)`: a value `v` in `0..=1` becomes `scale * v + shift`.
    pub fn from_unit(self) -> (f32, f32) {
        match self {
            Self::Unit => (1.0, 0.0),
            Self::Byte => (255.0, 0.0),
            Self::Symmetric => (2.0, -1.0),
        }
    }
}
