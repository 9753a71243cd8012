//! Minimal filtering against plain loops, at every SIMD level this processor has.

use dyntta_kernels::Conv2d;
use dyntta_kernels::winograd::{self, Epilogue};
use dyntta_oracle as naive;
use dyntta_simd::{Level, with_level};

mod common;
use common::{Random, close};

/// On one thread, so that the level holds in the tasks too.
fn alone(f: impl FnOnce() + Send) {
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(f);
}

fn check(n: usize, h: usize, w: usize, cin: usize, cout: usize, r: &mut Random) {
    let c = Conv2d { n, h, w, cin, cout, kh: 3, kw: 3, stride: 1, pad: 1 };
    let (x, weight, bias, residual) =
        (r.normal(c.input_len()), r.normal(c.weight_len()), r.normal(cout), r.normal(c.output_len()));
    let [mut plain, mut full] = [(); 2].map(|()| vec![f32::NAN; c.output_len()]);
    naive::conv_forward(&c, &x, &weight, None, &mut plain);
    naive::conv_forward(&c, &x, &weight, Some(&bias), &mut full);
    for (v, more) in full.iter_mut().zip(&residual) {
        *v = (*v + more).max(0.0);
    }
    for &level in Level::available() {
        with_level(level, || {
            let packed = winograd::pack(cin, cout, &weight);
            let mut y = vec![f32::NAN; c.output_len()];
            winograd::forward([n, h, w], &x, &packed, &Epilogue::default(), &mut y);
            close(&y, &plain, &format!("{c:?} {level:?}"));
            let epilogue = Epilogue { bias: Some(&bias), residual: Some(&residual), relu: true };
            winograd::forward([n, h, w], &x, &packed, &epilogue, &mut y);
            close(&y, &full, &format!("{c:?} {level:?} with all that follows"));
        });
    }
}

#[test]
fn network_shapes() {
    alone(|| {
        let mut r = Random::new(0);
        for [n, h, w, cin, cout] in [
            [2, 16, 16, 32, 64],
            [5, 8, 8, 64, 64],
            [1, 28, 28, 128, 32],
            [1, 56, 56, 64, 16],
            [17, 4, 4, 128, 128],
            // Wide enough to be cut into columns.
            [1, 9, 300, 128, 16],
        ] {
            check(n, h, w, cin, cout, &mut r);
        }
    });
}

#[test]
fn any_shapes() {
    alone(|| {
        let mut r = Random::new(1);
        for _ in 0..60 {
            let n = r.pick(&[1, 2, 3, 19]);
            let [h, w] = [(); 2].map(|()| r.pick(&[1, 2, 3, 4, 5, 7, 8, 11, 13]));
            let [cin, cout] = [(); 2].map(|()| r.pick(&[16, 32, 48, 80]));
            check(n, h, w, cin, cout, &mut r);
        }
        check(0, 4, 4, 16, 16, &mut r);
        check(2, 0, 4, 16, 16, &mut r);
    });
}

#[test]
fn threads_and_neighbours_change_nothing() {
    let mut r = Random::new(2);
    let (n, h, w, cin, cout) = (9, 13, 22, 32, 48);
    let (x, weight) = (r.normal(n * h * w * cin), r.normal(cout * cin * 9));
    let packed = winograd::pack(cin, cout, &weight);
    let run = |threads, [n, h, w]: [usize; 3], x: &[f32]| {
        let mut y = vec![f32::NAN; n * h * w * cout];
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| winograd::forward([n, h, w], x, &packed, &Epilogue::default(), &mut y));
        y
    };
    let one = run(1, [n, h, w], &x);
    for threads in [2, 5] {
        assert_eq!(run(threads, [n, h, w], &x), one);
    }
    for (x, y) in x.chunks_exact(h * w * cin).zip(one.chunks_exact(h * w * cout)) {
        assert_eq!(run(2, [1, h, w], x), y);
    }
}
