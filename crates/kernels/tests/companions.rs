//! Norms, activations, pools, resizing and the gate against plain loops, at every SIMD level this processor has.

use dyntta_kernels::act::{Activation, activate, activate_backward, activate_masking, add, mask_backward};
use dyntta_kernels::gate::{Gate, gate_backward, gate_forward};
use dyntta_kernels::norm;
use dyntta_kernels::pool::{
    AvgPool, MaxPool, adaptive_avg_pool_backward, adaptive_avg_pool_forward, max_pool_backward,
    max_pool_forward,
};
use dyntta_kernels::upsample::{Upsample, upsample_backward, upsample_forward};
use dyntta_oracle as naive;
use dyntta_simd::{Level, with_level};

mod common;
use common::{Random, close, close_to};

const ACTS: [Activation; 3] = [Activation::Identity, Activation::Relu, Activation::LeakyRelu(0.01)];
/// (images, height, width, channels)
const SHAPES: [[usize; 4]; 10] = [
    [1, 1, 1, 1],
    [2, 1, 1, 5],
    [3, 5, 7, 3],
    [2, 9, 4, 16],
    [4, 8, 8, 64],
    [1, 13, 11, 37],
    [2, 3, 3, 300],
    [1, 60, 50, 17],
    [2, 40, 40, 1],
    [1, 1, 2, 20000],
];

fn at_every_level(mut f: impl FnMut(Level)) {
    for &level in Level::available() {
        with_level(level, || f(level));
    }
}

fn nan(len: usize) -> Vec<f32> {
    vec![f32::NAN; len]
}

#[test]
fn activations() {
    let mut x = Random::new(1).normal(40_001);
    x[..6].copy_from_slice(&[0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, 1e-30, -1e-30]);
    let g = Random::new(2).normal(x.len());
    for act in ACTS {
        let (mut y0, mut d0) = (nan(x.len()), nan(x.len()));
        naive::activate(&x, act, &mut y0);
        naive::activate_backward(&g, &y0, act, &mut d0);
        at_every_level(|_| {
            let (mut y, mut d) = (nan(x.len()), nan(x.len()));
            activate(&x, act, &mut y);
            activate_backward(&g, &y, act, &mut d);
            assert_eq!(y, y0, "{act:?}");
            assert_eq!(d, d0, "{act:?}");
        });
        let mut y = [0.0];
        activate(&[f32::NAN], act, &mut y);
        assert!(y[0].is_nan(), "{act:?} hides a NaN");
    }
}

/// The forward result decides the gradient's side; both implementations get the naive one's.
#[test]
fn affine() {
    for [n, h, w, c] in SHAPES {
        for act in ACTS {
            let mut r = Random::new((n * h * w * c) as u64);
            let len = n * h * w * c;
            let (x, res, g, scale, shift) =
                (r.normal(len), r.normal(len), r.normal(len), r.normal(c), r.normal(c));
            for residual in [None, Some(&res[..])] {
                let (mut y0, mut d0, mut r0) = (nan(len), nan(len), nan(len));
                naive::affine_forward(&x, &scale, &shift, residual, act, &mut y0);
                naive::affine_backward(&g, &y0, &scale, act, &mut d0, Some(&mut r0));
                at_every_level(|level| {
                    let what = format!("{n}x{h}x{w}x{c} {act:?} {level:?}");
                    let (mut y, mut d, mut dr) = (nan(len), nan(len), nan(len));
                    norm::affine_forward(&x, &scale, &shift, residual, act, &mut y);
                    close(&y, &y0, &what);
                    norm::affine_backward(&g, &y0, &scale, act, &mut d, Some(&mut dr));
                    close(&d, &d0, &what);
                    assert_eq!(dr, r0, "{what}");
                });
            }
        }
    }
}

/// The mean, about 3 here, is rounded to single precision, and what that leaves of `x - mean` is multiplied by 1 / std, which
/// is large where two pixels happen to be alike.
fn output_tolerance(inv_std: &[f32]) -> f32 {
    inv_std.iter().fold(1e-5, |t, s| (4e-7 * s).max(t))
}

