//! Python's pickles of plain data: dictionaries, lists, numbers, names and numpy arrays of bytes, as CIFAR's files hold. Nothing
//! is called or imported: what asks for anything else is refused. (Format: CPython's `pickletools`, protocols 0 to 5.)

use std::collections::HashMap;
use std::ops::Range;

/// The most values in a file, so that a few bytes each cannot exhaust the memory.
const MOST: usize = 4_000_000;

/// The number of a value among all of the file's. They lie in one list and refer to each other by number, so that no nesting
/// is too deep.
type Id = usize;

#[derive(Clone, Debug)]
enum Value {
    Mark,
    None,
    Int(i64),
    /// Bytes in the file.
    Bytes(Range<usize>),
    /// Bytes that stand in the file in another form.
    Made(Vec<u8>),
    Text(Range<usize>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(String),
    DType(Range<usize>),
    Array {
        shape: Vec<i64>,
        dtype: Id,
        bytes: Id,
    },
    /// An array whose content comes later.
    Empty,
}

/// The bytes of an array.
#[derive(Debug, PartialEq)]
pub(crate) enum Content {
    /// Where they are in the file.
    At(Range<usize>),
    Made(Vec<u8>),
}

/// A file's values.
pub(crate) struct Pickle<'a> {
    file: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    memo: HashMap<u64, Id>,
    /// How many places lists and dictionaries have, all together.
    places: usize,
}

type Found<T> = Result<T, String>;

impl<'a> Pickle<'a> {
    /// Reads a file; the value that it holds is a dictionary.
    ///
    /// # Errors
    /// What was found that should not be there.
    pub fn read(file: &'a [u8]) -> Found<Self> {
        let mut pickle =
            Self { file, at: 0, values: Vec::new(), stack: Vec::new(), memo: HashMap::new(), places: 0 };
        while pickle.step()? {}
        match pickle.stack.last().map(|&id| &pickle.values[id]) {
            Some(Value::Dict(_)) => Ok(pickle),
            _ => Err("something that is no dictionary".into()),
        }
    }

    fn root(&self, key: &str) -> Option<&Value> {
        let Value::Dict(items) = &self.values[*self.stack.last()?] else { return None };
        let found = items.iter().find(|(k, _)| self.bytes(*k).is_some_and(|k| k == key.as_bytes()));
        found.map(|(_, value)| &self.values[*value])
    }

    /// The list of whole numbers under a key.
    pub fn numbers(&self, key: &str) -> Option<Vec<i64>> {
        let Value::List(items) = self.root(key)? else { return None };
        items.iter().map(|&id| if let Value::Int(v) = self.values[id] { Some(v) } else { None }).collect()
    }

    /// The list of names under a key.
    pub fn names(&self, key: &str) -> Option<Vec<String>> {
        let Value::List(items) = self.root(key)? else { return None };
        items.iter().map(|&id| String::from_utf8(self.bytes(id)?.to_vec()).ok()).collect()
    }

    /// The shape and the bytes of the array of bytes under a key.
    pub fn array(&self, key: &str) -> Option<(Vec<i64>, Content)> {
        let Value::Array { shape, dtype, bytes } = self.root(key)? else { return None };
        let Value::DType(name) = &self.values[*dtype] else { return None };
        if !matches!(&self.file[name.clone()], b"u1" | b"|u1" | b"uint8") {
            return None;
        }
        let content = match &self.values[*bytes] {
            Value::Bytes(range) => Content::At(range.clone()),
            Value::Made(bytes) => Content::Made(bytes.clone()),
            _ => return None,
        };
        Some((shape.clone(), content))
    }

