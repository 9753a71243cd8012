//! What a run is made of, so that it goes on with the same: settings, class names, and the contents of what it reads. Paths are
//! no part of it: data and weights may be moved.

use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use dyntta_files::{hex, open, sha256, shown_text};
use dyntta_nn::Classifier;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::error::Error;

/// The key that tells an identity with contents from one of earlier versions, which had counts and paths.
const VERSION: &str = "identity";

/// Stands for the contents of a file that is not there any more.
const UNKNOWN: &str = "unknown";

/// The version of an identity, for [`VERSION`].
pub(crate) const CURRENT: u32 = 1;

/// The SHA-256 of a file's bytes in hexadecimal digits.
///
/// # Errors
/// If it cannot be read.
fn file(path: &Path) -> Result<String, Error> {
    sha256(open(path)?).map_err(Error::io(path))
}

/// The digest of a classifier: its weights, whatever file they came from; of a graph the contents of its files.
pub(crate) fn classifier(classifier: &Classifier) -> String {
    match (classifier.graph(), classifier.network()) {
        (Some(graph), _) => graph.digest().to_owned(),
        (None, Some(net)) => weights(net),
        (None, None) => UNKNOWN.to_owned(),
    }
}

/// [`file`], or [`UNKNOWN`] if a run goes on that needs the file no more and it is gone.
pub(crate) fn start(path: &Path, resumed: bool) -> Result<String, Error> {
    if resumed && !path.exists() { Ok(UNKNOWN.to_owned()) } else { file(path) }
}

/// The SHA-256 of a network's weights: names, shapes and values. It is the same whatever file they came from.
pub(crate) fn weights<M: Module>(module: &M) -> String {
    struct Hash(Vec<String>, Sha256);
    impl ModuleVisitor for Hash {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.0.push(name.to_owned());
        }

        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let tensor = param.val();
            self.1.update(format!("{}{:?}", self.0.join("."), tensor.dims()));
            let values = tensor.into_data().try_to_vec::<f32>().expect("parameters are f32");
            let mut bytes = Vec::with_capacity(1 << 16);
            for part in values.chunks(1 << 14) {
                bytes.clear();
                bytes.extend(part.iter().flat_map(|v| v.to_le_bytes()));
                self.1.update(&bytes);
            }
        }
    }
    let mut hash = Hash(Vec::new(), Sha256::new());
    module.visit(&mut hash);
    hex(&hash.1.finalize())
}

/// Holds the identity that a run began with against the one it is to go on with; both are JSON objects. Gives the names of what
/// can't be checked: an earlier version kept no contents, or a file is gone that is not needed any more.
///
/// # Errors
/// What differs, by name, a line each.
pub(crate) fn compare(then: &str, now: &str) -> Result<Vec<String>, String> {
    let parse = |text: &str| serde_json::from_str::<Map<String, Value>>(text);
    let (Ok(then), Ok(now)) = (parse(then), parse(now)) else {
        return if then == now { Ok(Vec::new()) } else { Err(String::new()) };
    };
    let old = !then.contains_key(VERSION);
    let none = Value::Null;
    let (mut unchecked, mut lines) = (Vec::new(), Vec::new());
    let renamed =
        matches!((then.get("classes"), now.get("classes")), (Some(a), Some(b)) if a.is_array() && a != b);
    for key in then.keys().chain(now.keys().filter(|k| !then.contains_key(*k))) {
        let (a, b) = (then.get(key).unwrap_or(&none), now.get(key).unwrap_or(&none));
        if same(a, b) || key == VERSION {
            continue;
        }
        let weaker = match (a, b) {
            (_, Value::String(b)) if b == UNKNOWN => true,
            // The number of classes, whether there was a file, its path.
            (Value::Number(count), Value::Array(names)) if old => count.as_u64() == Some(names.len() as u64),
            (Value::Bool(given), _) if old => *given != b.is_null(),
            (Value::String(_), Value::String(_)) if old && key == "start" => true,
            _ => old && !then.contains_key(key),
        };
        if weaker {
            unchecked.push(key.clone());
        } else if !(renamed && key == "data") {
            // The digest of data holds its class names: with others it says nothing more.
            differences(key, a, b, &mut lines);
        }
    }
    if lines.is_empty() { Ok(unchecked) } else { Err(lines.concat()) }
}

/// Whether two values are one; a number that was written and read again may be another in its last digit.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            let close = |x: f64, y: f64| (x - y).abs() <= 1e-14 * x.abs();
            x == y
                || (x.is_f64() || y.is_f64()) && x.as_f64().zip(y.as_f64()).is_some_and(|(x, y)| close(x, y))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

