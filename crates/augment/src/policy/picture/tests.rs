use std::collections::BTreeMap;

use super::*;
use crate::policy::{Distribution, PolicyOp};

fn op(name: &str, weight: f64, clean: Option<f64>) -> PolicyOp {
    let magnitude = dyntta_ops::bank::op(name).and_then(|op| op.magnitude());
    let factors = magnitude.map(|magnitude| {
        let (low, high) = magnitude.range();
        let at = |share: f64| f64::from(low) + share * f64::from(high - low);
        Distribution { mean: at(0.5), quantiles: [0.1, 0.3, 0.5, 0.55, 0.6, 0.7, 1.0].map(at) }
    });
    PolicyOp {
        factor: factors.clone(),
        clean_weight: clean,
        clean_factor: factors.filter(|_| clean.is_some()),
        ..PolicyOp::new(name, weight)
    }
}

fn policy(ops: Vec<PolicyOp>) -> Policy {
    Policy { ops, ..Policy::default() }
}

/// With a weight by corruption for each op.
fn with_groups(mut policy: Policy, names: &[&str]) -> Policy {
    let weights: BTreeMap<String, f64> = policy.ops.iter().map(|op| (op.name.clone(), op.weight)).collect();
    policy.groups = names
        .iter()
        .map(|name| PolicyGroup {
            by: "corruption".into(),
            name: (*name).into(),
            images: 1000,
            weights: weights.clone(),
        })
        .collect();
    policy
}

/// The texts of the picture, after checking that it is XML, that all numbers are, and that no text leaves the picture or
/// lies on another.
fn texts(policy: &Policy) -> Vec<String> {
    let svg = policy.picture();
    assert_eq!(svg, policy.picture());
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    let document = roxmltree::Document::parse(&svg).unwrap_or_else(|e| panic!("{e}\n{svg}"));
    let root = document.root_element();
    assert_eq!(root.tag_name().namespace(), Some("http://www.w3.org/2000/svg"));
    let size: Vec<f64> = root.attribute("viewBox").unwrap().split(' ').map(|v| v.parse().unwrap()).collect();
    let mut boxes: Vec<(String, [f64; 4])> = Vec::new();
    for node in root.children().filter(|node| node.has_tag_name("text")) {
        let number = |key: &str| node.attribute(key).unwrap().parse::<f64>().unwrap();
        let text = node.text().unwrap().trim().to_owned();
        let (em, x, y) = (number("font-size"), number("x"), number("y"));
        // About what Helvetica takes.
        let width = 0.52 * em * text.chars().count() as f64;
        let left = match node.attribute("text-anchor").unwrap() {
            "start" => x,
            "middle" => x - width / 2.0,
            _ => x - width,
        };
        let place = [left, left + width, y - 0.45 * em, y + 0.45 * em];
        assert!(
            place[0] >= 0.0 && place[1] <= size[2] && place[2] >= 0.0 && place[3] <= size[3],
            "{text} {place:?}"
        );
        for (other, there) in &boxes {
            let apart =
                place[0] >= there[1] || there[0] >= place[1] || place[2] >= there[3] || there[2] >= place[3];
            assert!(apart, "{text:?} {place:?} lies on {other:?} {there:?}");
        }
        if !text.is_empty() {
            boxes.push((text, place));
        }
    }
    for node in root.children() {
        for key in ["width", "height"] {
            assert!(node.attribute(key).is_none_or(|v| v.parse::<f64>().unwrap() >= 0.0), "{node:?}");
        }
    }
    boxes.into_iter().map(|(text, _)| text).collect()
}

fn has(texts: &[String], text: &str) -> bool {
    texts.iter().any(|t| t == text)
}

