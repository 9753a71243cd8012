//! Which of a file's tensors are the weights: wrappers, prefixes, several sets, shards, folders.

use std::collections::HashMap;
use std::path::Path;

use dyntta_model::{Choice, Entry, Limits, Shapes, StateDict, WeightFile, write};

/// A small network: a convolution and a last layer.
const NETWORK: [(&str, &[usize]); 4] =
    [("conv1.weight", &[4, 3, 3, 3]), ("bn1.running_var", &[4]), ("fc.weight", &[2, 4]), ("fc.bias", &[2])];

fn fits(shapes: &Shapes) -> bool {
    shapes.len() == NETWORK.len()
        && NETWORK.iter().all(|(k, s)| shapes.get(*k).is_some_and(|found| found == s))
}

fn network(prefix: &str, value: f32) -> StateDict {
    let entry = |shape: &[usize]| Entry { shape: shape.to_vec(), data: vec![value; shape.iter().product()] };
    NETWORK.iter().map(|(key, shape)| (format!("{prefix}{key}"), entry(shape))).collect()
}

fn other(key: &str, shape: &[usize]) -> StateDict {
    [(key.to_owned(), Entry { shape: shape.to_vec(), data: vec![0.0; shape.iter().product()] })].into()
}

fn with<T>(parts: &[StateDict], then: impl FnOnce(&WeightFile) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let all: StateDict = parts.iter().flatten().map(|(key, entry)| (key.clone(), entry.clone())).collect();
    write(&path, &all, HashMap::new()).unwrap();
    then(&WeightFile::open(&path, &Limits::DEFAULT).unwrap())
}

/// The first value of what is chosen, and the choice.
fn chosen(parts: &[StateDict], key: Option<&str>) -> Result<(f32, Choice), String> {
    with(parts, |file| {
        let choice = file.choose(key, &fits).map_err(|e| e.to_string())?;
        let dict = file.dict(&choice).map_err(|e| e.to_string())?;
        Ok((dict["fc.weight"].data[0], choice))
    })
}

#[test]
fn whatever_stands_before_the_keys_is_taken_off() {
    for prefix in [
        "",
        "module.",
        "_orig_mod.module.",
        "module._orig_mod.",
        "model.module.",
        "module.model.",
        "net.",
        "backbone.",
        "encoder.",
        "network.",
        "state_dict.net.",
        "ema.",
        "state_dict_ema.module.",
        "params_ema.",
        "params.",
        "model.model.model.module.",
        "my_own_name.",
        "student.classifier_net.",
        "0.",
        "weights.0.model.",
    ] {
        let (value, choice) = chosen(&[network(prefix, 1.0)], None).unwrap();
        assert_eq!((value, choice.prefix.as_str(), choice.fits), (1.0, prefix, true));
        assert!(choice.notes().is_empty(), "{:?}", choice.notes());
    }
}

#[test]
fn what_stands_beside_is_left_out_and_said() {
    for key in
        ["criterion.weight", "optimizer.state.0.exp_avg", "metric.confusion", "head2.fc.weight", "mean"]
    {
        let (_, choice) = chosen(&[network("net.", 1.0), other(key, &[2, 2])], None).unwrap();
        assert_eq!((choice.prefix.as_str(), &choice.left_out[..]), ("net.", &[key.to_owned()][..]));
        assert!(choice.notes()[0].contains(key));
    }
}

#[test]
fn averaged_weights_come_first_then_the_usual_names() {
    let sets =
        ["state_dict_ema.", "model_ema.", "params_ema.", "state_dict.", "model.", "net.", "module.extra."];
    for first in 0..sets.len() {
        let parts: Vec<StateDict> =
            sets[first..].iter().enumerate().map(|(i, s)| network(s, i as f32)).collect();
        let (value, choice) = chosen(&parts, None).unwrap();
        assert_eq!((value, choice.prefix.as_str()), (0.0, sets[first]));
        if first + 1 < sets.len() {
            let note = &choice.notes()[0];
            assert!(
                note.contains(sets[first + 1].trim_end_matches('.')) && note.contains("--weights-key"),
                "{note}"
            );
        }
    }
    let parts = [network("state_dict.", 0.0), network("state_dict_ema.", 1.0), network("model.module.", 2.0)];
    for (key, value) in [
        ("state_dict", 0.0),
        ("state_dict.", 0.0),
        ("state_dict_ema", 1.0),
        ("model", 2.0),
        ("model.module", 2.0),
    ] {
        assert_eq!(chosen(&parts, Some(key)).unwrap().0, value, "{key}");
    }
    let error = chosen(&parts, Some("best")).unwrap_err();
    assert!(error.contains("`best`") && error.contains("`state_dict_ema`"), "{error}");
}

#[test]
fn two_that_nothing_prefers_are_asked_for() {
    let parts = [network("student.", 0.0), network("teacher.", 1.0)];
    let error = chosen(&parts, None).unwrap_err();
    assert!(error.contains("`student` and `teacher`") && error.contains("--weights-key"), "{error}");
    assert_eq!(chosen(&parts, Some("teacher")).unwrap().0, 1.0);
}

#[test]
fn a_part_of_a_sequence_is_not_taken_for_the_whole() {
    let parts = [network("0.", 1.0), other("1.weight", &[5, 2])];
    let error = chosen(&parts, None).unwrap_err();
    assert!(error.contains("1.weight") && error.contains("--weights-key 0"), "{error}");
    assert_eq!(chosen(&parts, Some("0")).unwrap().0, 1.0);
    // A normalisation before it has no layers.
    assert_eq!(chosen(&[network("1.", 1.0), other("0.mean", &[3])], None).unwrap().1.left_out, ["0.mean"]);
}

