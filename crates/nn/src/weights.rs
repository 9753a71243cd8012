//! Weight files: PyTorch checkpoints (zip, legacy pickle, tar) and safetensors in, safetensors out; and the keys by
//! which their tensors find their place.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use dyntta_image::write_atomic;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::{Error, Mismatch};

/// A tensor of a weight file, converted to f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The extent of each dimension.
    pub shape: Vec<usize>,
    /// The values, row-major.
    pub data: Vec<f32>,
}

/// The tensors of a weight file by key.
pub type StateDict = BTreeMap<String, Entry>;

/// Reads the weights of a `.pth`/`.pt`/`.th` (zip, legacy pickle or tar) or `.safetensors` file, told apart by their
/// contents.
///
/// What wraps the state dict is taken off: a key such as `state_dict` around it, a prefix such as `module.` before
/// every key. Counters (`num_batches_tracked`) are dropped: nothing here uses them.
///
/// # Errors
/// If the file cannot be read, is neither format, or holds no floating-point tensors.
pub fn read(path: &Path) -> Result<StateDict, Error> {
    let mut head = [0u8; 9];
    let mut file = File::open(path).map_err(Error::io(path))?;
    let n = read_up_to(&mut file, &mut head).map_err(Error::io(path))?;
    let dict = if n == 9 && head[8] == b'{' { read_safetensors(path)?.0 } else { read_pytorch(path)? };
    let dict = unwrap_keys(dict);
    if dict.is_empty() {
        return Err(Error::Format {
            path: path.to_owned(),
            expected: "a state dict with floating-point tensors".into(),
            found: "none".into(),
        });
    }
    Ok(dict)
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut n = 0;
    while n < buffer.len() {
        match file.read(&mut buffer[n..])? {
            0 => break,
            more => n += more,
        }
    }
    Ok(n)
}

/// Reads a safetensors file: its tensors and its metadata.
///
/// # Errors
/// If the file cannot be read or is not safetensors.
pub fn read_safetensors(path: &Path) -> Result<(StateDict, HashMap<String, String>), Error> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let format = |error: safetensors::SafeTensorError| Error::Format {
        path: path.to_owned(),
        expected: "a safetensors file".into(),
        found: error.to_string(),
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(format)?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(format)?;
    let mut dict = StateDict::new();
    for (key, view) in tensors.iter() {
        let data = match view.dtype() {
            Dtype::F32 => floats(view.data(), f32::from_le_bytes),
            Dtype::F64 => floats(view.data(), |b| f64::from_le_bytes(b) as f32),
            Dtype::F16 => floats(view.data(), |b| half::f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => floats(view.data(), |b| half::bf16::from_le_bytes(b).to_f32()),
            _ => continue,
        };
        dict.insert(key.to_owned(), Entry { shape: view.shape().to_vec(), data });
    }
    Ok((dict, header.metadata().clone().unwrap_or_default()))
}

fn floats<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.chunks_exact(N).map(|b| convert(b.try_into().expect("chunks of N"))).collect()
}

fn read_pytorch(path: &Path) -> Result<StateDict, Error> {
    use pytorch_reader::{DType, PytorchReader};
    let format = |found: String| Error::Format {
        path: path.to_owned(),
        expected: "a PyTorch checkpoint or a safetensors file".into(),
        found,
    };
    let reader = PytorchReader::new(path).map_err(|e| format(format!("neither ({e})")))?;
    let mut dict = StateDict::new();
    for (key, tensor) in reader.tensors() {
        let kind = tensor.dtype();
        if !matches!(kind, DType::F32 | DType::F64 | DType::F16 | DType::BF16) {
            continue;
        }
        let bytes = tensor.read().map_err(|e| format(format!("a damaged one ({e})")))?;
        let data = match kind {
            DType::F64 => floats(&bytes, |b| f64::from_ne_bytes(b) as f32),
            DType::F16 => floats(&bytes, |b| half::f16::from_ne_bytes(b).to_f32()),
            DType::BF16 => floats(&bytes, |b| half::bf16::from_ne_bytes(b).to_f32()),
            _ => floats(&bytes, f32::from_ne_bytes),
        };
        dict.insert(key.clone(), Entry { shape: tensor.shape().to_vec(), data });
    }
    Ok(dict)
}

/// Takes off what training scripts wrap around a state dict.
fn unwrap_keys(mut dict: StateDict) -> StateDict {
    dict.retain(|key, _| !key.ends_with("num_batches_tracked"));
    // A training checkpoint holds other tensors beside the weights (optimiser state): the wrapper that holds weights
    // wins. Inside, a prefix counts only where every key has it.
    for wrapper in ["state_dict.", "model_state_dict.", "model.", "net.", "params."] {
        if dict.keys().any(|k| k.starts_with(wrapper) && k.ends_with(".weight")) {
            dict = dict
                .into_iter()
                .filter_map(|(k, v)| Some((k.strip_prefix(wrapper)?.to_owned(), v)))
                .collect();
            break;
        }
    }
    for prefix in ["module.", "_orig_mod.", "model.", "net.", "backbone."] {
        if !dict.is_empty() && dict.keys().all(|k| k.starts_with(prefix)) {
            dict = dict.into_iter().map(|(k, v)| (k[prefix.len()..].to_owned(), v)).collect();
        }
    }
    dict
}

/// Our key for a key of torchvision: the parts of a downsampling shortcut are numbered there, and some of its published
/// files have older names than its networks.
fn torchvision_key(key: &str) -> String {
    let mut renames = vec![
        (".downsample.0.", ".downsample.conv."),
        (".downsample.1.", ".downsample.bn."),
        (".mlp.linear_1.", ".mlp.0."),
        (".mlp.linear_2.", ".mlp.3."),
    ];
    if key.contains(".denselayer") {
        renames = vec![(".norm.", ".norm"), (".conv.", ".conv")];
    }
    renames.into_iter().fold(key.to_owned(), |key, (theirs, ours)| key.replace(theirs, ours))
}

