//! Training and evaluation of enhancers.
