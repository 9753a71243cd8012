//! The training loop: any module, any batches, any recipe; checkpoints, metrics, progress and resumption.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use dyntta_data::{Batch, Dataset};
use dyntta_files::{Limits, shown, write_atomic};
use serde::Serialize;

use crate::average;
use crate::control::{Progress, Stop};
use crate::error::Error;
use crate::folder::refused;
use crate::identity;
use crate::images::{TrainingImages, images};
use crate::mix::{Mixed, mix};
use crate::recipe::{Recipe, clip_global_norm};
use crate::scores::{NotFinite, broken_keys, count_hits, image_of};
use crate::state::{self, Position};

/// The file of the metrics in a run's folder: one JSON object a line.
pub const METRICS: &str = "metrics.jsonl";
/// A line of metrics every so many steps.
const METRICS_EVERY: usize = 20;

/// Where and how a run keeps what it makes.
pub struct RunFolder<'a, M> {
    /// The folder; it exists.
    pub path: PathBuf,
    /// Continue from the state in it.
    pub resume: bool,
    /// All that must not change between the parts of a run, as a JSON object.
    pub fingerprint: String,
    /// Exports the model at the end of every epoch, and measures it if it can: the accuracy on images it isn't trained on.
    pub export: &'a dyn Fn(&M) -> Result<Option<f64>, Error>,
}

/// How an epoch went.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct EpochMetrics {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Mean training loss.
    pub loss: f64,
    /// Share of the training images classified right, on the fly.
    pub accuracy: f64,
    /// Wall time of the epoch's steps, in seconds.
    pub seconds: f64,
    /// Images trained on.
    pub images: usize,
    /// The accuracy on images that it isn't trained on, where it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<f64>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Line<'a> {
    Step { epoch: usize, step: usize, loss: f64, lr: f64, images_per_second: f64 },
    Epoch(&'a EpochMetrics),
}

