//! A classifier: an ONNX file or the zoo's weights, with what it is fed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::{Device, Tensor, TensorData};
use dyntta_data::Preprocessing;
use dyntta_data::preprocessing::{Given, Sources};
use dyntta_image::{Decode, Rgb8};
use dyntta_model::Limits;
use dyntta_nn::{Arch, fed, onnx};

use crate::error::{Error, ErrorKind};

/// How a classifier is loaded. What is not said is told by the file, by what lies beside it, or by its architecture.
///
/// ```
/// use dyntta::{Classifier, ClassifierOptions, ErrorKind};
///
/// let options = ClassifierOptions { arch: Some("resnet5000".into()), ..Default::default() };
/// let error = Classifier::load_with("weights.pth", options).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Unsupported);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ClassifierOptions {
    /// The architecture, such as `resnet50`, where the weights leave it open.
    pub arch: Option<String>,
    /// What it is fed; keys that are absent are looked for elsewhere.
    pub preprocessing: Given,
    /// A file to read the preprocessing from instead of one beside the weights.
    pub preprocessing_file: Option<PathBuf>,
    /// The output of an ONNX graph to take the scores from, where there are several.
    pub output: Option<String>,
    /// Which of several sets of weights in a file: what stands before its keys.
    pub weights_key: Option<String>,
    /// What the files may ask for.
    pub limits: Limits,
}

/// A class that an image may be of.
///
/// ```
/// # use dyntta::Prediction;
/// let cat = Prediction { class: 3, name: Some("cat".into()), probability: 0.925 };
/// assert_eq!(cat.to_string(), "cat 92.5 %");
/// assert_eq!(Prediction { name: None, ..cat }.to_string(), "class 3 92.5 %");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The classifier's output, from 0.
    pub class: usize,
    /// Its name, where that is known.
    pub name: Option<String>,
    /// The probability that the classifier gives it: the softmax of its scores.
    pub probability: f32,
}

impl fmt::Display for Prediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = 100.0 * self.probability;
        match &self.name {
            Some(name) => write!(f, "{name} {percent:.1} %"),
            None => write!(f, "class {} {percent:.1} %", self.class),
        }
    }
}

/// A classifier, ready to use: any ONNX file, or weights of a network of the zoo. Clones share the weights.
///
/// ```no_run
/// use dyntta::Classifier;
///
/// let classifier = Classifier::load("resnet50.onnx")?;
/// for prediction in classifier.predict(&dyntta::image::read("photo.jpg")?, 5)? {
///     println!("{prediction}");
/// }
/// # Ok::<(), dyntta::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Classifier {
    inner: dyntta_nn::Classifier,
    preprocessing: Preprocessing,
    from: String,
    device: Device,
    limits: Limits,
}