#[test]
fn batch_norm() {
    for [n, h, w, c] in SHAPES {
        for (act, with_residual) in [
            (Activation::Identity, false),
            (Activation::Relu, false),
            (Activation::Relu, true),
            (Activation::LeakyRelu(0.01), false),
        ] {
            let mut r = Random::new((n * h * w * c) as u64 + 1);
            let len = n * h * w * c;
            // Away from zero mean and unit spread.
            let x: Vec<f32> = r.normal(len).iter().map(|v| v * 0.5 + 3.0).collect();
            let (res, g, gamma, beta) = (r.normal(len), r.normal(len), r.normal(c), r.normal(c));
            let residual = with_residual.then_some(&res[..]);
            let (mut y0, mut d0, mut r0) = (nan(len), nan(len), nan(len));
            let [mut m0, mut v0, mut s0, mut dg0, mut db0] = std::array::from_fn(|_| nan(c));
            naive::batch_norm_forward(
                &x, &gamma, &beta, 1e-5, residual, act, &mut y0, &mut m0, &mut v0, &mut s0,
            );
            naive::batch_norm_backward(
                &g,
                &y0,
                &x,
                &gamma,
                &m0,
                &s0,
                act,
                &mut d0,
                &mut dg0,
                &mut db0,
                Some(&mut r0),
            );
            at_every_level(|level| {
                let what = format!("{n}x{h}x{w}x{c} {act:?} {level:?}");
                let (mut y, mut d, mut dr) = (nan(len), nan(len), nan(len));
                let [mut m, mut v, mut s, mut dg, mut db] = std::array::from_fn(|_| nan(c));
                norm::batch_norm_forward(
                    &x, &gamma, &beta, 1e-5, residual, act, &mut y, &mut m, &mut v, &mut s,
                );
                close(&m, &m0, &what);
                close(&v, &v0, &what);
                close_to(&s, &s0, 2e-5, &what);
                close_to(&y, &y0, output_tolerance(&s0), &what);
                norm::batch_norm_backward(
                    &g,
                    &y0,
                    &x,
                    &gamma,
                    &m0,
                    &s0,
                    act,
                    &mut d,
                    &mut dg,
                    &mut db,
                    Some(&mut dr),
                );
                close_to(&d, &d0, 1e-5, &what);
                close_to(&dg, &dg0, 1e-5, &what);
                close_to(&db, &db0, 1e-5, &what);
                assert_eq!(dr, r0, "{what}");
            });
        }
    }
}

#[test]
fn instance_norm() {
    for [n, h, w, c] in SHAPES {
        for act in [Activation::Identity, Activation::LeakyRelu(0.01)] {
            let mut r = Random::new((n * h * w * c) as u64 + 2);
            let len = n * h * w * c;
            let x: Vec<f32> = r.normal(len).iter().map(|v| v * 0.5 - 2.0).collect();
            let g = r.normal(len);
            let (mut y0, mut d0, mut m0, mut s0) = (nan(len), nan(len), nan(n * c), nan(n * c));
            naive::instance_norm_forward(&x, n, c, 1e-5, act, &mut y0, &mut m0, &mut s0);
            naive::instance_norm_backward(&g, &y0, &x, n, c, &m0, &s0, act, &mut d0);
            at_every_level(|level| {
                let what = format!("{n}x{h}x{w}x{c} {act:?} {level:?}");
                let (mut y, mut d, mut m, mut s) = (nan(len), nan(len), nan(n * c), nan(n * c));
                norm::instance_norm_forward(&x, n, c, 1e-5, act, &mut y, &mut m, &mut s);
                close(&m, &m0, &what);
                close_to(&s, &s0, 2e-5, &what);
                close_to(&y, &y0, output_tolerance(&s0), &what);
                norm::instance_norm_backward(&g, &y0, &x, n, c, &m0, &s0, act, &mut d);
                close_to(&d, &d0, 1e-5, &what);
            });
        }
    }
}

/// A mean a thousand times the spread must not cost the variance its digits.
#[test]
fn variance_far_from_zero() {
    let mut r = Random::new(3);
    let x: Vec<f32> = r.normal(200_000).iter().map(|v| 1000.0 + v).collect();
    let [mut m0, mut v0, mut s0, mut m, mut v, mut s] = std::array::from_fn(|_| nan(2));
    let (ones, zeros, mut y) = ([1.0; 2], [0.0; 2], nan(x.len()));
    let act = Activation::Identity;
    naive::batch_norm_forward(&x, &ones, &zeros, 1e-5, None, act, &mut y, &mut m0, &mut v0, &mut s0);
    norm::batch_norm_forward(&x, &ones, &zeros, 1e-5, None, act, &mut y, &mut m, &mut v, &mut s);
    close_to(&v, &v0, 1e-5, "variance");
    close_to(&m, &m0, 1e-6, "mean");
}

