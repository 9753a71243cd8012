//! The blend on tensors: see [`crate::tensors`].

use crate::ops;
use crate::tensors::Tensors;
use crate::{Bank, Slot};

/// The factor of each slot from the raw magnitudes `[n, 1, 1, K]`: `[n, 1, 1, 1]` each, `None` for a slot without magnitude.
pub fn factors<T: Tensors>(t: &T, bank: &Bank, raw: &T::Float) -> Vec<Option<T::Float>> {
    let columns = t.columns(raw, bank.len());
    let magnitude = |slot: &Slot| slot.op().and_then(|op| op.magnitude());
    bank.slots().iter().zip(columns).map(|(slot, raw)| Some(magnitude(slot)?.form(t, &raw))).collect()
}

/// [`super::forward`] on tensors: the images `[n, 3, h, w]` of `x`, of the same shape in `0..=1`, the `factors` that
/// [`factors`] gives, the blend `weights` `[n, 1, 1, K]` and, with a network slot, the network's images. The sum is clamped.
///
/// # Panics
/// If there is a network's slot and no image for it, or factors for another number of slots.
pub fn form<T: Tensors>(
    t: &T,
    bank: &Bank,
    x: &T::Float,
    factors: &[Option<T::Float>],
    weights: &T::Float,
    network: Option<&T::Float>,
) -> T::Float {
    assert_eq!(factors.len(), bank.len(), "factors of another bank");
    let columns = t.columns(weights, bank.len());
    let none = t.number(0.0);
    let mut sum = (!bank.filters.is_empty()).then(|| bank.filters.form(t, x, weights, bank.len()));
    for ((slot, weight), factor) in bank.slots().iter().zip(&columns).zip(factors) {
        let augmented = match slot {
            Slot::Op(op) if op.keeps().is_some() => continue,
            Slot::Op(op) => ops::form(op.name(), t, x, factor.as_ref().unwrap_or(&none))
                .expect("every op of the registry that is no filter has a form"),
            Slot::Network(_) => network.expect("the image of the bank's network").clone(),
        };
        let share = t.mul(weight, &augmented);
        sum = Some(match sum {
            Some(sum) => t.add(&sum, &share),
            None => share,
        });
    }
    t.clamp01(&sum.expect("a bank is never empty"))
}
