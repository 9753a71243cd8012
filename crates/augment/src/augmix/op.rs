use std::fmt;
use std::str::FromStr;

use dyntta_image::Rgb8;

use crate::{Error, affine, enhance, tables};

/// An operation as its line in the registry tells it.
struct Entry {
    name: &'static str,
    /// What a level of 0 to 10 means for an image, and whether the direction may be reversed.
    strength: Strength,
    apply: fn(&mut Rgb8, f64),
}

/// How a level becomes an operation's argument. The scales are those of AugMix's published experiments.
enum Strength {
    /// It has none.
    None,
    /// `level / 10` of this, towards zero to a whole number.
    Whole(f64),
    /// [`Strength::Whole`], in either direction.
    WholeEitherWay(f64),
    /// `level / 10` of this, in either direction.
    EitherWay(f64),
    /// `level / 10` of this share of the side, towards zero to whole pixels, in either direction.
    Side(fn(&Rgb8) -> usize, f64),
    /// 0.1 and `level / 10` of 1.8: 1 changes nothing, less is duller and more stronger.
    Factor,
}

/// The operations, in the order of the paper's list.
static ENTRIES: &[Entry] = &[
    Entry { name: "auto_contrast", strength: Strength::None, apply: tables::auto_contrast },
    Entry { name: "equalize", strength: Strength::None, apply: tables::equalize },
    Entry { name: "posterize", strength: Strength::Whole(4.0), apply: tables::posterize },
    Entry { name: "rotate", strength: Strength::WholeEitherWay(30.0), apply: affine::rotate },
    Entry { name: "solarize", strength: Strength::Whole(256.0), apply: tables::solarize },
    Entry { name: "shear_x", strength: Strength::EitherWay(0.3), apply: affine::shear_x },
    Entry { name: "shear_y", strength: Strength::EitherWay(0.3), apply: affine::shear_y },
    Entry {
        name: "translate_x",
        strength: Strength::Side(|i| i.width, 1.0 / 3.0),
        apply: affine::translate_x,
    },
    Entry {
        name: "translate_y",
        strength: Strength::Side(|i| i.height, 1.0 / 3.0),
        apply: affine::translate_y,
    },
    Entry { name: "color", strength: Strength::Factor, apply: enhance::color },
    Entry { name: "contrast", strength: Strength::Factor, apply: enhance::contrast },
    Entry { name: "brightness", strength: Strength::Factor, apply: enhance::brightness },
    Entry { name: "sharpness", strength: Strength::Factor, apply: enhance::sharpness },
];

/// One of AugMix's operations: a handle to copy and compare freely. Prints and parses as its name.
///
/// They give Pillow's pixels: `ImageOps` and `ImageEnhance`, and its bilinear affine transform with black outside.
#[derive(Clone, Copy)]
pub struct AugmixOp(&'static Entry);

impl AugmixOp {
    /// All of them.
    pub fn all() -> impl ExactSizeIterator<Item = Self> + Clone {
        ENTRIES.iter().map(Self)
    }

    /// The name, in snake case.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Changes `image` at a level of 0 to 10 (brought into that range), the other way round if `reverse` and if there are
    /// two ways. The size is kept.
    pub fn apply(self, image: &mut Rgb8, level: f64, reverse: bool) {
        (self.0.apply)(image, self.argument(image, level, reverse));
    }

    fn argument(self, image: &Rgb8, level: f64, reverse: bool) -> f64 {
        let tenths = level.clamp(0.0, 10.0) / 10.0;
        let sign = if reverse { -1.0 } else { 1.0 };
        match self.0.strength {
            Strength::None => 0.0,
            Strength::Whole(most) => (tenths * most).trunc(),
            Strength::WholeEitherWay(most) => sign * (tenths * most).trunc(),
            Strength::EitherWay(most) => sign * tenths * most,
            Strength::Side(side, share) => sign * (tenths * side(image) as f64 * share).trunc(),
            Strength::Factor => tenths * 1.8 + 0.1,
        }
    }
}

impl PartialEq for AugmixOp {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for AugmixOp {}

impl fmt::Debug for AugmixOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AugmixOp({})", self.0.name)
    }
}

impl fmt::Display for AugmixOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.name)
    }
}

impl FromStr for AugmixOp {
    type Err = Error;

    /// The operation of this name.
    ///
    /// # Errors
    /// [`Error::UnknownAugmixOp`] with the names that exist.
    fn from_str(name: &str) -> Result<Self, Error> {
        let name = name.trim();
        Self::all().find(|op| op.name() == name).ok_or_else(|| Error::UnknownAugmixOp {
            name: name.to_owned(),
            known: Self::all().map(Self::name).collect::<Vec<_>>().join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    #[test]
    fn names_are_unique_and_parse() {
        for op in AugmixOp::all() {
            assert_eq!(op.name().parse::<AugmixOp>(), Ok(op));
        }
        let message = "colour".parse::<AugmixOp>().unwrap_err().to_string();
        assert!(message.contains("\"colour\"") && message.contains("color, contrast"), "{message}");
    }

    #[test]
    fn arguments_have_the_published_scales() {
        let image = Rgb8::black(32, 64);
        let at =
            |name: &str, level, reverse| name.parse::<AugmixOp>().unwrap().argument(&image, level, reverse);
        assert_eq!([at("posterize", 5.0, true), at("posterize", 2.4, false)], [2.0, 0.0]);
        assert_eq!([at("rotate", 4.9, false), at("rotate", 4.9, true)], [14.0, -14.0]);
        assert_eq!(at("solarize", 5.0, true), 128.0);
        assert!((at("shear_x", 5.0, true) + 0.15).abs() < 1e-12);
        assert_eq!([at("translate_x", 4.9, false), at("translate_y", 4.9, true)], [5.0, -10.0]);
        assert!((at("color", 5.0, true) - 1.0).abs() < 1e-12);
        assert_eq!(at("rotate", 1e9, false), 30.0);
    }

    /// `testdata/README.md` tells how the vectors were made.
    #[test]
    fn operations_give_the_pixels_of_pillow() {
        let bytes =
            std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/augmix.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let image = |name: &str| {
            let tensor = tensors.tensor(name).unwrap();
            let &[height, width, 3] = tensor.shape() else { panic!("{name}: {:?}", tensor.shape()) };
            Rgb8::new(width, height, tensor.data().to_vec())
        };
        let mut seen = std::collections::BTreeSet::new();
        let mut failures = Vec::new();
        for name in tensors.names() {
            let mut parts = name.splitn(3, '.');
            let (Some(size), Some(op), Some(argument)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            let (op, mut out): (AugmixOp, Rgb8) = (op.parse().unwrap(), image(size));
            (op.0.apply)(&mut out, argument.parse().unwrap());
            let golden = image(name);
            if out != golden {
                let worst = out.data.iter().zip(&golden.data).map(|(a, b)| a.abs_diff(*b)).max();
                failures.push(format!("{name}: off by up to {worst:?}"));
            }
            seen.insert(op.name());
        }
        assert!(failures.is_empty(), "{failures:#?}");
        assert_eq!(seen.len(), ENTRIES.len());
    }
}
