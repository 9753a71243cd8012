//! The experiment of the paper on estimated augmentations: over shifted domains, a classifier alone, behind DynTTA, retrained
//! with each of several augmentation policies, and both together (Enomoto et al., IEEE Access 2024, arXiv 2212.04681).

mod plot;
mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use dyntta_corrupt::Preset;
use dyntta_data::{Dataset, Options, Split};
use dyntta_files::{Claims, Limits, Lock, read_text, remove_leftovers, shown, shown_text, write_atomic};
use dyntta_nn::{About, Classifier, ClassifierFile, DynTta, Mode, onnx};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::augmentation::{Augmentation, Style};
use crate::classifier::{ClassifierSettings, train_classifier_on};
use crate::control::{Progress, Stop};
use crate::error::Error;
use crate::estimate_run::{Pair, again, read_off};
use crate::evaluate::Score;
use crate::fit::check_same;
use crate::folder::{Start, is_absent, refused};
use crate::identity;
use crate::images::{Geometry, eval_batches, images};
use crate::input::{aligned, check_classes, named, normalisation};
#[cfg(feature = "clap")]
use crate::options::flags;
use crate::options::{RecipeOptions, file};
use crate::recipe::Recipe;
use crate::run::TrainSettings;
use crate::scores::count_hits;
use crate::setting::{Setting, shifted};
pub use report::ExperimentReport;
use report::report;

/// The file of the settings of an experiment in its folder.
const FILE: &str = "experiment.json";

/// The files that an experiment writes into its folder, beside the folders of its runs.
pub const FILES: [&str; 4] = [FILE, report::JSON, report::TABLES, report::PICTURE];

/// What an experiment is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExperimentSettings {
    /// Training images, not shifted: anything that `train --data` takes
    #[cfg_attr(feature = "clap", arg(long, value_name = "D"))]
    pub data: PathBuf,
    /// Test images, not shifted
    #[cfg_attr(feature = "clap", arg(long, value_name = "D"))]
    pub test: PathBuf,
    /// The classifier's weights: .pth, .pt, .th or .safetensors
    #[cfg_attr(feature = "clap", arg(long, value_name = "W"))]
    pub classifier: PathBuf,
    /// The classifier's architecture [default: told by the weights' keys]
    #[cfg_attr(feature = "clap", arg(long))]
    pub arch: Option<String>,
    /// imagenet or cifar [default: told by the architecture]
    #[cfg_attr(feature = "clap", arg(long))]
    pub preset: Option<String>,
    /// The domains: corruptions with their severities, common15 (a mix of all fifteen), clean (the images as they are: a
    /// natural shift, for a classifier trained on others)
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_name = "LIST",
            value_delimiter = ',',
            default_value = "speckle_noise:5,gaussian_blur:5,spatter:5,saturate:5,common15,clean"
        )
    )]
    pub shifts: Vec<Setting>,
    /// The fixed policies
    #[cfg_attr(
        feature = "clap",
        arg(
            id = "policies",
            long,
            value_name = "LIST",
            value_delimiter = ',',
            default_value = "none,augmix,randaugment,trivialaugment"
        )
    )]
    pub fixed: Vec<String>,
    /// The ways to use the estimated policy
    #[cfg_attr(
        feature = "clap",
        arg(long, value_name = "LIST", value_delimiter = ',', default_value = "top-k,sampled,inverted")
    )]
    pub styles: Vec<String>,
    /// The seeds
    #[cfg_attr(
        feature = "clap",
        arg(long, value_name = "LIST", value_delimiter = ',', default_value = "0,1,2")
    )]
    pub seeds: Vec<u64>,
    /// Use N training images, as many of each class [default: all]
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", value_parser = flags::count()))]
    pub limit: Option<usize>,
    /// Use N test images, as many of each class [default: all]
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", value_parser = flags::count()))]
    pub test_limit: Option<usize>,
    /// Train enhancers on N of the training images [default: all that --limit leaves]
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", value_parser = flags::count()))]
    pub enhancer_limit: Option<usize>,
    /// Epochs of each retraining
    #[cfg_attr(feature = "clap", arg(long, default_value_t = 30, value_parser = flags::epochs()))]
    pub epochs: usize,
    /// Retrain from fresh weights instead of the classifier's
    #[cfg_attr(feature = "clap", arg(long))]
    pub from_scratch: bool,
    /// Epochs of URIE and of DynTTA in each estimate
    #[cfg_attr(
        feature = "clap",
        arg(long, value_name = "N,N", default_value = "10,10", value_parser = flags::two_epochs)
    )]
    pub enhancer_epochs: [usize; 2],
}

