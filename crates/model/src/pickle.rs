//! Python's pickles, read as data: nothing is ever executed or imported. What a program would have called or built stands in
//! the result as an object with its arguments and its state, whatever its class is, so that foreign objects beside the
//! weights don't matter.
//!
//! Protocols 0 to 5 (<https://github.com/python/cpython/blob/main/Lib/pickletools.py>). Values refer to each other by
//! number: a pickle may hold one value twice, or circles.

use std::collections::HashMap;

/// The number of a value.
pub(crate) type Id = usize;

/// Values of one pickle, at most: real checkpoints have thousands.
const MOST_VALUES: usize = 4_000_000;

/// A value of a pickle.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// A whole number beyond 64 bits, little-endian.
    Long(Vec<u8>),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A class or function by module and name.
    Global(String, String),
    /// What a storage's place in another file is told by.
    Persistent(Id),
    Object(Box<Object>),
}

/// An instance of a class, or what a function gave.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object {
    /// The class or function.
    pub class: Id,
    /// What it was called with: a tuple.
    pub arguments: Id,
    /// What it was given as its state afterwards.
    pub state: Option<Id>,
    /// What was appended to it.
    pub items: Vec<Id>,
    /// What was set in it.
    pub pairs: Vec<(Id, Id)>,
}

/// A pickle's values.
#[derive(Debug, Default)]
pub(crate) struct Pickle {
    values: Vec<Value>,
    /// The one that all others are for.
    pub root: Id,
    /// How many bytes it took.
    pub length: usize,
}

impl Pickle {
    /// The value of this number.
    pub fn get(&self, id: Id) -> &Value {
        self.values.get(id).unwrap_or(&Value::None)
    }

    /// How many values there are.
    pub fn count(&self) -> usize {
        self.values.len()
    }

    pub fn root(&self) -> &Value {
        self.get(self.root)
    }

    pub fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn int(&self, id: Id) -> Option<i64> {
        match self.get(id) {
            Value::Int(n) => Some(*n),
            Value::Bool(b) => Some(i64::from(*b)),
            _ => None,
        }
    }

    /// A length or place: a whole number from 0 up.
    pub fn size(&self, id: Id) -> Option<usize> {
        usize::try_from(self.int(id)?).ok()
    }

