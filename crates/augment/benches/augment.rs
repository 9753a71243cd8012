//! Time an image of each training-time augmentation, 224×224 and 32×32, and of the operations that AugMix has from the
//! bank.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use dyntta_augment::{AugmixOp, Fixed};
use dyntta_image::{Rgb8, Stream};

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

fn policies(c: &mut Criterion) {
    for policy in Fixed::all().into_iter().filter(|policy| *policy != Fixed::None) {
        let mut group = c.benchmark_group(policy.name());
        for size in [224, 32] {
            let image = picture(size);
            group.bench_function(BenchmarkId::from_parameter(size), |b| {
                let mut seed = 0;
                b.iter(|| {
                    seed += 1;
                    black_box(policy.apply(black_box(&image), &mut Stream::new(seed, &["bench"])))
                });
            });
        }
        group.finish();
    }
}

fn augmix_of_the_bank(c: &mut Criterion) {
    let mut group = c.benchmark_group("operation");
    for op in AugmixOp::known().skip(AugmixOp::all().len()) {
        for size in [224, 32] {
            let image = picture(size);
            group.bench_function(BenchmarkId::new(op.name(), size), |b| {
                b.iter(|| {
                    let mut out = black_box(&image).clone();
                    op.apply(&mut out, 3.0, false);
                    black_box(out)
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, policies, augmix_of_the_bank);
criterion_main!(benches);
