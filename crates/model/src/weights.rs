//! A weight file of any format: its tensors by key, read one by one as they are asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use dyntta_files::{Limits, describe, sha256, shown, shown_text};

use crate::error::Error;
use crate::safetensors;
use crate::sets::{self, Choice, Shapes};
use crate::source::Source;
use crate::tensor::{Dtype, Entry, StateDict, Storage, Tensor};
use crate::torch;

/// What a reader of one format finds.
#[derive(Default)]
pub(crate) struct Contents {
    pub tensors: BTreeMap<String, Tensor>,
    /// Names of architectures, and where they stand.
    pub told: Vec<(String, String)>,
    pub metadata: HashMap<String, String>,
}

/// The names that a folder's weights have, in the order in which they are looked for.
const NAMES: [&str; 6] = [
    "classifier.safetensors",
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "open_clip_model.safetensors",
];

/// Elements that a set may have beyond what the file's bytes account for.
const SPARE: usize = 1 << 20;

/// The weight file that a path leads to: itself, or of a folder the one that is there by its usual name.
///
/// # Errors
/// If a folder has none of them.
pub fn weights_of(path: &Path) -> Result<PathBuf, Error> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    NAMES.iter().map(|name| path.join(name)).find(|file| file.is_file()).ok_or_else(|| {
        Error::format(
            path,
            format!("a weight file, or a folder with one of {}", NAMES.join(", ")),
            "none of them",
        )
    })
}

/// A weight file: PyTorch (zip, legacy or tar), safetensors, or either in shards; told apart by its bytes, whatever its name.
///
/// Opening reads what the file says of its tensors; their values are read when they are asked for.
pub struct WeightFile {
    path: PathBuf,
    sources: Vec<Source>,
    tensors: BTreeMap<String, Tensor>,
    told: Vec<(String, String)>,
    metadata: HashMap<String, String>,
    limits: Limits,
}

impl std::fmt::Debug for WeightFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WeightFile").field("path", &self.path).field("tensors", &self.tensors.len()).finish()
    }
}

