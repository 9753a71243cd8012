use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use dyntta_corrupt::{corrupt, suite};
use dyntta_image::{Stream, decode, encode_jpeg, encode_png};

use super::*;
use crate::testing::Folder;
use crate::{CorruptedSet, Options};

fn settings() -> CorruptSettings {
    CorruptSettings {
        corruptions: suite("gaussian_noise,contrast,frost").unwrap(),
        severities: vec![Severity::ALL[0], Severity::ALL[4]],
        preset: Preset::Cifar,
        seed: 7,
        layout: CorruptLayout::ImagenetC(FileFormat::Png),
        size: None,
        elastic: Elastic::default(),
        frost: Frost::default(),
        threads: 1,
        skip_bad: false,
    }
}

fn arrays() -> CorruptSettings {
    CorruptSettings { severities: Severity::ALL.to_vec(), layout: CorruptLayout::CifarC, ..settings() }
}

fn noise(width: usize, height: usize, label: &str) -> Vec<u8> {
    let mut stream = Stream::new(0, &[label]);
    encode_png(
        &Rgb8::new(width, height, (0..width * height * 3).map(|_| stream.next_u32() as u8).collect())
            .unwrap(),
    )
    .unwrap()
}

/// Three images of each of two classes; `clean` is the data set.
fn place() -> (Folder, Dataset) {
    let folder = Folder::new();
    for class in ["owl", "auk"] {
        for i in 0..3 {
            folder.file(&format!("clean/{class}/{i}.png"), noise(12, 9, &format!("{class}{i}")));
        }
    }
    let data = Dataset::open(folder.0.join("clean"), &Options::default()).unwrap();
    (folder, data)
}

fn write(data: &Dataset, out: &Path, settings: &CorruptSettings) -> Result<CorruptSummary, Error> {
    write_corrupted(data, out, settings, &|| false, &mut |_, _| {})
}

/// Every file below a folder.
fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(inside) = open.pop() {
        for entry in fs::read_dir(inside).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().replace('\\', "/");
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    files
}

fn message(result: Result<CorruptSummary, Error>, folder: &Folder) -> String {
    result.unwrap_err().to_string().replace(folder.0.to_str().unwrap(), "T")
}

#[test]
fn a_folder_is_read_back_as_the_images_were_corrupted() {
    let (folder, data) = place();
    let (out, settings) = (folder.0.join("out"), settings());
    let summary = write(&data, &out, &settings).unwrap();
    assert_eq!((summary.written, summary.kept, summary.complete), (36, 0, true));
    let set = CorruptedSet::open(&out, None).unwrap();
    assert_eq!(set.parts.len(), 6);
    assert_eq!(set.classes(), data.classes);
    for part in &set.parts {
        let (corruption, severity) =
            (part.corruption.parse().unwrap(), Severity::new(part.severity).unwrap());
        let written = part.open().unwrap();
        assert_eq!(written.len(), data.len());
        for (i, sample) in data.samples.iter().enumerate() {
            assert_eq!(written.samples[i].path, sample.path);
            let expected =
                corrupt(&data.load(i).unwrap(), corruption, Preset::Cifar, severity, 7, &sample.path);
            assert_eq!(written.load(i).unwrap(), expected, "{corruption} {severity} {}", sample.path);
        }
    }
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(out.join(MANIFEST)).unwrap()).unwrap();
    assert_eq!(manifest["version"], 1);
    assert_eq!(manifest["settings"]["seed"], 7);
    assert_eq!(manifest["settings"]["elastic"], "published");
    assert_eq!(manifest["settings"]["exif"], "ignore");
    let files = manifest["files"].as_object().unwrap();
    assert_eq!(files.len(), 36);
    let bytes = fs::read(out.join("contrast/5/owl/2.png")).unwrap();
    assert_eq!(
        files["contrast/5/owl/2.png"],
        dyntta_files::hex(&<sha2::Sha256 as sha2::Digest>::digest(&bytes))
    );
}

