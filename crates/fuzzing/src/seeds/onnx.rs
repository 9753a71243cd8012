//! Graphs of a node or a few, one for every operator and way of using it, from images of 4 × 4 pixels.

use crate::form::{Field, encode};

use Field::{Bytes, Fixed32, Message, Varint};

/// An attribute's value.
enum Attr<'a> {
    I(i64),
    F(f32),
    S(&'a str),
    Ints(&'a [i64]),
    Floats(&'a [f32]),
}

use Attr::{F, Floats, I, Ints, S};

fn text(tag: u64, text: &str) -> Field {
    Bytes(tag, text.as_bytes().to_vec())
}

fn attribute(name: &str, value: &Attr) -> Field {
    let mut fields = vec![text(1, name)];
    let kind = match value {
        I(i) => {
            fields.push(Varint(3, *i as u64));
            2
        }
        F(f) => {
            fields.push(Fixed32(2, f.to_bits()));
            1
        }
        S(s) => {
            fields.push(text(4, s));
            3
        }
        Ints(list) => {
            fields.extend(list.iter().map(|i| Varint(8, *i as u64)));
            7
        }
        Floats(list) => {
            fields.extend(list.iter().map(|f| Fixed32(7, f.to_bits())));
            6
        }
    };
    fields.push(Varint(20, kind));
    Message(5, fields)
}

/// A node; inputs and outputs are names separated by blanks, `_` is none.
fn node(op: &str, inputs: &str, outputs: &str, attributes: &[(&str, Attr)]) -> Field {
    let name = |tag: u64, name: &str| text(tag, if name == "_" { "" } else { name });
    let mut fields: Vec<Field> = inputs.split_whitespace().map(|n| name(1, n)).collect();
    fields.extend(outputs.split_whitespace().map(|n| name(2, n)));
    fields.extend([text(3, outputs), text(4, op)]);
    fields.extend(attributes.iter().map(|(name, value)| attribute(name, value)));
    Message(1, fields)
}

fn tensor(name: &str, kind: u64, dims: &[i64], bytes: Vec<u8>) -> Field {
    let mut fields: Vec<Field> = dims.iter().map(|d| Varint(1, *d as u64)).collect();
    fields.extend([Varint(2, kind), text(8, name), Bytes(9, bytes)]);
    Message(5, fields)
}

fn floats(name: &str, dims: &[i64]) -> Field {
    let n = dims.iter().product::<i64>();
    tensor(name, 1, dims, (0..n).flat_map(|i| ((i % 7) as f32 * 0.1 - 0.2).to_le_bytes()).collect())
}

fn ints(name: &str, values: &[i64]) -> Field {
    tensor(name, 7, &[values.len() as i64], values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

fn value(tag: u64, name: &str, dims: &[i64]) -> Field {
    let dims =
        dims.iter().map(|d| Message(1, vec![if *d < 0 { text(2, "N") } else { Varint(1, *d as u64) }]));
    let shape = Message(2, dims.collect());
    Message(tag, vec![text(1, name), Message(2, vec![Message(1, vec![Varint(1, 1), shape])])])
}

fn model(opset: u64, batch: i64, parts: Vec<Field>) -> Vec<u8> {
    let mut graph = parts;
    graph.push(text(2, "g"));
    graph.push(value(11, "x", &[batch, 3, 4, 4]));
    graph.push(value(12, "scores", &[batch, 2]));
    encode(&[
        Varint(1, 8),
        text(2, "seeds"),
        Message(7, graph),
        Message(8, vec![text(1, ""), Varint(2, opset)]),
        Message(14, vec![text(1, "classes"), text(2, "auk,owl")]),
    ])
}

/// A classifier of `side` pixels a side: a convolution, a mean, a matrix.
pub fn classifier(side: i64, classes: i64) -> Vec<u8> {
    let nodes = vec![
        node("Conv", "x w", "c", &[("kernel_shape", Ints(&[3, 3])), ("pads", Ints(&[1, 1, 1, 1]))]),
        node("Relu", "c", "r", &[]),
        node("GlobalAveragePool", "r", "p", &[]),
        node("Flatten", "p", "f", &[]),
        node("Gemm", "f m", "scores", &[("transB", I(1))]),
        floats("w", &[4, 3, 3, 3]),
        floats("m", &[classes, 4]),
        value(11, "x", &[-1, 3, side, side]),
        value(12, "scores", &[-1, classes]),
    ];
    encode(&[Varint(1, 8), Message(7, nodes), Message(8, vec![Varint(2, 17)])])
}

/// A file of weights that a graph may name.
pub(crate) fn beside() -> Vec<(&'static str, Vec<u8>)> {
    vec![("weights.bin", vec![0x3e; 4096])]
}

/// What is done to the images: the operator, what it has beside them (constants named a, b, c, d), its attributes.
type Body<'a> = (&'a str, Vec<Field>, Vec<(&'a str, Attr<'a>)>);

fn bodies() -> Vec<Body<'static>> {
    let f = floats;
    let mut out: Vec<Body> = Vec::new();
    for op in [
        "Relu",
        "LeakyRelu",
        "ThresholdedRelu",
        "Elu",
        "Selu",
        "Sigmoid",
        "HardSigmoid",
        "HardSwish",
        "Swish",
        "Mish",
        "Gelu",
        "Erf",
        "Tanh",
        "Softplus",
        "Softsign",
        "Exp",
        "Log",
        "Sqrt",
        "Reciprocal",
        "Neg",
        "Abs",
        "Floor",
        "Ceil",
        "Identity",
        "Dropout",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "Softmax",
        "LogSoftmax",
        "Flatten",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceSum",
        "ReduceProd",
        "ReduceSumSquare",
        "Sin",
        "Einsum",
        "LSTM",
        "Not",
    ] {
        out.push((op, vec![], vec![("alpha", F(0.3))]));
    }
    for op in [
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Pow",
        "Max",
        "Min",
        "Mean",
        "Sum",
        "Mod",
        "PRelu",
        "Greater",
        "LessOrEqual",
        "Equal",
    ] {
        out.push((op, vec![f("a", &[3, 1, 1])], vec![]));
    }
    out.extend(convolutions());
    out.extend(shapes());
    out.push(("Clip", vec![f("a", &[]), f("b", &[])], vec![]));
    out.push(("LRN", vec![], vec![("size", I(3)), ("bias", F(1.0))]));
    out.push(("InstanceNormalization", vec![f("a", &[3]), f("b", &[3])], vec![("epsilon", F(1e-5))]));
    out.push(("LayerNormalization", vec![f("a", &[4]), f("b", &[4])], vec![("axis", I(-1))]));
    out.push(("GroupNormalization", vec![f("a", &[3]), f("b", &[3])], vec![("num_groups", I(3))]));
    out.push((
        "BatchNormalization",
        vec![f("a", &[3]), f("b", &[3]), f("c", &[3]), f("d", &[3])],
        vec![("training_mode", I(0))],
    ));
    out.push(("MatMul", vec![f("a", &[4, 5])], vec![]));
    out.push(("Cast", vec![], vec![("to", I(7))]));
    out.push(("CastLike", vec![ints("a", &[1])], vec![]));
    out.push(("Resize", vec![f("a", &[0]), f("b", &[4])], vec![("mode", S("nearest"))]));
    let linear = ("coordinate_transformation_mode", S("align_corners"));
    out.push((
        "Resize",
        vec![f("a", &[0]), f("b", &[0]), ints("c", &[1, 3, 7, 9])],
        vec![("mode", S("linear")), linear],
    ));
    out
}

fn convolutions() -> Vec<Body<'static>> {
    let f = floats;
    vec![
        (
            "Conv",
            vec![f("a", &[6, 1, 3, 3]), f("b", &[6])],
            vec![("group", I(3)), ("dilations", Ints(&[1, 1]))],
        ),
        (
            "Conv",
            vec![f("a", &[2, 3, 2, 2])],
            vec![("auto_pad", S("SAME_UPPER")), ("strides", Ints(&[2, 2]))],
        ),
        ("ConvTranspose", vec![f("a", &[3, 2, 2, 2])], vec![("strides", Ints(&[2, 2]))]),
        (
            "MaxPool",
            vec![],
            vec![("kernel_shape", Ints(&[3, 3])), ("pads", Ints(&[1, 1, 1, 1])), ("strides", Ints(&[2, 2]))],
        ),
        (
            "MaxPool",
            vec![],
            vec![("kernel_shape", Ints(&[2, 2])), ("ceil_mode", I(1)), ("dilations", Ints(&[2, 2]))],
        ),
        (
            "AveragePool",
            vec![],
            vec![("kernel_shape", Ints(&[2, 3])), ("count_include_pad", I(1)), ("pads", Ints(&[0, 1, 0, 1]))],
        ),
    ]
}

fn shapes() -> Vec<Body<'static>> {
    vec![
        ("Reshape", vec![ints("a", &[0, -1])], vec![("allowzero", I(0))]),
        ("Transpose", vec![], vec![("perm", Ints(&[0, 2, 3, 1]))]),
        ("Unsqueeze", vec![ints("a", &[1])], vec![]),
        ("Squeeze", vec![ints("a", &[0])], vec![]),
        ("Slice", vec![ints("a", &[0]), ints("b", &[-1]), ints("c", &[2]), ints("d", &[2])], vec![]),
        ("Expand", vec![ints("a", &[2, 1, 3, 4, 4])], vec![]),
        ("Tile", vec![ints("a", &[1, 2, 1, 3])], vec![]),
        ("Pad", vec![ints("a", &[0, 0, 1, 1, 0, 0, 2, 2])], vec![("mode", S("reflect"))]),
        ("Gather", vec![ints("a", &[2, 0, -1])], vec![("axis", I(1))]),
        ("GatherElements", vec![ints("a", &[1])], vec![("axis", I(1))]),
        ("DepthToSpace", vec![], vec![("blocksize", I(1)), ("mode", S("CRD"))]),
        ("SpaceToDepth", vec![], vec![("blocksize", I(2))]),
        ("Concat", vec![floats("a", &[1, 2, 4, 4])], vec![("axis", I(1))]),
        ("Split", vec![ints("a", &[1, 2])], vec![("axis", I(1))]),
        ("ReduceMean", vec![ints("a", &[2, 3])], vec![("keepdims", I(0))]),
        (
            "Upsample",
            vec![floats("a", &[4])],
            vec![("mode", S("nearest")), ("scales", Floats(&[1.0, 1.0, 2.0, 2.0]))],
        ),
    ]
}

