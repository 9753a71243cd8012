//! PyTorch's checkpoints: a zip archive with a pickle and a file for each storage (since 1.6), a chain of pickles with the
//! storages after them (before), or a tar of those (before 0.1.10).
//!
//! A tensor is a piece of a storage: offset, shape and strides are held against the storage's bytes here, once for all.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use dyntta_files::{Limits, shown_text};

use crate::pickle::{self, Id, Object, Pickle, Value};
use crate::source::Source;
use crate::tensor::{Dtype, Storage, Tensor, elements};
use crate::weights::Contents;
use crate::zip;

/// Collections and objects that are looked into to find the tensors, at most: each as often as it is reached.
const MOST_STEPS: usize = 2_000_000;

/// Elements that a tensor may have though its storage has fewer: a number repeated.
const SMALL: usize = 4096;

/// What marks the first pickle of an old checkpoint: 0x1950a86a20f9469cfc6c, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// The type of a storage's or tensor's elements by PyTorch's name for it.
fn dtype(name: &str) -> Dtype {
    let short = name.strip_suffix("Storage").unwrap_or(name);
    match short {
        "Float" | "float32" | "float" => Dtype::F32,
        "Double" | "float64" | "double" => Dtype::F64,
        "Half" | "float16" | "half" => Dtype::F16,
        "BFloat16" | "bfloat16" => Dtype::BF16,
        "Long" | "int64" | "long" => Dtype::Whole("i64"),
        "Int" | "int32" | "int" => Dtype::Whole("i32"),
        "Short" | "int16" | "short" => Dtype::Whole("i16"),
        "Char" | "int8" => Dtype::Whole("i8"),
        "Byte" | "uint8" | "Untyped" => Dtype::Whole("u8"),
        "uint16" => Dtype::Whole("u16"),
        "uint32" => Dtype::Whole("u32"),
        "uint64" => Dtype::Whole("u64"),
        "Bool" | "bool" => Dtype::Whole("bool"),
        _ if short.starts_with('Q') || short.starts_with('q') => Dtype::Other(format!("quantised ({short})")),
        _ => Dtype::Other(short.to_owned()),
    }
}

/// A storage as a pickle names it.
struct Reference {
    dtype: Dtype,
    key: String,
    /// Where a view of it begins, in elements.
    offset: usize,
}

fn reference(pickle: &Pickle, id: Id) -> Option<Reference> {
    let Value::Persistent(id) = pickle.get(id) else { return None };
    let [what, class, key, rest @ ..] = pickle.sequence(*id)? else { return None };
    if pickle.text(*what) != Some("storage") {
        return None;
    }
    let (_, class) = pickle.global(*class)?;
    let key = match pickle.get(*key) {
        Value::Text(key) => key.clone(),
        Value::Int(key) => key.to_string(),
        _ => return None,
    };
    // Location, length and, in old files, a view: its key, offset and length.
    let view = rest.get(2).and_then(|id| pickle.sequence(*id)).and_then(|view| view.get(1));
    let offset = match view {
        Some(offset) => pickle.size(*offset)?,
        None => 0,
    };
    Some(Reference { dtype: dtype(class), key, offset })
}

/// The storage of a key.
type Storages<'a> = &'a dyn Fn(&str) -> Option<Rc<Storage>>;

struct Walk<'a> {
    pickle: &'a Pickle,
    storages: Storages<'a>,
    /// Tensors of tar checkpoints, which their pickle names by number.
    numbered: Option<&'a HashMap<String, Tensor>>,
    limits: &'a Limits,
    nothing: Rc<Storage>,
    steps: usize,
    above: HashSet<Id>,
    tensors: BTreeMap<String, Tensor>,
}

