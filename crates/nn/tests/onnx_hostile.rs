//! ONNX graphs that ask for what can't be: none may panic, hang or take much memory. The files are written here, byte by byte.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor};
use dyntta_nn::onnx::Graph;

/// A message of protocol buffers.
#[derive(Clone, Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut v: u64) {
        while v >= 128 {
            self.0.push(v as u8 | 128);
            v >>= 7;
        }
        self.0.push(v as u8);
    }

    fn int(mut self, field: u64, v: i64) -> Self {
        self.varint(field << 3);
        self.varint(v as u64);
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    fn float(mut self, field: u64, v: f32) -> Self {
        self.varint(field << 3 | 5);
        self.0.extend_from_slice(&v.to_le_bytes());
        self
    }

    fn each<T>(self, items: &[T], f: impl Fn(Self, &T) -> Self) -> Self {
        items.iter().fold(self, f)
    }
}

/// An attribute of a node.
#[derive(Clone, Debug)]
enum Set {
    Int(i64),
    Ints(Vec<i64>),
    Float(f32),
    Text(&'static str),
}

/// A constant: its extents and values.
#[derive(Clone, Debug)]
enum Const {
    Ints(Vec<i64>, Vec<i64>),
    Floats(Vec<i64>, Vec<f32>),
}

fn ints(values: &[i64]) -> Const {
    Const::Ints(vec![values.len() as i64], values.to_vec())
}

fn floats(values: &[f32]) -> Const {
    Const::Floats(vec![values.len() as i64], values.to_vec())
}

/// A float tensor of this shape.
fn weights(shape: &[i64]) -> Const {
    let count = shape.iter().product::<i64>();
    Const::Floats(shape.to_vec(), (0..count).map(|i| (i % 7) as f32 * 0.1 - 0.3).collect())
}

/// A node between the image, `x` of `[n, 3, 8, 8]`, and the scores, which take the sum of what it gives.
struct Case {
    operator: &'static str,
    opset: i64,
    /// After `x`, or without it (`alone`).
    constants: Vec<Const>,
    alone: bool,
    settings: Vec<(&'static str, Set)>,
}

impl Case {
    fn node(operator: &str, inputs: &[&str], outputs: &[&str], settings: &[(&'static str, Set)]) -> Message {
        let message = Message::default().each(inputs, |m, i| m.text(1, i)).each(outputs, |m, o| m.text(2, o));
        message.text(3, outputs[0]).text(4, operator).each(settings, |m, (name, value)| {
            let a = Message::default().text(1, name);
            let a = match value {
                Set::Int(v) => a.int(3, *v).int(20, 2),
                Set::Ints(v) => a.each(v, |a, v| a.int(8, *v)).int(20, 7),
                Set::Float(v) => a.float(2, *v).int(20, 1),
                Set::Text(v) => a.text(4, v).int(20, 3),
            };
            m.bytes(5, &a.0)
        })
    }

    fn tensor(name: &str, value: &Const) -> Message {
        let (shape, kind, bytes): (_, _, Vec<u8>) = match value {
            Const::Ints(shape, v) => (shape, 7, v.iter().flat_map(|v| v.to_le_bytes()).collect()),
            Const::Floats(shape, v) => (shape, 1, v.iter().flat_map(|v| v.to_le_bytes()).collect()),
        };
        Message::default().each(shape, |m, d| m.int(1, *d)).int(2, kind).text(8, name).bytes(9, &bytes)
    }

    fn value(name: &str, shape: &[i64]) -> Message {
        let shape = Message::default().each(shape, |m, d| {
            m.bytes(
                1,
                &if *d > 0 { Message::default().int(1, *d) } else { Message::default().text(2, "n") }.0,
            )
        });
        let tensor = Message::default().int(1, 1).bytes(2, &shape.0);
        Message::default().text(1, name).bytes(2, &Message::default().bytes(1, &tensor.0).0)
    }

    fn model(&self) -> Vec<u8> {
        let names: Vec<String> = (0..self.constants.len()).map(|i| format!("c{i}")).collect();
        let mut inputs: Vec<&str> = if self.alone { vec![] } else { vec!["x"] };
        inputs.extend(names.iter().map(String::as_str));
        let all = [("keepdims", Set::Int(0))];
        let nodes = [
            Self::node(self.operator, &inputs, &["o"], &self.settings),
            Self::node("Cast", &["o"], &["f"], &[("to", Set::Int(1))]),
            Self::node("ReduceMax", &["f"], &["s"], &all),
            Self::node("Add", &["x", "s"], &["a"], &[]),
            Self::node("GlobalAveragePool", &["a"], &["p"], &[]),
            Self::node("Flatten", &["p"], &["v"], &[]),
            Self::node("MatMul", &["v", "w"], &["y"], &[]),
        ];
        let graph = Message::default()
            .each(&nodes, |m, n| m.bytes(1, &n.0))
            .bytes(5, &Self::tensor("w", &weights(&[3, 2])).0)
            .each(&names.iter().zip(&self.constants).collect::<Vec<_>>(), |m, (n, c)| {
                m.bytes(5, &Self::tensor(n, c).0)
            })
            .bytes(11, &Self::value("x", &[0, 3, 8, 8]).0)
            .bytes(12, &Self::value("y", &[0, 2]).0);
        let opset = Message::default().text(1, "").int(2, self.opset);
        Message::default().int(1, 8).bytes(7, &graph.0).bytes(8, &opset.0).0
    }
}

const BIG: i64 = i64::MAX;
const SMALL: i64 = i64::MIN;

/// Lists of integers that no attribute means.
fn lists() -> Vec<Vec<i64>> {
    let mut lists = vec![
        vec![],
        vec![0],
        vec![1],
        vec![2],
        vec![-1],
        vec![100],
        vec![1, 1],
        vec![0, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![2, 2, 2, 2, 2, 2],
    ];
    for v in [0, -1, 2, 7, 1000, 4095, 4096, 1 << 24, 1 << 40, BIG, SMALL] {
        for length in [1, 2, 4, 8] {
            lists.push(vec![v; length]);
        }
        lists.extend([vec![1, 1, v, v], vec![v, 1, 1, 1], vec![1, v], vec![v, 0], vec![0, 3, v]]);
    }
    lists
}

fn numbers() -> Vec<i64> {
    vec![0, 1, 2, 3, -1, -5, 7, 1023, 1024, 65536, 1 << 31, 1 << 40, BIG, SMALL]
}

fn reals() -> Vec<f32> {
    vec![
        0.0,
        1.0,
        -1.0,
        0.5,
        1e-30,
        1e9,
        1e30,
        f32::MAX,
        f32::MIN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
    ]
}

/// Every case loads and runs, or says what is wrong, soon and with little memory.
fn check(cases: Vec<Case>) {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("case.onnx");
    let device = Device::flex().autodiff();
    let (mut loaded, mut refused) = (0, 0);
    for case in cases {
        std::fs::write(&path, case.model()).unwrap();
        let start = Instant::now();
        let what = || {
            let constants = format!("{:?}", case.constants).chars().take(300).collect::<String>();
            format!("{} {} {:?} {constants}", case.operator, case.opset, case.settings)
        };
        match Graph::load(&path, &device) {
            Ok(graph) => {
                loaded += 1;
                let x = Tensor::<4>::ones([3, 3, 8, 8], &device).require_grad();
                if let Ok(y) = graph.forward(x.clone()) {
                    assert_eq!(y.dims(), [3, 2], "{}", what());
                    let _ = x.grad(&y.sum().backward());
                }
            }
            Err(e) => {
                refused += 1;
                let text = e.to_string();
                assert!(text.contains("case.onnx") && text.len() < 2000, "{}: {text}", what());
            }
        }
        assert!(start.elapsed() < Duration::from_secs(240), "{} took {:?}", what(), start.elapsed());
        if let Some(peak) = peak() {
            assert!(peak < 2 << 30, "{} took {} MiB", what(), peak >> 20);
        }
    }
    assert!(loaded > 0 && refused > 0, "{loaded} loaded, {refused} refused");
}

/// The most memory that this process has had, in bytes.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}

fn case(
    operator: &'static str,
    opset: i64,
    constants: Vec<Const>,
    settings: Vec<(&'static str, Set)>,
) -> Case {
    Case { operator, opset, constants, alone: false, settings }
}

fn alone(
    operator: &'static str,
    opset: i64,
    constants: Vec<Const>,
    settings: Vec<(&'static str, Set)>,
) -> Case {
    Case { alone: true, ..case(operator, opset, constants, settings) }
}

#[test]
fn windows() {
    let mut cases = Vec::new();
    for operator in ["MaxPool", "AveragePool", "LpPool", "Conv", "ConvTranspose"] {
        let kernel = ("kernel_shape", Set::Ints(vec![2, 2]));
        let constants = || match operator {
            "Conv" => vec![weights(&[4, 3, 2, 2])],
            "ConvTranspose" => vec![weights(&[3, 4, 2, 2])],
            _ => vec![],
        };
        cases.push(case(operator, 19, constants(), vec![kernel.clone()]));
        for list in lists() {
            cases.push(case(operator, 19, constants(), vec![("kernel_shape", Set::Ints(list.clone()))]));
            for name in ["strides", "dilations", "pads", "output_padding", "output_shape"] {
                let settings = vec![kernel.clone(), (name, Set::Ints(list.clone()))];
                cases.push(case(operator, 19, constants(), settings));
            }
        }
        for v in numbers() {
            for name in ["group", "ceil_mode", "p", "count_include_pad", "storage_order"] {
                cases.push(case(operator, 19, constants(), vec![kernel.clone(), (name, Set::Int(v))]));
            }
        }
        for text in ["", "SAME_UPPER", "SAME_LOWER", "VALID", "BOGUS"] {
            for strides in [1, 7, 4095] {
                let settings = vec![
                    kernel.clone(),
                    ("auto_pad", Set::Text(text)),
                    ("strides", Set::Ints(vec![strides; 2])),
                    ("dilations", Set::Ints(vec![strides; 2])),
                ];
                cases.push(case(operator, 19, constants(), settings));
            }
        }
    }
    for shape in [
        &[][..],
        &[4],
        &[4, 3],
        &[4, 3, 2],
        &[4, 3, 2, 2, 2],
        &[0, 3, 2, 2],
        &[4, 0, 2, 2],
        &[4, 3, 0, 2],
        &[4, 3, 9, 9],
        &[4, 1, 8, 8],
        &[1, 3, 1, 1, 1, 1, 1, 1],
    ] {
        for operator in ["Conv", "ConvTranspose"] {
            cases.push(case(operator, 17, vec![weights(shape)], vec![]));
            cases.push(case(operator, 17, vec![weights(&[3, 3, 2, 2]), weights(shape)], vec![]));
        }
    }
    check(cases);
}

#[test]
fn shapes() {
    let mut cases = vec![case("Identity", 17, vec![], vec![])];
    for list in lists() {
        for operator in ["Reshape", "Expand", "Tile", "Pad", "Squeeze", "Unsqueeze", "ReduceSum", "Split"] {
            cases.push(case(operator, 18, vec![ints(&list)], vec![]));
        }
        cases.push(case("Reshape", 18, vec![ints(&list)], vec![("allowzero", Set::Int(1))]));
        for operator in
            ["Transpose", "Squeeze", "Unsqueeze", "ReduceL2", "Split", "Pad", "MeanVarianceNormalization"]
        {
            for name in ["perm", "axes", "split", "pads"] {
                cases.push(case(operator, 9, vec![], vec![(name, Set::Ints(list.clone()))]));
            }
        }
        for mode in ["constant", "reflect", "edge", "wrap"] {
            cases.push(case("Pad", 19, vec![ints(&list)], vec![("mode", Set::Text(mode))]));
            cases.push(alone(
                "Pad",
                19,
                vec![ints(&[1, 2, 3]), ints(&list)],
                vec![("mode", Set::Text(mode))],
            ));
        }
        cases.push(case("Resize", 13, vec![floats(&[]), floats(&[]), ints(&list)], vec![]));
        let scales: Vec<f32> = list.iter().map(|&v| v as f32).collect();
        for mode in ["nearest", "linear", "cubic"] {
            cases.push(case(
                "Resize",
                13,
                vec![floats(&[]), floats(&scales)],
                vec![("mode", Set::Text(mode))],
            ));
            cases.push(case("Upsample", 9, vec![floats(&scales)], vec![("mode", Set::Text(mode))]));
        }
        for at in 0..4 {
            let mut bounds = vec![ints(&[0, 0]), ints(&[2, 2]), ints(&[0, 1]), ints(&[1, 1])];
            bounds[at] = ints(&list);
            cases.push(case("Slice", 13, bounds.clone(), vec![]));
            cases.push(alone(
                "Slice",
                13,
                [vec![Const::Ints(vec![2, 3], (0..6).collect())], bounds].concat(),
                vec![],
            ));
        }
    }
    for v in reals() {
        for mode in ["nearest", "linear", "cubic"] {
            let settings = vec![("mode", Set::Text(mode))];
            cases.push(case("Resize", 13, vec![floats(&[]), floats(&[1.0, 1.0, v, 1.0])], settings.clone()));
            cases.push(case("Upsample", 9, vec![floats(&[1.0, 1.0, v, 1.0])], settings));
        }
    }
    for v in numbers() {
        for operator in [
            "Flatten",
            "Softmax",
            "LogSoftmax",
            "Hardmax",
            "Concat",
            "Split",
            "ArgMax",
            "LayerNormalization",
            "LpNormalization",
        ] {
            for opset in [11, 18] {
                let constants = if operator == "LayerNormalization" { vec![weights(&[8])] } else { vec![] };
                cases.push(case(operator, opset, constants, vec![("axis", Set::Int(v))]));
            }
        }
        for operator in ["DepthToSpace", "SpaceToDepth"] {
            cases.push(case(operator, 13, vec![], vec![("blocksize", Set::Int(v))]));
        }
        cases.push(case(
            "Shape",
            15,
            vec![],
            vec![("start", Set::Int(v)), ("end", Set::Int(BIG - v.max(0)))],
        ));
        cases.push(case("Split", 18, vec![], vec![("num_outputs", Set::Int(v))]));
        cases.push(case("Cast", 18, vec![], vec![("to", Set::Int(v))]));
        cases.push(case("CumSum", 14, vec![Const::Ints(vec![], vec![v])], vec![]));
        cases.push(case("Trilu", 14, vec![Const::Ints(vec![], vec![v])], vec![]));
    }
    check(cases);
}

#[test]
fn what_makes_much_of_little() {
    let mut cases = vec![case("Identity", 17, vec![], vec![])];
    for list in lists() {
        cases.push(alone("ConstantOfShape", 13, vec![ints(&list)], vec![]));
        cases.push(alone("Expand", 13, vec![ints(&[1]), ints(&list)], vec![]));
        cases.push(alone("Tile", 13, vec![ints(&[1, 2]), ints(&list)], vec![]));
    }
    for a in numbers() {
        for b in numbers() {
            let one = |v| Const::Ints(vec![], vec![v]);
            cases.push(alone("Range", 13, vec![one(0), one(a), one(b)], vec![]));
            cases.push(alone("Range", 13, vec![one(a), one(b), one(1)], vec![]));
            cases.push(alone("Range", 13, vec![one(a), one(b), one(-1)], vec![]));
            for operator in ["Div", "Mod", "Mul", "Sub", "Pow", "Max", "Equal", "BitwiseAnd"] {
                cases.push(alone(operator, 18, vec![ints(&[a]), ints(&[b])], vec![]));
            }
            cases.push(alone(
                "BitShift",
                18,
                vec![ints(&[a]), ints(&[b])],
                vec![("direction", Set::Text("LEFT"))],
            ));
        }
        cases.push(alone("EyeLike", 13, vec![weights(&[3, 4])], vec![("k", Set::Int(a))]));
        cases.push(alone("EyeLike", 13, vec![weights(&[3, 4])], vec![("dtype", Set::Int(a))]));
        let values = floats(&[0.0, 1.0]);
        cases.push(alone("OneHot", 13, vec![ints(&[a, 0]), ints(&[a]), values.clone()], vec![]));
        cases.push(alone("OneHot", 13, vec![ints(&[a, 0]), ints(&[5]), values], vec![("axis", Set::Int(a))]));
    }
    for a in reals() {
        for b in reals() {
            let one = |v| Const::Floats(vec![], vec![v]);
            cases.push(alone("Range", 13, vec![one(0.0), one(a), one(b)], vec![]));
            cases.push(alone("Pow", 13, vec![floats(&[a]), floats(&[b])], vec![]));
            cases.push(alone("Mod", 13, vec![floats(&[a]), floats(&[b])], vec![("fmod", Set::Int(1))]));
            cases.push(case("Clip", 13, vec![one(a), one(b)], vec![]));
        }
        cases.push(case("Pow", 13, vec![floats(&[a])], vec![]));
        cases.push(alone("Pow", 13, vec![ints(&[3]), floats(&[a])], vec![]));
        for to in 1..=26 {
            cases.push(alone("Cast", 25, vec![floats(&[a])], vec![("to", Set::Int(to))]));
        }
    }
    // Outer sums and products; the sum of many.
    cases.push(alone("Add", 13, vec![weights(&[4096, 1]), weights(&[1, 65536])], vec![]));
    cases.push(alone("MatMul", 13, vec![weights(&[65536, 1]), weights(&[1, 65536])], vec![]));
    cases.push(alone(
        "Where",
        13,
        vec![ints(&[1; 4096]), weights(&[4096, 1]), weights(&[4096, 1, 1])],
        vec![],
    ));
    cases.push(alone("Gather", 13, vec![weights(&[1, 65536]), ints(&vec![0; 20000])], vec![]));
    cases.push(alone(
        "GatherND",
        13,
        vec![weights(&[1, 65536]), Const::Ints(vec![20000, 1], vec![0; 20000])],
        vec![],
    ));
    cases.push(alone(
        "Einsum",
        13,
        vec![weights(&[65536]), weights(&[65535])],
        vec![("equation", Set::Text("a,b->ab"))],
    ));
    check(cases);
}

#[test]
fn indices_and_parameters() {
    let mut cases = vec![case("Identity", 17, vec![], vec![])];
    for v in numbers() {
        for axis in numbers() {
            let settings = vec![("axis", Set::Int(axis))];
            for operator in ["Gather", "GatherElements", "TopK"] {
                cases.push(case(operator, 13, vec![ints(&[v])], settings.clone()));
                let four = Const::Ints(vec![1, 1, 1, 1], vec![v]);
                cases.push(case(operator, 13, vec![four], settings.clone()));
            }
            let four = || Const::Ints(vec![1, 1, 1, 1], vec![v]);
            cases.push(case("ScatterElements", 13, vec![four(), weights(&[1, 1, 1, 1])], settings.clone()));
            cases.push(alone(
                "ScatterElements",
                13,
                vec![weights(&[2, 2, 2, 2]), four(), weights(&[1, 1, 1, 1])],
                settings,
            ));
        }
        let settings = vec![("batch_dims", Set::Int(v))];
        cases.push(case("GatherND", 13, vec![Const::Ints(vec![1, 2], vec![0, v])], settings));
        cases.push(case(
            "ScatterND",
            13,
            vec![Const::Ints(vec![1, 2], vec![0, v]), weights(&[1, 8, 8])],
            vec![],
        ));
        cases.push(case("LRN", 13, vec![], vec![("size", Set::Int(v))]));
        cases.push(case("GlobalLpPool", 13, vec![], vec![("p", Set::Int(v))]));
        cases.push(case("LpNormalization", 13, vec![], vec![("p", Set::Int(v))]));
        let two = || vec![weights(&[3]), weights(&[3])];
        cases.push(case("GroupNormalization", 21, two(), vec![("num_groups", Set::Int(v))]));
        cases.push(case(
            "BatchNormalization",
            15,
            [two(), two()].concat(),
            vec![("training_mode", Set::Int(v))],
        ));
        cases.push(case("BatchNormalization", 7, [two(), two()].concat(), vec![("spatial", Set::Int(v))]));
        let heads = vec![("q_num_heads", Set::Int(v)), ("kv_num_heads", Set::Int(v))];
        cases.push(alone(
            "Attention",
            23,
            vec![weights(&[1, 2, 6]), weights(&[1, 2, 6]), weights(&[1, 2, 6])],
            heads,
        ));
    }
    for shape in [&[][..], &[0], &[1], &[2], &[3, 1], &[1, 3, 1, 1], &[3, 8, 8], &[1, 1, 1, 1, 1, 1, 1]] {
        for operator in [
            "PRelu",
            "InstanceNormalization",
            "LayerNormalization",
            "RMSNormalization",
            "MatMul",
            "Gemm",
            "Attention",
        ] {
            cases.push(case(operator, 23, vec![weights(shape), weights(shape)], vec![]));
        }
        cases.push(case("BatchNormalization", 15, vec![weights(shape); 4], vec![]));
        cases.push(case("Concat", 15, vec![weights(shape)], vec![("axis", Set::Int(1))]));
        cases.push(case("Max", 15, vec![weights(shape)], vec![]));
        cases.push(alone("Not", 15, vec![weights(shape)], vec![]));
    }
    for v in reals() {
        for operator in [
            "LeakyRelu",
            "Elu",
            "Selu",
            "Celu",
            "ThresholdedRelu",
            "HardSigmoid",
            "Swish",
            "Shrink",
            "LRN",
            "Gemm",
            "Attention",
            "LayerNormalization",
            "InstanceNormalization",
            "BatchNormalization",
        ] {
            for name in
                ["alpha", "beta", "gamma", "lambd", "bias", "scale", "softcap", "epsilon", "dyntta.slope"]
            {
                let constants = match operator {
                    "LayerNormalization" => vec![weights(&[8])],
                    "InstanceNormalization" => vec![weights(&[3]); 2],
                    "BatchNormalization" => vec![weights(&[3]); 4],
                    _ => vec![],
                };
                cases.push(case(operator, 24, constants, vec![(name, Set::Float(v)), ("size", Set::Int(3))]));
            }
        }
    }
    for equation in [
        "",
        "->",
        ",",
        "n",
        "nchw",
        "nchw->",
        "...",
        "...->",
        "....",
        "nchw->nchwa",
        "nchw->nn",
        "nnnn->n",
        "nchw,->n",
        "n->h",
        "nch...w->n",
        "......->",
        "nchw-nchw",
        "é",
        "nc\u{7}hw",
        "nchw->n->c",
        "a,b,c,d,e,f,g->abcdefg",
    ] {
        cases.push(case("Einsum", 13, vec![], vec![("equation", Set::Text(equation))]));
        cases.push(case("Einsum", 13, vec![weights(&[3])], vec![("equation", Set::Text(equation))]));
    }
    check(cases);
}
