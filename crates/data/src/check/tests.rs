use super::*;
use crate::testing::{Folder, png, tar};

fn run(path: impl AsRef<Path>, workers: usize) -> Result<Report, String> {
    let found = check(path, workers, &mut |_, _| true);
    found.map(|report| report.expect("nobody stopped it")).map_err(|e| e.to_string())
}

/// On one thread and on several, which must agree.
fn report(path: impl AsRef<Path>) -> Report {
    let one = run(&path, 1).unwrap();
    assert_eq!(run(&path, 5).unwrap(), one);
    one
}

/// Name, images and images by class of each part.
fn parts(report: &Report) -> Vec<(&str, u64, Vec<u64>)> {
    report.parts.iter().map(|part| (part.name.as_str(), part.images, part.by_class.clone())).collect()
}

#[test]
fn a_folder_of_classes_is_counted_and_its_broken_files_named() {
    let folder = Folder::new();
    for i in 0..9 {
        folder.image(&format!("set/cat/deep/{i}.png"), i);
    }
    folder.image("set/dog/1.png", 1);
    folder.file("set/dog/0.jpg", "no picture");
    let cut = png(7);
    folder.file("set/cat/cut.png", &cut[..cut.len() - 9]);
    folder.file("set/notes.txt", "");
    folder.file("set/.hidden/x.png", "");
    let report = report(folder.0.join("set"));
    assert_eq!((report.layout, report.classes.join(" ")), ("folder of classes", "cat dog".to_string()));
    assert_eq!(parts(&report), [("", 12, vec![10, 2])]);
    assert_eq!((report.ignored, report.broken_count, report.is_sound()), (1, 2, false));
    assert_eq!(report.left_out.to_string(), "1 .txt, 1 hidden or system");
    assert!(
        report.broken[0].path.ends_with("set/cat/cut.png") && report.broken[1].path.ends_with("dog/0.jpg")
    );
    assert!(report.broken[1].error.contains("expected a JPEG"), "{}", report.broken[1].error);
    assert_eq!((report.sizes.width, report.sizes.height), (Some((3, 3)), Some((2, 2))));
    assert_eq!(report.sizes.by_shorter_side, BTreeMap::from([(2, 10)]));
    assert!(report.problems.is_empty());
}

#[test]
fn classes_txt_is_held_against_the_folders() {
    let folder = Folder::new();
    folder.image("set/cat/1.png", 1);
    folder.image("set/dog/1.png", 1);
    folder.file("set/classes.txt", "dog\nwolf\ncat\n");
    let good = report(folder.0.join("set"));
    assert_eq!((parts(&good), good.is_sound()), (vec![("", 2, vec![1, 0, 1])], true));
    folder.file("set/classes.txt", "dog\nwolf\n");
    let bad = report(folder.0.join("set"));
    assert!(
        bad.problems[0].contains("dog, wolf, found the 2 classes cat, dog (not expected: cat"),
        "{bad:?}"
    );
    std::fs::remove_file(folder.0.join("set/classes.txt")).unwrap();
    std::fs::create_dir(folder.0.join("set/emu")).unwrap();
    assert!(report(folder.0.join("set")).problems[0].contains("no image of the classes emu"));
    folder.image("parts/train/cat/1.png", 1);
    folder.image("parts/val/cat/1.png", 1);
    assert!(report(folder.0.join("parts")).problems[0].contains("name one of them"));
}

#[test]
fn tars_and_shards_are_what_opening_them_finds() {
    let folder = Folder::new();
    let files: [(&str, &[u8]); 4] = [
        ("a/b/dog/1.png", &png(1)),
        ("a/b/cat/2.png", b"broken"),
        ("a/b/n.md", b""),
        ("a/b/classes.txt", b"dog\ncat"),
    ];
    let path = folder.file("one.tar", tar(&files));
    let found = report(&path);
    assert_eq!(
        (found.layout, found.classes.join(" "), found.ignored),
        ("tar of classes", "dog cat".into(), 1)
    );
    assert_eq!((parts(&found), found.broken_count), (vec![("", 2, vec![1, 1])], 1));
    assert!(found.broken[0].path.ends_with("one.tar:a/b/cat/2.png"));

    folder.file("s/x-0.tar", tar(&[("n1.png", &png(1)), ("n2.png", &png(1))]));
    folder.file("s/x-1.tar", tar(&[("n1.png", &png(1))]));
    let found = report(folder.0.join("s/x-{0..1}.tar"));
    assert_eq!((found.layout, parts(&found)), ("tar shards of classes", vec![("", 3, vec![2, 1])]));
    assert_eq!(found.classes, ["x-0", "x-1"]);

    // One damaged shard is named, the others are looked at.
    let whole = tar(&[("dog/1.png", &png(1)), ("cat/1.png", &png(1))]);
    folder.file("d/0.tar", &whole);
    folder.file("d/1.tar", &whole[..1024 + 512 + 20]);
    let found = report(folder.0.join("d"));
    assert_eq!((found.images(), found.broken_count), (3, 1));
    assert!(found.broken[0].error.contains("d/1.tar: expected all its bytes"), "{:?}", found.broken);
}

