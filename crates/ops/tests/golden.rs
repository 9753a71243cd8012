//! Golden vectors: every op against kornia's outputs and gradients.
//!
//! `DYNTTA_GOLDEN_DIR` names a folder with the full set; without it the small subset in `testdata` is read. Each file holds
//! `image` and `g` (N, 3, H, W) and, for one or two cases, raw values, factors, outputs and gradients.
#![allow(clippy::disallowed_macros, reason = "a test prints")]

use std::path::{Path, PathBuf};

use dyntta_ops::{Bank, Gradients, Op, Shape, View, bank, blend};
use safetensors::{Dtype, SafeTensors};

struct Golden {
    bytes: Vec<u8>,
    name: String,
}

fn folder() -> PathBuf {
    match std::env::var_os("DYNTTA_GOLDEN_DIR") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata"),
    }
}

impl Golden {
    fn open(name: &str) -> Self {
        let path = folder().join(format!("{name}.safetensors"));
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self { bytes, name: name.to_owned() }
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).unwrap()
    }

    fn has(&self, key: &str) -> bool {
        self.tensors().tensor(key).is_ok()
    }

    fn f32(&self, key: &str) -> Vec<f32> {
        let tensors = self.tensors();
        let tensor = tensors.tensor(key).unwrap_or_else(|e| panic!("{}: {key}: {e}", self.name));
        assert_eq!(tensor.dtype(), Dtype::F32);
        tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    fn u8(&self, key: &str) -> Vec<u8> {
        self.tensors().tensor(key).unwrap().data().to_vec()
    }

    fn shape(&self) -> Shape {
        let tensors = self.tensors();
        let shape = tensors.tensor("image").unwrap().shape().to_vec();
        assert_eq!(shape[1], 3);
        Shape { n: shape[0], h: shape[2], w: shape[3] }
    }
}

/// The largest absolute difference where `counts`.
fn worst(found: &[f32], expected: &[f32], counts: impl Fn(usize) -> bool) -> f32 {
    assert_eq!(found.len(), expected.len());
    let differences = found.iter().zip(expected).enumerate().filter(|(i, _)| counts(*i));
    differences.map(|(_, (a, b))| (a - b).abs()).fold(0.0, |a, b| if b > a || b.is_nan() { b } else { a })
}

#[track_caller]
fn close(what: &str, found: &[f32], expected: &[f32], tolerance: f32, counts: impl Fn(usize) -> bool) {
    let worst = worst(found, expected, counts);
    println!("{what}: {worst:.1e} (limit {tolerance:.1e})");
    assert!(worst <= tolerance, "{what}: {worst:e} > {tolerance:e}");
}

#[track_caller]
fn relative(what: &str, found: f32, expected: f32, tolerance: f32) {
    // In a constant image what should cancel leaves rounding errors.
    let error = (found - expected).abs() / expected.abs().max(1e-2);
    println!("{what}: {error:.1e} relative (limit {tolerance:.1e})");
    assert!(error <= tolerance, "{what}: {found} instead of {expected}");
}

struct Tolerance {
    output: f32,
    grad_image: f32,
    grad_factor: f32,
}

/// Forward and backward of each image through the op's plain path: outputs, image gradients, factor gradients.
fn plain(op: &dyn Op, shape: Shape, image: &[f32], factors: &[f32], g: &[f32]) -> [Vec<f32>; 3] {
    let size = shape.image();
    let mut out = vec![f32::NAN; image.len()];
    let mut grad_image = vec![0.0; image.len()];
    let mut grad_factor = vec![0.0; shape.n];
    for i in 0..shape.n {
        let here = i * size..(i + 1) * size;
        let view = View::new(&image[here.clone()], shape.h, shape.w).unwrap();
        op.forward(view, factors[i], &mut out[here.clone()]);
        grad_factor[i] = op.backward(view, factors[i], &g[here.clone()], Some(&mut grad_image[here]));
    }
    [out, grad_image, grad_factor]
}

