use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use dyntta_image::Rgb8;
use dyntta_ops::spectral::Radius;

use crate::{Error, affine, bank, enhance, tables};

/// An operation as its line in the registry tells it.
struct Entry {
    name: &'static str,
    /// What a level of 0 to 10 means for an image, and whether the direction may be reversed.
    strength: Strength,
    apply: fn(&mut Rgb8, f64),
}

/// How a level becomes an operation's argument. The scales of the paper's operations are those of AugMix's published
/// experiments.
enum Strength {
    /// It has none.
    None,
    /// `level / 10` of this.
    Part(f64),
    /// [`Strength::Part`], in either direction.
    EitherWay(f64),
    /// [`Strength::Part`], towards zero to a whole number.
    Whole(f64),
    /// [`Strength::Whole`], in either direction.
    WholeEitherWay(f64),
    /// `level / 10` of this share of the side, towards zero to whole pixels, in either direction.
    Side(fn(&Rgb8) -> usize, f64),
    /// 0.1 and `level / 10` of 1.8: 1 changes nothing.
    Factor,
}

const fn entry(name: &'static str, strength: Strength, apply: fn(&mut Rgb8, f64)) -> Entry {
    Entry { name, strength, apply }
}

/// The operations of the paper, in the order of its list.
static PAPER: &[Entry] = &[
    entry("auto_contrast", Strength::None, tables::auto_contrast),
    entry("equalize", Strength::None, tables::equalize),
    entry("posterize", Strength::Whole(4.0), |image, dropped| tables::posterize(image, 4.0 - dropped)),
    entry("rotate", Strength::WholeEitherWay(30.0), affine::rotate),
    entry("solarize", Strength::Whole(256.0), |image, inverted| tables::solarize(image, 256.0 - inverted)),
    entry("shear_x", Strength::EitherWay(0.3), affine::shear_x),
    entry("shear_y", Strength::EitherWay(0.3), affine::shear_y),
    entry("translate_x", Strength::Side(|i| i.width(), 1.0 / 3.0), affine::translate_x),
    entry("translate_y", Strength::Side(|i| i.height(), 1.0 / 3.0), affine::translate_y),
    entry("color", Strength::Factor, enhance::color),
    entry("contrast", Strength::Factor, enhance::contrast),
    entry("brightness", Strength::Factor, enhance::brightness),
    entry("sharpness", Strength::Factor, enhance::sharpness),
];

/// What the enhancer's bank has and the paper has not.
static BANK: &[Entry] = &[
    entry("scale", Strength::EitherWay(1.0), bank::scale),
    entry("hue", Strength::EitherWay(1.0), bank::hue),
    entry("gamma", Strength::Factor, bank::gamma),
    entry("invert", Strength::None, bank::invert),
    entry("low_pass", Strength::Part(0.95), bank::low_pass),
    entry("high_pass", Strength::Part(0.95), bank::high_pass),
];

/// The operations that are families: with `_R` after the name, R the radius, they are filters of no strength.
const FILTERS: [&str; 2] = ["low_pass", "high_pass"];

/// One of AugMix's operations: a handle to copy and compare freely. Prints and parses as its name.
///
/// The paper's thirteen ([`AugmixOp::all`]) give Pillow's pixels: `ImageOps` and `ImageEnhance`, and its bilinear affine
/// transform with black outside. The others ([`AugmixOp::known`] has them all) are those of the enhancer's bank
/// ([`dyntta_ops`]) on levels divided by 255, clamped to `0..=1` as its blend is, times 255, rounded to nearest:
///
/// | name | at level L of 0 to 10 |
/// |---|---|
/// | `scale` | enlarges 1 ± 0.3·L/10 times |
/// | `hue` | turns the hue by ± 2·L/10 radians |
/// | `gamma` | the power 0.1 + 1.8·L/10, so that level 5 changes nothing |
/// | `invert` | every value taken from the largest |
/// | `low_pass` | keeps the frequencies up to the radius 1 - 0.95·L/10, to the nearest twentieth; all at radius 1 |
/// | `high_pass` | keeps those above the radius 0.95·L/10, to the nearest twentieth; all at radius 0 |
/// | `low_pass_R`, `high_pass_R` | the radius R, 0 < R < 1, at every level |
///
/// An image above a radius has values of both signs about 0, of which the clamp leaves the positive ones.
#[derive(Clone, Copy)]
pub struct AugmixOp {
    entry: &'static Entry,
    /// That of a filter, where it is fixed.
    radius: Option<Radius>,
}

