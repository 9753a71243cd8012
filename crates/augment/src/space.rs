//! What RandAugment and TrivialAugment draw from: fourteen operations, each with magnitudes in a number of bins. Operations,
//! magnitudes and pixels are those of torchvision's transforms of these names, on PIL images: moved pixels are the nearest
//! ones, and black where the image does not reach.

use dyntta_image::{Rgb8, Stream};

use crate::{affine, enhance, tables};

/// An operation as its line in [`operations`] tells it.
pub(crate) struct Operation {
    pub name: &'static str,
    magnitudes: Magnitudes,
    apply: fn(&mut Rgb8, f64),
}

/// The magnitudes from the first bin to the last.
#[derive(Clone, Copy)]
pub(crate) enum Magnitudes {
    /// There are none.
    None,
    /// Evenly from 0 to this, in either direction.
    EitherWay(f64),
    /// Evenly from 0 to this share of the side, in either direction.
    Side(fn(&Rgb8) -> usize, f64),
    /// From 8 evenly to this many bits fewer, to whole ones, halves to even.
    Bits(f64),
    /// Evenly from 255 to 0.
    Threshold,
}

const fn op(name: &'static str, magnitudes: Magnitudes, apply: fn(&mut Rgb8, f64)) -> Operation {
    Operation { name, magnitudes, apply }
}

/// The fourteen with their greatest magnitudes: a slope, pixels, degrees, a change of a factor from 1, bits.
pub(crate) const fn operations(
    shear: f64,
    [translate_x, translate_y]: [Magnitudes; 2],
    rotate: f64,
    enhance: f64,
    posterize: f64,
) -> [Operation; 14] {
    use Magnitudes::{Bits, EitherWay, None, Threshold};
    [
        op("identity", None, |_, _| {}),
        op("shear_x", EitherWay(shear), |image, m| affine::nearest(image, [1.0, m, 0.0, 0.0, 1.0, 0.0])),
        op("shear_y", EitherWay(shear), |image, m| affine::nearest(image, [1.0, 0.0, 0.0, m, 1.0, 0.0])),
        op("translate_x", translate_x, |image, m| {
            affine::nearest(image, [1.0, 0.0, -m.trunc(), 0.0, 1.0, 0.0]);
        }),
        op("translate_y", translate_y, |image, m| {
            affine::nearest(image, [1.0, 0.0, 0.0, 0.0, 1.0, -m.trunc()]);
        }),
        op("rotate", EitherWay(rotate), |image, m| affine::nearest(image, affine::rotation(image, m))),
        op("brightness", EitherWay(enhance), |image, m| enhance::brightness(image, 1.0 + m)),
        op("color", EitherWay(enhance), |image, m| enhance::color(image, 1.0 + m)),
        op("contrast", EitherWay(enhance), |image, m| enhance::contrast(image, 1.0 + m)),
        op("sharpness", EitherWay(enhance), |image, m| enhance::sharpness(image, 1.0 + m)),
        op("posterize", Bits(posterize), tables::posterize),
        op("solarize", Threshold, tables::solarize),
        op("auto_contrast", None, tables::auto_contrast),
        op("equalize", None, tables::equalize),
    ]
}

impl Operation {
    fn has_directions(&self) -> bool {
        matches!(self.magnitudes, Magnitudes::EitherWay(_) | Magnitudes::Side(..))
    }

    /// The magnitude of bin number `bin`, 0 to `bins - 1` (brought into that range), in the forward direction.
    fn magnitude(&self, image: &Rgb8, bin: usize, bins: usize) -> f64 {
        match self.magnitudes {
            Magnitudes::None => 0.0,
            Magnitudes::EitherWay(most) => evenly(0.0, most, bin, bins),
            Magnitudes::Side(side, share) => evenly(0.0, share * side(image) as f64, bin, bins),
            Magnitudes::Bits(most) => 8.0 - evenly_rounded(most, bin, bins),
            Magnitudes::Threshold => evenly(255.0, 0.0, bin, bins),
        }
    }
}

/// In single precision and from either end, as the portable form of torch's `linspace` has it. (Its vectorised forms round a
/// few bins the other way, and so they take a pixel from a translation by 16 in TrivialAugment.)
fn evenly(from: f64, to: f64, bin: usize, bins: usize) -> f64 {
    let (from, to) = (from as f32, to as f32);
    let last = bins.saturating_sub(1);
    if last == 0 {
        return from.into();
    }
    let bin = bin.min(last);
    let step = (to - from) / last as f32;
    f64::from(if bin < bins / 2 { from + step * bin as f32 } else { to - step * (last - bin) as f32 })
}

/// From 0 to `most`, rounded.
fn evenly_rounded(most: f64, bin: usize, bins: usize) -> f64 {
    let last = bins.saturating_sub(1);
    if last == 0 {
        return 0.0;
    }
    let part = bin.min(last) as f32 / (last as f64 / most) as f32;
    part.round_ties_even().into()
}

