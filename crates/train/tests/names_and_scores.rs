//! Labels are matched by name, scores are numbers, and what can't be trained in front of is refused before it starts.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use dyntta_corrupt::Preset;
use dyntta_data::{Dataset, Options};
use dyntta_nn::weights::{self, StateDict};
use dyntta_nn::{Classifier, Normalisation};
use dyntta_train::baselines::{Settings, named};
use dyntta_train::experiment::{ExperimentSettings, experiment};
use dyntta_train::{
    ClassifierSettings, Contender, Corrupted, Geometry, METRICS, Plan, SETTINGS, Silent, Stop, TrainSettings,
    class_names, compare, estimate, evaluate, train_classifier, train_enhancer,
};

mod common;
use common::place::{Place, with};

fn copy(place: &Place, to: &str, classes: &[(&str, &str)]) {
    for (class, name) in classes {
        fs::create_dir_all(place.at(to).join(name)).unwrap();
        for i in 0..10 {
            let from = place.at("data").join(class).join(format!("{i}.png"));
            fs::copy(from, place.at(to).join(name).join(format!("{i}.png"))).unwrap();
        }
    }
}

fn open(path: &Path) -> Dataset {
    Dataset::open(path, &Options::default()).unwrap()
}

fn plan(data: Dataset) -> Plan {
    Plan { clean: Some(data), corrupted: None, geometry: Geometry::usual(Preset::Cifar, 16), batch_size: 4 }
}

fn enhancer(place: &Place) -> TrainSettings {
    place.estimation("unused").train
}

fn refused(place: &Place, settings: &TrainSettings) -> String {
    let result = train_enhancer(settings, &place.at("refused"), false, &Stop::default(), &mut Silent);
    assert!(!place.at("refused").exists(), "nothing is begun");
    result.err().expect("it is refused").to_string()
}

/// A validation set without the first class, whose labels would all be one off by place.
#[test]
fn validation_is_matched_by_class_names() {
    let place = Place::new();
    copy(&place, "two", &[("c1", "c1"), ("c2", "c2")]);
    copy(&place, "other", &[("c0", "c0"), ("c1", "zebra")]);
    let run = |validation: &str, run: &str| {
        let settings = with(place.settings(), |s| {
            s.validation = Some(place.at(validation));
            s.policy = Some("none".into());
            s.recipe.lr = Some(1e-9);
            s.ema = None;
            s.recipe.epochs = Some(1);
        });
        train_classifier(&settings, &place.at(run), false, &Stop::default(), &mut Silent)
    };
    let summary = run("two", "run").unwrap();
    let all = open(&place.at("data"));
    let of: Vec<usize> = (0..all.len()).filter(|&i| all.samples[i].class > 0).collect();
    let found = evaluate(
        &summary.classifier,
        &[None],
        plan(all.subset(&of)),
        &Device::flex(),
        &Stop::default(),
        &mut Silent,
    );
    let expected = found.unwrap().scores[0].clean.unwrap().accuracy();
    assert_eq!(summary.epochs[0].validation, Some(expected));
    let error = run("other", "refused").err().unwrap().to_string();
    assert!(error.contains("c0, c1, c2") && error.contains("zebra"), "{error}");
    assert!(!place.at("refused").exists());
}

#[test]
fn clean_images_and_test_images_are_matched_by_class_names() {
    let place = Place::new();
    copy(&place, "two", &[("c1", "c1"), ("c2", "c2")]);
    copy(&place, "renamed", &[("c0", "a"), ("c1", "b"), ("c2", "c")]);
    let mut settings = place.estimation("runs");
    settings.clean = Some(place.at("renamed"));
    let error = estimate(&settings, &Stop::default(), &mut Silent).unwrap_err().to_string();
    assert!(error.contains("c0, c1, c2") && error.contains("a, b, c"), "{error}");
    assert!(!place.at("runs").exists(), "before anything is trained");
    settings.clean = Some(place.at("two"));
    let policy = estimate(&settings, &Stop::default(), &mut Silent).unwrap();
    assert_eq!(policy.about["clean-images"], "20");
    let experiment = |test: &str| {
        let settings = ExperimentSettings {
            data: place.at("data"),
            test: place.at(test),
            classifier: place.at("net.safetensors"),
            arch: None,
            preset: None,
            shifts: vec!["clean".parse().unwrap()],
            fixed: Vec::new(),
            styles: Vec::new(),
            seeds: vec![0],
            limit: None,
            test_limit: None,
            enhancer_limit: None,
            epochs: 1,
            from_scratch: false,
            enhancer_epochs: [1, 1],
        };
        experiment(&settings, &place.at("experiment"), &Stop::default(), &mut Silent)
    };
    let error = experiment("renamed").err().unwrap().to_string();
    assert!(error.contains("a, b, c"), "{error}");
    let report = experiment("two").unwrap();
    let json: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&report.files[0].1).unwrap()).unwrap();
    let classifier = classifier(&weights::read(&place.at("net.safetensors")).unwrap(), &place);
    let two = open(&place.at("two")).with_classes(&["c0", "c1", "c2"].map(Into::into)).unwrap();
    // The experiment brings images to 32 pixels a side.
    let plan = Plan { geometry: Geometry::usual(Preset::Cifar, 32), ..plan(two) };
    let found = evaluate(&classifier, &[None], plan, &Device::flex(), &Stop::default(), &mut Silent).unwrap();
    let alone = json["accuracy"]["shifted"]["alone"]["clean"]["mean"].as_f64().unwrap();
    assert_eq!(alone, found.scores[0].clean.unwrap().accuracy());
}