/// The accuracies of one domain and one seed by contender.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DomainScores {
    /// On the domain's test images: (right, all).
    pub shifted: BTreeMap<String, Score>,
    /// On the same without the shift.
    pub clean: BTreeMap<String, Score>,
}

/// A contender without retraining.
pub const ALONE: &str = "alone";
/// What stands behind the name of a contender that looks through DynTTA.
pub const WITH_DYNTTA: &str = " + DynTTA";

/// What stands before a style in the name of a contender retrained with the domain's own policy.
pub const ESTIMATED: &str = "estimated ";

/// The names of the contenders.
fn names(settings: &ExperimentSettings) -> Vec<String> {
    let styles = settings.styles.iter().map(|style| format!("{ESTIMATED}{style}"));
    [ALONE.to_owned()].into_iter().chain(settings.fixed.clone()).chain(styles).collect()
}

struct Experiment<'a> {
    settings: &'a ExperimentSettings,
    folder: &'a Path,
    train: Dataset,
    enhancer_train: Dataset,
    held_out: Dataset,
    test: Dataset,
    classifier: Classifier,
    about: About,
    geometry: Geometry,
    stop: &'a Stop,
    device: Device,
}

/// Runs the experiment in `folder`, or goes on with the one that is there: what is finished is not done again.
///
/// # Errors
/// Bad settings or inputs, another experiment in the folder, a full disk, or a request to stop.
pub fn experiment(
    settings: &ExperimentSettings,
    folder: &Path,
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<ExperimentReport, Error> {
    let settings = &ExperimentSettings {
        shifts: each_once(&settings.shifts),
        fixed: each_once(&settings.fixed),
        styles: each_once(&settings.styles),
        seeds: each_once(&settings.seeds),
        ..settings.clone()
    };
    for (key, empty) in [("shifts", settings.shifts.is_empty()), ("seeds", settings.seeds.is_empty())] {
        if empty {
            return Err(Error::setting(key, "one at least", "none"));
        }
    }
    if let Some(blind) = settings.shifts.iter().find(|s| matches!(s, Setting::Blind)) {
        return Err(Error::setting("shifts", "clean, common15 or corruptions with severities", blind));
    }
    // Names are checked before anything is trained.
    for name in &settings.fixed {
        Augmentation::fixed(name)?;
    }
    for style in &settings.styles {
        style.parse::<Style>()?;
    }
    for (key, epochs) in [
        ("epochs", settings.epochs),
        ("enhancer-epochs", settings.enhancer_epochs[0]),
        ("enhancer-epochs", settings.enhancer_epochs[1]),
    ] {
        if !(1..=Recipe::MAX_EPOCHS).contains(&epochs) {
            return Err(Error::setting(key, format!("a number from 1 to {}", Recipe::MAX_EPOCHS), epochs));
        }
    }
    file::to_json(settings)?;
    let before = before(settings, folder)?;
    let resolved = base(settings, 0).resolve()?;
    let device = Device::flex();
    let options = onnx::Options::default();
    let file = ClassifierFile::open(&settings.classifier, Some(resolved.arch), &options)?;
    let about = file.about().clone();
    let classifier = file.classifier(normalisation(&resolved.preprocessing), &options, &device)?;
    let open = |path: &Path, split: Split| -> Result<Dataset, Error> {
        named(Dataset::open(path, &Options::split(split))?, &resolved.preprocessing)
    };
    let limited = |data: &Dataset, limit: Option<usize>| match limit {
        Some(limit) => data.limit_balanced(limit),
        None => Ok(data.clone()),
    };
    let all = open(&settings.data, Split::Train)?;
    check_classes(&all, &classifier)?;
    let train = limited(&all, settings.limit)?;
    let test = limited(&aligned(open(&settings.test, Split::Test)?, &all.classes)?, settings.test_limit)?;
    progress.message(&format!("training images {}\ntest images {}", train.describe(), test.describe()));
    // A tenth of the enhancer's share is read off, and not trained on.
    let for_enhancer = limited(&train, settings.enhancer_limit)?;
    let (enhancer_train, held_out) = for_enhancer.split(0.1, 0).map_err(|_| {
        let key = if settings.enhancer_limit.is_some() { "enhancer-limit" } else { "limit" };
        let expected = "images enough to hold a tenth of each class out";
        Error::setting(key, expected, format!("{} images", for_enhancer.len()))
    })?;
    let identity = json!({
        "identity": identity::CURRENT,
        "classes": train.classes,
        "data": train.digest()?,
        "test": test.digest()?,
        "classifier": identity::classifier(&classifier),
    });
    let _lock = begin(settings, folder, before, identity, progress)?;
    let run = Experiment {
        settings,
        folder,
        train,
        enhancer_train,
        held_out,
        test,
        classifier,
        about,
        geometry: resolved.geometry,
        stop,
        device,
    };
    let mut scores: BTreeMap<(u64, String), DomainScores> = BTreeMap::new();
    let mut done = None;
    for &seed in &settings.seeds {
        for &shift in &settings.shifts {
            let place = format!("{} of {}", scores.len() + 1, settings.seeds.len() * settings.shifts.len());
            scores.insert((seed, shift.to_string()), run.domain(seed, shift, &place, progress)?);
            // So that what there is can be looked at while the rest is under way.
            done = Some(report(settings, folder, &scores)?);
        }
    }
    Ok(done.expect("a seed and a shift"))
}

/// A list without what is named again: it would be measured twice into one score.
fn each_once<T: Clone + PartialEq>(list: &[T]) -> Vec<T> {
    let mut out: Vec<T> = Vec::new();
    for item in list {
        if !out.contains(item) {
            out.push(item.clone());
        }
    }
    out
}

/// The settings of a retraining.
fn base(settings: &ExperimentSettings, seed: u64) -> ClassifierSettings {
    ClassifierSettings {
        data: Some(settings.data.clone()),
        classifier: Some(settings.classifier.clone()),
        from_scratch: settings.from_scratch.then_some(true),
        arch: settings.arch.clone(),
        preset: settings.preset.clone(),
        recipe: RecipeOptions { epochs: Some(settings.epochs), seed: Some(seed), ..RecipeOptions::default() },
        ..ClassifierSettings::default()
    }
}

/// The key in an experiment's file of what the contents of its inputs were.
const INPUTS: &str = "inputs";

/// What the contents of the inputs of the experiment in `folder` were, after a check that it has the same settings; more seeds,
/// shifts and policies are welcome. `None`: there is no experiment.
fn before(settings: &ExperimentSettings, folder: &Path) -> Result<Option<Value>, Error> {
    let path = folder.join(FILE);
    let open = |s: &ExperimentSettings| ExperimentSettings {
        shifts: Vec::new(),
        seeds: Vec::new(),
        fixed: Vec::new(),
        styles: Vec::new(),
        ..s.clone()
    };
    if !path.exists() {
        if let Some(name) = FILES.iter().find(|name| folder.join(name).exists()) {
            return Err(refused(folder, format!("{name} is not of an experiment (no {FILE}); move it away")));
        }
        Claims::new(false).folder("`out`", folder).check()?;
        return Ok(None);
    }
    let text = read_text(&path, Limits::DEFAULT.text_bytes)?;
    let wrong = |e: serde_json::Error| {
        let message = format!("not an experiment's settings ({}); move it away", shown_text(&e.to_string()));
        Error::Config { path: path.clone(), message }
    };
    let mut value: Value = serde_json::from_str(&text).map_err(wrong)?;
    let inputs = value.as_object_mut().and_then(|map| map.remove(INPUTS)).unwrap_or_else(|| json!({}));
    let before: ExperimentSettings = serde_json::from_value(value).map_err(wrong)?;
    if open(&before) != open(settings) {
        let message = "the experiment in it has other settings; choose another folder".to_owned();
        return Err(Error::Resume { path, message });
    }
    Ok(Some(inputs))
}

/// Makes the folder and locks it, or checks that the experiment in it had inputs of the same contents.
fn begin(
    settings: &ExperimentSettings,
    folder: &Path,
    before: Option<Value>,
    inputs: Value,
    progress: &mut dyn Progress,
) -> Result<Lock, Error> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let lock = Lock::folder(folder, "experiment")?;
    if let Some(before) = before {
        check_same(folder, &before.to_string(), &inputs.to_string(), progress)?;
    }
    remove_leftovers(folder);
    let mut value: Value = serde_json::from_str(&file::to_json(settings)?).unwrap_or_default();
    value[INPUTS] = inputs;
    let json = serde_json::to_string_pretty(&value).expect("plain data") + "\n";
    write_atomic(folder.join(FILE), json.as_bytes())?;
    Ok(lock)
}

