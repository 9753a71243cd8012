//! What a node is about to cost, told by the shapes of its inputs before it runs, and how much a graph may cost.
//!
//! The estimates are upper bounds up to a small factor: they keep a few hostile bytes from taking the time or the memory of
//! the machine, and let through what real classifiers do.

use std::collections::HashSet;

use dyntta_files::Limits;

use super::ir::Node;
use super::value::Value;

/// What an element that is read or written costs, in multiply-adds of a matrix product: memory is that much slower.
const ELEMENT: f64 = 64.0;
/// The same for integers and truth values, which are computed on the host one by one.
const HOST_ELEMENT: f64 = 1000.0;
/// What a node costs beside its elements.
const NODE: f64 = 1e4;
/// Elements of a tensor, for a graph's own images, whatever their size.
const TENSOR: f64 = (1u64 << 26) as f64;
/// The same for each pixel of an image: the attention of the 14² patches of 224² pixels takes 12, that of patches of 8² pixels
/// in images of 448² takes 590.
const PER_PIXEL: f64 = 1024.0;
/// How many such tensors may be there at once.
const HELD: f64 = 2.0;
/// The share of a graph's work that may go into computing constants.
const FOLDING: f64 = 0.1;

/// The cost of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Multiply-adds, or what takes as long.
    pub work: f64,
    /// Elements of its largest tensor: what it gives, or what it makes on the way.
    pub elements: f64,
}

/// What a graph may still cost.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    work: f64,
    left: f64,
    tensor: f64,
    held: f64,
}

impl Budget {
    /// For a batch of `n` images of this size.
    pub fn of_images(limits: &Limits, n: usize, [height, width]: [usize; 2]) -> Self {
        let n = n.max(1) as f64;
        let work = limits.work as f64 * n;
        let tensor = TENSOR.max(PER_PIXEL * height as f64 * width as f64).min(limits.tensor_elements as f64);
        Self { work, left: work, tensor: tensor * n, held: tensor * n * HELD }
    }

    /// For the trial with a batch of the file's own: however large that is, it is tried within what two images take.
    pub fn of_trial(limits: &Limits, n: usize, size: [usize; 2]) -> Self {
        let Self { tensor, held, .. } = Self::of_images(limits, n.min(2), size);
        Self { tensor, held, ..Self::of_images(limits, n, size) }
    }

    /// For what is computed before there are images.
    pub fn of_constants(limits: &Limits) -> Self {
        let Self { work, tensor, .. } = Self::of_images(limits, 1, [1, 1]);
        Self { work: work * FOLDING, left: work * FOLDING, tensor, held: f64::INFINITY }
    }

    /// Whether images of so many elements can be made at all.
    ///
    /// # Errors
    /// If not; what they are, as a message has it after "which".
    pub fn fits(&self, elements: f64) -> Result<(), String> {
        match elements > self.tensor {
            true => Err(format!("have {elements:.3e} elements, where {:.1e} are the most", self.tensor)),
            false => Ok(()),
        }
    }

    /// What was spent.
    pub fn spent(&self) -> f64 {
        self.work - self.left
    }

    /// Takes a node's cost, with `held` elements in memory beside what it makes.
    ///
    /// # Errors
    /// If that is too much: the node is not to be run.
    pub fn take(&mut self, cost: Cost, held: f64) -> Result<(), String> {
        let Cost { work, elements } = cost;
        if elements > self.tensor {
            return Err(format!(
                "makes a tensor of {elements:.3e} elements, where {:.1e} are the most",
                self.tensor
            ));
        }
        if held + elements > self.held {
            return Err(format!(
                "needs {:.3e} elements at once, where {:.1e} are the most",
                held + elements,
                self.held
            ));
        }
        if work > self.left {
            return Err(format!(
                "takes the graph beyond {:.1e} multiply-adds, the most that are computed",
                self.work
            ));
        }
        self.left -= work;
        Ok(())
    }
}

