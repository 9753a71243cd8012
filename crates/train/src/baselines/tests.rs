use burn::module::Module;
use burn::tensor::{Device, TensorData};
use dyntta_image::Stream;
use dyntta_nn::weights::{self, Entry, StateDict, state_dict};
use dyntta_nn::{Arch, Init, Normalisation, Normalise};

use super::tent::{Tent, entropy};
use super::*;

const SIZE: usize = 16;

/// A small network, its running statistics and scales not those of a fresh one.
fn small() -> Classifier {
    let arch = Arch::CifarResNet(1);
    let net = ClassifierNet::new(&Init::new("classifier", 3, &Device::flex()), arch, 5);
    let dict = state_dict(&net)
        .into_iter()
        .map(|(key, mut entry)| {
            let mut stream = Stream::new(1, &[&key]);
            match key.rsplit('.').next() {
                Some("running_var") => entry.data.fill_with(|| 0.5 + stream.uniform_f32()),
                Some("weight") if entry.shape.len() == 1 => {
                    entry.data.fill_with(|| 0.8 + 0.4 * stream.uniform_f32())
                }
                Some("running_mean" | "bias") => entry.data.fill_with(|| 0.3 * stream.normal_f32()),
                _ => {}
            }
            (key, entry)
        })
        .collect();
    let net = weights::load(net, &dict, "test".as_ref(), "test").unwrap();
    Classifier::new(net, arch, 5, Normalisation::IMAGENET)
}

trait Filled {
    fn fill_with(&mut self, value: impl FnMut() -> f32);
}

impl Filled for Vec<f32> {
    fn fill_with(&mut self, value: impl FnMut() -> f32) {
        self.as_mut_slice().fill_with(value);
    }
}

/// Smooth pictures, each of its own kind.
fn pictures(n: usize, seed: u64) -> Tensor<4> {
    let mut stream = Stream::new(seed, &["pictures"]);
    let mut values = Vec::new();
    for _ in 0..3 * n {
        let [a, b, c] = [0; 3].map(|_| stream.uniform_f32());
        values.extend((0..SIZE * SIZE).map(|i| {
            let (y, x) = ((i / SIZE) as f32, (i % SIZE) as f32);
            0.5 + 0.5 * (a * y + b * x + 6.0 * c).sin()
        }));
    }
    Tensor::from_data(TensorData::new(values, [n, 3, SIZE, SIZE]), &Device::flex())
}

fn start<'a>(name: &str, classifier: &'a Classifier, settings: Settings) -> Box<dyn Predictor + 'a> {
    named(&[name]).unwrap()[0].start(classifier, Preset::Cifar, settings).unwrap()
}

fn scores(name: &str, classifier: &Classifier, images: Tensor<4>) -> Vec<f32> {
    values(start(name, classifier, Settings::default()).scores(images).unwrap())
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

fn assert_close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= tolerance, "{a} and {b}");
    }
}

#[test]
fn names_are_known_once_or_refused_with_the_list() {
    let names = |list: &[&str]| named(list).unwrap().iter().map(|b| b.name).collect::<Vec<_>>();
    assert_eq!(names(&["all"]), ["flip", "ten-crop", "bn-adapt", "tent"]);
    assert_eq!(names(&["tent", "flip", "tent"]), ["tent", "flip"]);
    assert_eq!(names(&[]), [""; 0]);
    let error = named(&["flip", "memo"]).unwrap_err().to_string();
    assert!(error.contains("\"memo\"") && error.contains("flip, ten-crop, bn-adapt, tent"), "{error}");
}

#[test]
fn crops_and_mirror_images_are_invariant_where_they_must_be() {
    let classifier = small();
    let images = pictures(4, 0);
    let alone = values(burn::tensor::activation::softmax(classifier.forward(images.clone()).unwrap(), 1));
    let grey = Tensor::<4>::from_data(
        TensorData::new(vec![0.3f32; 3 * SIZE * SIZE], [1, 3, SIZE, SIZE]),
        &Device::flex(),
    );
    let plain = values(burn::tensor::activation::softmax(classifier.forward(grey.clone()).unwrap(), 1));
    for name in ["flip", "ten-crop"] {
        let scores = |images| scores(name, &classifier, images);
        let ours = scores(images.clone());
        assert_close(&ours, &scores(images.clone().flip([3])), 1e-6);
        assert!(ours.iter().zip(&alone).any(|(a, b)| (a - b).abs() > 1e-3), "{name} does nothing");
        assert_close(&ours.chunks(5).map(|row| row.iter().sum()).collect::<Vec<f32>>(), &[1.0; 4], 1e-5);
        assert_close(&scores(grey.clone()), &plain, 1e-6);
    }
}

