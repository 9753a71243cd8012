//! Operators that work value by value.

use half::f16;

use super::{Inputs, Outcome, Settings, each, input};
use crate::array::{Array, Data};

/// The shape that two shapes broadcast to.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let extent =
        |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
    (0..rank)
        .map(|axis| match (extent(a, axis), extent(b, axis)) {
            (1, extent) | (extent, 1) => Ok(extent),
            (x, y) if x == y => Ok(x),
            _ => Err(format!("shapes {a:?} and {b:?}")),
        })
        .collect()
}

/// For each element of `out`, the element of a tensor of `shape` that broadcasts to it.
pub(super) fn spread(shape: &[usize], out: &[usize]) -> Vec<usize> {
    let count: usize = out.iter().product();
    if shape.iter().product::<usize>() == 1 {
        return vec![0; count];
    }
    let mut indices = vec![0];
    // Axis by axis from the first, each index becoming as many as the axis has places.
    let mut rest: usize = shape.iter().product();
    for (axis, &extent) in out.iter().enumerate() {
        let own = (axis + shape.len()).checked_sub(out.len()).map_or(1, |at| shape[at]);
        rest /= own.max(1);
        let step = if own == 1 { 0 } else { rest };
        indices = indices.iter().flat_map(|&i| (0..extent).map(move |k| i + k * step)).collect();
    }
    indices
}

fn zip<T: Copy, R>(a: &[T], b: &[T], shapes: [&[usize]; 3], f: impl Fn(T, T) -> R) -> Vec<R> {
    let [sa, sb, out] = shapes;
    if sa == sb {
        return a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect();
    }
    spread(sa, out).into_iter().zip(spread(sb, out)).map(|(i, j)| f(a[i], b[j])).collect()
}

macro_rules! binary {
    ($a:expr, $b:expr, $f32:expr, $f64:expr, $i64:expr, $i32:expr) => {{
        let (a, b) = ($a, $b);
        let shape = broadcast(&a.shape, &b.shape)?;
        let shapes = [&a.shape[..], &b.shape[..], &shape[..]];
        let data = match (&a.data, &b.data) {
            (Data::F32(x), Data::F32(y)) => Data::F32(zip(x, y, shapes, $f32)),
            (Data::F64(x), Data::F64(y)) => Data::F64(zip(x, y, shapes, $f64)),
            (Data::I64(x), Data::I64(y)) => Data::I64(zip(x, y, shapes, $i64)),
            (Data::I32(x), Data::I32(y)) => Data::I32(zip(x, y, shapes, $i32)),
            _ => return Err("inputs of different types".into()),
        };
        Array::new(shape, data)
    }};
}

macro_rules! compare {
    ($a:expr, $b:expr, $op:tt) => {{
        let (a, b) = ($a, $b);
        let shape = broadcast(&a.shape, &b.shape)?;
        let shapes = [&a.shape[..], &b.shape[..], &shape[..]];
        let data = match (&a.data, &b.data) {
            (Data::F32(x), Data::F32(y)) => zip(x, y, shapes, |a, b| a $op b),
            (Data::F64(x), Data::F64(y)) => zip(x, y, shapes, |a, b| a $op b),
            (Data::I64(x), Data::I64(y)) => zip(x, y, shapes, |a, b| a $op b),
            (Data::I32(x), Data::I32(y)) => zip(x, y, shapes, |a, b| a $op b),
            _ => return Err("inputs of different types".into()),
        };
        Array::new(shape, Data::Bool(data))
    }};
}

pub fn compute(op: &str, settings: Settings<'_>, inputs: Inputs<'_>) -> Outcome {
    Some(match op {
        "Add" | "Sub" | "Mul" | "Div" | "Mod" | "Min" | "Max" => arithmetic(op, inputs).map(|y| vec![y]),
        "Less" | "GreaterOrEqual" | "Equal" | "And" => logic(op, inputs).map(|y| vec![y]),
        "Where" => choose(inputs).map(|y| vec![y]),
        "Cast" => cast(settings, inputs).map(|y| vec![y]),
        "Clip" => clip(inputs).map(|y| vec![y]),
        "Identity" => input(inputs, 0).map(|x| vec![x.clone()]),
        "Floor" | "Sqrt" | "Exp" | "Log" | "Sin" | "Cos" | "Tanh" | "Sigmoid" | "Abs" | "Reciprocal"
        | "Relu" | "LeakyRelu" => unary(op, settings, inputs).map(|y| vec![y]),
        _ => return None,
    })
}

