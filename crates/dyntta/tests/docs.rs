//! The pages of `docs/` that follow from the registries. Run with `DYNTTA_UPDATE_DOCS=1` to write them anew.

#![cfg(feature = "train")]

use std::fmt::Write;
use std::path::Path;

fn check(name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if std::env::var_os("DYNTTA_UPDATE_DOCS").is_some() {
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{name} is out of date: run the tests once with DYNTTA_UPDATE_DOCS=1");
}

/// `dyntta::augment::AugmixOp` tells the same.
const AUGMIX: &str = "\
AugMix can be made of the bank's other augmentations too, at a level L of 0 to 10: `scale` 1 ± 0.3·L/10 times, `hue` turned by
± 2·L/10 radians, `gamma` to the power 0.1 + 1.8·L/10, `invert`, `low_pass` up to the radius 1 - 0.95·L/10 and `high_pass` above
the radius 0.95·L/10 (both to the nearest twentieth), and `low_pass_R` and `high_pass_R` of a fixed radius. They are the bank's
formulas, clamped to 0 to 1 as its blend is: of a `high_pass`, values about 0, the positive ones are left. The bank's `saturation`
is AugMix's `color`.
";

#[test]
fn augmentations() {
    let names = dyntta::ops::bank::paper_names().join(", ");
    check(
        "augmentations.md",
        &format!(
            "# The augmentations\n\nThe published bank has these fifty, in this order: {names}.\n\nAny list of the names \
             below makes another bank (`--bank`, or `bank` in a config); `R` is a radius between 0 and 1.\n\n{}\n\
             ## At training time\n\nOn 8-bit images, with what is random drawn for each image and epoch; the size is kept.\n\n\
             {}\n{AUGMIX}",
            dyntta::ops::bank::markdown_table(),
            dyntta::augment::Fixed::markdown_table()
        ),
    );
}

const ELASTIC: &str = "
`elastic_transform` in the `imagenet` preset is that of the published ImageNet-C: an affine map and displacements in units of 244 \
px, made for 224×224. `dyntta corrupt --elastic proportional` takes displacements in proportion to the image's size instead, which \
suits other sizes better and can't be compared with published figures; the manifest of a set says which it has. The `cifar` \
preset has one only.
";

#[test]
fn corruptions() {
    let mut page = String::from(
        "# The corruptions\n\nAfter Hendrycks & Dietterich, \"Benchmarking Neural Network Robustness to Common \
         Corruptions and Perturbations\", ICLR 2019. `all19` is both suites; any list of names and suites makes another. \
         Severities are 1 to 5, presets `imagenet` and `cifar`.\n\n| name | suite | random | what it does |\n|---|---|---|---|\n",
    );
    for corruption in dyntta::corrupt::Corruption::all() {
        let random = if corruption.is_random() { "yes" } else { "no" };
        let (name, suite, summary) = (corruption.name(), corruption.suite(), corruption.summary());
        let _ = writeln!(page, "| `{name}` | `{suite}` | {random} | {summary} |");
    }
    page.push_str(ELASTIC);
    check("corruptions.md", &page);
}
