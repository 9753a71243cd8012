//! Weights as PyTorch and safetensors keep them.

use crate::form::{Entry, write_zip};

/// A tensor: its key, its shape, and how far apart its elements are.
type Tensor<'a> = (&'a str, &'a [usize], Option<&'a [usize]>);

/// Pickle opcodes of a number.
fn int(out: &mut Vec<u8>, value: usize) {
    match u8::try_from(value) {
        Ok(value) => out.extend([b'K', value]),
        Err(_) => {
            out.push(b'J');
            out.extend((value as i32).to_le_bytes());
        }
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

fn tuple(out: &mut Vec<u8>, values: &[usize]) {
    out.push(b'(');
    values.iter().for_each(|v| int(out, *v));
    out.push(b't');
}

/// Strides of a row-major tensor.
fn strides(shape: &[usize]) -> Vec<usize> {
    (0..shape.len()).map(|i| shape[i + 1..].iter().product()).collect()
}

/// A state dict as `torch.save` pickles it; `legacy` has views in its storages' ids. With `wrapped`, beside an epoch and an
/// optimiser of a training script.
fn state_dict(tensors: &[Tensor], kind: &str, legacy: bool, wrapped: bool) -> Vec<u8> {
    let mut out = b"\x80\x02".to_vec();
    if wrapped {
        out.extend(b"}(");
        text(&mut out, "epoch");
        int(&mut out, 3);
        text(&mut out, "args");
        out.extend(b"cargparse\nNamespace\n)\x81}(");
        text(&mut out, "lr");
        out.extend(b"G?\x84z\xe1G\xae\x14{ub");
        text(&mut out, "state_dict");
    }
    out.extend(b"ccollections\nOrderedDict\n)R(");
    for (i, (key, shape, stride)) in tensors.iter().enumerate() {
        let own = strides(shape);
        text(&mut out, key);
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut out, "storage");
        out.extend(format!("ctorch\n{kind}\n").as_bytes());
        text(&mut out, &i.to_string());
        text(&mut out, "cpu");
        int(&mut out, shape.iter().product::<usize>().max(1));
        if legacy {
            out.push(b'N');
        }
        out.extend(b"tQK\0");
        tuple(&mut out, shape);
        tuple(&mut out, stride.unwrap_or(&own));
        out.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    out.extend(if wrapped { &b"uu."[..] } else { b"u." });
    out
}

/// A `.pth` file as PyTorch writes it: a zip whose folder is called `stem`.
pub fn pth(stem: &str, tensors: &[(&str, &[usize])]) -> Vec<u8> {
    let tensors: Vec<Tensor> = tensors.iter().map(|(key, shape)| (*key, *shape, None)).collect();
    zipped(stem, &tensors, "FloatStorage", 4, false)
}

fn zipped(stem: &str, tensors: &[Tensor], kind: &str, width: usize, wrapped: bool) -> Vec<u8> {
    let mut entries = vec![
        Entry::new(&format!("{stem}/data.pkl"), &state_dict(tensors, kind, false, wrapped)),
        Entry::new(&format!("{stem}/byteorder"), b"little"),
    ];
    for (i, (_, shape, _)) in tensors.iter().enumerate() {
        let n = width * shape.iter().product::<usize>();
        let data: Vec<u8> = (0..n).map(|b| if b % 4 == 3 { 0x3e } else { b as u8 }).collect();
        entries.push(Entry::new(&format!("{stem}/data/{i}"), &data));
    }
    entries.push(Entry::new(&format!("{stem}/version"), b"3\n"));
    write_zip(&entries)
}

/// The last layer of a CIFAR ResNet and a little more: enough for the keys to be looked at.
const SMALL: [Tensor; 3] = [
    ("conv1.weight", &[2, 3, 3, 3], None),
    ("linear.weight", &[3, 4], Some(&[1, 3])),
    ("linear.bias", &[3], None),
];

/// A file whose storages are of a class with this name.
#[cfg(test)]
pub(crate) fn of_class(name: &str) -> Vec<u8> {
    zipped("a", &SMALL, name, 4, false)
}

pub(crate) fn pickles() -> Vec<Vec<u8>> {
    let prefixed: [Tensor; 2] =
        [("module.fc.weight", &[2, 2], None), ("module.num_batches_tracked", &[], None)];
    vec![
        zipped("archive", &SMALL, "FloatStorage", 4, false),
        zipped("net", &SMALL, "HalfStorage", 2, true),
        zipped("a", &prefixed, "BFloat16Storage", 2, false),
        zipped("a_name_of_twenty_one_", &prefixed, "DoubleStorage", 8, true),
        // One element for many.
        zipped("s", &[("linear.weight", &[9, 9], Some(&[0, 0]))], "FloatStorage", 4, false),
    ]
}

/// Files of PyTorch before 1.6: pickles one after the other, then the storages.
pub(crate) fn legacy() -> Vec<Vec<u8>> {
    let made = |tensors: &[Tensor], wrapped: bool| {
        let mut out = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}(".to_vec();
        text(&mut out, "protocol_version");
        out.extend(b"M\xe9\x03");
        text(&mut out, "little_endian");
        out.extend(b"\x88");
        text(&mut out, "type_sizes");
        out.extend(b"}(");
        for (name, size) in [("short", 2), ("int", 4), ("long", 4)] {
            text(&mut out, name);
            int(&mut out, size);
        }
        out.extend(b"uu.");
        out.extend(state_dict(tensors, "FloatStorage", true, wrapped));
        out.extend(b"\x80\x02](");
        for i in 0..tensors.len() {
            text(&mut out, &i.to_string());
        }
        out.extend(b"e.");
        for (_, shape, _) in tensors {
            let n = shape.iter().product::<usize>().max(1);
            out.extend((n as u64).to_le_bytes());
            out.extend((0..4 * n).map(|b| if b % 4 == 3 { 0x3e } else { b as u8 }));
        }
        out
    };
    vec![made(&SMALL, false), made(&SMALL[..2], true), state_dict(&SMALL, "FloatStorage", false, false)]
}

/// A safetensors file of a header and as many bytes.
fn file(header: &str, bytes: usize) -> Vec<u8> {
    let data: Vec<u8> = (0..bytes).map(|b| if b % 4 == 3 { 0x3e } else { b as u8 }).collect();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}

pub(crate) fn safetensors() -> Vec<Vec<u8>> {
    vec![
        file(
            r#"{"__metadata__":{"format":"pt"},
"conv1.weight":{"dtype":"F32","shape":[2,3,3,3],"data_offsets":[0,216]},
"linear.weight":{"dtype":"F16","shape":[3,4],"data_offsets":[216,240]},
"linear.bias":{"dtype":"F64","shape":[3],"data_offsets":[240,264]}}"#,
            264,
        ),
        file(
            r#"{"module.fc.weight":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]},
"module.num_batches_tracked":{"dtype":"I64","shape":[],"data_offsets":[8,16]},
"module.empty":{"dtype":"F32","shape":[0,5],"data_offsets":[16,16]}}"#,
            16,
        ),
        file(r#"{"stem.weight":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}"#, 1),
    ]
}

/// Weights of a name and a shape that no network has.
pub(crate) fn bare() -> Vec<u8> {
    file(r#"{"stem.bias":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 8)
}

/// The files that an index may name.
pub(crate) fn shards() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a.safetensors", file(r#"{"a.weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 8)),
        ("b.safetensors", file(r#"{"b.weight":{"dtype":"F16","shape":[2, 2],"data_offsets":[0,8]}}"#, 8)),
    ]
}

pub(crate) fn indices() -> Vec<Vec<u8>> {
    [
        r#"{"metadata": {"total_size": 16},
"weight_map": {
"a.weight": "a.safetensors",
"b.weight": "b.safetensors"}}"#,
        r#"{"weight_map": {"a.weight": "../../etc/passwd", "b.weight": "/dev/zero"}}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
