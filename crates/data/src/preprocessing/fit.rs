//! Bringing an image to a network's size.

use std::fmt;
use std::str::FromStr;

use dyntta_image::{Filter, Rgb8, centre_crop, covering_size, resize_centre_crop};
use serde::{Deserialize, Serialize};

/// Height and width of a network's input in pixels. In JSON a number, of a square, or `[height, width]`; as text `224`
/// or `224,320`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Sides", into = "Sides")]
pub struct InputSize {
    /// Rows.
    pub height: usize,
    /// Pixels a row.
    pub width: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Sides {
    Square(usize),
    Both([usize; 2]),
}

impl From<Sides> for InputSize {
    fn from(sides: Sides) -> Self {
        match sides {
            Sides::Square(side) => side.into(),
            Sides::Both([height, width]) => Self { height, width },
        }
    }
}

impl From<InputSize> for Sides {
    fn from(size: InputSize) -> Self {
        Self::Both([size.height, size.width])
    }
}

impl From<usize> for InputSize {
    /// A square.
    fn from(side: usize) -> Self {
        Self { height: side, width: side }
    }
}

impl InputSize {
    /// The longest side there may be.
    pub const MOST: usize = 8192;
}

impl FromStr for InputSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sides: Option<Vec<usize>> = text.split(',').map(|side| side.trim().parse().ok()).collect();
        match sides.as_deref() {
            Some(&[side]) => Ok(side.into()),
            Some(&[height, width]) => Ok(Self { height, width }),
            _ => Err("expected pixels a side, such as 224, or height and width, such as 224,320".into()),
        }
    }
}

impl fmt::Display for InputSize {
    /// Width by height, as images are spoken of.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// How an image of another size is brought to the network's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResizeRule {
    /// Scaled by one factor so that it just covers the input size divided by the crop share (of a square: by its shorter
    /// side); the centre is cut out.
    ShorterSide,
    /// Each side scaled to the input size divided by the crop share; the centre is cut out.
    Stretch,
    /// Not scaled. The centre is cut out of larger images, smaller ones get a black border.
    None,
}

impl ResizeRule {
    /// All rules.
    pub const ALL: [Self; 3] = [Self::ShorterSide, Self::Stretch, Self::None];

    /// `"shorter-side"`, `"stretch"` or `"none"`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ShorterSide => "shorter-side",
            Self::Stretch => "stretch",
            Self::None => "none",
        }
    }

    pub(super) fn usual_crop(self) -> f64 {
        if self == Self::ShorterSide { 0.875 } else { 1.0 }
    }
}

/// How images are brought to a network's size. Resampling is Pillow's, to the bit, antialiased.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The network's input.
    pub size: InputSize,
    /// The rule.
    pub resize: ResizeRule,
    /// The interpolation.
    pub interpolation: Filter,
    /// The share of a resized side that the crop keeps, up to 1. The resized side is the input's divided by it and rounded
    /// down, as timm does: of 224 and 0.875, 256.
    pub crop_pct: f64,
}

impl Fit {
    /// The smallest crop share.
    pub const LEAST_CROP: f64 = 0.05;

    /// The shorter side to 8/7 of `size`, bilinear, and the centre of `size` pixels a side (ImageNet: 256 and 224).
    pub const fn imagenet(size: usize) -> Self {
        Self {
            size: InputSize { height: size, width: size },
            resize: ResizeRule::ShorterSide,
            interpolation: Filter::Bilinear,
            crop_pct: 0.875,
        }
    }

    /// The whole image at `size` pixels a side, bilinear.
    pub const fn whole(size: usize) -> Self {
        Self { resize: ResizeRule::Stretch, crop_pct: 1.0, ..Self::imagenet(size) }
    }

