use crate::testing::Folder;
use crate::{Dataset, Error, Options};

fn open(folder: &Folder) -> Result<Dataset, Error> {
    Dataset::open(folder.0.join("set"), &Options::default())
}

fn message(folder: &Folder) -> String {
    open(folder).unwrap_err().to_string().replace(folder.0.to_str().unwrap(), "T")
}

#[test]
fn classes_are_sorted_and_files_found_at_any_depth() {
    let folder = Folder::new();
    folder.image("set/dog/2.png", 2);
    folder.image("set/dog/1.PNG", 1);
    folder.image("set/cat/deep/er/3.png", 3);
    folder.image("set/cat/.hidden.png", 4);
    folder.image("set/.thumbs/x.png", 5);
    folder.file("set/dog/notes.txt", "not an image");
    folder.file("set/readme.md", "nor this");
    let set = open(&folder).unwrap();
    assert_eq!(set.classes, ["cat", "dog"]);
    let listed: Vec<(&str, usize)> = set.samples.iter().map(|s| (s.path.as_str(), s.class)).collect();
    assert_eq!(listed, [("cat/deep/er/3.png", 0), ("dog/1.PNG", 1), ("dog/2.png", 1)]);
    assert_eq!((set.left_out.files(), set.left_out.hidden), (2, 2));
    assert_eq!(set.load(0).unwrap().data(), vec![3; 18]);
    assert_eq!(set.load(2).unwrap().data(), vec![2; 18]);
    let text = set.describe();
    assert!(
        text.ends_with(
            "set (folder of classes): 3 images, 2 classes; left out: 1 .md, 1 .txt, 2 hidden or system"
        ),
        "{text}"
    );
}

#[test]
fn classes_txt_orders_and_may_add_inside_or_beside() {
    for place in ["set/classes.txt", "classes.txt"] {
        let folder = Folder::new();
        folder.image("set/cat/1.png", 1);
        folder.image("set/dog/1.png", 2);
        folder.file(place, "dog\r\nwolf\n\n cat \n");
        let set = open(&folder).unwrap();
        assert_eq!(set.classes, ["dog", "wolf", "cat"]);
        assert_eq!(set.samples.iter().map(|s| s.class).collect::<Vec<_>>(), [0, 2]);
        assert!(set.left_out.is_nothing());
    }
}

#[test]
fn classes_txt_must_name_every_folder_once() {
    let folder = Folder::new();
    folder.image("set/cat/1.png", 1);
    folder.image("set/dog/1.png", 2);
    folder.file("set/classes.txt", "cat\n");
    let text = message(&folder);
    assert_eq!(
        text,
        "T/set: expected the 1 classes of T/set/classes.txt cat, found the 2 classes cat, dog (not expected: dog; not \
         found: none)"
    );
    folder.file("set/classes.txt", "cat\ndog\ncat\n");
    assert_eq!(
        message(&folder),
        "T/set/classes.txt: expected every class once, found \"cat\" as the classes 0 and 2"
    );
    folder.file("set/classes.txt", [b'c', 0xff]);
    assert_eq!(message(&folder), "T/set/classes.txt: expected UTF-8 text, found byte 0xff in line 1");
}

#[test]
fn an_empty_folder_is_a_class_only_if_it_is_named_one() {
    let folder = Folder::new();
    folder.image("set/b/1.png", 1);
    folder.image("set/c/1.png", 1);
    folder.file("set/notes/1.txt", "");
    std::fs::create_dir(folder.0.join("set/a")).unwrap();
    let set = open(&folder).unwrap();
    assert_eq!((set.classes.join(" "), set.samples[0].class), ("b c".into(), 0));
    assert!(
        set.describe().ends_with("; left out: 1 .txt, 2 folders without images (a, notes)"),
        "{}",
        set.describe()
    );
    folder.file("set/classes.txt", "a\nb\nc\n");
    let set = open(&folder).unwrap();
    assert_eq!((set.classes.join(" "), set.samples[0].class), ("a b c".into(), 1));
    assert_eq!(set.left_out.empty, ["notes"]);
}

#[test]
fn what_systems_leave_behind_is_no_class() {
    let folder = Folder::new();
    for class in ["cat", "dog"] {
        folder.image(&format!("set/{class}/1.png"), 1);
        folder.image(&format!("set/{class}/._1.png"), 1);
        folder.image(&format!("set/{class}/.ipynb_checkpoints/1-checkpoint.png"), 1);
        folder.image(&format!("set/{class}/@eaDir/1.png/SYNOPHOTO_THUMB_M.png"), 1);
        folder.file(&format!("set/{class}/Thumbs.db"), "");
        folder.file(&format!("set/__MACOSX/{class}/._1.png"), "");
    }
    for system in
        ["lost+found", "$RECYCLE.BIN", "#recycle", "System Volume Information", ".Trash-1000", ".git"]
    {
        folder.image(&format!("set/{system}/deep/1.png"), 1);
    }
    let set = open(&folder).unwrap();
    assert_eq!((set.classes.join(" "), set.len()), ("cat dog".into(), 2));
    assert!(set.describe().ends_with("; left out: 15 hidden or system"), "{}", set.describe());
}

