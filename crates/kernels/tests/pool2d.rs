//! Pooling over any windows against plain loops, at every SIMD level this processor has, and sizes against PyTorch's.

use dyntta_kernels::pool2d::{
    Pool2d, avg_pool2d_backward, avg_pool2d_forward, max_pool2d_backward, max_pool2d_forward,
};
use dyntta_oracle as naive;
use dyntta_simd::{Level, with_level};

mod common;
use common::{Random, close};

fn check(p: &Pool2d, seed: u64) {
    let mut r = Random::new(seed);
    // Few distinct values, so that there are ties; now and then no number, or minus infinity.
    let x: Vec<f32> = (0..p.input_len())
        .map(|_| match r.pick(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]) {
            0 => f32::NEG_INFINITY,
            1 => f32::NAN,
            v => v as f32 / 2.0,
        })
        .collect();
    let (smooth, g) = (r.normal(x.len()), r.normal(p.output_len()));
    let nan = |len| vec![f32::NAN; len];
    let (mut y0, mut i0, mut d0) = (nan(g.len()), vec![9; g.len()], nan(x.len()));
    naive::max_pool2d_forward(p, &x, &mut y0, &mut i0);
    naive::max_pool2d_backward(p, &g, &i0, &mut d0);
    let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    for &level in Level::available() {
        with_level(level, || {
            let what = format!("{p:?} {level:?}");
            let (mut y, mut i, mut d) = (nan(g.len()), vec![9; g.len()], nan(x.len()));
            max_pool2d_forward(p, &x, &mut y, &mut i);
            assert_eq!(bits(&y), bits(&y0), "{what}");
            assert_eq!(i, i0, "{what}");
            max_pool2d_backward(p, &g, &i, &mut d);
            close(&d, &d0, &what);
            for count_include_pad in [false, true] {
                let what = format!("{what} {count_include_pad}");
                let (mut a0, mut a, mut b0, mut b) = (nan(g.len()), nan(g.len()), nan(x.len()), nan(x.len()));
                naive::avg_pool2d_forward(p, count_include_pad, &smooth, &mut a0);
                avg_pool2d_forward(p, count_include_pad, &smooth, &mut a);
                close(&a, &a0, &what);
                naive::avg_pool2d_backward(p, count_include_pad, &g, &mut b0);
                avg_pool2d_backward(p, count_include_pad, &g, &mut b);
                close(&b, &b0, &what);
            }
        });
    }
}

#[test]
fn any_windows() {
    let mut r = Random::new(31);
    let mut done = 0;
    while done < 400 {
        let mut two = |from: &[usize]| [r.pick(from), r.pick(from)];
        let (kernel, stride, dilation) =
            (two(&[1, 2, 3, 3, 4, 5]), two(&[1, 2, 2, 3, 5]), two(&[1, 1, 1, 2, 3]));
        let p = Pool2d {
            n: r.pick(&[0, 1, 2, 3]),
            h: r.pick(&[0, 1, 2, 3, 5, 8, 13]),
            w: r.pick(&[0, 1, 2, 4, 7, 16]),
            c: r.pick(&[1, 2, 5, 16, 17, 40]),
            kernel,
            stride,
            pad: std::array::from_fn(|_| r.pick(&[0, 0, 1, 1, 2, 4])),
            dilation,
            ceil_mode: r.pick(&[0, 1]) == 1,
        };
        check(&p, done);
        done += 1;
    }
}

/// (size, kernel, stride, padding on both sides, dilation): outputs without and with `ceil_mode`, as PyTorch 2 gives them.
#[test]
fn sizes_are_pytorchs() {
    for ([size, kernel, stride, pad, dilation], floor, ceil) in [
        ([5, 2, 2, 0, 1], 2, 3),
        ([5, 3, 2, 1, 1], 3, 3),
        ([6, 3, 2, 1, 1], 3, 4),
        ([7, 3, 3, 0, 1], 2, 3),
        ([4, 2, 3, 1, 1], 2, 2),
        ([8, 3, 3, 1, 1], 3, 3),
        ([112, 3, 2, 1, 1], 56, 57),
        ([112, 3, 2, 0, 1], 55, 56),
        ([9, 3, 2, 0, 2], 3, 3),
        ([10, 3, 4, 1, 2], 2, 3),
        ([3, 2, 5, 1, 1], 1, 1),
        ([2, 3, 2, 1, 1], 1, 2),
        ([6, 5, 4, 2, 1], 2, 2),
        ([7, 1, 3, 0, 1], 3, 3),
    ] {
        for (ceil_mode, out) in [(false, floor), (true, ceil)] {
            let p = Pool2d {
                n: 1,
                h: size,
                w: size,
                c: 1,
                kernel: [kernel; 2],
                stride: [stride; 2],
                pad: [pad; 4],
                dilation: [dilation; 2],
                ceil_mode,
            };
            assert_eq!((p.out_h(), p.out_w()), (out, out), "{p:?}");
        }
    }
}

/// A row 1, 2, 3, 4, 5 in windows of 4 by steps of 2, padded by 1, the last one reaching beyond: PyTorch's averages.
#[test]
fn averages_are_pytorchs() {
    let p = Pool2d {
        n: 1,
        h: 1,
        w: 5,
        c: 1,
        kernel: [1, 4],
        stride: [1, 2],
        pad: [0, 1, 0, 1],
        dilation: [1, 1],
        ceil_mode: true,
    };
    let x: Vec<f32> = (1..=p.w).map(|v| v as f32).collect();
    for (count_include_pad, expected) in [(true, [1.5, 3.5, 3.0]), (false, [2.0, 3.5, 4.5])] {
        let mut y = vec![0.0; p.output_len()];
        avg_pool2d_forward(&p, count_include_pad, &x, &mut y);
        close(&y, &expected, "averages");
    }
}
