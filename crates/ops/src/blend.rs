//! The blend: `y = clamp(sum of w_k a_k(x, factor_k), 0, 1)`, forward and backward.

mod form;
mod fused;
pub mod reference;

use crate::{Bank, Error, Shape, View, view};

pub use form::{factors, form};

/// Where [`backward`] writes gradients. All are overwritten.
#[derive(Debug)]
pub struct Gradients<'a> {
    /// d loss / d raw magnitude, `[N, K]`; 0 for slots without magnitude.
    pub raw: &'a mut [f32],
    /// d loss / d blend weight, `[N, K]`.
    pub weights: &'a mut [f32],
    /// d loss / d the network's image, `[N, 3, H, W]`; only with a network slot.
    pub network: Option<&'a mut [f32]>,
    /// d loss / d image, `[N, 3, H, W]`. Costs as much as all the rest: leave it out unless it is used.
    pub image: Option<&'a mut [f32]>,
}

/// The inputs of both directions, lengths checked.
#[derive(Clone, Copy)]
struct Inputs<'a> {
    bank: &'a Bank,
    shape: Shape,
    image: &'a [f32],
    raw: &'a [f32],
    weights: &'a [f32],
    network: Option<&'a [f32]>,
}

fn length(buffer: &'static str, layout: &'static str, expected: usize, found: usize) -> Result<(), Error> {
    if expected == found { Ok(()) } else { Err(Error::Length { buffer, layout, expected, found }) }
}

const BATCH: &str = "n * 3 * h * w";
const COLUMNS: &str = "n * bank length";

impl<'a> Inputs<'a> {
    fn new(
        bank: &'a Bank,
        shape: Shape,
        image: &'a [f32],
        raw: &'a [f32],
        weights: &'a [f32],
        network: Option<&'a [f32]>,
    ) -> Result<Self, Error> {
        let n = shape.n;
        shape.check()?;
        length("image", BATCH, shape.batch(), image.len())?;
        length("raw", COLUMNS, n * bank.len(), raw.len())?;
        length("weights", COLUMNS, n * bank.len(), weights.len())?;
        match (bank.network_slot(), network) {
            (Some(position), None) => return Err(Error::NetworkMissing { position, buffer: "network" }),
            (None, Some(_)) => return Err(Error::NetworkUnexpected { buffer: "network" }),
            (_, Some(network)) => length("network", BATCH, shape.batch(), network.len())?,
            (None, None) => {}
        }
        Ok(Self { bank, shape, image, raw, weights, network })
    }

    fn check_gradients(&self, out: &[f32], g: &[f32], grads: &Gradients<'_>) -> Result<(), Error> {
        let (batch, columns) = (self.shape.batch(), self.shape.n * self.bank.len());
        length("out", BATCH, batch, out.len())?;
        length("g", BATCH, batch, g.len())?;
        length("grads.raw", COLUMNS, columns, grads.raw.len())?;
        length("grads.weights", COLUMNS, columns, grads.weights.len())?;
        if let Some(network) = &grads.network {
            if self.bank.network_slot().is_none() {
                return Err(Error::NetworkUnexpected { buffer: "grads.network" });
            }
            length("grads.network", BATCH, batch, network.len())?;
        }
        if let Some(image) = &grads.image {
            length("grads.image", BATCH, batch, image.len())?;
        }
        Ok(())
    }
}

/// Blends a batch: writes `clamp(sum over k of w_k a_k(x, factor_k), 0, 1)` to `out`.
///
/// `image`, `out` and `network` (the network's images, which take the place of a_k in the bank's network slot; given if
/// and only if there is one) are `[N, 3, H, W]`; `raw` magnitudes and blend `weights` (usually a softmax) are `[N, K]`.
///
/// An image's result depends on its own row only, and not on the number of threads.
///
/// # Errors
/// [`Error::Length`], [`Error::NoPixels`], [`Error::TooLarge`], [`Error::NetworkMissing`], [`Error::NetworkUnexpected`].
pub fn forward(
    bank: &Bank,
    shape: Shape,
    image: &[f32],
    raw: &[f32],
    weights: &[f32],
    network: Option<&[f32]>,
    out: &mut [f32],
) -> Result<(), Error> {
    let inputs = Inputs::new(bank, shape, image, raw, weights, network)?;
    length("out", BATCH, shape.batch(), out.len())?;
    fused::forward(inputs, out);
    Ok(())
}

/// What the augmentation of slot `k` alone makes of one image at a raw magnitude, clamped to `0..=1`: bit for bit [`forward`]
/// with its weight 1 and all others 0, in the time of one op. `out` is `[3, H, W]`, as `image`.
///
/// # Errors
/// [`Error::Length`], [`Error::TooLarge`], and [`Error::NotAnOp`] for the network's place and beyond the end.
pub fn apply(bank: &Bank, k: usize, image: View<'_>, raw: f32, out: &mut [f32]) -> Result<(), Error> {
    view::check(image.height(), image.width())?;
    length("out", "3 * h * w", image.data().len(), out.len())?;
    if bank.op(k).is_none() {
        return Err(Error::NotAnOp { position: k, slots: bank.len() });
    }
    fused::apply(bank, k, image, raw, out);
    Ok(())
}

/// The gradients of [`forward`]: from `out` (what it wrote) and `g` = d loss / d `out`, both `[N, 3, H, W]`, fills `grads`.
///
/// The clamp passes the gradient strictly inside only: where `out` is 0 or 1 nothing passes. The sums over the pixels are
/// taken in a fixed order, so that the number of threads changes no bit.
///
/// # Errors
/// As [`forward`], for every buffer.
pub fn backward(
    bank: &Bank,
    shape: Shape,
    image: &[f32],
    raw: &[f32],
    weights: &[f32],
    network: Option<&[f32]>,
    out: &[f32],
    g: &[f32],
    grads: Gradients<'_>,
) -> Result<(), Error> {
    let inputs = Inputs::new(bank, shape, image, raw, weights, network)?;
    inputs.check_gradients(out, g, &grads)?;
    fused::backward(inputs, out, g, grads);
    Ok(())
}