fn arithmetic(op: &str, inputs: Inputs<'_>) -> Result<Array, String> {
    let (a, b) = (input(inputs, 0)?, input(inputs, 1)?);
    if matches!(op, "Div" | "Mod") {
        let zero = match &b.data {
            Data::I64(v) => v.contains(&0),
            Data::I32(v) => v.contains(&0),
            _ => false,
        };
        if zero {
            return Err("a division by 0".into());
        }
    }
    Ok(match op {
        "Add" => binary!(a, b, |a, b| a + b, |a, b| a + b, i64::wrapping_add, i32::wrapping_add),
        "Sub" => binary!(a, b, |a, b| a - b, |a, b| a - b, i64::wrapping_sub, i32::wrapping_sub),
        "Mul" => binary!(a, b, |a, b| a * b, |a, b| a * b, i64::wrapping_mul, i32::wrapping_mul),
        "Div" => binary!(a, b, |a, b| a / b, |a, b| a / b, i64::wrapping_div, i32::wrapping_div),
        "Mod" => {
            binary!(a, b, |a, b| a % b, |a, b| a % b, i64::wrapping_rem_euclid, i32::wrapping_rem_euclid)
        }
        "Min" => binary!(a, b, f32::min, f64::min, std::cmp::min, std::cmp::min),
        _ => binary!(a, b, f32::max, f64::max, std::cmp::max, std::cmp::max),
    })
}

fn logic(op: &str, inputs: Inputs<'_>) -> Result<Array, String> {
    let (a, b) = (input(inputs, 0)?, input(inputs, 1)?);
    Ok(match op {
        "Less" => compare!(a, b, <),
        "GreaterOrEqual" => compare!(a, b, >=),
        "Equal" => compare!(a, b, ==),
        _ => {
            let shape = broadcast(&a.shape, &b.shape)?;
            let (Data::Bool(x), Data::Bool(y)) = (&a.data, &b.data) else {
                return Err("inputs that are no truth values".into());
            };
            let data = zip(x, y, [&a.shape, &b.shape, &shape], |a, b| a & b);
            Array::new(shape, Data::Bool(data))
        }
    })
}

fn choose(inputs: Inputs<'_>) -> Result<Array, String> {
    let (condition, yes, no) = (input(inputs, 0)?, input(inputs, 1)?, input(inputs, 2)?);
    let Data::Bool(holds) = &condition.data else { return Err("a condition that is no truth value".into()) };
    let shape = broadcast(&condition.shape, &broadcast(&yes.shape, &no.shape)?)?;
    let at = [&condition.shape, &yes.shape, &no.shape].map(|s| spread(s, &shape));
    fn pick<T: Copy>(holds: &[bool], yes: &[T], no: &[T], [c, y, n]: &[Vec<usize>; 3]) -> Vec<T> {
        c.iter().zip(y).zip(n).map(|((&c, &y), &n)| if holds[c] { yes[y] } else { no[n] }).collect()
    }
    let data = match (&yes.data, &no.data) {
        (Data::F32(y), Data::F32(n)) => Data::F32(pick(holds, y, n, &at)),
        (Data::F64(y), Data::F64(n)) => Data::F64(pick(holds, y, n, &at)),
        (Data::I64(y), Data::I64(n)) => Data::I64(pick(holds, y, n, &at)),
        _ => return Err("choices of different types".into()),
    };
    Ok(Array::new(shape, data))
}

