//! The whole story on built-in data: a small classifier is trained and frozen, URIE and DynTTA are trained in front of
//! it, and all three are measured on clean and corrupted images.

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use dyntta_corrupt::{Corruption, Preset, Severity, corrupt, suite};
use dyntta_data::{Dataset, fashion_mnist};
use dyntta_files::{Claims, Lock, remove_leftovers, write_atomic};
use dyntta_image::{Rgb8, encode_png};
use dyntta_nn::checkpoint::{self, Method};
use dyntta_nn::{Arch, Classifier, Enhancer, Mode};
use serde_json::json;

use crate::classifier::{CLASSIFIER, ClassifierSettings, train_classifier_on};
use crate::control::{Progress, Stop};
use crate::error::Error;
use crate::estimate_run::again;
use crate::evaluate::{Corrupted, Plan, evaluate};
use crate::folder::{Start, refused};
use crate::images::Geometry;
use crate::options::{InputOptions, RecipeOptions};
use crate::picture::{self, Row, Tile};
use crate::recipe::{OptimizerKind, Schedule};
use crate::report::{Column, scores_json, table};
use crate::run::{TrainSettings, train_on};
use crate::scores::predictions;
use crate::setting::Setting;

const SIZE: usize = 28;
const ARCH: Arch = Arch::CifarResNet(1);
const TRAIN_IMAGES: usize = 10_000;
const CLEAN_IMAGES: usize = 2_000;
const CORRUPTED_IMAGES: usize = 300;
const SEVERITIES: [usize; 3] = [1, 3, 5];
const GEOMETRY: Geometry = Geometry::usual(Preset::Cifar, SIZE);

/// The files that the demo writes into its folder, beside the folders of its runs.
pub const FILES: [&str; 3] = ["results.json", "table.txt", "picture.png"];

/// The folders of its runs.
pub const RUNS: [&str; 3] = ["classifier", "urie", "dyntta"];

/// How much of everything; [`Effort::default`] is the demo.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Training images.
    pub train_images: usize,
    /// Clean test images.
    pub clean_images: usize,
    /// Test images of each corruption and severity.
    pub corrupted_images: usize,
    /// Epochs of the classifier, of URIE and of DynTTA.
    pub epochs: [usize; 3],
}

impl Default for Effort {
    fn default() -> Self {
        Self {
            train_images: TRAIN_IMAGES,
            clean_images: CLEAN_IMAGES,
            corrupted_images: CORRUPTED_IMAGES,
            epochs: [6, 3, 4],
        }
    }
}