/// The scores that are there, none if their file isn't.
fn read_scores(path: &Path) -> Result<DomainScores, Error> {
    match std::fs::symlink_metadata(path) {
        Err(e) if is_absent(&e) => Ok(DomainScores::default()),
        _ => file::read_json(path),
    }
}

impl Experiment<'_> {
    /// All of one domain and seed; `at` says how far the experiment is.
    fn domain(
        &self,
        seed: u64,
        shift: Setting,
        at: &str,
        progress: &mut dyn Progress,
    ) -> Result<DomainScores, Error> {
        let place = self.folder.join(format!("seed{seed}"));
        let folder = place.join(shift.to_string().replace(':', "-"));
        let path = folder.join("scores.json");
        let mut scores = read_scores(&path)?;
        let contenders = names(self.settings);
        let missing: Vec<&String> =
            contenders.iter().filter(|name| !scores.shifted.contains_key(*name)).collect();
        if missing.is_empty() {
            return Ok(scores);
        }
        progress.message(&format!("seed {seed}, {shift} ({at}):"));
        let enhancer = self.enhancer(seed, shift, &folder, progress)?;
        let policy = folder.join("policy.toml");
        if !policy.is_file() {
            let clean = (shift != Setting::Clean).then_some(&self.held_out);
            let about = BTreeMap::from([
                ("data".to_owned(), shown(&self.settings.data).to_string()),
                ("classifier".to_owned(), shown(&self.settings.classifier).to_string()),
                ("setting".to_owned(), shift.to_string()),
                ("seed".to_owned(), seed.to_string()),
            ]);
            let found = read_off(
                &enhancer,
                &self.held_out,
                false,
                clean,
                self.geometry,
                shift,
                seed,
                &self.device,
                self.stop,
                progress,
                about,
            )?;
            remove_leftovers(&folder);
            write_atomic(policy.with_extension("svg"), found.picture().as_bytes())?;
            found.write(&policy)?;
        }
        let mut retrained: Vec<(String, Classifier)> = Vec::new();
        for name in missing {
            if name == ALONE {
                retrained.push((name.clone(), self.classifier.clone()));
                continue;
            }
            let mut settings = base(self.settings, seed);
            let run = match name.strip_prefix(ESTIMATED) {
                Some(style) => {
                    settings.policy = Some(policy.display().to_string());
                    settings.style = Some(style.to_owned());
                    folder.join(format!("retrained-{style}"))
                }
                // The same for every domain.
                None => {
                    settings.policy = Some(name.clone());
                    place.join(format!("retrained-{name}"))
                }
            };
            retrained.push((name.clone(), self.retrain(&settings, &run, name, progress)?));
        }
        self.measure(&enhancer, &retrained, shift, &mut scores, progress).map_err(again)?;
        let json = serde_json::to_string_pretty(&scores).expect("plain data") + "\n";
        write_atomic(&path, json.as_bytes())?;
        Ok(scores)
    }

    fn enhancer(
        &self,
        seed: u64,
        shift: Setting,
        folder: &Path,
        progress: &mut dyn Progress,
    ) -> Result<DynTta, Error> {
        let settings = TrainSettings {
            data: Some(self.settings.data.clone()),
            classifier: Some(self.settings.classifier.clone()),
            arch: self.settings.arch.clone(),
            setting: Some(shift),
            preset: Some(self.geometry.preset.name().to_owned()),
            recipe: RecipeOptions { seed: Some(seed), ..RecipeOptions::default() },
            ..TrainSettings::default()
        };
        let pair = Pair::find(&settings, self.settings.enhancer_epochs.map(Some), folder)?;
        let (dyntta, _) =
            pair.train((&self.classifier, &self.about), &self.enhancer_train, self.stop, progress)?;
        Ok(dyntta)
    }

    fn retrain(
        &self,
        settings: &ClassifierSettings,
        folder: &Path,
        name: &str,
        progress: &mut dyn Progress,
    ) -> Result<Classifier, Error> {
        progress.message(&format!("retraining with {name}"));
        let resolved = settings.resolve()?;
        let data = self.train.clone();
        let start = Start::Either;
        let summary =
            train_classifier_on(&resolved, settings, data, None, folder, start, self.stop, progress)
                .map_err(again)?;
        Ok(summary.classifier)
    }

    /// Each of `retrained` alone and behind the enhancer, on the domain's test images and on clean ones.
    fn measure(
        &self,
        enhancer: &DynTta,
        retrained: &[(String, Classifier)],
        shift: Setting,
        scores: &mut DomainScores,
        progress: &mut dyn Progress,
    ) -> Result<(), Error> {
        let preset: Preset = self.geometry.preset;
        let rounds: &[(Setting, bool)] = match shift {
            Setting::Clean => &[(Setting::Clean, true)],
            _ => &[(shift, true), (Setting::Clean, false)],
        };
        progress.begin("measuring", (rounds.len() * self.test.len()) as u64, 0);
        let test = Arc::new(self.test.clone());
        let mut done = 0;
        for &(setting, is_shifted) in rounds {
            let into = if is_shifted { &mut scores.shifted } else { &mut scores.clean };
            // The test's corruptions are those of `dyntta eval` with its usual seed, the same for every seed here.
            let change = move |image, path: &str| shifted(image, setting, preset, 0, path);
            for batch in eval_batches(
                test.clone(),
                (0..test.len()).collect(),
                self.geometry,
                change,
                self.geometry.batch(),
            ) {
                self.stop.check()?;
                let batch = batch?;
                let seen = images(&batch, &self.device);
                let enhanced = enhancer.forward(seen.clone(), Mode::Eval).images;
                for (name, classifier) in retrained {
                    for (name, images) in
                        [(name.clone(), seen.clone()), (format!("{name}{WITH_DYNTTA}"), enhanced.clone())]
                    {
                        let score = into.entry(name.clone()).or_default();
                        score.hits +=
                            count_hits(classifier.forward(images)?, &batch.labels).map_err(|bad| {
                                let of = format!("the scores of {name}");
                                bad.error(&test, &batch, &of, Some(classifier))
                            })?;
                        score.n += batch.len();
                    }
                }
                done += batch.len();
                progress.update(done as u64, &setting.to_string());
            }
        }
        if shift == Setting::Clean {
            scores.clean.clone_from(&scores.shifted);
        }
        progress.end("");
        Ok(())
    }
}
