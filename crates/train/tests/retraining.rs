//! Training of classifiers, estimation of policies, and the experiment: determinism, resumption, refusals.

use std::path::Path;

use dyntta_augment::Policy;
use dyntta_data::Wanted;
use dyntta_nn::weights::{self, StateDict};
use dyntta_train::experiment::{ExperimentSettings, experiment};
use dyntta_train::{
    CLASSIFIER, ClassifierSettings, Error, EstimateSettings, METRICS, OptimizerKind, Silent, Stop,
    TrainSettings, estimate,
};

mod common;
use common::StopAt;
use common::place::{Place, with};

#[test]
fn a_stopped_classifier_run_ends_with_the_weights_of_one_that_was_not() {
    let place = Place::new();
    for optimizer in [OptimizerKind::Sgd, OptimizerKind::Adamw] {
        let (mixup, cutmix) = (Some(0.2), (optimizer == OptimizerKind::Sgd).then_some(1.0));
        let settings = with(place.settings(), |s| {
            s.recipe.optimizer = Some(optimizer);
            s.mixup = mixup;
            s.cutmix = cutmix;
        });
        let (whole, parts) = (format!("whole {optimizer:?}"), format!("parts {optimizer:?}"));
        let expected = place.train(&settings, &whole, false, &Stop::default(), &mut Silent).unwrap();
        // Ten steps in all: stopped inside the first epoch, and at its end.
        for (stop_at, resume) in [(2, false), (5, true)] {
            let stop = Stop::default();
            let result = place.train(&settings, &parts, resume, &stop, &mut StopAt(stop_at, stop.clone()));
            assert!(matches!(result, Err(Error::Interrupted(Some(_)))));
        }
        let found = place.train(&settings, &parts, true, &Stop::default(), &mut Silent).unwrap();
        assert_eq!(expected, found, "{optimizer:?}");
    }
}

/// A request to stop that comes while the epoch's result is measured loses nothing.
#[test]
fn a_run_stopped_in_its_validation_goes_on() {
    let place = Place::new();
    let settings = ClassifierSettings { validation: Some(place.at("data")), ..place.settings() };
    let expected = place.train(&settings, "whole", false, &Stop::default(), &mut Silent).unwrap();
    let metrics = std::fs::read_to_string(place.at("whole").join(METRICS)).unwrap();
    let last: serde_json::Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    assert!(last["validation"].is_f64(), "{last}");
    let stop = Stop::default();
    // Five steps are an epoch: the request is heard in the validation that follows.
    let result = place.train(&settings, "parts", false, &stop, &mut StopAt(5, stop.clone()));
    assert!(matches!(result, Err(Error::Interrupted(Some(_)))));
    assert_eq!(expected, place.train(&settings, "parts", true, &Stop::default(), &mut Silent).unwrap());
}

#[test]
fn threads_change_nothing_and_seeds_and_policies_do() {
    let place = Place::new();
    let settings = with(place.settings(), |s| s.recipe.epochs = Some(1));
    let run = |name: &str, threads: usize, settings: &ClassifierSettings| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| place.train(settings, name, false, &Stop::default(), &mut Silent).unwrap())
    };
    let base = run("one", 1, &settings);
    assert_eq!(base, run("three", 3, &settings));
    assert_ne!(base, run("seed", 1, &with(settings.clone(), |s| s.recipe.seed = Some(1))));
    for policy in ["none", "augmix", "randaugment", "trivialaugment"] {
        let fixed = ClassifierSettings { policy: Some(policy.into()), ..settings.clone() };
        assert_ne!(base, run(policy, 1, &fixed));
    }
    let top = ClassifierSettings { style: Some("top-k".into()), top_k: Some(1), ..settings.clone() };
    assert_ne!(base, run("top", 1, &top));
    let fresh = ClassifierSettings { from_scratch: Some(true), ..settings };
    assert_ne!(base, run("fresh", 1, &fresh));
}