/// An operation, its bin and its direction.
pub(crate) struct Draw {
    pub op: &'static Operation,
    pub bin: usize,
    pub reverse: bool,
}

impl Draw {
    /// One of the operations, all equally likely, in either direction where it has two.
    pub fn new(operations: &'static [Operation], bin: usize, stream: &mut Stream) -> Self {
        let op = &operations[stream.below(operations.len())];
        Self { op, bin, reverse: op.has_directions() && stream.below(2) == 1 }
    }

    pub fn apply(&self, image: &mut Rgb8, bins: usize) {
        let magnitude = self.op.magnitude(image, self.bin, bins);
        (self.op.apply)(image, if self.reverse { -magnitude } else { magnitude });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use safetensors::{Dtype, SafeTensors};

    use super::*;
    use crate::{randaugment, trivialaugment};

    /// `testdata/README.md` tells how the vectors were made.
    fn vectors() -> Vec<u8> {
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/torchvision.safetensors")).unwrap()
    }

    fn image(tensors: &SafeTensors, name: &str) -> Rgb8 {
        let tensor = tensors.tensor(name).unwrap();
        let &[height, width, 3] = tensor.shape() else { panic!("{name}: {:?}", tensor.shape()) };
        Rgb8::new(width, height, tensor.data().to_vec()).unwrap()
    }

    fn policies() -> [(&'static str, &'static [Operation]); 2] {
        [("randaugment", &randaugment::OPERATIONS), ("trivialaugment", &trivialaugment::OPERATIONS)]
    }

    fn find(policy: &str, op: &str) -> &'static Operation {
        let (_, operations) = policies().into_iter().find(|(name, _)| *name == policy).unwrap();
        operations.iter().find(|o| o.name == op).unwrap()
    }

    #[test]
    fn operations_give_the_pixels_of_torchvision() {
        let bytes = vectors();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let (mut seen, mut failures) = (BTreeSet::new(), Vec::new());
        for name in tensors.names() {
            let [size, policy, op, bin, sign] = name.split('.').collect::<Vec<_>>()[..] else { continue };
            let mut out = image(&tensors, size);
            let op = find(policy, op);
            Draw { op, bin: bin.parse().unwrap(), reverse: sign == "-" }.apply(&mut out, 31);
            let golden = image(&tensors, name);
            if out != golden {
                let wrong = out.data().iter().zip(golden.data()).filter(|(a, b)| a != b).count();
                failures.push(format!("{name}: {wrong} values differ"));
            }
            seen.insert((size, policy, op.name, sign == "-"));
        }
        assert!(failures.is_empty(), "{failures:#?}");
        // Of fourteen operations nine have two directions.
        assert_eq!(seen.len(), 2 * 2 * (14 + 9));
    }

    #[test]
    fn magnitudes_are_those_of_torchvision() {
        let bytes = vectors();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let mut seen = 0;
        for name in tensors.names() {
            let [policy, op, size, bins] = name.split('.').collect::<Vec<_>>()[..] else { continue };
            let (image, bins) = (image(&tensors, size), bins.parse().unwrap());
            let tensor = tensors.tensor(name).unwrap();
            assert_eq!((tensor.dtype(), tensor.shape()), (Dtype::F32, &[bins][..]));
            for (bin, value) in tensor.data().as_chunks::<4>().0.iter().enumerate() {
                let magnitude = find(policy, op).magnitude(&image, bin, bins);
                assert_eq!(magnitude, f64::from(f32::from_le_bytes(*value)), "{name} {bin}");
            }
            seen += 1;
        }
        // Eleven operations have magnitudes.
        assert_eq!(seen, 2 * 11 * 2 * 5);
    }

    #[test]
    fn no_bin_panics_and_every_size_is_kept() {
        for (_, operations) in policies() {
            for op in operations {
                for (bin, bins) in
                    [(0, 0), (3, 0), (0, 1), (0, 2), (1, 2), (99, 31), (usize::MAX, usize::MAX)]
                {
                    for (w, h) in [(1, 1), (1, 7), (6, 1), (2, 2), (31, 17)] {
                        for reverse in [false, true] {
                            let mut out =
                                Rgb8::new(w, h, (0..w * h * 3).map(|i| (i * 7) as u8).collect()).unwrap();
                            Draw { op, bin, reverse }.apply(&mut out, bins);
                            assert_eq!(
                                (out.width(), out.height(), out.data().len()),
                                (w, h, w * h * 3),
                                "{}",
                                op.name
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_first_bin_changes_nothing() {
        let image = Rgb8::new(31, 17, (0..31 * 17 * 3).map(|i| (i * 37 % 251) as u8).collect()).unwrap();
        for (_, operations) in policies() {
            for op in operations {
                let mut out = image.clone();
                Draw { op, bin: 0, reverse: false }.apply(&mut out, 31);
                // Those that have no magnitude, and no level is 255.
                let changes = ["auto_contrast", "equalize"].contains(&op.name);
                assert_eq!(out != image, changes, "{}", op.name);
            }
        }
    }
}
