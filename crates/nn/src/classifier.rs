//! Frozen classifiers: which architectures there are, how their weights are told apart, and what they are fed.

use std::path::Path;
use std::str::FromStr;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dyntta_model::Normalisation;
use dyntta_model::keys::Naming;

use crate::cifar_resnet::CifarResNet;
use crate::error::Error;
use crate::init::Init;
use crate::layers::{Mode, Normalise};
use crate::onnx;
use crate::ops::plain::to_nhwc;
use crate::proof::{self, LoadOptions, Proved};
use crate::resnet::{Depth, ResNet};
use crate::weights::{self, StateDict};
use crate::zoo::{self, Input, Model, Size, ZooNet};

/// A classifier's architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// A CIFAR ResNet with this many blocks a stage, `6n + 2` layers.
    CifarResNet(usize),
    /// A torchvision ResNet.
    ResNet(Depth),
    /// Another network by name; see [`zoo::named`].
    Zoo(&'static Model),
    /// Whatever an ONNX file holds.
    Onnx,
}

impl Arch {
    const RESNETS: [(&str, Depth); 6] = [
        ("resnet18", Depth::D18),
        ("resnet34", Depth::D34),
        ("resnet50", Depth::D50),
        ("resnet101", Depth::D101),
        ("wide_resnet50_2", Depth::Wide50),
        ("resnext50_32x4d", Depth::Next50),
    ];

    /// What a message lists as the names there are.
    pub fn known() -> String {
        let mut names = vec!["cifar-resnetN (N = 6n + 2: 8, 14, 20, 32, 44, 56, 110 …)".to_owned()];
        names.extend(Self::RESNETS.map(|(name, _)| name.to_owned()));
        names.extend(zoo::models().map(|model| model.name.to_owned()));
        names.join(", ")
    }

    /// The architecture that a file's weights are of; none where it is not known.
    ///
    /// # Errors
    /// If the file is not readable, or leaves several possible.
    pub fn of_file(path: &Path) -> Result<Option<Self>, Error> {
        Self::of_file_with(path, &LoadOptions::default())
    }

    /// As [`Self::of_file`], with options.
    ///
    /// # Errors
    /// As [`Self::of_file`].
    pub fn of_file_with(path: &Path, options: &LoadOptions) -> Result<Option<Self>, Error> {
        let path = &proof::classifier_file(path)?;
        if onnx::is_onnx(path) {
            return Ok(Some(Self::Onnx));
        }
        proof::arch(path, options)
    }

    /// The architecture that these weights are of, as far as their keys and shapes tell.
    pub fn detect(dict: &StateDict) -> Option<Self> {
        let shapes = weights::shapes(dict);
        proof::likely(&Naming::of(&shapes).canonical(&shapes).ok()?)
    }

    /// The key of the last layer's weight; its first extent is the number of classes, its second what this says.
    pub(crate) fn last_layer(self) -> &'static str {
        match self {
            Self::CifarResNet(_) => "linear.weight",
            Self::ResNet(_) => "fc.weight",
            Self::Onnx => "",
            Self::Zoo(model) => model.last_layer,
        }
    }

    /// How many numbers the last layer takes in.
    fn features(self) -> usize {
        match self {
            Self::CifarResNet(_) => 64,
            Self::ResNet(Depth::D18 | Depth::D34) => 512,
            Self::ResNet(_) => 2048,
            Self::Onnx => 0,
            Self::Zoo(model) => model.features,
        }
    }

    /// Whether the network takes images of this size.
    ///
    /// # Errors
    /// [`Error::ImageSize`] if it doesn't: it would panic.
    pub fn check_size(self, height: usize, width: usize) -> Result<(), Error> {
        let size = self.input().size;
        let fits = match size {
            Size::AtLeast(least) => height.min(width) >= least,
            Size::Exactly(side) => (height, width) == (side, side),
        };
        fits.then_some(()).ok_or_else(|| Error::ImageSize { arch: self.to_string(), size, height, width })
    }

    /// What the published weights of this architecture are fed.
    pub fn input(self) -> Input {
        match self {
            Self::CifarResNet(_) => Input { resize: 32, crop: 32, ..Input::imagenet(1) },
            Self::ResNet(_) | Self::Onnx => Input::imagenet(1),
            Self::Zoo(model) => model.input,
        }
    }
}

