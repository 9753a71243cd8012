//! A training run of a classifier, from scratch or from weights: `dyntta classifier train` and `dyntta retrain`.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use dyntta_corrupt::Preset;
use dyntta_data::preprocessing::{Given, Sources};
use dyntta_data::{Dataset, Options, Preprocessing, Skipped, Split};
use dyntta_files::{shown, write_atomic};
use dyntta_nn::ops::plain::to_nhwc;
use dyntta_nn::{
    Arch, Classifier, ClassifierFile, ClassifierNet, Init, Mode, Normalisation, Normalise, weights,
};

use crate::augmentation::{Augmentation, Style};
use crate::control::{Progress, Silent, Stop};
use crate::error::Error;
use crate::evaluate::{Plan, evaluate};
use crate::fit::{EpochMetrics, RunFolder, check_same, fit};
use crate::folder::{At, Place, Start, refused};
use crate::identity;
use crate::images::{Geometry, TrainingImages};
use crate::input::{
    aligned, check_classes, named, normalisation, report_skipped, usual, usual_name, usual_preset,
};
use crate::options::{DataOptions, InputOptions, OnError, RecipeOptions, file, options};
use crate::recipe::{OptimizerKind, Recipe};
use crate::run::check_finished;
use crate::scores::broken_keys;
use crate::trial::{self, Shape};

/// The file of the trained weights in a run's folder; the preprocessing has the same name with `.json`.
pub const CLASSIFIER: &str = "classifier.safetensors";

options! {
    /// The settings of a classifier's training as given: flags, a TOML file, or the `settings.json` of a run. What is absent
    /// has a default, see [`ClassifierSettings::resolve`].
    ///
    /// `classifier`, `policy` and `from_scratch` are no flags here: each command has its own names for them.
    pub struct ClassifierSettings {
        /// Labelled images: anything that `train --data` takes
        #[arg(long, value_name = "D")]
        pub data: Option<PathBuf>,
        /// Labelled images to measure on after every epoch; of a data set that comes in parts, the test part
        #[arg(long, value_name = "D")]
        pub validation: Option<PathBuf>,
        /// Weights to start from.
        #[arg(skip)]
        pub classifier: Option<PathBuf>,
        /// Start with fresh weights of the classifier's architecture, not with its own.
        #[arg(skip)]
        pub from_scratch: Option<bool>,
        /// The architecture, such as cifar-resnet20 or resnet50 [default: that of the classifier to start from]
        #[arg(long)]
        pub arch: Option<String>,
        /// The training-time augmentation: `none`, `augmix`, `randaugment`, `trivialaugment`, or a policy's file.
        #[arg(skip)]
        pub policy: Option<String>,
        /// How far a policy's factors stand from where they change nothing: 1 as estimated
        #[arg(long, value_name = "S")]
        pub strength: Option<f64>,
        /// How a policy's file is used: top-k (its operations of largest weight as AugMix's list, the published way), sampled
        /// (operations by weight, factors from their distributions, as the enhancer applies them), inverted (the same the other
        /// way round, so that clean images become like the domain's) [default: inverted]
        #[arg(long, value_name = "STYLE")]
        pub style: Option<String>,
        /// How many of a policy's augmentations `--style top-k` takes [default: 4]
        #[arg(long, value_name = "K", value_parser = crate::options::flags::count())]
        pub top_k: Option<usize>,
        /// imagenet (random resized crops) or cifar (whole images, shifted by up to an eighth) [default: told by the
        /// architecture]
        #[arg(long)]
        pub preset: Option<String>,
        /// Share of the target spread evenly over all classes [default: 0]
        #[arg(long, value_name = "SHARE")]
        pub label_smoothing: Option<f64>,
        /// Keep a moving average of the weights with this share of the past, such as 0.999; it is what is saved [default: none]
        #[arg(long, value_name = "SHARE")]
        pub ema: Option<f64>,
        /// Mix images and labels in pairs, at a share from Beta(ALPHA, ALPHA) (mixup), such as 0.2 [default: none]
        #[arg(long, value_name = "ALPHA")]
        pub mixup: Option<f64>,
        /// Paste rectangles from one image into another (CutMix), such as 1; with --mixup each batch takes one of them
        #[arg(long, value_name = "ALPHA")]
        pub cutmix: Option<f64>,
        /// Which of the images are trained on.
        #[command(flatten)]
        pub images: DataOptions,
        /// How it is trained.
        #[command(flatten)]
        pub recipe: RecipeOptions,
        /// What it is fed.
        #[command(flatten)]
        pub input: InputOptions,
    }
}