/// The same through a bank of this op alone with weight 1, except the clamp: outputs, image gradients, raw gradients.
fn blended(name: &str, shape: Shape, image: &[f32], raw: &[f32], g: &[f32]) -> [Vec<f32>; 3] {
    let bank = Bank::from_names(&[name]).unwrap();
    let weights = vec![1.0; shape.n];
    let mut out = vec![f32::NAN; image.len()];
    blend::forward(&bank, shape, image, raw, &weights, None, &mut out).unwrap();
    let mut grad_image = vec![f32::NAN; image.len()];
    let mut grad_raw = vec![f32::NAN; shape.n];
    let mut grad_weights = vec![f32::NAN; shape.n];
    // The op's own gradients: an output strictly inside lets everything pass.
    let inside = vec![0.5; image.len()];
    let grads = Gradients {
        raw: &mut grad_raw,
        weights: &mut grad_weights,
        network: None,
        image: Some(&mut grad_image),
    };
    blend::backward(&bank, shape, image, raw, &weights, None, &inside, g, grads).unwrap();
    [out, grad_image, grad_raw]
}

fn clamped(values: &[f32]) -> Vec<f32> {
    values.iter().map(|x| x.clamp(0.0, 1.0)).collect()
}

fn with_magnitude(name: &str, tolerance: &Tolerance) {
    let golden = Golden::open(name);
    let (shape, image, g) = (golden.shape(), golden.f32("image"), golden.f32("g"));
    let op = bank::op(name).unwrap();
    let mut cases = 0;
    for case in (0..2).filter(|case| golden.has(&format!("raw{case}"))) {
        cases += 1;
        let key = |key: &str| format!("{key}{case}");
        let label = |part: &str| format!("{name} case {case} {part}");
        let (raw, factors) = (golden.f32(&key("raw")), golden.f32(&key("factor")));
        let (output, grad_image) = (golden.f32(&key("output")), golden.f32(&key("grad_image")));
        let (grad_factor, grad_raw) = (golden.f32(&key("grad_factor")), golden.f32(&key("grad_raw")));
        let stable = golden.u8(&key("grad_image_stable"));
        for (i, (&raw, &factor)) in raw.iter().zip(&factors).enumerate() {
            relative(&label(&format!("factor of image {i}")), op.factor(raw), factor, 1e-6);
        }
        let [out, grad, by_factor] = plain(&*op, shape, &image, &factors, &g);
        close(&label("output"), &out, &output, tolerance.output, |_| true);
        close(&label("grad_image"), &grad, &grad_image, tolerance.grad_image, |i| stable[i] == 1);
        for i in 0..shape.n {
            relative(&label("grad_factor"), by_factor[i], grad_factor[i], tolerance.grad_factor);
            let by_raw = by_factor[i] * op.d_factor_d_raw(raw[i]);
            relative(&label("grad_raw"), by_raw, grad_raw[i], tolerance.grad_factor);
        }
        let [out, grad, by_raw] = blended(name, shape, &image, &raw, &g);
        close(&label("blended output"), &out, &clamped(&output), tolerance.output, |_| true);
        close(&label("blended grad_image"), &grad, &grad_image, tolerance.grad_image, |i| stable[i] == 1);
        for i in 0..shape.n {
            relative(&label("blended grad_raw"), by_raw[i], grad_raw[i], tolerance.grad_factor);
        }
    }
    assert!(cases > 0);
}

macro_rules! with_magnitude {
    ($($name:ident: $output:expr, $grad_image:expr, $grad_factor:expr;)*) => {$(
        #[test]
        fn $name() {
            let tolerance = Tolerance { output: $output, grad_image: $grad_image, grad_factor: $grad_factor };
            with_magnitude(stringify!($name), &tolerance);
        }
    )*};
}

with_magnitude! {
    rotate: 1e-5, 3e-5, 3e-5;
    scale: 1e-5, 3e-5, 3e-5;
    saturation: 1.1e-6, 4e-6, 1e-5;
    contrast: 2e-7, 9e-7, 1e-5;
    sharpness: 1.1e-6, 3e-6, 2e-3;
    brightness: 2e-7, 9e-7, 1e-5;
    hue: 1.1e-6, 4e-6, 1e-5;
    gamma: 2e-7, 9e-7, 1e-5;
}

