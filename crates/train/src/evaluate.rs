//! Accuracy of a classifier behind any number of enhancers, on clean and corrupted images.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;
use dyntta_corrupt::{Corruption, Severity};
use dyntta_data::{CorruptedPart, CorruptedSet, Dataset};
use dyntta_nn::{Classifier, Enhancer, Mode};

use crate::control::{Progress, Stop};
use crate::error::Error;
use crate::fit::count_hits;
use crate::images::{Geometry, eval_batches, images};

/// Where corrupted images come from.
pub enum Corrupted {
    /// Made on the fly from clean ones.
    Suite {
        /// The clean images.
        base: Dataset,
        /// Which corruptions.
        corruptions: Vec<Corruption>,
        /// At which severities.
        severities: Vec<Severity>,
        /// Names the random streams.
        seed: u64,
    },
    /// Read from a set on disk.
    Set(CorruptedSet),
}

/// What to evaluate on.
pub struct Plan {
    /// The clean images, if wanted.
    pub clean: Option<Dataset>,
    /// The corrupted images, if wanted.
    pub corrupted: Option<Corrupted>,
    /// How images are brought to size.
    pub geometry: Geometry,
    /// Images a batch.
    pub batch_size: usize,
}

/// How many images of a set were classified right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Right ones.
    pub hits: usize,
    /// All.
    pub n: usize,
}

impl Score {
    /// The share of right ones.
    pub fn accuracy(self) -> f64 {
        self.hits as f64 / self.n.max(1) as f64
    }
}

/// The scores of one enhancer: clean, and by corruption and severity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// On the clean images.
    pub clean: Option<Score>,
    /// On the corrupted images; corruptions in the order of the plan.
    pub corrupted: Vec<(String, BTreeMap<u8, Score>)>,
}

impl Scores {
    /// Mean accuracy over the cells of these corruptions; `None` without any.
    pub fn mean(&self, member: impl Fn(&str) -> bool) -> Option<f64> {
        let cells: Vec<f64> = self
            .corrupted
            .iter()
            .filter(|(name, _)| member(name))
            .flat_map(|(_, by_severity)| by_severity.values().map(|s| s.accuracy()))
            .collect();
        (!cells.is_empty()).then(|| cells.iter().sum::<f64>() / cells.len() as f64)
    }
}

/// What an evaluation measured.
pub struct Evaluation {
    /// The scores, in the order of the enhancers.
    pub scores: Vec<Scores>,
    /// How many images each enhancer saw.
    pub images: usize,
    /// Seconds that the networks took, in the order of the enhancers, classifier included.
    pub seconds: Vec<f64>,
}

struct Cell {
    images: Source,
    corruption: Option<(Corruption, Severity)>,
    name: Option<(String, u8)>,
}

enum Source {
    Set(Arc<Dataset>),
    /// Listed when its turn comes.
    Part(CorruptedPart),
}

impl Source {
    fn open(&self) -> Result<Arc<Dataset>, Error> {
        Ok(match self {
            Self::Set(set) => set.clone(),
            Self::Part(part) => Arc::new(part.open()?),
        })
    }
}

/// Evaluates the classifier behind each enhancer (`None`: alone) on the same images.
///
/// The result does not depend on the batch size or the number of threads beyond rounding.
///
/// # Errors
/// An unreadable image or a request to stop.
pub fn evaluate(
    classifier: &Classifier,
    enhancers: &[Option<&Enhancer>],
    plan: Plan,
    device: &Device,
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<Evaluation, Error> {
    let geometry = plan.geometry;
    let (cells, seed) = cells(plan.clean, plan.corrupted);
    let batch_size = plan.batch_size.max(1);
    progress.begin("evaluating", count(&cells)? as u64, 0);
    let start = |c: usize| -> Result<_, Error> {
        let Some(cell) = cells.get(c) else { return Ok(None) };
        let batches = eval_batches(cell.images.open()?, geometry, cell.corruption, seed, batch_size);
        Ok(Some(batches))
    };
    let mut hits = vec![vec![Score::default(); cells.len()]; enhancers.len()];
    let mut seconds = vec![0.0; enhancers.len()];
    let mut done = 0;
    let mut next = start(0)?;
    for (c, cell) in cells.iter().enumerate() {
        let batches = next.expect("a cell has batches");
        // The next cell's images are made while this one's are looked at.
        next = start(c + 1)?;
        let note =
            cell.name.as_ref().map_or("clean".to_owned(), |(name, severity)| format!("{name} {severity}"));
        for batch in batches {
            stop.check()?;
            let batch = batch?;
            if batch.is_empty() {
                continue; // all its files are broken and skipped
            }
            for (e, enhancer) in enhancers.iter().enumerate() {
                let started = Instant::now();
                let images = images(&batch, device);
                let images = match enhancer {
                    Some(enhancer) => enhancer.forward(images, Mode::Eval),
                    None => images,
                };
                hits[e][c].hits += count_hits(classifier.forward(images), &batch.labels);
                hits[e][c].n += batch.len();
                seconds[e] += started.elapsed().as_secs_f64();
            }
            done += batch.len();
            progress.update(done as u64, &note);
        }
        if hits.iter().any(|row| row[c].n == 0) {
            return Err(Error::setting("on-error", "an image that can be read", format!("none of {note}")));
        }
    }
    progress.end("");
    let scores = hits.iter().map(|row| collect(&cells, row)).collect();
    Ok(Evaluation { scores, images: done, seconds })
}

/// How many images there are, where they are not listed yet by the first part of theirs.
fn count(cells: &[Cell]) -> Result<usize, Error> {
    let (mut total, mut of_a_part) = (0, None);
    for cell in cells {
        total += match &cell.images {
            Source::Set(set) => set.len(),
            Source::Part(part) => match of_a_part {
                Some(n) => n,
                None => *of_a_part.insert(part.open()?.len()),
            },
        };
    }
    Ok(total)
}

fn cells(clean: Option<Dataset>, corrupted: Option<Corrupted>) -> (Vec<Cell>, u64) {
    let mut cells = Vec::new();
    let mut stream_seed = 0;
    if let Some(data) = clean {
        cells.push(Cell { images: Source::Set(Arc::new(data)), corruption: None, name: None });
    }
    match corrupted {
        Some(Corrupted::Suite { base, corruptions, severities, seed }) => {
            stream_seed = seed;
            let data = Arc::new(base);
            for corruption in corruptions {
                for &severity in &severities {
                    cells.push(Cell {
                        images: Source::Set(data.clone()),
                        corruption: Some((corruption, severity)),
                        name: Some((corruption.name().to_owned(), severity.get())),
                    });
                }
            }
        }
        Some(Corrupted::Set(set)) => {
            for part in set.parts {
                let name = Some((part.corruption.clone(), part.severity));
                cells.push(Cell { images: Source::Part(part), corruption: None, name });
            }
        }
        None => {}
    }
    (cells, stream_seed)
}

fn collect(cells: &[Cell], row: &[Score]) -> Scores {
    let mut scores = Scores::default();
    for (cell, score) in cells.iter().zip(row) {
        match &cell.name {
            None => scores.clean = Some(*score),
            Some((corruption, severity)) => {
                let found = scores.corrupted.iter().position(|(name, _)| name == corruption);
                let at = found.unwrap_or_else(|| {
                    scores.corrupted.push((corruption.clone(), BTreeMap::new()));
                    scores.corrupted.len() - 1
                });
                scores.corrupted[at].1.insert(*severity, *score);
            }
        }
    }
    scores
}