#[test]
fn arrays_are_read_back_as_the_images_were_corrupted() {
    let (folder, data) = place();
    let (out, settings) = (folder.0.join("out"), arrays());
    let summary = write(&data, &out, &settings).unwrap();
    assert_eq!((summary.written, summary.complete), (90, true));
    let set = CorruptedSet::open(&out, None).unwrap();
    assert_eq!((set.parts.len(), set.classes()), (15, data.classes.as_slice()));
    for part in &set.parts {
        let (corruption, severity) =
            (part.corruption.parse().unwrap(), Severity::new(part.severity).unwrap());
        let written = part.open().unwrap();
        for (i, sample) in data.samples.iter().enumerate() {
            assert_eq!(written.samples[i].class, sample.class);
            let expected =
                corrupt(&data.load(i).unwrap(), corruption, Preset::Cifar, severity, 7, &sample.path);
            assert_eq!(written.load(i).unwrap(), expected, "{corruption} {severity} {}", sample.path);
        }
    }
    assert!(tree(&out).contains_key("labels.npy"));
    let few = CorruptSettings { severities: vec![Severity::ALL[0]], ..settings };
    assert!(message(write(&data, &folder.0.join("few"), &few), &folder).contains("1,2,3,4,5"));
}

#[test]
fn threads_and_order_change_no_byte() {
    let (folder, data) = place();
    for settings in [settings(), arrays()] {
        let name = settings.layout.to_string();
        let out = |which: &str| folder.0.join(format!("{name}-{which}"));
        write(&data, &out("one"), &settings).unwrap();
        write(&data, &out("four"), &CorruptSettings { threads: 4, ..settings.clone() }).unwrap();
        assert!(tree(&out("one")) == tree(&out("four")), "{name}");
    }
    let shuffled = data.subset(&[4, 0, 5, 2, 1, 3]);
    write(&shuffled, &folder.0.join("shuffled"), &CorruptSettings { threads: 2, ..settings() }).unwrap();
    assert!(tree(&folder.0.join("shuffled")) == tree(&folder.0.join("imagenet-c-one")));
}

#[test]
fn a_stopped_run_leaves_whole_files_and_goes_on() {
    let (folder, data) = place();
    for settings in [settings(), arrays()] {
        let name = settings.layout.to_string();
        let (whole, parts) = (folder.0.join(format!("{name}-whole")), folder.0.join(format!("{name}-parts")));
        write(&data, &whole, &settings).unwrap();
        let asked = AtomicUsize::new(0);
        let stop = || asked.fetch_add(1, Ordering::Relaxed) > 14;
        let stopped = write_corrupted(&data, &parts, &settings, &stop, &mut |_, _| {}).unwrap();
        assert!(!stopped.complete && stopped.written > 0, "{name}: {stopped:?}");
        let (all, some) = (tree(&whole), tree(&parts));
        assert!(some.contains_key("manifest.partial.json") && !some.contains_key(MANIFEST));
        assert!(some.keys().all(|k| k == "manifest.partial.json" || all.get(k) == some.get(k)), "{name}");
        let done = write(&data, &parts, &settings).unwrap();
        assert_eq!((done.kept, done.complete), (stopped.written, true));
        assert!(tree(&parts) == all, "{name}");
        let again = write(&data, &parts, &settings).unwrap();
        assert_eq!((again.written, again.kept), (0, done.written + done.kept));
        assert!(tree(&parts) == all, "{name}");
    }
}

#[test]
fn a_damaged_file_is_written_anew() {
    let (folder, data) = place();
    for (settings, file) in [(settings(), "frost/5/auk/1.png"), (arrays(), "frost.npy")] {
        let out = folder.0.join(settings.layout.to_string());
        write(&data, &out, &settings).unwrap();
        let all = tree(&out);
        let bytes = &all[file];
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        // One bit is noticed by the hash of the manifest; a cut also without one.
        fs::write(out.join(file), flipped).unwrap();
        assert!(write(&data, &out, &settings).unwrap().written > 0);
        assert!(tree(&out) == all);
        fs::rename(out.join(MANIFEST), out.join("manifest.partial.json")).unwrap();
        fs::write(out.join(file), &bytes[..bytes.len() - 5]).unwrap();
        assert!(write(&data, &out, &settings).unwrap().written > 0);
        assert!(tree(&out) == all);
    }
}

