//! The folders of runs: nothing in them is lost, and a run goes on with what it began with or says what is another.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dyntta_augment::Policy;
use dyntta_augment::policy::PolicyOp;
use dyntta_files::Lock;
use dyntta_nn::checkpoint;
use dyntta_nn::weights;
use dyntta_train::demo::{Effort, demo};
use dyntta_train::experiment::{ExperimentSettings, experiment};
use dyntta_train::{
    CLASSIFIER, ClassifierSettings, Error, METRICS, RUN_FILES, SETTINGS, Silent, Stop, TrainSettings,
    estimate, train_classifier, train_enhancer,
};

mod common;
use common::place::{Place, with};
use common::{KillAt, Messages, StopAt, killed};

const STATE: &str = "state.safetensors";

/// Every file below a folder with its bytes, but locks.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            all.extend(contents(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else if name != ".lock" {
            all.insert(name, fs::read(&path).unwrap());
        }
    }
    all
}

fn enhancer(place: &Place) -> TrainSettings {
    // Its state is small.
    let method = Some(checkpoint::Method::Urie);
    with(place.estimation("unused").train, |s| {
        s.method = method;
        s.bank = None;
        s.recipe.epochs = Some(2);
    })
}

fn train(place: &Place, run: &str, resume: bool) -> Result<(), Error> {
    train_enhancer(&enhancer(place), &place.at(run), resume, &Stop::default(), &mut Silent).map(drop)
}

fn retrain(settings: &ClassifierSettings, place: &Place, run: &str, resume: bool) -> Result<(), Error> {
    train_classifier(settings, &place.at(run), resume, &Stop::default(), &mut Silent).map(drop)
}

/// A folder of the user's that has the name of a run's, with whatever file of a run's name.
#[test]
fn what_is_no_run_is_refused_and_stays() {
    let place = Place::new();
    let foreign = |file: &str, text: &str, name: &str| {
        let runs = place.at(name);
        fs::create_dir_all(runs.join("urie/photos")).unwrap();
        fs::write(runs.join("urie").join(file), text).unwrap();
        fs::write(runs.join("urie/photos/wedding.jpg"), "precious").unwrap();
        let before = contents(&runs);
        (runs, before)
    };
    let other = serde_json::to_string(&with(enhancer(&place), |s| s.recipe.epochs = Some(7))).unwrap();
    for (i, (file, text, said)) in [
        (SETTINGS, "{}", "names no data"),
        (SETTINGS, "{\"data\": 3}", "not a run of this command"),
        (SETTINGS, "my settings", "not a run of this command"),
        (SETTINGS, other.as_str(), "`epochs`"),
        (METRICS, "1", "without settings.json"),
        ("enhancer.safetensors", "mine", "move it away"),
        (STATE, "mine", "not a training state"),
    ]
    .into_iter()
    .enumerate()
    {
        let (runs, before) = foreign(file, text, &format!("p{i}.runs"));
        let settings = place.estimation(&format!("p{i}.runs"));
        let error = estimate(&settings, &Stop::default(), &mut Silent).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("urie"), "{file}: {error}");
        assert_eq!(contents(&runs), before, "{file}");
    }
    let (home, before) = foreign(SETTINGS, "{}", "home");
    let effort = Effort { train_images: 20, clean_images: 10, corrupted_images: 10, epochs: [1, 1, 1] };
    assert!(demo(&home, effort, 0, &Stop::default(), &mut Silent).is_err());
    assert!(before.iter().all(|(name, bytes)| contents(&home)[name] == *bytes));
}