impl Walk<'_> {
    /// A tensor that is there but can't be read, and why.
    fn unread(&self, shape: Vec<usize>, why: String) -> Tensor {
        let storage = self.nothing.clone();
        Tensor { dtype: Dtype::Other(why), shape, storage, offset: 0, strides: None, twice: false }
    }

    /// The tensor that an object is, if it is one.
    fn tensor(&self, object: &Object) -> Option<Tensor> {
        let (module, name) = self.pickle.global(object.class)?;
        if !module.starts_with("torch.") || !name.starts_with("_rebuild") {
            return None;
        }
        let arguments = self.pickle.sequence(object.arguments)?;
        match name {
            "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3" => {
                Some(self.piece(arguments, name).unwrap_or_else(|why| self.unread(Vec::new(), why)))
            }
            "_rebuild_device_tensor_from_cpu_tensor" => match self.pickle.get(*arguments.first()?) {
                Value::Object(inner) if inner.class != object.class => self.tensor(inner),
                _ => None,
            },
            _ => {
                let kind = name.trim_start_matches("_rebuild_").trim_end_matches("_v2");
                let kind = match kind {
                    "qtensor" => "quantised",
                    "sparse_tensor" | "sparse_csr_tensor" => "sparse",
                    "nested_tensor" => "nested",
                    "meta_tensor_no_storage" => "without values",
                    other => other,
                };
                Some(self.unread(Vec::new(), kind.to_owned()))
            }
        }
    }

    fn piece(&self, arguments: &[Id], name: &str) -> Result<Tensor, String> {
        let pickle = self.pickle;
        let [storage, offset, shape, strides, rest @ ..] = arguments else {
            return Err("without a shape".into());
        };
        let named = reference(pickle, *storage).ok_or("without a storage")?;
        let sizes = |id: Id| -> Option<Vec<usize>> {
            // A shape may be wrapped into a class of its own.
            let id = match pickle.get(id) {
                Value::Object(object) => *pickle.sequence(object.arguments)?.first()?,
                _ => id,
            };
            pickle.sequence(id)?.iter().map(|id| pickle.size(*id)).collect()
        };
        let shape = sizes(*shape).ok_or("of a shape that is none")?;
        let strides = sizes(*strides).ok_or("of strides that are none")?;
        let dtype = match rest.get(2).filter(|_| name.ends_with("v3")).and_then(|id| pickle.global(*id)) {
            Some((_, name)) => dtype(name),
            None => named.dtype,
        };
        let offset = pickle.size(*offset).and_then(|o| o.checked_add(named.offset));
        let offset = offset.ok_or("at a place that is none")?;
        let Some(storage) = (self.storages)(&named.key) else {
            return Ok(
                self.unread(shape, format!("of storage `{}`, which is missing", shown_text(&named.key)))
            );
        };
        Ok(match fitted(&dtype, shape, strides, offset, storage, self.limits) {
            Ok(tensor) => tensor,
            Err((shape, why)) => self.unread(shape, why),
        })
    }

    /// Collects the tensors that a value holds under their paths, joined by dots: of dicts by key, of lists by number, of
    /// objects by attribute, and of a whole network (`nn.Module`) as its state dict would name them.
    fn value(&mut self, id: Id, path: &mut String, depth: usize) -> Result<(), String> {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return Err("a pickle of more values than are followed".into());
        }
        let pickle = self.pickle;
        match pickle.get(id) {
            Value::Object(object) => {
                if let Some(tensor) = self.tensor(object) {
                    self.add(path, tensor);
                    return Ok(());
                }
            }
            Value::Persistent(number) => {
                let key = pickle
                    .text(*number)
                    .map(str::to_owned)
                    .or_else(|| pickle.int(*number).map(|n| n.to_string()));
                if let (Some(numbered), Some(key)) = (self.numbered, key)
                    && let Some(tensor) = numbered.get(&key)
                {
                    self.add(path, tensor.clone());
                }
                return Ok(());
            }
            Value::Dict(_) | Value::List(_) | Value::Tuple(_) => {}
            _ => return Ok(()),
        }
        if depth > self.limits.depth || !self.above.insert(id) {
            return Ok(());
        }
        let done = self.inside(id, path, depth);
        self.above.remove(&id);
        done
    }

    fn add(&mut self, path: &str, tensor: Tensor) {
        self.tensors.entry(path.to_owned()).and_modify(|first| first.twice = true).or_insert(tensor);
    }

    fn inside(&mut self, id: Id, path: &mut String, depth: usize) -> Result<(), String> {
        let pickle = self.pickle;
        let children = match pickle.get(id) {
            Value::Dict(pairs) => self.keyed(pairs),
            Value::List(items) | Value::Tuple(items) => self.numbered_items(items),
            Value::Object(object) => {
                if let Some(state) = object.state
                    && let Some(children) = self.network(state)
                {
                    children
                } else {
                    let mut children = self.keyed(&object.pairs);
                    children.extend(self.numbered_items(&object.items));
                    if let Some(state) = object.state {
                        children.extend(self.keyed(pickle.pairs(state)));
                        // What `__slots__` hold comes second.
                        if let Some([_, slots]) = pickle.sequence(state) {
                            children.extend(self.keyed(pickle.pairs(*slots)));
                        }
                    }
                    children
                        .extend(self.numbered_items(pickle.sequence(object.arguments).unwrap_or_default()));
                    children
                }
            }
            _ => Vec::new(),
        };
        for (name, child) in children {
            let length = path.len();
            if !path.is_empty() && !name.is_empty() {
                path.push('.');
            }
            path.push_str(&name);
            let done = self.value(child, path, depth + 1);
            path.truncate(length);
            done?;
        }
        Ok(())
    }

    /// Whether a value may hold tensors.
    fn holds(&self, id: Id) -> bool {
        matches!(
            self.pickle.get(id),
            Value::Object(_) | Value::Dict(_) | Value::List(_) | Value::Tuple(_) | Value::Persistent(_)
        )
    }

    /// Values that may hold tensors, by their place.
    fn numbered_items(&self, items: &[Id]) -> Vec<(String, Id)> {
        let items = items.iter().enumerate().filter(|(_, id)| self.holds(**id));
        items.map(|(i, id)| (i.to_string(), *id)).collect()
    }

    /// Values that may hold tensors, by their keys, where those are texts or numbers.
    fn keyed(&self, pairs: &[(Id, Id)]) -> Vec<(String, Id)> {
        let key = |id: Id| match self.pickle.get(id) {
            Value::Text(text) => Some(text.clone()),
            Value::Int(n) => Some(n.to_string()),
            _ => None,
        };
        let pairs = pairs.iter().filter(|(_, value)| self.holds(*value));
        pairs.filter_map(|(k, value)| Some((key(*k)?, *value))).collect()
    }

    /// What a network's state dict holds: its parameters, its lasting buffers and, under their names, its parts.
    fn network(&self, state: Id) -> Option<Vec<(String, Id)>> {
        let pickle = self.pickle;
        let (parameters, parts) = (pickle.field(state, "_parameters")?, pickle.field(state, "_modules")?);
        let mut children = self.keyed(pickle.pairs(parameters));
        let passing: Vec<&str> = match pickle.field(state, "_non_persistent_buffers_set") {
            Some(set) => match pickle.get(set) {
                // A set is a call of `set` with a list, or a list here.
                Value::Object(object) => pickle
                    .sequence(object.arguments)
                    .and_then(|a| pickle.sequence(*a.first()?))
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|id| pickle.text(*id))
                    .collect(),
                _ => pickle
                    .sequence(set)
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|id| pickle.text(*id))
                    .collect(),
            },
            None => Vec::new(),
        };
        if let Some(buffers) = pickle.field(state, "_buffers") {
            let buffers = self.keyed(pickle.pairs(buffers));
            children.extend(buffers.into_iter().filter(|(name, _)| !passing.contains(&name.as_str())));
        }
        children.extend(self.keyed(pickle.pairs(parts)));
        Some(children)
    }
}

