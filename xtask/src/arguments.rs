//! Flags and their values.

use std::str::FromStr;

use anyhow::{Context, Result, bail};

use crate::USAGE;

/// Hands each flag with its value to `set`, which says whether it knows the flag.
pub fn each(
    mut args: impl Iterator<Item = String>,
    mut set: impl FnMut(&str, &str) -> Result<bool>,
) -> Result<()> {
    while let Some(flag) = args.next() {
        let value = args.next().with_context(|| format!("{flag} wants a value\n\n{USAGE}"))?;
        if !set(&flag, &value)? {
            bail!("unknown flag {flag}\n\n{USAGE}");
        }
    }
    Ok(())
}

/// A value of a flag.
pub fn value<T: FromStr>(flag: &str, text: &str) -> Result<T> {
    text.parse().ok().with_context(|| format!("{flag}: expected a number, found {text}"))
}

/// A seed that is another every time.
pub fn seed_of_the_time() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_nanos() as u64)
}