    fn bytes(&self, id: Id) -> Option<&[u8]> {
        match &self.values[id] {
            Value::Bytes(range) | Value::Text(range) => Some(&self.file[range.clone()]),
            Value::Made(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn take(&mut self, n: u64) -> Found<Range<usize>> {
        let end = usize::try_from(n)
            .ok()
            .and_then(|n| self.at.checked_add(n))
            .filter(|&end| end <= self.file.len());
        let end =
            end.ok_or_else(|| format!("the end of the file after {} bytes (truncated)", self.file.len()))?;
        let range = self.at..end;
        self.at = end;
        Ok(range)
    }

    /// A little-endian number of `n` bytes.
    fn number(&mut self, n: u64) -> Found<u64> {
        let range = self.take(n)?;
        Ok(self.file[range].iter().rev().fold(0, |v, &byte| v << 8 | u64::from(byte)))
    }

    /// A line without its end.
    fn line(&mut self) -> Found<Range<usize>> {
        let rest = self.file.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
        let line = self.take(length as u64)?;
        self.take(1)?;
        Ok(line)
    }

    fn text(&self, range: Range<usize>) -> Found<&'a str> {
        std::str::from_utf8(&self.file[range]).map_err(|_| "text that is not UTF-8".into())
    }

    fn push(&mut self, value: Value) -> Found<()> {
        if self.values.len() >= MOST {
            return Err(format!("more than {MOST} values"));
        }
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Found<Id> {
        self.stack.pop().ok_or_else(|| "an operation without its values".into())
    }

    fn top(&self) -> Found<Id> {
        self.stack.last().copied().ok_or_else(|| "an operation without its values".into())
    }

    /// The values after the last mark.
    fn marked(&mut self) -> Found<Vec<Id>> {
        let mark = self.stack.iter().rposition(|&id| matches!(self.values[id], Value::Mark));
        let items = mark.map(|mark| (self.stack.split_off(mark + 1), self.stack.pop()));
        items.map(|(items, _)| items).ok_or_else(|| "an end without a mark".into())
    }

    fn tuple(&mut self, n: usize) -> Found<()> {
        let start = self.stack.len().checked_sub(n).ok_or("a tuple without its values")?;
        let items = self.stack.split_off(start);
        self.push(Value::Tuple(items))
    }

    /// Counts places in lists and dictionaries, which take a byte or two each in the file.
    fn place(&mut self, items: &[Id]) -> Found<()> {
        self.places += items.len();
        if self.places > MOST { Err(format!("more than {MOST} values")) } else { Ok(()) }
    }

    fn append(&mut self, items: &[Id]) -> Found<()> {
        self.place(items)?;
        let top = self.top()?;
        match &mut self.values[top] {
            Value::List(list) => list.extend(items),
            _ => return Err("an item for something that is no list".into()),
        }
        Ok(())
    }

    fn set(&mut self, items: &[Id]) -> Found<()> {
        self.place(items)?;
        let top = self.top()?;
        match &mut self.values[top] {
            Value::Dict(dict) => dict.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1]))),
            _ => return Err("an entry for something that is no dictionary".into()),
        }
        Ok(())
    }

    fn remember(&mut self, number: u64) -> Found<()> {
        let top = self.top()?;
        if self.memo.len() >= MOST {
            return Err(format!("more than {MOST} values"));
        }
        self.memo.insert(number, top);
        Ok(())
    }

    fn recall(&mut self, number: u64) -> Found<()> {
        let id = *self.memo.get(&number).ok_or("a value that was not remembered")?;
        if self.stack.len() >= MOST {
            return Err(format!("more than {MOST} values"));
        }
        self.stack.push(id);
        Ok(())
    }

    fn decimal(&mut self) -> Found<u64> {
        let line = self.line()?;
        self.text(line)?.trim().parse().map_err(|_| "a number that is none".into())
    }

    /// One operation; false at the end.
    fn step(&mut self) -> Found<bool> {
        let code = self.number(1)? as u8;
        match code {
            b'.' => return Ok(false),
            0x80 => {
                self.take(1)?;
            }
            0x95 => {
                self.take(8)?;
            }
            b'(' => self.push(Value::Mark)?,
            b'0' => drop(self.pop()?),
            b'1' => drop(self.marked()?),
            b'N' => self.push(Value::None)?,
            0x88 | 0x89 => self.push(Value::Int(i64::from(code == 0x88)))?,
            b'K' | b'M' => {
                let value = self.number(if code == b'K' { 1 } else { 2 })?;
                self.push(Value::Int(value as i64))?;
            }
            b'J' => {
                let value = self.number(4)? as u32 as i32;
                self.push(Value::Int(i64::from(value)))?;
            }
            b'I' | b'L' => {
                let line = self.line()?;
                let text = self.text(line)?.trim().trim_end_matches('L');
                let value = text.parse().map_err(|_| "a number that is none")?;
                self.push(Value::Int(value))?;
            }
            0x8a => {
                let n = self.number(1)?.min(9);
                let value = self.number(n)?;
                // The last byte has the sign.
                let unused = 64 - 8 * (n.min(8) as u32);
                self.push(Value::Int(if unused == 64 { 0 } else { (value << unused) as i64 >> unused }))?;
            }
            b'G' => {
                self.take(8)?;
                self.push(Value::None)?;
            }
            b'U' | b'T' | b'C' | b'B' | 0x8e | 0x96 | b'X' | 0x8c | 0x8d => self.string(code)?,
            b'V' => {
                let line = self.line()?;
                self.push(Value::Text(line))?;
            }
            b']' => self.push(Value::List(Vec::new()))?,
            b')' => self.push(Value::Tuple(Vec::new()))?,
            b'}' => self.push(Value::Dict(Vec::new()))?,
            b'l' | b't' => {
                let items = self.marked()?;
                self.push(if code == b'l' { Value::List(items) } else { Value::Tuple(items) })?;
            }
            b'd' => {
                let items = self.marked()?;
                self.push(Value::Dict(Vec::new()))?;
                self.set(&items)?;
            }
            0x85..=0x87 => self.tuple(usize::from(code - 0x84))?,
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' => {
                let items = self.marked()?;
                self.append(&items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])?;
            }
            b'u' => {
                let items = self.marked()?;
                self.set(&items)?;
            }
            b'p' => {
                let number = self.decimal()?;
                self.remember(number)?;
            }
            b'q' | b'r' => {
                let number = self.number(if code == b'q' { 1 } else { 4 })?;
                self.remember(number)?;
            }
            0x94 => self.remember(self.memo.len() as u64)?,
            b'g' => {
                let number = self.decimal()?;
                self.recall(number)?;
            }
            b'h' | b'j' => {
                let number = self.number(if code == b'h' { 1 } else { 4 })?;
                self.recall(number)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                let name = format!("{} {}", self.text(module)?, self.text(name)?);
                self.push(Value::Global(name))?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |id| self.bytes(id).map(|b| String::from_utf8_lossy(b).into_owned());
                let name = format!("{} {}", text(module).unwrap_or_default(), text(name).unwrap_or_default());
                self.push(Value::Global(name))?;
            }
            b'R' => self.reduce()?,
            b'b' => self.build()?,
            _ => return Err(format!("the operation {code:#04x}, which plain data don't need")),
        }
        Ok(true)
    }

    /// A string with its length before it.
    fn string(&mut self, code: u8) -> Found<()> {
        let width = match code {
            b'U' | b'C' | 0x8c => 1,
            b'T' | b'B' | b'X' => 4,
            _ => 8,
        };
        let length = self.number(width)?;
        let range = self.take(length)?;
        let is_text = matches!(code, b'X' | 0x8c | 0x8d);
        self.push(if is_text { Value::Text(range) } else { Value::Bytes(range) })
    }

    /// What a call gives, of the few that plain data are made by.
    fn reduce(&mut self) -> Found<()> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Global(function) = &self.values[function] else {
            return Err("a call of no function".into());
        };
        let Value::Tuple(arguments) = &self.values[arguments] else {
            return Err("a call without arguments".into());
        };
        let name = function.replace("numpy._core", "numpy.core");
        let refused = || format!("a call of {name:?}, which plain data don't need");
        let made = match (name.as_str(), arguments.as_slice()) {
            // How Python 3 writes bytes for Python 2.
            ("_codecs encode", [text, _]) => {
                let Value::Text(range) = &self.values[*text] else { return Err(refused()) };
                let latin1 = self.text(range.clone())?.chars().map(|c| u8::try_from(u32::from(c)).ok());
                Value::Made(latin1.collect::<Option<_>>().ok_or("bytes above 255")?)
            }
            ("__builtin__ bytes" | "builtins bytes", []) => Value::Made(Vec::new()),
            ("numpy.core.multiarray _reconstruct", _) => Value::Empty,
            ("numpy dtype", [name, ..]) => match &self.values[*name] {
                Value::Text(range) | Value::Bytes(range) => Value::DType(range.clone()),
                _ => return Err(refused()),
            },
            ("numpy.core.numeric _frombuffer", &[bytes, dtype, shape, order])
                if self.bytes(order) == Some(b"C") =>
            {
                Value::Array { shape: self.shape(shape)?, dtype, bytes }
            }
            _ => return Err(refused()),
        };
        self.push(made)
    }

    /// Gives an array its content.
    fn build(&mut self) -> Found<()> {
        let (state, target) = (self.pop()?, self.top()?);
        if !matches!(self.values[target], Value::Empty) {
            return Ok(());
        }
        let Value::Tuple(state) = &self.values[state] else { return Err("an array without content".into()) };
        let &[_, shape, dtype, by_columns, bytes] = state.as_slice() else {
            return Err("an array without content".into());
        };
        if !matches!(self.values[by_columns], Value::Int(0)) {
            return Err("an array in Fortran's order".into());
        }
        self.values[target] = Value::Array { shape: self.shape(shape)?, dtype, bytes };
        Ok(())
    }

    fn shape(&self, id: Id) -> Found<Vec<i64>> {
        let Value::Tuple(sides) = &self.values[id] else { return Err("an array without a shape".into()) };
        let side = |&id: &Id| if let Value::Int(v) = self.values[id] { Some(v) } else { None };
        sides.iter().map(side).collect::<Option<_>>().ok_or_else(|| "an array without a shape".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_data_are_read_in_every_protocol() {
        // pickle.dumps({"a": [1, 300, 70000, -2], "b": ["x", "y"]}, protocol) of Python 3.
        let zero = b"(dp0\nVa\np1\n(lp2\nI1\naI300\naI70000\naI-2\nasVb\np3\n(lp4\nVx\np5\naVy\np6\nas.";
        let two = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01M,\x01Jp\x11\x01\x00J\xfe\xff\xff\xffeX\x01\x00\x00\x00bq\x03]q\x04(X\x01\x00\x00\x00xq\x05X\x01\x00\x00\x00yq\x06eu.";
        let four = b"\x80\x04\x95%\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94]\x94(K\x01M,\x01Jp\x11\x01\x00J\xfe\xff\xff\xffe\x8c\x01b\x94]\x94(\x8c\x01x\x94\x8c\x01y\x94eu.";
        for file in [&zero[..], two, four] {
            let pickle = Pickle::read(file).unwrap();
            assert_eq!(pickle.numbers("a").unwrap(), [1, 300, 70000, -2]);
            assert_eq!(pickle.names("b").unwrap(), ["x", "y"]);
            assert!(pickle.names("a").is_none() && pickle.numbers("c").is_none());
            for cut in 0..file.len() {
                assert!(Pickle::read(&file[..cut]).is_err(), "{cut}");
            }
        }
    }

    #[test]
    fn nothing_is_called() {
        let error = Pickle::read(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.").err().unwrap();
        assert!(error.contains("a call of \"os system\""), "{error}");
        // Deep nesting and many values take neither the stack nor the memory.
        let deep = [vec![b')'], vec![0x85; 1_000_000], vec![b'.']].concat();
        assert!(Pickle::read(&deep).is_err());
        assert!(Pickle::read(&vec![b'N'; MOST + 10]).err().unwrap().contains("more than"));
        assert!(Pickle::read(&[vec![b'N', b'q', 0], [b'h', 0].repeat(MOST)].concat()).is_err());
        assert!(
            Pickle::read(&[vec![b'N'], vec![0x94; MOST + 10]].concat()).err().unwrap().contains("more than")
        );
        let list = [vec![b']', b'q', 0], b"h\x00a".repeat(MOST + 10)].concat();
        assert!(Pickle::read(&list).err().unwrap().contains("more than"));
    }
}