#[test]
fn a_new_run_takes_no_folder_with_a_file_of_a_run() {
    let place = Place::new();
    for name in RUN_FILES {
        let run = format!("with {name}");
        fs::create_dir(place.at(&run)).unwrap();
        fs::write(place.at(&run).join(name), "mine").unwrap();
        for error in [train(&place, &run, false), retrain(&place.settings(), &place, &run, false)] {
            let error = error.unwrap_err().to_string();
            assert!(error.contains("`out`") && error.contains(&run), "{error}");
        }
        assert_eq!(contents(&place.at(&run)), BTreeMap::from([(name.to_owned(), b"mine".to_vec())]));
    }
    // Onto the classifier that it starts from.
    fs::create_dir(place.at("own")).unwrap();
    fs::copy(place.at("net.safetensors"), place.at("own").join(CLASSIFIER)).unwrap();
    let settings =
        ClassifierSettings { classifier: Some(place.at("own").join(CLASSIFIER)), ..place.settings() };
    assert!(retrain(&settings, &place, "own", false).unwrap_err().to_string().contains(CLASSIFIER));
    // A file where a folder is to be made.
    fs::write(place.at("file"), "mine").unwrap();
    let error = train(&place, "file/run", false).unwrap_err().to_string();
    assert!(error.contains("expected a folder, found a file"), "{error}");
    let error = train(&place, "nowhere", true).unwrap_err().to_string();
    assert!(error.contains("no run in this folder"), "{error}");
    assert!(!place.at("nowhere").exists());
}

/// Killed before its first state: it begins anew, by `--resume` or by the command that goes on by itself.
#[test]
fn a_run_without_a_state_yet_begins_anew() {
    let place = Place::new();
    train(&place, "whole", false).unwrap();
    let expected = fs::read(place.at("whole").join(checkpoint::WEIGHTS)).unwrap();
    let begun = |run: &Path, settings: &TrainSettings| {
        fs::create_dir_all(run).unwrap();
        fs::write(run.join(SETTINGS), serde_json::to_string_pretty(settings).unwrap()).unwrap();
        fs::write(run.join(METRICS), "{\"kind\":\"step\",\"epo").unwrap();
        fs::write(run.join(".dyntta-1-0.tmp"), "half").unwrap();
        fs::write(run.join("notes.txt"), "mine").unwrap();
    };
    begun(&place.at("begun"), &enhancer(&place));
    let mut messages = Messages::default();
    train_enhancer(&enhancer(&place), &place.at("begun"), true, &Stop::default(), &mut messages).unwrap();
    assert!(messages.0.iter().any(|m| m.contains("begins anew")), "{:?}", messages.0);
    let found = contents(&place.at("begun"));
    assert!(found["enhancer.safetensors"] == expected && found["notes.txt"] == b"mine");
    assert!(!found.contains_key(".dyntta-1-0.tmp"));

    let settings = place.estimation("estimate.runs");
    let policy = estimate(&settings, &Stop::default(), &mut Silent).unwrap();
    let urie: TrainSettings =
        serde_json::from_str(&fs::read_to_string(place.at("estimate.runs/urie/settings.json")).unwrap())
            .unwrap();
    begun(&place.at("again.runs/urie"), &urie);
    assert_eq!(estimate(&place.estimation("again.runs"), &Stop::default(), &mut Silent).unwrap(), policy);
    assert_eq!(fs::read(place.at("again.runs/urie/notes.txt")).unwrap(), b"mine");
}

/// Its state was deleted to save room.
#[test]
fn a_finished_run_without_its_state_is_taken_as_it_is() {
    let place = Place::new();
    let settings = place.estimation("runs");
    let policy = estimate(&settings, &Stop::default(), &mut Silent).unwrap();
    for run in ["urie", "dyntta"] {
        fs::remove_file(place.at("runs").join(run).join(STATE)).unwrap();
    }
    let before = contents(&place.at("runs"));
    assert_eq!(estimate(&settings, &Stop::default(), &mut Silent).unwrap(), policy);
    assert_eq!(contents(&place.at("runs")), before, "nothing is trained or written");
    // Data that is another.
    fs::remove_file(place.at("data/c0/0.png")).unwrap();
    let error = estimate(&settings, &Stop::default(), &mut Silent).unwrap_err().to_string();
    assert!(error.contains("data: its contents are others"), "{error}");
    assert_eq!(contents(&place.at("runs")), before);
    // Not finished.
    let metrics = place.at("runs/urie").join(METRICS);
    fs::write(&metrics, "").unwrap();
    let place = Place::new();
    let stop = Stop::default();
    let result =
        train_enhancer(&enhancer(&place), &place.at("run"), false, &stop, &mut StopAt(7, stop.clone()));
    assert!(matches!(result, Err(Error::Interrupted(_))));
    fs::remove_file(place.at("run").join(STATE)).unwrap();
    let before = contents(&place.at("run"));
    let error = train(&place, "run", true).unwrap_err().to_string();
    assert!(error.contains("its weights are of epoch 1 of 2"), "{error}");
    assert_eq!(contents(&place.at("run")), before);

    let settings = place.settings();
    retrain(&settings, &place, "classifier", false).unwrap();
    fs::remove_file(place.at("classifier").join(STATE)).unwrap();
    let before = contents(&place.at("classifier"));
    retrain(&settings, &place, "classifier", true).unwrap();
    assert_eq!(contents(&place.at("classifier")), before);
    let other = with(settings, |s| s.recipe.seed = Some(1));
    assert!(retrain(&other, &place, "classifier", true).unwrap_err().to_string().contains("recipe.seed"));
}