/// What is written can be read by every other command: weights, preprocessing and class names.
#[test]
fn a_trained_classifier_brings_its_preprocessing() {
    let place = Place::new();
    place.train(&place.settings(), "run", false, &Stop::default(), &mut Silent).unwrap();
    let json = std::fs::read_to_string(place.at("run").join(CLASSIFIER).with_extension("json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["classes"], serde_json::json!(["c0", "c1", "c2"]));
    assert_eq!(json["input_size"], serde_json::json!([16, 16]));
    // Trained on from there, with what it says.
    let again = with(place.settings(), |s| {
        s.classifier = Some(place.at("run").join(CLASSIFIER));
        s.input.input_size = None;
    });
    assert_eq!(again.resolve().unwrap().geometry.fit.size, 16.into());
}

#[test]
fn the_average_of_weights_follows_them() {
    let place = Place::new();
    let base = with(place.settings(), |s| s.recipe.epochs = Some(1));
    let run = |name: &str, ema| {
        place
            .train(&ClassifierSettings { ema, ..base.clone() }, name, false, &Stop::default(), &mut Silent)
            .unwrap()
    };
    let start = weights::read(&place.at("net.safetensors")).unwrap();
    let (last, average) = (run("last", None), run("average", Some(0.9)));
    let distance = |a: &StateDict, b: &StateDict| {
        let entries = a.iter().flat_map(|(key, a)| a.data.iter().zip(&b[key].data));
        entries.map(|(a, b)| f64::from(a - b) * f64::from(a - b)).sum::<f64>().sqrt()
    };
    let whole = distance(&start, &last);
    assert!(distance(&average, &last) > 0.0 && distance(&average, &last) < whole);
    assert!(distance(&average, &start) < whole);
}

#[test]
fn settings_of_a_classifier_out_of_range_are_refused_by_name() {
    let place = Place::new();
    let base = place.settings();
    let of = |change: fn(&mut ClassifierSettings)| {
        let mut settings = base.clone();
        change(&mut settings);
        settings
    };
    let cases: Vec<(&str, ClassifierSettings)> = vec![
        ("data", of(|s| s.data = None)),
        ("arch", of(|s| s.classifier = None)),
        ("limit", of(|s| s.images.limit = Some(0))),
        ("epochs", of(|s| s.recipe.epochs = Some(0))),
        ("lr", of(|s| s.recipe.lr = Some(0.0))),
        ("ema", of(|s| s.ema = Some(1.0))),
        ("mixup", of(|s| s.mixup = Some(-1.0))),
        ("cutmix", of(|s| s.cutmix = Some(f64::INFINITY))),
        ("label-smoothing", of(|s| s.label_smoothing = Some(-0.1))),
        ("strength", of(|s| s.strength = Some(f64::NAN))),
        ("style", of(|s| s.style = Some("upside-down".into()))),
        ("top-k", of(|s| s.top_k = Some(3))),
        ("strength", of(|s| (s.style, s.strength) = (Some("top-k".into()), Some(2.0)))),
        ("style", of(|s| (s.policy, s.style) = (Some("augmix".into()), Some("top-k".into())))),
    ];
    for (key, settings) in cases {
        let message = settings.resolve().unwrap_err().to_string();
        assert!(message.contains(&format!("`{key}`")), "{key}: {message}");
    }
    let message = of(|s| s.policy = Some("augmux".into())).resolve().unwrap_err().to_string();
    assert!(message.contains("augmux") && message.contains("trivialaugment"), "{message}");
    assert!(message.contains("the file of a policy"), "a missing file is said to be one: {message}");
    let onnx = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nn/tests/onnx/resnet.onnx");
    let settings = ClassifierSettings { classifier: Some(onnx), ..base };
    let message = settings.resolve().unwrap_err().to_string();
    assert!(message.contains("`classifier`") && message.contains("ONNX"), "{message}");
}

#[test]
fn a_policy_is_estimated_resumed_and_the_same_again() {
    let place = Place::new();
    let settings = place.estimation("whole");
    let policy = estimate(&settings, &Stop::default(), &mut Silent).unwrap();
    let names: Vec<&str> = policy.ops.iter().map(|op| op.name.as_str()).collect();
    assert_eq!(names, ["contrast", "low_pass_0.50", "invert", "urie"]);
    let sum: f64 = policy.ops.iter().map(|op| op.weight).sum();
    assert!((sum - 1.0).abs() < 1e-4, "{sum}");
    assert!(policy.ops[0].factor.is_some() && policy.ops[1].factor.is_none());
    assert!(policy.ops[1].change.is_some() && policy.ops[1].clean_change.is_some());
    assert!(policy.ops[3].change.is_none(), "a network's image is not at hand");
    assert_eq!(policy.about["images"], "9");
    for by in ["class", "corruption"] {
        let images: usize = policy.groups.iter().filter(|g| g.by == by).map(|g| g.images).sum();
        assert_eq!(images, 9, "{by}");
    }
    // Read back, it is the same.
    policy.write(&place.at("estimated.toml")).unwrap();
    assert_eq!(Policy::read(&place.at("estimated.toml")).unwrap(), policy);
    // Stopped in each of its two trainings, it goes on to the same.
    let parts = place.estimation("parts");
    let stop = Stop::default();
    let Err(error) = estimate(&parts, &stop, &mut StopAt(2, stop.clone())) else { panic!("stopped") };
    assert!(error.to_string().contains("the same command goes on"), "{error}");
    assert_eq!(estimate(&parts, &Stop::default(), &mut Silent).unwrap(), policy);
    // What is trained is not trained again.
    assert_eq!(estimate(&parts, &Stop::default(), &mut Silent).unwrap(), policy);
    // A trained enhancer is read off over all the images.
    let given = EstimateSettings { enhancer: Some(place.at("parts/dyntta")), ..place.estimation("none") };
    assert_eq!(estimate(&given, &Stop::default(), &mut Silent).unwrap().about["images"], "30");
    // A corrupted set on disk tells the corruption of each image too.
    for (corruption, severity) in [("fog", 3), ("snow", 1)] {
        let part = place.at(&format!("corrupted/{corruption}/{severity}"));
        for class in ["c0", "c1", "c2"] {
            std::fs::create_dir_all(part.join(class)).unwrap();
            let from = place.at("data").join(class).join("0.png");
            std::fs::copy(from, part.join(class).join("0.png")).unwrap();
        }
    }
    let train = TrainSettings {
        data: Some(place.at("corrupted")),
        setting: Some("clean".parse().unwrap()),
        ..given.train.clone()
    };
    let wanted = Some(Wanted::default());
    let corrupted =
        EstimateSettings { train, corrupted: wanted, clean: Some(place.at("data")), ..given.clone() };
    let found = estimate(&corrupted, &Stop::default(), &mut Silent).unwrap();
    let by: Vec<(&str, usize)> = found
        .groups
        .iter()
        .filter(|group| group.by == "corruption")
        .map(|group| (group.name.as_str(), group.images))
        .collect();
    assert_eq!(by, [("fog", 3), ("snow", 3)]);
    assert_eq!(found.about["clean-images"], "30");
    let urie = EstimateSettings { enhancer: Some(place.at("parts/urie")), ..given };
    let Err(error) = estimate(&urie, &Stop::default(), &mut Silent) else { panic!("URIE decides nothing") };
    assert!(error.to_string().contains("`enhancer`"), "{error}");
}

/// Not after URIE's training, which has no bank.
#[test]
fn an_unknown_op_is_refused_before_anything_is_trained() {
    let place = Place::new();
    let mut settings = place.estimation("runs");
    settings.train.bank = Some(vec!["contrast".into(), "shaprness".into()]);
    let Err(error) = estimate(&settings, &Stop::default(), &mut Silent) else { panic!("no such op") };
    assert!(error.to_string().contains("did you mean `sharpness`?"), "{error}");
    assert!(!place.at("runs").exists());
}

#[test]
fn an_experiment_stopped_goes_on_and_grows() {
    let place = Place::new();
    let settings = ExperimentSettings {
        data: place.at("data"),
        test: place.at("data"),
        classifier: place.at("net.safetensors"),
        arch: None,
        preset: None,
        shifts: vec!["fog:3".parse().unwrap(), "clean".parse().unwrap()],
        fixed: vec!["none".into(), "augmix".into()],
        styles: vec!["top-k".into(), "inverted".into()],
        seeds: vec![0],
        limit: Some(24),
        test_limit: Some(9),
        enhancer_limit: None,
        epochs: 1,
        from_scratch: false,
        enhancer_epochs: [1, 1],
    };
    let run = |settings: &ExperimentSettings, folder: &str| {
        experiment(settings, &place.at(folder), &Stop::default(), &mut Silent)
    };
    let whole = run(&settings, "whole").unwrap();
    for (what, path) in &whole.files {
        assert!(path.is_file(), "{what} in {}", path.display());
    }
    let json = |folder: &str| -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(place.at(folder).join("results.json")).unwrap())
            .unwrap()
    };
    let accuracy = &json("whole")["accuracy"]["shifted"];
    for name in ["alone", "none + DynTTA", "estimated top-k", "estimated inverted + DynTTA"] {
        for domain in ["fog:3", "clean", "mean"] {
            let found = accuracy[name][domain]["mean"].as_f64().unwrap();
            assert!((0.0..=1.0).contains(&found), "{name} {domain}");
        }
    }
    let stop = Stop::default();
    let result = experiment(&settings, &place.at("parts"), &stop, &mut StopAt(1, stop.clone()));
    assert!(matches!(result, Err(Error::Interrupted(Some(_)))));
    assert_eq!(run(&settings, "parts").unwrap().tables, whole.tables);
    // More of it is added, and what is there stays.
    let more = ExperimentSettings { seeds: vec![0, 1], ..settings.clone() };
    assert!(run(&more, "parts").unwrap().tables.contains(" ± "));
    let other = ExperimentSettings { epochs: 2, ..settings };
    let Err(error) = run(&other, "parts") else { panic!("another experiment") };
    assert!(error.to_string().contains("other settings"), "{error}");
}