    /// Brings `image` to the size.
    ///
    /// # Panics
    /// If a side of the size is 0, or the crop share is not above 0: none that a file, a preset or a flag tells is.
    pub fn apply(&self, image: &Rgb8) -> Rgb8 {
        let want = (self.size.width, self.size.height);
        let fitted = match self.resize {
            ResizeRule::None => centre_crop(image, want.0, want.1),
            ResizeRule::Stretch => resize_centre_crop(image, self.scaled(), want, self.interpolation),
            ResizeRule::ShorterSide => {
                let full = covering_size((image.width(), image.height()), self.scaled());
                resize_centre_crop(image, full, want, self.interpolation)
            }
        };
        fitted.expect("a size of at least one pixel a side")
    }

    /// Width and height that the crop is a share of.
    fn scaled(&self) -> (usize, usize) {
        let scaled = |side: usize| ((side as f64 / self.crop_pct).floor() as usize).max(side);
        (scaled(self.size.width), scaled(self.size.height))
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (width, height) = self.scaled();
        write!(f, "{} px (", self.size)?;
        match self.resize {
            ResizeRule::ShorterSide if width == height => write!(f, "shorter side to {width}")?,
            ResizeRule::ShorterSide => write!(f, "scaled to cover {width}x{height}")?,
            ResizeRule::Stretch => write!(f, "stretched to {width}x{height}")?,
            ResizeRule::None => return f.write_str("not resized, centre)"),
        }
        write!(f, ", {}", self.interpolation.name())?;
        let whole =
            self.resize == ResizeRule::Stretch && (width, height) == (self.size.width, self.size.height);
        f.write_str(if whole { ")" } else { ", centre crop)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dyntta_image::resize;

    fn picture(width: usize, height: usize) -> Rgb8 {
        Rgb8::new(width, height, (0..width * height * 3).map(|i| (i * 37 % 256) as u8).collect()).unwrap()
    }

    #[test]
    fn each_rule_gives_the_size_and_the_pixels_it_names() {
        let image = picture(50, 30);
        let fit = Fit { size: InputSize { height: 14, width: 21 }, ..Fit::imagenet(14) };
        // 14 / 0.875 = 16 and 21 / 0.875 = 24: covered by 26x16.
        let expected = centre_crop(&resize(&image, 26, 16, Filter::Bilinear).unwrap(), 21, 14).unwrap();
        assert_eq!(fit.apply(&image), expected);
        let stretch = Fit { resize: ResizeRule::Stretch, interpolation: Filter::Bicubic, ..fit };
        assert_eq!(
            stretch.apply(&image),
            centre_crop(&resize(&image, 24, 16, Filter::Bicubic).unwrap(), 21, 14).unwrap()
        );
        let whole = Fit { crop_pct: 1.0, ..stretch };
        assert_eq!(whole.apply(&image), resize(&image, 21, 14, Filter::Bicubic).unwrap());
        let none = Fit { resize: ResizeRule::None, ..whole };
        assert_eq!(none.apply(&image), centre_crop(&image, 21, 14).unwrap());
        let padded = none.apply(&picture(3, 3));
        assert_eq!((padded.width(), padded.height(), padded.data()[0]), (21, 14, 0));
    }

    #[test]
    fn what_it_does_is_said() {
        assert_eq!(Fit::imagenet(224).to_string(), "224x224 px (shorter side to 256, bilinear, centre crop)");
        assert_eq!(Fit::whole(32).to_string(), "32x32 px (stretched to 32x32, bilinear)");
        let none = Fit { resize: ResizeRule::None, ..Fit::whole(32) };
        assert_eq!(none.to_string(), "32x32 px (not resized, centre)");
    }

    #[test]
    fn sizes_are_a_side_or_height_and_width() {
        assert_eq!("224".parse(), Ok(InputSize::from(224)));
        assert_eq!("14, 21".parse(), Ok(InputSize { height: 14, width: 21 }));
        assert!("14x21".parse::<InputSize>().is_err() && "1,2,3".parse::<InputSize>().is_err());
        let json = |text: &str| serde_json::from_str::<InputSize>(text).ok();
        assert_eq!(json("224"), Some(224.into()));
        assert_eq!(json("[14, 21]"), Some(InputSize { height: 14, width: 21 }));
        assert_eq!(json("[3, 14, 21]"), None);
        assert_eq!(serde_json::to_string(&InputSize::from(8)).unwrap(), "[8,8]");
    }
}