#[test]
fn content_decides_where_the_name_does_not_say() {
    let folder = Folder::new();
    folder.image("set/cat/1.jfif", 1);
    folder.image("set/cat/2", 2);
    folder.image("set/dog/3.tiff", 3);
    folder.file("set/dog/4.tif", "II*\0rest");
    folder.file("set/dog/5", "GIF89a");
    folder.file("set/dog/6.txt", "text");
    let set = open(&folder).unwrap();
    let listed: Vec<&str> = set.samples.iter().map(|s| s.path.as_str()).collect();
    assert_eq!(listed, ["cat/1.jfif", "cat/2", "dog/3.tiff"]);
    assert_eq!(set.load(2).unwrap().data(), vec![3; 18]);
    let text = set.describe();
    assert!(
        text.ends_with("; left out: 1 without extension (not read), 1 .tif (not read), 1 .txt"),
        "{text}"
    );
    // A class of such files alone would shift those after it.
    for i in 0..3 {
        folder.file(&format!("set/bat/{i}.heic"), "....ftypheic");
    }
    let text = message(&folder);
    let expected = "T/set: expected images that are read (JPEG, PNG, BMP, WebP) in every class, found 3 .heic (not read) and \
                    no other image in bat; convert them";
    assert_eq!(text, expected);
}

#[test]
fn names_are_the_same_composed_and_apart() {
    let folder = Folder::new();
    folder.image("set/cafe\u{301}/1.png", 1);
    folder.image("set/bar/1.png", 2);
    folder.file("set/classes.txt", "\u{feff}caf\u{e9}\r\nbar \r\n");
    let set = open(&folder).unwrap();
    assert_eq!(set.samples.iter().map(|s| s.class).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(set.load(0).unwrap().data(), vec![1; 18]);
    let apart = ["bar".to_owned(), "cafe\u{301}".to_owned()];
    let turned = set.clone().with_classes(&apart).unwrap();
    assert_eq!(turned.classes, ["bar", "caf\u{e9}"]);
    assert!(set.with_classes(&["bar".into(), "cafe\u{301}".into(), "caf\u{e9}".into()]).is_err());
    folder.image("set/caf\u{e9}/1.png", 1);
    assert!(message(&folder).contains("one name in other characters"), "{}", message(&folder));
}

#[test]
fn numbers_are_in_the_order_of_their_values() {
    let folder = Folder::new();
    for class in 0..12 {
        folder.image(&format!("set/{class}/1.png"), class);
    }
    let set = open(&folder).unwrap();
    assert_eq!(set.samples[10].path, "10/1.png");
    assert!(set.describe().contains("in the order of their values"), "{}", set.describe());
    let as_text: Vec<String> =
        ["0", "1", "10", "11", "2", "3", "4", "5", "6", "7", "8", "9"].map(Into::into).to_vec();
    let turned = set.with_classes(&as_text).unwrap();
    assert_eq!(turned.samples[10].class, 2);
    assert!(turned.describe().ends_with("12 classes"));
    folder.image("set/-1/1.png", 0);
    assert!(
        message(&folder).ends_with("expected classes that are names or whole numbers from 0, found \"-1\"")
    );
}

#[test]
fn a_list_beside_is_found_however_the_path_is_written() {
    let folder = Folder::new();
    folder.image("up/set/cat/1.png", 1);
    folder.image("up/set/dog/1.png", 2);
    folder.file("up/classes.txt", "dog\ncat\n");
    for path in ["up/set", "up/set/", "up/set/.", "up/./set", "up/set/cat/.."] {
        let set = Dataset::open(folder.0.join(path), &Options::default()).unwrap();
        assert_eq!(set.classes, ["dog", "cat"], "{path}");
    }
}

#[cfg(unix)]
#[test]
fn links_lead_round_once_and_devices_are_no_images() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new();
    folder.image("set/a/1.png", 1);
    folder.image("set/b/1.png", 1);
    symlink(".", folder.0.join("set/a/loop")).unwrap();
    symlink("..", folder.0.join("set/a/up")).unwrap();
    symlink("../..", folder.0.join("set/b/above")).unwrap();
    symlink("/dev/zero", folder.0.join("set/a/z.png")).unwrap();
    let set = open(&folder).unwrap();
    assert_eq!(set.len(), 2);
    assert!(
        set.describe().ends_with("; left out: 1 special (device, pipe or link to nothing)"),
        "{}",
        set.describe()
    );
    let report = crate::check::check(folder.0.join("set"), 2, &mut |_, _| true).unwrap().unwrap();
    assert_eq!((report.images(), report.left_out.special, report.is_sound()), (2, 1, true), "{report:?}");
    symlink("nowhere.png", folder.0.join("set/a/2.png")).unwrap();
    assert!(message(&folder).starts_with("T/set/a/2.png: cannot follow"));
}

#[test]
fn what_is_no_set_of_classes_is_said() {
    let folder = Folder::new();
    std::fs::create_dir(folder.0.join("set")).unwrap();
    assert_eq!(
        message(&folder),
        "T/set: expected images in class folders (JPEG, PNG, BMP, WebP), found nothing"
    );
    folder.file("set/a/1.txt", "");
    assert!(message(&folder).ends_with("found 1 folders without any: 1 .txt"));
    folder.image("set/a/1.png", 0);
    assert_eq!(
        message(&folder),
        "T/set: expected a folder for each of two or more classes, found only one, \"a\""
    );

    let folder = Folder::new();
    folder.image("set/1.png", 0);
    folder.image("set/2.png", 0);
    assert!(
        message(&folder)
            .contains("found 2 images and no folder with images (labels of a flat folder go into a CSV")
    );

    let folder = Folder::new();
    folder.image("set/train/a/1.png", 0);
    folder.image("set/val/a/1.png", 0);
    assert!(message(&folder).ends_with("found the parts train, val of a data set: name one of them"));
}

#[test]
fn a_damaged_image_is_named_when_loaded() {
    let folder = Folder::new();
    folder.image("set/a/1.png", 0);
    folder.file("set/b/2.jpg", "no picture");
    let set = open(&folder).unwrap();
    assert!(set.load(0).is_ok());
    let text = set.load(1).unwrap_err().to_string();
    assert!(text.contains("set/b/2.jpg: expected a JPEG, PNG, BMP or WebP image, found"), "{text}");
}
