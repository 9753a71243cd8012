//! A training run of a classifier, from scratch or from weights: `dyntta classifier train` and `dyntta retrain`.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use dyntta_corrupt::Preset;
use dyntta_data::preprocessing::{Given, InputSize, ResizeRule, Sources};
use dyntta_data::{Dataset, Options, Preprocessing, Skipped, Split};
use dyntta_files::{shown, write_atomic};
use dyntta_image::{ChannelOrder, Exif, Filter, ValueRange};
use dyntta_nn::ops::plain::to_nhwc;
use dyntta_nn::{
    Arch, Classifier, ClassifierFile, ClassifierNet, Init, Mode, Normalisation, Normalise, onnx, weights,
};
use serde::{Deserialize, Serialize};

use crate::augmentation::{Augmentation, Style};
use crate::control::{Progress, Silent, Stop};
use crate::error::Error;
use crate::evaluate::{Plan, evaluate};
use crate::fit::{EpochMetrics, RunFolder, check_same, fit};
use crate::folder::{At, Place, Start, refused};
use crate::identity;
use crate::images::{Geometry, TrainingImages};
use crate::input::{
    OnError, aligned, check_classes, named, normalisation, report_skipped, usual, usual_name,
};
use crate::recipe::{OptimizerKind, Recipe, Schedule};
use crate::run::check_finished;
use crate::scores::broken_keys;
use crate::settings;
use crate::trial::{self, Shape};

/// The file of the trained weights in a run's folder; the preprocessing has the same name with `.json`.
pub const CLASSIFIER: &str = "classifier.safetensors";

/// The settings of a classifier's training as given: flags, a TOML file, or the `settings.json` of a run. What is absent
/// has a default, see [`ClassifierSettings::resolve`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ClassifierSettings {
    /// The labelled images.
    pub data: Option<PathBuf>,
    /// Labelled images to measure on after every epoch.
    pub validation: Option<PathBuf>,
    /// Weights to start from.
    pub classifier: Option<PathBuf>,
    /// Start with fresh weights of the classifier's architecture, not with its own.
    pub from_scratch: Option<bool>,
    /// The architecture; absent: that of the weights to start from.
    pub arch: Option<String>,
    /// Which of several sets of weights in the file to start from: what stands before its keys; absent: the first of timm's order.
    pub weights_key: Option<String>,
    /// The training-time augmentation: `none`, `augmix`, `randaugment`, `trivialaugment`, or a policy's file.
    pub policy: Option<String>,
    /// How a policy's file is used: `top-k`, `sampled` or `inverted`, see [`Style`].
    pub style: Option<String>,
    /// How many augmentations the style `top-k` takes.
    pub top_k: Option<usize>,
    /// How far a policy's factors stand from where they change nothing.
    pub strength: Option<f64>,
    /// A file with the preprocessing; absent: one beside the weights, if there is one.
    pub preprocessing: Option<PathBuf>,
    /// Height and width of the classifier's input, and of the training images.
    pub input_size: Option<InputSize>,
    /// How images are brought to that size.
    pub resize: Option<ResizeRule>,
    /// By which interpolation.
    pub interpolation: Option<Filter>,
    /// The share of a resized side that is kept.
    pub crop_pct: Option<f64>,
    /// Mean of red, green and blue that the classifier's input is normalised by, in units of `range`.
    pub mean: Option<[f32; 3]>,
    /// Standard deviation of red, green and blue, in units of `range`.
    pub std: Option<[f32; 3]>,
    /// The order of the classifier's channels.
    pub channels: Option<ChannelOrder>,
    /// The range of the classifier's values.
    pub range: Option<ValueRange>,
    /// What is done about pictures' EXIF orientation.
    pub exif: Option<Exif>,
    /// What to do about files that cannot be read or decoded; absent: fail.
    pub on_error: Option<OnError>,
    /// `imagenet` or `cifar`.
    pub preset: Option<String>,
    /// Train on this many images only, the same number of each class.
    pub limit: Option<usize>,
    /// Passes over the data.
    pub epochs: Option<usize>,
    /// Images a step.
    pub batch_size: Option<usize>,
    /// `sgd`, `adam` or `adamw`.
    pub optimizer: Option<OptimizerKind>,
    /// The learning rate at the start.
    pub lr: Option<f64>,
    /// `constant`, `cosine` or `step`.
    pub schedule: Option<Schedule>,
    /// Weight decay.
    pub weight_decay: Option<f64>,
    /// The momentum of SGD.
    pub momentum: Option<f64>,
    /// Limit on the global norm of the gradient; 0: none.
    pub clip: Option<f64>,
    /// Share of the target spread evenly over all classes.
    pub label_smoothing: Option<f64>,
    /// The share of the past in a moving average of the weights; 0: none.
    pub ema: Option<f64>,
    /// The alpha of mixup; 0: none.
    pub mixup: Option<f64>,
    /// The alpha of CutMix; 0: none.
    pub cutmix: Option<f64>,
    /// Names every random stream of the run.
    pub seed: Option<u64>,
}

