//! What is run: a command line, the files that it reads, and which of them is mutated.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use dyntta_fuzzing::{
    cifar_binary, cifar_meta, cifar_pickle, classifier_onnx, idx_files, labelled_images, pth,
};

/// A command line and its files.
pub struct Scene {
    pub name: &'static str,
    /// The target whose mutations are made.
    pub target: &'static str,
    /// The file that is mutated.
    pub mutated: &'static str,
    /// Files and folders that are there, each from what [`prepare`] made.
    pub files: &'static [(&'static str, &'static str)],
    pub args: &'static [&'static str],
}

const SET: (&str, &str) = ("set", "set");
const GRAPH: (&str, &str) = ("net.onnx", "net.onnx");

const fn info(
    name: &'static str,
    target: &'static str,
    mutated: &'static str,
    args: &'static [&'static str],
) -> Scene {
    Scene { name, target, mutated, files: &[], args }
}

const CHECK: &[&str] = &["data", "check", "d"];
const EVAL: &[&str] = &[
    "eval",
    "--classifier",
    "net.onnx",
    "--clean",
    "set",
    "--suite",
    "brightness",
    "--severities",
    "1",
    "--json",
    "out.json",
];
const ENHANCE: &[&str] = &["enhance", "set/auk", "--enhancer", "run", "--out", "out"];

pub const SCENES: [Scene; 27] = [
    info("info of a graph", "onnx", "m.onnx", &["classifier", "info", "m.onnx"]),
    Scene {
        files: &[("w.pth", "w.pth")],
        ..info("info of a pickle", "pickle", "w.pth", &["classifier", "info", "w.pth"])
    },
    info("info of a legacy file", "legacy", "w.pt", &["classifier", "info", "w.pt", "--json"]),
    info("info of safetensors", "safetensors", "w.safetensors", &["classifier", "info", "w.safetensors"]),
    Scene {
        name: "info of trained weights",
        target: "safetensors",
        mutated: "w.safetensors",
        files: &[("net/classifier.safetensors", "w.safetensors")],
        args: &["classifier", "info", "w.safetensors"],
    },
    info("check of a tar", "tar", "set.tar", &["data", "check", "set.tar"]),
    info("check of a zip", "zip", "set.zip", &["data", "check", "set.zip"]),
    Scene {
        files: &[("idx", "d")],
        ..info("check of idx images", "idx", "d/train-images-idx3-ubyte", CHECK)
    },
    Scene { files: &[("idx", "d")], ..info("check of idx labels", "idx", "d/t10k-labels-idx1-ubyte", CHECK) },
    Scene { files: &[("binary", "d")], ..info("check of a CIFAR batch", "cifar", "d/test_batch.bin", CHECK) },
    Scene { files: &[("python", "d")], ..info("check of a CIFAR pickle", "cifar", "d/data_batch_2", CHECK) },
    Scene { files: &[("python", "d")], ..info("check of CIFAR's names", "cifar", "d/batches.meta", CHECK) },
    Scene {
        files: &[SET, ("list.csv", "set/auk/list.csv")],
        ..info("check of a CSV", "csv", "set/auk/list.csv", &["data", "check", "set/auk/list.csv"])
    },
    Scene { files: &[("c", "c")], ..info("check of an array", "npy", "c/fog.npy", &["data", "check", "c"]) },
    Scene { files: &[("c", "c")], ..info("check of labels", "npy", "c/labels.npy", &["data", "check", "c"]) },
    Scene { files: &[SET], ..info("check of a PNG", "png", "set/auk/1.png", &["data", "check", "set"]) },
    Scene { files: &[SET], ..info("check of a JPEG", "jpeg", "set/auk/3.jpg", &["data", "check", "set"]) },
    Scene { files: &[SET, GRAPH], ..info("eval of a WebP", "webp", "set/auk/3.webp", EVAL) },
    Scene { files: &[SET, GRAPH], ..info("eval of a BMP", "bmp", "set/auk/3.bmp", EVAL) },
    Scene { files: &[SET, GRAPH], ..info("eval by a graph", "onnx", "net.onnx", EVAL) },
    Scene {
        files: &[SET, GRAPH, ("preprocessing.json", "net.json")],
        ..info("eval with a preprocessing", "preprocessing", "net.json", EVAL)
    },
    Scene { files: &[SET, ("urie", "run")], ..info("enhance a PNG", "png", "set/auk/1.png", ENHANCE) },
    Scene {
        files: &[SET, ("urie", "run")],
        ..info("enhance by a config", "config", "run/enhancer.json", ENHANCE)
    },
    Scene {
        files: &[SET, ("urie", "run")],
        ..info("enhance by weights", "safetensors", "run/enhancer.safetensors", ENHANCE)
    },
    Scene {
        files: &[SET],
        ..info(
            "corrupt a JPEG",
            "jpeg",
            "set/auk/3.jpg",
            &[
                "corrupt",
                "set",
                "--out",
                "out",
                "--preset",
                "cifar",
                "--suite",
                "fog",
                "--severities",
                "1",
                "--threads",
                "1",
            ],
        )
    },
    Scene {
        files: &[SET, ("net", "net")],
        ..info(
            "retrain with a policy",
            "policy",
            "p.toml",
            &[
                "retrain",
                "--data",
                "set",
                "--classifier",
                "net/classifier.safetensors",
                "--policy",
                "p.toml",
                "--out",
                "out",
                "--preset",
                "cifar",
                "--epochs",
                "1",
                "--batch-size",
                "4",
            ],
        )
    },
    Scene {
        files: &[SET, GRAPH, ("settings.toml", "c.toml")],
        ..info(
            "train with settings",
            "config",
            "c.toml",
            &[
                "train",
                "--config",
                "c.toml",
                "--data",
                "set",
                "--classifier",
                "net.onnx",
                "--out",
                "out",
                "--method",
                "urie",
                "--preset",
                "cifar",
                "--epochs",
                "1",
                "--batch-size",
                "4",
                "--limit",
                "4",
                "--input-size",
                "32",
            ],
        )
    },
];

