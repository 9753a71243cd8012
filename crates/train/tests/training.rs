//! Training runs: stopped and resumed, stopped by a broken loss, and what their folders hold.

use std::path::Path;

use burn::tensor::Device;
use dyntta_data::{Dataset, fashion_mnist};
use dyntta_nn::checkpoint::{self, Method};
use dyntta_nn::weights::{self, StateDict};
use dyntta_nn::{Arch, Classifier, ClassifierNet, Init, Normalisation};
use dyntta_train::{
    Error, InputOptions, METRICS, OptimizerKind, Progress, RecipeOptions, Schedule, Setting, Silent, Start,
    Stop, TrainSettings, TrainSummary, train_on,
};

mod common;
use common::StopAt;
use common::place::with;

fn data() -> Dataset {
    fashion_mnist::builtin().0.limit_balanced(40).unwrap()
}

fn classifier() -> Classifier {
    let init = Init::new("classifier", 1, &Device::flex());
    let arch = Arch::CifarResNet(1);
    Classifier::new(ClassifierNet::new(&init, arch, 10), arch, 10, Normalisation::IMAGENET)
}

fn settings(method: Method, optimizer: OptimizerKind) -> TrainSettings {
    TrainSettings {
        data: Some("built-in".into()),
        classifier: Some("fresh".into()),
        method: Some(method),
        preset: Some("cifar".into()),
        recipe: RecipeOptions {
            epochs: Some(2),
            batch_size: Some(8),
            optimizer: Some(optimizer),
            schedule: Some(Schedule::Cosine),
            lr: Some(1e-3),
            ..RecipeOptions::default()
        },
        input: InputOptions { input_size: Some(28.into()), ..InputOptions::default() },
        ..TrainSettings::default()
    }
}

fn train(
    settings: &TrainSettings,
    folder: &Path,
    resume: bool,
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<TrainSummary, Error> {
    let device = Device::flex().autodiff();
    let resolved = settings.resolve()?;
    let start = if resume { Start::Resume } else { Start::New };
    train_on(&resolved, settings, &classifier(), data(), folder, start, &device, stop, progress)
}

fn saved(folder: &Path) -> StateDict {
    weights::read(&folder.join(checkpoint::WEIGHTS)).unwrap()
}

#[test]
fn a_run_stopped_twice_ends_with_the_weights_of_one_that_was_not() {
    for (method, optimizer) in [(Method::Dyntta, OptimizerKind::Adam), (Method::Urie, OptimizerKind::Sgd)] {
        let settings = settings(method, optimizer);
        let whole = tempfile::tempdir().unwrap();
        let parts = tempfile::tempdir().unwrap();
        let (whole, parts) = (whole.path().join("run"), parts.path().join("run"));
        train(&settings, &whole, false, &Stop::default(), &mut Silent).unwrap();
        // Ten steps in all: stopped inside the first epoch, at its end, and then run to the end.
        for (stop_at, resume) in [(3, false), (5, true)] {
            let stop = Stop::default();
            let result = train(&settings, &parts, resume, &stop, &mut StopAt(stop_at, stop.clone()));
            assert!(matches!(result, Err(Error::Interrupted(Some(_)))));
        }
        train(&settings, &parts, true, &Stop::default(), &mut Silent).unwrap();
        assert_eq!(saved(&whole), saved(&parts), "{method}");
        let losses = |folder: &Path| -> Vec<(u64, u64, f64)> {
            let text = std::fs::read_to_string(folder.join(METRICS)).unwrap();
            let lines = text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
            lines
                .map(|v| {
                    (
                        v["epoch"].as_u64().unwrap(),
                        v["step"].as_u64().unwrap_or(0),
                        v["loss"].as_f64().unwrap(),
                    )
                })
                .collect()
        };
        assert_eq!(losses(&whole), losses(&parts), "{method}");
        assert_eq!(losses(&whole).len(), 4);
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let settings = with(settings(Method::Dyntta, OptimizerKind::Adam), |s| s.recipe.epochs = Some(1));
    let run = |threads: usize| {
        let folder = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            train(&settings, &folder.path().join("run"), false, &Stop::default(), &mut Silent).unwrap()
        });
        saved(&folder.path().join("run"))
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_state() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("run");
    let good = settings(Method::Urie, OptimizerKind::Sgd);
    train(&with(good.clone(), |s| s.recipe.epochs = Some(1)), &folder, false, &Stop::default(), &mut Silent)
        .unwrap();
    let before = saved(&folder);
    // The rate is part of what must not change; a fresh folder shows the failure.
    let wild = folder.with_file_name("wild");
    let settings = with(good, |s| {
        s.recipe.lr = Some(1e12);
        s.recipe.clip = Some(0.0);
    });
    let Err(error) = train(&settings, &wild, false, &Stop::default(), &mut Silent) else {
        panic!("a learning rate of 1e12 diverges")
    };
    assert!(matches!(error, Error::NonFinite { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("--lr") && message.contains("--clip"), "{message}");
    assert!(!wild.join(checkpoint::WEIGHTS).exists(), "broken weights were saved");
    assert_eq!(saved(&folder), before);
}

#[test]
fn resuming_with_other_settings_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("run");
    let first = settings(Method::Urie, OptimizerKind::Adam);
    let stop = Stop::default();
    let result = train(&first, &folder, false, &stop, &mut StopAt(2, stop.clone()));
    assert!(matches!(result, Err(Error::Interrupted(Some(_)))));
    let other = with(first.clone(), |s| s.recipe.lr = Some(5e-3));
    let Err(error) = train(&other, &folder, true, &Stop::default(), &mut Silent) else {
        panic!("another rate")
    };
    assert!(error.to_string().contains("0.005"), "{error}");
    let Err(error) = train(&first, &folder, false, &Stop::default(), &mut Silent) else {
        panic!("a run is there")
    };
    assert!(error.to_string().contains("--resume"), "{error}");
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let base = settings(Method::Dyntta, OptimizerKind::Adam);
    let cases: Vec<(&str, TrainSettings)> = vec![
        ("limit", with(base.clone(), |s| s.images.limit = Some(0))),
        ("epochs", with(base.clone(), |s| s.recipe.epochs = Some(0))),
        ("batch-size", with(base.clone(), |s| s.recipe.batch_size = Some(0))),
        ("lr", with(base.clone(), |s| s.recipe.lr = Some(-1.0))),
        ("lr", with(base.clone(), |s| s.recipe.lr = Some(f64::NAN))),
        ("clip", with(base.clone(), |s| s.recipe.clip = Some(-1.0))),
        ("momentum", with(base.clone(), |s| s.recipe.momentum = Some(1.5))),
        ("data", TrainSettings { data: None, ..base.clone() }),
        ("urie", TrainSettings { method: Some(Method::Urie), urie: Some("x".into()), ..base.clone() }),
    ];
    for (key, settings) in cases {
        let message = settings.resolve().unwrap_err().to_string();
        assert!(message.contains(&format!("`{key}`")), "{key}: {message}");
    }
    let message = TrainSettings { preset: Some("imagnet".into()), ..base }.resolve().unwrap_err().to_string();
    assert!(message.contains("imagnet"), "{message}");
}

#[test]
fn a_config_file_names_the_line_of_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("train.toml");
    let good = "method = \"urie\"\nbatch-size = 16\nlr = 0.001\nmean = [0.5, 0.5, 0.5]\n";
    std::fs::write(&path, good).unwrap();
    let settings = TrainSettings::read_toml(&path).unwrap();
    assert_eq!((settings.method, settings.recipe.batch_size), (Some(Method::Urie), Some(16)));
    for (text, expected) in
        [("batchsize = 16", "batchsize"), ("lr = \"fast\"", "line 1"), ("lr = ", "line 1")]
    {
        std::fs::write(&path, text).unwrap();
        let message = TrainSettings::read_toml(&path).unwrap_err().to_string();
        assert!(message.contains("train.toml") && message.contains(expected), "{message}");
    }
}

#[test]
fn a_bank_with_an_unknown_op_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let settings = TrainSettings {
        bank: Some(vec!["gamma".into(), "shaprness".into()]),
        ..settings(Method::Dyntta, OptimizerKind::Adam)
    };
    let run = folder.path().join("run");
    let Err(error) = train(&settings, &run, false, &Stop::default(), &mut Silent) else {
        panic!("no such op")
    };
    let message = error.to_string();
    assert!(message.contains("shaprness") && message.contains("sharpness"), "{message}");
    assert!(!run.exists(), "nothing is begun");
}