impl ClassifierSettings {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// If it cannot be read, is not TOML, or has a key or value that is none: line and key are named.
    pub fn read_toml(path: &Path) -> Result<Self, Error> {
        settings::read_toml(path)
    }

    /// Reads the settings of a run that is there.
    ///
    /// # Errors
    /// If there is none, or its file is damaged.
    pub fn read_run(folder: &Path) -> Result<Self, Error> {
        settings::read_run(folder)
    }

    /// These settings, and those of `other` where these are silent.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        settings::or!(
            self,
            other,
            data,
            validation,
            classifier,
            from_scratch,
            arch,
            weights_key,
            policy,
            style,
            top_k,
            strength,
            preprocessing,
            input_size,
            resize,
            interpolation,
            crop_pct,
            mean,
            std,
            channels,
            range,
            exif,
            on_error,
            preset,
            limit,
            epochs,
            batch_size,
            optimizer,
            lr,
            schedule,
            weight_decay,
            momentum,
            clip,
            label_smoothing,
            ema,
            mixup,
            cutmix,
            seed,
        )
    }

    /// How the weights to start from are read.
    pub(crate) fn load(&self) -> onnx::Options {
        onnx::Options { weights_key: self.weights_key.clone(), ..onnx::Options::default() }
    }

    /// Fills in the defaults and checks the ranges.
    ///
    /// From scratch: SGD with momentum 0.9 along a cosine, weight decay 5e-4 and batches of 128 at 0.1 for 30 epochs with
    /// the `cifar` preset; 1e-4 and batches of 64 at 0.025 for 90 epochs with `imagenet` (Goyal et al. 2017,
    /// arXiv 1706.02677: 0.1 for 256 images). From weights: a tenth of that rate, 10 and 5 epochs.
    ///
    /// # Errors
    /// [`Error::Setting`] names what is missing or out of range; a policy's file may be wrong.
    pub fn resolve(&self) -> Result<ResolvedClassifier, Error> {
        let data = self.data.clone().ok_or_else(|| Error::setting("data", "a path", "nothing"))?;
        let classifier = self.classifier.as_deref().map(dyntta_nn::classifier_file).transpose()?;
        let named_arch = self.arch.as_deref().map(str::parse::<Arch>).transpose()?;
        let arch = match (named_arch, &self.classifier) {
            (Some(arch), _) => arch,
            (None, Some(path)) => {
                let options = self.load();
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
        let start = match self.from_scratch {
            Some(true) => None,
            _ => classifier.clone(),
        };
        let preset: Preset = match self.preset.as_deref() {
            Some(name) => name.parse()?,
            None if matches!(arch, Arch::CifarResNet(_)) => Preset::Cifar,
            None => Preset::Imagenet,
        };
        let cifar = preset == Preset::Cifar;
        let (epochs, lr, batch_size, weight_decay) =
            if cifar { (30, 0.1, 128, 5e-4) } else { (90, 0.025, 64, 1e-4) };
        let (epochs, lr) = match start {
            None => (epochs, lr),
            Some(_) => (if cifar { 10 } else { 5 }, lr / 10.0),
        };
        let optimizer = self.optimizer.unwrap_or(OptimizerKind::Sgd);
        let (lr, weight_decay) = match optimizer {
            OptimizerKind::Sgd => (lr, weight_decay),
            OptimizerKind::Adam => (lr / 100.0, 0.0),
            OptimizerKind::Adamw => (lr / 100.0, 0.05),
        };
        let recipe = Recipe {
            epochs: self.epochs.unwrap_or(epochs),
            batch_size: self.batch_size.unwrap_or(batch_size),
            optimizer,
            lr: self.lr.unwrap_or(lr),
            schedule: self.schedule.unwrap_or(Schedule::Cosine),
            weight_decay: self.weight_decay.unwrap_or(weight_decay),
            momentum: self.momentum.unwrap_or(0.9),
            clip_norm: self.clip.filter(|&clip| clip != 0.0),
            label_smoothing: self.label_smoothing.unwrap_or(0.0),
            ema: self.ema.filter(|&share| share != 0.0),
            mixup: self.mixup.filter(|&alpha| alpha != 0.0),
            cutmix: self.cutmix.filter(|&alpha| alpha != 0.0),
            seed: self.seed.unwrap_or(0),
        };
        recipe.check()?;
        if self.limit == Some(0) {
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
            flags: Given {
                input_size: self.input_size,
                resize: self.resize,
                interpolation: self.interpolation,
                crop_pct: self.crop_pct,
                mean: self.mean,
                std: self.std,
                channels: self.channels,
                range: self.range,
                exif: self.exif,
                classes: None,
            },
            file: self.preprocessing.as_deref(),
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
            on_error: self.on_error.unwrap_or_default(),
            shifts: true,
            limit: self.limit,
            recipe,
        })
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
    let trained = Classifier::load_with(path, Some(resolved.arch), normalisation, &settings.load(), &plain)?;
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
