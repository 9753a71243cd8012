//! `dyntta corrupt` as a user meets it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use dyntta_corrupt::{Preset, Severity, corrupt};
use dyntta_data::CorruptedSet;
use dyntta_image::{Rgb8, Stream, encode_png, read, write};

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dyntta"));
    command.arg("corrupt").args(args);
    command
}

fn run(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn succeeds(args: &[&str]) -> String {
    let output = run(args);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs what must fail: exit code 1, and every one of `parts` in the message, and no trace of a panic.
fn fails(args: &[&str], parts: &[&str]) {
    let output = run(args);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {message}");
    assert!(!message.contains("panicked"), "{args:?}: {message}");
    for part in parts {
        assert!(message.contains(part), "{args:?}: no `{part}` in {message}");
    }
}

/// A folder `data` with three images of each of two classes.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for class in ["cat", "dog"] {
            let folder = place.path("data").join(class);
            fs::create_dir_all(&folder).unwrap();
            for i in 0..3 {
                let mut stream = Stream::new(i, &[class]);
                let image = Rgb8::new(32, 32, (0..3072).map(|_| stream.next_u32() as u8).collect()).unwrap();
                write(folder.join(format!("{i}.png")), &image).unwrap();
            }
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn at(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

/// Every file below a folder.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let below = tree(&path);
            files.extend(
                below.into_iter().map(|(p, b)| (path.file_name().map(Path::new).unwrap().join(p), b)),
            );
        } else {
            files.insert(path.file_name().unwrap().into(), fs::read(&path).unwrap());
        }
    }
    files
}

#[test]
fn one_and_two_threads_and_any_order_write_the_same_bytes() {
    let place = Place::new();
    let write_set = |input: &str, out: &str, threads: &str| {
        let args = [&place.at(input), "--out", &place.at(out), "--suite", "all19", "--severities", "1,4"];
        succeeds(&[args.as_slice(), &["--preset", "cifar", "--seed", "3", "--threads", threads]].concat());
        tree(&place.path(out))
    };
    let one = write_set("data", "one", "1");
    assert_eq!(one.len(), 19 * 2 * 6 + 2);
    assert!(write_set("data", "two", "2") == one);
    let rows = ["data/cat/0.png,cat", "data/cat/1.png,cat", "data/dog/2.png,dog", "data/dog/0.png,dog"];
    let csv = |order: [usize; 4]| {
        let rows = order.map(|i| rows[i]).join("\n");
        fs::write(place.path("set.csv"), format!("path,label\n{rows}\n")).unwrap();
    };
    csv([0, 1, 2, 3]);
    let sorted = write_set("set.csv", "sorted", "2");
    csv([2, 0, 3, 1]);
    assert!(write_set("set.csv", "shuffled", "2") == sorted);
}

#[test]
fn what_is_written_is_what_an_evaluation_would_make() {
    let place = Place::new();
    let (data, out) = (place.at("data"), place.at("out"));
    let printed =
        succeeds(&[&data, "--out", &out, "--preset", "cifar", "--suite", "fog,snow", "--seed", "5"]);
    assert_eq!(printed.trim(), place.path("out").join("manifest.json").display().to_string());
    let set = CorruptedSet::open(&out, None).unwrap();
    assert_eq!(set.parts.len(), 10);
    for part in &set.parts {
        let dataset = part.open().unwrap();
        for (i, sample) in dataset.samples.iter().enumerate() {
            let clean = read(place.path("data").join(&sample.path)).unwrap();
            let (corruption, severity) =
                (part.corruption.parse().unwrap(), Severity::new(part.severity).unwrap());
            let expected = corrupt(&clean, corruption, Preset::Cifar, severity, 5, &sample.path);
            assert_eq!(dataset.load(i).unwrap(), expected);
        }
    }
    // Arrays hold the same.
    let arrays = place.at("arrays");
    let args = [&data, "--out", &arrays, "--preset", "cifar", "--suite", "fog,snow", "--seed", "5"];
    succeeds(&[args.as_slice(), &["--layout", "cifar-c"]].concat());
    for (a, b) in CorruptedSet::open(&arrays, None).unwrap().parts.iter().zip(&set.parts) {
        assert_eq!((&a.corruption, a.severity), (&b.corruption, b.severity));
        let (a, b) = (a.open().unwrap(), b.open().unwrap());
        assert!((0..6).all(|i| a.load(i).unwrap() == b.load(i).unwrap()));
    }
}

