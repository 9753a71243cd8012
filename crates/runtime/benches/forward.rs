//! An enhancer with random weights: one image of 224 x 224, eight of them, and 64 of 32 x 32.
//!
//! `cargo bench -p dyntta-runtime -- "dyntta/1x224"`; `RAYON_NUM_THREADS` sets the threads. After each, the mean time by part
//! is printed.
#![allow(clippy::disallowed_macros, reason = "a benchmark prints")]

use criterion::{Criterion, criterion_group, criterion_main};
use dyntta_image::Stream;
use dyntta_runtime::{Enhancer, Method, Workspace};

fn benches(criterion: &mut Criterion) {
    for (name, method) in [("dyntta", Method::Dyntta), ("urie", Method::Urie)] {
        let enhancer = Enhancer::untrained(method, 0);
        for (n, side) in [(1, 224), (8, 224), (64, 32)] {
            let mut stream = Stream::new(1, &["bench"]);
            let x: Vec<f32> = (0..n * 3 * side * side).map(|_| stream.below(256) as f32 / 255.0).collect();
            let (mut out, mut workspace) = (vec![0.0; x.len()], Workspace::new());
            let mut calls = 0;
            criterion.bench_function(&format!("{name}/{n}x{side}"), |b| {
                b.iter(|| {
                    enhancer.enhance_planar(&mut workspace, n, side, side, &x, &mut out).unwrap();
                    calls += 1;
                });
            });
            if calls > 0 {
                let parts = workspace.parts();
                let mean = |part: std::time::Duration| part.as_secs_f64() * 1e3 / f64::from(calls);
                println!(
                    "{name}/{n}x{side} by part, ms: control {:.2}, network {:.2}, blend {:.2}, conversions {:.2}",
                    mean(parts.control),
                    mean(parts.network),
                    mean(parts.blend),
                    mean(parts.conversions),
                );
            }
        }
    }
}

criterion_group! {
    name = forward;
    config = Criterion::default().sample_size(20);
    targets = benches
}
criterion_main!(forward);
