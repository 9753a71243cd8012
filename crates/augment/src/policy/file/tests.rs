use std::path::Path;

use dyntta_image::Stream;

use super::*;

fn parse(text: &str) -> Result<Policy, Error> {
    Policy::parse(text, Path::new("dir/policy.toml"))
}

/// A file with a bit of everything; the tests of errors spoil one line of it.
const GOOD: &str = r#"version = 1

[about]
setting = "common15"

[[op]]
name = "scale"
weight = 0.25
factor = { mean = 0.8, quantiles = [0.7, 0.75, 0.78, 0.8, 0.82, 0.85, 1.3] }
clean_weight = 0.5
clean_factor = { mean = 1.0, quantiles = [1, 1, 1, 1, 1, 1, 1] }

[[op]]
name = "low_pass_0.10"
weight = 0.75

[[group]]
by = "corruption"
name = "fog"
images = 7
weights = { scale = 0.25, "low_pass_0.10" = 0.5 }
"#;

/// That the good file, with `new` in place of `old`, is refused at a line with these words.
fn refused(old: &str, new: &str, line: usize, words: &[&str]) {
    assert_eq!(GOOD.matches(old).count(), 1, "{old}");
    refused_text(&GOOD.replace(old, new), line, words);
}

fn refused_text(text: &str, line: usize, words: &[&str]) {
    let error = parse(text).expect_err(text).to_string();
    let start = format!("dir/policy.toml:{line}: ");
    assert!(error.starts_with(&start), "{start}\n{error}\n{text}");
    for word in words {
        assert!(error.contains(word), "{word}\n{error}");
    }
    // The place is told once, and lists that are not there aren't spoken of.
    for word in ["position", "at line", "line 1", "column", "\n"] {
        assert!(!error.contains(word), "{word:?} in {error}");
    }
}

#[test]
fn the_good_file_is_good() {
    let policy = parse(GOOD).unwrap();
    assert_eq!(policy.ops.len(), 2);
    assert_eq!(policy.ops[0].factor.as_ref().unwrap().quantiles[6], 1.3);
    assert_eq!(policy.ops[0].clean_factor.as_ref().unwrap().quantiles, [1.0; 7]);
    assert_eq!(policy.groups[0].weights["low_pass_0.10"], 0.5);
    assert_eq!(parse(&GOOD.replace('\n', "\r\n")).unwrap(), policy);
}

#[test]
fn a_syntax_error_is_told_with_its_line() {
    refused("weight = 0.75", "weight = = 0.75", 15, &[]);
    refused("weight = 0.75", "weight = 0.75 0.5", 15, &[]);
    refused("name = \"scale\"", "name = \"scale", 7, &[]);
    refused("[about]", "[about", 3, &["]"]);
    refused("weight = 0.25", "weight = 0.25\nweight = 0.5", 9, &["duplicate"]);
    refused_text("version = 1\n\u{00e9} = 2", 2, &[]);
    refused_text(&format!("version = 1\nx = {}", "[".repeat(100_000)), 2, &[]);
}

#[test]
fn changes_are_shares_that_rise() {
    let with = |line: &str| GOOD.replace("weight = 0.75", &format!("weight = 0.75\n{line}"));
    let good = with("change = { mean = 0.1, quantiles = [0, 0.05, 0.1, 0.1, 0.1, 0.2, 1] }");
    let policy = parse(&good).unwrap();
    assert_eq!(policy.ops[1].change.as_ref().unwrap().at(1.0), 1.0);
    assert_eq!(policy.ops[1].clean_change, None);
    for (quantiles, words) in [
        ("[0, 0.05, 0.1, 0.1, 0.1, 0.2, 1.5]", &["a number from 0 to 1", "1.5"][..]),
        ("[0, 0.05, 0.1, 0.1, 0.05, 0.2, 1]", &["don't fall"]),
        ("[0, 1]", &["7 numbers"]),
    ] {
        for key in ["change", "clean_change"] {
            let text = with(&format!("{key} = {{ mean = 0.1, quantiles = {quantiles} }}"));
            refused_text(&text, 16, &[words, &[&format!("`{key}.quantiles`")]].concat());
        }
    }
}

#[test]
fn keys_are_the_known_ones() {
    refused("clean_weight = 0.5", "claen = 0.5", 10, &["unknown field `claen`", "`clean_weight`"]);
    refused("images = 7", "image = 7", 20, &["unknown field `image`", "`images`"]);
    refused("[about]", "[abut]", 3, &["unknown field `abut`", "`about`"]);
    refused("mean = 0.8, ", "mean = 0.8, median = 0.8, ", 9, &["unknown field `median`", "`quantiles`"]);
    refused("mean = 0.8, ", "", 9, &["missing field `mean`"]);
    refused("weight = 0.75", "", 13, &["missing field `weight`"]);
    refused("name = \"low_pass_0.10\"\n", "", 13, &["missing field `name`"]);
    refused("version = 1", "", 1, &["missing field `version`"]);
    refused_text("", 1, &["missing field `version`"]);
}