#[test]
fn keys_of_what_is_not_known_are_shown_without_wrappers() {
    let strange = |prefix: &str| {
        let keys = ["a.weight", "a.bias", "b.weight"].map(|key| other(&format!("{prefix}{key}"), &[2]));
        with(&keys, |file| file.choose(None, &fits).unwrap())
    };
    for prefix in ["", "state_dict.module.", "model.", "module.net.", "backbone."] {
        let choice = strange(prefix);
        assert_eq!((choice.prefix.as_str(), choice.fits), (prefix, false));
    }
}

#[test]
fn values_that_are_no_numbers_are_refused() {
    for (bad, word) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf")] {
        let mut broken = network("net.", 1.0);
        broken.get_mut("net.fc.bias").unwrap().data[1] = bad;
        let error = chosen(&[broken], None).unwrap_err();
        assert!(error.contains(&format!("hold {word} in `net.fc.bias`")), "{error}");
    }
}

#[test]
fn folders_and_shards_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let open = |path: &Path| WeightFile::open(path, &Limits::DEFAULT).map_err(|e| e.to_string());
    let error = open(folder.path()).unwrap_err();
    assert!(error.contains("model.safetensors") && error.contains("none of them"), "{error}");
    let whole = network("net.", 3.0);
    let (one, two): (StateDict, StateDict) =
        whole.clone().into_iter().partition(|(key, _)| key.contains("fc"));
    write(&at("model-1.safetensors"), &one, HashMap::new()).unwrap();
    write(&at("model-2.safetensors"), &two, HashMap::new()).unwrap();
    let map = |f: &dyn Fn(&str) -> String| -> String {
        let lines: Vec<String> = whole.keys().map(|key| format!("{key:?}: {:?}", f(key))).collect();
        format!("{{\"metadata\": {{}}, \"weight_map\": {{{}}}}}", lines.join(", "))
    };
    let place = |key: &str| format!("model-{}.safetensors", if key.contains("fc") { 1 } else { 2 });
    let index = at("model.safetensors.index.json");
    std::fs::write(&index, map(&place)).unwrap();
    for path in [folder.path(), &index] {
        let file = open(path).unwrap();
        let dict = file.dict(&file.choose(None, &fits).unwrap()).unwrap();
        assert_eq!(dict, network("", 3.0));
    }
    for (text, word) in [
        (map(&|key| format!("../{}", place(key))), "not a name of a file beside it"),
        (map(&|_| "/etc/passwd".into()), "not a name of a file beside it"),
        (map(&|_| "model-1.safetensors".into()), "does not hold"),
        (map(&|_| "model-3.safetensors".into()), "cannot read"),
        ("{\"weight_map\": {\"fc.bias\": \"model-1.safetensors\"}}".into(), "does not list"),
        ("{\"weight_map\": {}}".into(), "no tensors"),
        ("{\"a\": 1}".into(), "weight_map"),
    ] {
        std::fs::write(&index, text).unwrap();
        let error = open(&index).unwrap_err();
        assert!(error.contains(word), "{word}: {error}");
    }
    // A whole file comes before an index.
    write(&at("model.safetensors"), &whole, HashMap::new()).unwrap();
    assert!(open(folder.path()).unwrap().path().ends_with("model.safetensors"));
}

#[test]
fn damaged_safetensors_say_what_is_wrong() {
    let read = |header: &str, data: usize| {
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat();
        let file = WeightFile::from_bytes(bytes, Path::new("w.safetensors"), &Limits::DEFAULT);
        file.and_then(|file| file.dict(&file.choose(None, &fits)?)).map_err(|e| e.to_string())
    };
    let tensor = |key: &str, dtype: &str, shape: &str, from: u64, to: u64| {
        format!("\"{key}\": {{\"dtype\": \"{dtype}\", \"shape\": {shape}, \"data_offsets\": [{from}, {to}]}}")
    };
    let one = tensor("a", "F32", "[2]", 0, 8);
    assert!(read(&format!("{{{one}}}"), 8).is_ok());
    for (header, data, word) in [
        (format!("{{{one}}}"), 7, "breaks off"),
        (format!("{{{one}}}"), 9, "9 bytes of tensors where 8"),
        (format!("{{{one}, {}}}", tensor("b", "F32", "[2]", 4, 12)), 12, "overlap"),
        (format!("{{{one}, {}}}", tensor("b", "F32", "[2]", 12, 20)), 20, "gap"),
        (format!("{{{one}, {one}}}"), 8, "`a` twice"),
        (format!("{{{}}}", tensor("a", "F8_E4M3", "[8]", 0, 8)), 8, "F8_E4M3"),
        (format!("{{{}}}", tensor("a", "F32", "[3]", 0, 8)), 8, "`a` of 3 elements of f32 in bytes 0 to 8"),
        (
            format!("{{{}}}", tensor("a", "F32", "[18446744073709551615, 18446744073709551615]", 0, 8)),
            8,
            "too many",
        ),
        (format!("{{{}}}", tensor("a", "F32", "[4294967296, 4294967296, 0]", 0, 0)), 0, "too many"),
        (format!("{{{}}}", tensor("a", "F32", "[-1]", 0, 8)), 8, "an error"),
        ("{\"a\": 1}".into(), 0, "an error"),
        ("{}".into(), 0, "none"),
        (format!("{{{}}}", tensor("a", "I64", "[1]", 0, 8)), 8, "none"),
    ] {
        let error = read(&header, data).unwrap_err();
        assert!(error.starts_with("w.safetensors: expected") && error.contains(word), "{word}: {error}");
    }
}