impl FromStr for Arch {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        if let Some((_, depth)) = Self::RESNETS.iter().find(|(known, _)| *known == name) {
            return Ok(Self::ResNet(*depth));
        }
        if let Some(model) = zoo::named(name) {
            return Ok(Self::Zoo(model));
        }
        if name == "onnx" {
            return Ok(Self::Onnx);
        }
        let layers = name.strip_prefix("cifar-resnet").and_then(|n| n.parse::<usize>().ok());
        match layers {
            Some(n) if (8..=1202).contains(&n) && (n - 2).is_multiple_of(6) => {
                Ok(Self::CifarResNet((n - 2) / 6))
            }
            _ => Err(Error::UnknownArch { name: name.to_owned(), known: Self::known() }),
        }
    }
}

impl std::fmt::Display for Arch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CifarResNet(n) => write!(f, "cifar-resnet{}", 6 * n + 2),
            Self::ResNet(depth) => {
                let (name, _) =
                    Self::RESNETS.iter().find(|(_, d)| d == depth).expect("every depth has a name");
                f.write_str(name)
            }
            Self::Zoo(model) => f.write_str(model.name),
            Self::Onnx => f.write_str("onnx"),
        }
    }
}

/// The network of a classifier.
#[derive(Module, Debug)]
pub enum ClassifierNet {
    /// A CIFAR ResNet.
    Cifar(CifarResNet),
    /// A torchvision ResNet.
    ResNet(ResNet),
    /// Another network.
    Zoo(ZooNet),
}

impl ClassifierNet {
    /// A fresh network.
    ///
    /// # Panics
    /// For [`Arch::Onnx`]: such a network is read, not made.
    pub fn new(init: &Init, arch: Arch, classes: usize) -> Self {
        match arch {
            Arch::Onnx => panic!("there is no fresh network of an ONNX file"),
            Arch::CifarResNet(blocks) => Self::Cifar(CifarResNet::new(init, blocks, classes)),
            Arch::ResNet(depth) => Self::ResNet(ResNet::new(init, depth, classes)),
            Arch::Zoo(model) => Self::Zoo((model.new)(init, classes)),
        }
    }

    /// Normalised `[n, h, w, 3]` to logits `[n, classes]`.
    pub fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<2> {
        match self {
            Self::Cifar(net) => net.forward(x, mode),
            Self::ResNet(net) => net.forward(x, mode),
            Self::Zoo(net) => net.forward(x, mode),
        }
    }
}

/// A frozen classifier: gradients flow through it to the image, never into it.
#[derive(Clone, Debug)]
pub struct Classifier {
    net: Net,
    arch: Arch,
    classes: usize,
    normalisation: Normalisation,
    notes: Vec<String>,
}

/// What runs: a network with weights, or a graph from a file.
#[derive(Clone, Debug)]
enum Net {
    Module(ClassifierNet),
    Graph(onnx::Graph),
}

impl Classifier {
    /// Reads a classifier's weights; the architecture is proved by keys and shapes where it is not given. An ONNX file is run
    /// as it is.
    ///
    /// # Errors
    /// If the file is not readable, or its weights do not fit the architecture: every difference is listed. For ONNX see
    /// [`onnx::Graph::load`].
    pub fn load(
        path: &Path,
        arch: Option<Arch>,
        normalisation: Normalisation,
        device: &Device,
    ) -> Result<Self, Error> {
        Self::load_with(path, &LoadOptions { arch, ..LoadOptions::default() }, normalisation, device)
    }

