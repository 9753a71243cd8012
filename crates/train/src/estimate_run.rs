//! A run of `dyntta estimate`: an enhancer trained on a domain unless there is one, its decisions on images held out, a
//! policy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use dyntta_augment::Policy;
use dyntta_data::{CorruptedSet, Dataset, Options, Skipped, Split, Wanted};
use dyntta_files::shown;
use dyntta_nn::checkpoint::{self, EnhancerConfig, Method};
use dyntta_nn::{About, Classifier, ClassifierFile, DynTta, Enhancer};

use crate::control::{Progress, Stop};
use crate::error::Error;
use crate::estimate::decide;
use crate::folder::{Place, Start};
use crate::images::Geometry;
use crate::input::{
    aligned, check_class_count, check_classes, class_names, named, normalisation, report_skipped,
};
use crate::options::{OnError, RecipeOptions};
use crate::run::{Resolved, TrainSettings, place, train_in};
use crate::setting::Setting;

/// What an estimation goes by.
#[derive(Clone, Debug)]
pub struct EstimateSettings {
    /// Data, classifier, setting and recipe, as for the training of an enhancer. The setting is what the data goes through
    /// before: `clean` (the default here) for data that is shifted itself.
    pub train: TrainSettings,
    /// `data` is a corrupted set, and of it this is taken; absent: it is a data set as for training.
    pub corrupted: Option<Wanted>,
    /// The part of `data` that is taken, where it comes in parts.
    pub split: Split,
    /// A trained DynTTA, to train none.
    pub enhancer: Option<PathBuf>,
    /// Clean images to compare with; absent: the same images without the setting, if there is one.
    pub clean: Option<PathBuf>,
    /// The share of the images that the enhancer isn't trained on and that is read off.
    pub held_out: f64,
    /// The folder of the training runs.
    pub runs: PathBuf,
}