    /// The elements of a tuple or list.
    pub fn sequence(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::Tuple(items) | Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// Module and name of a class or function.
    pub fn global(&self, id: Id) -> Option<(&str, &str)> {
        match self.get(id) {
            Value::Global(module, name) => Some((module, name)),
            _ => None,
        }
    }

    /// Key and value pairs: of a dict, or of what a class made of one.
    pub fn pairs(&self, id: Id) -> &[(Id, Id)] {
        match self.get(id) {
            Value::Dict(pairs) => pairs,
            Value::Object(object) => &object.pairs,
            _ => &[],
        }
    }

    /// What a dict has under a text.
    pub fn field(&self, id: Id, name: &str) -> Option<Id> {
        self.pairs(id).iter().find(|(key, _)| self.text(*key) == Some(name)).map(|(_, value)| *value)
    }
}

/// Reads the pickle that `bytes` begin with.
///
/// # Errors
/// What is wrong, in words.
pub(crate) fn read(bytes: &[u8]) -> Result<Pickle, String> {
    let mut machine = Machine {
        bytes,
        at: 0,
        pickle: Pickle::default(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    machine.run().map_err(|what| format!("a damaged pickle ({what} at byte {})", machine.at))?;
    let Machine { mut pickle, at, .. } = machine;
    pickle.length = at;
    Ok(pickle)
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    pickle: Pickle,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

type Step<T = ()> = Result<T, String>;

impl Machine<'_> {
    fn take(&mut self, count: usize) -> Step<&[u8]> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or("it breaks off")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Step<u8> {
        Ok(self.number(1)? as u8)
    }

    /// A little-endian number of up to 8 bytes.
    fn number(&mut self, count: usize) -> Step<u64> {
        let taken = self.take(count)?;
        Ok(taken.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    /// So many bytes as a number of `count` bytes says.
    fn counted(&mut self, count: usize) -> Step<&[u8]> {
        let length = self.number(count)?;
        self.take(usize::try_from(length).map_err(|_| "a length that no file has")?)
    }

    fn line(&mut self) -> Step<String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|b| *b == b'\n').ok_or("a line without end")?;
        let line = String::from_utf8_lossy(&rest[..length]).into_owned();
        self.at += length + 1;
        Ok(line.trim_end_matches('\r').to_owned())
    }

    fn add(&mut self, value: Value) -> Step<Id> {
        if self.pickle.values.len() >= MOST_VALUES {
            return Err(format!("more than {MOST_VALUES} values"));
        }
        self.pickle.values.push(value);
        Ok(self.pickle.values.len() - 1)
    }

    fn push(&mut self, value: Value) -> Step {
        let id = self.add(value)?;
        self.stack.push(id);
        Ok(())
    }

    fn pop(&mut self) -> Step<Id> {
        let least = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= least {
            return Err("a value is missing".into());
        }
        self.stack.pop().ok_or_else(|| "a value is missing".into())
    }

    fn top(&self) -> Step<Id> {
        self.stack.last().copied().ok_or_else(|| "a value is missing".into())
    }

    /// What was pushed since the last mark.
    fn since_mark(&mut self) -> Step<Vec<Id>> {
        let height = self.marks.pop().ok_or("a mark is missing")?;
        if height > self.stack.len() {
            return Err("a mark is missing".into());
        }
        Ok(self.stack.split_off(height))
    }

    fn tuple(&mut self, count: usize) -> Step {
        let least = self.marks.last().copied().unwrap_or(0);
        let height =
            self.stack.len().checked_sub(count).filter(|h| *h >= least).ok_or("a value is missing")?;
        let items = self.stack.split_off(height);
        self.push(Value::Tuple(items))
    }

    fn text(&mut self, count: usize) -> Step {
        let text = String::from_utf8_lossy(self.counted(count)?).into_owned();
        self.push(Value::Text(text))
    }

    fn raw(&mut self, count: usize) -> Step {
        let bytes = self.counted(count)?.to_vec();
        self.push(Value::Bytes(bytes))
    }

    fn long(&mut self, count: usize) -> Step {
        let bytes = self.counted(count)?;
        let value = match bytes.len() {
            0 => Value::Int(0),
            n @ 1..=8 => {
                let fill = if bytes[n - 1] & 0x80 != 0 { 0xff } else { 0 };
                let mut wide = [fill; 8];
                wide[..n].copy_from_slice(bytes);
                Value::Int(i64::from_le_bytes(wide))
            }
            _ => Value::Long(bytes.to_vec()),
        };
        self.push(value)
    }

    fn remember(&mut self, index: u64) -> Step {
        let top = self.top()?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, index: u64) -> Step {
        let id = *self.memo.get(&index).ok_or("a value that was never kept")?;
        self.stack.push(id);
        Ok(())
    }

    fn append(&mut self, items: Vec<Id>) -> Step {
        let top = self.top()?;
        match &mut self.pickle.values[top] {
            Value::List(list) => list.extend(items),
            Value::Object(object) => object.items.extend(items),
            // A class that another module would have made into something with items.
            _ => {}
        }
        Ok(())
    }

    fn set(&mut self, items: Vec<Id>) -> Step {
        let top = self.top()?;
        let pairs = items.as_chunks::<2>().0.iter().map(|[key, value]| (*key, *value));
        match &mut self.pickle.values[top] {
            Value::Dict(dict) => dict.extend(pairs),
            Value::Object(object) => object.pairs.extend(pairs),
            _ => {}
        }
        Ok(())
    }

    /// An instance, or the result of a call.
    fn make(&mut self, class: Id, arguments: Id) -> Step {
        let called = self.pickle.global(class);
        if let Some(("collections" | "builtins" | "__builtin__", "OrderedDict" | "dict")) = called {
            // From pairs, in old pickles.
            let given = self.pickle.sequence(arguments).and_then(|a| a.first()).copied();
            let pairs = given.and_then(|id| self.pickle.sequence(id)).unwrap_or_default();
            let pair = |id: &Id| match self.pickle.sequence(*id) {
                Some([key, value]) => Some((*key, *value)),
                _ => None,
            };
            let pairs = pairs.iter().filter_map(pair).collect();
            return self.push(Value::Dict(pairs));
        }
        // Parameters are tensors with a flag.
        if let Some(("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")) = called
            && let Some(tensor) = self.pickle.sequence(arguments).and_then(|a| a.first()).copied()
        {
            self.stack.push(tensor);
            return Ok(());
        }
        // Tensors with a class or attributes of their own: function, class, arguments, attributes.
        if let Some(("torch._tensor" | "torch._utils", "_rebuild_from_type" | "_rebuild_from_type_v2")) =
            called
            && let Some([function, _, arguments, ..]) = self.pickle.sequence(arguments)
            && *function != class
        {
            return self.make_once(*function, *arguments);
        }
        self.make_once(class, arguments)
    }

    fn make_once(&mut self, class: Id, arguments: Id) -> Step {
        let object = Object { class, arguments, state: None, items: Vec::new(), pairs: Vec::new() };
        self.push(Value::Object(Box::new(object)))
    }

    /// `class` and arguments stand on the stack since the last mark.
    fn instance(&mut self, class: Option<Value>) -> Step {
        let mut items = self.since_mark()?;
        let class = match class {
            Some(class) => self.add(class)?,
            None if items.is_empty() => return Err("a class is missing".into()),
            None => items.remove(0),
        };
        let arguments = self.add(Value::Tuple(items))?;
        self.make(class, arguments)
    }

    fn run(&mut self) -> Step {
        loop {
            let code = self.byte()?;
            if code == b'.' {
                self.pickle.root = self.pop()?;
                return Ok(());
            }
            self.step(code)?;
        }
    }

    fn step(&mut self, code: u8) -> Step {
        match code {
            // Structure.
            0x80 => match self.byte()? {
                0..=5 => Ok(()),
                protocol => Err(format!("protocol {protocol}")),
            },
            0x95 => self.take(8).map(|_| ()),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => match self.marks.last() {
                Some(height) if *height == self.stack.len() => self.since_mark().map(|_| ()),
                _ => self.pop().map(|_| ()),
            },
            b'1' => self.since_mark().map(|_| ()),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
                Ok(())
            }
            // Plain values.
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'J' => {
                let n = self.number(4)? as u32 as i32;
                self.push(Value::Int(i64::from(n)))
            }
            b'K' => {
                let n = self.number(1)?;
                self.push(Value::Int(n as i64))
            }
            b'M' => {
                let n = self.number(2)?;
                self.push(Value::Int(n as i64))
            }
            0x8a => self.long(1),
            0x8b => self.long(4),
            b'G' => {
                let n = self.number(8)?;
                self.push(Value::Float(f64::from_bits(n.swap_bytes())))
            }
            b'I' | b'L' | b'F' | b'S' | b'V' => self.written(code),
            b'X' => self.text(4),
            0x8c => self.text(1),
            0x8d => self.text(8),
            // Python 2's strings: bytes, which may be text.
            b'T' => self.text(4),
            b'U' => self.text(1),
            b'B' => self.raw(4),
            b'C' => self.raw(1),
            0x8e | 0x96 => self.raw(8),
            // Bytes that stand outside of the pickle.
            0x97 => self.push(Value::None),
            0x98 => Ok(()),
            // Collections.
            b']' => self.push(Value::List(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            0x8f => self.push(Value::List(Vec::new())),
            b')' => self.push(Value::Tuple(Vec::new())),
            b'l' | 0x91 => {
                let items = self.since_mark()?;
                self.push(Value::List(items))
            }
            b't' => {
                let items = self.since_mark()?;
                self.push(Value::Tuple(items))
            }
            b'd' => {
                let items = self.since_mark()?;
                self.push(Value::Dict(Vec::new()))?;
                self.set(items)
            }
            0x85..=0x87 => self.tuple(usize::from(code - 0x84)),
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])
            }
            b'e' | 0x90 => {
                let items = self.since_mark()?;
                self.append(items)
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(vec![key, value])
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set(items)
            }
            _ => self.step_objects(code),
        }
    }

    fn step_objects(&mut self, code: u8) -> Step {
        match code {
            // What was kept.
            b'p' | b'g' => {
                let index = self.line()?.trim().parse().map_err(|_| "a number that is none")?;
                if code == b'p' { self.remember(index) } else { self.recall(index) }
            }
            b'q' => self.number(1).and_then(|n| self.remember(n)),
            b'r' => self.number(4).and_then(|n| self.remember(n)),
            0x94 => self.remember(self.memo.len() as u64),
            b'h' => self.number(1).and_then(|n| self.recall(n)),
            b'j' => self.number(4).and_then(|n| self.recall(n)),
            // Classes, functions and what they make.
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(module, name))
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let word = |id| self.pickle.text(id).unwrap_or("?").to_owned();
                let global = Value::Global(word(module), word(name));
                self.push(global)
            }
            0x82..=0x84 => {
                let number = self.number(1 << (code - 0x82))?;
                self.push(Value::Global("copyreg".into(), format!("extension {number}")))
            }
            b'R' | 0x81 => {
                let (arguments, class) = (self.pop()?, self.pop()?);
                self.make(class, arguments)
            }
            0x92 => {
                let (_, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.make(class, arguments)
            }
            b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                self.instance(Some(Value::Global(module, name)))
            }
            b'o' => self.instance(None),
            b'b' => {
                let (state, top) = (self.pop()?, self.top()?);
                if let Value::Object(object) = &mut self.pickle.values[top] {
                    object.state = Some(state);
                }
                Ok(())
            }
            b'P' => {
                let name = self.line()?;
                let id = self.add(Value::Text(name))?;
                self.push(Value::Persistent(id))
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Value::Persistent(id))
            }
            _ => Err(format!("a code {code:#04x} that there is none of")),
        }
    }

    /// Values that protocol 0 writes as lines of text.
    fn written(&mut self, code: u8) -> Step {
        let line = self.line()?;
        let text = line.trim();
        let value = match code {
            b'I' if text == "00" => Value::Bool(false),
            b'I' if text == "01" => Value::Bool(true),
            b'I' | b'L' => match text.trim_end_matches('L').parse() {
                Ok(n) => Value::Int(n),
                // Beyond 64 bits.
                Err(_) => Value::Long(text.as_bytes().to_vec()),
            },
            b'F' => Value::Float(text.parse().map_err(|_| "a number that is none")?),
            b'S' => Value::Text(text.trim_matches(['\'', '"']).to_owned()),
            _ => Value::Text(line.clone()),
        };
        self.push(value)
    }
}