/// The tensor of this shape, if all its elements lie in the storage; else the shape and why it can't be read.
fn fitted(
    dtype: &Dtype,
    shape: Vec<usize>,
    strides: Vec<usize>,
    offset: usize,
    storage: Rc<Storage>,
    limits: &Limits,
) -> Result<Tensor, (Vec<usize>, String)> {
    let size = dtype.size();
    let tensor = |strides| Tensor {
        dtype: dtype.clone(),
        shape: shape.clone(),
        storage: storage.clone(),
        offset,
        strides,
        twice: false,
    };
    if size == 0 {
        return Ok(tensor(None));
    }
    let count = match elements(&shape) {
        Some(count) if count <= limits.tensor_elements => count,
        _ => return Err((shape, format!("of more than {} elements", limits.tensor_elements))),
    };
    let held = usize::try_from(storage.bytes).unwrap_or(usize::MAX) / size;
    if strides.len() != shape.len() {
        return Err((shape, "of more or fewer strides than dimensions".into()));
    }
    if count == 0 {
        return Ok(tensor(None));
    }
    let last = shape
        .iter()
        .zip(&strides)
        .try_fold(offset, |at, (side, stride)| at.checked_add(stride.checked_mul(side - 1)?));
    if last.is_none_or(|last| last >= held) {
        return Err((shape, format!("beyond the end of its storage of {held} elements")));
    }
    if count > held.max(SMALL) {
        return Err((shape, format!("of {count} elements made of {held} by repeating them")));
    }
    let mut next = 1;
    let in_order = shape.iter().zip(&strides).rev().all(|(side, stride)| {
        let fits = *side == 1 || *stride == next;
        next *= side;
        fits
    });
    Ok(tensor((!in_order).then_some(strides)))
}

