//! Every command with every output, told from the definition of the command line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::builder::ValueParser;
use clap::{Arg, Command, CommandFactory};
use dyntta_train::{RUN_FILES, Stop};

use super::{Role, is_picture, is_result, picture, result, role};
use crate::Cli;

/// The commands without others below them, each with its name.
fn commands() -> Vec<(Vec<String>, Command)> {
    fn below(name: &[String], command: &Command, into: &mut Vec<(Vec<String>, Command)>) {
        let mut none = true;
        for sub in command.get_subcommands() {
            none = false;
            below(&[name, &[sub.get_name().to_owned()]].concat(), sub, into);
        }
        if none {
            into.push((name.to_owned(), command.clone()));
        }
    }
    let mut found = Vec::new();
    below(&[], &Cli::command(), &mut found);
    found
}

/// The flags with values of a command, with their roles.
fn flags(name: &[String], command: &Command) -> Vec<(Arg, Role)> {
    let flags = command.get_arguments().filter(|arg| arg.get_action().takes_values());
    flags
        .map(|arg| {
            let id = arg.get_id().as_str();
            let role = role(id).unwrap_or_else(|| panic!("{}: `{id}` is missing in ROLES", name.join(" ")));
            (arg.clone(), role)
        })
        .collect()
}

#[test]
fn every_flag_has_a_role_and_every_output_may_be_replaced_on_demand() {
    let path = ValueParser::path_buf().type_id();
    let mut outputs = Vec::new();
    for (name, command) in commands() {
        let flags = flags(&name, &command);
        for (arg, role) in &flags {
            let is_path = arg.get_value_parser().type_id() == path;
            assert!(!is_path || *role != Role::Value, "{}: `{}` is a path", name.join(" "), arg.get_id());
            if *role == Role::Output {
                outputs.push(format!("{} --{}", name.join(" "), arg.get_long().unwrap()));
            }
        }
        let writes = flags.iter().any(|(_, role)| *role == Role::Output);
        let asks = command.get_arguments().any(|arg| arg.get_id() == "overwrite");
        assert_eq!(writes && !is_whole(&name), asks, "{}", name.join(" "));
    }
    let expected = [
        "demo --out",
        "train --out",
        "eval --json",
        "corrupt --out",
        "enhance --out",
        "export --out",
        "classifier train --out",
        "classifier eval --json",
        "estimate --out",
        "retrain --out",
        "experiment --out",
    ];
    assert_eq!(outputs, expected);
}

/// Whether a command's folder is one whole, a run or a corrupted set: it is new or holds that very thing.
fn is_whole(name: &[String]) -> bool {
    ["train", "retrain", "corrupt", "classifier train"].contains(&name.join(" ").as_str())
}

/// A folder with an input for every flag of a command, none of which can be read as what it should be: it must not come to
/// that.
struct Place(tempfile::TempDir);

impl Place {
    fn new(flags: &[(Arg, Role)]) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for (arg, role) in flags {
            let path = place.of(arg);
            match role {
                Role::Data => {
                    fs::create_dir_all(path.join("cat")).unwrap();
                    fs::write(path.join("cat/x.png"), "pixels").unwrap();
                }
                Role::Images => {
                    fs::create_dir(&path).unwrap();
                    fs::write(path.join("x.png"), "pixels").unwrap();
                }
                Role::Run => {
                    fs::create_dir(&path).unwrap();
                    fs::write(path.join("enhancer.safetensors"), "weights").unwrap();
                }
                // A file of settings is read first of all.
                Role::File => fs::write(path, "# nothing").unwrap(),
                Role::Model => fs::write(path, "weights").unwrap(),
                Role::Output | Role::Value => {}
            }
        }
        place
    }

    fn of(&self, arg: &Arg) -> PathBuf {
        self.0.path().join(arg.get_id().as_str())
    }

    /// All files with what they hold.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        fn below(folder: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    below(&path, into);
                } else {
                    into.insert(path.clone(), fs::read(path).unwrap());
                }
            }
        }
        let mut files = BTreeMap::new();
        below(self.0.path(), &mut files);
        files
    }

    /// The command with what it needs, `input` among it, and its output at `to`.
    fn line(&self, name: &[String], flags: &[(Arg, Role)], input: &str, to: &Path) -> Vec<String> {
        let mut line = vec!["dyntta".to_owned()];
        line.extend_from_slice(name);
        for (arg, role) in flags {
            let id = arg.get_id().as_str();
            let needed = arg.is_required_set() || ["data", "classifier", "clean", "policy"].contains(&id);
            let instead = id == "data" && input == "corrupted";
            let value = match role {
                Role::Output => to.display().to_string(),
                _ if id != input && (!needed || instead) => continue,
                Role::Value => "cifar".to_owned(),
                _ => self.of(arg).display().to_string(),
            };
            line.extend(arg.get_long().map(|long| format!("--{long}")));
            line.push(value);
        }
        line
    }
}

/// Runs a command in this process, and gives the error that it must end with.
fn refused(line: &[String]) -> String {
    let (matches, cli) = crate::parse(line).unwrap_or_else(|e| panic!("{line:?}: {e}"));
    let claims = super::of(&Cli::command(), &matches);
    match crate::run(cli.command, claims, &Stop::default()) {
        Ok(()) => panic!("{line:?} is not refused"),
        Err(error) => crate::describe(&error),
    }
}

