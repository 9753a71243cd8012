//! Robustness for a frozen image classifier: dynamic test-time augmentation.
