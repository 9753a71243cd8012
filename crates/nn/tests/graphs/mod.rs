//! A writer of small ONNX files, by the field numbers of `onnx.proto3`.

use std::path::{Path, PathBuf};

/// `TensorProto.DataType`.
pub const FLOAT: u64 = 1;
pub const UINT8: u64 = 2;
pub const INT32: u64 = 6;
pub const INT64: u64 = 7;
pub const FLOAT16: u64 = 10;
pub const DOUBLE: u64 = 11;

/// An extent that the file leaves open.
pub const OPEN: i64 = -1;

/// A graph under construction.
#[derive(Clone, Default)]
pub struct Net {
    graph: Vec<u8>,
    metadata: Vec<u8>,
    nodes: usize,
}

/// A node's setting.
pub enum Attr<'a> {
    Int(&'a str, i64),
    Ints(&'a str, &'a [i64]),
}

fn varint(out: &mut Vec<u8>, mut v: u64) {
    while v >= 128 {
        out.push(v as u8 | 128);
        v >>= 7;
    }
    out.push(v as u8);
}

fn number(out: &mut Vec<u8>, field: u64, v: u64) {
    varint(out, field << 3);
    varint(out, v);
}

fn bytes(out: &mut Vec<u8>, field: u64, v: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, v.len() as u64);
    out.extend_from_slice(v);
}

fn value_info(name: &str, kind: u64, shape: Option<&[i64]>) -> Vec<u8> {
    let mut tensor = Vec::new();
    number(&mut tensor, 1, kind);
    if let Some(dims) = shape {
        let mut all = Vec::new();
        for (i, &extent) in dims.iter().enumerate() {
            let mut dim = Vec::new();
            match extent {
                OPEN => bytes(&mut dim, 2, format!("d{i}").as_bytes()),
                extent => number(&mut dim, 1, extent as u64),
            }
            bytes(&mut all, 1, &dim);
        }
        bytes(&mut tensor, 2, &all);
    }
    let (mut kind, mut info) = (Vec::new(), Vec::new());
    bytes(&mut kind, 1, &tensor);
    bytes(&mut info, 1, name.as_bytes());
    bytes(&mut info, 2, &kind);
    info
}

impl Net {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn input(mut self, name: &str, kind: u64, shape: Option<&[i64]>) -> Self {
        bytes(&mut self.graph, 11, &value_info(name, kind, shape));
        self
    }

    pub fn output(mut self, name: &str, kind: u64, shape: Option<&[i64]>) -> Self {
        bytes(&mut self.graph, 12, &value_info(name, kind, shape));
        self
    }

    fn tensor(mut self, name: &str, kind: u64, dims: &[usize], raw: &[u8]) -> Self {
        let mut tensor = Vec::new();
        dims.iter().for_each(|&d| number(&mut tensor, 1, d as u64));
        number(&mut tensor, 2, kind);
        bytes(&mut tensor, 8, name.as_bytes());
        bytes(&mut tensor, 9, raw);
        bytes(&mut self.graph, 5, &tensor);
        self
    }

    pub fn floats(self, name: &str, dims: &[usize], values: &[f32]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, FLOAT, dims, &raw)
    }

    pub fn ints(self, name: &str, dims: &[usize], values: &[i64]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, INT64, dims, &raw)
    }

    /// A weight of values between −1 and 1.
    pub fn weight(self, name: &str, dims: &[usize]) -> Self {
        let count: usize = dims.iter().product();
        let values: Vec<f32> = (0..count).map(|i| ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0).collect();
        self.floats(name, dims, &values)
    }

    pub fn node(mut self, op: &str, inputs: &[&str], outputs: &[&str], attributes: &[Attr<'_>]) -> Self {
        let mut node = Vec::new();
        inputs.iter().for_each(|i| bytes(&mut node, 1, i.as_bytes()));
        outputs.iter().for_each(|o| bytes(&mut node, 2, o.as_bytes()));
        bytes(&mut node, 4, op.as_bytes());
        for attribute in attributes {
            let mut out = Vec::new();
            match attribute {
                Attr::Int(name, v) => {
                    bytes(&mut out, 1, name.as_bytes());
                    number(&mut out, 3, *v as u64);
                }
                Attr::Ints(name, list) => {
                    bytes(&mut out, 1, name.as_bytes());
                    list.iter().for_each(|&v| number(&mut out, 8, v as u64));
                }
            }
            bytes(&mut node, 5, &out);
        }
        bytes(&mut self.graph, 1, &node);
        self.nodes += 1;
        self
    }

    pub fn metadata(mut self, key: &str, value: &str) -> Self {
        let mut entry = Vec::new();
        bytes(&mut entry, 1, key.as_bytes());
        bytes(&mut entry, 2, value.as_bytes());
        bytes(&mut self.metadata, 14, &entry);
        self
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut opset = Vec::new();
        number(&mut opset, 2, 17);
        let mut model = Vec::new();
        number(&mut model, 1, 8);
        bytes(&mut model, 7, &self.graph);
        bytes(&mut model, 8, &opset);
        model.extend_from_slice(&self.metadata);
        model
    }

    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, self.encode()).unwrap();
        path
    }

    /// Mean over the image's pixels of three weighted channels, five classes: `x`, already there, to `to`.
    pub fn head(self, x: &str, channels: usize, to: &str) -> Self {
        self.weight("head.w", &[channels, 5])
            .node("GlobalAveragePool", &[x], &["head.p"], &[])
            .node("Flatten", &["head.p"], &["head.f"], &[])
            .node("MatMul", &["head.f", "head.w"], &[to], &[])
    }
}
