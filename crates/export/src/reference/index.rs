//! Operators that move elements, make lists of them, or sum them up.

use super::elementwise::{pick, spread};
use super::{Inputs, Outcome, Settings, around, axis, floats, input, ints, sizes};
use crate::array::{Array, Data};

pub fn compute(op: &str, settings: Settings<'_>, inputs: Inputs<'_>) -> Outcome {
    let one = |y: Result<Array, String>| y.map(|y| vec![y]);
    Some(match op {
        "Shape" => one(shape(settings, inputs)),
        "Range" => one(range(inputs)),
        "Concat" => one(concat(settings, inputs)),
        "Reshape" => one(reshape(inputs)),
        "Unsqueeze" => one(unsqueeze(inputs)),
        "Squeeze" => one(squeeze(inputs)),
        "Flatten" => one(flatten(inputs)),
        "Transpose" => one(transpose(settings, inputs)),
        "Expand" => one(expand(inputs)),
        "Split" => split(settings, inputs),
        "Slice" => one(slice(inputs)),
        "Pad" => one(pad(settings, inputs)),
        "Gather" => one(gather(settings, inputs)),
        "GatherElements" => one(gather_elements(settings, inputs)),
        "ScatterElements" => one(scatter_add(settings, inputs)),
        "CumSum" => one(sum_before(settings, inputs)),
        "ReduceMax" | "ReduceMin" | "ReduceMean" | "ReduceSum" => one(reduce(op, settings, inputs)),
        _ => return None,
    })
}

fn shape(settings: Settings<'_>, inputs: Inputs<'_>) -> Result<Array, String> {
    let shape = &input(inputs, 0)?.shape;
    let place = |v: i64| usize::try_from(if v < 0 { v + shape.len() as i64 } else { v }).unwrap_or(0);
    let start = place(settings.int("start", 0)).min(shape.len());
    let end = place(settings.int("end", shape.len() as i64)).clamp(start, shape.len());
    Ok(Array::list(&shape[start..end].iter().map(|&extent| extent as i64).collect::<Vec<_>>()))
}

fn range(inputs: Inputs<'_>) -> Result<Array, String> {
    let (&[start], &[end], &[step]) = (ints(inputs, 0)?, ints(inputs, 1)?, ints(inputs, 2)?) else {
        return Err("bounds that are not one number".into());
    };
    let step = usize::try_from(step).ok().filter(|&s| s > 0).ok_or_else(|| format!("a step of {step}"))?;
    Ok(Array::list(&(start..end).step_by(step).collect::<Vec<_>>()))
}

fn concat(settings: Settings<'_>, inputs: Inputs<'_>) -> Result<Array, String> {
    let first = input(inputs, 0)?;
    let axis = axis(settings.int("axis", 0), first.shape.len())?;
    let mut shape = first.shape.clone();
    shape[axis] = 0;
    let mut parts = Vec::new();
    for i in 0..inputs.len() {
        let part = input(inputs, i)?;
        if part.shape.len() != shape.len() || part.data.kind() != first.data.kind() {
            return Err(format!("tensors of shapes {:?} and {:?}", first.shape, part.shape));
        }
        let [before, along, behind] = around(&part.shape, axis);
        let [outer, _, inner] = around(&first.shape, axis);
        if (before, behind) != (outer, inner) {
            return Err(format!("tensors of shapes {:?} and {:?}", first.shape, part.shape));
        }
        shape[axis] += along;
        parts.push((&part.data, along * behind));
    }
    let outer: usize = shape[..axis].iter().product();
    let mut data = pick(&first.data, std::iter::empty());
    for i in 0..outer {
        for (part, len) in &parts {
            append(&mut data, part, i * len, *len);
        }
    }
    Ok(Array::new(shape, data))
}

fn append(to: &mut Data, from: &Data, start: usize, len: usize) {
    match (to, from) {
        (Data::F32(a), Data::F32(b)) => a.extend(&b[start..start + len]),
        (Data::F64(a), Data::F64(b)) => a.extend(&b[start..start + len]),
        (Data::F16(a), Data::F16(b)) => a.extend(&b[start..start + len]),
        (Data::I64(a), Data::I64(b)) => a.extend(&b[start..start + len]),
        (Data::I32(a), Data::I32(b)) => a.extend(&b[start..start + len]),
        (Data::U8(a), Data::U8(b)) => a.extend(&b[start..start + len]),
        (Data::Bool(a), Data::Bool(b)) => a.extend(&b[start..start + len]),
        _ => {}
    }
}

