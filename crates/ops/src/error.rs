/// What can be wrong with a bank or with the buffers given to a blend.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A bank without any op.
    #[error("the bank is empty: name at least one augmentation, for example `identity`")]
    EmptyBank,
    /// A name that is not in the registry.
    #[error("bank position {position}: no augmentation is called `{name}`{hint}; there are {known}")]
    UnknownOp {
        /// The name as given.
        name: String,
        /// Its place in the list, from 0.
        position: usize,
        /// Either empty or `, did you mean ...?`.
        hint: String,
        /// Every name there is, families of filters abbreviated.
        known: String,
    },
    /// A radial filter whose radius is not a number strictly between 0 and 1.
    #[error(
        "bank position {position}: `{name}` needs a radius between 0 and 1, both excluded, \
         as in `{family}_0.25`; found `{radius}`"
    )]
    Radius {
        /// The name as given.
        name: String,
        /// The part before the radius.
        family: &'static str,
        /// The radius as given.
        radius: String,
        /// The name's place in the list, from 0.
        position: usize,
    },
    /// The same op twice.
    #[error("bank positions {first} and {second} both name `{name}`: each augmentation may occur once")]
    DuplicateOp {
        /// The name as the registry spells it.
        name: String,
        /// The first place, from 0.
        first: usize,
        /// The second place, from 0.
        second: usize,
    },
    /// More than one slot for a network's image.
    #[error("bank positions {first} and {second} are both network slots: a bank has at most one")]
    TwoNetworks {
        /// The first place, from 0.
        first: usize,
        /// The second place, from 0.
        second: usize,
    },
    /// An image without pixels.
    #[error("images of {h} x {w} pixels have no pixels")]
    NoPixels {
        /// Height.
        h: usize,
        /// Width.
        w: usize,
    },
    /// An image with too many pixels.
    #[error("images of {h} x {w} pixels are too large: the sides may be at most 2^28 and the pixels 2^30")]
    TooLarge {
        /// Height.
        h: usize,
        /// Width.
        w: usize,
    },
    /// A batch of more images than can be counted.
    #[error("{n} images of {h} x {w} pixels are more than any memory holds")]
    TooMany {
        /// Images.
        n: usize,
        /// Height.
        h: usize,
        /// Width.
        w: usize,
    },
    /// A buffer of the wrong length.
    #[error("`{buffer}` has {found} values, expected {expected} ({layout})")]
    Length {
        /// The argument.
        buffer: &'static str,
        /// How its length follows from the shape.
        layout: &'static str,
        /// The length that was needed.
        expected: usize,
        /// The length that was given.
        found: usize,
    },
    /// The bank has a network slot, and no image of the network was given.
    #[error("the bank has a network slot at position {position}, but `{buffer}` was not given")]
    NetworkMissing {
        /// The slot, from 0.
        position: usize,
        /// The argument.
        buffer: &'static str,
    },
    /// A slot that is no augmentation.
    #[error("bank position {position}: expected an augmentation, found {}", if position < slots { "the network's place" } else { "nothing" })]
    NotAnOp {
        /// The slot.
        position: usize,
        /// How many there are.
        slots: usize,
    },
    /// An image of the network was given to a bank without a network slot.
    #[error("`{buffer}` was given, but the bank has no network slot")]
    NetworkUnexpected {
        /// The argument.
        buffer: &'static str,
    },
}