impl WeightFile {
    /// Opens a file, an index of shards, or a folder with either by its usual name.
    ///
    /// # Errors
    /// If it can't be read, is larger than `limits` allow, damaged, or something else: then it is named as that.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self, Error> {
        let path = weights_of(path)?;
        let file = dyntta_files::open(&path)?;
        Self::of_file(&path, file, limits)
    }

    /// [`Self::open`] with the file at hand that `path` leads to.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn of_file(path: &Path, file: File, limits: &Limits) -> Result<Self, Error> {
        let path = path.to_owned();
        let source = source(&path, file, limits)?;
        let head = source.head(512).map_err(dyntta_files::Error::io(&path, "read"))?;
        if head.trim_ascii_start().first() == Some(&b'{') && !is_safetensors(&head) {
            return Self::open_index(&path, limits);
        }
        Self::new(path, source, limits)
    }

    /// Reads a file's bytes; `name` stands for it in messages.
    ///
    /// # Errors
    /// As [`Self::open`]; an index of shards is not read.
    pub fn from_bytes(bytes: Vec<u8>, name: &Path, limits: &Limits) -> Result<Self, Error> {
        if bytes.len() as u64 > limits.model_bytes {
            return Err(
                dyntta_files::Error::TooLarge { path: name.to_owned(), limit: limits.model_bytes }.into()
            );
        }
        Self::new(name.to_owned(), Source::Memory(bytes), limits)
    }

    /// The SHA-256 of its bytes in hexadecimal digits; of shards that of their digests, in the order of their names.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn sha256(&self) -> Result<String, Error> {
        let all: std::io::Result<Vec<String>> =
            self.sources.iter().map(|source| sha256(source.bytes())).collect();
        let digest = all.and_then(|mut all| match all.len() {
            1 => Ok(all.remove(0)),
            _ => sha256(all.concat().as_bytes()),
        });
        Ok(digest.map_err(dyntta_files::Error::io(&self.path, "read"))?)
    }

    fn new(path: PathBuf, source: Source, limits: &Limits) -> Result<Self, Error> {
        let (contents, source) = read(&path, source, limits)?;
        let Contents { tensors, told, metadata } = contents;
        Ok(Self { path, sources: vec![source], tensors, told, metadata, limits: *limits })
    }

    fn open_index(path: &Path, limits: &Limits) -> Result<Self, Error> {
        let text = dyntta_files::read_text(path, limits.text_bytes)?;
        let wrong = |found: String| Error::format(path, EXPECTED, found);
        let map = safetensors::read_index(&text).map_err(wrong)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let names: BTreeSet<&String> = map.values().collect();
        let mut file = Self {
            path: path.to_owned(),
            sources: Vec::new(),
            tensors: BTreeMap::new(),
            told: Vec::new(),
            metadata: HashMap::new(),
            limits: *limits,
        };
        let mut bytes = 0u64;
        for name in names {
            let shard = folder.join(name);
            let (contents, source) = read(&shard, open(&shard, limits)?, limits)?;
            bytes = bytes.saturating_add(source.len());
            if bytes > limits.model_bytes {
                return Err(dyntta_files::Error::TooLarge {
                    path: path.to_owned(),
                    limit: limits.model_bytes,
                }
                .into());
            }
            let number = file.sources.len();
            file.sources.push(source);
            for (key, mut tensor) in contents.tensors {
                let s = &tensor.storage;
                let (start, bytes, crc, big_endian) = (s.start, s.bytes, s.crc, s.big_endian);
                tensor.storage = Rc::new(Storage { source: number, start, bytes, crc, big_endian });
                if map.get(&key) != Some(name) {
                    return Err(wrong(format!(
                        "{}: `{}`, which it does not list there",
                        shown(&shard),
                        shown_text(&key)
                    )));
                }
                file.tensors.insert(key, tensor);
            }
        }
        if let Some((key, name)) = map.iter().find(|(key, _)| !file.tensors.contains_key(*key)) {
            return Err(wrong(format!("`{}`, which {} does not hold", shown_text(key), shown_text(name))));
        }
        Ok(file)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a safetensors file says beside its tensors.
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.metadata
    }

    /// Names of architectures that the file gives beside the weights, each with where it stands.
    pub fn told(&self) -> &[(String, String)] {
        &self.told
    }

    /// Type and shape of every tensor by its whole key.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Dtype, &[usize])> {
        self.tensors.iter().map(|(key, tensor)| (key.as_str(), &tensor.dtype, &tensor.shape[..]))
    }

    /// The shapes of what may be weights, by their whole keys.
    pub(crate) fn shapes(&self) -> Shapes {
        let weights = self.tensors.iter().filter(|(key, tensor)| is_weight(key, tensor));
        weights.map(|(key, tensor)| (key.clone(), tensor.shape.clone())).collect()
    }

    /// Whether two sets of keys, which differ in their prefix, are the same values.
    pub(crate) fn same(&self, keys: &[String], one: &str, other: &str) -> bool {
        keys.iter().all(|key| {
            let get = |prefix: &str| self.tensors.get(&format!("{prefix}{key}"));
            match (get(one), get(other)) {
                (Some(a), Some(b)) => {
                    (a.storage.source, a.storage.start, a.offset, &a.shape, &a.strides)
                        == (b.storage.source, b.storage.start, b.offset, &b.shape, &b.strides)
                }
                _ => false,
            }
        })
    }

    /// The set of weights for which `fits` holds (its keys are those of our networks), or, where there is none, the one that
    /// looks most like weights. `key` names one of several: what stands before its tensors' keys, or the beginning of that.
    ///
    /// # Errors
    /// If there are no weights, none by that name, or several that fit and nothing that prefers one.
    pub fn choose(&self, key: Option<&str>, fits: &dyn Fn(&Shapes) -> bool) -> Result<Choice, Error> {
        sets::choose(self, key, fits)
    }

    /// The tensors of a set, by their keys without what stands before them.
    ///
    /// # Errors
    /// If one can't be read or is of a type that isn't, or they are more than [`Limits`] allow.
    pub fn dict(&self, choice: &Choice) -> Result<StateDict, Error> {
        let mut dict = StateDict::new();
        let mut reader = self.reader(choice)?;
        for key in &choice.keys {
            let mut data = Vec::new();
            reader.read(key, &mut data)?;
            dict.insert(key.clone(), Entry { shape: reader.shape(key).unwrap_or_default().to_vec(), data });
        }
        Ok(dict)
    }

    /// All floating-point tensors by their whole keys, whatever their values are.
    ///
    /// # Errors
    /// As [`Self::dict`].
    pub fn all(&self) -> Result<StateDict, Error> {
        let keys =
            self.tensors.iter().filter(|(_, t)| t.dtype.is_float()).map(|(key, _)| key.clone()).collect();
        let all = Choice { keys, ..Choice::default() };
        let mut reader = Reader { finite: false, ..self.reader(&all)? };
        let mut dict = StateDict::new();
        for key in &all.keys {
            let mut data = Vec::new();
            reader.read(key, &mut data)?;
            dict.insert(key.clone(), Entry { shape: reader.shape(key).unwrap_or_default().to_vec(), data });
        }
        Ok(dict)
    }

    /// Reads tensors of a set one by one.
    ///
    /// # Errors
    /// If the set's elements are together more than [`Limits`] allow, or than the file's bytes can account for.
    pub fn reader<'a>(&'a self, choice: &'a Choice) -> Result<Reader<'a>, Error> {
        let reader =
            Reader { file: self, prefix: &choice.prefix, bytes: Vec::new(), held: None, finite: true };
        let mut elements = 0usize;
        let mut bytes = 0u64;
        for key in &choice.keys {
            if let Some(tensor) = reader.tensor(key) {
                elements = elements.saturating_add(tensor.elements());
                bytes = bytes
                    .saturating_add((tensor.elements() as u64).saturating_mul(tensor.dtype.size() as u64));
            }
        }
        let all: u64 = self.sources.iter().map(Source::len).fold(0, u64::saturating_add);
        let bound = all.saturating_mul(4).saturating_add(4 * SPARE as u64);
        let limit = self.limits.total_elements;
        if elements > limit {
            let path = self.path.clone();
            return Err(Error::TooLarge { path, unit: "elements in all", limit, found: elements });
        }
        if bytes > bound {
            let expected = format!("no more elements than a file of {all} bytes holds");
            return Err(Error::format(&self.path, expected, format!("{elements} elements")));
        }
        Ok(reader)
    }
}