#[test]
fn one_process_at_a_time_works_in_a_run() {
    let place = Place::new();
    train(&place, "run", false).unwrap();
    let lock = Lock::folder(&place.at("run"), "dyntta train").unwrap();
    let error = train(&place, "run", true).unwrap_err().to_string();
    assert!(error.contains(&format!("process {} (dyntta train)", std::process::id())), "{error}");
    drop(lock);
    train(&place, "run", true).unwrap();
}

/// A kill loses what came after the last state, and no more.
#[test]
fn a_killed_run_ends_as_one_that_was_not() {
    let place = Place::new();
    train(&place, "whole", false).unwrap();
    let whole = contents(&place.at("whole"));
    let settings = enhancer(&place);
    for step in [1, 3, 5, 6, 9] {
        let run = format!("killed {step}");
        let go = |resume, kill: u64| {
            train_enhancer(&settings, &place.at(&run), resume, &Stop::default(), &mut KillAt(kill)).map(drop)
        };
        killed(|| go(false, step));
        let metrics = place.at(&run).join(METRICS);
        let broken = [fs::read(&metrics).unwrap(), b"{\"kind\":\"st".to_vec()].concat();
        fs::write(&metrics, broken).unwrap();
        fs::write(place.at(&run).join(".dyntta-1-0.tmp"), "half").unwrap();
        if step > 1 {
            assert!(place.at(&run).join(STATE).is_file(), "a state is saved at the first step");
        }
        killed(|| go(true, step.max(2)));
        go(true, u64::MAX).unwrap();
        let found = contents(&place.at(&run));
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            whole.keys().collect::<Vec<_>>(),
            "no temporary file is left"
        );
        assert_eq!(found["enhancer.safetensors"], whole["enhancer.safetensors"], "{step}");
        let losses = |bytes: &[u8]| -> Vec<(String, f64)> {
            let lines = std::str::from_utf8(bytes).unwrap().lines();
            let values = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
            values.map(|v| (format!("{} {}", v["epoch"], v["step"]), v["loss"].as_f64().unwrap())).collect()
        };
        assert_eq!(losses(&found[METRICS]), losses(&whole[METRICS]), "{step}");
    }
}

