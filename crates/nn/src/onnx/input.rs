//! The image input of a graph: which it is, how its images lie, and what values it takes.

use std::collections::{HashMap, HashSet};

use dyntta_files::shown_text;

use super::ir::Ir;
use super::tensor::DataType;
use super::{gradient, proto};

/// How the file wants its images; the channels are three colours or one grey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[n, c, h, w]`.
    Nchw,
    /// `[n, h, w, c]`.
    Nhwc,
}

/// What the elements of the images are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elements {
    /// Floats of any precision; computed with in single precision.
    Float,
    /// Whole numbers from 0 to 255. Whatever normalisation there is, is inside the graph.
    Bytes,
}

/// A graph's image input, as far as the file says.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageInput {
    /// Its name.
    pub name: String,
    /// Its layout, and 3 or 1 channels: what may be meant, the likeliest first.
    pub forms: Vec<(Layout, usize)>,
    /// What it holds.
    pub elements: Elements,
    /// Batch size, height and width, where they are fixed.
    pub sizes: [Option<usize>; 3],
}

/// The names that an output depends on, itself among them. Weights and inputs are among the names.
pub fn needed<'a>(graph: &'a proto::Graph, output: &'a str) -> HashSet<&'a str> {
    let mut makers: HashMap<&str, &proto::Node> = HashMap::new();
    for node in &graph.node {
        makers.extend(node.output.iter().filter(|o| !o.is_empty()).map(|o| (o.as_str(), node)));
    }
    let mut found = HashSet::from([output]);
    let mut open = vec![output];
    while let Some(name) = open.pop() {
        let Some(node) = makers.get(name) else { continue };
        for input in node.input.iter().filter(|i| !i.is_empty()) {
            if found.insert(input) {
                open.push(input);
            }
        }
    }
    found
}

/// The one input that is no weight. Of several, those that the output doesn't depend on don't count.
///
/// # Errors
/// What was found instead.
pub fn image_input(graph: &proto::Graph, output: &str) -> Result<ImageInput, String> {
    let weights: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let mut inputs: Vec<_> = graph.input.iter().filter(|i| !weights.contains(i.name.as_str())).collect();
    if inputs.len() > 1 {
        let needed = needed(graph, output);
        let used = |i: &&proto::ValueInfo| needed.contains(i.name.as_str());
        if inputs.iter().any(used) {
            inputs.retain(used);
        }
    }
    let [input] = inputs[..] else {
        let names: Vec<_> = inputs.iter().map(|i| shown_text(&i.name).to_string()).collect();
        return Err(match names.len() {
            0 => "no input".into(),
            n => format!("{n} inputs: {}", shown_text(&names.join(", "))),
        });
    };
    if input.name.is_empty() {
        return Err("an input without a name".into());
    }
    let shown = shown_text(&input.name).to_string();
    let Some(kind) = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()) else {
        return Err(format!("`{shown}`, which is no tensor"));
    };
    let elements = match DataType::new(kind.elem_type.into()) {
        Ok(kind) if kind.is_float() => Elements::Float,
        Ok(DataType::U8) => Elements::Bytes,
        Ok(other) => {
            let other = gradient::name(other);
            return Err(format!("`{shown}`, whose elements are not floats or uint8 but {other}"));
        }
        Err(_) => {
            return Err(format!(
                "`{shown}`, whose elements are not floats or uint8 (type {})",
                kind.elem_type
            ));
        }
    };
    let of = |forms: &[(Layout, usize)], sizes| {
        Ok(ImageInput { name: input.name.clone(), forms: forms.to_vec(), elements, sizes })
    };
    use Layout::{Nchw, Nhwc};
    let all = [(Nchw, 3), (Nhwc, 3), (Nchw, 1), (Nhwc, 1)];
    let Some(shape) = &kind.shape else { return of(&all, [None; 3]) };
    let fixed: Vec<_> =
        shape.dim.iter().map(|d| usize::try_from(d.dim_value).ok().filter(|&v| v > 0)).collect();
    let described = || {
        let extent = |d: &proto::Dimension| match d.dim_value {
            v if v > 0 => v.to_string(),
            _ if d.dim_param.is_empty() => "?".into(),
            _ => d.dim_param.clone(),
        };
        let extents = shape.dim.iter().map(extent).collect::<Vec<_>>().join(", ");
        format!("`{shown}` of shape [{}]", shown_text(&extents))
    };
    match fixed[..] {
        // An image of three rows, or of one, is none: where both could be, channels come first.
        [n, Some(3), h, w] => of(&[(Nchw, 3)], [n, h, w]),
        [n, h, w, Some(3)] => of(&[(Nhwc, 3)], [n, h, w]),
        [n, Some(1), h, w] => of(&[(Nchw, 1)], [n, h, w]),
        [n, h, w, Some(1)] => of(&[(Nhwc, 1)], [n, h, w]),
        [n, None, None, None] => of(&all, [n, None, None]),
        [n, None, h, w] => of(&[(Nchw, 3), (Nchw, 1)], [n, h, w]),
        [n, h, w, None] => of(&[(Nhwc, 3), (Nhwc, 1)], [n, h, w]),
        [_, _, _, _] => Err(format!("{}: images have three channels, or one", described())),
        _ => Err(format!("{}: images are of rank 4", described())),
    }
}

/// Operators that move values about and compute nothing with them.
const MOVES: [&str; 16] = [
    "Identity",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "Slice",
    "Split",
    "Gather",
    "Concat",
    "Expand",
    "Tile",
    "Pad",
    "DepthToSpace",
    "SpaceToDepth",
    "Dropout",
];

/// Lets bytes flow as floats: a cast to floats, which stands at the start of a graph that takes bytes, then changes nothing,
/// and the gradient goes through it. So do casts to integers that hold all bytes, if floats follow.
///
/// # Errors
/// If something computes with the bytes as integers.
pub fn bytes_as_floats(ir: &mut Ir) -> Result<(), String> {
    let mut bytes = HashSet::from([ir.input]);
    for node in &mut ir.nodes {
        if !node.inputs.iter().flatten().any(|e| bytes.contains(e)) {
            continue;
        }
        match node.op.as_str() {
            "Shape" | "Size" => continue,
            "Cast" => match DataType::new(node.attributes.int("to").unwrap_or(0))? {
                kind if kind.is_float() => {
                    node.op = "Identity".into();
                    continue;
                }
                DataType::U8 | DataType::U16 | DataType::I16 | DataType::U32 | DataType::I32 => {
                    node.op = "Identity".into()
                }
                DataType::I64 | DataType::U64 => node.op = "Identity".into(),
                other => {
                    return Err(format!("the bytes of the image are cast to {}", gradient::name(other)));
                }
            },
            op if MOVES.contains(&op) => {}
            op => {
                return Err(format!(
                    "{} (node `{}`) computes with the bytes of the image before they are cast to floats",
                    shown_text(op),
                    shown_text(&node.name)
                ));
            }
        }
        bytes.extend(node.outputs.iter().flatten());
    }
    match bytes.contains(&ir.output) {
        true => Err("the scores are bytes".into()),
        false => Ok(()),
    }
}
