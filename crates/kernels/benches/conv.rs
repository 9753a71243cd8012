//! Convolution passes at the shapes of the networks, in GFLOP/s (criterion's "Gelem/s"), with the processor's peak.
//!
//! `cargo bench -p dyntta-kernels --bench conv` runs criterion; with `-- --table [word]` it prints instead one line a shape
//! (those whose name has the word): milliseconds, GFLOP/s, the share of the measured peak, and GB/s, best of several.
//! 2 floating-point operations per multiply-add; those on padding are counted although the kernels skip some, so a tiny
//! image may show more than the peak. GB/s are of the tensors alone, each read or written once: what matters for depthwise
//! layers, to be held against the rate of a plain copy. `RAYON_NUM_THREADS` and `DYNTTA_SIMD` apply.
#![allow(clippy::disallowed_macros, reason = "a benchmark prints")]

use criterion::{BenchmarkId, Criterion, Throughput};
use dyntta_kernels::{GroupedConv2d, grouped};
use dyntta_simd::{Set, level};
use rayon::prelude::*;
use std::hint::black_box;
use std::time::Instant;

const fn shape(n: usize, size: usize, cin: usize, cout: usize, k: usize, stride: usize) -> GroupedConv2d {
    GroupedConv2d {
        n,
        h: size,
        w: size,
        cin,
        cout,
        groups: 1,
        kh: k,
        kw: k,
        stride: [stride; 2],
        pad: [k / 2; 4],
        dilation: [1, 1],
    }
}

/// A batch of 8.
const fn depthwise(size: usize, c: usize, k: usize, stride: usize) -> GroupedConv2d {
    GroupedConv2d { groups: c, ..shape(8, size, c, c, k, stride) }
}

const SHAPES: &[(&str, GroupedConv2d)] = &[
    ("224/9x9 3-32", shape(4, 224, 3, 32, 9, 1)),
    ("224/3x3 64-16", shape(4, 224, 64, 16, 3, 1)),
    ("224/3x3 128-32", shape(4, 112, 128, 32, 3, 1)),
    ("224/3x3 64-64", shape(4, 56, 64, 64, 3, 1)),
    ("224/3x3 16-3", shape(4, 224, 16, 3, 3, 1)),
    ("224/7x7s2 3-64", shape(4, 224, 3, 64, 7, 2)),
    ("224/1x1 256-64", shape(4, 56, 256, 64, 1, 1)),
    ("224/1x1 1024-256", shape(4, 14, 1024, 256, 1, 1)),
    ("224/3x3 512-512", shape(4, 7, 512, 512, 3, 1)),
    ("one/9x9 3-32", shape(1, 224, 3, 32, 9, 1)),
    ("one/3x3 64-64", shape(1, 56, 64, 64, 3, 1)),
    ("sk/9x9 3-32", shape(64, 32, 3, 32, 9, 1)),
    ("sk/3x3 32-64", shape(64, 16, 32, 64, 3, 1)),
    ("sk/3x3 64-64", shape(64, 8, 64, 64, 3, 1)),
    ("sk/3x3 128-32", shape(64, 16, 128, 32, 3, 1)),
    ("sk/3x3 64-16", shape(64, 32, 64, 16, 3, 1)),
    ("sk/3x3 16-3", shape(64, 32, 16, 3, 3, 1)),
    ("resnet18/7x7s2 3-64", shape(64, 32, 3, 64, 7, 2)),
    ("resnet18/3x3 64-64", shape(64, 8, 64, 64, 3, 1)),
    ("resnet18/3x3s2 64-128", shape(64, 8, 64, 128, 3, 2)),
    ("resnet18/3x3 128-128", shape(64, 4, 128, 128, 3, 1)),
    ("resnet18/3x3 256-256", shape(64, 2, 256, 256, 3, 1)),
    ("resnet18/3x3 512-512", shape(64, 1, 512, 512, 3, 1)),
    ("resnet20/3x3 3-16", shape(64, 32, 3, 16, 3, 1)),
    ("resnet20/3x3 16-16", shape(64, 32, 16, 16, 3, 1)),
    ("resnet20/3x3 32-32", shape(64, 16, 32, 32, 3, 1)),
    ("resnet20/3x3 64-64", shape(64, 8, 64, 64, 3, 1)),
    ("resnet20/3x3s2 16-32", shape(64, 32, 16, 32, 3, 2)),
    ("linear/512-100", shape(64, 1, 512, 100, 1, 1)),
    ("linear/2048-1000", shape(64, 1, 2048, 1000, 1, 1)),
    ("depthwise/3x3 32@112", depthwise(112, 32, 3, 1)),
    ("depthwise/3x3s2 96@112", depthwise(112, 96, 3, 2)),
    ("depthwise/3x3 144@56", depthwise(56, 144, 3, 1)),
    ("depthwise/3x3s2 144@56", depthwise(56, 144, 3, 2)),
    ("depthwise/3x3 384@14", depthwise(14, 384, 3, 1)),
    ("depthwise/3x3 960@7", depthwise(7, 960, 3, 1)),
    ("depthwise/5x5 240@28", depthwise(28, 240, 5, 1)),
    ("depthwise/5x5s2 672@14", depthwise(14, 672, 5, 2)),
    ("depthwise/3x3 32-64@56", GroupedConv2d { cout: 64, ..depthwise(56, 32, 3, 1) }),
    ("grouped/3x3 4@56", GroupedConv2d { groups: 32, ..shape(8, 56, 128, 128, 3, 1) }),
    ("grouped/3x3s2 8@56", GroupedConv2d { groups: 32, ..shape(8, 56, 256, 256, 3, 2) }),
    ("grouped/3x3 16@14", GroupedConv2d { groups: 32, ..shape(8, 14, 512, 512, 3, 1) }),
    ("grouped/3x3 32@7", GroupedConv2d { groups: 32, ..shape(8, 7, 1024, 1024, 3, 1) }),
    (
        "dilated/3x3 256-256@28",
        GroupedConv2d { pad: [2; 4], dilation: [2, 2], ..shape(2, 28, 256, 256, 3, 1) },
    ),
    ("same/3x3s2 3-32@224", GroupedConv2d { pad: [0, 0, 1, 1], ..shape(8, 224, 3, 32, 3, 2) }),
];