#[test]
fn ops_are_named_in_order() {
    let mut policy = policy(vec![
        op("rotate", 0.02, Some(0.5)),
        op("saturation", 0.3, Some(0.1)),
        op("invert", 0.0, Some(0.0)),
        op("low_pass_0.50", 0.2, Some(0.1)),
        op("low_pass_0.125", 0.28, Some(0.1)),
        op("high_pass_0.50", 0.2, Some(0.2)),
    ]);
    policy.about =
        [("setting", "fog:3"), ("images", "70"), ("clean-images", "50"), ("classifier", "/a/b/net.onnx")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
    let texts = texts(&policy);
    for text in
        ["Augmentation policy: fog:3", "classifier net.onnx", "fog:3 (70 images)", "clean (50 images)"]
    {
        assert!(has(&texts, text), "{text} {texts:?}");
    }
    let order: Vec<&String> = texts.iter().filter(|t| policy.ops.iter().any(|op| op.name == **t)).collect();
    // The filters have 48 % together; `invert` is the only other one, so it is named.
    let bars = ["low_pass_0.125", "low_pass_0.50", "saturation", "high_pass_0.50", "rotate", "invert"];
    // The ridges follow, by the larger of the weights.
    assert_eq!(order[..6], bars);
    assert_eq!(order[6..], ["saturation"]);
    assert!(has(&texts, "rotate, degrees"));
    for number in ["48.0", "20.0", "30.0", "50.0"] {
        assert!(has(&texts, number), "{number}");
    }
    // Without groups there is no heat map, with one neither.
    assert!(!has(&texts, "Mean blend weights by corruption"));
    assert!(!has(&self::texts(&with_groups(policy.clone(), &["fog"])), "Mean blend weights by corruption"));
    let texts = self::texts(&with_groups(policy, &["fog", "snow"]));
    for text in ["Mean blend weights by corruption", "fog (1000)", "snow (1000)", "clean", "all", "0.125"] {
        assert!(has(&texts, text), "{text}");
    }
}

#[test]
fn many_ops_fit() {
    let filters = |family: &str| -> Vec<PolicyOp> {
        (1..20).map(|i| op(&format!("{family}_{:.2}", f64::from(i) * 0.05), 1.0, Some(0.5))).collect()
    };
    let texts = texts(&policy(filters("low_pass")));
    assert!(filters("low_pass").iter().all(|op| has(&texts, &op.name)));
    assert!(!has(&texts, "Factors"));

    let corruptions =
        ["gaussian_noise", "a name that is longer than there is room", "elastic_transform", "fog"];
    let bank: Vec<PolicyOp> =
        dyntta_ops::bank::known_names().iter().map(|name| op(name, 1.0, Some(2.0))).collect();
    let texts = self::texts(&with_groups(policy(bank), &corruptions));
    assert!(has(&texts, "31 others"), "{texts:?}");
    // 31 and the 19 low-pass filters of 51.
    assert!(has(&texts, "60.8") && has(&texts, "37.3"), "{texts:?}");
}

#[test]
fn extremes_are_drawn() {
    texts(&Policy::default());
    texts(&policy(vec![op("equalize", 0.0, None)]));
    let one = texts(&policy(vec![op("equalize", 1e-300, None)]));
    assert!(has(&one, "100.0") && !has(&one, "clean"), "{one:?}");
    let alone = texts(&policy(vec![op("hue", 3.0, None)]));
    assert!(has(&alone, "hue, radians"), "{alone:?}");
    // No clean image has any weight.
    let no_clean = texts(&policy(vec![op("hue", 3.0, Some(0.0)), op("urie", 1.0, Some(0.0))]));
    assert!(!has(&no_clean, "clean") && has(&no_clean, "75.0"), "{no_clean:?}");
    let huge = texts(&policy(vec![op("hue", f64::MAX, Some(f64::MAX)), op("gamma", f64::MAX, Some(1e-300))]));
    assert!(has(&huge, "50.0"), "{huge:?}");
    // Of what can only be made in code.
    let mut odd = vec![op("scale", f64::INFINITY, Some(-1.0)), op("no_such_op", 1.0, None)];
    for value in [f64::MAX, f64::MIN, 0.0, 1.0] {
        odd[0].factor = Some(Distribution { mean: value, quantiles: [value; 7] });
        Policy { ops: odd.clone(), ..Policy::default() }.picture();
    }
    let mut about = policy(vec![op("hue", 1.0, None)]);
    about.about.insert(
        "setting".into(),
        "<&>\"'\u{1}\u{0}\n\u{ffff} \u{732b} ]]> and more than there is room for".into(),
    );
    assert!(texts(&about)[0].starts_with("Augmentation policy: <&>\"'"));
}