#[test]
fn bn_adapt_lies_between_the_statistics_of_training_and_of_the_batch() {
    let classifier = small();
    let images = pictures(6, 0);
    let with = |bn_prior| {
        values(start("bn-adapt", &classifier, Settings { bn_prior, seed: 0 }).scores(images.clone()).unwrap())
    };
    let running = state_dict(network(&classifier));
    assert_close(&with(usize::MAX), &values(classifier.forward(images.clone()).unwrap()), 1e-4);
    // The batch's statistics are those that training uses.
    let copy = network(&classifier).clone().train().valid();
    let trained = values(logits(&classifier, &copy, images.clone(), Mode::Train));
    assert_close(&with(0), &trained, 1e-6);
    assert!(with(0).iter().zip(with(usize::MAX)).any(|(a, b)| (a - b).abs() > 0.1));
    assert_close(&with(6), &by_hand(&classifier, images.clone(), 0.5), 1e-4);
    assert_close(&with(18), &by_hand(&classifier, images.clone(), 0.75), 1e-4);
    assert_eq!(state_dict(network(&classifier)), running, "the classifier stays as it is");
}

/// ResNet-8 layer by layer by tensor operations, `share` of the statistics those of training.
fn by_hand(classifier: &Classifier, images: Tensor<4>, share: f64) -> Vec<f32> {
    use dyntta_nn::ops::plain;
    let dict = state_dict(network(classifier));
    let tensor = |key: &str| -> Tensor<1> {
        let Entry { data, .. } = &dict[key];
        Tensor::from_data(data.as_slice(), &Device::flex())
    };
    let conv = |x: Tensor<4>, key: &str, stride| {
        let Entry { shape, data } = &dict[&format!("{key}.weight")];
        let weight = Tensor::from_data(TensorData::new(data.clone(), shape.clone()), &Device::flex());
        plain::conv2d(x, weight, None, stride, 1)
    };
    let norm = |x: Tensor<4>, key: &str| {
        let channel = |name: &str| tensor(&format!("{key}.{name}")).reshape([1, 1, 1, -1]);
        let mean_of = |x: Tensor<4>| x.mean_dim(0).mean_dim(1).mean_dim(2);
        let own = mean_of(x.clone());
        let own_variance = mean_of((x.clone() - own.clone()).powi_scalar(2));
        let mean = channel("running_mean") * share + own * (1.0 - share);
        let variance = channel("running_var") * share + own_variance * (1.0 - share);
        (x - mean) / (variance + 1e-5).sqrt() * channel("weight") + channel("bias")
    };
    let relu = |x: Tensor<4>| x.clamp_min(0.0);
    let mut x = classifier.normalisation().apply(to_nhwc(images));
    x = relu(norm(conv(x, "conv1", 1), "bn1"));
    for (layer, stride) in [("layer1.0", 1), ("layer2.0", 2), ("layer3.0", 2)] {
        let at = |name: &str| format!("{layer}.{name}");
        let y = relu(norm(conv(x.clone(), &at("conv1"), stride), &at("bn1")));
        let y = norm(conv(y, &at("conv2"), 1), &at("bn2"));
        let shortcut = if stride == 1 { x } else { dyntta_nn::ops::shrink_shortcut(x, y.dims()[3]) };
        x = relu(y + shortcut);
    }
    let [n, _, _, c] = x.dims();
    let weight = tensor("linear.weight").reshape([5, c]);
    let pooled = x.mean_dim(1).mean_dim(2).reshape([n, c]);
    values(pooled.matmul(weight.transpose()) + tensor("linear.bias").reshape([1, 5]))
}

fn tent(classifier: &Classifier, preset: Preset) -> Tent<'_> {
    Tent::new(&Setup { classifier, preset, settings: Settings::default() })
}

fn entropy_of(scores: Tensor<2>) -> f32 {
    values(entropy(scores))[0]
}

#[test]
fn entropy_is_that_of_the_predictions() {
    let logits =
        Tensor::<2>::from_data([[0.0f32, 0.0, 0.0, 0.0], [3f32.ln(), 0.0, -1e4, -1e4]], &Device::flex());
    let second = -(0.75 * 0.75f32.ln() + 0.25 * 0.25f32.ln());
    assert!((entropy_of(logits) - (4f32.ln() + second) / 2.0).abs() < 1e-6);
}

#[test]
fn tent_lowers_the_entropy_and_changes_scales_and_shifts_alone() {
    let classifier = small();
    let before = state_dict(network(&classifier));
    for (preset, steps) in [(Preset::Cifar, 10), (Preset::Imagenet, 40)] {
        let mut tent = tent(&classifier, preset);
        let images = pictures(8, 0);
        let first = entropy_of(tent.scores(images.clone()).unwrap());
        let mut last = first;
        for _ in 0..steps {
            last = entropy_of(tent.scores(images.clone()).unwrap());
        }
        assert!(last < first - 1e-4, "{preset}: {first} to {last}");
        let after = state_dict(&tent.net);
        assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
        for (key, entry) in &after {
            let adapts = key.contains("bn") && !key.contains("running");
            assert_eq!(entry != &before[key], adapts, "{preset}: {key}");
        }
        assert_eq!(state_dict(network(&classifier)), before, "the classifier stays as it is");
    }
}