impl ClassifierSettings {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// If it cannot be read, is not TOML, or has a key or value that is none: line and key are named.
    pub fn read_toml(path: &Path) -> Result<Self, Error> {
        file::read_toml(path)
    }

    /// Reads the settings of a run that is there.
    ///
    /// # Errors
    /// If there is none, or its file is damaged.
    pub fn read_run(folder: &Path) -> Result<Self, Error> {
        file::read_run(folder)
    }

    /// Fills in the defaults and checks the ranges.
    ///
    /// The recipe is [`Recipe::classifier`]'s.
    ///
    /// # Errors
    /// [`Error::Setting`] names what is missing or out of range; a policy's file may be wrong.
    pub fn resolve(&self) -> Result<ResolvedClassifier, Error> {
        let data = self.data.clone().ok_or_else(|| Error::setting("data", "a path", "nothing"))?;
        let classifier = self.classifier.as_deref().map(dyntta_nn::classifier_file).transpose()?;
        let arch = self.architecture()?;
        let start = match self.from_scratch {
            Some(true) => None,
            _ => classifier.clone(),
        };
        let preset: Preset = match self.preset.as_deref() {
            Some(name) => name.parse()?,
            None => usual_preset(arch),
        };
        let recipe = self.recipe(preset, start.is_none());
        recipe.check()?;
        if self.images.limit == Some(0) {
            return Err(Error::setting("limit", "a number from 1 up", 0));
        }
        let augmentation = Augmentation::resolve(
            self.policy.as_deref().unwrap_or("none"),
            self.style.as_deref().map(str::parse::<Style>).transpose()?,
            self.top_k,
            self.strength,
        )?;
        let nowhere = Path::new("");
        let sources = Sources {
            flags: self.input.given(),
            file: self.input.preprocessing.as_deref(),
            weights: classifier.as_deref().unwrap_or(nowhere),
            metadata: Default::default(),
            trained: Given::default(),
            default: usual(preset, Some(arch)),
            default_name: &usual_name(preset, Some(arch)),
        };
        let (preprocessing, preprocessing_from) = sources.resolve()?;
        let size = preprocessing.fit.size;
        arch.check_size(size.height, size.width)?;
        Ok(ResolvedClassifier {
            data,
            validation: self.validation.clone(),
            start,
            arch,
            augmentation,
            geometry: Geometry { preset, fit: preprocessing.fit },
            preprocessing,
            preprocessing_from,
            on_error: self.images.on_error.unwrap_or_default(),
            shifts: true,
            limit: self.images.limit,
            recipe,
        })
    }

    /// The architecture that is named, or that of the weights to start from.
    fn architecture(&self) -> Result<Arch, Error> {
        let named = self.arch.as_deref().map(str::parse::<Arch>).transpose()?;
        let arch = match (named, &self.classifier) {
            (Some(arch), _) => arch,
            (None, Some(path)) => {
                let options = self.input.reading.options();
                let file = ClassifierFile::open(path, None, &options)?;
                match file.about().arch {
                    Some(arch) => arch,
                    // The same message as everywhere.
                    None => file.classifier(Normalisation::IMAGENET, &options, &Device::flex())?.arch(),
                }
            }
            (None, None) => {
                return Err(Error::setting("arch", format!("one of {}", Arch::known()), "nothing"));
            }
        };
        if arch == Arch::Onnx {
            let expected = "weights (.pth, .pt, .th or .safetensors) of a known architecture";
            let found = self.classifier.as_ref().map_or("onnx".into(), |p| shown(p).to_string());
            return Err(Error::setting(
                "classifier",
                expected,
                format!("an ONNX graph, which can't be trained ({found})"),
            ));
        }
        Ok(arch)
    }

    fn recipe(&self, preset: Preset, fresh: bool) -> Recipe {
        let optimizer = self.recipe.optimizer.unwrap_or(OptimizerKind::Sgd);
        let usual = Recipe::classifier(preset, fresh, optimizer);
        Recipe {
            label_smoothing: self.label_smoothing.unwrap_or(0.0),
            ema: self.ema.filter(|&share| share != 0.0),
            mixup: self.mixup.filter(|&alpha| alpha != 0.0),
            cutmix: self.cutmix.filter(|&alpha| alpha != 0.0),
            ..self.recipe.over(usual)
        }
    }
}

