//! Grouped, depthwise and dilated convolution against plain loops, at every SIMD level this processor has.

use dyntta_kernels::{Conv2d, GroupedConv2d, grouped};
use dyntta_oracle as naive;
use dyntta_simd::{Level, with_level};

mod common;
use common::{Random, close};

/// All passes against `naive`, at every level.
fn check(c: &GroupedConv2d, seed: u64) {
    let mut r = Random::new(seed);
    let (x, w, b, g) =
        (r.normal(c.input_len()), r.normal(c.weight_len()), r.normal(c.cout), r.normal(c.output_len()));
    let nan = |len| vec![f32::NAN; len];
    let (mut y0, mut y1, mut dx0) = (nan(c.output_len()), nan(c.output_len()), nan(c.input_len()));
    let (mut dw0, mut db0) = (nan(c.weight_len()), nan(c.cout));
    naive::grouped_forward(c, &x, &w, Some(&b), &mut y0);
    naive::grouped_forward(c, &x, &w, None, &mut y1);
    naive::grouped_backward_input(c, &g, &w, &mut dx0);
    naive::grouped_backward_weight(c, &x, &g, &mut dw0, Some(&mut db0));
    for &level in Level::available() {
        with_level(level, || {
            let what = format!("{c:?} {level:?}");
            let mut y = nan(c.output_len());
            grouped::forward(c, &x, &w, Some(&b), &mut y);
            close(&y, &y0, &format!("forward with bias {what}"));
            y.fill(f32::NAN);
            grouped::forward(c, &x, &w, None, &mut y);
            close(&y, &y1, &format!("forward {what}"));
            let mut dx = nan(c.input_len());
            grouped::backward_input(c, &g, &w, &mut dx);
            close(&dx, &dx0, &format!("backward_input {what}"));
            let (mut dw, mut db) = (nan(c.weight_len()), nan(c.cout));
            grouped::backward_weight(c, &x, &g, &mut dw, Some(&mut db));
            close(&dw, &dw0, &format!("backward_weight {what}"));
            close(&db, &db0, &format!("bias gradient {what}"));
        });
    }
}

/// A depthwise layer with padding `k / 2`.
const fn depthwise(n: usize, size: usize, c: usize, k: usize, stride: usize) -> GroupedConv2d {
    GroupedConv2d {
        n,
        h: size,
        w: size,
        cin: c,
        cout: c,
        groups: c,
        kh: k,
        kw: k,
        stride: [stride; 2],
        pad: [k / 2; 4],
        dilation: [1, 1],
    }
}

/// Layers as networks have them: MobileNetV2's, EfficientNet's, ResNeXt's, DeepLab's, TensorFlow's "same" padding.
#[test]
fn network_shapes() {
    let dense = depthwise(2, 14, 48, 3, 1);
    for (i, c) in [
        depthwise(2, 56, 24, 3, 1),
        depthwise(2, 28, 36, 3, 2),
        depthwise(3, 7, 160, 3, 1),
        depthwise(2, 14, 40, 5, 2),
        depthwise(1, 1, 960, 3, 1),
        GroupedConv2d { cout: 96, ..depthwise(2, 9, 48, 3, 1) },
        GroupedConv2d { groups: 12, ..dense },
        GroupedConv2d { groups: 6, stride: [2, 2], ..dense },
        GroupedConv2d { groups: 2, ..dense },
        GroupedConv2d { groups: 1, pad: [2; 4], dilation: [2, 2], ..dense },
        GroupedConv2d { groups: 1, cout: 33, ..dense },
        GroupedConv2d { groups: 1, pad: [0, 0, 1, 1], stride: [2, 2], ..dense },
        GroupedConv2d { cin: 600, cout: 20, groups: 1, dilation: [2, 2], ..depthwise(1, 6, 1, 3, 1) },
    ]
    .iter()
    .enumerate()
    {
        check(c, i as u64);
    }
}

/// Anything goes: kernels larger than the image, strides that skip over the kernel, paddings larger than it, dilations.
#[test]
fn any_shape() {
    let mut r = Random::new(77);
    let mut done = 0;
    while done < 500 {
        // Inputs and outputs of a group, groups.
        let (inputs, outputs) = match done % 3 {
            0 => (1, 1),
            1 => (1, r.pick(&[2, 3, 4, 5])),
            _ => (r.pick(&[1, 2, 3, 4, 6, 17]), r.pick(&[1, 2, 4, 5, 16, 19, 33])),
        };
        let groups = r.pick(&[1, 2, 3, 4, 5, 8, 9, 16, 17, 24, 33]);
        let c = GroupedConv2d {
            n: r.pick(&[1, 2, 3, 7]),
            h: r.pick(&[1, 2, 3, 4, 5, 7, 9, 13, 24]),
            w: r.pick(&[1, 2, 3, 4, 5, 7, 9, 15, 30]),
            cin: groups * inputs,
            cout: groups * outputs,
            groups,
            kh: r.pick(&[1, 2, 3, 3, 4, 5]),
            kw: r.pick(&[1, 2, 3, 3, 5, 7]),
            stride: [r.pick(&[1, 1, 2, 3, 6]), r.pick(&[1, 1, 2, 3, 5])],
            pad: std::array::from_fn(|_| r.pick(&[0, 0, 1, 1, 2, 3, 6])),
            dilation: [r.pick(&[1, 1, 2, 3]), r.pick(&[1, 1, 2, 4])],
        };
        if c.flops() > 0 && c.flops() < 3_000_000 {
            check(&c, done);
            done += 1;
        }
    }
}

