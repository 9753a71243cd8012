//! CPU convolution and its companions, forward and backward.
