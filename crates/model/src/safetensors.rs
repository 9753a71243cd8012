//! safetensors (<https://huggingface.co/docs/safetensors>): eight bytes with the length of a JSON header, the header, then the
//! tensors' bytes without gaps. The header is read here and not by the format's library, which wants the whole file in
//! memory, lets the later of two equal keys win, and names neither tensor nor type where it knows a type not.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::rc::Rc;

use dyntta_files::{Limits, shown_text};
use safetensors::tensor::{Dtype as Kind, TensorView};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::error::Error;
use crate::source::Source;
use crate::tensor::{Dtype, StateDict, Storage, Tensor, elements};
use crate::weights::Contents;

/// Bytes before the header: its length.
const PREFIX: u64 = 8;
/// The longest header: what the format's own reader allows.
const MAX_HEADER: u64 = 100_000_000;

#[derive(Deserialize)]
struct Info {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

/// The header with equal keys side by side.
struct Header {
    tensors: Vec<(String, Info)>,
    metadata: HashMap<String, String>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header { tensors: Vec::new(), metadata: HashMap::new() };
                while let Some(key) = map.next_key::<String>()? {
                    if key == "__metadata__" {
                        // Values that are no texts don't matter here.
                        let all: HashMap<String, serde_json::Value> = map.next_value()?;
                        let texts = all.into_iter().filter_map(|(k, v)| Some((k, v.as_str()?.to_owned())));
                        header.metadata = texts.collect();
                    } else {
                        header.tensors.push((key, map.next_value()?));
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

fn dtype(name: &str) -> (Dtype, Option<usize>) {
    let known = match name {
        "F32" => Dtype::F32,
        "F64" => Dtype::F64,
        "F16" => Dtype::F16,
        "BF16" => Dtype::BF16,
        "I64" => Dtype::Whole("i64"),
        "U64" => Dtype::Whole("u64"),
        "I32" => Dtype::Whole("i32"),
        "U32" => Dtype::Whole("u32"),
        "I16" => Dtype::Whole("i16"),
        "U16" => Dtype::Whole("u16"),
        "I8" => Dtype::Whole("i8"),
        "U8" => Dtype::Whole("u8"),
        "BOOL" => Dtype::Whole("bool"),
        other => return (Dtype::Other(shown_text(other).to_string()), None),
    };
    let size = known.size();
    (known, Some(size))
}

/// What a safetensors file holds.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn read(source: &Source, limits: &Limits) -> Result<Contents, String> {
    let length = source.len();
    let io = |e: std::io::Error| format!("a damaged one ({e})");
    if length < PREFIX {
        return Err(format!("{length} bytes"));
    }
    let prefix = source.read(0, PREFIX).map_err(io)?;
    let header = prefix.first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b));
    if header > MAX_HEADER.min(length - PREFIX) {
        return Err(format!("a header of {header} bytes in a file of {length}"));
    }
    let text = source.read(PREFIX, header).map_err(io)?;
    let Header { tensors: listed, metadata } =
        serde_json::from_slice(&text).map_err(|error| format!("a header with an error ({error})"))?;
    let start = PREFIX + header;
    let held = length - start;
    if listed.len() > limits.entries {
        return Err(format!("more than {} tensors", limits.entries));
    }
    let mut places: Vec<(u64, u64)> = Vec::new();
    let mut tensors = BTreeMap::new();
    for (key, info) in listed {
        let ([first, last], (dtype, size)) = (info.data_offsets, dtype(&info.dtype));
        let count = elements(&info.shape);
        let bytes = last.checked_sub(first);
        let fits = match (size, count, bytes) {
            (_, None, _) | (_, _, None) => false,
            (Some(size), Some(count), Some(bytes)) => {
                count.checked_mul(size).is_some_and(|n| n as u64 == bytes)
            }
            (None, Some(_), Some(_)) => true,
        };
        if !fits || last > held {
            return Err(format!(
                "`{}` of {} elements of {} in bytes {first} to {last} of {held}{}",
                shown_text(&key),
                count.map_or("too many".to_owned(), |n| n.to_string()),
                dtype,
                if last > held { ", as in a file that breaks off" } else { "" }
            ));
        }
        if count.is_some_and(|n| n > limits.tensor_elements) {
            return Err(format!("`{}` of more than {} elements", shown_text(&key), limits.tensor_elements));
        }
        places.push((first, last));
        let storage =
            Storage { source: 0, start: start + first, bytes: last - first, crc: None, big_endian: false };
        let tensor = Tensor {
            dtype,
            shape: info.shape,
            storage: Rc::new(storage),
            offset: 0,
            strides: None,
            twice: false,
        };
        if tensors.insert(key.clone(), tensor).is_some() {
            return Err(format!("the key `{}` twice", shown_text(&key)));
        }
    }
    places.sort_unstable();
    let mut end = 0;
    for (first, last) in places {
        if first != end {
            return Err(format!("tensors that overlap or leave a gap at byte {first}"));
        }
        end = last;
    }
    if end != held {
        return Err(format!("{held} bytes of tensors where {end} are listed"));
    }
    let told = metadata.get("arch").map(|name| ("its metadata".to_owned(), name.clone()));
    Ok(Contents { tensors, told: told.into_iter().collect(), metadata })
}

/// The files of a model in shards by key, from the text of its index (`*.index.json`).
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn read_index(text: &str) -> Result<BTreeMap<String, String>, String> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let Index { weight_map } =
        serde_json::from_str(text).map_err(|e| format!("JSON without a `weight_map` ({e})"))?;
    for file in weight_map.values() {
        let plain = !file.is_empty() && !file.contains(['/', '\\', '\0']) && file != "." && file != "..";
        if !plain {
            return Err(format!("a shard `{}`, which is not a name of a file beside it", shown_text(file)));
        }
    }
    if weight_map.is_empty() {
        return Err("an index of no tensors".into());
    }
    Ok(weight_map)
}

/// Writes tensors and metadata as safetensors, whole or not at all.
///
/// # Errors
/// If the file cannot be written; what stood there before stays.
pub fn write(path: &Path, dict: &StateDict, metadata: HashMap<String, String>) -> Result<(), Error> {
    let bytes: BTreeMap<&str, Vec<u8>> = dict
        .iter()
        .map(|(key, entry)| (key.as_str(), entry.data.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let failed =
        |error: safetensors::SafeTensorError| Error::format(path, "tensors to write", error.to_string());
    let mut views = Vec::new();
    for (key, entry) in dict {
        let view = TensorView::new(Kind::F32, entry.shape.clone(), &bytes[key.as_str()]).map_err(failed)?;
        views.push((key.as_str(), view));
    }
    let sorted: BTreeMap<&String, &String> = metadata.iter().collect();
    let sorted = serde_json::to_string(&sorted).unwrap_or_default();
    let mut out = safetensors::serialize(views, Some(metadata)).map_err(failed)?;
    in_order(&mut out, &sorted);
    Ok(dyntta_files::write_atomic(path, &out)?)
}

/// Puts a file's metadata in the order of their keys, in their own place: the same tensors and metadata are the same bytes.
fn in_order(file: &mut [u8], sorted: &str) {
    const BEFORE: &[u8] = b"{\"__metadata__\":";
    let header = file.get_mut(8..).unwrap_or_default();
    if header.starts_with(BEFORE)
        && let Some(place) = header.get_mut(BEFORE.len()..BEFORE.len() + sorted.len())
    {
        place.copy_from_slice(sorted.as_bytes());
    }
}
