//! The messages of an ONNX file by the field numbers of `onnx.proto3` (IR version 3 and up), which `dyntta-nn` reads and
//! `dyntta-export` writes. What neither needs is left out, and the decoder skips it; what can only be refused is kept as bytes.
//! Weights may lie in files beside the model's: [`Beside`] reads them.

mod beside;

pub use beside::Beside;
use prost::bytes::Bytes;

/// A whole file.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Model {
    /// The version of the format.
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    /// The program that wrote it.
    #[prost(string, tag = "2")]
    pub producer_name: String,
    /// That program's version.
    #[prost(string, tag = "3")]
    pub producer_version: String,
    /// What it is, in words.
    #[prost(string, tag = "6")]
    pub doc_string: String,
    /// The graph.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<Graph>,
    /// The operator sets.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetId>,
    /// Notes by key.
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringEntry>,
    /// Operators that the file defines, not parsed.
    #[prost(bytes = "bytes", repeated, tag = "25")]
    pub functions: Vec<Bytes>,
}

/// An operator set.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OperatorSetId {
    /// Whose; empty is ONNX's own.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// Which.
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// Two texts.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StringEntry {
    /// The name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// What it stands for.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// Nodes in an order in which they can be run, weights, inputs and outputs.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Graph {
    /// The nodes.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<Node>,
    /// The graph's name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The weights.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<Tensor>,
    /// The inputs; in old files the weights are among them.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfo>,
    /// The outputs.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfo>,
    /// Weights that are mostly zero, not parsed.
    #[prost(bytes = "bytes", repeated, tag = "15")]
    pub sparse_initializer: Vec<Bytes>,
}

/// An operator with its inputs and outputs by name; an empty name is none.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Node {
    /// The inputs.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// The outputs.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// The node's name.
    #[prost(string, tag = "3")]
    pub name: String,
    /// The operator.
    #[prost(string, tag = "4")]
    pub op_type: String,
    /// Its settings.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<Attribute>,
    /// Whose operator it is; empty is ONNX's own.
    #[prost(string, tag = "7")]
    pub domain: String,
}

/// A setting of a node.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Attribute {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// A number.
    #[prost(float, tag = "2")]
    pub f: f32,
    /// A whole number.
    #[prost(int64, tag = "3")]
    pub i: i64,
    /// A text.
    #[prost(bytes = "vec", tag = "4")]
    pub s: Vec<u8>,
    /// A tensor.
    #[prost(message, optional, tag = "5")]
    pub t: Option<Tensor>,
    /// A graph, not parsed.
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub g: Option<Bytes>,
    /// Numbers.
    #[prost(float, repeated, tag = "7")]
    pub floats: Vec<f32>,
    /// Whole numbers.
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    /// Texts.
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub strings: Vec<Vec<u8>>,
    /// Graphs, not parsed.
    #[prost(bytes = "bytes", repeated, tag = "11")]
    pub graphs: Vec<Bytes>,
    /// Which of them it is: see [`attribute_type`].
    #[prost(int32, tag = "20")]
    pub r#type: i32,
}

/// The types of attributes, by the numbers of `AttributeProto.AttributeType`.
pub mod attribute_type {
    /// A number.
    pub const FLOAT: i32 = 1;
    /// A whole number.
    pub const INT: i32 = 2;
    /// A text.
    pub const STRING: i32 = 3;
    /// A tensor.
    pub const TENSOR: i32 = 4;
    /// Numbers.
    pub const FLOATS: i32 = 6;
    /// Whole numbers.
    pub const INTS: i32 = 7;
    /// Texts.
    pub const STRINGS: i32 = 8;
}

/// The types of elements, by the numbers of `TensorProto.DataType`.
pub mod data_type {
    /// Single precision.
    pub const FLOAT: i32 = 1;
    /// Bytes.
    pub const UINT8: i32 = 2;
    /// Whole numbers of 32 bits.
    pub const INT32: i32 = 6;
    /// Whole numbers of 64 bits.
    pub const INT64: i32 = 7;
    /// Truth values.
    pub const BOOL: i32 = 9;
    /// Half precision.
    pub const FLOAT16: i32 = 10;
    /// Double precision.
    pub const DOUBLE: i32 = 11;
}

/// A tensor: its elements are in the field of their type, in `raw_data` or in another file.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Tensor {
    /// The extents.
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    /// What the elements are: see [`data_type`].
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    /// Elements in single precision.
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    /// Small whole numbers, truth values and half precision, as 32-bit numbers.
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    /// Texts.
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub string_data: Vec<Bytes>,
    /// Whole numbers of 64 bits.
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    /// The tensor's name.
    #[prost(string, tag = "8")]
    pub name: String,
    /// The elements, little-endian.
    #[prost(bytes = "bytes", tag = "9")]
    pub raw_data: Bytes,
    /// Elements in double precision.
    #[prost(double, repeated, tag = "10")]
    pub double_data: Vec<f64>,
    /// Unsigned whole numbers.
    #[prost(uint64, repeated, tag = "11")]
    pub uint64_data: Vec<u64>,
    /// Where in another file the elements are: `location`, `offset`, `length`.
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<StringEntry>,
    /// 1 if they are in another file.
    #[prost(int32, tag = "14")]
    pub data_location: i32,
}

/// What an input or output is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ValueInfo {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its type.
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<Type>,
}

/// A type; none of the fields here for what is no tensor.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Type {
    /// A tensor's.
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorType>,
}

/// The type of a tensor.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorType {
    /// What the elements are: see [`data_type`].
    #[prost(int32, tag = "1")]
    pub elem_type: i32,
    /// The shape, where known.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
}

/// A shape.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Shape {
    /// The extents.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Dimension>,
}

/// An extent: fixed where `dim_value` is positive, else free under the name `dim_param`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Dimension {
    /// The extent.
    #[prost(int64, tag = "1")]
    pub dim_value: i64,
    /// Its name.
    #[prost(string, tag = "2")]
    pub dim_param: String,
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    /// Field numbers and wire types are the format: these bytes are what ONNX's own library writes for the same node.
    #[test]
    fn a_node_is_written_as_onnx_writes_it() {
        let attribute =
            Attribute { name: "axis".into(), i: 3, r#type: attribute_type::INT, ..Attribute::default() };
        let node = Node {
            input: vec!["x".into()],
            output: vec!["y".into()],
            op_type: "Softmax".into(),
            attribute: vec![attribute],
            ..Node::default()
        };
        let expected = b"\n\x01x\x12\x01y\"\x07Softmax*\x0b\n\x04axis\x18\x03\xa0\x01\x02";
        assert_eq!(node.encode_to_vec(), expected);
        assert_eq!(Node::decode(&expected[..]).unwrap(), node);
    }
}
