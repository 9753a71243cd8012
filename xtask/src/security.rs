//! Holds docs/security.md to the constants.
