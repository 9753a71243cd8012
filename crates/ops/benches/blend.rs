//! The blend of the published bank, forward and backward: one 224 x 224 image, and 64 of 32 x 32.
//!
//! `cargo bench -p dyntta-ops -- "forward/1x224"`; `RAYON_NUM_THREADS` sets the threads.

use criterion::{Criterion, criterion_group, criterion_main};
use dyntta_image::Stream;
use dyntta_ops::{Bank, Gradients, Shape, blend};

fn benches(criterion: &mut Criterion) {
    let bank = Bank::paper();
    let without: Vec<&str> = bank.names().filter(|name| *name != "urie").collect();
    let bank = Bank::from_names(&without).unwrap();
    for (n, side) in [(1, 224), (64, 32)] {
        let shape = Shape { n, h: side, w: side };
        let mut stream = Stream::new(1, &["bench"]);
        let image: Vec<f32> = (0..shape.batch()).map(|_| stream.below(256) as f32 / 255.0).collect();
        let columns = n * bank.len();
        let raw: Vec<f32> = (0..columns).map(|_| stream.normal_f32()).collect();
        let weights = vec![1.0 / bank.len() as f32; columns];
        let g: Vec<f32> = (0..shape.batch()).map(|_| stream.normal_f32()).collect();
        let mut out = vec![0.0; shape.batch()];
        criterion.bench_function(&format!("forward/{n}x{side}"), |b| {
            b.iter(|| blend::forward(&bank, shape, &image, &raw, &weights, None, &mut out).unwrap());
        });
        let (mut by_raw, mut by_weights) = (vec![0.0; columns], vec![0.0; columns]);
        criterion.bench_function(&format!("backward/{n}x{side}"), |b| {
            b.iter(|| {
                let grads =
                    Gradients { raw: &mut by_raw, weights: &mut by_weights, network: None, image: None };
                blend::backward(&bank, shape, &image, &raw, &weights, None, &out, &g, grads).unwrap();
            });
        });
        let mut by_image = vec![0.0; shape.batch()];
        criterion.bench_function(&format!("backward with image/{n}x{side}"), |b| {
            b.iter(|| {
                let image_gradient = Some(&mut by_image[..]);
                let grads = Gradients {
                    raw: &mut by_raw,
                    weights: &mut by_weights,
                    network: None,
                    image: image_gradient,
                };
                blend::backward(&bank, shape, &image, &raw, &weights, None, &out, &g, grads).unwrap();
            });
        });
    }
}

criterion_group! {
    name = group;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(2));
    targets = benches
}
criterion_main!(group);