/// The number of elements of a shape, whose extents are taken as 1 at least: beside a 0, any extent is possible, and what runs
/// along that one takes its time.
pub fn elements(shape: &[usize]) -> f64 {
    shape.iter().map(|&d| d.max(1) as f64).product()
}

/// The cost of a node with these inputs.
pub fn cost(node: &Node, inputs: &[Option<Value>]) -> Cost {
    let shapes: Vec<Vec<usize>> =
        inputs.iter().map(|v| v.as_ref().map(Value::shape).unwrap_or_default()).collect();
    let shape = |i: usize| shapes.get(i).map_or(&[][..], Vec::as_slice);
    let read: f64 = inputs.iter().zip(&shapes).filter(|(v, _)| v.is_some()).map(|(_, s)| elements(s)).sum();
    let host = inputs.iter().flatten().all(|v| matches!(v, Value::Int(_)));
    // Beside the elements read and given: multiply-adds, elements given, and elements made on the way.
    let (products, given, between) = match node.op.as_str() {
        "Conv" => convolution(node, shape(0), shape(1)),
        "ConvTranspose" => transposed_convolution(node, shape(0), shape(1)),
        "MaxPool" | "AveragePool" | "LpPool" => pool(node, shape(0)),
        "MatMul" => matrices(shape(0), shape(1)),
        "Gemm" => {
            matrix(shape(0), shape(1), ["transA", "transB"].map(|n| node.attributes.int(n).unwrap_or(0) != 0))
        }
        "dyntta::Linear" => matrix(shape(0), shape(1), [false, true]),
        "Einsum" => einsum(node, &shapes),
        "Attention" => attention(node, shape(0), shape(1)),
        "LRN" => {
            (elements(shape(0)) * node.attributes.int("size").unwrap_or(1) as f64, elements(shape(0)), 0.0)
        }
        "Resize" | "Upsample" => {
            let given = resized(node, inputs, shape(0));
            (given * 16.0, given, 0.0)
        }
        "Expand" => (0.0, broadcast(&[shape(0), &extents(inputs, 1)]), 0.0),
        "Tile" => (0.0, elements(shape(0)) * elements(&extents(inputs, 1)), 0.0),
        "ConstantOfShape" => (0.0, elements(&extents(inputs, 0)), 0.0),
        "Range" => (0.0, range(inputs), 0.0),
        "Pad" => (0.0, padded(node, inputs, shape(0)), 0.0),
        "OneHot" => (0.0, elements(shape(0)) * scalar(inputs, 1).unwrap_or(1.0).max(1.0), 0.0),
        "Gather" => (0.0, gathered(node, shape(0), shape(1)), 0.0),
        "GatherND" => {
            let depth = shape(1).last().copied().unwrap_or(0).min(shape(0).len());
            let places = elements(shape(1)) / (shape(1).last().copied().unwrap_or(1).max(1) as f64);
            (0.0, places * elements(&shape(0)[depth..]), 0.0)
        }
        "Concat" | "Where" | "Sum" | "Mean" | "Max" | "Min" | "Add" | "Sub" | "Mul" | "Div" | "Pow"
        | "Mod" | "PRelu" | "Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual" | "And"
        | "Or" | "Xor" | "dyntta::AddRelu" => {
            let given = if node.op == "Concat" {
                read
            } else {
                broadcast(&shapes.iter().map(Vec::as_slice).collect::<Vec<_>>())
            };
            (0.0, given, 0.0)
        }
        _ => (0.0, read, 0.0),
    };
    let each = if host { HOST_ELEMENT } else { ELEMENT };
    Cost { work: NODE + products + each * (read + given), elements: given.max(between) }
}

/// The element count of what shapes broadcast to; at least that of the largest, if they don't.
fn broadcast(shapes: &[&[usize]]) -> f64 {
    let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
    let extent = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
    (0..rank).map(|i| shapes.iter().map(|s| extent(s, i)).max().unwrap_or(1).max(1) as f64).product()
}