/// Reads the tensors of a set into memory that is used again.
pub struct Reader<'a> {
    file: &'a WeightFile,
    prefix: &'a str,
    bytes: Vec<u8>,
    /// The storage whose bytes those are.
    held: Option<*const Storage>,
    /// Whether values have to be finite.
    finite: bool,
}

impl Reader<'_> {
    fn tensor(&self, key: &str) -> Option<&Tensor> {
        self.file.tensors.get(&format!("{}{key}", self.prefix))
    }

    /// The shape of a tensor of the set.
    pub fn shape(&self, key: &str) -> Option<&[usize]> {
        self.tensor(key).map(|tensor| &tensor.shape[..])
    }

    /// Converts a tensor onto the end of `values`, row-major.
    ///
    /// # Errors
    /// If it isn't there, can't be read, is of a type that isn't read, or holds what is no finite number.
    pub fn read(&mut self, key: &str, values: &mut Vec<f32>) -> Result<(), Error> {
        let file = self.file;
        let path = &file.path;
        let whole = format!("{}{key}", self.prefix);
        let shown_key = shown_text(&whole);
        let Some(tensor) = file.tensors.get(&whole) else {
            return Err(Error::format(path, format!("a tensor `{shown_key}`"), "none"));
        };
        if tensor.twice {
            return Err(Error::format(path, format!("one tensor `{shown_key}`"), "two"));
        }
        if let Dtype::Other(kind) = &tensor.dtype {
            let expected = format!("plain floating-point numbers in `{shown_key}`");
            return Err(Error::format(path, expected, format!("a tensor {kind}")));
        }
        let storage = &tensor.storage;
        let source = file.sources.get(storage.source);
        let io = dyntta_files::Error::io(path, "read");
        if self.held != Some(Rc::as_ptr(storage)) {
            self.held = None;
            let source =
                source.ok_or_else(|| Error::format(path, format!("a file with `{shown_key}`"), "none"))?;
            source.read_into(storage.start, storage.bytes, &mut self.bytes).map_err(io)?;
            if storage.crc.is_some_and(|crc| crc != rawzip::crc32(&self.bytes)) {
                let found = "a damaged one (the checksum is wrong)";
                return Err(Error::format(
                    path,
                    format!("the bytes that were written of `{shown_key}`"),
                    found,
                ));
            }
            self.held = Some(Rc::as_ptr(storage));
        }
        let start = values.len();
        tensor.convert(&self.bytes, values);
        let read = values.get(start..).unwrap_or_default();
        if read.len() != tensor.elements() {
            return Err(Error::format(
                path,
                format!("{} elements of `{shown_key}`", tensor.elements()),
                read.len().to_string(),
            ));
        }
        if self.finite
            && let Some(bad) = read.iter().find(|v| !v.is_finite())
        {
            return Err(Error::NotFinite { path: path.clone(), key: whole, value: *bad });
        }
        Ok(())
    }
}