/// Whole numbers through PyTorch's `conv2d`, after its `pad`.
#[test]
fn values_are_pytorchs() {
    let c = GroupedConv2d {
        n: 1,
        h: 4,
        w: 5,
        cin: 4,
        cout: 6,
        groups: 2,
        kh: 2,
        kw: 3,
        stride: [2, 1],
        pad: [1, 0, 2, 1],
        dilation: [1, 2],
    };
    let x: Vec<f32> = (0..c.input_len()).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
    let w: Vec<f32> = (0..c.weight_len()).map(|i| (i * 5 % 7) as f32 - 3.0).collect();
    let expected = [
        1.0, -4.0, -2.0, -36.0, 20.0, 6.0, 8.0, 7.0, -8.0, 20.0, -10.0, -5.0, 7.0, -18.0, 20.0, 7.0, 1.0,
        -5.0, 6.0, -1.0, 27.0, -25.0, 4.0, 19.0, -24.0, 24.0, -26.0, 2.0, 6.0, -4.0, 0.0, -4.0, 6.0, -10.0,
        16.0, -14.0,
    ];
    let mut y = vec![0.0; c.output_len()];
    grouped::forward(&c, &x, &w, None, &mut y);
    assert_eq!(y, expected);
}

/// A kernel that does not fit leaves no output, and no gradient; neither do an empty batch and no channels.
#[test]
fn nothing_to_do() {
    let c = depthwise(2, 2, 4, 3, 1);
    for c in [
        GroupedConv2d { n: 0, ..c },
        GroupedConv2d { pad: [0; 4], ..c },
        GroupedConv2d { dilation: [1, 4], ..c },
        GroupedConv2d { cin: 0, ..c },
        GroupedConv2d { cin: 0, groups: 1, dilation: [2, 2], pad: [2; 4], ..c },
        GroupedConv2d { cout: 0, ..c },
    ] {
        check(&c, 1);
    }
}

/// Bit for bit the same on one thread and on several.
#[test]
fn any_number_of_threads() {
    for c in [
        depthwise(3, 40, 24, 3, 2),
        GroupedConv2d { cout: 64, ..depthwise(2, 30, 32, 5, 1) },
        GroupedConv2d { groups: 8, ..depthwise(3, 20, 32, 3, 1) },
        GroupedConv2d { groups: 2, ..depthwise(3, 20, 48, 3, 1) },
        GroupedConv2d { groups: 1, dilation: [2, 3], ..depthwise(3, 30, 16, 3, 1) },
    ] {
        let mut r = Random::new(5);
        let (x, w, g) = (r.normal(c.input_len()), r.normal(c.weight_len()), r.normal(c.output_len()));
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let (mut y, mut dx) = (vec![0.0; c.output_len()], vec![0.0; c.input_len()]);
                let (mut dw, mut db) = (vec![0.0; c.weight_len()], vec![0.0; c.cout]);
                grouped::forward(&c, &x, &w, None, &mut y);
                grouped::backward_input(&c, &g, &w, &mut dx);
                grouped::backward_weight(&c, &x, &g, &mut dw, Some(&mut db));
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
    let c = depthwise(19, 9, 24, 3, 2);
    for c in [c, GroupedConv2d { groups: 6, ..c }, GroupedConv2d { groups: 1, dilation: [2, 2], ..c }] {
        let mut r = Random::new(6);
        let (x, w) = (r.normal(c.input_len()), r.normal(c.weight_len()));
        let mut y = vec![0.0; c.output_len()];
        grouped::forward(&c, &x, &w, None, &mut y);
        let one = GroupedConv2d { n: 1, ..c };
        for (x, y) in x.chunks(one.input_len()).zip(y.chunks(one.output_len())) {
            let mut single = vec![0.0; one.output_len()];
            grouped::forward(&one, x, &w, None, &mut single);
            assert_eq!(y, single, "{c:?}");
        }
    }
}

/// What the dense kernels do, they do bit for bit the same from here.
#[test]
fn one_group_is_the_dense_convolution() {
    let dense = Conv2d { n: 2, h: 9, w: 7, cin: 5, cout: 6, kh: 3, kw: 2, stride: 2, pad: 1 };
    let mut r = Random::new(7);
    let (x, w) = (r.normal(dense.input_len()), r.normal(dense.weight_len()));
    let mut y = [vec![0.0; dense.output_len()], vec![0.0; dense.output_len()]];
    dyntta_kernels::conv::forward(&dense, &x, &w, None, &mut y[0]);
    grouped::forward(&dense.into(), &x, &w, None, &mut y[1]);
    assert_eq!(y[0], y[1]);
}

#[test]
#[should_panic(expected = "channels must be a multiple of the groups")]
fn wrong_groups() {
    let c = GroupedConv2d { groups: 3, ..depthwise(1, 4, 4, 3, 1) };
    grouped::forward(&c, &[0.0; 64], &[0.0; 36], None, &mut [0.0; 64]);
}

#[test]
#[should_panic(expected = "x has 5 floats where 64 belong")]
fn wrong_length() {
    let c = depthwise(1, 4, 4, 3, 1);
    grouped::forward(&c, &[0.0; 5], &[0.0; 36], None, &mut [0.0; 64]);
}