/// Trains `model` so that `logits(model, images)` gives the labels' classes; `images` is `[n, 3, h, w]` in `0..=1`.
///
/// With [`Recipe::mixup`] or [`Recipe::cutmix`] the accuracy of an epoch is that of mixed images, each held against its own
/// label. With [`Recipe::ema`] what comes out, and what is exported, is the average of the weights.
///
/// The result depends on the recipe, the data and the initial weights alone: not on the number of threads, and not on
/// how often the run was stopped and resumed.
///
/// # Errors
/// A non-finite loss, an unreadable image, a full disk, or a request to stop; what the folder held last stays whole.
pub fn fit<M: Module>(
    model: M,
    logits: impl Fn(&M, Tensor<4>) -> Result<Tensor<2>, Error>,
    data: &TrainingImages,
    recipe: &Recipe,
    device: &Device,
    folder: Option<RunFolder<'_, M>>,
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<(M, Vec<EpochMetrics>), Error> {
    let steps = data.steps(recipe.batch_size);
    let total = steps * recipe.epochs;
    let mut model = model;
    let mut average = recipe.ema.map(|_| model.valid());
    let mut optimizer = recipe.optimizer();
    let mut at = Position::default();
    let mut metrics = None;
    if let Some(folder) = &folder {
        at.fingerprint.clone_from(&folder.fingerprint);
        if folder.resume {
            let path = folder.path.join(state::FILE);
            let saved;
            let check = |saved: &Position| {
                check_same(&folder.path, &saved.fingerprint, &at.fingerprint, progress)?;
                if saved.epoch > recipe.epochs || saved.step > steps {
                    let found = format!("epoch {}, step {}, counted from 0", saved.epoch, saved.step);
                    return Err(refused(&path, format!("its position is beyond the run's end ({found})")));
                }
                Ok(())
            };
            (model, average, optimizer, saved) = state::load(&path, model, average, optimizer, check)?;
            at = Position { fingerprint: at.fingerprint, ..saved };
        }
        metrics = Some(MetricsFile::open(&folder.path.join(METRICS), folder.resume.then_some(&at))?);
    }
    progress.begin("training", total as u64, (at.epoch * steps + at.step) as u64);
    let mut history = Vec::new();
    let first = at.epoch * steps + at.step;
    let mut saves = Saves::new(folder.as_ref().is_some_and(|f| f.resume));
    let mut last_saved = None;
    while at.epoch < recipe.epochs {
        let mut batches = data.epoch(at.epoch, at.step, recipe);
        let mut started = Instant::now();
        while at.step < steps {
            if stop.requested() {
                return Err(match &folder {
                    Some(folder) => {
                        let there = last_saved == Some((at.epoch, at.step));
                        interrupted(folder, &model, average.as_ref(), &optimizer, &at, there)?
                    }
                    None => Error::Interrupted(None),
                });
            }
            let batch = batches.next().expect("an epoch has all its batches")?;
            if batch.is_empty() {
                at.step += 1; // all its files are broken and skipped
                continue;
            }
            let lr = recipe.lr * recipe.schedule.factor(at.epoch * steps + at.step, total, at.epoch);
            let step = train_step(&model, &logits, batch, recipe, (at.epoch, at.step), device, data.data())?;
            let hits = match step.hits {
                Ok(hits) if step.loss.is_finite() => hits,
                hits => {
                    let image = hits.err();
                    return Err(non_finite(step.loss, &at, lr, recipe, folder.as_ref(), image));
                }
            };
            model = optimizer.step(lr, model, step.gradients);
            if let Some(decay) = recipe.ema {
                let before = average.take().expect("there is one with `ema`");
                average = Some(average::update(before, &model, decay, at.epoch * steps + at.step));
            }
            at.loss_sum += step.loss * step.images as f64;
            at.hits += hits;
            at.images += step.images;
            at.step += 1;
            // Weights that the last step broke must not replace good ones on disk.
            let done = at.epoch * steps + at.step;
            let due = at.step == steps || stop.requested() || saves.due(done - first, total);
            let checked = Instant::now();
            if folder.is_some() && due && !broken_keys(&model).is_empty() {
                return Err(non_finite(f64::NAN, &at, lr, recipe, folder.as_ref(), None));
            }
            let checking = checked.elapsed();
            at.seconds += started.elapsed().as_secs_f64();
            started = Instant::now();
            let n = at.images as f64;
            let (mean, accuracy, rate) = (at.loss_sum / n, at.hits as f64 / n, n / at.seconds.max(1e-9));
            if let Some(metrics) = &mut metrics
                && (at.step.is_multiple_of(METRICS_EVERY) || at.step == steps)
            {
                let (epoch, step_number) = (at.epoch + 1, at.step);
                let line =
                    Line::Step { epoch, step: step_number, loss: step.loss, lr, images_per_second: rate };
                metrics.write(&line)?;
            }
            let note = format!(
                "epoch {}/{} · loss {mean:.3} · accuracy {:.1} % · {:.1} ms/image",
                at.epoch + 1,
                recipe.epochs,
                100.0 * accuracy,
                1e3 / rate
            );
            progress.update(done as u64, &note);
            if let Some(folder) = &folder
                && due
                && at.step < steps
            {
                metrics.as_ref().map_or(Ok(()), MetricsFile::sync)?;
                state::save(&folder.path.join(state::FILE), &model, average.as_ref(), &optimizer, &at)?;
                last_saved = Some((at.epoch, at.step));
                saves.done(checking + started.elapsed());
                started = Instant::now();
            }
        }
        if at.images == 0 {
            return Err(Error::setting("on-error", "an image that can be read", "none in a whole epoch"));
        }
        let validation = match &folder {
            Some(folder) => match (folder.export)(average.as_ref().unwrap_or(&model)) {
                Err(Error::Interrupted(_)) => {
                    return Err(interrupted(folder, &model, average.as_ref(), &optimizer, &at, false)?);
                }
                measured => measured?,
            },
            None => None,
        };
        let n = at.images as f64;
        let epoch = EpochMetrics {
            epoch: at.epoch + 1,
            loss: at.loss_sum / n,
            accuracy: at.hits as f64 / n,
            seconds: at.seconds,
            images: at.images,
            validation,
        };
        history.push(epoch);
        at = Position { epoch: at.epoch + 1, fingerprint: at.fingerprint, ..Position::default() };
        if let Some(metrics) = &mut metrics {
            metrics.write(&Line::Epoch(&epoch))?;
        }
        if let Some(folder) = &folder
            && (at.epoch == recipe.epochs || saves.cheap())
        {
            let started = Instant::now();
            metrics.as_ref().map_or(Ok(()), MetricsFile::sync)?;
            state::save(&folder.path.join(state::FILE), &model, average.as_ref(), &optimizer, &at)?;
            last_saved = Some((at.epoch, at.step));
            saves.done(started.elapsed());
        }
    }
    progress.end(&history.last().map_or_else(
        || "already complete".to_owned(),
        |e| {
            let validation =
                e.validation.map_or(String::new(), |v| format!(" · validation {:.1} %", 100.0 * v));
            let accuracy = 100.0 * e.accuracy;
            format!("loss {:.3} · accuracy {accuracy:.1} % in the last epoch{validation}", e.loss)
        },
    ));
    Ok((average.unwrap_or(model), history))
}

/// Saves the state of a run that is to stop, unless that very state is there already, and says how it goes on.
fn interrupted<M: Module>(
    folder: &RunFolder<'_, M>,
    model: &M,
    average: Option<&M>,
    optimizer: &ModuleOptimizer,
    at: &Position,
    there: bool,
) -> Result<Error, Error> {
    if !there {
        state::save(&folder.path.join(state::FILE), model, average, optimizer, at)?;
    }
    let how = format!("the run is saved in {}: continue it with --resume", shown(&folder.path));
    Ok(Error::Interrupted(Some(how)))
}

fn non_finite<M>(
    loss: f64,
    at: &Position,
    lr: f64,
    recipe: &Recipe,
    folder: Option<&RunFolder<'_, M>>,
    image: Option<String>,
) -> Error {
    Error::NonFinite {
        loss,
        epoch: at.epoch + 1,
        step: at.step + 1,
        lr,
        suggestion: recipe.lr / 10.0,
        image: image.map_or(String::new(), |image| format!("; the scores are not finite first for {image}")),
        kept: match folder {
            Some(f) => format!("the last good state is kept in {}", shown(&f.path)),
            None => "nothing was saved".into(),
        },
    }
}

/// Checks that a run goes on with what it began with, and says what of it can't be checked.
pub(crate) fn check_same(
    folder: &Path,
    then: &str,
    now: &str,
    progress: &mut dyn Progress,
) -> Result<(), Error> {
    match identity::compare(then, now) {
        Ok(unchecked) if unchecked.is_empty() => Ok(()),
        Ok(unchecked) => {
            let names = unchecked.join(", ");
            progress.message(&format!(
                "note: the run doesn't say, or nothing says now, with which {names} it began"
            ));
            Ok(())
        }
        Err(lines) => {
            Err(refused(folder, format!("the settings or the data are not those it began with{lines}")))
        }
    }
}

/// When a state is saved: at the first step, and then so that a kill costs at most a minute or a hundredth of the run, and
/// saving at most a hundredth of the time where that leaves room.
struct Saves {
    begun: Instant,
    last: Instant,
    /// What the last one took.
    cost: Option<Duration>,
}

impl Saves {
    /// A minute less what a save and a step may take.
    const AIM: Duration = Duration::from_secs(50);

    /// With a state on disk (`saved`) or none yet.
    fn new(saved: bool) -> Self {
        let now = Instant::now();
        Self { begun: now, last: now, cost: saved.then_some(Duration::ZERO) }
    }

    /// The time between saves that cost this, in a run that takes `whole`.
    fn pause(cost: Duration, whole: Duration) -> Duration {
        Self::AIM.max((cost * 100).min(whole / 100))
    }

    /// Whether it is time, after so many of the run's steps in this process.
    fn due(&self, steps: usize, total: usize) -> bool {
        let Some(cost) = self.cost else { return true };
        let whole = self.begun.elapsed().as_secs_f64() * total as f64 / steps.max(1) as f64;
        let whole = Duration::try_from_secs_f64(whole).unwrap_or(Duration::MAX);
        self.last.elapsed() >= Self::pause(cost, whole)
    }

    /// Whether a save now would cost a hundredth of the time at most, or a minute's work is not saved.
    fn cheap(&self) -> bool {
        self.cost.is_none_or(|cost| self.last.elapsed() >= (cost * 100).min(Self::AIM))
    }

    fn done(&mut self, cost: Duration) {
        self.cost = Some(cost);
        self.last = Instant::now();
    }
}

struct Step {
    loss: f64,
    /// The right ones, or the first image whose scores are no numbers.
    hits: Result<usize, String>,
    images: usize,
    gradients: GradientsParams,
}

fn train_step<M: Module>(
    model: &M,
    logits: impl Fn(&M, Tensor<4>) -> Result<Tensor<2>, Error>,
    mut batch: Batch,
    recipe: &Recipe,
    (epoch, step): (usize, usize),
    device: &Device,
    data: &Dataset,
) -> Result<Step, Error> {
    let n = batch.len();
    let tensor = |labels: &[usize]| -> Tensor<1, Int> {
        let labels: Vec<i32> = labels.iter().map(|&l| l as i32).collect();
        Tensor::from_data(TensorData::new(labels, [n]), device)
    };
    let mixed = mix(&mut batch, recipe, epoch, step);
    let images = images(&batch, device);
    let logits = logits(model, images)?;
    let hits = count_hits(logits.clone().without_autodiff(), &batch.labels)
        .map_err(|NotFinite { row, .. }| image_of(data, &batch, row));
    let of = |logits, labels: &[usize]| cross_entropy(logits, tensor(labels), recipe.label_smoothing);
    let loss = match mixed {
        None => of(logits, &batch.labels),
        Some(Mixed { partners, share }) => {
            of(logits.clone(), &batch.labels).mul_scalar(share)
                + of(logits, &partners).mul_scalar(1.0 - share)
        }
    };
    let value: f32 = loss.clone().without_autodiff().into_scalar();
    let mut gradients = GradientsParams::from_grads(loss.backward(), model);
    if let Some(limit) = recipe.clip_norm {
        clip_global_norm(model, &mut gradients, limit);
    }
    Ok(Step { loss: f64::from(value), hits, images: n, gradients })
}

/// Mean cross-entropy of `logits` `[n, classes]` against `labels` `[n]`, `smoothing` of the target spread evenly.
pub fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>, smoothing: f64) -> Tensor<1> {
    let [n, _] = logits.dims();
    let log_p = log_softmax(logits, 1);
    let target = log_p.clone().gather(1, labels.reshape([n, 1])).mean().neg();
    if smoothing == 0.0 {
        return target;
    }
    target.mul_scalar(1.0 - smoothing) + log_p.mean().neg().mul_scalar(smoothing)
}

