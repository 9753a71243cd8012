//! Operators that sample images.

use super::{Inputs, Outcome, Settings, floats, ints, sizes};
use crate::array::Array;

pub fn compute(op: &str, settings: Settings<'_>, inputs: Inputs<'_>) -> Outcome {
    Some(match op {
        "GridSample" => grid_sample(settings, inputs).map(|y| vec![y]),
        "Resize" => resize(settings, inputs).map(|y| vec![y]),
        _ => return None,
    })
}

/// Bilinear, zeros outside, corners not aligned.
fn grid_sample(settings: Settings<'_>, inputs: Inputs<'_>) -> Result<Array, String> {
    let (shape, x) = floats(inputs, 0)?;
    let (places, grid) = floats(inputs, 1)?;
    let (&[n, c, h, w], &[m, oh, ow, 2]) = (shape, places) else {
        return Err(format!("an image {shape:?} at places {places:?}"));
    };
    let mode = settings.text("mode");
    if n != m || settings.int("align_corners", 0) != 0 || !["linear", "bilinear"].contains(&mode.as_str()) {
        return Err(format!("{n} images, {m} grids, mode {mode}"));
    }
    let mut out = Vec::with_capacity(n * c * oh * ow);
    for i in 0..n * c {
        let plane = &x[i * h * w..(i + 1) * h * w];
        let grid = &grid[i / c * oh * ow * 2..][..oh * ow * 2];
        for place in grid.chunks_exact(2) {
            let u = ((place[0] + 1.0) * w as f32 - 1.0) / 2.0;
            let v = ((place[1] + 1.0) * h as f32 - 1.0) / 2.0;
            let at = |y: f32, x: f32| {
                let inside = y >= 0.0 && x >= 0.0 && y < h as f32 && x < w as f32;
                if inside { plane[y as usize * w + x as usize] } else { 0.0 }
            };
            let (x0, y0) = (u.floor(), v.floor());
            let (fx, fy) = (u - x0, v - y0);
            let top = (1.0 - fx) * at(y0, x0) + fx * at(y0, x0 + 1.0);
            let bottom = (1.0 - fx) * at(y0 + 1.0, x0) + fx * at(y0 + 1.0, x0 + 1.0);
            out.push((1.0 - fy) * top + fy * bottom);
        }
    }
    Ok(Array::f32(&[n, c, oh, ow], out))
}

/// Linear with aligned corners, to `sizes`.
fn resize(settings: Settings<'_>, inputs: Inputs<'_>) -> Result<Array, String> {
    let (shape, x) = floats(inputs, 0)?;
    let wanted = sizes(ints(inputs, 3)?)?;
    let (&[n, c, h, w], &[m, d, oh, ow]) = (shape, &wanted[..]) else {
        return Err(format!("{shape:?} to {wanted:?}"));
    };
    let how = settings.text("coordinate_transformation_mode");
    if (n, c) != (m, d) || settings.text("mode") != "linear" || how != "align_corners" {
        return Err(format!("{shape:?} to {wanted:?}, {how}"));
    }
    let mix = |o: usize, from: usize, to: usize| {
        let at = if to > 1 { o as f32 * (from - 1) as f32 / (to - 1) as f32 } else { 0.0 };
        let low = (at as usize).min(from - 1);
        (low, (low + 1).min(from - 1), at - low as f32)
    };
    let mut out = Vec::with_capacity(n * c * oh * ow);
    for plane in x.chunks_exact((h * w).max(1)) {
        for y in 0..oh {
            let (y0, y1, fy) = mix(y, h, oh);
            for x in 0..ow {
                let (x0, x1, fx) = mix(x, w, ow);
                let row = |y: usize| (1.0 - fx) * plane[y * w + x0] + fx * plane[y * w + x1];
                out.push((1.0 - fy) * row(y0) + fy * row(y1));
            }
        }
    }
    Ok(Array::f32(&wanted, out))
}
