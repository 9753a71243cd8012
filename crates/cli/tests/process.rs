//! The command as a process: closed pipes, full disks, terminals that are gone, signals, devices and links as outputs.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dyntta_image::{Rgb8, Stream, write};

mod common;
#[path = "common/place.rs"]
mod place;
use common::{dyntta, text};
use place::Place;

/// How long a process may take to end that was asked to; the command itself allows 2 s, and a busy machine adds to that.
const PATIENCE: Duration = Duration::from_secs(6);

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dyntta"));
    command.args(args).stdin(Stdio::null());
    command
}

/// The writing end of a pipe that nobody reads.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// Trains for ever, in small steps.
fn endless(place: &Place, run: &str) -> Vec<String> {
    let line = format!(
        "train --data {} --classifier {} --preset cifar --method urie --epochs 100000 --batch-size 4 --out {}",
        place.at("data"),
        place.at("net.safetensors"),
        place.at(run)
    );
    words(&line).into_iter().map(str::to_owned).collect()
}

fn strs(line: &[String]) -> Vec<&str> {
    line.iter().map(String::as_str).collect()
}

/// The words of a line; no path here has a space.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn signal(child: &Child, signal: i32) {
    // SAFETY: it only sends a signal to a process of this test.
    assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
}

/// The exit code of a process that must end soon.
fn ends(child: &mut Child, what: &str) -> i32 {
    let asked = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or_else(|| panic!("{what}: {status}"));
        }
        if asked.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("{what}: still at work after {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn wait_for(path: &Path) {
    let started = Instant::now();
    while !path.exists() {
        assert!(started.elapsed() < Duration::from_secs(120), "{} doesn't come", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn nobody_at_the_other_end_and_a_full_disk_lose_no_work() {
    let place = Place::new();
    let (net, data) = (place.at("net.safetensors"), place.at("data"));
    let json = place.at("r.json");
    for line in [
        format!("classifier info {net}"),
        format!("classifier info {net} --json"),
        format!("data check {data}"),
        format!("eval --classifier {net} --clean {data} --json {json}"),
        "train --help".to_owned(),
        "--version".to_owned(),
    ] {
        let quiet = command(&words(&line)).stdout(closed()).output().unwrap();
        let said = text(&quiet.stderr);
        assert!(quiet.status.success() && !said.contains("panicked"), "{line}: {said}");
        if line.contains(&json) {
            fs::remove_file(&json).unwrap();
        }
        let full = command(&words(&line)).stdout(full()).output().unwrap();
        let said = text(&full.stderr);
        assert_eq!(full.status.code(), Some(1), "{line}: {said}");
        assert!(said.contains("standard output cannot be written: No space left"), "{line}: {said}");
    }
    // What was computed is there all the same.
    assert!(Path::new(&json).is_file());
    for (stdout, stderr) in [(Stdio::null(), closed()), (closed(), closed()), (Stdio::null(), full())] {
        let status = command(&["eval", "--classifier", &net, "--clean", &data])
            .stdout(stdout)
            .stderr(stderr)
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(0));
    }
    assert_eq!(command(&["eval", "--classifier", "none"]).stderr(full()).status().unwrap().code(), Some(1));
    assert_eq!(command(&["evil"]).stderr(full()).status().unwrap().code(), Some(2));
}

#[test]
fn a_training_that_nobody_listens_to_is_saved() {
    let place = Place::new();
    for (i, (stdout, stderr)) in [(closed(), closed()), (full(), full())].into_iter().enumerate() {
        let run = format!("run{i}");
        let line = endless(&place, &run);
        let line: Vec<&str> =
            line.iter().map(|word| if word == "100000" { "1" } else { word.as_str() }).collect();
        let status = command(&line).stdout(stdout).stderr(stderr).status().unwrap();
        assert_eq!(status.code(), Some(i as i32), "a full disk is a failure, a closed pipe is none");
        assert!(place.path(&run).join("enhancer.safetensors").is_file());
    }
}

#[test]
fn one_signal_ends_a_training_which_goes_on_where_it_was() {
    let place = Place::new();
    let mut resume = false;
    for (number, code) in [(libc::SIGINT, 130), (libc::SIGTERM, 143), (libc::SIGHUP, 129)] {
        let line = endless(&place, "run");
        let line =
            if resume { vec!["train", "--resume", "--out", &line[line.len() - 1]] } else { strs(&line) };
        // A standard error that blocks when it is full, as that of a stopped terminal does, and is not read.
        let (reader, writer) = std::io::pipe().unwrap();
        let mut child = command(&line).stdout(Stdio::null()).stderr(writer).spawn().unwrap();
        let metrics = place.path("run/metrics.jsonl");
        wait_for(&metrics);
        let before = fs::metadata(&metrics).unwrap().len();
        while fs::metadata(&metrics).map_or(0, |m| m.len()) <= before {
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            std::thread::sleep(Duration::from_millis(10));
        }
        signal(&child, number);
        assert_eq!(ends(&mut child, "train"), code);
        let mut said = String::new();
        let mut reader = reader;
        reader.read_to_string(&mut said).unwrap();
        assert!(said.contains("--resume") && !said.contains("panicked"), "{said}");
        assert!(place.path("run/state.safetensors").is_file());
        resume = true;
    }
}

#[test]
fn one_signal_ends_whatever_is_under_way() {
    let place = Place::new();
    let (net, enhancer) = (place.at("net.safetensors"), place.at("enhancer"));
    // A picture that takes long to decode, often, and one that takes long to enhance.
    let mut stream = Stream::new(0, &["noise"]);
    let noise =
        Rgb8::new(1500, 1500, (0..1500 * 1500 * 3).map(|_| stream.next_u32() as u8).collect()).unwrap();
    for class in ["cat", "dog"] {
        fs::create_dir_all(place.path("large").join(class)).unwrap();
        for i in 0..150 {
            let to = place.path("large").join(class).join(format!("{i}.jpg"));
            if i == 0 && class == "cat" {
                write(to, &noise).unwrap();
            } else {
                fs::hard_link(place.path("large/cat/0.jpg"), to).unwrap();
            }
        }
    }
    let (large, out) = (place.at("large"), |name: &str| place.at(name));
    for line in [
        "bench forward --size 1024 --runs 1000".to_owned(),
        "bench step --batch 8 --runs 1000".to_owned(),
        "bench corrupt --size 512 --runs 1000".to_owned(),
        format!("data check {large} --threads 1"),
        format!("corrupt {large} --preset imagenet --suite all19 --out {}", out("set")),
        format!("enhance {large}/cat --enhancer {enhancer} --out {} --control-size 2000", out("pictures")),
        format!("eval --clean {large} --suite all19 --classifier {net}"),
        format!("estimate --data {large} --classifier {net} --out {}", out("p.toml")),
        format!("experiment --data {large} --test {large} --classifier {net} --out {}", out("e")),
        format!("classifier train --arch cifar-resnet110 --data {large} --out {}", out("c")),
        format!("demo --out {}", out("demo")),
    ] {
        let mut child = command(&words(&line)).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(1500));
        assert!(child.try_wait().unwrap().is_none(), "{line}: it ended by itself");
        signal(&child, libc::SIGTERM);
        assert_eq!(ends(&mut child, &line), 143, "{line}");
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut child = command(&["bench", "step", "--batch", "16", "--runs", "1000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(1000));
    signal(&child, libc::SIGTERM);
    std::thread::sleep(Duration::from_millis(400));
    signal(&child, libc::SIGINT);
    // The code is the first's.
    assert_eq!(ends(&mut child, "bench step"), 143);
}

#[test]
fn a_hang_up_that_is_ignored_stays_ignored() {
    let place = Place::new();
    let line = endless(&place, "run");
    let mut nohup = command(&strs(&line));
    nohup.stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: `signal` may be called between fork and exec.
    unsafe {
        nohup.pre_exec(|| {
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            Ok(())
        });
    }
    let mut child = nohup.spawn().unwrap();
    wait_for(&place.path("run/metrics.jsonl"));
    signal(&child, libc::SIGHUP);
    std::thread::sleep(Duration::from_millis(2500));
    assert!(child.try_wait().unwrap().is_none());
    signal(&child, libc::SIGTERM);
    assert_eq!(ends(&mut child, "train"), 143);
}

/// A terminal: the end that a program draws, and the one that a user sees.
fn terminal() -> (OwnedFd, OwnedFd) {
    let (mut ours, mut theirs) = (0, 0);
    let size = libc::winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the pointers are to memory that is there; what is not wanted is null.
    let done = unsafe {
        libc::openpty(
            &mut ours,
            &mut theirs,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            &raw const size as *mut _,
        )
    };
    assert_eq!(done, 0);
    for end in [ours, theirs] {
        // A child that held our end too would not lose its terminal.
        // SAFETY: it only marks an open file.
        assert_eq!(unsafe { libc::fcntl(end, libc::F_SETFD, libc::FD_CLOEXEC) }, 0);
    }
    // SAFETY: both were just opened and belong to nobody else.
    unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) }
}

#[test]
fn a_terminal_that_closes_ends_a_training_with_its_state_saved() {
    let place = Place::new();
    let (screen, side) = terminal();
    let line = endless(&place, "run");
    let mut train = command(&strs(&line));
    train.stdin(side.try_clone().unwrap()).stdout(side.try_clone().unwrap()).stderr(side);
    // SAFETY: both calls may be made between fork and exec.
    unsafe {
        train.pre_exec(|| {
            // A session of its own, with that terminal.
            if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY as _, 0) < 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    let mut child = train.spawn().unwrap();
    // The command keeps no end of it but its own.
    drop(train);
    let mut screen = File::from(screen);
    let mut seen = String::new();
    while !seen.contains("epoch") {
        let mut part = [0; 4096];
        let n = screen.read(&mut part).unwrap();
        seen.push_str(&String::from_utf8_lossy(&part[..n]));
    }
    drop(screen);
    assert_eq!(ends(&mut child, "train"), 129);
    assert!(place.path("run/state.safetensors").is_file());
    let mut again = command(&["train", "--resume", "--out", &place.at("run")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(1000));
    assert!(again.try_wait().unwrap().is_none(), "it goes on");
    signal(&again, libc::SIGTERM);
    assert_eq!(ends(&mut again, "train --resume"), 143);
}

#[test]
fn links_pipes_and_standard_output_are_written_through() {
    let place = Place::new();
    let (net, data) = (place.at("net.safetensors"), place.at("data"));
    let eval = |json: &str| {
        command(&["eval", "--classifier", &net, "--clean", &data, "--json", json]).output().unwrap()
    };
    std::os::unix::fs::symlink("real.json", place.path("link.json")).unwrap();
    for _ in 0..2 {
        assert!(eval(&place.at("link.json")).status.success());
        assert!(fs::symlink_metadata(place.path("link.json")).unwrap().is_symlink());
        assert!(fs::read_to_string(place.path("real.json")).unwrap().contains("\"accuracy\""));
    }
    let pipe = place.at("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read_to_string(pipe).unwrap()
    });
    assert!(eval(&pipe).status.success());
    assert!(reader.join().unwrap().starts_with('{'));
    // JSON alone: a program reads it.
    for stdout in ["-", "/dev/stdout"] {
        let output = eval(stdout);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&value["program"], &value["version"]), (&"dyntta".into(), &1.into()));
        assert!(text(&output.stderr).contains("alone"), "{}", text(&output.stderr));
    }
    assert!(eval("/dev/null").status.success());
    use std::os::unix::fs::FileTypeExt;
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
}

#[test]
fn outputs_are_checked_before_the_work() {
    let place = Place::new();
    let (net, data) = (place.at("net.safetensors"), place.at("data"));
    let started = Instant::now();
    let missing = place.at("no/such/folder/x.json");
    // This would take minutes.
    let output = dyntta(&[
        "eval",
        "--classifier",
        &net,
        "--clean",
        &data,
        "--suite",
        "all19",
        "--preset",
        "imagenet",
        "--json",
        &missing,
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("x.json: cannot write"), "{}", text(&output.stderr));
    assert!(started.elapsed() < Duration::from_secs(10));
    let file = place.at("net.safetensors/run");
    let output = dyntta(&["train", "--classifier", &net, "--data", &data, "--out", &file]);
    assert!(text(&output.stderr).contains("expected a folder, found a file"), "{}", text(&output.stderr));
}

#[test]
fn enhancing_leaves_the_originals_alone() {
    let place = Place::new();
    let (enhancer, pictures) = (place.at("enhancer"), place.at("data/cat"));
    let original = fs::read(place.path("data/cat/0.png")).unwrap();
    let enhance = |line: &str| {
        let output = dyntta(&words(&format!("enhance --enhancer {enhancer} {line}")));
        (output.status.code(), text(&output.stderr))
    };
    let one = place.at("data/cat/0.png");
    for line in [
        format!("{pictures} --out {pictures}"),
        format!("{pictures} --out {pictures} --overwrite"),
        format!("{one} --out {pictures}"),
        format!("{one} --out {} --overwrite", place.at("data/dog/../cat")),
    ] {
        let (code, said) = enhance(&line);
        assert!(code == Some(1) && said.contains("would be written over"), "{line}: {said}");
    }
    // Another file of that name, with and without leave to replace it.
    fs::create_dir(place.path("out")).unwrap();
    fs::write(place.path("out/0.png"), "notes").unwrap();
    let line = format!("{one} --out {}", place.at("out"));
    let (code, said) = enhance(&line);
    assert!(code == Some(1) && said.contains("--overwrite"), "{said}");
    assert_eq!(fs::read(place.path("out/0.png")).unwrap(), b"notes");
    assert_eq!(enhance(&format!("{line} --overwrite")).0, Some(0));
    // What it wrote itself it replaces unasked.
    assert_eq!(enhance(&line).0, Some(0));
    // Beside the original in another format.
    assert_eq!(enhance(&format!("{one} --out {pictures} --format jpeg:90")).0, Some(0));
    assert!(place.path("data/cat/0.jpg").is_file());
    assert_eq!(fs::read(place.path("data/cat/0.png")).unwrap(), original);
}

#[test]
fn numbers_beyond_all_measure_are_refused_by_name() {
    for (line, flag) in [
        ("enhance x.png --enhancer e --out o", "--control-size"),
        ("train --out o", "--control-size"),
        ("train --out o", "--batch-size"),
        ("train --out o", "--epochs"),
        ("train --out o", "--limit"),
        ("retrain --out o", "--top-k"),
        ("estimate --data d --classifier c --out o", "--limit"),
        ("eval --classifier c --clean d", "--batch-size"),
        ("eval --classifier c --clean d --baselines", "--bn-prior"),
        ("corrupt d --out o --preset cifar", "--threads"),
        ("corrupt d --out o --preset cifar", "--size"),
        ("data check d", "--threads"),
        ("bench forward", "--size"),
        ("bench forward", "--batch"),
        ("bench forward", "--control-size"),
        ("bench forward", "--threads"),
        ("bench step", "--runs"),
        ("experiment --data d --test t --classifier c --out o", "--enhancer-epochs"),
    ] {
        for value in ["4294967296000", "99999999999999999999", "-1", "1e9", "nan"] {
            let line = format!("{line} {flag}={value}");
            let output = dyntta(&words(&line));
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{line}: {said}");
            assert!(said.contains(flag) && !said.contains("panicked"), "{line}: {said}");
        }
    }
    let output = dyntta(&["bench", "forward", "--size", "8000", "--batch", "60000"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--batch, --size: expected at most"), "{}", text(&output.stderr));
}

#[test]
fn messages_hold_no_control_characters() {
    let place = Place::new();
    let net = place.at("net.safetensors");
    let evil = place.at("a\u{1b}[2Jb\nc\u{7}");
    fs::create_dir_all(Path::new(&evil).join("ca\u{1b}t")).unwrap();
    let out = place.at("o");
    let lines: [&[&str]; 9] = [
        &["eval", "--classifier", &net, "--clean", &evil],
        &["eval", "--classifier", &evil, "--clean", &evil],
        &["data", "check", &evil],
        &["corrupt", &evil, "--out", &out, "--preset", "cifar"],
        &["classifier", "info", &evil],
        &["enhance", &evil, "--enhancer", &net, "--out", &out],
        &["train", "--data", &evil, "--classifier", &net, "--out", &evil],
        &["eval", "--classifier", &net, "--clean", &evil, &evil],
        &[&evil],
    ];
    for line in lines {
        let output = dyntta(line);
        assert!(!output.status.success(), "{line:?}");
        let said = text(&output.stderr) + &text(&output.stdout);
        assert!(!said.contains(['\u{1b}', '\u{7}']) && said.len() < 20_000, "{line:?}: {said:?}");
    }
}