#[test]
fn a_second_run_goes_on_and_other_settings_are_refused() {
    let place = Place::new();
    let (data, out) = (place.at("data"), place.at("out"));
    let base = [data.as_str(), "--out", &out, "--preset", "cifar", "--suite", "contrast"];
    succeeds(&[base.as_slice(), &["--limit", "2", "--format", "jpeg:85"]].concat());
    let before = tree(&place.path("out"));
    assert_eq!(before.len(), 12);
    fs::remove_file(place.path("out/contrast/3/cat/0.jpg")).unwrap();
    succeeds(&[base.as_slice(), &["--limit", "2", "--format", "jpeg:85"]].concat());
    assert!(tree(&place.path("out")) == before);
    fails(
        &[base.as_slice(), &["--limit", "2", "--format", "jpeg:90"]].concat(),
        &["manifest.json", "`format`", "jpeg:85", "jpeg:90"],
    );
    fails(
        &[base.as_slice(), &["--limit", "2", "--format", "jpeg:85", "--seed", "1"]].concat(),
        &["`seed` 0", "has 1"],
    );
    fails(&[&data, "--out", &data, "--preset", "cifar"], &["--out would be written over the input"]);
    let inside = place.at("data/cat/set");
    fails(&[&data, "--out", &inside, "--preset", "cifar"], &["--out would be written over the input"]);
    fs::create_dir(place.path("mine")).unwrap();
    fs::write(place.path("mine/notes.txt"), "notes").unwrap();
    fails(&[&data, "--out", &place.at("mine"), "--preset", "cifar"], &["expected an empty folder"]);
    assert_eq!(tree(&place.path("mine")).len(), 1);
    assert!(tree(&place.path("out")) == before);
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_whole_files_and_the_same_command_goes_on() {
    let place = Place::new();
    for (layout, whole, parts) in [("imagenet-c", "w1", "p1"), ("cifar-c", "w2", "p2")] {
        let args = |out: &str| {
            [
                "data", "--out", out, "--suite", "all19", "--preset", "imagenet", "--layout", layout,
                "--size", "160",
            ]
            .map(|a| if a == "data" { place.at(a) } else { a.to_owned() })
        };
        let (whole, parts) = (place.at(whole), place.at(parts));
        let (whole_args, parts_args) = (args(&whole), args(&parts));
        let (whole_args, parts_args) =
            (whole_args.each_ref().map(String::as_str), parts_args.each_ref().map(String::as_str));
        let mut child = command(&parts_args).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        let any = |folder: &Path| {
            folder.is_dir()
                && tree(folder).keys().any(|k| {
                    let name = k.display().to_string();
                    !name.contains("manifest") && !name.contains("classes") && !name.contains("labels")
                })
        };
        while !any(Path::new(&parts)) && started.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(130), "{layout}: it was stopped before its end");
        let mut left = tree(Path::new(&parts));
        // On a machine that is busy it may have been ended before its file was; the next run clears that away.
        left.retain(|path, _| !path.display().to_string().ends_with(".tmp"));
        succeeds(&parts_args);
        succeeds(&whole_args);
        let whole = tree(Path::new(&whole));
        assert!(whole == tree(Path::new(&parts)));
        let is_note = |k: &PathBuf| k == Path::new("manifest.partial.json");
        assert!(
            left.iter().all(|(k, v)| is_note(k) || whole.get(k) == Some(v)),
            "{layout}: what was left was whole"
        );
    }
}