#[test]
fn a_damaged_state_is_named_and_stays() {
    let place = Place::new();
    let stop = Stop::default();
    let result =
        train_enhancer(&enhancer(&place), &place.at("run"), false, &stop, &mut StopAt(3, stop.clone()));
    assert!(matches!(result, Err(Error::Interrupted(_))));
    let path = place.at("run").join(STATE);
    let good = fs::read(&path).unwrap();
    let step = b"\\\"step\\\":3";
    let at = good.windows(step.len()).position(|part| part == step).unwrap();
    let mut beyond = good.clone();
    beyond[at + step.len() - 1] = b'9';
    for (bytes, said) in [
        (good[..good.len() / 2].to_vec(), "not a training state"),
        (good[..5].to_vec(), "not a training state"),
        (Vec::new(), "not a training state"),
        (fs::read(place.at("net.safetensors")).unwrap(), "no position in it"),
        (beyond, "beyond the run's end"),
    ] {
        fs::write(&path, &bytes).unwrap();
        let error = train(&place, "run", true).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains(STATE), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    fs::write(&path, good).unwrap();
    train(&place, "run", true).unwrap();
}

/// What a run began with is known by its contents: it may be moved, and not changed.
#[test]
fn a_resumed_run_says_what_is_another_by_name() {
    let place = Place::new();
    let copy = |from: &str, to: &str| {
        for class in ["c0", "c1", "c2"] {
            fs::create_dir_all(place.at(to).join(class)).unwrap();
            for i in 0..10 {
                let file = format!("{class}/{i}.png");
                fs::copy(place.at(from).join(&file), place.at(to).join(&file)).unwrap();
            }
        }
    };
    copy("data", "moved");
    copy("data", "renamed");
    fs::rename(place.at("renamed/c1"), place.at("renamed/zat")).unwrap();
    copy("data", "edited");
    fs::copy(place.at("edited/c2/0.png"), place.at("edited/c2/1.png")).unwrap();
    copy("data", "validation");
    fs::remove_file(place.at("validation/c2/9.png")).unwrap();
    let mut dict = weights::read(&place.at("net.safetensors")).unwrap();
    dict.get_mut("linear.bias").unwrap().data[0] += 0.5;
    weights::write(&place.at("other.safetensors"), &dict, Default::default()).unwrap();
    fs::copy(place.at("net.safetensors"), place.at("same.safetensors")).unwrap();

    let dyntta = TrainSettings { method: None, ..place.estimation("unused").train };
    let first = TrainSettings { control_size: Some(8), ..dyntta.clone() };
    let go = |settings: &TrainSettings, resume, kill| {
        train_enhancer(settings, &place.at("run"), resume, &Stop::default(), &mut KillAt(kill)).map(drop)
    };
    killed(|| go(&first, false, 2));
    let of = |change: &dyn Fn(&mut TrainSettings)| {
        let mut settings = first.clone();
        change(&mut settings);
        settings
    };
    for (settings, said) in [
        (of(&|s| s.data = Some(place.at("renamed"))), "classes: no longer there: c1; new: zat"),
        (of(&|s| s.data = Some(place.at("edited"))), "data: its contents are others"),
        (of(&|s| s.classifier = Some(place.at("other.safetensors"))), "classifier: its contents are others"),
        (of(&|s| s.control_size = Some(9)), "control-size: then 8, now 9"),
        (of(&|s| s.bank = Some(vec!["invert".into(), "urie".into()])), "bank"),
        (of(&|s| s.recipe.lr = Some(0.5)), "recipe.lr: then 0.001, now 0.5"),
    ] {
        let error = go(&settings, true, u64::MAX).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("cannot resume"), "{error}");
    }
    let moved = of(&|s| {
        s.data = Some(place.at("moved"));
        s.classifier = Some(place.at("same.safetensors"));
    });
    go(&moved, true, u64::MAX).unwrap();

    // DynTTA from a URIE, which another replaces; gone it isn't missed.
    let urie = with(enhancer(&place), |s| s.recipe.epochs = Some(1));
    for (run, seed) in [("urie", 0), ("urie2", 1)] {
        let settings = with(urie.clone(), |s| s.recipe.seed = Some(seed));
        train_enhancer(&settings, &place.at(run), false, &Stop::default(), &mut Silent).unwrap();
    }
    let from = TrainSettings { urie: Some(place.at("urie")), ..dyntta };
    let go = |progress: &mut dyn dyntta_train::Progress, resume| {
        train_enhancer(&from, &place.at("from"), resume, &Stop::default(), progress).map(drop)
    };
    killed(|| go(&mut KillAt(2), false));
    let weights = place.at("urie").join(checkpoint::WEIGHTS);
    fs::copy(place.at("urie2").join(checkpoint::WEIGHTS), &weights).unwrap();
    let error = go(&mut Silent, true).unwrap_err().to_string();
    assert!(error.contains("urie: its contents are others"), "{error}");
    fs::remove_file(&weights).unwrap();
    let mut messages = Messages::default();
    go(&mut messages, true).unwrap();
    assert!(messages.0.iter().any(|m| m.contains("note:") && m.contains("urie")), "{:?}", messages.0);

    let base = ClassifierSettings { validation: Some(place.at("moved")), ..place.settings() };
    killed(|| train_classifier(&base, &place.at("classifier"), false, &Stop::default(), &mut KillAt(2)));
    let others = [
        (ClassifierSettings { validation: Some(place.at("validation")), ..base.clone() }, "validation"),
        (ClassifierSettings { validation: None, ..base.clone() }, "validation"),
        (ClassifierSettings { classifier: Some(place.at("other.safetensors")), ..base.clone() }, "start"),
        (ClassifierSettings { data: Some(place.at("edited")), ..base.clone() }, "data"),
    ];
    for (settings, said) in others {
        let error = retrain(&settings, &place, "classifier", true).unwrap_err().to_string();
        assert!(error.contains(&format!("\n  {said}: ")), "{error}");
    }
    let edited = Policy { ops: vec![PolicyOp::new("invert", 1.0)], ..Policy::default() };
    let original = fs::read(place.at("policy.toml")).unwrap();
    edited.write(&place.at("policy.toml")).unwrap();
    let error = retrain(&base, &place, "classifier", true).unwrap_err().to_string();
    assert!(error.contains("\n  augmentation: "), "{error}");
    assert!(error.len() < 1500, "{error}");
    fs::write(place.at("policy.toml"), original).unwrap();
    retrain(&base, &place, "classifier", true).unwrap();
}

