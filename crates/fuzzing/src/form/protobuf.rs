//! Protobuf messages without their schema.

use dyntta_image::Stream;

use crate::mutate::{bytes, number, pick, token};

/// A field: its number and its value.
#[derive(Clone, Debug)]
pub(crate) enum Field {
    Varint(u64, u64),
    Fixed64(u64, u64),
    Bytes(u64, Vec<u8>),
    /// Bytes that are a message themselves.
    Message(u64, Vec<Field>),
    Fixed32(u64, u32),
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(data: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = data.split_first()?;
        *data = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// A message as bytes.
pub(crate) fn encode(fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    let counted = |out: &mut Vec<u8>, tag: u64, content: &[u8]| {
        put_varint(out, tag << 3 | 2);
        put_varint(out, content.len() as u64);
        out.extend_from_slice(content);
    };
    for field in fields {
        match field {
            Field::Varint(tag, value) => {
                put_varint(&mut out, tag << 3);
                put_varint(&mut out, *value);
            }
            Field::Fixed64(tag, value) => {
                put_varint(&mut out, tag << 3 | 1);
                out.extend(value.to_le_bytes());
            }
            Field::Bytes(tag, value) => counted(&mut out, *tag, value),
            Field::Message(tag, fields) => counted(&mut out, *tag, &encode(fields)),
            Field::Fixed32(tag, value) => {
                put_varint(&mut out, tag << 3 | 5);
                out.extend(value.to_le_bytes());
            }
        }
    }
    out
}

/// The fields of a message, those within taken for messages where they can be.
fn decode(mut data: &[u8], depth: usize) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !data.is_empty() {
        let tag = take_varint(&mut data)?;
        let number = tag >> 3;
        if number == 0 || number > 1000 {
            return None;
        }
        fields.push(match tag & 7 {
            0 => Field::Varint(number, take_varint(&mut data)?),
            1 => {
                let (value, rest) = data.split_first_chunk()?;
                data = rest;
                Field::Fixed64(number, u64::from_le_bytes(*value))
            }
            2 => {
                let length = usize::try_from(take_varint(&mut data)?).ok()?;
                let (content, rest) = data.split_at_checked(length)?;
                data = rest;
                let text = content.iter().all(|b| b.is_ascii_graphic() || *b == b' ');
                match if text || depth == 0 { None } else { decode(content, depth - 1) } {
                    Some(fields) => Field::Message(number, fields),
                    None => Field::Bytes(number, content.to_vec()),
                }
            }
            5 => {
                let (value, rest) = data.split_first_chunk()?;
                data = rest;
                Field::Fixed32(number, u32::from_le_bytes(*value))
            }
            _ => return None,
        });
    }
    Some(fields)
}

fn count(fields: &[Field]) -> usize {
    fields.iter().map(|f| 1 + if let Field::Message(_, inner) = f { count(inner) } else { 0 }).sum()
}

/// The list that holds field `n`, counted through all messages, and its place there.
fn find<'a>(fields: &'a mut Vec<Field>, n: &mut usize) -> Option<(&'a mut Vec<Field>, usize)> {
    for i in 0..fields.len() {
        if *n == 0 {
            return Some((fields, i));
        }
        *n -= 1;
        if let Field::Message(_, inner) = &fields[i] {
            let inside = count(inner);
            if *n < inside {
                let Field::Message(_, inner) = &mut fields[i] else { return None };
                return find(inner, n);
            }
            *n -= inside;
        }
    }
    None
}

pub(super) fn mutate(stream: &mut Stream, data: &[u8], tokens: &[&[u8]]) -> Option<Vec<u8>> {
    let mut fields = decode(data, 8)?;
    for _ in 0..=stream.below(3) {
        let total = count(&fields);
        if total == 0 {
            return None;
        }
        let elsewhere = {
            let mut n = stream.below(total);
            find(&mut fields, &mut n).map(|(list, i)| list[i].clone())
        };
        let mut n = stream.below(total);
        let (list, i) = find(&mut fields, &mut n)?;
        match stream.below(10) {
            0 => drop(list.remove(i)),
            1 => list.insert(i, list[i].clone()),
            2 => {
                let to = stream.below(list.len());
                list.swap(i, to);
            }
            3 => list.insert(i, elsewhere?),
            _ => change(stream, &mut list[i], tokens),
        }
    }
    Some(encode(&fields))
}

fn change(stream: &mut Stream, field: &mut Field, tokens: &[&[u8]]) {
    match field {
        Field::Varint(_, value) => *value = number(stream),
        Field::Fixed64(_, value) => *value = number(stream),
        Field::Fixed32(_, value) => {
            let special = [0.0, -1.0, 1e-30, 1e30, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
            *value =
                if stream.below(2) == 0 { number(stream) as u32 } else { pick(stream, &special).to_bits() };
        }
        Field::Bytes(_, value) if stream.below(2) == 0 => {
            *value = token(stream, tokens).to_vec();
        }
        Field::Bytes(_, value) => bytes(stream, value, tokens, &[]),
        Field::Message(tag, fields) if stream.below(2) == 0 => {
            let mut content = encode(fields);
            bytes(stream, &mut content, tokens, &[]);
            *field = Field::Bytes(*tag, content);
        }
        // Another kind of message altogether, or another attribute.
        Field::Message(tag, _) => *tag = 1 + stream.below(16) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_taken_apart_again() {
        let fields = [
            Field::Varint(1, 300),
            Field::Message(7, vec![Field::Bytes(4, b"Conv".to_vec()), Field::Fixed32(2, 5)]),
        ];
        let bytes = encode(&fields);
        let again = decode(&bytes, 8).unwrap();
        assert_eq!((encode(&again), count(&again)), (bytes, 4));
    }
}