/// An input of integers, as extents.
fn extents(inputs: &[Option<Value>], i: usize) -> Vec<usize> {
    match inputs.get(i) {
        Some(Some(Value::Int(x))) => x.data.iter().map(|&v| usize::try_from(v).unwrap_or(1)).collect(),
        _ => Vec::new(),
    }
}

/// An input that is a number or a few.
fn numbers(inputs: &[Option<Value>], i: usize) -> Vec<f64> {
    const FEW: f64 = 64.0;
    match inputs.get(i) {
        Some(Some(Value::Int(x))) if x.data.len() as f64 <= FEW => x.data.iter().map(|&v| v as f64).collect(),
        Some(Some(Value::Float(x))) if elements(&x.shape()) <= FEW => {
            x.clone().values().into_iter().map(f64::from).collect()
        }
        _ => Vec::new(),
    }
}

fn scalar(inputs: &[Option<Value>], i: usize) -> Option<f64> {
    numbers(inputs, i).first().copied()
}

fn range(inputs: &[Option<Value>]) -> f64 {
    let [start, limit, step] = [0, 1, 2].map(|i| scalar(inputs, i).unwrap_or(0.0));
    let count = ((limit - start) / step).ceil();
    // A step of 0 is for the operator to refuse.
    if count > 0.0 && step != 0.0 { count } else { 0.0 }
}

fn padded(node: &Node, inputs: &[Option<Value>], shape: &[usize]) -> f64 {
    let pads = match numbers(inputs, 1) {
        pads if pads.is_empty() => {
            node.attributes.ints("pads").unwrap_or_default().iter().map(|&v| v as f64).collect()
        }
        pads => pads,
    };
    let axes = numbers(inputs, 3);
    let half = pads.len() / 2;
    let mut extents: Vec<f64> = shape.iter().map(|&d| d as f64).collect();
    for i in 0..half {
        let axis = axes.get(i).map_or(i as f64, |&a| if a < 0.0 { a + shape.len() as f64 } else { a });
        if let Some(extent) = extents.get_mut(axis as usize) {
            *extent += pads[i].max(0.0) + pads[i + half].max(0.0);
        }
    }
    extents.iter().product()
}

fn gathered(node: &Node, shape: &[usize], indices: &[usize]) -> f64 {
    let axis = node.attributes.int("axis").unwrap_or(0);
    let axis = if axis < 0 { axis + shape.len() as i64 } else { axis };
    let along = usize::try_from(axis).ok().and_then(|a| shape.get(a)).copied().unwrap_or(1).max(1);
    elements(shape) / along as f64 * elements(indices)
}

/// Axis after axis: one that shrinks may come last.
fn resized(node: &Node, inputs: &[Option<Value>], shape: &[usize]) -> f64 {
    let scaled = |scales: &[f64]| -> f64 {
        elements(shape)
            * scales.iter().map(|&s| if s.is_finite() { s.max(1.0) } else { 1.0 }).product::<f64>()
    };
    let of_attribute = node.attributes.floats("scales").unwrap_or_default();
    let (scales, sizes) = if node.op == "Upsample" || node.opset < 11 { (1, 3) } else { (2, 3) };
    let sizes = numbers(inputs, sizes);
    if !sizes.is_empty() {
        // Sizes may be of some axes alone; then the others stay.
        let axes = node.attributes.ints("axes").filter(|axes| axes.len() == sizes.len());
        let rank = shape.len() as i64;
        let mut extents: Vec<f64> = shape.iter().map(|&d| d as f64).collect();
        for (i, &size) in sizes.iter().enumerate() {
            let axis = axes.map_or(i as i64, |axes| if axes[i] < 0 { axes[i] + rank } else { axes[i] });
            if let Some(extent) = usize::try_from(axis).ok().and_then(|axis| extents.get_mut(axis)) {
                *extent = extent.max(size);
            }
        }
        return extents.iter().product();
    }
    match &numbers(inputs, scales)[..] {
        [] if of_attribute.is_empty() => elements(shape),
        [] => scaled(&of_attribute.iter().map(|&s| f64::from(s)).collect::<Vec<_>>()),
        scales => scaled(scales),
    }
}