fn reshape(inputs: Inputs<'_>) -> Result<Array, String> {
    let (x, wanted) = (input(inputs, 0)?, ints(inputs, 1)?);
    let extent = |i: usize| x.shape.get(i).map_or(1, |&extent| extent as i64);
    let known: i64 = wanted
        .iter()
        .enumerate()
        .filter(|(_, v)| **v != -1)
        .map(|(i, &v)| if v == 0 { extent(i) } else { v })
        .product();
    let count = x.data.len();
    let shape = wanted.iter().enumerate().map(|(i, &v)| match v {
        0 => x.shape.get(i).copied().ok_or_else(|| "an extent to copy".to_owned()),
        -1 if known > 0 => Ok(count / known as usize),
        v => usize::try_from(v).map_err(|_| format!("an extent of {v}")),
    });
    let shape = shape.collect::<Result<Vec<_>, _>>()?;
    if shape.iter().product::<usize>() != count {
        return Err(format!("{:?} into {wanted:?}", x.shape));
    }
    Ok(Array::new(shape, x.data.clone()))
}

fn unsqueeze(inputs: Inputs<'_>) -> Result<Array, String> {
    let (x, axes) = (input(inputs, 0)?, ints(inputs, 1)?);
    let rank = x.shape.len() + axes.len();
    let axes = axes.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
    let mut extents = x.shape.iter();
    let shape = (0..rank).map(|a| if axes.contains(&a) { 1 } else { extents.next().copied().unwrap_or(1) });
    Ok(Array::new(shape.collect(), x.data.clone()))
}

fn squeeze(inputs: Inputs<'_>) -> Result<Array, String> {
    let x = input(inputs, 0)?;
    let rank = x.shape.len();
    let axes = ints(inputs, 1)?.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
    if axes.iter().any(|&a| x.shape[a] != 1) {
        return Err(format!("axes {axes:?} of {:?}", x.shape));
    }
    let kept = x.shape.iter().enumerate().filter(|(a, _)| !axes.contains(a)).map(|(_, &extent)| extent);
    Ok(Array::new(kept.collect(), x.data.clone()))
}

fn flatten(inputs: Inputs<'_>) -> Result<Array, String> {
    let x = input(inputs, 0)?;
    let n = x.shape.first().copied().unwrap_or(1);
    Ok(Array::new(vec![n, x.shape.iter().skip(1).product()], x.data.clone()))
}

fn transpose(settings: Settings<'_>, inputs: Inputs<'_>) -> Result<Array, String> {
    let x = input(inputs, 0)?;
    let order = sizes(&settings.ints("perm").ok_or("no order of the axes")?)?;
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..x.shape.len()) {
        return Err(format!("the axes {order:?} of {:?}", x.shape));
    }
    let shape: Vec<usize> = order.iter().map(|&a| x.shape[a]).collect();
    let mut indices = vec![0];
    for &axis in &order {
        let step: usize = x.shape[axis + 1..].iter().product();
        indices = indices.iter().flat_map(|&i| (0..x.shape[axis]).map(move |k| i + k * step)).collect();
    }
    Ok(Array::new(shape, pick(&x.data, indices.into_iter())))
}

fn expand(inputs: Inputs<'_>) -> Result<Array, String> {
    let x = input(inputs, 0)?;
    let shape = super::elementwise::broadcast(&x.shape, &sizes(ints(inputs, 1)?)?)?;
    let data = pick(&x.data, spread(&x.shape, &shape).into_iter());
    Ok(Array::new(shape, data))
}

fn split(settings: Settings<'_>, inputs: Inputs<'_>) -> Result<Vec<Array>, String> {
    let (x, sizes) = (input(inputs, 0)?, sizes(ints(inputs, 1)?)?);
    let axis = axis(settings.int("axis", 0), x.shape.len())?;
    let [before, along, behind] = around(&x.shape, axis);
    if sizes.iter().sum::<usize>() != along {
        return Err(format!("parts of {sizes:?} of {along}"));
    }
    let mut start = 0;
    let part = |size: usize| {
        let mut shape = x.shape.clone();
        shape[axis] = size;
        let from = start;
        start += size;
        let places = (0..before).flat_map(move |i| {
            (from..from + size).flat_map(move |k| (0..behind).map(move |j| (i * along + k) * behind + j))
        });
        Array::new(shape, pick(&x.data, places))
    };
    Ok(sizes.into_iter().map(part).collect())
}

