//! A training run of an enhancer: from settings to a folder with checkpoint, config, metrics and state.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use dyntta_corrupt::Preset;
use dyntta_data::preprocessing::{Given, Sources};
use dyntta_data::{Dataset, Options, Preprocessing, Skipped};
use dyntta_files::{Limits, shown};
use dyntta_nn::checkpoint::{self, ClassifierConfig, EnhancerConfig, Method};
use dyntta_nn::{
    About, Arch, Classifier, ClassifierFile, Depth, Enhancer, Init, Mode, ResNet, onnx, weights,
};
use dyntta_ops::Bank;

use crate::control::{Progress, Stop};
use crate::error::Error;
use crate::fit::{EpochMetrics, RunFolder, check_same, fit, last_epoch};
use crate::folder::{At, Place, Start, refused};
use crate::identity;
use crate::images::{Geometry, TrainingImages};
use crate::input::{check_classes, for_images, named, normalisation, report_skipped, usual, usual_name};
use crate::options::{DataOptions, InputOptions, OnError, RecipeOptions, file, options};
use crate::recipe::Recipe;
use crate::setting::Setting;
use crate::trial::{self, Shape};

options! {
    /// The settings of a run as given: flags, a TOML file, or the `settings.json` of a run. What is absent has a default,
    /// see [`TrainSettings::resolve`].
    pub struct TrainSettings {
        /// Labelled images: a folder `D/<class>/*`, a .tar of one or shards of it (s-{00..12}.tar), a CIFAR binary, idx or CUB-200
        /// folder, or a CSV path,label
        #[arg(long, value_name = "D")]
        pub data: Option<PathBuf>,
        /// The classifier's weights: .pth, .pt, .th, .safetensors or .onnx
        #[arg(long, value_name = "W")]
        pub classifier: Option<PathBuf>,
        /// The classifier's architecture, such as cifar-resnet20 or resnet50 [default: told by the weights' keys]
        #[arg(long)]
        pub arch: Option<String>,
        /// Which enhancer [default: dyntta]
        #[arg(long, value_parser = crate::options::flags::choice::<Method>())]
        pub method: Option<Method>,
        /// What the training images go through: nonblind (the fifteen common corruptions and none), blind (AugMix, so that no
        /// corruption is known), clean (nothing), common15 (the fifteen alone), or a corruption and its severity such as fog:3
        /// [default: nonblind]
        #[arg(long, value_name = "S")]
        pub setting: Option<Setting>,
        /// imagenet (224 px, the paper's recipe) or cifar (32 px, Adam) [default: imagenet]
        #[arg(long)]
        pub preset: Option<String>,
        /// Which of the images are trained on.
        #[command(flatten)]
        pub images: DataOptions,
        /// A trained URIE (run or weight file) to start DynTTA's SK-UNet from
        #[arg(long, value_name = "RUN")]
        pub urie: Option<PathBuf>,
        /// torchvision ResNet-18 weights to start the control network from
        #[arg(long, value_name = "W")]
        pub control_weights: Option<PathBuf>,
        /// Let the control network look at a view of S pixels a side [default: at the image itself]
        #[arg(long, value_name = "S", value_parser = crate::options::flags::view())]
        pub control_size: Option<usize>,
        /// Another bank: augmentations in order, separated by commas [default: the paper's fifty]
        #[arg(long, value_name = "NAMES", value_delimiter = ',')]
        pub bank: Option<Vec<String>>,
        /// How it is trained.
        #[command(flatten)]
        pub recipe: RecipeOptions,
        /// What the classifier is fed.
        #[command(flatten)]
        pub input: InputOptions,
    }
}

impl TrainSettings {
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
    /// The recipe is [`Recipe::enhancer`]'s; the images are of 224 pixels with the `imagenet` preset, of 32 with `cifar`.
    ///
    /// # Errors
    /// [`Error::Setting`] names what is missing or out of range.
    pub fn resolve(&self) -> Result<Resolved, Error> {
        // A file that is not there or not readable is reported where it is loaded.
        self.resolve_for(self.open_classifier().ok().as_ref().map(ClassifierFile::about))
    }