/// The metrics of a run as JSON lines.
struct MetricsFile {
    path: PathBuf,
    file: File,
}

impl MetricsFile {
    /// Opens the file; on resumption, without the lines that come after the state that is resumed from, and without one that a
    /// kill broke off.
    fn open(path: &Path, resume: Option<&Position>) -> Result<Self, Error> {
        let mut kept = String::new();
        if let Some(at) = resume {
            for (line, value) in metrics_lines(path)? {
                let epoch = value["epoch"].as_u64().unwrap_or(0) as usize;
                let step = value["step"].as_u64().unwrap_or(0) as usize;
                // An epoch's own line has no step: it counts once the next epoch has begun.
                let before = epoch <= at.epoch || (epoch == at.epoch + 1 && step > 0 && step <= at.step);
                if before {
                    kept.push_str(&line);
                    kept.push('\n');
                }
            }
        }
        write_atomic(path, kept.as_bytes())?;
        let file = File::options().append(true).open(path).map_err(Error::io(path))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Brings what is written to the disk: a state must not be there before the lines that led to it.
    fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(Error::io(&self.path))
    }

    fn write(&mut self, line: &Line<'_>) -> Result<(), Error> {
        let mut text = serde_json::to_string(line).expect("plain data");
        text.push('\n');
        self.file.write_all(text.as_bytes()).map_err(Error::io(&self.path))
    }
}

