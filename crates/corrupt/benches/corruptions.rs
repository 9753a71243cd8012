//! Milliseconds per image of each corruption: 224×224 in the imagenet preset, 32×32 in the cifar preset, severity 3.
//!
//! `cargo bench -p dyntta-corrupt -- imagenet/glass_blur` runs one.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use dyntta_corrupt::{Corruption, Preset, Severity, corrupt};
use dyntta_image::Rgb8;

/// A smooth picture with some texture: neither flat nor noise.
fn picture(size: usize) -> Rgb8 {
    let mut data = Vec::with_capacity(size * size * 3);
    for y in 0..size {
        for x in 0..size {
            let (u, v) = (x as f32 / size as f32, y as f32 / size as f32);
            let texture = ((x * 7 + y * 13) % 17) as f32 / 17.0 * 0.2;
            for c in
                [(9.0 * u).sin() * 0.3 + 0.5, (7.0 * v).cos() * 0.3 + 0.5, (5.0 * (u + v)).sin() * 0.3 + 0.4]
            {
                data.push(((c + texture).clamp(0.0, 1.0) * 255.0) as u8);
            }
        }
    }
    Rgb8::new(size, size, data).unwrap()
}

fn corruptions(c: &mut Criterion) {
    let severity = Severity::new(3).expect("3 is a severity");
    for (preset, size) in [(Preset::Imagenet, 224), (Preset::Cifar, 32)] {
        let image = picture(size);
        let mut group = c.benchmark_group(preset.name());
        group
            .sample_size(10)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_millis(600));
        for corruption in Corruption::all() {
            group.bench_function(BenchmarkId::from_parameter(corruption), |b| {
                let mut seed = 0;
                b.iter(|| {
                    seed += 1;
                    black_box(corrupt(black_box(&image), corruption, preset, severity, seed, "bench"))
                });
            });
        }
        group.bench_function("all19", |b| {
            let mut seed = 0;
            b.iter(|| {
                seed += 1;
                for corruption in Corruption::all() {
                    black_box(corrupt(black_box(&image), corruption, preset, severity, seed, "bench"));
                }
            });
        });
        group.finish();
    }
}

criterion_group!(benches, corruptions);
criterion_main!(benches);