#[test]
fn a_set_with_other_settings_is_refused_with_both_values() {
    let (folder, data) = place();
    let (out, first) = (folder.0.join("out"), settings());
    write(&data, &out, &first).unwrap();
    let before = tree(&out);
    let few = data.limit_balanced(2).unwrap();
    for (other, data, parts) in [
        (CorruptSettings { seed: 8, ..first.clone() }, &data, ["`seed` 7", "has 8"]),
        (
            CorruptSettings { preset: Preset::Imagenet, ..first.clone() },
            &data,
            ["`preset` \"cifar\"", "\"imagenet\""],
        ),
        (
            CorruptSettings { layout: CorruptLayout::ImagenetC(FileFormat::Jpeg(85)), ..first.clone() },
            &data,
            ["`format` \"png\"", "\"jpeg:85\""],
        ),
        (CorruptSettings { size: Some(32), ..first.clone() }, &data, ["`size` null", "has 32"]),
        (first.clone(), &few, ["`images` 6", "has 2"]),
    ] {
        let text = message(write(data, &out, &other), &folder);
        assert!(
            text.starts_with("T/out/manifest.json: ") && parts.iter().all(|p| text.contains(p)),
            "{text}"
        );
    }
    assert!(tree(&out) == before);
    fs::write(out.join(MANIFEST), "{}").unwrap();
    assert!(message(write(&data, &out, &first), &folder).contains("the manifest of a corrupted set"));
    // Not a folder of ours.
    let text = message(write(&data, &folder.0.join("clean"), &first), &folder);
    assert!(text.starts_with("T/clean: expected an empty folder"), "{text}");
}

#[test]
fn images_that_cannot_be_read_stop_it_or_are_left_out() {
    let (folder, _) = place();
    folder.file("clean/auk/1a.png", &noise(12, 9, "x")[..50]);
    let data = Dataset::open(folder.0.join("clean"), &Options::default()).unwrap();
    for settings in [settings(), arrays()] {
        let out = folder.0.join(settings.layout.to_string());
        assert!(message(write(&data, &out, &settings), &folder).contains("1a.png"));
        assert!(!out.join(MANIFEST).exists());
        let skip = CorruptSettings { skip_bad: true, threads: 2, ..settings };
        let summary = write(&data, &out, &skip).unwrap();
        assert!(summary.complete && summary.skipped.len() == 1, "{summary:?}");
        let set = CorruptedSet::open(&out, None).unwrap();
        assert!(set.parts.iter().all(|p| p.open().unwrap().len() == 6));
        assert!(fs::read_to_string(out.join(MANIFEST)).unwrap().contains("\"auk/1a.png\""));
        assert_eq!(write(&data, &out, &skip).unwrap().written, 0);
    }
    let only = data.subset(&[2]);
    let skip = CorruptSettings { skip_bad: true, ..settings() };
    assert!(message(write(&only, &folder.0.join("none"), &skip), &folder).contains("1a.png"));
}

#[test]
fn names_stay_inside_and_apart() {
    let (folder, _) = place();
    folder.file("csv/sub/b.JPEG", encode_jpeg(&Rgb8::black(4, 4).unwrap(), 90).unwrap());
    let names = |rows: &str, format: FileFormat| {
        let csv = folder.file("csv/set.csv", format!("path,label\n{rows}"));
        images::names(&Dataset::open(csv, &Options::default()).unwrap(), format)
            .map_err(|e| e.to_string().replace(folder.0.to_str().unwrap(), "T"))
    };
    let rows = "../clean/owl/0.png,owl\n./sub/b.JPEG,auk\n";
    assert_eq!(names(rows, FileFormat::Png).unwrap(), ["owl/clean/owl/0.png", "auk/sub/b.png"]);
    assert_eq!(names(rows, FileFormat::Jpeg(85)).unwrap(), ["owl/clean/owl/0.jpg", "auk/sub/b.JPEG"]);
    assert!(
        names("sub/b.JPEG,../x\n../clean/owl/0.png,owl\n", FileFormat::Png).unwrap_err().contains("\"../x\"")
    );
    let twice = "sub/b.JPEG,auk\n./sub/b.JPEG,auk\n../clean/owl/0.png,owl\n";
    let text = names(twice, FileFormat::Png).unwrap_err();
    assert!(text.contains("sub/b.JPEG and ./sub/b.JPEG") && text.contains("auk/sub/b.png"), "{text}");

    let class = |class: &str, path: &str| Dataset {
        classes: vec![class.into(), "other".into()],
        ..Dataset::open(folder.0.join("clean"), &Options::default()).unwrap().subset(&[0]).renamed(path)
    };
    assert_eq!(
        images::names(&class("a", "a/test_batch-00001"), FileFormat::Png).unwrap(),
        ["a/test_batch-00001.png"]
    );
    assert_eq!(images::names(&class("v1.5", "v1.5/x.y"), FileFormat::Png).unwrap(), ["v1.5/x.y.png"]);
    assert!(images::names(&class("a", "a/.hidden.png"), FileFormat::Png).is_err());
    assert!(images::names(&class(".a", ".a/x.png"), FileFormat::Png).is_err());
    assert!(images::names(&class("a", ".."), FileFormat::Png).is_err());
}

