//! Products, and the layers of networks.

use rayon::prelude::*;

use super::elementwise::{broadcast, spread};
use super::{Inputs, Outcome, Settings, floats};
use crate::array::Array;

pub fn compute(op: &str, settings: Settings<'_>, inputs: Inputs<'_>) -> Outcome {
    let y = match op {
        "MatMul" => matmul(inputs),
        "Conv" => conv(settings, inputs),
        "MaxPool" => max_pool(settings, inputs),
        "GlobalAveragePool" => global_average(inputs),
        "Softmax" => softmax(settings, inputs),
        _ => return None,
    };
    Some(y.map(|y| vec![y]))
}

/// `c += a b` with a of `m` x `k`.
fn product(a: &[f32], b: &[f32], c: &mut [f32], k: usize) {
    if k == 0 || c.is_empty() {
        return;
    }
    let n = b.len() / k;
    c.par_chunks_exact_mut(n).zip(a.par_chunks_exact(k)).for_each(|(row, a)| {
        for (&a, b) in a.iter().zip(b.chunks_exact(n)) {
            for (c, &b) in row.iter_mut().zip(b) {
                *c += a * b;
            }
        }
    });
}

fn matmul(inputs: Inputs<'_>) -> Result<Array, String> {
    let ((sa, a), (sb, b)) = (floats(inputs, 0)?, floats(inputs, 1)?);
    let ([outer_a @ .., m, k], [outer_b @ .., l, n]) = (sa, sb) else {
        return Err(format!("matrices of shapes {sa:?} and {sb:?}"));
    };
    let (m, k, n) = (*m, *k, *n);
    if k != *l {
        return Err(format!("matrices of shapes {sa:?} and {sb:?}"));
    }
    let outer = broadcast(outer_a, outer_b)?;
    let mut out = vec![0.0; outer.iter().product::<usize>() * m * n];
    let places = spread(outer_a, &outer).into_iter().zip(spread(outer_b, &outer));
    for ((i, j), c) in places.zip(out.chunks_exact_mut((m * n).max(1))) {
        product(&a[i * m * k..(i + 1) * m * k], &b[j * k * n..(j + 1) * k * n], c, k);
    }
    Ok(Array::f32(&[&outer[..], &[m, n]].concat(), out))
}

/// A window: side, stride, and zeros on all sides.
fn window(settings: Settings<'_>) -> Result<[usize; 3], String> {
    let list = |name: &str, usual: i64| settings.ints(name).unwrap_or(vec![usual]);
    let (kernel, strides, pads) = (list("kernel_shape", 0), list("strides", 1), list("pads", 0));
    let same = |list: &[i64]| list.windows(2).all(|w| w[0] == w[1]).then(|| list.first().copied()).flatten();
    match (same(&kernel), same(&strides), same(&pads)) {
        (Some(k @ 1..), Some(s @ 1..), Some(p @ 0..)) => Ok([k as usize, s as usize, p as usize]),
        _ => Err(format!("a window of {kernel:?}, strides {strides:?}, pads {pads:?}")),
    }
}

