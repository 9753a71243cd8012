//! What every augmentation of the registry must do, whatever it is. A new op is tested here without a new line.

use std::sync::Arc;

use dyntta_image::Stream;
use dyntta_ops::{Op, View, bank};

fn ops() -> impl Iterator<Item = Arc<dyn Op>> {
    bank::known_names().into_iter().filter_map(|name| bank::op(&name))
}

const SIZES: [(usize, usize); 8] = [(1, 1), (1, 9), (7, 1), (2, 2), (5, 7), (16, 12), (13, 17), (32, 32)];

fn noise(n: usize, stream: &mut Stream) -> Vec<f32> {
    (0..n).map(|_| stream.uniform_f32()).collect()
}

/// Smooth waves with values between 0.3 and 0.7, whose channels keep their order: far from every clamp and tie.
fn smooth(h: usize, w: usize, stream: &mut Stream) -> Vec<f32> {
    let mut image = Vec::new();
    for c in 0..3 {
        let [a, b, phase] = [0; 3].map(|_| stream.range(0.1, 0.5));
        for p in 0..h * w {
            let wave = (a * (p / w) as f64 + b * (p % w) as f64 + 6.0 * phase).sin();
            image.push((0.35 + 0.1 * f64::from(c) + 0.02 * wave) as f32);
        }
    }
    // One value stands out, so that a small step leaves it the largest.
    image[2 * h * w + h * w / 2] = 0.65;
    image
}