#[test]
fn auto_contrast() {
    let golden = Golden::open("autocontrast");
    let (shape, image, g) = (golden.shape(), golden.f32("image"), golden.f32("g"));
    let (output, grad_image) = (golden.f32("output"), golden.f32("grad_image"));
    let op = bank::op("auto_contrast").unwrap();
    let [out, grad, _] = plain(&*op, shape, &image, &vec![0.0; shape.n], &g);
    // The published table is clamped in a constant channel.
    let n = shape.pixels();
    let constant = |i: usize| {
        let plane = &image[i / n * n..(i / n + 1) * n];
        plane.iter().all(|x| *x == plane[0])
    };
    close("auto_contrast", &out, &output, 0.0, |i| !constant(i));
    close("auto_contrast, constant", &out, &clamped(&output), 0.0, constant);
    close("auto_contrast grad_image", &grad, &grad_image, 0.0, |_| true);
    let [out, grad, _] = blended("auto_contrast", shape, &image, &vec![0.0; shape.n], &g);
    close("auto_contrast blended", &out, &clamped(&output), 0.0, |_| true);
    close("auto_contrast blended grad_image", &grad, &grad_image, 0.0, |_| true);
}

#[test]
fn equalize() {
    let golden = Golden::open("equalize");
    let (shape, image, g) = (golden.shape(), golden.f32("image"), golden.f32("g"));
    let (output, grad_image) = (golden.f32("output"), golden.f32("grad_image"));
    let op = bank::op("equalize").unwrap();
    let [out, grad, _] = plain(&*op, shape, &image, &vec![0.0; shape.n], &g);
    close("equalize", &out, &output, 0.0, |_| true);
    // The published gradient goes through x * 255 / 255.
    close("equalize grad_image", &grad, &grad_image, 2.4e-7, |_| true);
    let [out, grad, _] = blended("equalize", shape, &image, &vec![0.0; shape.n], &g);
    close("equalize blended", &out, &output, 0.0, |_| true);
    close("equalize blended grad_image", &grad, &grad_image, 2.4e-7, |_| true);
}

#[test]
fn invert() {
    let golden = Golden::open("invert");
    let (shape, image, g) = (golden.shape(), golden.f32("image"), golden.f32("g"));
    let (output, grad_image) = (golden.f32("output"), golden.f32("grad_image"));
    let largest = |values: &[f32]| values.iter().copied().fold(f32::MIN, f32::max);
    let of_batch = largest(&image);
    let maxima: Vec<f32> = image.chunks_exact(shape.image()).map(largest).collect();
    let op = bank::op("invert").unwrap();
    for path in ["plain", "blended"] {
        let [out, grad, _] = match path {
            "plain" => plain(&*op, shape, &image, &vec![0.0; shape.n], &g),
            _ => blended("invert", shape, &image, &vec![0.0; shape.n], &g),
        };
        // The published maximum is the batch's.
        let shifted: Vec<f32> =
            out.iter().enumerate().map(|(i, out)| out + (of_batch - maxima[i / shape.image()])).collect();
        close(&format!("invert {path}"), &shifted, &output, 1.2e-7, |_| true);
        // Places that hold the maximum of the image or of the batch get a share, which differs.
        close(&format!("invert {path} grad_image"), &grad, &grad_image, 0.0, |i| {
            image[i] != maxima[i / shape.image()]
        });
    }
}

fn filters(file: &str, family: &str) {
    let golden = Golden::open(file);
    let (shape, image, g) = (golden.shape(), golden.f32("image"), golden.f32("g"));
    let mut cases = 0;
    for i in (1..20).filter(|i| golden.has(&format!("output_r{i:02}"))) {
        cases += 1;
        let name = format!("{family}_{:.2}", f64::from(i) * 0.05);
        let (output, grad_image) =
            (golden.f32(&format!("output_r{i:02}")), golden.f32(&format!("grad_image_r{i:02}")));
        let op = bank::op(&name).unwrap();
        let [out, grad, _] = plain(&*op, shape, &image, &vec![0.0; shape.n], &g);
        let scale = g.iter().fold(1.0f32, |a, b| a.max(b.abs()));
        close(&name, &out, &output, 4e-7, |_| true);
        close(&format!("{name} grad_image"), &grad, &grad_image, 4e-7 * scale, |_| true);
        let [out, grad, _] = blended(&name, shape, &image, &vec![0.0; shape.n], &g);
        close(&format!("{name} blended"), &out, &clamped(&output), 4e-7, |_| true);
        close(&format!("{name} blended grad_image"), &grad, &grad_image, 4e-7 * scale, |_| true);
    }
    assert!(cases > 0);
}

#[test]
fn low_pass() {
    filters("lowpass", "low_pass");
}

#[test]
fn high_pass() {
    filters("highpass", "high_pass");
}