/// 2000 rounds of independent multiply-adds, enough of them to hide the latency; returns the operations done.
macro_rules! fma_loop {
    ($name:ident, $features:literal, $lanes:literal, $zero:ident, $set:ident, $fma:ident) => {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = $features)]
        fn $name() -> f64 {
            use std::arch::x86_64::*;
            let (a, b) = ($set(black_box(1.0)), $set(black_box(0.5)));
            let mut acc = [$zero(); 12];
            for _ in 0..2000 {
                for v in &mut acc {
                    *v = $fma(a, *v, b);
                }
            }
            black_box(acc);
            2000.0 * 12.0 * 2.0 * $lanes
        }
    };
}
fma_loop!(fma_avx512, "avx512f,avx512vl,avx2,fma", 16.0, _mm512_setzero_ps, _mm512_set1_ps, _mm512_fmadd_ps);
fma_loop!(fma_avx2, "avx2,fma", 8.0, _mm256_setzero_ps, _mm256_set1_ps, _mm256_fmadd_ps);

fn fma_portable() -> f64 {
    let (a, b) = (black_box(1.0f32), black_box(0.5));
    let mut acc = [[0.0f32; 4]; 12];
    for _ in 0..2000 {
        for v in acc.as_flattened_mut() {
            *v = a * *v + b;
        }
    }
    black_box(acc);
    2000.0 * 12.0 * 2.0 * 4.0
}

/// GFLOP/s of all threads together doing nothing but multiply-adds in registers: the best of 40 tries.
fn peak() -> f64 {
    let work = || match level().set() {
        // SAFETY: the level is one this processor has.
        #[cfg(target_arch = "x86_64")]
        Set::Avx512 => unsafe { fma_avx512() },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Set::Avx2 => unsafe { fma_avx2() },
        _ => fma_portable(),
    };
    (0..40)
        .map(|_| {
            rayon::broadcast(|_| {
                let start = Instant::now();
                let done: f64 = (0..50).map(|_| work()).sum();
                done / start.elapsed().as_secs_f64() / 1e9
            })
            .iter()
            .sum::<f64>()
        })
        .fold(0.0, f64::max)
}

