//! What changes shapes, asks for them or makes tensors from them, and passes values through.

use super::{Context, Inputs, Op, boxed, float, ints};
use crate::onnx::ir::Node;
use crate::onnx::tensor::DataType;
use crate::onnx::value::{self, Ints, RANK, Value, broadcast};

pub const OPS: &[(&str, super::Build)] = &[
    ("Identity", |_| boxed(Identity)),
    ("Dropout", dropout),
    ("Cast", cast),
    ("CastLike", |_| boxed(CastLike)),
    ("Shape", |n| {
        boxed(Shape { start: n.attributes.int("start").unwrap_or(0), end: n.attributes.int("end") })
    }),
    ("Size", |_| boxed(Size)),
    ("Reshape", |n| boxed(Reshape { zero_is_zero: n.attributes.int("allowzero") == Some(1) })),
    ("Flatten", |n| boxed(Flatten { axis: n.attributes.int("axis").unwrap_or(1) })),
    ("Transpose", |n| boxed(Transpose { order: n.attributes.extents("perm")? })),
    ("Squeeze", |n| boxed(Squeeze { axes: n.attributes.ints("axes").map(<[i64]>::to_vec) })),
    ("Unsqueeze", |n| boxed(Unsqueeze { axes: n.attributes.ints("axes").map(<[i64]>::to_vec) })),
    ("Expand", |_| boxed(Expand)),
    ("DepthToSpace", depth_to_space),
    ("SpaceToDepth", space_to_depth),
];

#[derive(Debug)]
struct Identity;

impl Op for Identity {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        Ok(vec![inputs.value(0)?])
    }
}

/// Outside training nothing is dropped. The mask, where it is asked for, says so from operator set 12 on; before, ONNX Runtime
/// leaves it at zeros.
#[derive(Debug)]
struct Dropout {
    mask: bool,
    /// Up to operator set 9 it is of the input's type.
    float: bool,
}

fn dropout(node: &Node) -> Result<Box<dyn Op>, String> {
    match node.attributes.int("dyntta.training") {
        Some(1) => Err("training_mode: export the model in evaluation mode".into()),
        _ => boxed(Dropout { mask: node.opset > 11, float: node.opset < 10 }),
    }
}

impl Op for Dropout {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.value(0)?;
        let shape = x.shape();
        let count = shape.iter().product();
        let mask = Value::Int(Ints::truth(shape, std::iter::repeat_n(self.mask, count)));
        Ok(vec![x, if self.float { Value::Float(mask.into_float(context.device)?) } else { mask }])
    }
}

/// Floats stay as they are: all are single precision here.
#[derive(Debug)]
struct Cast {
    to: DataType,
}

fn cast(node: &Node) -> Result<Box<dyn Op>, String> {
    let to = DataType::new(node.attributes.int("to").unwrap_or(0));
    boxed(Cast { to: to.map_err(|e| format!("a target that {e}"))? })
}

fn to_ints(x: Value, kind: DataType) -> Ints {
    // Towards zero, as C does.
    let integer = |v: f32| if kind == DataType::Bool { (v != 0.0).into() } else { v as i128 };
    match x {
        Value::Float(x) => Ints::wrapped(kind, x.shape(), x.values().into_iter().map(integer)),
        Value::Int(x) if x.kind == kind => x,
        Value::Int(x) => Ints::wrapped(kind, x.shape.clone(), x.wide()),
    }
}

impl Op for Cast {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.value(0)?;
        if self.to.is_float() { float(x.into_float(context.device)?) } else { ints(to_ints(x, self.to)) }
    }
}

#[derive(Debug)]
struct CastLike;

impl Op for CastLike {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        match (inputs.value(0)?, inputs.value(1)?) {
            (x, Value::Float(_)) => float(x.into_float(context.device)?),
            (x, Value::Int(like)) => ints(to_ints(x, like.kind)),
        }
    }
}

#[derive(Debug)]
struct Shape {
    start: i64,
    end: Option<i64>,
}

impl Op for Shape {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let shape = inputs.value(0)?.shape();
        let rank = shape.len() as i64;
        let at = |i: i64| (if i < 0 { i.saturating_add(rank) } else { i }).clamp(0, rank) as usize;
        let (start, end) = (at(self.start), self.end.map_or(shape.len(), at));
        ints(Ints::list(shape[start..end.max(start)].iter().map(|&d| d as i64).collect()))
    }
}

#[derive(Debug)]
struct Size;

impl Op for Size {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let count = inputs.value(0)?.shape().iter().product::<usize>();
        ints(Ints::new(vec![], vec![count as i64]))
    }
}