/// What the demo leaves.
pub struct DemoSummary {
    /// The table of accuracies.
    pub table: String,
    /// The files written, by what they are.
    pub files: Vec<(&'static str, PathBuf)>,
    /// Wall time of this process, in seconds.
    pub seconds: f64,
}

/// Runs the demo in `out`. What a stopped demo finished there is used again.
///
/// # Errors
/// An unreadable data set, a full disk, or a request to stop.
pub fn demo(
    out: &Path,
    effort: Effort,
    seed: u64,
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<DemoSummary, Error> {
    let started = Instant::now();
    Claims::new(false).folder("`out`", out).check()?;
    std::fs::create_dir_all(out).map_err(Error::io(out))?;
    let _lock = Lock::folder(out, "demo")?;
    remove_leftovers(out);
    let (train, test, origin) = fashion_mnist::open()?;
    progress.message(&match origin {
        fashion_mnist::Origin::BuiltIn => {
            format!("data: the built-in subset of Fashion-MNIST, {} and {} images", train.len(), test.len())
        }
        fashion_mnist::Origin::Full(folder) => format!("data: Fashion-MNIST in {}", folder.display()),
    });
    let train = train.limit_balanced(effort.train_images)?;
    let device = Device::flex();

    progress.message("1/4 a small classifier, trained on clean images, then frozen");
    let classifier = classifier(out, &train, effort, seed, stop, progress)?;
    progress.message("2/4 URIE in front of it, trained by the classifier's loss on corrupted images");
    let urie = enhancer(Method::Urie, out, &train, &classifier, effort, seed, stop, progress)?;
    progress.message("3/4 DynTTA in front of it, its SK-UNet started from that URIE");
    let dyntta = enhancer(Method::Dyntta, out, &train, &classifier, effort, seed, stop, progress)?;

    progress.message("4/4 all three on clean and corrupted test images");
    let severities: Vec<Severity> = SEVERITIES.map(|s| Severity::ALL[s - 1]).to_vec();
    let plan = Plan {
        clean: Some(test.limit_balanced(effort.clean_images)?),
        corrupted: Some(Corrupted::Suite {
            base: test.limit_balanced(effort.corrupted_images)?,
            corruptions: suite("common15")?,
            severities,
            seed,
        }),
        geometry: GEOMETRY,
        batch_size: 100,
    };
    let result = evaluate(&classifier, &[None, Some(&urie), Some(&dyntta)], plan, &device, stop, progress)?;
    let names = ["alone", "with urie", "with dyntta"];
    let columns: Vec<Column> =
        names.iter().zip(&result.scores).map(|(name, scores)| Column { name, scores }).collect();
    let table = table(&columns);

    let mut files = Vec::new();
    let mut write = |what, name: &str, bytes: &[u8]| -> Result<(), Error> {
        let path = out.join(name);
        write_atomic(&path, bytes)?;
        files.push((what, path));
        Ok(())
    };
    let about = json!({
        "version": 1,
        "data": "Fashion-MNIST",
        "classifier": ARCH.to_string(),
        "train_images": train.len(),
        "clean_images": effort.clean_images.min(test.len()),
        "corrupted_images_per_cell": effort.corrupted_images.min(test.len()),
        "severities": SEVERITIES,
        "epochs": { "classifier": effort.epochs[0], "urie": effort.epochs[1], "dyntta": effort.epochs[2] },
        "seed": seed,
        "alone": scores_json(&result.scores[0]),
        "urie": scores_json(&result.scores[1]),
        "dyntta": scores_json(&result.scores[2]),
    });
    let text = serde_json::to_string_pretty(&about).expect("plain data") + "\n";
    write("results", FILES[0], text.as_bytes())?;
    write("table", FILES[1], table.as_bytes())?;
    let picture = picture(&classifier, &dyntta, &test, seed, &device)?;
    write("picture", FILES[2], &encode_png(&picture)?)?;
    files.push(("DynTTA", out.join("dyntta").join(checkpoint::WEIGHTS)));
    files.push(("URIE", out.join("urie").join(checkpoint::WEIGHTS)));
    files.push(("classifier", out.join("classifier").join(CLASSIFIER)));
    Ok(DemoSummary { table, files, seconds: started.elapsed().as_secs_f64() })
}

fn classifier(
    out: &Path,
    train: &Dataset,
    effort: Effort,
    seed: u64,
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<Classifier, Error> {
    let settings = ClassifierSettings {
        data: Some("fashion-mnist".into()),
        arch: Some(ARCH.to_string()),
        preset: Some(GEOMETRY.preset.name().to_owned()),
        recipe: RecipeOptions {
            epochs: Some(effort.epochs[0]),
            batch_size: Some(64),
            optimizer: Some(OptimizerKind::Adam),
            lr: Some(3e-3),
            schedule: Some(Schedule::Cosine),
            weight_decay: Some(0.0),
            momentum: Some(0.0),
            seed: Some(seed),
            ..RecipeOptions::default()
        },
        input: InputOptions { input_size: Some(SIZE.into()), ..InputOptions::default() },
        ..ClassifierSettings::default()
    };
    let mut resolved = settings.resolve()?;
    // Its images are centred.
    resolved.shifts = false;
    let folder = out.join("classifier");
    let start = Start::Either;
    let summary =
        train_classifier_on(&resolved, &settings, train.clone(), None, &folder, start, stop, progress)
            .map_err(again)?;
    Ok(summary.classifier)
}

fn enhancer(
    method: Method,
    out: &Path,
    train: &Dataset,
    classifier: &Classifier,
    effort: Effort,
    seed: u64,
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<Enhancer, Error> {
    let folder = out.join(method.to_string());
    let settings = TrainSettings {
        data: Some("fashion-mnist".into()),
        classifier: Some(out.join("classifier").join(CLASSIFIER)),
        method: Some(method),
        setting: Some(Setting::NonBlind),
        preset: Some("cifar".into()),
        urie: (method == Method::Dyntta).then(|| out.join("urie")),
        recipe: RecipeOptions {
            epochs: Some(effort.epochs[if method == Method::Urie { 1 } else { 2 }]),
            seed: Some(seed),
            ..RecipeOptions::default()
        },
        input: InputOptions { input_size: Some(SIZE.into()), ..InputOptions::default() },
        ..TrainSettings::default()
    };
    let autodiff = Device::flex().autodiff();
    let resolved = settings.resolve()?;
    let summary = train_on(
        &resolved,
        &settings,
        classifier,
        train.clone(),
        &folder,
        Start::Either,
        &autodiff,
        stop,
        progress,
    )
    .map_err(again)?;
    // What is measured is what was saved.
    drop(summary);
    Ok(checkpoint::load(&folder, &Device::flex())?.0)
}

/// One test image of each of eight classes, each under another corruption: the first of its class, not a chosen one.
fn picture(
    classifier: &Classifier,
    enhancer: &Enhancer,
    test: &Dataset,
    seed: u64,
    device: &Device,
) -> Result<Rgb8, Error> {
    // Noise, blur, weather and digital corruptions.
    const SHOWN: [&str; 8] =
        ["impulse_noise", "glass_blur", "motion_blur", "snow", "frost", "fog", "brightness", "contrast"];
    let severity = Severity::ALL[3];
    let mut clean = Vec::new();
    let mut corrupted = Vec::new();
    let mut labels = Vec::new();
    for (class, name) in SHOWN.iter().enumerate() {
        let index =
            test.samples.iter().position(|s| s.class == class).ok_or_else(|| {
                refused(test.name().as_ref(), format!("no image of {}", test.classes[class]))
            })?;
        let image = GEOMETRY.eval(&test.load(index)?);
        let corruption: Corruption = name.parse()?;
        let path = &test.samples[index].path;
        corrupted.push(corrupt(&image, corruption, GEOMETRY.preset, severity, seed, path));
        clean.push(image);
        labels.push(class);
    }
    let stack = |images: &[Rgb8]| {
        let values: Vec<f32> = images.iter().flat_map(Rgb8::to_planar).collect();
        Tensor::<4>::from_data(TensorData::new(values, [images.len(), 3, SIZE, SIZE]), device)
    };
    let enhanced = enhancer.forward(stack(&corrupted), Mode::Eval);
    let mut said = Vec::new();
    for images in [stack(&clean), stack(&corrupted), enhanced.clone()] {
        let predicted = predictions(classifier.forward(images)?);
        said.push(predicted.map_err(|bad| Error::Scores {
            image: SHOWN[bad.row].to_owned(),
            of: "the classifier's scores".to_owned(),
            value: bad.value,
        })?);
    }
    let values = enhanced.into_data().try_to_vec::<f32>().expect("images are f32");
    let enhanced: Vec<Rgb8> = values
        .chunks_exact(3 * SIZE * SIZE)
        .map(|v| Rgb8::from_planar(SIZE, SIZE, v).expect("three bytes a pixel"))
        .collect();
    let rows: Vec<Row> = ["clean", "corrupted", "enhanced"]
        .iter()
        .zip([clean, corrupted, enhanced])
        .zip(said)
        .map(|((title, images), said)| Row {
            title: (*title).to_owned(),
            tiles: images
                .into_iter()
                .zip(said)
                .zip(&labels)
                .map(|((image, said), label)| Tile {
                    image,
                    caption: test.classes[said].clone(),
                    right: said == *label,
                })
                .collect(),
        })
        .collect();
    Ok(picture::draw(&SHOWN.map(str::to_owned), &rows, 4))
}