/// The tensors that a pickle holds.
fn tensors(
    pickle: &Pickle,
    storages: Storages<'_>,
    numbered: Option<&HashMap<String, Tensor>>,
    limits: &Limits,
) -> Result<BTreeMap<String, Tensor>, String> {
    let nothing = Rc::new(Storage { source: 0, start: 0, bytes: 0, crc: None, big_endian: false });
    let (above, found) = (HashSet::new(), BTreeMap::new());
    let mut walk = Walk { pickle, storages, numbered, limits, nothing, steps: 0, above, tensors: found };
    walk.value(pickle.root, &mut String::new(), 0)?;
    Ok(walk.tensors)
}

/// The names of architectures that a checkpoint gives beside the weights: `arch`, and `model` or `arch` of the arguments that
/// a training script kept.
fn told(pickle: &Pickle) -> Vec<(String, String)> {
    let mut told = Vec::new();
    if let Some(name) = pickle.field(pickle.root, "arch").and_then(|id| pickle.text(id)) {
        told.push(("its `arch`".to_owned(), name.to_owned()));
    }
    if let Some(arguments) = pickle.field(pickle.root, "args") {
        let state = match pickle.get(arguments) {
            Value::Object(object) => object.state.unwrap_or(arguments),
            _ => arguments,
        };
        for key in ["model", "arch"] {
            if let Some(name) = pickle.field(state, key).and_then(|id| pickle.text(id)) {
                told.push((format!("its `args.{key}`"), name.to_owned()));
            }
        }
    }
    told
}

