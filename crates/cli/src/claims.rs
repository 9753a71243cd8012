//! What each command reads and writes, held against each other before it does either.
//!
//! The inputs are told by the flags: [`ROLES`] says what each flag is. A command adds its outputs, and inputs that a file of
//! settings names, and asks [`Claims::check`] before it begins. The tests go through every flag of every command: one that is
//! missing in the table, or an output that may be written over an input, fails there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Arg, ArgMatches, Command};
use dyntta_files::{Limits, Ours, read_text, shown};
use dyntta_nn::checkpoint::WEIGHTS;
use dyntta_train::{RUN_FILES, SETTINGS};
use serde_json::Value;

#[cfg(test)]
mod tests;

/// What a flag says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// A data set or another folder of which all is read.
    Data,
    /// An image file, or a folder whose image files are read.
    Images,
    /// A network's file, beside which others are read.
    Model,
    /// A run's folder or a weight file, or a name.
    Run,
    /// A file, or a name.
    File,
    /// What is written.
    Output,
    /// Nothing that is a file.
    Value,
}

/// Every flag of every command by its field's name.
const ROLES: &[(Role, &[&str])] = &[
    (Role::Data, &["data", "input", "test", "validation", "clean", "corrupted", "frost_dir"]),
    (Role::Images, &["images"]),
    (Role::Model, &["classifier", "from", "control_weights"]),
    (Role::Run, &["enhancer", "urie"]),
    (Role::File, &["config", "preprocessing", "policy", "augment"]),
    (Role::Output, &["out", "json"]),
    (
        Role::Value,
        &[
            "arch",
            "bank",
            "baselines",
            "batch",
            "batch_size",
            "bn_prior",
            "channels",
            "clip",
            "control_size",
            "corruptions",
            "crop_pct",
            "cutmix",
            "device",
            "elastic",
            "ema",
            "enhancer_epochs",
            "enhancer_limit",
            "epochs",
            "exif",
            "feed",
            "format",
            "held_out",
            "input_size",
            "interpolation",
            "label_smoothing",
            "layout",
            "limit",
            "lr",
            "mean",
            "method",
            "mixup",
            "momentum",
            "on_error",
            "opset",
            "optimizer",
            "output",
            "outputs",
            "policies",
            "preset",
            "range",
            "resize",
            "runs",
            "schedule",
            "scores",
            "seed",
            "seeds",
            "setting",
            "severities",
            "shifts",
            "size",
            "split",
            "std",
            "strength",
            "style",
            "styles",
            "suite",
            "test_limit",
            "threads",
            "top_k",
            "weight_decay",
            "weights_key",
        ],
    ),
];

fn role(id: &str) -> Option<Role> {
    ROLES.iter().find_map(|(role, ids)| ids.contains(&id).then_some(*role))
}

/// As a user knows the flag.
fn name(arg: &Arg) -> String {
    match arg.get_long() {
        Some(long) => format!("--{long}"),
        None => "the input".to_owned(),
    }
}

/// The flag of commands that write files.
#[derive(clap::Args)]
pub struct Overwrite {
    /// Replace files that stand where the output goes, also those that this command did not write; never an input
    #[arg(long)]
    pub overwrite: bool,
}

/// The claims of a command.
#[derive(Debug, Default)]
pub struct Claims {
    files: dyntta_files::Claims,
    overwrite: bool,
}

/// The inputs that a command's flags name.
pub fn of(command: &Command, matches: &ArgMatches) -> Claims {
    let (mut command, mut matches) = (command, matches);
    while let Some((name, below)) = matches.subcommand() {
        let Some(found) = command.find_subcommand(name) else { break };
        (command, matches) = (found, below);
    }
    let overwrite = matches!(matches.try_get_one::<bool>("overwrite"), Ok(Some(true)));
    let mut claims = Claims { files: dyntta_files::Claims::new(overwrite), overwrite };
    for arg in command.get_arguments() {
        let id = arg.get_id().as_str();
        let (Some(role), Ok(Some(values))) = (role(id), matches.try_get_raw(id)) else { continue };
        for value in values {
            claims.add(role, &name(arg), Path::new(value));
        }
    }
    claims
}

impl Claims {
    fn add(&mut self, role: Role, name: &str, path: &Path) {
        match role {
            Role::Data => self.data(name, path),
            Role::Model => self.model(name, path),
            Role::Run => self.run(name, path),
            Role::Images | Role::File => {
                self.files.input(name, path);
            }
            Role::Output | Role::Value => {}
        }
    }

