//! How the values of flags are read: a value outside its range is refused by name before anything is read.

use std::ops::RangeInclusive;

use clap::builder::{PossibleValue, PossibleValuesParser, RangedU64ValueParser, TypedValueParser};

use super::Choice;
use crate::recipe::Recipe;

/// One of a type's values, by its name.
pub fn choice<T: Choice>() -> impl TypedValueParser<Value = T> {
    let value = |choice: &T| PossibleValue::new(choice.name()).help(choice.help().unwrap_or_default());
    let value = move |choice: &T| if choice.help().is_some() { value(choice) } else { choice.name().into() };
    PossibleValuesParser::new(T::CHOICES.iter().map(value)).map(|name| {
        let named = |choice: &&T| choice.name() == name;
        *T::CHOICES.iter().find(named).expect("the parser lets nothing else through")
    })
}

/// A count of images, steps or runs: from 1 up.
pub fn count() -> RangedU64ValueParser<usize> {
    within(1..=u64::from(u32::MAX))
}

/// Passes over data.
pub fn epochs() -> RangedU64ValueParser<usize> {
    within(1..=Recipe::MAX_EPOCHS as u64)
}

/// Images at a time.
pub fn batch() -> RangedU64ValueParser<usize> {
    within(1..=65_536)
}

/// Pixels a side of the control network's view.
pub fn view() -> RangedU64ValueParser<usize> {
    within(1..=VIEW)
}

/// The largest view: the control network's first layers hold a GB at it.
pub const VIEW: u64 = 2048;

/// A number within bounds.
pub fn within(range: RangeInclusive<u64>) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(range)
}

/// Three numbers separated by commas.
pub(crate) fn triple(text: &str) -> Result<[f32; 3], String> {
    let values: Result<Vec<f32>, _> = text.split(',').map(|v| v.trim().parse()).collect();
    values
        .ok()
        .and_then(|v| v.try_into().ok())
        .ok_or_else(|| "expected three numbers such as 0.5,0.5,0.5".into())
}

/// Two numbers of epochs separated by a comma.
pub(crate) fn two_epochs(text: &str) -> Result<[usize; 2], String> {
    let values: Option<Vec<usize>> = text.split(',').map(|v| v.trim().parse().ok()).collect();
    values
        .and_then(|v| v.try_into().ok())
        .filter(|v: &[usize; 2]| v.iter().all(|epochs| (1..=Recipe::MAX_EPOCHS).contains(epochs)))
        .ok_or_else(|| {
            format!("expected two numbers from 1 to {}, of URIE and of DynTTA", Recipe::MAX_EPOCHS)
        })
}