    /// [`Self::resolve`] with what the classifier's file says of itself; none if it can't be read.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn resolve_for(&self, about: Option<&About>) -> Result<Resolved, Error> {
        let method = self.method.unwrap_or(Method::Dyntta);
        let preset: Preset = self.preset.as_deref().unwrap_or("imagenet").parse()?;
        let recipe = self.recipe.over(Recipe::enhancer(preset, method));
        recipe.check()?;
        if self.images.limit == Some(0) {
            return Err(Error::setting("limit", "a number from 1 up", 0));
        }
        // The side of a square that is an image still.
        let most = Limits::DEFAULT.pixels.isqrt().min(Limits::DEFAULT.side);
        if let Some(size) = self.control_size.filter(|size| !(1..=most).contains(size)) {
            return Err(Error::setting("control-size", format!("a number from 1 to {most}"), size));
        }
        if method == Method::Urie {
            for (key, given) in [
                ("urie", self.urie.is_some()),
                ("bank", self.bank.is_some()),
                ("control-weights", self.control_weights.is_some()),
                ("control-size", self.control_size.is_some()),
            ] {
                if given {
                    return Err(Error::setting(
                        key,
                        "`--method dyntta` (URIE alone has no bank and no control net)",
                        "`--method urie`",
                    ));
                }
            }
        }
        if let Some(names) = &self.bank {
            Bank::from_names(names).map_err(|e| dyntta_nn::Error::Bank {
                context: "settings: `bank`".into(),
                message: e.to_string(),
            })?;
        }
        let data = self.data.clone().ok_or_else(|| required("data"))?;
        let classifier = self.classifier.clone().ok_or_else(|| required("classifier"))?;
        let classifier = dyntta_nn::classifier_file(&classifier)?;
        let arch = about.and_then(|about| about.arch);
        let arch = self.named_arch()?.or(arch);
        let sources = Sources {
            flags: self.input.given(),
            file: self.input.preprocessing.as_deref(),
            weights: &classifier,
            metadata: about.map(|about| about.metadata.clone()).unwrap_or_default(),
            trained: Given::default(),
            default: usual(preset, arch),
            default_name: &usual_name(preset, arch),
        };
        let (preprocessing, preprocessing_from) = sources.resolve()?;
        Ok(Resolved {
            data,
            classifier,
            arch,
            geometry: Geometry { preset, fit: preprocessing.fit },
            options: for_images(self.options(), &preprocessing),
            preprocessing,
            preprocessing_from,
            on_error: self.images.on_error.unwrap_or_default(),
            method,
            setting: self.setting.unwrap_or(Setting::NonBlind),
            limit: self.images.limit,
            urie: self.urie.clone(),
            control_weights: self.control_weights.clone(),
            control_size: self.control_size,
            bank: self.bank.clone(),
            recipe,
        })
    }

    fn named_arch(&self) -> Result<Option<Arch>, Error> {
        Ok(self.arch.as_deref().map(str::parse).transpose()?)
    }

    /// How the classifier's file is read.
    fn options(&self) -> onnx::Options {
        self.input.reading.options()
    }

    /// Opens the classifier's file.
    ///
    /// # Errors
    /// If none is named, or as [`ClassifierFile::open`].
    pub fn open_classifier(&self) -> Result<ClassifierFile, Error> {
        let path = self.classifier.as_deref().ok_or_else(|| required("classifier"))?;
        Ok(ClassifierFile::open(path, self.named_arch()?, &self.options())?)
    }
}

fn required(key: &str) -> Error {
    Error::setting(key, "a path", "nothing")
}

