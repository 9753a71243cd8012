//! The networks against PyTorch and torchvision: outputs, gradients to the image and to weights. The weights come from
//! a formula that `testdata/make_networks.py` repeats.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use dyntta_nn::ops::plain::to_nhwc;
use dyntta_nn::weights::{self, Entry, StateDict};
use dyntta_nn::{CifarResNet, Depth, Init, Mode, ResNet, SkUnet};

#[derive(serde::Deserialize)]
struct Case {
    size: [usize; 4],
    train: bool,
    output: Vec<f32>,
    input_grad: Vec<f32>,
    weight_grads: BTreeMap<String, Vec<f32>>,
}

fn cases(name: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/networks.json");
    let text = std::fs::read_to_string(path).unwrap();
    let mut all: BTreeMap<String, Vec<Case>> = serde_json::from_str(&text).unwrap();
    all.remove(name).unwrap()
}

/// The key as PyTorch has it: its bytes set the phase of the weights.
fn torch_key(key: &str) -> String {
    key.replace(".downsample.conv.", ".downsample.0.").replace(".downsample.bn.", ".downsample.1.")
}

fn fill(dict: &StateDict) -> StateDict {
    dict.iter()
        .map(|(key, entry)| {
            let key = torch_key(key);
            let phase: u64 = key.bytes().map(u64::from).sum();
            let fan_in: usize = entry.shape[1..].iter().product();
            let data = (0..entry.data.len())
                .map(|i| {
                    let wave = (0.7 * i as f64 + phase as f64).sin();
                    let value = match (entry.shape.len(), key.rsplit('.').next().unwrap()) {
                        (_, "running_var") => 1.0 + 0.5 * wave * wave,
                        (1, "weight") => 1.0 + 0.2 * wave,
                        (1, _) => 0.1 * wave,
                        _ => wave * (2.0 / fan_in as f64).sqrt(),
                    };
                    value as f32
                })
                .collect();
            (key, Entry { shape: entry.shape.clone(), data })
        })
        .collect()
}

fn image([n, c, h, w]: [usize; 4], device: &Device) -> Tensor<4> {
    let values: Vec<f32> = (0..n * c * h * w)
        .map(|i| (0.5 + 0.5 * (0.37 * i as f64).sin() * (0.011 * i as f64).cos()) as f32)
        .collect();
    Tensor::<4>::from_data(TensorData::new(values, [n, c, h, w]), device).require_grad()
}

fn pick(values: &[f32]) -> Vec<f32> {
    values.iter().step_by((values.len() / 24).max(1)).take(24).copied().collect()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec::<f32>().unwrap()
}

/// Holds ours to PyTorch's within `tolerance` of the root mean square.
///
/// Among a million activations a few lie within rounding of a kink (ReLU, max pool), where the two sides may take
/// different branches: single gradients then differ visibly, so the norm of the difference is what counts.
fn assert_close(what: &str, ours: &[f32], theirs: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let norm = |v: &mut dyn Iterator<Item = f32>| v.map(|v| v * v).sum::<f32>().sqrt();
    let difference = norm(&mut ours.iter().zip(theirs).map(|(a, b)| a - b));
    let scale = norm(&mut theirs.iter().copied());
    assert!(
        difference <= tolerance * scale,
        "{what}: off by {difference} of {scale}\nours {ours:?}\nPyTorch {theirs:?}"
    );
}

fn check<M: Module>(
    name: &str,
    make: impl Fn(&Init, usize) -> M,
    forward: impl Fn(&M, Tensor<4>, Mode) -> Vec<Tensor<4>>,
) {
    let device = Device::flex().autodiff();
    for (i, case) in cases(name).into_iter().enumerate() {
        let classes = match (name, i) {
            ("resnet18", _) => 100,
            _ => 10,
        };
        let fresh = make(&Init::new("test", 0, &device), classes);
        let dict = fill(&weights::state_dict(&fresh));
        let net = weights::load(fresh, &dict, Path::new("formula"), name).unwrap();
        let x = image(case.size, &device);
        let mode = if case.train { Mode::Train } else { Mode::Eval };
        // The SK-UNet's output is an image, compared in PyTorch's order.
        let y = forward(&net, x.clone(), mode).remove(0);
        let what = format!("{name} on {:?}, train {}", case.size, case.train);
        let flat = values(y.clone());
        let g: Vec<f32> = (0..flat.len()).map(|i| (0.3 * i as f64).cos() as f32).collect();
        let g = Tensor::<4>::from_data(TensorData::new(g, y.dims()), &Device::flex());
        assert_close(&format!("{what}: output"), &pick(&flat), &case.output, 1e-4);
        let grads = (y * g).sum().backward();
        assert_close(
            &format!("{what}: input gradient"),
            &pick(&values(x.grad(&grads).unwrap())),
            &case.input_grad,
            1e-2,
        );
        let found = Gradients::of(&net, &grads);
        for (key, theirs) in &case.weight_grads {
            if !case.train && key.contains(".bn.") {
                // Fixed statistics mean a frozen normalisation here: it has no gradient.
                continue;
            }
            let ours = found.0.get(key).unwrap_or_else(|| panic!("{what}: no gradient of {key}"));
            assert_close(&format!("{what}: gradient of {key}"), &pick(ours), theirs, 1e-2);
        }
        assert!(!case.weight_grads.is_empty());
    }
}

/// The gradients of a module's parameters by key.
#[derive(Default)]
struct Gradients(BTreeMap<String, Vec<f32>>);

impl Gradients {
    fn of<M: Module>(module: &M, grads: &burn::tensor::Gradients) -> Self {
        struct Visitor<'a>(Vec<String>, &'a burn::tensor::Gradients, Gradients);
        impl burn::module::ModuleVisitor for Visitor<'_> {
            fn enter_module(&mut self, name: &str, _: &str) {
                self.0.push(name.to_owned());
            }
            fn exit_module(&mut self, _: &str, _: &str) {
                self.0.pop();
            }
            fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<Tensor<D>>) {
                let tensor = param.val();
                if tensor.device().is_autodiff()
                    && let Some(grad) = tensor.grad(self.1)
                {
                    self.2.0.insert(self.0.join("."), values(grad));
                }
            }
        }
        let mut visitor = Visitor(Vec::new(), grads, Gradients::default());
        module.visit(&mut visitor);
        visitor.2
    }
}

fn as_image(logits: Tensor<2>) -> Vec<Tensor<4>> {
    let [n, k] = logits.dims();
    vec![logits.reshape([n, k, 1, 1])]
}

#[test]
fn sk_unet() {
    check(
        "skunet",
        |init, _| SkUnet::new(init),
        |net, x, mode| vec![net.forward(to_nhwc(x), mode).permute([0, 3, 1, 2])],
    );
}

#[test]
fn cifar_resnet20() {
    check(
        "cifar-resnet20",
        |init, classes| CifarResNet::new(init, 3, classes),
        |net, x, mode| as_image(net.forward(to_nhwc(x), mode)),
    );
}

#[test]
fn torchvision_resnets() {
    for (name, depth) in [("resnet18", Depth::D18), ("resnet34", Depth::D34), ("resnet50", Depth::D50)] {
        check(
            name,
            |init, classes| ResNet::new(init, depth, classes),
            |net, x, mode| as_image(net.forward(to_nhwc(x), mode)),
        );
    }
}