#[test]
fn the_sets_of_an_evaluation_number_their_classes_alike() {
    let place = Place::new();
    let data = open(&place.at("data"));
    let base = data.clone().with_classes(&["c2", "c1", "c0"].map(Into::into)).unwrap();
    let corruptions = dyntta_corrupt::suite("fog").unwrap();
    let severities = vec![dyntta_corrupt::Severity::ALL[0]];
    let plan =
        Plan { corrupted: Some(Corrupted::Suite { base, corruptions, severities, seed: 0 }), ..plan(data) };
    let classifier = classifier(&weights::read(&place.at("net.safetensors")).unwrap(), &place);
    let result = evaluate(&classifier, &[None], plan, &Device::flex(), &Stop::default(), &mut Silent);
    let error = result.err().unwrap().to_string();
    assert!(error.contains("\"c0\" and \"c2\""), "{error}");
}

#[test]
fn an_enhancers_class_names_name_the_classifiers_outputs() {
    let names = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<String>>();
    let (ab, ba) = (names(&["a", "b"]), names(&["b", "a"]));
    assert_eq!(class_names(None, None).unwrap(), None);
    assert_eq!(class_names(None, Some(&ab)).unwrap(), Some(ab.clone()));
    assert_eq!(class_names(Some(&ab), Some(&ab)).unwrap(), Some(ab.clone()));
    let error = class_names(Some(&ab), Some(&ba)).unwrap_err().to_string();
    assert!(error.contains("class 0, counted from 0, is \"a\" and \"b\""), "{error}");
    assert!(class_names(Some(&ab), Some(&ab[..1])).unwrap_err().to_string().contains("\"b\" and none"));
}

/// A classifier of these weights, by way of a file.
fn classifier(dict: &StateDict, place: &Place) -> Classifier {
    let path = place.at("changed.safetensors");
    weights::write(&path, dict, Default::default()).unwrap();
    Classifier::load(&path, None, Normalisation::IMAGENET, &Device::flex()).unwrap()
}

#[test]
fn weights_that_are_no_numbers_end_every_run() {
    let place = Place::new();
    let mut dict = weights::read(&place.at("net.safetensors")).unwrap();
    dict.get_mut("layer1.0.conv1.weight").unwrap().data[3] = f32::NAN;
    weights::write(&place.at("nan.safetensors"), &dict, Default::default()).unwrap();
    let said = |error: &str| {
        assert!(error.contains("NaN") && error.contains("layer1.0.conv1.weight"), "{error}");
    };
    let nan = place.at("nan.safetensors");
    said(&refused(&place, &TrainSettings { classifier: Some(nan.clone()), ..enhancer(&place) }));
    let settings = ClassifierSettings { classifier: Some(nan.clone()), ..place.settings() };
    said(
        &train_classifier(&settings, &place.at("refused"), false, &Stop::default(), &mut Silent)
            .err()
            .unwrap()
            .to_string(),
    );
    assert!(!place.at("refused").exists());
    let mut estimation = place.estimation("runs");
    estimation.train.classifier = Some(nan.clone());
    said(&estimate(&estimation, &Stop::default(), &mut Silent).unwrap_err().to_string());
    assert!(!place.at("runs/urie").exists());
    // Read without the check that a file's reader makes.
    let Ok(classifier) = Classifier::load(&nan, None, Normalisation::IMAGENET, &Device::flex()) else {
        return;
    };
    let mut contenders = vec![Contender::Alone];
    contenders.extend(named(&["all"]).unwrap().into_iter().map(Contender::Baseline));
    for contender in contenders {
        let (device, stop) = (Device::flex(), Stop::default());
        let data = plan(open(&place.at("data")));
        let result =
            compare(&classifier, &[contender], Settings::default(), data, &device, &stop, &mut Silent);
        said(&result.err().unwrap().to_string());
    }
}