fn conv(settings: Settings<'_>, inputs: Inputs<'_>) -> Result<Array, String> {
    let ((shape, x), (kernel, weight)) = (floats(inputs, 0)?, floats(inputs, 1)?);
    let bias = if inputs.len() > 2 { Some(floats(inputs, 2)?.1) } else { None };
    let [side, stride, pad] = window(settings)?;
    let groups = settings.int("group", 1).max(1) as usize;
    let (&[n, cin, h, w], &[cout, each, kh, kw]) = (shape, kernel) else {
        return Err(format!("an image {shape:?}, a kernel {kernel:?}"));
    };
    let fits = each * groups == cin && cout % groups == 0 && kh == side && kw == side && h + 2 * pad >= side;
    if !fits || w + 2 * pad < side || bias.is_some_and(|b| b.len() != cout) {
        return Err(format!("an image {shape:?}, a kernel {kernel:?}"));
    }
    let (oh, ow) = ((h + 2 * pad - side) / stride + 1, (w + 2 * pad - side) / stride + 1);
    let (taps, pixels, of_group) = (each * side * side, oh * ow, cout / groups);
    let mut out = vec![0.0; n * cout * pixels];
    let mut patches = vec![0.0f32; taps * pixels];
    for (i, out) in out.chunks_exact_mut((of_group * pixels).max(1)).enumerate() {
        let (image, group) = (i / groups, i % groups);
        // What each tap of the kernel meets, a row a tap.
        patches.par_chunks_exact_mut(pixels.max(1)).enumerate().for_each(|(tap, row)| {
            let (c, dy, dx) = (tap / (side * side), tap / side % side, tap % side);
            let plane = &x[(image * cin + group * each + c) * h * w..][..h * w];
            for (p, value) in row.iter_mut().enumerate() {
                let (y, x) =
                    ((p / ow * stride + dy).wrapping_sub(pad), (p % ow * stride + dx).wrapping_sub(pad));
                *value = if y < h && x < w { plane[y * w + x] } else { 0.0 };
            }
        });
        if let Some(bias) = bias {
            for (o, out) in out.chunks_exact_mut(pixels.max(1)).enumerate() {
                out.fill(bias[group * of_group + o]);
            }
        }
        product(&weight[group * of_group * taps..(group + 1) * of_group * taps], &patches, out, taps);
    }
    Ok(Array::f32(&[n, cout, oh, ow], out))
}

fn max_pool(settings: Settings<'_>, inputs: Inputs<'_>) -> Result<Array, String> {
    let (shape, x) = floats(inputs, 0)?;
    let [side, stride, pad] = window(settings)?;
    let &[n, c, h, w] = shape else { return Err(format!("an image {shape:?}")) };
    if h + 2 * pad < side || w + 2 * pad < side {
        return Err(format!("a window of {side} on {h} x {w}"));
    }
    let (oh, ow) = ((h + 2 * pad - side) / stride + 1, (w + 2 * pad - side) / stride + 1);
    let mut out = Vec::with_capacity(n * c * oh * ow);
    for plane in x.chunks_exact((h * w).max(1)) {
        for p in 0..oh * ow {
            let (y, x) = (p / ow * stride, p % ow * stride);
            let rows = (y..y + side).filter_map(|y| y.checked_sub(pad).filter(|&y| y < h));
            let most = rows.flat_map(|y| {
                (x..x + side)
                    .filter_map(|x| x.checked_sub(pad).filter(|&x| x < w))
                    .map(move |x| plane[y * w + x])
            });
            out.push(most.fold(f32::NEG_INFINITY, f32::max));
        }
    }
    Ok(Array::f32(&[n, c, oh, ow], out))
}

fn mean(plane: &[f32]) -> f64 {
    plane.iter().map(|&v| f64::from(v)).sum::<f64>() / plane.len() as f64
}

fn global_average(inputs: Inputs<'_>) -> Result<Array, String> {
    let (shape, x) = floats(inputs, 0)?;
    let &[n, c, h, w] = shape else { return Err(format!("an image {shape:?}")) };
    let means = x.chunks_exact((h * w).max(1)).map(|plane| mean(plane) as f32).collect();
    Ok(Array::f32(&[n, c, 1, 1], means))
}

fn softmax(settings: Settings<'_>, inputs: Inputs<'_>) -> Result<Array, String> {
    let (shape, x) = floats(inputs, 0)?;
    let axis = super::axis(settings.int("axis", -1), shape.len())?;
    if axis + 1 != shape.len() {
        return Err(format!("axis {axis} of {shape:?}"));
    }
    let mut out = Vec::with_capacity(x.len());
    for row in x.chunks_exact(shape[axis].max(1)) {
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f32> = row.iter().map(|v| (v - most).exp()).collect();
        let sum: f32 = powers.iter().sum();
        out.extend(powers.iter().map(|p| p / sum));
    }
    Ok(Array::f32(shape, out))
}
