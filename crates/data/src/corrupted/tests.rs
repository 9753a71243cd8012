use super::*;
use crate::testing::{Folder, png};

fn names(set: &CorruptedSet) -> Vec<(&str, u8)> {
    set.parts.iter().map(|p| (p.corruption.as_str(), p.severity)).collect()
}

fn message(folder: &Folder, path: &str, classes: Option<&[String]>) -> String {
    let error = CorruptedSet::open(folder.0.join(path), classes).unwrap_err().to_string();
    error.replace(folder.0.to_str().unwrap(), "T")
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|&n| n.into()).collect()
}

/// fog at 2 and 10 and snow at 1, two classes, levels that tell them apart.
fn files() -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    for (level, part) in [(10, "fog/2"), (20, "fog/10"), (30, "snow/1")] {
        for (i, class) in ["auk", "owl"].into_iter().enumerate() {
            out.push((format!("{part}/{class}/x.png"), png(level + i as u8)));
        }
    }
    out
}

fn check(set: &CorruptedSet) {
    assert_eq!(names(set), [("fog", 2), ("fog", 10), ("snow", 1)]);
    assert_eq!(set.classes(), ["auk", "owl"]);
    for (part, level) in set.parts.iter().zip([10, 20, 30]) {
        let opened = part.open().unwrap();
        let paths: Vec<&str> = opened.samples.iter().map(|s| s.path.as_str()).collect();
        assert_eq!(paths, ["auk/x.png", "owl/x.png"]);
        assert_eq!(part.open().unwrap().load(1).unwrap().data(), vec![level + 1; 18]);
    }
    let merged = set.merged("all").unwrap();
    let found: Vec<(&str, usize, u8)> = (0..merged.len())
        .map(|i| {
            (merged.samples[i].path.as_str(), merged.samples[i].class, merged.load(i).unwrap().data()[0])
        })
        .collect();
    let expected = [
        ("fog/2/auk/x.png", 0, 10),
        ("fog/2/owl/x.png", 1, 11),
        ("fog/10/auk/x.png", 0, 20),
        ("fog/10/owl/x.png", 1, 21),
        ("snow/1/auk/x.png", 0, 30),
        ("snow/1/owl/x.png", 1, 31),
    ];
    assert_eq!(found, expected);
    assert_eq!(merged.classes, ["auk", "owl"]);
}