/// What a zip archive of PyTorch holds.
///
/// # Errors
/// What is wrong with it, or what else it is, in words.
pub(crate) fn read_zip(source: &Source, limits: &Limits) -> Result<Contents, String> {
    let entries = zip::entries(source, limits.entries.min(1_000_000))?;
    let has = |end: &str| entries.keys().find_map(|name| name.strip_suffix(end));
    let roots: Vec<&str> = entries.keys().filter_map(|name| name.strip_suffix("data.pkl")).collect();
    let Some(root) = roots.iter().filter(|root| root.matches('/').count() <= 1).min_by_key(|root| root.len())
    else {
        return Err(other_zip(&entries).into());
    };
    if has("constants.pkl").is_some() || entries.keys().any(|name| name.starts_with(&format!("{root}code/")))
    {
        return Err("a TorchScript archive (save the network's state_dict() with torch.save instead, or export it to ONNX)".into());
    }
    let bytes = |name: &str, limit: u64| -> Result<Option<Vec<u8>>, String> {
        let Some(entry) = entries.get(&format!("{root}{name}")) else { return Ok(None) };
        if !entry.stored {
            return Err(format!("a compressed entry `{name}`, which PyTorch doesn't write"));
        }
        if entry.bytes > limit {
            return Err(format!("an entry `{name}` of more than {limit} bytes"));
        }
        let bytes = source.read(entry.start, entry.bytes).map_err(|e| format!("a damaged one ({e})"))?;
        if entry.crc.is_some_and(|crc| crc != rawzip::crc32(&bytes)) {
            return Err(format!("a damaged one (the checksum of `{name}` is wrong)"));
        }
        Ok(Some(bytes))
    };
    let data = bytes("data.pkl", limits.text_bytes)?.unwrap_or_default();
    let pickle = pickle::read(&data)?;
    let big_endian = bytes("byteorder", 64)?.is_some_and(|order| order.trim_ascii() == b"big");
    let known: RefCell<HashMap<String, Rc<Storage>>> = RefCell::default();
    let storage = |key: &str| -> Option<Rc<Storage>> {
        let mut known = known.borrow_mut();
        if let Some(storage) = known.get(key) {
            return Some(storage.clone());
        }
        let entry = entries.get(&format!("{root}data/{key}")).filter(|entry| entry.stored)?;
        let storage =
            Storage { source: 0, start: entry.start, bytes: entry.bytes, crc: entry.crc, big_endian };
        let storage = Rc::new(storage);
        known.insert(key.to_owned(), storage.clone());
        Some(storage)
    };
    let tensors = tensors(&pickle, &storage, None, limits)?;
    Ok(Contents { tensors, told: told(&pickle), ..Contents::default() })
}

/// What a zip archive without PyTorch's pickle is.
fn other_zip(entries: &BTreeMap<String, zip::Entry>) -> &'static str {
    let any = |f: &dyn Fn(&str) -> bool| entries.keys().any(|name| f(name));
    if any(&|n| n.ends_with("model.weights.h5")) {
        "a Keras model"
    } else if any(&|n| n.ends_with(".npy")) {
        "a NumPy archive"
    } else if any(&|n| n.ends_with("models/model.json") || n.ends_with("serialized_exported_program.json")) {
        "a program of torch.export (save the network's state_dict() with torch.save instead, or export it to ONNX)"
    } else if any(&|n| n.ends_with(".pth") || n.ends_with(".pt") || n.ends_with(".safetensors")) {
        "a zip archive with weight files in it (unpack it)"
    } else {
        "a zip archive without PyTorch's data.pkl"
    }
}

/// What an old checkpoint holds: pickles of a magic number, the format's version, the machine, the object and the storages'
/// keys, then the storages.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn read_legacy(bytes: &[u8], limits: &Limits) -> Result<Contents, String> {
    let mut at = 0;
    let mut next = || -> Result<Pickle, String> {
        let pickle = pickle::read(bytes.get(at..).unwrap_or_default())?;
        at += pickle.length;
        Ok(pickle)
    };
    let magic = next()?;
    if *magic.root() != Value::Long(MAGIC.to_vec()) {
        return Err(match magic.root() {
            Value::Dict(_) | Value::Object(_) => "a pickle that torch.save didn't write".into(),
            _ => "a pickle of something else".to_owned(),
        });
    }
    let version = next()?;
    if version.int(version.root) != Some(1001) {
        return Err("a PyTorch checkpoint of an unknown version".into());
    }
    next()?;
    let (pickle, keys) = (next()?, next()?);
    let storages = legacy_storages(bytes, at, &pickle, &keys)?;
    let tensors = tensors(&pickle, &|key| storages.get(key).cloned(), None, limits)?;
    Ok(Contents { tensors, told: told(&pickle), ..Contents::default() })
}