impl Classifier {
    /// Loads a classifier: an `.onnx`, `.pth`, `.pt`, `.safetensors` or a folder with one. The architecture is told by the keys
    /// and shapes of the weights; size, normalisation and class names by a JSON beside the file, by its metadata, or by what the
    /// architecture's published weights are fed.
    ///
    /// ```
    /// # dyntta::doc_classifier(|path| {
    /// let classifier = dyntta::Classifier::load(path)?;
    /// assert_eq!((classifier.arch(), classifier.classes()), ("cifar-resnet8".to_owned(), 3));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// If a file is missing or not what it should be; [`ErrorKind::Unsupported`] for an ONNX file with operators that are not
    /// known: all are listed.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::load_with(path, ClassifierOptions::default())
    }

    /// [`Classifier::load`] with options.
    ///
    /// ```
    /// # dyntta::doc_classifier(|path| {
    /// use dyntta::{Classifier, ClassifierOptions};
    ///
    /// let options = ClassifierOptions { arch: Some("cifar-resnet8".into()), ..Default::default() };
    /// assert_eq!(Classifier::load_with(path, options)?.classes(), 3);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`Classifier::load`].
    pub fn load_with(path: impl AsRef<Path>, options: ClassifierOptions) -> Result<Self, Error> {
        let arch = options.arch.as_deref().map(str::parse::<Arch>).transpose()?;
        let path = dyntta_nn::classifier_file(path.as_ref())?;
        let resolve = |arch: Arch, metadata: BTreeMap<String, String>| {
            let preset = fed::usual_preset(arch);
            Sources {
                flags: options.preprocessing.clone(),
                file: options.preprocessing_file.as_deref(),
                weights: &path,
                metadata,
                trained: Given::default(),
                default: fed::usual(preset, Some(arch)),
                default_name: &fed::usual_name(preset, Some(arch)),
            }
            .resolve()
        };
        let reading = onnx::Options {
            output: options.output.clone(),
            weights_key: options.weights_key.clone(),
            limits: options.limits,
            ..onnx::Options::default()
        };
        let device = Device::flex();
        let inner = fed::load_classifier(&path, arch, reading, &device, |arch, metadata| {
            Ok::<_, Error>(resolve(arch, metadata)?.0)
        })?;
        let (preprocessing, from) = resolve(inner.arch(), fed::metadata(inner.graph()))?;
        inner.check_size(preprocessing.fit.size.height, preprocessing.fit.size.width)?;
        if let Some(names) = preprocessing.classes.as_ref().filter(|names| names.len() != inner.classes()) {
            let text = format!(
                "{}: {} class names for a classifier of {} classes (from {from})",
                dyntta_files::shown(&path),
                names.len(),
                inner.classes()
            );
            return Err(Error::new(ErrorKind::Mismatch, text));
        }
        let inner = inner.with_normalisation(fed::normalisation(&preprocessing));
        Ok(Self { inner, preprocessing, from, device, limits: options.limits })
    }

    /// The `k` likeliest classes of an image of any size, the likeliest first. The image is brought to the classifier's size as
    /// its preprocessing says.
    ///
    /// ```
    /// # dyntta::doc_classifier(|path| {
    /// let classifier = dyntta::Classifier::load(path)?;
    /// let likeliest = classifier.predict(&dyntta::Rgb8::black(40, 30)?, 2)?;
    /// assert_eq!(likeliest.len(), 2);
    /// assert!(likeliest[0].probability >= likeliest[1].probability);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if the scores are not finite, or a graph fails on the image.
    pub fn predict(&self, image: &Rgb8, k: usize) -> Result<Vec<Prediction>, Error> {
        let image = self.preprocessing.fit.apply(image);
        let shape = [1, 3, image.height(), image.width()];
        let tensor = Tensor::from_data(TensorData::new(image.to_planar(), shape), &self.device);
        let scores = self.inner.forward(tensor)?.into_data().try_to_vec::<f32>();
        let scores = scores.map_err(|error| Error::new(ErrorKind::Damaged, format!("scores: {error:?}")))?;
        if let Some(score) = scores.iter().find(|score| !score.is_finite()) {
            let text = format!("expected finite scores of the classifier, found {score}");
            return Err(Error::new(ErrorKind::Damaged, text));
        }
        let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exponentials: Vec<f32> = scores.iter().map(|score| (score - most).exp()).collect();
        let sum: f32 = exponentials.iter().sum();
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        let names = self.preprocessing.classes.as_ref();
        let prediction = |class: usize| Prediction {
            class,
            name: names.and_then(|names| names.get(class).cloned()),
            probability: exponentials[class] / sum,
        };
        Ok(order.into_iter().take(k).map(prediction).collect())
    }

    /// [`Classifier::predict`] for many images of any sizes, with the same results to the bit: each goes through the network on
    /// its own.
    ///
    /// ```
    /// # dyntta::doc_classifier(|path| {
    /// use dyntta::{Classifier, Rgb8};
    ///
    /// let classifier = Classifier::load(path)?;
    /// let images = [Rgb8::black(40, 30)?, Rgb8::black(9, 9)?];
    /// let predictions = classifier.predict_batch(&images, 1)?;
    /// assert_eq!(predictions[1], classifier.predict(&images[1], 1)?);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`Classifier::predict`], of the first image that has one.
    pub fn predict_batch(&self, images: &[Rgb8], k: usize) -> Result<Vec<Vec<Prediction>>, Error> {
        images.iter().map(|image| self.predict(image, k)).collect()
    }

    /// The name of the architecture; `onnx` for a graph.
    ///
    /// ```
    /// # dyntta::doc_classifier(|path| {
    /// assert_eq!(dyntta::Classifier::load(path)?.arch(), "cifar-resnet8");
    /// # Ok(()) });
    /// ```
    pub fn arch(&self) -> String {
        self.inner.arch().to_string()
    }

    /// The number of classes.
    ///
    /// ```
    /// # dyntta::doc_classifier(|path| {
    /// assert_eq!(dyntta::Classifier::load(path)?.classes(), 3);
    /// # Ok(()) });
    /// ```
    pub fn classes(&self) -> usize {
        self.inner.classes()
    }

    /// What it is fed, and the names of its classes where they are known.
    ///
    /// ```
    /// # dyntta::doc_classifier(|path| {
    /// let classifier = dyntta::Classifier::load(path)?;
    /// assert_eq!(classifier.preprocessing().fit.size.width, 32);
    /// # Ok(()) });
    /// ```
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// Where the preprocessing is from, in words.
    ///
    /// ```
    /// # dyntta::doc_classifier(|path| {
    /// assert_eq!(dyntta::Classifier::load(path)?.preprocessing_from(), "the cifar preset");
    /// # Ok(()) });
    /// ```
    pub fn preprocessing_from(&self) -> &str {
        &self.from
    }

    /// How image files are decoded for this classifier, within its limits: classifiers are mostly trained on pictures as they are
    /// stored, unturned.
    ///
    /// ```
    /// # dyntta::doc_classifier(|path| {
    /// let classifier = dyntta::Classifier::load(path)?;
    /// assert_eq!(classifier.decoding().exif, dyntta::Exif::Ignore);
    /// # Ok(()) });
    /// ```
    pub fn decoding(&self) -> Decode {
        Decode { exif: self.preprocessing.exif, profile: false, limits: self.limits }
    }

    /// What a user should know of how the file was understood, a sentence each.
    ///
    /// ```
    /// # dyntta::doc_classifier(|path| {
    /// assert!(dyntta::Classifier::load(path)?.notes().iter().all(|note| !note.is_empty()));
    /// # Ok(()) });
    /// ```
    pub fn notes(&self) -> &[String] {
        self.inner.notes()
    }
}

/// Hands the examples a small classifier's file, untrained.
#[doc(hidden)]
pub fn doc_classifier(example: impl FnOnce(&Path) -> Result<(), Error>) {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let (process, call) = (std::process::id(), CALLS.fetch_add(1, Ordering::Relaxed));
    let folder = std::env::temp_dir().join(format!("dyntta-{process}-{call}"));
    let path = folder.join("net.safetensors");
    let write = || -> Result<(), Error> {
        std::fs::create_dir_all(&folder).map_err(dyntta_files::Error::io(&folder, "make"))?;
        let init = dyntta_nn::Init::new("classifier", 0, &Device::flex());
        let net = dyntta_nn::ClassifierNet::new(&init, "cifar-resnet8".parse()?, 3);
        Ok(dyntta_nn::weights::write(&path, &dyntta_nn::weights::state_dict(&net), Default::default())?)
    };
    let done = write().and_then(|()| example(&path));
    let _ = std::fs::remove_dir_all(&folder);
    if let Err(error) = done {
        panic!("{error}");
    }
}