/// The backward passes are those of the forward ones: central differences of the naive forward.
#[test]
fn norm_gradients_are_derivatives() {
    let (n, c) = (2, 3);
    let mut r = Random::new(4);
    let (x, g, gamma, beta) = (r.normal(n * 6 * c), r.normal(n * 6 * c), r.normal(c), r.normal(c));
    let act = Activation::LeakyRelu(0.2);
    let batch = |x: &[f32]| {
        let [mut m, mut v, mut s] = std::array::from_fn(|_| nan(c));
        let mut y = nan(x.len());
        naive::batch_norm_forward(x, &gamma, &beta, 1e-5, None, act, &mut y, &mut m, &mut v, &mut s);
        (y, m, s)
    };
    let instance = |x: &[f32]| {
        let (mut y, mut m, mut s) = (nan(x.len()), nan(n * c), nan(n * c));
        naive::instance_norm_forward(x, n, c, 1e-5, act, &mut y, &mut m, &mut s);
        (y, m, s)
    };
    let loss = |y: &[f32]| y.iter().zip(&g).map(|(y, g)| f64::from(y * g)).sum::<f64>();
    let [mut d_batch, mut d_instance, mut dg, mut db] = [nan(x.len()), nan(x.len()), nan(c), nan(c)];
    let (y, m, s) = batch(&x);
    norm::batch_norm_backward(&g, &y, &x, &gamma, &m, &s, act, &mut d_batch, &mut dg, &mut db, None);
    let (y, m, s) = instance(&x);
    norm::instance_norm_backward(&g, &y, &x, n, c, &m, &s, act, &mut d_instance);
    for i in 0..x.len() {
        let step = |h: f32| {
            let mut moved = x.clone();
            moved[i] += h;
            (loss(&batch(&moved).0), loss(&instance(&moved).0))
        };
        let h = 1e-3;
        let (up, down) = (step(h), step(-h));
        let slope = |a: f64, b: f64| ((a - b) / (2.0 * f64::from(h))) as f32;
        assert!((slope(up.0, down.0) - d_batch[i]).abs() < 5e-3, "batch norm at {i}");
        assert!((slope(up.1, down.1) - d_instance[i]).abs() < 5e-3, "instance norm at {i}");
    }
}

#[test]
fn max_pool() {
    for [n, h, w, c] in SHAPES {
        for (k, stride, pad) in [(3, 2, 1), (2, 2, 0), (3, 1, 1), (2, 3, 1), (5, 2, 2), (1, 1, 0)] {
            let p = MaxPool { n, h, w, c, k, stride, pad };
            let mut r = Random::new((n * h * w * c) as u64 + 3);
            // Few distinct values, so that there are ties; now and then no number, or the padding's own value.
            let x: Vec<f32> = (0..p.input_len())
                .map(|_| match r.pick(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]) {
                    0 => f32::NEG_INFINITY,
                    1 => f32::NAN,
                    v => v as f32 / 2.0,
                })
                .collect();
            let g = r.normal(p.output_len());
            let (mut y0, mut i0, mut d0) = (nan(g.len()), vec![9; g.len()], nan(x.len()));
            naive::max_pool_forward(&p, &x, &mut y0, &mut i0);
            naive::max_pool_backward(&p, &g, &i0, &mut d0);
            at_every_level(|level| {
                let (mut y, mut i, mut d) = (nan(g.len()), vec![9; g.len()], nan(x.len()));
                max_pool_forward(&p, &x, &mut y, &mut i);
                assert_eq!(
                    y.iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
                    y0.iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
                    "{p:?} {level:?}"
                );
                assert_eq!(i, i0, "{p:?} {level:?}");
                max_pool_backward(&p, &g, &i, &mut d);
                close(&d, &d0, &format!("{p:?} {level:?}"));
            });
        }
    }
}

#[test]
fn adaptive_avg_pool() {
    for [n, h, w, c] in SHAPES {
        for (oh, ow) in [(1, 1), (4, 4), (3, 5), (7, 2)] {
            let p = AvgPool { n, h, w, c, oh, ow };
            let mut r = Random::new((n * h * w * c) as u64 + 4);
            let (x, g) = (r.normal(p.input_len()), r.normal(p.output_len()));
            let (mut y0, mut d0) = (nan(g.len()), nan(x.len()));
            naive::adaptive_avg_pool_forward(&p, &x, &mut y0);
            naive::adaptive_avg_pool_backward(&p, &g, &mut d0);
            at_every_level(|level| {
                let (mut y, mut d) = (nan(g.len()), nan(x.len()));
                adaptive_avg_pool_forward(&p, &x, &mut y);
                adaptive_avg_pool_backward(&p, &g, &mut d);
                close(&y, &y0, &format!("{p:?} {level:?}"));
                close(&d, &d0, &format!("{p:?} {level:?}"));
            });
        }
    }
}

