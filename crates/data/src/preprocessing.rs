//! What a classifier was trained to be fed: how images are brought to its size, and what values it takes for their
//! colours. It travels with the weights; [`Sources`] says where it is looked for.

mod fit;
mod read;
mod sources;

use dyntta_files::shown_text;
use dyntta_image::{ChannelOrder, Exif, Filter, ValueRange};
use serde::Serialize;

use crate::Error;

pub use fit::{Fit, InputSize, ResizeRule};
pub use sources::{BESIDE, Sources, TIMM};

/// A classifier's preprocessing, nothing left open.
///
/// An image is decoded ([`Exif`]) and fitted ([`Fit`]); the enhancer sees it in RGB and `0..=1`; then values go into `range`, `mean` is
/// subtracted and the difference divided by `std`, and the channels are put in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocessing {
    /// What is done about the orientation that a camera wrote beside the pixels. Nothing, by default: classifiers are trained and
    /// measured on files as PIL and torchvision read them.
    pub exif: Exif,
    /// How an image is brought to the network's size.
    pub fit: Fit,
    /// Mean of red, green and blue, in units of `range`.
    pub mean: [f32; 3],
    /// Standard deviation of red, green and blue, in units of `range`; positive.
    pub std: [f32; 3],
    /// The order of the channels.
    pub channels: ChannelOrder,
    /// The range of values.
    pub range: ValueRange,
    /// The names of the classifier's outputs, where they are known.
    pub classes: Option<Vec<String>>,
}

/// The most names of classes.
const MOST_CLASSES: usize = 1_000_000;

/// ImageNet's statistics, which torchvision and the usual CIFAR ResNets use.
const IMAGENET: ([f32; 3], [f32; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

impl Preprocessing {
    /// torchvision's for ImageNet: of `size` pixels a side, the shorter side brought to 8/7 of it, bilinear, and the
    /// centre cut out; ImageNet's mean and standard deviation.
    pub const fn imagenet(size: usize) -> Self {
        Self::usual(Fit::imagenet(size))
    }

    /// The whole image at `size` pixels a side, bilinear; ImageNet's mean and standard deviation, which the usual CIFAR
    /// ResNets were trained with.
    pub const fn cifar(size: usize) -> Self {
        Self::usual(Fit::whole(size))
    }

    const fn usual(fit: Fit) -> Self {
        let (mean, std) = IMAGENET;
        let (channels, range) = (ChannelOrder::Rgb, ValueRange::Unit);
        Self { exif: Exif::Ignore, fit, mean, std, channels, range, classes: None }
    }

    /// One line for a person.
    pub fn describe(&self) -> String {
        let list = |v: [f32; 3]| format!("{}, {}, {}", v[0], v[1], v[2]);
        let classes = match &self.classes {
            Some(names) => format!(", {} class names", names.len()),
            None => String::new(),
        };
        let turned = if self.exif == Exif::Apply { ", turned by EXIF" } else { "" };
        format!(
            "{}, {} in {}, mean {}, std {}{turned}{classes}",
            self.fit,
            self.channels.name().to_uppercase(),
            self.range.name(),
            list(self.mean),
            list(self.std)
        )
    }
}

impl Serialize for Preprocessing {
    /// As the JSON that is read from beside weights, every key but `classes` there.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Given::from(self.clone()).serialize(serializer)
    }
}

/// What one source says of a [`Preprocessing`]; the keys of the JSON file. What is absent is left to the next source.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Given {
    /// Height and width of the network's input in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_size: Option<InputSize>,
    /// How an image is brought there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<ResizeRule>,
    /// The interpolation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interpolation: Option<Filter>,
    /// The share of the resized image's side that is kept. Where a source gives `resize` without it: 0.875 for
    /// `shorter-side`, else 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop_pct: Option<f64>,
    /// Mean of red, green and blue, in units of `range`. Where a source gives `range` without it: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<[f32; 3]>,
    /// Standard deviation of red, green and blue, in units of `range`. Where a source gives `range` without it: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<[f32; 3]>,
    /// The order of the channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<ChannelOrder>,
    /// What is done about the EXIF orientation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exif: Option<Exif>,
    /// The range of values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<ValueRange>,
    /// The names of the classifier's outputs, in their order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<String>>,
}

impl From<Preprocessing> for Given {
    fn from(all: Preprocessing) -> Self {
        Self {
            input_size: Some(all.fit.size),
            resize: Some(all.fit.resize),
            interpolation: Some(all.fit.interpolation),
            crop_pct: Some(all.fit.crop_pct),
            mean: Some(all.mean),
            std: Some(all.std),
            channels: Some(all.channels),
            exif: Some(all.exif),
            range: Some(all.range),
            classes: all.classes,
        }
    }
}

impl Given {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it has every key but `exif`, as files written here before that was a choice have.
    fn is_old(&self) -> bool {
        let all = Given { classes: None, exif: None, ..Preprocessing::cifar(1).into() };
        let filled = self.clone().or(all);
        self.exif.is_none() && Self { classes: None, ..self.clone() } == Self { classes: None, ..filled }
    }