/// How windows lie along the spatial axes: the extents of what they give, and of the padded input.
fn windows(node: &Node, size: &[usize], kernel: &[usize]) -> (Vec<f64>, Vec<f64>) {
    let list = |name: &str, i: usize, default: i64| {
        node.attributes.ints(name).and_then(|l| l.get(i)).copied().unwrap_or(default) as f64
    };
    let same = node.attributes.string("auto_pad", "NOTSET").starts_with("SAME");
    let half = node.attributes.ints("pads").map_or(0, |p| p.len() / 2);
    size.iter()
        .zip(kernel)
        .enumerate()
        .map(|(i, (&size, &kernel))| {
            let (stride, dilation) = (list("strides", i, 1).max(1.0), list("dilations", i, 1).max(1.0));
            let reach = dilation * (kernel as f64 - 1.0) + 1.0;
            let pads = match same {
                true => reach,
                false => list("pads", i, 0).max(0.0) + list("pads", i + half, 0).max(0.0),
            };
            let padded = size as f64 + pads;
            // One more than fits, for what is rounded up.
            ((((padded - reach) / stride).ceil() + 1.0).max(1.0), padded)
        })
        .unzip()
}

fn convolution(node: &Node, x: &[usize], weight: &[usize]) -> (f64, f64, f64) {
    let ([n, channels, size @ ..], [out, _, kernel @ ..]) = (x, weight) else { return (0.0, 0.0, 0.0) };
    let (windows, padded) = windows(node, size, kernel);
    let places: f64 = windows.iter().product();
    let given = *n as f64 * *out as f64 * places;
    let input = *n as f64 * *channels as f64 * padded.iter().product::<f64>();
    let products = given * elements(&weight[1..]);
    let strides = node.attributes.ints("strides").unwrap_or_default();
    let dilated = node.attributes.ints("dilations").unwrap_or_default().iter().any(|&d| d != 1);
    if size.len() == 2 && !dilated && strides.windows(2).all(|s| s[0] == s[1]) {
        return (products, given, input);
    }
    // Without a kernel of its own it is a matrix product of all windows, copied.
    (4.0 * products, given, input.max(places * *channels as f64 * elements(kernel)))
}

fn transposed_convolution(node: &Node, x: &[usize], weight: &[usize]) -> (f64, f64, f64) {
    let ([n, _, size @ ..], [_, out, kernel @ ..]) = (x, weight) else { return (0.0, 0.0, 0.0) };
    let list = |name: &str, i: usize| {
        node.attributes.ints(name).and_then(|l| l.get(i)).copied().unwrap_or(1).max(1) as f64
    };
    let groups = node.attributes.int("group").unwrap_or(1).max(1) as f64;
    let extent = |(i, (&size, &kernel)): (usize, (&usize, &usize))| {
        size as f64 * list("strides", i) + list("dilations", i) * kernel as f64 + list("output_padding", i)
    };
    let places: f64 = size.iter().zip(kernel).enumerate().map(extent).product();
    (4.0 * elements(x) * elements(&weight[1..]), *n as f64 * *out as f64 * groups * places, 0.0)
}

fn pool(node: &Node, x: &[usize]) -> (f64, f64, f64) {
    let [n, channels, size @ ..] = x else { return (0.0, 0.0, 0.0) };
    let kernel = node.attributes.ints("kernel_shape").unwrap_or_default();
    let kernel: Vec<usize> = kernel.iter().map(|&k| usize::try_from(k).unwrap_or(1)).collect();
    let (windows, padded) = windows(node, size, &kernel);
    let planes = *n as f64 * *channels as f64;
    let given = planes * windows.iter().product::<f64>();
    (given * elements(&kernel), given, planes * padded.iter().product::<f64>())
}

