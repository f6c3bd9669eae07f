//! Parses GGUF files and writes them again, consistent or not.

use std::fs::{self, File};
use std::path::Path;

use crate::support::nexus::ember_gguf;

/// Value types, `enum gguf_type`.
pub const U8: u32 = 0;
pub const U16: u32 = 2;
pub const U32: u32 = 4;
pub const I32: u32 = 5;
pub const F32: u32 = 6;
pub const BOOL: u32 = 7;
pub const STRING: u32 = 8;
pub const ARRAY: u32 = 9;

/// A value: its type and its bytes as in a file, with whatever lengths and
/// counts they declare.
#[derive(Debug, Clone)]
pub struct Value {
    pub kind: u32,
    pub bytes: Vec<u8>,
}

impl Value {
    pub fn u16(value: u16) -> Self {
        Self { kind: U16, bytes: value.to_le_bytes().into() }
    }

    pub fn u32(value: u32) -> Self {
        Self { kind: U32, bytes: value.to_le_bytes().into() }
    }

    pub fn bool(value: bool) -> Self {
        Self { kind: BOOL, bytes: vec![value.into()] }
    }

    pub fn text(text: impl AsRef<[u8]>) -> Self {
        Self { kind: STRING, bytes: string(text.as_ref()) }
    }

    /// An array that declares `count` elements of type `kind`.
    pub fn array(kind: u32, count: u64, elements: &[u8]) -> Self {
        Self { kind: ARRAY, bytes: [&kind.to_le_bytes()[..], &count.to_le_bytes(), elements].concat() }
    }

    pub fn texts<T: AsRef<[u8]>>(texts: &[T]) -> Self {
        let elements: Vec<u8> = texts.iter().flat_map(|text| string(text.as_ref())).collect();
        Self::array(STRING, texts.len() as u64, &elements)
    }

    pub fn i32s(numbers: &[i32]) -> Self {
        let elements: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        Self::array(I32, numbers.len() as u64, &elements)
    }

    /// The texts of an array of texts, whatever count it declares.
    pub fn to_texts(&self) -> Vec<Vec<u8>> {
        let mut texts = Vec::new();
        let mut rest = self.bytes.get(12..).unwrap_or_default();
        while let Some((length, after)) = rest.split_at_checked(8) {
            let length = u64::from_le_bytes(length.try_into().expect("eight bytes"));
            let Some((text, after)) = after.split_at_checked(length as usize) else { break };
            texts.push(text.to_vec());
            rest = after;
        }
        texts
    }
}

/// A tensor's entry in the header.
#[derive(Debug, Clone)]
pub struct Tensor {
    pub name: Vec<u8>,
    pub sizes: Vec<u64>,
    pub kind: u32,
    pub offset: u64,
}

/// The parts of a file. They need not be consistent.
#[derive(Debug, Clone, Default)]
pub struct Gguf {
    pub version: u32,
    /// Counts that the header declares instead of the true ones.
    pub tensor_count: Option<u64>,
    pub key_count: Option<u64>,
    pub keys: Vec<(Vec<u8>, Value)>,
    pub tensors: Vec<Tensor>,
    pub alignment: usize,
    pub data: Vec<u8>,
}

/// An adapter of ember's first feed-forward layer, of `width` numbers: rank 8, of f16
/// from -0.125 to 0.125.
pub fn adapter_of_ember(width: u64) -> Gguf {
    let mut gguf = Gguf::empty();
    gguf.set("general.architecture", Value::text("llama"));
    gguf.set("general.type", Value::text("adapter"));
    gguf.set("adapter.type", Value::text("lora"));
    gguf.set("adapter.lora.alpha", Value { kind: F32, bytes: 16f32.to_le_bytes().into() });
    for (part, sizes) in [("lora_a", [512, 8]), ("lora_b", [8, width])] {
        let name = format!("blk.0.ffn_down.weight.{part}").into_bytes();
        gguf.tensors.push(Tensor { name, sizes: sizes.into(), kind: 1, offset: 0 });
    }
    gguf.lay_out();
    for (at, half) in gguf.data.chunks_exact_mut(2).enumerate() {
        let sign = if at * at % 7 < 3 { 0x8000 } else { 0 };
        half.copy_from_slice(&((0x2C00u16 + (at * 37 % 0x400) as u16) | sign).to_le_bytes());
    }
    gguf
}

impl Gguf {
    pub fn empty() -> Self {
        Self { version: 3, alignment: 32, ..Self::default() }
    }

    /// Ember's file.
    pub fn ember() -> Self {
        Self::of(&ember_gguf())
    }

    /// A file, or the beginning of one that holds its whole header.
    pub fn of(file: &[u8]) -> Self {
        let mut bytes = Bytes(file);
        assert_eq!(bytes.take(4), b"GGUF");
        let mut gguf = Self { version: bytes.u32(), ..Self::empty() };
        let (tensors, keys) = (bytes.u64(), bytes.u64());
        for _ in 0..keys {
            gguf.keys.push((bytes.string(), bytes.value()));
        }
        for _ in 0..tensors {
            let name = bytes.string();
            let sizes = (0..bytes.u32()).map(|_| bytes.u64()).collect();
            gguf.tensors.push(Tensor { name, sizes, kind: bytes.u32(), offset: bytes.u64() });
        }
        let start = (file.len() - bytes.0.len()).next_multiple_of(gguf.alignment);
        gguf.data = file.get(start..).unwrap_or_default().to_vec();
        gguf
    }