    /// Checks the ranges; `path` is where the keys stand.
    ///
    /// # Errors
    /// [`Error::Preprocessing`].
    pub fn check(&self, path: &str) -> Result<(), Error> {
        let fail = |key: &str, expected: &str, found: String| {
            Err(Error::Preprocessing { path: path.into(), key: key.into(), expected: expected.into(), found })
        };
        if let Some(size) = self.input_size
            && ![size.height, size.width].iter().all(|side| (1..=InputSize::MOST).contains(side))
        {
            let expected = format!("sides of 1 to {} pixels", InputSize::MOST);
            return fail("input_size", &expected, size.to_string());
        }
        if let Some(share) = self.crop_pct
            && !(Fit::LEAST_CROP..=1.0).contains(&share)
        {
            return fail("crop_pct", &format!("a share from {} to 1", Fit::LEAST_CROP), share.to_string());
        }
        if let (Some(ResizeRule::None), Some(share)) = (self.resize, self.crop_pct)
            && share != 1.0
        {
            return fail("crop_pct", "1 where `resize` is \"none\"", share.to_string());
        }
        if let Some(mean) = self.mean
            && !mean.iter().all(|m| m.is_finite())
        {
            return fail("mean", "three finite numbers", format!("{mean:?}"));
        }
        if let Some(std) = self.std
            && !std.iter().all(|s| s.is_finite() && *s > 0.0)
        {
            return fail("std", "three positive numbers", format!("{std:?}"));
        }
        if let Some(range) = self.range {
            self.check_range(path, range)?;
        }
        if let Some(names) = &self.classes {
            if names.len() > MOST_CLASSES {
                return fail("classes", &format!("at most {MOST_CLASSES} names"), names.len().to_string());
            }
            let mut sorted: Vec<&String> = names.iter().collect();
            sorted.sort();
            if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
                let found = format!("\"{}\" twice", shown_text(twice[0]));
                return fail("classes", "every class once", found);
            }
            if names.len() < 2 {
                return fail("classes", "two or more names", names.len().to_string());
            }
        }
        Ok(())
    }

    /// Checks `mean` and `std` against the values that they are for: those of another range give a classifier nothing to see.
    ///
    /// A mean lies within the range, and of `0..255` not all within `0..1`, but for 0; a standard deviation is at most four
    /// times the range (a true one is at most half of it), and so large that nothing overflows.
    pub(super) fn check_range(&self, path: &str, range: ValueRange) -> Result<(), Error> {
        let fail = |key: &str, expected: String, found: [f32; 3], hint: &str| {
            let found = format!("{}, {}, {}{hint}", found[0], found[1], found[2]);
            Err(Error::Preprocessing { path: path.into(), key: key.into(), expected, found })
        };
        let (least, most) = match range {
            ValueRange::Unit => (0.0, 1.0),
            ValueRange::Byte => (0.0, 255.0),
            ValueRange::Symmetric => (-1.0, 1.0),
        };
        let hint = |values: [f32; 3]| {
            let bytes = range != ValueRange::Byte && values.iter().any(|&v| v > 4.0);
            if bytes { " (those of the `range` 0..255?)" } else { "" }
        };
        if let Some(mean) = self.mean {
            let expected = format!("values within the `range` {}", range.name());
            if !mean.iter().all(|m| (least..=most).contains(m)) {
                return fail("mean", expected, mean, hint(mean));
            }
            let unit = mean.iter().all(|m| (0.0..=1.0).contains(m)) && mean != [0.0; 3];
            if range == ValueRange::Byte && unit {
                return fail("mean", expected, mean, " (those of the `range` 0..1?)");
            }
        }
        if let Some(std) = self.std {
            let span = most - least;
            let bounds = 1e-6 * span..=4.0 * span;
            if !std.iter().all(|s| bounds.contains(s)) {
                let expected = format!(
                    "values from {} to {}, for the `range` {}",
                    1e-6 * span,
                    4.0 * span,
                    range.name()
                );
                return fail("std", expected, std, hint(std));
            }
        }
        Ok(())
    }

    /// These, and those of `lower` where these are silent.
    #[must_use]
    pub fn or(self, lower: Self) -> Self {
        let own = self.with_companions();
        Self {
            input_size: own.input_size.or(lower.input_size),
            resize: own.resize.or(lower.resize),
            interpolation: own.interpolation.or(lower.interpolation),
            crop_pct: own.crop_pct.or(lower.crop_pct),
            mean: own.mean.or(lower.mean),
            std: own.std.or(lower.std),
            channels: own.channels.or(lower.channels),
            exif: own.exif.or(lower.exif),
            range: own.range.or(lower.range),
            classes: own.classes.or(lower.classes),
        }
    }

    /// With the values that a given rule or range brings along: another source's would not go with it.
    fn with_companions(mut self) -> Self {
        if let Some(rule) = self.resize {
            self.crop_pct.get_or_insert(rule.usual_crop());
        }
        if self.range.is_some() {
            self.mean.get_or_insert([0.0; 3]);
            self.std.get_or_insert([1.0; 3]);
        }
        self
    }

    /// All of it, `default` where it is silent.
    ///
    /// # Errors
    /// [`Error::Preprocessing`] if what comes from several sources does not go together.
    pub fn complete(self, default: Preprocessing, path: &str) -> Result<Preprocessing, Error> {
        let all = self.or(default.clone().into());
        all.check(path)?;
        let fit = Fit {
            size: all.input_size.unwrap_or(default.fit.size),
            resize: all.resize.unwrap_or(default.fit.resize),
            interpolation: all.interpolation.unwrap_or(default.fit.interpolation),
            crop_pct: all.crop_pct.unwrap_or(default.fit.crop_pct),
        };
        Ok(Preprocessing {
            exif: all.exif.unwrap_or(default.exif),
            fit,
            mean: all.mean.unwrap_or(default.mean),
            std: all.std.unwrap_or(default.std),
            channels: all.channels.unwrap_or(default.channels),
            range: all.range.unwrap_or(default.range),
            classes: all.classes,
        })
    }
}
