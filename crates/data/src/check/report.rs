//! What a check found.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::{Error, LeftOut};

/// Broken files that are named; more are only counted.
const NAMED: usize = 1000;

/// What [`super::check`] found in a data set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Where it is.
    pub path: String,
    /// What it was recognised as.
    pub layout: &'static str,
    /// The class names, in the order of the labels.
    pub classes: Vec<String>,
    /// Its parts; one without a name unless the layout has several.
    pub parts: Vec<Part>,
    /// Files passed over because they are no images of it; hidden ones are not counted.
    pub ignored: u64,
    /// What was passed over, by kinds.
    pub left_out: LeftOut,
    /// The sizes of the images that could be decoded.
    pub sizes: Sizes,
    /// How many files are broken.
    pub broken_count: u64,
    /// The first 1000 of them by path.
    pub broken: Vec<Broken>,
    /// What else is wrong.
    pub problems: Vec<String>,
}

/// The images of a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// `train`, `test`, or corruption and severity: `fog 3`.
    pub name: String,
    /// Images, broken ones among them.
    pub images: u64,
    /// Images of each class, in the order of [`Report::classes`].
    pub by_class: Vec<u64>,
}

/// A file that cannot be read or decoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// The file.
    pub path: String,
    /// What is wrong; names the file too.
    pub error: String,
}

/// The sizes of images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// The least and the greatest width.
    pub width: Option<(usize, usize)>,
    /// The least and the greatest height.
    pub height: Option<(usize, usize)>,
    /// Images by their shorter side: by the largest power of two that is not above it.
    pub by_shorter_side: BTreeMap<usize, u64>,
}

impl Sizes {
    pub(super) fn add(&mut self, width: usize, height: usize) {
        let widen = |range: &mut Option<(usize, usize)>, v: usize| {
            *range = Some(range.map_or((v, v), |(low, high)| (low.min(v), high.max(v))));
        };
        widen(&mut self.width, width);
        widen(&mut self.height, height);
        *self.by_shorter_side.entry(1 << width.min(height).max(1).ilog2()).or_default() += 1;
    }
}

impl Report {
    pub(super) fn new(path: &Path, layout: &'static str, classes: Vec<String>) -> Self {
        Self {
            path: path.display().to_string(),
            layout,
            classes,
            parts: Vec::new(),
            ignored: 0,
            left_out: LeftOut::default(),
            sizes: Sizes::default(),
            broken_count: 0,
            broken: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Keeps the first by path, whatever order they come in.
    pub(super) fn add_broken(&mut self, path: String, error: &Error) {
        self.broken_count += 1;
        let at = self.broken.partition_point(|b| b.path < path);
        if at < NAMED {
            self.broken.insert(at, Broken { path, error: error.to_string() });
            self.broken.truncate(NAMED);
        }
    }

    /// Images, broken ones among them.
    pub fn images(&self) -> u64 {
        self.parts.iter().map(|part| part.images).sum()
    }

    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.broken_count == 0 && self.problems.is_empty()
    }
}