fn reshaped(x: Value, shape: Vec<usize>) -> Result<Vec<Value>, String> {
    match x {
        Value::Float(x) => float(x.reshape(&shape)?),
        Value::Int(x) if x.data.len() == value::count(&shape)? => ints(Ints { shape, ..x }),
        Value::Int(x) => Err(format!("{:?} does not reshape to {shape:?}", x.shape)),
    }
}

#[derive(Debug)]
struct Reshape {
    zero_is_zero: bool,
}

impl Op for Reshape {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let (x, target) = (inputs.value(0)?, inputs.ints(1)?.data);
        let from = x.shape();
        let shape = match &context.batch {
            // What the file says is for its own batch.
            Some(batch) if batch.constant => {
                let shape = resolve(batch.shape, &target, self.zero_is_zero)?;
                rebatch(batch.shape, &from, shape, batch.from, batch.to)
            }
            _ => resolve(&from, &target, self.zero_is_zero)?,
        };
        reshaped(x, shape)
    }
}

/// The shape that a target means: 0 is the extent as it is, −1 what is left over.
fn resolve(from: &[usize], target: &[i64], zero_is_zero: bool) -> Result<Vec<usize>, String> {
    let wrong = || format!("{from:?} does not reshape to {target:?}");
    let mut shape = Vec::new();
    for (i, &extent) in target.iter().enumerate() {
        shape.push(match extent {
            0 if !zero_is_zero => *from.get(i).ok_or_else(wrong)?,
            -1 => 1,
            extent => usize::try_from(extent).map_err(|_| wrong())?,
        });
    }
    let product = |s: &[usize]| s.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).ok_or_else(wrong);
    match target.iter().filter(|&&d| d == -1).count() {
        0 => {}
        1 => {
            let (all, rest) = (product(from)?, product(&shape)?);
            let at = target.iter().position(|&d| d == -1).expect("counted");
            shape[at] = all.checked_div(rest).filter(|n| n * rest == all).ok_or_else(wrong)?;
        }
        _ => return Err(wrong()),
    }
    if product(&shape)? == product(from)? { Ok(shape) } else { Err(wrong()) }
}

/// The shape for a batch of `to` images where the file, for `from`, reshapes `was` to `shape`.
///
/// The extent of `now` that changed with the batch tells where the images are; they go to where as many elements stand
/// before them. What an extent of 1 leaves open is decided as networks have it, and checked by the graph's trial run:
/// images take an extent of their own if there is one, and are no part of the last, the features.
fn rebatch(was: &[usize], now: &[usize], mut shape: Vec<usize>, from: usize, to: usize) -> Vec<usize> {
    let changed = |i: &usize| now[*i] * from == was[*i] * to && now[*i] != was[*i];
    let Some(axis) = (0..was.len().min(now.len())).find(changed) else { return shape };
    // The images may be the slow part of their extent or the fast one.
    let outer: usize = was[..axis].iter().product();
    let inner = outer * was[axis] / from;
    let before = |i: usize| shape[..i].iter().product::<usize>();
    let find =
        |fits: &dyn Fn(usize) -> bool| (0..shape.len()).find(|&i| fits(i) && shape[i].is_multiple_of(from));
    let own = |elements: usize| {
        let fits = |i: usize| before(i) == elements && shape[i] == from;
        Some(axis).filter(|&i| i < shape.len() && fits(i)).or_else(|| find(&fits))
    };
    let place = own(outer)
        .or_else(|| own(inner))
        .or_else(|| find(&|i| before(i) == outer && i + 1 < shape.len()))
        .or_else(|| find(&|i| before(i + 1) == outer * from));
    if let Some(i) = place {
        shape[i] = shape[i] / from * to;
    }
    shape
}

#[derive(Debug)]
struct Flatten {
    axis: i64,
}

impl Op for Flatten {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.value(0)?;
        let shape = x.shape();
        // Here the end is an axis too.
        let rank = shape.len();
        let axis = if self.axis == rank as i64 { rank } else { value::axis(self.axis, rank)? };
        reshaped(x, vec![shape[..axis].iter().product(), shape[axis..].iter().product()])
    }
}

#[derive(Debug)]
struct Transpose {
    order: Option<Vec<usize>>,
}

impl Op for Transpose {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.value(0)?;
        let rank = x.shape().len();
        let order = self.order.clone().unwrap_or((0..rank).rev().collect());
        let mut sorted = order.clone();
        sorted.sort_unstable();
        if sorted != (0..rank).collect::<Vec<_>>() {
            return Err(format!("the order {order:?} of a tensor of rank {rank}"));
        }
        match x {
            Value::Float(x) => float(x.permute(&order)),
            Value::Int(x) => {
                let strides = x.strides();
                let of = |list: &[usize]| order.iter().map(|&axis| list[axis]).collect::<Vec<_>>();
                ints(x.view(of(&x.shape), &of(&strides)))
            }
        }
    }
}

