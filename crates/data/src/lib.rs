//! Image classification data sets: layouts, decoding, prefetch.
