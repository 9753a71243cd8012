//! A graph while it is built: operators are methods, what is known is computed at once, and nothing is written twice.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use dyntta_onnx::{self as proto, attribute_type as kind};
use prost::Message;

use crate::array::{Array, Data};
use crate::reference::{self, Settings};

/// The most elements of a constant that is computed when the graph is built.
const MOST_FOLDED: usize = 1 << 28;
/// The least elements of a weight that half precision is worth it for.
const LEAST_HALVED: usize = 1 << 10;

/// A value of the graph: an input, a constant, or what a node gives.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    name: Rc<str>,
    /// What it is, where that is known.
    known: Option<Rc<Array>>,
}

impl Value {
    /// Its name in the graph.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is, where that is known.
    pub fn known(&self) -> Option<&Array> {
        self.known.as_deref()
    }
}

/// A setting of a node.
#[derive(Clone, Debug)]
pub(crate) enum Setting<'a> {
    Int(i64),
    Float(f32),
    Text(&'a str),
    Ints(&'a [i64]),
}

impl Setting<'_> {
    fn attribute(&self, name: &str) -> proto::Attribute {
        let mut attribute = proto::Attribute { name: name.to_owned(), ..Default::default() };
        match self {
            Self::Int(i) => (attribute.i, attribute.r#type) = (*i, kind::INT),
            Self::Float(f) => (attribute.f, attribute.r#type) = (*f, kind::FLOAT),
            Self::Text(s) => (attribute.s, attribute.r#type) = (s.as_bytes().to_vec(), kind::STRING),
            Self::Ints(list) => (attribute.ints, attribute.r#type) = (list.to_vec(), kind::INTS),
        }
        attribute
    }
}

/// The builder.
pub(crate) struct Graph {
    /// The operator set.
    pub opset: i64,
    /// Whether large weights are kept in half precision.
    halve: bool,
    inner: RefCell<Inner>,
}

#[derive(Default)]
struct Inner {
    nodes: Vec<proto::Node>,
    /// All constants by name; those that a node reads are written.
    constants: HashMap<Rc<str>, Rc<Array>>,
    /// The names of small constants by what they are.
    by_content: HashMap<Vec<u8>, Rc<str>>,
    /// What nodes give, by what they do.
    by_doing: HashMap<Vec<u8>, Vec<Value>>,
    /// Weights of another graph.
    foreign: Vec<proto::Tensor>,
    names: usize,
}

impl Graph {
    pub fn new(opset: i64, halve: bool) -> Self {
        Self { opset, halve, inner: RefCell::default() }
    }

    /// The graph's input.
    pub fn input(&self, name: &str) -> Value {
        Value { name: name.into(), known: None }
    }

    /// A constant.
    pub fn constant(&self, array: Array) -> Value {
        let mut inner = self.inner.borrow_mut();
        let content = (array.data.len() <= 64).then(|| {
            let mut content = vec![array.data.kind() as u8];
            content.extend(array.shape.iter().flat_map(|extent| extent.to_le_bytes()));
            content.push(0xff);
            content.extend(array.data.bytes());
            content
        });
        if let Some(name) = content.as_ref().and_then(|content| inner.by_content.get(content)) {
            let name = name.clone();
            let known = inner.constants.get(&name).cloned();
            return Value { name, known };
        }
        let name = inner.name("constant");
        if let Some(content) = content {
            inner.by_content.insert(content, name.clone());
        }
        let known = Rc::new(array);
        inner.constants.insert(name.clone(), known.clone());
        Value { name, known: Some(known) }
    }

    /// A network's parameter, under its key in the weights.
    pub fn weight(&self, key: &str, shape: &[usize], data: Vec<f32>) -> Value {
        let name: Rc<str> = key.into();
        let array = Rc::new(Array::f32(shape, data));
        let halved = self.halve && array.data.len() >= LEAST_HALVED;
        let mut inner = self.inner.borrow_mut();
        if !halved {
            inner.constants.insert(name.clone(), array);
            return Value { name, known: None };
        }
        let halves = array.floats().unwrap_or_default().iter().map(|&v| half::f16::from_f32(v)).collect();
        inner.constants.insert(name.clone(), Rc::new(Array::new(shape.to_vec(), Data::F16(halves))));
        drop(inner);
        self.cast(&Value { name, known: None }, proto::data_type::FLOAT)
    }

    /// A whole number.
    pub fn int(&self, value: i64) -> Value {
        self.constant(Array::new(vec![], Data::I64(vec![value])))
    }

    /// A list of whole numbers.
    pub fn list(&self, values: &[i64]) -> Value {
        self.constant(Array::list(values))
    }

    /// A number.
    pub fn number(&self, value: f32) -> Value {
        self.constant(Array::f32(&[], vec![value]))
    }

    /// A number in double precision.
    pub fn double(&self, value: f64) -> Value {
        self.constant(Array::new(vec![], Data::F64(vec![value])))
    }

    /// A node's one output.
    pub fn op(&self, op: &str, inputs: &[&Value], settings: &[(&str, Setting<'_>)]) -> Value {
        let inputs: Vec<Option<&Value>> = inputs.iter().map(|v| Some(*v)).collect();
        let mut outputs = self.ops(op, &inputs, settings, 1);
        outputs.swap_remove(0)
    }

    /// A node's outputs.
    pub fn ops(
        &self,
        op: &str,
        inputs: &[Option<&Value>],
        settings: &[(&str, Setting<'_>)],
        outputs: usize,
    ) -> Vec<Value> {
        let attributes: Vec<proto::Attribute> = settings.iter().map(|(name, s)| s.attribute(name)).collect();
        if let Some(known) = self.fold(op, inputs, &attributes) {
            return known.into_iter().map(|array| self.constant(array)).collect();
        }
        let mut node = proto::Node {
            input: inputs.iter().map(|v| v.map_or(String::new(), |v| v.name.to_string())).collect(),
            op_type: op.to_owned(),
            attribute: attributes,
            ..Default::default()
        };
        let doing = node.encode_to_vec();
        let mut inner = self.inner.borrow_mut();
        if let Some(made) = inner.by_doing.get(&doing) {
            return made.clone();
        }
        let made: Vec<Value> = (0..outputs).map(|_| Value { name: inner.name(op), known: None }).collect();
        node.output = made.iter().map(|v| v.name.to_string()).collect();
        node.name = made.first().map_or(String::new(), |v| v.name.to_string());
        inner.nodes.push(node);
        inner.by_doing.insert(doing, made.clone());
        made
    }

    /// The outputs, if all inputs are known.
    fn fold(
        &self,
        op: &str,
        inputs: &[Option<&Value>],
        attributes: &[proto::Attribute],
    ) -> Option<Vec<Array>> {
        let known: Vec<Option<&Array>> = inputs
            .iter()
            .map(|v| match v {
                None => Some(None),
                Some(v) => v.known().map(Some),
            })
            .collect::<Option<_>>()?;
        let large = known.iter().flatten().any(|a| a.data.len() > MOST_FOLDED);
        if known.is_empty() || large {
            return None;
        }
        reference::compute(op, Settings(attributes), &known).ok()
    }

    /// Adds what another graph has; its names must be none of this one's.
    pub fn append(&self, nodes: Vec<proto::Node>, tensors: Vec<proto::Tensor>) {
        let mut inner = self.inner.borrow_mut();
        inner.nodes.extend(nodes);
        inner.foreign.extend(tensors);
    }

    /// A value that another graph's node gives.
    pub fn named(&self, name: &str) -> Value {
        Value { name: name.into(), known: None }
    }

    /// The nodes and weights on which outputs depend, in order; each output under its own name.
    pub fn finish(self, outputs: &[(&str, Value)]) -> (Vec<proto::Node>, Vec<proto::Tensor>) {
        let mut inner = self.inner.into_inner();
        for (name, value) in outputs {
            inner.nodes.push(proto::Node {
                input: vec![value.name.to_string()],
                output: vec![(*name).to_owned()],
                name: (*name).to_owned(),
                op_type: "Identity".into(),
                ..Default::default()
            });
        }
        let mut needed: BTreeSet<&str> = outputs.iter().map(|(name, _)| *name).collect();
        let mut kept = Vec::new();
        for node in inner.nodes.iter().rev() {
            if node.output.iter().any(|name| needed.contains(name.as_str())) {
                needed.extend(node.input.iter().map(String::as_str));
                kept.push(node.clone());
            }
        }
        kept.reverse();
        let constants: BTreeMap<&str, &Rc<Array>> = inner
            .constants
            .iter()
            .filter(|(name, _)| needed.contains(&***name))
            .map(|(name, array)| (&**name, array))
            .collect();
        let mut tensors: Vec<proto::Tensor> =
            constants.into_iter().map(|(name, array)| tensor(name, array)).collect();
        tensors.extend(inner.foreign.iter().filter(|t| needed.contains(t.name.as_str())).cloned());
        (kept, tensors)
    }
}

/// A constant as a file has it.
fn tensor(name: &str, array: &Array) -> proto::Tensor {
    proto::Tensor {
        dims: array.shape.iter().map(|&extent| extent as i64).collect(),
        data_type: array.data.kind(),
        name: name.to_owned(),
        raw_data: array.data.bytes().into(),
        ..Default::default()
    }
}

impl Inner {
    fn name(&mut self, what: &str) -> Rc<str> {
        self.names += 1;
        format!("{what}_{}", self.names).into()
    }
}

/// Operators by name.
impl Graph {
    pub fn add(&self, a: &Value, b: &Value) -> Value {
        self.op("Add", &[a, b], &[])
    }

    pub fn sub(&self, a: &Value, b: &Value) -> Value {
        self.op("Sub", &[a, b], &[])
    }

    pub fn mul(&self, a: &Value, b: &Value) -> Value {
        self.op("Mul", &[a, b], &[])
    }

    pub fn div(&self, a: &Value, b: &Value) -> Value {
        self.op("Div", &[a, b], &[])
    }

    pub fn min(&self, a: &Value, b: &Value) -> Value {
        self.op("Min", &[a, b], &[])
    }

    pub fn max(&self, a: &Value, b: &Value) -> Value {
        self.op("Max", &[a, b], &[])
    }

    pub fn floor(&self, x: &Value) -> Value {
        self.op("Floor", &[x], &[])
    }

    pub fn clip(&self, x: &Value, low: f32, high: f32) -> Value {
        self.op("Clip", &[x, &self.number(low), &self.number(high)], &[])
    }

    pub fn less(&self, a: &Value, b: &Value) -> Value {
        self.op("Less", &[a, b], &[])
    }

    pub fn at_least(&self, a: &Value, b: &Value) -> Value {
        self.op("GreaterOrEqual", &[a, b], &[])
    }

    pub fn and(&self, a: &Value, b: &Value) -> Value {
        self.op("And", &[a, b], &[])
    }

    pub fn choose(&self, condition: &Value, yes: &Value, no: &Value) -> Value {
        self.op("Where", &[condition, yes, no], &[])
    }

    pub fn cast(&self, x: &Value, to: i32) -> Value {
        self.op("Cast", &[x], &[("to", Setting::Int(to.into()))])
    }

    /// In single precision.
    pub fn float(&self, x: &Value) -> Value {
        self.cast(x, proto::data_type::FLOAT)
    }

    /// As whole numbers of 64 bits.
    pub fn whole(&self, x: &Value) -> Value {
        self.cast(x, proto::data_type::INT64)
    }

    /// An extent of a tensor: one whole number.
    pub fn extent(&self, x: &Value, axis: i64) -> Value {
        let settings = [("start", Setting::Int(axis)), ("end", Setting::Int(axis + 1))];
        let list = self.op("Shape", &[x], &settings);
        self.op("Squeeze", &[&list, &self.list(&[0])], &[])
    }

    /// 0, 1 … up to a whole number.
    pub fn range(&self, end: &Value) -> Value {
        self.op("Range", &[&self.int(0), end, &self.int(1)], &[])
    }

    /// New axes of extent 1 at these places.
    pub fn unsqueeze(&self, x: &Value, axes: &[i64]) -> Value {
        self.op("Unsqueeze", &[x, &self.list(axes)], &[])
    }

    /// Whole numbers as a list.
    pub fn vector(&self, numbers: &[&Value]) -> Value {
        let lists: Vec<Value> = numbers.iter().map(|v| self.unsqueeze(v, &[0])).collect();
        self.concat(&lists.iter().collect::<Vec<_>>(), 0)
    }

    pub fn concat(&self, parts: &[&Value], axis: i64) -> Value {
        self.op("Concat", parts, &[("axis", Setting::Int(axis))])
    }

    pub fn reshape(&self, x: &Value, shape: &Value) -> Value {
        self.op("Reshape", &[x, shape], &[])
    }

    pub fn expand(&self, x: &Value, shape: &Value) -> Value {
        self.op("Expand", &[x, shape], &[])
    }

    pub fn transpose(&self, x: &Value, order: &[i64]) -> Value {
        self.op("Transpose", &[x], &[("perm", Setting::Ints(order))])
    }

    pub fn gather(&self, x: &Value, indices: &Value, axis: i64) -> Value {
        self.op("Gather", &[x, indices], &[("axis", Setting::Int(axis))])
    }

    pub fn matmul(&self, a: &Value, b: &Value) -> Value {
        self.op("MatMul", &[a, b], &[])
    }

    /// Parts of these sizes along an axis.
    pub fn split(&self, x: &Value, sizes: &[i64], axis: i64) -> Vec<Value> {
        let list = self.list(sizes);
        self.ops("Split", &[Some(x), Some(&list)], &[("axis", Setting::Int(axis))], sizes.len())
    }

    /// `ReduceMax`, `ReduceMin`, `ReduceMean` or `ReduceSum` over axes.
    pub fn reduce(&self, op: &str, x: &Value, axes: &[i64], keep: bool) -> Value {
        let keep = ("keepdims", Setting::Int(keep.into()));
        // The axes became an input: of sums in operator set 13, of the others in 18.
        if self.opset >= 18 || op == "ReduceSum" {
            return self.op(op, &[x, &self.list(axes)], &[keep]);
        }
        self.op(op, &[x], &[keep, ("axes", Setting::Ints(axes))])
    }

    /// A convolution with square windows and the same zeros on all sides.
    pub fn conv(&self, inputs: &[&Value], [side, stride, pad]: [i64; 3], groups: i64) -> Value {
        let (kernel, strides, pads) = ([side; 2], [stride; 2], [pad; 4]);
        let mut settings = vec![
            ("kernel_shape", Setting::Ints(&kernel)),
            ("strides", Setting::Ints(&strides)),
            ("pads", Setting::Ints(&pads)),
        ];
        if groups != 1 {
            settings.push(("group", Setting::Int(groups)));
        }
        self.op("Conv", inputs, &settings)
    }

    pub fn max_pool(&self, x: &Value, [side, stride, pad]: [i64; 3]) -> Value {
        let (kernel, strides, pads) = ([side; 2], [stride; 2], [pad; 4]);
        let settings = [
            ("kernel_shape", Setting::Ints(&kernel)),
            ("strides", Setting::Ints(&strides)),
            ("pads", Setting::Ints(&pads)),
        ];
        self.op("MaxPool", &[x], &settings)
    }
}