#[test]
fn corruptions_are_parts_in_folders_tars_and_arrays() {
    let folder = Folder::new();
    let mut files = Vec::new();
    for part in ["fog/2", "fog/10", "snow/1"] {
        for class in ["auk", "owl"] {
            folder.image(&format!("c/{part}/{class}/x.png"), 3);
            files.push((format!("top/{part}/{class}/x.png"), png(3)));
        }
    }
    let expected = vec![("fog 2", 2, vec![1, 1]), ("fog 10", 2, vec![1, 1]), ("snow 1", 2, vec![1, 1])];
    let found = report(folder.0.join("c"));
    assert_eq!(found.layout, "folder of corruptions, severities and classes");
    assert_eq!((parts(&found), found.is_sound()), (expected.clone(), true));
    let files: Vec<(&str, &[u8])> = files.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
    let found = report(folder.file("c.tar", tar(&files)));
    assert_eq!(parts(&found), expected);
    std::fs::remove_dir_all(folder.0.join("c/fog/10/owl")).unwrap();
    assert_eq!(report(folder.0.join("c")).problems, ["fog 10: no folder of the classes owl"]);

    let array = |kind: &str, shape: &str, len: usize| {
        let text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}\n");
        [b"\x93NUMPY\x01\x00".as_slice(), &[text.len() as u8, 0], text.as_bytes(), &vec![1; len]].concat()
    };
    folder.file("npy/labels.npy", array("|u1", "5,", 5));
    folder.file("npy/fog.npy", array("|u1", "5, 2, 2, 3", 60));
    let found = report(folder.0.join("npy"));
    assert_eq!((found.layout, found.parts.len(), found.images()), ("npy", 5, 5));
}

#[test]
fn a_set_in_parts_says_which_part_is_missing() {
    let folder = Folder::new();
    folder.file("test_batch.bin", [&[3u8][..], &[9; 3072]].concat());
    let found = report(&folder.0);
    assert_eq!((found.layout, found.parts[0].name.as_str(), found.images()), ("CIFAR-10 binary", "test", 1));
    assert!(found.problems[0].contains("data_batch_1.bin: cannot read"), "{:?}", found.problems);
}

#[test]
fn parts_with_other_classes_are_counted_by_name_and_a_problem() {
    let folder = Folder::new();
    let words = |list: &[u32]| list.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
    for (part, labels) in [("train", [0, 9]), ("t10k", [3, 148])] {
        let images = [words(&[0x0803, 2, 1, 1]), vec![7; 2]].concat();
        folder.file(&format!("{part}-images-idx3-ubyte"), images);
        folder.file(&format!("{part}-labels-idx1-ubyte"), [words(&[0x0801, 2]), labels.into()].concat());
    }
    let found = report(&folder.0);
    assert_eq!(found.problems, ["test has other classes (149) than train (10)"]);
    assert_eq!((found.classes.len(), found.classes[148].as_str()), (149, "148"));
    let count = |part: usize, class: usize| found.parts[part].by_class[class];
    assert_eq!((count(0, 9), count(1, 3), count(1, 148), count(0, 148)), (1, 1, 1, 0));
}

#[test]
fn what_cannot_be_opened_is_an_error_and_a_stop_is_obeyed() {
    let folder = Folder::new();
    assert!(run(folder.0.join("none"), 1).unwrap_err().contains("none: cannot open"));
    folder.file("text/a.txt", "");
    assert!(run(folder.0.join("text"), 1).unwrap_err().contains("expected images in class folders"));
    for i in 0..50 {
        folder.image(&format!("set/{}/{i}.png", i % 2), i);
    }
    let mut seen = 0;
    let stopped = check(folder.0.join("set"), 3, &mut |done, _| {
        seen = done;
        done < 7
    });
    assert!(stopped.unwrap().is_none());
    assert_eq!(seen, 7);
}
