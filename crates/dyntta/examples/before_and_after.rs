//! What a classifier says of images before and after an enhancer, the five likeliest classes of each:
//! `cargo run --release --features classifier --example before_and_after -- CLASSIFIER RUN|FILE IMAGE…`.

use std::error::Error;
use std::io::Write;

use dyntta::{Classifier, Enhancer, Prediction, Rgb8, image};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [classifier, run, images @ ..] = args.as_slice() else {
        return Err("expected a classifier, an enhancer, and images".into());
    };
    compare(&Classifier::load(classifier)?, &Enhancer::load(run)?, images, &mut std::io::stdout())
}

/// Writes the likeliest classes of each image to `log`, before and after enhancing.
pub fn compare(
    classifier: &Classifier,
    enhancer: &Enhancer,
    paths: &[String],
    log: &mut dyn Write,
) -> Result<(), Box<dyn Error>> {
    let read = |path| Ok::<Rgb8, image::Error>(image::read_with(path, &classifier.decoding())?.image);
    let images = paths.iter().map(read).collect::<Result<Vec<Rgb8>, _>>()?;
    let before = classifier.predict_batch(&images, 5)?;
    let after = classifier.predict_batch(&enhancer.enhance_batch(&images)?, 5)?;
    let line = |top: &[Prediction]| top.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    for ((path, before), after) in paths.iter().zip(&before).zip(&after) {
        writeln!(log, "{path}\n  before: {}\n  after:  {}", line(before), line(after))?;
    }
    Ok(())
}