/// Adds a line for each value that differs.
fn differences(key: &str, then: &Value, now: &Value, lines: &mut Vec<String>) {
    let is_digest =
        |v: &Value| v.as_str().is_some_and(|s| s.len() == 64 && s.bytes().all(|b| b.is_ascii_hexdigit()));
    match (then, now) {
        (Value::Object(a), Value::Object(b)) => {
            for inner in a.keys().chain(b.keys().filter(|k| !a.contains_key(*k))) {
                let (a, b) = (a.get(inner).unwrap_or(&Value::Null), b.get(inner).unwrap_or(&Value::Null));
                if !same(a, b) {
                    differences(&format!("{key}.{inner}"), a, b, lines);
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if key == "classes" => {
            let only = |these: &[Value], others: &[Value]| -> Vec<String> {
                let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
                these.iter().filter(|v| !others.contains(v)).map(text).collect()
            };
            let line = match (only(a, b), only(b, a)) {
                (gone, new) if gone.is_empty() && new.is_empty() => "the same in another order".to_owned(),
                (gone, new) => {
                    let list = |names: &[String]| match names {
                        [] => "none".to_owned(),
                        names => shown_text(&names.join(", ")).to_string(),
                    };
                    format!("no longer there: {}; new: {}", list(&gone), list(&new))
                }
            };
            lines.push(format!("\n  classes: {line}"));
        }
        (a, b) if is_digest(a) && is_digest(b) => {
            let first = |v: &Value| v.as_str().unwrap_or_default()[..12].to_owned();
            let (a, b) = (first(a), first(b));
            lines.push(format!("\n  {key}: its contents are others (SHA-256 {a}… then, {b}… now)"));
        }
        (a, b) => {
            let text = |v: &Value| match v {
                Value::Null => "none".to_owned(),
                v => shown_text(&v.to_string()).to_string(),
            };
            let (a, b) = (text(a), text(b));
            // Of long texts the middle isn't shown, and it may be there that they differ.
            let line = if a == b { "another".to_owned() } else { format!("then {a}, now {b}") };
            lines.push(format!("\n  {key}: {line}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_named() {
        let digest = |c: &str| c.repeat(64);
        let then = json!({
            "identity": 1, "classes": ["cat", "dog"], "data": digest("a"), "classifier": digest("b"), "urie": null,
            "recipe": { "lr": 0.1, "epochs": 2 },
        });
        let with = |key: &str, value: Value| {
            let mut now = then.clone();
            now[key] = value;
            compare(&then.to_string(), &now.to_string())
        };
        assert_eq!(with("identity", json!(1)), Ok(Vec::new()));
        let error = with("classes", json!(["zat", "dog"])).unwrap_err();
        assert_eq!(error, "\n  classes: no longer there: cat; new: zat");
        let error = with("classes", json!(["dog", "cat"])).unwrap_err();
        assert!(error.contains("another order"), "{error}");
        let error = with("classifier", json!(digest("c"))).unwrap_err();
        assert!(error.contains("classifier: its contents are others (SHA-256 bbbbbbbbbbbb…"), "{error}");
        let error = with("recipe", json!({ "lr": 0.2, "epochs": 2 })).unwrap_err();
        assert_eq!(error, "\n  recipe.lr: then 0.1, now 0.2");
        assert!(with("urie", json!(digest("c"))).unwrap_err().contains("urie: then none"));
        assert_eq!(with("data", json!(UNKNOWN)), Ok(vec!["data".to_owned()]));
        let long = |c: char| json!(format!("{}{c}{}", "x".repeat(400), "y".repeat(400)));
        let (a, b) = (json!({ "identity": 1, "p": long('1') }), json!({ "identity": 1, "p": long('2') }));
        let error = compare(&a.to_string(), &b.to_string()).unwrap_err();
        assert_eq!(error, "\n  p: another");
    }

    #[test]
    fn an_earlier_version_is_held_to_what_it_kept() {
        let then = json!({ "classes": 2, "urie": true, "start": "w.pth", "lr": 1 }).to_string();
        let now = |classes: Value, urie: Value| {
            json!({ "identity": 1, "classes": classes, "urie": urie, "start": "0", "data": "0", "lr": 1 })
                .to_string()
        };
        let mut unchecked = compare(&then, &now(json!(["a", "b"]), json!("0"))).unwrap();
        unchecked.sort();
        assert_eq!(unchecked, ["classes", "data", "start", "urie"]);
        assert!(compare(&then, &now(json!(["a"]), json!("0"))).is_err());
        assert!(compare(&then, &now(json!(["a", "b"]), Value::Null)).is_err());
    }
}
