//! Where a network's parameters come from: the tensors of a file by their keys, or a seed.

use std::collections::BTreeMap;
use std::path::Path;

use dyntta_image::Stream;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::{Error, Mismatch};

/// How a parameter starts in an untrained network.
#[derive(Clone, Copy)]
pub(crate) enum Init {
    /// This value.
    Constant(f32),
    /// Uniform within `1 / sqrt(fan in)`: PyTorch's default.
    Uniform { fan_in: usize },
    /// Normal with variance `2 / fan out`: torchvision's ResNets (He et al. 2015).
    Normal { fan_out: usize },
}

/// Hands out parameters by key and keeps account of what does not fit.
pub(crate) struct Params<'a> {
    source: Source<'a>,
    mismatch: Mismatch,
}

enum Source<'a> {
    /// By our key: the file's own key and the tensor.
    File(BTreeMap<String, (String, TensorView<'a>)>),
    Seed {
        seed: u64,
        root: &'static str,
    },
}

impl<'a> Params<'a> {
    /// The floating-point tensors of a safetensors file in memory; `path` goes into errors.
    ///
    /// A prefix `module.` on every key is taken off, counters (`num_batches_tracked`) are dropped, and the keys of the
    /// published URIE weights and of torchvision's ResNets are taken for ours.
    pub fn from_file(bytes: &'a [u8], path: &Path) -> Result<Self, Error> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| Error::Format {
            path: path.to_owned(),
            expected: "a safetensors file".into(),
            found: error.to_string(),
        })?;
        let mut found: Vec<(String, TensorView<'a>)> = tensors
            .tensors()
            .into_iter()
            .filter(|(key, view)| is_float(view.dtype()) && !key.ends_with("num_batches_tracked"))
            .collect();
        if found.is_empty() {
            return Err(Error::Format {
                path: path.to_owned(),
                expected: "floating-point tensors".into(),
                found: "none".into(),
            });
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let wrapped = found.iter().all(|(key, _)| key.starts_with("module."));
        let published = found.iter().any(|(key, _)| key.contains(".maxpool_conv."));
        let ours = |key: &str| {
            let key = if wrapped { &key["module.".len()..] } else { key };
            if published { urie_key(key) } else { torchvision_key(key) }
        };
        let by_key = found.into_iter().map(|(key, view)| (ours(&key), (key, view))).collect();
        Ok(Self { source: Source::File(by_key), mismatch: Mismatch::default() })
    }

    /// Fresh parameters, each drawn from a stream named by its path below `root`.
    pub fn from_seed(seed: u64, root: &'static str) -> Self {
        Self { source: Source::Seed { seed, root }, mismatch: Mismatch::default() }
    }

    /// The parameter at `key`, row-major; zeros if the file does not have it in this shape, which [`Params::finish`]
    /// then reports.
    pub fn take(&mut self, key: &str, shape: &[usize], init: Init) -> Vec<f32> {
        let len = shape.iter().product();
        match &mut self.source {
            Source::File(tensors) => match tensors.remove(key) {
                Some((_, view)) if view.shape() == shape => floats(&view),
                Some((_, view)) => {
                    self.mismatch.shapes.push((key.to_owned(), shape.to_vec(), view.shape().to_vec()));
                    vec![0.0; len]
                }
                None => {
                    self.mismatch.missing.push(key.to_owned());
                    vec![0.0; len]
                }
            },
            Source::Seed { seed, root } => fresh(*seed, &format!("{root}.{key}"), len, init),
        }
    }

    /// Reports what was missing, of another shape, or left over. `path` and `network` go into the error.
    pub fn finish(mut self, path: &Path, network: &str) -> Result<(), Error> {
        if let Source::File(rest) = self.source {
            self.mismatch.unexpected = rest.into_values().map(|(key, _)| key).collect();
        }
        if self.mismatch.is_empty() {
            return Ok(());
        }
        Err(Error::Mismatch { path: path.to_owned(), network: network.to_owned(), mismatch: self.mismatch })
    }
}

fn is_float(kind: Dtype) -> bool {
    matches!(kind, Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::BF16)
}

fn floats(view: &TensorView<'_>) -> Vec<f32> {
    fn each<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks::<N>().0.iter().map(|b| convert(*b)).collect()
    }
    let bytes = view.data();
    match view.dtype() {
        Dtype::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
        Dtype::F16 => each(bytes, |b| half::f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => each(bytes, |b| half::bf16::from_le_bytes(b).to_f32()),
        _ => each(bytes, f32::from_le_bytes),
    }
}

fn fresh(seed: u64, path: &str, len: usize, init: Init) -> Vec<f32> {
    let mut stream = Stream::new(seed, &["init", path]);
    match init {
        Init::Constant(value) => vec![value; len],
        Init::Uniform { fan_in } => {
            let bound = (fan_in as f64).sqrt().recip();
            (0..len).map(|_| stream.range(-bound, bound) as f32).collect()
        }
        Init::Normal { fan_out } => {
            let deviation = (2.0 / fan_out as f64).sqrt();
            (0..len).map(|_| (stream.normal() * deviation) as f32).collect()
        }
    }
}

/// Our key for a key of torchvision, where the parts of a downsampling shortcut are numbered.
fn torchvision_key(key: &str) -> String {
    key.replace(".downsample.0.", ".downsample.conv.").replace(".downsample.1.", ".downsample.bn.")
}

/// Our key for a key of the published URIE weights.
fn urie_key(key: &str) -> String {
    // There `down1` and `up3` are plain convolutions.
    for (theirs, ours) in [("down1.", "stem"), ("up3.", "head")] {
        if let Some(rest) = key.strip_prefix(theirs) {
            return format!("{ours}.{}", rest.rsplit_once('.').map_or(rest, |(_, leaf)| leaf));
        }
    }
    let blocks = [
        ("down2.maxpool_conv.1.", "down1"),
        ("down3.maxpool_conv.1.", "down2"),
        ("up1.conv.", "up1"),
        ("up2.conv.", "up2"),
    ];
    let parts = [
        ("conv1.", "conv_a"),
        ("conv2.", "conv_b"),
        ("selector.fc.0.", "squeeze"),
        ("selector.att_conv1.", "attend_a"),
        ("selector.att_conv2.", "attend_b"),
        ("BN.", "bn"),
    ];
    for (theirs, block) in blocks {
        let Some(rest) = key.strip_prefix(theirs) else { continue };
        for (theirs, part) in parts {
            if let Some(leaf) = rest.strip_prefix(theirs) {
                return format!("{block}.{part}.{leaf}");
            }
        }
    }
    key.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_keys_find_their_place() {
        for (theirs, ours) in [
            ("down1.conv.weight", "stem.weight"),
            ("down1.bias", "stem.bias"),
            ("up3.conv.bias", "head.bias"),
            ("down2.maxpool_conv.1.conv1.weight", "down1.conv_a.weight"),
            ("down3.maxpool_conv.1.selector.fc.0.weight", "down2.squeeze.weight"),
            ("up1.conv.selector.att_conv2.bias", "up1.attend_b.bias"),
            ("up2.conv.BN.running_var", "up2.bn.running_var"),
            ("elsewhere.weight", "elsewhere.weight"),
        ] {
            assert_eq!(urie_key(theirs), ours);
        }
        assert_eq!(torchvision_key("layer2.0.downsample.1.bias"), "layer2.0.downsample.bn.bias");
    }

    #[test]
    fn fresh_parameters_depend_on_seed_and_path_only() {
        let draw = |seed, path| fresh(seed, path, 8, Init::Uniform { fan_in: 4 });
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert!(draw(1, "a").iter().all(|v| v.abs() <= 0.5));
    }
}