/// The settings of a classifier's training with nothing left open.
#[derive(Clone, Debug)]
pub struct ResolvedClassifier {
    /// The labelled images.
    pub data: PathBuf,
    /// Images to measure on after every epoch.
    pub validation: Option<PathBuf>,
    /// Weights to start from; absent: fresh ones.
    pub start: Option<PathBuf>,
    /// The architecture.
    pub arch: Arch,
    /// The training-time augmentation.
    pub augmentation: Augmentation,
    /// How images are brought to size.
    pub geometry: Geometry,
    /// What the classifier is fed.
    pub preprocessing: Preprocessing,
    /// Where that is from, in words.
    pub preprocessing_from: String,
    /// What to do about broken files.
    pub on_error: OnError,
    /// Whether whole images are shifted, see [`TrainingImages::shifting`].
    pub shifts: bool,
    /// How many of the images.
    pub limit: Option<usize>,
    /// How it is trained.
    pub recipe: Recipe,
}

/// What a run ended with.
pub struct ClassifierSummary {
    /// The epochs that this process finished.
    pub epochs: Vec<EpochMetrics>,
    /// The trained classifier, frozen.
    pub classifier: Classifier,
    /// The file of its weights.
    pub weights: PathBuf,
}

/// Trains a classifier and keeps everything in `folder`; with `resume`, continues the run that is there.
///
/// # Errors
/// Bad settings or inputs, a non-finite loss, a full disk, or a request to stop. What the folder held stays whole.
pub fn train_classifier(
    settings: &ClassifierSettings,
    folder: &Path,
    resume: bool,
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<ClassifierSummary, Error> {
    let resolved = settings.resolve()?;
    let place = place(settings, folder, if resume { Start::Resume } else { Start::New })?;
    let start = match &resolved.start {
        Some(path) => format!("from {}", shown(path)),
        None => "from fresh weights".to_owned(),
    };
    progress
        .message(&format!("classifier {} {start}; augmentation {}", resolved.arch, resolved.augmentation));
    progress.message(&format!(
        "preprocessing {}; from {}",
        resolved.preprocessing.describe(),
        resolved.preprocessing_from
    ));
    let skipped = Skipped::default();
    let open = |path: &Path, split: Split| -> Result<Dataset, Error> {
        let data = named(Dataset::open(path, &Options::split(split))?, &resolved.preprocessing)?;
        Ok(match resolved.on_error {
            OnError::Fail => data,
            OnError::Skip => data.skip_broken(&skipped),
        })
    };
    let data = open(&resolved.data, Split::Train)?;
    let validation = resolved.validation.as_deref().map(|path| open(path, Split::Test)).transpose()?;
    let data = match resolved.limit {
        Some(limit) => data.limit_balanced(limit)?,
        None => data,
    };
    progress.message(&format!("training images {}", data.describe()));
    if let Some(validation) = &validation {
        progress.message(&format!("validation images {}", validation.describe()));
    }
    let summary = train_in(place, &resolved, settings, data, validation, stop, progress);
    report_skipped(&skipped, progress);
    summary
}

/// The key in the metadata of a run's weights under which stands how they were trained.
const TRAINING: &str = "dyntta.training";

/// The folder of a classifier's run.
pub(crate) fn place(settings: &ClassifierSettings, folder: &Path, start: Start) -> Result<Place, Error> {
    Place::find(folder, settings, start, CLASSIFIER, "training of a classifier")
}

/// [`train_classifier`] with the data at hand; `settings` is what a resumed run starts from. The classes of `validation` are
/// matched with those of `data` by name.
///
/// # Errors
/// As [`train_classifier`].
pub fn train_classifier_on(
    resolved: &ResolvedClassifier,
    settings: &ClassifierSettings,
    data: Dataset,
    validation: Option<Dataset>,
    folder: &Path,
    start: Start,
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<ClassifierSummary, Error> {
    let place = place(settings, folder, start)?;
    train_in(place, resolved, settings, data, validation, stop, progress)
}

/// [`train_classifier_on`] in a folder that was looked at.
pub(crate) fn train_in(
    mut place: Place,
    resolved: &ResolvedClassifier,
    settings: &ClassifierSettings,
    data: Dataset,
    validation: Option<Dataset>,
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<ClassifierSummary, Error> {
    let plain = Device::flex();
    let device = plain.clone().autodiff();
    let (arch, recipe, geometry) = (resolved.arch, &resolved.recipe, resolved.geometry);
    let classes = data.classes.len();
    let normalisation = normalisation(&resolved.preprocessing);
    let validation = validation.map(|set| aligned(set, &data.classes)).transpose()?;
    let (n, size) = (recipe.batch_size.min(data.len()), geometry.fit.size);
    trial::check_batch(Shape { n, height: size.height, width: size.width })?;
    let (net, start) = fresh(resolved, settings, &data, &device, progress)?;
    let preprocessing =
        Preprocessing { classes: Some(data.classes.clone()), ..resolved.preprocessing.clone() };
    let fingerprint = serde_json::json!({
        "identity": identity::CURRENT,
        "arch": arch.to_string(),
        "start": start,
        "augmentation": resolved.augmentation.fingerprint(),
        "preset": geometry.preset.name(),
        "preprocessing": Preprocessing { classes: None, ..preprocessing.clone() },
        "data": data.digest()?,
        "images": data.len(),
        "classes": data.classes,
        "validation": validation.as_ref().map(Dataset::digest).transpose()?,
        "recipe": recipe,
    })
    .to_string();
    let folder = place.folder.clone();
    let weights_path = folder.join(CLASSIFIER);
    place.enter(settings)?;
    match place.at {
        At::Weights => {
            let then = weights::read_safetensors(&weights_path)?.1.remove(TRAINING);
            let then =
                then.ok_or_else(|| refused(&folder, format!("{CLASSIFIER} doesn't say how it was trained")))?;
            check_same(&folder, &then, &fingerprint, progress)?;
            check_finished(&folder, recipe.epochs)?;
            progress.message("already complete; its state is gone, its weights are taken as they are");
            let classifier = Classifier::load(&weights_path, Some(arch), normalisation, &plain)?;
            return Ok(ClassifierSummary { epochs: Vec::new(), classifier, weights: weights_path });
        }
        At::Begun => progress.message("no state was saved yet: the run begins anew"),
        At::Nothing | At::State => {}
    }
    let images = TrainingImages::new(data, geometry, resolved.augmentation.treatment());
    let images = if resolved.shifts { images.shifting() } else { images };
    let export = |net: &ClassifierNet| -> Result<Option<f64>, Error> {
        // The preprocessing first: weights without it would be fed the default's.
        let json = serde_json::to_string_pretty(&preprocessing).expect("plain data") + "\n";
        write_atomic(weights_path.with_extension("json"), json.as_bytes())?;
        // Weights alone don't tell an architecture from another one with the same keys.
        let about =
            [(TRAINING.to_owned(), fingerprint.clone()), ("arch".to_owned(), arch.to_string())].into();
        weights::write(&weights_path, &weights::state_dict(net), about)?;
        let Some(data) = &validation else { return Ok(None) };
        let classifier = Classifier::new(net.clone(), arch, classes, normalisation);
        let plan = Plan { clean: Some(data.clone()), corrupted: None, geometry, batch_size: 100 };
        let result = evaluate(&classifier, &[None], plan, &plain, stop, &mut Silent)?;
        Ok(result.scores[0].clean.map(|score| score.accuracy()))
    };
    let (net, epochs) = fit(
        net,
        |net, images| Ok(net.forward(normalisation.apply(to_nhwc(images)), Mode::Train)),
        &images,
        recipe,
        &device,
        Some(RunFolder {
            path: folder,
            resume: place.at == At::State,
            fingerprint: fingerprint.clone(),
            export: &export,
        }),
        stop,
        progress,
    )?;
    let classifier = Classifier::new(net, arch, classes, normalisation);
    Ok(ClassifierSummary { epochs, classifier, weights: weights_path })
}

/// The network that training begins with, and the digest of the weights that it begins with, if they are not fresh.
fn fresh(
    resolved: &ResolvedClassifier,
    settings: &ClassifierSettings,
    data: &Dataset,
    device: &Device,
    progress: &mut dyn Progress,
) -> Result<(ClassifierNet, Option<String>), Error> {
    let init = Init::new("classifier", resolved.recipe.seed, device);
    let net = ClassifierNet::new(&init, resolved.arch, data.classes.len());
    let Some(path) = &resolved.start else { return Ok((net, None)) };
    let plain = device.clone().without_autodiff();
    let normalisation = normalisation(&resolved.preprocessing);
    let options = settings.input.reading.options();
    let trained = Classifier::load_with(path, Some(resolved.arch), normalisation, &options, &plain)?;
    trained.notes().iter().for_each(|note| progress.message(note));
    check_classes(data, &trained)?;
    let trained = trained.network().expect("an ONNX graph is refused before");
    let broken = broken_keys(trained);
    if !broken.is_empty() {
        return Err(Error::BrokenClassifier { value: f32::NAN, weights: broken });
    }
    let net = weights::load(net, &weights::state_dict(trained), path, &resolved.arch.to_string())?;
    Ok((net, Some(identity::weights(trained))))
}
