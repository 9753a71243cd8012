//! The state of a training run in one file: weights, optimiser and position, written whole or not at all.

use std::collections::HashMap;
use std::path::Path;

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::Bytes;
use dyntta_files::{Limits, read, write_atomic};
use dyntta_nn::weights::{self, Entry, StateDict};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::control::Saving;
use crate::error::Error;

/// The file of the state in a run's folder.
pub(crate) const FILE: &str = "state.safetensors";
const OPTIMIZER: &str = "optimizer";
const MODEL: &str = "model.";
const AVERAGE: &str = "average.";
const POSITION: &str = "dyntta.position";

/// Where a run stands: `epoch` and `step` are the next to do, counted from 0; the sums are of the epoch so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Position {
    pub epoch: usize,
    pub step: usize,
    pub loss_sum: f64,
    pub hits: usize,
    pub images: usize,
    pub seconds: f64,
    /// A digest of all that must be the same for the run to continue as it began.
    pub fingerprint: String,
}

pub(crate) fn save<M: Module>(
    path: &Path,
    model: &M,
    average: Option<&M>,
    optimizer: &ModuleOptimizer,
    position: &Position,
) -> Result<(), Error> {
    let _saving = Saving::begin();
    let record = optimizer
        .into_bytes()
        .map_err(|e| Error::Io { path: path.to_owned(), source: std::io::Error::other(e.to_string()) })?;
    let dicts =
        [Some((MODEL, weights::state_dict(model))), average.map(|a| (AVERAGE, weights::state_dict(a)))];
    let bytes: Vec<(String, &Entry, Vec<u8>)> = dicts
        .iter()
        .flatten()
        .flat_map(|(prefix, dict)| dict.iter().map(move |(key, e)| (format!("{prefix}{key}"), e)))
        .map(|(key, e)| (key, e, e.data.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let mut views: Vec<(&str, TensorView)> = bytes
        .iter()
        .map(|(key, e, data)| {
            (key.as_str(), TensorView::new(Dtype::F32, e.shape.clone(), data).expect("four bytes a value"))
        })
        .collect();
    let view = TensorView::new(Dtype::U8, vec![record.len()], &record).expect("one byte a value");
    views.push((OPTIMIZER, view));
    let position = serde_json::to_string(position).expect("plain data");
    let metadata = HashMap::from([(POSITION.to_owned(), position)]);
    let out = safetensors::serialize(views, Some(metadata)).expect("valid views");
    Ok(write_atomic(path, &out)?)
}

/// Puts the state at `path` into a model, its average and its optimiser, once `check` agrees with the position.
pub(crate) fn load<M: Module>(
    path: &Path,
    model: M,
    average: Option<M>,
    optimizer: ModuleOptimizer,
    check: impl FnOnce(&Position) -> Result<(), Error>,
) -> Result<(M, Option<M>, ModuleOptimizer, Position), Error> {
    let damaged = |message: String| Error::Resume { path: path.to_owned(), message };
    let bytes = read(path, Limits::DEFAULT.model_bytes)?;
    let not_state = |e: safetensors::SafeTensorError| damaged(format!("not a training state ({e})"));
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(not_state)?;
    let position = header.metadata().as_ref().and_then(|m| m.get(POSITION));
    let position = position.ok_or_else(|| damaged("not a training state (no position in it)".into()))?;
    let position: Position =
        serde_json::from_str(position).map_err(|e| damaged(format!("its position is not readable ({e})")))?;
    check(&position)?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(not_state)?;
    let record = tensors.tensor(OPTIMIZER).map_err(not_state)?.data().to_vec();
    let under = |prefix: &str| -> StateDict {
        let ours = tensors.iter().filter(|(_, view)| view.dtype() == Dtype::F32);
        ours.filter_map(|(key, view)| {
            let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            let entry = Entry { shape: view.shape().to_vec(), data: values.collect() };
            Some((key.strip_prefix(prefix)?.to_owned(), entry))
        })
        .collect()
    };
    let model = weights::load(model, &under(MODEL), path, "the model of this run")?;
    let average = average
        .map(|average| weights::load(average, &under(AVERAGE), path, "the averaged model of this run"))
        .transpose()?;
    let optimizer = optimizer
        .from_bytes(Bytes::from_bytes_vec(record))
        .map_err(|e| damaged(format!("its optimiser state is not readable ({e})")))?;
    Ok((model, average, optimizer, position))
}
