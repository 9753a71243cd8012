//! The demo, small and whole.

use dyntta_train::demo::{Effort, demo};
use dyntta_train::{Silent, Stop};

fn results(folder: &std::path::Path) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(folder.join("results.json")).unwrap()).unwrap()
}

#[test]
fn a_small_demo_leaves_all_that_it_promises() {
    let folder = tempfile::tempdir().unwrap();
    let effort = Effort { train_images: 80, clean_images: 20, corrupted_images: 10, epochs: [1, 1, 1] };
    let first = demo(folder.path(), effort, 0, &Stop::default(), &mut Silent).unwrap();
    for (what, path) in &first.files {
        assert!(path.is_file(), "{what} in {}", path.display());
    }
    let picture = dyntta_image::read(folder.path().join("picture.png")).unwrap();
    assert!(picture.width() > picture.height());
    for column in ["alone", "urie", "dyntta"] {
        assert!(results(folder.path())[column]["corrupted"]["common15"].is_f64(), "{column}");
    }
    // The classifier brings what it is fed, so that `eval` has not to guess.
    let json = std::fs::read_to_string(folder.path().join("classifier/classifier.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["input_size"], serde_json::json!([28, 28]));
    assert_eq!(json["classes"].as_array().unwrap().len(), 10);
    // A second run finds everything trained and measures the same.
    let second = demo(folder.path(), effort, 0, &Stop::default(), &mut Silent).unwrap();
    assert_eq!(first.table, second.table);
}

#[test]
#[ignore = "minutes: trains the whole demo"]
fn the_demo_shows_the_gain() {
    let folder = tempfile::tempdir().unwrap();
    demo(folder.path(), Effort::default(), 0, &Stop::default(), &mut Silent).unwrap();
    let results = results(folder.path());
    let of = |who: &str| {
        let clean = results[who]["clean"]["accuracy"].as_f64().unwrap();
        (clean, results[who]["corrupted"]["common15"].as_f64().unwrap())
    };
    let (alone, urie, dyntta) = (of("alone"), of("urie"), of("dyntta"));
    assert!(dyntta.1 > alone.1 + 0.03, "corrupted: alone {}, DynTTA {}", alone.1, dyntta.1);
    assert!(dyntta.1 > urie.1 - 0.01, "corrupted: URIE {}, DynTTA {}", urie.1, dyntta.1);
    assert!(dyntta.0 > alone.0 - 0.015, "clean: alone {}, DynTTA {}", alone.0, dyntta.0);
}
