//! Networks of dyntta: the control network, the SK-UNet, DynTTA and frozen classifiers, as Burn modules; the weight
//! files they come from; and the glue that makes native kernels operations of Burn.

pub mod adapt;
pub mod checkpoint;
mod cifar_resnet;
pub mod classifier;
mod classifier_file;
mod enhancer;
mod error;
mod init;
pub mod layers;
pub mod onnx;
pub mod ops;
mod proof;
mod resnet;
mod skunet;
pub mod weights;
pub mod zoo;

pub use cifar_resnet::CifarResNet;
pub use classifier::{Arch, Classifier, ClassifierNet};
pub use classifier_file::{About, ClassifierFile, classifier_file};
pub use dyntta_model::{Mismatch, Normalisation};
pub use enhancer::{DynTta, Enhanced, Enhancer};
pub use error::{Error, Unsupported};
pub use init::{Fill, Init};
pub use layers::{Mode, Normalise};
pub use resnet::{Depth, ResNet};
pub use skunet::SkUnet;