fn forward(op: &dyn Op, image: &[f32], (h, w): (usize, usize), factor: f32) -> Vec<f32> {
    let mut out = vec![f32::NAN; image.len()];
    op.forward(View::new(image, h, w).unwrap(), factor, &mut out);
    out
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

#[test]
fn every_name_finds_its_op() {
    for name in bank::known_names() {
        match bank::op(&name) {
            Some(op) => assert_eq!(op.name(), name),
            None => assert_eq!(name, "urie"),
        }
    }
}

#[test]
fn every_op_says_what_it_does() {
    for op in ops() {
        assert!(!op.about().is_empty() && !op.formula().is_empty() && !op.source().is_empty());
    }
}

#[test]
fn the_neutral_factor_is_the_identity() {
    let mut stream = Stream::new(1, &["neutral"]);
    let mut tested = 0;
    for op in ops() {
        let Some(magnitude) = op.magnitude() else { continue };
        tested += 1;
        let (low, high) = magnitude.range();
        assert!(low < magnitude.neutral && magnitude.neutral < high, "{}", op.name());
        for (h, w) in SIZES {
            let image = noise(3 * h * w, &mut stream);
            for (found, x) in forward(&*op, &image, (h, w), magnitude.neutral).iter().zip(&image) {
                assert!((found - x).abs() < 4e-6, "{} {h} x {w}: {found} instead of {x}", op.name());
            }
        }
    }
    assert!(tested >= 8);
}

#[test]
fn everything_stays_finite() {
    let mut stream = Stream::new(2, &["finite"]);
    for op in ops() {
        for (h, w) in SIZES {
            let n = 3 * h * w;
            let coarse = noise(n, &mut stream).iter().map(|x| (x * 2.0).round() / 2.0).collect();
            let images = [vec![0.0; n], vec![1.0; n], vec![0.5; n], noise(n, &mut stream), coarse];
            for (image, raw) in
                images.iter().zip([-1e30, -3.0, 0.0, 3.0, 1e30, 40.0, -40.0].into_iter().cycle())
            {
                for raw in [raw, -raw, 0.3] {
                    let factor = op.factor(raw);
                    assert!(factor.is_finite() && op.d_factor_d_raw(raw).is_finite(), "{} {raw}", op.name());
                    let out = forward(&*op, image, (h, w), factor);
                    assert!(out.iter().all(|x| x.is_finite()), "{} {h} x {w} at {factor}", op.name());
                    let mut grad = vec![0.0; n];
                    let g = noise(n, &mut stream);
                    let view = View::new(image, h, w).unwrap();
                    let by_factor = op.backward(view, factor, &g, Some(&mut grad));
                    assert!(by_factor.is_finite(), "{} {h} x {w} at {factor}", op.name());
                    // 0^(c - 1) of a gamma c < 1 is stopped by its clamp, so even these are finite.
                    assert!(grad.iter().all(|x| x.is_finite()), "{} {h} x {w} at {factor}", op.name());
                }
            }
        }
    }
}

#[test]
fn the_gradient_of_the_factor_is_the_slope() {
    let mut stream = Stream::new(3, &["factor"]);
    for op in ops() {
        let Some(magnitude) = op.magnitude() else { continue };
        let (low, high) = magnitude.range();
        for (h, w) in [(11, 14), (16, 16), (1, 12)] {
            let image = smooth(h, w, &mut stream);
            // A smooth upstream gradient, so that the sum does not cancel.
            let g = smooth(h, w, &mut stream);
            for side in [-0.04, 0.03, 0.06] {
                let factor = magnitude.neutral + side * (high - low);
                let step = 1e-3 * (high - low);
                let loss = |factor| dot(&g, &forward(&*op, &image, (h, w), factor));
                let slope = (loss(factor + step) - loss(factor - step)) / f64::from(2.0 * step);
                let view = View::new(&image, h, w).unwrap();
                let found = f64::from(op.backward(view, factor, &g, None));
                let scale = dot(&g, &image) / f64::from(high - low);
                assert!(
                    (found - slope).abs() < 2e-2 * slope.abs() + 2e-3 * scale,
                    "{} {h} x {w} at {factor}: {found} instead of {slope}",
                    op.name()
                );
            }
        }
    }
}

/// Step functions, whose gradient is a convention.
const STEPS: [&str; 2] = ["auto_contrast", "equalize"];

#[test]
fn the_gradient_of_the_image_is_the_slope() {
    let mut stream = Stream::new(4, &["image"]);
    for op in ops().filter(|op| !STEPS.contains(&op.name())) {
        let factors = match op.magnitude() {
            None => vec![0.0],
            Some(m) => {
                let (low, high) = m.range();
                [-0.04, 0.03, 0.06].map(|side| m.neutral + side * (high - low)).to_vec()
            }
        };
        for (h, w) in [(11, 14), (8, 8), (1, 12)] {
            let image = smooth(h, w, &mut stream);
            let g: Vec<f32> = image.iter().map(|_| stream.normal_f32()).collect();
            let direction: Vec<f32> = image.iter().map(|_| stream.normal_f32()).collect();
            for &factor in &factors {
                let step = 1e-3f32;
                let moved = |step: f32| -> Vec<f32> {
                    image.iter().zip(&direction).map(|(x, d)| x + step * d).collect()
                };
                let loss = |step| dot(&g, &forward(&*op, &moved(step), (h, w), factor));
                let slope = (loss(step) - loss(-step)) / f64::from(2.0 * step);
                let mut grad = vec![0.0; image.len()];
                op.backward(View::new(&image, h, w).unwrap(), factor, &g, Some(&mut grad));
                let found = dot(&grad, &direction);
                // The length of the gradient measures what could cancel in the product.
                let scale = dot(&grad, &grad).sqrt();
                assert!(
                    (found - slope).abs() < 1e-2 * slope.abs() + 1e-2 * scale,
                    "{} {h} x {w} at {factor}: {found} instead of {slope}",
                    op.name()
                );
            }
        }
    }
}

#[test]
fn backward_adds_to_the_gradient_of_the_image() {
    let mut stream = Stream::new(5, &["adds"]);
    let (h, w) = (6, 7);
    for op in ops() {
        let (image, g) = (noise(3 * h * w, &mut stream), noise(3 * h * w, &mut stream));
        let view = View::new(&image, h, w).unwrap();
        let factor = op.factor(0.4);
        let (mut once, mut more) = (vec![0.0; 3 * h * w], vec![1.0; 3 * h * w]);
        let by_factor = op.backward(view, factor, &g, Some(&mut once));
        assert_eq!(by_factor, op.backward(view, factor, &g, Some(&mut more)));
        assert_eq!(by_factor, op.backward(view, factor, &g, None));
        assert!(once.iter().zip(&more).all(|(a, b)| (b - a - 1.0).abs() < 1e-5), "{}", op.name());
        assert!(op.magnitude().is_some() || by_factor == 0.0);
    }
}