fn tar_of(top: &str, files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, format!("{top}{path}"), bytes.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn a_folder_and_a_tar_at_any_level_are_the_same() {
    let folder = Folder::new();
    for (path, bytes) in files() {
        folder.file(&format!("set/{path}"), bytes);
    }
    folder.file("set/readme.txt", "");
    check(&CorruptedSet::open(folder.0.join("set"), None).unwrap());
    for top in ["", "./", "set/", "a/b/"] {
        let path = folder.file("set.tar", tar_of(top, &files()));
        check(&CorruptedSet::open(path, None).unwrap());
    }
    // One corruption alone must not be taken for a common folder.
    let path = folder.file("one.tar", tar_of("", &files()[..2]));
    assert_eq!(names(&CorruptedSet::open(path, None).unwrap()), [("fog", 2)]);
}

#[test]
fn given_classes_set_the_order_and_must_be_the_same() {
    let folder = Folder::new();
    for (path, bytes) in files() {
        folder.file(&format!("set/{path}"), bytes);
    }
    let set = CorruptedSet::open(folder.0.join("set"), Some(&strings(&["owl", "auk"]))).unwrap();
    assert_eq!(set.parts[0].open().unwrap().samples.iter().map(|s| s.class).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(
        message(&folder, "set", Some(&strings(&["auk", "elk"]))),
        "T/set: expected the 2 classes auk, elk, found the 2 classes auk, owl (not expected: owl; not found: elk)"
    );
    let more = strings(&["elk", "owl", "auk"]);
    let set = CorruptedSet::open(folder.0.join("set"), Some(&more)).unwrap();
    assert_eq!((set.classes().len(), set.parts[0].open().unwrap().samples[0].class), (3, 2));
    folder.image("set/snow/1/elk/x.png", 0);
    assert!(message(&folder, "set", None).starts_with(
        "T/set/snow/1: expected the 2 classes of T/set/fog/2 auk, owl, found the 3 classes auk, elk, owl"
    ));
}

#[test]
fn only_what_is_wanted_is_looked_at_and_must_be_there() {
    let folder = Folder::new();
    for (path, bytes) in files() {
        folder.file(&format!("set/{path}"), bytes);
    }
    // Not a severity, and an unreadable class: neither is looked at.
    folder.file("set/snow/old/x.png", "");
    folder.file("set/fog/10/zebra/x.png", "");
    let tar = folder.file("set.tar", tar_of("deep/", &files()));
    let wanted = |corruptions: &[&str], severities: &[u8]| Wanted {
        corruptions: (!corruptions.is_empty()).then(|| strings(corruptions)),
        severities: (!severities.is_empty()).then(|| severities.to_vec()),
    };
    for path in [&folder.0.join("set"), &tar] {
        let open = |wanted: Wanted| {
            let set = CorruptedSet::open_wanted(path, None, &wanted);
            set.map_err(|e| e.to_string().replace(path.to_str().unwrap(), "T"))
        };
        let set = open(wanted(&["fog"], &[2])).unwrap();
        assert_eq!(names(&set), [("fog", 2)]);
        assert_eq!(set.parts[0].open().unwrap().len(), 2);
        assert_eq!(set.limit_balanced(1).parts[0].open().unwrap().len(), 1);
        assert_eq!(
            open(wanted(&["fog", "rain"], &[2])).unwrap_err(),
            "T: expected the corruption rain, found fog"
        );
        assert_eq!(
            open(wanted(&["fog"], &[2, 3])).unwrap_err(),
            "T: expected fog at severity 3, found no such part"
        );
        assert_eq!(
            open(wanted(&["rain"], &[2, 3])).unwrap_err(),
            "T: expected images in corruption/severity/class folders, of rain, at severity 2, 3, found no corruption"
        );
    }
}

#[test]
fn what_is_not_laid_out_so_is_said() {
    let folder = Folder::new();
    folder.image("set/fog/auk/x.png", 0);
    assert_eq!(
        message(&folder, "set", None),
        "T/set/fog/auk: expected a severity, a folder named 1 to 99, found \"auk\""
    );
    std::fs::create_dir(folder.0.join("empty")).unwrap();
    assert!(message(&folder, "empty", None).ends_with("found no corruption"));
    let bad = [("fog/1/auk/x.png".to_string(), png(0)), ("fog/x.png".to_string(), png(0))];
    folder.file("bad.tar", tar_of("", &bad));
    assert_eq!(
        message(&folder, "bad.tar", None),
        "T/bad.tar: expected corruption/severity/class/file, found fog/x.png"
    );
    assert!(message(&folder, "none", None).starts_with("T/none: cannot open"));
}

fn array(kind: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}\n");
    let length = (text.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00".as_slice(), &length, text.as_bytes(), bytes].concat()
}

#[test]
fn arrays_hold_five_severities() {
    let folder = Folder::new();
    let pixels: Vec<u8> = (0..10 * 2 * 2 * 3).map(|i| i as u8).collect();
    folder.file("fog.npy", array("|u1", "10, 2, 2, 3", &pixels));
    let labels: Vec<u8> = (0..10u64).flat_map(|i| (i % 2 * 9).to_le_bytes()).collect();
    folder.file("labels.npy", array("<i8", "10,", &labels));
    let set = CorruptedSet::open(&folder.0, None).unwrap();
    assert_eq!(names(&set), (1..=5).map(|s| ("fog", s)).collect::<Vec<_>>());
    assert_eq!(set.classes()[9], "truck");
    let part = &set.parts[3].open().unwrap();
    assert_eq!(
        part.samples.iter().map(|s| s.path.as_str()).collect::<Vec<_>>(),
        ["airplane/test_batch-00000", "truck/test_batch-00001"]
    );
    assert_eq!(part.load(1).unwrap().data(), &pixels[7 * 12..8 * 12]);

    folder.file("classes.txt", "a\nb");
    let text = message(&folder, "", None);
    assert!(text.ends_with("labels.npy: expected labels below 2, the number of classes, found 9"), "{text}");
    folder.file("fog.npy", array("|u1", "10, 2, 2, 3", &pixels[1..]));
    std::fs::remove_file(folder.0.join("classes.txt")).unwrap();
    let text = message(&folder, "", None);
    assert!(
        text.ends_with("expected the bytes of |u1 in the shape [10, 2, 2, 3], found 119 after the header"),
        "{text}"
    );
    folder.file("fog.npy", array("<f4", "10, 1, 1, 3", &pixels));
    assert!(message(&folder, "", None).ends_with("found <f4 in the shape [10, 1, 1, 3]"));
    folder.file("fog.npy", "text");
    assert!(message(&folder, "", None).contains("expected a numpy array file (.npy)"));
    folder.file("labels.npy", array("<i8", "3,", &labels[..24]));
    let fog = pixels[..36].to_vec();
    folder.file("fog.npy", array("|u1", "3, 2, 2, 3", &fog));
    let set = CorruptedSet::open(&folder.0, None).unwrap();
    assert_eq!((names(&set), set.parts[0].open().unwrap().len()), (vec![("fog", 1)], 3));
    folder.file("labels.npy", array("<f8", "3,", &labels[..24]));
    assert!(message(&folder, "", None).ends_with("whole numbers from 0, found type <f8"));
}

#[test]
fn an_array_may_hold_one_severity() {
    let folder = Folder::new();
    let pixels: Vec<u8> = (0..10 * 12).map(|i| i as u8).collect();
    let once: Vec<u8> = vec![3, 1, 4, 1, 5];
    // As the severities repeat them, and as they are.
    for labels in [once.repeat(5), once.clone()] {
        for place in ["C/snow-4.npy", "C/fog_3.npy", "2/fog.npy", "severity_5/fog.npy", "CIFAR-10-C/fog.npy"]
        {
            let at = Folder::new();
            at.file(place, array("|u1", "5, 2, 2, 3", &pixels[..60]));
            let set = place.split('/').next().unwrap();
            at.file(&format!("{set}/labels.npy"), array("|u1", &format!("{},", labels.len()), &labels));
            let found = CorruptedSet::open(at.0.join(set), None).unwrap();
            let expected = match place {
                "C/snow-4.npy" => ("snow", 4),
                "C/fog_3.npy" => ("fog", 3),
                "2/fog.npy" => ("fog", 2),
                "severity_5/fog.npy" => ("fog", 5),
                _ => ("fog", 1),
            };
            assert_eq!(names(&found), [expected], "{place}");
            let part = found.parts[0].open().unwrap();
            assert_eq!(part.samples.iter().map(|s| s.class).collect::<Vec<_>>(), [3, 1, 4, 1, 5]);
            assert_eq!(part.load(4).unwrap().data(), &pixels[48..60]);
        }
    }
    // All severities with the labels of one.
    folder.file("labels.npy", array("|u1", "2,", &[7, 8]));
    folder.file("fog.npy", array("|u1", "10, 2, 2, 3", &pixels));
    let set = CorruptedSet::open(&folder.0, None).unwrap();
    assert_eq!(
        (set.parts.len(), set.parts[4].open().unwrap().load(1).unwrap().into_data()),
        (5, pixels[108..].to_vec())
    );
    folder.file("fog_2.npy", array("|u1", "2, 2, 2, 3", &pixels[..24]));
    assert!(
        message(&folder, "", None).ends_with("found fog at severity 2 twice"),
        "{}",
        message(&folder, "", None)
    );
}

#[test]
fn what_systems_leave_behind_is_no_class_of_a_part() {
    let folder = Folder::new();
    for (path, bytes) in files() {
        folder.file(&format!("set/{path}"), bytes);
    }
    for part in ["fog/2", "fog/10", "snow/1"] {
        std::fs::create_dir_all(folder.0.join(format!("set/{part}/aaa"))).unwrap();
    }
    folder.image("set/fog/2/@eaDir/1.png", 1);
    folder.image("set/__MACOSX/x/1.png", 1);
    check(&CorruptedSet::open(folder.0.join("set"), None).unwrap());
    let set = CorruptedSet::open(folder.0.join("set"), None).unwrap().merged("all").unwrap();
    assert_eq!(set.left_out.empty, ["aaa"]);
}