#[test]
fn no_command_writes_over_what_it_reads() {
    let reasons = [
        "would be written over",
        "expected a folder, found a file",
        "expected a file to write, found a folder",
        "expected the name of a new file",
    ];
    let mut tried = 0;
    for (name, command) in commands() {
        let flags = flags(&name, &command);
        if !flags.iter().any(|(_, role)| *role == Role::Output) {
            continue;
        }
        for (input, role) in &flags {
            let inside: &[&str] = match role {
                Role::Data => &["", "cat", "cat/x.png", "cat/new", "./../cat"],
                Role::Images => &["", "x.png"],
                Role::Run => &["", "enhancer.safetensors"],
                Role::File | Role::Model => &[""],
                Role::Output | Role::Value => continue,
            };
            for inside in inside {
                for overwrite in [false, true] {
                    let place = Place::new(&flags);
                    let id = input.get_id().as_str();
                    let to = match *inside {
                        "" => place.of(input),
                        "./../cat" => place.of(input).join(".").join("..").join(id).join("cat"),
                        inside => place.of(input).join(inside),
                    };
                    // A new file among the data is in nobody's way.
                    if *inside == "cat/new"
                        && (command.get_arguments().any(|a| a.get_id() == "json") || name == ["estimate"])
                    {
                        continue;
                    }
                    let mut line = place.line(&name, &flags, id, &to);
                    if overwrite && !is_whole(&name) {
                        line.push("--overwrite".into());
                    }
                    let before = place.files();
                    let error = refused(&line);
                    assert!(reasons.iter().any(|reason| error.contains(reason)), "{line:?}: {error}");
                    assert_eq!(place.files(), before, "{line:?}");
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 150, "{tried}");
}

#[test]
fn no_command_replaces_a_file_that_it_did_not_write() {
    let runs = |folders: &[&str], files: &[&str]| -> Vec<String> {
        folders
            .iter()
            .flat_map(|folder| files.iter().map(move |file| format!("out{folder}/{file}")))
            .collect()
    };
    let nested: Vec<&str> = RUN_FILES.into_iter().filter(|f| *f != "state.safetensors").collect();
    for (name, command) in commands() {
        let flags = flags(&name, &command);
        let (files, to) = match name.join(" ").as_str() {
            "train" | "retrain" | "classifier train" => (runs(&[""], &RUN_FILES), "out"),
            "demo" => {
                let beside = runs(&[""], &["results.json", "table.txt", "picture.png"]);
                ([beside, runs(&["/classifier", "/urie", "/dyntta"], &nested)].concat(), "out")
            }
            "experiment" => (runs(&[""], &["results.json", "results.md", "results.svg"]), "out"),
            "estimate" => {
                let mut files = runs(&[".runs/urie", ".runs/dyntta"], &nested);
                files.extend(["out.toml".into(), "out.svg".into()]);
                (files, "out.toml")
            }
            "export" => (vec!["out.onnx".into()], "out.onnx"),
            "enhance" => (runs(&[""], &["x.png"]), "out"),
            "eval" | "classifier eval" => (vec!["out.json".into()], "out.json"),
            _ => continue,
        };
        for file in files {
            let place = Place::new(&flags);
            let at = place.0.path().join(&file);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(&at, "precious").unwrap();
            let before = place.files();
            let line = place.line(&name, &flags, "none", &place.0.path().join(to));
            let error = refused(&line);
            let reasons = [
                "would be written over a file",
                "expected a folder without",
                "a new file",
                "is not of a run of this command",
            ];
            assert!(reasons.iter().any(|reason| error.contains(reason)), "{line:?}, {file}: {error}");
            assert_eq!(place.files(), before, "{line:?}");
        }
    }
}

#[test]
fn what_is_read_beside_a_network_is_no_output() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).display().to_string();
    fs::create_dir_all(at("data/cat")).unwrap();
    for file in ["net.onnx", "net.onnx.data", "shard-2.bin", "classifier.safetensors"] {
        fs::write(at(file), "weights").unwrap();
    }
    let run = |words: &[&str]| {
        let line: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        refused(&line)
    };
    let (net, data) = (at("net.onnx"), at("data"));
    // Whether they are there or not: the next evaluation would read them.
    for file in ["net.json", "preprocessing.json", "config.json", "net.onnx.data", "shard-2.bin"] {
        let line =
            ["dyntta", "eval", "--classifier", &net, "--clean", &data, "--overwrite", "--json", &at(file)];
        let error = run(&line);
        assert!(error.contains("would be written over what lies beside --classifier"), "{file}: {error}");
    }
    let classifier = at("classifier.safetensors");
    let line = [
        "dyntta",
        "retrain",
        "--data",
        &data,
        "--policy",
        "none",
        "--classifier",
        &classifier,
        "--out",
        &at(""),
    ];
    let error = run(&line);
    assert!(error.contains("--out would be written over --classifier"), "{error}");
    // Wherever the images of a list lie.
    fs::create_dir(at("far")).unwrap();
    let photo = at("far/photo.jpg");
    fs::write(&photo, "pixels").unwrap();
    fs::write(at("list.csv"), format!("path,label\n{photo},cat\n")).unwrap();
    let list = at("list.csv");
    let line = ["dyntta", "eval", "--classifier", &net, "--clean", &list, "--overwrite", "--json", &photo];
    let error = run(&line);
    assert!(error.contains("would be written over an image of --clean"), "{error}");
}

#[test]
fn results_are_known_again() {
    let json = result("eval", &serde_json::json!({ "about": {}, "version": 1 }));
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&value["program"], &value["command"], &value["version"]),
        (&"dyntta".into(), &"eval".into(), &1.into())
    );
    assert!(is_result(json.as_bytes(), "eval") && !is_result(json.as_bytes(), "bench"));
    assert!(!is_result(b"{}", "eval"));
    assert!(is_picture(picture("<svg/>").as_bytes()) && !is_picture(b"<svg/>"));
}