    /// A data set that is read.
    pub fn data(&mut self, name: &str, path: &Path) {
        self.files.data(name, path);
        // What else it stands for can only be hit where files may be replaced that aren't ours.
        if !self.overwrite {
            return;
        }
        let folder = folder_of(path);
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")) {
            let text = read_text(path, Limits::DEFAULT.text_bytes).unwrap_or_default();
            for field in text.lines().flat_map(|line| line.split(',')) {
                let file = folder.join(field.trim().trim_matches('"'));
                if file.is_file() {
                    self.files.input(&format!("an image of {name}"), &file);
                }
            }
        } else if !path.exists() {
            // A pattern of shards.
            for file in
                files_of(folder).filter(|f| f.extension().is_some_and(|e| e.eq_ignore_ascii_case("tar")))
            {
                self.files.input(name, &file);
            }
        }
    }

    /// A network's file, with what is read beside it.
    pub fn model(&mut self, name: &str, path: &Path) {
        self.files.input(name, path);
        let folder = folder_of(path);
        let beside = format!("what lies beside {name}");
        self.files.input(&beside, &path.with_extension("json"));
        for file in ["preprocessing.json", "config.json"] {
            self.files.input(&beside, &folder.join(file));
        }
        if self.overwrite {
            // Only the file itself knows what its external data and shards are called.
            for file in files_of(folder) {
                self.files.input(&beside, &file);
            }
        }
    }

    /// A run's folder or a weight file that is read.
    pub fn run(&mut self, name: &str, path: &Path) {
        self.files.input(name, path);
        if path.is_dir() {
            self.files.input(name, &path.join(WEIGHTS));
            self.files.input(name, &path.join(WEIGHTS).with_extension("json"));
            if self.overwrite {
                for file in files_of(path) {
                    self.files.input(name, &file);
                }
            }
        } else {
            self.files.input(name, &path.with_extension("json"));
        }
    }

    /// A file that is read.
    pub fn input(&mut self, name: &str, path: &Path) {
        self.files.input(name, path);
    }

    /// A file that is written.
    pub fn file(&mut self, name: &str, path: &Path, ours: Ours) {
        self.files.file(name, path, ours);
    }

    /// A folder that is written into.
    pub fn folder(&mut self, name: &str, path: &Path) {
        self.files.folder(name, path);
    }

    /// The folder of a run and its files. A run begins in a folder that has none of them, whatever they are.
    ///
    /// # Errors
    /// If there is one and no run goes on.
    pub fn run_folder(&mut self, folder: &Path, resume: bool) -> Result<()> {
        self.folder("--out", folder);
        for file in RUN_FILES {
            self.file("--out", &folder.join(file), |_| true);
        }
        // Onto an input is what is said first.
        self.check()?;
        match first_of_a_run(folder) {
            Some(_) if resume => Ok(()),
            Some(SETTINGS) => bail!(
                "`out`: expected a folder without a run; continue the run with --resume or choose another folder, found a \
                 run in {}",
                shown(folder)
            ),
            Some(file) => bail!(
                "`out`: expected a folder without files that a run writes; choose another folder, found {file} in {}",
                shown(folder)
            ),
            None => Ok(()),
        }
    }

    /// The folder of a run that goes on by itself where it is there. What is no run of this command stays.
    ///
    /// # Errors
    /// If there is something else of those names.
    pub fn own_run(&mut self, name: &str, folder: &Path) -> Result<()> {
        self.folder(name, folder);
        let Some(file) = first_of_a_run(folder) else {
            return Ok(());
        };
        let settings = read_text(&folder.join(SETTINGS), Limits::DEFAULT.text_bytes);
        let settings =
            settings.ok().and_then(|text| serde_json::from_str::<Value>(&text).ok()).unwrap_or_default();
        // The demo's classifier has had no settings.
        if settings["data"].is_null() && !folder.join(STATE).is_file() {
            bail!(
                "{}: {name} would write here, and {file} is not of a run of this command; move it away or choose another place",
                shown(folder)
            );
        }
        Ok(())
    }

    /// Holds all against each other; see [`dyntta_files::Claims::check`].
    pub fn check(&self) -> Result<()> {
        Ok(self.files.check()?)
    }
}

/// The state of a run in its folder.
const STATE: &str = "state.safetensors";

/// The first of a run's files that is in a folder.
fn first_of_a_run(folder: &Path) -> Option<&'static str> {
    RUN_FILES.into_iter().find(|file| fs::symlink_metadata(folder.join(file)).is_ok())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The files of a folder that aren't a command's result.
fn files_of(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.take(MOST).filter(|file| file.is_file() && !is_result_file(file))
}

/// The most files of a folder that are looked at.
const MOST: usize = 100_000;

fn is_result_file(file: &Path) -> bool {
    use std::io::Read;
    let mut head = Vec::new();
    let read = fs::File::open(file).and_then(|f| f.take(MARK.len() as u64).read_to_end(&mut head));
    read.is_ok() && head == MARK.as_bytes()
}

/// Whether a path stands for standard output.
pub fn is_stdout(path: &Path) -> bool {
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|name| path == Path::new(name))
}

/// How the JSON begins that this program writes.
const MARK: &str = "{\n  \"program\": \"dyntta\",\n";

/// The JSON of a command's result: what [`is_result`] knows again, then `value`, an object.
pub fn result(command: &str, value: &Value) -> String {
    let text = format!("{value:#}");
    let rest = text.strip_prefix("{\n").unwrap_or(&text);
    format!("{}{rest}\n", mark(command))
}

fn mark(command: &str) -> String {
    format!("{MARK}  \"command\": \"{command}\",\n")
}

/// Whether a file that begins with `head` is a result of a command as [`result`] writes it.
pub fn is_result(head: &[u8], command: &str) -> bool {
    head.starts_with(mark(command).as_bytes())
}

/// How a picture begins that this program writes.
const PICTURE: &str = "<!-- program: dyntta, command: estimate -->\n";

/// A policy's picture as it is written.
pub fn picture(svg: &str) -> String {
    format!("{PICTURE}{svg}")
}

/// Whether a file that begins with `head` is such a picture.
pub fn is_picture(head: &[u8]) -> bool {
    head.starts_with(PICTURE.as_bytes())
}
