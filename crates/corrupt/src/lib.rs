//! The common-corruption suites, deterministic and fast.
