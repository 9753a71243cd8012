//! Checkpoints with random weights, written by hand, and what the networks make of them by plain loops.
#![allow(dead_code)] // each test file uses some of it

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dyntta_image::Stream;
use dyntta_kernels::Conv2d;
use dyntta_kernels::act::Activation;
use dyntta_kernels::gate::Gate;
use dyntta_kernels::pool::{AvgPool, MaxPool};
use dyntta_kernels::upsample::Upsample;
use dyntta_ops::{Bank, Shape, blend};
use dyntta_oracle as naive;
use safetensors::tensor::{Dtype, TensorView};

/// Shape and values by key.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

pub fn tempdir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Pixel values of bytes.
pub fn image(len: usize, label: &str) -> Vec<f32> {
    let mut stream = Stream::new(0, &["image", label]);
    (0..len).map(|_| stream.below(256) as f32 / 255.0).collect()
}

fn add(tensors: &mut Tensors, key: String, shape: &[usize], spread: f32) {
    let mut stream = Stream::new(0, &["tensor", &key]);
    let len = shape.iter().product();
    let offset =
        if key.ends_with("running_var") || key.contains("bn") && key.ends_with("weight") { 1.0 } else { 0.0 };
    let values = (0..len).map(|_| offset + spread * (2.0 * stream.uniform_f32() - 1.0)).collect();
    tensors.insert(key, (shape.to_vec(), values));
}

fn add_conv(tensors: &mut Tensors, key: &str, [cout, cin, side]: [usize; 3], bias: bool) {
    let spread = (3.0 / (cin * side * side) as f32).sqrt();
    add(tensors, format!("{key}.weight"), &[cout, cin, side, side], spread);
    if bias {
        add(tensors, format!("{key}.bias"), &[cout], 0.3);
    }
}

fn add_linear(tensors: &mut Tensors, key: &str, [output, input]: [usize; 2], bias: bool) {
    add(tensors, format!("{key}.weight"), &[output, input], 2.0 / (input as f32).sqrt());
    if bias {
        add(tensors, format!("{key}.bias"), &[output], 0.5);
    }
}

fn add_norm(tensors: &mut Tensors, key: &str, channels: usize) {
    for leaf in ["weight", "bias", "running_mean", "running_var"] {
        add(tensors, format!("{key}.{leaf}"), &[channels], 0.4);
    }
}

const BLOCKS: [(&str, usize, usize); 4] =
    [("down1", 32, 64), ("down2", 64, 64), ("up1", 128, 32), ("up2", 64, 16)];

/// An SK-UNet's tensors.
pub fn urie(prefix: &str) -> Tensors {
    let mut t = Tensors::new();
    add_conv(&mut t, &format!("{prefix}stem"), [32, 3, 9], true);
    add_conv(&mut t, &format!("{prefix}head"), [3, 16, 3], true);
    for (name, input, output) in BLOCKS {
        let key = format!("{prefix}{name}");
        add_norm(&mut t, &format!("{key}.bn"), input);
        add_conv(&mut t, &format!("{key}.conv_a"), [output, input, 3], false);
        add_conv(&mut t, &format!("{key}.conv_b"), [output, input, 3], false);
        add_linear(&mut t, &format!("{key}.squeeze"), [output, 16 * output], false);
        add_linear(&mut t, &format!("{key}.attend_a"), [16 * output, output], true);
        add_linear(&mut t, &format!("{key}.attend_b"), [16 * output, output], true);
    }
    t
}

/// DynTTA's tensors for a bank of `k` with a network slot or without.
pub fn dyntta(k: usize, network: bool) -> Tensors {
    let mut t = if network { urie("urie.") } else { Tensors::new() };
    add_conv(&mut t, "control.conv1", [64, 3, 7], false);
    add_norm(&mut t, "control.bn1", 64);
    let mut input = 64;
    for stage in 0..4 {
        let width = 64 << stage;
        for i in 0..2 {
            let key = format!("control.layer{}.{i}", stage + 1);
            add_conv(&mut t, &format!("{key}.conv1"), [width, input, 3], false);
            add_norm(&mut t, &format!("{key}.bn1"), width);
            add_conv(&mut t, &format!("{key}.conv2"), [width, width, 3], false);
            add_norm(&mut t, &format!("{key}.bn2"), width);
            if input != width {
                add_conv(&mut t, &format!("{key}.downsample.conv"), [width, input, 1], false);
                add_norm(&mut t, &format!("{key}.downsample.bn"), width);
            }
            input = width;
        }
    }
    add_linear(&mut t, "control.fc", [2 * k, 512], true);
    t
}