/// Each storage is its number of elements in 8 bytes, then the elements, little-endian.
fn legacy_storages(
    bytes: &[u8],
    mut at: usize,
    pickle: &Pickle,
    keys: &Pickle,
) -> Result<HashMap<String, Rc<Storage>>, String> {
    let sizes: HashMap<String, usize> = (0..pickle.count())
        .filter_map(|id| reference(pickle, id))
        .map(|r| {
            let size = match &r.dtype {
                Dtype::Other(name) => other_size(name),
                known => known.size(),
            };
            (r.key, size)
        })
        .collect();
    let broken = || "a PyTorch checkpoint that breaks off".to_owned();
    let mut storages = HashMap::new();
    for id in keys.sequence(keys.root).ok_or("a damaged PyTorch checkpoint (no list of storages)")? {
        let key = match keys.get(*id) {
            Value::Text(key) => key.clone(),
            Value::Int(key) => key.to_string(),
            _ => return Err("a damaged PyTorch checkpoint (a storage without a key)".into()),
        };
        let count = bytes.get(at..).and_then(|b| b.first_chunk::<8>()).map(|b| u64::from_le_bytes(*b));
        let count = count.and_then(|n| usize::try_from(n).ok()).ok_or_else(broken)?;
        at += 8;
        let size = *sizes.get(&key).ok_or("a PyTorch checkpoint with a storage of unknown type")?;
        let length = count.checked_mul(size).ok_or_else(broken)?;
        let end = at.checked_add(length).filter(|end| *end <= bytes.len()).ok_or_else(broken)?;
        let storage =
            Storage { source: 0, start: at as u64, bytes: length as u64, crc: None, big_endian: false };
        storages.insert(key, Rc::new(storage));
        at = end;
    }
    Ok(storages)
}

/// Bytes of an element of a type that isn't read, so that what follows it is found.
fn other_size(name: &str) -> usize {
    match name {
        "ComplexDouble" => 16,
        "ComplexFloat" => 8,
        "quantised (QInt32)" => 4,
        _ => 1,
    }
}

/// What a tar checkpoint holds: `storages`, `tensors` and the `pickle` that names them.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn read_tar(bytes: &[u8], limits: &Limits) -> Result<Contents, String> {
    let files = tar_files(bytes);
    let file = |name: &str| {
        let range = files
            .get(name)
            .cloned()
            .ok_or("a tar archive that is no PyTorch checkpoint (unpack it, and name a file of it)")?;
        Ok::<_, String>((range.start, &bytes[range]))
    };
    let ((base, stored), (_, listed), (_, object)) = (file("storages")?, file("tensors")?, file("pickle")?);
    let storages = tar_storages(base, stored)?;
    let numbered = tar_tensors(listed, &storages, limits)?;
    let pickle = pickle::read(object)?;
    let tensors = tensors(&pickle, &|_| None, Some(&numbered), limits)?;
    Ok(Contents { tensors, told: told(&pickle), ..Contents::default() })
}

/// Where the files of a tar archive lie.
fn tar_files(bytes: &[u8]) -> HashMap<String, std::ops::Range<usize>> {
    const BLOCK: usize = 512;
    let mut files = HashMap::new();
    let mut at = 0;
    while let Some(header) = bytes.get(at..at + BLOCK) {
        let field = |from: usize, to: usize| {
            let field = &header[from..to];
            let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
            String::from_utf8_lossy(&field[..end]).trim().to_owned()
        };
        let Ok(size) = usize::from_str_radix(&field(124, 136), 8) else { break };
        let start = at + BLOCK;
        let Some(end) = start.checked_add(size).filter(|end| *end <= bytes.len()) else { break };
        files.insert(field(0, 100).trim_start_matches("./").to_owned(), start..end);
        at = end.div_ceil(BLOCK) * BLOCK;
    }
    files
}

