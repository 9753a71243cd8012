//! Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv 1708.07747): the demonstration's data set.

/// The classes, by label. `T-shirt/top` of the original is spelt without the slash, so that it can name a folder.
pub const CLASSES: [&str; 10] =
    ["T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];