/// Whether a tensor may belong to a network: counters don't.
fn is_weight(key: &str, tensor: &Tensor) -> bool {
    !matches!(tensor.dtype, Dtype::Whole(_)) && !key.ends_with("num_batches_tracked")
}

const EXPECTED: &str = "a PyTorch checkpoint or a safetensors file";

fn open(path: &Path, limits: &Limits) -> Result<Source, Error> {
    source(path, dyntta_files::open(path)?, limits)
}

fn source(path: &Path, file: File, limits: &Limits) -> Result<Source, Error> {
    let source = Source::file(file).map_err(dyntta_files::Error::io(path, "read"))?;
    if source.len() > limits.model_bytes {
        return Err(dyntta_files::Error::TooLarge { path: path.to_owned(), limit: limits.model_bytes }.into());
    }
    Ok(source)
}

fn is_safetensors(head: &[u8]) -> bool {
    head.get(8) == Some(&b'{')
}

/// Reads what the bytes are of; formats that are read as a whole come back in memory.
fn read(path: &Path, source: Source, limits: &Limits) -> Result<(Contents, Source), Error> {
    let io = || dyntta_files::Error::io(path, "read");
    let head = source.head(512).map_err(io())?;
    let found = |found: String| Error::format(path, EXPECTED, found);
    if is_safetensors(&head) && describe(&head) != Some("a zip archive") {
        let contents = safetensors::read(&source, limits);
        return Ok((contents.map_err(|what| Error::format(path, "a safetensors file", what))?, source));
    }
    if head.starts_with(b"PK\x03\x04") {
        return Ok((torch::read_zip(&source, limits).map_err(found)?, source));
    }
    let legacy = head.first() == Some(&0x80) && head.get(1).is_some_and(|protocol| *protocol <= 5);
    if legacy || head.get(257..262) == Some(b"ustar") {
        let bytes = match source {
            Source::Memory(bytes) => bytes,
            Source::File(..) => source.read(0, source.len()).map_err(io())?,
        };
        let contents =
            if legacy { torch::read_legacy(&bytes, limits) } else { torch::read_tar(&bytes, limits) };
        return Ok((contents.map_err(found)?, Source::Memory(bytes)));
    }
    Err(found(other(&head)))
}

/// What a file is that is no weight file.
fn other(head: &[u8]) -> String {
    if let Some(kind) = describe(head) {
        return match kind {
            "an HDF5 file" => "an HDF5 file, as Keras writes them",
            kind => kind,
        }
        .to_owned();
    }
    if head.starts_with(b"GGUF") {
        return "a GGUF file".into();
    }
    if head.first() == Some(&b'{') {
        return "a JSON file".into();
    }
    // ONNX has no mark: the format's version comes first, then fields that its files begin with.
    if head.first() == Some(&0x08) && head.get(1).is_some_and(|version| (1..=32).contains(version)) {
        return "something that begins as an ONNX graph (name it .onnx)".into();
    }
    let printable = |b: &u8| (b' '..=b'~').contains(b) || b"\t\r\n".contains(b);
    if head.iter().all(printable) {
        let text = String::from_utf8_lossy(head);
        return format!(
            "text: {}",
            shown_text(
                text.lines()
                    .next()
                    .unwrap_or_default()
                    .get(..40)
                    .unwrap_or(text.lines().next().unwrap_or_default())
            )
        );
    }
    "neither: no zip, tar, pickle or safetensors".into()
}
