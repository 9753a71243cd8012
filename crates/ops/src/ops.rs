//! The augmentations, one file each.
//!
//! Each file holds one op whole: name, factor, unit, neutral value, source, plain forward and backward, what it does in the
//! sweep over pixels, its form on tensors, tests. To add one, write a file like [`brightness`] and add a line to the list in this one: names, docs
//! table, conformance tests and the blend follow. An op without a part in the sweep is blended through its plain path.

use std::fmt;
use std::sync::Arc;

use crate::spectral::Radius;
use crate::sweep::{Folded, Needs, PerPixel, PerPlane, Seen, Shares, Strip, Strips, Swept};
use crate::tensors::{Form, Tensors};
use crate::{Magnitude, View};

/// A differentiable augmentation, the plain way: one image, one factor.
pub trait Op: fmt::Debug + Send + Sync {
    /// The name in banks, configs and policies.
    fn name(&self) -> &str;

    /// One line for people: what it does to an image.
    fn about(&self) -> &'static str;

    /// The formula.
    fn formula(&self) -> &'static str;

    /// Where the formula comes from.
    fn source(&self) -> &'static str;

    /// Factor, unit and neutral value; `None` for an op without magnitude.
    fn magnitude(&self) -> Option<Magnitude> {
        None
    }

    /// The factor of a raw network output; 0 for an op without magnitude.
    fn factor(&self, raw: f32) -> f32 {
        self.magnitude().map_or(0.0, |m| m.factor(raw))
    }

    /// d factor / d raw; 0 for an op without magnitude.
    fn d_factor_d_raw(&self, raw: f32) -> f32 {
        self.magnitude().map_or(0.0, |m| m.d_factor_d_raw(raw))
    }

    /// Writes the augmented image (CHW, as `image`) to `out`.
    ///
    /// # Panics
    /// If `out` is not as long as the image.
    fn forward(&self, image: View<'_>, factor: f32, out: &mut [f32]);

    /// From `g` = d loss / d output (CHW): returns d loss / d factor (0 without magnitude), and adds d loss / d image to
    /// `grad_image` if it is given.
    ///
    /// # Panics
    /// If a buffer is not as long as the image.
    fn backward(&self, image: View<'_>, factor: f32, g: &[f32], grad_image: Option<&mut [f32]>) -> f32;

    /// What the opposite of this op is, in a policy that goes from clean images towards a domain's.
    fn opposite(&self) -> Opposite {
        if self.magnitude().is_some() { Opposite::Factor } else { Opposite::Itself }
    }

    /// Which frequencies a radial filter keeps; `None` for any other op. All filters of a bank are one transform.
    fn keeps(&self) -> Option<Keeps> {
        None
    }
}

/// The opposite of an op.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Opposite {
    /// The op with its factor on the other side of the neutral one.
    Factor,
    /// The op itself.
    Itself,
    /// Less contrast about the mean.
    Fade,
    /// More or less strength in the band of frequencies above a radius.
    Band(Radius),
}

/// The frequencies that a radial filter keeps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Keeps {
    /// Radii up to this one.
    UpTo(Radius),
    /// Radii above this one.
    Above(Radius),
}

/// A family of filters, one for each radius.
pub trait RadialFilter: Op {
    /// The part of the name before the radius.
    const FAMILY: &'static str;

    /// The filter of `radius`.
    fn new(radius: Radius) -> Self;
}

/// One line of the list below.
pub(crate) struct Entry {
    /// The place in the published bank; `None` for an op that can be chosen but is not in it.
    pub published: Option<usize>,
    pub what: What,
}