#[test]
fn values_have_their_types() {
    refused("weight = 0.75", "weight = \"much\"", 15, &["`weight`: ", "\"much\"", "expected"]);
    refused("mean = 0.8,", "mean = true,", 9, &["`mean`: ", "`true`", "expected"]);
    refused("images = 7", "images = -7", 20, &["`images`: ", "`-7`"]);
    refused("images = 7", "images = 7.5", 20, &["`images`: ", "7.5"]);
    refused("name = \"scale\"", "name = 3", 7, &["`name`: ", "`3`", "string"]);
    refused(
        "weights = { scale = 0.25, \"low_pass_0.10\" = 0.5 }",
        "weights = [1]",
        21,
        &["`weights`: ", "map"],
    );
    refused("version = 1", "version = \"1\"", 1, &["`version`: "]);
}

#[test]
fn the_version_is_1() {
    refused("version = 1", "version = 2", 1, &["`version`: expected 1, found 2"]);
    refused("version = 1", "version = -1", 1, &["`version`: expected 1, found -1"]);
    // A later version is told as such though it has keys that this one hasn't.
    refused_text("\n\nversion = 2\nnews = 3\n", 3, &["`version`: expected 1, found 2"]);
}

#[test]
fn ops_are_the_banks_and_each_once() {
    refused(
        "\"scale\"\nweight",
        "\"scal\"\nweight",
        7,
        &["`name`: expected one of rotate, scale, ", "low_pass_R", "found `scal`, did you mean `scale`?"],
    );
    refused(
        "\"low_pass_0.10\"\n",
        "\"low_pass_1.5\"\n",
        14,
        &["`name`: ", "between 0 and 1", "`low_pass_1.5`"],
    );
    refused("\"low_pass_0.10\"\n", "\"\"\n", 14, &["`name`: expected one of", "found ``"]);
    refused(
        "\"low_pass_0.10\"\n",
        "\"scale\"\n",
        14,
        &["`name`: expected every op once, found `scale` again"],
    );
    let twice = format!("{GOOD}\n[[op]]\nname = \"low_pass_0.1\"\nweight = 1\n");
    refused_text(&twice, 24, &["`name`: expected every op once, found `low_pass_0.10` again"]);
}

#[test]
fn weights_are_finite_and_not_negative() {
    for (bad, found) in [("-0.1", "-0.1"), ("nan", "NaN"), ("inf", "inf"), ("-inf", "-inf"), ("-1", "-1")] {
        let found = &*format!("found {found}");
        refused(
            "weight = 0.75",
            &format!("weight = {bad}"),
            15,
            &["`weight`: expected a finite number", found],
        );
        refused(
            "clean_weight = 0.5",
            &format!("clean_weight = {bad}"),
            10,
            &["`clean_weight`: expected a finite number", found],
        );
        refused(
            "\"low_pass_0.10\" = 0.5",
            &format!("\"low_pass_0.10\" = {bad}"),
            21,
            &["`weights`: ", found],
        );
    }
    let none = GOOD.replace("weight = 0.25", "weight = 0").replace("weight = 0.75", "weight = 0.0");
    refused_text(&none, 1, &["`op`: expected an op with a positive weight, found none"]);
    refused_text(
        "# Nothing\nversion = 1\n",
        2,
        &["`op`: expected an op with a positive weight, found no op"],
    );
}

#[test]
fn factors_are_in_their_range_and_rise() {
    refused("0.7, 0.75", "0.6, 0.75", 9, &["`factor.quantiles`: ", "`scale` from 0.7 to 1.3, found 0.6"]);
    refused("0.85, 1.3", "0.85, 1.31", 9, &["`factor.quantiles`: ", "from 0.7 to 1.3, found 1.31"]);
    refused("mean = 0.8,", "mean = 8,", 9, &["`factor.mean`: ", "from 0.7 to 1.3, found 8"]);
    refused("mean = 1.0", "mean = nan", 11, &["`clean_factor.mean`: ", "found NaN"]);
    refused("0.75, 0.78", "0.78, 0.75", 9, &["`factor.quantiles`: ", "don't fall, found 0.78 before 0.75"]);
    refused("0.7, 0.75,\x20", "0.7,\n0.75,\n0.72,\n", 11, &["don't fall, found 0.75 before 0.72"]);
    refused("[0.7, 0.75, ", "[0.7, ", 9, &["`factor.quantiles`: expected 7 numbers", "0.95", "found 6"]);
    refused("[1, 1,", "[1, 1, 1,", 11, &["`clean_factor.quantiles`: expected 7 numbers", "found 8"]);
    refused("[1, 1, 1, 1, 1, 1, 1]", "[]", 11, &["`clean_factor.quantiles`: expected 7 numbers", "found 0"]);
    let rotate = GOOD.replace("\"scale\"", "\"rotate\"").replace("1.3]", "31]");
    refused_text(&rotate, 9, &["a factor of `rotate` from -30 to 30 degrees, found 31"]);
}

