//! Frozen classifiers: which architectures there are, how their weights are told apart, and what they are fed.

use std::path::Path;
use std::str::FromStr;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dyntta_files::shown_text;
use dyntta_image::ChannelOrder;
use dyntta_model::Normalisation;
use dyntta_model::keys::Naming;

use crate::cifar_resnet::CifarResNet;
use crate::classifier_file::ClassifierFile;
use crate::error::Error;
use crate::init::Init;
use crate::layers::{Mode, Normalise};
use crate::onnx;
use crate::ops::plain::to_nhwc;
use crate::proof::{self, Proved};
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
    /// As [`Classifier::load_with`].
    pub fn load(
        path: &Path,
        arch: Option<Arch>,
        normalisation: Normalisation,
        device: &Device,
    ) -> Result<Self, Error> {
        Self::load_with(path, arch, normalisation, &onnx::Options::default(), device)
    }

    /// As [`Classifier::load`], with what is known of the classifier beside its file; that is for ONNX files, others have
    /// nothing open.
    ///
    /// # Errors
    /// Those of [`ClassifierFile::open`] and [`ClassifierFile::classifier`].
    pub fn load_with(
        path: &Path,
        arch: Option<Arch>,
        normalisation: Normalisation,
        options: &onnx::Options,
        device: &Device,
    ) -> Result<Self, Error> {
        ClassifierFile::open(path, arch, options)?.classifier(normalisation, options, device)
    }

    /// A classifier of weights that were read and proved to be of an architecture.
    pub(crate) fn of_proved(
        proved: Proved,
        normalisation: Normalisation,
        device: &Device,
    ) -> Result<Self, Error> {
        let Proved { path, dict, arch, notes } = proved;
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
            ClassifierNet::Zoo(net) => ClassifierNet::Zoo(net.with_naming(naming)),
            net => net,
        };
        check_finite(dict, path)?;
        Ok(Self { net: Net::Module(net), arch, classes, normalisation, notes: Vec::new() })
    }

    /// A classifier over a graph.
    pub fn from_graph(graph: onnx::Graph, normalisation: Normalisation) -> Self {
        let classes = graph.classes();
        let notes = graph.info().notes.clone();
        Self { net: Net::Graph(graph), arch: Arch::Onnx, classes, normalisation, notes }
    }

    /// A classifier over a trained network.
    pub fn new(net: ClassifierNet, arch: Arch, classes: usize, normalisation: Normalisation) -> Self {
        Self { net: Net::Module(net.valid()), arch, classes, normalisation, notes: Vec::new() }
    }

    /// The architecture.
    pub fn arch(&self) -> Arch {
        self.arch
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

    /// Whether a loss of this classifier's scores can be trained on, with batches of `n` images of this size: the size fits,
    /// and the gradient reaches the images. An ONNX graph is run once with such a batch, forward and back.
    ///
    /// # Errors
    /// As [`Classifier::check_size`] and [`onnx::Graph::check_gradient`].
    pub fn check_training(&self, n: usize, height: usize, width: usize) -> Result<(), Error> {
        match &self.net {
            Net::Module(_) => self.arch.check_size(height, width),
            Net::Graph(graph) => graph.check_gradient(n, height, width),
        }
    }

    /// What a user should know of how the file was understood, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Images `[n, 3, h, w]` in `0..=1` to logits `[n, classes]`.
    ///
    /// They are [normalised](Self::normalisation) first. A graph of grey images is fed the luma, (299 R + 587 G + 114 B) /
    /// 1000 as Pillow has it, normalised by the luma of mean and standard deviation; one that takes bytes is fed 0 to 255 and
    /// normalises by itself.
    ///
    /// # Errors
    /// If an ONNX graph fails on such a batch; one that passed [`Classifier::check_size`] may do so for the number of images, or
    /// for their values. [`Error::ImageSize`] for a size that the network does not take.
    pub fn forward(&self, images: Tensor<4>) -> Result<Tensor<2>, Error> {
        let [_, _, height, width] = images.dims();
        let images = to_nhwc(images);
        match &self.net {
            Net::Module(net) => {
                self.arch.check_size(height, width)?;
                Ok(net.forward(self.normalisation.apply(images), Mode::Frozen))
            }
            Net::Graph(graph) => graph.forward_nhwc(self.graph_input(images, graph.info())),
        }
    }

    /// What a graph is fed for images `[n, h, w, 3]` in `0..=1`.
    fn graph_input(&self, images: Tensor<4>, info: &onnx::Info) -> Tensor<4> {
        let Normalisation { mean, std, channels, range } = self.normalisation;
        match (info.channels, info.bytes) {
            (1, bytes) => {
                let device = images.device().without_autodiff();
                let weights = Tensor::<1>::from_data(LUMA, &device).reshape([1, 1, 1, 3]);
                let grey = (images * weights).sum_dim(3);
                if bytes {
                    return grey.mul_scalar(255.0);
                }
                let (stretch, start) = range.from_unit();
                let [mean, std] = [mean, std].map(luma);
                grey.mul_scalar(stretch / std).add_scalar((start - mean) / std)
            }
            (_, true) => {
                let images = images.mul_scalar(255.0);
                if channels == ChannelOrder::Bgr { images.flip([3]) } else { images }
            }
            (_, false) => self.normalisation.apply(images),
        }
    }
}

/// The weights of red, green and blue in Pillow's luma.
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

/// The luma of three values; of equal ones the value.
fn luma(values: [f32; 3]) -> f32 {
    if values.iter().all(|v| *v == values[0]) {
        return values[0];
    }
    values.iter().zip(LUMA).map(|(v, weight)| v * weight).sum()
}

/// Whether all weights are finite.
fn check_finite(dict: &StateDict, path: &Path) -> Result<(), Error> {
    for (name, entry) in dict {
        if let Some(value) = entry.data.iter().find(|v| !v.is_finite()) {
            let message = format!("the classifier's weights hold {value} in `{}`", shown_text(name));
            return Err(Error::NotFinite { path: path.to_owned(), message });
        }
    }
    Ok(())
}