/// The settings of a run with nothing left open.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The labelled images.
    pub data: PathBuf,
    /// The classifier's weights.
    pub classifier: PathBuf,
    /// The classifier's architecture, if it is known.
    pub arch: Option<Arch>,
    /// How its file is read.
    pub options: onnx::Options,
    /// What the classifier was trained to be fed.
    pub preprocessing: Preprocessing,
    /// Where that is from, in words.
    pub preprocessing_from: String,
    /// What to do about broken files.
    pub on_error: OnError,
    /// Which enhancer.
    pub method: Method,
    /// What the training images go through.
    pub setting: Setting,
    /// How they are brought to size.
    pub geometry: Geometry,
    /// How many of them.
    pub limit: Option<usize>,
    /// The URIE to start from.
    pub urie: Option<PathBuf>,
    /// The ResNet-18 to start from.
    pub control_weights: Option<PathBuf>,
    /// The control network's view.
    pub control_size: Option<usize>,
    /// The bank.
    pub bank: Option<Vec<String>>,
    /// How it is trained.
    pub recipe: Recipe,
}

impl Resolved {
    /// All that decides the result, for the config; `resumed` says that the run needs no start weights any more.
    fn describe(
        &self,
        data: &Dataset,
        classifier: &Classifier,
        resumed: bool,
    ) -> Result<serde_json::Value, Error> {
        let weights = |path: &Option<PathBuf>| -> Result<Option<String>, Error> {
            let Some(path) = path else { return Ok(None) };
            let path = if path.is_dir() { path.join(checkpoint::WEIGHTS) } else { path.clone() };
            identity::start(&path, resumed).map(Some)
        };
        Ok(serde_json::json!({
            "identity": identity::CURRENT,
            "method": self.method,
            "setting": self.setting,
            "preset": self.geometry.preset.name(),
            "preprocessing": Preprocessing { classes: None, ..self.preprocessing.clone() },
            "data": data.digest()?,
            "images": data.len(),
            "classes": data.classes.len(),
            "arch": classifier.arch().to_string(),
            "output": self.options.output,
            "scores": self.options.scores,
            "classifier": identity::classifier(classifier),
            "bank": self.bank,
            "control-size": self.control_size,
            "urie": weights(&self.urie)?,
            "control-weights": weights(&self.control_weights)?,
            "recipe": self.recipe,
        }))
    }
}

/// The description in an enhancer's config with the class names, which stand elsewhere there: what a run is held against.
fn fingerprint(config: &EnhancerConfig) -> String {
    let mut all = config.training.clone();
    all["classes"] = config.classifier.classes.clone().into();
    all.to_string()
}

/// What a run ended with.
pub struct TrainSummary {
    /// The epochs that this process finished.
    pub epochs: Vec<EpochMetrics>,
    /// The trained enhancer, on the autodiff device.
    pub enhancer: Enhancer,
    /// Its config, as saved.
    pub config: EnhancerConfig,
}