#[test]
fn factors_are_where_they_belong() {
    let factor = "{ mean = 1, quantiles = [1, 1, 1, 1, 1, 1, 1] }";
    refused(
        "weight = 0.75",
        &format!("weight = 0.75\nclean_factor = {factor}"),
        16,
        &["`clean_factor`: expected none: `low_pass_0.10` has no factor, found one"],
    );
    let without: String =
        GOOD.lines().filter(|line| !line.starts_with("factor")).map(|l| format!("{l}\n")).collect();
    refused_text(
        &without,
        7,
        &["`factor`: expected the factors of `scale`, which has a weight, found nothing"],
    );
    let policy = parse(&without.replace("weight = 0.25", "weight = 0")).unwrap();
    assert_eq!(policy.ops[0].factor, None);
}

#[test]
fn groups_name_ops_of_the_file() {
    refused("{ scale = ", "{ hue = ", 21, &["`weights`: expected the name of an op of this file, found hue"]);
    refused("{ scale = ", "{ scal = ", 21, &["`weights`: ", "found `scal`, did you mean `scale`?"]);
    refused("scale = 0.25, \"", "\"low_pass_0.1\" = 0.25, \"", 21, &["`low_pass_0.10` again"]);
}

#[test]
fn a_file_edited_by_hand_is_read() {
    let text = r#"
        # Only noise matters to us.
        [[op]]
        weight = 3        # an integer
        name = 'low_pass_0.1'

        [[op]]
        clean_weight = 0
        weight = 1_0
        factor.quantiles = [
            -2, -1.5,  # multi-line
            -1, 0, +1, 1.5e0, 2,
        ]
        factor.mean = 0
        name = "hue"

        [[group]]
        weights."low_pass_0.1" = 1
        images = 3
        name = "cat"
        by = "class"
    "#;
    let text =
        format!("version = 1\nabout = {{ images = 500, seed = 1.5, note = \"x\", on = 2026-01-02 }}\n{text}");
    let policy = parse(&text).unwrap();
    let ops: Vec<_> = policy.ops.iter().map(|op| (op.name.as_str(), op.weight, op.clean_weight)).collect();
    assert_eq!(ops, [("low_pass_0.10", 3.0, None), ("hue", 10.0, Some(0.0))]);
    let factor = policy.ops[1].factor.as_ref().unwrap();
    assert_eq!((factor.mean, factor.quantiles), (0.0, [-2.0, -1.5, -1.0, 0.0, 1.0, 1.5, 2.0]));
    assert_eq!(policy.groups[0].weights["low_pass_0.10"], 1.0);
    let about: Vec<_> = policy.about.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(about, [("images", "500"), ("note", "x"), ("on", "2026-01-02"), ("seed", "1.5")]);
}

#[test]
fn ends_of_ranges_may_be_rounded() {
    // What an f32 makes of them, 0.69999998807 and 1.2999999523, and one digit more than they are.
    let text = GOOD.replace("[0.7, 0.75", "[0.69999998807, 0.75").replace("1.3]", "1.3000001]");
    assert_eq!(parse(&text).unwrap(), parse(GOOD).unwrap());
    refused("[0.7, 0.75", "[0.69999, 0.75", 9, &["found 0.69999"]);
}

