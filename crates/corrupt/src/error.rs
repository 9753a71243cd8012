/// What can be wrong with a corruption's name, preset, severity or textures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No corruption or suite has this name.
    #[error(
        "no corruption or suite is called {name:?}{}; there are the suites common15, extra4, all19 and the corruptions {known}",
        suggestion.as_ref().map(|s| format!(" (did you mean {s}?)")).unwrap_or_default()
    )]
    UnknownCorruption {
        /// What was asked for.
        name: String,
        /// The nearest name, if one is near.
        suggestion: Option<String>,
        /// All corruptions' names, separated by commas.
        known: String,
    },
    /// A list of corruptions names none.
    #[error(
        "the list of corruptions is empty; name a suite (common15, extra4, all19) or corruptions: {known}"
    )]
    EmptySuite {
        /// All corruptions' names, separated by commas.
        known: String,
    },
    /// No preset has this name.
    #[error("no preset is called {name:?}; there are imagenet (made for 224 px) and cifar (made for 32 px)")]
    UnknownPreset {
        /// What was asked for.
        name: String,
    },
    /// Severities are whole numbers from 1 to 5.
    #[error("a severity is a whole number from 1 to 5, not {found:?}")]
    Severity {
        /// What was asked for.
        found: String,
    },
    /// A set of frost textures needs at least one.
    #[error("the set of frost textures is empty; give at least one image")]
    NoFrostTextures,
}