/// GB/s, read and written together, of all threads copying what no cache holds: the best of 10 tries.
fn copy_rate() -> f64 {
    const FLOATS: usize = 64 << 20;
    let (from, mut to) = (vec![1.0f32; FLOATS], vec![0.0f32; FLOATS]);
    let mut best = f64::MAX;
    for _ in 0..10 {
        let start = Instant::now();
        to.par_chunks_mut(FLOATS / 64)
            .zip(from.par_chunks(FLOATS / 64))
            .for_each(|(to, from)| to.iter_mut().zip(from).for_each(|(t, f)| *t = *f + 1.0));
        best = best.min(start.elapsed().as_secs_f64());
    }
    black_box(to);
    8.0 * FLOATS as f64 / best / 1e9
}

struct Data {
    x: Vec<f32>,
    w: Vec<f32>,
    g: Vec<f32>,
    y: Vec<f32>,
    dx: Vec<f32>,
    dw: Vec<f32>,
}

impl Data {
    fn of(c: &GroupedConv2d) -> Data {
        let fill = |n: usize| (0..n).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect::<Vec<_>>();
        Data {
            x: fill(c.input_len()),
            w: fill(c.weight_len()),
            g: fill(c.output_len()),
            y: vec![0.0; c.output_len()],
            dx: vec![0.0; c.input_len()],
            dw: vec![0.0; c.weight_len()],
        }
    }
}

const PASSES: [&str; 3] = ["forward", "backward_input", "backward_weight"];

fn pass(which: &str, c: &GroupedConv2d, d: &mut Data) {
    match which {
        "forward" => grouped::forward(c, &d.x, &d.w, None, &mut d.y),
        "backward_input" => grouped::backward_input(c, &d.g, &d.w, &mut d.dx),
        _ => grouped::backward_weight(c, &d.x, &d.g, &mut d.dw, None),
    }
}

fn table(word: &str) {
    let peak = peak();
    let (threads, copy) = (rayon::current_num_threads(), copy_rate());
    println!("{:?}, {threads} threads, peak {peak:.0} GFLOP/s, copy {copy:.1} GB/s", level());
    println!("{:24} {:>9} {}", "", "GFLOP", PASSES.map(|p| format!("{p:>36}")).concat());
    for (name, c) in SHAPES.iter().filter(|s| s.0.contains(word)) {
        let mut d = Data::of(c);
        let flops = c.flops() as f64;
        let bytes = 4.0 * (c.input_len() + c.output_len() + c.weight_len()) as f64;
        let mut line = format!("{name:24} {:9.3} ", flops / 1e9);
        for p in PASSES {
            pass(p, c, &mut d);
            let mut best = f64::MAX;
            let begin = Instant::now();
            while begin.elapsed().as_secs_f64() < 0.3 {
                let start = Instant::now();
                pass(p, c, &mut d);
                best = best.min(start.elapsed().as_secs_f64());
            }
            let rate = flops / best / 1e9;
            let (ms, share, memory) = (best * 1e3, rate / peak * 100.0, bytes / best / 1e9);
            line += &format!("{ms:9.3} ms {rate:7.1} {share:5.1} % {memory:6.1} GB");
        }
        println!("{line}");
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(i) = args.iter().position(|a| a == "--table") {
        let word = args.get(i + 1).filter(|w| !w.starts_with('-'));
        return table(word.map_or("", |w| w));
    }
    println!("peak of {:?} on {} threads: {:.1} GFLOP/s", level(), rayon::current_num_threads(), peak());
    let mut criterion = Criterion::default().configure_from_args().sample_size(20);
    for (name, c) in SHAPES {
        let mut d = Data::of(c);
        let mut group = criterion.benchmark_group(*name);
        group.throughput(Throughput::Elements(c.flops()));
        for p in PASSES {
            group.bench_function(BenchmarkId::from_parameter(p), |b| b.iter(|| pass(p, c, &mut d)));
        }
        group.finish();
    }
    criterion.final_summary();
}
