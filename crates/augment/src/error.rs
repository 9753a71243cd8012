/// What can be wrong with the name of an augmentation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No operation of AugMix has this name.
    #[error("no operation of AugMix is called {name:?}; there are {known}")]
    UnknownAugmixOp {
        /// What was asked for.
        name: String,
        /// All operations' names, separated by commas.
        known: String,
    },
    /// No fixed augmentation has this name.
    #[error("no augmentation is called {name:?}; there are {known}")]
    UnknownFixed {
        /// What was asked for.
        name: String,
        /// All names, separated by commas.
        known: String,
    },
}