    /// As [`Self::load`], with options.
    ///
    /// # Errors
    /// As [`Self::load`], and if there are no weights by the key that is asked for.
    pub fn load_with(
        path: &Path,
        options: &LoadOptions,
        normalisation: Normalisation,
        device: &Device,
    ) -> Result<Self, Error> {
        let path = &proof::classifier_file(path)?;
        let arch = options.arch;
        if arch == Some(Arch::Onnx) || onnx::is_onnx(path) {
            if let Some(arch) = arch.filter(|&a| a != Arch::Onnx) {
                let expected = format!("weights of {arch}");
                return Err(Error::Format { path: path.to_owned(), expected, found: "an ONNX graph".into() });
            }
            let graph = onnx::Graph::load(path, device)?;
            let classes = graph.classes();
            let notes = Vec::new();
            return Ok(Self { net: Net::Graph(graph), arch: Arch::Onnx, classes, normalisation, notes });
        }
        let Proved { path, dict, arch, notes } = proof::read(path, options)?;
        Ok(Self { notes, ..Self::of_weights(&dict, arch, &path, normalisation, device)? })
    }

    /// A classifier of weights at hand, by our keys or those of another implementation; `path` stands for them in messages.
    ///
    /// # Errors
    /// If they do not fit the architecture: every difference is listed.
    ///
    /// # Panics
    /// For [`Arch::Onnx`].
    pub fn of_weights(
        dict: &StateDict,
        arch: Arch,
        path: &Path,
        normalisation: Normalisation,
        device: &Device,
    ) -> Result<Self, Error> {
        let naming = Naming::of(&weights::shapes(dict));
        let last = naming
            .theirs(dict.keys())
            .ok()
            .and_then(|theirs| theirs.get(arch.last_layer()).copied().cloned());
        let last = last.and_then(|key| Some(naming.shape(&key, &dict.get(&key)?.shape)));
        // Without its last layer the network is not this one: let `load` list what is wrong.
        let classes = match last.as_deref() {
            Some([classes, features]) if *features == arch.features() => *classes,
            _ => 1000,
        };
        let init = Init::blank("classifier", &device.clone().without_autodiff());
        let net = weights::load(ClassifierNet::new(&init, arch, classes), dict, path, &arch.to_string())?;
        let net = match net {
            ClassifierNet::Zoo(net) => ClassifierNet::Zoo(net.as_of(naming)),
            net => net,
        };
        Ok(Self { net: Net::Module(net), arch, classes, normalisation, notes: Vec::new() })
    }

    /// A classifier over a trained network.
    pub fn new(net: ClassifierNet, arch: Arch, classes: usize, normalisation: Normalisation) -> Self {
        Self { net: Net::Module(net.valid()), arch, classes, normalisation, notes: Vec::new() }
    }

    /// The architecture.
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// What a user should know of how the weights were chosen: which of several sets they are, which other networks have
    /// the same keys and shapes.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The same network, fed otherwise.
    #[must_use]
    pub fn with_normalisation(self, normalisation: Normalisation) -> Self {
        Self { normalisation, ..self }
    }

    /// What the images are normalised by.
    pub fn normalisation(&self) -> Normalisation {
        self.normalisation
    }

    /// The graph, if the classifier comes from an ONNX file.
    pub fn graph(&self) -> Option<&onnx::Graph> {
        match &self.net {
            Net::Graph(graph) => Some(graph),
            Net::Module(_) => None,
        }
    }

    /// The network, unless the classifier is a graph from an ONNX file. It takes images [normalised](Self::normalisation).
    pub fn network(&self) -> Option<&ClassifierNet> {
        match &self.net {
            Net::Module(net) => Some(net),
            Net::Graph(_) => None,
        }
    }

    /// Whether images of this size can be classified: an ONNX graph may take one size only.
    ///
    /// # Errors
    /// See [`Arch::check_size`] and [`onnx::Graph::check_size`].
    pub fn check_size(&self, height: usize, width: usize) -> Result<(), Error> {
        match &self.net {
            Net::Module(_) => self.arch.check_size(height, width),
            Net::Graph(graph) => graph.check_size(height, width),
        }
    }

    /// Images `[n, 3, h, w]` in `0..=1` to logits `[n, classes]`.
    ///
    /// # Panics
    /// If the size is not one that [`Classifier::check_size`] accepts.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let images = self.normalisation.apply(to_nhwc(images));
        match &self.net {
            Net::Module(net) => net.forward(images, Mode::Frozen),
            Net::Graph(graph) => graph.forward_nhwc(images).unwrap_or_else(|error| panic!("{error}")),
        }
    }
}
