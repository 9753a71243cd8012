//! Where a network's parameters come from: the tensors of a file by their keys, or a seed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use dyntta_image::Stream;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

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
///
/// Tensors are read one by one into the same memory: most of the time that loading takes goes into fresh pages.
pub(crate) struct Params {
    source: Source,
    values: Vec<f32>,
    mismatch: Mismatch,
    failure: Option<io::Error>,
}

enum Source {
    Seed { seed: u64, root: &'static str },
    File(TensorFile),
}

struct TensorFile {
    path: PathBuf,
    file: File,
    /// Where the tensors' bytes start.
    start: u64,
    /// By our key: the file's own key and where the tensor is.
    tensors: BTreeMap<String, (String, TensorInfo)>,
    bytes: Vec<u8>,
}

/// Bytes before the header: its length.
const PREFIX: u64 = 8;
/// The longest header, in bytes: what the format's own reader allows.
const MAX_HEADER: u64 = 100_000_000;

impl TensorFile {
    fn open(path: &Path) -> Result<Self, Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let wrong = |found: String| Error::Format {
            path: path.to_owned(),
            expected: "a safetensors file".into(),
            found,
        };
        let mut file = File::open(path).map_err(io)?;
        let len = file.metadata().map_err(io)?.len();
        if len < PREFIX {
            return Err(wrong(format!("{len} bytes")));
        }
        let mut prefix = [0; PREFIX as usize];
        file.read_exact(&mut prefix).map_err(io)?;
        let header = u64::from_le_bytes(prefix);
        if header > MAX_HEADER.min(len - PREFIX) {
            return Err(wrong(format!("a header of {header} bytes in a file of {len}")));
        }
        let mut text = vec![0; header as usize];
        file.read_exact(&mut text).map_err(io)?;
        let metadata: Metadata = serde_json::from_slice(&text)
            .map_err(|error| wrong(format!("a header with an error ({error})")))?;
        let start = PREFIX + header;
        let mut found = Vec::new();
        for key in metadata.offset_keys() {
            let Some(info) = metadata.info(&key) else { continue };
            let (first, last) = info.data_offsets;
            let values = info.shape.iter().try_fold(1usize, |n, side| n.checked_mul(*side));
            let bits = values.and_then(|n| n.checked_mul(info.dtype.bitsize()));
            let fits = bits.is_some_and(|bits| last.checked_sub(first) == Some(bits.div_ceil(8)));
            if !fits || last as u64 > len - start {
                return Err(wrong(format!(
                    "`{key}` of shape {:?} in bytes {first} to {last} of {}",
                    info.shape,
                    len - start
                )));
            }
            if is_float(info.dtype) && !key.ends_with("num_batches_tracked") {
                found.push((key, info.clone()));
            }
        }
        if found.is_empty() {
            return Err(Error::Format {
                path: path.to_owned(),
                expected: "floating-point tensors".into(),
                found: "none".into(),
            });
        }
        let wrapped = found.iter().all(|(key, _)| key.starts_with("module."));
        let published = found.iter().any(|(key, _)| key.contains(".maxpool_conv."));
        let ours = |key: &str| {
            let key = if wrapped { &key["module.".len()..] } else { key };
            if published { urie_key(key) } else { torchvision_key(key) }
        };
        let tensors = found.into_iter().map(|(key, info)| (ours(&key), (key, info))).collect();
        Ok(Self { path: path.to_owned(), file, start, tensors, bytes: Vec::new() })
    }

    fn read(&mut self, info: &TensorInfo, values: &mut Vec<f32>) -> io::Result<()> {
        let (first, last) = info.data_offsets;
        self.bytes.resize(last - first, 0);
        self.file.seek(SeekFrom::Start(self.start + first as u64))?;
        self.file.read_exact(&mut self.bytes)?;
        match info.dtype {
            Dtype::F64 => convert(&self.bytes, values, |b| f64::from_le_bytes(b) as f32),
            Dtype::F16 => convert(&self.bytes, values, |b| half::f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => convert(&self.bytes, values, |b| half::bf16::from_le_bytes(b).to_f32()),
            _ => convert(&self.bytes, values, f32::from_le_bytes),
        }
        Ok(())
    }
}

fn is_float(kind: Dtype) -> bool {
    matches!(kind, Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::BF16)
}

fn convert<const N: usize>(bytes: &[u8], values: &mut Vec<f32>, one: impl Fn([u8; N]) -> f32) {
    values.extend(bytes.as_chunks::<N>().0.iter().map(|b| one(*b)));
}

impl Params {
    /// The floating-point tensors of a safetensors file.
    ///
    /// A prefix `module.` on every key is taken off, counters (`num_batches_tracked`) are dropped, and the keys of the
    /// published URIE weights and of torchvision's ResNets are taken for ours.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self::new(Source::File(TensorFile::open(path)?)))
    }

    /// Fresh parameters, each drawn from a stream named by its path below `root`.
    pub fn from_seed(seed: u64, root: &'static str) -> Self {
        Self::new(Source::Seed { seed, root })
    }

    fn new(source: Source) -> Self {
        Self { source, values: Vec::new(), mismatch: Mismatch::default(), failure: None }
    }

    /// The parameter at `key`, row-major; zeros if the file does not have it in this shape, which [`Params::finish`]
    /// then reports.
    pub fn take(&mut self, key: &str, shape: &[usize], init: Init) -> &mut [f32] {
        let len = shape.iter().product();
        self.values.clear();
        match &mut self.source {
            Source::Seed { seed, root } => {
                fresh(*seed, &format!("{root}.{key}"), len, init, &mut self.values)
            }
            Source::File(file) => match file.tensors.remove(key) {
                Some((_, info)) if info.shape == shape => {
                    if let Err(error) = file.read(&info, &mut self.values) {
                        self.failure.get_or_insert(error);
                    }
                }
                Some((_, info)) => self.mismatch.shapes.push((key.to_owned(), shape.to_vec(), info.shape)),
                None => self.mismatch.missing.push(key.to_owned()),
            },
        }
        self.values.resize(len, 0.0);
        &mut self.values
    }

    /// Reports what could not be read, was missing, of another shape, or left over. `network` goes into the error.
    pub fn finish(self, network: &str) -> Result<(), Error> {
        let Source::File(TensorFile { path, tensors, .. }) = self.source else { return Ok(()) };
        if let Some(source) = self.failure {
            return Err(Error::Io { path, source });
        }
        let unexpected = tensors.into_values().map(|(key, _)| key).collect();
        let mismatch = Mismatch { unexpected, ..self.mismatch };
        if mismatch.is_empty() {
            return Ok(());
        }
        Err(Error::Mismatch { path, network: network.to_owned(), mismatch })
    }
}

fn fresh(seed: u64, path: &str, len: usize, init: Init, values: &mut Vec<f32>) {
    let mut stream = Stream::new(seed, &["init", path]);
    match init {
        Init::Constant(value) => values.resize(len, value),
        Init::Uniform { fan_in } => {
            let bound = (fan_in as f64).sqrt().recip();
            values.extend((0..len).map(|_| stream.range(-bound, bound) as f32));
        }
        Init::Normal { fan_out } => {
            let deviation = (2.0 / fan_out as f64).sqrt();
            values.extend((0..len).map(|_| (stream.normal() * deviation) as f32));
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
        let draw = |seed, path| {
            let mut values = Vec::new();
            fresh(seed, path, 8, Init::Uniform { fan_in: 4 }, &mut values);
            values
        };
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert!(draw(1, "a").iter().all(|v| v.abs() <= 0.5));
    }
}