#[test]
fn upsample() {
    for [n, h, w, c] in SHAPES {
        for (oh, ow) in [(2 * h, 2 * w), (h, w), (1, 1), (3 * h + 1, 5), (h.div_ceil(2), 2 * w + 1)] {
            let p = Upsample { n, h, w, c, oh, ow };
            let mut r = Random::new((n * h * w * c) as u64 + 5);
            let (x, g) = (r.normal(p.input_len()), r.normal(p.output_len()));
            let (mut y0, mut d0) = (nan(g.len()), nan(x.len()));
            naive::upsample_forward(&p, &x, &mut y0);
            naive::upsample_backward(&p, &g, &mut d0);
            at_every_level(|level| {
                let (mut y, mut d) = (nan(g.len()), nan(x.len()));
                upsample_forward(&p, &x, &mut y);
                upsample_backward(&p, &g, &mut d);
                close(&y, &y0, &format!("{p:?} {level:?}"));
                close(&d, &d0, &format!("{p:?} {level:?}"));
            });
        }
    }
}

#[test]
fn gate() {
    for [n, h, w, c] in SHAPES {
        for (mh, mw) in [(4, 4), (1, 1), (3, 7)] {
            let p = Gate { n, h, w, c, mh, mw };
            let mut r = Random::new((n * h * w * c) as u64 + 6);
            let (len, maps) = (p.branch_len(), p.map_len());
            let (a, b, g, ma, mb) =
                (r.normal(len), r.normal(len), r.normal(len), r.normal(maps), r.normal(maps));
            macro_rules! run {
                ($forward:path, $backward:path) => {{
                    let [mut y, mut da, mut db] = std::array::from_fn(|_| nan(len));
                    let [mut dma, mut dmb] = std::array::from_fn(|_| nan(maps));
                    $forward(&p, &a, &b, &ma, &mb, &mut y);
                    $backward(&p, &g, &a, &b, &ma, &mb, &mut da, &mut db, &mut dma, &mut dmb);
                    [y, da, db, dma, dmb]
                }};
            }
            let plain = run!(naive::gate_forward, naive::gate_backward);
            at_every_level(|level| {
                let fast = run!(gate_forward, gate_backward);
                for (f, p0) in fast.iter().zip(&plain) {
                    close(f, p0, &format!("{p:?} {level:?}"));
                }
            });
        }
    }
}

/// The rows of a 4-row map at the sizes the networks use are the exact quarters.
#[test]
fn gate_quarters() {
    for size in [8, 16, 32, 56, 112, 224] {
        let p = Gate { n: 1, h: size, w: 1, c: 1, mh: 4, mw: 1 };
        let (ones, zeros, mut y) = (vec![1.0; size], vec![0.0; size], nan(size));
        gate_forward(&p, &ones, &zeros, &[0.0, 1.0, 2.0, 3.0], &[0.0; 4], &mut y);
        for (i, v) in y.iter().enumerate() {
            assert_eq!(*v, (i * 4 / size) as f32, "row {i} of {size}");
        }
    }
}

/// Bit for bit the same on one thread and on several.
#[test]
fn any_number_of_threads() {
    let (n, h, w, c) = (3, 40, 30, 24);
    let len = n * h * w * c;
    let mut r = Random::new(8);
    let (x, g, gamma, beta) = (r.normal(len), r.normal(len), r.normal(c), r.normal(c));
    let (ma, mb) = (r.normal(n * 16 * c), r.normal(n * 16 * c));
    let act = Activation::LeakyRelu(0.01);
    let run = |threads: usize| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let [mut y, mut dx, mut z, mut dz, mut da, mut db] = std::array::from_fn(|_| nan(len));
            let [mut m, mut v, mut s, mut dgamma, mut dbeta] = std::array::from_fn(|_| nan(c));
            let [mut im, mut is] = std::array::from_fn(|_| nan(n * c));
            let [mut dma, mut dmb] = std::array::from_fn(|_| nan(n * 16 * c));
            norm::batch_norm_forward(&x, &gamma, &beta, 1e-5, None, act, &mut y, &mut m, &mut v, &mut s);
            norm::batch_norm_backward(
                &g,
                &y,
                &x,
                &gamma,
                &m,
                &s,
                act,
                &mut dx,
                &mut dgamma,
                &mut dbeta,
                None,
            );
            norm::instance_norm_forward(&x, n, c, 1e-5, act, &mut z, &mut im, &mut is);
            norm::instance_norm_backward(&g, &z, &x, n, c, &im, &is, act, &mut dz);
            let p = Gate { n, h, w, c, mh: 4, mw: 4 };
            gate_backward(&p, &g, &y, &z, &ma, &mb, &mut da, &mut db, &mut dma, &mut dmb);
            [y, dx, z, dz, da, db, m, v, s, dgamma, dbeta, im, is, dma, dmb]
                .map(|v| v.iter().map(|f| f.to_bits()).collect::<Vec<_>>())
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(5));
}