/// What a line makes.
#[derive(Clone, Copy)]
pub(crate) enum What {
    /// One op, and its part in the sweep over pixels.
    Op(fn() -> Arc<dyn Op>, Option<Sweep>),
    /// Radial filters, one for each radius; the published bank has the radii 0.05, 0.10 .. 0.95.
    Filters(&'static str, fn(Radius) -> Arc<dyn Op>),
    /// The place of a network's image.
    Network(&'static str),
}

/// Declares the modules of the ops, the list of all of them, and the sweep over pixels with each op compiled into its loops.
macro_rules! augmentations {
    (
        network $network:literal = $network_place:literal;
        filters { $($filter_file:ident :: $filter:ident $(= $filter_place:literal)?),* $(,)? }
        folded { $($folded_file:ident :: $folded:ident $(= $folded_place:literal)?),* $(,)? }
        planes { $($plane_file:ident :: $plane:ident $(= $plane_place:literal)?),* $(,)? }
        pixels { $($pixel_file:ident :: $pixel:ident $(= $pixel_place:literal)?),* $(,)? }
        plain { $($plain_file:ident :: $plain:ident $(= $plain_place:literal)?),* $(,)? }
    ) => {
        $(pub mod $filter_file;)*
        $(pub mod $folded_file;)*
        $(pub mod $plane_file;)*
        $(pub mod $pixel_file;)*
        $(pub mod $plain_file;)*

        /// All of them, in no order that matters.
        pub(crate) const ALL: &[Entry] = &[
            Entry { published: Some($network_place), what: What::Network($network) },
            $(Entry {
                published: place!($($filter_place)?),
                what: What::Filters($filter_file::$filter::FAMILY, |r| Arc::new($filter_file::$filter::new(r))),
            },)*
            $(augmentations!(@op $folded_file $folded ($($folded_place)?) Some(Sweep::$folded)),)*
            $(augmentations!(@op $plane_file $plane ($($plane_place)?) Some(Sweep::$plane)),)*
            $(augmentations!(@op $pixel_file $pixel ($($pixel_place)?) Some(Sweep::$pixel)),)*
            $(augmentations!(@op $plain_file $plain ($($plain_place)?) None),)*
        ];

        /// The tensor form of the op called `name`; `None` for radial filters, which are one form together, and for the network.
        pub(crate) fn form<T: Tensors>(name: &str, t: &T, x: &T::Float, factor: &T::Float) -> Option<T::Float> {
            $(if $folded_file::$folded.name() == name {
                return Some($folded_file::$folded::form(t, x, factor));
            })*
            $(if $plane_file::$plane.name() == name {
                return Some($plane_file::$plane::form(t, x, factor));
            })*
            $(if $pixel_file::$pixel.name() == name {
                return Some($pixel_file::$pixel::form(t, x, factor));
            })*
            $(if $plain_file::$plain.name() == name {
                return Some($plain_file::$plain::form(t, x, factor));
            })*
            None
        }

        /// The ops of the sweep over pixels.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Sweep {
            $($folded,)* $($plane,)* $($pixel,)*
        }

        impl Sweep {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$folded,)* $(Self::$plane,)* $(Self::$pixel,)*];

            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// What the op asks for.
            pub fn needs(self) -> Needs {
                match self {
                    $(Self::$folded => $folded_file::$folded::NEEDS,)*
                    $(Self::$plane => $plane_file::$plane::NEEDS,)*
                    $(Self::$pixel => $pixel_file::$pixel::NEEDS,)*
                }
            }
        }

        /// For each op of the sweep that the bank has, its weight and what it prepared.
        pub(crate) struct Prepared {
            $($folded_file: Option<(f32, <$folded_file::$folded as Swept>::Prepared)>,)*
            $($plane_file: Option<(f32, <$plane_file::$plane as Swept>::Prepared)>,)*
            $($pixel_file: Option<(f32, <$pixel_file::$pixel as Swept>::Prepared)>,)*
        }

        impl Prepared {
            /// Prepares what `of` gives a weight and a factor for.
            pub fn new(seen: &Seen<'_>, of: impl Fn(Sweep) -> Option<(f32, f32)>) -> Self {
                Self {
                    $($folded_file: of(Sweep::$folded).map(|(w, f)| (w, $folded_file::$folded::prepare(seen, f))),)*
                    $($plane_file: of(Sweep::$plane).map(|(w, f)| (w, $plane_file::$plane::prepare(seen, f))),)*
                    $($pixel_file: of(Sweep::$pixel).map(|(w, f)| (w, $pixel_file::$pixel::prepare(seen, f))),)*
                }
            }

            /// The folded ops, added up.
            pub fn shares(&self) -> Shares {
                let mut shares = Shares::NONE;
                $(if let Some((weight, own)) = &self.$folded_file {
                    $folded_file::$folded::fold(own, *weight, &mut shares);
                })*
                shares
            }

