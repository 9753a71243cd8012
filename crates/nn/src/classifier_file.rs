//! A classifier's file, opened once: what it says of itself, and the classifier that is built of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use dyntta_model::{Normalisation, WeightFile, weights_of};

use crate::classifier::{Arch, Classifier};
use crate::error::Error;
use crate::onnx;
use crate::proof::Found;

/// What a classifier's file says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// The file; of a folder, the weights in it.
    pub path: PathBuf,
    /// The architecture: the one that was named, [`Arch::Onnx`] of a graph, or the one that the weights' keys and shapes are of;
    /// none where they are of no known one.
    pub arch: Option<Arch>,
    /// What stands in it of what it is fed and of its classes, by the keys of a preprocessing's file; of a graph alone.
    pub metadata: BTreeMap<String, String>,
}

/// A classifier's file, open: a graph that is parsed, or weights whose keys and shapes are read. It is opened once, and nothing
/// is parsed again for the classifier that is built of it.
#[derive(Debug)]
pub struct ClassifierFile {
    about: About,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Graph(Box<onnx::Model>),
    Weights(Box<Found>),
}

impl ClassifierFile {
    /// Opens a classifier's file, or the one in a folder. `arch` is its architecture, where it is known; otherwise it is proved by
    /// keys and shapes. `options` say which weights are meant, and what a file may ask for.
    ///
    /// # Errors
    /// If it can't be read, is neither an ONNX graph nor weights, or leaves several architectures or sets of weights possible;
    /// if it is a graph and `arch` is another.
    pub fn open(path: &Path, arch: Option<Arch>, options: &onnx::Options) -> Result<Self, Error> {
        let path = classifier_file(path)?;
        let mut file = dyntta_files::open(&path)?;
        let is_onnx = onnx::is_onnx(&path, &mut file)?;
        if arch == Some(Arch::Onnx) || is_onnx {
            if let Some(arch) = arch.filter(|&a| a != Arch::Onnx) {
                let expected = format!("weights of {arch}");
                return Err(Error::Format { path, expected, found: "an ONNX graph".into() });
            }
            let model = onnx::Model::of_file(&path, file, &options.limits)?;
            let about = About { path, arch: Some(Arch::Onnx), metadata: model.about() };
            return Ok(Self { about, content: Content::Graph(Box::new(model)) });
        }
        let found = Found::of(WeightFile::of_file(&path, file, &options.limits)?, arch, options)?;
        let about = About { path, arch: found.arch, metadata: BTreeMap::new() };
        Ok(Self { about, content: Content::Weights(Box::new(found)) })
    }

    /// What it says of itself.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// The graph of an ONNX file, parsed; none of weights.
    pub fn into_graph(self) -> Option<onnx::Model> {
        match self.content {
            Content::Graph(model) => Some(*model),
            Content::Weights(_) => None,
        }
    }

    /// Builds the classifier. A graph is tried out, by what `options` say of the images that will come; weights have nothing open.
    ///
    /// # Errors
    /// If weights are of no known architecture or don't fit it: every difference is listed; if one is not finite; for a graph,
    /// those of [`onnx::Model::graph`].
    pub fn classifier(
        self,
        normalisation: Normalisation,
        options: &onnx::Options,
        device: &Device,
    ) -> Result<Classifier, Error> {
        match self.content {
            Content::Graph(model) => Ok(Classifier::from_graph(model.graph(options, device)?, normalisation)),
            Content::Weights(found) => Classifier::of_proved(found.read()?, normalisation, device),
        }
    }
}

/// The file that a classifier's path leads to: of a folder, the weights in it.
///
/// # Errors
/// If a folder has none.
pub fn classifier_file(path: &Path) -> Result<PathBuf, Error> {
    Ok(weights_of(path)?)
}