/// Our key for a key of the published URIE weights, where `down1` and `up3` are single convolutions and the others
/// selective ones.
fn urie_key(key: &str) -> String {
    for (theirs, ours) in [("down1.", "stem."), ("up3.", "head.")] {
        if let Some(rest) = key.strip_prefix(theirs) {
            let leaf = rest.rsplit('.').next().expect("split yields one part at least");
            return format!("{ours}{leaf}");
        }
    }
    let places = [
        ("down2.maxpool_conv.1.", "down1."),
        ("down3.maxpool_conv.1.", "down2."),
        ("up1.conv.", "up1."),
        ("up2.conv.", "up2."),
    ];
    let parts = [
        ("conv1.", "conv_a."),
        ("conv2.", "conv_b."),
        ("selector.fc.0.", "squeeze."),
        ("selector.att_conv1.", "attend_a."),
        ("selector.att_conv2.", "attend_b."),
        ("BN.", "bn."),
    ];
    for (theirs, ours) in places {
        if let Some(rest) = key.strip_prefix(theirs) {
            let part = parts.iter().find_map(|(t, o)| Some(format!("{o}{}", rest.strip_prefix(t)?)));
            return format!("{ours}{}", part.unwrap_or_else(|| rest.to_owned()));
        }
    }
    key.to_owned()
}

/// The way this file's keys become ours.
fn key_map(dict: &StateDict) -> fn(&str) -> String {
    if dict.keys().any(|key| key.contains(".maxpool_conv.")) { urie_key } else { torchvision_key }
}

/// Puts weights into a network. Every tensor of the network must be there with its shape, and nothing else.
///
/// # Errors
/// [`Error::Mismatch`] with all that is missing, unexpected or of another shape. `path` and `network` go into it.
pub fn load<M: Module>(module: M, dict: &StateDict, path: &Path, network: &str) -> Result<M, Error> {
    let map = key_map(dict);
    let by_key: HashMap<String, (&String, &Entry)> = dict.iter().map(|(k, v)| (map(k), (k, v))).collect();
    let mut loader = Loader { at: Vec::new(), dict: by_key, mismatch: Mismatch::default() };
    let module = module.map(&mut loader);
    let mut mismatch = loader.mismatch;
    mismatch.unexpected = loader.dict.into_values().map(|(k, _)| k.clone()).collect();
    mismatch.unexpected.sort();
    if mismatch.is_empty() {
        return Ok(module);
    }
    Err(Error::Mismatch { path: path.to_owned(), network: network.to_owned(), mismatch })
}

/// A key is the path through fields and indices; which variant of an enum a network is, is not part of it.
fn enter(at: &mut Vec<String>, name: &str, container: &str) {
    if !container.starts_with("Enum:") {
        at.push(name.to_owned());
    }
}

fn exit(at: &mut Vec<String>, container: &str) {
    if !container.starts_with("Enum:") {
        at.pop();
    }
}

struct Loader<'a> {
    at: Vec<String>,
    dict: HashMap<String, (&'a String, &'a Entry)>,
    mismatch: Mismatch,
}

impl ModuleMapper for Loader<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        enter(&mut self.at, name, container);
    }

    fn exit_module(&mut self, _: &str, container: &str) {
        exit(&mut self.at, container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let key = self.at.join(".");
        let Some((_, entry)) = self.dict.remove(&key) else {
            self.mismatch.missing.push(key);
            return param;
        };
        let expected = param.val().dims().to_vec();
        if entry.shape != expected {
            self.mismatch.shapes.push((key, expected, entry.shape.clone()));
            return param;
        }
        let data = TensorData::new(entry.data.clone(), entry.shape.clone());
        param.map(|old| {
            let new = Tensor::from_data(data, &old.device());
            if old.is_require_grad() { new.require_grad() } else { new }
        })
    }
}

/// The tensors of a network by key.
pub fn state_dict<M: Module>(module: &M) -> StateDict {
    #[derive(Default)]
    struct Collector {
        at: Vec<String>,
        dict: StateDict,
    }
    impl ModuleVisitor for Collector {
        fn enter_module(&mut self, name: &str, container: &str) {
            enter(&mut self.at, name, container);
        }

        fn exit_module(&mut self, _: &str, container: &str) {
            exit(&mut self.at, container);
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let tensor = param.val();
            let shape = tensor.dims().to_vec();
            let data = tensor.into_data().try_to_vec::<f32>().expect("parameters are f32");
            self.dict.insert(self.at.join("."), Entry { shape, data });
        }
    }
    let mut collector = Collector::default();
    module.visit(&mut collector);
    collector.dict
}

/// Writes tensors and metadata as safetensors, whole or not at all.
///
/// # Errors
/// If the file cannot be written; what stood there before stays.
pub fn write(path: &Path, dict: &StateDict, metadata: HashMap<String, String>) -> Result<(), Error> {
    let bytes: BTreeMap<&str, Vec<u8>> = dict
        .iter()
        .map(|(key, entry)| (key.as_str(), entry.data.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views = dict.iter().map(|(key, entry)| {
        let view = TensorView::new(Dtype::F32, entry.shape.clone(), &bytes[key.as_str()]);
        (key.as_str(), view.expect("four bytes a value"))
    });
    let out = safetensors::serialize(views, Some(metadata)).expect("valid views");
    Ok(write_atomic(path, &out)?)
}