fn slice(inputs: Inputs<'_>) -> Result<Array, String> {
    let x = input(inputs, 0)?;
    let (starts, ends, axes) = (ints(inputs, 1)?, ints(inputs, 2)?, ints(inputs, 3)?);
    let mut shape = x.shape.clone();
    let mut from = vec![0; shape.len()];
    for ((&start, &end), &a) in starts.iter().zip(ends).zip(axes) {
        let a = axis(a, shape.len())?;
        from[a] = usize::try_from(start).unwrap_or(0).min(shape[a]);
        shape[a] = usize::try_from(end).unwrap_or(0).clamp(from[a], shape[a]) - from[a];
    }
    let mut indices = vec![0];
    for a in 0..shape.len() {
        let step: usize = x.shape[a + 1..].iter().product();
        indices =
            indices.iter().flat_map(|&i| (from[a]..from[a] + shape[a]).map(move |k| i + k * step)).collect();
    }
    Ok(Array::new(shape, pick(&x.data, indices.into_iter())))
}

fn pad(settings: Settings<'_>, inputs: Inputs<'_>) -> Result<Array, String> {
    let (shape, x) = floats(inputs, 0)?;
    let pads = sizes(ints(inputs, 1)?)?;
    let edge = settings.text("mode") == "edge";
    let rank = shape.len();
    if pads.len() != 2 * rank {
        return Err(format!("pads {pads:?} of {shape:?}"));
    }
    let out: Vec<usize> = (0..rank).map(|a| pads[a] + shape[a] + pads[a + rank]).collect();
    let mut indices = vec![Some(0)];
    for a in 0..rank {
        let step: usize = shape[a + 1..].iter().product();
        let (before, extent) = (pads[a], shape[a]);
        let place = |k: usize| match k.checked_sub(before) {
            Some(inside) if inside < extent => Some(inside),
            _ if !edge || extent == 0 => None,
            None => Some(0),
            Some(_) => Some(extent - 1),
        };
        indices =
            indices.iter().flat_map(|&i| (0..out[a]).map(move |k| Some(i? + place(k)? * step))).collect();
    }
    let data = indices.into_iter().map(|i| i.map_or(0.0, |i| x[i])).collect();
    Ok(Array::f32(&out, data))
}

/// Indices as places of an axis of `extent`.
fn places(array: &Array, extent: usize) -> Result<Vec<usize>, String> {
    let values: Vec<i64> = match &array.data {
        Data::I64(v) => v.clone(),
        Data::I32(v) => v.iter().map(|&v| v.into()).collect(),
        _ => return Err("indices that are no whole numbers".into()),
    };
    values.into_iter().map(|v| axis(v, extent)).collect()
}

fn gather(settings: Settings<'_>, inputs: Inputs<'_>) -> Result<Array, String> {
    let (x, at) = (input(inputs, 0)?, input(inputs, 1)?);
    let axis = axis(settings.int("axis", 0), x.shape.len())?;
    let [before, along, behind] = around(&x.shape, axis);
    let places = &places(at, along)?;
    let shape = [&x.shape[..axis], &at.shape, &x.shape[axis + 1..]].concat();
    let indices = (0..before).flat_map(|i| {
        places.iter().flat_map(move |&k| (0..behind).map(move |j| (i * along + k) * behind + j))
    });
    Ok(Array::new(shape, pick(&x.data, indices)))
}

fn gather_elements(settings: Settings<'_>, inputs: Inputs<'_>) -> Result<Array, String> {
    let (x, at) = (input(inputs, 0)?, input(inputs, 1)?);
    let axis = axis(settings.int("axis", 0), x.shape.len())?;
    let [before, along, behind] = around(&x.shape, axis);
    let [outer, count, inner] = around(&at.shape, axis);
    if (before, behind) != (outer, inner) {
        return Err(format!("indices of shape {:?} in {:?}", at.shape, x.shape));
    }
    let places = &places(at, along)?;
    let indices = (0..places.len()).map(|i| {
        let (outer, inner) = (i / (count * behind), i % behind);
        (outer * along + places[i]) * behind + inner
    });
    Ok(Array::new(at.shape.clone(), pick(&x.data, indices)))
}

