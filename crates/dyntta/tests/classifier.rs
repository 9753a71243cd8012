//! Classifiers from files.
#![cfg(feature = "classifier")]

use std::path::Path;

use dyntta::{Classifier, ClassifierOptions, ErrorKind, Limits, Rgb8, doc_classifier};

fn picture(width: usize, height: usize) -> Rgb8 {
    Rgb8::new(width, height, (0..width * height * 3).map(|i| (i * 37 % 251) as u8).collect()).unwrap()
}

#[test]
fn a_batch_is_its_images_to_the_bit_and_the_likeliest_come_first() {
    doc_classifier(|path| {
        let classifier = Classifier::load(path)?;
        let images = [picture(32, 32), picture(50, 20), picture(1, 1), picture(224, 200)];
        let single: Vec<_> = images.iter().map(|image| classifier.predict(image, 9).unwrap()).collect();
        assert_eq!(classifier.predict_batch(&images, 9)?, single);
        for predictions in &single {
            assert_eq!(predictions.len(), 3);
            assert!(predictions.windows(2).all(|pair| pair[0].probability >= pair[1].probability));
            let sum: f32 = predictions.iter().map(|prediction| prediction.probability).sum();
            assert!((sum - 1.0).abs() < 1e-5);
        }
        assert!(classifier.predict(&images[0], 0)?.is_empty());
        Ok(())
    });
}

#[test]
fn names_and_size_are_read_from_beside_the_weights() {
    doc_classifier(|path| {
        let beside = path.with_extension("json");
        std::fs::write(&beside, r#"{"input_size": 24, "classes": ["cat", "dog", "owl"]}"#).unwrap();
        let classifier = Classifier::load(path)?;
        assert_eq!(classifier.preprocessing().fit.size.height, 24);
        assert!(classifier.preprocessing_from().contains("net.json"));
        let likeliest = &classifier.predict(&picture(40, 30), 1)?[0];
        assert_eq!(likeliest.name.as_deref(), Some(["cat", "dog", "owl"][likeliest.class]));
        std::fs::write(&beside, r#"{"classes": ["cat", "dog"]}"#).unwrap();
        let error = Classifier::load(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        assert!(error.to_string().contains("2 class names for a classifier of 3 classes"), "{error}");
        Ok(())
    });
}

#[test]
fn what_is_wrong_has_its_kind() {
    let kind = |path: &Path, options| Classifier::load_with(path, options).unwrap_err().kind();
    assert_eq!(kind(Path::new("none.onnx"), ClassifierOptions::default()), ErrorKind::NotFound);
    doc_classifier(|path| {
        let other = ClassifierOptions { arch: Some("cifar-resnet20".into()), ..Default::default() };
        assert_eq!(kind(path, other), ErrorKind::Mismatch);
        let limits = Limits { model_bytes: 1000, ..Limits::DEFAULT };
        assert_eq!(kind(path, ClassifierOptions { limits, ..Default::default() }), ErrorKind::TooLarge);
        let damaged = path.with_file_name("damaged.onnx");
        std::fs::write(&damaged, b"no graph").unwrap();
        assert_eq!(kind(&damaged, ClassifierOptions::default()), ErrorKind::Damaged);
        Ok(())
    });
}