#[derive(Debug)]
struct Squeeze {
    axes: Option<Vec<i64>>,
}

impl Op for Squeeze {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.value(0)?;
        let shape = x.shape();
        let axes = inputs.optional_ints(1)?.map(|a| a.data).or(self.axes.clone());
        let axes = match axes {
            None => (0..shape.len()).filter(|&i| shape[i] == 1).collect(),
            Some(axes) => {
                axes.into_iter().map(|a| value::axis(a, shape.len())).collect::<Result<Vec<_>, _>>()?
            }
        };
        if let Some(&axis) = axes.iter().find(|&&i| shape[i] != 1) {
            return Err(format!("axis {axis} of {shape:?} is not 1"));
        }
        let kept = shape.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, &d)| d).collect();
        reshaped(x, kept)
    }
}

#[derive(Debug)]
struct Unsqueeze {
    axes: Option<Vec<i64>>,
}

impl Op for Unsqueeze {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.value(0)?;
        let axes = inputs.optional_ints(1)?.map(|a| a.data).or(self.axes.clone()).ok_or("no axes")?;
        let mut rest = x.shape().into_iter();
        let rank = rest.len() + axes.len();
        let axes = axes.into_iter().map(|a| value::axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
        let shape = (0..rank).map(|i| if axes.contains(&i) { Some(1) } else { rest.next() });
        reshaped(x, shape.collect::<Option<_>>().ok_or("an axis twice")?)
    }
}

#[derive(Debug)]
struct Expand;

impl Op for Expand {
    fn run(&self, mut inputs: Inputs, context: &Context<'_>) -> Result<Vec<Value>, String> {
        let (x, target) = (inputs.value(0)?, inputs.ints(1)?.extents()?);
        let shape = broadcast(&x.shape(), &target)?;
        context.made(&shape, x.shape().iter().product())?;
        match x {
            Value::Float(x) => float(x.expand(&shape)?),
            Value::Int(x) => ints(x.expand(&shape)?),
        }
    }
}

fn block(node: &Node) -> Result<usize, String> {
    let block = node
        .attributes
        .int("blocksize")
        .and_then(|b| usize::try_from(b).ok())
        .filter(|b| (1..1024).contains(b));
    block.ok_or("a blocksize out of 1 to 1023".into())
}

/// Channels spread over blocks of pixels.
#[derive(Debug)]
struct DepthToSpace {
    block: usize,
    /// Whether a channel's block lies together, rather than a pixel's channels.
    columns_first: bool,
}

fn depth_to_space(node: &Node) -> Result<Box<dyn Op>, String> {
    let columns_first = match node.attributes.string("mode", "DCR").as_str() {
        "DCR" => false,
        "CRD" => true,
        other => return Err(format!("mode = {other}")),
    };
    boxed(DepthToSpace { block: block(node)?, columns_first })
}

impl Op for DepthToSpace {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.float(0)?;
        let ([n, c, h, w], b) = (x.four()?, self.block);
        if !c.is_multiple_of(b * b) {
            return Err(format!("{c} channels in blocks of {b}x{b}"));
        }
        let depth = c / (b * b);
        let (split, order): ([usize; RANK], _) = if self.columns_first {
            ([n, depth, b, b, h, w], [0, 1, 4, 2, 5, 3])
        } else {
            ([n, b, b, depth, h, w], [0, 3, 4, 1, 5, 2])
        };
        float(x.reshape(&split)?.permute(&order).reshape(&[n, depth, h * b, w * b])?)
    }
}

/// Blocks of pixels gathered into channels.
#[derive(Debug)]
struct SpaceToDepth {
    block: usize,
}

fn space_to_depth(node: &Node) -> Result<Box<dyn Op>, String> {
    boxed(SpaceToDepth { block: block(node)? })
}

impl Op for SpaceToDepth {
    fn run(&self, mut inputs: Inputs, _: &Context<'_>) -> Result<Vec<Value>, String> {
        let x = inputs.float(0)?;
        let ([n, c, h, w], b) = (x.four()?, self.block);
        if !h.is_multiple_of(b) || !w.is_multiple_of(b) {
            return Err(format!("{h}x{w} pixels in blocks of {b}x{b}"));
        }
        let split = x.reshape(&[n, c, h / b, b, w / b, b])?;
        float(split.permute(&[0, 3, 5, 1, 2, 4]).reshape(&[n, c * b * b, h / b, w / b])?)
    }
}
