use std::cell::Cell;
use std::sync::OnceLock;

/// The environment variable that caps the level.
const VARIABLE: &str = "DYNTTA_SIMD";

/// An instruction set, narrow ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Set {
    /// What the target guarantees (SSE2 on x86-64, NEON on AArch64), vectorised by the compiler.
    Portable,
    /// AVX2 and FMA: 16 registers of 8 floats.
    Avx2,
    /// AVX-512 F, BW, DQ and VL, with AVX2 and FMA: 32 registers of 16 floats.
    Avx512,
}

/// An instruction set that this processor has. Nothing but detection makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(Set);

impl Level {
    /// The level that every processor has.
    pub const PORTABLE: Self = Self(Set::Portable);

    /// Every level this processor has, `DYNTTA_SIMD` notwithstanding, worst first.
    pub fn available() -> &'static [Self] {
        const ALL: [Level; 3] = [Level(Set::Portable), Level(Set::Avx2), Level(Set::Avx512)];
        &ALL[..=detected().0 as usize]
    }

    /// Which instruction set it is.
    #[inline]
    pub fn set(self) -> Set {
        self.0
    }

    /// Runs `kernel`, compiled for this level.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512<K: Kernel>(kernel: K) -> K::Output {
                kernel.run()
            }
            #[target_feature(enable = "avx2,fma")]
            fn avx2<K: Kernel>(kernel: K) -> K::Output {
                kernel.run()
            }
            match self.0 {
                // SAFETY: a level is only made where the processor has its features.
                Set::Avx512 => return unsafe { avx512(kernel) },
                // SAFETY: as above.
                Set::Avx2 => return unsafe { avx2(kernel) },
                Set::Portable => {}
            }
        }
        kernel.run()
    }
}

/// Work to be compiled for each instruction set. `run` must be `#[inline(always)]`, and so must what it calls in loops.
pub trait Kernel {
    /// What it gives.
    type Output;
    /// Does it.
    fn run(self) -> Self::Output;
}

/// Runs `kernel` at the level of this thread, see [`level`].
#[inline]
pub fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    level().run(kernel)
}

fn detected() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        static FOUND: OnceLock<Level> = OnceLock::new();
        *FOUND.get_or_init(|| {
            let fma = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let wide = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            Level(match (fma, wide) {
                (true, true) => Set::Avx512,
                (true, false) => Set::Avx2,
                _ => Set::Portable,
            })
        })
    }
    #[cfg(not(target_arch = "x86_64"))]
    Level::PORTABLE
}

thread_local! {
    static FORCED: Cell<Option<Level>> = const { Cell::new(None) };
}

/// The level of what is called from this thread: the best the processor has, capped by `DYNTTA_SIMD`. A word there that names
/// no level caps nothing; [`check_environment`] finds it.
#[inline]
pub fn level() -> Level {
    static CAPPED: OnceLock<Level> = OnceLock::new();
    FORCED.with(Cell::get).unwrap_or_else(|| {
        *CAPPED.get_or_init(|| match cap() {
            Ok(Some(cap)) => Level(cap).min(detected()),
            Ok(None) | Err(_) => detected(),
        })
    })
}

/// Runs `f` with all that it calls from this thread held to `level`.
pub fn with_level<R>(level: Level, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<Level>);
    impl Drop for Restore {
        fn drop(&mut self) {
            FORCED.with(|c| c.set(self.0));
        }
    }
    let _restore = Restore(FORCED.with(|c| c.replace(Some(level))));
    f()
}

/// `DYNTTA_SIMD` holds a word that names no level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {VARIABLE}: expected portable, avx2 or avx512, found `{0}`")]
pub struct UnknownLevel(String);

/// Checks the environment variable `DYNTTA_SIMD`; a program calls it at its start.
///
/// # Errors
/// [`UnknownLevel`].
pub fn check_environment() -> Result<(), UnknownLevel> {
    cap().map(drop)
}

fn cap() -> Result<Option<Set>, UnknownLevel> {
    match std::env::var_os(VARIABLE) {
        None => Ok(None),
        Some(word) => parse(&word.to_string_lossy()),
    }
}

fn parse(word: &str) -> Result<Option<Set>, UnknownLevel> {
    match word {
        "" => Ok(None),
        "portable" => Ok(Some(Set::Portable)),
        "avx2" => Ok(Some(Set::Avx2)),
        "avx512" => Ok(Some(Set::Avx512)),
        other => Err(UnknownLevel(other.escape_debug().take(40).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sum<'a>(&'a [f32]);

    impl Kernel for Sum<'_> {
        type Output = f32;
        #[inline(always)]
        fn run(self) -> f32 {
            self.0.iter().fold(0.0, |sum, x| sum * 0.5 + x)
        }
    }

    #[test]
    fn every_level_gives_the_same() {
        let values: Vec<f32> = (0..100).map(|i| (i as f32).sin()).collect();
        let results: Vec<f32> = Level::available().iter().map(|l| l.run(Sum(&values))).collect();
        assert!(results.iter().all(|r| r.to_bits() == results[0].to_bits()), "{results:?}");
        assert_eq!(dispatch(Sum(&values)), results[0]);
    }

    #[test]
    fn a_thread_is_held_to_a_level_and_let_go() {
        let usual = level();
        with_level(Level::PORTABLE, || {
            assert_eq!(level(), Level::PORTABLE);
            assert_eq!(std::thread::spawn(level).join().unwrap(), usual);
        });
        assert_eq!(level(), usual);
    }

    #[test]
    fn words_that_name_no_level_are_errors() {
        assert_eq!(parse("avx2"), Ok(Some(Set::Avx2)));
        assert_eq!(parse(""), Ok(None));
        let error = parse("axv2\n").unwrap_err().to_string();
        assert!(error.ends_with("expected portable, avx2 or avx512, found `axv2\\n`"), "{error}");
    }
}
