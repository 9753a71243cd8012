//! Plain loops, summed in double precision: what every kernel of this crate is tested against.

use crate::conv::Conv2d;

/// Calls `f(output pixel, input pixel, tap)` for every tap that falls inside the input.
fn each_tap(c: &Conv2d, mut f: impl FnMut(usize, usize, usize)) {
    for n in 0..c.n {
        for oy in 0..c.out_h() {
            for ox in 0..c.out_w() {
                for ky in 0..c.kh {
                    for kx in 0..c.kw {
                        let (iy, ix) = (oy * c.stride + ky, ox * c.stride + kx);
                        if iy >= c.pad && iy < c.pad + c.h && ix >= c.pad && ix < c.pad + c.w {
                            let out = (n * c.out_h() + oy) * c.out_w() + ox;
                            let inp = (n * c.h + iy - c.pad) * c.w + ix - c.pad;
                            f(out, inp, ky * c.kw + kx);
                        }
                    }
                }
            }
        }
    }
}

fn to_f32(from: &[f64], to: &mut [f32]) {
    assert_eq!(from.len(), to.len());
    for (t, f) in to.iter_mut().zip(from) {
        *t = *f as f32;
    }
}

/// [`crate::conv::forward`].
pub fn conv_forward(c: &Conv2d, x: &[f32], weight: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
    let mut sum = vec![0.0f64; c.output_len()];
    if let Some(b) = bias {
        for (i, s) in sum.iter_mut().enumerate() {
            *s = f64::from(b[i % c.cout]);
        }
    }
    each_tap(c, |o, i, t| {
        for co in 0..c.cout {
            for ci in 0..c.cin {
                let w = weight[(co * c.cin + ci) * c.kh * c.kw + t];
                sum[o * c.cout + co] += f64::from(x[i * c.cin + ci]) * f64::from(w);
            }
        }
    });
    to_f32(&sum, y);
}

/// [`crate::conv::backward_input`].
pub fn conv_backward_input(c: &Conv2d, g: &[f32], weight: &[f32], dx: &mut [f32]) {
    let mut sum = vec![0.0f64; c.input_len()];
    each_tap(c, |o, i, t| {
        for co in 0..c.cout {
            for ci in 0..c.cin {
                let w = weight[(co * c.cin + ci) * c.kh * c.kw + t];
                sum[i * c.cin + ci] += f64::from(g[o * c.cout + co]) * f64::from(w);
            }
        }
    });
    to_f32(&sum, dx);
}

/// [`crate::conv::backward_weight`].
pub fn conv_backward_weight(c: &Conv2d, x: &[f32], g: &[f32], dw: &mut [f32], db: Option<&mut [f32]>) {
    let mut sum = vec![0.0f64; c.weight_len()];
    each_tap(c, |o, i, t| {
        for co in 0..c.cout {
            for ci in 0..c.cin {
                sum[(co * c.cin + ci) * c.kh * c.kw + t] +=
                    f64::from(x[i * c.cin + ci]) * f64::from(g[o * c.cout + co]);
            }
        }
    });
    to_f32(&sum, dw);
    if let Some(db) = db {
        let mut sum = vec![0.0f64; c.cout];
        for (i, v) in g.iter().enumerate() {
            sum[i % c.cout] += f64::from(*v);
        }
        to_f32(&sum, db);
    }
}