/// Trains an enhancer and keeps everything in `folder`; with `resume`, continues the run that is there.
///
/// # Errors
/// Bad settings or inputs, a folder with other files of runs or in which another process works, a classifier that no enhancer can
/// be trained in front of, a non-finite loss, a full disk, or a request to stop. What the folder held stays whole.
pub fn train_enhancer(
    settings: &TrainSettings,
    folder: &Path,
    resume: bool,
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<TrainSummary, Error> {
    let file = settings.open_classifier();
    let resolved = settings.resolve_for(file.as_ref().ok().map(ClassifierFile::about))?;
    let place = place(settings, folder, if resume { Start::Resume } else { Start::New })?;
    let plain = Device::flex();
    let device = plain.clone().autodiff();
    let normalisation = normalisation(&resolved.preprocessing);
    let classifier = file?.classifier(normalisation, &resolved.options, &plain)?;
    let size = resolved.geometry.fit.size;
    classifier.check_size(size.height, size.width)?;
    progress.message(&format!(
        "classifier {} ({}, {} classes)",
        shown(&resolved.classifier),
        classifier.arch(),
        classifier.classes()
    ));
    progress.message(&format!(
        "preprocessing {}; from {}",
        resolved.preprocessing.describe(),
        resolved.preprocessing_from
    ));
    classifier.notes().iter().for_each(|note| progress.message(note));
    let data = named(Dataset::open(&resolved.data, &Options::default())?, &resolved.preprocessing)?;
    let skipped = Skipped::default();
    let data = match resolved.on_error {
        OnError::Fail => data,
        OnError::Skip => data.skip_broken(&skipped),
    };
    let data = match resolved.limit {
        Some(limit) => data.limit_balanced(limit)?,
        None => data,
    };
    progress.message(&format!("training images {}", data.describe()));
    check_classes(&data, &classifier)?;
    let summary = train_in(place, &resolved, settings, &classifier, data, &device, stop, progress);
    report_skipped(&skipped, progress);
    summary
}

/// The folder of an enhancer's run.
pub(crate) fn place(settings: &TrainSettings, folder: &Path, start: Start) -> Result<Place, Error> {
    Place::find(folder, settings, start, checkpoint::WEIGHTS, "training of an enhancer")
}

/// [`train_enhancer`] with data and classifier at hand; `settings` is what a resumed run starts from.
///
/// # Errors
/// As [`train_enhancer`].
pub fn train_on(
    resolved: &Resolved,
    settings: &TrainSettings,
    classifier: &Classifier,
    data: Dataset,
    folder: &Path,
    start: Start,
    device: &Device,
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<TrainSummary, Error> {
    let place = place(settings, folder, start)?;
    train_in(place, resolved, settings, classifier, data, device, stop, progress)
}

/// [`train_on`] in a folder that was looked at.
pub(crate) fn train_in(
    mut place: Place,
    resolved: &Resolved,
    settings: &TrainSettings,
    classifier: &Classifier,
    data: Dataset,
    device: &Device,
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<TrainSummary, Error> {
    let size = resolved.geometry.fit.size;
    let description = resolved.describe(&data, classifier, place.has_weights())?;
    let config = EnhancerConfig {
        format: 1,
        method: resolved.method,
        bank: (resolved.method == Method::Dyntta).then(|| match &resolved.bank {
            Some(names) => names.clone(),
            None => Bank::paper().names().map(Into::into).collect(),
        }),
        // What it looks at in training is what it looks at later, whatever the image; a view that is no square is `image_size`.
        control_size: resolved.control_size.or((size.height == size.width).then_some(size.height)),
        image_size: [size.height, size.width],
        classifier: ClassifierConfig {
            arch: classifier.arch().to_string(),
            normalisation: classifier.normalisation(),
            classes: data.classes.clone(),
        },
        seed: resolved.recipe.seed,
        versions: BTreeMap::from([("dyntta".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]),
        training: description,
    };
    let folder = place.folder.clone();
    if place.at == At::Weights {
        place.enter(settings)?;
        return finished(&folder, config, resolved.recipe.epochs, device, progress);
    }
    let seed = resolved.recipe.seed;
    let mut enhancer = checkpoint::build(&config, Path::new("settings"), seed, device)?;
    if place.at != At::State {
        enhancer = start_from(enhancer, resolved, device, progress)?;
        let n = resolved.recipe.batch_size.min(data.len());
        if let Some(side) = resolved.control_size {
            trial::check_batch(Shape { n, height: side, width: side })?;
        }
        // Another enhancer of the same kind: its running statistics are spoilt.
        let other = checkpoint::build(&config, Path::new("settings"), seed, device)?;
        let shape = Shape { n, height: size.height, width: size.width };
        trial::step(&other, classifier, &resolved.classifier, shape, device)?;
    }
    place.enter(settings)?;
    if place.at == At::Begun {
        progress.message("no state was saved yet: the run begins anew");
    }
    let images =
        TrainingImages::new(data, resolved.geometry, resolved.setting.treatment(resolved.geometry.preset));
    let export = |enhancer: &Enhancer| -> Result<Option<f64>, Error> {
        checkpoint::save(&folder, enhancer, &config)?;
        Ok(None)
    };
    let (enhancer, epochs) = fit(
        enhancer,
        |enhancer, images| Ok(classifier.forward(enhancer.forward(images, Mode::Train))?),
        &images,
        &resolved.recipe,
        device,
        Some(RunFolder {
            path: folder.clone(),
            resume: place.at == At::State,
            fingerprint: fingerprint(&config),
            export: &export,
        }),
        stop,
        progress,
    )?;
    Ok(TrainSummary { epochs, enhancer, config })
}

/// A run whose state is gone, if its weights are the last of a run of this `config`.
fn finished(
    folder: &Path,
    config: EnhancerConfig,
    epochs: usize,
    device: &Device,
    progress: &mut dyn Progress,
) -> Result<TrainSummary, Error> {
    let (enhancer, kept) = checkpoint::load(folder, device)?;
    let kept = kept.ok_or_else(|| refused(folder, "its weights have no config".to_owned()))?;
    check_same(folder, &fingerprint(&kept), &fingerprint(&config), progress)?;
    check_finished(folder, epochs)?;
    progress.message("already complete; its state is gone, its weights are taken as they are");
    Ok(TrainSummary { epochs: Vec::new(), enhancer, config: kept })
}

/// Checks that the run in a folder without a state has come to its end.
pub(crate) fn check_finished(folder: &Path, epochs: usize) -> Result<(), Error> {
    let last = last_epoch(folder)?;
    if last == Some(epochs) {
        return Ok(());
    }
    let last = last.map_or("an unknown epoch".to_owned(), |epoch| format!("epoch {epoch}"));
    let message =
        format!("its state is gone and its weights are of {last} of {epochs}; move it away to begin anew");
    Err(refused(folder, message))
}

/// Puts pretrained parts into a fresh enhancer.
fn start_from(
    enhancer: Enhancer,
    resolved: &Resolved,
    device: &Device,
    progress: &mut dyn Progress,
) -> Result<Enhancer, Error> {
    let Enhancer::DynTta(mut dyntta) = enhancer else { return Ok(enhancer) };
    if let Some(path) = &resolved.urie {
        let (Enhancer::Urie(urie), config) = checkpoint::load(path, device)? else {
            return Err(Error::setting(
                "urie",
                "a run of `--method urie`, or URIE weights",
                format!("DynTTA in {}", shown(path)),
            ));
        };
        // What its SK-UNet has seen, the whole has seen.
        let seen = config.and_then(|c| Setting::of_run(&c.training));
        let blind = |setting: Setting| setting.corruptions().is_empty();
        if blind(resolved.setting) && !seen.is_some_and(blind) {
            let seen = seen
                .map_or("weights that don't say their setting".to_owned(), |s| format!("`--setting {s}`"));
            return Err(Error::setting(
                "urie",
                format!("a URIE that has seen no corruption, trained with `--setting {}`", resolved.setting),
                format!("{seen} in {}", shown(path)),
            ));
        }
        progress.message(&format!("SK-UNet started from {}", shown(path)));
        dyntta = dyntta.with_urie(urie);
    } else if dyntta.bank().network_slot().is_some() {
        progress.message("SK-UNet started fresh; the paper starts it from a URIE trained alone (--urie RUN)");
    }
    if let Some(path) = &resolved.control_weights {
        let dict = weights::read(path)?;
        let outputs = match dict.get("fc.weight").map(|entry| &entry.shape[..]) {
            Some([outputs, 512]) => *outputs,
            _ => 1000,
        };
        let fresh = ResNet::new(&Init::new("enhancer", 0, device).child("control"), Depth::D18, outputs);
        dyntta = dyntta.with_control(weights::load(fresh, &dict, path, "resnet18 (the control network)")?);
        progress.message(&format!("control network started from {}", shown(path)));
    }
    Ok(Enhancer::DynTta(dyntta))
}