/// Any policy of the ops of the bank and some more filters.
fn random_policy(seed: u64) -> Policy {
    let mut stream = Stream::new(seed, &["policy"]);
    let mut names = dyntta_ops::bank::known_names();
    names.extend(["low_pass_0.125", "high_pass_0.333333", "low_pass_0.001"].map(str::to_owned));
    let texts = [
        "plain",
        "with \"quotes\"",
        "back\\slash",
        "line\nbreak\r\n\ttab",
        "ünïcode 猫 🐈",
        "",
        "\u{7f}\u{1}",
        "'''",
    ];
    let random_text = |stream: &mut Stream| {
        (0..1 + stream.below(3)).map(|_| texts[stream.below(texts.len())]).collect::<Vec<_>>().join(" ")
    };
    let mut ops = Vec::new();
    for name in names {
        if !ops.is_empty() && stream.below(3) == 0 {
            continue;
        }
        let magnitude = dyntta_ops::bank::op(&name).and_then(|op| op.magnitude());
        let factors = |stream: &mut Stream| {
            let (low, high) = magnitude?.range();
            let (low, high) = (decimal(low), decimal(high));
            let mut quantiles = [(); 7].map(|()| match stream.below(5) {
                0 => low,
                1 => high,
                _ => stream.range(low, high),
            });
            quantiles.sort_by(f64::total_cmp);
            Some(Distribution { mean: stream.range(low, high), quantiles })
        };
        let clean = stream.below(2) == 0;
        let scale = 10f64.powf(stream.range(-12.0, 12.0));
        let change = |stream: &mut Stream| {
            let mut quantiles = [(); 7].map(|()| stream.uniform());
            quantiles.sort_by(f64::total_cmp);
            Distribution { mean: stream.uniform(), quantiles }
        };
        ops.push(PolicyOp {
            name,
            weight: stream.range(0.1, 1.0) * scale,
            factor: factors(&mut stream),
            change: (stream.below(2) == 0).then(|| change(&mut stream)),
            clean_weight: clean.then(|| stream.uniform()),
            clean_factor: if clean { factors(&mut stream) } else { None },
            clean_change: clean.then(|| change(&mut stream)),
        });
    }
    let mut groups = Vec::new();
    for _ in 0..stream.below(4) {
        let mut weights = BTreeMap::new();
        for _ in 0..stream.below(20) {
            let op: &PolicyOp = &ops[stream.below(ops.len())];
            weights.insert(op.name.clone(), op.weight / 3.0);
        }
        let (by, name) = (random_text(&mut stream), random_text(&mut stream));
        groups.push(PolicyGroup { by, name, images: stream.below(1000), weights });
    }
    let about = (0..stream.below(6)).map(|_| (random_text(&mut stream), random_text(&mut stream))).collect();
    Policy { about, ops, groups }
}

#[test]
fn what_is_written_is_read() {
    for seed in 0..60 {
        let policy = random_policy(seed);
        let text = policy.to_toml();
        assert_eq!(parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}")), policy, "{text}");
    }
    let dir = std::env::temp_dir().join(format!("dyntta-policy-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("policy.toml");
    let policy = random_policy(99);
    policy.write(&path).unwrap();
    assert_eq!(Policy::read(&path).unwrap(), policy);
    std::fs::write(&path, b"version = 1 # \xff").unwrap();
    assert!(matches!(Policy::read(&path), Err(Error::Read { .. })));
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(Policy::read(&path).unwrap_err().to_string().starts_with(&path.display().to_string()));
}

#[test]
fn damaged_files_never_panic() {
    let mut stream = Stream::new(7, &["damage"]);
    let whole = random_policy(3).to_toml();
    let (mut read, mut not) = (0, 0);
    for i in 0..600 {
        let mut bytes = if i % 2 == 0 { GOOD.as_bytes() } else { whole.as_bytes() }.to_vec();
        for _ in 0..1 + stream.below(2) {
            let at = stream.below(bytes.len());
            match stream.below(8) {
                0..3 => bytes[at] = stream.below(256) as u8,
                3..5 => bytes.insert(at, b"=\"'[]{}#.,\n0-e"[stream.below(14)]),
                5..7 => drop(bytes.remove(at)),
                _ => bytes.truncate(bytes.len() - at / 4),
            }
        }
        match parse(&String::from_utf8_lossy(&bytes)) {
            Ok(policy) => {
                read += 1;
                // What was taken can be written and drawn.
                assert_eq!(parse(&policy.to_toml()).unwrap(), policy);
                policy.picture();
            }
            Err(error) => {
                not += 1;
                assert!(error.to_string().starts_with("dir/policy.toml:"), "{error}");
            }
        }
    }
    assert!(read > 50 && not > 50, "{read} {not}");
}

#[test]
fn foreign_text_is_shown_without_control_characters_and_cut() {
    let name = format!("\\u001b[2J{}", "x".repeat(5000));
    for text in [
        format!("version = 1\n[[op]]\nname = \"{name}\"\nweight = 1.0\n"),
        format!("version = 1\n[[op]]\n\"{name}\" = 1\nname = \"invert\"\nweight = 1.0\n"),
        format!("version = 1\n[[op]]\n\"\x7f{name}\" = \u{1b}\n"),
    ] {
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.len() < 1000 && !error.contains(|c: char| c.is_control()), "{error:?}");
    }
}

#[test]
fn a_byte_order_mark_is_passed_over_and_a_device_refused() {
    let dir = std::env::temp_dir().join(format!("dyntta-policy-mark-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("policy.toml");
    std::fs::write(&path, format!("\u{feff}{GOOD}")).unwrap();
    assert_eq!(Policy::read(&path).unwrap(), parse(GOOD).unwrap());
    std::fs::remove_dir_all(&dir).unwrap();
    let error = Policy::read(Path::new("/dev/zero")).unwrap_err().to_string();
    if cfg!(unix) {
        assert_eq!(error, "/dev/zero: expected a file, found a device");
    }
}