pub(crate) fn all() -> Vec<Vec<u8>> {
    let mut out = vec![classifier(4, 2), classifier(-1, 3)];
    for (i, (op, constants, attributes)) in bodies().into_iter().enumerate() {
        let names = ["x", "x a", "x a b", "x a b c", "x a b c d"][constants.len()];
        let mut parts = vec![node(op, names, "y", &attributes), node("Flatten", "y", "scores", &[])];
        parts.extend(constants);
        out.push(model([13, 18, 11, 20][i % 4], [1, -1, 2][i % 3], parts));
    }
    // What exporters write about shapes.
    out.push(model(
        17,
        -1,
        vec![
            node("Shape", "x", "s", &[]),
            node("Gather", "s zero", "n", &[]),
            node("Unsqueeze", "n zero", "n1", &[]),
            node("Concat", "n1 rest", "to", &[("axis", I(0))]),
            node("Reshape", "x to", "scores", &[]),
            ints("zero", &[0]),
            ints("rest", &[-1]),
        ],
    ));
    out.push(model(
        17,
        1,
        vec![
            node("Range", "zero many one", "r", &[]),
            node("Cast", "r", "rf", &[("to", I(1))]),
            node("ConstantOfShape", "shape", "z", &[]),
            node("Add", "rf z", "rz", &[]),
            node("Where", "cond rz rz", "w", &[]),
            node("Mul", "x w", "y", &[]),
            node("ScatterND", "y index update", "y2", &[]),
            node("Flatten", "y2", "scores", &[]),
            tensor("zero", 7, &[], vec![0; 8]),
            tensor("many", 7, &[], vec![4, 0, 0, 0, 0, 0, 0, 0]),
            tensor("one", 7, &[], vec![1, 0, 0, 0, 0, 0, 0, 0]),
            tensor("cond", 9, &[4], vec![1, 0, 1, 0]),
            tensor("index", 7, &[1, 1], vec![0; 8]),
            floats("update", &[1, 3, 4, 4]),
            ints("shape", &[4]),
        ],
    ));
    let external = |location: &str| {
        let entry = |key: &str, value: &str| Message(13, vec![text(1, key), text(2, value)]);
        let mut fields = vec![Varint(1, 48), Varint(1, 2), Varint(2, 1), text(8, "m"), Varint(14, 1)];
        fields.extend([entry("location", location), entry("offset", "64"), entry("length", "384")]);
        vec![
            node("Flatten", "x", "f", &[]),
            node("MatMul", "f m", "t", &[]),
            node("Softmax", "t", "scores", &[("axis", I(1))]),
            Message(5, fields),
        ]
    };
    out.extend(["weights.bin", "../../etc/passwd"].map(|location| model(15, 1, external(location))));
    out
}
