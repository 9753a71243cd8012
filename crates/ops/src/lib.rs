//! The bank of differentiable augmentations and its fused blend.