#[test]
fn what_a_killed_run_left_is_cleared_away_and_nothing_else() {
    let place = Place::new();
    let (data, out) = (place.at("data"), place.at("out"));
    let long = format!("{}.png", "n".repeat(251));
    fs::copy(place.path("data/cat/0.png"), place.path("data/cat").join(&long)).unwrap();
    let base = [data.as_str(), "--out", &out, "--preset", "cifar", "--suite", "contrast"];
    succeeds(&base);
    let whole = tree(&place.path("out"));
    assert!(whole.contains_key(&Path::new("contrast/1/cat").join(&long)));
    // As if it had been killed: temporary files in every folder, and no manifest.
    fs::rename(place.path("out/manifest.json"), place.path("out/manifest.partial.json")).unwrap();
    let leftovers = ["", "contrast/3/cat", "contrast/5/dog"];
    for folder in leftovers {
        fs::write(place.path("out").join(folder).join(".dyntta-1-0.tmp"), "half").unwrap();
    }
    fs::write(place.path("out/contrast/3/cat/.notes.tmp"), "mine").unwrap();
    fs::write(place.path("out/contrast/3/cat/0.png"), "half").unwrap();
    succeeds(&base);
    let mut again = tree(&place.path("out"));
    assert_eq!(again.remove(Path::new("contrast/3/cat/.notes.tmp")), Some(b"mine".to_vec()));
    assert_eq!(again.keys().collect::<Vec<_>>(), whole.keys().collect::<Vec<_>>());
    assert!(again == whole);
}

#[test]
fn bad_images_stop_it_or_are_left_out() {
    let place = Place::new();
    let png = encode_png(&Rgb8::black(32, 32).unwrap()).unwrap();
    fs::write(place.path("data/dog/cut.png"), &png[..png.len() / 2]).unwrap();
    let (data, out) = (place.at("data"), place.at("out"));
    let base = [data.as_str(), "--out", &out, "--preset", "cifar", "--suite", "contrast"];
    fails(&base, &["cut.png"]);
    let output = run(&[base.as_slice(), &["--on-error", "skip"]].concat());
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("left out: "));
    assert!(fs::read_to_string(place.path("out/manifest.json")).unwrap().contains("dog/cut.png"));
}

#[test]
fn frost_takes_a_folder_of_pictures() {
    let place = Place::new();
    fs::create_dir(place.path("ice")).unwrap();
    write(place.path("ice/white.png"), &Rgb8::new(300, 300, vec![255; 270_000]).unwrap()).unwrap();
    let (data, out, ice) = (place.at("data"), place.at("out"), place.at("ice"));
    let args = [&data, "--out", &out, "--suite", "frost", "--severities", "1", "--preset", "imagenet"];
    succeeds(&[args.as_slice(), &["--frost-dir", &ice]].concat());
    let (clean, frosty) =
        (read(place.path("data/cat/0.png")).unwrap(), read(place.path("out/frost/1/cat/0.png")).unwrap());
    assert!(clean.data().iter().zip(frosty.data()).all(|(&c, &f)| f == (f32::from(c) + 0.4 * 255.0) as u8));
    fails(&[args.as_slice(), &["--frost-dir", &data]].concat(), &["data", "frost", "none"]);
}

#[test]
fn bad_arguments_are_named() {
    let place = Place::new();
    let (data, out) = (place.at("data"), place.at("out"));
    assert_eq!(run(&[&data, "--out", &out]).status.code(), Some(2), "--preset is needed");
    assert_eq!(run(&[&data, "--out", &out, "--preset", "cifar", "--format", "gif"]).status.code(), Some(2));
    let base = [data.as_str(), "--out", &out];
    let with = |more: &[&'static str]| [base.as_slice(), more].concat();
    fails(&with(&["--preset", "mnist"]), &["mnist", "imagenet"]);
    fails(&with(&["--preset", "cifar", "--suite", "fogg"]), &["fogg", "fog"]);
    fails(&with(&["--preset", "cifar", "--severities", "6"]), &["6"]);
    for (flag, value) in
        [("--limit", "0"), ("--threads", "0"), ("--threads", "1000000000"), ("--size", "4000000000")]
    {
        let output = run(&with(&["--preset", "cifar", flag, value]));
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(flag) && !message.contains("panicked"), "{message}");
    }
    fails(
        &with(&["--preset", "cifar", "--layout", "cifar-c", "--format", "png"]),
        &["--format png", "cifar-c"],
    );
    fails(&with(&["--preset", "cifar", "--layout", "cifar-c", "--severities", "1"]), &["cifar-c", "found 1"]);
    fails(&[&place.at("nothing"), "--out", &out, "--preset", "cifar"], &["nothing"]);
    assert!(!place.path("out").exists(), "nothing is begun on bad input");
}
