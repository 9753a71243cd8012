//! What a model's files say, without a deep learning framework: weight files, the keys by which their tensors find their
//! place, and the config of an enhancer. The networks of training and those of use are both built from what is read here.
//!
//! | file | what |
//! |---|---|
//! | `weights` | a weight file of any format: its tensors by key |
//! | `torch`, `pickle`, `zip` | PyTorch's files: zip, legacy and tar; nothing of a pickle is ever executed |
//! | `safetensors` | safetensors, whole or in shards, and writing it |
//! | `sets` | which of a file's tensors are the weights asked for |
//! | `keys` | the one table of keys: other implementations' for ours |
//! | `names` | other names of our networks, and networks with the same keys and shapes that compute something else |
//! | `config`, `checkpoint` | the config of an enhancer; weights and config together |
//!
//! All readers are bounded by [`Limits`]: a file that asks for more is refused before the memory is taken.

mod checkpoint;
mod config;
mod error;
pub mod keys;
pub mod names;
mod pickle;
mod safetensors;
mod sets;
mod source;
mod tensor;
mod torch;
mod weights;
mod zip;

pub use checkpoint::Checkpoint;
pub use config::{
    ChannelOrder, ClassifierConfig, EnhancerConfig, Files, MAX_VIEW, Method, Normalisation, ValueRange,
    WEIGHTS, check_view,
};
pub use dyntta_files::Limits;
pub use error::{Error, Mismatch};
pub use safetensors::write;
pub use sets::{Choice, Shapes, prefixes};
pub use tensor::{Dtype, Entry, StateDict};
pub use weights::{Reader, WeightFile, weights_of};
