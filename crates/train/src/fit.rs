//! The training loop: any module, any batches, any recipe; checkpoints, metrics, progress and resumption.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use dyntta_data::Batch;
use serde::Serialize;

use crate::average;
use crate::control::{Progress, Stop};
use crate::error::Error;
use crate::images::{TrainingImages, images};
use crate::mix::{Mixed, mix};
use crate::recipe::{Recipe, clip_global_norm};
use crate::state::{self, Position};

/// The file of the metrics in a run's folder: one JSON object a line.
pub const METRICS: &str = "metrics.jsonl";
/// A state is saved at the end of every epoch and at least this often.
const SAVE_EVERY: Duration = Duration::from_secs(300);
/// A line of metrics every so many steps.
const METRICS_EVERY: usize = 20;

/// Where and how a run keeps what it makes.
pub struct RunFolder<'a, M> {
    /// The folder; it exists.
    pub path: PathBuf,
    /// Continue from the state in it.
    pub resume: bool,
    /// A digest of all settings that must not change between the parts of a run.
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
    logits: impl Fn(&M, Tensor<4>) -> Tensor<2>,
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
            (model, average, optimizer, saved) = state::load(&path, model, average, optimizer)?;
            if saved.fingerprint != at.fingerprint {
                let message = differences(&saved.fingerprint, &at.fingerprint);
                return Err(Error::Resume { path: folder.path.clone(), message });
            }
            at = saved;
        }
        metrics = Some(MetricsFile::open(&folder.path.join(METRICS), folder.resume.then_some((&at, steps)))?);
    }
    progress.begin("training", total as u64, (at.epoch * steps + at.step) as u64);
    let mut history = Vec::new();
    let mut last_save = Instant::now();
    while at.epoch < recipe.epochs {
        let mut batches = data.epoch(at.epoch, at.step, recipe);
        let mut started = Instant::now();
        while at.step < steps {
            if stop.requested() {
                return Err(match &folder {
                    Some(folder) => interrupted(folder, &model, average.as_ref(), &optimizer, &at)?,
                    None => Error::Interrupted(None),
                });
            }
            let batch = batches.next().expect("an epoch has all its batches")?;
            if batch.is_empty() {
                at.step += 1; // all its files are broken and skipped
                continue;
            }
            let lr = recipe.lr * recipe.schedule.factor(at.epoch * steps + at.step, total, at.epoch);
            let step = train_step(&model, &logits, batch, recipe, (at.epoch, at.step), device);
            if !step.loss.is_finite() {
                return Err(non_finite(step.loss, &at, lr, recipe, folder.as_ref()));
            }
            model = optimizer.step(lr, model, step.gradients);
            if let Some(decay) = recipe.ema {
                let before = average.take().expect("there is one with `ema`");
                average = Some(average::update(before, &model, decay, at.epoch * steps + at.step));
            }
            at.loss_sum += step.loss * step.images as f64;
            at.hits += step.hits;
            at.images += step.images;
            at.step += 1;
            // Weights that the last step broke must not replace good ones on disk.
            let due = at.step == steps || last_save.elapsed() > SAVE_EVERY || stop.requested();
            if folder.is_some() && due && !state::is_finite(&model) {
                return Err(non_finite(f64::NAN, &at, lr, recipe, folder.as_ref()));
            }
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
            progress.update((at.epoch * steps + at.step) as u64, &note);
            if let Some(folder) = &folder
                && due
                && at.step < steps
            {
                state::save(&folder.path.join(state::FILE), &model, average.as_ref(), &optimizer, &at)?;
                last_save = Instant::now();
            }
        }
        if at.images == 0 {
            return Err(Error::setting("on-error", "an image that can be read", "none in a whole epoch"));
        }
        let validation = match &folder {
            Some(folder) => match (folder.export)(average.as_ref().unwrap_or(&model)) {
                Err(Error::Interrupted(_)) => {
                    return Err(interrupted(folder, &model, average.as_ref(), &optimizer, &at)?);
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
        if let Some(folder) = &folder {
            state::save(&folder.path.join(state::FILE), &model, average.as_ref(), &optimizer, &at)?;
            last_save = Instant::now();
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

/// Saves the state of a run that is to stop, and says how it goes on.
fn interrupted<M: Module>(
    folder: &RunFolder<'_, M>,
    model: &M,
    average: Option<&M>,
    optimizer: &ModuleOptimizer,
    at: &Position,
) -> Result<Error, Error> {
    state::save(&folder.path.join(state::FILE), model, average, optimizer, at)?;
    let how = format!("the run is saved in {}: continue it with --resume", folder.path.display());
    Ok(Error::Interrupted(Some(how)))
}

fn non_finite<M>(
    loss: f64,
    at: &Position,
    lr: f64,
    recipe: &Recipe,
    folder: Option<&RunFolder<'_, M>>,
) -> Error {
    Error::NonFinite {
        loss,
        epoch: at.epoch + 1,
        step: at.step + 1,
        lr,
        suggestion: recipe.lr / 10.0,
        kept: match folder {
            Some(f) => format!("the last good state is kept in {}", f.path.display()),
            None => "nothing was saved".into(),
        },
    }
}

/// Which entries of two JSON objects differ, a line each.
fn differences(then: &str, now: &str) -> String {
    let parse = |text: &str| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text);
    let mut message = "the settings or the data are not those it began with".to_owned();
    if let (Ok(then), Ok(now)) = (parse(then), parse(now)) {
        let none = serde_json::Value::Null;
        for key in then.keys().chain(now.keys().filter(|k| !then.contains_key(*k))) {
            let (a, b) = (then.get(key).unwrap_or(&none), now.get(key).unwrap_or(&none));
            if a != b {
                message.push_str(&format!("\n  {key}: then {a}, now {b}"));
            }
        }
    }
    message
}

struct Step {
    loss: f64,
    hits: usize,
    images: usize,
    gradients: GradientsParams,
}

fn train_step<M: Module>(
    model: &M,
    logits: impl Fn(&M, Tensor<4>) -> Tensor<2>,
    mut batch: Batch,
    recipe: &Recipe,
    (epoch, step): (usize, usize),
    device: &Device,
) -> Step {
    let n = batch.len();
    let tensor = |labels: &[usize]| -> Tensor<1, Int> {
        let labels: Vec<i32> = labels.iter().map(|&l| l as i32).collect();
        Tensor::from_data(TensorData::new(labels, [n]), device)
    };
    let mixed = mix(&mut batch, recipe, epoch, step);
    let images = images(&batch, device);
    let logits = logits(model, images);
    let hits = count_hits(logits.clone().without_autodiff(), &batch.labels);
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
    Step { loss: f64::from(value), hits, images: n, gradients }
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

/// How many rows of `logits` have their largest value at the label.
pub(crate) fn count_hits(logits: Tensor<2>, labels: &[usize]) -> usize {
    predictions(logits).iter().zip(labels).filter(|(p, l)| p == l).count()
}

/// The class of each row's largest logit, the first among equals.
pub(crate) fn predictions(logits: Tensor<2>) -> Vec<usize> {
    let [_, classes] = logits.dims();
    let values = logits.into_data().try_to_vec::<f32>().expect("logits are f32");
    values
        .chunks_exact(classes)
        .map(|row| (1..classes).fold(0, |best, i| if row[i] > row[best] { i } else { best }))
        .collect()
}

/// The metrics of a run as JSON lines.
struct MetricsFile {
    path: PathBuf,
    file: File,
}

impl MetricsFile {
    /// Opens the file; on resumption, without the lines that come after the state that is resumed from.
    fn open(path: &Path, resume: Option<(&Position, usize)>) -> Result<Self, Error> {
        let mut kept = String::new();
        if let Some((at, _)) = resume {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            for line in text.lines() {
                let Ok(value) = serde_json::from_str::<serde_json::Value>(line) else { continue };
                let epoch = value["epoch"].as_u64().unwrap_or(0) as usize;
                let step = value["step"].as_u64().unwrap_or(0) as usize;
                // An epoch's own line has no step: it counts once the next epoch has begun.
                let before = epoch <= at.epoch || (epoch == at.epoch + 1 && step > 0 && step <= at.step);
                if before {
                    kept.push_str(line);
                    kept.push('\n');
                }
            }
        }
        dyntta_image::write_atomic(path, kept.as_bytes())?;
        let file = File::options().append(true).open(path).map_err(Error::io(path))?;
        Ok(Self { path: path.to_owned(), file })
    }

    fn write(&mut self, line: &Line<'_>) -> Result<(), Error> {
        let mut text = serde_json::to_string(line).expect("plain data");
        text.push('\n');
        self.file.write_all(text.as_bytes()).map_err(Error::io(&self.path))
    }
}
