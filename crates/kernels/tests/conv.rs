//! Convolution against plain loops, at every SIMD level this processor has.

use dyntta_kernels::{Conv2d, conv};
use dyntta_oracle as naive;
use dyntta_simd::{Level, with_level};

mod common;
use common::{Random, close};

/// All four passes against `naive`, at every level.
fn check(c: &Conv2d, seed: u64) {
    let mut r = Random::new(seed);
    let (x, w, b, g) =
        (r.normal(c.input_len()), r.normal(c.weight_len()), r.normal(c.cout), r.normal(c.output_len()));
    let what = format!("{c:?}");
    let mut y0 = vec![f32::NAN; c.output_len()];
    let mut y1 = y0.clone();
    let mut dx0 = vec![f32::NAN; c.input_len()];
    let mut dw0 = vec![f32::NAN; c.weight_len()];
    let mut db0 = vec![f32::NAN; c.cout];
    naive::conv_forward(c, &x, &w, Some(&b), &mut y0);
    naive::conv_forward(c, &x, &w, None, &mut y1);
    naive::conv_backward_input(c, &g, &w, &mut dx0);
    naive::conv_backward_weight(c, &x, &g, &mut dw0, Some(&mut db0));
    for &level in Level::available() {
        with_level(level, || {
            let what = format!("{what} {level:?}");
            let mut y = vec![f32::NAN; c.output_len()];
            conv::forward(c, &x, &w, Some(&b), &mut y);
            close(&y, &y0, &format!("forward with bias {what}"));
            y.fill(f32::NAN);
            conv::forward(c, &x, &w, None, &mut y);
            close(&y, &y1, &format!("forward {what}"));
            let mut dx = vec![f32::NAN; c.input_len()];
            conv::backward_input(c, &g, &w, &mut dx);
            close(&dx, &dx0, &format!("backward_input {what}"));
            let mut dw = vec![f32::NAN; c.weight_len()];
            let mut db = vec![f32::NAN; c.cout];
            conv::backward_weight(c, &x, &g, &mut dw, Some(&mut db));
            close(&dw, &dw0, &format!("backward_weight {what}"));
            close(&db, &db0, &format!("bias gradient {what}"));
        });
    }
}

const fn shape(
    n: usize,
    h: usize,
    w: usize,
    cin: usize,
    cout: usize,
    k: usize,
    stride: usize,
    pad: usize,
) -> Conv2d {
    Conv2d { n, h, w, cin, cout, kh: k, kw: k, stride, pad }
}

/// The shapes of the networks this is for, with fewer images.
#[test]
fn network_shapes() {
    for (i, c) in [
        shape(2, 32, 32, 3, 32, 9, 1, 4),
        shape(2, 16, 16, 32, 64, 3, 1, 1),
        shape(5, 8, 8, 64, 64, 3, 1, 1),
        shape(1, 16, 16, 128, 32, 3, 1, 1),
        shape(1, 32, 32, 64, 16, 3, 1, 1),
        shape(2, 32, 32, 16, 3, 3, 1, 1),
        shape(3, 32, 32, 3, 64, 7, 2, 3),
        shape(5, 8, 8, 64, 128, 3, 2, 1),
        shape(5, 8, 8, 64, 128, 1, 2, 0),
        shape(6, 4, 4, 128, 128, 3, 1, 1),
        shape(17, 2, 2, 96, 96, 3, 1, 1),
        shape(17, 1, 1, 160, 160, 3, 1, 1),
        shape(64, 1, 1, 130, 100, 1, 1, 0),
        shape(64, 1, 1, 64, 10, 1, 1, 0),
        shape(1, 7, 7, 1024, 40, 1, 1, 0),
        shape(1, 60, 60, 3, 20, 3, 1, 1),
        shape(1, 1, 1, 1, 1, 1, 1, 0),
    ]
    .iter()
    .enumerate()
    {
        check(c, i as u64);
    }
}

/// Kernels larger than the image, paddings larger than the kernel, channels that fill no vector, strides up to 3.
#[test]
fn any_shape() {
    let mut r = Random::new(2024);
    let mut done = 0;
    while done < 250 {
        let c = Conv2d {
            n: r.pick(&[1, 2, 3, 5, 17]),
            h: r.pick(&[1, 2, 3, 4, 5, 7, 9, 13]),
            w: r.pick(&[1, 2, 3, 4, 5, 7, 9, 15, 30]),
            cin: r.pick(&[1, 2, 3, 5, 8, 10, 16, 17, 33]),
            cout: r.pick(&[1, 3, 4, 7, 10, 15, 16, 17, 31, 32, 33, 48, 50]),
            kh: r.pick(&[1, 2, 3, 4, 5]),
            kw: r.pick(&[1, 2, 3, 5, 7]),
            stride: r.pick(&[1, 1, 2, 2, 3]),
            pad: r.pick(&[0, 0, 1, 1, 2, 3, 6]),
        };
        if c.flops() > 0 && c.flops() < 6_000_000 {
            check(&c, done);
            done += 1;
        }
    }
}