fn small_experiment(place: &Place) -> ExperimentSettings {
    ExperimentSettings {
        data: place.at("data"),
        test: place.at("data"),
        classifier: place.at("net.safetensors"),
        arch: None,
        preset: None,
        shifts: vec!["fog:3".parse().unwrap()],
        fixed: vec!["none".into()],
        styles: vec!["inverted".into()],
        seeds: vec![0],
        limit: Some(24),
        test_limit: Some(9),
        enhancer_limit: None,
        epochs: 1,
        from_scratch: false,
        enhancer_epochs: [1, 1],
    }
}

#[test]
fn an_experiment_goes_on_with_the_same_inputs_and_takes_no_other_files_for_its_own() {
    let place = Place::new();
    let settings = small_experiment(&place);
    let run = |folder: &str| experiment(&settings, &place.at(folder), &Stop::default(), &mut Silent);
    let whole = run("whole").unwrap().tables;
    for kill in [1, 9, 18] {
        let folder = format!("killed {kill}");
        killed(|| experiment(&settings, &place.at(&folder), &Stop::default(), &mut KillAt(kill)));
        fs::write(place.at(&folder).join(".dyntta-1-0.tmp"), "half").unwrap();
        assert_eq!(run(&folder).unwrap().tables, whole, "{kill}");
        let left: Vec<String> =
            contents(&place.at(&folder)).into_keys().filter(|name| name.contains(".dyntta")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    // Scores that can't be read are not none.
    let scores = place.at("whole/seed0/fog-3/scores.json");
    let good = fs::read(&scores).unwrap();
    for bytes in [b"{".to_vec(), vec![0xff, 0xfe]] {
        fs::write(&scores, bytes).unwrap();
        let Err(error) = run("whole") else { panic!("damaged scores") };
        assert!(error.to_string().contains("scores.json"), "{error}");
    }
    fs::write(&scores, good).unwrap();
    fs::remove_file(place.at("data/c2/0.png")).unwrap();
    let Err(error) = run("whole") else { panic!("another data set") };
    assert!(error.to_string().contains("data: its contents are others"), "{error}");
    for (file, text) in [("results.json", "mine"), ("experiment.json", "{}"), ("experiment.json", "mine")] {
        let folder = format!("{file} {}", text.len());
        fs::create_dir(place.at(&folder)).unwrap();
        fs::write(place.at(&folder).join(file), text).unwrap();
        let Err(error) = run(&folder) else { panic!("{file} of the user's") };
        assert!(error.to_string().contains("move it away"), "{error}");
        assert_eq!(
            contents(&place.at(&folder)),
            BTreeMap::from([(file.to_owned(), text.as_bytes().to_vec())])
        );
    }
}
