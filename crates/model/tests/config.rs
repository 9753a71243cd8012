//! The config of an enhancer.

use std::path::Path;

use dyntta_model::{EnhancerConfig, MAX_VIEW, check_view};

const GOOD: &str = r#"{"format": 1, "method": "dyntta", "bank": ["gamma", "rotate"], "control_size": 48, "image_size": [32, 40],
    "classifier": {"arch": "a", "normalisation": {"mean": [0, 0, 0], "std": [1, 1, 1]}, "classes": ["x"]}, "seed": 1,
    "versions": {}, "training": {}}"#;

fn parse(text: &str) -> Result<EnhancerConfig, String> {
    EnhancerConfig::parse(text, Path::new("enhancer.json")).map_err(|e| e.to_string())
}

#[test]
fn a_config_survives_its_text() {
    let config = parse(GOOD).unwrap();
    assert_eq!(parse(&config.text()).unwrap(), config);
    assert_eq!(config.bank(Path::new("x")).unwrap().len(), 2);
}

#[test]
fn the_view_is_that_of_training() {
    assert_eq!(parse(GOOD).unwrap().view(), [48, 48]);
    assert_eq!(parse(&GOOD.replace("\"control_size\": 48, ", "")).unwrap().view(), [32, 40]);
}

#[test]
fn what_is_wrong_is_named() {
    for (from, to, words) in [
        // The version before what it changes.
        ("\"format\": 1, \"method\"", "\"format\": 2, \"kind\"", &["`format` 1", "`format` 2"][..]),
        ("\"seed\"", "\"sead\"", &["sead"]),
        ("48", "0", &["`control_size`", "found 0"]),
        ("48", "16384", &["`control_size`", "2048", "found 16384"]),
        (
            "\"control_size\": 48, \"image_size\": [32, 40]",
            "\"image_size\": [32, 4000]",
            &["image_size", "found 4000"],
        ),
        ("[32, 40]", "[32, 0]", &["`image_size`"]),
        ("48", "-1", &["invalid value", "line 1"]),
        ("48", "1e30", &["line 1"]),
        ("dyntta", "magic", &["magic", "urie"]),
        ("{", "[", &["line 1"]),
    ] {
        let error = parse(&GOOD.replacen(from, to, 1)).unwrap_err();
        assert!(error.starts_with("enhancer.json: expected"), "{error}");
        for word in words {
            assert!(error.contains(word), "no `{word}` in: {error}");
        }
    }
    let error =
        parse(&GOOD.replace("gamma", "gama")).unwrap().bank(Path::new("c.json")).unwrap_err().to_string();
    assert!(error.starts_with("c.json: `bank`: ") && error.contains("did you mean `gamma`"), "{error}");
}

#[test]
fn views_are_bounded() {
    assert!(check_view(1).is_ok() && check_view(MAX_VIEW).is_ok());
    for side in [0, MAX_VIEW + 1, 4_294_967_296, usize::MAX] {
        let error = check_view(side).unwrap_err().to_string();
        assert!(error.contains(&side.to_string()) && error.contains("1 to 2048"), "{error}");
    }
}