impl Dataset {
    fn renamed(mut self, path: &str) -> Self {
        self.samples.iter_mut().for_each(|s| s.path = path.into());
        self
    }
}

#[test]
fn sizes_differ_in_folders_and_not_in_arrays() {
    let (folder, _) = place();
    folder.file("clean/auk/wide.png", noise(31, 9, "wide"));
    let data = Dataset::open(folder.0.join("clean"), &Options::default()).unwrap();
    write(&data, &folder.0.join("images"), &settings()).unwrap();
    let set = CorruptedSet::open(folder.0.join("images"), None).unwrap();
    assert_eq!(set.parts[0].open().unwrap().load(3).unwrap().width(), 31);
    let text = message(write(&data, &folder.0.join("arrays"), &arrays()), &folder);
    assert_eq!(text, "T/clean:auk/wide.png: expected images of 12x9 pixels, as the first, found 31x9");
    let sized = CorruptSettings { size: Some(8), ..arrays() };
    write(&data, &folder.0.join("sized"), &sized).unwrap();
    let image =
        CorruptedSet::open(folder.0.join("sized"), None).unwrap().parts[0].open().unwrap().load(3).unwrap();
    assert_eq!((image.width(), image.height()), (8, 8));
}

#[test]
fn frost_comes_from_a_folder_of_pictures() {
    let (folder, data) = place();
    folder.file("frost/a.png", encode_png(&Rgb8::new(40, 40, vec![255; 4800]).unwrap()).unwrap());
    folder.file("frost/notes.txt", "no picture");
    let frost = Frost::read(&folder.0.join("frost")).unwrap();
    let settings = CorruptSettings { frost, corruptions: suite("frost").unwrap(), ..settings() };
    write(&data, &folder.0.join("out"), &settings).unwrap();
    let bytes = fs::read(folder.0.join("out/frost/5/auk/0.png")).unwrap();
    let (image, clean) = (decode(&bytes, "").unwrap(), data.load(0).unwrap());
    // 0.75 of the image and 0.45 of white.
    for (out, &v) in image.data().iter().zip(clean.data()) {
        assert_eq!(*out, (0.75 * f32::from(v) + 0.45 * 255.0) as u8);
    }
    let procedural = CorruptSettings { frost: Frost::default(), ..settings };
    let text = message(write(&data, &folder.0.join("out"), &procedural), &folder);
    assert!(text.contains("`frost` \"1 images, sha256 ") && text.contains("\"procedural\""), "{text}");
    fs::create_dir(folder.0.join("bare")).unwrap();
    let text = Frost::read(&folder.0.join("bare")).unwrap_err().to_string();
    assert!(text.ends_with("expected image files of frost, found none"), "{text}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let (folder, data) = place();
    folder.file("file", "in the way");
    assert!(
        message(write(&data, &folder.0.join("file/out"), &settings()), &folder)
            .starts_with("T/file/out: cannot")
    );
}

#[test]
fn array_headers_are_aligned_and_read_back() {
    let folder = Folder::new();
    for shape in [vec![3], vec![2, 1], vec![10, 2, 2, 3]] {
        let header = crate::npy::header("|u1", &shape);
        assert_eq!((header.len() % 64, header.last()), (0, Some(&b'\n')));
        let path = folder.file("x.npy", [header, vec![0; shape.iter().product()]].concat());
        let array = crate::npy::open(&path).unwrap();
        assert_eq!((array.kind.as_str(), array.shape), ("|u1", shape));
    }
    for (labels, classes) in [(vec![0, 9, 255], 256), (vec![0, 300, 999], 1000)] {
        let path = folder.file("labels.npy", crate::npy::labels_file(&labels, classes));
        assert_eq!(crate::npy::labels(&path).unwrap(), labels);
    }
}
