//! The parameters of a checkpoint's networks, by key.

use std::collections::BTreeMap;

use dyntta_model::{Checkpoint, Entry, Error};

/// PyTorch's default for normalisation layers.
pub(crate) const EPSILON: f32 = 1e-5;

/// All parameters by our keys.
pub(crate) struct Params<'a> {
    checkpoint: &'a Checkpoint,
    entries: BTreeMap<String, Entry>,
}

impl<'a> Params<'a> {
    pub fn of(checkpoint: &'a Checkpoint) -> Result<Self, Error> {
        let (file, choice) = (&checkpoint.file, &checkpoint.weights);
        let dict = file.dict(choice)?;
        let keys = checkpoint.keys()?;
        let entries = keys.into_iter().filter_map(|(ours, theirs)| {
            let Entry { shape, data } = dict.get(theirs)?;
            Some((ours, Entry { shape: choice.naming.shape(theirs, shape), data: data.clone() }))
        });
        Ok(Self { checkpoint, entries: entries.collect() })
    }

    /// A parameter of this shape.
    pub fn get(&self, key: &str, shape: &[usize]) -> Result<&[f32], Error> {
        let Checkpoint { file, network, .. } = self.checkpoint;
        let expected = || format!("`{key}` of shape {shape:?} for {network}");
        match self.entries.get(key) {
            None => Err(Error::format(file.path(), expected(), "none")),
            Some(entry) if entry.shape != shape => {
                Err(Error::format(file.path(), expected(), format!("{:?}", entry.shape)))
            }
            Some(entry) => Ok(&entry.data),
        }
    }

    /// A batch norm in inference mode, as the scale and the shift of each channel.
    pub fn norm(&self, key: &str, channels: usize) -> Result<[Vec<f32>; 2], Error> {
        let get = |leaf: &str| self.get(&format!("{key}.{leaf}"), &[channels]);
        let (weight, bias) = (get("weight")?, get("bias")?);
        let (mean, variance) = (get("running_mean")?, get("running_var")?);
        let scale: Vec<f32> = weight.iter().zip(variance).map(|(w, v)| w / (v + EPSILON).sqrt()).collect();
        let shift = (0..channels).map(|c| bias[c] - mean[c] * scale[c]).collect();
        Ok([scale, shift])
    }

    /// The weights of a convolution, `[output, input, side, side]`, with the batch norm that follows it folded in, and the bias
    /// that this leaves.
    pub fn normalised(&self, conv: &str, norm: &str, shape: [usize; 4]) -> Result<[Vec<f32>; 2], Error> {
        let [scale, shift] = self.norm(norm, shape[0])?;
        let mut weight = self.get(&format!("{conv}.weight"), &shape)?.to_vec();
        let each = shape[1] * shape[2] * shape[3];
        for (weights, scale) in weight.chunks_exact_mut(each).zip(&scale) {
            weights.iter_mut().for_each(|w| *w *= scale);
        }
        Ok([weight, shift])
    }
}
