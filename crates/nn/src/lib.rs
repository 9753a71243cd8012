//! Networks of dyntta: control net, SK-UNet, DynTTA and frozen classifiers.