#[cfg(test)]
mod tests {
    use super::{Value, read};

    #[test]
    fn plain_values_of_every_protocol() {
        // pickle.dumps({"a": [1, -2, True, None, 1.5], "b": (3,)}, n)
        for bytes in [
            &b"(dp0\nVa\np1\n(lp2\nI1\naI-2\naI01\naNaF1.5\nasVb\np3\n(I3\ntp4\ns."[..],
            b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01J\xfe\xff\xff\xff\x88NG?\xf8\x00\x00\x00\x00\x00\x00eX\x01\x00\x00\x00bq\x03K\x03\x85q\x04u.",
            b"\x80\x04\x95-\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94]\x94(K\x01J\xfe\xff\xff\xff\x88NG?\xf8\x00\x00\x00\x00\x00\x00e\x8c\x01b\x94K\x03\x85\x94u.",
        ] {
            let pickle = read(bytes).unwrap();
            assert_eq!(pickle.length, bytes.len());
            let list = pickle.field(pickle.root, "a").unwrap();
            let items: Vec<&Value> = pickle.sequence(list).unwrap().iter().map(|id| pickle.get(*id)).collect();
            let expected =
                [Value::Int(1), Value::Int(-2), Value::Bool(true), Value::None, Value::Float(1.5)];
            assert!(items.into_iter().eq(&expected));
            let tuple = pickle.field(pickle.root, "b").unwrap();
            assert_eq!(pickle.int(pickle.sequence(tuple).unwrap()[0]), Some(3));
        }
    }

    #[test]
    fn nothing_is_called() {
        let pickle = read(b"cos\nsystem\n(S'echo'\ntR.").unwrap();
        let Value::Object(object) = pickle.root() else { panic!("{:?}", pickle.root()) };
        assert_eq!(pickle.global(object.class), Some(("os", "system")));
    }

    #[test]
    fn circles_end() {
        // a = []; a.append(a)
        let pickle = read(b"\x80\x02]q\x00h\x00a.").unwrap();
        assert_eq!(pickle.sequence(pickle.root), Some(&[pickle.root][..]));
    }

    #[test]
    fn damage_is_said() {
        for (bytes, word) in [
            (&b""[..], "breaks off"),
            (b"\x80\x09.", "protocol 9"),
            (b".", "missing"),
            (b"h\x05.", "never kept"),
            (b"X\xff\xff\xff\xff.", "breaks off"),
            (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "breaks off"),
            (b"t.", "mark"),
            (b"(0.", "missing"),
            (b"\xff", "0xff"),
            (b"cos", "without end"),
        ] {
            let error = read(bytes).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