/// A reader of pickles and numbers, one after the other.
struct Stream<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Stream<'_> {
    fn pickle(&mut self) -> Result<Pickle, String> {
        let pickle = pickle::read(self.bytes.get(self.at..).unwrap_or_default())?;
        self.at += pickle.length;
        Ok(pickle)
    }

    fn size(&mut self) -> Result<usize, String> {
        let bytes = self.bytes.get(self.at..).and_then(|b| b.first_chunk::<8>());
        self.at += 8;
        bytes
            .and_then(|b| usize::try_from(u64::from_le_bytes(*b)).ok())
            .ok_or_else(|| "a damaged PyTorch checkpoint (a length is missing)".to_owned())
    }
}

fn name(pickle: &Pickle, id: Id) -> Option<String> {
    pickle.text(id).map(str::to_owned).or_else(|| pickle.int(id).map(|n| n.to_string()))
}

/// Storages and views of them: by key, the type, the storage and the first element.
type Stored = HashMap<String, (Dtype, Rc<Storage>, usize)>;

fn tar_storages(base: usize, bytes: &[u8]) -> Result<Stored, String> {
    let damaged = || "a damaged PyTorch checkpoint (its storages)".to_owned();
    let mut stream = Stream { bytes, at: 0 };
    let count = stream.pickle()?;
    let mut storages = Stored::new();
    for _ in 0..count.size(count.root).ok_or_else(damaged)? {
        let about = stream.pickle()?;
        let Some([key, _, class]) = about.sequence(about.root) else { return Err(damaged()) };
        let kind = dtype(about.global(*class).ok_or_else(damaged)?.1);
        let length = stream.size()?.checked_mul(kind.size()).ok_or_else(damaged)?;
        let end = stream.at.checked_add(length).filter(|end| *end <= bytes.len()).ok_or_else(damaged)?;
        let start = (base + stream.at) as u64;
        stream.at = end;
        let storage = Storage { source: 0, start, bytes: length as u64, crc: None, big_endian: false };
        storages.insert(name(&about, *key).ok_or_else(damaged)?, (kind, Rc::new(storage), 0));
    }
    let views = stream.pickle()?;
    for view in views.sequence(views.root).unwrap_or_default() {
        let Some([target, root, offset, _]) = views.sequence(*view) else { return Err(damaged()) };
        let root = name(&views, *root).and_then(|root| storages.get(&root)).cloned().ok_or_else(damaged)?;
        let offset = views.size(*offset).ok_or_else(damaged)?;
        storages.insert(name(&views, *target).ok_or_else(damaged)?, (root.0, root.1, offset));
    }
    Ok(storages)
}

fn tar_tensors(bytes: &[u8], storages: &Stored, limits: &Limits) -> Result<HashMap<String, Tensor>, String> {
    let damaged = || "a damaged PyTorch checkpoint (its tensors)".to_owned();
    let mut stream = Stream { bytes, at: 0 };
    let count = stream.pickle()?;
    let mut tensors = HashMap::new();
    for _ in 0..count.size(count.root).ok_or_else(damaged)? {
        let about = stream.pickle()?;
        let Some([key, storage, _]) = about.sequence(about.root) else { return Err(damaged()) };
        // Four bytes, and four that were once a part of it.
        let dimensions = stream.size()? & 0xffff_ffff;
        if dimensions > 64 {
            return Err(damaged());
        }
        let shape: Vec<usize> = (0..dimensions).map(|_| stream.size()).collect::<Result<_, _>>()?;
        let strides: Vec<usize> = (0..dimensions).map(|_| stream.size()).collect::<Result<_, _>>()?;
        let offset = stream.size()?;
        let stored = name(&about, *storage).and_then(|s| storages.get(&s)).cloned();
        let (dtype, storage, base) = stored.ok_or_else(damaged)?;
        let offset = offset.checked_add(base).ok_or_else(damaged)?;
        let tensor = fitted(&dtype, shape, strides, offset, storage, limits).map_err(|_| damaged())?;
        tensors.insert(name(&about, *key).ok_or_else(damaged)?, tensor);
    }
    Ok(tensors)
}
