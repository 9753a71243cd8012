//! Holds docs/security.md to the constants.

use dyntta_files::Limits;

/// The lines of the table of bounds. All fields are named: a new one doesn't compile until it has a line.
fn bounds() -> Vec<(&'static str, String)> {
    let Limits {
        image_bytes,
        pixels,
        side,
        text_bytes,
        model_bytes,
        tensor_elements,
        total_elements,
        work,
        threads,
        depth,
        entries,
    } = Limits::DEFAULT;
    let plain = |n: usize| grouped(n as u64);
    vec![
        ("bytes of an image file", bytes(image_bytes)),
        ("pixels of an image", plain(pixels)),
        ("pixels along a side", plain(side)),
        ("bytes of a text file: settings, lists, configs, policies", bytes(text_bytes)),
        ("bytes of a file of weights, or of an ONNX file with what lies beside it", bytes(model_bytes)),
        ("elements of one tensor", plain(tensor_elements)),
        ("elements of all tensors of a file", plain(total_elements)),
        ("multiply-adds of a graph for one image", grouped(work)),
        ("threads", plain(threads)),
        ("folders inside folders", plain(depth)),
        ("files below a folder, or entries of an archive", plain(entries)),
    ]
}

fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn bytes(n: u64) -> String {
    match n {
        n if n >= 1 << 30 && n.is_multiple_of(1 << 30) => format!("{} GiB", n >> 30),
        n if n.is_multiple_of(1 << 20) => format!("{} MiB", n >> 20),
        n => grouped(n),
    }
}

#[test]
fn the_page_has_the_bounds_that_the_readers_have() {
    let page = include_str!("../../docs/security.md");
    let expected: String = bounds().iter().map(|(what, bound)| format!("| {what} | {bound} |\n")).collect();
    assert!(page.contains(&expected), "docs/security.md should have these lines:\n{expected}");
    let fuzzed: Vec<&str> = dyntta_fuzzing::TARGETS.iter().map(|target| target.name).collect();
    let expected = format!("`{}`", fuzzed.join("`, `"));
    let text = page.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(&expected), "docs/security.md should name the targets {expected}");
    for target in fuzzed {
        let manifest = include_str!("../../fuzz/Cargo.toml");
        assert!(manifest.contains(&format!("name = \"{target}\"")), "fuzz/Cargo.toml lacks {target}");
    }
    for (value, unit) in [(crate::fuzz::MEMORY as u64, "2 GiB"), (crate::fuzz::TIME.as_secs(), "20 s")] {
        let said = if unit.ends_with('B') { bytes(value) } else { format!("{value} s") };
        assert!(said == unit && page.contains(unit), "docs/security.md should say {said}");
    }
}
