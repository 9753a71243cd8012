//! The programs in `examples/` on made-up data.

#[expect(dead_code, reason = "its `main` is for the command line")]
#[path = "../examples/enhance_folder.rs"]
mod enhance_folder;

#[cfg(feature = "classifier")]
#[expect(dead_code, reason = "its `main` is for the command line")]
#[path = "../examples/before_and_after.rs"]
mod before_and_after;

#[cfg(feature = "corrupt")]
#[expect(dead_code, reason = "its `main` is for the command line")]
#[path = "../examples/corrupt_folder.rs"]
mod corrupt_folder;

use std::path::Path;

use dyntta::{Enhancer, Method, Rgb8, image};

fn photos(folder: &Path) -> Vec<String> {
    (1..4)
        .map(|i| {
            let (width, height) = (20 + 7 * i, 40 - 5 * i);
            let data = (0..width * height * 3).map(|v| (v * i * 13 % 256) as u8).collect();
            let path = folder.join(format!("{i}.png"));
            image::write(&path, &Rgb8::new(width, height, data).unwrap()).unwrap();
            path.to_str().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn a_folder_is_enhanced() {
    let place = tempfile::tempdir().unwrap();
    let (photos_in, out) = (place.path().join("in"), place.path().join("out"));
    std::fs::create_dir(&photos_in).unwrap();
    let paths = photos(&photos_in);
    std::fs::write(photos_in.join("note.txt"), "no image").unwrap();
    let enhancer = Enhancer::untrained(Method::Dyntta, 0);
    let mut log = Vec::new();
    enhance_folder::enhance_folder(&enhancer, &photos_in, &out, &mut log).unwrap();
    let log = String::from_utf8(log).unwrap();
    assert!(log.lines().count() == 4 && log.contains("note.txt: left out, Unsupported"), "{log}");
    let enhanced = image::read(out.join("2.png")).unwrap();
    assert_eq!(enhanced, enhancer.enhance(&image::read(&paths[1]).unwrap()).unwrap());
}

#[cfg(feature = "classifier")]
#[test]
fn a_classifier_tells_before_and_after() {
    let place = tempfile::tempdir().unwrap();
    let paths = photos(place.path());
    dyntta::doc_classifier(|path| {
        let classifier = dyntta::Classifier::load(path)?;
        let mut log = Vec::new();
        let enhancer = Enhancer::untrained(Method::Dyntta, 0);
        before_and_after::compare(&classifier, &enhancer, &paths, &mut log).unwrap();
        let log = String::from_utf8(log).unwrap();
        assert!(log.lines().count() == 9 && log.matches("class 2").count() == 6, "{log}");
        Ok(())
    });
}

#[cfg(feature = "corrupt")]
#[test]
fn a_folder_is_corrupted() {
    use dyntta::corrupt::{Severity, suite};

    let place = tempfile::tempdir().unwrap();
    let paths = photos(place.path());
    let out = place.path().join("out");
    let corruptions = suite("fog,contrast").unwrap();
    corrupt_folder::corrupt_folder(place.path(), &out, &corruptions, Severity::new(3).unwrap()).unwrap();
    for name in ["fog", "contrast"] {
        for path in &paths {
            let clean = image::read(path).unwrap();
            let corrupted = image::read(out.join(name).join(Path::new(path).file_name().unwrap())).unwrap();
            assert_eq!((corrupted.width(), corrupted.height()), (clean.width(), clean.height()));
            assert!(corrupted != clean, "{name} {path}");
        }
    }
}