fn matrices(a: &[usize], b: &[usize]) -> (f64, f64, f64) {
    let (lead_a, m, k) = match a {
        [lead @ .., m, k] => (lead, *m, *k),
        [k] => (&[][..], 1, *k),
        [] => return (0.0, 0.0, 0.0),
    };
    let (lead_b, n) = match b {
        [lead @ .., _, n] => (lead, *n),
        _ => (&[][..], 1),
    };
    let given = broadcast(&[lead_a, lead_b]) * m as f64 * n as f64;
    (given * k as f64, given, 0.0)
}

/// The product of the rows of `a` with a matrix, either transposed if so said.
fn matrix(a: &[usize], b: &[usize], [across, transposed]: [bool; 2]) -> (f64, f64, f64) {
    let ([rows @ .., last], [p, q]) = (a, b) else { return (0.0, 0.0, 0.0) };
    let rows = if across && a.len() == 2 { *last as f64 } else { elements(rows) };
    let columns = if transposed { *p } else { *q };
    (rows * *p as f64 * *q as f64, rows * columns as f64, 0.0)
}

/// Queries with keys, and the result with values as wide as these. Heads lie in an axis of their own, or side by side.
fn attention(node: &Node, queries: &[usize], keys: &[usize]) -> (f64, f64, f64) {
    let (Some(&places), [.., among, _]) = (queries.iter().rev().nth(1), keys) else { return (0.0, 0.0, 0.0) };
    let (given, among) = (elements(queries), *among as f64);
    let heads = match queries {
        [_, heads, _, _] => *heads as f64,
        _ => node.attributes.int("q_num_heads").unwrap_or(1).max(1) as f64,
    };
    let images = queries.first().copied().unwrap_or(1) as f64;
    (2.0 * given * among, given, images * heads * places as f64 * among)
}