#[test]
fn a_blind_run_starts_from_no_urie_that_has_seen_the_corruptions() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str| folder.path().join(name);
    let of = |method, setting, urie: Option<&str>| {
        with(settings(method, OptimizerKind::Adam), |s| {
            s.setting = Some(setting);
            s.urie = urie.map(run);
            s.recipe.epochs = Some(1);
            s.bank = (method == Method::Dyntta).then(|| vec!["gamma".into(), "urie".into()]);
        })
    };
    let go = |settings: &TrainSettings, name: &str| {
        train(settings, &run(name), false, &Stop::default(), &mut Silent)
    };
    let clean = go(&of(Method::Urie, Setting::Clean, None), "clean").unwrap();
    let blind = go(&of(Method::Urie, Setting::Blind, None), "blind").unwrap();
    go(&of(Method::Urie, Setting::NonBlind, None), "nonblind").unwrap();
    assert_eq!(Setting::of_run(&blind.config.training), Some(Setting::Blind));
    assert_ne!(clean.epochs[0].loss, blind.epochs[0].loss, "AugMix changes the images");
    go(&of(Method::Dyntta, Setting::Blind, Some("blind")), "dyntta").unwrap();
    // Weights alone don't say what they have seen.
    std::fs::copy(run("blind").join(checkpoint::WEIGHTS), run("bare.safetensors")).unwrap();
    for (urie, said) in [("nonblind", "`--setting nonblind`"), ("bare.safetensors", "don't say")] {
        let Err(error) = go(&of(Method::Dyntta, Setting::Blind, Some(urie)), "refused") else {
            panic!("it may have seen the corruptions")
        };
        let message = error.to_string();
        assert!(
            message.contains("`urie`") && message.contains("blind") && message.contains(said),
            "{message}"
        );
        assert!(!run("refused").exists(), "nothing is begun");
    }
    go(&of(Method::Dyntta, Setting::NonBlind, Some("bare.safetensors")), "not blind").unwrap();
}