/// Nothing in, nothing out.
#[test]
fn empty() {
    let mut none = [];
    norm::affine_forward(&[], &[1.0], &[0.0], None, Activation::Relu, &mut none);
    let [mut m, mut v, mut s] = [[0.0]; 3];
    norm::batch_norm_forward(
        &[],
        &[1.0],
        &[0.0],
        1e-5,
        None,
        Activation::Relu,
        &mut none,
        &mut m,
        &mut v,
        &mut s,
    );
    norm::instance_norm_forward(&[], 0, 3, 1e-5, Activation::Relu, &mut [], &mut [], &mut []);
    let p = AvgPool { n: 0, h: 3, w: 3, c: 2, oh: 1, ow: 1 };
    adaptive_avg_pool_forward(&p, &[], &mut none);
    let p = Upsample { n: 0, h: 3, w: 3, c: 2, oh: 6, ow: 6 };
    upsample_forward(&p, &[], &mut none);
    let p = Gate { n: 0, h: 3, w: 3, c: 2, mh: 4, mw: 4 };
    gate_forward(&p, &[], &[], &[], &[], &mut none);
}

#[test]
fn masked_activations() {
    let mut r = Random::new(5);
    let len = 40_001;
    let (sum, residual, g) = (r.normal(len), r.normal(len), r.normal(len));
    for act in ACTS {
        for residual in [None, Some(&residual[..])] {
            let before: Vec<f32> = match residual {
                None => sum.clone(),
                Some(r) => sum.iter().zip(r).map(|(a, b)| a + b).collect(),
            };
            let (mut y0, mut d0) = (nan(len), nan(len));
            naive::activate(&before, act, &mut y0);
            naive::activate_backward(&g, &y0, act, &mut d0);
            at_every_level(|_| {
                let (mut y, mut d, mut mask) = (sum.clone(), nan(len), vec![7; len]);
                activate_masking(&mut y, residual, act, &mut mask);
                mask_backward(&g, &mask, act, &mut d);
                assert_eq!(y, y0, "{act:?}");
                assert_eq!(d, d0, "{act:?}");
                let mut y = sum.clone();
                add(&mut y, residual.unwrap_or(&sum));
                let expected = sum.iter().zip(residual.unwrap_or(&sum)).map(|(a, b)| a + b);
                assert!(y.iter().copied().eq(expected));
            });
        }
    }
}

