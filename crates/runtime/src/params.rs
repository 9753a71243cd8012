//! Where a network's parameters come from: the tensors of a file by their keys, or a seed.

use std::collections::BTreeMap;

use dyntta_image::Stream;
use dyntta_model::keys::Naming;
use dyntta_model::{Checkpoint, Error, Mismatch, Reader};

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
pub(crate) struct Params<'a> {
    source: Source<'a>,
    values: Vec<f32>,
    mismatch: Mismatch,
    failure: Option<Error>,
}

enum Source<'a> {
    Seed { seed: u64, root: &'static str },
    File(Tensors<'a>),
}

struct Tensors<'a> {
    checkpoint: &'a Checkpoint,
    reader: Reader<'a>,
    naming: Naming,
    /// By our key: the file's own.
    keys: BTreeMap<String, &'a String>,
}

impl<'a> Params<'a> {
    /// The tensors of a checkpoint. The keys of the published URIE weights are taken for ours.
    pub fn of(checkpoint: &'a Checkpoint) -> Result<Self, Error> {
        let (file, choice) = (&checkpoint.file, &checkpoint.weights);
        let keys = checkpoint.keys()?;
        let (reader, naming) = (file.reader(choice)?, choice.naming);
        Ok(Self::new(Source::File(Tensors { checkpoint, reader, naming, keys })))
    }

    /// Fresh parameters, each drawn from a stream named by its path below `root`.
    pub fn from_seed(seed: u64, root: &'static str) -> Self {
        Self::new(Source::Seed { seed, root })
    }

    fn new(source: Source<'a>) -> Self {
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
            Source::File(file) => match file.keys.remove(key) {
                Some(theirs) => {
                    let found = file.naming.shape(theirs, file.reader.shape(theirs).unwrap_or_default());
                    if found != shape {
                        self.mismatch.shapes.push((key.to_owned(), shape.to_vec(), found));
                    } else if let Err(error) = file.reader.read(theirs, &mut self.values) {
                        self.failure.get_or_insert(error);
                    }
                }
                None => self.mismatch.missing.push(key.to_owned()),
            },
        }
        self.values.resize(len, 0.0);
        &mut self.values
    }

    /// Reports what could not be read, was missing, of another shape, or left over.
    pub fn finish(self) -> Result<(), Error> {
        let Source::File(Tensors { checkpoint, keys, .. }) = self.source else { return Ok(()) };
        if let Some(error) = self.failure {
            return Err(error);
        }
        let unexpected = keys.into_values().cloned().collect();
        let mismatch = Mismatch { unexpected, ..self.mismatch };
        if mismatch.is_empty() {
            return Ok(());
        }
        let (path, network) = (checkpoint.file.path().to_owned(), checkpoint.network.clone());
        Err(Error::Mismatch { path, network, mismatch })
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
