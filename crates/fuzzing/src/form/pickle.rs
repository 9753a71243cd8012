//! Python's pickles, by opcode.

use dyntta_image::Stream;

use crate::mutate::{bytes, insert, number, token};

/// What follows an opcode.
#[derive(Clone, Copy, PartialEq)]
enum Argument {
    Fixed(usize),
    /// A length of so many bytes, and as many bytes.
    Counted(usize),
    Lines(usize),
}

fn argument(opcode: u8) -> Option<Argument> {
    Some(match opcode {
        b'('
        | b')'
        | b'.'
        | b'0'
        | b'1'
        | b'2'
        | b'N'
        | b'Q'
        | b'R'
        | b'a'
        | b'b'
        | b'd'
        | b'e'
        | b'l'
        | b'o'
        | b's'
        | b't'
        | b'u'
        | b']'
        | b'}'
        | 0x81
        | 0x85..=0x89
        | 0x8f..=0x94
        | 0x97
        | 0x98 => Argument::Fixed(0),
        b'h' | b'q' | b'K' | 0x80 | 0x82 => Argument::Fixed(1),
        b'M' | 0x83 => Argument::Fixed(2),
        b'J' | b'j' | b'r' | 0x84 => Argument::Fixed(4),
        b'G' | 0x95 => Argument::Fixed(8),
        b'U' | b'C' | 0x8c | 0x8a => Argument::Counted(1),
        b'T' | b'X' | b'B' | 0x8b => Argument::Counted(4),
        0x8d | 0x8e | 0x96 => Argument::Counted(8),
        b'F' | b'I' | b'L' | b'S' | b'V' | b'g' | b'p' | b'P' => Argument::Lines(1),
        b'c' | b'i' => Argument::Lines(2),
        _ => return None,
    })
}

/// The opcodes of a pickle, each with what follows it, and the rest after the first that is none.
fn opcodes(data: &[u8]) -> (Vec<Vec<u8>>, &[u8]) {
    let mut out = Vec::new();
    let mut rest = data;
    while let Some(&opcode) = rest.first() {
        let length = match argument(opcode) {
            None => None,
            Some(Argument::Fixed(n)) => Some(1 + n),
            Some(Argument::Counted(width)) => rest.get(1..=width).and_then(|bytes| {
                let length = bytes.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
                usize::try_from(length).ok()?.checked_add(1 + width)
            }),
            Some(Argument::Lines(n)) => {
                rest.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(n - 1).map(|(i, _)| i + 1)
            }
        };
        let Some((this, after)) = length.and_then(|n| rest.split_at_checked(n)) else { break };
        out.push(this.to_vec());
        rest = after;
    }
    (out, rest)
}

pub(super) fn mutate(stream: &mut Stream, data: &[u8], tokens: &[&[u8]]) -> Option<Vec<u8>> {
    let (mut codes, rest) = opcodes(data);
    if codes.is_empty() {
        return None;
    }
    for _ in 0..=stream.below(3) {
        let at = stream.below(codes.len());
        match stream.below(9) {
            0 if codes.len() > 1 => drop(codes.remove(at)),
            1 => {
                // Many times: what piles up.
                let again = codes[at].clone();
                let n = if stream.below(20) == 0 { 4000 } else { 1 };
                codes.splice(at..at, std::iter::repeat_n(again, n));
            }
            2 => {
                let to = stream.below(codes.len());
                codes.swap(at, to);
            }
            3 => {
                let from = stream.below(codes.len());
                let to = from + stream.below(codes.len() - from + 1).min(12);
                let part = codes[from..to].to_vec();
                codes.splice(at..at, part);
            }
            4 => {
                let opcode = stream.next_u32() as u8;
                if argument(opcode) == argument(codes[at][0]) {
                    codes[at][0] = opcode;
                }
            }
            5 => codes.insert(at, token(stream, tokens).to_vec()),
            _ => change(stream, &mut codes[at], tokens),
        }
    }
    let mut out = codes.concat();
    out.extend_from_slice(rest);
    Some(out)
}

/// Another argument, of the right form.
fn change(stream: &mut Stream, code: &mut Vec<u8>, tokens: &[&[u8]]) {
    match argument(code[0]) {
        Some(Argument::Fixed(n)) if n > 0 => {
            let value = number(stream).to_le_bytes();
            code.truncate(1);
            code.extend(&value[..n]);
        }
        Some(Argument::Counted(width)) => {
            let mut content = code.split_off(1 + width);
            bytes(stream, &mut content, tokens, &[]);
            code.truncate(1);
            let length = if stream.below(10) == 0 { number(stream) } else { content.len() as u64 };
            code.extend(&length.to_le_bytes()[..width]);
            code.extend(content);
        }
        Some(Argument::Lines(_)) => {
            let at = 1 + stream.below(code.len() - 1);
            insert(code, at, token(stream, tokens));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pickle_is_taken_apart_by_opcode() {
        let data = b"\x80\x02ccollections\nOrderedDict\nq\x00)R(X\x01\x00\x00\x00aK\x07u.tail?";
        let (codes, rest) = opcodes(data);
        assert_eq!((codes.len(), rest), (12, &b"il?"[..]));
        assert_eq!(codes[6], b"X\x01\x00\x00\x00a");
    }
}