/// Both norms of a block against the norms one by one, with the gradients of the two added.
#[test]
fn two_norms() {
    use dyntta_kernels::two_norms::{Maps, Norm, both_backward, both_moments, normalise};
    let eps = 1e-5;
    for [n, h, w, c] in SHAPES {
        // One value has no spread: what is left is rounding, magnified.
        if h * w < 4 {
            continue;
        }
        for (act, fixed) in [
            (Activation::Identity, false),
            (Activation::LeakyRelu(0.01), false),
            (Activation::LeakyRelu(0.01), true),
        ] {
            let mut r = Random::new((n * h * w * c) as u64 + 9);
            let len = n * h * w * c;
            let x: Vec<f32> = r.normal(len).iter().map(|v| v * 0.5 + 1.0).collect();
            let (ga, gb, gamma, beta) = (r.normal(len), r.normal(len), r.normal(c), r.normal(c));

            let [mut mean, mut var, mut inv] = [(); 3].map(|()| nan(c));
            let [mut imean, mut iinv] = [(); 2].map(|()| nan(n * c));
            let [mut ya, mut yb, mut dxa, mut dxb] = [(); 4].map(|()| nan(len));
            let (mut dgamma, mut dbeta) = (nan(c), nan(c));
            naive::batch_norm_forward(
                &x, &gamma, &beta, eps, None, act, &mut ya, &mut mean, &mut var, &mut inv,
            );
            naive::instance_norm_forward(&x, n, c, eps, act, &mut yb, &mut imean, &mut iinv);
            let (fixed_mean, fixed_inv) = (r.normal(c), vec![1.7; c]);
            if fixed {
                let scale: Vec<f32> = gamma.iter().zip(&fixed_inv).map(|(g, i)| g * i).collect();
                let shift: Vec<f32> = (0..c).map(|k| beta[k] - fixed_mean[k] * scale[k]).collect();
                naive::affine_forward(&x, &scale, &shift, None, act, &mut ya);
                naive::affine_backward(&ga, &ya, &scale, act, &mut dxa, None);
            } else {
                naive::batch_norm_backward(
                    &ga,
                    &ya,
                    &x,
                    &gamma,
                    &mean,
                    &inv,
                    act,
                    &mut dxa,
                    &mut dgamma,
                    &mut dbeta,
                    None,
                );
            }
            naive::instance_norm_backward(&gb, &yb, &x, n, c, &imean, &iinv, act, &mut dxb);
            let dx0: Vec<f32> = dxa.iter().zip(&dxb).map(|(a, b)| a + b).collect();

            at_every_level(|level| {
                let what = format!("{n}x{h}x{w}x{c} {act:?} fixed {fixed} {level:?}");
                let maps = Maps { n, pixels: h * w, c };
                let [mut m, mut v] = [(); 2].map(|()| nan(n * c));
                let [mut bm, mut bv] = [(); 2].map(|()| nan(c));
                both_moments(maps, &x, [&mut m, &mut v], [&mut bm, &mut bv]);
                close(&m, &imean, &what);
                close(&bm, &mean, &what);
                close(&bv, &var, &what);
                let images: Vec<f32> = v.iter().map(|v| 1.0 / (v + eps).sqrt()).collect();
                close_to(&images, &iinv, 1e-5, &what);
                let (bm, batch) = if fixed { (&fixed_mean, &fixed_inv) } else { (&mean, &inv) };
                let a = Norm { mean: bm, inv_std: batch, gamma: &gamma, beta: &beta, fixed };
                let b = Norm { mean: &imean, inv_std: &iinv, gamma: &[], beta: &[], fixed: false };
                for (norm, expected) in [(a, &ya), (b, &yb)] {
                    let mut y = nan(len);
                    normalise(maps, &x, &norm, act, &mut y);
                    close_to(&y, expected, output_tolerance(norm.inv_std), &what);
                }
                let (mut dx, mut dg, mut db) = (ga.clone(), nan(c), nan(c));
                both_backward(maps, &mut dx, &gb, &x, &a, &b, act, &mut dg, &mut db);
                close_to(&dx, &dx0, 2e-5, &what);
                if !fixed {
                    close_to(&dg, &dgamma, 2e-5, &what);
                    close_to(&db, &dbeta, 2e-5, &what);
                }
            });
        }
    }
}

#[test]
fn join_and_split() {
    use dyntta_kernels::join::{Join, join, split};
    for [n, h, w, c, oh, ow, oc] in
        [[2, 5, 7, 3, 4, 6, 2], [1, 1, 1, 1, 1, 1, 1], [3, 4, 4, 32, 4, 4, 64], [1, 3, 2, 5, 0, 0, 4]]
    {
        let p = Join { n, h, w, c, oh, ow, oc };
        let mut r = Random::new((h * w * c) as u64);
        let (a, b) = (r.normal(n * h * w * c), r.normal(n * oh * ow * oc));
        let mut expected = Vec::new();
        for i in 0..n * h * w {
            let (image, y, x) = (i / (h * w), i / w % h, i % w);
            expected.extend_from_slice(&a[i * c..(i + 1) * c]);
            let at = ((image * oh + y) * ow + x) * oc;
            let inside = y < oh && x < ow;
            expected.extend((0..oc).map(|k| if inside { b[at + k] } else { 0.0 }));
        }
        at_every_level(|level| {
            let mut y = nan(expected.len());
            join(&p, &a, &b, &mut y);
            assert_eq!(y, expected, "{p:?} {level:?}");
            let (mut da, mut db) = (nan(a.len()), nan(b.len()));
            split(&p, &y, &mut da, &mut db);
            assert!(da == a && db == b, "{p:?} {level:?}");
        });
    }
}