fn scatter_add(settings: Settings<'_>, inputs: Inputs<'_>) -> Result<Array, String> {
    let (x, at, updates) = (input(inputs, 0)?, input(inputs, 1)?, input(inputs, 2)?);
    let axis = axis(settings.int("axis", 0), x.shape.len())?;
    let [before, along, behind] = around(&x.shape, axis);
    let [outer, count, inner] = around(&at.shape, axis);
    if settings.text("reduction") != "add" || (before, behind) != (outer, inner) || updates.shape != at.shape
    {
        return Err(format!("updates {:?} at {:?} of {:?}", updates.shape, at.shape, x.shape));
    }
    let (Data::I32(x_data), Data::I32(updates)) = (&x.data, &updates.data) else {
        return Err("sums of other types".into());
    };
    let mut out = x_data.clone();
    for (i, (place, update)) in places(at, along)?.into_iter().zip(updates).enumerate() {
        let (outer, inner) = (i / (count * behind), i % behind);
        let to = &mut out[(outer * along + place) * behind + inner];
        *to = to.wrapping_add(*update);
    }
    Ok(Array::new(x.shape.clone(), Data::I32(out)))
}

fn sum_before(settings: Settings<'_>, inputs: Inputs<'_>) -> Result<Array, String> {
    let (x, at) = (input(inputs, 0)?, input(inputs, 1)?);
    let (Data::I64(values), Data::I64(at)) = (&x.data, &at.data) else {
        return Err("sums of other types".into());
    };
    let axis = axis(at.first().copied().unwrap_or(0), x.shape.len())?;
    let [_, along, behind] = around(&x.shape, axis);
    if settings.int("exclusive", 0) != 1 || behind != 1 {
        return Err("a sum along another axis than the last".into());
    }
    let rows = values.chunks_exact(along.max(1)).flat_map(|row| {
        row.iter().scan(0i64, |sum, v| {
            let before = *sum;
            *sum = sum.wrapping_add(*v);
            Some(before)
        })
    });
    Ok(Array::new(x.shape.clone(), Data::I64(rows.collect())))
}

fn reduce(op: &str, settings: Settings<'_>, inputs: Inputs<'_>) -> Result<Array, String> {
    let x = input(inputs, 0)?;
    let rank = x.shape.len();
    let axes = match settings.ints("axes") {
        Some(axes) => axes,
        None => ints(inputs, 1)?.to_vec(),
    };
    let axes = axes.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
    let kept: Vec<usize> = (0..rank).map(|a| if axes.contains(&a) { 1 } else { x.shape[a] }).collect();
    // Where each element goes.
    let to = spread(&kept, &x.shape);
    let count = kept.iter().product();
    fn fold<T: Copy>(values: &[T], to: &[usize], count: usize, start: T, f: impl Fn(T, T) -> T) -> Vec<T> {
        let mut out = vec![start; count];
        for (&value, &i) in values.iter().zip(to) {
            out[i] = f(out[i], value);
        }
        out
    }
    let data = match (&x.data, op) {
        (Data::F32(v), "ReduceMax") => Data::F32(fold(v, &to, count, f32::NEG_INFINITY, f32::max)),
        (Data::F32(v), "ReduceMin") => Data::F32(fold(v, &to, count, f32::INFINITY, f32::min)),
        (Data::F32(v), "ReduceMean") => {
            let each = v.len() as f64 / (count as f64).max(1.0);
            let doubles: Vec<f64> = v.iter().map(|&v| v.into()).collect();
            let sums = fold(&doubles, &to, count, 0.0, |a, b| a + b);
            Data::F32(sums.into_iter().map(|sum| (sum / each) as f32).collect())
        }
        (Data::I64(v), "ReduceMax") => Data::I64(fold(v, &to, count, i64::MIN, i64::max)),
        (Data::I32(v), "ReduceSum") => Data::I32(fold(v, &to, count, 0, i32::wrapping_add)),
        _ => return Err(format!("{op} of such elements")),
    };
    let shape = if settings.int("keepdims", 1) == 1 {
        kept
    } else {
        (0..rank).filter(|a| !axes.contains(a)).map(|a| x.shape[a]).collect()
    };
    Ok(Array::new(shape, data))
}