/// Estimates a policy.
///
/// The runs of URIE and DynTTA stay in [`EstimateSettings::runs`]; those that are complete there are used again, one that was
/// stopped goes on.
///
/// # Errors
/// Bad settings or inputs, runs of other settings in the folder, a full disk, or a request to stop.
pub fn estimate(
    settings: &EstimateSettings,
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<Policy, Error> {
    let setting = settings.train.setting.unwrap_or(Setting::Clean);
    if setting == Setting::Blind {
        return Err(Error::setting("setting", "the domain's shift, or clean", setting));
    }
    if !(settings.held_out > 0.0 && settings.held_out < 1.0) {
        return Err(Error::setting("held-out", "a share between 0 and 1", settings.held_out));
    }
    let train =
        TrainSettings { method: Some(Method::Dyntta), setting: Some(setting), ..settings.train.clone() };
    let device = Device::flex();
    // What the enhancer was trained for holds unless something else is said.
    let given = match &settings.enhancer {
        Some(path) => Some(load_dyntta(path, &device)?),
        None => None,
    };
    let trained_preset = given.as_ref().and_then(|(_, c)| c.training["preset"].as_str().map(str::to_owned));
    let train = TrainSettings { preset: train.preset.clone().or(trained_preset), ..train };
    let file = train.open_classifier();
    let mut resolved = train.resolve_for(file.as_ref().ok().map(ClassifierFile::about))?;
    let trained_for = given.as_ref().map(|(_, config)| config.classifier.classes.as_slice());
    resolved.preprocessing.classes = class_names(resolved.preprocessing.classes.as_deref(), trained_for)?;
    let epochs = [train.recipe.epochs; 2];
    // Folders that hold something else are refused before anything is read.
    let pair = match &given {
        Some(_) => None,
        None => Some(Pair::find(&train, epochs, &settings.runs)?),
    };
    let file = file?;
    let file_says = file.about().clone();
    let classifier = file.classifier(normalisation(&resolved.preprocessing), &resolved.options, &device)?;
    classifier.notes().iter().for_each(|note| progress.message(note));
    let size = resolved.geometry.fit.size;
    classifier.check_size(size.height, size.width)?;
    let skipped = Skipped::default();
    let open = |path: &Path, beside: Option<&Dataset>| -> Result<Dataset, Error> {
        let data = named(Dataset::open(path, &Options::split(settings.split))?, &resolved.preprocessing)?;
        let data = match beside {
            Some(other) => aligned(data, &other.classes)?,
            None => data,
        };
        check_classes(&data, &classifier)?;
        let data = match resolved.limit {
            Some(limit) => data.limit_balanced(limit)?,
            None => data,
        };
        Ok(if resolved.on_error == OnError::Skip { data.skip_broken(&skipped) } else { data })
    };
    let data = match &settings.corrupted {
        None => open(&resolved.data, None)?,
        Some(wanted) => {
            if setting != Setting::Clean {
                return Err(Error::setting("setting", "clean, for a set that is corrupted", setting));
            }
            let classes = resolved.preprocessing.classes.as_deref();
            let mut set = CorruptedSet::open_wanted(&resolved.data, classes, wanted)?
                .with_exif(resolved.preprocessing.exif);
            let name = shown(&resolved.data).to_string();
            check_class_count(&name, set.classes(), &classifier)?;
            if let Some(limit) = resolved.limit {
                let parts = set.parts.len();
                set = set.limit_balanced(limit.div_ceil(parts));
            }
            if resolved.on_error == OnError::Skip {
                set = set.skip_broken(&skipped);
            }
            set.merged(&name)?
        }
    };
    progress.message(&format!("images of the domain {}, setting {setting}", data.describe()));
    let seed = resolved.recipe.seed;
    let (training, held_out) = match &given {
        // Nobody knows which of them it has seen.
        Some(_) => (None, data),
        None => {
            let (training, held_out) = data.split(settings.held_out, seed).map_err(|_| {
                let expected = "a share that leaves images on both sides";
                let found = format!("{} of {} images", settings.held_out, data.len());
                Error::setting("held-out", expected, found)
            })?;
            (Some(training), held_out)
        }
    };
    // Before hours of training.
    let clean = match &settings.clean {
        Some(path) => Some(open(path, Some(&held_out))?),
        None => None,
    };
    let (enhancer, config) = match (given, training, pair) {
        (Some(given), ..) => given,
        (None, Some(training), Some(pair)) => {
            pair.train((&classifier, &file_says), &training, stop, progress)?
        }
        (None, ..) => unreachable!("what isn't given is trained"),
    };
    let clean = match (clean, setting) {
        (Some(clean), _) => Some(clean),
        (None, Setting::Clean) => None,
        (None, _) => Some(held_out.clone()),
    };
    let policy = read_off(
        &enhancer,
        &held_out,
        settings.corrupted.is_some(),
        clean.as_ref(),
        resolved.geometry,
        setting,
        seed,
        &device,
        stop,
        progress,
        about(&resolved, setting, settings.enhancer.as_deref(), &config),
    )
    .map_err(again)?;
    report_skipped(&skipped, progress);
    Ok(policy)
}

/// The policy of a trained enhancer over the images of a domain and over clean ones; see [`decide`].
///
/// # Errors
/// An unreadable image or a request to stop.
pub fn read_off(
    enhancer: &DynTta,
    images: &Dataset,
    corrupted: bool,
    clean: Option<&Dataset>,
    geometry: Geometry,
    setting: Setting,
    seed: u64,
    device: &Device,
    stop: &Stop,
    progress: &mut dyn Progress,
    mut about: BTreeMap<String, String>,
) -> Result<Policy, Error> {
    let shifted = decide(enhancer, images, geometry, corrupted, setting, seed, device, stop, progress)?;
    about.insert("images".into(), shifted.len().to_string());
    let clean = match clean {
        Some(data) => {
            Some(decide(enhancer, data, geometry, false, Setting::Clean, seed, device, stop, progress)?)
        }
        None => None,
    };
    if let Some(clean) = &clean {
        about.insert("clean-images".into(), clean.len().to_string());
    }
    Ok(shifted.policy(clean.as_ref(), about))
}

fn about(
    resolved: &Resolved,
    setting: Setting,
    enhancer: Option<&Path>,
    config: &EnhancerConfig,
) -> BTreeMap<String, String> {
    let mut about = BTreeMap::from([
        ("data".to_owned(), shown(&resolved.data).to_string()),
        ("classifier".to_owned(), shown(&resolved.classifier).to_string()),
        ("setting".to_owned(), setting.to_string()),
        ("seed".to_owned(), resolved.recipe.seed.to_string()),
        ("dyntta".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ]);
    match enhancer {
        Some(path) => about.insert("enhancer".into(), shown(path).to_string()),
        None => about.insert("epochs".into(), config.training["recipe"]["epochs"].to_string()),
    };
    about
}

/// The runs of URIE and of DynTTA from it.
pub(crate) struct Pair {
    urie: (TrainSettings, Place),
    dyntta: (TrainSettings, Place),
}

impl Pair {
    /// In `runs/urie` and `runs/dyntta`, each for so many epochs; what is finished there is taken as it is, what was stopped goes
    /// on.
    ///
    /// # Errors
    /// Those of [`Place::find`], of either folder.
    pub fn find(settings: &TrainSettings, epochs: [Option<usize>; 2], runs: &Path) -> Result<Self, Error> {
        let folder = |method: Method| runs.join(method.to_string());
        let first = TrainSettings {
            method: Some(Method::Urie),
            bank: None,
            control_weights: None,
            control_size: None,
            recipe: RecipeOptions { epochs: epochs[0], ..settings.recipe.clone() },
            ..settings.clone()
        };
        let second = TrainSettings {
            method: Some(Method::Dyntta),
            urie: Some(folder(Method::Urie)),
            recipe: RecipeOptions { epochs: epochs[1], ..settings.recipe.clone() },
            ..settings.clone()
        };
        let at = |settings: TrainSettings, method| -> Result<_, Error> {
            let place = place(&settings, &folder(method), Start::Either)?;
            Ok((settings, place))
        };
        Ok(Self { urie: at(first, Method::Urie)?, dyntta: at(second, Method::Dyntta)? })
    }

    /// Trains both, in front of a classifier and by what its file says of itself.
    ///
    /// # Errors
    /// As [`crate::train_on`].
    pub fn train(
        self,
        (classifier, about): (&Classifier, &About),
        data: &Dataset,
        stop: &Stop,
        progress: &mut dyn Progress,
    ) -> Result<(DynTta, EnhancerConfig), Error> {
        let device = Device::flex().autodiff();
        let folder = self.dyntta.1.folder.clone();
        for ((settings, place), what) in [
            (self.urie, "URIE on the domain's images"),
            (self.dyntta, "DynTTA on them, its SK-UNet started from that URIE"),
        ] {
            progress.message(what);
            let resolved = settings.resolve_for(Some(about))?;
            train_in(place, &resolved, &settings, classifier, data.clone(), &device, stop, progress)
                .map_err(again)?;
        }
        // What is read off is what was saved.
        load_dyntta(&folder, &Device::flex())
    }
}

/// A part of a command that goes on by itself was stopped: its own way to be continued is not what to do.
pub(crate) fn again(error: Error) -> Error {
    match error {
        Error::Interrupted(_) => Error::Interrupted(Some("the same command goes on from there".into())),
        other => other,
    }
}

pub(crate) fn load_dyntta(path: &Path, device: &Device) -> Result<(DynTta, EnhancerConfig), Error> {
    match checkpoint::load(path, device)? {
        (Enhancer::DynTta(dyntta), Some(config)) => Ok((dyntta, config)),
        _ => Err(Error::setting(
            "enhancer",
            "DynTTA, whose decisions a policy is made of",
            format!("URIE in {}", shown(path)),
        )),
    }
}