const SETTINGS: &str = "setting = \"clean\"
range = \"0..1\"
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]
optimizer = \"adam\"
lr = 1e-3
schedule = \"cosine\"
weight-decay = 0.0
momentum = 0.9
clip = 1.0
seed = 7
on-error = \"fail\"
";

const PREPROCESSING: &str = r#"{"input_size": 32,
"resize": "stretch",
"interpolation": "bicubic",
"mean": [0.5, 0.5, 0.5],
"std": [0.25, 0.25, 0.25],
"channels": "bgr",
"range": "0..1",
"classes": ["auk", "owl"]}
"#;

/// Makes what the scenes start from, by the command itself where it writes such files.
pub fn prepare(dyntta: &Path, ready: &Path) -> Result<()> {
    let write = |name: &str, bytes: &[u8]| -> Result<()> {
        let path = ready.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(ready))?;
        Ok(std::fs::write(path, bytes)?)
    };
    for (name, bytes) in labelled_images() {
        write(&format!("set/{name}"), &bytes)?;
    }
    write("net.onnx", &classifier_onnx(32, 2))?;
    for part in ["train", "t10k"] {
        let [labels, images] = idx_files();
        write(&format!("idx/{part}-labels-idx1-ubyte"), &labels)?;
        write(&format!("idx/{part}-images-idx3-ubyte"), &images)?;
    }
    for batch in
        ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]
    {
        write(&format!("binary/{batch}.bin"), &cifar_binary())?;
        write(&format!("python/{batch}"), &cifar_pickle())?;
    }
    write("python/batches.meta", &cifar_meta())?;
    write("settings.toml", SETTINGS.as_bytes())?;
    write("preprocessing.json", PREPROCESSING.as_bytes())?;
    write("list.csv", b"path,label\n1.png,auk\n2.png,auk\n../owl/1.png,owl\n")?;
    let call = |args: &[&str]| -> Result<()> {
        let output = Command::new(dyntta).args(args).current_dir(ready).output()?;
        if !output.status.success() {
            bail!("dyntta {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    };
    let common = ["--data", "set", "--preset", "cifar", "--epochs", "1", "--batch-size", "4"];
    call(&[&["classifier", "train", "--arch", "cifar-resnet8", "--out", "net"][..], &common].concat())?;
    call(
        &[&["train", "--method", "urie", "--classifier", "net.onnx", "--out", "urie"][..], &common].concat(),
    )?;
    write("w.pth", &as_pth(&std::fs::read(ready.join("net/classifier.safetensors"))?)?)?;
    let corrupt = ["corrupt", "set", "--out", "c", "--layout", "cifar-c", "--size", "32"];
    call(&[&corrupt[..], &["--preset", "cifar", "--suite", "fog"]].concat())
}

/// The tensors of a safetensors file as PyTorch keeps them, with other values.
fn as_pth(safetensors: &[u8]) -> Result<Vec<u8>> {
    let (length, rest) = safetensors.split_first_chunk::<8>().context("a header")?;
    let header = rest.get(..u64::from_le_bytes(*length) as usize).context("a header")?;
    let header: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(header)?;
    let sides = |value: &serde_json::Value| -> Vec<usize> {
        value["shape"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|n| n.as_u64())
            .map(|n| n as usize)
            .collect()
    };
    let tensors: Vec<(&str, Vec<usize>)> = header
        .iter()
        .filter(|(key, _)| *key != "__metadata__")
        .map(|(key, value)| (key.as_str(), sides(value)))
        .collect();
    Ok(pth("net", &tensors.iter().map(|(key, shape)| (*key, &shape[..])).collect::<Vec<_>>()))
}