    pub fn get(&self, key: &str) -> &Value {
        &self.keys.iter().find(|(name, _)| name == key.as_bytes()).expect("the key is there").1
    }

    /// Sets the value of a key, which is added if it is missing.
    pub fn set(&mut self, key: &str, value: Value) -> &mut Self {
        match self.keys.iter_mut().find(|(name, _)| name == key.as_bytes()) {
            Some((_, old)) => *old = value,
            None => self.keys.push((key.into(), value)),
        }
        self
    }

    pub fn remove(&mut self, key: &str) -> &mut Self {
        self.keys.retain(|(name, _)| name != key.as_bytes());
        self
    }

    /// The architecture, which begins the names of the keys.
    pub fn architecture(&self) -> String {
        let name = |key: &[u8]| Some(str::from_utf8(key).ok()?.strip_suffix(".block_count")?.to_owned());
        self.keys.iter().find_map(|(key, _)| name(key)).unwrap_or_default()
    }

    /// Gives the file another architecture, and renames the keys to match.
    pub fn rename_architecture(&mut self, name: &str) -> &mut Self {
        let old = self.architecture();
        for (key, _) in &mut self.keys {
            if let Some(rest) = key.strip_prefix(old.as_bytes()) {
                *key = [name.as_bytes(), rest].concat();
            }
        }
        self.set("general.architecture", Value::text(name))
    }

    /// Adds a tensor, which is to be laid out.
    pub fn add(&mut self, name: &str, sizes: &[u64], kind: u32) -> &mut Self {
        self.tensors.push(Tensor { name: name.into(), sizes: sizes.into(), kind, offset: 0 });
        self
    }

    /// Changes one tensor, and lays all of them out anew.
    pub fn tensor(&mut self, name: &str, change: impl FnOnce(&mut Tensor)) -> &mut Self {
        let tensor = self.tensors.iter_mut().find(|tensor| tensor.name == name.as_bytes());
        change(tensor.expect("the tensor is there"));
        self.lay_out()
    }

    /// Sets the offsets of the tensors one after the other, and resizes the
    /// data to what they need, at most 16 MB.
    pub fn lay_out(&mut self) -> &mut Self {
        let mut end = 0u64;
        for tensor in &mut self.tensors {
            tensor.offset = end;
            let after = end.saturating_add(tensor_bytes(tensor));
            end = after.checked_next_multiple_of(self.alignment as u64).unwrap_or(after);
        }
        self.data.resize(end.min(16 << 20) as usize, 0);
        self
    }

    /// Where the last tensor's data ends, from the first one's start.
    pub fn data_end(&self) -> u64 {
        self.tensors.last().map_or(0, |tensor| tensor.offset.saturating_add(tensor_bytes(tensor)))
    }

    pub fn header(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.tensor_count.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        bytes.extend(self.key_count.unwrap_or(self.keys.len() as u64).to_le_bytes());
        for (key, value) in &self.keys {
            bytes.extend(string(key));
            bytes.extend(value.kind.to_le_bytes());
            bytes.extend(&value.bytes);
        }
        for Tensor { name, sizes, kind, offset } in &self.tensors {
            bytes.extend(string(name));
            bytes.extend((sizes.len() as u32).to_le_bytes());
            bytes.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
            bytes.extend(kind.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(self.alignment), 0);
        bytes
    }

    pub fn bytes(&self) -> Vec<u8> {
        [self.header(), self.data.clone()].concat()
    }

    /// Writes the header, followed by a hole as long as the data, which takes no disk.
    pub fn write_with_a_hole(&self, path: &Path) -> File {
        let header = self.header();
        fs::write(path, &header).expect("room for a header");
        let file = File::options().append(true).open(path).expect("the file");
        file.set_len(header.len() as u64 + self.data_end()).expect("a longer file");
        file
    }
}

fn string(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text].concat()
}

/// The size of a tensor's data in bytes, for the types that tests use.
fn tensor_bytes(tensor: &Tensor) -> u64 {
    let (block, bytes) = match tensor.kind {
        0 | 26 => (1, 4),
        1 | 25 | 30 => (1, 2),
        2 | 20 => (32, 18),
        6 => (32, 22),
        8 => (32, 34),
        12 => (256, 144),
        14 => (256, 210),
        18 => (256, 98),
        24 => (1, 1),
        27 | 28 => (1, 8),
        _ => (32, 34),
    };
    let elements = tensor.sizes.iter().fold(1u64, |product, &size| product.saturating_mul(size));
    (elements / block).saturating_mul(bytes)
}

/// The unread rest of a file that is known to be valid.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().expect("four bytes"))
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().expect("eight bytes"))
    }

    fn string(&mut self) -> Vec<u8> {
        let length = self.u64() as usize;
        self.take(length).to_vec()
    }

    fn value(&mut self) -> Value {
        let kind = self.u32();
        let before = self.0;
        match kind {
            ARRAY => {
                let element = self.u32();
                for _ in 0..self.u64() {
                    self.skip(element);
                }
            }
            kind => self.skip(kind),
        }
        Value { kind, bytes: before[..before.len() - self.0.len()].to_vec() }
    }

    fn skip(&mut self, kind: u32) {
        let length = match kind {
            STRING => self.u64() as usize,
            U8 | BOOL => 1,
            U16 => 2,
            U32 | I32 | F32 => 4,
            kind => panic!("ember has no value of type {kind}"),
        };
        self.take(length);
    }
}
