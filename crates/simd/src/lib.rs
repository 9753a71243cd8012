//! Vector instructions chosen at run time, in one place for all crates.
//!
//! A [`Level`] is a proof: only detection makes one, so whoever holds it may run code compiled for its instruction set. The
//! best level is found once and capped by the environment variable `DYNTTA_SIMD` (`portable`, `avx2` or `avx512`); a test
//! holds the calls of its thread to another with [`with_level`].
//!
//! There are three ways to use it:
//! - [`multiversion!`] and [`simd!`] compile a function of plain safe Rust once for each instruction set;
//! - [`Level::run`] and [`dispatch`] do the same for a [`Kernel`], a value with a method, which may be generic;
//! - [`Simd`] is the register of one instruction set, for kernels written in vectors; [`Level::set`] says which are allowed.
//!
//! No compiler fuses a multiplication with an addition on its own, so the first two round alike on every processor and give
//! the same bits. [`Simd::fma`] rounds once where there is such an instruction.

mod level;
pub mod math;
mod multiversion;
mod register;

pub use level::{Kernel, Level, Set, UnknownLevel, check_environment, dispatch, level, with_level};
#[cfg(target_arch = "x86_64")]
pub use register::{Avx2, Avx512};
pub use register::{Portable, Scalar, Simd};
