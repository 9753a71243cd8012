//! From a classifier of one's own making over a policy to a retrained one, by the commands.

use std::path::{Path, PathBuf};

use dyntta_image::{Rgb8, Stream, write};

mod common;
use common::{dyntta, text};

fn succeeds(args: &[&str]) -> String {
    let output = dyntta(args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// What a failing command says.
fn fails(args: &[&str]) -> String {
    let output = dyntta(args);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {}", text(&output.stderr));
    text(&output.stderr)
}

fn pictures(folder: &Path) {
    for class in 0..2usize {
        let folder = folder.join(format!("c{class}"));
        std::fs::create_dir_all(&folder).unwrap();
        for i in 0..8 {
            let mut stream = Stream::new(class as u64, &[&i.to_string()]);
            let data = (0..16 * 16 * 3).map(|_| (90 * class + stream.below(120)) as u8).collect();
            write(folder.join(format!("{i}.png")), &Rgb8::new(16, 16, data).unwrap()).unwrap();
        }
    }
}

#[test]
fn a_classifier_is_trained_its_domain_estimated_and_it_is_retrained() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    pictures(&place.path().join("data"));
    let data = at("data");
    let small = ["--input-size", "16", "--epochs", "1", "--batch-size", "4"];
    let first = ["classifier", "train", "--arch", "cifar-resnet8", "--data", &data, "--validation", &data];
    let out = at("first");
    let said = succeeds(&[&first[..], &small[..], &["--out", &out, "--augment", "trivialaugment"]].concat());
    assert!(said.contains("validation 0.") || said.contains("validation 1."), "{said}");
    let weights = at("first/classifier.safetensors");

    let policy = at("policy.toml");
    let estimate =
        ["estimate", "--data", &data, "--classifier", &weights, "--setting", "fog:3", "--preset", "cifar"];
    let more = ["--epochs", "1", "--batch-size", "4", "--held-out", "0.4", "--out", &policy];
    let said = succeeds(&[&estimate[..], &more[..]].concat());
    let picture = PathBuf::from(at("policy.svg"));
    assert!(said.contains("policy.toml") && picture.is_file(), "{said}");
    // A policy that is there may have been edited: it is not written over.
    let said = fails(&[&estimate[..], &more[..]].concat());
    assert!(said.contains("policy.toml") && said.contains("new file"), "{said}");
    let written = std::fs::read_to_string(&policy).unwrap();
    assert!(written.contains("name = \"sharpness\"") && written.contains("clean_weight"), "{written}");

    // Edited by hand: two ops, one of them stronger.
    let edited = at("edited.toml");
    std::fs::write(
        &edited,
        "version = 1\n[[op]] # what I know of the place\nname = \"contrast\"\nweight = 3\n\
         factor = { mean = 2.0, quantiles = [1.5, 1.6, 1.8, 2.0, 2.2, 2.4, 2.9] }\n\
         [[op]]\nname = \"invert\"\nweight = 1\n",
    )
    .unwrap();
    let new = at("new");
    let retrain =
        ["retrain", "--data", &data, "--classifier", &weights, "--epochs", "1", "--batch-size", "4"];
    succeeds(&[&retrain[..], &["--policy", &edited, "--strength", "0.5", "--out", &new]].concat());
    let evaluated = succeeds(&["eval", "--classifier", &at("new/classifier.safetensors"), "--clean", &data]);
    assert!(evaluated.contains("clean"), "{evaluated}");

    // What is wrong in a policy is named with its line, and nothing is begun.
    let bad = at("bad.toml");
    let refused = at("refused");
    for (line, now, expected) in [
        (3, "name = \"contrasst\"", "did you mean `contrast`?"),
        (5, "factor = { mean = 2.0, quantiles = [1.5, 1.6, 1.8, 2.0, 2.2, 2.4, 3.9] }", "from 0 to 3"),
        (8, "weight = -1", "number from 0 up"),
        (8, "wait = 1", "wait"),
    ] {
        let good = std::fs::read_to_string(&edited).unwrap();
        let mut lines: Vec<&str> = good.lines().collect();
        lines[line - 1] = now;
        std::fs::write(&bad, lines.join("\n")).unwrap();
        let said = fails(&[&retrain[..], &["--policy", &bad, "--out", &refused]].concat());
        assert!(said.contains(&format!("bad.toml:{line}: ")) && said.contains(expected), "{said}");
        assert!(!Path::new(&refused).exists());
    }
    let said = fails(&[&retrain[..], &["--policy", "nowhere.toml", "--out", &refused]].concat());
    assert!(said.contains("nowhere.toml") && said.contains("augmix"), "{said}");
    let said = fails(&["retrain", "--data", &data, "--policy", "none", "--out", &refused]);
    assert!(said.contains("--classifier"), "{said}");
}

#[test]
fn an_experiment_ends_in_a_table_and_a_plot() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    pictures(&place.path().join("data"));
    let (data, net, out) = (at("data"), at("net"), at("experiment"));
    let train = ["classifier", "train", "--arch", "cifar-resnet8", "--data", &data, "--input-size", "16"];
    succeeds(&[&train[..], &["--epochs", "1", "--batch-size", "4", "--out", &net]].concat());
    let weights = at("net/classifier.safetensors");
    let experiment =
        ["experiment", "--data", &data, "--test", &data, "--classifier", &weights, "--out", &out];
    let size = ["--shifts", "contrast:3", "--policies", "none", "--styles", "inverted", "--seeds", "0,1"];
    let more = ["--epochs", "1", "--enhancer-epochs", "1,1"];
    let said = succeeds(&[&experiment[..], &size[..], &more[..]].concat());
    assert!(said.contains("| retrained, no augmentation + DynTTA |") && said.contains(" ± "), "{said}");
    let svg = std::fs::read_to_string(at("experiment/results.svg")).unwrap();
    assert!(svg.contains("contrast:3"), "{svg}");
    let said = fails(&[&experiment[..], &["--shifts", "contrast:3", "--policies", "augmux"]].concat());
    assert!(said.contains("augmux") && said.contains("trivialaugment"), "{said}");
}
