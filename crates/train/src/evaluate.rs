//! Accuracy of a classifier alone, behind enhancers and by the baselines, on clean and corrupted images.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use dyntta_corrupt::{Corruption, Severity, corrupt};
use dyntta_data::{CorruptedPart, CorruptedSet, Dataset, LeftOut};
use dyntta_image::{Rgb8, Stream};
use dyntta_nn::{Classifier, Enhancer, Mode};
use serde::{Deserialize, Serialize};

use crate::baselines::{Baseline, Predictor, Settings};
use crate::control::{Progress, Stop};
use crate::error::Error;
use crate::images::{Geometry, eval_batches, images};
use crate::scores::{check_weights, count_hits};

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// The scores of one contender: clean, and by corruption and severity.
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
    /// The scores, in the order of the contenders.
    pub scores: Vec<Scores>,
    /// How many images each contender saw.
    pub images: usize,
    /// Seconds that the networks took, in the order of the contenders, classifier included.
    pub seconds: Vec<f64>,
}

/// What is put to the test: a way to use the classifier.
#[derive(Clone, Copy)]
pub enum Contender<'a> {
    /// The classifier as it is.
    Alone,
    /// Behind an enhancer.
    Enhanced(&'a Enhancer),
    /// As a baseline does it.
    Baseline(&'static Baseline),
}

impl Contender<'_> {
    /// Whose scores they are, for a message.
    fn scores(&self) -> String {
        match self {
            Self::Alone => "the classifier's scores".to_owned(),
            Self::Enhanced(_) => "the classifier's scores behind the enhancer".to_owned(),
            Self::Baseline(baseline) => format!("the classifier's scores with {}", baseline.name),
        }
    }
}

/// The classifier, behind an enhancer or not.
struct Plain<'a> {
    classifier: &'a Classifier,
    enhancer: Option<&'a Enhancer>,
}

impl Predictor for Plain<'_> {
    fn scores(&mut self, images: Tensor<4>) -> Result<Tensor<2>, Error> {
        Ok(self.classifier.forward(match self.enhancer {
            Some(enhancer) => enhancer.forward(images, Mode::Eval),
            None => images,
        })?)
    }
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
    let contenders: Vec<Contender<'_>> =
        enhancers.iter().map(|e| e.map_or(Contender::Alone, Contender::Enhanced)).collect();
    compare(classifier, &contenders, Settings::default(), plan, device, stop, progress)
}

/// Evaluates the contenders on the same images, in batches that are the same for all.
///
/// The results do not depend on the batch size or the number of threads beyond rounding, but for baselines that use the
/// statistics of a batch. Where there is one, the images of each set come in an order drawn from the settings' seed, since
/// data sets are sorted by class, and the statistics of one class are not those of the set; every set finds each contender as
/// at the start.
///
/// # Errors
/// An unreadable image, sets whose class names differ, scores that are not finite ([`Error::Scores`], [`Error::BrokenClassifier`]), a baseline that cannot run
/// with the classifier, or a request to stop.
pub fn compare(
    classifier: &Classifier,
    contenders: &[Contender<'_>],
    settings: Settings,
    plan: Plan,
    device: &Device,
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<Evaluation, Error> {
    check_weights(classifier)?;
    check_names(&plan)?;
    let geometry = plan.geometry;
    let (cells, seed) = cells(plan.clean, plan.corrupted);
    let batch_size = plan.batch_size.max(1);
    let mut predictors = contenders
        .iter()
        .map(|contender| match contender {
            Contender::Alone => Ok(Box::new(Plain { classifier, enhancer: None }) as Box<dyn Predictor>),
            Contender::Enhanced(enhancer) => {
                Ok(Box::new(Plain { classifier, enhancer: Some(enhancer) }) as _)
            }
            Contender::Baseline(baseline) => baseline.start(classifier, geometry.preset, settings),
        })
        .collect::<Result<Vec<_>, Error>>()?;
    let shuffled = contenders.iter().any(|c| matches!(c, Contender::Baseline(b) if b.batch_statistics));
    progress.begin("evaluating", count(&cells)? as u64, 0);
    let left_out = RefCell::new(LeftOut::default());
    let start = |c: usize| -> Result<_, Error> {
        let Some(cell) = cells.get(c) else { return Ok(None) };
        let images = cell.images.open()?;
        if matches!(cell.images, Source::Part(_)) {
            left_out.borrow_mut().merge(&images.left_out);
        }
        let mut order: Vec<usize> = (0..images.len()).collect();
        if shuffled {
            Stream::new(settings.seed, &["evaluation order"]).shuffle(&mut order);
        }
        let corruption = cell.corruption;
        let change = move |image: Rgb8, path: &str| match corruption {
            Some((corruption, severity)) => {
                corrupt(&image, corruption, geometry.preset, severity, seed, path)
            }
            None => image,
        };
        Ok(Some((images.clone(), eval_batches(images, order, geometry, change, batch_size))))
    };
    let mut hits = vec![vec![Score::default(); cells.len()]; contenders.len()];
    let mut seconds = vec![0.0; contenders.len()];
    let mut done = 0;
    let mut next = start(0)?;
    for (c, cell) in cells.iter().enumerate() {
        let (data, batches) = next.expect("a cell has batches");
        // The next cell's images are made while this one's are looked at.
        next = start(c + 1)?;
        let note =
            cell.name.as_ref().map_or("clean".to_owned(), |(name, severity)| format!("{name} {severity}"));
        predictors.iter_mut().for_each(|predictor| predictor.reset());
        for batch in batches {
            stop.check()?;
            let batch = batch?;
            if batch.is_empty() {
                continue; // all its files are broken and skipped
            }
            for (p, predictor) in predictors.iter_mut().enumerate() {
                let started = Instant::now();
                let scores = predictor.scores(images(&batch, device))?;
                hits[p][c].hits += count_hits(scores, &batch.labels)
                    .map_err(|bad| bad.error(&data, &batch, &contenders[p].scores(), Some(classifier)))?;
                hits[p][c].n += batch.len();
                seconds[p] += started.elapsed().as_secs_f64();
            }
            done += batch.len();
            progress.update(done as u64, &note);
        }
        if hits.iter().any(|row| row[c].n == 0) {
            return Err(Error::setting("on-error", "an image that can be read", format!("none of {note}")));
        }
    }
    progress.end("");
    if !left_out.borrow().is_nothing() {
        progress.message(&format!("left out of the corrupted images: {}", left_out.borrow()));
    }
    let scores = hits.iter().map(|row| collect(&cells, row)).collect();
    Ok(Evaluation { scores, images: done, seconds })
}

/// Checks that the sets of a plan number their classes alike.
fn check_names(plan: &Plan) -> Result<(), Error> {
    let (Some(clean), Some(corrupted)) = (&plan.clean, &plan.corrupted) else { return Ok(()) };
    let found = match corrupted {
        Corrupted::Suite { base, .. } => &base.classes[..],
        Corrupted::Set(set) => set.classes(),
    };
    if found == clean.classes {
        return Ok(());
    }
    Err(Error::ClassNames {
        first: clean.name().to_owned(),
        second: "the corrupted set".to_owned(),
        expected: clean.classes.clone(),
        found: found.to_vec(),
    })
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