/// The product over every index: more than is ever needed, and what a single sum over all costs.
fn einsum(node: &Node, shapes: &[Vec<usize>]) -> (f64, f64, f64) {
    let equation: String = node.attributes.string("equation", "").split_whitespace().collect();
    let (from, to) = equation.split_once("->").unwrap_or((&equation, ""));
    let mut extents = std::collections::HashMap::new();
    let mut ellipsis = 1.0f64;
    for (labels, shape) in from.split(',').zip(shapes) {
        let letters = labels.replace("...", "");
        let spread = shape.len().saturating_sub(letters.chars().count());
        let before = labels.find("...").unwrap_or(0);
        for (i, label) in letters.chars().enumerate() {
            let at = if labels.contains("...") && i >= before { i + spread } else { i };
            let extent = shape.get(at).copied().unwrap_or(1) as f64;
            let known = extents.entry(label).or_insert(1.0f64);
            *known = known.max(extent);
        }
        if labels.contains("...") {
            ellipsis = ellipsis.max(elements(shape.get(before..before + spread).unwrap_or_default()));
        }
    }
    let all: f64 = ellipsis * extents.values().product::<f64>();
    let kept: HashSet<char> = to.chars().collect();
    let given = ellipsis * extents.iter().filter(|(l, _)| kept.contains(l)).map(|(_, e)| e).product::<f64>();
    (all, if to.is_empty() { all } else { given }, 0.0)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};
    use dyntta_files::Limits;

    use super::{Budget, Cost, cost};
    use crate::onnx::ir::{Attributes, Node};
    use crate::onnx::value::{Float, Ints, Value};

    fn node(op: &str) -> Node {
        Node {
            op: op.into(),
            name: "n".into(),
            inputs: vec![],
            outputs: vec![Some(0)],
            attributes: Attributes::default(),
            opset: 17,
        }
    }

    fn zeros<const D: usize>(shape: [usize; D]) -> Option<Value> {
        Some(Value::Float(Float::from_tensor(Tensor::<D>::zeros(shape, &Device::flex()))))
    }

    fn ints(values: &[i64]) -> Option<Value> {
        Some(Value::Int(Ints::list(values.to_vec())))
    }

    fn given(node: &Node, inputs: &[Option<Value>]) -> f64 {
        cost(node, inputs).elements
    }

    #[test]
    fn costs_follow_from_shapes() {
        let conv = cost(&node("Conv"), &[zeros([2, 3, 32, 32]), zeros([8, 3, 3, 3])]);
        // One row and column more than there are.
        let products = 2.0 * 8.0 * 31.0 * 31.0 * 27.0;
        assert!(conv.work > products && conv.work < 1.2 * products + 64.0 * 30_000.0, "{conv:?}");
        assert_eq!(given(&node("MatMul"), &[zeros([4, 5, 6]), zeros([6, 7])]), 140.0);
        assert!(cost(&node("MatMul"), &[zeros([300, 300]), zeros([300, 300])]).work > 27e6);
        // The first layer of VGG's head: large, and its result small.
        let head = cost(&node("dyntta::Linear"), &[zeros([2, 25_088]), zeros([4096, 25_088])]);
        assert_eq!((head.elements, head.work > 205e6), (8192.0, true));
        assert_eq!(given(&node("Gemm"), &[zeros([4, 5]), zeros([5, 6])]), 24.0);
        let attention =
            cost(&node("Attention"), &[zeros([2, 4, 100, 8]), zeros([2, 4, 50, 8]), zeros([2, 4, 50, 8])]);
        assert_eq!((attention.elements, attention.work > 2.0 * 6400.0 * 50.0), (40_000.0, true));
        assert_eq!(given(&node("Range"), &[ints(&[0]), ints(&[1 << 40]), ints(&[1])]), (1u64 << 40) as f64);
        assert_eq!(given(&node("Range"), &[ints(&[0]), ints(&[9]), ints(&[0])]), 0.0);
        assert_eq!(given(&node("Tile"), &[zeros([2, 3]), ints(&[1000, 1_000_000])]), 6e9);
        assert_eq!(given(&node("Expand"), &[zeros([2, 1]), ints(&[7, 1, 1_000_000])]), 14e6);
        assert_eq!(given(&node("ConstantOfShape"), &[ints(&[1 << 40, 1 << 40])]), 2f64.powi(80));
        assert_eq!(given(&node("Pad"), &[zeros([1, 2]), ints(&[0, 5, 0, 6])]), 13.0);
        assert_eq!(given(&node("Gather"), &[zeros([5, 4]), ints(&[0; 30])]), 120.0);
        let sizes = [zeros([1, 3, 2, 2]), None, None, ints(&[1, 3, 1000, 1000])];
        assert_eq!(given(&node("Resize"), &sizes), 3e6);
        assert_eq!(given(&node("Add"), &[zeros([1000, 1]), zeros([1, 1000])]), 1e6);
        // What shrinks hides nothing of what grows beside it.
        assert_eq!(given(&node("Tile"), &[zeros([2, 3]), ints(&[1_000_000, 0])]), 6e6);
        assert_eq!(given(&node("Expand"), &[zeros([1, 1]), ints(&[1_000_000, 0])]), 1e6);
        let sizes = [zeros([1, 3, 8, 8]), None, None, ints(&[1, 0, 1000, 2])];
        assert_eq!(given(&node("Resize"), &sizes), 24_000.0);
        assert_eq!(given(&node("Tile"), &[ints(&[]), ints(&[1 << 60])]), 2f64.powi(60));
    }

    #[test]
    fn a_budget_is_kept() {
        let limits = Limits { work: 1000, ..Limits::DEFAULT };
        let mut budget = Budget::of_images(&limits, 2, [8, 8]);
        let step = Cost { work: 900.0, elements: 10.0 };
        budget.take(step, 0.0).unwrap();
        budget.take(step, 0.0).unwrap();
        assert!(budget.take(step, 0.0).unwrap_err().contains("2.0e3 multiply-adds"));
        assert_eq!(budget.spent(), 1800.0);
        let large = Cost { work: 0.0, elements: 1e9 };
        assert!(budget.take(large, 0.0).unwrap_err().contains("a tensor of 1.000e9 elements"));
        let some = Cost { work: 0.0, elements: 1e8 };
        assert!(budget.take(some, 9e8).unwrap_err().contains("at once"));
    }
}