/// The lines of a file of metrics that are JSON, none if it isn't there.
fn metrics_lines(path: &Path) -> Result<Vec<(String, serde_json::Value)>, Error> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let bytes = dyntta_files::read(path, Limits::DEFAULT.text_bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().filter_map(|line| Some((line.to_owned(), serde_json::from_str(line).ok()?))).collect())
}

/// The last epoch, from 1, that the metrics in a run's folder say was finished.
pub(crate) fn last_epoch(folder: &Path) -> Result<Option<usize>, Error> {
    let lines = metrics_lines(&folder.join(METRICS))?;
    let epochs = lines.iter().filter(|(_, line)| line["kind"] == "epoch");
    Ok(epochs.filter_map(|(_, line)| line["epoch"].as_u64()).max().map(|epoch| epoch as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saves_cost_a_hundredth_and_lose_a_minute_or_a_hundredth() {
        let pause = |cost_ms, whole_s| {
            Saves::pause(Duration::from_millis(cost_ms), Duration::from_secs(whole_s)).as_secs()
        };
        assert_eq!(pause(1, 10), 50);
        assert_eq!(pause(400, 36_000), 50);
        assert_eq!(pause(2_000, 36_000), 200, "saving costs a hundredth");
        assert_eq!(pause(9_000, 36_000), 360, "no more than a hundredth of the run is lost");
        assert_eq!(pause(9_000, 600), 50);
        let mut saves = Saves::new(false);
        assert!(saves.due(1, 10) && saves.cheap(), "the first step's");
        saves.done(Duration::from_secs(1));
        assert!(!saves.due(2, 10) && !saves.cheap());
        saves.done(Duration::ZERO);
        assert!(!saves.due(3, 10) && saves.cheap());
        assert!(!Saves::new(true).due(0, 10));
    }

    #[test]
    fn a_line_that_a_kill_broke_off_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(METRICS);
        assert_eq!(last_epoch(folder.path()).unwrap(), None);
        let whole = "{\"kind\":\"step\",\"epoch\":1,\"step\":5}\n{\"kind\":\"epoch\",\"epoch\":1}\n";
        std::fs::write(&path, [whole.as_bytes(), b"{\"kind\":\"epoch\",\"epoch\":2,\"lo\xc3"].concat())
            .unwrap();
        assert_eq!(last_epoch(folder.path()).unwrap(), Some(1));
        let at = Position { epoch: 1, ..Position::default() };
        drop(MetricsFile::open(&path, Some(&at)).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
    }
}
