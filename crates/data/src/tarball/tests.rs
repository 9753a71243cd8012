use std::path::PathBuf;

use crate::testing::{Folder, png, tar as tar_of};
use crate::{Dataset, Options};

fn open(path: PathBuf) -> Result<Dataset, String> {
    let folder = path.parent().unwrap().to_str().unwrap().to_string();
    Dataset::open(path, &Options::default()).map_err(|e| e.to_string().replace(&folder, "T"))
}

fn listed(set: &Dataset) -> Vec<(&str, usize)> {
    set.samples.iter().map(|s| (s.path.as_str(), s.class)).collect()
}

#[test]
fn a_tar_is_its_folder_at_any_level() {
    for top in ["", "./", "set/", "a/b/"] {
        let folder = Folder::new();
        let at = |path: &str| format!("{top}{path}");
        let tar = tar_of(&[
            (&at("dog/2.png"), &png(2)),
            (&at("cat/1.png"), &png(1)),
            (&at("dog/old.png"), &png(3)),
            (&at("cat/note.txt"), b"text"),
            (&at("cat/._1.png"), b"a Mac's"),
            (&at("__MACOSX/cat/._1.png"), b"a Mac's"),
            (&at("cat/scan.tif"), b"II*\0rest"),
            (&at("owl/"), b""),
        ]);
        let set = open(folder.file("set.tar", tar)).unwrap();
        assert_eq!(set.classes, ["cat", "dog"], "{top}");
        assert_eq!(listed(&set), [("cat/1.png", 0), ("dog/2.png", 1), ("dog/old.png", 1)]);
        let left = "1 .tif (not read), 1 .txt, 2 hidden or system, 1 folder without images (owl)";
        assert_eq!(set.left_out.to_string(), left);
        assert_eq!(set.load(1).unwrap().data(), vec![2; 18]);
        assert_eq!(set.load(2).unwrap().data(), vec![3; 18]);
    }
}

#[test]
fn long_names_are_read_gnu_and_pax() {
    let folder = Folder::new();
    let long = format!("cat/{}.png", "x".repeat(180));
    let set = open(folder.file("gnu.tar", tar_of(&[(&long, &png(7)), ("dog/1.png", &png(8))]))).unwrap();
    assert_eq!(listed(&set), [(long.as_str(), 0), ("dog/1.png", 1)]);
    assert_eq!(set.load(0).unwrap().data(), vec![7; 18]);

    let mut builder = tar::Builder::new(Vec::new());
    builder.append_pax_extensions([("path", long.as_bytes())]).unwrap();
    for (path, level) in [("cut.png", 7), ("dog/1.png", 8)] {
        let bytes = png(level);
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_path(path).unwrap();
        header.set_cksum();
        builder.append(&header, bytes.as_slice()).unwrap();
    }
    let set = open(folder.file("pax.tar", builder.into_inner().unwrap())).unwrap();
    assert_eq!(listed(&set), [(long.as_str(), 0), ("dog/1.png", 1)]);
    assert_eq!(set.load(0).unwrap().data(), vec![7; 18]);
}

#[test]
fn classes_txt_inside_goes_before_one_beside() {
    let folder = Folder::new();
    folder.file("classes.txt", "cat\ndog\n");
    let beside = tar_of(&[("s/dog/1.png", &png(0)), ("s/cat/1.png", &png(1))]);
    let inside =
        tar_of(&[("s/dog/1.png", &png(0)), ("s/classes.txt", b"dog\ncat"), ("s/cat/1.png", &png(1))]);
    assert_eq!(open(folder.file("beside.tar", beside)).unwrap().classes, ["cat", "dog"]);
    let set = open(folder.file("inside.tar", inside)).unwrap();
    assert!(set.left_out.is_nothing());
    assert_eq!(set.classes, ["dog", "cat"]);
}

#[test]
fn what_is_no_whole_tar_is_said() {
    let folder = Folder::new();
    let tar = tar_of(&[("dog/2.png", &png(2)), ("cat/1.png", &png(1))]);
    let fail = |bytes: &[u8]| open(folder.file("x.tar", bytes)).unwrap_err();
    assert!(fail(b"").ends_with("found an empty file"));
    let twice = tar_of(&[("dog/2.png", &png(2)), ("cat/1.png", &png(1)), ("./dog/2.png", &png(3))]);
    assert_eq!(fail(&twice), "T/x.tar: expected every path once, found dog/2.png twice");
    let report = crate::check::check(folder.file("twice.tar", twice), 2, &mut |_, _| true).unwrap().unwrap();
    assert!(report.broken[0].error.contains("expected every path once"), "{report:?}");
    assert!(fail(&tar_of(&[("dog/2.heic", b"")])).ends_with("found 1 .heic (not read)"));
    assert!(
        fail(&[b'x'; 2000])
            .ends_with("an uncompressed tar, found a file that begins [78, 78, 78, 78, 78, 78, 78, 78]")
    );
    // In the second file's bytes, then in its header.
    let text = fail(&tar[..1024 + 512 + 20]);
    assert!(
        text.starts_with("T/x.tar: expected all its bytes, found 1556 (truncated), cat/1.png ends at"),
        "{text}"
    );
    let text = fail(&tar[..1024 + 100]);
    assert!(
        text.starts_with(
            "T/x.tar: expected an uncompressed tar, found a damaged or truncated header after dog/2.png"
        ),
        "{text}"
    );
    assert!(fail(&tar[..1024]).ends_with("found only one, \"dog\""));
    assert!(fail(&tar_of(&[("a.txt", b"")])).contains("expected images in class folders"));
}