pub fn config(method: &str, more: &str) -> String {
    format!(
        r#"{{"format": 1, "method": "{method}", {more} "image_size": [32, 32], "seed": 1, "versions": {{}},
        "training": {{"epochs": 3}}, "classifier": {{"arch": "x", "classes": ["a", "b"],
        "normalisation": {{"mean": [0.5, 0.5, 0.5], "std": [1, 1, 1]}}}}}}"#
    )
}

pub fn write_weights(path: &Path, tensors: &Tensors) {
    let bytes: BTreeMap<&str, Vec<u8>> = tensors
        .iter()
        .map(|(key, (_, values))| (key.as_str(), values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views = tensors.iter().map(|(key, (shape, _))| {
        (key.as_str(), TensorView::new(Dtype::F32, shape.clone(), &bytes[key.as_str()]).unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Writes a run's folder.
pub fn write(dir: &Path, tensors: &Tensors, config: &str) -> PathBuf {
    write_weights(&dir.join("enhancer.safetensors"), tensors);
    std::fs::write(dir.join("enhancer.json"), config).unwrap();
    dir.to_owned()
}

/// NHWC activations.
#[derive(Clone)]
pub struct Maps {
    pub n: usize,
    pub h: usize,
    pub w: usize,
    pub c: usize,
    pub x: Vec<f32>,
}

impl Maps {
    fn from_planar(n: usize, h: usize, w: usize, planar: &[f32]) -> Self {
        let mut x = vec![0.0; planar.len()];
        for i in 0..x.len() {
            let (image, rest) = (i / (3 * h * w), i % (3 * h * w));
            x[i] = planar[image * 3 * h * w + rest % 3 * h * w + rest / 3];
        }
        Maps { n, h, w, c: 3, x }
    }

    fn to_planar(&self) -> Vec<f32> {
        let (c, pixels) = (self.c, self.h * self.w);
        (0..self.x.len())
            .map(|i| {
                let (image, rest) = (i / (c * pixels), i % (c * pixels));
                self.x[image * c * pixels + rest % pixels * c + rest / pixels]
            })
            .collect()
    }

    fn get(&self, n: usize, y: usize, x: usize, c: usize) -> f32 {
        self.x[((n * self.h + y) * self.w + x) * self.c + c]
    }

    /// Other sizes, each value by its place.
    fn map(&self, h: usize, w: usize, c: usize, f: impl Fn(usize, usize, usize, usize) -> f32) -> Self {
        let mut x = Vec::new();
        for n in 0..self.n {
            for y in 0..h {
                for column in 0..w {
                    x.extend((0..c).map(|c| f(n, y, column, c)));
                }
            }
        }
        Maps { n: self.n, h, w, c, x }
    }
}

/// The networks by plain loops over tensors.
pub struct Plain<'a>(pub &'a Tensors);

impl Plain<'_> {
    fn get(&self, key: &str) -> &[f32] {
        &self.0.get(key).unwrap_or_else(|| panic!("no {key}")).1
    }

    fn conv(&self, x: &Maps, key: &str, stride: usize, pad: usize) -> Maps {
        let (shape, weight) = &self.0[&format!("{key}.weight")];
        let on = Conv2d {
            n: x.n,
            h: x.h,
            w: x.w,
            cin: x.c,
            cout: shape[0],
            kh: shape[2],
            kw: shape[3],
            stride,
            pad,
        };
        let bias = self.0.get(&format!("{key}.bias")).map(|b| &b.1[..]);
        let mut y = vec![0.0; on.output_len()];
        naive::conv_forward(&on, &x.x, weight, bias, &mut y);
        Maps { h: on.out_h(), w: on.out_w(), c: on.cout, x: y, ..*x }
    }

    fn linear(&self, x: &Maps, key: &str) -> Maps {
        let (shape, weight) = &self.0[&format!("{key}.weight")];
        let bias = self.0.get(&format!("{key}.bias"));
        let value = |n: usize, o: usize| {
            let row = weight[o * shape[1]..][..shape[1]].iter().zip(&x.x[n * shape[1]..]);
            let sum: f64 = row.map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
            (sum + bias.map_or(0.0, |b| f64::from(b.1[o]))) as f32
        };
        x.map(1, 1, shape[0], |n, _, _, o| value(n, o))
    }

    fn batch_norm(&self, x: &Maps, key: &str, act: Activation) -> Maps {
        let get = |leaf: &str| self.get(&format!("{key}.{leaf}"));
        let (weight, bias) = (get("weight"), get("bias"));
        let (mean, variance) = (get("running_mean"), get("running_var"));
        let scale: Vec<f32> = (0..x.c).map(|c| weight[c] / (variance[c] + 1e-5).sqrt()).collect();
        let shift: Vec<f32> = (0..x.c).map(|c| bias[c] - mean[c] * scale[c]).collect();
        let mut y = vec![0.0; x.x.len()];
        naive::affine_forward(&x.x, &scale, &shift, None, act, &mut y);
        Maps { x: y, ..*x }
    }

    fn max_pool(x: &Maps, k: usize, stride: usize, pad: usize) -> Maps {
        let p = MaxPool { n: x.n, h: x.h, w: x.w, c: x.c, k, stride, pad };
        let mut y = vec![0.0; p.output_len()];
        naive::max_pool_forward(&p, &x.x, &mut y, &mut vec![0; p.output_len()]);
        Maps { h: p.out_h(), w: p.out_w(), x: y, ..*x }
    }

    fn avg_pool(x: &Maps, side: usize) -> Maps {
        let p = AvgPool { n: x.n, h: x.h, w: x.w, c: x.c, oh: side, ow: side };
        let mut y = vec![0.0; p.output_len()];
        naive::adaptive_avg_pool_forward(&p, &x.x, &mut y);
        Maps { h: side, w: side, x: y, ..*x }
    }

    fn resize(x: &Maps, oh: usize, ow: usize) -> Maps {
        let p = Upsample { n: x.n, h: x.h, w: x.w, c: x.c, oh, ow };
        let mut y = vec![0.0; p.output_len()];
        naive::upsample_forward(&p, &x.x, &mut y);
        Maps { h: oh, w: ow, x: y, ..*x }
    }

    fn selective(&self, x: &Maps, key: &str) -> Maps {
        let leaky = Activation::LeakyRelu(0.01);
        let a = self.conv(&self.batch_norm(x, &format!("{key}.bn"), leaky), &format!("{key}.conv_a"), 1, 1);
        let mut normal = x.clone();
        let [mut mean, mut inverse] = [(); 2].map(|()| vec![0.0; x.n * x.c]);
        naive::instance_norm_forward(&x.x, x.n, x.c, 1e-5, leaky, &mut normal.x, &mut mean, &mut inverse);
        let b = self.conv(&normal, &format!("{key}.conv_b"), 1, 1);
        let sum = Maps { x: a.x.iter().zip(&b.x).map(|(a, b)| a + b).collect(), ..a };
        let pooled = Self::avg_pool(&sum, 4);
        // Channel first.
        let flat = pooled.map(1, 1, 16 * a.c, |n, _, _, i| pooled.get(n, i % 16 / 4, i % 4, i / 16));
        let mut hidden = self.linear(&flat, &format!("{key}.squeeze"));
        hidden.x.iter_mut().for_each(|v| *v = v.max(0.0));
        let [la, lb] = ["a", "b"].map(|side| self.linear(&hidden, &format!("{key}.attend_{side}")));
        let share = |of: &Maps, i: usize| {
            let (ea, eb) = (la.x[i].exp(), lb.x[i].exp());
            of.x[i].exp() / (ea + eb)
        };
        let maps = [&la, &lb]
            .map(|of| pooled.map(4, 4, a.c, |n, y, x, c| share(of, n * 16 * a.c + c * 16 + y * 4 + x)).x);
        let p = Gate { n: a.n, h: a.h, w: a.w, c: a.c, mh: 4, mw: 4 };
        let mut y = a.clone();
        naive::gate_forward(&p, &a.x, &b.x, &maps[0], &maps[1], &mut y.x);
        y
    }

    fn join(fine: &Maps, coarse: &Maps) -> Maps {
        let up = Self::resize(coarse, 2 * coarse.h, 2 * coarse.w);
        fine.map(fine.h, fine.w, fine.c + up.c, |n, y, x, c| match c.checked_sub(fine.c) {
            None => fine.get(n, y, x, c),
            Some(c) if y < up.h && x < up.w => up.get(n, y, x, c),
            Some(_) => 0.0,
        })
    }

    /// Planar images in and out.
    pub fn urie(&self, prefix: &str, [n, h, w]: [usize; 3], planar: &[f32]) -> Vec<f32> {
        let key = |name: &str| format!("{prefix}{name}");
        let image = Maps::from_planar(n, h, w, planar);
        let grown =
            image.map(h.max(4), w.max(4), 3, |n, y, x, c| image.get(n, y.min(h - 1), x.min(w - 1), c));
        let full = self.conv(&grown, &key("stem"), 1, 4);
        let half = self.selective(&Self::max_pool(&full, 2, 2, 0), &key("down1"));
        let quarter = self.selective(&Self::max_pool(&half, 2, 2, 0), &key("down2"));
        let half = self.selective(&Self::join(&half, &quarter), &key("up1"));
        let full = self.selective(&Self::join(&full, &half), &key("up2"));
        let residual = self.conv(&full, &key("head"), 1, 1);
        image.map(h, w, 3, |n, y, x, c| image.get(n, y, x, c) + residual.get(n, y, x, c)).to_planar()
    }

    fn resnet(&self, x: &Maps) -> Maps {
        let x = self.batch_norm(&self.conv(x, "control.conv1", 2, 3), "control.bn1", Activation::Relu);
        let mut x = Self::max_pool(&x, 3, 2, 1);
        for stage in 1..5 {
            for i in 0..2 {
                let key = format!("control.layer{stage}.{i}");
                let stride = if i == 0 && stage > 1 { 2 } else { 1 };
                let part = |x: &Maps, conv: &str, bn: &str, act, stride, pad| {
                    let y = self.conv(x, &format!("{key}.{conv}"), stride, pad);
                    self.batch_norm(&y, &format!("{key}.{bn}"), act)
                };
                let y = part(&x, "conv1", "bn1", Activation::Relu, stride, 1);
                let mut y = part(&y, "conv2", "bn2", Activation::Identity, 1, 1);
                let shortcut = match self.0.contains_key(&format!("{key}.downsample.conv.weight")) {
                    true => part(&x, "downsample.conv", "downsample.bn", Activation::Identity, stride, 0),
                    false => x,
                };
                y.x.iter_mut().zip(&shortcut.x).for_each(|(y, s)| *y = (*y + s).max(0.0));
                x = y;
            }
        }
        self.linear(&Self::avg_pool(&x, 1), "control.fc")
    }

    /// Raw magnitudes and blend weights, `[n, k]`.
    pub fn decide(&self, view: Option<usize>, [n, h, w]: [usize; 3], planar: &[f32]) -> [Vec<f32>; 2] {
        let image = Maps::from_planar(n, h, w, planar);
        let seen = match view {
            Some(side) if h >= side && w >= side => Self::avg_pool(&image, side),
            Some(side) => Self::resize(&image, side, side),
            None => image,
        };
        let (mean, deviation) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
        let seen = seen.map(seen.h, seen.w, 3, |n, y, x, c| (seen.get(n, y, x, c) - mean[c]) / deviation[c]);
        let out = self.resnet(&seen);
        let (mut raw, mut weights) = (Vec::new(), Vec::new());
        for out in out.x.chunks_exact(out.c) {
            let (magnitudes, logits) = out.split_at(out.len() / 2);
            raw.extend_from_slice(magnitudes);
            let sum: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum();
            weights.extend(logits.iter().map(|l| (f64::from(*l).exp() / sum) as f32));
        }
        [raw, weights]
    }

    pub fn dyntta(&self, bank: &Bank, view: Option<usize>, size: [usize; 3], planar: &[f32]) -> Vec<f32> {
        let [n, h, w] = size;
        let [raw, weights] = self.decide(view, size, planar);
        let network = bank.network_slot().map(|_| self.urie("urie.", size, planar));
        let mut out = vec![0.0; planar.len()];
        let shape = Shape { n, h, w };
        blend::reference::forward(bank, shape, planar, &raw, &weights, network.as_deref(), &mut out).unwrap();
        out
    }
}

/// Asserts that `a` is `b` up to `tolerance`.
pub fn close(a: &[f32], b: &[f32], tolerance: f32, what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= tolerance, "{what}: {a} for {b} at {i}");
    }
}