fn cast(settings: Settings<'_>, inputs: Inputs<'_>) -> Result<Array, String> {
    use dyntta_onnx::data_type as to;
    let x = input(inputs, 0)?;
    // Every type here fits one of these two without loss.
    let (real, whole): (Vec<f64>, Vec<i64>) = match &x.data {
        Data::F32(v) => (v.iter().map(|&v| v.into()).collect(), vec![]),
        Data::F64(v) => (v.clone(), vec![]),
        Data::F16(v) => (v.iter().map(|v| v.to_f64()).collect(), vec![]),
        Data::I64(v) => (vec![], v.clone()),
        Data::I32(v) => (vec![], v.iter().map(|&v| v.into()).collect()),
        Data::U8(v) => (vec![], v.iter().map(|&v| v.into()).collect()),
        Data::Bool(v) => (vec![], v.iter().map(|&v| v.into()).collect()),
    };
    macro_rules! to {
        ($t:ty) => {
            real.iter().map(|&v| v as $t).chain(whole.iter().map(|&v| v as $t)).collect()
        };
    }
    let data = match settings.int("to", 0) as i32 {
        to::FLOAT => Data::F32(to!(f32)),
        to::DOUBLE => Data::F64(to!(f64)),
        to::FLOAT16 => Data::F16(real.iter().map(|&v| f16::from_f64(v)).collect()),
        to::INT64 => Data::I64(to!(i64)),
        to::INT32 => Data::I32(to!(i32)),
        to::UINT8 => Data::U8(to!(u8)),
        to::BOOL => Data::Bool(real.iter().map(|&v| v != 0.0).chain(whole.iter().map(|&v| v != 0)).collect()),
        other => return Err(format!("a cast to type {other}")),
    };
    Ok(Array::new(x.shape.clone(), data))
}

fn clip(inputs: Inputs<'_>) -> Result<Array, String> {
    let x = input(inputs, 0)?;
    let bounds = [input(inputs, 1)?, input(inputs, 2)?];
    if bounds.iter().any(|b| b.data.len() != 1) {
        return Err("bounds that are not one number".into());
    }
    let data = match (&x.data, &bounds[0].data, &bounds[1].data) {
        (Data::F32(v), Data::F32(low), Data::F32(high)) => {
            Data::F32(v.iter().map(|v| v.max(low[0]).min(high[0])).collect())
        }
        (Data::I64(v), Data::I64(low), Data::I64(high)) => {
            Data::I64(v.iter().map(|&v| v.max(low[0]).min(high[0])).collect())
        }
        _ => return Err("inputs of different types".into()),
    };
    Ok(Array::new(x.shape.clone(), data))
}

fn unary(op: &str, settings: Settings<'_>, inputs: Inputs<'_>) -> Result<Array, String> {
    let x = input(inputs, 0)?;
    let slope = settings.float("alpha", 0.01);
    let data = match &x.data {
        Data::F32(v) => {
            let f = |v: f32| match op {
                "Floor" => v.floor(),
                "Sqrt" => v.sqrt(),
                "Exp" => v.exp(),
                "Log" => v.ln(),
                "Sin" => v.sin(),
                "Cos" => v.cos(),
                "Tanh" => v.tanh(),
                "Sigmoid" => 1.0 / (1.0 + (-v).exp()),
                "Abs" => v.abs(),
                "Reciprocal" => v.recip(),
                "Relu" => v.max(0.0),
                _ => {
                    if v < 0.0 {
                        v * slope
                    } else {
                        v
                    }
                }
            };
            Data::F32(v.iter().map(|&v| f(v)).collect())
        }
        Data::F64(v) => {
            let f: fn(f64) -> f64 = match op {
                "Sqrt" => f64::sqrt,
                "Sin" => f64::sin,
                "Cos" => f64::cos,
                other => return Err(format!("{other} in double precision")),
            };
            Data::F64(v.iter().map(|&v| f(v)).collect())
        }
        _ => return Err("an input that is no number".into()),
    };
    Ok(Array::new(x.shape.clone(), data))
}

/// Elements of any type by their places.
pub(super) fn pick(data: &Data, places: impl Iterator<Item = usize> + Clone) -> Data {
    each!(data, v => places.map(|i| v[i]).collect())
}
