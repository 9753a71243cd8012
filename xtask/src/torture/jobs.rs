//! Small jobs of every command that can be stopped and goes on.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use dyntta_image::{Rgb8, Stream, encode_png};

/// A job; `{}` in an argument is the folder of the data, and it writes into the folder that it is started in.
pub struct Job {
    pub name: &'static str,
    /// The command it is a job of.
    pub command: &'static str,
    pub args: &'static [&'static str],
    /// How it goes on, if not by the same command.
    pub resume: Option<&'static [&'static str]>,
    /// The file that says that there is a run to go on with.
    pub settings: Option<&'static str>,
    /// The file of the state that it goes on from.
    pub state: Option<&'static str>,
    /// The file that is written last, if the same command is refused where it stands.
    pub last: Option<&'static str>,
}

const CONTINUE: &[&str] = &["train", "--out", "run", "--resume"];

macro_rules! train {
    ($name:literal, $($arg:literal),*) => {
        Job {
            name: $name,
            command: "train",
            args: &["train", "--data", "{}/set", "--classifier", "{}/net/classifier.safetensors", "--out", "run", "--preset", "cifar",
                "--batch-size", "4", $($arg),*],
            resume: Some(CONTINUE),
            settings: Some("run/settings.json"),
            state: Some("run/state.safetensors"),
            last: None,
        }
    };
}

macro_rules! same {
    ($name:literal, $command:literal, $last:expr, $($arg:literal),*) => {
        Job {
            name: $name,
            command: $command,
            args: &[$command, $($arg),*],
            resume: None,
            settings: None,
            state: None,
            last: $last,
        }
    };
}

pub const JOBS: [Job; 7] = [
    train!("train-urie", "--method", "urie", "--epochs", "6"),
    train!(
        "train-urie-blind",
        "--method",
        "urie",
        "--epochs",
        "4",
        "--setting",
        "blind",
        "--optimizer",
        "sgd",
        "--seed",
        "5"
    ),
    train!(
        "train-dyntta",
        "--bank",
        "identity,contrast,gamma,low_pass_0.25",
        "--epochs",
        "3",
        "--setting",
        "fog:3"
    ),
    same!(
        "corrupt-folders",
        "corrupt",
        None,
        "{}/set",
        "--out",
        "c",
        "--preset",
        "cifar",
        "--suite",
        "all19",
        "--threads",
        "2"
    ),
    same!(
        "corrupt-arrays",
        "corrupt",
        None,
        "{}/set",
        "--out",
        "c",
        "--preset",
        "cifar",
        "--suite",
        "all19",
        "--layout",
        "cifar-c",
        "--size",
        "32"
    ),
    same!(
        "estimate",
        "estimate",
        Some("p.toml"),
        "--data",
        "{}/set",
        "--classifier",
        "{}/net/classifier.safetensors",
        "--out",
        "p.toml",
        "--preset",
        "cifar",
        "--setting",
        "fog:3",
        "--epochs",
        "1",
        "--batch-size",
        "4",
        "--bank",
        "identity,contrast,gamma,urie"
    ),
    same!(
        "experiment",
        "experiment",
        None,
        "--data",
        "{}/set",
        "--test",
        "{}/set",
        "--classifier",
        "{}/net/classifier.safetensors",
        "--out",
        "e",
        "--preset",
        "cifar",
        "--shifts",
        "fog:3",
        "--policies",
        "none,augmix",
        "--styles",
        "top-k",
        "--seeds",
        "0",
        "--epochs",
        "1",
        "--enhancer-epochs",
        "1,1"
    ),
];

/// Images and a classifier of them.
pub fn prepare(dyntta: &Path, folder: &Path) -> Result<()> {
    for (class, level) in [("auk", 60.0), ("owl", 150.0)] {
        let place = folder.join("set").join(class);
        std::fs::create_dir_all(&place)?;
        for i in 0..10 {
            let mut stream = Stream::new(1, &["torture", class, &i.to_string()]);
            let pixels = (0..32 * 32 * 3).map(|_| stream.range(level - 50.0, level + 50.0) as u8).collect();
            std::fs::write(
                place.join(format!("{i}.png")),
                encode_png(&Rgb8::new(32, 32, pixels).expect("three bytes a pixel"))?,
            )?;
        }
    }
    let args = [
        "classifier",
        "train",
        "--arch",
        "cifar-resnet8",
        "--data",
        "set",
        "--out",
        "net",
        "--preset",
        "cifar",
        "--epochs",
        "2",
    ];
    let output = Command::new(dyntta).args(args).args(["--batch-size", "4"]).current_dir(folder).output()?;
    if !output.status.success() {
        bail!("dyntta {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
