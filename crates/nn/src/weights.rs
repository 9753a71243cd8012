//! Weights of files into networks and back. What files say is read by [`dyntta_model`]; here it becomes parameters.

use std::collections::HashMap;
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use dyntta_model::keys::Naming;
use dyntta_model::{Limits, Mismatch, Shapes, WeightFile};

pub use dyntta_model::{Entry, StateDict};

use crate::error::Error;
use crate::proof;

/// Reads the weights of a file, whatever its format ([`WeightFile`]): of several sets the one that is a known
/// architecture's, without what stands before its keys; where none is, the one that looks most like weights.
///
/// # Errors
/// If the file cannot be read, is no weight file, or holds no floating-point tensors, or what is no finite number.
pub fn read(path: &Path) -> Result<StateDict, Error> {
    let file = WeightFile::open(path, &Limits::DEFAULT)?;
    let choice = file.choose(None, &|shapes| !proof::fitting(shapes).is_empty())?;
    Ok(file.dict(&choice)?)
}

/// Reads a safetensors file as it is: its tensors and its metadata.
///
/// # Errors
/// If the file cannot be read or is not safetensors.
pub fn read_safetensors(path: &Path) -> Result<(StateDict, HashMap<String, String>), Error> {
    let file = WeightFile::open(path, &Limits::DEFAULT)?;
    Ok((file.all()?, file.metadata().clone()))
}

/// Writes tensors and metadata as safetensors, whole or not at all.
///
/// # Errors
/// If the file cannot be written; what stood there before stays.
pub fn write(path: &Path, dict: &StateDict, metadata: HashMap<String, String>) -> Result<(), Error> {
    Ok(dyntta_model::write(path, dict, metadata)?)
}

/// The shapes of weights by key.
pub(crate) fn shapes(dict: &StateDict) -> Shapes {
    dict.iter().map(|(key, entry)| (key.clone(), entry.shape.clone())).collect()
}

/// Puts weights into a network; the keys of other implementations are taken for ours ([`Naming`]). Every tensor of the
/// network must be there with its shape, and nothing else.
///
/// # Errors
/// [`dyntta_model::Error::Mismatch`] with all that is missing, unexpected or of another shape; `path` and `network` go into
/// it. An error too if two keys mean the same tensor.
pub fn load<M: Module>(module: M, dict: &StateDict, path: &Path, network: &str) -> Result<M, Error> {
    let naming = Naming::of(&shapes(dict));
    let theirs = naming.theirs(dict.keys()).map_err(|twice| {
        dyntta_model::Error::format(
            path,
            format!("one tensor for `{}` of {network}", twice.key),
            twice.to_string(),
        )
    })?;
    let by_key = theirs.into_iter().filter_map(|(ours, key)| Some((ours, (key, dict.get(key)?)))).collect();
    let mut loader = Loader { at: Vec::new(), dict: by_key, naming, mismatch: Mismatch::default() };
    let module = module.map(&mut loader);
    let mut mismatch = loader.mismatch;
    mismatch.unexpected = loader.dict.into_values().map(|(k, _)| k.clone()).collect();
    mismatch.unexpected.sort();
    if mismatch.is_empty() {
        return Ok(module);
    }
    let (path, network) = (path.to_owned(), network.to_owned());
    Err(dyntta_model::Error::Mismatch { path, network, mismatch }.into())
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
    /// By our key: theirs and the tensor.
    dict: HashMap<String, (&'a String, &'a Entry)>,
    naming: Naming,
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
        let Some((theirs, entry)) = self.dict.remove(&key) else {
            self.mismatch.missing.push(key);
            return param;
        };
        let expected = param.val().dims().to_vec();
        if self.naming.shape(theirs, &entry.shape) != expected {
            self.mismatch.shapes.push((key, expected, entry.shape.clone()));
            return param;
        }
        let data = TensorData::new(entry.data.clone(), expected);
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