/// A kernel that does not fit leaves no output, and no gradient; neither does an empty batch.
#[test]
fn nothing_to_do() {
    for c in [shape(2, 2, 2, 3, 4, 5, 1, 1), shape(0, 4, 4, 3, 4, 3, 1, 1), shape(1, 3, 3, 0, 4, 3, 1, 1)] {
        check(&c, 1);
    }
}

/// Bit for bit the same on one thread and on several.
#[test]
fn any_number_of_threads() {
    for c in [
        shape(2, 40, 40, 16, 24, 3, 1, 1),
        shape(33, 4, 4, 32, 64, 3, 1, 1),
        shape(3, 30, 30, 3, 32, 7, 2, 3),
        shape(64, 1, 1, 64, 100, 1, 1, 0),
    ] {
        let mut r = Random::new(5);
        let (x, w, g) = (r.normal(c.input_len()), r.normal(c.weight_len()), r.normal(c.output_len()));
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut y = vec![0.0; c.output_len()];
                let mut dx = vec![0.0; c.input_len()];
                let mut dw = vec![0.0; c.weight_len()];
                let mut db = vec![0.0; c.cout];
                conv::forward(&c, &x, &w, None, &mut y);
                conv::backward_input(&c, &g, &w, &mut dx);
                conv::backward_weight(&c, &x, &g, &mut dw, Some(&mut db));
                [y, dx, dw, db].map(|v| v.iter().map(|f| f.to_bits()).collect::<Vec<_>>())
            })
        };
        let one = run(1);
        assert_eq!(one, run(2), "{c:?}");
        assert_eq!(one, run(5), "{c:?}");
    }
}

/// An image's output does not depend on the others in its batch.
#[test]
fn batch_is_one_by_one() {
    for c in
        [shape(19, 4, 4, 24, 40, 3, 1, 1), shape(3, 20, 20, 8, 16, 5, 2, 2), shape(20, 1, 1, 48, 10, 1, 1, 0)]
    {
        let mut r = Random::new(6);
        let (x, w) = (r.normal(c.input_len()), r.normal(c.weight_len()));
        let mut y = vec![0.0; c.output_len()];
        conv::forward(&c, &x, &w, None, &mut y);
        let one = Conv2d { n: 1, ..c };
        for (x, y) in x.chunks(one.input_len()).zip(y.chunks(one.output_len())) {
            let mut single = vec![0.0; one.output_len()];
            conv::forward(&one, x, &w, None, &mut single);
            assert_eq!(y, single, "{c:?}");
        }
    }
}

/// Weights packed once serve other batches and sizes.
#[test]
fn packed_once() {
    let small = shape(1, 1, 1, 12, 20, 3, 2, 1);
    let c = shape(2, 9, 11, 12, 20, 3, 2, 1);
    let mut r = Random::new(7);
    let (x, w, g) = (r.normal(c.input_len()), r.normal(c.weight_len()), r.normal(c.output_len()));
    let (forward, backward) = (conv::pack_forward(&small, &w), conv::pack_backward_input(&small, &w));
    let mut y = [vec![0.0; c.output_len()], vec![0.0; c.output_len()]];
    conv::forward_packed(&c, &x, &forward, None, &mut y[0]);
    conv::forward(&c, &x, &w, None, &mut y[1]);
    assert_eq!(y[0], y[1]);
    let mut dx = [vec![0.0; c.input_len()], vec![0.0; c.input_len()]];
    conv::backward_input_packed(&c, &g, &backward, &mut dx[0]);
    conv::backward_input(&c, &g, &w, &mut dx[1]);
    assert_eq!(dx[0], dx[1]);
}

#[test]
#[should_panic(expected = "x has 5 floats where 48 belong")]
fn wrong_length() {
    let c = shape(1, 4, 4, 3, 2, 1, 1, 0);
    conv::forward(&c, &[0.0; 5], &[0.0; 6], None, &mut [0.0; 32]);
}