#[test]
fn tent_predicts_before_its_step_and_forgets_on_reset() {
    let classifier = small();
    let (one, two) = (pictures(6, 0), pictures(6, 1));
    let mut fresh = tent(&classifier, Preset::Cifar);
    let run = |tent: &mut Tent, images: &Tensor<4>| values(tent.scores(images.clone()).unwrap());
    let first = run(&mut fresh, &one);
    let adapted = run(&mut fresh, &one);
    let nado = values(
        start("bn-adapt", &classifier, Settings { bn_prior: 0, seed: 0 }).scores(one.clone()).unwrap(),
    );
    assert_close(&first, &nado, 1e-6);
    assert_ne!(first, adapted);
    let mut used = tent(&classifier, Preset::Cifar);
    let second = run(&mut used, &two);
    used.reset();
    assert_eq!(run(&mut used, &one), first, "weights of before");
    assert_eq!(run(&mut used, &one), adapted, "and the optimiser's state");
    used.reset();
    assert_eq!(run(&mut used, &two), second);
}

/// The step against one by the slope of the entropy between two weights: SGD's first step is the rate times that.
#[test]
fn tent_steps_down_the_gradient_of_the_entropy() {
    let classifier = small();
    let images = pictures(6, 0);
    let mut tent = tent(&classifier, Preset::Imagenet);
    let before = state_dict(&tent.net);
    let loss = |dict: &StateDict| {
        let net = weights::load(network(&classifier).clone(), dict, "test".as_ref(), "test").unwrap();
        f64::from(entropy_of(logits(&classifier, &net, images.clone(), Mode::Adapt { prior: 0 })))
    };
    tent.scores(images.clone()).unwrap();
    let after = state_dict(&tent.net);
    for key in ["bn1.weight", "layer2.0.bn1.bias", "layer3.0.bn2.weight", "layer3.0.bn2.bias"] {
        // Along the gradient of one parameter the entropy rises by the gradient's length.
        let gradient: Vec<f64> = before[key]
            .data
            .iter()
            .zip(&after[key].data)
            .map(|(before, after)| f64::from(before - after) / 2.5e-4)
            .collect();
        let length = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        let moved = |by: f64| {
            let mut dict = before.clone();
            let values = dict.get_mut(key).unwrap().data.iter_mut();
            values.zip(&gradient).for_each(|(v, g)| *v += (by * g / length) as f32);
            loss(&dict)
        };
        let step = 5e-3;
        let slope = (moved(step) - moved(-step)) / (2.0 * step);
        assert!((slope - length).abs() < 0.03 * length, "{key}: slope {slope}, gradient's length {length}");
    }
}

#[test]
fn every_family_with_batch_normalisation_adapts() {
    for name in ["resnet18", "densenet121", "mobilenet_v2", "efficientnet_b0", "efficientnet-lite0"] {
        let arch: Arch = name.parse().unwrap();
        let net = ClassifierNet::new(&Init::new("classifier", 0, &Device::flex()), arch, 3);
        let classifier = Classifier::new(net, arch, 3, Normalisation::IMAGENET);
        let before = state_dict(network(&classifier));
        let mut tent = tent(&classifier, Preset::Cifar);
        let images = pictures(3, 0).repeat_dim(2, 4).repeat_dim(3, 4);
        let first = values(tent.scores(images).unwrap());
        assert!(first.iter().all(|v| v.is_finite()), "{name}");
        let (mut adapted, mut norms) = (0, 0);
        for (key, entry) in state_dict(&tent.net) {
            let (layer, field) = key.rsplit_once('.').unwrap();
            let of_norm =
                before.contains_key(&format!("{layer}.running_mean")) && !field.starts_with("running");
            norms += usize::from(of_norm);
            adapted += usize::from(of_norm && entry != before[&key]);
            assert!(of_norm || entry == before[&key], "{name}: {key}");
        }
        // A layer whose activation lets nothing through has no gradient.
        assert!(10 * adapted > 9 * norms, "{name}: {adapted} of {norms}");
    }
}

#[test]
fn what_cannot_adapt_is_left_out_with_the_reason() {
    let arch: Arch = "convnext_tiny".parse().unwrap();
    let net = ClassifierNet::new(&Init::blank("classifier", &Device::flex()), arch, 2);
    let convnext = Classifier::new(net, arch, 2, Normalisation::IMAGENET);
    let (run, message) = runnable(named(&["all"]).unwrap(), &convnext);
    assert_eq!(run.iter().map(|b| b.name).collect::<Vec<_>>(), ["flip", "ten-crop"]);
    assert_eq!(
        message.unwrap(),
        "baselines left out: bn-adapt, tent: convnext_tiny has no batch normalisation"
    );
    let error = named(&["tent"]).unwrap()[0].start(&convnext, Preset::Cifar, Settings::default());
    assert!(error.err().unwrap().to_string().contains("convnext_tiny has no batch normalisation"));
    assert_eq!(runnable(named(&["all"]).unwrap(), &small()).1, None);
}
