//! What a classifier is fed: its preprocessing in a run, its class names, and broken files.

use dyntta_data::{Dataset, Preprocessing, Skipped};
use dyntta_nn::Classifier;
pub use dyntta_nn::fed::{
    for_images, load_classifier, metadata, normalisation, usual, usual_name, usual_preset,
};

use crate::control::Progress;
use crate::error::Error;

/// The data set with the labels of the classifier's class names, where they are known, and turned as the classifier takes it.
///
/// # Errors
/// [`dyntta_data::Error::Classes`], with both lists, if it has classes that are not among them.
pub fn named(data: Dataset, preprocessing: &Preprocessing) -> Result<Dataset, Error> {
    let data = data.with_exif(preprocessing.exif);
    Ok(match &preprocessing.classes {
        Some(names) => data.with_classes(names)?,
        None => data,
    })
}

/// The names of a classifier's outputs, where its own file or the config of an enhancer that was trained before it tells them.
///
/// # Errors
/// [`Error::ClassNames`] if both do and differ: the enhancer was trained for other outputs.
pub fn class_names(own: Option<&[String]>, trained: Option<&[String]>) -> Result<Option<Vec<String>>, Error> {
    match (own, trained) {
        (Some(own), Some(trained)) if own != trained => Err(Error::ClassNames {
            first: "the classifier's own file".to_owned(),
            second: "the enhancer's config".to_owned(),
            expected: own.to_vec(),
            found: trained.to_vec(),
        }),
        (own, trained) => Ok(own.or(trained).map(<[String]>::to_vec)),
    }
}

/// The data set with the labels of another set's classes, which it is used beside: by name, not by place. It may lack some of
/// them.
///
/// # Errors
/// [`dyntta_data::Error::Classes`], with both lists, if it has classes that the other has not.
pub fn aligned(data: Dataset, with: &[String]) -> Result<Dataset, Error> {
    if data.classes == with { Ok(data) } else { Ok(data.with_classes(with)?) }
}

/// Says how many broken files were left out, and what is wrong with the first of them.
pub fn report_skipped(skipped: &Skipped, progress: &mut dyn Progress) {
    const SHOWN: usize = 10;
    let errors = skipped.errors();
    if !errors.is_empty() {
        let more = if errors.len() > SHOWN { "\n  ..." } else { "" };
        let shown = errors[..errors.len().min(SHOWN)].join("\n  ");
        progress.message(&format!("{} broken files skipped:\n  {shown}{more}", errors.len()));
    }
}

/// Checks that a data set's classes are as many as the classifier's outputs.
///
/// # Errors
/// [`Error::Classes`].
pub fn check_classes(data: &Dataset, classifier: &Classifier) -> Result<(), Error> {
    check_class_count(data.name(), &data.classes, classifier)
}

/// [`check_classes`] for the `classes` of what is called `name`.
///
/// # Errors
/// [`Error::Classes`].
pub fn check_class_count(name: &str, classes: &[String], classifier: &Classifier) -> Result<(), Error> {
    if classes.len() == classifier.classes() {
        return Ok(());
    }
    const SHOWN: usize = 20;
    let mut listing: Vec<&str> = classes.iter().take(SHOWN).map(String::as_str).collect();
    if classes.len() > SHOWN {
        listing.push("…");
    }
    Err(Error::Classes {
        what: name.to_owned(),
        expected: classifier.classes(),
        found: classes.len(),
        listing: format!(
            ": {}.\nA `classes.txt` in the data set, one class a line in the order of the classifier's outputs, may name \
             classes without images",
            listing.join(", ")
        ),
    })
}