impl AugmixOp {
    fn new(entry: &'static Entry) -> Self {
        Self { entry, radius: None }
    }

    /// The paper's thirteen.
    pub fn all() -> impl ExactSizeIterator<Item = Self> + Clone {
        PAPER.iter().map(Self::new)
    }

    /// All there are but for the filters of a fixed radius: the paper's, then those of the enhancer's bank.
    pub fn known() -> impl Iterator<Item = Self> + Clone {
        PAPER.iter().chain(BANK).map(Self::new)
    }

    /// What does here what the augmentation `name` does in the enhancer's bank: `color` for `saturation`, for any other the
    /// operation of the same name. None for `identity`, a network and what is in no bank.
    pub fn of_bank(name: &str) -> Option<Self> {
        match dyntta_ops::bank::op(name)?.name() {
            "saturation" => "color",
            same => same,
        }
        .parse()
        .ok()
    }

    /// The name, in snake case.
    pub fn name(self) -> Cow<'static, str> {
        match self.radius {
            None => self.entry.name.into(),
            Some(radius) => format!("{}_{radius}", self.entry.name).into(),
        }
    }

    /// Changes `image` at a level of 0 to 10 (brought into that range), the other way round if `reverse` and if there are
    /// two ways. The size is kept.
    pub fn apply(self, image: &mut Rgb8, level: f64, reverse: bool) {
        match self.radius {
            None => (self.entry.apply)(image, self.argument(image, level, reverse)),
            Some(_) => bank::filter(image, &self.name()),
        }
    }

    fn argument(self, image: &Rgb8, level: f64, reverse: bool) -> f64 {
        let tenths = level.clamp(0.0, 10.0) / 10.0;
        let sign = if reverse { -1.0 } else { 1.0 };
        match self.entry.strength {
            Strength::None => 0.0,
            Strength::Part(most) => tenths * most,
            Strength::EitherWay(most) => sign * tenths * most,
            Strength::Whole(most) => (tenths * most).trunc(),
            Strength::WholeEitherWay(most) => sign * (tenths * most).trunc(),
            Strength::Side(side, share) => sign * (tenths * side(image) as f64 * share).trunc(),
            Strength::Factor => tenths * 1.8 + 0.1,
        }
    }
}

impl PartialEq for AugmixOp {
    fn eq(&self, other: &Self) -> bool {
        self.entry.name == other.entry.name && self.radius == other.radius
    }
}

impl Eq for AugmixOp {}

impl fmt::Debug for AugmixOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AugmixOp({})", self.name())
    }
}