/// Scores that overflow for bright images and not for black.
#[test]
fn the_first_image_whose_scores_are_no_numbers_is_named() {
    let place = Place::new();
    let (device, stop) = (Device::flex(), Stop::default());
    let classifier =
        Classifier::load(&fixture("overflow.onnx"), None, Normalisation::IMAGENET, &device).unwrap();
    let data = open(&place.at("data"));
    let finite = |i: usize| {
        let images = TensorData::new(data.load(i).unwrap().to_planar(), [1, 3, 16, 16]);
        let scores = classifier.forward(Tensor::<4>::from_data(images, &device)).unwrap().into_data();
        scores.try_to_vec::<f32>().unwrap().iter().all(|v| v.is_finite())
    };
    let first = (0..data.len()).find(|&i| !finite(i)).unwrap();
    assert!(first > 0);
    for size in [1, 4, 30] {
        let plan = Plan { batch_size: size, ..plan(data.clone()) };
        let error =
            evaluate(&classifier, &[None], plan, &device, &stop, &mut Silent).err().unwrap().to_string();
        let expected = format!("{}: the classifier's scores are not finite (inf)", data.samples[first].path);
        assert!(error.ends_with(&expected), "{error}");
    }
    // In training too, whatever image comes first there.
    let settings = TrainSettings { classifier: Some(fixture("overflow.onnx")), ..enhancer(&place) };
    let result = train_enhancer(&settings, &place.at("run"), false, &stop, &mut Silent);
    let Err(error) = result else { panic!("the loss is no number") };
    assert!(error.to_string().contains(".png"), "{error}");
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx").join(name)
}

#[test]
fn a_classifier_without_a_gradient_is_refused_before_anything_starts() {
    let place = Place::new();
    let of = |classifier: PathBuf| TrainSettings { classifier: Some(classifier), ..enhancer(&place) };
    let error = refused(&place, &of(fixture("cast.onnx")));
    assert!(error.contains("no gradient reaches the image") && error.contains("cast.onnx"), "{error}");
    // Scores that don't depend on the image.
    let mut dict = weights::read(&place.at("net.safetensors")).unwrap();
    dict.get_mut("linear.weight").unwrap().data.fill(0.0);
    weights::write(&place.at("deaf.safetensors"), &dict, Default::default()).unwrap();
    let error = refused(&place, &of(place.at("deaf.safetensors")));
    assert!(error.contains("no gradient reaches the image"), "{error}");
    // A graph for two images at a time, in front of which batches of six are trained.
    let settings = with(of(fixture("fixed.onnx")), |s| s.input.resize = None);
    train_enhancer(&settings, &place.at("run"), false, &Stop::default(), &mut Silent).unwrap();
    assert!(place.at("run").join(METRICS).is_file());
}

#[test]
fn settings_are_bounded_wherever_they_come_from() {
    let place = Place::new();
    let cases: [(&str, TrainSettings); 6] = [
        ("epochs", with(enhancer(&place), |s| s.recipe.epochs = Some(usize::MAX))),
        ("batch-size", with(enhancer(&place), |s| s.recipe.batch_size = Some(usize::MAX))),
        ("control-size", TrainSettings { control_size: Some(1 << 32), ..enhancer(&place) }),
        ("control-size", TrainSettings { control_size: Some(0), ..enhancer(&place) }),
        ("lr", with(enhancer(&place), |s| s.recipe.lr = Some(f64::INFINITY))),
        ("clip", with(enhancer(&place), |s| s.recipe.clip = Some(f64::NAN))),
    ];
    for (key, settings) in cases {
        let error = refused(&place, &settings);
        assert!(error.contains(&format!("`{key}`")), "{key}: {error}");
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let data = place.0.path().join(std::ffi::OsStr::from_bytes(b"d\xff"));
        fs::rename(place.at("data"), &data).unwrap();
        let error = refused(&place, &TrainSettings { data: Some(data.clone()), ..enhancer(&place) });
        assert!(error.contains("UTF-8"), "{error}");
        fs::rename(&data, place.at("data")).unwrap();
    }
    let mut settings = place.estimation("runs");
    settings.train.images.limit = Some(3);
    settings.held_out = 0.01;
    let error = estimate(&settings, &Stop::default(), &mut Silent).unwrap_err().to_string();
    assert!(error.contains("`held-out`") && error.contains("0.01 of 3 images"), "{error}");

    let path = place.at("train.toml");
    let read = |text: &[u8]| {
        fs::write(&path, text).unwrap();
        TrainSettings::read_toml(&path).map_err(|e| e.to_string())
    };
    assert_eq!(read(b"\xef\xbb\xbfepochs = 3\n").unwrap().recipe.epochs, Some(3));
    for text in ["lr = nan", "lr = -inf", "mean = [0.5, inf, 0.5]"] {
        let error = read(text.as_bytes()).unwrap_err();
        assert!(error.contains("expected a finite number"), "{error}");
    }
    let long = format!("epochs = 1\nlr = \"{}\"", "x".repeat(100_000));
    let error = read(long.as_bytes()).unwrap_err();
    assert!(error.contains("line 2") && error.len() < 1000, "{error}");
    let error = read(b"lr = \"\x1b[31m\"").unwrap_err();
    assert!(!error.contains('\x1b'), "{error}");
    assert!(read(b"\xff\xfe").unwrap_err().contains("UTF-16"));
    fs::create_dir(place.at("run")).unwrap();
    fs::write(place.at("run").join(SETTINGS), "[".repeat(100_000)).unwrap();
    let error = TrainSettings::read_run(&place.at("run")).unwrap_err().to_string();
    assert!(error.contains(SETTINGS) && error.len() < 1000, "{error}");
}
