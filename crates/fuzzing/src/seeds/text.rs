//! Texts: policies, configs, settings, preprocessings.

fn all<const N: usize>(texts: [&str; N]) -> Vec<Vec<u8>> {
    texts.map(|text| text.as_bytes().to_vec()).into()
}

pub(crate) fn policies() -> Vec<Vec<u8>> {
    let quantiles = (0..7).map(|i| format!("{:?}", 1.2 + f64::from(i) / 10.0)).collect::<Vec<_>>().join(", ");
    let full = format!(
        "version = 1\n\n[about]\nimages = 8\nsetting = \"clean\"\n\n[[op]]\nname = \"contrast\"\nweight = 0.5\nfactor = {{ mean = 1.5, \
         quantiles = [{quantiles}] }}\n\n[[op]]\nname = \"invert\"\nweight = 0.25\n\n[[op]]\nname = \"low_pass_0.25\"\nweight = 0.25\n\
         factor = {{ mean = 1.5, quantiles = [{quantiles}] }}\n\n[[group]]\nby = \"class\"\nname = \"auk\"\nimages = 3\nweights = {{ \
         \"contrast\" = 0.5, \"invert\" = 0.5 }}\n"
    );
    all([
        &full,
        "version = 1\n[[op]]\nname = \"auto_contrast\"\nweight = 1\nclean_weight = 0.5\n[[op]]\nname = \"equalize\"\nweight = 0\n",
    ])
}

pub(crate) fn configs() -> Vec<Vec<u8>> {
    all([
        r#"{
  "format": 1,
  "method": "dyntta",
  "bank": ["contrast", "gamma", "urie"],
  "control_size": 32,
  "image_size": [32, 32],
  "classifier": {
    "arch": "cifar-resnet8",
    "normalisation": {"mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]},
    "classes": ["auk", "owl"]
  },
  "seed": 0,
  "versions": {"dyntta": "0.1.0"},
  "training": {"lr": 0.1}
}"#,
        r#"{"format": 1, "method": "urie", "image_size": [8, 8], "seed": 0, "versions": {}, "training": null,
"classifier": {"arch": "onnx", "normalisation": {"mean": [0, 0, 0], "std": [1, 1, 1]}, "classes": []}}"#,
        r#"data = "photos"
classifier = "w.pth"
method = "dyntta"
setting = "fog:3"
preset = "cifar"
limit = 100
control-size = 32
bank = ["identity", "contrast", "low_pass_0.25"]
input-size = [32, 32]
mean = [0.5, 0.5, 0.5]
std = [0.2, 0.2, 0.2]
range = "0..1"
epochs = 3
batch-size = 8
optimizer = "adam"
lr = 1e-3
schedule = "cosine"
weight-decay = 0.0
momentum = 0.9
clip = 1.0
seed = 7
"#,
        r#"{"data": "photos", "classifier": "w.pth", "epochs": 2, "seed": 18446744073709551615}"#,
    ])
}

pub(crate) fn preprocessings() -> Vec<Vec<u8>> {
    all([
        r#"{"input_size": [14, 21],
"resize": "stretch",
"interpolation": "bicubic",
"crop_pct": 0.9,
"mean": [103.5, 116, 124],
"std": [1, 2, 3],
"channels": "bgr",
"range": "0..255",
"classes": ["auk", "owl"]}"#,
        r#"{"architecture": "resnet18", "num_classes": 2,
"pretrained_cfg": {"input_size": [3, 24, 24], "interpolation": "bilinear", "crop_pct": 0.95, "crop_mode": "center",
"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "num_classes": 2, "label_names": ["auk", "owl"]}}"#,
        "dyntta.input_size: 16\ndyntta.mean: 0.5,0.5,0.5\nstd: [0.2, 0.2, 0.2]\ncrop_mode: squash\nlabel_names: auk,owl\n",
    ])
}