            /// Adds the ops that work on one channel at a time, for channel `c`.
            #[inline(always)]
            pub fn forward_plane(&self, strips: &Strips<'_>, c: usize, acc: &mut Strip) {
                $(if let Some((weight, own)) = &self.$plane_file {
                    $plane_file::$plane::add(own, strips, c, *weight, acc);
                })*
            }

            /// Adds the ops that work on the three channels together.
            #[inline(always)]
            pub fn forward_pixels(&self, strips: &Strips<'_>, acc: &mut [Strip; 3]) {
                $(if let Some((weight, own)) = &self.$pixel_file {
                    $pixel_file::$pixel::add(own, strips, *weight, acc);
                })*
            }

            /// Adds, for each op that works on one channel at a time, g times its value to `value` and g times its slope to
            /// `slope`, for channel `c`.
            #[inline(always)]
            pub fn plane_gradients(
                &self,
                strips: &Strips<'_>,
                c: usize,
                g: &Strip,
                value: &mut [Strip],
                slope: &mut [Strip],
            ) {
                $(if let Some((_, own)) = &self.$folded_file {
                    $folded_file::$folded::add_gradients(own, strips, c, g, &mut value[Sweep::$folded as usize]);
                })*
                $(if let Some((_, own)) = &self.$plane_file {
                    let op = Sweep::$plane as usize;
                    $plane_file::$plane::add_gradients(own, strips, c, g, &mut value[op], &mut slope[op]);
                })*
            }

            /// The same for the ops that work on the three channels together.
            #[inline(always)]
            pub fn pixel_gradients(
                &self,
                strips: &Strips<'_>,
                g: &[Strip; 3],
                value: &mut [Strip],
                slope: &mut [Strip],
            ) {
                $(if let Some((_, own)) = &self.$pixel_file {
                    let op = Sweep::$pixel as usize;
                    $pixel_file::$pixel::add_gradients(own, strips, g, &mut value[op], &mut slope[op]);
                })*
            }
        }
    };
    (@op $file:ident $op:ident ($($place:literal)?) $sweep:expr) => {
        Entry { published: place!($($place)?), what: What::Op(|| Arc::new($file::$op), $sweep) }
    };
}

macro_rules! place {
    () => {
        None
    };
    ($place:literal) => {
        Some($place)
    };
}

// Every augmentation: its file, its type and, if it is in the published bank, its place there. A new one is a line in `plain`
// or, with a part in the sweep over pixels, in the list of its kind, whose order is that in which the shares are added.
augmentations! {
    network "urie" = 13;
    filters {
        low_pass::LowPass = 11,
        high_pass::HighPass = 12,
    }
    folded {
        identity::Identity,
        invert::Invert = 9,
        auto_contrast::AutoContrast = 6,
        equalize::Equalize = 8,
    }
    planes {
        contrast::Contrast = 3,
        brightness::Brightness = 5,
        gamma::Gamma = 10,
        sharpness::Sharpness = 4,
    }
    pixels {
        saturation::Saturation = 2,
        hue::Hue = 7,
        rotate::Rotate = 0,
        scale::Scale = 1,
    }
    plain {}
}

/// `out = f(image)` value by value.
fn pointwise_forward(image: View<'_>, out: &mut [f32], f: impl Fn(f32) -> f32) {
    assert_eq!(out.len(), image.data().len());
    for (out, &x) in out.iter_mut().zip(image.data()) {
        *out = f(x);
    }
}

/// The backward of a value by value op whose `slopes(x)` are (d out / d x, d out / d factor).
fn pointwise_backward(
    image: View<'_>,
    g: &[f32],
    mut grad_image: Option<&mut [f32]>,
    slopes: impl Fn(f32) -> (f32, f32),
) -> f32 {
    assert_eq!(g.len(), image.data().len());
    let mut sum = 0.0f64;
    for (i, (&x, &g)) in image.data().iter().zip(g).enumerate() {
        let (by_x, by_factor) = slopes(x);
        sum += f64::from(g * by_factor);
        if let Some(grad) = grad_image.as_deref_mut() {
            grad[i] += g * by_x;
        }
    }
    sum as f32
}

/// Clamps to `0..=1` and says whether the gradient passes: strictly inside only.
fn clamp01(x: f32) -> (f32, bool) {
    (x.clamp(0.0, 1.0), x > 0.0 && x < 1.0)
}