impl fmt::Display for AugmixOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name())
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
        let of_radius = |op: Self| {
            let radius = name.strip_prefix(op.entry.name)?.strip_prefix('_')?;
            Some(Self { radius: Some(Radius::parse(radius)?), ..op })
        };
        let filters = || Self::known().filter(|op| FILTERS.contains(&op.entry.name));
        Self::known().find(|op| op.entry.name == name).or_else(|| filters().find_map(of_radius)).ok_or_else(
            || {
                let known = Self::known().map(Self::name);
                let families = FILTERS.map(|family| format!("{family}_R (0 < R < 1)").into());
                Error::UnknownAugmixOp {
                    name: name.to_owned(),
                    known: known.chain(families).collect::<Vec<_>>().join(", "),
                }
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use dyntta_image::Stream;
    use dyntta_ops::View;
    use safetensors::SafeTensors;

    use super::*;

    #[test]
    fn names_are_unique_and_parse() {
        assert_eq!(AugmixOp::all().len(), 13);
        let fixed = ["low_pass_0.30", "low_pass_0.125", "high_pass_0.05"].map(|name| name.parse().unwrap());
        let ops: Vec<AugmixOp> = AugmixOp::known().chain(fixed).collect();
        for (i, op) in ops.iter().enumerate() {
            assert_eq!(op.to_string().parse::<AugmixOp>(), Ok(*op));
            assert!(!ops[..i].contains(op), "{op}");
        }
        assert_eq!("low_pass_.3".parse::<AugmixOp>(), Ok(fixed[0]));
        let message = "colour".parse::<AugmixOp>().unwrap_err().to_string();
        assert!(message.contains("\"colour\"") && message.contains("color, contrast"), "{message}");
        assert!(message.contains("high_pass_R (0 < R < 1)"), "{message}");
        for name in ["low_pass_0", "high_pass_1", "low_pass_", "low_pass_nan", "hue_0.5", "low_pass0.5", ""] {
            assert!(name.parse::<AugmixOp>().is_err(), "{name}");
        }
    }

    #[test]
    fn arguments_have_the_published_scales() {
        let image = Rgb8::black(32, 64).unwrap();
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
            Rgb8::new(width, height, tensor.data().to_vec()).unwrap()
        };
        let mut seen = std::collections::BTreeSet::new();
        let mut failures = Vec::new();
        for name in tensors.names() {
            let mut parts = name.splitn(3, '.');
            let (Some(size), Some(op), Some(argument)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            let (op, mut out): (AugmixOp, Rgb8) = (op.parse().unwrap(), image(size));
            (op.entry.apply)(&mut out, argument.parse().unwrap());
            let golden = image(name);
            if out != golden {
                let worst = out.data().iter().zip(golden.data()).map(|(a, b)| a.abs_diff(*b)).max();
                failures.push(format!("{name}: off by up to {worst:?}"));
            }
            seen.insert(op.name());
        }
        assert!(failures.is_empty(), "{failures:#?}");
        assert_eq!(seen.len(), PAPER.len());
    }

    fn noise(width: usize, height: usize) -> Rgb8 {
        let mut stream = Stream::new(5, &["operations"]);
        Rgb8::new(width, height, (0..width * height * 3).map(|_| stream.next_u32() as u8).collect()).unwrap()
    }

    /// Smooth waves.
    fn waves(size: usize) -> Rgb8 {
        let wave = |i: usize| {
            let (x, y, c) = ((i / 3 % size) as f64, (i / 3 / size) as f64, (i % 3) as f64);
            (128.0 + 60.0 * (0.2 * x + c).sin() + 60.0 * (0.3 * y).cos()) as u8
        };
        Rgb8::new(size, size, (0..size * size * 3).map(wave).collect()).unwrap()
    }

    fn greatest_difference(a: &Rgb8, b: &Rgb8) -> u8 {
        assert_eq!((a.width(), a.height()), (b.width(), b.height()));
        a.data().iter().zip(b.data()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
    }

    fn op(name: &str) -> AugmixOp {
        name.parse().unwrap()
    }

    fn applied(name: &str, image: &Rgb8, level: f64, reverse: bool) -> Rgb8 {
        let mut out = image.clone();
        op(name).apply(&mut out, level, reverse);
        out
    }

    /// The plain form of the bank's op at a factor.
    fn plain(name: &str, image: &Rgb8, factor: f64) -> Rgb8 {
        let (w, h, planar) = (image.width(), image.height(), image.to_planar());
        let mut out = vec![0.0; planar.len()];
        let op = dyntta_ops::bank::op(name).unwrap();
        op.forward(View::new(&planar, h, w).unwrap(), factor as f32, &mut out);
        Rgb8::from_planar(w, h, &out).unwrap()
    }

    const SIZES: [(usize, usize); 7] = [(1, 1), (1, 7), (6, 1), (2, 2), (31, 17), (32, 32), (150, 130)];

    #[test]
    fn operations_of_the_bank_are_its_plain_ops() {
        for (w, h) in SIZES {
            let image = noise(w, h);
            for level in [0.0, 0.3, 2.0, 5.0, 7.7, 10.0, 1e9] {
                let tenths = f64::min(level / 10.0, 1.0);
                for reverse in [false, true] {
                    let sign = if reverse { -1.0 } else { 1.0 };
                    let radius = |r: f64| (r * 20.0).round() as u32;
                    let (low, high) = (radius(1.0 - 0.95 * tenths), radius(0.95 * tenths));
                    let filter = |family: &str, i: u32, all: u32| match i == all {
                        true => image.clone(),
                        false => plain(&format!("{family}_{}", f64::from(i) / 20.0), &image, 0.0),
                    };
                    let expected = [
                        ("scale", plain("scale", &image, 1.0 + sign * 0.3 * tenths)),
                        ("hue", plain("hue", &image, sign * 2.0 * tenths)),
                        ("gamma", plain("gamma", &image, 0.1 + 1.8 * tenths)),
                        ("invert", plain("invert", &image, 0.0)),
                        ("low_pass", filter("low_pass", low, 20)),
                        ("high_pass", filter("high_pass", high, 0)),
                        ("low_pass_0.30", plain("low_pass_0.30", &image, 0.0)),
                        ("low_pass_0.123", plain("low_pass_0.123", &image, 0.0)),
                        ("high_pass_0.05", plain("high_pass_0.05", &image, 0.0)),
                    ];
                    for (name, expected) in expected {
                        let out = applied(name, &image, level, reverse);
                        let difference = greatest_difference(&out, &expected);
                        // A value between two levels may go to either.
                        assert!(difference <= 1, "{name} {w}x{h} at {level}, {reverse}: {difference}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_neutral_level_changes_nothing() {
        let neutral = [("scale", 0.0), ("hue", 0.0), ("gamma", 5.0), ("low_pass", 0.0), ("high_pass", 0.0)];
        for (w, h) in SIZES {
            let image = noise(w, h);
            for (name, level) in neutral {
                for reverse in [false, true] {
                    assert_eq!(applied(name, &image, level, reverse), image, "{name} {w}x{h}");
                }
            }
        }
    }

    #[test]
    fn a_higher_level_is_stronger() {
        let rising = |name: &str, image: &Rgb8, measure: &dyn Fn(&Rgb8) -> f64| {
            let measures = (0..=10).map(|level| measure(&applied(name, image, f64::from(level), false)));
            let measures: Vec<f64> = measures.collect();
            assert!(measures.windows(2).all(|m| m[0] < m[1]), "{name}: {measures:?}");
        };
        let change = |a: &Rgb8, b: &Rgb8| {
            let squares = a.data().iter().zip(b.data()).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2));
            squares.sum::<u64>() as f64
        };
        // Noise has all frequencies.
        let (smooth, noise) = (waves(64), noise(64, 64));
        for name in ["scale", "hue"] {
            rising(name, &smooth, &|out| change(out, &smooth));
        }
        for name in ["low_pass", "high_pass"] {
            rising(name, &noise, &|out| change(out, &noise));
        }
        rising("gamma", &smooth, &|out| -out.data().iter().map(|&v| f64::from(v)).sum::<f64>());
    }

    #[test]
    fn no_level_panics_and_every_size_is_kept() {
        let fixed = ["low_pass_0.99", "high_pass_0.001"].map(op);
        for op in AugmixOp::known().chain(fixed) {
            for level in [f64::NEG_INFINITY, -3.0, 0.1, 9.99, 1e300, f64::NAN] {
                for (w, h) in SIZES {
                    let mut out = noise(w, h);
                    op.apply(&mut out, level, true);
                    assert_eq!((out.width(), out.height(), out.data().len()), (w, h, w * h * 3), "{op}");
                }
            }
        }
    }

    #[test]
    fn names_of_the_bank_find_their_operations() {
        for name in dyntta_ops::bank::known_names() {
            let found = AugmixOp::of_bank(&name).map(|op| op.to_string());
            let expected = match name.as_str() {
                "urie" | "identity" => None,
                "saturation" => Some("color".to_owned()),
                _ => Some(name.clone()),
            };
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(AugmixOp::of_bank("low_pass_0.1"), Some(op("low_pass_0.10")));
        for name in ["color", "low_pass", "low_pass_1", "", "nothing"] {
            assert_eq!(AugmixOp::of_bank(name), None, "{name}");
        }
    }
}
